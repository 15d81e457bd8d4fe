"""Routes of rejects: rows that did not land, with the reason and what the source sent."""

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel

from shared.adapters.postgres.retries import Wanted
from shared.adapters.tokens import Caller
from shared.api.access import Operator, Reader, Services
from shared.api.bodies import DiscardBody, RetryBody
from shared.api.paging import Cursor, Limit, Page, Status, moment_cursor, page_by_moment
from shared.api.ports import ApiServices
from shared.errors import ConflictError, NotFoundError

router = APIRouter(prefix="/api/v1/failed-records", tags=["exceptions"])
retrying = APIRouter(tags=["exceptions"])


class FailedRecordOut(BaseModel):
    """A reject; `raw` is the row as the source sent it, as ASCII JSON text."""

    uid: UUID
    run_uid: UUID
    entity_uid: UUID
    key: str | None
    stage: str
    column: str | None
    code: str
    message: str
    raw: str | None
    normalized: Any
    error_details: Any
    status: str
    attempts: int
    next_attempt_at: datetime | None
    created_at: datetime
    closed_by: str | None = None
    reason: str | None = None


class RetryRunOut(BaseModel):
    """The run that takes an entity's rejects up."""

    entity_uid: UUID
    run_uid: UUID
    status: str = "queued"


class RetriedOut(BaseModel):
    """How many rejects are to be tried again. An entity without a run here has one in its way, whose end starts it."""

    marked: int
    runs: list[RetryRunOut]


@router.get("")
def list_failed_records(
    *,
    caller: Reader,
    services: Services,
    entity_uid: UUID | None = None,
    connector_uid: UUID | None = None,
    status: Status = None,
    code: str | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[FailedRecordOut]:
    """Rejects of the caller's entities, newest first."""
    found = services.overview.failed_records(
        caller.tenants,
        entity_uid=entity_uid,
        connector_uid=connector_uid,
        status=status,
        code=code,
        limit=limit + 1,
        after=moment_cursor(cursor),
    )
    return page_by_moment(found, limit, FailedRecordOut.model_validate)


class RejectCountOut(BaseModel):
    """How often a code stands on rejects of an entity, and since when."""

    entity_uid: UUID
    code: str
    status: str
    count: int
    oldest: datetime
    newest: datetime


@router.get("/counts")
def count_failed_records(
    *,
    caller: Reader,
    services: Services,
    entity_uid: UUID | None = None,
    connector_uid: UUID | None = None,
    status: str | None = "open",
) -> Page[RejectCountOut]:
    """Rejects of the caller's entities by code, the most frequent first; open ones unless `status` says otherwise."""
    found = services.overview.reject_counts(
        caller.tenants, entity_uid=entity_uid, connector_uid=connector_uid, status=status
    )
    return Page(items=[RejectCountOut.model_validate(row) for row in found])


@router.post("/{uid}/retry", status_code=202)
def retry_failed_record(uid: UUID, caller: Operator, services: Services) -> RetriedOut:
    """Take one reject through today's rules; 409 where it is not open, or its raw row is no longer kept."""
    record = get_failed_record(uid, caller, services)
    if record.status != "open" or record.raw is None:
        raise ConflictError(
            f"failed record {uid}: is {record.status}"
            + ("" if record.raw else ", its raw row is no longer kept"),
            hint="sync the entity: the source's own row decides",
        )
    return retry(services, Wanted(caller.tenants, uids=(uid,)), caller)


@router.post("/{uid}/discard")
def discard_failed_record(
    uid: UUID, body: DiscardBody, caller: Operator, services: Services
) -> FailedRecordOut:
    """Close a reject that nobody wants, with the reason why; 409 where it is not open."""
    record = get_failed_record(uid, caller, services)
    if not services.rejects.discard(uid, caller.subject, body.reason):
        raise ConflictError(
            f"failed record {uid}: is {record.status}", hint="only an open one can be discarded"
        )
    return get_failed_record(uid, caller, services)


@retrying.post("/api/v1/sync/retry-failed", status_code=202)
def retry_failed(body: RetryBody, caller: Operator, services: Services) -> RetriedOut:
    """Take open rejects through today's rules: all of the caller's, or those that every filter given lets through."""
    return retry(
        services,
        Wanted(
            caller.tenants,
            uids=None if body.uids is None else tuple(body.uids),
            entity_uid=body.entity_uid,
            connector_uid=body.connector_uid,
            code=body.code,
            min_age_s=body.min_age_seconds,
            max_age_s=body.max_age_seconds,
        ),
        caller,
    )


def retry(services: ApiServices, wanted: Wanted, caller: Caller) -> RetriedOut:
    """Mark the rejects, start their runs, say both."""
    asked = services.rejects.ask(wanted, caller.subject)
    services.send_outbox()
    runs = [RetryRunOut(entity_uid=entity, run_uid=run) for entity, run in sorted(asked.runs.items())]
    return RetriedOut(marked=asked.marked, runs=runs)


@router.get("/{uid}")
def get_failed_record(uid: UUID, caller: Reader, services: Services) -> FailedRecordOut:
    """One reject."""
    found = services.overview.failed_records(caller.tenants, uid=uid, limit=1)
    if not found:
        raise NotFoundError(
            f"failed record {uid}: not found", hint="GET /api/v1/failed-records lists what there is"
        )
    return FailedRecordOut.model_validate(found[0])
