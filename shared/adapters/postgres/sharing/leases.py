"""Fenced leases on shares and recipients (`shared.sharing.ports.Leases`), by PostgreSQL's clock.

Rows per workspace and `kind:name`. They are taken in sorted order, all in one transaction or none; a thread renews
them while they are held. A holder that lost one is told by its next write (`require`), at the latest when it leaves.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from shared.adapters.postgres.database import Connection, Database
from shared.adapters.postgres.sharing.versions import in_transaction
from shared.errors import AppError, FencedError, TransientError
from shared.sharing.errors import LeaseHeldError
from shared.sql import sharing_query


@dataclass(slots=True)
class _Held:
    workspace: str
    holder: UUID
    fences: Mapping[str, int]
    lost: bool = False
    left: threading.Event = field(default_factory=threading.Event)

    def values(self, lease_s: float) -> dict[str, object]:
        return {
            "workspace": self.workspace,
            "holder": self.holder,
            "names": list(self.fences),
            "fences": list(self.fences.values()),
            "lease_s": lease_s,
        }


class PostgresLeases:
    """Leases of `lease_s` seconds, renewed every third of that; `renews` False leaves it to `renew`."""

    def __init__(self, database: Database, *, lease_s: float = 90, renews: bool = True) -> None:
        self._database, self._lease_s, self._renews = database, lease_s, renews
        self._held: dict[UUID, _Held] = {}

    @contextmanager
    def hold(self, workspace: str, names: Sequence[str], holder: UUID) -> Iterator[None]:
        """All of `names` until left. Raises LeaseHeldError while another has one, FencedError where one was lost."""
        held = _Held(workspace, holder, self._take(workspace, sorted(set(names)), holder))
        self._held[holder] = held
        keeper = threading.Thread(target=self._keep, args=(held,), daemon=True, name="leases")
        if self._renews and held.fences:
            keeper.start()
        try:
            yield
            if held.lost:
                raise _lost(held)
        finally:
            held.left.set()
            if keeper.is_alive():
                keeper.join()
            if self._held.get(holder) is held:  # else whoever came after it holds on
                del self._held[holder]
            self._release(held)

    def renew(self, holder: UUID) -> None:
        """Hold on for another lease; raises FencedError where one was lost."""
        held = self._held[holder]
        with self._database.connection() as connection:
            self._renew(connection, held)

    def require(self, connection: Connection, holder: UUID) -> None:
        """In the caller's transaction: what the holder took here is its own still, until the transaction ends."""
        held = self._held.get(holder)
        if held is not None:
            self._renew(connection, held)

    def _take(self, workspace: str, names: Sequence[str], holder: UUID) -> dict[str, int]:
        def work(connection: Connection) -> dict[str, int]:
            fences = {}
            for name in names:
                wanted = {"workspace": workspace, "name": name, "holder": holder, "lease_s": self._lease_s}
                row = connection.execute(sharing_query("lease_take"), wanted).fetchone()
                if row is None:
                    raise LeaseHeldError(
                        f"{name} in {workspace}: another share pack is changing it",
                        hint="it is tried again by itself",
                    )
                fences[name] = row["fence"]
            return fences

        return in_transaction(self._database, work)

    def _renew(self, connection: Connection, held: _Held) -> None:
        row = connection.execute(sharing_query("lease_renew"), held.values(self._lease_s)).fetchone()
        if held.lost or row is None or row["held"] != len(held.fences):
            held.lost = True
            raise _lost(held)

    def _keep(self, held: _Held) -> None:
        while not held.left.wait(self._lease_s / 3):
            try:
                with self._database.connection() as connection:
                    self._renew(connection, held)
            except FencedError:
                return
            except AppError:
                continue  # the database may be back before the lease is over; if not, the next renewal tells

    def _release(self, held: _Held) -> None:
        try:
            with self._database.connection() as connection:
                connection.execute(sharing_query("lease_release"), held.values(self._lease_s))
        except TransientError:
            return  # they run out by themselves


def _lost(held: _Held) -> FencedError:
    return FencedError(f"application {held.holder}: its leases in {held.workspace} are another's now")
