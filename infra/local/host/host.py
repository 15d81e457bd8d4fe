"""The host: settings and host.json in, a worker and its listeners out, drained on stop."""

import hashlib
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from azure.storage.blob import BlobServiceClient

from infra.local.host import host_json, settings
from infra.local.host.clock import Clock, SystemClock
from infra.local.host.errors import AppError, HostError
from infra.local.host.http import MAX_BODY_BYTES, HttpFront, HttpServer
from infra.local.host.leases import LeaseTiming
from infra.local.host.queues import QueueListener, QueueTiming
from infra.local.host.runner import Runner
from infra.local.host.supervisor import Supervisor
from infra.local.host.timers import TimerListener
from infra.local.host.triggers import HttpTrigger, QueueTrigger, TimerTrigger, Trigger, read_triggers
from infra.local.ports import LOOPBACK, require_free

log = logging.getLogger("host")

STORAGE = "AzureWebJobsStorage"
KEY_VARIABLE = "HOST_FUNCTION_KEY"


@dataclass(frozen=True, slots=True)
class Tuning:
    """What the platform fixes and a test shortens; all in seconds or bytes."""

    queues: QueueTiming = field(default_factory=QueueTiming)
    leases: LeaseTiming = field(default_factory=LeaseTiming)
    grace_s: float = 30
    function_timeout_s: float | None = None
    max_body_bytes: int = MAX_BODY_BYTES


class Listener(Protocol):
    """What the host starts, stops and waits for."""

    def start(self) -> None:
        """Begin to serve."""

    def stop(self) -> None:
        """Take nothing new; returns at once."""

    def join(self, timeout_s: float) -> None:
        """Wait for what is in flight."""


class Host:
    """One host for the app in `directory`; `port` 0 picks a free one, see `port` after `start`."""

    def __init__(
        self, directory: Path, port: int, *, clock: Clock | None = None, tuning: Tuning | None = None
    ) -> None:
        self._directory, self.port = directory.resolve(), port
        self._clock, self._tuning = clock or SystemClock(), tuning or Tuning()
        self._timers: dict[str, TimerListener] = {}
        self._queues: dict[str, QueueListener] = {}
        self.supervisor: Supervisor | None = None
        self._listeners: list[Listener] = []

    def start(self) -> None:
        """Load the app and begin to serve.

        Raises AppError when the app or its settings cannot be hosted, PortTakenError for the port.
        """
        if self.port:
            require_free("host", self.port, "HOST_PORT")
        settings.apply(settings.read_local_settings(self._directory / "local.settings.json"), os.environ)
        options = host_json.read(self._directory / "host.json", os.environ)
        storage = _storage(os.environ)
        supervisor = Supervisor(
            self._directory, self._tuning.function_timeout_s or options.function_timeout_s
        )
        functions = supervisor.start()
        try:
            triggers = read_triggers(functions, os.environ, options.route_prefix)
            self._listen(triggers, Runner(supervisor, options.queues.base64), options, storage)
        except BaseException:
            supervisor.close()
            raise
        self.supervisor = supervisor
        log.info("host runs %s functions on http://%s:%s", len(triggers), LOOPBACK, self.port)

    def stop(self) -> bool:
        """Drain and end; True when everything in flight finished within the grace."""
        supervisor = self.supervisor
        if supervisor is None:
            return True
        deadline = time.monotonic() + self._tuning.grace_s
        for listener in self._listeners:
            listener.stop()
        # What was pulled before the signal is still run: only then is the worker closed to newcomers.
        for listener in self._listeners:
            listener.join(max(0.1, deadline - time.monotonic()))
        drained = supervisor.drain(max(0.0, deadline - time.monotonic()))
        supervisor.close()
        self.supervisor = None
        return drained

    def invoke(self, name: str, body: str) -> bool:
        """Start a timer or queue function by hand, in the background; False for an unknown name."""
        timer, queue = self._timers.get(name), self._queues.get(name)
        if timer is not None:
            threading.Thread(target=timer.invoke, daemon=True).start()
        elif queue is not None:
            threading.Thread(target=_quietly, args=(queue, body), daemon=True).start()
        return timer is not None or queue is not None

    def in_flight(self) -> int:
        """How many invocations the worker is running."""
        return self.supervisor.in_flight if self.supervisor else 0

    def _listen(
        self, triggers: tuple[Trigger, ...], runner: Runner, options: host_json.HostOptions, storage: str
    ) -> None:
        service = BlobServiceClient.from_connection_string(storage)
        active = [trigger for trigger in triggers if not trigger.function.disabled]
        self._timers = {
            trigger.function.name: TimerListener(
                trigger, runner, service, host_id(self._directory), self._clock, self._tuning.leases
            )
            for trigger in active
            if isinstance(trigger, TimerTrigger)
        }
        self._queues = {
            trigger.function.name: QueueListener(trigger, runner, options.queues, self._tuning.queues)
            for trigger in active
            if isinstance(trigger, QueueTrigger)
        }
        http = self._http_server([trigger for trigger in active if isinstance(trigger, HttpTrigger)], runner)
        self._listeners = [*self._timers.values(), *self._queues.values(), http]
        for listener in self._listeners:
            listener.start()

    def _http_server(self, triggers: list[HttpTrigger], runner: Runner) -> HttpServer:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, self.port))
        self.port = listener.getsockname()[1]
        names = [*self._timers, *self._queues, *(trigger.function.name for trigger in triggers)]
        front = HttpFront(
            triggers, runner, self.invoke, names=names, max_body_bytes=self._tuning.max_body_bytes,
            key=os.environ.get(KEY_VARIABLE) or secrets.token_urlsafe(32),
        )  # fmt: skip
        return HttpServer(front, listener, self._tuning.grace_s)


def host_id(directory: Path) -> str:
    """Names the host's locks and timer states; the same directory always gives the same id."""
    return "local-" + hashlib.sha256(str(directory).encode()).hexdigest()[:16]


def _storage(environment: Mapping[str, str]) -> str:
    connection = environment.get(STORAGE)
    if not connection:
        raise AppError(
            f"{STORAGE} is not set; the host keeps its locks and queues there, give it a connection string"
        )
    return connection


def _quietly(queue: QueueListener, body: str) -> None:
    try:
        queue.invoke(body)
    except HostError as error:
        log.error("invocation by hand failed: %s", error)
