"""Detached child processes: a pid file, a log, a readiness wait, and a stop that hits only our own child."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from infra.local.errors import StartError, StopError
from infra.local.ports import is_listening, require_free
from infra.local.progress import progress

POLL_S = 0.05
LOG_TAIL_LINES = 15


@dataclass(frozen=True, slots=True)
class Service:
    """One child: how it starts, which ports it holds (port -> variable that moves it), when it is ready."""

    name: str
    command: Sequence[str]
    ports: Mapping[int, str]
    ready: Callable[[], bool]
    run_dir: Path
    log_dir: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None
    start_timeout_s: float = 60
    stop_timeout_s: float = 60

    @property
    def pid_file(self) -> Path:
        """The JSON file naming the running child."""
        return self.run_dir / f"{self.name}.json"

    @property
    def log_file(self) -> Path:
        """Where the child's output goes, appended."""
        return self.log_dir / f"{self.name}.log"


def start(service: Service) -> bool:
    """True when the child was started and is ready, False when it already ran.

    Raises PortTakenError when a stranger holds a port, StartError when the child ends or
    stays unready; a child that failed to become ready is stopped again.
    """
    if running(service) is not None:
        _wait_ready(service)
        return False
    for port, moved_by in service.ports.items():
        require_free(service.name, port, moved_by)
    _spawn(service)
    try:
        _wait_ready(service)
    except BaseException:
        stop(service)
        raise
    return True


def stop(service: Service) -> bool:
    """True when a child of ours was running and has ended; it is asked first, killed after its deadline."""
    process = running(service)
    if process is None:
        service.pid_file.unlink(missing_ok=True)
        return False
    family = [process, *process.children(recursive=True)]
    process.terminate()
    with progress(f"stopping {service.name}"):
        _, alive = psutil.wait_procs([process], timeout=service.stop_timeout_s)
        survivors = family if alive else family[1:]
        _kill(survivors)
    service.pid_file.unlink(missing_ok=True)
    return True


def running(service: Service) -> psutil.Process | None:
    """Our live child, or None; a pid that was given to another program since is not ours."""
    try:
        noted = json.loads(service.pid_file.read_text())
        process = psutil.Process(noted["pid"])
        same = abs(process.create_time() - noted["created"]) < 1
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, KeyError, psutil.NoSuchProcess):
        return None


def answers(url: str) -> bool:
    """Whether the address answers HTTP at all; any status counts."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def answers_ok(url: str) -> bool:
    """Whether the address answers 2xx."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(200 <= response.status < 300)
    except OSError:
        return False


def listening(ports: Sequence[int]) -> bool:
    """Whether every port accepts connections."""
    return all(is_listening(port) for port in ports)


def _spawn(service: Service) -> None:
    service.run_dir.mkdir(parents=True, exist_ok=True)
    service.log_dir.mkdir(parents=True, exist_ok=True)
    with service.log_file.open("ab") as log:
        child = subprocess.Popen(
            list(service.command),
            cwd=service.directory,
            env={**os.environ, **service.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    # It outlives us by design; without a code its handle would warn that it is still running.
    child.returncode = 0
    noted = {"pid": child.pid, "created": psutil.Process(child.pid).create_time(), "name": service.name}
    service.pid_file.write_text(json.dumps(noted))


def _wait_ready(service: Service) -> None:
    deadline = time.monotonic() + service.start_timeout_s
    with progress(f"waiting for {service.name}"):
        while not service.ready():
            if running(service) is None:
                raise StartError(f"{service.name} ended before it was ready; {_log_tail(service)}")
            if time.monotonic() > deadline:
                raise StartError(
                    f"{service.name} was not ready after {service.start_timeout_s:.0f} s; {_log_tail(service)}"
                )
            time.sleep(POLL_S)


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(processes, timeout=10)
    if alive:
        pids = ", ".join(str(process.pid) for process in alive)
        raise StopError(f"process {pids} outlived a kill; look at it by hand, then start again")


def _log_tail(service: Service) -> str:
    lines = service.log_file.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    return f"see {service.log_file}, which ends:\n" + "\n".join(lines)
