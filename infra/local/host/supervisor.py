"""The host's side of the worker process: start it, send invocations, kill it on a timeout, start it again."""

import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from infra.local.host.errors import AppError, FunctionTimeoutError, ShuttingDownError, WorkerLostError
from infra.local.host.protocol import Finished, FunctionInfo, Indexed, IndexFailed, Invoke, Stop
from infra.local.paths import REPO_ROOT

log = logging.getLogger("host.worker")

# -P and the appended root keep the app's own folders last on sys.path, as the platform does.
BOOTSTRAP = (
    "import sys; sys.path.append(sys.argv[1]);"
    " from infra.local.host.worker import main; sys.exit(main(sys.argv[2:]))"
)
INDEX_TIMEOUT_S = 60
WATCH_S = 0.1
RESTART_PAUSE_S = 1.0


@dataclass(slots=True)
class _Flight:
    """One invocation the worker is running; `began` by the monotonic clock."""

    function: str
    began: float
    done: "Future[Finished]" = field(default_factory=Future)


class Supervisor:
    """Keeps one worker alive; `timeout_s` None lets invocations run for ever."""

    def __init__(self, directory: Path, timeout_s: float | None) -> None:
        self._directory, self._timeout_s = directory, timeout_s
        self._lock = threading.RLock()
        self._ready = threading.Condition(self._lock)
        self._flights: dict[str, _Flight] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None
        self._closing = False
        self._reason: Callable[[str], WorkerLostError] = WorkerLostError

    @property
    def pid(self) -> int | None:
        """The live worker's process id."""
        return self._process.pid if self._process else None

    @property
    def in_flight(self) -> int:
        """How many invocations are running."""
        with self._lock:
            return len(self._flights)

    @property
    def closing(self) -> bool:
        """Whether the host drains: a lost worker is then no failure of the function."""
        return self._closing

    def start(self) -> tuple[FunctionInfo, ...]:
        """Start the worker and return what it indexed.

        Raises AppError when it cannot load the app.
        """
        functions = self._launch()
        threading.Thread(target=self._watch, daemon=True, name="timeouts").start()
        return functions

    def invoke(self, invoke: Invoke) -> "Future[Finished]":
        """Hand over one invocation; the future fails with WorkerLostError when the worker dies under it."""
        with self._ready:
            self._ready.wait_for(lambda: self._connection is not None or self._closing)
            if self._connection is None or self._closing:
                raise ShuttingDownError("the host is draining")
            flight = self._flights[invoke.invocation_id] = _Flight(invoke.function, time.monotonic())
            try:
                self._connection.send(invoke)
            except OSError:
                log.warning("the worker ended while %s was being handed over", invoke.function)
        return flight.done

    def drain(self, grace_s: float) -> bool:
        """Refuse new invocations and wait for the running ones; True when none was left after the grace."""
        with self._ready:
            self._closing = True
            self._ready.notify_all()
            return self._ready.wait_for(lambda: not self._flights, timeout=grace_s)

    def close(self) -> None:
        """End the worker; what still runs is lost, as when an instance is taken away."""
        with self._ready:
            self._closing = True
            process, connection = self._process, self._connection
        if process is None:
            return
        try:
            if connection is not None and not self._flights:
                connection.send(Stop())
                process.wait(timeout=5)
        except (OSError, subprocess.TimeoutExpired):
            log.warning("the worker did not end when asked; it is killed")
        process.kill()
        process.wait()

    def kill(self) -> None:
        """Kill the worker as a crash would; a new one takes its place."""
        with self._lock:
            if self._process is not None:
                self._process.kill()

    def _launch(self) -> tuple[FunctionInfo, ...]:
        ours, theirs = socket.socketpair()
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", BOOTSTRAP, str(REPO_ROOT), str(theirs.fileno()), str(self._directory)],
            pass_fds=[theirs.fileno()], cwd=self._directory, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        theirs.close()
        connection: Connection[Any, Any] = Connection(ours.detach())
        functions = _first_word(connection, process)
        with self._ready:
            self._process, self._connection = process, connection
            self._reason = WorkerLostError
            self._ready.notify_all()
        threading.Thread(
            target=self._read, args=(connection, process), daemon=True, name="worker-reader"
        ).start()
        return functions

    def _read(self, connection: "Connection[Any, Any]", process: "subprocess.Popen[bytes]") -> None:
        while True:
            try:
                message: Finished = connection.recv()
            except (EOFError, OSError):
                break
            with self._ready:
                flight = self._flights.pop(message.invocation_id, None)
                self._ready.notify_all()
            if flight is not None:
                flight.done.set_result(message)
        connection.close()
        self._lost(process)

    def _lost(self, process: "subprocess.Popen[bytes]") -> None:
        process.wait()
        with self._ready:
            flights, self._flights = self._flights, {}
            self._connection, closing, reason = None, self._closing, self._reason
            self._ready.notify_all()
        for flight in flights.values():
            flight.done.set_exception(reason(f"the worker ended while {flight.function} ran; it is retried"))
        if not closing:
            log.warning(
                "worker %s ended with %s; %s in flight lost", process.pid, process.returncode, len(flights)
            )
            self._relaunch()

    def _relaunch(self) -> None:
        while not self._closing:
            try:
                self._launch()
                return
            except AppError as error:
                log.error("the worker does not come back: %s", error)
                time.sleep(RESTART_PAUSE_S)

    def _watch(self) -> None:
        while not self._closing and self._timeout_s is not None:
            time.sleep(min(WATCH_S, self._timeout_s / 4))
            with self._lock:
                overdue = self._overdue()
                if overdue and self._process is not None and self._connection is not None:
                    log.error(
                        "functionTimeout of %s s passed in %s: killing the worker", self._timeout_s, overdue
                    )
                    self._reason = FunctionTimeoutError
                    self._process.kill()

    def _overdue(self) -> str:
        limit = time.monotonic() - (self._timeout_s or 0)
        return ", ".join(
            sorted({flight.function for flight in self._flights.values() if flight.began < limit})
        )


def _first_word(
    connection: "Connection[Any, Any]", process: "subprocess.Popen[bytes]"
) -> tuple[FunctionInfo, ...]:
    try:
        word = connection.recv() if connection.poll(INDEX_TIMEOUT_S) else None
    except (EOFError, OSError):
        word = None
    if isinstance(word, Indexed):
        return word.functions
    process.kill()
    process.wait()
    connection.close()
    if isinstance(word, IndexFailed):
        raise AppError(word.message)
    raise AppError(f"the worker ended or said nothing for {INDEX_TIMEOUT_S} s while loading function_app.py")
