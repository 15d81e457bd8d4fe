"""Rotations of tokens (`shared.sharing.store.Rotations`): claimed by one request at a time, by PostgreSQL's clock."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from shared.adapters.postgres.database import Connection, Database
from shared.adapters.postgres.sharing import records
from shared.adapters.postgres.sharing.leases import PostgresLeases
from shared.adapters.postgres.sharing.records import Act
from shared.adapters.postgres.sharing.versions import in_transaction
from shared.errors import ConflictError, FencedError
from shared.failpoints import hit
from shared.sharing.claims import RotationClaim
from shared.sharing.ports import Entry
from shared.sharing.redaction import redacted
from shared.sharing.views import Actor
from shared.sql import sharing_query

LEASE_S = 300  # longer than anything a request does between two writes of its journal
ABANDONED_AFTER_S = 900


class Rotations:
    """The rotations of one installation. `leases` as in PostgresJournal."""

    def __init__(
        self, database: Database, leases: PostgresLeases, *, abandoned_after_s: int = ABANDONED_AFTER_S
    ) -> None:
        self._database, self._leases, self._abandoned_after_s = database, leases, abandoned_after_s

    def claim(
        self, workspace: str, recipient: str, document: Mapping[str, Any], *, by: Actor, tenant: str
    ) -> RotationClaim:
        """A new rotation by this plan, or the one that was left unfinished, by its own; who asked is audited.

        Raises ConflictError while somebody works on it.
        """
        names = {"workspace": workspace, "recipient": recipient}

        def work(connection: Connection) -> RotationClaim:
            connection.execute(sharing_query("rotation_lock"), names)
            left = connection.execute(sharing_query("rotation_unfinished"), names).fetchone()
            if left is not None and left["is_held"]:
                raise ConflictError(
                    f"recipient {recipient}: its token is being rotated",
                    hint=f"ask again in a moment; after a request that was cut off, in {LEASE_S // 60} minutes",
                )
            if left is not None and left["step"] is None:
                connection.execute(sharing_query("rotation_drop"), {"rotation": left["rotation_uid"]})
                left = None
            uid: UUID = uuid4() if left is None else left["rotation_uid"]
            if left is None:
                connection.execute(sharing_query("rotation_insert"), names | {
                    "rotation": uid, "business_line": tenant, "document": Jsonb(dict(document)), "by": by.name,
                })  # fmt: skip
            claim = _take(connection, uid)
            assert claim is not None, "nobody holds it, and its lock is ours"
            records.append(connection, Act(
                by.name, "recipient.rotate_token", f"{workspace} recipient {recipient}", by.subject, tenant=tenant,
                plan_hash=claim.document["hash"], reason="goes on with one that was cut off" if left else None,
            ))  # fmt: skip
            return claim

        return in_transaction(self._database, work)

    def abandoned(self) -> Sequence[UUID]:
        """Those that nobody works on, and that were begun a while ago."""
        with self._database.connection() as connection:
            rows = connection.execute(
                sharing_query("rotations_abandoned"), {"after_s": self._abandoned_after_s}
            ).fetchall()
        return [row["rotation_uid"] for row in rows]

    def take(self, rotation_uid: UUID) -> RotationClaim | None:
        """The right to go on with it; None where it is finished or somebody's."""
        with self._database.connection() as connection:
            return _take(connection, rotation_uid)

    def journal(self, claim: RotationClaim) -> "RotationJournal":
        """Of its one step."""
        return RotationJournal(self._database, claim, self._leases)

    def let_go(self, claim: RotationClaim, error: str) -> None:
        """Leave it to whoever asks next; one whose call was never made is over."""
        with self._database.connection() as connection:
            _leave(connection, claim, error, ends=False)

    def finish(
        self, claim: RotationClaim, status: Literal["done", "failed"], result: Mapping[str, str]
    ) -> None:
        """End it, with a line in the audit trail; nothing where it is somebody else's by now."""

        def work(connection: Connection) -> None:
            if _leave(connection, claim, result.get("error"), ends=True):
                records.append(connection, Act(
                    "tributary", f"recipient.rotation_{status}", f"{claim.workspace} recipient {claim.recipient}",
                    tenant=claim.business_line, after=dict(result), plan_hash=claim.document["hash"],
                ))  # fmt: skip

        in_transaction(self._database, work)


class RotationJournal:
    """The journal of a rotation's one step. Every write holds and renews the claim; FencedError ends a stale one."""

    def __init__(self, database: Database, claim: RotationClaim, leases: PostgresLeases) -> None:
        self._database, self._claim, self._leases = database, claim, leases

    def entries(self) -> Sequence[Entry]:
        """The step, once it was intended."""
        with self._database.connection() as connection:
            rows = connection.execute(
                sharing_query("rotation_entry"), {"rotation": self._claim.rotation_uid}
            ).fetchall()
        return [Entry(**row) for row in rows]

    def intend(self, position: int, action: str) -> None:
        """Say what is about to be done."""
        self._write("intended", {})
        hit("journal.intended")

    def conclude(
        self,
        position: int,
        status: Literal["done", "skipped", "failed"],
        result: Mapping[str, str] | None = None,
    ) -> None:
        """Say how it went; credentials in `result` are not kept."""
        hit("journal.before_conclude")
        self._write(status, result or {})
        hit("journal.concluded")

    def _write(self, step: str, result: Mapping[str, str]) -> None:
        values = _held(self._claim) | {
            "step": step,
            "result": Jsonb(redacted(dict(result))),
            "lease_s": LEASE_S,
        }
        with self._database.connection() as connection:
            if connection.execute(sharing_query("rotation_step"), values).rowcount == 0:
                raise FencedError(f"rotation {self._claim.rotation_uid}: belongs to another request now")
            self._leases.require(connection, self._claim.rotation_uid)


def _take(connection: Connection, uid: UUID) -> RotationClaim | None:
    row = connection.execute(sharing_query("rotation_take"), {"rotation": uid, "lease_s": LEASE_S}).fetchone()
    return None if row is None else RotationClaim(**row)


def _leave(connection: Connection, claim: RotationClaim, error: str | None, *, ends: bool) -> bool:
    values = _held(claim) | {"error": redacted(error), "ends": ends}
    return connection.execute(sharing_query("rotation_leave"), values).rowcount > 0


def _held(claim: RotationClaim) -> dict[str, object]:
    return {"rotation": claim.rotation_uid, "epoch": claim.epoch}
