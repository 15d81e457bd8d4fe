"""One batch of stored rows, read by column, hashed by the domain and written back in the same transaction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import polars as pl
from psycopg import sql
from psycopg.types.json import Jsonb

from shared.adapters.postgres import adoption
from shared.adapters.postgres.copy_format import Bytes, Field
from shared.adapters.postgres.database import Connection
from shared.adapters.postgres.removal import hold_fence, slice_update
from shared.adapters.postgres.send import send
from shared.adapters.postgres.statements import (
    BRIDGE_TYPES,
    CREATED,
    DATA,
    DELETED,
    KEY,
    REFERENCE_TEXT,
    UID,
    UPDATED,
    Statements,
    names,
)
from shared.sql import query
from shared.sync import types
from shared.sync.mapping import dtype_of
from shared.sync.model import KEY_HASH, REFERENCE, ROW, ROW_HASH, Kind, TargetColumn
from shared.sync.ports import Claim, Counters
from shared.sync.rehash import UNREAD, read_column

# Of no version, so it equals no hash that a sync computes: the row is compared by being written once.
_UNKNOWN = bytes(33)
_ROWS = sql.Identifier("rehash_rows")


@dataclass(slots=True)
class PostgresRehash:
    """`sync.ports.Rehashing` over one open transaction."""

    connection: Connection
    claim: Claim
    statements: Statements
    lease_s: int
    uuid7: Callable[[int], Bytes]

    def read(self, after: Sequence[str] | None, limit: int) -> tuple[pl.DataFrame, tuple[str, ...] | None]:
        """The next rows in key order, locked, with ROW, t0..tN and UNREAD; and the last one's key."""
        row = self.connection.execute(self._batch(after is not None), [*(after or ()), limit]).fetchone()
        assert row is not None
        count: int = row["n"]
        if not count:
            return pl.DataFrame({ROW: pl.Series([], dtype=pl.UInt32)}), None
        columns = [pl.int_range(count, dtype=pl.UInt32, eager=True).alias(ROW)]
        unread = pl.repeat(False, count, eager=True)
        for i, column in enumerate(self.statements.config.target_columns):
            texts = pl.Series(msgspec.json.decode(row[f"v{i}"], type=list[str | None]), dtype=pl.String)
            values = read_column(texts, column.type.kind, dtype_of(column.type)).alias(f"t{i}")
            columns.append(values)
            # jsonb keeps no spelling, and the hash is one of the spelling that the source sent.
            lost = (
                texts.is_not_null()
                if column.type.kind is Kind.JSON
                else texts.is_not_null() & values.is_null()
            )
            unread = unread | lost
        return pl.DataFrame([*columns, unread.alias(UNREAD)]), tuple(row["last"])

    def _batch(self, resumes: bool) -> sql.Composed:
        keys = self.statements.keys
        typed = sql.SQL(", ").join(
            sql.SQL("%s::{}").format(sql.SQL(types.sql_type(key.type))) for key in keys
        )
        behind = sql.SQL("WHERE ({}) > ({})").format(names([k.name for k in keys], "t."), typed)
        selected = [
            sql.SQL("{} AS {}").format(spelling(column), sql.Identifier(f"v{i}"))
            for i, column in enumerate(self.statements.config.target_columns)
        ]
        spelt = [sql.SQL("t.{}::text").format(sql.Identifier(key.name)) for key in keys]
        gathered = [
            sql.SQL("array_to_json(array_agg({0} ORDER BY n))::text AS {0}").format(sql.Identifier(f"v{i}"))
            for i in range(len(selected))
        ]
        return sql.SQL(
            "WITH held AS (SELECT t.* FROM {target} t {behind} ORDER BY {order} LIMIT %s FOR UPDATE OF t),"
            " batch AS (SELECT row_number() OVER (ORDER BY {order}) AS n, ARRAY[{spelt}] AS key, {selected}"
            " FROM held t)"
            " SELECT count(*) AS n, (array_agg(key::text ORDER BY n DESC))[1]::text[] AS last, {gathered} FROM batch"
        ).format(
            target=self.statements.target,
            behind=behind if resumes else sql.SQL(""),
            order=names([key.name for key in keys], "t."),
            spelt=sql.SQL(", ").join(spelt),
            selected=sql.SQL(", ").join(selected),
            gathered=sql.SQL(", ").join(gathered),
        )

    def write(self, rows: pl.DataFrame) -> None:
        """Store the hashes where they differ, and a uid where there is none; no row is marked updated."""
        keys = self.statements.keys
        self.connection.execute(
            sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA").format(
                _ROWS,
                names([*(k.name for k in keys), KEY, DATA, REFERENCE_TEXT, UID]),
                self.statements.target,
            )
        )
        positions = self.statements.config.key_positions
        fields = [Field(k.name, rows[f"t{i}"], k.type) for k, i in zip(keys, positions, strict=True)]
        sent = {KEY: KEY_HASH, DATA: ROW_HASH, REFERENCE_TEXT: REFERENCE}
        fields += [Field(name, rows[frame], BRIDGE_TYPES[name]) for name, frame in sent.items()]
        fields.append(Field(UID, self.uuid7(rows.height), BRIDGE_TYPES[UID]))
        send(self.connection, _ROWS, fields)
        self.connection.execute(self._store(), {"unknown": _UNKNOWN})
        self.connection.execute(sql.SQL("DROP TABLE {}").format(_ROWS))

    def _store(self) -> sql.Composed:
        return sql.SQL(
            "UPDATE {target} t SET {key} = u.{key}, {data} = coalesce(u.{data}, t.{data}, %(unknown)s),"
            " {reference} = u.{reference}, {uid} = coalesce(t.{uid}, u.{uid}),"
            " {created} = coalesce(t.{created}, now()), {updated} = coalesce(t.{updated}, now()),"
            " {deleted} = coalesce(t.{deleted}, false)"
            " FROM {rows} u WHERE {same_key} AND ((t.{key}, t.{data}, t.{reference}) IS DISTINCT FROM"
            " (u.{key}, coalesce(u.{data}, t.{data}, %(unknown)s), u.{reference})"
            " OR t.{uid} IS NULL OR t.{created} IS NULL OR t.{updated} IS NULL OR t.{deleted} IS NULL)"
        ).format(
            target=self.statements.target,
            rows=_ROWS,
            same_key=self.statements.same_key("t", "u"),
            **{
                name: sql.Identifier(column)
                for name, column in {
                    "key": KEY, "data": DATA, "reference": REFERENCE_TEXT, "uid": UID,
                    "created": CREATED, "updated": UPDATED, "deleted": DELETED,
                }.items()
            },
        )  # fmt: skip

    def finish(self) -> bool:
        """Behind the last row: require what all rows have now, and let runs begin; false if some row came since."""
        if not adoption.is_complete(self.connection, self.statements):
            return False
        self.connection.execute("SELECT set_config('lock_timeout', '5s', true)")
        adoption.finish(self.connection, self.statements)
        entity = {"entity": self.claim.config.entity_uid}
        self.connection.execute(query("rehash_done", self.statements.schema), entity)
        return True

    def hold_fence(self) -> None:
        """See removal.hold_fence."""
        hold_fence(self.connection, self.claim, self.statements.schema)

    def close(self, cursor: Mapping[str, Any], counters: Counters) -> None:
        """Cursor, counters and lease, in the slice's own row."""
        update = slice_update(self.claim, counters) | {"cursor": Jsonb(dict(cursor)), "chunks": 1}
        self.connection.execute(
            query("chunk_close", self.statements.schema), update | {"lease_s": self.lease_s}
        )


def plan_by_key(connection: Connection) -> None:
    """Have this transaction walk and join through the key's index.

    An adopted table may never have been analysed, and any other plan reads all of it once more for each batch.
    """
    connection.execute(
        "SELECT set_config(name, 'off', true) FROM unnest(ARRAY['enable_seqscan', 'enable_bitmapscan',"
        " 'enable_hashjoin', 'enable_mergejoin', 'jit']) AS name"
    )


def spelling(column: TargetColumn) -> sql.Composed:
    """How a stored value is asked for: as text that reads back exactly, whatever the session's settings."""
    name = sql.SQL("t.{}").format(sql.Identifier(column.name))
    match column.type.kind:
        case Kind.DATE:
            exact = "CASE WHEN isfinite({0}) THEN ({0} - DATE '1970-01-01')::text WHEN {0} IS NOT NULL THEN '?' END"
        case Kind.TIMESTAMP | Kind.TIMESTAMPTZ:
            exact = (
                "CASE WHEN isfinite({0}) THEN (extract(epoch FROM {0}) * 1000000)::bigint::text"
                " WHEN {0} IS NOT NULL THEN '?' END"
            )
        case Kind.BYTES:
            exact = "encode({0}, 'hex')"
        case Kind.DECIMAL:
            exact = "trim_scale({0})::text"
        case _:
            exact = "{0}::text"
    return sql.SQL(exact).format(name)
