"""T68: canaries planted as secrets and as a row's value come out nowhere they don't belong."""

import json
import logging
from collections.abc import Iterator

import psycopg
import pytest
from azure.data.tables import TableServiceClient

from shared.errors import AppError
from tests.torture.conftest import MakeWorld
from tests.torture.world import LOCAL_SECRET, SLUG, World

pytestmark = pytest.mark.torture

ROW_VALUE = "canary-row-5f2e91"
BAD_VALUE = "canary-reject-77ab03"
KEPT_BACK = {
    "token": "canary-token-2b8d10",
    "password": "canary-password-c41e77",
    "local secret": LOCAL_SECRET,
}


@pytest.fixture
def leaky(make_world: MakeWorld) -> World:
    """A world whose source holds canaries: one row that lands and one that is refused."""
    world = make_world("rowversion")
    world.erp.update(SLUG, {"id": 3}, {"note": ROW_VALUE})
    world.erp.break_row(SLUG, {"id": 4}, "amount", BAD_VALUE)
    world.erp.break_row(SLUG, {"id": 5}, "note", ROW_VALUE * 9)
    return world


def secrets_of(world: World) -> list[str]:
    account_key = next(p for p in world.env["AzureWebJobsStorage"].split(";") if p.startswith("AccountKey="))
    return [
        world.env["POSTGRES_PASSWORD"],
        world.env["TORTURE_ERP"],
        account_key.partition("=")[2],
        LOCAL_SECRET,
    ]


def test_sync_at_debug_says_no_secret_and_no_row_value(
    leaky: World, caplog: pytest.LogCaptureFixture
) -> None:
    leaky.due()
    message = _tick_at_debug(leaky)
    attempt = leaky.start(message, LOG_LEVEL="DEBUG", LOG_FORMAT="json")
    assert attempt.wait().code == 0
    said = attempt.said()
    assert "chunk_committed" in said
    assert not [c for c in [*secrets_of(leaky), ROW_VALUE, BAD_VALUE] if c in said]


def test_every_logger_at_debug_says_no_secret(leaky: World, caplog: pytest.LogCaptureFixture) -> None:
    """Foreign libraries included, as far as our configuration lets them speak."""
    leaky.due()
    app = leaky.compose(LOG_LEVEL="DEBUG")
    with caplog.at_level(logging.DEBUG):
        app.detect_changes()
        while (message := leaky.receive()) is not None:
            leaky.deliver(message, app)
    app.close()
    ours = [record.getMessage() + str(vars(record)) for record in caplog.records]
    assert not [c for c in [*secrets_of(leaky), ROW_VALUE, BAD_VALUE] for line in ours if c in line]


def test_metadata_holds_row_values_only_where_rejects_keep_them(leaky: World) -> None:
    leaky.sync()
    for table, column, text in _cells(leaky):
        assert not any(secret in text for secret in secrets_of(leaky)), (table, column)
        kept = (table, column) == ("failed_records", "raw")
        assert kept or not (ROW_VALUE in text or BAD_VALUE in text), (table, column)
    assert leaky.one("SELECT count(*) FROM bridge.failed_records WHERE raw LIKE %s", f"%{BAD_VALUE}%") == 1


def test_queue_bodies_and_copies_hold_ids_only(leaky: World) -> None:
    leaky.due()
    leaky.tick()
    seen = leaky.take()
    assert set(json.loads(seen.content)) == {"v", "id", "slice", "traceparent"}
    leaky.deliver(seen)
    leaky.settle()
    tables = TableServiceClient.from_connection_string(leaky.env["AzureWebJobsStorage"])
    copies = str(list(tables.get_table_client("executionlog").list_entities()))
    assert not [c for c in [*secrets_of(leaky), ROW_VALUE, BAD_VALUE] if c in copies]


@pytest.mark.parametrize(
    "path", ["connectors", "entities", "sync/history", "failed-records", "stats", "health/db"]
)
def test_answers_hold_no_secret(leaky: World, path: str) -> None:
    leaky.sync()
    answer = leaky.api.ask("GET", f"/api/v1/{path}")
    assert answer.status_code == 200
    assert not [c for c in secrets_of(leaky) if c in answer.text]
    assert path == "failed-records" or BAD_VALUE not in answer.text


def test_refused_secrets_are_not_repeated_in_errors(leaky: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORTURE_ERP", KEPT_BACK["token"])
    app = leaky.compose(LOG_LEVEL="DEBUG")
    run = leaky.request_sync()
    app.send_outbox()
    leaky.deliver(leaky.take(), app)
    app.close()
    ended = next(r for r in leaky.runs() if r["uid"] == run)
    assert ended["error"]["code"] == "source_refused" and KEPT_BACK["token"] not in str(ended)


def test_wrong_database_password_is_not_repeated(leaky: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(AppError) as caught:
        leaky.compose(POSTGRES_PASSWORD=KEPT_BACK["password"], LOG_LEVEL="DEBUG")
    chain = [caught.value, caught.value.__cause__, caught.value.__context__]
    shown = [str(error) for error in chain if error is not None and not caught.value.__suppress_context__]
    assert KEPT_BACK["password"] not in " ".join([str(caught.value), *shown, caplog.text])


def test_driver_error_quotes_no_row(leaky: World) -> None:
    """DETAIL of a violated constraint would quote the row."""
    leaky.ask("ALTER TABLE public.orders ADD CONSTRAINT picky CHECK (note NOT LIKE 'canary%')")
    leaky.sync()
    messages = str(leaky.ask("SELECT message, code FROM bridge.failed_records")) + str(leaky.runs())
    assert "target_refused" in messages and ROW_VALUE not in messages


def _tick_at_debug(world: World) -> list[object]:
    attempt = world.start(["tick"], LOG_LEVEL="DEBUG")
    assert attempt.wait().code == 0
    assert not [c for c in [*secrets_of(world), ROW_VALUE, BAD_VALUE] if c in attempt.said()]
    return world.action(world.take())


def _cells(world: World) -> Iterator[tuple[str, str, str]]:
    with psycopg.connect(world.dsn) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'bridge'").fetchall()
        for (table,) in tables:
            rows = connection.execute(f"SELECT to_jsonb(t) FROM bridge.{table} t").fetchall()
            for (row,) in rows:
                yield from ((table, column, json.dumps(value)) for column, value in row.items())
