"""A target read in packed columns holds what was stored, whatever the kind, NULLs and odd texts included."""

import json
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from shared.adapters.postgres.database import Database, Server
from shared.adapters.postgres.reading import PostgresReader
from shared.sync.model import ColumnType, Expression, Kind, RunConfig, TargetColumn
from shared.sync.types import sql_type
from shared.sync.verifying import DELETED_ROW

KINDS: dict[str, tuple[ColumnType, list[Any]]] = {
    "i": (ColumnType(Kind.INTEGER, bits=16), [1, None, -5]),
    "b": (ColumnType(Kind.INTEGER), [2**62, None, -(2**62)]),
    "d": (ColumnType(Kind.DECIMAL, precision=12, scale=2), ["1.5", None, "100"]),
    "n": (ColumnType(Kind.DECIMAL), ["1200", None, "0.000001"]),
    "f": (ColumnType(Kind.FLOAT), [1e300, None, -0.5]),
    "t": (ColumnType(Kind.TEXT), ["", None, "é\n|\t\\N\U0010ffff"]),
    "o": (ColumnType(Kind.BOOLEAN), [True, None, False]),
    "y": (ColumnType(Kind.DATE), [date(1, 1, 1), None, date(9999, 12, 31)]),
    "s": (ColumnType(Kind.TIMESTAMP), [datetime(1900, 1, 1, 1, 2, 3, 4), None, datetime(2030, 1, 1)]),
    "z": (
        ColumnType(Kind.TIMESTAMPTZ),
        [datetime(1999, 1, 1, tzinfo=UTC), None, datetime(2030, 1, 1, tzinfo=UTC)],
    ),
    "x": (ColumnType(Kind.BYTES), [b"", None, b"\x00\xff"]),
    "u": (ColumnType(Kind.UUID), ["0123abcd-0000-0000-0000-000000000000", None, str(UUID(int=1))]),
    "j": (ColumnType(Kind.JSON), ['{"a": 1}', None, "[]"]),
}


def config() -> RunConfig:
    columns = [TargetColumn(n, t, n == "i", True, Expression("rename", (n,))) for n, (t, _) in KINDS.items()]
    return RunConfig(
        "e", "t", "hash", "oracle", (), tuple(columns), "public", "odd", None, None, False, 1, 0, 10.0, 1
    )


@pytest.fixture
def reader(database: str) -> Any:
    names = ", ".join(f'"{n}" {sql_type(t)}' for n, (t, _) in KINDS.items())
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            f"CREATE TABLE public.odd ({names}, _bridge_erp_rowversion text, _bridge_erp_data_hash bytea,"
            " _bridge_erp_key_hash uuid, _bridge_deleted boolean NOT NULL DEFAULT false)"  # type: ignore[arg-type]
        )
        rows = zip(*(values for _, values in KINDS.values()), strict=True)
        for row in rows:
            connection.execute(f"INSERT INTO public.odd VALUES ({', '.join(['%s'] * len(row))})", row)  # type: ignore[arg-type]
    parts: dict[str, Any] = conninfo_to_dict(database)
    server = Server(
        parts["host"], int(parts["port"]), parts["dbname"], parts["user"], lambda: parts["password"]
    )
    made = Database(server)
    yield PostgresReader(made, config(), UUID(int=0))
    made.close()


def test_every_kind_comes_back_as_it_is_stored(reader: PostgresReader) -> None:
    parts = list(reader.parts(0, whole=True))
    assert [part.ended for part in parts] == [True]
    for position, (name, (column, values)) in enumerate(KINDS.items()):
        read = [v and json.loads(v) for v in values] if column.kind is Kind.JSON else values
        found = parts[0].rows[f"t{position}"].to_list()
        assert ([v and json.loads(v) for v in found] if column.kind is Kind.JSON else found) == read, name
    assert parts[0].rows[DELETED_ROW].to_list() == [False] * 3


def test_decimals_travel_unscaled_only_while_the_table_declares_them_so(reader: PostgresReader) -> None:
    place = list(KINDS).index("d")
    assert next(iter(reader.parts(0, whole=False))).rows[f"t{place}"].to_list() == [150, None, 10_000]
    with reader.database.connection() as connection:
        connection.execute("ALTER TABLE public.odd ALTER d TYPE numeric(12,4)")
    reader._unscaled = None
    assert next(iter(reader.parts(0, whole=False))).rows[f"t{place}"].to_list() == ["1.5", None, "100"]


def test_empty_table_and_no_keys_give_no_rows(reader: PostgresReader) -> None:
    with reader.database.connection() as connection:
        connection.execute("TRUNCATE public.odd")
    assert [part.rows.height for part in reader.parts(0, whole=True)] == [0]
    assert [rows.height for rows in reader.of_keys([b"\x01" * 16], whole=False)] == [0]
