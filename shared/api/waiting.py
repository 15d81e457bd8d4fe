"""Routes of waiting children: rows that are good, and whose parents are not there yet."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel

from shared.api.access import Reader, Services
from shared.api.paging import Cursor, Limit, Page, moment_cursor, page_by_moment

router = APIRouter(prefix="/api/v1/pending-children", tags=["exceptions"])


class WaitingForOut(BaseModel):
    """A parent that is not there: the slug of its entity and its readable business key."""

    entity: str
    key: str | None


_BEHIND = (
    "the row it waits for waits as well: see what for. Where rows of two tables wait for each other, correct one at the"
    ' source, or PUT one of the entities with "parents": [] until they have landed'
)


class PendingChildOut(BaseModel):
    """A waiting row. An orphan is no longer looked after by time; its parent's arrival still releases it.

    `message` says where that parent is known and waits itself.
    """

    uid: UUID
    run_uid: UUID
    entity_uid: UUID
    key: str | None
    waiting_for: list[WaitingForOut]
    status: str
    attempts: int
    next_attempt_at: datetime | None
    created_at: datetime
    message: str | None = None


class WaitingCountOut(BaseModel):
    """How many rows of an entity wait, for how many rows of which parent; `parent` null is the entity as a whole."""

    entity_uid: UUID
    parent: str | None
    children: int
    parents: int
    orphans: int
    oldest: datetime


@router.get("/counts")
def count_pending_children(
    *, caller: Reader, services: Services, entity_uid: UUID | None = None, connector_uid: UUID | None = None
) -> Page[WaitingCountOut]:
    """Who waits for whom, by entity and parent; a row that waits for two parents counts with both."""
    found = services.overview.pending_counts(
        caller.tenants, entity_uid=entity_uid, connector_uid=connector_uid
    )
    return Page(items=[WaitingCountOut.model_validate(row) for row in found])


@router.get("")
def list_pending_children(
    *,
    caller: Reader,
    services: Services,
    entity_uid: UUID | None = None,
    connector_uid: UUID | None = None,
    status: Literal["waiting", "orphan", "released"] | None = None,
    parent_key: Annotated[
        str | None, Query(max_length=4000, description="the key of an awaited parent")
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[PendingChildOut]:
    """Waiting rows of the caller's entities, newest first; a released one stands in its target and no longer here."""
    found = services.overview.pending_children(
        caller.tenants,
        entity_uid=entity_uid,
        connector_uid=connector_uid,
        status=status,
        parent_key=parent_key,
        limit=limit + 1,
        after=moment_cursor(cursor),
    )
    return page_by_moment(found, limit, _out)


def _out(row: Mapping[str, Any]) -> PendingChildOut:
    message = _BEHIND if row.get("parent_waits") else None
    return PendingChildOut.model_validate({**row, "message": message})
