"""Background loads in PostgreSQL: schedules as people set them, tonight's candidates, and the load's own cursor.

A schedule's row is always locked last: after connector, entity and slice.
"""

from dataclasses import dataclass, fields
from datetime import date, datetime, time
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from psycopg import errors as pg
from psycopg.types.json import Jsonb

from shared.adapters.postgres.database import Connection, Database, translate
from shared.adapters.postgres.runs import Runs
from shared.adapters.postgres.slices import error_body
from shared.errors import AppError, ConflictError, FencedError, NotFoundError
from shared.failpoints import hit
from shared.sql import query
from shared.sync.background import DueLoad
from shared.sync.nights import Standing, nights_left
from shared.sync.ports import Chunk, Claim, Night
from shared.sync.windows import Opening, Window

Tenants = frozenset[str] | None
_RUNNING = ("queued", "running")
_BEGUN_ANEW = {
    "code": "begun_anew",
    "message": "keys or rules changed, or the table was refreshed: the load began anew",
    "hint": "",
}


@dataclass(frozen=True, slots=True)
class ScheduleChoice:
    """What a person sets."""

    entity_uid: UUID
    window_start: time
    window_end: time
    time_zone: str
    days_to_complete: int
    is_active: bool

    @property
    def window(self) -> Window:
        """Its arithmetic."""
        return Window(self.window_start, self.window_end, self.time_zone)


@dataclass(frozen=True, slots=True)
class ScheduleView:
    """A schedule as stored; `error`: why tonight's run could not begin, or how the last one failed."""

    uid: UUID
    choice: ScheduleChoice
    standing: Standing
    run_uid: UUID | None
    error: dict[str, str] | None
    finished_at: datetime | None
    created_at: datetime
    updated_at: datetime


class Schedules:
    """`api.ports.Schedules` and `sync.background.Loads`: one schedule an entity."""

    def __init__(self, database: Database, runs: Runs) -> None:
        self._database, self._schema, self._runs = database, database.schema, runs

    def schedules(
        self,
        tenants: Tenants,
        *,
        uid: UUID | None = None,
        entity_uid: UUID | None = None,
        connector_uid: UUID | None = None,
        limit: int = 100,
        after: UUID | None = None,
    ) -> list[ScheduleView]:
        """Schedules of these tenants' entities, in uid order."""
        values = {
            "tenants": None if tenants is None else sorted(tenants), "uid": uid, "entity_uid": entity_uid,
            "connector_uid": connector_uid, "limit": limit, "after": after,
        }  # fmt: skip
        with self._database.connection() as connection:
            return [_view(row) for row in connection.execute(query("schedules_select", self._schema), values)]

    def schedule(self, uid: UUID, tenants: Tenants = None) -> ScheduleView:
        """One schedule; raises NotFoundError, for another tenant's too."""
        found = self.schedules(tenants, uid=uid, limit=1)
        if not found:
            raise _not_found(uid)
        return found[0]

    def add_schedule(self, uid: UUID, choice: ScheduleChoice, actor: str) -> ScheduleView:
        """Store a new one; raises ConflictError where the entity has one."""
        try:
            with self._database.bare_connection() as connection:
                connection.execute(query("schedule_insert", self._schema), _values(uid, choice))
                self._audit(connection, actor, "schedule.create", uid, choice)
        except pg.UniqueViolation:
            raise ConflictError(
                f"entity {choice.entity_uid}: has a schedule already",
                hint=f"GET /api/v1/schedules?entity_uid={choice.entity_uid}, then PUT that one",
            ) from None
        except psycopg.Error as error:
            raise translate(error, self._database.server.name) from None
        return self.schedule(uid)

    def change_schedule(self, uid: UUID, choice: ScheduleChoice, actor: str) -> ScheduleView:
        """Replace what a person sets; what runs tonight keeps to what was set when it began, unless switched off."""
        with self._database.connection() as connection:
            row = connection.execute(query("schedule_update", self._schema), _values(uid, choice)).fetchone()
            if row is None:
                raise _not_found(uid)
            self._audit(connection, actor, "schedule.change", uid, choice)
        if not choice.is_active:
            self._stop(row["run_uid"], actor)
        return self.schedule(uid)

    def delete_schedule(self, uid: UUID, actor: str) -> None:
        """Forget it, its cursor too, and stop tonight's run; rows that landed stay."""
        with self._database.connection() as connection:
            row = connection.execute(query("schedule_delete", self._schema), {"uid": uid}).fetchone()
            if row is None:
                raise _not_found(uid)
            self._audit(connection, actor, "schedule.delete", uid, None)
        self._stop(row["run_uid"], actor)

    def _stop(self, run_uid: UUID | None, actor: str) -> None:
        """In a transaction of its own: a run's locks come before a schedule's."""
        run = None if run_uid is None else self._runs.get(run_uid)
        if run is not None and run.status in _RUNNING:
            self._runs.stop(run.uid, actor)

    def _audit(
        self, connection: Connection, actor: str, action: str, uid: UUID, choice: ScheduleChoice | None
    ) -> None:
        details = Jsonb({} if choice is None else msgspec.to_builtins(choice))
        row = {"actor": actor, "action": action, "subject": str(uid), "details": details}
        connection.execute(query("audit_insert", self._schema), row)

    def active(self) -> list[DueLoad]:
        """Loads that may get a run where their window is open, least recently served first."""
        with self._database.connection() as connection:
            rows = connection.execute(query("schedules_active", self._schema)).fetchall()
        return [_due(row) for row in rows]

    def wait_for_sweep(self, uid: UUID, night: date) -> None:
        """Remember since when the load waits tonight; more than once changes nothing."""
        with self._database.connection() as connection:
            connection.execute(query("schedule_yield", self._schema), {"uid": uid, "night": night})

    def trouble(self, uid: UUID, error: AppError) -> None:
        """Say at the schedule why tonight's run could not begin."""
        with self._database.connection() as connection:
            values = {"uid": uid, "trouble": Jsonb(error_body(error))}
            connection.execute(query("schedule_trouble", self._schema), values)

    def begin(self, uid: UUID, entity_uid: UUID, opening: Opening) -> UUID:
        """Create tonight's run, which goes on from the load's cursor.

        Raises ConflictError while the entity's bulk lane is taken, or where tonight had its run already.
        """

        def tie(connection: Connection, run_uid: UUID, generation: int) -> None:
            self._tie(connection, uid, opening, run_uid, generation)

        return self._runs.create(
            entity_uid, purpose="window", trigger="window", requested_by="window", also=tie
        )

    def _tie(
        self, connection: Connection, uid: UUID, opening: Opening, run_uid: UUID, generation: int
    ) -> None:
        row = connection.execute(query("schedule_lock", self._schema), {"uid": uid}).fetchone()
        if row is None or not row["is_active"] or row["last_night"] == opening.night:
            raise ConflictError(f"schedule {uid}: nothing to do tonight")
        outdated = row["generation"] is not None and row["generation"] != generation
        goes_on = row["cursor"] is not None and not outdated
        first_night = row["first_night"] if goes_on else opening.night
        rows = row["rows_read"] if goes_on else 0
        left = nights_left(row["days_to_complete"], first_night, opening.night)
        tonight = Night(uid, opening.closes, left, rows)
        connection.execute(query("schedule_begin", self._schema), {
            "uid": uid, "run": run_uid, "generation": generation, "first_night": first_night,
            "night": opening.night, "nights": row["nights"] + 1 if goes_on else 1, "rows": rows,
            "is_first_load": row["is_first_load"] if goes_on else row["never_read"],
            "cursor": Jsonb(row["cursor"] | {"changed": {}}) if goes_on else None,
            "tonight": Jsonb(msgspec.to_builtins(tonight)),
            "trouble": Jsonb(_BEGUN_ANEW) if outdated and row["cursor"] is not None else None,
        })  # fmt: skip


def advance(
    connection: Connection, claim: Claim, night: Night, chunk: Chunk, schema: str, cursor: Jsonb
) -> None:
    """Move the load's cursor with the chunk; FencedError where the schedule is gone or has another run.

    `cursor` is the chunk's as it may be stored.
    """
    values = {
        "uid": night.schedule_uid, "run": claim.run_uid, "cursor": cursor,
        "rows": chunk.cursor["walk"]["rows"], "expected": chunk.expected,
    }  # fmt: skip
    if connection.execute(query("schedule_advance", schema), values).rowcount == 0:
        raise FencedError(f"{claim.config.slug}: the schedule of this background load is gone")
    hit("window.cursor")


def _values(uid: UUID, choice: ScheduleChoice) -> dict[str, Any]:
    return {"uid": uid} | {f.name: getattr(choice, f.name) for f in fields(ScheduleChoice)}


def _due(row: dict[str, Any]) -> DueLoad:
    return DueLoad(
        uid=row["uid"],
        entity_uid=row["entity_uid"],
        slug=row["slug"],
        strategy=row["strategy"],
        pagination=row["pagination"],
        window=Window(row["window_start"], row["window_end"], row["time_zone"]),
        last_night=row["last_night"],
        sweep_due=row["sweep_due"],
        waited_in=row["yielded_night"],
        waited_enough=row["yielded_enough"],
    )


def _view(row: dict[str, Any]) -> ScheduleView:
    standing = Standing(
        rows_read=row["rows_read"],
        rows_expected=row["rows_expected"],
        rows_before=row["rows_before"],
        nights=row["nights"],
        first_night=row["first_night"],
        last_night=row["last_night"],
        running=row["run_status"] in _RUNNING,
        finished=row["finished_at"] is not None,
    )
    failed = row["run_error"] if row["run_status"] in ("failed", "partial") else None
    return ScheduleView(
        uid=row["uid"],
        choice=ScheduleChoice(**{f.name: row[f.name] for f in fields(ScheduleChoice)}),
        standing=standing,
        run_uid=row["run_uid"],
        error=row["trouble"] or failed,
        finished_at=row["finished_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _not_found(uid: UUID) -> NotFoundError:
    return NotFoundError(f"schedule {uid}: not found", hint="GET /api/v1/schedules lists what there is")
