"""How far directory syncs got, and who works on them (`shared.sharing.directory_ports.Progress`); notices that wait.

Leases run by PostgreSQL's clock; each claim raises the epoch, and whoever has an older one is fenced.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import cast
from uuid import UUID, uuid4

import msgspec
from psycopg.types.json import Jsonb

from shared.adapters.postgres.database import Connection, Database
from shared.errors import FencedError
from shared.sharing.directory_ports import Claim, Counts, JobStatus, Kind, LastJob
from shared.sharing.notices import Channel, Notice, Waiting
from shared.sharing.redaction import redacted
from shared.sql import sharing_query

NOTICE_HOLD_S = 300


class DirectoryProgress:
    """Jobs of directory syncs. `lease_s` is never below the function timeout."""

    def __init__(self, database: Database, *, lease_s: int) -> None:
        self._database, self._lease_s = database, lease_s

    def request(
        self, kind: Kind, scope: str, requested_by: str, at: datetime, allowed_removals: int | None = None
    ) -> tuple[UUID, bool]:
        """The unfinished job of this kind and scope and False, or a new one and True."""
        values = {
            "uid": uuid4(),
            "kind": kind,
            "scope": scope,
            "requested_by": requested_by,
            "at": at,
            "allowed_removals": allowed_removals,
        }
        with self._database.connection() as connection:
            while True:
                if connection.execute(sharing_query("progress_request"), values).rowcount:
                    return cast(UUID, values["uid"]), True
                row = connection.execute(sharing_query("progress_unfinished"), values).fetchone()
                if row is not None:  # else it ended between the two statements
                    return row["job_uid"], False

    def latest(self) -> Sequence[LastJob]:
        """The newest job of each kind and scope."""
        with self._database.connection() as connection:
            return [LastJob(**row) for row in connection.execute(sharing_query("progress_latest"))]

    def waiting(self) -> Sequence[UUID]:
        """Unfinished jobs that nobody holds and whose time has come."""
        with self._database.connection() as connection:
            return [row["job_uid"] for row in connection.execute(sharing_query("progress_waiting"))]

    def claim(self, uid: UUID) -> Claim | None:
        """The job, held for the lease; None where it is finished, unknown, held, or not due yet."""
        with self._database.connection() as connection:
            values = {"uid": uid, "lease_s": self._lease_s}
            row = connection.execute(sharing_query("progress_claim"), values).fetchone()
        return None if row is None else Claim(**row | {"counts": msgspec.convert(row["counts"], Counts)})

    def save(self, claim: Claim, seen: Sequence[str] = (), gone: Sequence[str] = ()) -> None:
        """Keep where the claim stands and renew it; mark ids as there or gone, the last mark holding."""
        with self._database.connection() as connection:
            self._save(connection, claim)
            for ids, present in ((seen, True), (gone, False)):
                if ids:
                    marks = {"uid": claim.uid, "ids": list(ids), "present": present}
                    connection.execute(sharing_query("progress_mark"), marks)

    def begin(self, claim: Claim) -> None:
        """Keep full and resume, forget the cursor and the marks of an earlier attempt."""
        with self._database.connection() as connection:
            self._save(connection, claim)
            connection.execute(sharing_query("progress_forget"), {"uid": claim.uid})

    def give_back(self, claim: Claim, delay_s: float, error: str | None) -> None:
        """Let go of an unfinished job until later."""
        values = {"delay_s": delay_s, "error": redacted(error)}
        with self._database.connection() as connection:
            self._fenced(connection, "progress_give_back", claim, values)

    def finish(self, claim: Claim, status: JobStatus, resume: str | None, error: str | None) -> None:
        """End the job, forget its marks; `resume` None keeps what the claim had."""
        values = {"status": status, "next": resume, "error": redacted(error)}
        with self._database.connection() as connection:
            self._fenced(connection, "progress_finish", claim, values)
            connection.execute(sharing_query("progress_forget"), {"uid": claim.uid})
            connection.execute(sharing_query("progress_prune"))

    def _save(self, connection: Connection, claim: Claim) -> None:
        self._fenced(connection, "progress_save", claim, {"lease_s": self._lease_s})

    def _fenced(
        self, connection: Connection, statement: str, claim: Claim, values: dict[str, object]
    ) -> None:
        row = {
            "uid": claim.uid,
            "epoch": claim.epoch,
            "cursor": claim.cursor,
            "resume": claim.resume,
            "full": claim.full,
            "proven": claim.proven,
            "counts": Jsonb(asdict(claim.counts)),
            "failures": claim.failures,
        }
        if connection.execute(sharing_query(statement), row | values).rowcount == 0:
            raise FencedError(f"directory sync {claim.uid}: belongs to another delivery now")


class NoticeStore:
    """Notices until they are delivered (`shared.sharing.notices.NoticeQueue`)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, notice: Notice, channels: Sequence[Channel], at: datetime) -> int:
        """Keep it for each channel that does not know its key; how many took it."""
        with self._database.connection() as connection:
            return add_notice(connection, notice, channels, at)

    def claim(self, now: datetime, limit: int) -> Sequence[Waiting]:
        """What is due, held by this caller for some minutes; no two callers get the same."""
        with self._database.connection() as connection:
            values = {"now": now, "limit": limit, "hold_s": NOTICE_HOLD_S}
            rows = connection.execute(sharing_query("notice_claim"), values).fetchall()
        return [
            Waiting(
                row["notice_uid"], row["channel"], msgspec.convert(row["notice"], Notice), row["attempts"]
            )
            for row in rows
        ]

    def conclude(self, uid: UUID) -> None:
        """Sent or given up: never handed out again."""
        with self._database.connection() as connection:
            connection.execute(sharing_query("notice_conclude"), {"uid": uid})

    def postpone(self, uid: UUID, until: datetime, *, counts: bool = True) -> None:
        """Not taken: due again then, with one attempt more; `counts` False for one that was never tried."""
        values = {"uid": uid, "until": until, "counts": int(counts)}
        with self._database.connection() as connection:
            connection.execute(sharing_query("notice_postpone"), values)


def add_notice(connection: Connection, notice: Notice, channels: Sequence[Channel], at: datetime) -> int:
    """The same in the caller's transaction, so that what happened and the word of it are kept together."""
    body = Jsonb(msgspec.to_builtins(notice))
    return sum(
        connection.execute(
            sharing_query("notice_add"),
            {"dedupe_key": notice.dedupe_key, "channel": channel, "notice": body, "at": at},
        ).rowcount
        for channel in channels
    )
