"""Identity is injective, blind to the order of columns, and the same by columns as by the reference."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from shared.sync import identity
from shared.sync.mapping import dtype_of, readable
from shared.sync.model import KEY_HASH, REFERENCE, ROW_HASH, ColumnType, Expression, Kind, TargetColumn
from tests.unit.sync.stage_frames import batch, config

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
VALUES: dict[Kind, tuple[ColumnType, st.SearchStrategy[Any]]] = {
    Kind.TEXT: (ColumnType(Kind.TEXT), TEXT),
    Kind.INTEGER: (ColumnType(Kind.INTEGER), st.integers(-(2**63), 2**63 - 1)),
    Kind.DECIMAL: (
        ColumnType(Kind.DECIMAL, precision=30, scale=4),
        st.decimals(-(10**25), 10**25, places=4),
    ),
    Kind.FLOAT: (ColumnType(Kind.FLOAT), st.floats().map(lambda f: 0.0 if f == 0 else f)),
    Kind.BOOLEAN: (ColumnType(Kind.BOOLEAN), st.booleans()),
    Kind.DATE: (ColumnType(Kind.DATE), st.dates()),
    Kind.TIMESTAMP: (ColumnType(Kind.TIMESTAMP), st.datetimes()),
    Kind.TIMESTAMPTZ: (ColumnType(Kind.TIMESTAMPTZ), st.datetimes(timezones=st.just(UTC))),
    Kind.BYTES: (ColumnType(Kind.BYTES), st.binary(max_size=12)),
    Kind.UUID: (ColumnType(Kind.UUID), st.uuids().map(str)),
    Kind.JSON: (ColumnType(Kind.JSON), TEXT),
}
Row = Mapping[str, tuple[Kind, Any]]
CELLS = st.sampled_from(list(VALUES)).flatmap(lambda k: st.tuples(st.just(k), st.none() | VALUES[k][1]))
ROWS = st.dictionaries(st.text("ab:1t\u00e4|", min_size=1, max_size=4), CELLS, max_size=5)


def _meaning(row: Row) -> dict[str, tuple[str, Any]]:
    """What must tell rows apart: NULLs don't, nor does an integer from an equal decimal."""
    return {
        name: (identity.TAGS[kind], repr(value) if kind is Kind.FLOAT else value)
        for name, (kind, value) in row.items()
        if value is not None
    }


@given(ROWS, ROWS)
def test_rows_share_bytes_only_if_they_mean_the_same(first: Row, second: Row):
    same = identity.canonical(first) == identity.canonical(second)
    assert same == (_meaning(first) == _meaning(second))


def _read_back(data: bytes) -> list[tuple[str, str, str]]:
    parts = []
    while data:
        size, _, rest = data.partition(b":")
        name, rest = rest[: int(size)], rest[int(size) :]
        tag, (size, _, rest) = rest[:1], rest[1:].partition(b":")
        parts.append((name.decode(), tag.decode(), rest[: int(size)].decode()))
        data = rest[int(size) :]
    return parts


@given(ROWS)
def test_canonical_bytes_can_be_read_back(row: Row):
    parts = _read_back(identity.canonical(row))
    assert [(name, tag) for name, tag, _ in parts] == sorted((n, t) for n, (t, _) in _meaning(row).items())


@given(ROWS, st.randoms())
def test_the_order_of_columns_does_not_matter(row: Row, pick: Any):
    names = list(row)
    pick.shuffle(names)
    assert identity.canonical({name: row[name] for name in names}) == identity.canonical(row)


@given(ROWS, st.sampled_from(list(Kind)))
def test_a_new_column_without_a_value_changes_nothing(row: Row, kind: Kind):
    assert identity.canonical({**row, "a new column": (kind, None)}) == identity.canonical(row)


@given(st.integers(-(10**18), 10**18))
def test_an_integer_and_an_equal_decimal_are_the_same(number: int):
    as_decimal = identity.canonical({"n": (Kind.DECIMAL, Decimal(number).quantize(Decimal("0.00")))})
    assert as_decimal == identity.canonical({"n": (Kind.INTEGER, number)})


def _tables() -> st.SearchStrategy[tuple[list[TargetColumn], list[list[Any]]]]:
    names = st.lists(st.text("abcXYZ_\u00e4 :", min_size=1, max_size=6), min_size=1, max_size=6, unique=True)

    def table(chosen: list[str]) -> st.SearchStrategy[tuple[list[TargetColumn], list[list[Any]]]]:
        kinds = st.lists(st.sampled_from(list(VALUES)), min_size=len(chosen), max_size=len(chosen))
        return st.tuples(kinds, st.integers(1, len(chosen))).flatmap(lambda kk: _filled(chosen, *kk))

    return names.flatmap(table)


def _filled(names: list[str], kinds: list[Kind], keys: int) -> st.SearchStrategy[Any]:
    columns = [
        TargetColumn(name, VALUES[kind][0], i < keys, i >= keys, Expression("rename", (name,)))
        for i, (name, kind) in enumerate(zip(names, kinds, strict=True))
    ]
    cells = [VALUES[k][1] if i < keys else st.none() | VALUES[k][1] for i, k in enumerate(kinds)]
    return st.tuples(st.just(columns), st.lists(st.tuples(*cells), min_size=1, max_size=5))


@given(_tables())
def test_columns_hash_as_the_reference_does(table: tuple[list[TargetColumn], list[Any]]):
    columns, rows = table
    series = [pl.Series([row[i] for row in rows], dtype=dtype_of(c.type)) for i, c in enumerate(columns)]
    given_batch = batch(*series)
    frame = given_batch.rows.rename({f"c{i}": f"t{i}" for i in range(len(columns))})
    run = config(targets=columns)
    result = identity.apply(type(given_batch)(frame, given_batch.rejects), run).rows
    for i, row in enumerate(rows):
        cells = {c.name: (c.type.kind, value) for c, value in zip(columns, row, strict=True)}
        keys = [c for c in columns if c.is_key]
        assert result[ROW_HASH][i] == identity.row_hash(identity.canonical(cells), 1)
        assert result[KEY_HASH][i] == identity.key_hash(
            identity.canonical({c.name: cells[c.name] for c in keys})
        )
        members = [str(readable(series[columns.index(c)], c.type.kind)[i]) for c in keys]
        assert result[REFERENCE][i] == identity.reference(members)


def test_dates_and_times_never_meet():
    values = {"d": (Kind.DATE, date(1970, 1, 1)), "s": (Kind.TIMESTAMP, datetime(1970, 1, 1))}
    assert identity.canonical(values) == b"1:dd1:01:ss1:0"
