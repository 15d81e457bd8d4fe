"""Expressions, masks, and keys that must be whole."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest
from blake3 import blake3

from shared.errors import ConfigurationError
from shared.sync import mapping
from shared.sync.model import RAW_KEY, Batch, ColumnType, Expression, Kind, SourceColumn, TargetColumn
from tests.unit.sync.stage_frames import batch, codes, column, config, target, with_mask

ID = column(Kind.INTEGER, "id")
KEY = b"a secret of the vault"


def run(
    sources: list[tuple[SourceColumn, pl.Series]], *targets: TargetColumn, mask_key: bytes | None = None
) -> Batch:
    """An id column 0, 1, ... as the key beside the sources."""
    height = len(sources[0][1])
    given = batch(pl.Series(range(height)), *(values for _, values in sources))
    given = Batch(given.rows.with_columns(pl.lit(0, pl.UInt64).alias(RAW_KEY)), given.rejects)
    whole = config(ID, *(source for source, _ in sources), targets=[target(ID, is_key=True), *targets])
    return mapping.apply(given, whole, mask_key)


def expressed(op: str, *args: str, kind: Kind = Kind.TEXT, **more: int) -> TargetColumn:
    return TargetColumn("out", ColumnType(kind, **more), False, True, Expression(op, args))  # type: ignore[arg-type]


TEXTS = [
    (column(Kind.TEXT, "a"), pl.Series(["x", None, None])),
    (column(Kind.TEXT, "b"), pl.Series(["y", "z", None])),
]


@pytest.mark.parametrize(
    ("out", "expected"),
    [
        (expressed("rename", "a"), ["x", None, None]),
        (expressed("constant", "k"), ["k", "k", "k"]),
        (expressed("concat", "-", "a", "b"), ["x-y", "z", None]),
        (expressed("coalesce", "a", "b"), ["x", "z", None]),
        (expressed("substring", "b", "0", "1"), ["y", "z", None]),
        (expressed("map", "b", "y", "why"), ["why", "z", None]),
    ],
)
def test_an_expression_computes(out: TargetColumn, expected: list[str | None]):
    assert run(TEXTS, out).rows["t1"].to_list() == expected


def test_substring_counts_characters():
    assert (
        run([(column(Kind.TEXT, "a"), pl.Series(["äöü"]))], expressed("substring", "a", "1", "2")).rows["t1"][
            0
        ]
        == "öü"
    )


def test_expressions_read_every_kind_as_text():
    sources = [
        (
            column(Kind.DECIMAL, "d", precision=5, scale=2),
            pl.Series([Decimal("1.50")], dtype=pl.Decimal(38, 2)),
        ),
        (column(Kind.TIMESTAMPTZ, "z"), pl.Series([datetime(2025, 12, 8, tzinfo=UTC)])),
        (column(Kind.BOOLEAN, "b"), pl.Series([True])),
        (column(Kind.DATE, "e"), pl.Series([date(2025, 12, 8)])),
        (column(Kind.BYTES, "x"), pl.Series([b"\xff"])),
    ]
    out = run(sources, expressed("concat", "|", "d", "z", "b", "e", "x")).rows["t1"][0]
    assert out == "1.5|2025-12-08T00:00:00Z|true|2025-12-08|ff"


def test_an_expression_is_read_as_its_targets_type():
    result = run(TEXTS, expressed("constant", "12.50", kind=Kind.DECIMAL, precision=5, scale=2))
    assert result.rows["t1"].to_list() == [Decimal("12.50")] * 3


def test_what_does_not_fit_the_target_rejects():
    result = run(TEXTS, expressed("concat", "-", "a", "b", length=2))
    assert codes(result) == {0: "too_long"}


def test_a_wider_decimal_is_rescaled():
    source = column(Kind.DECIMAL, "d", precision=5, scale=2)
    out = replace(target(source), type=ColumnType(Kind.DECIMAL, precision=10, scale=4))
    result = run([(source, pl.Series([Decimal("1.25")], dtype=pl.Decimal(38, 2)))], out)
    assert result.rows["t1"].dtype == pl.Decimal(38, 4)


def test_a_missing_source_is_named():
    with pytest.raises(ConfigurationError, match="'gone'"):
        run(TEXTS, expressed("rename", "gone"))


def test_a_null_key_rejects_under_the_sources_name():
    source = column(Kind.TEXT, "k")
    given = batch(pl.Series(["a", None]))
    given = Batch(given.rows.with_columns(pl.lit(0, pl.UInt64).alias(RAW_KEY)), given.rejects)
    result = mapping.apply(given, config(source))
    assert codes(result) == {1: "null_key"}
    assert result.rejects["column"].to_list() == ["k"]


def test_redaction_keeps_null_and_empties_other_types():
    amount = (column(Kind.INTEGER, "n"), pl.Series([1, None, 3]))
    masked = [with_mask(target(TEXTS[0][0]), "redact"), with_mask(target(amount[0]), "redact", Kind.INTEGER)]
    rows = run([TEXTS[0], amount], *masked).rows
    assert rows["t1"].to_list() == ["REDACTED", None, None]
    assert rows["t2"].to_list() == [None, None, None]
    assert rows["t2"].dtype == pl.Int64


def test_the_null_mask_keeps_the_dtype():
    source = column(Kind.TIMESTAMPTZ, "z")
    values = pl.Series([datetime(2025, 12, 8, tzinfo=UTC)])
    masked = run([(source, values)], with_mask(target(source), "null", Kind.TIMESTAMPTZ)).rows["t1"]
    assert masked.to_list() == [None] and masked.dtype == pl.Datetime("us", "UTC")


def test_the_hash_mask_is_keyed_and_stable():
    out = with_mask(target(TEXTS[0][0]), "hash")
    first, again = (run(TEXTS, out, mask_key=KEY).rows["t1"] for _ in range(2))
    other = run(TEXTS, out, mask_key=b"another").rows["t1"]
    assert first.to_list() == again.to_list()
    assert first[0] != other[0] and first[0] != blake3(b"x").hexdigest()
    assert first[1] is None and len(first[0]) == 64


@pytest.mark.parametrize(
    ("mask", "key", "column_type", "message"),
    [
        ("hash", None, ColumnType(Kind.TEXT), "needs a mask key"),
        ("hash", KEY, ColumnType(Kind.TEXT, length=30), "at least 64"),
        ("hash", KEY, ColumnType(Kind.INTEGER), "needs a text column"),
    ],
)
def test_a_hash_mask_that_cannot_work_is_refused(
    mask: str, key: bytes | None, column_type: ColumnType, message: str
):
    out = replace(with_mask(target(TEXTS[0][0]), mask), type=column_type)
    with pytest.raises(ConfigurationError, match=message):
        run(TEXTS, out, mask_key=key)


@pytest.mark.parametrize("mask", ["null", "redact"])
def test_a_key_is_never_masked_away(mask: str):
    source = column(Kind.TEXT, "k")
    given = batch(pl.Series(["a"]))
    given = Batch(given.rows.with_columns(pl.lit(0, pl.UInt64).alias(RAW_KEY)), given.rejects)
    with pytest.raises(ConfigurationError, match="business key"):
        mapping.apply(given, config(source, targets=[with_mask(target(source, is_key=True), mask)]))
