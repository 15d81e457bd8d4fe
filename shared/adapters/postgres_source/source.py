"""A PostgreSQL database as a Source: tables with primary keys, read page by page with COPY.

In: a connector's address and the name of its secret. Out: what shared.sync.fetch.Source promises; pages are bodies of
the connector protocol. Each call is one read-only transaction with one snapshot and leaves nothing in the session.
"""

import json
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from psycopg import sql

from shared.adapters.http_client import Resolver, resolve
from shared.adapters.http_source import ConnectorAccess
from shared.adapters.postgres_source import statements
from shared.adapters.postgres_source.address import parse_address
from shared.adapters.postgres_source.sessions import Sessions, Snapshot
from shared.adapters.postgres_source.statements import Position, Reading
from shared.adapters.postgres_source.tables import Table, Version, chosen_version, read_table, read_tables
from shared.errors import (
    ConfigurationError,
    SourceProtocolError,
    SourceRefusedError,
    WatermarkRegressionError,
)
from shared.sync.description import ApiDescription
from shared.sync.fetch import PageRequest, Probe

VERSION_PARAMETER = "rowversion_column"
_FACTS_LAST_S = 10.0  # shorter than a slice, so that its continuation elsewhere sees what discovery saw
_PAGE_BYTES = 32 * 2**20
_SAMPLED_ROWS = 50_000
_COUNTED_ROWS = 2_000_001  # above this a first load is large in any case


class _PageFullError(Exception):
    """Leaves a COPY half-way: only an exception makes the driver cancel it instead of waiting for all its rows."""


@dataclass(frozen=True, slots=True)
class _Cursor:
    """Where a walk goes on. `until`: the version above which this walk reads nothing, fixed by its first page."""

    key: tuple[str, ...]
    version: str | None = None
    until: str | None = None


class PostgresSource:
    """A Source over PostgreSQL 13 or newer; safe for several threads."""

    def __init__(
        self,
        access: ConnectorAccess,
        *,
        resolver: Resolver = resolve,
        sslrootcert: str | None = None,
        page_bytes: int = _PAGE_BYTES,
    ) -> None:
        self._address = parse_address(access.base_url, access.allowed_hosts)
        self._sessions = Sessions(self._address, access, resolver, sslrootcert)
        # Who lets a source go without closing it leaves no connection open.
        weakref.finalize(self, self._sessions.close).atexit = False
        self._tables: dict[str, tuple[float, Table]] = {}
        self._page_bytes = page_bytes

    def close(self) -> None:
        """Closes the connections kept open."""
        self._sessions.close()

    def check(self) -> None:
        """Returns when the database answers, takes the credentials and shows its catalogs."""
        self.list_apis()

    def list_apis(self) -> Sequence[ApiDescription]:
        """Every table with a primary key that the user may read."""
        with self._sessions.snapshot() as snapshot:
            return [table.described() for table in read_tables(snapshot)]

    def probe(self, slug: str, rowversion_gt: str | None, parameters: Mapping[str, str]) -> Probe | None:
        """The table's newest version and the rows above `rowversion_gt`; without versions, no more than its size."""
        with self._sessions.snapshot() as snapshot:
            table = self._read(snapshot, slug)
            version = chosen_version(table, _version_column(slug, parameters))
            if version is None:
                return Probe(True, expected=table.about)
            reading = Reading(table, version, _COUNTED_ROWS, above=rowversion_gt)
            newest = _newest(snapshot, reading)
            rows = int(_one(snapshot, statements.count(reading))["rows"])
            deletes = str(_one(snapshot, statements.deletes(reading))["mark"]) if reading.is_tracked else None
        _check_plausible(table, version, newest, snapshot)
        about = None if reading.is_delta else max(rows, table.about or 0)
        return Probe(
            rows > 0, newest, rows if _is_telling(reading, newest, rows, snapshot) else None, deletes, about
        )

    def ranges(self, slug: str, parts: int, parameters: Mapping[str, str]) -> Sequence[str]:
        """Cursors at keys that cut a sample of the table into equal parts."""
        with self._sessions.snapshot() as snapshot:
            table = self._known(snapshot, slug)
            # Not by its changes: cutting is for whole walks, in the order of the primary key.
            reading = Reading(replace(table, changes=None), None, parts)
            percent = 100.0 * min(1.0, _SAMPLED_ROWS / max(table.about or 0, 1))
            rows = snapshot.connection.execute(statements.cuts(reading, percent)).fetchall()
        return [_cursor_behind(b'{"data":' + row["line"].encode() + b"}", reading) for row in rows]

    def fetch_page(self, request: PageRequest) -> bytes:
        """One page, in the order of the primary key, or for a delta in that of version and key.

        It ends early where its rows are large. Where the table changed since its columns were read, they are read
        again.
        """
        if request.cursor is None and request.page not in (None, 1):
            raise SourceProtocolError(
                f"{request.slug}: page {request.page} was asked for without a cursor",
                hint="a PostgreSQL source pages by cursor: discover the connector again",
            )
        try:
            return self._page(request)
        except SourceRefusedError:
            if self._tables.pop(request.slug, None) is None:
                raise
            return self._page(request)

    def _page(self, request: PageRequest) -> bytes:
        with self._sessions.snapshot() as snapshot:
            table = self._known(snapshot, request.slug)
            reading = _reading(request, table, snapshot)
            lines, is_last = self._copied(snapshot, reading, request.page_size)
        envelope: dict[str, Any] = {"has_more": not is_last, "next_cursor": None}
        if reading.version is not None and reading.version.is_exact:
            envelope["safe_rowversion"] = str(snapshot.oldest - 1)
        if not is_last:
            envelope["next_cursor"] = _cursor_behind(_prefix(reading) + lines[-1] + b"}", reading)
        return _body(lines, reading, envelope)

    def _copied(self, snapshot: Snapshot, reading: Reading, page_size: int) -> tuple[list[bytes], bool]:
        """Rows as lines of JSON, and whether they are the last; one more than the page holds tells."""
        wanted = max(1, page_size)
        lines: list[bytes] = []
        size = 0
        statement = statements.page(replace(reading, rows=wanted + 1))
        try:
            with snapshot.connection.cursor() as cursor, cursor.copy(statement) as copy:
                for line in copy:
                    if lines and size + len(line) > self._page_bytes:
                        raise _PageFullError
                    lines.append(bytes(line))
                    size += len(line)
        except _PageFullError:
            return lines[:wanted], False
        return lines[:wanted], len(lines) <= wanted

    def _known(self, snapshot: Snapshot, slug: str) -> Table:
        held = self._tables.get(slug)
        if held is not None and time.monotonic() - held[0] < _FACTS_LAST_S:
            return held[1]
        return self._read(snapshot, slug)

    def _read(self, snapshot: Snapshot, slug: str) -> Table:
        table = read_table(snapshot, slug)
        if table is None:
            raise SourceRefusedError(
                f"{self._address.name}: has no table '{slug}' with a primary key that may be read",
                hint="grant SELECT on it and USAGE on its schema, then discover again",
            )
        self._tables[slug] = (time.monotonic(), table)
        return table


def _version_column(slug: str, parameters: Mapping[str, str]) -> str | None:
    unknown = sorted(set(parameters) - {VERSION_PARAMETER})
    if unknown:
        raise ConfigurationError(
            f"{slug}: parameter {unknown[0]!r} means nothing to a PostgreSQL source",
            hint=f"only {VERSION_PARAMETER} may be given",
        )
    return parameters.get(VERSION_PARAMETER)


def _reading(request: PageRequest, table: Table, snapshot: Snapshot) -> Reading:
    version = chosen_version(table, _version_column(request.slug, request.parameters))
    if request.rowversion_gt is not None and version is None:
        raise ConfigurationError(
            f"{request.slug}: rows above a version were asked for, and it has no version column any more",
            hint="discover the connector again: the table goes back to hash",
        )
    reading = Reading(table, version, 0, above=request.rowversion_gt, keys_only=request.fields == "keys")
    if request.until is not None:
        reading = replace(reading, upto=Position(_parsed(request.until, reading).key))
    if request.cursor is not None:
        cursor = _parsed(request.cursor, reading)
        return replace(reading, until=cursor.until, after=Position(cursor.key, cursor.version))
    if reading.version is None or not reading.is_delta:
        return reading
    # Without an end a busy table would keep its walk going: what changes from now on is the next run's.
    until = str(snapshot.next - 1) if reading.version.is_exact else _newest(snapshot, reading)
    return replace(reading, until=until)


def _newest(snapshot: Snapshot, reading: Reading) -> str | None:
    # Without a lower bound, so that a source that was set back is seen to stand below its watermark.
    whole = replace(reading, above=None)
    row = snapshot.connection.execute(statements.newest(whole)).fetchone()
    return None if row is None else str(row["newest"])


def _one(snapshot: Snapshot, statement: sql.Composed) -> dict[str, Any]:
    row = snapshot.connection.execute(statement).fetchone()
    assert row is not None, "an aggregate answers one row"
    return row


def _is_telling(reading: Reading, newest: str | None, rows: int, snapshot: Snapshot) -> bool:
    """Whether the same newest version and count, told again later, would mean that nothing changed meanwhile.

    Not while a transaction is open that may commit below the newest version; and of a whole table only by a version
    that the catalogs vouch for, since a row may change without touching a column that a person named.
    """
    version = reading.version
    if version is None or (version.is_exact and newest is not None and int(newest) >= snapshot.oldest):
        return False
    return reading.is_delta or (version is reading.table.version and rows < _COUNTED_ROWS)


def _check_plausible(table: Table, version: Version, newest: str | None, snapshot: Snapshot) -> None:
    if version.is_exact and newest is not None and int(newest) >= snapshot.next:
        raise WatermarkRegressionError(
            f"{table.slug}.{version.column}: holds transaction ids that this server has not given out yet; its rows"
            " were copied from another one, and its own changes would go unseen among them",
            hint="rewrite the column (docs/operations.md, 'PostgreSQL sources'), then run a full refresh",
        )


def _cursor_behind(spelt: bytes, reading: Reading) -> str:
    row = json.loads(spelt, parse_int=str, parse_float=str)
    values = row["data"]
    key = tuple(_as_text(values[name]) for name in reading.table.key)
    version = None
    if reading.is_delta and reading.version is not None:
        told = row["row_version"] if reading.is_tracked else values[reading.version.column]
        version = _as_text(told)
    return msgspec.json.encode(_Cursor(key, version, reading.until)).decode()


def _as_text(value: object) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _parsed(text: str, reading: Reading) -> _Cursor:
    try:
        cursor = msgspec.json.decode(text, type=_Cursor)
    except (msgspec.DecodeError, UnicodeEncodeError):
        cursor = _Cursor(())
    if len(cursor.key) != len(reading.table.key) or (cursor.version is not None) != reading.is_delta:
        raise SourceProtocolError(
            f"{reading.table.slug}: the cursor does not fit the table's primary key",
            hint="its key changed while it was read: discover again, the next run starts anew",
        )
    return cursor


def _prefix(reading: Reading) -> bytes:
    return b'{"row_version":' if reading.is_tracked else b'{"data":'


def _body(lines: Sequence[bytes], reading: Reading, envelope: Mapping[str, object]) -> bytes:
    prefix = _prefix(reading)
    rows = b"".join(lines).removesuffix(b"\n").replace(b"\n", b"}," + prefix)
    # The rows stand last: the quick decoder takes the body's last bracket for theirs, and a cursor holds brackets too.
    around = json.dumps(envelope).encode()[:-1]
    return around + b',"rows":[' + (prefix + rows + b"}" if lines else b"") + b"]}"
