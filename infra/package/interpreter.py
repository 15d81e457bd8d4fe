"""A Python of the deployed version on this machine, where there is one."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


def find_python(version: str) -> Path | None:
    """A Python of `version` (such as "3.13") that runs, None when the machine has none."""
    return next((path for path in _candidates(version) if _is(path, version)), None)


def _candidates(version: str) -> Iterator[Path]:
    if sys.version_info[:2] == _numbers(version):
        yield Path(sys.executable)
    found = shutil.which(f"python{version}")
    if found:
        yield Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob(f"versions/{version}*/bin/python{version}"), reverse=True)


def _is(python: Path, version: str) -> bool:
    # pyenv's shim exists for every version, and refuses to run one that is not selected.
    code = f"import sys, ensurepip; sys.exit(sys.version_info[:2] != {_numbers(version)})"
    return subprocess.run([str(python), "-c", code], capture_output=True, check=False).returncode == 0


def _numbers(version: str) -> tuple[int, int]:
    major, minor = version.split(".")
    return int(major), int(minor)
