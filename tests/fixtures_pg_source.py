"""A PostgreSQL database to sync from: `pg_source` makes tables in it, `open_pg_source` reads them through the adapter.

pg_source.sql("CREATE TABLE ...")               # committed at once
pg_source.versioned("orders")                   # adds an xid8 column `version` with its trigger
with pg_source.transaction() as held: held.execute("UPDATE ...")   # committed at the end of the block
pg_source.base_url, pg_source.secret            # what a connector is registered with
"""

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from infra.local.postgres import PostgresServer
from shared.adapters.http_source import ConnectorAccess
from shared.adapters.postgres_source.source import PostgresSource

TRACKING = Path(__file__).parents[1] / "infra" / "postgres_source" / "tracking.sql"


@dataclass(frozen=True)
class PgSource:
    """One database of a source."""

    conninfo: str

    @property
    def base_url(self) -> str:
        parts = conninfo_to_dict(self.conninfo)
        return f"postgres://{parts['host']}:{parts['port']}/{parts['dbname']}"

    @property
    def secret(self) -> str:
        parts = conninfo_to_dict(self.conninfo)
        return json.dumps({"user": parts["user"], "password": parts["password"]})

    def sql(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        with self.transaction() as connection:
            cursor = connection.execute(statement, values or None)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def transaction(self) -> psycopg.Connection[dict[str, Any]]:
        # The servers' user is called tributary, as is a schema that sources may have.
        return psycopg.connect(self.conninfo, row_factory=dict_row, options="-c search_path=public")

    def versioned(self, table: str) -> None:
        self.track()
        self.sql(f"SELECT tributary.add_version('{table}')")

    def track(self, table: str | None = None) -> None:
        self.sql(TRACKING.read_text())
        if table:
            self.sql(f"SELECT tributary.track('{table}')")

    def access(self, **changes: Any) -> ConnectorAccess:
        told = {"name": "pg", "base_url": self.base_url, "auth_type": "token", "secret": lambda: self.secret,
                "allowed_hosts": ("127.0.0.1",)}  # fmt: skip
        return ConnectorAccess(**told | changes)


OpenPgSource = Callable[..., PostgresSource]


def fresh_database(server: PostgresServer, options: str = "") -> Iterator[str]:
    """A new database's conninfo; dropped afterwards."""
    name = f"source_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.dsn_of("postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} " + options).format(sql.Identifier(name)))  # type: ignore[arg-type]
        yield server.dsn_of(name)
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def pg_source(postgres_server: PostgresServer) -> Iterator[PgSource]:
    """An empty source database on the session's server."""
    for conninfo in fresh_database(postgres_server):
        yield PgSource(conninfo)


@pytest.fixture
def open_pg_source(pg_source: PgSource) -> Iterator[OpenPgSource]:
    """Adapters over it, closed after the test; keywords go to PostgresSource, `access` to ConnectorAccess."""
    opened: list[PostgresSource] = []

    def make(access: dict[str, Any] | None = None, **options: Any) -> PostgresSource:
        opened.append(PostgresSource(pg_source.access(**access or {}), **options))
        return opened[-1]

    yield make
    for source in opened:
        source.close()


@pytest.fixture
def durable_pg_source(durable_postgres_server: PostgresServer) -> Iterator[PgSource]:
    """A source on a young server of its own, whose transaction ids stand low."""
    for conninfo in fresh_database(durable_postgres_server):
        yield PgSource(conninfo)
