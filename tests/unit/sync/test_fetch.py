"""Walks over simulated sources: none that may have missed a row is proven; every proven one has them all."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import polars as pl
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import SourceProtocolError
from shared.sync import fetch
from shared.sync.decode import DecodedPage, Envelope
from shared.sync.fetch import PageFacts, PageRequest, Probe, Walk
from shared.sync.model import ColumnType, Expression, Kind, RunConfig, SourceColumn, TargetColumn, VersionSpec

NUMBER = VersionSpec("number")


def config(**changes: object) -> RunConfig:
    """A run over one key column, two rows a page."""
    text = ColumnType(Kind.TEXT)
    base = RunConfig(
        entity_uid="00000000-0000-0000-0000-000000000001",
        slug="s",
        strategy="hash",
        dialect="oracle",
        source_columns=(SourceColumn("k", "NUMBER", text),),
        target_columns=(TargetColumn("k", text, True, False, Expression("rename", ("k",))),),
        target_schema="public",
        target_table="s",
        version=NUMBER,
        pagination=None,
        ordered_by_rowversion=False,
        page_size=2,
        overlap=0,
        delete_guard_percent=10.0,
        delete_after_missing=2,
    )
    return replace(base, **changes)  # type: ignore[arg-type]  # names are checked by the dataclass itself


def key_hash(key: int) -> bytes:
    """A stand-in for a row's key hash."""
    return xxhash.xxh3_128_digest(str(key).encode())


def encoded(version: int) -> str:
    """A number's encoded form."""
    return str(version).zfill(38)


@dataclass(frozen=True)
class Page:
    """What a page says, and the keys that the stages will form of it."""

    facts: PageFacts
    keys: pl.Series
    versions: pl.Series


def after_page(walk: Walk, page: Page, run: RunConfig) -> Walk:
    """The walk after a page and its keys."""
    return fetch.with_keys(fetch.after_page(walk, page.facts, run), page.keys, page.versions)


def facts(
    *rows: tuple[int, int | None], bound: str | None = None, digest: int | None = None, **envelope: object
) -> Page:
    """What a page with these (key, version) rows adds."""
    page = DecodedPage(
        frame=pl.DataFrame(),
        rejects=pl.DataFrame(),
        envelope=Envelope(**{"offers_cursor": "next_cursor" in envelope, **envelope}),  # type: ignore[arg-type]  # test
        received=len(rows),
        unknown_columns=frozenset(),
        missing=(),
        seen_also=pl.DataFrame(),
        keyless=0,
        digest=hash(rows) & (2**64 - 1) if digest is None else digest,
    )
    versions = pl.Series([encoded(v) if v is not None else None for _, v in rows], dtype=pl.String)
    keys = pl.Series([key_hash(k) for k, _ in rows], dtype=pl.Binary)
    return Page(fetch.page_facts(page, versions, bound), keys, versions)


@dataclass
class Simulated:
    """A source over {key: version}; `before` changes it before the nth page is read."""

    rows: dict[int, int]
    style: str = "cursor"
    total: bool = False
    probes: bool = True
    before: Callable[["Simulated", int], None] = lambda source, page: None
    served: int = 0
    seen: set[int] = field(default_factory=set)

    def page(self, request: PageRequest, bound: str | None) -> Page:
        """Two rows, as the style pages."""
        self.before(self, self.served)
        self.served += 1
        keys, size = sorted(self.rows), request.page_size
        if self.style == "cursor":
            left = [key for key in keys if request.cursor is None or key > int(request.cursor)]
            here, more = left[:size], len(left) > size
            said: dict[str, object] = {"next_cursor": str(here[-1]) if more else None}
        else:
            start = ((request.page or 1) - 1) * size
            here, more = keys[start : start + size], len(keys) > start + size
            said = {"has_more": more} if self.style == "page" else {}
        self.seen |= set(here)
        said |= {"total": len(keys)} if self.total else {}
        return facts(*((key, self.rows[key]) for key in here), bound=bound, **said)  # type: ignore[arg-type]  # envelope members only

    def probe(self) -> Probe | None:
        """The greatest version."""
        return Probe(True, str(max(self.rows.values(), default=0)), len(self.rows)) if self.probes else None


def walk_over(source: Simulated, run: RunConfig) -> Walk:
    """The concluded walk; its state goes through JSON after every page."""
    walk = fetch.first_request(run, source.probe())
    while (request := fetch.next_request(walk, run)) is not None:
        page = source.page(request, walk.bound)
        walk = fetch.from_json(fetch.to_json(after_page(walk, page, run)))
        if fetch.wants_probe(walk):
            walk = fetch.after_probe(walk, source.probe())
        walk = fetch.conclude(walk)
    return walk


@pytest.mark.parametrize("style", ["cursor", "page", "blind"])
@pytest.mark.parametrize("total", [False, True])
@pytest.mark.parametrize("probes", [False, True])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7])
def test_walk_over_a_still_source_is_proven_and_complete(
    style: str, total: bool, probes: bool, count: int
) -> None:
    source = Simulated({key: key for key in range(count)}, style, total, probes)
    walk = walk_over(source, config())
    assert fetch.proof(walk).proven and source.seen == set(range(count))


def test_only_a_walk_without_better_proof_is_done_twice() -> None:
    attempts = {
        (style, total, probes): walk_over(
            Simulated({1: 1, 2: 2, 3: 3}, style, total, probes), config()
        ).attempt
        for style in ("cursor", "page", "blind")
        for total in (False, True)
        for probes in (False, True)
    }
    once = {("cursor", t, p) for t in (False, True) for p in (False, True)}
    once |= {("page", True, True), ("blind", True, True)}
    assert {case for case, attempt in attempts.items() if attempt == 1} == once


def test_full_strategy_wants_two_walks_of_a_numbered_source() -> None:
    source = Simulated({1: 1, 2: 2, 3: 3}, "page", total=True)
    assert walk_over(source, config(strategy="full")).attempt == 2


@given(
    changes=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 30), st.booleans()), max_size=4),
    style=st.sampled_from(["cursor", "page", "blind"]),
    total=st.booleans(),
    probes=st.booleans(),
)
def test_proven_walk_has_every_row_that_was_there_throughout(
    changes: list[tuple[int, int, bool]], style: str, total: bool, probes: bool
) -> None:
    stays = set(range(0, 30, 3)) - {key for _, key, _ in changes}

    def change(source: Simulated, served: int) -> None:
        for when, key, inserts in changes:
            if when == served:
                source.rows.pop(key, None)
                source.rows |= {key: 100 + served} if inserts else {}

    source = Simulated({key: key for key in range(0, 30, 3)}, style, total, probes, change)
    walk = walk_over(source, config())
    if fetch.proof(walk).proven and (probes or walk.attempt > 1 or style == "cursor"):
        missed = stays - source.seen
        assert not missed or _hidden_by_equal_moves(changes)


def _hidden_by_equal_moves(changes: list[tuple[int, int, bool]]) -> bool:
    # A deletion leaves the newest version alone, so with an insertion of an old key it can hide a shift: the spec's
    # own limit, and the reason for delete_after_missing of two.
    return any(not inserts for _, _, inserts in changes)


def test_row_deleted_before_and_another_inserted_behind_prove_nothing() -> None:
    def shift(source: Simulated, served: int) -> None:
        if served == 1:
            del source.rows[0]
            source.rows[99] = 99

    walk = walk_over(Simulated({k: k for k in range(6)}, "page", True, True, shift), config())
    assert walk.attempt == 2 and fetch.proof(walk).proven


def test_source_that_never_rests_is_never_proven() -> None:
    def churn(source: Simulated, served: int) -> None:
        source.rows[1000 + served] = 1000 + served

    for style in ("page", "blind"):
        walk = walk_over(
            Simulated({k: k for k in range(4)}, style, False, False, churn), config(page_size=1000)
        )
        assert not fetch.proof(walk).proven and walk.attempt == fetch.MAX_WALKS


def test_unfinished_walk_is_not_proven() -> None:
    assert fetch.proof(fetch.first_request(config(), None)).reason == "not_ended"


@pytest.mark.parametrize("length", [1, 2, 3, 63, 64, 65, 200, 1000])
def test_cycle_of_cursors_of_any_length_is_met(length: int) -> None:
    run, walk, page = config(), fetch.first_request(config(), None), facts((1, 1), next_cursor="")
    with pytest.raises(SourceProtocolError, match="circle"):
        for n in range(8 * length + 8):
            envelope = Envelope(next_cursor=str(n % length), offers_cursor=True)
            walk = fetch.after_page(walk, replace(page.facts, digest=n, envelope=envelope), run)
    assert len(fetch.to_json(walk)) < 4096


def test_numbered_pages_that_repeat_end_unproven() -> None:
    run, walk = config(), fetch.first_request(config(), None)
    for _ in range(2):
        walk = after_page(walk, facts((1, 1), (2, 2), has_more=True), run)
    assert walk.ended and fetch.proof(walk).reason == "repeated_page"


def single(run: RunConfig, walk: Walk, *keys: int, told: str = "has_more", echo: bool = True) -> Walk:
    """One row a page, walked to the end, again where proof asks for it."""
    while not walk.ended:
        key = keys[min(walk.page, len(keys)) - 1]
        more = {"has_more": walk.page < len(keys)} if told == "has_more" else {"total": len(keys)}
        page = {"page": walk.page} if echo else {}
        walk = fetch.conclude(after_page(walk, facts((key, key), **more, **page), run))
    return walk


@pytest.mark.parametrize("told", ["has_more", "total"])
@pytest.mark.parametrize("keys", [(1, 1, 2), (1, 2, 2), (1, 1, 2, 2, 2, 3)])
def test_equal_neighbours_on_numbered_pages_of_one_row_are_proven_by_two_walks(
    told: str, keys: tuple[int, ...]
) -> None:
    walk = single(config(), fetch.first_request(config(), Probe(True, "9")), *keys, told=told)
    assert (fetch.proof(walk).proven, walk.attempt, walk.rows) == (True, 2, len(keys))


@pytest.mark.parametrize(
    ("keys", "echo"),
    [((1, 1, 2), False), ((1, 2, 1), True), ((1, 1), True), ((1,) * 9, True), ((2, *(1,) * 40), True)],
    ids=["number not said", "cycle", "one page only", "one page nine times", "stands still"],
)
@pytest.mark.parametrize("told", ["has_more", "total"])
def test_pages_of_one_row_that_may_be_a_source_going_round_are_not_proven(
    told: str, keys: tuple[int, ...], echo: bool
) -> None:
    walk = single(config(), fetch.first_request(config(), Probe(True, "9")), *keys, told=told, echo=echo)
    assert fetch.proof(walk).reason == "repeated_page" and walk.pages <= fetch.COPIES + 3


def test_equal_neighbours_behind_new_cursors_are_no_circle_until_there_are_too_many() -> None:
    run, walk = config(), fetch.first_request(config(), None)
    for n, key in enumerate((1, 1, 2, 2)):
        walk = after_page(walk, facts((key, key), next_cursor=str(n)), run)
    walk = after_page(walk, facts((3, 3), next_cursor=None), run)
    assert fetch.proof(walk).proven and walk.rows == 5
    walk = fetch.first_request(config(), None)
    with pytest.raises(SourceProtocolError, match="circle"):
        for n in range(fetch.COPIES + 2):
            walk = after_page(walk, facts((1, 1), next_cursor=str(n)), run)


def test_walk_that_never_ends_meets_the_cap() -> None:
    walk = replace(fetch.first_request(config(), None), pages=fetch.MAX_PAGES)
    with pytest.raises(SourceProtocolError, match="no end"):
        after_page(walk, facts((1, 1), next_cursor="x"), config())


def test_safe_rowversion_of_the_first_page_is_the_bound_before_the_probe() -> None:
    walk = fetch.first_request(config(strategy="rowversion"), Probe(True, "90"))
    assert walk.bound == encoded(90)
    walk = fetch.fix_bound(walk, Envelope(safe_rowversion="50"), NUMBER)
    assert walk.bound == encoded(50)
    walk = after_page(walk, facts((1, 1), next_cursor="a"), config())
    assert fetch.fix_bound(walk, Envelope(safe_rowversion="99"), NUMBER).bound == encoded(50)


def test_safe_rowversion_of_another_kind_is_a_protocol_error() -> None:
    with pytest.raises(SourceProtocolError, match="not a number"):
        fetch.fix_bound(fetch.first_request(config(), None), Envelope(safe_rowversion="x"), NUMBER)


def delta(*pages: Page, bound: str | None = "50", **changes: object) -> Walk:
    """A rowversion walk after these pages."""
    run = config(strategy="rowversion", **changes)
    walk = fetch.first_request(run, Probe(True, bound) if bound else None)
    for page in pages:
        walk = after_page(walk, page, run)
    return walk


def test_rows_above_the_bound_do_not_move_the_watermark() -> None:
    walk = delta(facts((1, 40), (2, 60), (3, None), bound=encoded(50), next_cursor=None))
    assert fetch.watermark(walk, encoded(30)) == encoded(40)
    assert walk.keys == 2 and walk.rows == 3


def test_watermark_stays_while_unproven_and_never_goes_back() -> None:
    assert fetch.watermark(delta(facts((1, 40), next_cursor="a")), encoded(30)) == encoded(30)
    assert fetch.watermark(delta(facts((1, 40), total=2, next_cursor=None)), encoded(30)) == encoded(30)
    assert fetch.watermark(delta(facts((1, 40), next_cursor=None)), encoded(45)) == encoded(45)
    assert fetch.watermark(delta(facts((1, None), next_cursor=None)), None) is None


def test_without_any_bound_the_watermark_stays() -> None:
    assert fetch.watermark(delta(facts((1, 40), next_cursor=None), bound=None), encoded(30)) == encoded(30)


def test_ordered_source_moves_its_watermark_with_each_page() -> None:
    pages = facts((1, 40), (2, 41), next_cursor="a"), facts((3, 41), (4, 45), next_cursor="b")
    walk = delta(*pages, bound=None, ordered_by_rowversion=True)
    assert fetch.watermark(walk, encoded(30)) == encoded(45)
    assert walk.second == encoded(41)


@pytest.mark.parametrize("second", [((3, 39),), ((3, 44), (4, 43))])
def test_source_that_is_not_ordered_as_it_says_is_stopped(second: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(SourceProtocolError, match="order"):
        delta(
            facts((1, 40), (2, 41), next_cursor="a"),
            facts(*second, next_cursor="b"),
            bound=None,
            ordered_by_rowversion=True,
        )


@given(st.lists(st.integers(), unique=True), st.randoms())
def test_sum_of_keys_knows_neither_order_nor_pages(keys: list[int], random: object) -> None:
    hashes = [key_hash(key) for key in keys]
    whole = fetch.sum_keys(pl.Series(hashes, dtype=pl.Binary))
    parts = [fetch.sum_keys(pl.Series([each], dtype=pl.Binary)) for each in reversed(hashes)]
    assert whole == sum(parts) % 2**128 == sum(int.from_bytes(each, "big") for each in hashes) % 2**128
