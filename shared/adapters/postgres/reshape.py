"""Acts on a filled target that a person consented to: another business key, narrower columns.

Each is checked against every stored row first, under the lock that the DDL takes anyway, and refused with counts.
"""

from collections.abc import Sequence

from psycopg import sql

from shared.adapters.postgres.database import Connection
from shared.errors import TargetRefusedError
from shared.sync import types
from shared.sync.catalogue import Catalogued, FieldMapping, key_targets
from shared.sync.model import Kind


def is_filled(connection: Connection, table: sql.Composable) -> bool:
    """Whether the table holds a row."""
    statement = sql.SQL("SELECT EXISTS (SELECT FROM {}) AS filled").format(table)
    row = connection.execute(statement).fetchone()
    return bool(row and row["filled"])


def check_key(
    connection: Connection, table: sql.Composable, catalogued: Catalogued, columns: Sequence[str]
) -> None:
    """Raise TargetRefusedError unless every stored row has a business key of its own under the new columns."""
    keys, shown = key_targets(catalogued), _shown(catalogued)
    absent = [name for name in keys if name not in columns]
    if absent:
        raise TargetRefusedError(
            f"{shown}: its rows have no column {', '.join(absent)}, which the business key names; nothing was changed",
            hint="map the column first, let a sync fill it, then change the key",
        )
    nulls, repeated = key_faults(connection, table, keys)
    if nulls or repeated:
        raise TargetRefusedError(
            f"{shown}: under the key {', '.join(keys)}, {nulls} rows have a NULL in it and {repeated} rows repeat"
            " another's; nothing was changed",
            hint="choose columns that are filled and tell the rows apart, or correct the rows (deleted ones count too)",
        )


def key_faults(connection: Connection, table: sql.Composable, keys: Sequence[str]) -> tuple[int, int]:
    """How many rows have a NULL in the key, and how many repeat another row's."""
    names = sql.SQL(", ").join(map(sql.Identifier, keys))
    lacking = sql.SQL(" OR ").join(sql.SQL("{} IS NULL").format(sql.Identifier(key)) for key in keys)
    statement = sql.SQL(
        "SELECT (SELECT count(*) FROM {table} WHERE {lacking}) AS nulls,"
        " (SELECT coalesce(sum(n - 1), 0)::bigint FROM (SELECT count(*) AS n FROM {table} WHERE NOT ({lacking})"
        " GROUP BY {names} HAVING count(*) > 1) repeated) AS repeated"
    ).format(table=table, lacking=lacking, names=names)
    row = connection.execute(statement).fetchone()
    assert row is not None
    return int(row["nulls"]), int(row["repeated"])


def check_narrow(
    connection: Connection, table: sql.Composable, catalogued: Catalogued, narrowed: Sequence[FieldMapping]
) -> None:
    """Raise TargetRefusedError where a stored value would not come through unchanged."""
    for mapping in narrowed:
        statement = sql.SQL("SELECT count(*) AS n FROM {} WHERE NOT ({})").format(table, _fits(mapping))
        row = connection.execute(statement).fetchone()
        if row is not None and row["n"]:
            raise TargetRefusedError(
                f"{_shown(catalogued)}.{mapping.target}: {row['n']} stored values do not fit"
                f" {types.sql_type(mapping.type)}; nothing was changed",
                hint="correct the values at the source first, or map the source column to another target column",
            )


def narrow_action(mapping: FieldMapping) -> sql.Composed:
    """The ALTER action; the check before it makes the cast exact."""
    name, kind = sql.Identifier(mapping.target), sql.SQL(types.sql_type(mapping.type))
    return sql.SQL("ALTER COLUMN {0} TYPE {1} USING {0}::{1}").format(name, kind)


def _fits(mapping: FieldMapping) -> sql.Composed:
    """True or NULL for a value that the narrower type holds exactly."""
    kind, name = mapping.type, sql.Identifier(mapping.target)
    match kind.kind:
        case Kind.TEXT:
            return sql.SQL("char_length({}) <= {}").format(name, sql.Literal(kind.length))
        case Kind.INTEGER:
            top = sql.Literal(2 ** (kind.bits - 1))
            return sql.SQL("{0} >= -{1} AND {0} < {1} AND {0} = trunc({0}::numeric)").format(name, top)
        case Kind.DECIMAL:
            scale = kind.scale or 0
            whole = sql.Literal(10 ** ((kind.precision or scale) - scale))
            return sql.SQL("{0} = round({0}::numeric, {1}) AND abs({0}) < {2}").format(
                name, sql.Literal(scale), whole
            )
        case Kind.DATE:
            return sql.SQL("{0} = {0}::date").format(name)
        case _:
            return sql.SQL("true").format()


def _shown(catalogued: Catalogued) -> str:
    return f"table {catalogued.entity.target_schema}.{catalogued.entity.target_table}"
