"""Scripted faults: which requests they meet, and what happens to them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from threading import Lock
from typing import Literal, get_args

from infra.local.workspace.errors import InvalidError

FaultKind = Literal[
    "before", "after", "429", "500", "503", "504", "500-after", "504-after", "delay", "stale", "kill"
]
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
# Carried out, although the caller never hears of it.
CARRIED_OUT = frozenset({"after", "500-after", "504-after", "kill"})
CODES = {
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


@dataclass(slots=True)
class Fault:
    """After `skip` more requests that match, the next `times` meet it.

    `route`: a route's name such as `shares.update`, a pattern such as `recipients.*`, `reads`, `writes`, or `*`.
    before: the connection ends and nothing was done. after: it was done, and the connection ends.
    429, 500, 503, 504: that answer, nothing done; `retry_after_s` adds the header. 500-after, 504-after: that
    answer, although it was done. delay: done and answered after `delay_s`. stale: a read shows what was there
    before the last write. kill: done; then `run` is called and `pid` killed, and the connection ends.
    """

    route: str
    kind: FaultKind
    times: int = 1
    skip: int = 0
    retry_after_s: int | None = None
    delay_s: float = 0.0
    run: Callable[[], None] | None = field(default=None, repr=False)
    pid: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in FAULT_KINDS:
            raise InvalidError(f"no fault {self.kind!r}; there are {', '.join(FAULT_KINDS)}")

    @property
    def status(self) -> int | None:
        """The status it answers with; None where it spoils no status."""
        number = self.kind.partition("-")[0]
        return int(number) if number.isdigit() else None

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}

    def matches(self, route: str, reads: bool) -> bool:
        if self.route in ("reads", "writes"):
            return reads == (self.route == "reads")
        return fnmatchcase(route, self.route)

    def strike(self) -> None:
        """What a killed client meets."""
        if self.run is not None:
            self.run()
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)


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

    def due(self, route: str, *, reads: bool) -> Fault | None:
        """The fault this request meets, counting it; None to answer truly."""
        with self._lock:
            for fault in self._waiting:
                if fault.times > 0 and fault.matches(route, reads):
                    if fault.skip == 0:
                        fault.times -= 1
                        return fault
                    fault.skip -= 1
        return None
