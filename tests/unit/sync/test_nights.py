"""What one night reads, when it stops, and when the whole should be finished."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ConfigurationError
from shared.sync.fetch import Walk
from shared.sync.nights import (
    Standing,
    demand_resumable,
    expected_finish,
    goal,
    is_over,
    nights_left,
    pace,
    progress,
    proof_of_nights,
    refusal,
)
from shared.sync.ports import Night
from shared.sync.windows import Window

NOW = datetime(2026, 1, 10, 20, tzinfo=UTC)
TONIGHT = Night(UUID(int=1), NOW + timedelta(hours=10), nights_left=4, rows_before=100)
WALK = Walk(slug="t", mode="cursor", pages=1, rows=100, last_total=500)
WINDOW = Window(time(19), time(7), "UTC")
FRESH = Standing(0, 400, 0, 0, None, None, running=False, finished=False)


def test_tonight_reads_its_part_of_what_is_left() -> None:
    assert goal(TONIGHT, 500) == 200
    assert goal(replace(TONIGHT, nights_left=1), 500) is None
    assert goal(TONIGHT, None) is None


def test_a_total_below_what_was_read_still_leaves_a_row_for_tonight() -> None:
    assert goal(TONIGHT, 40) == 101


@given(st.integers(0, 10**9), st.integers(1, 366), st.integers(1, 10**6))
def test_the_shares_of_all_nights_together_are_the_whole(total: int, days: int, page: int) -> None:
    rows = 0
    for night in range(days):
        share_ends = goal(replace(TONIGHT, nights_left=days - night, rows_before=rows), total)
        rows = total if share_ends is None else max(rows, min(total, share_ends))
    assert rows == total


@pytest.mark.parametrize(
    ("rows", "after", "over"),
    [(199, 0, False), (200, 0, True), (150, 9.99, False), (150, 10, True), (0, 11, True)],
)
def test_the_night_is_over_with_its_share_or_its_window(rows: int, after: float, over: bool) -> None:
    now = NOW + timedelta(hours=after)
    assert is_over(TONIGHT, replace(WALK, rows=rows), None, now) == over


@given(st.integers(100, 10**7), st.integers(1, 60), st.integers(1, 50_000))
def test_chunks_fit_the_share(total: int, left: int, chunk_rows: int) -> None:
    night = replace(TONIGHT, nights_left=left)
    found = pace(night, replace(WALK, last_total=total), None, NOW, chunk_rows).chunk_rows
    share_ends = goal(night, total)
    assert 1 <= found <= chunk_rows
    if share_ends is not None:
        chunks = -(-(share_ends - 100) // found)
        assert chunks * found - (share_ends - 100) < chunks  # no chunk is more than a row too large


def test_a_table_of_unknown_size_is_asked_for_one_page_first() -> None:
    untold = Walk(slug="t")
    assert pace(replace(TONIGHT, rows_before=0), untold, None, NOW, 50_000).chunk_rows == 1
    assert pace(replace(TONIGHT, rows_before=0), untold, {"count": 400}, NOW, 50_000).chunk_rows == 100


@pytest.mark.parametrize(("first", "left"), [(10, 7), (9, 6), (4, 1), (1, 1)])
def test_nights_without_the_app_count_too(first: int, left: int) -> None:
    assert nights_left(7, date(2026, 1, first), date(2026, 1, 10)) == left


@pytest.mark.parametrize("mode", ["page", "blind"])
def test_page_numbers_are_refused_unless_one_chunk_ends_them(mode: str) -> None:
    walk = replace(WALK, mode=mode)
    with pytest.raises(ConfigurationError, match="counts pages by number"):
        demand_resumable("t", walk)
    demand_resumable("t", replace(walk, ended=True))
    demand_resumable("t", WALK)


def test_rows_that_came_meanwhile_do_not_disprove_nights() -> None:
    assert proof_of_nights(replace(WALK, ended=True)).proven
    assert not proof_of_nights(WALK).proven
    assert not proof_of_nights(replace(WALK, ended=True, flaw="repeated_page")).proven


def test_what_cannot_be_read_by_night_says_why() -> None:
    assert "hash" in str(refusal("full", None)) and "keyset" in str(refusal("hash", "page"))
    assert refusal("rowversion", "keyset") is None and refusal("hash", None) is None


@pytest.mark.parametrize(
    ("standing", "share"),
    [(FRESH, 0.0), (replace(FRESH, rows_read=100), 0.25), (replace(FRESH, rows_read=500), 1.0),
     (replace(FRESH, rows_read=5, rows_expected=None), None), (replace(FRESH, finished=True), 1.0)],
)  # fmt: skip
def test_progress_is_a_share(standing: Standing, share: float | None) -> None:
    assert progress(standing) == share


@pytest.mark.parametrize(
    ("standing", "day"),
    [
        (FRESH, 14),  # tonight is the first of four nights: the 10th to the 13th, ending on the 14th
        (replace(FRESH, rows_read=100, nights=1, first_night=date(2026, 1, 9), last_night=date(2026, 1, 9)), 13),
        (replace(FRESH, rows_read=100, nights=1, first_night=date(2026, 1, 10), last_night=date(2026, 1, 10)), 14),
        (replace(FRESH, rows_read=40, nights=1, first_night=date(2026, 1, 9), last_night=date(2026, 1, 9)), 19),
        (replace(FRESH, rows_read=130, rows_before=100, nights=2, first_night=date(2026, 1, 9),
                 last_night=date(2026, 1, 10), running=True), 13),
    ],
)  # fmt: skip
def test_the_finish_is_expected_by_plan_or_by_pace_whichever_is_later(standing: Standing, day: int) -> None:
    assert expected_finish(standing, WINDOW, 4, NOW) == datetime(2026, 1, day, 7, tzinfo=UTC)


def test_no_finish_is_foreseen_without_a_size_or_beyond_ten_years() -> None:
    assert expected_finish(replace(FRESH, rows_expected=None), WINDOW, 4, NOW) is None
    crawling = replace(FRESH, rows_read=1, rows_expected=10**9, nights=1, first_night=date(2026, 1, 9))
    assert expected_finish(crawling, WINDOW, 4, NOW) is None
