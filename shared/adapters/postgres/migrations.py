"""Numbered, forward-only migrations, applied under one lock that dies with its transaction."""

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, LiteralString, cast

import psycopg
from psycopg import sql

from shared.adapters.postgres.database import MINIMUM_SERVER, Connection, Database
from shared.errors import ConfigurationError

_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
# What a migration says when what it finds stands in its way; the text names tables and counts, never values.
_IN_THE_WAY = "TB001"


@dataclass(frozen=True, slots=True)
class Series:
    """Migrations with numbers of their own: a folder of `shared/sql`, and a lock that must never change."""

    folder: str
    lock: int


TABLE_SYNC = Series("migrations", 0x7472_6962)
SHARING = Series("sharing_migrations", 0x7472_6963)
SHARING_SCHEMA = "deltashare_state"


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    text: str


def available(series: Series = TABLE_SYNC) -> tuple[Migration, ...]:
    """The migrations this code knows, in order."""
    found = []
    for entry in (files("shared.sql") / series.folder).iterdir():
        match = _FILE.fullmatch(entry.name)
        if match:
            found.append(Migration(int(match[1]), match[2], entry.read_text("utf-8")))
    return tuple(sorted(found, key=lambda migration: migration.number))


def migrate(database: Database, series: Series = TABLE_SYNC, schema: str | None = None) -> tuple[str, ...]:
    """Apply what is missing and name it; a second caller waits for the first and then finds nothing to do.

    `schema` (None: the database's metadata schema) holds the record of what was applied. Raises ConfigurationError
    for a server older than 14, for a schema newer than this code, and where what stands there cannot be taken over.
    """
    known, schema = available(series), schema or database.schema
    with database.connection() as connection:
        _require_server(connection, database.server.name)
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (series.lock,))
        _prepare(connection, schema)
        applied = _applied(connection)
        _require_known(applied, known, schema)
        missing = [m for m in known if m.number not in applied]
        for migration in missing:
            _apply(connection, migration)
    return tuple(f"{m.number:04d}_{m.name}" for m in missing)


def migrate_sharing(database: Database) -> tuple[str, ...]:
    """The same for the schemas of share packs."""
    return migrate(database, SHARING, SHARING_SCHEMA)


def is_current(database: Database, series: Series = TABLE_SYNC, schema: str | None = None) -> bool:
    """Whether the schema is exactly the one this code was written for."""
    schema = schema or database.schema
    with database.connection() as connection:
        table = f'"{schema}".schema_migrations'
        if connection.execute("SELECT to_regclass(%s) AS t", (table,)).fetchone() == {"t": None}:
            return False
        connection.execute("SELECT set_config('search_path', %s, true)", (schema,))
        return _applied(connection) == {m.number for m in available(series)}


def _apply(connection: Connection, migration: Migration) -> None:
    text: Any = migration.text  # ships with the code, like a literal
    try:
        connection.execute(cast(LiteralString, text))
    except psycopg.Error as error:
        if error.sqlstate != _IN_THE_WAY:
            raise
        raise ConfigurationError(
            f"migration {migration.number:04d}_{migration.name}: {error.diag.message_primary}",
            hint="put right what it names, then migrate again; nothing was changed",
        ) from None
    connection.execute(
        "INSERT INTO schema_migrations (number, name) VALUES (%s, %s)", (migration.number, migration.name)
    )


def _prepare(connection: Connection, schema: str) -> None:
    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    connection.execute("SELECT set_config('search_path', %s, true)", (schema,))
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations ("
        " number integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )


def _applied(connection: Connection) -> set[int]:
    return {row["number"] for row in connection.execute("SELECT number FROM schema_migrations")}


def _require_server(connection: Connection, name: str) -> None:
    version = connection.info.server_version
    if version < MINIMUM_SERVER:
        raise ConfigurationError(
            f"{name}: version {version // 10_000} is older than 14",
            hint="upgrade the server (pg_upgrade, or a new flexible server and a restore), then migrate again",
        )


def _require_known(applied: set[int], known: tuple[Migration, ...], schema: str) -> None:
    newer = applied - {m.number for m in known}
    if newer:
        raise ConfigurationError(
            f"schema {schema}: migration {max(newer)} is newer than this code knows",
            hint="deploy the release that made it, or a later one; migrations only go forward",
        )
