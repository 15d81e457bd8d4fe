"""Page sizes and intervals that follow what is measured stay within bounds, settle, and do not swing."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.sync.adaptive import (
    KEPT,
    LOOKS,
    SLOW_S,
    Adapted,
    Asked,
    Interval,
    Observed,
    Paging,
    Spent,
    after_look,
    after_pages,
    fitting,
    learn,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ASKED = Asked(page_size=1000, page_most=10_000, interval_s=300)
seconds = st.floats(0, 30, allow_nan=False)
observations = st.builds(
    Observed,
    st.sampled_from([0, 100, 500, 1000, 2000, 4000, 10_000]),
    st.builds(Spent, st.integers(0, 50), st.integers(0, 100_000), seconds, st.integers(0, 10**9), seconds),
    st.sampled_from([True, False, None]),
    st.booleans(),
)


def pages(size: int, per_page: float, count: int = 10, page_bytes: int = 1000) -> Spent:
    return Spent(count, size * count, per_page * count, page_bytes * count, per_page * count)


def sizes(paging: Paging, took: Callable[[int], float], runs: int = 40) -> list[int]:
    """The size after each run of a source that answers a page of n rows in took(n) seconds."""
    found = [paging.size]
    for _ in range(runs):
        paging, _ = after_pages(paging, pages(paging.size, took(paging.size)))
        found.append(paging.size)
    return found


def intervals(interval: Interval, is_change: Callable[[float, float], bool], looks: int = 400) -> list[int]:
    """The interval after each look at a source; `is_change` says whether one fell between two moments."""
    found, at = [interval.seconds], 0.0
    for _ in range(looks):
        after = at + interval.seconds
        interval, _ = after_look(interval, is_change(at, after))
        at = after
        found.append(interval.seconds)
    return found


def is_monotone(values: list[int]) -> bool:
    return values in (sorted(values), sorted(values, reverse=True))


def test_figures_asked_for_are_where_it_starts() -> None:
    begun = fitting(None, ASKED)
    assert (begun.paging.size, begun.paging.least, begun.paging.most) == (1000, 100, 10_000)
    assert begun.interval.seconds == 300


@given(
    st.lists(observations, max_size=60), st.integers(1, 20_000), st.integers(1, 20_000), st.integers(0, 9000)
)
def test_figures_stay_within_their_bounds(
    seen: list[Observed], size: int, most: int, interval_s: int
) -> None:
    asked = Asked(min(size, most), most, interval_s)
    adapted = fitting(None, asked)
    for observed in seen:
        adapted, _ = learn(adapted, replace(observed, page_size=adapted.paging.size), NOW)
        assert (
            max(1, asked.page_size // 10) <= adapted.paging.size <= max(asked.page_size, min(most, size * 10))
        )
        assert interval_s // 4 <= adapted.interval.seconds <= interval_s * 4
    assert len(adapted.changes) <= KEPT


@given(st.floats(0, 30), st.floats(0, 0.1), st.floats(0, 1e-6))
def test_page_size_goes_one_way_and_settles(fixed: float, per_row: float, worse: float) -> None:
    found = sizes(fitting(None, ASKED).paging, lambda n: fixed + per_row * n + worse * n * n)
    assert is_monotone(found)
    assert len(set(found[10:])) == 1


def test_pages_grow_while_rows_get_cheaper_and_the_source_stays_quick() -> None:
    assert sizes(fitting(None, ASKED).paging, lambda _: 0.2)[-1] == 10_000
    assert sizes(fitting(None, ASKED).paging, lambda n: 0.3 + n * 0.001)[-1] == 4000
    assert sizes(fitting(None, ASKED).paging, lambda n: n * 0.001)[-1] == 2000


def test_slow_pages_shrink_until_they_are_not_or_shrinking_is_no_use() -> None:
    assert sizes(fitting(None, ASKED).paging, lambda n: n * 0.03)[-1] == 250
    assert sizes(fitting(None, ASKED).paging, lambda _: 20.0)[-1] == 500


def test_way_given_up_is_open_again_once_the_source_is_another() -> None:
    stuck = fitting(None, ASKED).paging
    for _ in range(5):
        stuck, _ = after_pages(stuck, pages(stuck.size, stuck.size * 0.0005))
    assert (stuck.size, stuck.useless is not None) == (2000, True)
    freed, why = after_pages(stuck, pages(2000, 0.2))
    assert (freed.size, why) == (4000, "a page took only 0.20 s")


def test_deltas_and_sweeps_that_differ_do_not_drag_it_to_and_fro() -> None:
    paging, found = fitting(None, ASKED).paging, []
    for run in range(40):
        paging, _ = after_pages(paging, pages(paging.size, paging.size * (0.0001, 0.012)[run % 2]))
        found.append(paging.size)
    assert set(found[4:]) == {found[-1]}


def test_large_pages_are_not_doubled_and_one_too_large_is_halved() -> None:
    begun = fitting(None, ASKED)
    assert after_pages(begun.paging, pages(1000, 0.1, page_bytes=9 * 1024 * 1024))[0].size == 1000
    halved, made = learn(begun, Observed(1000, too_large=True), NOW)
    assert (halved.paging.size, made[0].reason) == (500, "an answer was larger than is taken")


@pytest.mark.parametrize(
    "observed", [Observed(999, pages(999, SLOW_S * 2)), Observed(1000, Spent(busy_s=90))]
)
def test_runs_of_another_size_and_last_pages_tell_nothing(observed: Observed) -> None:
    begun = fitting(None, ASKED)
    assert learn(begun, observed, NOW) == (begun, ())


@given(st.integers(30, 7200), st.integers(1, 40_000))
def test_interval_of_a_steady_source_goes_one_way_in_few_steps(base: int, period: int) -> None:
    found = intervals(Interval(base, base), lambda a, b: b // period > a // period)
    assert is_monotone(found)
    assert len(set(found)) <= 6


def test_interval_follows_the_rate_of_change_to_its_bounds() -> None:
    assert intervals(Interval(300, 300), lambda _a, _b: False)[-1] == 1200
    assert intervals(Interval(300, 300), lambda _a, _b: True)[-1] == 75
    assert intervals(Interval(0, 0), lambda _a, _b: False)[-1] == 0


def test_busy_source_is_left_alone_for_longer_than_its_changes_ask() -> None:
    interval = Interval(300, 300)
    for _ in range(LOOKS * 10):
        interval, _ = after_look(interval, True, 100.0)
    assert interval.seconds == 500


def test_each_change_says_what_when_and_why() -> None:
    after, made = learn(fitting(None, ASKED), Observed(1000, pages(1000, 30.0)), NOW)
    assert made == after.changes
    assert msgspec.to_builtins(made[0]) == {
        "at": "2026-01-01T00:00:00Z", "setting": "page_size", "before": 1000, "after": 500,
        "reason": "a page took 30.0 s",
    }  # fmt: skip


def test_what_was_learned_lasts_until_something_else_is_asked_for() -> None:
    learned = learn(fitting(None, ASKED), Observed(1000, pages(1000, 30.0)), NOW)[0]
    stored = msgspec.to_builtins(learned)
    assert fitting(stored, ASKED) == learned
    other: Adapted = fitting(stored, replace(ASKED, page_size=800))
    assert (other.paging.size, other.interval, other.changes) == (800, learned.interval, learned.changes)
