"""When stored rows are tried again: retry runs for children whose parents came and for rejects a person asked for.

Everything is read from PostgreSQL as it stands, so a wake-up that got lost is found by the next timer. No target row
is written here.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from uuid import UUID

from psycopg import errors as pg
from psycopg import sql
from psycopg.types.json import Jsonb

from shared.adapters.postgres.database import Connection, Database
from shared.adapters.postgres.holding import Backoff
from shared.errors import AppError
from shared.failpoints import hit
from shared.sql import query

Create = Callable[[Connection, UUID], UUID]
Admit = Callable[[Connection, UUID], None]
_PURGE = 10_000
_AT_ONCE = 50_000  # parents looked for in one transaction


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which open rejects to try again: all of these narrow it. Ages in seconds since they were first refused."""

    tenants: frozenset[str] | None
    uids: tuple[UUID, ...] | None = None
    entity_uid: UUID | None = None
    connector_uid: UUID | None = None
    code: str | None = None
    min_age_s: int | None = None
    max_age_s: int | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """How many rejects were marked, and the runs that will take them up, by entity."""

    marked: int
    runs: Mapping[UUID, UUID]


class Retries:
    """Retry runs. `create` makes one for an entity inside a transaction that holds its connector's lock."""

    def __init__(self, database: Database, create: Create, admit: Admit, backoff: Backoff) -> None:
        self._database, self._schema = database, database.schema
        self._create, self._admit, self._backoff = create, admit, backoff

    def wake(self, connection: Connection, connector_uid: UUID) -> None:
        """Create the retry runs that are due on a connector, inside the transaction that locked it."""
        due = connection.execute(query("retries_due", self._schema), {"connector": connector_uid}).fetchall()
        for row in due:
            hit("retry.before_create")
            # One entity's trouble (a key column gone, a rival's run) is its own; the next timer tries again.
            with suppress(AppError, pg.UniqueViolation), connection.transaction():
                self._create(connection, row["entity_uid"])
            hit("retry.after_create")

    def run(self) -> int:
        """Look for awaited parents whose time has come, then create what is due everywhere; how many connectors."""
        self._look()
        with self._database.connection() as connection:
            rows = connection.execute(query("retries_connectors", self._schema)).fetchall()
        for row in rows:
            self._begin(row["connector_uid"])
        return len(rows)

    def ask(self, wanted: Wanted, actor: str) -> Asked:
        """Mark rejects to be tried again and create their runs; where one is in the way, its end creates them."""
        values = {f.name: getattr(wanted, f.name) for f in fields(Wanted)}
        values |= {"actor": actor, "uids": None if wanted.uids is None else list(wanted.uids)}
        values["tenants"] = None if wanted.tenants is None else sorted(wanted.tenants)
        with self._database.connection() as connection:
            marked = connection.execute(query("rejects_ask", self._schema), values).fetchall()
            details = Jsonb({"rejects": len(marked), "code": wanted.code})
            audit = {
                "actor": actor,
                "action": "rejects.retry",
                "subject": str(wanted.entity_uid or ""),
                "details": details,
            }
            connection.execute(query("audit_insert", self._schema), audit)
        for connector in sorted({row["connector_uid"] for row in marked}):
            self._begin(connector)
        entities = {row["entity_uid"] for row in marked}
        with self._database.connection() as connection:
            runs = connection.execute(
                query("rejects_runs", self._schema), {"entities": list(entities)}
            ).fetchall()
        return Asked(len(marked), {row["entity_uid"]: row["uid"] for row in runs})

    def discard(self, uid: UUID, actor: str, reason: str) -> bool:
        """Close a reject that nobody wants; false where it was not open any more."""
        with self._database.connection() as connection:
            values = {"uid": uid, "actor": actor, "reason": reason}
            done = connection.execute(query("rejects_discard", self._schema), values).rowcount == 1
            if done:
                audit = {
                    "actor": actor,
                    "action": "reject.discard",
                    "subject": str(uid),
                    "details": Jsonb({"reason": reason}),
                }
                connection.execute(query("audit_insert", self._schema), audit)
        return done

    def purge(self, days: int) -> int:
        """Forget raw rows of rejects that nothing happened to for so many days; how many."""
        total = 0
        while True:
            with self._database.connection() as connection:
                values = {"days": days, "limit": _PURGE}
                gone = connection.execute(query("rejects_purge", self._schema), values).rowcount
            total += gone
            if gone < _PURGE:
                return total

    def _begin(self, connector_uid: UUID) -> None:
        with self._database.connection() as connection:
            names = {"connector": connector_uid, "default_limit": 1}
            connection.execute(query("connector_lock", self._schema), names)
            self.wake(connection, connector_uid)
            self._admit(connection, connector_uid)

    def _look(self) -> None:
        """One attempt at every due parent: there, it counts as arrived; not there, later again or no more by time."""
        with self._database.connection() as connection:
            pairs = connection.execute(query("awaited_pairs", self._schema)).fetchall()
        for pair in pairs:
            with self._database.connection() as connection:
                self._look_for(connection, pair)

    def _look_for(self, connection: Connection, pair: dict[str, object]) -> None:
        ids = {
            "entity": pair["entity_uid"],
            "parent": pair["parent_uid"],
            "stands": pair["stands"],
            "limit": _AT_ONCE,
            "base_s": self._backoff.base_s,
            "cap_s": self._backoff.cap_s,
            "attempts": self._backoff.attempts,
        }
        connection.execute(query("awaited_childless", self._schema), ids)
        connection.execute(query("awaited_take", self._schema), ids)
        if pair["stands"]:
            target = sql.Identifier(str(pair["target_schema"]), str(pair["target_table"]))
            there = (
                "UPDATE looked u SET live = true FROM {} t"
                " WHERE t._bridge_erp_key_hash = u.key_hash AND NOT t._bridge_deleted"
            )
            connection.execute(sql.SQL(there).format(target))
        connection.execute(query("awaited_attempt", self._schema), ids)
