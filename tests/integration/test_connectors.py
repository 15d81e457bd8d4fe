"""Sources kept open: who owns one that was replaced while others worked with it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

import pytest

from infra.local.sample_erp import SampleErp, TableSpec, parse_columns
from shared.adapters.connectors import Connectors
from shared.adapters.postgres.catalogue import Catalogue
from shared.secrets import EnvironmentSecrets
from shared.sync.catalogue import Connector
from tests.fixtures_erp import MakeErp

TABLE = TableSpec(slug="t", keys=("id",), strategy="hash", columns=parse_columns("id NUMBER(9) NOT NULL"))


@pytest.fixture
def erp(make_erp: MakeErp) -> SampleErp:
    return make_erp([TABLE], {"t": [{"id": 1}]})


@pytest.fixture
def connectors(erp: SampleErp) -> Iterator[Connectors]:
    secrets = EnvironmentSecrets({"ERP": erp.credentials.static_token})
    nobody = cast(Catalogue, None)  # only asked for connectors that nobody has read yet
    made = Connectors(nobody, lambda: secrets, ("127.0.0.1",))
    yield made
    made.close()


def registered(erp: SampleErp, year: int) -> Connector:
    """The connector as changed in that year."""
    at = datetime(year, 1, 1, tzinfo=UTC)
    return Connector(
        UUID(int=1), "default", "erp", "http", erp.base_url, "token", "erp", created_at=at, updated_at=at
    )


def test_unchanged_connector_keeps_its_source(connectors: Connectors, erp: SampleErp) -> None:
    one = connectors.open(registered(erp, 2025))
    assert connectors.open(registered(erp, 2025)) is one
    assert connectors.open(replace(registered(erp, 2025), updated_at=None)) is not one


def test_source_that_is_replaced_while_it_is_asked_answers_all_the_same(
    connectors: Connectors, erp: SampleErp
) -> None:
    old = connectors.open(registered(erp, 2025))
    old.check()
    erp.on_request = lambda request: connectors.open(registered(erp, 2026)) and None
    old.check()
    # A connection cut under a request would be asked for again.
    assert len(erp.requests) == 2
    old.check()


def test_replaced_source_is_closed_when_nobody_works_with_it_any_more(
    connectors: Connectors, erp: SampleErp
) -> None:
    old = connectors.open(registered(erp, 2025))
    old.check()
    pool = old._client._pool
    connectors.open(registered(erp, 2026))
    assert len(pool.connections) == 1
    del old
    assert pool.connections == []
