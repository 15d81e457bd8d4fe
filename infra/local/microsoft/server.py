"""The services as a Python object: start it, script it, stop it; HTTP answers from the same state."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from threading import RLock
from typing import Literal, Self

from infra.local.loopback import Answer, LoopbackServer, Request
from infra.local.microsoft import costs
from infra.local.microsoft.costs import CostRow
from infra.local.microsoft.entra import SCOPES, Entra
from infra.local.microsoft.errors import RefusedError
from infra.local.microsoft.faults import Fault, Faults
from infra.local.microsoft.graph import graph
from infra.local.microsoft.people import Kind, People, Values
from infra.local.microsoft.switches import Switches

REQUESTS_KEPT = 10_000
SUBSCRIPTION = "3f1d6a0e-52c7-4a2b-8f63-0c1e9b7d4a55"


class MicrosoftServer:
    """Entra, Graph and Cost Management on 127.0.0.1, all on one port.

    Use it as a context manager, or call `start` and `close`. `clock` gives seconds since the epoch.
    """

    def __init__(
        self, *, port: int = 0, switches: Switches | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.clock, self.switches = clock, switches or Switches()
        self.entra, self.people, self.faults = Entra(clock), People(), Faults()
        self.costs: list[CostRow] = []
        self.subscription = SUBSCRIPTION
        self.requests: deque[Request] = deque(maxlen=REQUESTS_KEPT)
        self.generation = 0
        self._lock = RLock()
        self._port = port
        self._server: LoopbackServer | None = None

    # life

    def start(self) -> Self:
        """Serve; answers itself. Port 0 takes a free one, which later starts keep."""
        if self._server is None:
            self._server = LoopbackServer(self._answer, self._port)
            self._port = self._server.port
        return self

    def stop(self) -> None:
        """Stop serving; the state stays, and `start` serves it again on the same port."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    close = stop

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *failure: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The address of all three."""
        return f"http://127.0.0.1:{self._port}"

    def asked(self, path: str) -> int:
        """How many requests went to paths that contain this."""
        return sum(path in request.path for request in self.requests)

    # scripting

    def add_user(self, name: str, **values: str | bool | None) -> str:
        """A user by principal name; its id."""
        given: Values = {
            "userPrincipalName": name,
            "displayName": name.partition("@")[0],
            "accountEnabled": True,
            "mail": name,
        }
        with self._lock:
            return self.people.add("users", given | values)

    def add_users(self, count: int, domain: str = "example.org") -> list[str]:
        """As many users, numbered."""
        return [self.add_user(f"user{number:06}@{domain}") for number in range(count)]

    def add_group(self, name: str, **values: str | bool | None) -> str:
        """A group by display name; its id."""
        given: Values = {"displayName": name, "securityEnabled": True}
        with self._lock:
            return self.people.add("groups", given | values)

    def change(self, kind: Kind, id: str, **values: str | bool | None) -> None:
        """Set properties, told of as a change."""
        with self._lock:
            self.people.change(kind, id, values)

    def remove(
        self, kind: Kind, ids: Sequence[str], reason: Literal["changed", "deleted"] = "changed"
    ) -> None:
        """Delete, told of as @removed."""
        with self._lock:
            for id in ids:
                self.people.remove(kind, id, reason)

    def expire_links(self) -> None:
        """Every link given out so far is too old from now on."""
        self.generation += 1

    def add_cost(self, row: CostRow) -> None:
        """One more row of costs; the same tag and day again means that the service restated it: replace it."""
        self.costs = [old for old in self.costs if (old.tag, old.day) != (row.tag, row.day)] + [row]

    def fault(
        self,
        path: str,
        status: int = 503,
        *,
        code: str = "",
        times: int = 1,
        skip: int = 0,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        lost: bool = False,
    ) -> None:
        """Spoil answers; `Fault` says how."""
        self.faults.add(Fault(path, status, code, times, skip, dict(headers or {}), body, lost))

    # serving

    def _answer(self, request: Request) -> Answer:
        with self._lock:
            self.requests.append(request)
            fault = self.faults.due(request.path)
            if fault is not None:
                return fault.answer()
            try:
                return self._serve(request)
            except RefusedError as refusal:
                return refusal.answer()

    def _serve(self, request: Request) -> Answer:
        if request.method == "POST" and request.path.endswith("/oauth2/v2.0/token"):
            return self.entra.sign_in(request)
        if costs.matches(request.path):
            self.entra.check(request.bearer, SCOPES[1])
            return costs.query(self, request)
        self.entra.check(request.bearer, SCOPES[0])
        return graph(self, request)
