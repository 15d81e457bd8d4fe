"""Routes of rejects: rows that did not land, with the reason and what the source sent."""

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel

from shared.api.access import Reader, Services
from shared.api.paging import Cursor, Limit, Page, Status, cut, moment_cursor, pack_moment
from shared.errors import NotFoundError

router = APIRouter(prefix="/api/v1/failed-records", tags=["exceptions"])


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


@router.get("")
def list_failed_records(
    *,
    caller: Reader,
    services: Services,
    entity_uid: UUID | None = None,
    connector_uid: UUID | None = None,
    status: Status = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[FailedRecordOut]:
    """Rejects of the caller's entities, newest first."""
    found = services.overview.failed_records(
        caller.tenants,
        entity_uid=entity_uid,
        connector_uid=connector_uid,
        status=status,
        limit=limit + 1,
        after=moment_cursor(cursor),
    )
    rows, more = cut(found, limit)
    items = [FailedRecordOut.model_validate(row) for row in rows]
    last = pack_moment(items[-1].created_at, items[-1].uid) if more else None
    return Page(items=items, next_cursor=last)


@router.get("/{uid}")
def get_failed_record(uid: UUID, caller: Reader, services: Services) -> FailedRecordOut:
    """One reject."""
    found = services.overview.failed_records(caller.tenants, uid=uid, limit=1)
    if not found:
        raise NotFoundError(
            f"failed record {uid}: not found", hint="GET /api/v1/failed-records lists what there is"
        )
    return FailedRecordOut.model_validate(found[0])
