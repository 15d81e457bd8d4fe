"""Copies of people, groups and workspace objects with their history; job runs and costs; what syncs and notices log.

Fulfils `Records`, `JobLog` and `NotificationLog` of `shared.sharing.directory_ports`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid5

from psycopg.types.json import Jsonb

from shared.adapters.postgres.database import Connection, Database
from shared.adapters.postgres.sharing import versions
from shared.adapters.postgres.sharing.records import Tenants
from shared.adapters.postgres.sharing.versions import (
    AD_GROUPS,
    DATABRICKS_OBJECTS,
    USERS,
    Change,
    Versioned,
    in_transaction,
)
from shared.errors import NotFoundError
from shared.sharing.directory_ports import (
    Counts,
    Delivery,
    Entity,
    Group,
    JobEvent,
    JobRun,
    Listed,
    ProjectCost,
    User,
    WorkspaceObject,
)
from shared.sharing.redaction import redacted
from shared.sql import sharing_query

# Each entity is a lock that its transaction holds, and the server has room for some thousands.
_AT_ONCE = 200
_NAMES = UUID("0d0c6f0e-93a8-5f0b-8b55-5c5f1a3d7e26")
_TABLES: Mapping[Listed, Versioned] = {
    "users": USERS,
    "groups": AD_GROUPS,
    "workspace_objects": DATABRICKS_OBJECTS,
}


class DirectoryRecords:
    """People, groups, workspace objects, job runs and costs. Every write may be repeated."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, kind: Listed, scope: str, ids: Sequence[str]) -> Mapping[str, Entity]:
        """The current, not deleted ones among `ids`."""
        with self._database.connection() as connection:
            rows = _stored(connection, kind, scope, ids)
        return {key: _entity(kind, row) for key, row in rows.items() if not row["is_deleted"]}

    def put(self, kind: Listed, scope: str, entities: Sequence[Entity], job_uid: UUID) -> Counts:
        """Whole records, the last of an id holding: a version only for what differs; what was deleted comes back."""
        unique = {entity.id: entity for entity in entities}
        counts = Counts(received=len(entities), unchanged=len(unique))
        for ids in _batches(sorted(unique)):
            some = {id_: unique[id_] for id_ in ids}
            created, updated = in_transaction(
                self._database, partial(_put, kind=kind, scope=scope, entities=some, job_uid=job_uid)
            )
            counts += Counts(created=created, updated=updated, unchanged=-created - updated)
        return counts

    def live(self, kind: Listed, scope: str) -> int:
        """How many are current and not deleted."""
        with self._database.connection() as connection:
            row = connection.execute(
                sharing_query("directory_live"), {"kind": kind, "scope": scope}
            ).fetchone()
        return int(row["live"]) if row else 0

    def due(self, kind: Listed, scope: str, job_uid: UUID, *, full: bool) -> Sequence[str]:
        """Ids of live ones to remove, by the job's marks."""
        values = {"kind": kind, "scope": scope, "job": job_uid, "full": full}
        with self._database.connection() as connection:
            return [row["key"] for row in connection.execute(sharing_query("directory_due"), values)]

    def remove(self, kind: Listed, scope: str, ids: Sequence[str], job_uid: UUID) -> int:
        """Mark as deleted, as a version; how many were live."""
        return sum(
            in_transaction(
                self._database, partial(_remove, kind=kind, scope=scope, ids=some, job_uid=job_uid)
            )
            for some in _batches(sorted(set(ids)))
        )

    def append_runs(self, scope: str, runs: Sequence[JobRun], job_uid: UUID) -> Counts:
        """Append those whose run_id the workspace has none of yet."""
        created = 0
        with self._database.connection() as connection:
            for run in runs:
                row = asdict(run) | {"scope": scope, "job": job_uid}
                row |= {"run_id": str(run.run_id), "job_id": str(run.job_id)}
                created += connection.execute(sharing_query("runs_append"), row).rowcount
        return Counts(received=len(runs), created=created, unchanged=len(runs) - created)

    def append_costs(self, scope: str, costs: Sequence[ProjectCost], job_uid: UUID) -> Counts:
        """Append where the newest row of (project, day, currency) says another amount; skips unknown projects.

        A name that projects of several tenants bear is skipped too.
        """
        counts = Counts(received=len(costs))
        with self._database.connection() as connection:
            connection.execute(sharing_query("costs_lock"), {"scope": scope})
            for cost in costs:
                counts += _append_cost(connection, asdict(cost) | {"scope": scope, "job": job_uid})
        return counts

    def job_runs(
        self,
        tenants: Tenants,
        *,
        job_id: str | None = None,
        limit: int = 100,
        after: tuple[datetime, UUID] | None = None,
    ) -> list[Mapping[str, Any]]:
        """Runs in the caller's workspaces, newest first, after started_at and job_metric_id of the page before."""
        values = _page(tenants, limit, after) | {"job_id": job_id}
        with self._database.connection() as connection:
            return list(connection.execute(sharing_query("runs_select"), values))

    def costs(
        self, project_id: UUID, tenants: Tenants, *, since: date | None = None, limit: int = 400
    ) -> list[Mapping[str, Any]]:
        """What a project cost day by day, newest first; raises NotFoundError for a project the caller has none of."""
        values = _page(tenants, limit, None) | {"project_id": project_id, "since": since}
        with self._database.connection() as connection:
            seen = connection.execute(sharing_query("project_seen"), values).fetchone()
            if not seen or not seen["seen"]:
                raise NotFoundError(
                    f"project {project_id}: not found", hint="share packs name their projects"
                )
            return list(connection.execute(sharing_query("costs_select"), values))


class SyncJobs:
    """The append-only log of directory syncs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, event: JobEvent) -> None:
        """Append a line."""
        row = asdict(event) | {"counts": Jsonb(asdict(event.counts)), "error": redacted(event.error)}
        with self._database.connection() as connection:
            connection.execute(sharing_query("jobs_append"), row)

    def jobs(
        self, *, kind: str | None = None, limit: int = 100, after: tuple[datetime, UUID] | None = None
    ) -> list[Mapping[str, Any]]:
        """Jobs by their newest line, newest first, after `at` and `job_uid` of the page before."""
        with self._database.connection() as connection:
            values = _page(None, limit, after) | {"kind": kind}
            return list(connection.execute(sharing_query("jobs_select"), values))


class Notifications:
    """The append-only log of what people were told."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, delivery: Delivery) -> None:
        """Append a line; that something was sent by a channel is kept once."""
        row = asdict(delivery) | {
            "recipients": Jsonb(list(delivery.recipients)),
            "text": redacted(delivery.text),
            "error": redacted(delivery.error),
        }
        with self._database.connection() as connection:
            connection.execute(sharing_query("notifications_append"), row)

    def entries(
        self,
        tenants: Tenants,
        *,
        share_pack_id: UUID | None = None,
        limit: int = 100,
        after: tuple[datetime, UUID] | None = None,
    ) -> list[Mapping[str, Any]]:
        """Lines about packs of the caller's tenants, newest first, after at and notification_id of the page before."""
        values = _page(tenants, limit, after) | {"share_pack_id": share_pack_id}
        with self._database.connection() as connection:
            return list(connection.execute(sharing_query("notifications_select"), values))


def _put(
    connection: Connection, kind: Listed, scope: str, entities: Mapping[str, Entity], job_uid: UUID
) -> tuple[int, int]:
    known = _stored(connection, kind, scope, list(entities))
    changes = [
        Change(known[id_]["id"] if id_ in known else _made_id(kind, scope, id_), _content(entity, scope))
        for id_, entity in entities.items()
    ]
    written = versions.write(
        connection, _TABLES[kind], changes, by="directory", reason=f"directory sync {job_uid}"
    )
    created = sum(w.version.version == 1 for w in written)
    return created, len(written) - created


def _remove(connection: Connection, kind: Listed, scope: str, ids: Sequence[str], job_uid: UUID) -> int:
    changes = [Change(row["id"], {}, deleted=True) for row in _stored(connection, kind, scope, ids).values()]
    reason = f"directory sync {job_uid}"
    return len(versions.write(connection, _TABLES[kind], changes, by="directory", reason=reason))


def _append_cost(connection: Connection, row: Mapping[str, Any]) -> Counts:
    answer = connection.execute(sharing_query("cost_append"), row).fetchone()
    assert answer is not None
    if not answer["known"]:
        return Counts(skipped=1)
    match answer["revision"]:
        case None:
            return Counts(unchanged=1)
        case 1:
            return Counts(created=1)
        case _:
            return Counts(updated=1)


def _stored(
    connection: Connection, kind: Listed, scope: str, ids: Sequence[str]
) -> dict[str, Mapping[str, Any]]:
    values = {"scope": scope, "ids": list(ids)}
    return {row["key"]: row for row in connection.execute(sharing_query(f"directory_{kind}"), values)}


def _made_id(kind: Listed, scope: str, id_: str) -> UUID:
    return uuid5(_NAMES, f"{kind}|{scope}|{id_}")


def _content(entity: Entity, scope: str) -> dict[str, Any]:
    match entity:
        case User():
            return {
                "entra_id": entity.id,
                "principal_name": entity.principal_name,
                "display_name": entity.display_name,
                "mail": entity.mail,
                "enabled": entity.enabled,
            }
        case Group():
            return {
                "entra_id": entity.id,
                "display_name": entity.name,
                "mail": entity.mail,
                "security": entity.security,
            }
        case WorkspaceObject():
            return {
                "workspace_url": scope,
                "full_name": entity.name,
                "object_type": entity.type,
                "owner": entity.owner,
            }


def _entity(kind: Listed, row: Mapping[str, Any]) -> Entity:
    match kind:
        case "users":
            return User(
                row["key"],
                row["principal_name"],
                row["display_name"],
                row["mail"],
                row["enabled"] is not False,
            )
        case "groups":
            return Group(row["key"], row["display_name"], row["mail"], row["security"] is not False)
        case "workspace_objects":
            return WorkspaceObject(row["key"], row["object_type"], row["owner"])


def _batches(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)]


def _page(tenants: Tenants, limit: int, after: tuple[datetime, UUID] | None) -> dict[str, Any]:
    at, after_id = after or (None, None)
    seen = None if tenants is None else sorted(tenants)
    return {"tenants": seen, "limit": limit, "after_at": at, "after_id": after_id}
