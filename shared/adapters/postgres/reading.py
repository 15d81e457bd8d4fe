"""A target's rows as canonical frames, a range of blocks at a time: what a verification compares with the source.

PostgreSQL packs each column of a range into one value, so nothing is parsed row by row: widths are fixed, or values
stand between NUL bytes, which no text holds. Blocks are read in their own order; sums do not mind, and no index does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
import polars as pl
from numpy.typing import NDArray
from psycopg import sql

from shared.adapters.postgres.database import Connection, Database
from shared.adapters.postgres.statements import DATA, DELETED, KEY, ROWVERSION, Statements
from shared.sql import query
from shared.sync import types
from shared.sync.mapping import dtype_of
from shared.sync.model import ROW, VERSION, Kind, RunConfig, TargetColumn
from shared.sync.verifying import DELETED_ROW, STORED_HASH, STORED_KEY, TargetPart

_BLOCK_BYTES = 8192
_PART_BYTES = 16 * 1024 * 1024
_LONGEST_PART = 4096  # blocks
_WHOLE_DIGITS = 18  # of a decimal that fits 64 bits unscaled
_KEYS_AT_ONCE = 5000
_DAYS_TO_2000 = 10_957
_MICROSECONDS_TO_2000 = _DAYS_TO_2000 * 86_400 * 1_000_000
# How PostgreSQL sends a kind, and how an array reads it.
_FIXED = {
    Kind.INTEGER: ("int8send({}::int8)", ">i8"),
    Kind.FLOAT: ("float8send({}::float8)", ">f8"),
    Kind.BOOLEAN: ("boolsend({})", "u1"),
    Kind.DATE: ("date_send({})", ">i4"),
    Kind.TIMESTAMP: ("timestamp_send({})", ">i8"),
    Kind.TIMESTAMPTZ: ("timestamptz_send({})", ">i8"),
}


@dataclass(slots=True)
class PostgresReader:
    """`sync.verifying.Reader` over one target; each call is a short transaction of its own."""

    database: Database
    config: RunConfig
    run_uid: UUID
    # Columns met with NULLs: their masks are asked for from then on.
    _holed: set[str] = field(default_factory=set)
    # Decimals that the table still declares as we do: such travel as whole numbers. Filled when first needed.
    _unscaled: dict[str, int] | None = None

    def parts(self, first_block: int, *, whole: bool) -> Iterator[TargetPart]:
        """Ranges from a block on, to the end; the last has no upper bound, as the table may grow meanwhile.

        `whole` adds what is stored beside the mapped columns (STORED_HASH, STORED_KEY).
        """
        blocks, step = self._extent()
        for low in range(first_block, max(blocks, first_block + 1), step):
            high = low + step if low + step < blocks else None
            place = sql.SQL("ctid >= '({},0)'::tid").format(sql.Literal(low))
            if high is not None:
                place += sql.SQL(" AND ctid < '({},0)'::tid").format(sql.Literal(high))
            yield TargetPart(self._rows(place, whole=whole), high, ended=high is None)

    def of_keys(self, key_hashes: Sequence[bytes], *, whole: bool) -> Iterator[pl.DataFrame]:
        """The rows stored under these key hashes."""
        for start in range(0, len(key_hashes), _KEYS_AT_ONCE):
            some = [key.hex() for key in key_hashes[start : start + _KEYS_AT_ONCE]]
            place = sql.SQL("{} = ANY ({}::uuid[])").format(sql.Identifier(KEY), sql.Literal(some))
            yield self._rows(place, whole=whole)

    def _extent(self) -> tuple[int, int]:
        """How many blocks the table has, and how many make a part of bounded size, long values counted in."""
        table = Statements(self.config, self.database.schema, self.run_uid).target
        with self.database.connection() as connection:
            row = connection.execute(
                query("target_extent", self.database.schema), {"table": table.as_string(connection)}
            ).fetchone()
        assert row is not None
        blocks = int(row["heap"]) // _BLOCK_BYTES
        block_bytes = int(row["stored"]) // max(blocks, 1)
        return blocks, max(1, min(_LONGEST_PART, _PART_BYTES // max(block_bytes, 1)))

    def _rows(self, place: sql.Composable, *, whole: bool) -> pl.DataFrame:
        while True:
            with self.database.connection() as connection:
                packed = self._packed(connection, place, whole=whole)
            holed = self._holed_now(packed)
            if not holed:
                return self._frame(packed, whole=whole)
            # Rare, and then for good: the same range again, with masks of the columns that turned out to hold NULLs.
            self._holed.update(holed)

    def _packed(self, connection: Connection, place: sql.Composable, *, whole: bool) -> dict[str, object]:
        if whole:
            self._unscaled = {}
        elif self._unscaled is None:
            self._unscaled = self._whole_numbers(connection)
        columns = [self._packing(i, c) for i, c in enumerate(self.config.target_columns)]
        columns += [_mask(name, c) for name, c, _ in self._fixed() if name in self._holed]
        columns += [_DELETED, *_STORED] if whole else [_DELETED]
        statement = sql.SQL("SELECT count(*) AS n, {} FROM {} t WHERE {}").format(
            sql.SQL(", ").join(columns),
            Statements(self.config, self.database.schema, self.run_uid).target,
            place,
        )
        with connection.cursor(binary=True) as cursor:
            row = cursor.execute(statement).fetchone()
        assert row is not None
        return row

    def _whole_numbers(self, connection: Connection) -> dict[str, int]:
        """Scales of the columns beside the key whose values fit 64 bits unscaled, and are declared so in the table."""
        table = Statements(self.config, self.database.schema, self.run_uid).target.as_string(connection)
        declared = connection.execute(
            query("target_types", self.database.schema), {"table": table}
        ).fetchall()
        types_of = {row["name"]: row["type"] for row in declared}
        return {
            column.name: column.type.scale or 0
            for column in self.config.target_columns
            if column.type.kind is Kind.DECIMAL and not column.is_key and (column.type.precision or 99) <= _WHOLE_DIGITS
            and types_of.get(column.name) == types.sql_type(column.type)
        }  # fmt: skip

    def _packing(self, position: int, column: TargetColumn) -> sql.Composed:
        named, name = sql.Identifier("t", column.name), sql.Identifier(f"t{position}")
        scale = (self._unscaled or {}).get(column.name)
        if scale is not None:
            sent = sql.SQL("int8send(({} * {})::int8)").format(named, sql.Literal(10**scale))
        elif column.type.kind in _FIXED:
            sent = sql.SQL(_FIXED[column.type.kind][0]).format(named)
        else:
            text = sql.SQL("encode({}, 'hex')") if column.type.kind is Kind.BYTES else sql.SQL("{}::text")
            return _texts_of(text.format(named), f"t{position}")
        return sql.SQL("string_agg({}, ''::bytea) AS {}").format(sent, name)

    def _fixed(self) -> list[tuple[str, TargetColumn, str]]:
        """Columns of fixed width, and how an array reads them."""
        columns = [(f"t{i}", c, self._layout(c)) for i, c in enumerate(self.config.target_columns)]
        return [(name, column, layout) for name, column, layout in columns if layout is not None]

    def _layout(self, column: TargetColumn) -> str | None:
        if column.name in (self._unscaled or {}):
            return ">i8"
        return _FIXED[column.type.kind][1] if column.type.kind in _FIXED else None

    def _holed_now(self, packed: dict[str, object]) -> list[str]:
        """Columns of fixed width that came with fewer values than rows, and without a mask."""
        rows = packed["n"]
        assert isinstance(rows, int)
        return [
            name
            for name, _, layout in self._fixed()
            if name not in self._holed and len(_bytes(packed[name])) != rows * np.dtype(layout).itemsize
        ]

    def _frame(self, packed: dict[str, object], *, whole: bool) -> pl.DataFrame:
        rows = packed["n"]
        assert isinstance(rows, int)
        columns = {ROW: pl.int_range(rows, dtype=pl.UInt32, eager=True)}
        for i, column in enumerate(self.config.target_columns):
            columns[f"t{i}"] = _column(column, self._layout(column), packed, f"t{i}", rows)
        columns[DELETED_ROW] = pl.Series(np.frombuffer(_bytes(packed["deleted"]), np.uint8).astype(bool))
        if whole:
            columns[VERSION] = _texts(packed["version"], rows)
            columns[STORED_HASH] = _texts(packed["hash"], rows).str.decode("hex")
            columns[STORED_KEY] = (
                _texts(packed["key"], rows).str.replace_all("-", "", literal=True).str.decode("hex")
            )
        return pl.DataFrame(columns)


def _texts_of(expression: sql.Composable, name: str) -> sql.Composed:
    # 0xff stands in no UTF-8 text, so it can mark a NULL.
    return sql.SQL("string_agg(coalesce(textsend({}), '\\xff'::bytea), '\\x00'::bytea) AS {}").format(
        expression, sql.Identifier(name)
    )


def _mask(name: str, column: TargetColumn) -> sql.Composed:
    return sql.SQL("string_agg(boolsend({} IS NULL), ''::bytea) AS {}").format(
        sql.Identifier("t", column.name), sql.Identifier(f"{name}_null")
    )


_DELETED = sql.SQL("string_agg(boolsend({}), ''::bytea) AS deleted").format(sql.Identifier("t", DELETED))
_STORED = [
    _texts_of(sql.Identifier("t", ROWVERSION), "version"),
    _texts_of(sql.SQL("encode({}, 'hex')").format(sql.Identifier("t", DATA)), "hash"),
    _texts_of(sql.SQL("{}::text").format(sql.Identifier("t", KEY)), "key"),
]


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


def _texts(value: object, rows: int) -> pl.Series:
    """Values between NUL bytes; null where 0xff stands."""
    if not rows:
        return pl.Series([], dtype=pl.String)
    payload = _bytes(value)
    nulls = _marked(payload)
    texts = pl.Series([payload.replace(b"\xff", b"").decode()]).str.split("\0").explode()
    return texts if nulls is None else texts.scatter(nulls, None)


def _marked(payload: bytes) -> pl.Series | None:
    if b"\xff" not in payload:
        return None
    data = np.frombuffer(payload, np.uint8)
    return pl.Series(np.searchsorted(np.flatnonzero(data == 0), np.flatnonzero(data == 0xFF)))


def _column(
    column: TargetColumn, layout: str | None, packed: dict[str, object], name: str, rows: int
) -> pl.Series:
    if layout is None:
        return _from_text(column, _texts(packed[name], rows))
    series = _in_polars(column.type.kind, np.frombuffer(_bytes(packed[name]), layout))
    if name not in {key.removesuffix("_null") for key in packed if key.endswith("_null")}:
        return series
    present = np.frombuffer(_bytes(packed[f"{name}_null"]), np.uint8) == 0
    # A gather with null places puts the values that came back between the NULLs that did not.
    places = pl.Series(np.where(present, np.cumsum(present) - 1, -1))
    return series.gather(places.set(pl.Series(~present), None)) if len(series) else series.clear(rows)


def _in_polars(kind: Kind, values: NDArray[np.generic]) -> pl.Series:
    match kind:
        case Kind.INTEGER | Kind.DECIMAL:
            return pl.Series(values.astype(np.int64))
        case Kind.FLOAT:
            return pl.Series(values.astype(np.float64))
        case Kind.BOOLEAN:
            return pl.Series(values.astype(bool))
        case Kind.DATE:
            return pl.Series(values.astype(np.int32) + _DAYS_TO_2000).cast(pl.Date)
        case _:
            micros = pl.Series(values.astype(np.int64) + _MICROSECONDS_TO_2000)
            return micros.cast(pl.Datetime("us", "UTC" if kind is Kind.TIMESTAMPTZ else None))


def _from_text(column: TargetColumn, texts: pl.Series) -> pl.Series:
    match column.type.kind:
        case Kind.DECIMAL:
            return _trimmed(texts)
        case Kind.BYTES:
            return texts.str.decode("hex")
        case _:
            return texts.cast(dtype_of(column.type))


def _trimmed(texts: pl.Series) -> pl.Series:
    """Numerics in canonical form: the zeros that end a fraction say nothing."""
    ending = (texts.str.contains(".", literal=True) & texts.str.ends_with("0")).arg_true()
    stripped = texts.gather(ending).str.strip_chars_end("0").str.strip_chars_end(".")
    return texts.scatter(ending, stripped) if len(ending) else texts
