"""The write-ahead log of one application (`shared.sharing.ports.Journal`): each call is a committed transaction."""

from collections.abc import Mapping, Sequence
from typing import Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from shared.adapters.postgres.database import Connection, Database
from shared.adapters.postgres.sharing import applications
from shared.adapters.postgres.sharing.leases import PostgresLeases
from shared.errors import PermanentError
from shared.failpoints import hit
from shared.sharing.claims import Claim
from shared.sharing.ports import Entry
from shared.sharing.redaction import redacted
from shared.sql import sharing_query


class JournalError(PermanentError):
    """A step is concluded that was never intended, or intended again after it was done."""

    code = "journal"


class PostgresJournal:
    """The journal of a claim's application. Every write holds and renews the claim, and FencedError ends a stale one.

    Where `leases` are given, a write also needs those that this process took for the application to be its own still.
    """

    def __init__(
        self, database: Database, claim: Claim, *, lease_s: int, leases: PostgresLeases | None = None
    ) -> None:
        self._database, self._claim, self._lease_s, self._leases = database, claim, lease_s, leases

    def entries(self) -> Sequence[Entry]:
        """By position."""
        with self._database.connection() as connection:
            return entries(connection, self._claim.application_uid)

    def intend(self, position: int, action: str) -> None:
        """Say what is about to be done. JournalError for a step that is done already."""
        self._write("journal_intend", position, {"action": action}, "is done already")
        hit("journal.intended")

    def conclude(
        self,
        position: int,
        status: Literal["done", "skipped", "failed"],
        result: Mapping[str, str] | None = None,
    ) -> None:
        """Say how it went; credentials in `result` are not kept. JournalError for a step that was not intended."""
        hit("journal.before_conclude")
        values = {"status": status, "result": Jsonb(redacted(dict(result or {})))}
        self._write("journal_conclude", position, values, "was not intended")
        hit("journal.concluded")

    def _write(self, statement: str, position: int, values: Mapping[str, object], refusal: str) -> None:
        named = {
            "application": self._claim.application_uid,
            "epoch": self._claim.epoch,
            "position": position,
        }
        with self._database.connection() as connection:
            applications.hold(connection, self._claim, self._lease_s)
            if self._leases is not None:
                self._leases.require(connection, self._claim.application_uid)
            if connection.execute(sharing_query(statement), {**named, **values}).rowcount == 0:
                raise JournalError(
                    f"application {self._claim.application_uid}, step {position}: {refusal}",
                    hint="the plan that is applied is not the one of the journal",
                )


def entries(connection: Connection, application_uid: UUID) -> list[Entry]:
    """The steps of an application, by position."""
    rows = connection.execute(sharing_query("journal_entries"), {"application": application_uid})
    return [Entry(**row) for row in rows]
