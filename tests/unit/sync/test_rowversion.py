"""Row versions keep their order as text, and are asked for without a gap."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import WatermarkRegressionError
from shared.sync.model import VersionSpec
from shared.sync.rowversion import (
    Progress,
    check_progress,
    decode_one,
    encode,
    encode_one,
    is_malformed,
    lower_bound,
)

NUMBER, HEX, TIME, TEXT = (VersionSpec(kind) for kind in ("number", "hex", "timestamp", "text"))
NOW = datetime(2025, 6, 1, tzinfo=UTC)


@given(st.lists(st.integers(0, 10**38 - 1), min_size=2))
def test_numbers_sort_as_numbers_whatever_their_width(values: list[int]) -> None:
    encoded = encode(pl.Series([str(value) for value in values], dtype=pl.String), NUMBER)
    assert encoded.sort().to_list() == [str(value).zfill(38) for value in sorted(values)]


@given(st.lists(st.integers(0, 2**128 - 1), min_size=2), st.sampled_from(["x", "X", "#x", "016X"]))
def test_hex_sorts_as_numbers_whatever_its_spelling(values: list[int], shape: str) -> None:
    encoded = encode(pl.Series([format(value, shape) for value in values], dtype=pl.String), HEX)
    assert encoded.sort().to_list() == [format(value, "032x") for value in sorted(values)]


@given(st.lists(st.datetimes(datetime(1900, 1, 2), datetime(9999, 12, 30)), min_size=2), st.integers(-14, 14))
def test_times_sort_as_moments_whatever_their_zone(values: list[datetime], hours: int) -> None:
    spelt = [(value + timedelta(hours=hours)).isoformat() + f"{hours:+03d}:00" for value in values]
    encoded = encode(pl.Series(spelt, dtype=pl.String), TIME).sort().to_list()
    assert encoded == [value.strftime("%Y-%m-%dT%H:%M:%S.%fZ") for value in sorted(values)]


@pytest.mark.parametrize(
    ("spec", "raw"),
    [
        (NUMBER, "-1"),
        (NUMBER, "1.0"),
        (NUMBER, "1e3"),
        (NUMBER, "٣"),
        (NUMBER, "1_000"),
        (NUMBER, "9" * 39),
        (NUMBER, ""),
        (HEX, "0xg1"),
        (HEX, "AAAAAAAAB9E="),
        (HEX, "0x"),
        (HEX, "f" * 33),
        (TIME, "2025-02-30T00:00:00Z"),
        (TIME, "01.02.2025 00:00:00"),
        (TIME, "2025-01-01"),
        (TIME, "9999-12-31T23:59:59-05:00"),
    ],
)
def test_value_not_of_its_kind_is_malformed_and_has_no_place_in_the_order(
    spec: VersionSpec, raw: str
) -> None:
    series = pl.Series([raw, None])
    encoded = encode(series, spec)
    assert encoded.to_list() == [None, None]
    assert is_malformed(series, encoded).to_list() == [True, False]


def test_digits_beyond_microseconds_are_cut_so_the_next_question_reads_them_again() -> None:
    encoded = encode_one("2025-01-01T00:00:00.1234569Z", TIME)
    assert encoded == "2025-01-01T00:00:00.123456Z"
    assert lower_bound(encoded, 0, TIME) == "2025-01-01T00:00:00.123455Z"


@given(st.integers(0, 10**30), st.integers(0, 1000))
def test_numbers_are_asked_for_from_below_the_watermark_less_the_overlap(value: int, overlap: int) -> None:
    asked = lower_bound(str(value).zfill(38), overlap, NUMBER)
    assert (int(asked) if asked is not None else -1) == max(value - overlap - 1, -1)


@given(st.text(min_size=1), st.text())
def test_text_is_asked_for_from_strictly_below_its_watermark(watermark: str, previous: str) -> None:
    for asked in (lower_bound(watermark, 5, TEXT), lower_bound(watermark, 5, TEXT, previous=previous)):
        assert asked is None or asked < watermark


@pytest.mark.parametrize(
    ("spec", "like", "asked"),
    [
        (NUMBER, "10", "9"),
        (NUMBER, "000010", "000009"),
        (HEX, "0x000000000000000A", "0x0000000000000009"),
        (HEX, "00FF", "00FE"),
        (HEX, "ff", "fe"),
        (TIME, "2025-01-01T00:00:01Z", "2025-01-01T00:00:00.999999Z"),
        (TIME, "2025-01-01 00:00:01", "2025-01-01 00:00:00.999999"),
        (TIME, "2025-01-01T00:00:01+02:00", "2024-12-31T22:00:00.999999Z"),
    ],
)
def test_question_is_spelt_as_the_source_spells(spec: VersionSpec, like: str, asked: str) -> None:
    encoded = encode_one(like, spec)
    assert lower_bound(encoded, 0, spec, like=like) == asked


def test_hex_without_an_example_is_asked_in_sixteen_digits() -> None:
    assert decode_one("0" * 30 + "ff", HEX) == "0x00000000000000ff"


def test_no_watermark_asks_for_everything() -> None:
    assert [lower_bound(None, 5, spec) for spec in (NUMBER, HEX, TIME, TEXT)] == [None] * 4
    assert lower_bound("0" * 38, 0, NUMBER) is None
    assert lower_bound("0001-01-01T00:00:00.000000Z", 0, TIME) is None


def _progress(spec: VersionSpec, stored: str | None, seen: str | None) -> Progress:
    earlier, later = (encode_one(value, spec) if value is not None else None for value in (stored, seen))
    return Progress(earlier, later, NOW)


@pytest.mark.parametrize(
    ("spec", "stored", "seen", "overlap"),
    [
        (NUMBER, "100", "99", 0),
        (NUMBER, "100", "94", 5),
        (HEX, "0xff", "0xfe", 0),
        (TIME, "2025-01-01T00:00:10Z", "2025-01-01T00:00:00Z", 9),
        (TIME, None, "2099-01-01T00:00:00Z", 0),
        (TIME, "2025-01-01T00:00:10Z", "2025-06-02T00:00:01Z", 0),
        (NUMBER, "1000", "9223372036854775807", 0),
    ],
)
def test_source_that_went_back_or_leapt_stops_the_run(
    spec: VersionSpec, stored: str | None, seen: str, overlap: int
) -> None:
    with pytest.raises(WatermarkRegressionError) as caught:
        check_progress(_progress(spec, stored, seen), spec, overlap)
    assert "full refresh" in caught.value.hint


@pytest.mark.parametrize(
    ("spec", "stored", "seen", "overlap"),
    [
        (NUMBER, "100", "100", 0),
        (NUMBER, "100", "95", 5),
        (NUMBER, None, "9223372036854775807", 0),
        (NUMBER, "100", None, 0),
        (TIME, "2025-01-01T00:00:10Z", "2025-06-01T23:59:59Z", 0),
        (TEXT, "b", "a", 0),
    ],
)
def test_plausible_progress_passes(
    spec: VersionSpec, stored: str | None, seen: str | None, overlap: int
) -> None:
    check_progress(_progress(spec, stored, seen), spec, overlap)
