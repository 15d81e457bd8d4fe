"""What adaptive entities learn, kept with their state: from the runs that end and the probes that find no change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from shared.adapters.postgres.database import Connection
from shared.sql import query
from shared.sync import adaptive
from shared.sync.adaptive import Asked, Changed, Observed
from shared.sync.catalogue import Defaults, Entity, largest_page
from shared.sync.ports import Claim, Ending
from shared.sync.run import Told

_LEARNS_FROM = ("delta", "sweep", "refresh", "backfill")
Learned = Sequence[tuple[str, Changed]]  # with the slug


@dataclass(frozen=True, slots=True)
class Pacing:
    """Page sizes and intervals that follow what is measured.

    `defaults` and `interval_s` (seconds) serve entities that don't say.
    """

    schema: str
    defaults: Defaults
    interval_s: int
    log: Told

    def page_size(self, connection: Connection, entity: Entity) -> int:
        """What the next run of the entity asks for."""
        row = connection.execute(query("adapted_of", self.schema), {"entity": entity.uid}).fetchone()
        most = largest_page(entity, self.defaults)
        asked = self._asked(entity.page_size, most, entity.sync_interval_seconds)
        return adaptive.fitting(row and row["adapted"], asked).paging.size

    def ended(self, connection: Connection, claim: Claim, ending: Ending) -> Learned:
        """Learn from a run, in the transaction that ends it; what that changed."""
        if not claim.config.adaptive or claim.purpose not in _LEARNS_FROM:
            return ()
        run = connection.execute(query("adapted_run", self.schema), {"run": claim.run_uid}).fetchone()
        assert run is not None, "the run was just ended"
        observed = Observed(
            page_size=claim.config.page_size,
            spent=ending.spent,
            changed=run["wrote"] if run["is_look"] else None,
            too_large=ending.error is not None and ending.error.code == "answer_too_large",
        )
        return self._learn(connection, [UUID(claim.config.entity_uid)], observed)

    def looked(self, connection: Connection, entity_uids: Sequence[UUID]) -> Learned:
        """Learn from probes that found no change; what that changed."""
        return self._learn(connection, entity_uids, Observed(page_size=0, changed=False))

    def tell(self, learned: Learned) -> None:
        """Log what was learned, once it is committed."""
        for slug, change in learned:
            self.log(
                "adapted",
                entity=slug,
                setting=change.setting,
                before=change.before,
                after=change.after,
                reason=change.reason,
            )

    def _learn(self, connection: Connection, entity_uids: Sequence[UUID], observed: Observed) -> Learned:
        names = {"entities": list(entity_uids)}
        learned: list[tuple[str, Changed]] = []
        kept: list[dict[str, Any]] = []
        for row in connection.execute(query("adapted_hold", self.schema), names).fetchall():
            known = adaptive.fitting(row["adapted"], self._asked_of(row))
            after, made = adaptive.learn(known, observed, row["now"])
            kept.append({"entity": row["entity_uid"], "adapted": Jsonb(msgspec.to_builtins(after))})
            learned += [(row["slug"], change) for change in made]
        if kept:
            with connection.cursor() as cursor:
                cursor.executemany(query("adapted_keep", self.schema), kept)
        return learned

    def _asked_of(self, row: Mapping[str, Any]) -> Asked:
        most = min(row["page_size_max"] or self.defaults.max_page_size, self.defaults.max_page_size)
        return self._asked(row["page_size"], most, row["sync_interval_seconds"])

    def _asked(self, page_size: int | None, most: int, interval_s: int | None) -> Asked:
        size = min(page_size or self.defaults.page_size, most)
        return Asked(size, most, self.interval_s if interval_s is None else interval_s)
