"""What the share packs' routes act through. Composition fills it; tests fill it with fakes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol
from uuid import UUID

from shared.sharing.directory_ports import Kind
from shared.sharing.workflow import Workflow

Tenants = frozenset[str] | None
After = tuple[datetime, UUID] | None


class Figures(Protocol):
    """Costs, runs of jobs, directory syncs, notices."""

    def costs(
        self, project_id: UUID, tenants: Tenants, *, first: date | None, last: date | None, limit: int
    ) -> Sequence[Mapping[str, Any]]: ...
    def job_metrics(self, tenants: Tenants, *, limit: int, after: After) -> Sequence[Mapping[str, Any]]: ...
    def sync_jobs(self, *, kind: str | None, limit: int, after: After) -> Sequence[Mapping[str, Any]]: ...
    def notifications(self, tenants: Tenants, *, limit: int, after: After) -> Sequence[Mapping[str, Any]]: ...
    def tables(self) -> int: ...


@dataclass(frozen=True, slots=True)
class WorkflowServices:
    """`request_sync` queues directory syncs of a kind: its jobs, none where it is not set up.

    `queue_ok` raises where the queue cannot be reached.
    """

    workflow: Workflow
    figures: Figures
    request_sync: Callable[[Kind, str, int | None], Sequence[UUID]]
    queue_ok: Callable[[], object]
