"""Golden vectors: hashes of fixed rows stay what they are, whatever library computes them."""

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from shared.sync import identity
from shared.sync.mapping import dtype_of
from shared.sync.model import (
    KEY_HASH,
    REFERENCE,
    ROW_HASH,
    Batch,
    ColumnType,
    Expression,
    Kind,
    RunConfig,
    TargetColumn,
)
from tests.unit.sync.stage_frames import batch, codes, config

GOLDEN = json.loads((Path(__file__).parent / "identity_golden.json").read_text("utf-8"))
READ = {
    Kind.DECIMAL: Decimal,
    Kind.FLOAT: float,
    Kind.DATE: date.fromisoformat,
    Kind.TIMESTAMP: datetime.fromisoformat,
    Kind.TIMESTAMPTZ: datetime.fromisoformat,
    Kind.BYTES: bytes.fromhex,
}


def _columns(vector: dict[str, Any]) -> list[tuple[TargetColumn, Any]]:
    columns = []
    for cell in vector["columns"]:
        declared = ColumnType(Kind(cell["kind"]), precision=cell.get("precision"), scale=cell.get("scale"))
        is_key, name, value = cell["name"] in vector["key"], cell["name"], cell["value"]
        read = READ.get(declared.kind, lambda plain: plain)
        if declared.kind is Kind.DECIMAL and declared.precision is None:
            read = str
        column = TargetColumn(name, declared, is_key, not is_key, Expression("rename", (name,)))
        columns.append((column, None if value is None else read(value)))
    return columns


def _through_columns(columns: list[tuple[TargetColumn, Any]]) -> Batch:
    series = [pl.Series([value], dtype=dtype_of(column.type)) for column, value in columns]
    given = batch(*series)
    frame = given.rows.rename({f"c{i}": f"t{i}" for i in range(len(series))})
    return identity.apply(Batch(frame, given.rejects), _run([column for column, _ in columns]))


def _run(columns: list[TargetColumn]) -> RunConfig:
    return config(targets=columns)


@pytest.mark.parametrize("vector", GOLDEN, ids=lambda vector: vector["why"])
def test_the_reference_gives_the_golden_bytes(vector: dict[str, Any]):
    cells = {column.name: (column.type.kind, value) for column, value in _columns(vector)}
    key = identity.canonical({name: cells[name] for name in vector["key"]})
    assert identity.canonical(cells).decode() == vector["canonical"]
    assert identity.key_hash(key).hex() == vector["key_hash"]
    assert identity.row_hash(identity.canonical(cells), 1).hex() == vector["row_hash"]


@pytest.mark.parametrize("vector", GOLDEN, ids=lambda vector: vector["why"])
def test_the_stage_gives_the_golden_bytes(vector: dict[str, Any]):
    row = _through_columns(_columns(vector)).rows
    assert row[KEY_HASH][0].hex() == vector["key_hash"]
    assert row[ROW_HASH][0].hex() == vector["row_hash"]
    assert row[REFERENCE][0] == vector["reference"]


def test_golden_rows_that_mean_the_same_share_their_hash():
    by_why = {vector["why"]: vector["row_hash"] for vector in GOLDEN}
    assert (
        by_why["an integer key"]
        == by_why["a decimal of the same value"]
        == by_why["a new column without a value"]
    )
    assert by_why["NULL"] != by_why["an empty text"]
    assert by_why["a bar in the first member"] != by_why["a bar in the second member"]


def _text_key(*values: str) -> Batch:
    column = TargetColumn("k", ColumnType(Kind.TEXT), True, False, Expression("rename", ("k",)))
    given = batch(pl.Series(values))
    return identity.apply(Batch(given.rows.rename({"c0": "t0"}), given.rejects), _run([column]))


def test_a_key_beyond_2600_bytes_rejects():
    result = _text_key("k" * 2600, "k" * 2601, "\u00fc" * 1301)
    assert codes(result) == {1: "key_too_long", 2: "key_too_long"}
    assert result.rejects["column"].to_list() == [None, None]


def test_a_reference_escapes_its_own_marks():
    assert _text_key("a|b\\c").rows[REFERENCE].to_list() == ["a\\|b\\\\c"]
    assert identity.reference(["a|b", "c"]) != identity.reference(["a", "b|c"])


def test_texts_longer_than_the_table_of_lengths_hash_alike():
    long = "x" * 100_000
    column = TargetColumn("v", ColumnType(Kind.TEXT), False, True, Expression("rename", ("v",)))
    key = TargetColumn("k", ColumnType(Kind.INTEGER), True, False, Expression("rename", ("k",)))
    row = _through_columns([(key, 1), (column, long)]).rows
    assert row[ROW_HASH][0] == identity.row_hash(
        identity.canonical({"k": (Kind.INTEGER, 1), "v": (Kind.TEXT, long)}), 1
    )


def test_no_rows_have_no_hashes():
    rows = _text_key("a").rows.clear().select("_row", "_version", "t0")
    column = TargetColumn("k", ColumnType(Kind.TEXT), True, False, Expression("rename", ("k",)))
    result = identity.apply(Batch(rows, _text_key("a").rejects), _run([column])).rows
    assert result.is_empty() and result[ROW_HASH].dtype == pl.Binary
