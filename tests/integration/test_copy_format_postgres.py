"""The binary COPY encoder against a real server: whatever goes in comes out."""

import datetime as dt
import json
import math
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from infra.local.postgres import PostgresServer
from shared.adapters.postgres.copy_format import Field, encode
from shared.adapters.postgres.statements import copy_into
from shared.sync.model import ColumnType, Kind
from shared.sync.types import sql_type

T = ColumnType
UTC = dt.UTC
CASES: dict[str, tuple[ColumnType, Any, list[Any]]] = {
    "text": (T(Kind.TEXT), pl.String, ["", "a", "été 𝄞", "x" * 191, "x" * 192, "x" * 193, "é" * 5000, None, "\t\n\\N", '"']),
    "int16": (T(Kind.INTEGER, bits=16), pl.Int64, [-(2**15), 2**15 - 1, 0, None]),
    "int32": (T(Kind.INTEGER, bits=32), pl.Int64, [-(2**31), 2**31 - 1, 0, None]),
    "int64": (T(Kind.INTEGER), pl.Int64, [-(2**63), 2**63 - 1, 0, None]),
    "float64": (T(Kind.FLOAT), pl.Float64, [0.1, -0.0, math.inf, -math.inf, math.nan, 5e-324, 1.7e308, None]),
    "boolean": (T(Kind.BOOLEAN), pl.Boolean, [True, False, None]),
    "date": (T(Kind.DATE), pl.Date, [dt.date(1, 1, 1), dt.date(9999, 12, 31), dt.date(2000, 1, 1), None]),
    "timestamp": (T(Kind.TIMESTAMP), pl.Datetime("us"),
                  [dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999999), dt.datetime(2000, 1, 1), None]),
    "timestamptz": (T(Kind.TIMESTAMPTZ), pl.Datetime("us", "UTC"),
                    [dt.datetime(1, 1, 2, tzinfo=UTC), dt.datetime(9999, 12, 30, 23, 59, 59, 999999, tzinfo=UTC), None]),
    "bytes": (T(Kind.BYTES), pl.Binary, [b"", b"\x00\xff", bytes(range(256)) * 3, None]),
    "uuid": (T(Kind.UUID), pl.String, [str(uuid.UUID(int=0)), str(uuid.UUID(int=2**128 - 1)), str(uuid.uuid4()), None]),
    "json": (T(Kind.JSON), pl.String, ['{"a":[1,"é",null]}', "[]", '"x"', "null", "1.50", None]),
}  # fmt: skip


@pytest.fixture(scope="module")
def connection(postgres_server: PostgresServer) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres_server.dsn_of("postgres"), autocommit=True, prepare_threshold=None) as made:
        made.execute("SET timezone TO 'UTC'")
        yield made


def through(connection: psycopg.Connection[Any], *fields: Field) -> list[tuple[Any, ...]]:
    """The fields after a journey through a table, in order."""
    named = [sql.SQL("{} {}").format(sql.Identifier(f.name), sql.SQL(sql_type(f.type))) for f in fields]
    connection.execute("DROP TABLE IF EXISTS journey")
    connection.execute(
        sql.SQL("CREATE TEMP TABLE journey (_at serial, {})").format(sql.SQL(", ").join(named))
    )
    encoded = encode(fields)
    with (
        connection.cursor() as cursor,
        cursor.copy(copy_into(sql.Identifier("journey"), encoded.columns)) as copy,
    ):
        for piece in encoded.pieces:
            copy.write(piece)
    names = sql.SQL(", ").join(sql.Identifier(f.name) for f in fields)
    return connection.execute(sql.SQL("SELECT {} FROM journey ORDER BY _at").format(names)).fetchall()


def shown(kind: Kind, value: Any) -> Any:
    """A value as the driver gives it."""
    if value is None:
        return None
    match kind:
        case Kind.UUID:
            return uuid.UUID(value)
        case Kind.JSON:
            return json.loads(value)
        case Kind.FLOAT:
            return repr(value)
    return value


def scaled(whole: int, scale: int) -> str:
    """Plain notation; arithmetic would round to the context's precision."""
    digits = str(abs(whole)).zfill(scale + 1)
    point = len(digits) - scale
    return ("-" if whole < 0 else "") + digits[:point] + ("." + digits[point:] if scale else "")


def decimals(values: list[str | None], precision: int, scale: int) -> Field:
    series = pl.Series(
        [None if v is None else Decimal(v) for v in values], dtype=pl.Decimal(precision, scale)
    )
    return Field("v", series, T(Kind.DECIMAL, precision=precision, scale=scale))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("nulls", [True, False])
def test_every_kind_comes_out_as_it_went_in(
    connection: psycopg.Connection[Any], name: str, nulls: bool
) -> None:
    type_, dtype, values = CASES[name]
    kept = values if nulls else [v for v in values if v is not None]
    found = through(connection, Field("v", pl.Series(kept, dtype=dtype), type_))
    assert [repr(v) if type_.kind is Kind.FLOAT and v is not None else v for (v,) in found] == [
        shown(type_.kind, v) for v in kept
    ]


def test_all_kinds_travel_together_in_any_order(connection: psycopg.Connection[Any]) -> None:
    fields = [
        Field(name, pl.Series((values * 4)[:12], dtype=dtype), type_)
        for name, (type_, dtype, values) in CASES.items()
    ]
    assert len(through(connection, *fields)) == 12
    assert sorted(encode(fields).columns) == sorted(CASES)


@pytest.mark.parametrize("name", CASES)
def test_no_rows_and_only_nulls_are_no_trouble(connection: psycopg.Connection[Any], name: str) -> None:
    type_, dtype, _ = CASES[name]
    assert through(connection, Field("v", pl.Series([], dtype=dtype), type_)) == []
    assert through(connection, Field("v", pl.Series([None, None], dtype=dtype), type_)) == [(None,), (None,)]


@pytest.mark.parametrize("scale", range(31))
def test_numerics_of_every_scale(connection: psycopg.Connection[Any], scale: int) -> None:
    wholes = [
        0,
        1,
        -1,
        9999,
        10000,
        -10001,
        10**8,
        10**16 - 1,
        10**16,
        -(10**17),
        10**37,
        10**38 - 1,
        1 - 10**38,
    ]
    values = [*(scaled(whole, scale) for whole in wholes), None]
    found = through(connection, decimals(values, 38, scale))
    assert [None if v is None else format(v, "f") for (v,) in found] == values


LONG = ["1" * 60, "-" + "9" * 60, "0." + "0" * 40 + "123", "-1.5", "0", "12345678901234567890.123456789012345678901234567890",
        "1" * 38, "0.00000000000000000000000000000000000001", "10000", "0.0001", "1.10", None]  # fmt: skip


@pytest.mark.parametrize("values", [LONG, LONG[3:5], [None], ["7", None], ["0.5", "100"]])
def test_unconstrained_numerics_keep_every_digit(
    connection: psycopg.Connection[Any], values: list[str | None]
) -> None:
    found = through(connection, Field("v", pl.Series(values, dtype=pl.String), T(Kind.DECIMAL)))
    assert [None if v is None else format(v, "f") for (v,) in found] == values


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_numerics_round_trip(connection: psycopg.Connection[Any], data: st.DataObject) -> None:
    scale = data.draw(st.integers(0, 30))
    whole = st.integers(1 - 10**38, 10**38 - 1)
    drawn = data.draw(st.lists(st.none() | whole | st.integers(-10_000, 10_000), min_size=1, max_size=8))
    values = [None if n is None else scaled(n, scale) for n in drawn]
    found = through(connection, decimals(values, 38, scale))
    assert [None if v is None else format(v, "f") for (v,) in found] == values


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.none()
            | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=300),
            st.none() | st.binary(max_size=300),
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31)),
        ),
        max_size=12,
    )
)
def test_any_rows_round_trip(connection: psycopg.Connection[Any], rows: list[tuple[Any, ...]]) -> None:
    types = {"text": pl.String, "bytes": pl.Binary, "int64": pl.Int64, "timestamp": pl.Datetime("us")}
    fields = [
        Field(name, pl.Series([row[i] for row in rows], dtype=dtype), CASES[name][0])
        for i, (name, dtype) in enumerate(types.items())
    ]
    assert through(connection, *fields) == rows


def test_rows_beyond_one_piece_keep_their_order(connection: psycopg.Connection[Any]) -> None:
    rows = 40_000
    numbers = Field("n", pl.Series(range(rows), dtype=pl.Int64), T(Kind.INTEGER))
    texts = Field(
        "t", pl.Series([None if i % 7 == 0 else f"r{i}" * (i % 5) for i in range(rows)]), T(Kind.TEXT)
    )
    assert through(connection, numbers, texts) == list(zip(numbers.values, texts.values, strict=True))


def test_value_beyond_its_type_is_refused_before_it_is_sent() -> None:
    with pytest.raises((OverflowError, pl.exceptions.PolarsError)):
        list(encode([Field("v", pl.Series([2**31], dtype=pl.Int64), T(Kind.INTEGER, bits=32))]).pieces)
