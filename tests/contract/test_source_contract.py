"""What every Source must do: the sample ERP, the scripted stub and a PostgreSQL database answer alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from infra.local.sample_erp import TableSpec, parse_columns
from shared.adapters.http_source import ConnectorAccess
from shared.errors import SourceRefusedError, SourceUnavailableError
from shared.sync.decode import decode_page
from shared.sync.fetch import PageRequest, Source
from shared.sync.model import RunConfig
from tests.integration.http_faults import (
    QUICK,
    FakeTime,
    body,
    config,
    open_source,
    page,
    read_table,
    source_for,
    sources_are_closed,
    status,
    stub,
)

if TYPE_CHECKING:
    from tests.fixtures_erp import MakeErp
    from tests.fixtures_pg_source import OpenPgSource, PgSource

__all__ = ("sources_are_closed",)  # autouse: importing it puts it to work
pytest_plugins = ("tests.fixtures_erp",)
ORDERS = TableSpec(
    slug="orders",
    keys=("id",),
    strategy="rowversion",
    columns=parse_columns("""
        id NUMBER(9) NOT NULL
        note VARCHAR2(40)
    """),
)
ROWS = [{"id": key, "note": f"n{key}"} for key in range(1, 6)]
DESCRIPTION = (
    b'[{"slug":"orders","name":"Orders","business_key_columns":["id"],"delta_strategy":"rowversion",'
    b'"rowversion":{"column":null,"kind":"number"},"pagination":"keyset","surprise":1,'
    b'"columns":[{"name":"id","data_type":"NUMBER(9)","is_nullable":false},{"name":"note","data_type":"VARCHAR2(40)"}]}]'
)


TYPES = {"oracle": ["NUMBER(9)", "VARCHAR2(40)"], "postgres": ["integer", "character varying(40)"]}


@pytest.fixture
def erp_source(make_erp: MakeErp) -> Source:
    """The table orders, served by the sample ERP."""
    erp = make_erp([ORDERS], {"orders": ROWS})
    return open_source(_access(erp.base_url, erp.credentials.static_token), QUICK, FakeTime().pace())


@pytest.fixture
def stub_source() -> Iterator[Source]:
    """The table orders, from a script."""
    keyset = page(1, 2, next_cursor="a"), page(3, 4, next_cursor="b"), page(5, next_cursor=None)
    with stub(*keyset, probes=[body(b'{"changed":true,"max_rowversion":"5","count":5}')]) as server:
        server.lists.append(body(DESCRIPTION))
        yield source_for(server)


@pytest.fixture
def postgres_source(pg_source: PgSource, open_pg_source: OpenPgSource) -> Source:
    """The table orders in a PostgreSQL database."""
    pg_source.sql("CREATE TABLE orders (id integer PRIMARY KEY, note varchar(40))")
    pg_source.sql("INSERT INTO orders SELECT i, 'n' || i FROM generate_series(1, 5) i")
    pg_source.track("orders")
    return open_pg_source()


@pytest.fixture(params=["erp_source", "stub_source", "postgres_source"])
def source(request: pytest.FixtureRequest) -> Source:
    """A source that offers the table orders with five rows."""
    found: Source = request.getfixturevalue(request.param)
    return found


def test_check_passes_on_a_source_that_answers(source: Source) -> None:
    source.check()


def test_tables_are_described_with_keys_types_and_versions(source: Source) -> None:
    (api,) = source.list_apis()
    assert (api.slug, api.business_key_columns, api.delta_strategy) == ("orders", ("id",), "rowversion")
    assert [column.data_type for column in api.columns] == TYPES[api.dialect]
    assert api.version is not None and api.version.kind == "number" and api.pagination == "keyset"


def test_probe_tells_the_newest_version(source: Source) -> None:
    probe = source.probe("orders", None, {})
    assert probe is not None and probe.changed and probe.max_rowversion


def test_page_is_one_decodable_body(source: Source) -> None:
    decoded = decode_page(source.fetch_page(PageRequest(slug="orders", page_size=2, page=1)), config())
    assert decoded.received == 2 and decoded.missing == () and decoded.frame["c1"].to_list() == ["n1", "n2"]


@pytest.mark.parametrize("run", [config(), config(pagination="keyset")])
def test_walk_reads_every_row_and_is_proven(source: Source, run: RunConfig) -> None:
    reading = read_table(source, run)
    assert reading.proof.proven and reading.keys == {"1", "2", "3", "4", "5"}


@pytest.mark.parametrize(
    "style", [{"pagination": "page"}, {"pagination": "page", "probe": False}, {"flat_rows": True}]
)
def test_sample_erp_is_read_whole_in_each_of_its_styles(make_erp: MakeErp, style: dict[str, object]) -> None:
    erp = make_erp([ORDERS], {"orders": ROWS})
    erp.behave("orders", **style)
    reading = read_table(open_source(_access(erp.base_url, erp.credentials.static_token), QUICK), config())
    assert reading.proof.proven and reading.keys == {"1", "2", "3", "4", "5"}


def test_page_shift_in_the_sample_erp_is_not_proven_by_one_walk(make_erp: MakeErp) -> None:
    erp = make_erp([ORDERS], {"orders": ROWS})
    erp.behave("orders", pagination="page", has_more=False)
    asked: list[object] = []

    def shift(request: object) -> None:
        asked.append(request)
        if len(asked) == 3:
            erp.delete("orders", [{"id": 1}])
            erp.insert("orders", [{"id": 6, "note": "late"}])

    erp.on_request = shift
    reading = read_table(open_source(_access(erp.base_url, erp.credentials.static_token), QUICK), config())
    assert reading.walk.attempt > 1 and reading.proof.proven and reading.keys >= {"2", "3", "4", "5", "6"}


def test_unknown_table_is_refused_by_every_source(erp_source: Source, postgres_source: Source) -> None:
    for source in (erp_source, postgres_source):
        with pytest.raises(SourceRefusedError, match="'nothing'"):
            source.fetch_page(PageRequest(slug="nothing", page_size=2, page=1))


def test_sign_in_and_revoked_tokens_are_invisible_to_the_caller(make_erp: MakeErp) -> None:
    erp = make_erp([ORDERS], {"orders": ROWS})
    held = erp.credentials
    secret = f'{{"client_id":"{held.client_id}","client_secret":"{held.client_secret}"}}'
    access = replace(_access(erp.base_url, secret), auth_type="client_credentials")
    source = open_source(access, QUICK, FakeTime().pace())
    source.check()
    erp.tokens.revoke_all()
    assert read_table(source, config()).proof.proven


def test_wrong_token_and_unknown_table_are_refused_by_name(make_erp: MakeErp) -> None:
    erp = make_erp([ORDERS], {"orders": ROWS})
    with pytest.raises(SourceRefusedError, match="credentials"):
        open_source(_access(erp.base_url, "wrong"), QUICK).check()
    right = open_source(_access(erp.base_url, erp.credentials.static_token), QUICK)
    with pytest.raises(SourceRefusedError, match="'nothing'"):
        right.fetch_page(PageRequest(slug="nothing", page_size=2, page=1))


def test_source_that_is_down_comes_back_without_a_new_adapter(make_erp: MakeErp) -> None:
    erp = make_erp([ORDERS], {"orders": ROWS})
    source = open_source(_access(erp.base_url, erp.credentials.static_token), QUICK, FakeTime().pace())
    source.check()
    erp.stop()
    with pytest.raises(SourceUnavailableError):
        source.check()
    erp.start()
    source.check()


def test_failing_stub_and_failing_erp_raise_the_same_error(make_erp: MakeErp) -> None:
    erp = make_erp([ORDERS], {"orders": ROWS})
    erp.fail("/data/orders", 503, times=99)
    failing = open_source(_access(erp.base_url, erp.credentials.static_token), QUICK, FakeTime().pace())
    with stub(status(503)) as server:
        for source in (failing, source_for(server)):
            with pytest.raises(SourceUnavailableError, match="503"):
                source.fetch_page(PageRequest(slug="orders", page_size=2, page=1))


def _access(base_url: str, secret: str) -> ConnectorAccess:
    return ConnectorAccess("erp", base_url, "token", lambda: secret, allowed_hosts=(base_url.split("//")[1],))
