"""Quick readers and the exact reader agree; zones shift, gaps and folds reject."""

from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.sync import dates
from shared.sync.instants import Reading, read
from shared.sync.model import Kind, Rules
from tests.unit.sync.stage_frames import codes, column, mixed, one

FORMATS = [
    ("%Y-%m-%dT%H:%M:%S", "2024-02-28T12:34:56"),
    ("%Y-%m-%d", "2024-02-28"),
    ("%d.%m.%Y", "28.02.2024"),
    ("%Y%m%d%H%M%S", "20240228123456"),
    ("%d-%b-%Y", "28-FEB-2024"),
    ("%m/%d/%Y %H:%M:%S", "02/28/2024 12:34:56"),
]
ODD = " \t\n+-.:/T0169Zx\u0661\u00a0"


def _mutants(text: str) -> list[str]:
    singles = [text[:i] + c + text[i + 1 :] for i in range(len(text)) for c in ODD]
    pairs = [
        text[:i] + a + b + text[i + 2 :] for i in range(len(text) - 1) for a in " +-09" for b in " +-0169"
    ]
    return list(dict.fromkeys([text, *singles, *pairs]))


def _agree(texts: list[str], formats: tuple[str, ...]) -> None:
    source = column(Kind.TIMESTAMP, formats=formats, trim="none", control="strip")
    result = one(dates.apply, pl.Series(texts), source)
    landed = dict(zip(result.rows["_row"], result.rows["c0"].to_physical(), strict=True))
    reading = Reading.of(source, "oracle")
    for row, text in enumerate(texts):
        wall, offset, code, _ = read(text, reading)
        if row in landed:
            assert (landed[row], offset) == (wall, None), text
        else:
            assert code or offset is not None or codes(result)[row] == "other_calendar", text


@pytest.mark.parametrize(("pattern", "text"), FORMATS)
def test_a_quick_reader_takes_nothing_the_exact_one_reads_otherwise(pattern: str, text: str):
    _agree([text] * 9 + _mutants(text), (pattern,))


@pytest.mark.parametrize("text", [t for p, t in FORMATS if p != "%d.%m.%Y" and "/" not in p])
def test_default_forms_agree_with_the_exact_reader(text: str):
    _agree([text] * 9 + _mutants(text), ())


@given(
    st.lists(
        st.sampled_from([t for _, t in FORMATS]).flatmap(lambda t: st.sampled_from(_mutants(t))), min_size=1
    )
)
@example(["2024-02-28T12:34:56.5", "2024-02-28", "2024-02-28 12:34:56.123456"])
def test_columns_of_mixed_forms_agree_with_the_exact_reader(texts: list[str]):
    _agree(texts, ())


@given(st.datetimes(min_value=datetime(1500, 1, 1), max_value=datetime(9999, 12, 31)))
def test_iso_text_comes_back_to_the_microsecond(moment: datetime):
    values = pl.Series([moment.isoformat(), moment.isoformat(" ")])
    assert one(dates.apply, values, column(Kind.TIMESTAMP)).rows["c0"].to_list() == [moment] * 2


@given(
    st.datetimes(
        min_value=datetime(1901, 1, 1),
        max_value=datetime(2100, 1, 1),
        timezones=st.timezones(),
        allow_imaginary=False,
    )
)
def test_an_offset_is_an_instant_whatever_the_zone(moment: datetime):
    if moment.utcoffset().total_seconds() % 60:  # type: ignore[union-attr]
        return
    result = one(
        dates.apply, pl.Series([moment.isoformat()]), column(Kind.TIMESTAMPTZ, timezone="Asia/Tokyo")
    )
    assert result.rows["c0"].to_list() == [moment.astimezone(UTC)]


def test_naive_and_zoned_times_share_a_column():
    values = pl.Series(["2025-12-08T12:00:00", "2025-12-08T12:00:00Z", "2025-12-08", None])
    result = one(dates.apply, values, column(Kind.TIMESTAMPTZ, timezone="Europe/Berlin"))
    expected = [datetime(2025, 12, 8, 11, tzinfo=UTC), datetime(2025, 12, 8, 12, tzinfo=UTC)]
    assert result.rows["c0"].to_list() == [*expected, datetime(2025, 12, 7, 23, tzinfo=UTC), None]


def test_gap_and_fold_reject_by_their_own_codes():
    values = pl.Series(["2025-03-30T02:30:00", "2025-10-26T02:30:00", "2025-06-01T00:00:00"])
    result = one(dates.apply, values, column(Kind.TIMESTAMPTZ, timezone="Europe/Berlin"))
    assert codes(result) == {0: "dst_gap", 1: "dst_fold"}


def test_truncated_fractions_are_counted():
    values = pl.Series(["2025-12-08T12:00:00.1234567", "2025-12-08T12:00:00"])
    result = one(dates.apply, values, column(Kind.TIMESTAMP, fraction="truncate"))
    assert result.rows["c0"][0] == datetime(2025, 12, 8, 12, 0, 0, 123456)
    assert result.changed == {("v", "fraction"): 1}


def test_a_number_column_may_be_counted_seconds():
    result = one(dates.apply, pl.Series([0, None]), column(Kind.TIMESTAMP, formats=("epoch_s",)))
    assert result.rows["c0"].to_list() == [datetime(1970, 1, 1), None]
    assert one(dates.apply, mixed(("86400", 2)), column(Kind.DATE, formats=("epoch_s",))).rows["c0"][
        0
    ] == date(1970, 1, 2)


@pytest.mark.parametrize("value", [date(2025, 12, 8), datetime(2025, 12, 8)])
def test_native_dates_and_times_pass(value: date):
    assert one(dates.apply, pl.Series([value, None]), column(Kind.DATE)).rows["c0"].to_list() == [
        date(2025, 12, 8),
        None,
    ]


def test_a_native_instant_keeps_its_instant():
    values = pl.Series([datetime(2025, 12, 8, 12)], dtype=pl.Datetime("ms")).dt.replace_time_zone(
        "Asia/Tokyo"
    )
    result = one(dates.apply, values, column(Kind.TIMESTAMPTZ))
    assert result.rows["c0"].to_list() == [datetime(2025, 12, 8, 3, tzinfo=UTC)]


def test_a_sentinel_date_is_null_by_value_and_counted():
    values = pl.Series(["9999-12-31T00:00:00", "9999-12-31", "2025-12-08"])
    result = one(dates.apply, values, column(Kind.TIMESTAMP, sentinels={"9999-12-31": None}))
    assert result.rows["c0"].to_list() == [None, None, datetime(2025, 12, 8)]
    assert result.changed == {("v", "sentinels"): 2}


def test_an_empty_column_has_its_dtype():
    result = one(dates.apply, pl.Series([None], dtype=pl.String), column(Kind.TIMESTAMPTZ, timezone="UTC"))
    assert result.rows["c0"].dtype == pl.Datetime("us", "UTC")


def test_the_first_format_that_fits_decides():
    rules = Rules(formats=("%m/%d/%Y", "%d/%m/%Y"))
    result = one(
        dates.apply, pl.Series(["01/02/2025", "13/02/2025"]), column(Kind.DATE, formats=rules.formats)
    )
    assert result.rows["c0"].to_list() == [date(2025, 1, 2), date(2025, 2, 13)]
