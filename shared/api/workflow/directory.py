"""Routes of what surrounds share packs: directory syncs, runs of jobs, costs, notices, health."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Query, Request, Response

from shared.adapters.tokens import Caller
from shared.api.access import Operator, Reader
from shared.api.paging import Cursor, Limit, cut, moment_cursor, pack_moment
from shared.api.workflow.access import Services
from shared.api.workflow.answers import Answer, HealthOut, PageOut
from shared.api.workflow.bodies import SyncBody
from shared.errors import AppError, ForbiddenError, InvalidError
from shared.sharing.directory_ports import Kind

router = APIRouter(prefix="/workflow", tags=["share packs"])


class SyncOut(Answer):
    """The jobs that were queued, one a workspace or subscription."""

    message: str
    sync_job_ids: list[UUID]


class CostOut(Answer):
    """What a project cost on a day, by currency and subscription."""

    day: date
    amount: Decimal
    currency: str
    subscription_id: str | None
    recorded_at: datetime


class CostsOut(PageOut):
    """Newest day first."""

    items: list[CostOut]


class JobMetricOut(Answer):
    """A finished run of a job; `result` is the platform's word."""

    workspace_url: str
    job_id: str
    run_id: str
    job_name: str | None
    result: str
    started_at: datetime
    ended_at: datetime | None
    creator: str | None


class JobMetricsOut(PageOut):
    """Newest first."""

    items: list[JobMetricOut]


class SyncJobOut(Answer):
    """A directory sync as it stands."""

    job_uid: UUID
    kind: str
    scope: str | None
    status: str
    counts: dict[str, Any] | None
    error_message: str | None
    requested_by: str | None
    started_at: datetime | None
    at: datetime


class SyncJobsOut(PageOut):
    """Newest first."""

    items: list[SyncJobOut]


class NotificationOut(Answer):
    """A notice that was sent, or could not be."""

    kind: str
    channel: str
    status: str
    subject: str
    recipients: list[str]
    share_pack_id: UUID | None
    attempts: int
    error_message: str | None
    at: datetime


class NotificationsOut(PageOut):
    """Newest first."""

    items: list[NotificationOut]


@router.post("/sync/{kind}", status_code=202)
def request_sync(
    kind: Kind, caller: Operator, services: Services, body: Annotated[SyncBody | None, Body()] = None
) -> SyncOut:
    """Have users, groups, workspace objects, job metrics or costs read now; needs tenant:*."""
    _require_all_tenants(caller, f"sync {kind}")
    jobs = services.request_sync(kind, caller.name, body.allow_removals if body else None)
    if not jobs:
        raise InvalidError(
            f"sync {kind}: not set up",
            [("kind", f"{kind} has no source")],
            hint="users and groups need GRAPH_*, costs AZURE_SUBSCRIPTION_ID, the others DATABRICKS_HOSTS",
        )
    return SyncOut(message=f"{len(jobs)} queued", sync_job_ids=list(jobs))


@router.get("/projects/{project_id}/costs")
def costs(
    *,
    project_id: UUID,
    caller: Reader,
    services: Services,
    since: Annotated[date | None, Query(description="the first day")] = None,
    limit: Limit = 400,
) -> CostsOut:
    """A project's costs by day, newest first; all on one page."""
    rows = services.records.costs(project_id, caller.tenants, since=since, limit=limit)
    return CostsOut(items=[CostOut.model_validate(row) for row in rows])


@router.get("/job-metrics")
def job_metrics(
    *,
    caller: Reader,
    services: Services,
    job_id: Annotated[str | None, Query(max_length=100)] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> JobMetricsOut:
    """Finished runs of jobs in the caller's workspaces, newest first."""
    after = moment_cursor(cursor)
    found = services.records.job_runs(caller.tenants, job_id=job_id, limit=limit + 1, after=after)
    rows, more = cut(found, limit)
    last = pack_moment(rows[-1]["started_at"], rows[-1]["job_metric_id"]) if more else None
    return JobMetricsOut(items=[JobMetricOut.model_validate(row) for row in rows], next_cursor=last)


@router.get("/sync-jobs")
def sync_jobs(
    *,
    caller: Reader,
    services: Services,
    kind: Kind | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> SyncJobsOut:
    """Directory syncs; needs tenant:*, since they belong to nobody in particular."""
    _require_all_tenants(caller, "sync jobs")
    found = services.sync_jobs.jobs(kind=kind, limit=limit + 1, after=moment_cursor(cursor))
    rows, more = cut(found, limit)
    last = pack_moment(rows[-1]["at"], rows[-1]["job_uid"]) if more else None
    return SyncJobsOut(items=[SyncJobOut.model_validate(row) for row in rows], next_cursor=last)


@router.get("/notifications")
def notifications(
    *,
    caller: Reader,
    services: Services,
    share_pack_id: UUID | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> NotificationsOut:
    """What people were told about the caller's share packs."""
    found = services.notifications.entries(
        caller.tenants, share_pack_id=share_pack_id, limit=limit + 1, after=moment_cursor(cursor)
    )
    rows, more = cut(found, limit)
    last = pack_moment(rows[-1]["at"], rows[-1]["notification_id"]) if more else None
    return NotificationsOut(items=[NotificationOut.model_validate(row) for row in rows], next_cursor=last)


@router.get("/health", response_model_exclude_none=True)
def health(request: Request, response: Response, services: Services) -> HealthOut:
    """Anonymous callers hear only whether all is well; 503 where it is not."""
    database, tables = _tables(services)
    queue = _reached(services)
    response.status_code = 200 if database and queue else 503
    message = "healthy" if database and queue else "unhealthy"
    if getattr(request.state, "caller", None) is None:
        return HealthOut(message=message)
    return HealthOut(message=message, database_connected=database, queue_connected=queue, tables_count=tables)


def _tables(services: Services) -> tuple[bool, int]:
    try:
        return True, services.tables()
    except AppError:
        return False, 0


def _reached(services: Services) -> bool:
    try:
        services.queue_ok()
    except AppError:
        return False
    return True


def _require_all_tenants(caller: Caller, what: str) -> None:
    if caller.tenants is not None:
        raise ForbiddenError(f"{what}: only for who sees all tenants", hint="ask for the role tenant:*")
