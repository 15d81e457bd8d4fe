"""A verification at work: source against target, in slices like any run, and nothing of either is written.

In: the claim of a run whose purpose is `verify`. Out: a Verdict. The source's pages pass the value stages and the
target's blocks are hashed in threads of their own, side by side; memory holds two parts of each, two tables of
sums, and of differing buckets no more rows than COLLECT_ROWS.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec
import numpy as np
import polars as pl

from shared.errors import AppError, PermanentError
from shared.failpoints import hit
from shared.sync import buckets, fetch, fingerprint, identity
from shared.sync.abreast import abreast
from shared.sync.buckets import Buckets
from shared.sync.feed import CHUNK_ROWS, Feed, Progressed, Reading
from shared.sync.fetch import Probe, Source
from shared.sync.guards import Guards
from shared.sync.model import KEY_HASH, REFERENCE, ROW_HASH, Batch, Kind, RunConfig, no_rejects
from shared.sync.ports import Chunk, Claim, Clock, Ending, Ledger
from shared.sync.stages import Stages
from shared.sync.verdict import Gathered, judge, suspects, verdict
from shared.sync.verify_steps import STEPS, Looking
from shared.sync.verifying import (
    DELETED_ROW,
    STORED_HASH,
    STORED_KEY,
    UNTOUCHED,
    Piece,
    Standing,
    Step,
    SyncState,
    TargetPart,
    Verdict,
    Verifications,
    basis_of,
    shown,
)

COLLECT_ROWS = 200_000  # rows of differing buckets that are gathered, a side
SUSPECTS = 10_000  # keys that get a second look
CHECKPOINT_S = 15.0

Taken = Chunk | TargetPart


class Worker(Protocol):
    """What a verification needs of the slice runner."""

    @property
    def guards(self) -> Guards: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def budget_s(self) -> float: ...
    @property
    def chunk_rows(self) -> int: ...
    @property
    def mask_key(self) -> Callable[[RunConfig], bytes | None]: ...


@dataclass(frozen=True, slots=True)
class Verifier:
    """Carries a verification on; `checkpoint_s` between two of its commits."""

    store: Verifications
    checkpoint_s: float = CHECKPOINT_S
    collect_rows: int = COLLECT_ROWS
    suspects: int = SUSPECTS

    def run(self, worker: Worker, claim: Claim, source: Source) -> Verdict | None:
        """Work on the slice; the verdict, or None when the slice's time ended first and everything is saved."""
        done = self.store.verdict(claim)
        return done or _Verification(self, worker, claim, source).work()


@dataclass(slots=True)
class _Verification:
    """One delivery's part of a verification."""

    verifier: Verifier
    worker: Worker
    claim: Claim
    source: Source
    started: float = 0.0
    saved_at: float = 0.0

    @property
    def store(self) -> Verifications:
        return self.verifier.store

    @property
    def config(self) -> RunConfig:
        return self.claim.config

    def work(self) -> Verdict | None:
        """Steps until the verdict, or until the time is up."""
        self.started = self.saved_at = self.worker.clock.monotonic()
        state = self.store.state(self.claim)
        refused = _refusal(self.config, state, indexes_deferred=self.claim.indexes_deferred)
        if refused is not None:
            return self._concluded(Verdict("unverified", why=refused))
        standing = self._standing(state)
        if (
            standing.basis.kind == "none"
            and standing.basis.deletes_by_sweep
            and self.config.version is not None
        ):
            return self._concluded(Verdict("unverified", why=_no_watermark(self.config)))
        while True:
            read = self._read(standing)
            if read is None:
                return None
            following = self._after(read)
            if isinstance(following, Verdict):
                return self._concluded(self._described(following, read))
            standing = following

    def _standing(self, state: SyncState) -> Standing:
        if self.claim.cursor is not None:
            return msgspec.convert(self.claim.cursor, Standing)
        return Standing(basis_of(state, self.config), self._begun())

    def _begun(self) -> Progressed:
        """A walk over the whole source, before its first page."""
        probe = self._probe()
        walk = fetch.first_request(self.config, probe, None, is_delta=self.config.version is not None)
        taken = None if probe is None else {"max_rowversion": probe.max_rowversion, "count": probe.count}
        return Progressed(walk, taken)

    def _probe(self) -> Probe | None:
        return self.source.probe(self.config.slug, None, self.config.parameters)

    def _concluded(self, result: Verdict) -> Verdict:
        self.store.conclude(self.claim, result)
        hit("verify.concluded")
        return result

    def _described(self, result: Verdict, standing: Standing) -> Verdict:
        basis = standing.basis
        facts = {
            "bound": shown(basis, self.config.version),
            "bound_kind": basis.kind,
            "overlap": basis.overlap,
            "buckets": buckets.COUNT,
            "source_rows": standing.source_rows,
            "target_rows": standing.target_rows,
            "above_bound": standing.above,
            "refused_by_rules": standing.refused,
            "without_key": standing.keyless,
            "soft_deleted": standing.deleted,
        }
        return replace(result, findings={**facts, **result.findings})

    # Reading

    def _read(self, standing: Standing) -> Standing | None:
        """Both sides to their ends; None when the time was up first."""
        step = STEPS[standing.step](self.store, self.claim, standing)
        with closing(abreast(*self._streams(standing))) as items:
            for item in items:
                standing = self._take(standing, step, item)
                over = self._spent() >= self.worker.budget_s
                if over or self.worker.clock.monotonic() - self.saved_at >= self.verifier.checkpoint_s:
                    self._save(standing, step)
                if over and not (standing.source.walk.ended and standing.target_ended):
                    self.worker.ledger.continue_later(self.claim)
                    return None
        if standing.step == "sum":
            standing = replace(standing, source_rows=step.sums[0].rows, target_rows=step.sums[1].rows)
        self._save(standing, step)
        return standing

    def _spent(self) -> float:
        return self.worker.clock.monotonic() - self.started

    def _save(self, standing: Standing, step: Looking) -> None:
        self.store.save(self.claim, standing, step.sums, step.pieces, afresh=step.afresh)
        step.pieces.clear()
        step.afresh = False
        self.saved_at = self.worker.clock.monotonic()
        hit("verify.saved")

    def _streams(self, standing: Standing) -> list[Callable[[], Generator[Taken, None, None]]]:
        streams: list[Callable[[], Generator[Taken, None, None]]] = []
        if not standing.source.walk.ended:
            streams.append(lambda: self._chunks(standing))
        if not standing.target_ended:
            streams.append(lambda: self._parts(standing))
        return streams

    def _chunks(self, standing: Standing) -> Generator[Taken, None, None]:
        summing = standing.step == "sum"
        stages = Stages(
            self.config,
            self.worker.mask_key(self.config),
            identify=fingerprint.apply if summing else fingerprint.named,
        )
        deadline = self.started + self.worker.budget_s
        reading = Reading(self.claim, self.source, stages, self.worker.guards, self.worker.clock, deadline,
                          min(self.worker.chunk_rows, CHUNK_ROWS))  # fmt: skip
        with Feed(reading, standing.source) as chunks:
            yield from chunks

    def _parts(self, standing: Standing) -> Generator[Taken, None, None]:
        """The target's parts, hashed as the source's rows are."""
        whole = standing.step != "sum"
        for part in self.store.reader(self.claim).parts(standing.block, whole=whole):
            yield replace(part, rows=self._hashed(part.rows, whole=whole))

    def _hashed(self, rows: pl.DataFrame, *, whole: bool) -> pl.DataFrame:
        compare = fingerprint.named if whole else fingerprint.apply
        hashed = compare(Batch(rows, no_rejects()), self.config).rows
        if not whole:
            return hashed
        return hashed.with_columns(_untouched(hashed, self.config).alias(UNTOUCHED))

    def _take(self, standing: Standing, step: Looking, item: Taken) -> Standing:
        if isinstance(item, TargetPart):
            step.target(item)
            deleted = int(item.rows[DELETED_ROW].sum())
            return replace(standing, block=item.next_block or 0, target_ended=item.ended,
                           deleted=standing.deleted + (deleted if standing.step == "sum" else 0))  # fmt: skip
        if item.attempt > standing.attempt:
            # Another walk of the same source: what the one before it gave is not to be counted twice.
            step.begin_again()
            standing = replace(standing, above=0, refused=0, keyless=0)
        counted = step.source(item)
        progressed = msgspec.convert(item.cursor, Progressed)
        standing = replace(standing, source=progressed, attempt=item.attempt)
        if standing.step != "sum":
            return standing
        return replace(standing, above=standing.above + counted.above, refused=standing.refused + item.rejects.height,
                       keyless=standing.keyless + item.keyless)  # fmt: skip

    # Deciding

    def _after(self, standing: Standing) -> Standing | Verdict:
        proof = fetch.proof(standing.source.walk)
        if not self.worker.guards.completeness(proof.proven):
            return Verdict("unverified", why=_unproven(self.config, proof.reason))
        return self._compared(standing) if standing.step == "sum" else self._judged(standing)

    def _compared(self, standing: Standing) -> Standing | Verdict:
        """After the sums: equal, or the buckets to gather."""
        source, target = self.store.sums(self.claim)
        self._settle_aside(target)
        differing = source.differing(target)
        if not differing:
            nothing = pl.DataFrame(
                schema={KEY_HASH: pl.Binary, "label": pl.String, "sure": pl.Boolean, REFERENCE: pl.String}
            )
            result = verdict(nothing, standing, 0, complete=True)
            return replace(result, findings={**result.findings, "differing_buckets": 0})
        sizes = np.cumsum(source.sizes(target)[differing])
        fitting = max(1, int(np.searchsorted(sizes, self.verifier.collect_rows, side="right")))
        chosen = tuple(differing[:fitting])
        return self._again(replace(standing, differing=len(differing), buckets=chosen), "collect")

    def _settle_aside(self, target: Buckets) -> None:
        """Rows that the source holds newer, or refuses: their older copies in the target are not counted either."""
        keys = self.store.pieces(self.claim, "sum", "aside").unique(KEY_HASH)
        keys = keys.join(self.store.excused(self.claim), on=KEY_HASH, how="anti")
        for rows in self.store.reader(self.claim).of_keys(keys[KEY_HASH].to_list(), whole=False):
            hashed = self._hashed(rows, whole=False)
            target.remove(hashed.filter(~pl.col(DELETED_ROW)))

    def _again(self, standing: Standing, step: Step, pieces: Sequence[Piece] = ()) -> Standing:
        """The next look at both sides, from their beginnings."""
        following = replace(standing, step=step, source=self._begun(), block=0, target_ended=False, attempt=1)
        self.store.save(self.claim, following, self.store.sums(self.claim), pieces, afresh=True)
        return following

    def _judged(self, standing: Standing) -> Standing | Verdict:
        """After gathering: what differs gets a second look; what still does is the answer."""
        complete = len(standing.buckets) == standing.differing
        judged = judge(self._gathered(standing))
        doubtful = suspects(judged)
        if standing.step == "confirm" or doubtful.is_empty():
            if standing.step == "confirm":
                complete = complete and self._all_suspects(standing)
            return verdict(judged, standing, len(standing.buckets), complete=complete)
        chosen = doubtful.head(self.verifier.suspects)
        return self._again(standing, "confirm", [Piece("suspects", chosen)])

    def _all_suspects(self, standing: Standing) -> bool:
        return self.store.pieces(self.claim, "confirm", "suspects").height < self.verifier.suspects

    def _gathered(self, standing: Standing) -> Gathered:
        source = self.store.pieces(self.claim, standing.step, "source")
        target = self.store.pieces(self.claim, standing.step, "target")
        excused = self.store.excused(self.claim)
        return Gathered(source, target, excused, standing.basis, self._is_still(standing), standing.keyless)

    def _is_still(self, standing: Standing) -> bool:
        """Whether the source says that nothing changed since the target was last in step with it."""
        if standing.basis.pair is None:
            return False
        probe = self._probe()
        return probe is not None and (probe.max_rowversion, probe.count) == tuple(standing.basis.pair)


def _untouched(rows: pl.DataFrame, config: RunConfig) -> pl.Series:
    """Whether stored rows still have the hashes they were written with; null where that cannot be told.

    The row hash of documents cannot be formed again: jsonb keeps them in another spelling. Nor do hashes of
    another version compare.
    """
    documents = any(column.type.kind is Kind.JSON for column in config.target_columns)
    again = identity.apply(Batch(rows.drop(KEY_HASH, ROW_HASH, REFERENCE), no_rejects()), config).rows
    known = rows[STORED_HASH].bin.starts_with(bytes([config.hash_version])) & (not documents)
    same_key = again[KEY_HASH] == rows[STORED_KEY]
    nothing = pl.repeat(None, rows.height, dtype=pl.Boolean, eager=True)
    return (
        (again[ROW_HASH] == rows[STORED_HASH])
        .zip_with(known, nothing)
        .zip_with(same_key, ~pl.Series(np.ones(rows.height, bool)))
    )


def ending(result: Verdict) -> Ending:
    """How the run ends that brought this verdict."""
    status = "success" if result.outcome == "equal" else "partial"
    return Ending("success" if status == "success" else "partial", result.why)


def _refusal(config: RunConfig, state: SyncState, *, indexes_deferred: bool) -> AppError | None:
    """Why there is nothing to verify yet."""
    if not state.synced or indexes_deferred:
        return PermanentError(
            f"{config.slug}: was never loaded whole", hint="sync it first, then verify", code="never_synced"
        )
    if state.reread_due:
        return PermanentError(
            f"{config.slug}: its keys or rules changed, and not all rows were read again yet",
            hint="sync (or wait for the sweep), then verify",
            code="reread_due",
        )
    return None


def _no_watermark(config: RunConfig) -> AppError:
    return PermanentError(
        f"{config.slug}: has no watermark, so that no row is known to be synced",
        hint="sync it first, then verify",
        code="no_bound",
    )


def _unproven(config: RunConfig, reason: str | None) -> AppError:
    return PermanentError(
        f"{config.slug}: the walk over the source could not be proven complete ({reason}); nothing is said of the rows",
        hint="verify again; if it stays so, offer a keyset cursor or a stable total at the connector",
        code="unproven",
    )
