"""The app's dependencies, installed into a folder for the target; nothing is compiled, nothing is run."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Protocol

from packaging.utils import canonicalize_name, parse_wheel_filename

from infra.package import target
from infra.package.contents import FILES, FOLDERS
from infra.package.errors import PackageError

_ROUNDS = 3


class Pip(Protocol):
    """Fills a folder with wheels for the target; `constraints` bound what is only depended on."""

    def __call__(
        self, site_packages: Path, requirements: Iterable[str], constraints: Iterable[str]
    ) -> None: ...


def install(requirements: Path, site_packages: Path, pip: Pip | None = None) -> None:
    """Make `site_packages` hold all that the app needs; raises PackageError where that cannot be done completely."""
    fill = pip or _pip
    wanted = target.applicable(requirements.read_text().splitlines())
    more: list[str] = []
    for _ in range(_ROUNDS):
        shutil.rmtree(site_packages, ignore_errors=True)
        fill(site_packages, [*map(str, wanted), *more], _tested({one.name for one in wanted}))
        found = target.closure(wanted, site_packages)
        if not found.lacking:
            break
        # Asked for only on the target's Python, so pip did not know.
        more = sorted({*more, *found.lacking})
    else:
        raise PackageError(
            f"{', '.join(found.lacking)}: needed on Python {target.PYTHON} and not installed; "
            "name a version with a wheel for it in requirements.txt"
        )
    _prune(site_packages, found.unneeded)
    _refuse_shadows(site_packages)


def _pip(site_packages: Path, requirements: Iterable[str], constraints: Iterable[str]) -> None:
    platforms = [f"--platform={each}" for each in target.PLATFORMS]
    aimed = (f"--python-version={target.PYTHON}", "--implementation=cp", "--only-binary=:all:", *platforms)
    with tempfile.TemporaryDirectory() as folder:
        listed = _written(Path(folder, "requirements.txt"), requirements)
        constrained = _written(Path(folder, "constraints.txt"), constraints)
        wheels = Path(folder, "wheels")
        _run("download", *aimed, f"--dest={wheels}", f"--requirement={listed}", f"--constraint={constrained}")
        # `pip install` alone would hold each package's Requires-Python against the Python that pip runs on.
        # By name: what is installed by path keeps the path, another one in every build.
        named = (
            "{}=={}".format(*parse_wheel_filename(path.name)[:2]) for path in sorted(wheels.glob("*.whl"))
        )
        _run(
            *("install", *aimed, "--ignore-requires-python", "--no-deps", "--no-compile"),
            *("--no-index", f"--find-links={wheels}", f"--target={site_packages}", *named),
        )


def _run(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if not line.startswith("WARNING:")]
        raise PackageError(
            f"pip has no wheels for Python {target.PYTHON} on Linux: {' '.join(said)}; check the connection to the"
            " package index, and that each version in requirements.txt has such a wheel"
        )


def _tested(stated: set[str]) -> list[str]:
    """The versions that this environment, in which the tests run, has of everything not `stated` by us."""
    own = {canonicalize_name(name) for name in stated}
    found = {canonicalize_name(one.name): one.version for one in distributions()}
    return sorted(f"{name}=={version}" for name, version in found.items() if name not in own)


def _written(path: Path, lines: Iterable[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def _prune(site_packages: Path, unneeded: Sequence[Distribution]) -> None:
    for distribution in unneeded:
        for file in distribution.files or ():
            Path(str(distribution.locate_file(file))).unlink(missing_ok=True)
    shutil.rmtree(site_packages / "bin", ignore_errors=True)  # console scripts: nobody calls them there
    for cache in list(site_packages.rglob("__pycache__")):
        shutil.rmtree(cache)


def _refuse_shadows(site_packages: Path) -> None:
    """The worker puts dependencies before the app, so a top-level folder of theirs would hide ours."""
    ours = {*FOLDERS, *(Path(name).stem for name in FILES if name.endswith(".py"))}
    found = sorted(ours & {path.name.partition(".")[0] for path in site_packages.iterdir()})
    if found:
        raise PackageError(
            f"{', '.join(found)}: a dependency brings a top-level name that hides our own; find it with"
            f" `ls {site_packages}`, and do without it or rename ours"
        )
