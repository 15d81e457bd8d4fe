"""Routes of operation: health, figures, migrations, tenants."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel

from shared.adapters.postgres.tenancy import secret_prefix
from shared.adapters.tokens import Caller
from shared.api.access import Admin, Reader, Services
from shared.api.bodies import RegionsBody, TenantBody, TenantName
from shared.api.paging import Cursor, Limit, Page, cut, name_cursor, pack_name
from shared.errors import ForbiddenError, NotFoundError

router = APIRouter(prefix="/api/v1", tags=["operations"])
tenants = APIRouter(prefix="/api/v1/tenants", tags=["tenants"])
TenantPath = Annotated[TenantName, Path()]


class HealthOut(BaseModel):
    """Alive."""

    status: str = "ok"


class MigratedOut(BaseModel):
    """The migrations just applied."""

    applied: list[str]


class TenantOut(BaseModel):
    """A tenant; the first of `target_schemas` is where its tables go unless an entity says otherwise."""

    name: str
    target_schemas: list[str]
    secret_prefix: str
    created_at: datetime


class RegionOut(BaseModel):
    """A region and the workspace that serves it."""

    region: str
    workspace_url: str


@router.get("/health")
def health() -> HealthOut:
    """Anonymous: says ok and nothing else."""
    return HealthOut()


@router.get("/health/db")
def health_db(_caller: Reader, services: Services) -> HealthOut:
    """Whether PostgreSQL answers; 503 where it does not."""
    services.database_ok()
    return HealthOut()


@router.post("/operations/migrate")
def migrate(_caller: Admin, services: Services) -> MigratedOut:
    """Bring the metadata schema up to date."""
    return MigratedOut(applied=list(services.migrate()))


@tenants.get("")
def list_tenants(
    caller: Admin, services: Services, limit: Limit = 100, cursor: Cursor = None
) -> Page[TenantOut]:
    """The caller's tenants, by name."""
    found = services.catalogue.tenants(caller.tenants, limit=limit + 1, after=name_cursor(cursor))
    rows, more = cut(found, limit)
    items = [_tenant(row) for row in rows]
    return Page(items=items, next_cursor=pack_name(items[-1].name) if more else None)


@tenants.get("/{name}")
def get_tenant(name: TenantPath, caller: Admin, services: Services) -> TenantOut:
    """One tenant."""
    found = services.catalogue.tenants(caller.tenants, name=name, limit=1)
    if not found:
        raise _unknown(name)
    return _tenant(found[0])


@tenants.put("/{name}")
def put_tenant(
    name: TenantPath, caller: Admin, services: Services, body: TenantBody | None = None
) -> TenantOut:
    """Make sure a tenant exists; the caller needs tenant:<name> or tenant:*, and the latter to name schemas."""
    if not caller.sees(name):
        raise _unknown(name)
    if body is not None and body.target_schemas is not None:
        _require_all_tenants(caller, "target_schemas")
    services.catalogue.put_tenant(name, caller.subject, body.target_schemas if body else None)
    return get_tenant(name, caller, services)


@tenants.get("/{name}/regions")
def list_regions(name: TenantPath, caller: Admin, services: Services) -> Page[RegionOut]:
    """The tenant's regions; all on one page."""
    get_tenant(name, caller, services)
    return Page(items=[RegionOut.model_validate(row) for row in services.catalogue.regions(name)])


@tenants.put("/{name}/regions")
def put_regions(name: TenantPath, body: RegionsBody, caller: Admin, services: Services) -> Page[RegionOut]:
    """Replace the tenant's regions; needs tenant:*, since credentials go to the workspaces named here."""
    get_tenant(name, caller, services)
    _require_all_tenants(caller, "regions")
    wanted = {each.region: each.workspace_url for each in body.regions}
    services.catalogue.put_regions(name, wanted, caller.subject)
    return list_regions(name, caller, services)


def _tenant(row: Mapping[str, Any]) -> TenantOut:
    return TenantOut(**row, secret_prefix=secret_prefix(row["name"]))


def _require_all_tenants(caller: Caller, what: str) -> None:
    if caller.tenants is not None:
        raise ForbiddenError(
            f"{what}: only who sees all tenants may set them", hint="ask for the role tenant:*"
        )


def _unknown(name: str) -> NotFoundError:
    return NotFoundError(f"tenant {name!r}: not found", hint="GET /api/v1/tenants lists what there is")
