"""Which of the repository's files are deployed: those named here and no others."""

from pathlib import Path

from infra.package.errors import PackageError

FILES = ("function_app.py", "host.json", "requirements.txt")
FOLDERS = ("functions", "shared")
SUFFIXES = frozenset({".css", ".html", ".js", ".py", ".sql", ".svg"})


def own_files(root: Path) -> dict[str, Path]:
    """Path in the zip to path on disk; raises PackageError for a file missing, or of a kind not listed.

    A kind nobody listed is either code that would be missing in Azure or a secret that would be there, so it is
    refused rather than left out.
    """
    found = {name: root / name for name in FILES}
    for folder in FOLDERS:
        paths = sorted(path for path in (root / folder).rglob("*") if path.is_file())
        found |= {path.relative_to(root).as_posix(): path for path in paths if not _is_cache(path, root)}
    for name, path in found.items():
        if not path.is_file():
            raise PackageError(f"{name}: not found in {root}; build from a complete checkout")
        if name not in FILES and path.suffix not in SUFFIXES:
            raise PackageError(
                f"{name}: files of this kind are not deployed; remove it, or list {path.suffix or 'it'} in"
                " infra/package/contents.py"
            )
    return found


def _is_cache(path: Path, root: Path) -> bool:
    parts = path.relative_to(root).parts
    return "__pycache__" in parts or any(part.startswith(".") for part in parts)
