"""Read-only transactions at a PostgreSQL source, each whole in itself, so that a transaction pooler may stand between.

In: an address and how to sign in. Out: a Snapshot to read from, or a Source... error naming the server and an
SQLSTATE, never a row's value or a secret.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg.rows import dict_row
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.adapters.http_client import Resolver
from shared.adapters.http_source import ConnectorAccess
from shared.adapters.postgres_source.address import Address, pinned
from shared.errors import (
    AppError,
    ConfigurationError,
    SourceProtocolError,
    SourceRefusedError,
    SourceThrottledError,
    SourceUnavailableError,
)
from shared.platform import root_certificates
from shared.sql import query

MINIMUM_SERVER = 130_000  # xid8 and pg_current_snapshot()
_CONNECT_TIMEOUT_S = 10
_IDLE_S = 60.0
_AT_ONCE = 10
_WAIT_S = 60.0
# A server that vanished without a word is noticed within a minute instead of never.
_KEEPALIVES = {
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
Connection = psycopg.Connection[dict[str, Any]]

_REFUSALS = ("authentication failed", "pg_hba.conf", "does not exist", "no such user", "no such database")
_LATER = (
    pg.OperationalError,
    pg.InterfaceError,
    pg.SerializationFailure,
    pg.DeadlockDetected,
    pg.LockNotAvailable,
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An open transaction, all of whose statements see the same rows.

    `oldest`: every transaction below it has ended; `next`: none at or above it can be seen yet.
    """

    connection: Connection
    oldest: int
    next: int


class _Credentials(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    user: str = Field(min_length=1)
    password: str = Field(min_length=1)


class Sessions:
    """Connections to one source: few, kept for a minute, safe for several threads."""

    def __init__(
        self, address: Address, access: ConnectorAccess, resolver: Resolver, sslrootcert: str | None
    ) -> None:
        self._address, self._access, self._resolver = address, access, resolver
        self._sslrootcert = sslrootcert
        self._idle: list[tuple[float, Connection]] = []
        self._lock, self._room = threading.Lock(), threading.BoundedSemaphore(_AT_ONCE)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """One transaction; whatever happens inside, the source is left as it was."""
        if not self._room.acquire(timeout=_WAIT_S):
            raise SourceThrottledError(
                f"{self._address.name}: {_AT_ONCE} of our own queries run there already",
                hint="lower max_concurrent_syncs, or look for what makes them slow",
            )
        try:
            with self._translated():
                connection, snapshot = self._begin()
                try:
                    yield snapshot
                    connection.execute("COMMIT")
                except BaseException:
                    self._end(connection)
                    raise
                self._keep(connection)
        finally:
            self._room.release()

    def close(self) -> None:
        """Give every connection back."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def _begin(self) -> tuple[Connection, Snapshot]:
        """A connection inside its transaction; one that died while idle is replaced."""
        kept = self._kept()
        if kept is not None:
            try:
                return kept, _opened(kept)
            except psycopg.OperationalError:
                kept.close()
        connection = self._connect()
        return connection, _opened(connection)

    def _kept(self) -> Connection | None:
        now = time.monotonic()
        with self._lock:
            while self._idle:
                since, connection = self._idle.pop()
                if now - since < _IDLE_S and not connection.closed:
                    return connection
                connection.close()
        return None

    def _keep(self, connection: Connection) -> None:
        with self._lock:
            self._idle.append((time.monotonic(), connection))

    def _end(self, connection: Connection) -> None:
        """Roll back and keep what still works; a copy broken off half-way is cancelled by the driver."""
        with suppress(psycopg.Error):
            connection.execute("ROLLBACK")
            self._keep(connection)
            return
        connection.close()

    def _connect(self) -> Connection:
        """A new connection; credentials that are refused are read from the vault once more."""
        try:
            return self._open()
        except SourceRefusedError:
            self._access.forget_secret()
            return self._open()

    def _open(self) -> Connection:
        address = self._address
        try:
            connection = psycopg.connect(**self._arguments(), row_factory=dict_row)
        except psycopg.OperationalError as error:
            raise self._unreached(error) from None
        if connection.info.server_version < MINIMUM_SERVER:
            connection.close()
            raise ConfigurationError(f"{address.name}: older than PostgreSQL 13", hint="upgrade the source")
        return connection

    def _arguments(self) -> dict[str, Any]:
        address, credentials = self._address, self._credentials()
        return _KEEPALIVES | {
            "host": address.host,
            "hostaddr": pinned(address, self._access.allowed_hosts, self._resolver),
            "port": address.port,
            "dbname": address.database,
            "user": credentials.user,
            "password": credentials.password,
            "sslmode": address.sslmode,
            "sslrootcert": root_certificates(address.sslmode, self._sslrootcert),
            "connect_timeout": _CONNECT_TIMEOUT_S,
            "application_name": "tributary",
            "autocommit": True,
            "prepare_threshold": None,  # prepared statements do not survive a transaction pooler
        }

    def _credentials(self) -> _Credentials:
        try:
            return _Credentials.model_validate_json(self._access.secret())
        except ValidationError:
            raise ConfigurationError(
                f"The secret of connector '{self._access.name}' is no JSON with user and password.",
                hint='store {"user": "...", "password": "..."} under the name in auth.secret_name',
            ) from None

    def _unreached(self, error: psycopg.OperationalError) -> AppError:
        # libpq gives no SQLSTATE for a failed connection, and its text names the user: only its kind is told.
        text = str(error).lower()
        if any(words in text for words in _REFUSALS):
            return SourceRefusedError(
                f"{self._address.name}: refuses the sign-in, or has no such database",
                hint="check the secret's user and password, base_url, and pg_hba.conf",
            )
        if "certificate" in text or "ssl" in text:
            return SourceRefusedError(
                f"{self._address.name}: no encrypted connection that can be trusted ({self._address.sslmode})",
                hint="give its authority's certificate in POSTGRES_SSLROOTCERT, or state ?sslmode= in base_url",
            )
        return SourceUnavailableError(
            f"{self._address.name}: could not be reached within {_CONNECT_TIMEOUT_S} s",
            hint="check that it runs and that this service may reach it; the run tries again later",
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise translate(error, self._address.name) from None


def _opened(connection: Connection) -> Snapshot:
    cursor = connection.execute(query("source_begin", "pg_catalog"))
    while cursor.nextset():
        pass
    row = cursor.fetchone()
    assert row is not None, "the last statement of source_begin.sql answers one row"
    return Snapshot(connection, int(row["oldest"]), int(row["next"]))


def translate(error: psycopg.Error, server: str) -> AppError:
    """A driver error in our words; its own text may quote rows and is left out."""
    state, kind = error.sqlstate or "unknown", type(error).__name__
    what = f"{server}: {kind} (SQLSTATE {state})"
    if isinstance(error, pg.QueryCanceled):
        return SourceUnavailableError(
            f"{server}: a query took longer than 60 s and was ended",
            hint="lower page_size; a rowversion table needs an index that begins with its version column",
        )
    if isinstance(error, pg.InsufficientPrivilege):
        return SourceRefusedError(
            what, hint="grant SELECT; where row-level security hides rows, grant BYPASSRLS or drop the policy"
        )
    if isinstance(error, (pg.UndefinedTable, pg.UndefinedColumn, pg.InvalidSchemaName)):
        return SourceRefusedError(what, hint="the table changed while it was read; discover again")
    if isinstance(error, pg.DataError):
        return SourceProtocolError(
            what, hint="its type changed since the run began: the next run reads the table anew"
        )
    if isinstance(error, _LATER):
        return SourceUnavailableError(what, hint="the work is repeated later; look at the source's own log")
    return SourceRefusedError(what, hint="look at the source's own log")
