"""Directory syncs: people, groups, workspace objects, job runs and costs, page by page into their history.

In: the uid of a job. Out: records, and the job's lines in sync_jobs. A page is written before the cursor moves, and
writing it again changes nothing, so a delivery that dies is simply repeated. Only a walk that came to its end
removes anything, and only what the guard lets pass.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import cast
from uuid import UUID

from shared.errors import FencedError, PermanentError, TransientError
from shared.sharing.directory_errors import LinkExpiredError, RemovalGuardError
from shared.sharing.directory_ports import (
    ChangeFeed,
    Claim,
    CostSource,
    Counts,
    DeltaPage,
    Entity,
    JobEvent,
    JobLog,
    JobStatus,
    Kind,
    Listed,
    Progress,
    Records,
    WorkspaceListing,
)
from shared.sharing.directory_rules import (
    MAX_FAILURES,
    Removals,
    chunks,
    days,
    hours,
    is_due,
    judge_removals,
    latest_items,
    merge,
    needed,
    people,
    retry_delay_s,
)
from shared.sharing.directory_walk import BudgetSpentError, Clock, Walk

REMOVED_AT_ONCE = 500
FIRST_RUNS = timedelta(days=7)
FIRST_COSTS = timedelta(days=30)
RESTATED = timedelta(days=3)
DAYS_A_QUERY = 31

Wanted = Sequence[tuple[Kind, str]]
Send = Callable[[UUID, float], None]
Tell = Callable[..., None]
Guard = Callable[[Removals, str, int | None], None]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where records come from. A kind whose source is missing fails its jobs with a clear word."""

    feed: ChangeFeed | None = None
    listing: WorkspaceListing | None = None
    costs: CostSource | None = None


class DirectoryRequests:
    """What makes jobs: the timer and people. `wanted` lists each kind and scope that this installation can sync."""

    def __init__(
        self, progress: Progress, log: JobLog, clock: Clock, wanted: Callable[[], Wanted], send: Send
    ) -> None:
        self._progress, self._log, self._clock = progress, log, clock
        self._wanted, self._send = wanted, send

    def run(self) -> int:
        """Queue what is due and send again what nobody works on; how many messages went out."""
        now = self._clock.now()
        last = {(job.kind, job.scope): job for job in self._progress.latest()}
        for kind, scope in self._wanted():
            if is_due(last.get((kind, scope)), kind, now):
                self._open(kind, scope, "timer", None)
        waiting = self._progress.waiting()
        for uid in waiting:
            self._send(uid, 0)
        return len(waiting)

    def request(self, kind: Kind, requested_by: str, allowed_removals: int | None = None) -> list[UUID]:
        """Queue jobs of a kind, one a scope, and send them; an unfinished one is given back. Empty: not set up."""
        scopes = [scope for wanted, scope in self._wanted() if wanted == kind]
        uids = [self._open(kind, scope, requested_by, allowed_removals) for scope in scopes]
        for uid in uids:
            self._send(uid, 0)
        return uids

    def _open(self, kind: Kind, scope: str, requested_by: str, allowed: int | None) -> UUID:
        now = self._clock.now()
        uid, fresh = self._progress.request(kind, scope, requested_by, now, allowed)
        if fresh:
            self._log.record(JobEvent(uid, kind, scope, "queued", now, requested_by))
        return uid


class DirectorySync:
    """Works on the job that a message names. `send` carries a continuation; `budget_s` is a delivery's time."""

    def __init__(
        self,
        progress: Progress,
        records: Records,
        log: JobLog,
        sources: Sources,
        clock: Clock,
        send: Send,
        tell: Tell,
        *,
        budget_s: float = 240.0,
        guard: Guard = judge_removals,
    ) -> None:
        self._progress, self._records, self._log, self._sources = progress, records, log, sources
        self._clock, self._send, self._tell = clock, send, tell
        self._budget_s, self._guard = budget_s, guard

    def run(self, uid: UUID) -> None:
        """Work on the job until it ends or the budget does; does nothing for one finished or held elsewhere."""
        claim = self._progress.claim(uid)
        if claim is None:
            return
        if claim.failures > MAX_FAILURES:
            # Deliveries that died cannot say so themselves.
            self._end(
                claim, "failed", None, f"{MAX_FAILURES} deliveries in a row died before they kept a page"
            )
            return
        if not claim.cursor:
            self._record(claim, "running", None)
        walk = Walk(claim, self._progress, self._clock, self._clock.monotonic() + self._budget_s)
        try:
            self._work(walk)
        except FencedError:
            self._tell("directory_sync_fenced", job=str(uid), kind=claim.kind)
        except BudgetSpentError:
            self._progress.give_back(walk.claim, 0, None)
            self._send(uid, 0)
        except TransientError as error:
            self._later(walk.claim, error)
        except PermanentError as error:
            self._end(walk.claim, "failed", None, error.message)

    def _work(self, walk: Walk) -> None:
        match walk.claim.kind:
            case "users" | "groups":
                self._follow_changes(walk)
            case "workspace_objects":
                self._list_objects(walk)
            case "job_metrics":
                self._append_runs(walk)
            case "project_costs":
                self._append_costs(walk)

    # people

    def _follow_changes(self, walk: Walk) -> None:
        feed = needed(self._sources.feed, "GRAPH_TENANT_ID, GRAPH_CLIENT_ID and GRAPH_CLIENT_SECRET")
        if not walk.claim.cursor:
            walk.begin(full=not walk.claim.resume)
        while True:
            link = walk.claim.cursor or walk.claim.resume
            try:
                page = feed.delta(people(walk.claim.kind), link)
            except LinkExpiredError:
                if walk.claim.full:
                    raise
                walk.begin(full=True)
                self._tell("delta_link_expired", level=logging.WARNING, kind=walk.claim.kind)
                continue
            self._keep_changes(walk, page)
            if page.next_link is None:
                break
            walk.turn_to(page.next_link)
        self._conclude(walk, page.delta_link)

    def _keep_changes(self, walk: Walk, page: DeltaPage) -> None:
        claim, items = walk.claim, latest_items(page.items)
        kind = people(claim.kind)
        present = [item for item in items if not item.removed]
        known: Mapping[str, Entity] = {}
        if not claim.full and present:
            known = self._records.find(kind, claim.scope, [item.id for item in present])
        merged = [merge(claim.kind, item, known.get(item.id)) for item in present]
        entities = [entity for entity in merged if entity is not None]
        counts = self._records.put(kind, claim.scope, entities, claim.uid) if entities else Counts()
        walk.count(replace(counts, received=len(items), skipped=counts.skipped + merged.count(None)))
        gone = [item.id for item in items if item.removed]
        walk.keep(cursor=page.next_link or claim.cursor, seen=[item.id for item in present], gone=gone)

    # workspaces

    def _list_objects(self, walk: Walk) -> None:
        listing = needed(self._sources.listing, "DATABRICKS_HOSTS")
        if not walk.claim.cursor:
            walk.begin(full=True)
        for page in listing.objects(walk.claim.scope, walk.claim.cursor):
            scope, uid = walk.claim.scope, walk.claim.uid
            counts = (
                self._records.put("workspace_objects", scope, page.objects, uid) if page.objects else Counts()
            )
            walk.count(replace(counts, received=len(page.objects)))
            walk.doubt(not page.complete)
            walk.keep(cursor=page.cursor, seen=[found.id for found in page.objects])
            walk.check_budget()
        self._conclude(walk, "")

    def _append_runs(self, walk: Walk) -> None:
        """Runs that began since the last job, and those it saw running that no longer do."""
        listing = needed(self._sources.listing, "DATABRICKS_HOSTS")
        claim = walk.claim
        if not claim.cursor:
            active = sorted({at.isoformat() for at in listing.active_since(claim.scope)})
            since, _, watched = claim.resume.partition("|")
            for began in sorted({at for at in watched.split(",") if at} - set(active)):
                self._take_runs(walk, datetime.fromisoformat(began), datetime.fromisoformat(began))
            walk.keep(cursor=f"{since or (claim.started_at - FIRST_RUNS).isoformat()}|{','.join(active)}")
        since, _, running = walk.claim.cursor.partition("|")
        for first, until in hours(datetime.fromisoformat(since), claim.started_at, timedelta(days=1)):
            self._take_runs(walk, first, until)
            walk.keep(cursor=f"{until.isoformat()}|{running}")
            walk.check_budget()
        self._end(walk.claim, "success", f"{claim.started_at.isoformat()}|{running}", None)

    def _take_runs(self, walk: Walk, first: datetime, until: datetime) -> None:
        listing = needed(self._sources.listing, "DATABRICKS_HOSTS")
        for runs in listing.finished_runs(walk.claim.scope, first, until):
            counts = self._records.append_runs(walk.claim.scope, runs, walk.claim.uid)
            walk.count(replace(counts, received=len(runs)))

    def _append_costs(self, walk: Walk) -> None:
        source = needed(self._sources.costs, "AZURE_SUBSCRIPTION_ID")
        claim = walk.claim
        today = claim.started_at.date()
        first = date.fromisoformat(claim.resume) - RESTATED if claim.resume else today - FIRST_COSTS
        if claim.cursor:
            first = date.fromisoformat(claim.cursor)
        for begin, last in days(first, today, DAYS_A_QUERY):
            for costs in source.costs(claim.scope, begin, last):
                counts = self._records.append_costs(claim.scope, costs, claim.uid)
                walk.count(replace(counts, received=len(costs)))
            walk.keep(cursor=(last + timedelta(days=1)).isoformat())
            walk.check_budget()
        self._end(walk.claim, "success", today.isoformat(), None)

    # ends

    def _conclude(self, walk: Walk, resume: str | None) -> None:
        """The walk came to its end: remove what it proved gone, then say how it went."""
        claim = walk.claim
        if not claim.proven:
            reason = "parts of the workspace could not be listed, so nothing was removed; check the grants"
            self._end(claim, "partial", None, reason)
            return
        try:
            self._remove(walk)
        except RemovalGuardError as error:
            # The link is not moved: the next job meets the same removals, until a person allows or undoes them.
            self._end(walk.claim, "partial", None, f"{error.message}; {error.hint}")
            return
        self._end(walk.claim, "success", resume, None)

    def _remove(self, walk: Walk) -> None:
        claim, kind = walk.claim, cast(Listed, walk.claim.kind)
        due = self._records.due(kind, claim.scope, claim.uid, full=claim.full)
        live = self._records.live(kind, claim.scope)
        removals = Removals(len(due), live, claim.counts.received, claim.full)
        self._guard(removals, claim.kind, claim.allowed_removals)
        for ids in chunks(due, REMOVED_AT_ONCE):
            walk.keep(cursor=claim.cursor)  # renews the lease, and stops a holder that lost it
            removed = self._records.remove(kind, claim.scope, ids, claim.uid)
            walk.count(Counts(removed=removed))

    def _later(self, claim: Claim, error: TransientError) -> None:
        failures = max(claim.failures, 1)
        if failures >= MAX_FAILURES:
            self._end(claim, "failed", None, error.message)
            return
        delay_s = retry_delay_s(failures, error.retry_after_s)
        self._progress.give_back(claim, delay_s, error.message)
        self._tell(
            "directory_sync_postponed",
            level=logging.WARNING,
            job=str(claim.uid),
            kind=claim.kind,
            code=error.code,
            delay_s=delay_s,
        )
        self._send(claim.uid, delay_s)

    def _end(self, claim: Claim, status: JobStatus, resume: str | None, error: str | None) -> None:
        self._record(claim, status, error)
        self._progress.finish(claim, status, resume, error)
        level = logging.INFO if status == "success" else logging.WARNING
        self._tell("directory_sync_ended", level=level, job=str(claim.uid), kind=claim.kind, status=status)

    def _record(self, claim: Claim, status: JobStatus, error: str | None) -> None:
        event = JobEvent(
            claim.uid,
            claim.kind,
            claim.scope,
            status,
            self._clock.now(),
            claim.requested_by,
            claim.started_at,
            claim.counts,
            error,
        )
        self._log.record(event)
