"""How far directory syncs got (`Progress` of shared.sharing.directory_ports), fenced by epoch, by PostgreSQL's clock."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from shared.adapters.postgres.database import Connection, Database
from shared.errors import FencedError
from shared.sharing.directory_ports import Claim, Counts, JobStatus, Kind, LastJob
from shared.sql import sharing_query


class DirectoryProgress:
    """Jobs held for `lease_s` seconds, which must outlast the longest page."""

    def __init__(self, database: Database, new_uid: Callable[[], UUID], *, lease_s: float = 660) -> None:
        self._database, self._new_uid, self._lease_s = database, new_uid, lease_s

    def request(
        self, kind: Kind, scope: str, requested_by: str, at: datetime, allowed_removals: int | None = None
    ) -> tuple[UUID, bool]:
        """The unfinished job of this kind and scope and False, or a new one and True."""
        values = {
            "job_uid": self._new_uid(),
            "kind": kind,
            "scope": scope,
            "requested_by": requested_by,
            "at": at,
            "allowed_removals": allowed_removals,
        }
        with self._database.connection() as connection:
            row = connection.execute(sharing_query("directory_request"), values).fetchone()
        assert row is not None  # inserted, or joined
        return row["job_uid"], row["fresh"]

    def latest(self) -> Sequence[LastJob]:
        """The newest job of each kind and scope."""
        with self._database.connection() as connection:
            return [LastJob(**row) for row in connection.execute(sharing_query("directory_latest"))]

    def waiting(self) -> Sequence[UUID]:
        """Unfinished jobs that nobody holds and whose time has come."""
        with self._database.connection() as connection:
            return [row["job_uid"] for row in connection.execute(sharing_query("directory_waiting"))]

    def claim(self, uid: UUID) -> Claim | None:
        """The job, held for the lease; None where it is finished, unknown, held, or not due yet."""
        values = {"job_uid": uid, "lease_s": self._lease_s}
        with self._database.connection() as connection:
            row = connection.execute(sharing_query("directory_claim"), values).fetchone()
        return None if row is None else _claim(row)

    def save(self, claim: Claim, seen: Sequence[str] = (), gone: Sequence[str] = ()) -> None:
        """Keep cursor, proven and counts, renew the lease, reset failures; mark ids as there or gone."""
        with self._database.connection() as connection:
            self._keep(connection, claim)
            for ids, present in ((gone, False), (seen, True)):
                if ids:
                    values = {"job_uid": claim.uid, "ids": list(ids), "present": present}
                    connection.execute(sharing_query("directory_mark"), values)

    def begin(self, claim: Claim) -> None:
        """Keep full and resume, forget the cursor and the marks of an earlier attempt."""
        with self._database.connection() as connection:
            self._keep(connection, claim)
            connection.execute(sharing_query("directory_unmark"), {"job_uid": claim.uid})
            self._link(connection, claim, claim.resume)

    def give_back(self, claim: Claim, delay_s: float, error: str | None) -> None:
        """Let go of an unfinished job until later; with an error its `failures` grow."""
        values = {"job_uid": claim.uid, "epoch": claim.epoch, "delay_s": delay_s, "error": error}
        with self._database.connection() as connection:
            _held(connection.execute(sharing_query("directory_give_back"), values).rowcount, claim)

    def finish(self, claim: Claim, status: JobStatus, resume: str | None, error: str | None) -> None:
        """End the job, forget its marks; `resume` None keeps what the claim had."""
        values = {
            "job_uid": claim.uid,
            "epoch": claim.epoch,
            "status": status,
            "error": error,
            "counts": Jsonb(asdict(claim.counts)),
        }
        with self._database.connection() as connection:
            _held(connection.execute(sharing_query("directory_finish"), values).rowcount, claim)
            connection.execute(sharing_query("directory_unmark"), {"job_uid": claim.uid})
            if resume is not None:
                self._link(connection, claim, resume)
            connection.execute(sharing_query("directory_purge"), {"kind": claim.kind, "scope": claim.scope})

    def _keep(self, connection: Connection, claim: Claim) -> None:
        values = {
            "job_uid": claim.uid,
            "epoch": claim.epoch,
            "position": claim.cursor,
            "is_full": claim.full,
            "resume": claim.resume,
            "proven": claim.proven,
            "counts": Jsonb(asdict(claim.counts)),
            "failures": claim.failures,
            "lease_s": self._lease_s,
        }
        _held(connection.execute(sharing_query("directory_save"), values).rowcount, claim)

    def _link(self, connection: Connection, claim: Claim, resume: str) -> None:
        values = {"kind": claim.kind, "scope": claim.scope, "resume": resume}
        connection.execute(sharing_query("directory_link"), values)


def _held(rows: int, claim: Claim) -> None:
    if rows != 1:
        raise FencedError(f"directory sync {claim.uid}: another delivery has it; nothing was written")


def _claim(row: Mapping[str, Any]) -> Claim:
    return Claim(
        uid=row["job_uid"],
        kind=row["kind"],
        scope=row["scope"],
        epoch=row["epoch"],
        started_at=row["started_at"],
        requested_by=row["requested_by"],
        cursor=row["position"],
        resume=row["resume"],
        full=row["is_full"],
        proven=row["proven"],
        allowed_removals=row["allowed_removals"],
        failures=row["failures"],
        counts=Counts(**row["counts"]),
    )
