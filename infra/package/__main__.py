"""`python -m infra.package [--output FILE] [--quick]`: build the zip; its figures are JSON on the last line."""

import argparse
import json
import sys
import tempfile
import zipfile
from pathlib import Path

from infra.local.paths import REPO_ROOT
from infra.local.progress import progress
from infra.package import archive, cold_start, contents, target, wheels
from infra.package.errors import PackageError
from infra.package.interpreter import find_python

OUTPUT = REPO_ROOT / "dist" / "tributary.zip"
_MB = 1_000_000


def build(output: Path, root: Path = REPO_ROOT) -> None:
    """Write the zip; raises PackageError, and then leaves an older zip as it was."""
    files = contents.own_files(root)
    with tempfile.TemporaryDirectory() as folder:
        site_packages = Path(folder, "site-packages")
        with progress("dependencies"):
            wheels.install(root / "requirements.txt", site_packages)
        installed = (path for path in site_packages.rglob("*") if path.is_file())
        files |= {
            f"{cold_start.SITE_PACKAGES}/{path.relative_to(site_packages).as_posix()}": path
            for path in installed
        }
        with progress("zip"):
            archive.write(output, files)


def figures(package: Path) -> dict[str, object]:
    """What the zip holds and weighs; import times where a Python of its version is at hand."""
    with zipfile.ZipFile(package) as opened:
        entries = opened.infolist()
    found: dict[str, object] = {
        "package": str(package),
        "sha256": archive.digest(package),
        "size_mb": round(package.stat().st_size / _MB, 1),
        "unpacked_mb": round(sum(entry.file_size for entry in entries) / _MB, 1),
        "files": len(entries),
        "python": target.PYTHON,
    }
    python = find_python(target.PYTHON)
    if python is not None:
        sdk, app = cold_start.measure(package, python)
        found |= {"import_azure_functions_seconds": round(sdk, 3), "import_seconds": round(app, 3)}
    return found


def main() -> int:
    """0 when the zip was written."""
    parser = argparse.ArgumentParser(prog="infra.package")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where the zip goes")
    parser.add_argument("--quick", action="store_true", help="build it without measuring it")
    arguments = parser.parse_args()
    try:
        build(arguments.output)
    except PackageError as error:
        print(f"package: {error}", file=sys.stderr)
        return 1
    told = {"package": str(arguments.output)} if arguments.quick else figures(arguments.output)
    if not arguments.quick and "import_seconds" not in told:
        print(f"package: no Python {target.PYTHON} here, so its import was not timed", file=sys.stderr)
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
