"""The statements that read a table of a PostgreSQL source; every name is quoted, every value a literal with its type.

Pages are ordered by the primary key's columns, or by the version and then the key, and begin strictly behind the row
that ended the page before: compared row-wise, with the columns' own collations, which is the order of their indexes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from psycopg import sql

from shared.adapters.postgres_source.tables import Column, Table, Version
from shared.errors import ConfigurationError

_COPY = sql.SQL(
    "COPY ({}) TO STDOUT (FORMAT csv, QUOTE E'\\x01', ESCAPE E'\\x01', DELIMITER E'\\x02', ENCODING 'UTF8')"
)
_CHANGED = "_bridge_changed"  # no column of a table we sync can be called that


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page begins: behind the row with this key (and version); values as PostgreSQL's text."""

    key: tuple[str, ...]
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """A walk's question to one table. With `above` it reads versions in (above, until], else the whole table.

    Its rows stand behind the key `after`, none behind the key `upto`.
    """

    table: Table
    version: Version | None
    rows: int
    above: str | None = None
    until: str | None = None
    after: Position | None = None
    upto: Position | None = None
    keys_only: bool = False

    @property
    def is_delta(self) -> bool:
        """Whether only rows above a version are asked for."""
        return self.above is not None

    @property
    def is_tracked(self) -> bool:
        """Whether versions stand in a change table beside the table."""
        return self.table.changes is not None and self.version is self.table.version


def page(reading: Reading) -> sql.Composed:
    """COPY of up to `rows` rows as JSON, one a line; no value in them can hold what this CSV quotes."""
    columns = [c for c in reading.table.columns if not reading.keys_only or c.name in _told(reading)]
    inner = sql.SQL("SELECT {} FROM {}{} ORDER BY {} LIMIT {}").format(
        sql.SQL(", ").join([_value(column) for column in columns] + _mark(reading)),
        _from(reading),
        _where(reading),
        sql.SQL(", ").join(_order(reading)),
        sql.Literal(reading.rows),
    )
    return _COPY.format(_as_json(reading, inner, columns))


def newest(reading: Reading) -> sql.Composed:
    """The table's newest version as text, null where it has none. An index on the version answers it at once."""
    version = _version(reading)
    assert reading.version is not None, "asked for only where a walk has a version"
    finite = (
        sql.SQL(" AND {} < 'infinity'").format(version)
        if reading.version.kind == "timestamp"
        else sql.SQL("")
    )
    return sql.SQL(
        "SELECT {v}::text AS newest FROM {source} WHERE {v} IS NOT NULL{finite} ORDER BY {v} DESC LIMIT 1"
    ).format(v=version, source=_from(reading), finite=finite)


def cuts(reading: Reading, percent: float) -> sql.Composed:
    """Keys that cut a sample of the table into as many equal parts as `rows` says, as JSON objects in key order."""
    told = [column for column in reading.table.columns if column.name in reading.table.key]
    inner = sql.SQL(
        "SELECT {values}, row_number() OVER (ORDER BY {order}) AS _bridge_place, count(*) OVER () AS _bridge_rows"
        " FROM {source} TABLESAMPLE SYSTEM ({percent})"
    ).format(
        values=sql.SQL(", ").join(_value(column) for column in told),
        order=sql.SQL(", ").join(_order(reading)),
        source=_from(reading),
        percent=sql.Literal(percent),
    )
    return sql.SQL(
        "SELECT row_to_json(r)::text AS line FROM ({inner}) r WHERE _bridge_rows >= {parts}"
        " AND _bridge_place % (_bridge_rows / {parts}) = 0 ORDER BY _bridge_place LIMIT {parts} - 1"
    ).format(inner=inner, parts=sql.Literal(reading.rows))


def deletes(reading: Reading) -> sql.Composed:
    """A mark of a tracked table's deletions: the newest one's transaction, and how many there are."""
    assert reading.table.changes is not None, "asked for only of tables with a change table"
    return sql.SQL(
        "SELECT concat(max({v}), ':', count(*)) AS mark FROM {changes} WHERE _bridge_deleted"
    ).format(v=sql.Identifier(_CHANGED), changes=sql.Identifier(*reading.table.changes))


def count(reading: Reading) -> sql.Composed:
    """How many rows the walk would meet now; of a whole table no more than `rows`, so that it stays cheap."""
    limit = sql.SQL("") if reading.is_delta else sql.SQL(" LIMIT {}").format(sql.Literal(reading.rows))
    changes_alone = reading.is_tracked and reading.is_delta
    return sql.SQL("SELECT count(*) AS rows FROM (SELECT 1 FROM {}{}{}) r").format(
        _changes(reading) if changes_alone else _from(reading), _where(reading), limit
    )


def _as_json(reading: Reading, inner: sql.Composed, columns: Sequence[Column]) -> sql.Composed:
    """One line a row: its JSON object, and before it the version where that is no column of the table."""
    if not reading.is_tracked:
        return sql.SQL("SELECT row_to_json(r) FROM ({}) r").format(inner)
    names = sql.SQL(", ").join(sql.Identifier("r", column.name) for column in columns)
    return sql.SQL(
        "SELECT coalesce('\"' || r.{} || '\"', 'null') || ',\"data\":'"
        " || row_to_json((SELECT d FROM (SELECT {}) d))::text FROM ({}) r"
    ).format(sql.Identifier(_CHANGED), names, inner)


def _told(reading: Reading) -> tuple[str, ...]:
    return (
        *reading.table.key,
        *([reading.version.column] if reading.version and not reading.is_tracked else []),
    )


def _value(column: Column) -> sql.Composed:
    name = sql.Identifier("t", column.name)
    as_text = {
        "natural": sql.SQL("{}"),
        "numeric": sql.SQL("{}::numeric"),
        "document": sql.SQL("to_json({})::text"),
        "text": sql.SQL("{}::text"),
    }[column.travels_as]
    return as_text.format(name) + sql.SQL(" AS {}").format(sql.Identifier(column.name))


def _from(reading: Reading) -> sql.Composable:
    table = reading.table
    # Children of old-style inheritance are tables of their own, with keys that may repeat their parent's.
    only = sql.SQL("{} t" if table.partitioned else "ONLY {} t").format(
        sql.Identifier(table.schema, table.name)
    )
    if not reading.is_tracked or table.changes is None:
        return only
    # A delta begins at the changes; a whole walk meets every row, changed or not.
    join = sql.SQL("JOIN" if reading.is_delta else "LEFT JOIN")
    same = sql.SQL(" AND ").join(
        sql.SQL("c.{k} = t.{k}").format(k=sql.Identifier(name)) for name in table.key
    )
    return sql.SQL("{} {} {} c ON {}").format(only, join, sql.Identifier(*table.changes), same)


def _changes(reading: Reading) -> sql.Composed:
    """The change table's rows of what is still there: enough to count and compare."""
    assert reading.table.changes is not None, "asked for only of tables with a change table"
    return sql.SQL("(SELECT * FROM {} WHERE NOT _bridge_deleted) c").format(
        sql.Identifier(*reading.table.changes)
    )


def _version(reading: Reading) -> sql.Composable:
    assert reading.version is not None, "asked for only where a walk has a version"
    return (
        sql.Identifier("c", _CHANGED) if reading.is_tracked else sql.Identifier("t", reading.version.column)
    )


def _where(reading: Reading) -> sql.Composable:
    conditions: list[sql.Composable] = []
    if reading.is_delta and reading.version is not None:
        kind = reading.version.type
        if reading.after is None:
            conditions.append(sql.SQL("{} > {}").format(_version(reading), _literal(reading.above, kind)))
        if reading.until is not None:
            conditions.append(sql.SQL("{} <= {}").format(_version(reading), _literal(reading.until, kind)))
    if reading.after is not None:
        conditions.append(_beside(reading, ">", reading.after))
    if reading.upto is not None:
        conditions.append(_beside(reading, "<=", reading.upto))
    return sql.SQL(" WHERE ") + sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("")


def _beside(reading: Reading, operator: Literal[">", "<="], place: Position) -> sql.Composed:
    types = [reading.table.column(name).bare_type for name in reading.table.key]
    values = [_literal(value, kind) for value, kind in zip(place.key, types, strict=True)]
    if reading.is_delta and reading.version is not None:
        values.insert(0, _literal(place.version, reading.version.type))
    return sql.SQL("({}) {} ({})").format(
        sql.SQL(", ").join(_order(reading)), sql.SQL(operator), sql.SQL(", ").join(values)
    )


def _order(reading: Reading) -> list[sql.Composable]:
    for name in reading.table.key:
        column = reading.table.column(name)
        if not column.is_pageable:
            raise ConfigurationError(
                f"{reading.table.slug}.{name}: a primary key of type {column.type} cannot be paged by",
                hint="give the table a key of one of PostgreSQL's own scalar types, or sync a view's copy of it",
            )
    # A delta over a change table follows that table's index, so the key is named there.
    place = "c" if reading.is_tracked and reading.is_delta else "t"
    keys: list[sql.Composable] = [sql.Identifier(place, name) for name in reading.table.key]
    return [_version(reading), *keys] if reading.is_delta else keys


def _mark(reading: Reading) -> list[sql.Composable]:
    if not reading.is_tracked:
        return []
    return [sql.SQL("{}::text AS {}").format(sql.Identifier("c", _CHANGED), sql.Identifier(_CHANGED))]


def _literal(value: str | None, kind: str) -> sql.Composed:
    # `kind` is what format_type() printed, already quoted where it must be.
    return sql.SQL("{}::{}").format(sql.Literal(value), sql.SQL(kind))
