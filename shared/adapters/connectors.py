"""Registered connectors as sources, kept while nothing about them changes, so that tokens and connections last."""

from collections.abc import Callable
from datetime import datetime
from threading import Lock
from typing import Protocol
from uuid import UUID

from shared.adapters.http_source import ConnectorAccess, HttpSource
from shared.adapters.postgres.catalogue import Catalogue
from shared.errors import ConfigurationError
from shared.secrets import Secrets
from shared.sync.catalogue import Connector
from shared.sync.fetch import Source


class OpenSource(Source, Protocol):
    """A source that holds connections."""

    def close(self) -> None:
        """Give them back."""


class Connectors:
    """`sync.detect.Sources` over the catalogue; safe for several threads.

    Nobody gives a source back. One that was replaced, because its connector changed, belongs to those still working
    with it: its connections close when the last of them lets it go.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        secrets: Callable[[], Secrets],
        allowed_hosts: tuple[str, ...],
        sslrootcert: str | None = None,
    ) -> None:
        self._catalogue, self._secrets, self._allowed_hosts = catalogue, secrets, allowed_hosts
        self._sslrootcert = sslrootcert
        self._open: dict[UUID, tuple[datetime | None, OpenSource]] = {}
        self._lock = Lock()

    def source(self, connector_uid: UUID) -> OpenSource:
        """The connector, ready to be asked; raises ConfigurationError for what it lacks."""
        return self.open(self._catalogue.connector(connector_uid))

    def open(self, connector: Connector) -> OpenSource:
        """The same for a connector that was read already."""
        with self._lock:
            known = self._open.get(connector.uid)
            if known is None or known[0] != connector.updated_at:
                known = (connector.updated_at, self._make(connector))
                self._open[connector.uid] = known
        return known[1]

    def close(self) -> None:
        """Close what was kept open; asking again opens anew."""
        with self._lock:
            while self._open:
                self._open.popitem()[1][1].close()

    def _make(self, connector: Connector) -> OpenSource:
        if connector.kind == "sqlserver":
            raise ConfigurationError(
                f"connector {connector.name}: kind {connector.kind} is not available yet",
                hint="use kind http or postgres",
            )
        access = self._access(connector)
        if connector.kind == "postgres":
            from shared.adapters.postgres_source.source import PostgresSource

            return PostgresSource(access, sslrootcert=self._sslrootcert)
        return HttpSource(access)

    def _access(self, connector: Connector) -> ConnectorAccess:
        name = connector.secret_name or ""
        return ConnectorAccess(
            name=connector.name,
            base_url=connector.base_url,
            auth_type=connector.auth_type,
            secret=lambda: self._secrets().get(name),
            forget_secret=lambda: None if not name else _ignore(self._secrets().reload(name)),
            allowed_hosts=self._allowed_hosts,
        )


def _ignore(_: str) -> None:
    return None
