"""From a source's pages to chunks ready to load: a slice's reading, each step at work in a thread of its own.

In: a Claim, its Source and where the walk stands. Out: Chunks in order, each with the cursor to go on from. While
one chunk is being committed, the next passes the value stages, the pages of the one after are decoded, and the
page behind those is on its way; so source, processor and PostgreSQL work at once, and memory holds three chunks,
whatever the table's size.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec
import polars as pl

from shared.errors import SchemaDriftError
from shared.failpoints import hit
from shared.sync import fetch
from shared.sync.adaptive import UNSPENT, Spent
from shared.sync.decode import DecodedPage, Envelope, decode_page
from shared.sync.fetch import Source, Walk
from shared.sync.guards import Guards
from shared.sync.model import KEY_HASH, VERSION
from shared.sync.ports import Chunk, Claim, Clock
from shared.sync.rowversion import Progress, encode_one
from shared.sync.stages import Stages

CHUNK_ROWS = 50_000
CHUNK_BYTES = 64 * 1024 * 1024
_IGNORED_AT_MOST = 200  # names of unknown columns that a cursor carries

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Progressed:
    """What a slice remembers between deliveries: its walk, the probe taken before it, what rules changed
    and what the pages took."""

    walk: Walk
    probe: Mapping[str, Any] | None = None
    changed: Mapping[str, int] | None = None
    ignored: tuple[str, ...] = ()
    spent: Spent = UNSPENT

    def to_cursor(self) -> dict[str, Any]:
        """As JSON-ready values."""
        cursor: dict[str, Any] = msgspec.to_builtins(self)
        return cursor


def joined(parts: Sequence[Progressed]) -> Progressed:
    """What the slices of a table read in parts remember, as one."""
    changed: dict[str, int] = {}
    for part in parts:
        for rule, count in (part.changed or {}).items():
            changed[rule] = changed.get(rule, 0) + count
    ignored = sorted({name for part in parts for name in part.ignored})[:_IGNORED_AT_MOST]
    spent = sum((part.spent for part in parts), UNSPENT)
    walk = fetch.joined([part.walk for part in parts])
    return Progressed(walk, parts[0].probe, changed, tuple(ignored), spent)


@dataclass(frozen=True, slots=True)
class Reading:
    """How one slice reads. `deadline`: of `clock.monotonic()`, after which a chunk ends with the page at hand."""

    claim: Claim
    source: Source
    stages: Stages
    guards: Guards
    clock: Clock
    deadline: float
    chunk_rows: int = CHUNK_ROWS


@dataclass(frozen=True, slots=True)
class _Gathered:
    """The decoded pages of one chunk. `walk` has passed the last of them but does not know their keys."""

    pages: list[DecodedPage]
    versions: list[pl.Series]
    walk: Walk
    asked_at: datetime
    spent: Spent


class Feed:
    """The chunks of one slice. Leaving its context lets go of what is still being read."""

    def __init__(self, reading: Reading, progressed: Progressed) -> None:
        self._reading, self._progressed = reading, progressed
        self._walk = progressed.walk
        self._stopped = False
        self._chunks = ahead(self._made())

    def __enter__(self) -> Generator[Chunk, None, None]:
        return self._chunks

    def __exit__(self, *_: object) -> None:
        """Let the chunks that are being made end with the page at hand: nobody will take them."""
        self._stopped = True
        self._chunks.close()

    def _made(self) -> Generator[Chunk, None, None]:
        """Chunks until the walk ends; a walk that has to prove another follows it."""
        while not self._walk.ended:
            pages = _Pages(self._reading, self._walk, self._probed(), self._is_stopped)
            with closing(ahead(pages.gathered())) as gathered:
                for each in gathered:
                    yield self._chunk(each)

    def _is_stopped(self) -> bool:
        return self._stopped

    def _probed(self) -> Mapping[str, Any]:
        return self._progressed.probe or {}

    def _chunk(self, gathered: _Gathered) -> Chunk:
        prepared = self._reading.stages.prepare(
            gathered.pages, gathered.versions, self._reading.guards.settle
        )
        hit("stages.after")
        self._walk = self._settled(gathered.walk, prepared.keys)
        self._remember(prepared.changed, gathered)
        return Chunk(
            rows=prepared.rows,
            rejects=prepared.rejects,
            raw=prepared.raw,
            also_seen=prepared.also_seen,
            fetched=prepared.fetched,
            superseded=prepared.superseded,
            keyless=prepared.keyless,
            requested_at=gathered.asked_at,
            expected=self._expected(gathered.walk),
            cursor=self._progressed.to_cursor(),
            attempt=gathered.walk.attempt,
        )

    def _expected(self, walk: Walk) -> int | None:
        if walk.is_part:
            return None
        return walk.last_total if walk.last_total is not None else self._probed().get("count")

    def _settled(self, passed: Walk, keys: pl.DataFrame) -> Walk:
        """The walk with this chunk's keys, which only the stages know; at its end, proven or begun again."""
        counted = replace(passed, keys=self._walk.keys, key_sum=self._walk.key_sum)
        walk = fetch.with_keys(counted, keys[KEY_HASH], keys[VERSION])
        if fetch.wants_probe(walk):
            config = self._reading.claim.config
            probe = self._reading.source.probe(config.slug, walk.rowversion_gt, config.parameters)
            walk = fetch.after_probe(walk, probe)
        return fetch.conclude(walk)

    def _remember(self, changed: Mapping[tuple[str, str], int], gathered: _Gathered) -> None:
        total = dict(self._progressed.changed or {})
        for (column, rule), count in changed.items():
            total[f"{column}.{rule}"] = total.get(f"{column}.{rule}", 0) + count
        unknown = {name for page in gathered.pages for name in page.unknown_columns}
        ignored = tuple(sorted({*self._progressed.ignored, *unknown}))[:_IGNORED_AT_MOST]
        spent = self._progressed.spent + gathered.spent
        self._progressed = Progressed(self._walk, self._progressed.probe, total, ignored, spent)


class _Pages:
    """One walk over the source's pages, one request ahead of the decoding."""

    def __init__(
        self, reading: Reading, walk: Walk, probed: Mapping[str, Any], is_stopped: Callable[[], bool]
    ) -> None:
        self._reading, self._config = reading, reading.claim.config
        self._walk, self._probed, self._is_stopped = walk, probed, is_stopped
        self._requests = ThreadPoolExecutor(1, thread_name_prefix="fetch")
        self._next: Future[tuple[bytes, float]] | None = None
        self._asked_at = reading.clock.now()

    def gathered(self) -> Generator[_Gathered, None, None]:
        """The pages of each chunk, until the walk has no page left to ask for."""
        try:
            self._ask()
            while not self._walk.ended:
                yield self._gather()
        finally:
            self._requests.shutdown(wait=False, cancel_futures=True)

    def _gather(self) -> _Gathered:
        asked_at = self._asked_at
        pages: list[DecodedPage] = []
        versions: list[pl.Series] = []
        rows = size = 0
        spent = UNSPENT
        while not self._walk.ended and not (pages and self._is_full(rows, size)):
            body, seconds = self._body()
            page, encoded = self._page(body)
            pages.append(page)
            versions.append(encoded)
            rows, size = rows + page.received, size + len(body)
            spent += self._took(page.received, len(body), seconds)
        return _Gathered(pages, versions, self._walk, asked_at, spent)

    def _took(self, rows: int, size: int, seconds: float) -> Spent:
        """The last page of a walk may hold any number of rows: it tells nothing of what a page takes."""
        if self._walk.ended:
            return Spent(busy_s=seconds)
        return Spent(1, rows, seconds, size, seconds)

    def _is_full(self, rows: int, size: int) -> bool:
        """Whether a chunk ends here: by its size, or because a slow source has used the slice's time up."""
        late = self._is_stopped() or self._reading.clock.monotonic() >= self._reading.deadline
        return late or rows >= self._reading.chunk_rows or size >= CHUNK_BYTES

    def _ask(self) -> None:
        """Send the next request, noting PostgreSQL's time before it: rows written later than that are newer."""
        request = fetch.next_request(self._walk, self._config)
        assert request is not None, "a walk that has not ended has a next request"
        ahead_s = self._reading.claim.clock_ahead_s
        self._asked_at = self._reading.clock.now() + timedelta(seconds=ahead_s)
        self._next = self._requests.submit(self._fetched, request)

    def _fetched(self, request: fetch.PageRequest) -> tuple[bytes, float]:
        """The page and the seconds it took; in a thread of its own."""
        began = self._reading.clock.monotonic()
        body = self._reading.source.fetch_page(request)
        return body, self._reading.clock.monotonic() - began

    def _body(self) -> tuple[bytes, float]:
        hit("page.before")
        assert self._next is not None, "the page before it asked for this one"
        fetched = self._next.result()
        hit("page.after")
        return fetched

    def _page(self, body: bytes) -> tuple[DecodedPage, pl.Series]:
        config = self._config
        page = decode_page(body, config)
        if page.missing and page.frame.height:
            raise _drift(config.slug, page.missing)
        if not self._walk.pages and self._walk.attempt == 1:
            self._check_progress(page.envelope)
        self._walk = self._reading.guards.bound(self._walk, page.envelope, config.version)
        versions = self._reading.stages.versions(page)
        facts = fetch.page_facts(page, versions, self._walk.bound)
        self._walk = fetch.after_page(self._walk, facts, config)
        if not self._walk.ended:
            self._ask()
        return page, versions

    def _check_progress(self, envelope: Envelope) -> None:
        """The source must not stand below our watermark: by its own bound, since its newest row may be deleted."""
        config, claim = self._config, self._reading.claim
        if config.version is None:
            return
        said = (self._probed.get("max_rowversion"), envelope.safe_rowversion)
        encoded = [encode_one(version, config.version) for version in said if version is not None]
        seen = max((version for version in encoded if version is not None), default=None)
        stored = claim.watermark if config.strategy == "rowversion" else None
        progress = Progress(stored, seen, self._reading.clock.now())
        self._reading.guards.progress(progress, config.version, config.overlap)


def _drift(slug: str, missing: tuple[str, ...]) -> SchemaDriftError:
    return SchemaDriftError(
        slug,
        missing,
        f"{slug}: the source no longer sends {', '.join(missing)}; nothing of the chunk was loaded",
        hint="run discover on the connector: the target keeps the columns, and new runs stop expecting them",
    )


def ahead(items: Generator[Item, None, None]) -> Generator[Item, None, None]:
    """The same items, the next one being made in a thread while the caller works on this one."""
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        pending = pool.submit(next, items, None)
        try:
            while (item := pending.result()) is not None:
                pending = pool.submit(next, items, None)
                yield item
        finally:
            pending.cancel()
            pool.submit(items.close)
