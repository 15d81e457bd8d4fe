"""Tables described anew without being asked: where runs met a shape that the catalogue does not know."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from shared.adapters.descriptions import Describing, sampled
from shared.adapters.postgres.catalogue import Catalogue
from shared.adapters.postgres.discovery import DiscoveryService
from shared.errors import SourceUnavailableError
from shared.sync.catalogue import Connector


@dataclass(frozen=True, slots=True)
class Rediscovery:
    """Asks a connector once for some of its tables and refreshes their entities."""

    catalogue: Catalogue
    discovery: DiscoveryService
    open_source: Callable[[Connector], Describing]
    is_late: Callable[[], bool] = lambda: False

    def __call__(self, connector_uid: UUID, slugs: Sequence[str]) -> None:
        """Raises the source's errors; one table's failure leaves the others alone.

        SourceUnavailableError, and nobody asked, once it `is_late`: detection must not wait for slow connectors.
        """
        if self.is_late():
            raise SourceUnavailableError(
                "other connectors took the time there is to describe tables anew",
                hint="the next tick tries again",
            )
        connector = self.catalogue.connector(connector_uid)
        source = self.open_source(connector)
        wanted = [one for one in source.list_apis() if one.slug in slugs]
        self.discovery.discover(connector, sampled(source, wanted), actor="timer")
