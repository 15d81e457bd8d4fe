"""Routes of runs, and what starting one means for other routes."""

from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel

from shared.adapters.postgres.catalogue_rows import EntityView
from shared.adapters.postgres.views import RunError, RunView
from shared.adapters.tokens import Caller
from shared.api.access import Operator, Reader, Services
from shared.api.bodies import StartBody, SyncBody
from shared.api.paging import Cursor, Limit, Page, Status
from shared.api.ports import ApiServices, Purpose
from shared.errors import AppError, ConflictError, NotFoundError, RequestError

router = APIRouter(tags=["runs"])
_PAGE = 500


class StartedOut(BaseModel):
    """A run that was asked for."""

    run_uid: UUID
    status: str = "queued"


class StartedOneOut(BaseModel):
    """One of several runs asked for; refused ones say why."""

    entity_uid: UUID
    run_uid: UUID | None
    status: str
    error: RunError | None = None


@router.post("/api/v1/sync/start", status_code=202)
def start_syncs(body: StartBody, caller: Operator, services: Services) -> Page[StartedOneOut]:
    """Sync several entities now; those that cannot start say why, and only if none can is it an error."""
    views = _named(body, caller, services)
    items, refusals = [], []
    for view in views:
        try:
            check_active(services, view)
            items.append(
                _started(view, _create(services, view.catalogued.entity.uid, caller, "delta", SyncBody()))
            )
        except RequestError as error:
            refusals.append(error)
            items.append(_refused(view, error))
    if refusals and len(refusals) == len(items):
        raise refusals[0]
    services.send_outbox()
    return Page(items=items)


@router.get("/api/v1/sync/status/{run_uid}")
def sync_status(run_uid: UUID, caller: Reader, services: Services) -> RunView:
    """How a run stands."""
    return _run(services, caller, run_uid)


@router.post("/api/v1/sync/stop/{run_uid}", status_code=202)
def stop_sync(run_uid: UUID, caller: Operator, services: Services) -> RunView:
    """End a run; rows already committed stay, a finished run stays as it is."""
    _run(services, caller, run_uid)
    services.runs.stop(run_uid, caller.subject)
    services.send_outbox()
    return _run(services, caller, run_uid)


@router.get("/api/v1/sync/history")
def sync_history(
    *,
    caller: Reader,
    services: Services,
    entity_uid: UUID | None = None,
    connector_uid: UUID | None = None,
    status: Status = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[RunView]:
    """Runs of the caller's entities, newest first."""
    return run_page(
        services,
        caller,
        entity_uid=entity_uid,
        connector_uid=connector_uid,
        status=status,
        limit=limit,
        cursor=cursor,
    )


@router.get("/api/v1/runs/{uid}")
def get_run(uid: UUID, caller: Reader, services: Services) -> RunView:
    """One run."""
    return _run(services, caller, uid)


def start(
    services: ApiServices, entity_uid: UUID, caller: Caller, purpose: Purpose, body: SyncBody
) -> StartedOut:
    """Create the run and send what was admitted."""
    run_uid = _create(services, entity_uid, caller, purpose, body)
    services.send_outbox()
    return StartedOut(run_uid=run_uid)


def check_active(services: ApiServices, view: EntityView) -> None:
    """Raises ConflictError where the entity's connector is switched off."""
    connector = services.catalogue.connector(view.catalogued.entity.connector_uid)
    if not connector.is_active:
        raise ConflictError(
            f"connector {connector.name!r}: is not active", hint="PUT it with is_active true, then sync"
        )


def run_page(
    services: ApiServices,
    caller: Caller,
    *,
    limit: int,
    cursor: str | None,
    entity_uid: UUID | None = None,
    connector_uid: UUID | None = None,
    status: str | None = None,
) -> Page[RunView]:
    """A page of runs that the caller may see."""
    found, following = services.runs.history(
        entity_uid=entity_uid,
        connector_uid=connector_uid,
        status=status,
        tenants=_list(caller),
        limit=limit,
        cursor=cursor,
    )
    return Page(items=list(found), next_cursor=following)


def _run(services: ApiServices, caller: Caller, run_uid: UUID) -> RunView:
    run = services.runs.get(run_uid, tenants=_list(caller))
    if run is None:
        raise NotFoundError(f"run {run_uid}: not found", hint="GET /api/v1/sync/history lists what there is")
    return run


def _list(caller: Caller) -> list[str] | None:
    return None if caller.tenants is None else sorted(caller.tenants)


def _named(body: StartBody, caller: Caller, services: ApiServices) -> list[EntityView]:
    if body.entity_uids is not None:
        return [services.catalogue.entity(uid, caller.tenants) for uid in dict.fromkeys(body.entity_uids)]
    assert body.connector_uid is not None  # the body's own validation
    services.catalogue.connector(body.connector_uid, caller.tenants)
    views: list[EntityView] = []
    after = None
    while page := services.catalogue.entities(
        caller.tenants, connector_uid=body.connector_uid, limit=_PAGE, after=after
    ):
        views += page
        after = page[-1].catalogued.entity.uid
    return views


def _create(
    services: ApiServices, entity_uid: UUID, caller: Caller, purpose: Purpose, body: SyncBody
) -> UUID:
    return services.runs.create(
        entity_uid,
        purpose=purpose,
        trigger="manual",
        requested_by=caller.subject,
        allow_deletes=body.allow_deletes,
        reason=body.reason,
    )


def _started(view: EntityView, run_uid: UUID) -> StartedOneOut:
    return StartedOneOut(entity_uid=view.catalogued.entity.uid, run_uid=run_uid, status="queued")


def _refused(view: EntityView, error: AppError) -> StartedOneOut:
    reason = RunError(code=error.code, message=error.message, hint=error.hint)
    return StartedOneOut(entity_uid=view.catalogued.entity.uid, run_uid=None, status="refused", error=reason)
