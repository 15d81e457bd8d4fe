"""Routes of operation: health, figures, migrations, tenants."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel

from shared.api.access import Admin, Reader, Services
from shared.api.bodies import TenantName
from shared.api.paging import Cursor, Limit, Page, cut
from shared.errors import NotFoundError

router = APIRouter(prefix="/api/v1", tags=["operations"])
tenants = APIRouter(prefix="/api/v1/tenants", tags=["tenants"])


class HealthOut(BaseModel):
    """Alive."""

    status: str = "ok"


class MigratedOut(BaseModel):
    """The migrations just applied."""

    applied: list[str]


class StatsOut(BaseModel):
    """The caller's tables now, and his runs of the last 24 hours."""

    entities: int
    fresh: int
    stale: int
    runs: dict[str, int]
    rows: dict[str, int]
    error_rate: float
    open_rejects: int


class TenantOut(BaseModel):
    """A tenant."""

    name: str
    created_at: datetime


@router.get("/health")
def health() -> HealthOut:
    """Anonymous: says ok and nothing else."""
    return HealthOut()


@router.get("/health/db")
def health_db(_caller: Reader, services: Services) -> HealthOut:
    """Whether PostgreSQL answers; 503 where it does not."""
    services.database_ok()
    return HealthOut()


@router.get("/stats")
def stats(caller: Reader, services: Services) -> StatsOut:
    """Figures over the caller's entities."""
    figures = dict(services.overview.stats(caller.tenants))
    runs = figures["runs"]
    ended = sum(runs.get(status, 0) for status in ("success", "partial", "failed"))
    return StatsOut.model_validate(figures | {"error_rate": runs.get("failed", 0) / ended if ended else 0.0})


@router.post("/operations/migrate")
def migrate(_caller: Admin, services: Services) -> MigratedOut:
    """Bring the metadata schema up to date."""
    return MigratedOut(applied=list(services.migrate()))


@tenants.get("")
def list_tenants(
    caller: Admin, services: Services, limit: Limit = 100, cursor: Cursor = None
) -> Page[TenantOut]:
    """The caller's tenants, by name."""
    rows, more = cut(services.catalogue.tenants(caller.tenants, limit=limit + 1, after=cursor), limit)
    items = [TenantOut.model_validate(row) for row in rows]
    return Page(items=items, next_cursor=items[-1].name if more else None)


@tenants.get("/{name}")
def get_tenant(name: str, caller: Admin, services: Services) -> TenantOut:
    """One tenant."""
    found = services.catalogue.tenants(caller.tenants, name=name, limit=1)
    if not found:
        raise _unknown(name)
    return TenantOut.model_validate(found[0])


@tenants.put("/{name}")
def put_tenant(name: Annotated[TenantName, Path()], caller: Admin, services: Services) -> TenantOut:
    """Make sure a tenant exists; the caller needs tenant:<name> or tenant:*."""
    if not caller.sees(name):
        raise _unknown(name)
    services.catalogue.add_tenant(name, caller.subject)
    return get_tenant(name, caller, services)


def _unknown(name: str) -> NotFoundError:
    return NotFoundError(f"tenant {name!r}: not found", hint="GET /api/v1/tenants lists what there is")
