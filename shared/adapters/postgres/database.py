"""Connections to PostgreSQL: a small pool, transactions, and driver errors in our own words."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from shared.errors import (
    AppError,
    ConfigurationError,
    IdentityUnavailableError,
    PermanentError,
    TargetRefusedError,
    TargetUnavailableError,
)
from shared.platform import root_certificates

MINIMUM_SERVER = 140_000
_CONNECT_TIMEOUT_S = 10
# Safe to run the whole transaction again: nothing of it was kept.
RETRYABLE = (
    pg.SerializationFailure,
    pg.DeadlockDetected,
    pg.LockNotAvailable,
    pg.QueryCanceled,
    pg.UniqueViolation,
)
_UNAVAILABLE = (
    pg.OperationalError,
    pg.InterfaceError,
    pg.ReadOnlySqlTransaction,
    pg.DiskFull,
    pg.TooManyConnections,
    pg.SerializationFailure,
    pg.DeadlockDetected,
    pg.LockNotAvailable,
    pg.QueryCanceled,
)

Connection = psycopg.Connection[DictRow]
# What a server answers to a connection it won't have, by what to do about it; servers in other languages say less.
REFUSALS = {
    "connections": ("too many connections", "too many clients", "remaining connection slots", "too_many"),
    "replica": ("server is in hot standby mode", "session is read-only", "server is not in hot standby"),
    "credentials": ("authentication failed", "no password supplied", "no pg_hba.conf entry"),
    "tls": (
        "does not support SSL",
        "certificate verify failed",
        "root certificate file",
        "does not match host name",
    ),
    "starting": ("the database system is starting up", "is shutting down", "in recovery mode"),
}
_ADVICE = {
    "connections": (
        "has no connection free",
        "raise the limit, or lower POSTGRES_POOL_MAX or the number of instances",
    ),
    "replica": ("is a replica, whose state may be old", "let POSTGRES_HOST name the primary"),
    "credentials": (
        "refuses the credentials",
        "check POSTGRES_USER and POSTGRES_PASSWORD; under POSTGRES_AUTH=entra, that the app's identity is a role there",
    ),
    "tls": (
        "offers no TLS that can be trusted",
        "switch TLS on there; POSTGRES_SSLROOTCERT may name the authorities to trust",
    ),
    "identity": ("was not asked: the app's identity gets no token", "see AZURE_CLIENT_ID"),
    "starting": ("is starting or stopping", "wait; if it stays so, look at the server's log"),
    "read_only": (
        "takes no writes",
        "a failover or a disk nearly full does that: let POSTGRES_HOST name the primary, free space",
    ),
    "disk_full": ("has no space left", "free space or enlarge the disk"),
}


@dataclass(frozen=True, slots=True)
class Server:
    """Where PostgreSQL is and how to sign in.

    `password` is asked on every connect, so tokens may expire. `forget_password`, where there is one, is told that
    the server refused it, and the connection tried once more.
    """

    host: str
    port: int
    database: str
    user: str
    password: Callable[[], str | None]
    sslmode: str = "prefer"
    sslrootcert: str | None = None
    forget_password: Callable[[], None] | None = None

    @property
    def name(self) -> str:
        """The server as messages name it: never with credentials."""
        return f"PostgreSQL {self.host}:{self.port}/{self.database}"


_PARTS = {"host", "port", "dbname", "user", "password", "sslmode", "sslrootcert"}
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def server_of(conninfo: str, setting: str, sslrootcert: str | None = None) -> Server:
    """The server that a connection string names, in libpq's form or as a URI; TLS is verified unless it says otherwise.

    Raises ConfigurationError naming `setting` and what is wrong, never what stands in it.
    """
    hint = "e.g. postgresql://user:password@host:5432/database, or host=... dbname=... user=... password=..."
    # Drivers of other libraries are often named with the scheme.
    plain = re.sub(r"^postgres(ql)?\+\w+://", "postgresql://", conninfo.strip())
    try:
        parts = {k: str(v) for k, v in conninfo_to_dict(plain).items() if v is not None}
    except psycopg.Error:
        raise ConfigurationError(f"{setting}: is no connection string", hint=hint) from None
    if unknown := sorted(set(parts) - _PARTS):
        raise ConfigurationError(f"{setting}: {', '.join(unknown)} cannot be set here", hint=hint)
    if missing := sorted({"host", "dbname", "user"} - set(parts)):
        raise ConfigurationError(f"{setting}: lacks {', '.join(missing)}", hint=hint)
    port = parts.get("port", "5432")
    if not port.isdecimal() or "," in parts["host"]:
        raise ConfigurationError(f"{setting}: must name one host and one port", hint=hint)
    verified = "prefer" if parts["host"] in _LOOPBACK else "verify-full"
    return Server(
        host=parts["host"],
        port=int(port),
        database=parts["dbname"],
        user=parts["user"],
        password=lambda: parts.get("password"),
        sslmode=parts.get("sslmode", verified),
        sslrootcert=parts.get("sslrootcert", sslrootcert),
    )


class Database:
    """The metadata and target database. One pool a process; `schema` is the metadata schema."""

    def __init__(self, server: Server, schema: str = "bridge", *, pool_max: int = 2) -> None:
        self.server, self.schema = server, schema
        self._pool_max = pool_max
        self._pool: ConnectionPool[Connection] | None = None

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A transaction: leaving the block commits, an exception rolls back.

        Driver errors leave as TargetUnavailableError or TargetRefusedError, with the SQLSTATE and without
        DETAIL, since that quotes rows.
        """
        try:
            with self._connections().connection() as connection:
                yield connection
        except (psycopg.Error, PoolTimeout) as error:
            raise translate(error, self.server.name, self.why_not) from None

    def why_not(self) -> str:
        """What the server says to a connection made now, a key of REFUSALS; empty where it says nothing known."""
        try:
            psycopg.connect(**self._arguments() | {"connect_timeout": 3}).close()  # type: ignore[arg-type]  # the pool's own arguments
        except IdentityUnavailableError:
            return "identity"
        except psycopg.OperationalError as error:
            return refusal(error)
        return ""

    @contextmanager
    def bare_connection(self) -> Iterator[Connection]:
        """The same, but driver errors stay as they are: for callers that decide by SQLSTATE."""
        with self._connections().connection() as connection:
            yield connection

    def close(self) -> None:
        """Give every connection back to the server."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def _connections(self) -> "ConnectionPool[Connection]":
        if self._pool is None:
            # psycopg.pool logs each failed attempt with the whole conninfo, so it is kept quiet.
            logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
            self._pool = ConnectionPool(
                connection_class=_connecting(self.server),
                kwargs=self._arguments,
                min_size=0,
                max_size=self._pool_max,
                open=True,
                timeout=_CONNECT_TIMEOUT_S,
                reconnect_timeout=0,
                max_idle=60,
                check=ConnectionPool.check_connection,
            )
        return self._pool

    def _arguments(self) -> dict[str, object]:
        server = self.server
        arguments: dict[str, object] = {
            "host": server.host,
            "port": server.port,
            "dbname": server.database,
            "user": server.user,
            "password": server.password(),
            "sslmode": server.sslmode,
            "connect_timeout": _CONNECT_TIMEOUT_S,
            # State is read from the primary only: a replica is behind, and behind is wrong.
            "target_session_attrs": "primary",
            "application_name": "tributary",
            "row_factory": dict_row,
            # Server-side prepared statements do not survive a transaction pooler.
            "prepare_threshold": None,
        }
        authorities = root_certificates(server.sslmode, server.sslrootcert)
        return arguments | ({"sslrootcert": authorities} if authorities else {})


def _connecting(server: Server) -> type[Connection]:
    """How to connect: plainly, or with one new password after a refused one."""
    if server.forget_password is None:
        return Connection
    forget: Callable[[], None] = server.forget_password

    class Renewing(psycopg.Connection[DictRow]):
        @classmethod
        def connect(cls, conninfo: str = "", **arguments: Any) -> "Renewing":
            try:
                return super().connect(conninfo, **arguments)
            except psycopg.OperationalError as error:
                if refusal(error) != "credentials":
                    raise
            forget()
            return super().connect(conninfo, **arguments | {"password": server.password()})

    return Renewing


def refusal(error: psycopg.OperationalError) -> str:
    """Why the server did not take a connection, a key of REFUSALS; empty where it says nothing known."""
    # A refused connection has no SQLSTATE; the text quotes the conninfo, so it is only ever searched.
    said = str(error)
    return next((reason for reason, marks in REFUSALS.items() if any(mark in said for mark in marks)), "")


def _reason(error: Exception, why_not: Callable[[], str]) -> str:
    match error:
        case pg.ReadOnlySqlTransaction():
            return "read_only"
        case pg.DiskFull():
            return "disk_full"
        case pg.TooManyConnections():
            return "connections"
        case PoolTimeout():
            return why_not()
        case _:
            return ""


def translate(error: Exception, server: str, why_not: Callable[[], str] = str) -> AppError:
    """A driver error in our words: transient where a later try may succeed. `why_not` asks a server that won't talk."""
    if (reason := _reason(error, why_not)) in _ADVICE:
        what, advice = _ADVICE[reason]
        hint = f"{advice}; tables go on by themselves once it serves again"
        return TargetUnavailableError(f"{server}: {what}", hint=hint, code=f"target_{reason}")
    if isinstance(error, PoolTimeout) or (
        isinstance(error, psycopg.OperationalError) and error.sqlstate is None
    ):
        return TargetUnavailableError(
            f"{server}: no connection within {_CONNECT_TIMEOUT_S} s",
            hint="check POSTGRES_HOST, POSTGRES_PORT, the credentials and that the server is up",
        )
    state = getattr(error, "sqlstate", None) or "unknown"
    kind = type(error).__name__
    if isinstance(error, _UNAVAILABLE):
        return TargetUnavailableError(
            f"{server}: {kind} (SQLSTATE {state})",
            hint="the work is repeated later; look at the server's own log",
        )
    if isinstance(error, (pg.StringDataRightTruncation, pg.NumericValueOutOfRange)):
        return TargetRefusedError(
            f"{server}: a target column is too narrow for the source's values (SQLSTATE {state})",
            hint="widen the column's type in the entity's field mappings, then run a full refresh",
        )
    if isinstance(error, psycopg.Error):
        return TargetRefusedError(f"{server}: {kind} (SQLSTATE {state})", hint="see docs/operations.md")
    return PermanentError(f"{server}: {kind}")
