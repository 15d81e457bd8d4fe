"""Serve the workspace stand-in until told to stop.

`python -m infra.local.workspace --port 8090 --data .local/workspace`
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from infra.local.workspace.server import WorkspaceServer


def main() -> int:
    """0 after SIGTERM or SIGINT; 1 with one clear line when it can't start."""
    arguments = _arguments()
    try:
        workspace = WorkspaceServer(port=arguments.port, path=arguments.data / "state.json").start()
    except OSError as error:
        return _refuse(
            f"port {arguments.port} can't be opened ({error.strerror}); set WORKSPACE_PORT to another one"
        )
    except ValueError as error:
        return _refuse(f"{arguments.data / 'state.json'} can't be read ({error}); remove it to start afresh")
    _say(f"ready at {workspace.url}")
    _wait_for_signal()
    workspace.close()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m infra.local.workspace", description=__doc__)
    parser.add_argument("--port", type=int, default=int(os.environ.get("WORKSPACE_PORT", "8090")))
    parser.add_argument("--data", type=Path, default=Path(".local/workspace"))
    return parser.parse_args()


def _wait_for_signal() -> None:
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    told.wait()


def _say(line: str) -> None:
    print(f"workspace stand-in: {line}", flush=True)


def _refuse(reason: str) -> int:
    print(f"workspace stand-in: {reason}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
