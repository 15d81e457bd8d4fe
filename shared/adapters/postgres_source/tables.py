"""What the catalogs of a PostgreSQL source say of its tables, and how each column's values travel.

In: an open snapshot. Out: Table, and from it the ApiDescription that discovery reads. A value travels as JSON whose
text is exactly what PostgreSQL holds; what JSON has no exact form for travels as the text PostgreSQL prints.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.adapters.postgres_source.sessions import Snapshot
from shared.errors import ConfigurationError
from shared.sql import query
from shared.sync.description import ApiColumn, ApiDescription, ApiParent
from shared.sync.model import VersionKind, VersionSpec
from shared.sync.names import SYSTEM

XID8 = "xid8"
# Types whose JSON is their exact value, as row_to_json writes it.
_NUMBERS = ("int2", "int4", "int8", "oid", "numeric", "float4", "float8")
_TIMES = ("date", "timestamp", "timestamptz", "time", "timetz")
_NATURAL = frozenset(["bool", "text", "varchar", "bpchar", "name", "bytea", "uuid", *_NUMBERS, *_TIMES])
_TEXTS = frozenset(["text", "varchar", "name", "citext"])
# Types whose values a cursor can carry as text and whose order is that of the primary key's own index.
_PAGEABLE = _NATURAL | frozenset(
    ["char", "inet", "cidr", "macaddr", "macaddr8", "bit", "varbit", "interval", XID8]
)
_VERSION_KINDS: Mapping[str, VersionKind] = {
    XID8: "number",
    "int2": "number",
    "int4": "number",
    "int8": "number",
    "timestamp": "timestamp",
    "timestamptz": "timestamp",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `type` is declared to discovery, `bare_type` casts a cursor's text back; both without domains."""

    name: str
    nullable: bool
    type: str
    bare_type: str
    base: str
    is_enum: bool
    is_nested: bool
    is_builtin: bool
    is_xact_default: bool
    is_indexed: bool

    @property
    def is_pageable(self) -> bool:
        """Whether a walk may be ordered by it: its operators are PostgreSQL's own, whatever search_path says."""
        return self.is_enum or (self.is_builtin and self.base in _PAGEABLE)

    @property
    def travels_as(self) -> str:
        """natural, document (JSON text of a nested value), numeric (money) or text."""
        if self.is_nested:
            return "document"
        if self.is_builtin and self.base == "money":
            return "numeric"
        return "natural" if self.is_builtin and self.base in _NATURAL else "text"

    @property
    def declared_type(self) -> str:
        """The type that discovery is told."""
        if self.is_nested:
            return "jsonb"
        return "text" if self.is_enum else self.type

    @property
    def version_kind(self) -> VersionKind | None:
        """How its values are spelt as row versions; None where they cannot be any."""
        return _VERSION_KINDS.get(self.base) if self.is_builtin else None


@dataclass(frozen=True, slots=True)
class Version:
    """What orders a table's changes: one of its own columns, or the column of its change table.

    `is_exact`: it holds transaction ids, so nothing below the oldest running transaction can still appear.
    """

    column: str
    type: str
    kind: VersionKind
    is_exact: bool


@dataclass(frozen=True, slots=True)
class Table:
    """One table with a primary key. `version` None: its changes cannot be told but by comparing all of it."""

    schema: str
    name: str
    partitioned: bool
    comment: str | None
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    version: Version | None
    changes: tuple[str, str] | None
    parents: tuple[ApiParent, ...]
    notes: tuple[str, ...]
    about: int | None = None  # rows, as the last ANALYZE saw them

    @property
    def slug(self) -> str:
        """Its name where it lives in public, else schema and name."""
        return _slug(self.schema, self.name)

    def column(self, name: str) -> Column:
        """The column of that name; ConfigurationError where there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise ConfigurationError(
            f"{self.slug}: has no column {name!r} that may be read", hint="discover the connector again"
        )

    def described(self) -> ApiDescription:
        """As discovery wants it."""
        version = self.version
        return ApiDescription(
            slug=self.slug,
            name=self.name,
            description=self.comment or "",
            business_key_columns=self.key,
            delta_strategy="rowversion" if version else "hash",
            columns=tuple(self._described(column) for column in self.columns),
            version=None
            if version is None
            else VersionSpec(version.kind, None if self.changes else version.column),
            parents=self.parents,
            pagination="keyset",
            dialect="postgres",
            notes=self.notes,
        )

    def _described(self, column: Column) -> ApiColumn:
        # PostgreSQL tells "a" from "a " and NFC from NFD: rules that made them one would make two rows collide.
        exact = {"trim": "none", "unicode": "none"} if column.base in _TEXTS or column.is_enum else {}
        if column.base == "bpchar":
            exact = {
                "trim": "right",
                "unicode": "none",
            }  # char(n) is padded: its blanks at the end are no data
        return ApiColumn(
            name=column.name,
            data_type=column.declared_type,
            is_nullable=column.nullable,
            is_business_key=column.name in self.key,
            format=exact,
        )


def chosen_version(table: Table, column_name: str | None) -> Version | None:
    """The version a walk goes by: the column that the entity names in `rowversion_column`, else the table's own."""
    if column_name is None:
        return table.version
    if column_name in SYSTEM:
        raise ConfigurationError(
            f"{table.slug}: {column_name} is never a row version: it wraps around after four thousand million"
            " transactions, is rewritten by VACUUM and compares as nothing",
            hint="add a column of type xid8 that holds pg_current_xact_id(), as docs/operations.md shows",
        )
    column = table.column(column_name)
    if column.version_kind is None:
        raise ConfigurationError(
            f"{table.slug}.{column_name}: {column.type} is no row version",
            hint="name a column of type xid8, smallint, integer, bigint, timestamp or timestamptz",
        )
    return Version(column.name, column.bare_type, column.version_kind, column.base == XID8)


def read_tables(snapshot: Snapshot) -> list[Table]:
    """Every table that can be synced, by name."""
    return _read(snapshot, None, None)


def read_table(snapshot: Snapshot, slug: str) -> Table | None:
    """The table of that slug; None where there is none. Its parents are not read."""
    parts = slug.split(".", 1) if "." in slug else ["public", slug]
    found = _read(snapshot, parts[0], parts[1])
    # A table in public may have a point in its name.
    return next(iter(found or (_read(snapshot, "public", slug) if "." in slug else [])), None)


def _read(snapshot: Snapshot, schema: str | None, name: str | None) -> list[Table]:
    rows = _rows(snapshot, "source_tables", {"schema": schema, "name": name})
    if not rows:
        return []
    oids = {"oids": [row["oid"] for row in rows]}
    columns: dict[int, list[Column]] = defaultdict(list)
    for row in _rows(snapshot, "source_columns", oids):
        columns[row.pop("oid")].append(Column(**row))
    slugs = {row["oid"]: _slug(row["schema"], row["name"]) for row in rows}
    parents: dict[int, list[ApiParent]] = defaultdict(list)
    for row in _rows(snapshot, "source_parents", oids) if name is None else ():
        parent = ApiParent(tuple(row["columns"]), slugs[row["parent"]], tuple(row["parent_columns"]))
        parents[row["oid"]].append(parent)
    changes = _tracked(snapshot)
    return [
        _table(row, tuple(columns[row["oid"]]), tuple(parents[row["oid"]]), changes.get(row["oid"]))
        for row in rows
    ]


def _rows(snapshot: Snapshot, name: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return snapshot.connection.execute(query(name, "pg_catalog"), values).fetchall()


def _tracked(snapshot: Snapshot) -> dict[int, tuple[str, str]]:
    """Change tables by the table they belong to; none where the source has no such registry."""
    if not _rows(snapshot, "source_registry", {})[0]["there"]:
        return {}
    rows = _rows(snapshot, "source_tracked", {})
    return {row["oid"]: (row["schema"], row["name"]) for row in rows}


def _table(
    row: Mapping[str, Any],
    columns: tuple[Column, ...],
    parents: tuple[ApiParent, ...],
    changes: tuple[str, str] | None,
) -> Table:
    version, notes = _version(row, columns, changes)
    return Table(
        schema=row["schema"],
        name=row["name"],
        partitioned=row["partitioned"],
        comment=row["comment"],
        key=tuple(row["key"]),
        columns=columns,
        version=version,
        changes=changes,
        parents=parents,
        notes=notes,
        about=row["about"],
    )


def _version(
    row: Mapping[str, Any], columns: Sequence[Column], changes: tuple[str, str] | None
) -> tuple[Version | None, tuple[str, ...]]:
    """The version that the catalogs vouch for; else what to tell a person about it."""
    if changes is not None:
        return Version("_bridge_changed", XID8, "number", True), ()
    ids = sorted((c for c in columns if c.base == XID8 and c.is_builtin), key=lambda c: not c.is_xact_default)
    if not ids:
        return None, ()
    best, slug = ids[0], _slug(row["schema"], row["name"])
    if row["on_update"] and (best.is_xact_default or row["on_insert"]) and not best.nullable:
        return Version(best.name, XID8, "number", True), () if best.is_indexed else (
            _unindexed(slug, best, row["key"]),
        )
    note = (
        f"{slug}.{best.name}: is xid8, but not NOT NULL with a trigger that sets it on INSERT and UPDATE, so hash is"
        f" used; for rows that never change, set delta_strategy to rowversion and"
        f" parameters.rowversion_column to {best.name!r}"
    )
    return None, (note,)


def _unindexed(slug: str, column: Column, key: Sequence[str]) -> str:
    return (
        f"{slug}.{column.name}: no index begins with it, so each look for changes reads the whole table; add one on"
        f" ({', '.join([column.name, *key])})"
    )


def _slug(schema: str, name: str) -> str:
    return name if schema == "public" else f"{schema}.{name}"
