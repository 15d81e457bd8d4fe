"""Where the local stack keeps its files."""

from pathlib import Path

REPO_ROOT = Path(__file__).resolve().parents[2]
LOCAL_DIR = REPO_ROOT / ".local"


def run_dir(base: Path = LOCAL_DIR) -> Path:
    """The directory of pid files, created when absent."""
    return _made(base / "run")


def log_dir(base: Path = LOCAL_DIR) -> Path:
    """The directory of the children's logs, created when absent."""
    return _made(base / "logs")


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
