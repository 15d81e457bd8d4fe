"""Routes that prove: does a target hold what its source holds, and what would a run do now."""

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel

from shared.adapters.descriptions import sampled
from shared.adapters.postgres.views import RunError
from shared.api.access import Operator, Reader, Services
from shared.api.bodies import PlanBody, SyncBody
from shared.api.paging import Cursor, Limit, Page, moment_cursor, page_by_moment
from shared.api.ports import ApiServices, Opened
from shared.api.runs import check_active, start
from shared.errors import AppError, NotFoundError, PermanentError
from shared.sync.catalogue import Catalogued, Connector
from shared.sync.plan import Plan

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
    why: RunError | None
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


class PlanRowsOut(BaseModel):
    """Rows by what a run would make of them; `soft_delete` is null where only a whole pass could tell."""

    fetched: int
    insert: int
    update: int
    unchanged: int
    superseded: int
    reject: int
    hold: int
    soft_delete: int | None


class PlanDeletesOut(BaseModel):
    """Deletes against the guard: `refused` says why the guard would let none happen."""

    due: int | None
    live: int
    refused: RunError | None


class PlanSchemaOut(BaseModel):
    """What discovery would do first: statements on the target, mappings added, and why it could not."""

    statements: list[str]
    added: list[str]
    refused: RunError | None
    warnings: list[str]


class PlanCostOut(BaseModel):
    """What reading would cost at the speed just met; null where the source does not say how much there is."""

    rows: int | None
    requests: int | None
    seconds: float | None


class PlanOut(BaseModel):
    """What a run started now would do. Counts are of the rows read; `complete` where these are all of them."""

    entity_uid: UUID
    mode: str
    complete: bool
    proven: bool | None
    strategy: str
    first_load: bool
    bound: str | None
    rows: PlanRowsOut
    rejects_by_code: dict[str, int]
    deletes: PlanDeletesOut
    discovery: PlanSchemaOut
    expected: PlanCostOut
    in_flight: list[str]


@router.post("/entities/{uid}/plan")
def plan_entity(uid: UUID, caller: Reader, services: Services, body: PlanBody | None = None) -> PlanOut:
    """What a run would do now, writing nothing: everything is read, compared and counted, and that is all."""
    view = services.catalogue.entity(uid, caller.tenants)
    connector = services.catalogue.connector(view.catalogued.entity.connector_uid, caller.tenants)
    source = services.open_source(connector)
    discovery = _discovery(view.catalogued, connector, source, services)
    plan = services.planner.plan(services.planning.subject(uid), source, (body or PlanBody()).mode)
    return _plan_out(uid, plan, discovery)


def _discovery(
    stored: Catalogued, connector: Connector, source: Opened, services: ApiServices
) -> PlanSchemaOut:
    described = next((one for one in source.list_apis() if one.slug == stored.entity.slug), None)
    if described is None:
        return PlanSchemaOut(
            statements=[], added=[], refused=None, warnings=["the source no longer offers it"]
        )
    try:
        statements, after = services.planning.ddl(stored, sampled(source, [described])[0], connector)
    except PermanentError as error:
        return PlanSchemaOut(statements=[], added=[], refused=_error(error), warnings=[])
    known = {mapping.target for mapping in stored.mappings}
    added = [mapping.target for mapping in after.mappings if mapping.target not in known]
    return PlanSchemaOut(
        statements=list(statements), added=added, refused=None, warnings=list(after.entity.warnings)
    )


def _plan_out(uid: UUID, plan: Plan, discovery: PlanSchemaOut) -> PlanOut:
    rows = PlanRowsOut(**plan.rows, soft_delete=plan.soft_delete)
    guard = None if plan.guard is None else _error(plan.guard)
    return PlanOut(
        entity_uid=uid,
        mode=plan.mode,
        complete=plan.complete,
        proven=plan.proven,
        strategy=plan.strategy,
        first_load=plan.first_load,
        bound=plan.bound,
        rows=rows,
        rejects_by_code=dict(plan.rejects),
        deletes=PlanDeletesOut(due=plan.soft_delete, live=plan.live, refused=guard),
        discovery=discovery,
        expected=PlanCostOut(
            rows=plan.expected_rows, requests=plan.expected_requests, seconds=plan.expected_seconds
        ),
        in_flight=list(plan.in_flight),
    )


def _error(error: AppError) -> RunError:
    return RunError(code=error.code, message=error.message, hint=error.hint)


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
    return page_by_moment(found, limit, lambda row: _out(dict(row)))


def _out(row: dict[str, Any]) -> VerificationOut:
    return VerificationOut.model_validate(row.pop("findings") | row)
