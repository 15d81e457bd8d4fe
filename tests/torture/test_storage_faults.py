"""T72 and the queue: storage that is down stops no sync and loses no message; odd keys and long texts are copied."""

import uuid
from datetime import UTC, datetime

import pytest
from azure.data.tables import TableServiceClient

from infra.local.ports import free_ports
from shared.adapters.execution_log import LogEntry, TableLog, partition_key, row_key
from tests.torture import oracle
from tests.torture.conftest import MakeWorld
from tests.torture.world import World

pytestmark = pytest.mark.torture


def without(world: World, endpoint: str) -> str:
    """The storage account with one of its services on a port where nobody listens."""
    parts = world.env["AzureWebJobsStorage"].split(";")
    dead = f"{endpoint}=http://127.0.0.1:{free_ports(1)[0]}/devstoreaccount1"
    return ";".join(dead if part.startswith(f"{endpoint}=") else part for part in parts)


def test_sync_succeeds_while_tables_are_down_and_is_copied_later(make_world: MakeWorld) -> None:
    """T72"""
    world = make_world("hash", loaded=False)
    app = world.compose(AzureWebJobsStorage=without(world, "TableEndpoint"))
    app.detect_changes()
    message = world.take()
    world.deliver(message, app)
    app.close()
    assert world.runs()[-1]["status"] == "success"
    assert world.one("SELECT count(*) FROM bridge.sync_runs WHERE logged_at IS NULL") == 1
    oracle.check(world)
    assert world.one("SELECT count(*) FROM bridge.sync_runs WHERE logged_at IS NULL") == 0


@pytest.mark.parametrize(
    "text", ["a/b\\c#d?e%f+g", "tab\there\r\nline", "\x00\x1f\x7f\x9f", "é𝄞ø" * 300, "|" * 2000]
)
def test_odd_keys_and_long_texts_are_copied(storage_connection_string: str, text: str) -> None:
    """T72"""
    log = TableLog(storage_connection_string)
    fields = {
        "error": {"message": text * 200},
        "status": "failed",
        "fetched": 2**40,
        "started_at": datetime.now(UTC),
    }
    entry = LogEntry(f"tenant {text}", f"slug {text}", str(uuid.uuid4()), datetime.now(UTC), fields)
    assert log.write(entry)
    tables = TableServiceClient.from_connection_string(storage_connection_string)
    read = tables.get_table_client("executionlog").get_entity(partition_key(entry), row_key(entry))
    assert read["fetched"].value == 2**40 and read["error"].startswith('{"message": ')


def test_tick_keeps_its_messages_while_the_queue_is_down(make_world: MakeWorld) -> None:
    world = make_world("hash")
    world.change(1)
    world.due()
    app = world.compose(AzureWebJobsStorage=without(world, "QueueEndpoint"))
    app.detect_changes()
    app.close()
    assert world.one("SELECT count(*) FROM bridge.outbox") == 1 and world.receive() is None
    world.tick()
    world.settle()
    oracle.check(world)


def test_continuation_waits_in_the_outbox_while_the_queue_is_down(make_world: MakeWorld) -> None:
    world = make_world("full", loaded=False)
    world.tick()
    dead = without(world, "QueueEndpoint")
    app = world.compose(AzureWebJobsStorage=dead, SLICE_BUDGET_SECONDS="0.000001")
    message = world.take()
    world.deliver(message, app)
    app.close()
    assert world.receive() is None
    world.tick()
    world.settle()
    oracle.check(world)
