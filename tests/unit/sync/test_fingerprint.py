"""Fingerprints: what must meet meets, what differs does not, whichever side it comes from."""

from dataclasses import replace
from datetime import date, datetime
from typing import Any

import polars as pl
import pytest

from shared.sync import fingerprint
from shared.sync.model import (
    KEY_HASH,
    REFERENCE,
    ROW,
    ROW_HASH,
    Batch,
    ColumnType,
    Expression,
    Kind,
    RunConfig,
    TargetColumn,
    no_rejects,
)

MONEY = ColumnType(Kind.DECIMAL, precision=12, scale=2)


def config(*types: ColumnType) -> RunConfig:
    key = TargetColumn("id", ColumnType(Kind.INTEGER), True, False, Expression("rename", ("id",)))
    rest = [
        TargetColumn(f"v{i}", t, False, True, Expression("rename", (f"v{i}",))) for i, t in enumerate(types)
    ]
    return RunConfig(
        "e", "t", "hash", "oracle", (), (key, *rest), "public", "t", None, None, False, 10, 0, 10.0, 1
    )


def digests(values: list[list[Any]], *types: ColumnType, dtypes: Any = None) -> list[int]:
    columns = {
        f"t{i + 1}": pl.Series([row[i] for row in values], dtype=(dtypes or {}).get(i))
        for i in range(len(types))
    }
    frame = pl.DataFrame({ROW: range(len(values)), "t0": [1] * len(values)} | columns)
    found = fingerprint.apply(Batch(frame, no_rejects()), config(*types)).rows
    assert found[REFERENCE].null_count() == len(values)
    return found[ROW_HASH].to_list()


@pytest.mark.parametrize(
    ("one", "other", "column"),
    [
        (None, 0, ColumnType(Kind.INTEGER)),
        (None, "", ColumnType(Kind.TEXT)),
        (None, False, ColumnType(Kind.BOOLEAN)),
        (None, 0.0, ColumnType(Kind.FLOAT)),
        (None, date(1970, 1, 1), ColumnType(Kind.DATE)),
        (None, datetime(1970, 1, 1), ColumnType(Kind.TIMESTAMP)),
        (b"", b"\x00", ColumnType(Kind.BYTES)),
        ("1.20", "1.21", MONEY),
        ("1.2", "1.201", MONEY),
        ('{"a":1}', '{"a":"1"}', ColumnType(Kind.JSON)),
        ('[1,2]', '[2,1]', ColumnType(Kind.JSON)),
    ],
)  # fmt: skip
def test_different_values_differ(one: Any, other: Any, column: ColumnType) -> None:
    first, second = digests([[one], [other]], column)
    assert first != second


def test_decimals_meet_whichever_side_spells_them() -> None:
    stored = digests([["1.2"], ["0"], ["-7"]], MONEY, dtypes={0: pl.String})
    read = digests([["1.20"], ["0.00"], ["-7.00"]], MONEY, dtypes={0: pl.String})
    exact = pl.Series(["1.2", "0", "-7"]).cast(pl.Decimal(38, 2)).to_list()
    assert stored == read == digests([[v] for v in exact], MONEY, dtypes={0: pl.Decimal(38, 2)})


def test_minus_zero_and_json_spellings_meet() -> None:
    assert len(set(digests([[0.0], [-0.0]], ColumnType(Kind.FLOAT)))) == 1
    spellings = [['{"b":1.0,"a":[2.50]}'], ['{"a": [2.5], "b": 1}']]
    assert len(set(digests(spellings, ColumnType(Kind.JSON)))) == 1


def test_values_that_swap_columns_or_rows_are_noticed() -> None:
    text = ColumnType(Kind.TEXT)
    straight, crossed = (
        digests([["x", "y"], ["z", "w"]], text, text),
        digests([["y", "x"], ["z", "w"]], text, text),
    )
    swapped = digests([["z", "y"], ["x", "w"]], text, text)
    assert sum(straight) not in (sum(crossed), sum(swapped))


def test_order_of_mappings_does_not_matter() -> None:
    given = config(ColumnType(Kind.TEXT), ColumnType(Kind.INTEGER))
    turned = replace(given, target_columns=(given.target_columns[0], *reversed(given.target_columns[1:])))
    frame = pl.DataFrame({ROW: [0], "t0": [1], "t1": ["x"], "t2": [5]})
    other = frame.rename({"t1": "t2", "t2": "t1"})
    one = fingerprint.named(Batch(frame, no_rejects()), given).rows
    two = fingerprint.named(Batch(other, no_rejects()), turned).rows
    assert one.select(KEY_HASH, ROW_HASH, REFERENCE).equals(two.select(KEY_HASH, ROW_HASH, REFERENCE))
