"""A Python 3.13 with the official runtime library in a virtual environment of its own, `.venv313`."""

import hashlib
import subprocess
from pathlib import Path

from infra.package import interpreter

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
    return interpreter.find_python("3.13")


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


def _fingerprint() -> str:
    requirements = REQUIREMENTS.read_bytes() if REQUIREMENTS.exists() else b""
    return hashlib.sha256(RUNTIME.encode() + requirements).hexdigest()
