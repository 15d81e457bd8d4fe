"""What detection reads and leaves behind: due entities, slices whose messages were lost, work tables nobody needs."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
from psycopg import sql
from psycopg.types.json import Jsonb

from shared.adapters.postgres.database import Database
from shared.adapters.postgres.outbox import resend
from shared.adapters.postgres.pacing import Pacing
from shared.adapters.postgres.slices import Slices, error_body
from shared.errors import AppError, TargetUnavailableError
from shared.sql import query
from shared.sync.detect import DueEntity
from shared.sync.model import VersionSpec


class Agenda:
    """Detection's view of the catalogue. `default_interval_s` is for entities that don't say.

    `by_night`: tables whose first load is a background load are left to it.
    """

    def __init__(
        self,
        database: Database,
        slices: Slices,
        *,
        default_limit: int,
        default_interval_s: int,
        by_night: bool = True,
        pacing: Pacing | None = None,
    ) -> None:
        self._database, self._schema, self._slices = database, database.schema, slices
        self._by_night, self._pacing = by_night, pacing
        self._default_limit, self._default_interval_s = default_limit, default_interval_s

    def due(self) -> list[DueEntity]:
        """Entities whose time has come and which have no delta in flight, least recently probed first."""
        with self._database.connection() as connection:
            rows = connection.execute(
                query("entities_due", self._schema), {"by_night": self._by_night}
            ).fetchall()
        versions = [r["version"] and msgspec.convert(r["version"], VersionSpec) for r in rows]
        return [
            DueEntity(**(row | {"version": version})) for row, version in zip(rows, versions, strict=True)
        ]

    def probed(
        self, entity_uids: Sequence[UUID], trouble: AppError | None = None, *, unchanged: bool = False
    ) -> None:
        """They were looked at: due again after their interval; `trouble` is what kept their runs from starting.

        `unchanged`: the source holds what the last proven run read, so the tables are as fresh as after that run.
        """
        if entity_uids:
            values = {
                "entities": list(entity_uids),
                "interval_s": self._default_interval_s,
                "unchanged": unchanged,
                "trouble": None if trouble is None else Jsonb(error_body(trouble)),
            }
            learning = self._pacing if unchanged else None
            with self._database.connection() as connection:
                learned = learning.looked(connection, entity_uids) if learning else ()
                connection.execute(query("entities_probed", self._schema), values)
            if learning:
                learning.tell(learned)

    def heal(self) -> int:
        """Re-send lost messages and fill slots that nobody filled; how many messages went into the outbox again."""
        with self._database.connection() as connection:
            again = resend(connection, self._schema)
            names = {"default_limit": self._default_limit}
            waiting = connection.execute(query("connectors_waiting", self._schema), names).fetchall()
        for row in waiting:
            with self._database.connection() as connection:
                self._slices.admit_connector(connection, row["uid"])
        return len(again)

    def rehash_due(self) -> list[UUID]:
        """Entities whose rows wait for their hashes, with no run at it."""
        with self._database.connection() as connection:
            return [row["entity_uid"] for row in connection.execute(query("rehash_due", self._schema))]

    def describe_due(self) -> dict[UUID, list[str]]:
        """Tables to be described anew, by connector."""
        with self._database.connection() as connection:
            rows = connection.execute(query("describe_due", self._schema))
            return {row["connector_uid"]: row["slugs"] for row in rows}

    def described(self, connector_uid: UUID, slugs: Sequence[str]) -> None:
        """They were."""
        with self._database.connection() as connection:
            values = {"connector": connector_uid, "slugs": list(slugs)}
            connection.execute(query("describe_done", self._schema), values)

    def sweep_work_tables(self) -> int:
        """Drop staging tables and seen-key partitions of runs that ended without dropping them."""
        with self._database.connection() as connection:
            stale = connection.execute(
                query("work_tables_stale", self._schema), {"schema": self._schema}
            ).fetchall()
        return sum(self._drop(row["table_name"]) for row in stale)

    def _drop(self, name: str) -> bool:
        """Drop one work table; false where somebody still reads it: the next tick tries again."""
        table = sql.Identifier(self._schema, name)
        try:
            with self._database.connection() as connection:
                connection.execute("SELECT set_config('lock_timeout', '2s', true)")
                connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
        except TargetUnavailableError:
            return False
        return True
