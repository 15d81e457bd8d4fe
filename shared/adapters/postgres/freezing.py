"""A run's configuration, read and frozen inside the transaction that creates the run."""

from dataclasses import dataclass, replace
from uuid import UUID

from shared.adapters.postgres.catalogue import Catalogue
from shared.adapters.postgres.database import Connection
from shared.adapters.postgres.pacing import Pacing
from shared.sync.catalogue import Catalogued, Defaults, freeze
from shared.sync.model import Reference, RunConfig
from shared.sync.parents import circle_of, references


@dataclass(frozen=True, slots=True)
class Freezing:
    """Freezes entities' configurations; `defaults` serve entities that don't say."""

    catalogue: Catalogue
    defaults: Defaults
    pacing: Pacing | None = None

    def __call__(self, connection: Connection, entity_uid: UUID, generation: int, purpose: str) -> RunConfig:
        """The configuration for a run of this purpose: a sweep, a backfill and a refresh read it whole."""
        entity, mappings, connector = self.catalogue.for_run(connection, entity_uid)
        config = freeze(entity, mappings, connector, self.defaults, generation=generation)
        if entity.adaptive and self.pacing:
            config = replace(config, page_size=self.pacing.page_size(connection, entity))
        if entity.parents:
            config = replace(config, parents=self._parents(connection, Catalogued(entity, mappings), config))
        if purpose == "retry" and config.strategy == "full":
            return replace(config, strategy="hash")  # stored rows land one by one, whatever a fetch would do
        if purpose == "retry":
            return config
        if purpose == "rehash" or (purpose != "delta" and config.strategy == "rowversion"):
            return replace(config, strategy="hash")
        return config

    def _parents(self, connection: Connection, child: Catalogued, config: RunConfig) -> tuple[Reference, ...]:
        siblings = self.catalogue.siblings(connection, child.entity.connector_uid)
        declared = {slug: [p.slug for p in one.entity.parents] for slug, one in siblings.items()}
        return references(child, config, siblings, circle_of(child.entity.slug, declared))
