"""The workspace as a Python object: start it, script it, stop it; HTTP answers from the same state."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from threading import RLock
from typing import Self

from infra.local.loopback import Answer, LoopbackServer, Request
from infra.local.workspace import seed
from infra.local.workspace.control import control
from infra.local.workspace.faults import Fault, FaultKind, Faults
from infra.local.workspace.identity import OTHER, PROVISIONER, Identity
from infra.local.workspace.log import Logged, RequestLog
from infra.local.workspace.serving import serve
from infra.local.workspace.state import Securable, State, decode, encode
from infra.local.workspace.switches import Switches


class WorkspaceServer:
    """A scripted workspace on 127.0.0.1.

    `tables`: managed tables by full name, beside the seeded catalogs, that the first identity may share.
    `path`: a file that keeps the state; without one it ends with the server. `clock`: seconds since the epoch.
    `seed`: fixes the order of what is answered in no order. Use it as a context manager, or call `start` and
    `close`. `state` is replaced by `reset` and by a refused atomic update: read it anew each time.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        tables: Iterable[str] = (),
        identities: Sequence[Identity] = (PROVISIONER, OTHER),
        switches: Switches | None = None,
        path: Path | None = None,
        clock: Callable[[], float] = time.time,
        random_seed: int = 0,
    ) -> None:
        self.identities, self.switches = tuple(identities), switches or Switches()
        self.faults, self.log = Faults(), RequestLog()
        self.lock, self.chance = RLock(), random.Random(random_seed)
        self.before_last_write, self.stale_left = b"", 0
        self._port, self._path, self._clock, self._tables = port, path, clock, tuple(tables)
        self._server: LoopbackServer | None = None
        kept = path is not None and path.exists()
        self.state: State = decode(path.read_bytes()) if kept and path else self._seeded()

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

    def reset(self) -> None:
        """Back to the seeded state; faults and log too."""
        with self.lock:
            self.state, self.before_last_write, self.stale_left = self._seeded(), b"", 0
            self.faults.clear()
            self.log.entries.clear()
            self._save()

    # reading, for tests

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def host(self) -> str:
        """The address as an allow-list names it."""
        return f"127.0.0.1:{self._port}"

    @property
    def token(self) -> str:
        """The first identity's token."""
        return self.identities[0].token

    @property
    def requests(self) -> list[Logged]:
        """Everything asked so far, `/control` excepted."""
        return list(self.log.entries)

    @property
    def unknown(self) -> list[Logged]:
        """Requests for routes that don't exist; a test's end is a good time to find none."""
        return [entry for entry in self.requests if entry.route == "unknown"]

    @property
    def last(self) -> int:
        """The last request's sequence number, for `writes(since=...)`."""
        return self.requests[-1].sequence if self.log.entries else 0

    def writes(self, since: int = 0) -> int:
        """How many writes were carried out after that request."""
        return self.log.writes(since)

    # scripting

    def fault(
        self,
        route: str,
        kind: FaultKind,
        *,
        times: int = 1,
        skip: int = 0,
        retry_after_s: int | None = None,
        delay_s: float = 0.0,
        run: Callable[[], None] | None = None,
        pid: int | None = None,
    ) -> None:
        """Script a fault; `Fault` says what each kind does."""
        self.faults.add(Fault(route, kind, times, skip, retry_after_s, delay_s, run, pid))

    def heal(self) -> None:
        """Forget the faults that are still to come."""
        self.faults.clear()

    def add_table(
        self, full_name: str, *, table_type: str = "MANAGED", owner: str = "", readers: Iterable[str] = ()
    ) -> Securable:
        """A table, with its catalog and schema; it is the last identity's unless another owner is named."""
        with self.lock:
            owner = owner or self.identities[-1].name
            added = seed.add(self.state, full_name, table_type=table_type, owner=owner, now_ms=self.now_ms())
            for reader in readers:
                self.state.grant(added, reader, "SELECT")
            return added

    def lose_select(self, full_name: str, principal: str = "") -> None:
        """Take a principal's privileges on a table away, by default the first identity's."""
        with self.lock:
            table = self.state.find("table", full_name)
            if table is None:
                raise KeyError(f"no table {full_name}")
            self.state.revoke(table, principal or self.identities[0].name)

    # for the parts that serve

    def now_ms(self) -> int:
        return int(self._clock() * 1000)

    def keep(self, before: bytes) -> None:
        """A write was carried out: remember what was there before it, and save what is there now."""
        self.before_last_write, self.stale_left = before, self.switches.stale_reads
        self._save()

    def _answer(self, request: Request) -> Answer:
        if request.path.startswith("/control/"):
            return control(self, request)
        return serve(self, request)

    def _seeded(self) -> State:
        return seed.seeded(self.identities, self.now_ms(), self._tables)

    def _save(self) -> None:
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._path.with_suffix(".new")
            fresh.write_bytes(encode(self.state))
            fresh.replace(self._path)
