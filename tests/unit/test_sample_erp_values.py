"""The sample ERP's values: order, injectivity and exactness of what goes over the wire."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.sample_erp import Json, TableSpec, parse_columns
from infra.local.sample_erp.errors import ErpError
from infra.local.sample_erp.values import (
    json_text,
    object_text,
    parse_object,
    raw_row,
    read_version,
    show_version,
    sort_key,
)

NUMBERS = TableSpec(slug="n", columns=parse_columns("id NUMBER(9,3) NOT NULL"), keys=("id",))
PAIRS = TableSpec(slug="p", columns=parse_columns("a VARCHAR2(9)\nb VARCHAR2(9)"), keys=("a", "b"))

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
decimals = st.decimals(min_value=-99999, max_value=99999, places=3)


@given(decimals, decimals)
def test_number_keys_order_by_value(left: Decimal, right: Decimal) -> None:
    def keyed(value: Decimal) -> bytes:
        return sort_key(NUMBERS, raw_row({"id": value}))

    assert (keyed(left) < keyed(right)) == (left < right)


@given(st.tuples(texts, texts), st.tuples(texts, texts))
def test_different_keys_never_share_a_sort_key(left: tuple[str, str], right: tuple[str, str]) -> None:
    def keyed(pair: tuple[str, str]) -> bytes:
        return sort_key(PAIRS, raw_row({"a": pair[0], "b": pair[1]}))

    assert (keyed(left) == keyed(right)) == (left == right)


def test_null_and_empty_text_are_different_keys() -> None:
    assert sort_key(PAIRS, {"a": "null", "b": '""'}) < sort_key(PAIRS, {"a": '""', "b": '""'})


@pytest.mark.parametrize(
    "text", ["1e3", "1.50", "10.357019999999999", "-0", "NaN", "-Infinity", '"\\ud800"', "[1, 2]"]
)
def test_json_text_survives_storing_and_reading(text: str) -> None:
    assert parse_object(object_text({"a": "1", "b": text}))["b"] == text


def test_decimal_keeps_its_digits() -> None:
    assert json_text(Decimal("1.500")) == "1.500"


def test_lone_surrogate_leaves_as_an_escape() -> None:
    assert json_text("\ud800") == '"\\ud800"'


def test_json_is_sent_as_written() -> None:
    assert json_text(Json("NaN")) == "NaN"


def test_unreadable_row_says_what_to_do() -> None:
    with pytest.raises(ErpError, match="insert it anew"):
        parse_object('{"a":1,"b":oops}')


@pytest.mark.parametrize("kind", ["number", "hex", "timestamp", "text"])
@given(number=st.integers(0, 10**11))
def test_row_versions_read_back(kind: str, number: int) -> None:
    assert read_version(show_version(number, kind), kind) == number  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["hex", "timestamp", "text"])
@given(pair=st.tuples(st.integers(0, 10**11), st.integers(0, 10**11)))
def test_spelled_row_versions_keep_order(kind: str, pair: tuple[int, int]) -> None:
    left, right = (show_version(number, kind) for number in pair)  # type: ignore[arg-type]
    assert (left < right) == (pair[0] < pair[1])


def test_naive_timestamp_version_counts_as_utc() -> None:
    assert read_version("2026-01-01T00:00:01", "timestamp") == 1000


def test_misspelled_version_is_refused() -> None:
    with pytest.raises(ErpError, match="hex row version"):
        read_version("zz", "hex")
