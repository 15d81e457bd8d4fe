"""One slice of one run, from its claim to its end or its continuation.

In: a Claim. Out: committed chunks, then an Ending, or the cursor for whoever comes next. Fetching and the value
stages run one chunk ahead of the commits in a thread of their own, so that the source and PostgreSQL work at once;
memory holds two chunks, whatever the table's size.
"""

from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal, Protocol

import msgspec
import polars as pl

from shared.errors import (
    AppError,
    ConfigurationError,
    DeleteGuardError,
    FencedError,
    PermanentError,
    SchemaDriftError,
    TransientError,
    UnprovenError,
)
from shared.failpoints import hit
from shared.sync import fetch
from shared.sync.decode import DecodedPage, Envelope, decode_page
from shared.sync.fetch import PageRequest, Source, Walk
from shared.sync.guards import Guards
from shared.sync.load import load
from shared.sync.model import KEY_HASH, VERSION
from shared.sync.ports import Chunk, Claim, Clock, Counters, Ending, Ledger, Target
from shared.sync.retry import Retry
from shared.sync.rowversion import Progress, encode_one, remembered
from shared.sync.stages import Stages

CHUNK_ROWS = 50_000
CHUNK_BYTES = 64 * 1024 * 1024
DELETE_BATCH = 50_000
UNPROVEN_BEFORE_PUBLISHING = 3

Outcome = Literal["ended", "continued", "backed_off", "fenced"]


@dataclass(frozen=True, slots=True)
class Progressed:
    """What a slice remembers between deliveries: its walk, the probe taken before it, and what rules changed."""

    walk: Walk
    probe: Mapping[str, Any] | None = None
    changed: Mapping[str, int] | None = None
    ignored: tuple[str, ...] = ()

    def to_cursor(self) -> dict[str, Any]:
        """As JSON-ready values."""
        cursor: dict[str, Any] = msgspec.to_builtins(self)
        return cursor


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
    tell: Told
    mask_key: Callable[[], bytes | None] = lambda: None
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
            if claim.kind == "publish":
                return self._publish(claim)
            if claim.kind == "retry":
                return self._retry(claim, self.clock.monotonic())
            return self._walk(claim, source(), self.clock.monotonic())
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

    def _later(self, claim: Claim, error: AppError, wish_s: float | None) -> Outcome:
        """Queue the slice again while its attempts last, else fail the run."""
        if not self.ledger.back_off(claim, error, wish_s):
            return self._end(claim, Ending("failed", error))
        self.tell("backed_off", run=str(claim.run_uid), slice=claim.slice, code=error.code)
        return "backed_off"

    def _walk(self, claim: Claim, source: Source, started: float) -> Outcome:
        if claim.indexes_deferred and not claim.first_load:
            # A first load ended before its time; nothing is looked up or written without the indexes.
            self.target.build_indexes(claim)
        progressed = self._progressed(claim, source)
        if not progressed.walk.ended:
            feeder = _Feeder(self, claim, source, progressed, started + self.budget_s)
            with closing(ahead(feeder.chunks())) as chunks, feeder:
                for number, chunk in enumerate(chunks, claim.chunk):
                    counters = load(chunk, replace(claim, chunk=number), self.target, self.guards)
                    self._tell_chunk(claim, number, counters)
                    progressed = msgspec.convert(chunk.cursor, Progressed)
                    self._check_size(claim, progressed.walk)
                    if not progressed.walk.ended and self._over_budget(started):
                        self.ledger.continue_later(claim)
                        return "continued"
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
        # A refresh fixes a bound too: the watermark it leaves must not pass rows that were still in flight.
        bounded = is_delta or (claim.purpose == "refresh" and config.version is not None)
        walk = fetch.first_request(config, probe, lower, is_delta=bounded)
        taken = (
            None
            if probe is None
            else {"lower": lower, "max_rowversion": probe.max_rowversion, "count": probe.count}
        )
        return Progressed(walk, taken)

    def _conclude(self, claim: Claim, progressed: Progressed, started: float) -> Outcome:
        """The walk is over: publish, delete what a proven pass did not meet, and end the run."""
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
            # A sweep asked without a lower bound: its pair would tell the next delta nothing.
            proven=proven and claim.purpose != "sweep",
            swept=whole and (claim.first_load or claim.pass_uid is not None),
            changed=progressed.changed or {},
            ignored=progressed.ignored,
        )

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
        walk = msgspec.convert((claim.walked or {})["walk"], Walk)
        proven = self.guards.completeness(fetch.proof(walk).proven)
        if not (claim.cursor or {}).get("published"):
            try:
                self._publish_snapshot(claim, walk.attempt if proven else None)
            except DeleteGuardError as error:
                return self._end(claim, Ending("failed", error))
        trouble = None if proven else _unproven(claim, "published without deletes after three unproven walks")
        before = claim.walked or {}
        return self._end(
            claim,
            Ending(
                status="success" if proven else "partial",
                error=trouble,
                probe=before.get("probe"),
                proven=proven,
                swept=proven,
                changed=before.get("changed") or {},
                ignored=tuple(before.get("ignored") or ()),
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


def _unproven(claim: Claim, reason: str | None) -> UnprovenError:
    return UnprovenError(
        f"{claim.config.slug}: the walk could not be proven complete ({reason}); rows landed, nothing was deleted and"
        " no watermark moved",
        hint="the next run walks again; if it stays so, offer a keyset cursor or a stable total at the connector",
    )


class _Feeder:
    """Fetches pages, one request ahead, and prepares chunks from them."""

    def __init__(
        self, runner: SliceRunner, claim: Claim, source: Source, progressed: Progressed, deadline: float
    ) -> None:
        self._runner, self._claim, self._source = runner, claim, source
        self._deadline, self._stopped = deadline, False
        self._progressed, self._walk = progressed, progressed.walk
        self._stages = Stages(claim.config, runner.mask_key())
        self._requests = ThreadPoolExecutor(1, thread_name_prefix="fetch")
        self._next: Future[bytes] | None = None
        self._asked_at = runner.clock.now()

    def __enter__(self) -> "_Feeder":
        return self

    def __exit__(self, *_: object) -> None:
        """Let the chunk that is being made end with the page at hand: nobody will take it."""
        self._stopped = True

    def _is_full(self, rows: int, size: int) -> bool:
        """Whether a chunk ends here: by its size, or because a slow source has used the slice's time up."""
        late = self._stopped or self._runner.clock.monotonic() >= self._deadline
        return late or rows >= self._runner.chunk_rows or size >= CHUNK_BYTES

    def chunks(self) -> Generator[Chunk, None, None]:
        """Chunks until the walk ends."""
        try:
            while not self._walk.ended:
                yield self._chunk()
        finally:
            self._requests.shutdown(wait=False, cancel_futures=True)

    def _chunk(self) -> Chunk:
        if self._next is None:
            self._ask()
        asked_at, attempt = self._asked_at, self._walk.attempt
        pages: list[DecodedPage] = []
        versions: list[pl.Series] = []
        rows = size = 0
        while not self._walk.ended and not (pages and self._is_full(rows, size)):
            body = self._body()
            page, encoded = self._page(body)
            pages.append(page)
            versions.append(encoded)
            rows, size = rows + page.received, size + len(body)
        prepared = self._stages.prepare(pages, versions, self._runner.guards.settle)
        hit("stages.after")
        self._walk = self._settled(prepared.keys)
        self._remember(prepared.changed, pages)
        return Chunk(
            rows=prepared.rows,
            rejects=prepared.rejects,
            raw=prepared.raw,
            also_seen=prepared.also_seen,
            fetched=prepared.fetched,
            superseded=prepared.superseded,
            keyless=prepared.keyless,
            requested_at=asked_at,
            expected=self._expected(),
            cursor=self._progressed.to_cursor(),
            attempt=attempt,
        )

    def _expected(self) -> int | None:
        count = (self._progressed.probe or {}).get("count")
        return self._walk.last_total if self._walk.last_total is not None else count

    def _body(self) -> bytes:
        hit("page.before")
        if self._next is None:
            self._ask()
        assert self._next is not None
        body = self._next.result()
        self._next = None
        hit("page.after")
        return body

    def _ask(self) -> None:
        """Send the next request, noting PostgreSQL's time before it: rows written later than that are newer."""
        self._asked_at = self._runner.clock.now() + timedelta(seconds=self._claim.clock_ahead_s)
        self._next = self._requests.submit(self._source.fetch_page, self._request())

    def _request(self) -> PageRequest:
        request = fetch.next_request(self._walk, self._claim.config)
        assert request is not None, "a walk that has not ended has a next request"
        return request

    def _page(self, body: bytes) -> tuple[DecodedPage, pl.Series]:
        config = self._claim.config
        page = decode_page(body, config)
        if page.missing and page.frame.height:
            raise _drift(config.slug, page.missing)
        if not self._walk.pages and self._walk.attempt == 1:
            self._check_progress(page.envelope)
        self._walk = self._runner.guards.bound(self._walk, page.envelope, config.version)
        nothing = pl.Series(KEY_HASH, [None] * page.frame.height, dtype=pl.Binary)
        versions = self._stages.versions(page)
        facts = fetch.page_facts(page, versions, nothing, self._walk.bound)
        self._walk = fetch.after_page(self._walk, facts, config)
        if not self._walk.ended:
            self._ask()
        return page, versions

    def _check_progress(self, envelope: Envelope) -> None:
        """The source must not stand below our watermark: by its own bound, since its newest row may be deleted."""
        config = self._claim.config
        if config.version is None:
            return
        said = ((self._progressed.probe or {}).get("max_rowversion"), envelope.safe_rowversion)
        encoded = [encode_one(version, config.version) for version in said if version is not None]
        seen = max((version for version in encoded if version is not None), default=None)
        stored = self._claim.watermark if config.strategy == "rowversion" else None
        now = self._runner.clock.now()
        self._runner.guards.progress(Progress(stored, seen, now), config.version, config.overlap)

    def _settled(self, keys: pl.DataFrame) -> Walk:
        """The walk with this chunk's keys, which only the stages know; at its end, proven or begun again."""
        walk = fetch.with_keys(self._walk, keys[KEY_HASH], keys[VERSION])
        if fetch.wants_probe(walk):
            config = self._claim.config
            walk = fetch.after_probe(
                walk, self._source.probe(config.slug, walk.rowversion_gt, config.parameters)
            )
        return fetch.conclude(walk)

    def _remember(self, changed: Mapping[tuple[str, str], int], pages: list[DecodedPage]) -> None:
        total = dict(self._progressed.changed or {})
        for (column, rule), count in changed.items():
            total[f"{column}.{rule}"] = total.get(f"{column}.{rule}", 0) + count
        unknown = {name for page in pages for name in page.unknown_columns}
        ignored = tuple(sorted({*self._progressed.ignored, *unknown}))[:200]
        self._progressed = Progressed(self._walk, self._progressed.probe, total, ignored)


def _drift(slug: str, missing: tuple[str, ...]) -> SchemaDriftError:
    return SchemaDriftError(
        slug,
        missing,
        f"{slug}: the source no longer sends {', '.join(missing)}; nothing of the chunk was loaded",
        hint="run discover on the connector: the target keeps the columns, and new runs stop expecting them",
    )


def ahead(chunks: Generator[Chunk, None, None]) -> Generator[Chunk, None, None]:
    """The same chunks, the next one being made while the caller works on this one."""
    with ThreadPoolExecutor(1, thread_name_prefix="prepare") as pool:
        pending = pool.submit(next, chunks, None)
        try:
            while (chunk := pending.result()) is not None:
                pending = pool.submit(next, chunks, None)
                yield chunk
        finally:
            pending.cancel()
            pool.submit(chunks.close)
