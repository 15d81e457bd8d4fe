"""Reading what runs left behind: rejects and figures. Every read takes the tenants its caller sees."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.adapters.postgres.database import Connection, Database
from shared.sql import query


class Overview:
    """Rejects and figures. `default_interval_s` is the interval of entities that name none."""

    def __init__(self, database: Database, *, default_interval_s: int = 300) -> None:
        self._database, self._default_interval_s = database, default_interval_s

    def failed_records(
        self,
        tenants: frozenset[str] | None,
        *,
        uid: UUID | None = None,
        entity_uid: UUID | None = None,
        connector_uid: UUID | None = None,
        status: str | None = None,
        code: str | None = None,
        limit: int = 100,
        after: tuple[datetime, UUID] | None = None,
    ) -> list[Mapping[str, Any]]:
        """Rows of failed_records, newest first, those after the moment and uid of the page before."""
        at, after_uid = after or (None, None)
        values = {
            **_scope(tenants, entity_uid, connector_uid),
            "uid": uid,
            "status": status,
            "code": code,
            "limit": limit,
            "after_at": at,
            "after_uid": after_uid,
        }
        with self._database.connection() as connection:
            return list(connection.execute(query("catalogue_failed_records", self._database.schema), values))

    def reject_counts(
        self,
        tenants: frozenset[str] | None,
        *,
        entity_uid: UUID | None = None,
        connector_uid: UUID | None = None,
        status: str | None = None,
    ) -> list[Mapping[str, Any]]:
        """entity_uid, code, status, count, oldest, newest; the most frequent first."""
        values = {**_scope(tenants, entity_uid, connector_uid), "status": status}
        with self._database.connection() as connection:
            return list(connection.execute(query("rejects_counted", self._database.schema), values))

    def pending_counts(
        self,
        tenants: frozenset[str] | None,
        *,
        entity_uid: UUID | None = None,
        connector_uid: UUID | None = None,
    ) -> list[Mapping[str, Any]]:
        """entity_uid, parent (null: as a whole), children, parents, orphans, oldest."""
        values = _scope(tenants, entity_uid, connector_uid)
        with self._database.connection() as connection:
            return list(connection.execute(query("pending_counted", self._database.schema), values))

    def pending_children(
        self,
        tenants: frozenset[str] | None,
        *,
        entity_uid: UUID | None = None,
        connector_uid: UUID | None = None,
        status: str | None = None,
        parent_key: str | None = None,
        limit: int = 100,
        after: tuple[datetime, UUID] | None = None,
    ) -> list[Mapping[str, Any]]:
        """Rows of the view pending_children, newest first, those after the moment and uid of the page before."""
        at, after_uid = after or (None, None)
        values = {
            **_scope(tenants, entity_uid, connector_uid),
            "status": status,
            "parent_key": parent_key,
            "limit": limit,
            "after_at": at,
            "after_uid": after_uid,
        }
        with self._database.connection() as connection:
            return list(
                connection.execute(query("catalogue_pending_children", self._database.schema), values)
            )

    def stats(
        self,
        tenants: frozenset[str] | None,
        *,
        entity_uid: UUID | None = None,
        connector_uid: UUID | None = None,
        limit: int = 100,
    ) -> Mapping[str, Any]:
        """entities, fresh, stale, runs and slices (by status), rows (by outcome), open_rejects, waiting_children,
        orphans, and by_entity: up to `limit` entities of the last 24 hours, the worst share of rejects first."""
        values = {
            **_scope(tenants, entity_uid, connector_uid),
            "default_interval_s": self._default_interval_s,
            "limit": limit,
        }
        schema = self._database.schema
        with self._database.connection() as connection:
            row = connection.execute(query("catalogue_stats", schema), values).fetchone()
            by_entity = connection.execute(query("stats_entities", schema), values).fetchall()
            waiting = self._waiting(connection, values)
        assert row is not None  # an aggregate without GROUP BY always gives one row
        children = {"waiting_children": waiting.get("waiting", 0), "orphans": waiting.get("orphan", 0)}
        return {**row, **children, "by_entity": by_entity}

    def _waiting(self, connection: Connection, values: Mapping[str, Any]) -> dict[str, int]:
        """Waiting children by status; none where the schema knows no such table yet."""
        name = f'"{self._database.schema}".pending_children'
        there = connection.execute("SELECT to_regclass(%s) AS t", (name,)).fetchone()
        if there is None or there["t"] is None:
            return {}
        rows = connection.execute(query("stats_waiting", self._database.schema), values)
        return {row["status"]: row["n"] for row in rows}


def _scope(
    tenants: frozenset[str] | None, entity_uid: UUID | None, connector_uid: UUID | None
) -> dict[str, Any]:
    return {
        "tenants": None if tenants is None else sorted(tenants),
        "entity_uid": entity_uid,
        "connector_uid": connector_uid,
    }
