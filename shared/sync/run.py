"""One slice of one run, from its claim to its end or its continuation.

In: a Claim. Out: committed chunks, then an Ending, or the cursor for whoever comes next.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import msgspec

from shared.errors import (
    AppError,
    ConfigurationError,
    DeleteGuardError,
    FencedError,
    PermanentError,
    TransientError,
    UnprovenError,
)
from shared.failpoints import hit
from shared.sync import fetch, nights
from shared.sync.feed import CHUNK_ROWS, Feed, Progressed, Reading, joined
from shared.sync.fetch import Source, Walk
from shared.sync.guards import Guards
from shared.sync.load import load
from shared.sync.model import RunConfig
from shared.sync.ports import Claim, Clock, Counters, Ending, Ledger, Night, Target
from shared.sync.rehash import rehash
from shared.sync.retry import Retry
from shared.sync.rowversion import remembered
from shared.sync.stages import Stages
from shared.sync.verify import Verifier, ending

DELETE_BATCH = 50_000
UNPROVEN_BEFORE_PUBLISHING = 3
_PARTS_AT_MOST = 32

Outcome = Literal["ended", "continued", "backed_off", "fenced"]


class Told(Protocol):
    """Where a slice says what it does."""

    def __call__(self, action: str, /, *, level: int = 20, **fields: object) -> None:
        """One event; never a row's value."""


@dataclass(frozen=True, slots=True)
class SliceRunner:
    """Everything a slice needs, injected. `budget_s`: after it a slice hands over to its continuation."""

    target: Target
    ledger: Ledger
    guards: Guards
    clock: Clock
    budget_s: float
    full_max_rows: int
    split_rows: int
    tell: Told
    verifier: Verifier
    mask_key: Callable[[RunConfig], bytes | None] = lambda config: None
    open_claim: Callable[[Claim], Claim] = lambda claim: claim
    chunk_rows: int = CHUNK_ROWS
    delete_batch: int = DELETE_BATCH

    def run(self, claim: Claim, source: Callable[[], Source]) -> Outcome:
        """Work on the slice; every error ends in a decision recorded in the ledger, or leaves when it can't be."""
        try:
            return self._attempt(claim, source)
        except FencedError as error:
            self.tell("fenced", run=str(claim.run_uid), slice=claim.slice, reason=error.message)
            return "fenced"

    def _attempt(self, claim: Claim, source: Callable[[], Source]) -> Outcome:
        """The work, and what its errors lead to; the decision itself may find that the claim no longer stands."""
        try:
            return self._work(self.open_claim(claim), source, self.clock.monotonic())
        except FencedError:
            raise
        except PermanentError as error:
            return self._end(claim, Ending("failed", error))
        except TransientError as error:
            return self._later(claim, error, error.retry_after_s)
        except Exception as error:  # a defect must end in a visible failure, not in deliveries without end
            broken = PermanentError(
                f"{claim.config.slug}: the slice broke down ({type(error).__name__})",
                hint="this is a defect of Tributary: keep the run's id and report it",
                code="defect",
            )
            return self._later(claim, broken, None)

    def _work(self, claim: Claim, source: Callable[[], Source], started: float) -> Outcome:
        if claim.purpose == "rehash":
            return rehash(self, claim)
        if claim.purpose == "verify":
            return self._verify(claim, source())
        match claim.kind:
            case "publish":
                return self._publish(claim)
            case "retry":
                return self._retry(claim, started)
            case "conclude":
                return self._conclude(claim, _walked(claim), started)
            case "walk":
                return self._walk(claim, source(), started)

    def _verify(self, claim: Claim, source: Source) -> Outcome:
        result = self.verifier.run(self, claim, source)
        return "continued" if result is None else self._end(claim, ending(result))

    def _later(self, claim: Claim, error: AppError, wish_s: float | None) -> Outcome:
        """Queue the slice again while its attempts last, else fail the run."""
        if not self.ledger.back_off(claim, error, wish_s):
            return self._end(claim, Ending("failed", error))
        self.tell("backed_off", run=str(claim.run_uid), slice=claim.slice, code=error.code)
        return "backed_off"

    def _walk(self, claim: Claim, source: Source, started: float) -> Outcome:
        if claim.indexes_deferred and (claim.night is not None or not claim.first_load):
            # A first load ended before its time; nothing is looked up or written without the indexes.
            self.target.build_indexes(claim)
        if claim.night is not None:
            return self._walk_night(claim, claim.night, source, started)
        return self._pages(claim, source, self._first_part(claim, source), started)

    def _first_part(self, claim: Claim, source: Source) -> Progressed:
        """Where to go on; a large table that nobody has begun is cut, and the other parts left to other slices."""
        progressed = self._progressed(claim, source)
        if claim.cursor is not None:
            return progressed
        cursors = self._cuts(claim, source, progressed)
        if not cursors:
            return progressed
        parts = [replace(progressed, walk=walk) for walk in fetch.in_parts(progressed.walk, cursors)]
        self.ledger.split(claim, [part.to_cursor() for part in parts])
        self.tell("split", run=str(claim.run_uid), entity=claim.config.slug, parts=len(parts))
        return parts[0]

    def _cuts(self, claim: Claim, source: Source, progressed: Progressed) -> Sequence[str]:
        """Where to cut: only what is read whole, by cursor, and is large."""
        walk, probe = progressed.walk, progressed.probe or {}
        rows = probe.get("count") or probe.get("expected") or 0
        whole = walk.rowversion_gt is None and not walk.ordered and claim.config.pagination != "page"
        parts = min(_PARTS_AT_MOST, -(-rows // self.split_rows))
        return source.ranges(claim.config.slug, parts, claim.config.parameters) if whole and parts > 1 else ()

    def _walk_night(self, claim: Claim, night: Night, source: Source, started: float) -> Outcome:
        """A background load's slice: in chunks that fit tonight's share; after the window nothing is asked."""
        if self.clock.now() >= night.ends_at:
            return self._end(claim, Ending("success", night="goes_on"))
        at = self._progressed(claim, source)
        now = self.clock.now()
        if not at.walk.ended and nights.is_over(night, at.walk, at.probe, now):
            return self._end(claim, replace(self._landed(at), night="goes_on"))
        pace = nights.pace(night, at.walk, at.probe, now, self.chunk_rows)
        paced = replace(self, chunk_rows=pace.chunk_rows, budget_s=min(self.budget_s, pace.budget_s))
        return paced._pages(claim, source, at, started)

    def _pages(self, claim: Claim, source: Source, progressed: Progressed, started: float) -> Outcome:
        if not progressed.walk.ended:
            with Feed(self._reading(claim, source, started), progressed) as chunks:
                for number, chunk in enumerate(chunks, claim.chunk):
                    following = msgspec.convert(chunk.cursor, Progressed)
                    if claim.night is not None:
                        nights.demand_resumable(claim.config.slug, following.walk)
                    counters = load(chunk, replace(claim, chunk=number), self.target, self.guards)
                    self._tell_chunk(claim, number, counters)
                    progressed = following
                    self._check_size(claim, progressed.walk)
                    if not progressed.walk.ended and (outcome := self._pause(claim, progressed, started)):
                        return outcome
        return self._conclude(claim, progressed, started)

    def _retry(self, claim: Claim, started: float) -> Outcome:
        """Land stored rows that are due, batch by batch, and end the run when none is left."""
        if claim.indexes_deferred:
            self.target.build_indexes(claim)
        retry = Retry(self.target, self.guards, self.chunk_rows, self.mask_key)
        while (counters := retry.step(claim)) is not None:
            self._tell_chunk(claim, claim.chunk, counters)
            if self._over_budget(started):
                self.ledger.continue_later(claim)
                return "continued"
        return self._end(claim, Ending("success"))

    def _pause(self, claim: Claim, progressed: Progressed, started: float) -> Outcome | None:
        """Stop between two chunks: for the night, or for the slice's continuation."""
        night, now = claim.night, self.clock.now()
        if night is not None and nights.is_over(night, progressed.walk, progressed.probe, now):
            return self._end(claim, replace(self._landed(progressed), night="goes_on"))
        if self._over_budget(started):
            self.ledger.continue_later(claim)
            return "continued"
        return None

    def _reading(self, claim: Claim, source: Source, started: float) -> Reading:
        stages = Stages(claim.config, self.mask_key(claim.config))
        deadline = started + self.budget_s
        return Reading(claim, source, stages, self.guards, self.clock, deadline, self.chunk_rows)

    def _check_size(self, claim: Claim, walk: Walk) -> None:
        if claim.config.strategy == "full" and walk.rows > self.full_max_rows:
            raise ConfigurationError(
                f"{claim.config.slug}: more than {self.full_max_rows} rows are too many to publish at once",
                hint='set the entity\'s delta_strategy to "hash", or raise FULL_MAX_ROWS',
            )

    def _progressed(self, claim: Claim, source: Source) -> Progressed:
        """The slice's cursor, or a walk before its first page with the run's bound."""
        if claim.cursor is not None:
            return msgspec.convert(claim.cursor, Progressed)
        config = claim.config
        is_delta = config.strategy == "rowversion"
        lower = (
            self.guards.lower_bound(
                claim.watermark, config.overlap, config.version, **remembered(claim.last_probe)
            )
            if is_delta and config.version
            else None
        )
        probe = source.probe(config.slug, lower, config.parameters)
        # Whatever leaves a watermark fixes a bound, too: it must not pass rows that were still in flight.
        bounded = is_delta or (claim.purpose in ("refresh", "window") and config.version is not None)
        walk = fetch.first_request(config, probe, lower, is_delta=bounded)
        return Progressed(walk, None if probe is None else _taken(lower, probe))

    def _conclude(self, claim: Claim, progressed: Progressed, started: float) -> Outcome:
        """The walk is over: publish, delete what a proven pass did not meet, and end the run."""
        if claim.night is not None:
            return self._end(claim, self._loaded_by_night(claim, progressed))
        if progressed.walk.is_part and claim.kind == "walk":
            self.ledger.end_part(claim)
            return "continued"
        proof = fetch.proof(progressed.walk)
        proven = self.guards.completeness(proof.proven)
        if claim.config.strategy == "full":
            return self._to_publication(claim, proven, proof.reason)
        if claim.first_load:
            self.target.build_indexes(claim)
        if claim.config.reject_threshold_percent is not None:
            # Before anything is deleted, and before the watermark moves: what was refused comes again.
            totals = self.ledger.totals(claim)
            self.guards.rejects(totals, claim.config.reject_threshold_percent, claim.config.slug)
        trouble: AppError | None = None
        if not proven:
            trouble = _unproven(claim, proof.reason)
        elif claim.pass_uid is not None and not claim.deletes_barred:
            try:
                if not self._delete_missing(claim, started):
                    self.ledger.continue_later(claim)
                    return "continued"
            except DeleteGuardError as error:
                trouble = error
        return self._end(claim, self._ending(claim, progressed, proven, trouble))

    def _ending(self, claim: Claim, progressed: Progressed, proven: bool, trouble: AppError | None) -> Ending:
        walk = progressed.walk
        whole = walk.rowversion_gt is None and proven
        return Ending(
            status="partial" if trouble else "success",
            error=trouble,
            watermark=fetch.watermark(walk, claim.watermark) if proven else claim.watermark,
            bound=walk.bound,
            probe=_left_behind(claim, progressed),
            # These asked without a lower bound: their pair would tell the next delta nothing.
            proven=proven and claim.purpose not in ("sweep", "backfill"),
            filled=whole and claim.purpose != "sweep",
            swept=whole and (claim.first_load or claim.pass_uid is not None),
            changed=progressed.changed or {},
            ignored=progressed.ignored,
            spent=progressed.spent,
        )

    def _loaded_by_night(self, claim: Claim, progressed: Progressed) -> Ending:
        """How the last night ends: it deletes nothing, but the first delta asks from the bound of the first night."""
        proof = nights.proof_of_nights(progressed.walk)
        landed = self._landed(progressed)
        if not self.guards.completeness(proof.proven):
            return replace(landed, status="partial", error=_unproven(claim, proof.reason), night="again")
        bound = progressed.walk.bound
        reached = progressed.walk.greatest if bound is not None else None
        return replace(landed, watermark=reached, bound=bound, night="finished")

    def _landed(self, progressed: Progressed) -> Ending:
        return Ending("success", changed=progressed.changed or {}, ignored=progressed.ignored)

    def _delete_missing(self, claim: Claim, started: float) -> bool:
        """Soft-delete what the pass proved absent; false when the time budget ended first."""
        due = self.target.mark_missing(claim)
        hit("deletes.mark")
        if not due.keys_complete:
            return True
        if claim.soft_deleted == 0:
            self.guards.delete(due, claim.config.delete_guard_percent, claim.allow_deletes)
        while True:
            with self.target.delete_due(claim, self.delete_batch) as deletion:
                taken = deletion.delete()
                self.guards.fence(deletion)
                hit("deletes.before_commit")
            hit("deletes.chunk")
            if taken < self.delete_batch:
                return True
            if self._over_budget(started):
                return False

    def _to_publication(self, claim: Claim, proven: bool, reason: str | None) -> Outcome:
        if not proven and claim.unproven_snapshots + 1 < UNPROVEN_BEFORE_PUBLISHING:
            ending = Ending(
                "partial", _unproven(claim, reason), unproven_snapshots=claim.unproven_snapshots + 1
            )
            return self._end(claim, ending)
        self.ledger.begin_publish(claim)
        return "continued"

    def _publish(self, claim: Claim) -> Outcome:
        before = _walked(claim)
        walk = before.walk
        proven = self.guards.completeness(fetch.proof(walk).proven)
        if not (claim.cursor or {}).get("published"):
            try:
                self._publish_snapshot(claim, walk.attempt if proven else None)
            except DeleteGuardError as error:
                # Only a snapshot proven complete may delete: it ends the row of unproven ones, published or not.
                return self._end(claim, Ending("failed", error, unproven_snapshots=0))
        trouble = None if proven else _unproven(claim, "published without deletes after three unproven walks")
        return self._end(
            claim,
            Ending(
                status="success" if proven else "partial",
                error=trouble,
                probe=before.probe,
                proven=proven,
                swept=proven,
                filled=proven,
                # Behind the third in a row, each further one is published, too.
                unproven_snapshots=0 if proven else None,
                changed=before.changed or {},
                ignored=before.ignored,
                spent=before.spent,
            ),
        )

    def _publish_snapshot(self, claim: Claim, proven: int | None) -> None:
        """Publish what was staged; `proven` numbers the walk proven complete; without one nothing is deleted."""
        with self.target.publication(claim) as publication:
            settled = publication.settle(proven)
            fetched = publication.walked() + settled
            self.guards.rejects(fetched, claim.config.reject_threshold_percent, claim.config.slug)
            if self.guards.hold_children and claim.config.parents:
                settled = settled + publication.hold()
            due = publication.due()
            may_delete = proven is not None and due.keys_complete and not claim.deletes_barred
            if may_delete:
                self.guards.delete(due, claim.config.delete_guard_percent, claim.allow_deletes)
            counters = publication.apply(delete=may_delete) + settled
            self.guards.conservation(
                publication.walked() + counters, where=f"{claim.config.slug}, publication"
            )
            self.guards.fence(publication)
            publication.close(counters)
            hit("publish.before_commit")
        hit("publish.after_commit")

    def _end(self, claim: Claim, ending: Ending) -> Outcome:
        self.ledger.end(claim, ending)
        code = None if ending.error is None else ending.error.code
        self.tell(
            "run_ended", run=str(claim.run_uid), entity=claim.config.slug, status=ending.status, code=code
        )
        return "ended"

    def _over_budget(self, started: float) -> bool:
        return self.clock.monotonic() - started >= self.budget_s

    def _tell_chunk(self, claim: Claim, number: int, counters: Counters) -> None:
        self.tell(
            "chunk_committed",
            run=str(claim.run_uid),
            entity=claim.config.slug,
            chunk=number + 1,
            rows=counters.fetched,
            inserted=counters.inserted,
            updated=counters.updated,
            rejected=counters.rejected,
        )


def _taken(lower: str | None, probe: fetch.Probe) -> dict[str, Any]:
    """A probe as it is remembered."""
    pair = {"lower": lower, "max_rowversion": probe.max_rowversion, "count": probe.count}
    rest = {"deletes": probe.deletes, "expected": probe.expected}
    return pair | {name: value for name, value in rest.items() if value is not None}


def _left_behind(claim: Claim, progressed: Progressed) -> Mapping[str, Any] | None:
    """The probe taken before the walk; with it, for versions without arithmetic, the last one below the watermark."""
    config, walk = claim.config, progressed.walk
    if config.version is None or config.version.kind != "text" or config.strategy != "rowversion":
        return progressed.probe
    nothing = {"lower": walk.rowversion_gt, "max_rowversion": None, "count": None}
    previous = remembered(claim.last_probe)["previous"]
    if walk.greatest is not None and (claim.watermark is None or walk.greatest >= claim.watermark):
        moved = walk.greatest != claim.watermark
        previous = walk.second or (claim.watermark if moved else previous)
    return {**(progressed.probe or nothing), "previous": previous}


def _walked(claim: Claim) -> Progressed:
    """What the run's walk ended with, all its parts as one."""
    return joined([msgspec.convert(cursor, Progressed) for cursor in claim.walked])


def _unproven(claim: Claim, reason: str | None) -> UnprovenError:
    return UnprovenError(
        f"{claim.config.slug}: the walk could not be proven complete ({reason}); rows landed, nothing was deleted and"
        " no watermark moved",
        hint="the next run walks again; if it stays so, offer a keyset cursor or a stable total at the connector",
    )
