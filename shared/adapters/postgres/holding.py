"""Waiting rows in PostgreSQL: held by the chunk that fetched them, closed by whatever answers them.

Each entity's waiting rows stand in a table of their own under the target's column types, so that a release is
INSERT .. SELECT. Every function works inside the caller's transaction.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import polars as pl
from psycopg import sql

from shared.adapters.postgres.copy_format import Bytes, Field
from shared.adapters.postgres.copying import target_fields
from shared.adapters.postgres.database import Connection
from shared.adapters.postgres.send import send
from shared.adapters.postgres.statements import (
    DATA,
    DELETED,
    KEY,
    REFERENCE_TEXT,
    ROWVERSION,
    UID,
    UPDATED,
    Statements,
    names,
)
from shared.sql import query
from shared.sync import types
from shared.sync.mapping import dtype_of
from shared.sync.model import KEY_HASH, REFERENCE, ROW, VERSION, ColumnType, Kind, Reference, RunConfig
from shared.sync.parents import NUMBER, PARENT, Waiting, keys_of, reference_columns
from shared.sync.ports import Claim

AWAITS, READ_AT, GENERATION = "_bridge_awaits", "_bridge_read_at", "_bridge_generation"
ENTITY, RUN = "_bridge_entity_uid", "_bridge_run_uid"
_UUID, _INTEGER = ColumnType(Kind.UUID), ColumnType(Kind.INTEGER, bits=32)

PARTS: dict[str, sql.Composable] = {
    "key": sql.Identifier(KEY),
    "data": sql.Identifier(DATA),
    "version": sql.Identifier(ROWVERSION),
    "reference": sql.Identifier(REFERENCE_TEXT),
    "deleted": sql.Identifier(DELETED),
    "updated": sql.Identifier(UPDATED),
    "uid": sql.Identifier(UID),
    "awaits": sql.Identifier(AWAITS),
    "read_at": sql.Identifier(READ_AT),
    "generation": sql.Identifier(GENERATION),
    "entity": sql.Identifier(ENTITY),
    "run": sql.Identifier(RUN),
}


def held_table(schema: str, entity_uid: str | UUID) -> sql.Identifier:
    """Where an entity's rows wait."""
    return sql.Identifier(schema, f"held_{UUID(str(entity_uid)).hex}")


def compose(text: str, statements: Statements, **more: sql.Composable) -> sql.Composed:
    """SQL over an entity's target `t`, its waiting rows `h` and rows sent up `u`."""
    parts = {
        "held": held_table(statements.schema, statements.config.entity_uid),
        "awaited": sql.Identifier(statements.schema, "awaited_parents"),
        "target": statements.target,
        "keys": names([column.name for column in statements.keys]),
    }
    return sql.SQL(text).format(**PARTS, **parts, **more)


def prepare(connection: Connection, statements: Statements) -> bool:
    """Make the entity's table of waiting rows fit its configuration; whether there is one.

    It is made where parents are declared, and kept where they no longer are: its rows then have nobody to wait for.
    """
    config, schema = statements.config, statements.schema
    table = held_table(schema, config.entity_uid)
    state = connection.execute(query("held_state", schema), {"table": table.as_string(connection)}).fetchone()
    stands = state is not None and state["columns"] is not None
    if not stands and not config.parents:
        return False
    if state is None or not stands:
        connection.execute(_create(statements, table))
    else:
        stands = _adapt(connection, statements, table, state["columns"])
    _index(connection, table, config, state["indexes"] if state is not None and stands else ())
    return True


def _create(statements: Statements, table: sql.Identifier) -> sql.Composed:
    columns = sql.SQL(", ").join(_column(c.name, c.type) for c in statements.config.target_columns)
    entity = sql.Literal(statements.config.entity_uid)
    return sql.SQL(
        "CREATE TABLE {table} ({columns}, UNIQUE ({keys}), CHECK ({entity} = {uid}::uuid)) INHERITS ({root})"
    ).format(
        table=table,
        columns=columns,
        keys=names([c.name for c in statements.keys]),
        entity=sql.Identifier(ENTITY),
        uid=entity,
        root=sql.Identifier(statements.schema, "held_rows"),
    )


def _column(name: str, column: ColumnType) -> sql.Composed:
    # types.sql_type composes from our own words and integers only, never from a source's text.
    return sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(types.sql_type(column)))


def _adapt(
    connection: Connection, statements: Statements, table: sql.Identifier, found: dict[str, str]
) -> bool:
    """Add the columns that the target got since, widen those that grew; false where another key began it afresh."""
    keys = [column.name for column in statements.keys]
    unique = connection.execute(
        query("held_key", statements.schema), {"table": table.as_string(connection)}
    ).fetchone()
    if unique is not None and sorted(unique["columns"]) != sorted(keys):
        # The key changed, which every row is read again for; until then none of these can be told apart.
        connection.execute(sql.SQL("DROP TABLE {}").format(table))
        connection.execute(_create(statements, table))
        return False
    actions = [
        sql.SQL("ADD COLUMN {}").format(_column(column.name, column.type))
        for column in statements.config.target_columns
        if column.name not in found
    ]
    for column in statements.config.target_columns:
        stored = found.get(column.name)
        if stored is not None and _narrower(stored, column.type):
            kind = sql.SQL(types.sql_type(column.type))
            actions.append(sql.SQL("ALTER COLUMN {} TYPE {}").format(sql.Identifier(column.name), kind))
    if actions:
        connection.execute(sql.SQL("ALTER TABLE {} {}").format(table, sql.SQL(", ").join(actions)))
    return True


def _narrower(stored: str, wanted: ColumnType) -> bool:
    kind, _ = types.column_type(stored, "postgres")
    return types.sql_type(kind) != types.sql_type(wanted) and types.widens(kind, wanted)


def _index(connection: Connection, table: sql.Identifier, config: RunConfig, found: Collection[str]) -> None:
    """Children are found by the parent they wait for, whatever else waits.

    An index that stands is not asked for: even IF NOT EXISTS waits for everybody who writes or vacuums the table.
    """
    for place in range(1, len(config.parents) + 1):
        name = f"held_{UUID(config.entity_uid).hex}_awaits_{place}"
        if name not in found:
            awaited = sql.SQL("{}[{}]").format(sql.Identifier(AWAITS), sql.Literal(place))
            connection.execute(
                sql.SQL(
                    "CREATE INDEX IF NOT EXISTS {} ON {} (({awaited})) WHERE {awaited} IS NOT NULL"
                ).format(sql.Identifier(name), table, awaited=awaited)
            )


def absent(
    connection: Connection, statements: Statements, reference: Reference, sought: pl.DataFrame
) -> pl.Series:
    """NUMBERs of the distinct references that have no live row in the parent's target."""
    columns = reference_columns(statements.config, reference)
    alias = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(sql.Identifier(c.name), sql.Identifier(f"r{i}"))
        for i, c in enumerate(columns)
    )
    connection.execute(
        sql.SQL(
            "CREATE TEMP TABLE sought ON COMMIT DROP AS SELECT 0::int4 AS _number, {} FROM {} WITH NO DATA"
        ).format(alias, statements.target)
    )
    fields = [Field("_number", sought[NUMBER].cast(pl.Int64), _INTEGER)]
    fields += [
        Field(f"r{i}", sought[f"t{place}"], columns[i].type) for i, place in enumerate(reference.columns)
    ]
    send(connection, sql.Identifier("sought"), fields)
    packed = connection.execute(
        sql.SQL(
            "SELECT array_agg(u._number) AS numbers FROM sought u"
            " WHERE NOT EXISTS (SELECT 1 FROM {parent} p WHERE {same} AND NOT p.{deleted})"
        ).format(parent=parent_table(reference), same=_same(reference, "u"), deleted=sql.Identifier(DELETED))
    ).fetchone()
    connection.execute("DROP TABLE sought")
    return pl.Series((packed or {}).get("numbers") or [], dtype=pl.UInt32)


def parent_table(reference: Reference) -> sql.Identifier:
    """The target of a declared parent."""
    return sql.Identifier(reference.target_schema, reference.target_table)


def _same(reference: Reference, rows: str) -> sql.Composed:
    return sql.SQL(" AND ").join(
        sql.SQL("p.{} = {}.{}").format(sql.Identifier(name), sql.Identifier(rows), sql.Identifier(f"r{i}"))
        for i, name in enumerate(reference.key_names)
    )


@dataclass(frozen=True, slots=True)
class Backoff:
    """When children are looked at again by time: the first time after up to `base_s`, then doubling up to `cap_s`."""

    base_s: int
    cap_s: int
    attempts: int = 5


def hold(
    connection: Connection,
    claim: Claim,
    statements: Statements,
    waiting: Waiting,
    *,
    read_at: Any,
    uids: Bytes,
    backoff: Backoff,
) -> int:
    """Keep the rows, the newest version a key; how many were older than what waits already (superseded)."""
    places = range(len(claim.config.parents))
    rows = waiting.rows
    extra = sql.SQL(", ").join(sql.SQL("NULL::uuid AS {}").format(sql.Identifier(f"_a{i}")) for i in places)
    columns = [*statements.data_names, UID, KEY, DATA, ROWVERSION, REFERENCE_TEXT]
    connection.execute(
        sql.SQL("CREATE TEMP TABLE chunk_held ON COMMIT DROP AS SELECT {}, {} FROM {} WITH NO DATA").format(
            names(columns), extra, statements.target
        )
    )
    fields = target_fields(statements, rows, uids)
    fields += [Field(f"_a{i}", rows[f"a{i}"], _UUID) for i in places]
    send(connection, sql.Identifier("chunk_held"), fields)
    superseded = settle(connection, claim, statements, "chunk_held", read_at)
    connection.execute("DROP TABLE chunk_held")
    await_parents(connection, claim, statements, waiting, backoff)
    return superseded


def settle(connection: Connection, claim: Claim, statements: Statements, source: str, read_at: Any) -> int:
    """Put the rows of a table with `_a..` among the waiting ones; how many were older than those."""
    values = {
        "entity": claim.config.entity_uid,
        "run": claim.run_uid,
        "generation": claim.config.generation,
        "read_at": read_at,
    }
    same = statements.same_key("h", "u")
    older = connection.execute(
        compose(
            "DELETE FROM {source} u USING {held} h WHERE {same} AND h.{generation} = %(generation)s"
            " AND u.{version} < h.{version}",
            statements, source=sql.Identifier(source), same=same,
        ),
        values,
    ).rowcount  # fmt: skip
    columns = [*statements.data_names, UID, KEY, DATA, ROWVERSION, REFERENCE_TEXT]
    changed = [n for n in columns if n not in {UID, *(c.name for c in statements.keys)}]
    assignments = [*changed, ENTITY, RUN, GENERATION, AWAITS, READ_AT]
    connection.execute(
        compose(
            "INSERT INTO {held} AS h ({columns}, {entity}, {run}, {generation}, {awaits}, {read_at})"
            " SELECT {columns}, %(entity)s, %(run)s, %(generation)s, ARRAY[{a}], %(read_at)s FROM {source} u"
            " ON CONFLICT ({keys}) DO UPDATE SET {set}"
            # An unchanged row that is fetched again and still waits is not written again.
            " WHERE h.{data} <> excluded.{data} OR h.{awaits} IS DISTINCT FROM excluded.{awaits}"
            "  OR h.{version} IS DISTINCT FROM excluded.{version} OR h.{generation} <> excluded.{generation}",
            statements,
            source=sql.Identifier(source),
            columns=names(columns),
            a=names([f"_a{i}" for i in range(len(claim.config.parents))]),
            set=sql.SQL(", ").join(
                sql.SQL("{0} = excluded.{0}").format(sql.Identifier(n)) for n in assignments
            ),
        ),
        values,
    )
    return older


def await_parents(
    connection: Connection, claim: Claim, statements: Statements, waiting: Waiting, backoff: Backoff
) -> None:
    """Note whom the rows wait for, each parent once, and when to look for it again."""
    awaited = waiting.awaited
    connection.execute(query("awaited_table", statements.schema))
    text = ColumnType(Kind.TEXT)
    fields = [
        Field("parent_uid", awaited[PARENT], _UUID),
        Field("key_hash", awaited[KEY_HASH], _UUID),
        Field("key", awaited[REFERENCE], text),
    ]
    send(connection, sql.Identifier("chunk_awaited"), fields)
    ids = {"entity": claim.config.entity_uid, "run": claim.run_uid, "base_s": backoff.base_s}
    connection.execute(query("awaited_keep", statements.schema), ids)
    connection.execute("DROP TABLE chunk_awaited")


def answer(
    connection: Connection,
    claim: Claim,
    statements: Statements,
    rows: pl.DataFrame,
    written: pl.DataFrame,
    read_at: Any,
) -> int:
    """Close waiting rows that these answer, being as new or newer; how many of the `written` ones had waited."""
    some = connection.execute(compose("SELECT EXISTS (SELECT 1 FROM {held}) AS some", statements)).fetchone()
    if rows.is_empty() or some is None or not some["some"]:
        return 0
    keys = [statements.config.target_columns[i] for i in statements.config.key_positions]
    connection.execute(
        sql.SQL(
            "CREATE TEMP TABLE chunk_answers ON COMMIT DROP AS"
            " SELECT {}, {} AS _version, false AS _written FROM {} WITH NO DATA"
        ).format(names([c.name for c in keys]), sql.Identifier(ROWVERSION), statements.target)
    )
    positions = statements.config.key_positions
    fields = [Field(c.name, rows[f"t{i}"], c.type) for c, i in zip(keys, positions, strict=True)]
    fields += [
        Field("_version", rows[VERSION], ColumnType(Kind.TEXT)),
        Field("_written", rows[ROW].is_in(written[ROW].implode()), ColumnType(Kind.BOOLEAN)),
    ]
    send(connection, sql.Identifier("chunk_answers"), fields)
    row = connection.execute(
        compose(
            "WITH gone AS (DELETE FROM {held} h USING chunk_answers u WHERE {same} AND ("
            "   h.{version} <= u._version OR h.{generation} < %(generation)s"
            "   OR (h.{version} IS NULL OR u._version IS NULL) AND h.{read_at} <= %(read_at)s) RETURNING u._written)"
            " SELECT count(*) FILTER (WHERE _written) AS released FROM gone",
            statements, same=statements.same_key("h", "u"),
        ),
        {"read_at": read_at, "generation": claim.config.generation},
    ).fetchone()  # fmt: skip
    connection.execute("DROP TABLE chunk_answers")
    return int(row["released"]) if row else 0


def close_by_rejects(connection: Connection, statements: Statements) -> None:
    """A newer version that was refused is what the source has now; the older one must not land in its place."""
    connection.execute(
        compose(
            "DELETE FROM {held} h USING chunk_rejects u WHERE h.{key} = u.key_hash"
            ' AND (h.{version} IS NULL OR u.version IS NULL OR h.{version} <= u.version COLLATE "C")',
            statements,
        )
    )


def arrive(connection: Connection, statements: Statements, key_hashes: pl.Series) -> None:
    """Mark whoever waits for one of these rows as due; nothing else of theirs is touched."""
    ids = {"parent": statements.config.entity_uid}
    some = connection.execute(query("awaited_some", statements.schema), ids).fetchone()
    if some is None or key_hashes.is_empty():
        return
    connection.execute("CREATE TEMP TABLE arrived (key_hash uuid) ON COMMIT DROP")
    send(connection, sql.Identifier("arrived"), [Field("key_hash", key_hashes, _UUID)])
    connection.execute(query("awaited_arrived", statements.schema), ids)
    connection.execute("DROP TABLE arrived")


def keyed(
    connection: Connection, statements: Statements, reference: Reference, name: str, lacking: sql.Composed
) -> pl.DataFrame:
    """Make a temporary table `name` of the distinct references that `lacking` selects (`r0..`), each with its key.

    Key hashes are ours to compute; the rows that need them stay where they are. The frame is `Waiting.awaited`'s.
    """
    columns = reference_columns(statements.config, reference)
    connection.execute(
        sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT DISTINCT *, NULL::uuid AS _hash, NULL::text AS _key"
                " FROM ({}) x").format(sql.Identifier(name), lacking)
    )  # fmt: skip
    shown = sql.SQL(", ").join(_shown(f"r{i}", column.type) for i, column in enumerate(columns))
    rows = connection.execute(sql.SQL("SELECT {} FROM {}").format(shown, sql.Identifier(name))).fetchall()
    connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(name)))
    frame = pl.DataFrame({
        f"t{place}": _series([row[f"r{i}"] for row in rows], columns[i].type)
        for i, place in enumerate(reference.columns)
    })  # fmt: skip
    hashes, texts = keys_of(frame, reference, statements.config)
    if rows:
        fields = [
            Field(f"r{i}", frame[f"t{place}"], columns[i].type) for i, place in enumerate(reference.columns)
        ]
        text = ColumnType(Kind.TEXT)
        send(
            connection,
            sql.Identifier(name),
            [*fields, Field("_hash", hashes, _UUID), Field("_key", texts, text)],
        )
    return pl.DataFrame({KEY_HASH: hashes, REFERENCE: texts}).with_columns(
        pl.lit(reference.entity_uid, pl.String).alias(PARENT)
    )


def _shown(name: str, column: ColumnType) -> sql.Composed:
    """A column as `_series` reads it: what has no plain counterpart here comes as text."""
    if column.kind in (Kind.DECIMAL, Kind.UUID, Kind.JSON):
        return sql.SQL("{0}::text AS {0}").format(sql.Identifier(name))
    return sql.SQL("{}").format(sql.Identifier(name))


def _series(values: Sequence[Any], column: ColumnType) -> pl.Series:
    dtype = dtype_of(column)
    if column.kind is Kind.DECIMAL and dtype == pl.String:
        return pl.Series([v.rstrip("0").rstrip(".") if "." in v else v for v in values], dtype=dtype)
    if column.kind is Kind.DECIMAL:
        return pl.Series(values, dtype=pl.String).cast(dtype)
    return pl.Series(values, dtype=dtype)
