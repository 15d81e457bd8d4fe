"""Numbers are exact or rejected, whichever way a column reads them."""

from decimal import Decimal, InvalidOperation

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.sync import numbers
from shared.sync.model import ColumnType, Kind, Rules
from tests.unit.sync.stage_frames import codes, column, mixed, one

AMOUNT = {"precision": 12, "scale": 2}


def test_raw_text_becomes_the_exact_decimal():
    values = mixed(("0.10", 2), ("12.5", 2), (None, 0), ("1e2", 2), ("7", 1))
    result = one(numbers.apply, values, column(Kind.DECIMAL, **AMOUNT))
    assert result.rows["c0"].to_list() == [Decimal("0.10"), Decimal("12.50"), None, Decimal(100), Decimal(7)]
    assert result.rows["c0"].dtype == pl.Decimal(38, 2)


def test_integers_of_a_decimal_column_are_held_to_its_digits():
    result = one(numbers.apply, pl.Series([5, 10**10, -(10**10), 10**10 - 1]), column(Kind.DECIMAL, **AMOUNT))
    assert result.rows["c0"].to_list() == [5, 10**10 - 1]
    assert codes(result) == {1: "out_of_range", 2: "out_of_range"}


def test_integers_of_a_wide_decimal_column_are_exact():
    result = one(numbers.apply, pl.Series([2**63 - 1]), column(Kind.DECIMAL, precision=38, scale=19))
    assert result.rows["c0"].to_list() == [2**63 - 1]


@pytest.mark.parametrize(("bits", "edge"), [(16, 2**15), (32, 2**31)])
def test_integers_stop_at_their_bits(bits: int, edge: int):
    result = one(
        numbers.apply, pl.Series([edge - 1, edge, -edge, -edge - 1]), column(Kind.INTEGER, bits=bits)
    )
    assert result.rows["c0"].to_list() == [edge - 1, -edge]


def test_a_locale_is_read_by_column_and_counted():
    values = pl.Series(["1.234,50", "7,5", "12", "1.23"])
    rules = {"decimal_separator": ",", "group_separator": "."}
    result = one(numbers.apply, values, column(Kind.DECIMAL, **AMOUNT, **rules))
    assert result.rows["c0"].to_list() == [Decimal("1234.50"), Decimal("7.50"), Decimal(12)]
    assert result.changed == {("v", "group_separator"): 1, ("v", "decimal_separator"): 2}


def test_json_numbers_and_grouped_strings_share_a_column():
    values = mixed(("1234.5", 2), ("1,234.5", 1), ("1,234", 2))
    result = one(numbers.apply, values, column(Kind.DECIMAL, **AMOUNT))
    assert result.rows["c0"].to_list() == [Decimal("1234.50")] * 2
    assert codes(result) == {2: "bad_number"}


def test_an_unconstrained_decimal_has_one_spelling_a_value():
    values = mixed(("1.50", 2), ("1.5", 2), ("15e-1", 2), ("+1.500", 1), ("001.5", 1))
    assert one(numbers.apply, values, column(Kind.DECIMAL)).rows["c0"].unique().to_list() == ["1.5"]


@pytest.mark.parametrize("dtype", [pl.Float64, pl.Decimal(20, 3), pl.Int32, pl.UInt64])
def test_native_numbers_are_taken_exactly(dtype: pl.DataType):
    result = one(numbers.apply, pl.Series([4, None], dtype=dtype), column(Kind.DECIMAL, **AMOUNT))
    assert result.rows["c0"].to_list() == [Decimal(4), None]


def test_native_floats_lose_the_sign_of_zero():
    assert str(one(numbers.apply, pl.Series([-0.0]), column(Kind.FLOAT)).rows["c0"][0]) == "0.0"


def test_a_sentinel_number_is_null_by_value_and_counted():
    values = mixed(("-1", 2), ("-1.0", 2), ("2", 2))
    result = one(numbers.apply, values, column(Kind.DECIMAL, **AMOUNT, sentinels={"-1": None}))
    assert result.rows["c0"].to_list() == [None, None, 2]
    assert result.changed == {("v", "sentinels"): 2}


def _reference(spelt: str, precision: int, scale: int) -> Decimal | None:
    try:
        value = Decimal(spelt)
    except InvalidOperation:
        return None
    if not value.is_finite() or abs(value) >= Decimal(10) ** (precision - scale):
        return None
    return value if value == round(value, scale) else None


SPELT = st.one_of(
    st.from_regex(r"-?[0-9]{1,14}(\.[0-9]{1,4})?(e-?[0-9]{1,2})?", fullmatch=True),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
)


@given(st.lists(SPELT, min_size=1, max_size=30))
def test_a_column_agrees_with_exact_arithmetic(texts: list[str]):
    result = one(numbers.apply, mixed(*((text, 2) for text in texts)), column(Kind.DECIMAL, **AMOUNT))
    expected = [value for text in texts if (value := _reference(text, 12, 2)) is not None]
    assert result.rows["c0"].to_list() == expected
    assert result.rows.height + result.rejects.height == len(texts)


@given(st.integers(-(2**70), 2**70), st.integers(0, 3))
def test_an_integer_is_read_whatever_zeros_it_carries(value: int, zeros: int):
    text = ("-" if value < 0 else "") + "0" * zeros + str(abs(value)) + ("." + "0" * zeros if zeros else "")
    expected = (str(value), None) if -(2**63) <= value < 2**63 else (None, "out_of_range")
    assert numbers.exact(text, False, Rules(), ColumnType(Kind.INTEGER)) == expected


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_float_text_is_pythons_repr(value: float):
    assert numbers.float_text(pl.Series([value, 1.5])).to_list() == [repr(value), "1.5"]
