"""A directory store in memory, with the marks and fences of the real one, and a clock that tests move."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from shared.errors import FencedError
from shared.sharing.directory import DirectoryRequests, DirectorySync, Sources
from shared.sharing.directory_ports import (
    Claim,
    Counts,
    Entity,
    JobEvent,
    JobRun,
    JobStatus,
    Kind,
    LastJob,
    Listed,
    ProjectCost,
)

START = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.at, self.ticks, self.step = START, 0.0, 0.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        self.ticks += self.step
        return self.ticks

    def pass_(self, **time: float) -> None:
        self.at += timedelta(**time)


class Store:
    """Fulfils Records, Progress and JobLog."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.entities: dict[tuple[str, str], dict[str, Entity]] = {}
        self.versions: list[tuple[str, str]] = []
        self.runs: dict[tuple[str, int], JobRun] = {}
        self.costs: list[ProjectCost] = []
        self.projects: set[str] | None = None
        self.jobs: dict[UUID, Claim] = {}
        self.ended: dict[UUID, tuple[JobStatus, str | None]] = {}
        self.links: dict[tuple[Kind, str], str] = {}
        self.marks: dict[UUID, dict[str, bool]] = {}
        self.due_at: dict[UUID, datetime] = {}
        self.held: set[UUID] = set()
        self.requested: dict[UUID, datetime] = {}
        self.events: list[JobEvent] = []

    # Records

    def find(self, kind: Listed, scope: str, ids: Sequence[str]) -> dict[str, Entity]:
        return {id: e for id, e in self._kept(kind, scope).items() if id in ids}

    def put(self, kind: Listed, scope: str, entities: Sequence[Entity], job_uid: UUID) -> Counts:
        counts = Counts()
        for entity in entities:
            old = self._kept(kind, scope).get(entity.id)
            counts += Counts(created=old is None, updated=old not in (None, entity), unchanged=old == entity)
            if old != entity:
                self.versions.append((kind, entity.id))
            self._kept(kind, scope)[entity.id] = entity
        return counts

    def live(self, kind: Listed, scope: str) -> int:
        return len(self._kept(kind, scope))

    def due(self, kind: Listed, scope: str, job_uid: UUID, *, full: bool) -> list[str]:
        marks = self.marks.get(job_uid, {})
        return [id for id in self._kept(kind, scope) if marks.get(id, not full) is False]

    def remove(self, kind: Listed, scope: str, ids: Sequence[str], job_uid: UUID) -> int:
        return sum(self._kept(kind, scope).pop(id, None) is not None for id in ids)

    def append_runs(self, scope: str, runs: Sequence[JobRun], job_uid: UUID) -> Counts:
        fresh = [run for run in runs if (scope, run.run_id) not in self.runs]
        self.runs |= {(scope, run.run_id): run for run in fresh}
        return Counts(created=len(fresh), unchanged=len(runs) - len(fresh))

    def append_costs(self, scope: str, costs: Sequence[ProjectCost], job_uid: UUID) -> Counts:
        known = [c for c in costs if self.projects is None or c.project in self.projects]
        newest = {(c.project, c.day, c.currency): c for c in self.costs}
        fresh = [c for c in known if newest.get((c.project, c.day, c.currency)) != c]
        self.costs += fresh
        return Counts(created=len(fresh), unchanged=len(known) - len(fresh), skipped=len(costs) - len(known))

    def _kept(self, kind: str, scope: str) -> dict[str, Entity]:
        return self.entities.setdefault((kind, scope), {})

    # Progress

    def request(
        self, kind: Kind, scope: str, requested_by: str, at: datetime, allowed_removals: int | None = None
    ) -> tuple[UUID, bool]:
        for uid, job in self.jobs.items():
            if (job.kind, job.scope) == (kind, scope) and uid not in self.ended:
                return uid, False
        uid = uuid4()
        self.jobs[uid] = Claim(uid, kind, scope, 0, at, requested_by, allowed_removals=allowed_removals)
        self.due_at[uid], self.requested[uid] = at, at
        return uid, True

    def latest(self) -> list[LastJob]:
        last = {(job.kind, job.scope): uid for uid, job in self.jobs.items()}
        return [LastJob(*key, self.requested[uid], uid in self.ended) for key, uid in last.items()]

    def waiting(self) -> list[UUID]:
        return [
            uid for uid in self.jobs if uid not in self.ended | dict.fromkeys(self.held) and self._is_due(uid)
        ]

    def claim(self, uid: UUID) -> Claim | None:
        job = self.jobs.get(uid)
        if job is None or uid in self.ended or uid in self.held or not self._is_due(uid):
            return None
        resume = job.resume or self.links.get((job.kind, job.scope), "")
        resume = "" if job.full else resume
        self.jobs[uid] = replace(job, epoch=job.epoch + 1, failures=job.failures + 1, resume=resume)
        self.held.add(uid)
        return self.jobs[uid]

    def save(self, claim: Claim, seen: Sequence[str] = (), gone: Sequence[str] = ()) -> None:
        self._fence(claim)
        marks = self.marks.setdefault(claim.uid, {})
        marks |= dict.fromkeys(gone, False) | dict.fromkeys(seen, True)
        self.jobs[claim.uid] = claim

    def begin(self, claim: Claim) -> None:
        self._fence(claim)
        self.marks[claim.uid] = {}
        self.jobs[claim.uid] = claim
        self.links[(claim.kind, claim.scope)] = claim.resume

    def give_back(self, claim: Claim, delay_s: float, error: str | None) -> None:
        self._fence(claim)
        self.jobs[claim.uid] = claim
        self.due_at[claim.uid] = self.clock.at + timedelta(seconds=delay_s)
        self.held.discard(claim.uid)

    def finish(self, claim: Claim, status: JobStatus, resume: str | None, error: str | None) -> None:
        self._fence(claim)
        self.ended[claim.uid] = (status, error)
        self.held.discard(claim.uid)
        self.marks.pop(claim.uid, None)
        if resume is not None:
            self.links[(claim.kind, claim.scope)] = resume

    def die(self, uid: UUID) -> None:
        """The lease of a delivery that died ends."""
        self.held.discard(uid)

    def lose(self, uid: UUID) -> None:
        """The lease of whoever holds it ends, and another delivery takes it."""
        self.jobs[uid] = replace(self.jobs[uid], epoch=self.jobs[uid].epoch + 1)

    def _fence(self, claim: Claim) -> None:
        if self.jobs[claim.uid].epoch != claim.epoch:
            raise FencedError("another delivery has it")

    def _is_due(self, uid: UUID) -> bool:
        return self.due_at[uid] <= self.clock.at

    # JobLog

    def record(self, event: JobEvent) -> None:
        self.events.append(event)


class World:
    """A sync over the store; `sent` keeps the continuations, which `drain` works off."""

    def __init__(self, **sources: object) -> None:
        self.clock = Clock()
        self.store = Store(self.clock)
        self.sent: list[tuple[UUID, float]] = []
        self.told: list[str] = []
        self.sources = Sources(**sources)  # type: ignore[arg-type]
        self.options: dict[str, object] = {}

    def sync(self) -> DirectorySync:
        return DirectorySync(
            self.store,
            self.store,
            self.store,
            self.sources,
            self.clock,
            lambda uid, delay_s: self.sent.append((uid, delay_s)),
            lambda action, **_: self.told.append(action),
            **self.options,  # type: ignore[arg-type]
        )

    def requests(self, *wanted: tuple[Kind, str]) -> DirectoryRequests:
        return DirectoryRequests(
            self.store,
            self.store,
            self.clock,
            lambda: wanted,
            lambda uid, delay_s: self.sent.append((uid, delay_s)),
        )

    def run(self, kind: Kind, scope: str = "", allowed: int | None = None) -> tuple[JobStatus, str | None]:
        """One job from request to end; the clock jumps over every delay."""
        uid, _ = self.store.request(kind, scope, "ann", self.clock.at, allowed)
        self.sync().run(uid)
        while self.sent and uid not in self.store.ended:
            next_uid, delay_s = self.sent.pop(0)
            self.clock.pass_(seconds=delay_s)
            self.sync().run(next_uid)
        return self.store.ended[uid]

    @property
    def counts(self) -> Counts:
        """Of the job that ended last."""
        return self.store.events[-1].counts

    def ids(self, kind: Listed, scope: str = "") -> set[str]:
        return set(self.store.entities.get((kind, scope), {}))
