"""A Python 3.13 with the official runtime library in a virtual environment of its own, `.venv313`."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv313"
RUNTIME = "azure-functions-runtime==1.3.0"
ABSENT = (
    "NO PYTHON 3.13 ON THIS MACHINE: the app was NOT tried under the official azure-functions-runtime; "
    "install Python 3.13 (pyenv install 3.13, say) and run the tests again"
)
REQUIREMENTS = ROOT / "requirements.txt"


def find_python() -> Path | None:
    """A Python 3.13 that runs, None when the machine has none."""
    return next((path for path in _candidates() if _is_313(path)), None)


def prepared(python: Path) -> Path:
    """The interpreter of the environment, made and filled where needed."""
    stamp = VENV / "installed"
    wanted = _fingerprint()
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([str(python), "-m", "venv", "--clear", str(VENV)], check=True)
        requirements = ["-r", str(REQUIREMENTS)] if REQUIREMENTS.exists() else []
        subprocess.run([str(VENV / "bin" / "pip"), "install", "-q", RUNTIME, *requirements], check=True)
        stamp.write_text(wanted)
    return VENV / "bin" / "python"


def _candidates() -> Iterator[Path]:
    if sys.version_info[:2] == (3, 13):
        yield Path(sys.executable)
    found = shutil.which("python3.13")
    if found:
        yield Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob("versions/3.13*/bin/python3.13"), reverse=True)


def _is_313(python: Path) -> bool:
    # pyenv's shim exists for every version, and refuses to run one that is not selected.
    code = "import sys, ensurepip; sys.exit(sys.version_info[:2] != (3, 13))"
    return subprocess.run([str(python), "-c", code], capture_output=True, check=False).returncode == 0


def _fingerprint() -> str:
    requirements = REQUIREMENTS.read_bytes() if REQUIREMENTS.exists() else b""
    return hashlib.sha256(RUNTIME.encode() + requirements).hexdigest()
