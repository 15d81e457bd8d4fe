"""Reading what runs left behind: rejects and figures. Every read takes the tenants its caller sees."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.adapters.postgres.database import Database
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
            "tenants": None if tenants is None else sorted(tenants),
            "uid": uid,
            "entity_uid": entity_uid,
            "connector_uid": connector_uid,
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
        values = {
            "tenants": None if tenants is None else sorted(tenants),
            "entity_uid": entity_uid,
            "connector_uid": connector_uid,
            "status": status,
        }
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
        values = {
            "tenants": None if tenants is None else sorted(tenants),
            "entity_uid": entity_uid,
            "connector_uid": connector_uid,
        }
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
            "tenants": None if tenants is None else sorted(tenants),
            "entity_uid": entity_uid,
            "connector_uid": connector_uid,
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

    def stats(self, tenants: frozenset[str] | None) -> Mapping[str, Any]:
        """entities, fresh, stale, runs (by status), rows (by outcome), open_rejects."""
        values = {
            "tenants": None if tenants is None else sorted(tenants),
            "default_interval_s": self._default_interval_s,
        }
        with self._database.connection() as connection:
            row = connection.execute(query("catalogue_stats", self._database.schema), values).fetchone()
        assert row is not None  # an aggregate without GROUP BY always gives one row
        return row
