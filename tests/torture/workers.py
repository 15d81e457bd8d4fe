"""The test's side of the fork server: start an attempt, wait for it, stop it, let it go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CHUNK_ROWS = 100
DELETE_BATCH = 4


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt ended: normally (`code`), by a signal, or stopped halfway."""

    code: int | None
    signal: int | None
    stopped: bool

    @property
    def killed(self) -> bool:
        return self.signal == signal.SIGKILL


@dataclass(frozen=True, slots=True)
class Attempt:
    """One forked process at work on one action; `log` holds what it said."""

    workers: Workers
    pid: int
    log: Path

    def wait(self) -> Ended:
        """Wait until it ends or stops."""
        return Ended(**self.workers.ask({"op": "wait", "pid": self.pid}))

    def go_on(self) -> Ended:
        """Continue a stopped process and wait for its end."""
        self.wake()
        return self.wait()

    def wake(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def said(self) -> str:
        return self.log.read_text(errors="replace")


class Workers:
    """A running fork server. `folder` takes the logs."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.torture.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env={**os.environ, "POLARS_MAX_THREADS": "1"},
        )  # fmt: skip
        assert self._read() == {"ready": True}

    def start(
        self, action: list[Any], env: Mapping[str, str], arm: str = "", chunk_rows: int = CHUNK_ROWS
    ) -> Attempt:
        """Fork a process that performs the action with these failpoints armed."""
        self._count += 1
        log = self._folder / f"attempt-{self._count}.log"
        command = {"op": "start", "env": dict(env), "arm": arm, "log": str(log), "action": action,
                   "chunk_rows": chunk_rows, "delete_batch": DELETE_BATCH}  # fmt: skip
        return Attempt(self, self.ask(command)["pid"], log)

    def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(command) + "\n")
        self._server.stdin.flush()
        return self._read()

    def close(self) -> None:
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(30)
        self._server.stdout.close()

    def _read(self) -> dict[str, Any]:
        assert self._server.stdout is not None
        answer: dict[str, Any] = json.loads(self._server.stdout.readline())
        return answer
