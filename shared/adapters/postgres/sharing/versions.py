"""The one writer of versions (SCD type 2). Everything here works in the caller's transaction, READ COMMITTED.

A write locks its entities (in order of their ids, until the transaction ends), reads the clock after that, and then
decides by `shared.sharing.history`. The tables' own constraints hold against writers who don't come this way.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

import psycopg
from psycopg import errors as pg
from psycopg import sql
from psycopg.types.json import Jsonb
from psycopg_pool import PoolTimeout

from shared.adapters.postgres.database import RETRYABLE, Connection, Database
from shared.adapters.postgres.database import translate as translated
from shared.sharing.history import Current, NewVersion, next_version

_ATTEMPTS = 5
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Versioned:
    """A table of `deltashare` with versions: its entity id and its content columns, `documents` being JSONB."""

    name: str
    id: str
    columns: tuple[str, ...]
    documents: frozenset[str] = frozenset()

    @property
    def table(self) -> sql.Identifier:
        """Composed with its schema."""
        return sql.Identifier("deltashare", self.name)


@dataclass(frozen=True, slots=True)
class Change:
    """What an entity should be from now on; columns left out stay. `deleted` ends it: a last version says so."""

    entity_id: UUID
    content: Mapping[str, Any]
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """A version that a write opened."""

    entity_id: UUID
    record_id: UUID
    version: NewVersion


TENANTS = Versioned("tenants", "tenant_id", ("name", "approval"))
TENANT_REGIONS = Versioned("tenant_regions", "tenant_region_id", ("tenant_id", "region", "workspace_url"))
PROJECTS = Versioned("projects", "project_id", ("tenant_id", "name", "description"))
REQUESTS = Versioned("requests", "request_id", (
    "project_id", "tenant_id", "share_pack_id", "requestor", "strategy", "description", "requested_at",
))  # fmt: skip
SHARE_PACKS = Versioned("share_packs", "share_pack_id", (
    "tenant_id", "business_line", "project_id", "request_id", "share_pack_name", "requestor", "requestor_oid",
    "uploaded_by", "uploader_oid", "strategy", "workspace_url", "config", "content_hash", "file_name", "start_at",
    "share_pack_status", "error_message", "validation_errors", "validation_warnings", "requested_at",
), frozenset({"config", "validation_errors", "validation_warnings"}))  # fmt: skip
_OWNED = ("origin", "owned_since", "owned_by", "share_pack_id")
RECIPIENTS = Versioned("recipients", "recipient_id", (
    "workspace_url", "name", "recipient_type", "email", "metastore_id", "allowed_ips", "comment", "token_id",
    "token_expires_at", "secret_name", *_OWNED,
), frozenset({"allowed_ips"}))  # fmt: skip
SHARES = Versioned("shares", "share_id", ("workspace_url", "name", "comment", *_OWNED))
PIPELINES = Versioned("pipelines", "pipeline_id", (
    "workspace_url", "name", "pipeline_type", "databricks_id", "source", "destination", "schedule", "comment", *_OWNED,
))  # fmt: skip
USERS = Versioned("users", "user_id", ("entra_id", "principal_name", "display_name", "mail", "enabled"))
AD_GROUPS = Versioned("ad_groups", "ad_group_id", ("entra_id", "display_name", "mail", "security"))
DATABRICKS_OBJECTS = Versioned(
    "databricks_objects", "databricks_object_id", ("workspace_url", "full_name", "object_type", "owner")
)
VERSIONED = (
    TENANTS, TENANT_REGIONS, PROJECTS, REQUESTS, SHARE_PACKS, RECIPIENTS, SHARES, PIPELINES, USERS, AD_GROUPS,
    DATABRICKS_OBJECTS,
)  # fmt: skip


def in_transaction(database: Database, work: Callable[[Connection], T]) -> T:
    """What `work` answers, committed. One that lost a race starts again, since nothing of it was kept."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with database.bare_connection() as connection:
                return work(connection)
        except RETRYABLE as error:
            if attempt == _ATTEMPTS:
                raise translated(error, database.server.name, database.why_not) from None
        except pg.CheckViolation:
            raise  # a rule of ours that the caller has words for
        except (psycopg.Error, PoolTimeout) as error:
            raise translated(error, database.server.name, database.why_not) from None
    raise AssertionError("the last attempt answers or raises")


def write(
    connection: Connection, table: Versioned, changes: Sequence[Change], *, by: str, reason: str
) -> list[Written]:
    """Open a version for each change that changes something; what was so already is left alone.

    Each entity may stand once in `changes`. The order of the answer is that of the entity ids.
    """
    wanted = {change.entity_id: change for change in changes}
    if len(wanted) != len(changes):
        raise ValueError(f"{table.name}: an entity stands twice in one write")
    ids = sorted(wanted)
    if not ids:
        return []
    lock(connection, table, ids)
    found = _currents(connection, table, ids)
    now = _now(connection)
    written = []
    for entity_id in ids:
        change = wanted[entity_id]
        version = next_version(found.get(entity_id), change.content, now, deleted=change.deleted)
        if version is not None:
            written.append(Written(entity_id, uuid4(), version))
    _store(connection, table, written, by, reason)
    return written


def lock(connection: Connection, table: Versioned, ids: Sequence[UUID]) -> None:
    """Wait for the entities' other writers; held until the transaction ends. The tables' trigger takes it too."""
    connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(key, 0))"
        " FROM (SELECT %s || '/' || id AS key FROM unnest(%s::uuid[]) AS u (id) ORDER BY id OFFSET 0) AS keys",
        (table.name, sorted(ids)),
    )


def _now(connection: Connection) -> datetime:
    row = connection.execute("SELECT clock_timestamp() AS now").fetchone()
    assert row is not None
    now: datetime = row["now"]
    return now


def _currents(connection: Connection, table: Versioned, ids: Sequence[UUID]) -> dict[UUID, Current]:
    statement = sql.SQL(
        "SELECT {id}, version, effective_from, is_deleted, {columns} FROM {table}"
        " WHERE {id} = ANY (%s) AND is_current"
    ).format(id=sql.Identifier(table.id), columns=_identifiers(table.columns), table=table.table)
    return {
        row[table.id]: Current(
            row["version"],
            row["effective_from"],
            row["is_deleted"],
            {name: row[name] for name in table.columns},
        )
        for row in connection.execute(statement, (list(ids),))
    }


def _store(
    connection: Connection, table: Versioned, written: Sequence[Written], by: str, reason: str
) -> None:
    ending = [w for w in written if w.version.version > 1]
    if ending:
        connection.execute(
            sql.SQL(
                "UPDATE {table} v SET effective_to = u.at, is_current = false"
                " FROM unnest(%s::uuid[], %s::timestamptz[]) AS u (id, at) WHERE v.{id} = u.id AND v.is_current"
            ).format(table=table.table, id=sql.Identifier(table.id)),
            ([w.entity_id for w in ending], [w.version.effective_from for w in ending]),
        )
    if written:
        with connection.cursor() as cursor:
            cursor.executemany(_insert(table), [_row(table, w, by, reason) for w in written])


def _insert(table: Versioned) -> sql.Composed:
    names = ("record_id", table.id, "version", "effective_from", "is_deleted", "created_by", "change_reason",
             *table.columns)  # fmt: skip
    return sql.SQL(
        "INSERT INTO {table} (is_current, effective_to, {names}) VALUES (true, 'infinity', {values})"
    ).format(
        table=table.table,
        names=_identifiers(names),
        values=sql.SQL(", ").join(map(sql.Placeholder, names)),
    )


def _row(table: Versioned, written: Written, by: str, reason: str) -> dict[str, Any]:
    version = written.version
    unknown = set(version.content) - set(table.columns)
    if unknown:
        raise ValueError(f"{table.name}: has no column {', '.join(sorted(unknown))}")
    content = {name: _cell(table, name, version.content.get(name)) for name in table.columns}
    return content | {
        "record_id": written.record_id,
        table.id: written.entity_id,
        "version": version.version,
        "effective_from": version.effective_from,
        "is_deleted": version.is_deleted,
        "created_by": by,
        "change_reason": reason,
    }


def _cell(table: Versioned, name: str, value: Any) -> Any:
    return Jsonb(value) if name in table.documents and value is not None else value


def as_of(
    connection: Connection, table: Versioned, entity_id: UUID, at: datetime | None = None
) -> Mapping[str, Any] | None:
    """The version of the entity at `at` (None: the current one), with what every version carries, or None.

    `effective_to` is None while the version is the current one.
    """
    when = (
        sql.SQL("is_current") if at is None else sql.SQL("effective_from <= %(at)s AND %(at)s < effective_to")
    )
    statement = sql.SQL("SELECT {names} FROM {table} WHERE {id} = %(id)s AND {when}").format(
        names=_shown(table), table=table.table, id=sql.Identifier(table.id), when=when
    )
    return connection.execute(statement, {"id": entity_id, "at": at}).fetchone()


def versions(connection: Connection, table: Versioned, entity_id: UUID) -> list[Mapping[str, Any]]:
    """All versions of an entity, the newest first, with what every version carries, but without documents."""
    statement = sql.SQL("SELECT {names} FROM {table} WHERE {id} = %s ORDER BY version DESC").format(
        names=_shown(table, without=table.documents), table=table.table, id=sql.Identifier(table.id)
    )
    return list(connection.execute(statement, (entity_id,)))


def numbered(
    connection: Connection, table: Versioned, entity_id: UUID, version: int
) -> Mapping[str, Any] | None:
    """The version of that number, with what every version carries, or None."""
    statement = sql.SQL("SELECT {names} FROM {table} WHERE {id} = %s AND version = %s").format(
        names=_shown(table), table=table.table, id=sql.Identifier(table.id)
    )
    return connection.execute(statement, (entity_id, version)).fetchone()


def _shown(table: Versioned, without: Collection[str] = ()) -> sql.Composed:
    # The driver has no datetime for infinity.
    return sql.SQL(
        "record_id, version, effective_from, NULLIF(effective_to, 'infinity') AS effective_to,"
        " is_current, is_deleted, created_by, change_reason, {}"
    ).format(_identifiers((table.id, *(name for name in table.columns if name not in without))))


def _identifiers(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))
