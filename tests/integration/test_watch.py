"""A watch over the real thing: PostgreSQL, tables and queues."""

import logging
from typing import Any

import pytest
from azure.data.tables import TableServiceClient

from infra.local.azurite import Azurite
from infra.local.sample_erp import TableSpec, parse_columns
from shared.telemetry import LOGGER
from tests.integration.harness import MakeWorld, World

TABLE = TableSpec(slug="t", keys=("id",), columns=parse_columns("id NUMBER(9) NOT NULL"))
INTERVAL = {"default_sync_interval_seconds": 300}


@pytest.fixture(autouse=True)
def no_heartbeats(azurite: Azurite) -> None:
    """Tests share one storage account, and some of them beat under a clock that stands years away."""
    with TableServiceClient.from_connection_string(azurite.connection_string) as service:
        beats = service.create_table_if_not_exists("heartbeats")
        for row in list(beats.list_entities()):
            beats.delete_entity(row)


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    made = make_world([TABLE], {"t": [{"id": 1}]}, **INTERVAL, log_level="INFO")
    made.sync()
    return made


class Kept(logging.Handler):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def watch(world: World) -> dict[str, list[Any]]:
    """The events of one watch, by name."""
    kept = Kept()
    LOGGER.addHandler(kept)
    try:
        world.app.watch_health()
    finally:
        LOGGER.removeHandler(kept)
    found: dict[str, list[Any]] = {}
    for record in kept.records:
        if record.getMessage().startswith("health"):
            found.setdefault(record.getMessage(), []).append(record)
    return found


def test_healthy_installation_says_so_in_one_line(world: World) -> None:
    found = watch(world)
    assert list(found) == ["health"] and found["health"][0].stale == 0
    beats = world.app.table_log.beats()
    assert beats is not None and {"detect_changes", "watch_health"} <= set(beats)


def test_stale_table_is_told_until_it_is_fresh(world: World) -> None:
    world.sql("UPDATE bridge.erp_sync_state SET fresh_at = now() - interval '601 seconds'")
    for _ in range(2):
        (event,) = watch(world)["health_stale"]
        assert (event.entity, event.connector, event.interval_s) == ("t", "sample", 300)
    world.sync()
    assert "health_stale" not in watch(world)


@pytest.mark.parametrize(
    "switched_off",
    ["UPDATE bridge.entities SET sync_enabled = false", "UPDATE bridge.connectors SET is_active = false",
     "UPDATE bridge.entities SET is_deleted = true"],
)  # fmt: skip
def test_what_a_person_switched_off_is_not_stale(world: World, switched_off: str) -> None:
    world.sql("UPDATE bridge.erp_sync_state SET fresh_at = now() - interval '1 day'")
    world.sql(switched_off)
    assert "health_stale" not in watch(world)


def test_new_table_has_two_intervals_and_a_first_load_by_night_all_its_nights(make_world: MakeWorld) -> None:
    world = make_world([TABLE], {}, **INTERVAL, log_level="INFO")
    assert "health_stale" not in watch(world)
    world.sql("UPDATE bridge.entities SET created_at = now() - interval '1 hour'")
    assert "health_stale" in watch(world)
    world.post("/api/v1/schedules", {"entity_uid": world.uid("t")})
    assert "health_stale" not in watch(world)


def test_failed_run_is_told_once(world: World) -> None:
    watch(world)
    world.sql(
        "UPDATE bridge.sync_runs SET status = 'failed', error = %s, completed_at = now()",
        '{"code": "unproven"}',
    )
    (event,) = watch(world)["health_failed_run"]
    assert (event.entity, event.code) == ("t", "unproven")
    assert "health_failed_run" not in watch(world)


def test_dead_messages_are_told(world: World) -> None:
    world.app._poison_queue.send("dead")
    (event,) = watch(world)["health_poison"]
    assert (event.queue, event.messages) == (f"{world.queue_name}-poison", 1)


def test_storage_that_is_down_is_told_and_the_rest_still_looked_at(world: World) -> None:
    world.sql("UPDATE bridge.erp_sync_state SET fresh_at = now() - interval '1 day'")
    nowhere = ";".join(
        [
            "DefaultEndpointsProtocol=http", "AccountName=devstoreaccount1", "AccountKey=a2V5",
            "QueueEndpoint=http://127.0.0.1:9/a", "TableEndpoint=http://127.0.0.1:9/a",
        ]
    )  # fmt: skip
    world.compose(AzureWebJobsStorage=nowhere)
    found = watch(world)
    assert [event.what for event in found["health_unreachable"]] == ["storage"]
    assert "health_stale" in found
