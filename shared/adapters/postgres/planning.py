"""What a plan reads: the configuration a run would freeze, the target, and the DDL that discovery would run.

Every transaction here is READ ONLY, so that PostgreSQL itself refuses whatever would write.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import polars as pl
from psycopg import sql

from shared.adapters.postgres.database import Connection, Database
from shared.adapters.postgres.freezing import Freezing
from shared.adapters.postgres.holding import parent_table
from shared.adapters.postgres.statements import DATA, DELETED, KEY, ROWVERSION, UPDATED, Statements
from shared.adapters.postgres.tables import plan as plan_table
from shared.adapters.postgres.tables import read_state
from shared.errors import NotFoundError
from shared.sql import query
from shared.sync import types
from shared.sync.catalogue import Catalogued, Connector
from shared.sync.delta import KNOWN_SCHEMA
from shared.sync.description import ApiDescription
from shared.sync.discovery import discover
from shared.sync.mapping import readable
from shared.sync.model import KEY_HASH, ROW, Kind, Reference, RunConfig, TargetColumn
from shared.sync.parents import NUMBER
from shared.sync.plan import Subject

_KEYS_AT_ONCE = 10_000
_NOBODY = UUID(int=0)


class PostgresPlanning:
    """`sync.plan.Target`, and what else a plan is made of."""

    def __init__(self, database: Database, freeze: Freezing) -> None:
        self._database, self._schema, self._freeze = database, database.schema, freeze

    def subject(self, entity_uid: UUID) -> Subject:
        """The entity as a delta started now would find it; raises NotFoundError."""
        with self._reading() as connection:
            names: dict[str, Any] = {"entity": entity_uid}
            row = connection.execute(query("plan_state", self._schema), names).fetchone()
            if row is None:
                raise NotFoundError(f"entity {entity_uid}: not found")
            config = self._freeze(connection, entity_uid, row["generation"], "delta")
            after = names | {"after": config.delete_after_missing}
            missing = connection.execute(query("plan_missing", self._schema), after).fetchall()
            live = self._live(connection, config)
        return Subject(
            config=config,
            watermark=row["watermark"] if config.strategy == "rowversion" else None,
            last_probe=row["probe"],
            versions_since=row["versions_since"],
            deletes_barred=row["deletes_barred"],
            live=live,
            missing=pl.Series(KEY_HASH, [m["key_hash"].bytes for m in missing], dtype=pl.Binary),
            in_flight=tuple(row["in_flight"]),
        )

    def known(self, config: RunConfig, rows: pl.DataFrame) -> pl.DataFrame:
        """What is stored under the rows' keys; a null hash where nothing is."""
        return pl.concat(
            [
                self._known(config, rows[at : at + _KEYS_AT_ONCE])
                for at in range(0, rows.height, _KEYS_AT_ONCE)
            ]
        )

    def live_among(self, config: RunConfig, key_hashes: Sequence[bytes]) -> int:
        """Live rows under these key hashes."""
        statement = sql.SQL("SELECT count(*) AS n FROM {} WHERE NOT {} AND {} = ANY (%s::uuid[])").format(
            _target(config), sql.Identifier(DELETED), sql.Identifier(KEY)
        )
        with self._reading() as connection:
            row = connection.execute(statement, ([key.hex() for key in key_hashes],)).fetchone()
        return int(row["n"]) if row else 0

    def absent_parents(self, config: RunConfig, reference: Reference, sought: pl.DataFrame) -> pl.Series:
        """NUMBERs of the references without a live row in the parent's target; all, where there is no such table."""
        parent = parent_table(reference)
        with self._reading() as connection:
            if not _stands(connection, parent):
                return sought[NUMBER]
        batches = range(0, sought.height, _KEYS_AT_ONCE)
        found = [self._absent(config, reference, sought[at : at + _KEYS_AT_ONCE]) for at in batches]
        return pl.Series([number for numbers in found for number in numbers], dtype=pl.UInt32)

    def ddl(
        self, stored: Catalogued, described: ApiDescription, connector: Connector
    ) -> tuple[list[str], Catalogued]:
        """The statements that discovering this table now would run, and the entity it would leave.

        Raises TargetRefusedError or ConfigurationError where discovery would.
        """
        change = discover(described, connector, stored, uid=stored.entity.uid)
        with self._reading() as connection:
            statements = plan_table(change.after, read_state(connection, self._schema, change.after))
            return [statement.as_string(connection) for statement in statements], change.after

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._database.connection() as connection:
            connection.execute("SET TRANSACTION READ ONLY")
            yield connection

    def _live(self, connection: Connection, config: RunConfig) -> int:
        if not _stands(connection, _target(config)):
            return 0
        statement = sql.SQL("SELECT count(*) AS n FROM {} WHERE NOT {}").format(
            _target(config), sql.Identifier(DELETED)
        )
        row = connection.execute(statement).fetchone()
        return int(row["n"]) if row else 0

    def _known(self, config: RunConfig, rows: pl.DataFrame) -> pl.DataFrame:
        keys = [(f"t{i}", config.target_columns[i]) for i in config.key_positions]
        statement = sql.SQL(
            "SELECT u.ord, t.{data} AS known_hash, t.{version} AS known_version,"
            " coalesce(t.{deleted}, false) AS known_deleted, t.{updated} AS known_at"
            " FROM unnest(%s::int4[], {arrays}) AS u (ord, {names}) LEFT JOIN {target} t ON {same}"
        ).format(
            data=sql.Identifier(DATA),
            version=sql.Identifier(ROWVERSION),
            deleted=sql.Identifier(DELETED),
            updated=sql.Identifier(UPDATED),
            arrays=_arrays(len(keys)),
            names=sql.SQL(", ").join(sql.Identifier(name) for name, _ in keys),
            target=_target(config),
            same=sql.SQL(" AND ").join(
                sql.SQL("t.{} = {}").format(sql.Identifier(column.name), _typed(name, column))
                for name, column in keys
            ),
        )
        with self._reading() as connection:
            found = connection.execute(statement, _values(rows, ROW, keys)).fetchall()
        return _frame(found)

    def _absent(self, config: RunConfig, reference: Reference, sought: pl.DataFrame) -> list[int]:
        columns = [(f"t{place}", config.target_columns[place]) for place in reference.columns]
        statement = sql.SQL(
            "SELECT u.number FROM unnest(%s::int4[], {arrays}) AS u (number, {names})"
            " WHERE NOT EXISTS (SELECT 1 FROM {parent} p WHERE {same} AND NOT p.{deleted})"
        ).format(
            arrays=_arrays(len(columns)),
            names=sql.SQL(", ").join(sql.Identifier(name) for name, _ in columns),
            parent=parent_table(reference),
            same=sql.SQL(" AND ").join(
                sql.SQL("p.{} = {}").format(sql.Identifier(key), _typed(name, column))
                for key, (name, column) in zip(reference.key_names, columns, strict=True)
            ),
            deleted=sql.Identifier(DELETED),
        )
        with self._reading() as connection:
            found = connection.execute(statement, _values(sought, NUMBER, columns)).fetchall()
        return [row["number"] for row in found]


def _stands(connection: Connection, table: sql.Identifier) -> bool:
    row = connection.execute(
        "SELECT to_regclass(%s) IS NOT NULL AS stands", (table.as_string(connection),)
    ).fetchone()
    return bool(row and row["stands"])


def _arrays(count: int) -> sql.Composed:
    return sql.SQL(", ").join([sql.SQL("%s::text[]")] * count)


def _values(
    rows: pl.DataFrame, number: str, columns: Sequence[tuple[str, TargetColumn]]
) -> list[list[object]]:
    """A list a parameter: the rows' numbers, then each column as text."""
    texts = [readable(rows[name], column.type.kind).to_list() for name, column in columns]
    return [rows[number].to_list(), *texts]


def _target(config: RunConfig) -> sql.Identifier:
    return Statements(config, "", _NOBODY).target


def _typed(name: str, column: TargetColumn) -> sql.Composed:
    """A key's text as the target's type."""
    named = sql.Identifier("u", name)
    if column.type.kind is Kind.BYTES:
        return sql.SQL("decode({}, 'hex')").format(named)
    # types.sql_type composes from our own words and integers only.
    return sql.SQL("{}::{}").format(named, sql.SQL(types.sql_type(column.type)))


def _frame(found: Sequence[dict[str, Any]]) -> pl.DataFrame:
    columns = {ROW: [row["ord"] for row in found]} | {
        name: [row[name] for row in found] for name in KNOWN_SCHEMA if name not in (ROW, "known_at")
    }
    at = pl.Series("known_at", [row["known_at"] for row in found], dtype=pl.Datetime("us", "UTC"))
    return pl.DataFrame(
        columns, schema={n: t for n, t in KNOWN_SCHEMA.items() if n != "known_at"}
    ).with_columns(at)
