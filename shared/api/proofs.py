"""Routes that prove: does a target hold what its source holds, and what would a run do now."""

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel

from shared.api.access import Operator, Reader, Services
from shared.api.bodies import SyncBody
from shared.api.paging import Cursor, Limit, Page, cut, moment_cursor, pack_moment
from shared.api.runs import RunErrorOut, check_active, start
from shared.errors import NotFoundError

router = APIRouter(prefix="/api/v1", tags=["proofs"])


class VerificationStartedOut(BaseModel):
    """A verification that was asked for; it is a run as well, and may be stopped as one."""

    verification_uid: UUID
    status: str = "queued"


class VerificationOut(BaseModel):
    """A verification. `outcome` is equal, different or unverified, null while it is under way; `why` says more.

    Counts of `differences` are certain, `undecided` may be changes that no run has seen yet, `accounted` are known
    and no differences. Examples name keys, never values.
    """

    uid: UUID
    entity_uid: UUID
    status: str
    outcome: str | None
    why: RunErrorOut | None
    bound: str | None = None
    bound_kind: str | None = None
    overlap: int | None = None
    source_rows: int | None = None
    target_rows: int | None = None
    above_bound: int = 0
    refused_by_rules: int = 0
    without_key: int = 0
    soft_deleted: int = 0
    buckets: int | None = None
    differing_buckets: int | None = None
    looked_into_buckets: int | None = None
    counts_complete: bool | None = None
    differences: dict[str, int] = {}
    undecided: dict[str, int] = {}
    accounted: dict[str, int] = {}
    examples: dict[str, list[str]] = {}
    trigger: str
    requested_by: str
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


@router.post("/entities/{uid}/verify", status_code=202)
def verify_entity(uid: UUID, caller: Operator, services: Services) -> VerificationStartedOut:
    """Compare the target with its source, key by key; 409 while the entity has a bulk run in flight."""
    check_active(services, services.catalogue.entity(uid, caller.tenants))
    started = start(services, uid, caller, "verify", SyncBody())
    return VerificationStartedOut(verification_uid=started.run_uid)


@router.get("/entities/{uid}/verifications")
def list_entity_verifications(
    *, uid: UUID, caller: Reader, services: Services, limit: Limit = 100, cursor: Cursor = None
) -> Page[VerificationOut]:
    """The entity's verifications, newest first."""
    services.catalogue.entity(uid, caller.tenants)
    return _page(caller.tenants, services, uid, limit, cursor)


@router.get("/verifications")
def list_verifications(
    *,
    caller: Reader,
    services: Services,
    entity_uid: UUID | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[VerificationOut]:
    """Verifications of the caller's entities, newest first."""
    return _page(caller.tenants, services, entity_uid, limit, cursor)


@router.get("/verifications/{uid}")
def get_verification(uid: UUID, caller: Reader, services: Services) -> VerificationOut:
    """One verification."""
    found = services.verifications.list(caller.tenants, uid=uid, limit=1)
    if not found:
        raise NotFoundError(
            f"verification {uid}: not found", hint="GET /api/v1/verifications lists what there is"
        )
    return _out(dict(found[0]))


def _page(
    tenants: frozenset[str] | None,
    services: Services,
    entity_uid: UUID | None,
    limit: int,
    cursor: str | None,
) -> Page[VerificationOut]:
    found = services.verifications.list(
        tenants, entity_uid=entity_uid, limit=limit + 1, after=moment_cursor(cursor)
    )
    rows, more = cut(found, limit)
    items = [_out(dict(row)) for row in rows]
    return Page(items=items, next_cursor=pack_moment(items[-1].created_at, items[-1].uid) if more else None)


def _out(row: dict[str, Any]) -> VerificationOut:
    return VerificationOut.model_validate(row.pop("findings") | row)
