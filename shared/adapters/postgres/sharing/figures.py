"""Reading what directory syncs and notices left behind. Every read takes the tenants its caller sees (None: all)."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from uuid import UUID

from shared.adapters.postgres.database import Database
from shared.errors import NotFoundError
from shared.sql import sharing_query

Tenants = frozenset[str] | None
After = tuple[datetime, UUID] | None


class Figures:
    """Costs, runs of jobs, directory syncs, notices."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def costs(
        self, project_id: UUID, tenants: Tenants, *, first: date | None, last: date | None, limit: int
    ) -> list[Mapping[str, Any]]:
        """A project's costs by day, newest first; raises NotFoundError for one the caller does not see."""
        values = _values(tenants, limit, None) | {"project_id": project_id, "first": first, "last": last}
        with self._database.connection() as connection:
            if connection.execute(sharing_query("project_there"), values).fetchone() is None:
                raise NotFoundError(f"project {project_id}: not found")
            return list(connection.execute(sharing_query("project_costs_select"), values))

    def job_metrics(self, tenants: Tenants, *, limit: int, after: After) -> list[Mapping[str, Any]]:
        """Finished runs of jobs in the caller's workspaces, newest first."""
        return self._read("job_metrics_select", _values(tenants, limit, after))

    def sync_jobs(self, *, kind: str | None, limit: int, after: After) -> list[Mapping[str, Any]]:
        """Directory syncs as they stand, newest first: they belong to the installation, not to a tenant."""
        return self._read("sync_jobs_select", _values(None, limit, after) | {"kind": kind})

    def notifications(self, tenants: Tenants, *, limit: int, after: After) -> list[Mapping[str, Any]]:
        """What was said to whom, newest first."""
        return self._read("notifications_select", _values(tenants, limit, after))

    def tables(self) -> int:
        """How many tables share packs have."""
        found = self._read("tables_counted", {})
        return int(found[0]["tables"])

    def _read(self, name: str, values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        with self._database.connection() as connection:
            return list(connection.execute(sharing_query(name), values))


def _values(tenants: Tenants, limit: int, after: After) -> dict[str, Any]:
    at, after_id = after or (None, None)
    seen = None if tenants is None else sorted(tenants)
    return {"tenants": seen, "limit": limit, "after_at": at, "after_id": after_id}
