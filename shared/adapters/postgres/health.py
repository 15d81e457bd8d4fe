"""What PostgreSQL knows of trouble: tables that fell behind, runs that failed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from shared.adapters.postgres.database import Database
from shared.sql import query


class Health:
    """Two questions, each one indexed read. `default_interval_s` is the interval of entities that name none."""

    def __init__(self, database: Database, *, default_interval_s: int) -> None:
        self._database, self._default_interval_s = database, default_interval_s

    def stale(self, limit: int) -> Sequence[Mapping[str, Any]]:
        """entity, connector, tenant, fresh_at, interval_s and total (of all there are), the most stale first.

        Stale as in `stats`; left out is what a person switched off, and a first load that its nights are still at.
        """
        values = {"default_interval_s": self._default_interval_s, "limit": limit}
        with self._database.connection() as connection:
            return connection.execute(query("health_stale", self._database.schema), values).fetchall()

    def failed(self, since: datetime, limit: int) -> Sequence[Mapping[str, Any]]:
        """run, entity, connector, tenant, code, completed_at and total of what failed after `since`, oldest first."""
        values = {"since": since, "limit": limit}
        with self._database.connection() as connection:
            return connection.execute(query("health_failed", self._database.schema), values).fetchall()
