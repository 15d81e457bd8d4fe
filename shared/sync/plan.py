"""What a run would do now, found by doing everything but the writing.

In: an entity. Out: a Plan. The source is asked as a delta would ask it, its pages pass the same stages, and each row
is compared with what the target holds by the same rules; the rest is counting. Nothing is written, not even a run.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, Protocol
from uuid import UUID

import msgspec
import polars as pl

from shared.errors import AppError, DeleteGuardError
from shared.sync import fetch
from shared.sync.delta import Stance, all_new, classify
from shared.sync.description import ApiDescription
from shared.sync.feed import CHUNK_ROWS, Feed, Progressed, Reading
from shared.sync.fetch import PageRequest, Probe, Source
from shared.sync.guards import Guards
from shared.sync.load import wait
from shared.sync.model import KEY_HASH, Reference, RunConfig
from shared.sync.parents import NUMBER, keys_of
from shared.sync.ports import Chunk, Claim, Clock, Due
from shared.sync.rowversion import remembered
from shared.sync.stages import Stages

Mode = Literal["sample", "full"]
SAMPLE_ROWS = 5_000
BUDGET_S = 60.0
KINDS = ("fetched", "insert", "update", "unchanged", "superseded", "reject", "hold")
_NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is planned for: the configuration that a run started now would freeze, and what runs left behind."""

    config: RunConfig
    watermark: str | None
    last_probe: Mapping[str, Any] | None
    versions_since: datetime
    deletes_barred: bool
    live: int
    missing: pl.Series  # key hashes that one more proven pass would make due
    in_flight: tuple[str, ...]  # purposes of the entity's unfinished runs


@dataclass(frozen=True, slots=True)
class Plan:
    """What would happen. Counts are of the rows read; `complete` where these are all.

    `soft_delete` is None where only a whole pass could tell; in a table that refers to itself, `hold` counts rows whose
    parent comes later in the pass, too. `seconds` covers reading, at the speed just met.
    """

    mode: Mode
    complete: bool
    proven: bool | None
    strategy: str
    bound: str | None
    rows: Mapping[str, int]
    rejects: Mapping[str, int]
    soft_delete: int | None
    live: int
    guard: AppError | None
    first_load: bool
    expected_rows: int | None
    expected_requests: int | None
    expected_seconds: float | None
    in_flight: tuple[str, ...] = ()


class Target(Protocol):
    """The target, read only."""

    def known(self, config: RunConfig, rows: pl.DataFrame) -> pl.DataFrame:
        """What is stored under the rows' business keys (delta.KNOWN_SCHEMA)."""

    def live_among(self, config: RunConfig, key_hashes: Sequence[bytes]) -> int:
        """How many live rows have these key hashes."""

    def absent_parents(self, config: RunConfig, reference: Reference, sought: pl.DataFrame) -> pl.Series:
        """NUMBERs of the distinct references that have no live row in the parent's target."""


@dataclass(slots=True)
class _Timed:
    """The same source, its requests counted and timed."""

    source: Source
    clock: Clock
    requests: int = 0
    seconds: float = 0.0

    def check(self) -> None:
        self.source.check()

    def list_apis(self) -> Sequence[ApiDescription]:
        return self.source.list_apis()

    def probe(self, slug: str, rowversion_gt: str | None, parameters: Mapping[str, str]) -> Probe | None:
        return self.source.probe(slug, rowversion_gt, parameters)

    def ranges(self, slug: str, parts: int, parameters: Mapping[str, str]) -> Sequence[str]:
        return self.source.ranges(slug, parts, parameters)

    def fetch_page(self, request: PageRequest) -> bytes:
        began = self.clock.monotonic()
        try:
            return self.source.fetch_page(request)
        finally:
            self.requests += 1
            self.seconds += self.clock.monotonic() - began


@dataclass(slots=True)
class _Tally:
    """What the rows read so far would become."""

    rows: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    met: int = 0  # live rows of the target that the source has, too
    keyless: int = 0
    missing: pl.Series = field(default_factory=lambda: pl.Series(KEY_HASH, [], dtype=pl.Binary))
    landed: list[pl.Series] = field(default_factory=list)  # key hashes, of a table that refers to itself


@dataclass(frozen=True, slots=True)
class Planner:
    """Makes plans. `budget_s` ends a full pass early: its counts are then those of a part."""

    target: Target
    guards: Guards
    clock: Clock
    mask_key: Callable[[RunConfig], bytes | None] = lambda config: None
    budget_s: float = BUDGET_S
    sample_rows: int = SAMPLE_ROWS
    chunk_rows: int = CHUNK_ROWS

    def plan(self, subject: Subject, source: Source, mode: Mode) -> Plan:
        """Read and compare; raises the source's errors."""
        timed, began = _Timed(source, self.clock), self.clock.monotonic()
        config, before = subject.config, self._begun(subject, timed)
        tally = _Tally(missing=subject.missing)
        deadline = began + self.budget_s
        stages = Stages(config, self.mask_key(config))
        sized = (
            replace(config, page_size=min(config.page_size, self.sample_rows)) if mode == "sample" else config
        )
        claim = _claim(subject, sized)
        reading = Reading(claim, timed, stages, self.guards, self.clock, deadline,
                          self.sample_rows if mode == "sample" else self.chunk_rows)  # fmt: skip
        walk, attempt = before.walk, before.walk.attempt
        with Feed(reading, before) as chunks:
            for chunk in chunks:
                if chunk.attempt > attempt:
                    # A second walk only proves the first.
                    attempt, tally = chunk.attempt, _Tally(missing=subject.missing)
                self._count(chunk, subject, tally)
                walk = _walk_of(chunk)
                if mode == "sample" or self.clock.monotonic() >= deadline:
                    break
        return self._made(subject, mode, before, walk, tally, timed, self.clock.monotonic() - began)

    def _begun(self, subject: Subject, source: Source) -> Progressed:
        """The walk that a run started now would begin with."""
        config = subject.config
        delta = config.strategy == "rowversion" and config.version is not None
        lower = None
        if delta:
            past = remembered(subject.last_probe)
            lower = self.guards.lower_bound(subject.watermark, config.overlap, config.version, **past)
        probe = source.probe(config.slug, lower, config.parameters)
        taken = None if probe is None else {"max_rowversion": probe.max_rowversion, "count": probe.count}
        return Progressed(fetch.first_request(config, probe, lower, is_delta=delta), taken)

    def _count(self, chunk: Chunk, subject: Subject, tally: _Tally) -> None:
        config, rows = subject.config, chunk.rows
        changes = all_new(rows)
        if subject.live and rows.height:
            known = self.target.known(config, rows)
            stance = Stance(subject.versions_since, None, None)
            changes = classify(rows, known, config, stance)
            tally.met += known.filter(pl.col("known_hash").is_not_null() & ~pl.col("known_deleted")).height
        changes, waiting = wait(
            changes,
            config,
            self.guards,
            lambda reference, sought: self._absent(reference, sought, config, tally),
        )
        if any(parent.entity_uid == config.entity_uid for parent in config.parents):
            tally.landed += [changes.inserts[KEY_HASH], changes.updates[KEY_HASH]]
        refused = chunk.rejects
        tally.met += self._met(config, refused[KEY_HASH].drop_nulls(), chunk.also_seen, bool(subject.live))
        tally.keyless += chunk.keyless
        tally.rows.update({
            "fetched": chunk.fetched, "insert": changes.inserts.height, "update": changes.updates.height,
            "unchanged": changes.unchanged, "superseded": chunk.superseded + changes.superseded,
            "reject": refused.height + changes.rejects.height, "hold": waiting.rows.height,
        })  # fmt: skip
        tally.codes.update(
            dict(pl.concat([refused["code"], changes.rejects["code"]]).value_counts().iter_rows())
        )
        if len(tally.missing):
            seen = pl.concat([rows[KEY_HASH], refused[KEY_HASH].drop_nulls(), chunk.also_seen])
            tally.missing = tally.missing.filter(~tally.missing.is_in(seen.implode()))

    def _absent(
        self, reference: Reference, sought: pl.DataFrame, config: RunConfig, tally: _Tally
    ) -> pl.Series:
        """As a run would find it, for which rows of earlier chunks have landed."""
        absent = self.target.absent_parents(config, reference, sought)
        if reference.entity_uid != config.entity_uid or not tally.landed or absent.is_empty():
            return absent
        lacking = sought.filter(pl.col(NUMBER).is_in(absent.implode()))
        hashes, _ = keys_of(lacking, reference, config)
        return lacking[NUMBER].filter(~hashes.is_in(pl.concat(tally.landed).implode()))

    def _met(self, config: RunConfig, refused: pl.Series, also_seen: pl.Series, filled: bool) -> int:
        keys = pl.concat([refused, also_seen]).unique()
        return self.target.live_among(config, keys.to_list()) if filled and len(keys) else 0

    def _made(
        self,
        subject: Subject,
        mode: Mode,
        before: Progressed,
        walk: fetch.Walk,
        tally: _Tally,
        timed: _Timed,
        seconds: float,
    ) -> Plan:
        complete = walk.ended
        due, guard = self._deletes(subject, walk, tally)
        total = tally.rows["fetched"] if complete else _total(before, walk)
        pace = seconds / max(tally.rows["fetched"], 1)
        pages = None if total is None else max(1, -(-total // subject.config.page_size))
        return Plan(
            mode=mode,
            complete=complete,
            proven=fetch.proof(walk).proven if complete else None,
            strategy=subject.config.strategy,
            bound=walk.bound,
            rows={kind: tally.rows[kind] for kind in KINDS},
            rejects=dict(tally.codes),
            soft_delete=due,
            live=subject.live,
            guard=guard,
            first_load=not subject.live,
            expected_rows=total,
            expected_requests=timed.requests if complete else pages,
            expected_seconds=None if total is None else round(pace * total, 3),
            in_flight=subject.in_flight,
        )

    def _deletes(
        self, subject: Subject, walk: fetch.Walk, tally: _Tally
    ) -> tuple[int | None, AppError | None]:
        """What a pass proven now would delete, and what the guard would say; a delta deletes nothing."""
        config = subject.config
        if config.strategy == "rowversion":
            return 0, None
        if not walk.ended:
            return None, None
        barred = subject.deletes_barred or tally.keyless > 0 or not subject.live
        if barred or not self.guards.completeness(fetch.proof(walk).proven):
            return 0, None
        at_once = config.strategy == "full" or config.delete_after_missing <= 1
        due = max(0, subject.live - tally.met) if at_once else len(tally.missing)
        try:
            received = tally.rows["fetched"]
            self.guards.delete(Due(due, subject.live, received, True), config.delete_guard_percent, None)
        except DeleteGuardError as error:
            return due, error
        return due, None


def _total(before: Progressed, walk: fetch.Walk) -> int | None:
    """How many rows the whole walk would bring, where the source says."""
    if walk.last_total is not None:
        return walk.last_total
    count = (before.probe or {}).get("count")
    return count if isinstance(count, int) else None


def _walk_of(chunk: Chunk) -> fetch.Walk:
    return msgspec.convert(chunk.cursor, Progressed).walk


def _claim(subject: Subject, config: RunConfig) -> Claim:
    """What reading asks of a claim; nobody holds it, and nothing is ever written under it."""
    return Claim(
        run_uid=_NOBODY, connector_uid=_NOBODY, slice=0, epoch=0, kind="walk", lane="delta", purpose="delta",
        config=config, cursor=None, chunk=0, watermark=subject.watermark, first_load=not subject.live,
        new_target=False, indexes_deferred=False, pass_uid=None, pass_began=None,
        versions_since=subject.versions_since.astimezone(UTC), allow_deletes=None, unproven_snapshots=0,
        deletes_barred=subject.deletes_barred, soft_deleted=0, walked=(), attempt=0, clock_ahead_s=0.0,
        last_probe=subject.last_probe,
    )  # fmt: skip
