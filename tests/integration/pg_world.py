"""The whole product over a PostgreSQL source: `World` with another connector; `world.source` is its PgSource."""

import uuid
from collections.abc import Iterator
from typing import Any, Protocol

import pytest

from infra.local.azurite import Azurite
from shared.composition import App
from shared.sync.guards import Guards
from tests.fixtures_pg_source import PgSource
from tests.integration.harness import World


class PgWorld(World):
    """One installation whose connector is a PostgreSQL database."""

    def __init__(self, conninfo: str, storage: str, source: PgSource, **settings: Any) -> None:
        self.conninfo, self.source, self._storage = conninfo, source, storage
        self.queue_name = f"sync-{uuid.uuid4().hex[:12]}"
        self._entity, self._told = {}, settings
        self.app = self.compose()
        self.connector_uid = self.post("/api/v1/connectors", self.registration(source))["uid"]
        self.discover()

    def registration(self, source: PgSource) -> dict[str, Any]:
        auth = {"type": "token", "secret_name": "pg-reader"}
        return {"name": "pg", "kind": "postgres", "base_url": source.base_url, "auth": auth}

    def compose(self, guards: Guards | None = None, *, chunk_rows: int = 7, **settings: Any) -> App:
        self.erp = None  # type: ignore[assignment]
        app = super().compose(guards, chunk_rows=chunk_rows, **settings)
        app.secrets = _Secret(self)  # type: ignore[assignment]
        return app


class _Secret:
    def __init__(self, world: PgWorld) -> None:
        self._world = world

    def get(self, _name: str) -> str:
        return self._world.source.secret

    reload = get


class MakePgWorld(Protocol):
    def __call__(self, source: PgSource | None = None, **settings: Any) -> PgWorld: ...


@pytest.fixture
def make_pg_world(database: str, azurite: Azurite, pg_source: PgSource) -> Iterator[MakePgWorld]:
    """A factory of worlds over this test's source database; make its tables first."""
    made: list[PgWorld] = []

    def make(source: PgSource | None = None, **settings: Any) -> PgWorld:
        made.append(PgWorld(database, azurite.connection_string, source or pg_source, **settings))
        return made[-1]

    yield make
    for world in made:
        world.close()
