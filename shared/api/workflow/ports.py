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
Rows = Sequence[Mapping[str, Any]]


class Records(Protocol):
    """Runs of jobs and costs, as far as the caller's tenants have them."""

    def job_runs(
        self, tenants: Tenants, *, job_id: str | None = None, limit: int = 100, after: After = None
    ) -> Rows:
        """Newest first."""
        ...

    def costs(
        self, project_id: UUID, tenants: Tenants, *, since: date | None = None, limit: int = 400
    ) -> Rows:
        """Day by day, newest first; raises NotFoundError."""
        ...


class SyncJobs(Protocol):
    """Directory syncs."""

    def jobs(self, *, kind: str | None = None, limit: int = 100, after: After = None) -> Rows:
        """By their newest line, newest first."""
        ...


class Notifications(Protocol):
    """What people were told."""

    def entries(
        self, tenants: Tenants, *, share_pack_id: UUID | None = None, limit: int = 100, after: After = None
    ) -> Rows:
        """Newest first."""
        ...


@dataclass(frozen=True, slots=True)
class WorkflowServices:
    """`request_sync` queues directory syncs of a kind: its jobs, none where it is not set up.

    `tables` counts share packs' tables; it and `queue_ok` raise where database or queue cannot be reached.
    """

    workflow: Workflow
    records: Records
    sync_jobs: SyncJobs
    notifications: Notifications
    request_sync: Callable[[Kind, str, int | None], Sequence[UUID]]
    tables: Callable[[], int]
    queue_ok: Callable[[], object]
