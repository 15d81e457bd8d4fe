"""Discovery of a whole connector: what it describes becomes entities, one table at a time."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from shared.adapters.postgres.catalogue import Catalogue
from shared.adapters.postgres.contention import LOCKED
from shared.errors import AppError, TargetUnavailableError
from shared.sync.catalogue import Catalogued, Change, Connector
from shared.sync.description import ApiDescription
from shared.sync.discovery import discover
from shared.telemetry import log


@dataclass(frozen=True, slots=True)
class Discovered:
    """What became of one table: created, refreshed, skipped or failed; `error` only where it failed."""

    slug: str
    status: str
    entity_uid: UUID | None = None
    warnings: tuple[str, ...] = ()
    error: AppError | None = None


class DiscoveryService:
    """Discovery of a whole connector: one table's failure never touches another's."""

    def __init__(self, catalogue: Catalogue, new_uid: Callable[[], UUID]) -> None:
        self._catalogue, self._new_uid = catalogue, new_uid

    def discover(
        self, connector: Connector, described: Sequence[ApiDescription], *, actor: str
    ) -> list[Discovered]:
        """Each described table's outcome, in the connector's order."""
        return [self._discover_one(connector, one, actor) for one in described]

    def _discover_one(self, connector: Connector, described: ApiDescription, actor: str) -> Discovered:
        created, known = False, frozenset[str]()
        stored = self._catalogue.stored_bytes(connector.uid, described.slug)

        def decide(existing: Catalogued | None, taken: Sequence[str]) -> Change:
            nonlocal created, known
            created = existing is None
            known = frozenset(existing.entity.warnings) if existing else frozenset()
            return discover(
                described, connector, existing, uid=self._new_uid(), taken_tables=taken, stored_bytes=stored
            )

        try:
            after = self._catalogue.change_entity(
                connector.uid, described.slug, decide, actor=actor, action="entity.discover"
            )
        except AppError as error:
            if isinstance(error, TargetUnavailableError) and error.code != LOCKED:
                raise  # the database is down for every table alike
            return Discovered(described.slug, "failed", error=error)
        if after is None:
            note = "a person deleted this entity; POST /api/v1/entities with its slug brings it back"
            return Discovered(described.slug, "skipped", warnings=(note,))
        for warning in after.entity.warnings:
            if warning not in known:
                log("drift", level=logging.WARNING, entity=described.slug, warning=warning)
        status = "created" if created else "refreshed"
        return Discovered(described.slug, status, after.entity.uid, after.entity.warnings)
