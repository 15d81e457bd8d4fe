"""Discovery through the HTTP interface, against the sample ERP and a real database."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from infra.local.sample_erp import ColumnSpec, SampleErp, TableSpec, parse_columns
from shared.adapters.connectors import Connectors
from shared.adapters.http_source import HttpSource
from shared.adapters.postgres.catalogue import Catalogue
from shared.api.app import create_app
from shared.secrets import EnvironmentSecrets
from shared.sync.catalogue import Connector
from tests.fixtures_erp import MakeErp
from tests.integration.test_api_postgres import RealWorld

ORDERS = TableSpec(
    slug="orders",
    keys=("id",),
    strategy="rowversion",
    columns=parse_columns("id NUMBER(9) NOT NULL\n note VARCHAR2(40)\n placed DATE\n total NUMBER(12,2)"),
)


class ErpWorld(RealWorld):
    """The real application, its source a running ERP that wants a token."""

    def __init__(self, conninfo: str, erp: SampleErp) -> None:
        super().__init__(conninfo)
        self.opened: set[HttpSource] = set()
        catalogue = self.services.catalogue
        assert isinstance(catalogue, Catalogue)
        secrets = EnvironmentSecrets({"ERP_TOKEN": erp.credentials.static_token})
        connectors = Connectors(catalogue, lambda: secrets, ("127.0.0.1",))
        # The fakes' source is replaced by the real one, and the ERP's host allowed.
        self.allow(connectors)
        auth = {"type": "token", "secret_name": "erp-token"}
        asked = {"name": "sample", "base_url": erp.base_url, "auth": auth, "time_zone": "America/New_York"}
        self.sample = self.post("/api/v1/connectors", json=asked)["uid"]

    def allow(self, connectors: Connectors) -> None:
        def remember(connector: Connector) -> HttpSource:
            source = connectors.open(connector)
            self.opened.add(source)
            return source

        hosts = ("127.0.0.1", "erp.example.com")
        self.services = replace(self.services, open_source=remember, connector_hosts=hosts)
        self.app = create_app(self.services)

    def discover(self) -> Any:
        return self.post(f"/api/v1/connectors/{self.sample}/discover")["items"]


@pytest.fixture
def erp(make_erp: MakeErp) -> SampleErp:
    return make_erp([ORDERS], {"orders": []})


@pytest.fixture
def world(database: str, erp: SampleErp) -> Iterator[ErpWorld]:
    made = ErpWorld(database, erp)
    yield made
    made.database.close()
    for source in made.opened:
        source.close()


def test_discovered_table_stands_in_postgresql(world: ErpWorld, database: str) -> None:
    found = world.discover()[0]
    entity = world.ask("GET", f"/api/v1/entities/{found['entity_uid']}").json()
    assert {m["target"]: m["type"] for m in entity["field_mappings"]} == {
        "id": "integer", "note": "varchar(40)", "placed": "timestamptz", "total": "numeric(12,2)",
    }  # fmt: skip
    assert (entity["delta_strategy"], entity["business_keys"]) == ("rowversion", ["id"])
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM public.orders").fetchone() == (0,)


def test_column_added_at_the_source_arrives_with_the_next_discovery(world: ErpWorld, erp: SampleErp) -> None:
    world.discover()
    erp.add_column("orders", ColumnSpec("extra", "NUMBER(3)"), 5)
    found = world.discover()[0]
    columns = world.ask("GET", f"/api/v1/entities/{found['entity_uid']}").json()["columns"]
    assert (found["status"], columns[-1]["target_column"]) == ("refreshed", "extra")


def test_connector_that_is_down_says_so_and_works_when_back(world: ErpWorld, erp: SampleErp) -> None:
    erp.stop()
    refused = world.ask("POST", f"/api/v1/connectors/{world.sample}/test").json()
    assert (refused["ok"], refused["error"]["code"]) == (False, "source_unavailable")
    erp.start()
    assert world.ask("POST", f"/api/v1/connectors/{world.sample}/test").json()["ok"]


def test_token_refused_says_so_without_the_token(world: ErpWorld, erp: SampleErp) -> None:
    wrong = EnvironmentSecrets({"ERP_TOKEN": "wrong-canary"})
    catalogue = world.services.catalogue
    assert isinstance(catalogue, Catalogue)
    world.allow(Connectors(catalogue, lambda: wrong, ("127.0.0.1",)))
    answer = world.ask("POST", f"/api/v1/connectors/{world.sample}/discover")
    assert (answer.status_code, "canary" in answer.text) == (502, False)
