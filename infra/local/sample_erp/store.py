"""The ERP's state in one SQLite file: rows, row versions, open transactions, the catalogue of tables.

Row versions come from one counter for all tables and are taken when a row is written, not when it is
committed, as SQL Server's are: a late commit shows rows older than what a reader has already seen. Tables
without row versions keep a change number per commit instead, which deletes move too. Every public method is
one transaction under one lock.
"""

from __future__ import annotations

import dataclasses
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from infra.local.sample_erp.errors import ConflictError, UnknownSlugError
from infra.local.sample_erp.schema import ColumnSpec, TableSpec
from infra.local.sample_erp.values import RawRow, object_text, parse_object, show_version, sort_key

CATALOGUE = """
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE tables (id INTEGER PRIMARY KEY, slug TEXT UNIQUE, spec BLOB, changed INTEGER NOT NULL DEFAULT 0);
CREATE TABLE open_writes (id INTEGER PRIMARY KEY, txn TEXT, slug TEXT, gone INTEGER, sort BLOB, seq INTEGER,
                          rv INTEGER, keys TEXT, data TEXT);
CREATE TABLE broken (slug TEXT, sort BLOB, PRIMARY KEY (slug, sort)) WITHOUT ROWID;
"""

# Rows lie in key order inside the primary key's tree: a page is one range read, not 10,000 lookups.
ROWS = """
CREATE TABLE rows_{id} (sort BLOB, seq INTEGER, rv INTEGER, keys TEXT, data TEXT,
                        PRIMARY KEY (sort, seq)) WITHOUT ROWID;
CREATE INDEX rows_{id}_rv ON rows_{id} (rv, sort, seq);
"""

# Above this many delta rows, walking the whole table in key order beats sorting them for every page.
SPARSE_ROWS = 30_000

# A seeded row: sort key, keys object, data object.
SeedRow = tuple[bytes, str, str]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page starts: just after this row."""

    rv: int
    sort: bytes
    seq: int


@dataclass(frozen=True, slots=True)
class PageQuery:
    """What a page asks for: rows `above` a version; `after` (keyset) wins over `offset` (page number).

    `until` is the last row of the part it belongs to.
    """

    limit: int
    above: int | None = None
    after: Position | None = None
    until: Position | None = None
    offset: int = 0
    by_version: bool = False
    keys_only: bool = False
    flat: bool = False


@dataclass(frozen=True, slots=True)
class PageRows:
    """Row documents as JSON text, the last row's position, whether more follow, and the in-flight bound."""

    documents: list[str]
    last: Position | None
    more: bool
    safe: int


@dataclass(frozen=True, slots=True)
class Stored:
    """One stored copy of a row."""

    sort: bytes
    seq: int
    keys: str
    data: str


class Store:
    """State of one ERP in the SQLite file `path`; build it with `Store.create` or reopen what is there."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        # The stdlib default of 2 MB would reread interior pages on every walk.
        self._db.executescript(
            "PRAGMA cache_size=-32000; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
        )
        self._db.create_function("show_version", 2, show_version, deterministic=True)
        self._ids: dict[str, int] = {}
        self.specs: dict[str, TableSpec] = {}
        # An open transaction doesn't outlive its server, in a real source either.
        self._db.execute("DELETE FROM open_writes")
        self._load_specs()

    @classmethod
    def create(cls, path: Path, tables: Iterable[tuple[TableSpec, Iterable[SeedRow]]]) -> Store:
        """A new file holding these tables; complete or absent, whatever interrupts it."""
        scratch = path.with_suffix(".seeding")
        scratch.unlink(missing_ok=True)
        db = sqlite3.connect(scratch, isolation_level=None)
        db.executescript(
            "PRAGMA page_size=16384; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;" + CATALOGUE
        )
        db.execute("BEGIN")
        version = 0
        for number, (spec, rows) in enumerate(tables, start=1):
            version = _seed_table(db, number, spec, rows, version)
        db.executemany(
            "INSERT INTO counters VALUES (?, ?)", [("version", version), ("writes", 0), ("story", 0)]
        )
        db.execute("COMMIT")
        db.close()
        scratch.replace(path)
        return cls(path)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One atomic write; nested use joins the outer one."""
        with self._lock:
            if self._db.in_transaction:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    # reading

    def spec(self, slug: str) -> TableSpec:
        if slug not in self.specs:
            raise UnknownSlugError(f"no table {slug!r} here; there are {', '.join(sorted(self.specs))}")
        return self.specs[slug]

    def counter(self, name: str) -> int:
        with self._lock:
            row = self._db.execute("SELECT value FROM counters WHERE name = ?", (name,)).fetchone()
            return int(row[0])

    def count(self, slug: str, above: int | None = None) -> int:
        """Visible rows, or those above a row version."""
        with self._lock:
            sql = f"SELECT count(*) FROM {self._rows(slug)} WHERE rv > ?"
            return int(self._db.execute(sql, (-1 if above is None else above,)).fetchone()[0])

    def max_version(self, slug: str) -> int:
        """The highest visible row version; for a table without versions, its last commit's change number."""
        rows, spec = self._rows(slug), self.spec(slug)
        with self._lock:
            if spec.has_versions:
                return int(self._db.execute(f"SELECT coalesce(max(rv), 0) FROM {rows}").fetchone()[0])
            return int(self._db.execute("SELECT changed FROM tables WHERE slug = ?", (slug,)).fetchone()[0])

    def safe_version(self) -> int:
        """Nothing at or below this version is still in flight, in any table."""
        with self._lock:
            lowest = self._db.execute("SELECT min(rv) FROM open_writes").fetchone()[0]
            return self.counter("version") if lowest is None else int(lowest) - 1

    def page(self, slug: str, query: PageQuery) -> PageRows:
        """One page, read at one moment together with the in-flight bound that holds for it."""
        sql, arguments = self._page_sql(slug, query)
        with self._lock:
            found = self._db.execute(sql, arguments).fetchall()
            safe = self.safe_version()
        kept = found[: query.limit]
        last = Position(kept[-1][1], kept[-1][2], kept[-1][3]) if kept else None
        return PageRows([row[0] for row in kept], last, len(found) > query.limit, safe)

    def _page_sql(self, slug: str, query: PageQuery) -> tuple[str, list[object]]:
        spec, rows = self.spec(slug), self._rows(slug)
        above = -1 if query.above is None else query.above
        order = "rv, sort, seq" if query.by_version else "sort, seq"
        sparse = query.by_version or (above >= 0 and self.count(slug, above) < SPARSE_ROWS)
        sql = f"SELECT {_document(spec, query)}, rv, sort, seq FROM {rows} "
        sql += (f"INDEXED BY {rows}_rv" if sparse else "NOT INDEXED") + " WHERE rv > ?"
        arguments: list[object] = [above]
        if query.after is not None:
            place = [query.after.rv] if query.by_version else []
            arguments += [*place, query.after.sort, query.after.seq]
            sql += f" AND ({order}) > (?, ?{', ?' if query.by_version else ''})"
        if query.until is not None:
            arguments += [query.until.sort, query.until.seq]
            sql += " AND (sort, seq) <= (?, ?)"
        sql += f" ORDER BY {order} LIMIT ? OFFSET ?"
        return sql, [*arguments, query.limit + 1, 0 if query.after else query.offset]

    def cuts(self, slug: str, parts: int) -> list[Position]:
        """The last row of each part but the last, when the rows in key order fall into equal parts."""
        size = max(1, -(-self.count(slug) // max(1, parts)))
        sql = (
            f"SELECT rv, sort, seq FROM (SELECT rv, sort, seq, row_number() OVER (ORDER BY sort, seq) AS place"
            f" FROM {self._rows(slug)}) WHERE place % ? = 0"
        )
        with self._lock:
            return [Position(*row) for row in self._db.execute(sql, (size,))][: parts - 1]

    def data(self, slug: str) -> list[RawRow]:
        """Every visible row's data in key order, as raw texts; for small tables."""
        with self._lock:
            found = self._db.execute(f"SELECT data FROM {self._rows(slug)} ORDER BY sort, seq").fetchall()
        return [parse_object(row[0]) for row in found]

    def sort_keys(self, slug: str) -> list[bytes]:
        """Every visible key in order, without those broken on purpose."""
        sql = (
            f"SELECT sort FROM {self._rows(slug)} WHERE sort NOT IN (SELECT sort FROM broken WHERE slug = ?)"
        )
        with self._lock:
            return [row[0] for row in self._db.execute(sql + " ORDER BY sort", (slug,))]

    def copies(self, slug: str, sort: bytes, txn: str | None = None) -> list[Stored]:
        """Every stored copy of a key as this transaction sees it; UnknownSlugError when there is none."""
        with self._lock:
            own = self._db.execute(
                "SELECT sort, seq, keys, data, gone FROM open_writes WHERE txn = ? AND slug = ? AND sort = ?"
                " ORDER BY id DESC LIMIT 1",
                (txn, slug, sort),
            ).fetchone()
            sql = f"SELECT sort, seq, keys, data FROM {self._rows(slug)} WHERE sort = ? ORDER BY seq"
            seen = [] if own and own[4] else [own[:4]] if own else self._db.execute(sql, (sort,)).fetchall()
        return [Stored(*row) for row in seen]

    # writing

    def put(self, slug: str, row: Stored, *, txn: str | None = None, rv: int | None = None) -> int:
        """Write one copy of a row and answer its version: visible now, or when `txn` commits."""
        with self.transaction():
            self._refuse_locked(slug, row.sort, txn)
            version = self._next_version() if rv is None else rv
            if txn is None:
                self._apply(slug, row, version)
            else:
                self._defer(txn, slug, row, version, gone=False)
            return version

    def remove(self, slug: str, row: Stored, *, txn: str | None = None) -> None:
        """Delete one copy of a row: now, or when `txn` commits."""
        with self.transaction():
            self._refuse_locked(slug, row.sort, txn)
            if txn is None:
                self._erase(slug, row)
            else:
                self._defer(txn, slug, row, self._next_version(), gone=True)

    def mark_broken(self, slug: str, sort: bytes) -> None:
        with self.transaction():
            self._db.execute("INSERT OR REPLACE INTO broken VALUES (?, ?)", (slug, sort))

    def open_transactions(self) -> dict[str, int]:
        """Rows written per open transaction."""
        with self._lock:
            return dict(self._db.execute("SELECT txn, count(*) FROM open_writes GROUP BY txn"))

    def commit(self, txn: str) -> int:
        """Make an open transaction's rows visible under the versions they already have; answers how many."""
        with self.transaction():
            writes = self._db.execute(
                "SELECT slug, gone, sort, seq, keys, data, rv FROM open_writes WHERE txn = ? ORDER BY id",
                (txn,),
            ).fetchall()
            self.roll_back(txn)
            for slug, gone, sort, seq, keys, data, rv in writes:
                row = Stored(sort, seq, keys, data)
                self._erase(slug, row) if gone else self._apply(slug, row, rv)
            return len(writes)

    def roll_back(self, txn: str) -> int:
        """Forget an open transaction; its row versions stay used, as in any real source."""
        with self.transaction():
            return self._db.execute("DELETE FROM open_writes WHERE txn = ?", (txn,)).rowcount

    def bump(self, name: str) -> int:
        with self.transaction():
            self._db.execute("UPDATE counters SET value = value + 1 WHERE name = ?", (name,))
            return self.counter(name)

    # schema drift

    def add_column(self, slug: str, column: ColumnSpec, value: str) -> None:
        """A new last column with `value` (JSON text) in every row, those of open transactions too.

        Versions stay, as after ALTER TABLE.
        """
        spec = self.spec(slug)
        member = msgspec.json.encode(column.member).decode()
        longer, end = "substr(data, 1, length(data) - 1) || ?", f",{member}:{value}}}"
        with self.transaction():
            self._db.execute(f"UPDATE {self._rows(slug)} SET data = {longer}", (end,))
            self._db.execute(f"UPDATE open_writes SET data = {longer} WHERE slug = ?", (end, slug))
            self._save_spec(dataclasses.replace(spec, columns=(*spec.columns, column)))

    def drop_column(self, slug: str, member: str, rewrite: Callable[[str], str]) -> None:
        """Take a column out of the metadata and, by `rewrite`, out of every row, those of open transactions too."""
        spec = self.spec(slug)
        with self.transaction():
            self._db.create_function("rewrite", 1, rewrite)
            self._db.execute(f"UPDATE {self._rows(slug)} SET data = rewrite(data)")
            self._db.execute("UPDATE open_writes SET data = rewrite(data) WHERE slug = ?", (slug,))
            kept = tuple(column for column in spec.columns if column.member != member)
            self._save_spec(dataclasses.replace(spec, columns=kept))

    # inside

    def _load_specs(self) -> None:
        for number, slug, spec in self._db.execute("SELECT id, slug, spec FROM tables ORDER BY id"):
            self._ids[slug] = number
            self.specs[slug] = msgspec.json.decode(spec, type=TableSpec)

    def _save_spec(self, spec: TableSpec) -> None:
        self._db.execute("UPDATE tables SET spec = ? WHERE slug = ?", (msgspec.json.encode(spec), spec.slug))
        self._touch(spec.slug)
        self.specs[spec.slug] = spec

    def _rows(self, slug: str) -> str:
        self.spec(slug)
        return f"rows_{self._ids[slug]}"

    def _next_version(self) -> int:
        return self.bump("version")

    def _refuse_locked(self, slug: str, sort: bytes, txn: str | None) -> None:
        holder = self._db.execute(
            "SELECT txn FROM open_writes WHERE slug = ? AND sort = ? AND txn IS NOT ?", (slug, sort, txn)
        ).fetchone()
        if holder:
            raise ConflictError(
                f"{slug}: open transaction {holder[0]!r} holds this row; commit or roll it back first"
            )

    def _apply(self, slug: str, row: Stored, rv: int) -> None:
        self._db.execute(
            f"INSERT OR REPLACE INTO {self._rows(slug)} VALUES (?, ?, ?, ?, ?)",
            (row.sort, row.seq, rv, row.keys, row.data),
        )
        self._touch(slug)

    def _erase(self, slug: str, row: Stored) -> None:
        self._db.execute(f"DELETE FROM {self._rows(slug)} WHERE sort = ? AND seq = ?", (row.sort, row.seq))
        self._touch(slug)

    def _touch(self, slug: str) -> None:
        self.bump("writes")
        # Taken at commit: a probe of a table without row versions must see a late commit as a change.
        if not self.specs[slug].has_versions:
            self._db.execute("UPDATE tables SET changed = ? WHERE slug = ?", (self._next_version(), slug))

    def _defer(self, txn: str, slug: str, row: Stored, rv: int, *, gone: bool) -> None:
        self._db.execute(
            "INSERT INTO open_writes (txn, slug, gone, sort, seq, rv, keys, data)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (txn, slug, gone, row.sort, row.seq, rv, row.keys, row.data),
        )


def build_row(spec: TableSpec, row: RawRow, *, seq: int = 0) -> Stored:
    """A row as it is stored: a column it leaves out is null, a member no column describes comes last."""
    whole = {column.member: "null" for column in spec.columns} | row
    keys = {member: whole[member] for member in spec.keys}
    return Stored(sort_key(spec, keys), seq, object_text(keys), object_text(whole))


def _document(spec: TableSpec, query: PageQuery) -> str:
    """SQL for one row's wire document; concatenating in SQLite keeps Python out of the per-row path."""
    data = "keys" if query.keys_only else "data"
    if query.flat:
        return data
    version = "'null'"
    if spec.has_versions:
        shown = "rv" if spec.version_kind == "number" else f"show_version(rv, '{spec.version_kind}')"
        version = f"""'"' || {shown} || '"'"""
    return f"""'{{"oracle_keys":' || keys || ',"row_version":' || {version} || ',"data":' || {data} || '}}'"""


def _seed_table(
    db: sqlite3.Connection, number: int, spec: TableSpec, rows: Iterable[SeedRow], version: int
) -> int:
    """Fill one table, numbering rows from the version after `version`; answers the last number used."""
    table, index = ROWS.format(id=number).strip().rstrip(";").split(";")
    db.execute(table)
    last = version

    def numbered() -> Iterator[Sequence[object]]:
        nonlocal last
        for last, (sort, keys, data) in enumerate(rows, start=version + 1):
            yield sort, last, keys, data

    db.executemany(f"INSERT INTO rows_{number} VALUES (?, 0, ?, ?, ?)", numbered())
    db.execute(index)
    db.execute(
        "INSERT INTO tables VALUES (?, ?, ?, ?)", (number, spec.slug, msgspec.json.encode(spec), max(last, 1))
    )
    return last
