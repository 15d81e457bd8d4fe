"""What directory syncs need from outside: where records come from, where they are kept, and how far a job got.

`scope` narrows a kind: a workspace's host for workspace_objects and job_metrics, a subscription's id for
project_costs, empty for users and groups. Times are aware, UTC.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, Protocol, get_args
from uuid import UUID

Kind = Literal["users", "groups", "workspace_objects", "job_metrics", "project_costs"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Listed = Literal["users", "groups", "workspace_objects"]
JobStatus = Literal["queued", "running", "success", "partial", "failed"]


@dataclass(frozen=True, slots=True)
class User:
    """A person; `id` is the directory's object id."""

    id: str
    principal_name: str
    display_name: str | None = None
    mail: str | None = None
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Group:
    """A group, without its members."""

    id: str
    name: str
    mail: str | None = None
    security: bool = True


@dataclass(frozen=True, slots=True)
class WorkspaceObject:
    """A catalog, schema or table-like; `name` is full and lower case, and unique in its workspace."""

    name: str
    type: str
    owner: str | None = None

    @property
    def id(self) -> str:
        """What tells it apart in its workspace."""
        return self.name


Entity = User | Group | WorkspaceObject


@dataclass(frozen=True, slots=True)
class JobRun:
    """A finished run of a job; `result` is the platform's word, such as SUCCESS or FAILED."""

    run_id: int
    job_id: int
    name: str | None
    result: str
    started_at: datetime
    ended_at: datetime
    creator: str | None = None


@dataclass(frozen=True, slots=True)
class ProjectCost:
    """What one project, by its tag, cost on one day. Recent days are restated for about three days."""

    project: str
    day: date
    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class Counts:
    """Records of a job so far, by what became of them; `skipped` ones could not be taken over."""

    received: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    skipped: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.received + other.received,
            self.created + other.created,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.removed + other.removed,
            self.skipped + other.skipped,
        )


class Records(Protocol):
    """Users, groups and workspace objects with their history; job runs and costs, appended. All idempotent."""

    def find(self, kind: Listed, scope: str, ids: Sequence[str]) -> Mapping[str, Entity]:
        """The current, not deleted ones among `ids`."""
        ...

    def put(self, kind: Listed, scope: str, entities: Sequence[Entity], job_uid: UUID) -> Counts:
        """Whole records: a version is made only of what differs, one deleted before comes back."""
        ...

    def live(self, kind: Listed, scope: str) -> int:
        """How many are current and not deleted."""
        ...

    def due(self, kind: Listed, scope: str, job_uid: UUID, *, full: bool) -> Sequence[str]:
        """Ids of live ones to remove, by the job's marks (`Progress.save`): after a full walk those not seen,
        otherwise those marked gone."""
        ...

    def remove(self, kind: Listed, scope: str, ids: Sequence[str], job_uid: UUID) -> int:
        """Mark as deleted, as a version; how many were live."""
        ...

    def append_runs(self, scope: str, runs: Sequence[JobRun], job_uid: UUID) -> Counts:
        """Append those whose run_id the workspace has none of yet."""
        ...

    def append_costs(self, scope: str, costs: Sequence[ProjectCost], job_uid: UUID) -> Counts:
        """Append where the newest row of (project, day, currency) says another amount; skips unknown projects."""
        ...


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One line of sync_jobs: that a job was queued, started or ended, and how."""

    uid: UUID
    kind: Kind
    scope: str
    status: JobStatus
    at: datetime
    requested_by: str
    started_at: datetime | None = None
    counts: Counts = field(default_factory=Counts)
    error: str | None = None


class JobLog(Protocol):
    """The append-only table sync_jobs."""

    def record(self, event: JobEvent) -> None:
        """Append it; the newest line of a uid is the job's status."""
        ...


@dataclass(frozen=True, slots=True)
class Claim:
    """A job as this delivery holds it. `cursor` is where the walk stands, empty at its begin.

    `resume` is what the last good job left for the next: a delta link or a watermark. `full`: the walk lists
    everything, so that what it does not see is gone. `proven` False: something could not be listed.
    `allowed_removals`: a person's one-shot ceiling. `failures`: tries since the last page was kept, this one included.
    """

    uid: UUID
    kind: Kind
    scope: str
    epoch: int
    started_at: datetime
    requested_by: str
    cursor: str = ""
    resume: str = ""
    full: bool = False
    proven: bool = True
    allowed_removals: int | None = None
    failures: int = 0
    counts: Counts = field(default_factory=Counts)


@dataclass(frozen=True, slots=True)
class LastJob:
    """What is known of the newest job of a kind and scope."""

    kind: Kind
    scope: str
    requested_at: datetime
    finished: bool


class Progress(Protocol):
    """How far jobs got, and who works on them; marks live in deltashare_state.directory_marks(job_uid, id, present).

    Writes of a claim that another delivery took raise FencedError.
    """

    def request(
        self, kind: Kind, scope: str, requested_by: str, at: datetime, allowed_removals: int | None = None
    ) -> tuple[UUID, bool]:
        """The unfinished job of this kind and scope and False, or a new one and True."""
        ...

    def latest(self) -> Sequence[LastJob]:
        """The newest job of each kind and scope."""
        ...

    def waiting(self) -> Sequence[UUID]:
        """Unfinished jobs that nobody holds and whose time has come."""
        ...

    def claim(self, uid: UUID) -> Claim | None:
        """The job, held for the lease; None where it is finished, unknown, held, or not due yet."""
        ...

    def save(self, claim: Claim, seen: Sequence[str] = (), gone: Sequence[str] = ()) -> None:
        """Keep cursor, proven and counts, renew the lease, reset failures; mark ids as there or gone.

        Of an id's marks the last one holds; one in both is there.
        """
        ...

    def begin(self, claim: Claim) -> None:
        """Keep full and resume, forget the cursor and the marks of an earlier attempt."""
        ...

    def give_back(self, claim: Claim, delay_s: float, error: str | None) -> None:
        """Let go of an unfinished job until later."""
        ...

    def finish(self, claim: Claim, status: JobStatus, resume: str | None, error: str | None) -> None:
        """End the job, forget its marks; `resume` None keeps what the claim had."""
        ...


@dataclass(frozen=True, slots=True)
class DeltaItem:
    """One entry of a delta page: only what the directory said. `removed` ones carry nothing else."""

    id: str
    values: Mapping[str, str | bool | None] = field(default_factory=dict)
    removed: bool = False


@dataclass(frozen=True, slots=True)
class DeltaPage:
    """A page and what follows: exactly one of `next_link` and `delta_link` is set."""

    items: tuple[DeltaItem, ...]
    next_link: str | None = None
    delta_link: str | None = None


class ChangeFeed(Protocol):
    """Users or groups as Microsoft Graph tells of them."""

    def delta(self, kind: Literal["users", "groups"], link: str) -> DeltaPage:
        """The page at `link`, or the first of everything for an empty one; LinkExpiredError for one too old."""
        ...


@dataclass(frozen=True, slots=True)
class ObjectPage:
    """A schema's objects (or a catalog's, or the catalogs) and where the walk stands afterwards.

    `complete` False: the workspace refused to list something, so absence from this page proves nothing.
    """

    objects: tuple[WorkspaceObject, ...]
    cursor: str
    complete: bool = True


class WorkspaceListing(Protocol):
    """What a workspace says of itself."""

    def objects(self, workspace: str, after: str) -> Iterator[ObjectPage]:
        """Catalogs, schemas and tables, page by page, from behind a cursor given before."""
        ...

    def active_since(self, workspace: str) -> Sequence[datetime]:
        """When each run that still runs began."""
        ...

    def finished_runs(self, workspace: str, since: datetime, until: datetime) -> Iterator[Sequence[JobRun]]:
        """Runs that began from `since` up to `until`, both included, and have ended; page by page."""
        ...


class CostSource(Protocol):
    """Azure's cost figures."""

    def costs(self, subscription: str, first: date, last: date) -> Iterator[Sequence[ProjectCost]]:
        """Daily costs by project tag, both days included, at most 31; page by page."""
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notice by one channel, as the log `notifications` keeps it; `error` where it failed for good."""

    uid: UUID
    dedupe_key: str
    kind: str
    channel: str
    subject: str
    text: str
    recipients: tuple[str, ...]
    status: Literal["sent", "failed"]
    attempts: int
    at: datetime
    pack_id: UUID | None = None
    error: str | None = None


class NotificationLog(Protocol):
    """The append-only table notifications."""

    def record(self, delivery: Delivery) -> None:
        """Append it."""
        ...
