"""Routes of figures: the same facts as JSON and as Prometheus text, never of tenants that the caller does not see."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

from shared.adapters.tokens import Caller
from shared.api.access import Reader, Services
from shared.api.ports import ApiServices

router = APIRouter(tags=["operations"])
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = tuple[tuple[str, str], ...]
Values = dict[Labels, float]
_SHOWN, _MEASURED = 100, 5000  # entities in the answer, and in the metrics


class EntityErrorsOut(BaseModel):
    """An entity's rows of the last 24 hours that became rejects; `warning` above ERROR_RATE_WARNING_PERCENT."""

    entity_uid: UUID
    slug: str
    connector: str
    fetched: int
    rejected: int
    error_rate: float
    warning: bool


class StatsOut(BaseModel):
    """The caller's tables now, and his runs of the last 24 hours.

    `error_rate` is the share of fetched rows that became rejects, `failed_runs_rate` that of ended runs that failed.
    `entity_errors` lists entities with rejects, the worst first. `slices`: work in line; waiting slices have no slot
    yet. `queues`: messages by queue, for who sees all tenants.
    """

    entities: int
    fresh: int
    stale: int
    runs: dict[str, int]
    rows: dict[str, int]
    error_rate: float
    failed_runs_rate: float
    warnings: int
    entity_errors: list[EntityErrorsOut]
    open_rejects: int
    waiting_children: int
    orphans: int
    slices: dict[str, int]
    queues: dict[str, int | None]


@router.get("/api/v1/stats")
def stats(
    caller: Reader, services: Services, entity_uid: UUID | None = None, connector_uid: UUID | None = None
) -> StatsOut:
    """Figures over the caller's entities, over those of one connector, or over one."""
    figures = _figures(services, caller, entity_uid, connector_uid)
    with_rejects = [one for one in figures.entity_errors if one.rejected]
    return figures.model_copy(update={"entity_errors": with_rejects[:_SHOWN]})


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(caller: Reader, services: Services) -> PlainTextResponse:
    """The same for Prometheus; scrape it with a bearer token of role reader."""
    lines = "\n".join(_lines(_figures(services, caller)))
    return PlainTextResponse(lines + "\n", media_type=MEDIA_TYPE)


def _figures(
    services: ApiServices, caller: Caller, entity_uid: UUID | None = None, connector_uid: UUID | None = None
) -> StatsOut:
    found = services.overview.stats(
        caller.tenants, entity_uid=entity_uid, connector_uid=connector_uid, limit=_MEASURED
    )
    runs, rows = found["runs"], found["rows"]
    ended = sum(runs.get(status, 0) for status in ("success", "partial", "failed"))
    errors = [_errors(row, services.error_rate_warning_percent) for row in found["by_entity"]]
    return StatsOut(
        **{name: value for name, value in found.items() if name in StatsOut.model_fields},
        error_rate=_share(rows.get("rejected", 0), rows.get("fetched", 0)),
        failed_runs_rate=_share(runs.get("failed", 0), ended),
        warnings=sum(one.warning for one in errors),
        entity_errors=errors,
        queues=dict(services.queue_depths()) if caller.tenants is None else {},
    )


def _errors(row: Mapping[str, Any], warning_percent: float) -> EntityErrorsOut:
    rate = _share(row["rejected"], row["fetched"])
    return EntityErrorsOut(**row, error_rate=rate, warning=rate * 100 > warning_percent)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _lines(figures: StatsOut) -> Iterator[str]:
    """Prometheus text. Runs and rows are gauges: they cover a sliding day, so they also fall."""
    yield from _metric("entities", "Tables that are synced", {(): figures.entities})
    freshness: Values = {(("state", "fresh"),): figures.fresh, (("state", "stale"),): figures.stale}
    yield from _metric("entities_by_freshness", "Tables by freshness", freshness)
    yield from _metric("runs_24h", "Runs of the last 24 hours", _by("status", figures.runs))
    yield from _metric("rows_24h", "Rows of the last 24 hours by outcome", _by("outcome", figures.rows))
    yield from _metric("error_ratio", "Share of fetched rows that became rejects", {(): figures.error_rate})
    yield from _metric("failed_runs_ratio", "Share of ended runs that failed", {(): figures.failed_runs_rate})
    yield from _metric("warnings", "Tables whose error ratio is above the warning", {(): figures.warnings})
    by_entity: Values = {
        (("connector", one.connector), ("entity", one.slug), ("uid", str(one.entity_uid))): one.error_rate
        for one in figures.entity_errors
    }
    yield from _metric("entity_error_ratio", "The same share by table", by_entity)
    yield from _metric("open_rejects", "Rejects nobody resolved yet", {(): figures.open_rejects})
    yield from _metric("waiting_children", "Rows that wait for a parent", {(): figures.waiting_children})
    yield from _metric("orphans", "Rows whose parent did not come", {(): figures.orphans})
    yield from _metric("slices", "Slices in line", _by("state", figures.slices))
    known = {queue: depth for queue, depth in figures.queues.items() if depth is not None}
    yield from _metric("queue_messages", "Messages by queue", _by("queue", known))


def _by(label: str, values: Mapping[str, int]) -> dict[Labels, float]:
    return {((label, name),): value for name, value in values.items()}


def _metric(name: str, text: str, values: Mapping[Labels, float]) -> Iterator[str]:
    yield f"# HELP tributary_{name} {text}"
    yield f"# TYPE tributary_{name} gauge"
    for labels, value in values.items():
        shown = ",".join(f'{label}="{_escaped(each)}"' for label, each in labels)
        yield f"tributary_{name}{{{shown}}} {value}" if shown else f"tributary_{name} {value}"


def _escaped(value: str) -> str:
    """A label's value: sources name tables, and a line end in a name must not forge a metric."""
    plain = "".join(c if c.isprintable() else "\ufffd" for c in value)
    return plain.replace("\\", "\\\\").replace('"', '\\"')
