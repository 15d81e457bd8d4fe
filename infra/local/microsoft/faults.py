"""Scripted faults: which requests they meet, and what these are answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock

from infra.local.loopback import Answer
from infra.local.microsoft.errors import RefusedError

CODES = {401: "InvalidAuthenticationToken", 403: "Authorization_RequestDenied", 429: "TooManyRequests"}


@dataclass(slots=True)
class Fault:
    """After `skip` more requests whose path contains `path`, the next `times` meet it.

    `status` with `code` and `headers` is answered; `body` replaces the whole answer; `lost` ends the connection.
    """

    path: str
    status: int = 503
    code: str = ""
    times: int = 1
    skip: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    lost: bool = False

    def answer(self) -> Answer:
        """What the request gets instead of the truth."""
        if self.lost:
            return Answer(0, b"", lost=True)
        if self.body is not None:
            return Answer(self.status, self.body, self.headers)
        code = self.code or CODES.get(self.status, "generalException")
        return RefusedError(self.status, code, "scripted", self.headers).answer()


class Faults:
    """The faults still to come, oldest first."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._lock = Lock()

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._waiting.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def due(self, path: str) -> Fault | None:
        """The fault this request meets, counting it; None to answer truly."""
        with self._lock:
            for fault in self._waiting:
                if fault.times > 0 and fault.path in path:
                    if fault.skip == 0:
                        fault.times -= 1
                        return fault
                    fault.skip -= 1
        return None
