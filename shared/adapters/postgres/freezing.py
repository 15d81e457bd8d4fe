"""A run's configuration, read and frozen inside the transaction that creates the run."""

from dataclasses import dataclass, replace
from uuid import UUID

from shared.adapters.postgres.catalogue import Catalogue
from shared.adapters.postgres.database import Connection
from shared.sync.catalogue import Defaults, freeze
from shared.sync.model import RunConfig


@dataclass(frozen=True, slots=True)
class Freezing:
    """Freezes entities' configurations; `defaults` serve entities that don't say."""

    catalogue: Catalogue
    defaults: Defaults

    def __call__(self, connection: Connection, entity_uid: UUID, generation: int, purpose: str) -> RunConfig:
        """The configuration for a run of this purpose: a sweep, a backfill and a refresh read it whole."""
        entity, mappings, connector = self.catalogue.for_run(connection, entity_uid)
        config = freeze(entity, mappings, connector, self.defaults, generation=generation)
        if purpose == "rehash" or (purpose != "delta" and config.strategy == "rowversion"):
            return replace(config, strategy="hash")
        return config
