"""Fetch, first half: which page to ask for next, when the walk is over, and whether it is proven complete.

In: what each page said (PageFacts). Out: a new Walk, which is the slice's cursor between deliveries and
survives as JSON. Nothing here talks to a source: adapters implement Source, the run joins the two. A walk
that may have missed a row is never proven; docs/protocol.md, 'When a walk counts as complete', says what follows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import msgspec
import numpy as np
import polars as pl
import xxhash

from shared.errors import SourceProtocolError
from shared.sync.decode import DecodedPage, Envelope
from shared.sync.description import ApiDescription
from shared.sync.model import RunConfig, VersionSpec
from shared.sync.rowversion import encode_one

MAX_PAGES = 1_000_000
MAX_WALKS = 3
COPIES = 16  # pages of one equal row that may follow one another; a source that stands still looks the same
RECENT = 64  # marks of pages kept to see a repetition; longer cycles meet the anchor
Mode = Literal["unknown", "cursor", "page", "blind"]


@dataclass(frozen=True, slots=True)
class Probe:
    """The source's answer to "what changed?"; `max_rowversion` as the source spells it.

    `deletes`: a mark that differs whenever rows were deleted since; None where the source keeps no such record.
    `expected`: about how many rows a whole walk would meet, where `count` cannot be told.
    """

    changed: bool
    max_rowversion: str | None = None
    count: int | None = None
    deletes: str | None = None
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One page to ask for: by `cursor` where there is one, else by `page` number from 1; no row behind `until`."""

    slug: str
    page_size: int
    page: int | None = None
    cursor: str | None = None
    until: str | None = None
    rowversion_gt: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    fields: Literal["keys"] | None = None


class Source(Protocol):
    """What a connector can do. Raises the Source... errors of shared.errors and nothing else."""

    def check(self) -> None:
        """Returns when the connector answers and takes the credentials."""

    def list_apis(self) -> Sequence[ApiDescription]:
        """The tables it offers."""

    def probe(self, slug: str, rowversion_gt: str | None, parameters: Mapping[str, str]) -> Probe | None:
        """What changed above `rowversion_gt`; None when the source has no cheap answer."""

    def ranges(self, slug: str, parts: int, parameters: Mapping[str, str]) -> Sequence[str]:
        """Rising cursors that cut the table into about `parts` equal parts; none where it can't tell."""

    def fetch_page(self, request: PageRequest) -> bytes:
        """The body of one page, decompressed."""


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What one page adds to a walk, but for its keys, which only the stages can form (see with_keys).

    `received` counts all its rows. Versions are encoded: the page's least, the greatest at or below the bound
    and the one before it.
    """

    envelope: Envelope
    received: int
    digest: int
    least: str | None = None
    greatest: str | None = None
    second: str | None = None
    in_order: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """Where a walk over a table's pages stands. JSON-serialisable; a new one comes from each step.

    `bound` is an encoded version fixed before the first page (None: no bound). `attempt` counts the walks of
    this run: proof may need a second one, and what it fetches has been landed before. `ended`: no page is
    left to ask for. `copies` counts the pages since the last one that differed. `is_part`: of a table read in parts, up
    to and with the row `until` names (None: to its end).
    """

    slug: str
    mode: Mode = "unknown"
    attempt: int = 1
    page: int = 1
    cursor: str | None = None
    until: str | None = None
    is_part: bool = False
    rowversion_gt: str | None = None
    fields: Literal["keys"] | None = None
    bound: str | None = None
    ordered: bool = False
    needs_twins: bool = False
    ended: bool = False
    pages: int = 0
    rows: int = 0
    keys: int = 0
    key_sum: str = "0"
    twin: tuple[str, int] | None = None
    first_total: int | None = None
    last_total: int | None = None
    probe_before: str | None = None
    probe_after: str | None = None
    greatest: str | None = None
    second: str | None = None
    empty_before: bool = False
    recent: tuple[str, ...] = ()
    anchor: str = ""
    copies: int = 0
    flaw: str | None = None


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether a walk is proven complete; `reason` names what is missing, for the run's error."""

    proven: bool
    reason: str | None = None


def first_request(
    config: RunConfig,
    probe: Probe | None,
    rowversion_gt: str | None = None,
    *,
    fields: Literal["keys"] | None = None,
    is_delta: bool | None = None,
) -> Walk:
    """A walk before its first page. `probe` was taken just now; `is_delta` defaults to the run's strategy."""
    delta = config.strategy == "rowversion" if is_delta is None else is_delta
    newest = probe.max_rowversion if probe is not None else None
    bound = encode_one(newest, config.version) if delta and newest and config.version else None
    return Walk(
        slug=config.slug,
        rowversion_gt=rowversion_gt,
        fields=fields,
        bound=bound,
        ordered=delta and config.ordered_by_rowversion,
        needs_twins=config.strategy == "full",
        probe_before=newest,
    )


def next_request(walk: Walk, config: RunConfig) -> PageRequest | None:
    """The page to ask for now; None when the walk has ended."""
    if walk.ended:
        return None
    return PageRequest(
        slug=walk.slug,
        page_size=config.page_size,
        page=walk.page if walk.cursor is None else None,
        cursor=walk.cursor,
        until=walk.until,
        rowversion_gt=walk.rowversion_gt,
        parameters=config.parameters,
        fields=walk.fields,
    )


def in_parts(walk: Walk, cursors: Sequence[str]) -> list[Walk]:
    """A walk before its first page as walks over the parts between these cursors."""
    ends = [*cursors, None]
    first = replace(walk, is_part=True, until=ends[0])
    others = zip(cursors, ends[1:], strict=True)
    return [first, *(replace(first, mode="cursor", cursor=begin, until=end) for begin, end in others)]


def joined(walks: Sequence[Walk]) -> Walk:
    """The walks over all parts as one: proven only if each is, and the first that is not says why.

    Each part may have fixed a bound of its own with its first page. What changed after the lowest of them may be
    missing from a part that was read early, so no version counts above it.
    """
    doubtful = next((walk for walk in walks if not proof(walk).proven), walks[0])
    bound = min((walk.bound for walk in walks if walk.bound is not None), default=None)
    versions = {v for walk in walks for v in (walk.greatest, walk.second) if v is not None}
    counted = sorted({v if bound is None else min(v, bound) for v in versions}, reverse=True)
    return replace(
        doubtful,
        bound=bound,
        pages=sum(walk.pages for walk in walks),
        rows=sum(walk.rows for walk in walks),
        keys=sum(walk.keys for walk in walks),
        key_sum=format(sum(int(walk.key_sum, 16) for walk in walks) % 2**128, "x"),
        greatest=counted[0] if counted else None,
        second=counted[1] if len(counted) > 1 else None,
    )


def fix_bound(walk: Walk, envelope: Envelope, spec: VersionSpec | None) -> Walk:
    """The walk with its bound: the first page's safe_rowversion wins over the probe; later pages change
    nothing."""
    if walk.pages or walk.attempt > 1 or spec is None or envelope.safe_rowversion is None:
        return walk
    safe = encode_one(envelope.safe_rowversion, spec)
    if safe is None:
        raise _broken(
            walk, f"safe_rowversion is not a {spec.kind}", "Declare the kind of row version it has."
        )
    return replace(walk, bound=safe)


def page_facts(page: DecodedPage, versions: pl.Series, bound: str | None) -> PageFacts:
    """The facts of a decoded page; `versions` encoded, one a row."""
    known = versions
    greatest = versions.max()
    if bound is not None and isinstance(greatest, str) and greatest > bound:
        known = versions.filter((versions <= bound).fill_null(False))
        greatest = known.max()
    second = known.filter(known < greatest).max() if isinstance(greatest, str) else None
    least = versions.min()
    return PageFacts(
        envelope=page.envelope,
        received=page.received,
        digest=page.digest,
        least=least if isinstance(least, str) else None,
        greatest=greatest if isinstance(greatest, str) else None,
        second=second if isinstance(second, str) else None,
        in_order=versions.drop_nulls().is_sorted(),
    )


def sum_keys(key_hashes: pl.Series) -> int:
    """The sum of 16-byte hashes modulo 2^128: equal for equal sets of keys, whatever their order or pages."""
    if not len(key_hashes):
        return 0
    # Sums of 32-bit parts cannot overflow 64 bits below four thousand million rows.
    quarters = key_hashes.bin.reinterpret(dtype=pl.Array(pl.UInt32, 4), endianness="big").to_numpy()
    total = 0
    for column in quarters.sum(axis=0, dtype=np.uint64).tolist():
        total = (total << 32) + column
    return int(total) % 2**128


def with_keys(walk: Walk, key_hashes: pl.Series, versions: pl.Series) -> Walk:
    """The walk with the keys of pages it has passed: those at or below its bound, or without a version.

    Rejected rows belong in both series where their key is known.
    """
    counted = key_hashes
    if walk.bound is not None:
        counted = key_hashes.filter((versions <= walk.bound).fill_null(True))
    hashes = counted.drop_nulls()
    total = (int(walk.key_sum, 16) + sum_keys(hashes)) % 2**128
    return replace(walk, keys=walk.keys + len(hashes), key_sum=format(total, "x"))


def after_page(walk: Walk, facts: PageFacts, config: RunConfig) -> Walk:
    """The walk after a page: where to go on, or ended. Raises SourceProtocolError for cycles and
    contradictions."""
    _check_page(walk, facts)
    counted = _count(walk, facts)
    if counted.mode == "unknown":
        counted = replace(counted, mode=_mode(facts.envelope, config))
    if counted.mode == "cursor":
        return _after_cursor_page(walk, counted, facts)
    return _after_numbered_page(counted, facts)


def wants_probe(walk: Walk) -> bool:
    """Whether a probe after the last page can prove this walk; take it, then call after_probe."""
    return (
        walk.ended
        and walk.mode == "page"
        and not walk.needs_twins
        and walk.probe_before is not None
        and walk.probe_after is None
        and walk.flaw is None
    )


def after_probe(walk: Walk, probe: Probe | None) -> Walk:
    """The walk with what the source said after the last page."""
    return replace(walk, probe_after=probe.max_rowversion if probe is not None else None)


def proof(walk: Walk) -> Proof:
    """Whether the walk as it stands is proven complete."""
    reason = _doubt(walk)
    return Proof(reason is None, reason)


def conclude(walk: Walk) -> Walk:
    """The ended walk, or a fresh one over the same table where one more may bring the proof."""
    reason = _doubt(walk)
    if (
        not walk.ended
        or reason not in ("needs_second_walk", "moved", "walks_differ")
        or walk.attempt >= MAX_WALKS
    ):
        return walk
    return Walk(
        slug=walk.slug,
        attempt=walk.attempt + 1,
        rowversion_gt=walk.rowversion_gt,
        fields=walk.fields,
        bound=walk.bound,
        ordered=walk.ordered,
        needs_twins=walk.needs_twins,
        twin=(walk.key_sum, walk.keys),
        probe_before=walk.probe_after if walk.probe_after is not None else walk.probe_before,
        greatest=None if walk.ordered else walk.greatest,
        second=None if walk.ordered else walk.second,
    )


def watermark(walk: Walk, stored: str | None) -> str | None:
    """The encoded watermark to store now; never below `stored`, never above the bound.

    A source ordered by row version moves it with each committed page; any other only by a proven walk with a
    bound.
    """
    reached = walk.greatest
    if reached is None or not (walk.ordered or (walk.bound is not None and proof(walk).proven)):
        return stored
    return reached if stored is None or reached > stored else stored


def to_json(walk: Walk) -> str:
    """The walk as a slice's cursor."""
    return msgspec.json.encode(walk).decode()


def from_json(text: str) -> Walk:
    """The walk a slice's cursor holds."""
    return msgspec.json.decode(text, type=Walk)


def _check_page(walk: Walk, facts: PageFacts) -> None:
    asked, said = walk.page, facts.envelope.page
    if walk.cursor is None and said is not None and said != asked:
        raise _broken(
            walk, f"page {asked} was asked for and {said} came", "It must honour 'page' or send next_cursor."
        )
    if walk.pages >= MAX_PAGES:
        raise _broken(
            walk, f"no end after {MAX_PAGES} pages", "Raise page_size, or check that its paging ends."
        )
    late = facts.least is not None and walk.greatest is not None and facts.least < walk.greatest
    if walk.ordered and (late or not facts.in_order):
        raise _broken(
            walk, "pages are not in row-version order", "Turn off ordered_by_rowversion in its description."
        )


def _count(walk: Walk, facts: PageFacts) -> Walk:
    total = facts.envelope.total
    versions = {
        value for value in (walk.greatest, walk.second, facts.greatest, facts.second) if value is not None
    }
    greatest = sorted(versions, reverse=True)[:2]
    return replace(
        walk,
        page=walk.page + 1,
        pages=walk.pages + 1,
        rows=walk.rows + facts.received,
        first_total=total if walk.pages == 0 else walk.first_total,
        last_total=total if total is not None else walk.last_total,
        greatest=greatest[0] if greatest else None,
        second=greatest[1] if len(greatest) > 1 else None,
    )


def _mode(envelope: Envelope, config: RunConfig) -> Mode:
    told = envelope.has_more is not None or envelope.total is not None
    if envelope.next_cursor is not None or envelope.offers_cursor:
        return "cursor"
    if config.pagination == "keyset" and told:
        return "cursor"
    return "page" if told else "blind"


def _after_cursor_page(before: Walk, walk: Walk, facts: PageFacts) -> Walk:
    cursor = facts.envelope.next_cursor
    if cursor is None:
        if facts.envelope.has_more:
            raise _broken(
                walk, "has_more is true and next_cursor is missing", "It must send next_cursor until the end."
            )
        return replace(walk, ended=True, cursor=None)
    stays = cursor == before.cursor and not facts.received
    if stays and facts.envelope.has_more is False:
        return replace(walk, ended=True, cursor=None)
    marks = [f"c{xxhash.xxh3_64_hexdigest(cursor.encode('utf-8', 'surrogatepass'))}"]
    marks += [f"p{facts.digest:x}"] if facts.received else []
    is_copy = _is_copy(before, facts, marks[-1])
    if any(_is_known(before, mark) for mark in (marks[:1] if is_copy else marks)):
        raise _broken(walk, "its cursors run in a circle", "It must send each page and each cursor once.")
    return _remember(replace(walk, cursor=cursor, copies=before.copies + 1 if is_copy else 0), marks)


def _after_numbered_page(walk: Walk, facts: PageFacts) -> Walk:
    envelope, mark = facts.envelope, f"p{facts.digest:x}"
    if facts.received and _is_known(walk, mark):
        if walk.mode == "blind" or envelope.page is None or not _is_copy(walk, facts, mark):
            return replace(walk, ended=True, flaw="repeated_page")
        walk = _after_copy(walk)
    elif facts.received:
        flaw = None if walk.flaw == "repeated_page" else walk.flaw
        walk = _remember(replace(walk, copies=0, flaw=flaw), [mark])
    if walk.mode == "blind":
        return replace(walk, ended=not facts.received)
    if envelope.has_more is False:
        return replace(walk, ended=True)
    if envelope.has_more is None:
        done = walk.last_total is not None and walk.rows >= walk.last_total
        return replace(walk, ended=done or not facts.received)
    if facts.received:
        return replace(walk, empty_before=False)
    # An empty page that promises more is no end; a second one in a row is no walk either.
    return replace(walk, flaw="empty_page", empty_before=True, ended=walk.empty_before)


def _is_copy(walk: Walk, facts: PageFacts, mark: str) -> bool:
    """Whether a page seen before may be its row's equal neighbour: one row, right behind its like.

    Whole pages do not come again by chance; single rows do where a page holds one.
    """
    return facts.received == 1 and walk.recent[-1:] == (mark,) and walk.copies < COPIES


def _after_copy(walk: Walk) -> Walk:
    """Its own number and the promise of more speak for the page; but only two equal walks prove that none was lost.

    Where no page has differed yet, the source may know one page only: that stays a flaw until another comes.
    """
    alone = len(set(walk.recent)) < 2
    flaw = "repeated_page" if alone else walk.flaw
    return replace(walk, copies=walk.copies + 1, needs_twins=True, flaw=flaw)


def _is_known(walk: Walk, mark: str) -> bool:
    return mark in walk.recent or mark in walk.anchor.split()


def _remember(walk: Walk, marks: Sequence[str]) -> Walk:
    # The anchor moves at each power of two, so a cycle longer than `recent` is met within two rounds of it.
    moves = walk.pages & (walk.pages - 1) == 0
    recent = (*walk.recent, *marks)[-RECENT:]
    return replace(walk, recent=recent, anchor=" ".join(marks) if moves else walk.anchor)


def _doubt(walk: Walk) -> str | None:
    if not walk.ended:
        return "not_ended"
    if walk.flaw is not None:
        return walk.flaw
    if walk.last_total is not None and walk.rows < walk.last_total and not walk.is_part:
        return "fewer_rows_than_total"
    return None if walk.mode == "cursor" else _numbered_doubt(walk)


def _numbered_doubt(walk: Walk) -> str | None:
    """Page numbers shift under deletions and insertions: a still source, or two equal walks, must vouch."""
    probed = walk.probe_before is not None and walk.first_total is not None
    if walk.mode == "page" and probed and not walk.needs_twins:
        stable = walk.first_total == walk.last_total and walk.probe_before == walk.probe_after
        return None if stable else "moved"
    if walk.twin is None:
        return "needs_second_walk"
    return None if walk.twin == (walk.key_sum, walk.keys) else "walks_differ"


def _broken(walk: Walk, what: str, step: str) -> SourceProtocolError:
    return SourceProtocolError(f"The pages of '{walk.slug}' do not add up: {what}.", hint=step)
