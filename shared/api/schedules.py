"""Routes of background loads: tables that are read over several nights, inside a window."""

from datetime import datetime, time
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, PlainSerializer

from shared.adapters.postgres.schedules import ScheduleChoice, ScheduleView
from shared.adapters.postgres.views import RunError
from shared.adapters.tokens import Caller
from shared.api.access import Operator, Reader, Services
from shared.api.bodies import ScheduleBody
from shared.api.paging import Cursor, Limit, Page, cut, pack_uid, uid_cursor
from shared.api.ports import ApiServices
from shared.errors import InvalidError, NotFoundError
from shared.sync.nights import expected_finish, progress, refusal

router = APIRouter(prefix="/api/v1/schedules", tags=["schedules"])
ClockTime = Annotated[time, PlainSerializer(lambda value: value.isoformat("seconds"), return_type=str)]


class ScheduleOut(BaseModel):
    """A background load. `progress` goes from 0 to 1, and is null while the table's size is unknown.

    `status`: waiting for its window (or for a sweep), running, paused by a person, or finished. `nights` had a run.
    """

    uid: UUID
    entity_uid: UUID
    window_start: ClockTime
    window_end: ClockTime
    time_zone: str
    days_to_complete: int
    is_active: bool
    status: Literal["waiting", "running", "paused", "finished"]
    progress: float | None
    expected_finish: datetime | None
    rows_read: int
    rows_expected: int | None
    nights: int
    last_run_uid: UUID | None
    error: RunError | None
    finished_at: datetime | None
    created_at: datetime
    updated_at: datetime


@router.get("")
def list_schedules(
    *,
    caller: Reader,
    services: Services,
    entity_uid: UUID | None = None,
    connector_uid: UUID | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[ScheduleOut]:
    """The caller's background loads, in order of creation."""
    found = services.schedules.schedules(
        caller.tenants,
        entity_uid=entity_uid,
        connector_uid=connector_uid,
        limit=limit + 1,
        after=uid_cursor(cursor),
    )
    items, more = cut(found, limit)
    last = pack_uid(items[-1].uid) if more else None
    return Page(items=[_out(view, services) for view in items], next_cursor=last)


@router.post("", status_code=201)
def create_schedule(body: ScheduleBody, caller: Operator, services: Services) -> ScheduleOut:
    """Load a table in the background; one schedule an entity."""
    _demand_loadable(body, caller, services)
    uid = services.new_uid()
    return _out(services.schedules.add_schedule(uid, _choice(body, services), caller.subject), services)


@router.put("/{uid}")
def put_schedule(uid: UUID, body: ScheduleBody, caller: Operator, services: Services) -> ScheduleOut:
    """Replace a schedule; what is left out goes back to its default. Switching it off stops tonight's run."""
    stored = services.schedules.schedule(uid, caller.tenants)
    if body.entity_uid != stored.choice.entity_uid:
        detail = "cannot be changed"
        raise InvalidError(
            f"schedule {uid}: entity_uid {detail}",
            [("entity_uid", detail)],
            hint="delete it and create another",
        )
    _demand_loadable(body, caller, services)
    changed = services.schedules.change_schedule(uid, _choice(body, services), caller.subject)
    services.send_outbox()
    return _out(changed, services)


@router.delete("/{uid}", status_code=204)
def delete_schedule(uid: UUID, caller: Operator, services: Services) -> None:
    """Stop the load and forget how far it came; rows that landed stay."""
    services.schedules.schedule(uid, caller.tenants)
    services.schedules.delete_schedule(uid, caller.subject)
    services.send_outbox()


def _demand_loadable(body: ScheduleBody, caller: Caller, services: ApiServices) -> None:
    """Raises InvalidError for an entity that is not the caller's, or cannot be read over several nights."""
    try:
        entity = services.catalogue.entity(body.entity_uid, caller.tenants).catalogued.entity
    except NotFoundError:
        detail = f"entity {body.entity_uid} is unknown"
        hint = "GET /api/v1/entities lists what there is"
        raise InvalidError(detail, [("entity_uid", detail)], hint=hint) from None
    if reason := refusal(entity.delta_strategy, entity.pagination):
        raise InvalidError(
            f"entity {entity.slug}: {reason}", [("entity_uid", reason)], hint="or sync it without a schedule"
        )


def _choice(body: ScheduleBody, services: ApiServices) -> ScheduleChoice:
    default = services.schedule_defaults
    return ScheduleChoice(
        entity_uid=body.entity_uid,
        window_start=default.start if body.window_start is None else body.window_start,
        window_end=default.end if body.window_end is None else body.window_end,
        time_zone=default.time_zone if body.time_zone is None else body.time_zone,
        days_to_complete=body.days_to_complete,
        is_active=body.is_active,
    )


def _out(view: ScheduleView, services: ApiServices) -> ScheduleOut:
    choice, standing = view.choice, view.standing
    finish = view.finished_at
    if finish is None and choice.is_active:
        finish = expected_finish(standing, choice.window, choice.days_to_complete, services.now())
    return ScheduleOut(
        uid=view.uid,
        entity_uid=choice.entity_uid,
        window_start=choice.window_start,
        window_end=choice.window_end,
        time_zone=choice.time_zone,
        days_to_complete=choice.days_to_complete,
        is_active=choice.is_active,
        status=_status(view),
        progress=progress(standing),
        expected_finish=finish,
        rows_read=standing.rows_read,
        rows_expected=standing.rows_expected,
        nights=standing.nights,
        last_run_uid=view.run_uid,
        error=RunError.told(view.error),
        finished_at=view.finished_at,
        created_at=view.created_at,
        updated_at=view.updated_at,
    )


def _status(view: ScheduleView) -> Literal["waiting", "running", "paused", "finished"]:
    if view.standing.finished:
        return "finished"
    if view.standing.running:
        return "running"
    return "waiting" if view.choice.is_active else "paused"
