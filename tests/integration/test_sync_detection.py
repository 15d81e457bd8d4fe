"""Detection and admission over a real database and queue."""

from dataclasses import replace
from datetime import datetime
from uuid import uuid4

from infra.local.sample_erp import TableSpec, parse_columns
from tests.integration.harness import MakeWorld, World, plain

COLUMNS = parse_columns("id NUMBER(9) NOT NULL\n note VARCHAR2(40)")


def tables(count: int) -> list[TableSpec]:
    return [TableSpec(slug=f"t{i}", keys=("id",), strategy="hash", columns=COLUMNS) for i in range(count)]


def filled(count: int) -> dict[str, list[dict[str, object]]]:
    return {f"t{i}": [{"id": 1, "note": "a"}] for i in range(count)}


def waiting(world: World) -> int:
    """Messages in the queue."""
    return int(world.queue.get_queue_properties().approximate_message_count)


def limit(world: World, slots: int) -> None:
    world.sql("UPDATE bridge.connectors SET max_concurrent_syncs = %s", slots)


def test_ten_entities_of_one_connector_at_once_when_its_limit_says_so(make_world: MakeWorld) -> None:
    world = make_world(tables(10), filled(10))
    limit(world, 10)
    world.tick()
    assert waiting(world) == 10


def test_free_slots_admit_the_oldest_waiting_and_never_more_than_the_limit(make_world: MakeWorld) -> None:
    world = make_world(tables(6), filled(6))
    limit(world, 2)
    world.tick()
    assert (waiting(world), len(world.runs())) == (2, 6)
    order = [row["uid"] for row in world.sql("SELECT uid FROM bridge.sync_runs ORDER BY created_at, uid")]
    for done in range(1, 7):
        world.deliver_one()
        admitted = world.sql("SELECT run_uid FROM bridge.sync_slices WHERE admitted AND status = 'queued'")
        assert {row["run_uid"] for row in admitted} == set(order[done : done + 2])
    assert {run["status"] for run in world.runs()} == {"success"}


def test_long_load_lets_the_deltas_of_other_tables_go_between_its_slices(make_world: MakeWorld) -> None:
    many: list[dict[str, object]] = [{"id": i, "note": "a"} for i in range(60)]
    world = make_world(tables(2), {"t0": many, "t1": [{"id": 1, "note": "a"}]}, slice_budget_seconds=0.001)
    world.sync()
    limit(world, 1)
    world.put_entity("t0", sync_enabled=False)
    refresh = world.post(f"/api/v1/entities/{world.uid('t0')}/full-refresh")["run_uid"]
    world.erp.update("t1", {"id": 1}, {"note": "b"})
    world.tick()
    world.deliver_one()
    admitted = world.sql("SELECT run_uid FROM bridge.sync_slices WHERE admitted")
    assert [str(row["run_uid"]) for row in admitted] == [world.runs("t1")[-1]["uid"]]
    assert world.finish(refresh)["status"] == "success"


def test_unchanged_tables_get_no_run(make_world: MakeWorld) -> None:
    world = make_world(tables(4), filled(4))
    assert len(world.sync()) == 4
    world.erp.update("t2", {"id": 1}, {"note": "b"})
    assert [run["entity_uid"] for run in world.sync()] == [world.uid("t2")]
    assert world.sync() == []


def test_table_without_a_probe_is_fetched_each_time(make_world: MakeWorld) -> None:
    world = make_world(tables(2), filled(2))
    world.erp.behave("t0", probe=False)
    world.erp.behave("t1", probe_count=False)
    assert [len(world.sync()) for _ in range(2)] == [2, 2]


def test_one_tables_broken_probe_leaves_the_others_alone(make_world: MakeWorld) -> None:
    world = make_world(tables(4), filled(4))
    world.erp.fail("/changes/t1", 403, times=99)
    assert {run["entity_uid"] for run in world.sync()} == {world.uid(slug) for slug in ("t0", "t2", "t3")}


def test_dead_connector_leaves_the_others_alone(make_world: MakeWorld) -> None:
    world = make_world(tables(3), filled(3))
    dead = uuid4()
    world.sql("INSERT INTO bridge.connectors (uid, tenant, name, kind, base_url, auth_type) VALUES"
              " (%s, 'default', 'dead', 'http', 'http://127.0.0.1:9', 'none')", dead)  # fmt: skip
    world.sql("UPDATE bridge.entities SET connector_uid = %s WHERE slug = 't0'", dead)
    assert {run["entity_uid"] for run in world.sync()} == {world.uid(slug) for slug in ("t1", "t2")}


def test_table_whose_first_load_failed_is_read_once_by_the_next_tick(make_world: MakeWorld) -> None:
    spec = replace(tables(1)[0], strategy="rowversion")
    world = make_world([spec], filled(1), entity={"key_sweep_interval_seconds": 0}, max_retries=0)
    world.erp.fail("/data/t0", 500, times=50)
    assert [run["status"] for run in world.sync()] == ["failed"]
    world.erp._failures.clear()
    assert [run["status"] for run in world.sync()] == ["success"]
    assert [row["purpose"] for row in world.sql("SELECT purpose FROM bridge.sync_runs")] == ["delta", "delta"]


def test_switched_off_entities_and_connectors_are_left_alone(make_world: MakeWorld) -> None:
    world = make_world(tables(2), filled(2))
    world.put_entity("t0", sync_enabled=False)
    assert len(world.sync()) == 1
    world.sql("UPDATE bridge.connectors SET is_active = false")
    world.erp.update("t1", {"id": 1}, {"note": "b"})
    assert world.sync() == []


def freshness(world: World) -> tuple[int, int]:
    """Fresh and stale tables, as the figures show them."""
    stats = world.get("/api/v1/stats")
    return stats["fresh"], stats["stale"]


def long_ago(world: World) -> None:
    world.sql("UPDATE bridge.erp_sync_state SET fresh_at = fresh_at - interval '1 hour'")


def test_table_whose_runs_fail_is_stale_until_one_is_proven(make_world: MakeWorld) -> None:
    world = make_world(tables(1), filled(1), default_sync_interval_seconds=300)
    assert (freshness(world), len(world.sync()), freshness(world)) == ((0, 1), 1, (1, 0))
    long_ago(world)
    world.erp.update("t0", {"id": 1}, {"note": "b"})
    world.erp.fail("/data/t0", 403, times=99)
    assert [run["status"] for run in world.sync()] == ["failed"]
    assert (freshness(world), world.entity("t0")["last_sync_status"]) == ((0, 1), "failed")
    world.erp._failures.clear()
    world.sync()
    assert freshness(world) == (1, 0)


def test_unchanged_table_stays_fresh_and_an_unanswered_probe_says_nothing(make_world: MakeWorld) -> None:
    world = make_world(tables(1), filled(1), default_sync_interval_seconds=300)
    world.sync()
    long_ago(world)
    world.erp.fail("/changes/t0", 403, times=1)
    assert (world.sync(), freshness(world)) == ([], (0, 1))
    assert (world.sync(), freshness(world)) == ([], (1, 0))


def test_table_that_was_seen_changed_and_not_synced_is_stale(make_world: MakeWorld) -> None:
    world = make_world(tables(1), filled(1), default_sync_interval_seconds=300)
    world.sync()
    long_ago(world)
    world.erp.update("t0", {"id": 1}, {"note": "b"})
    world.tick()
    assert freshness(world) == (0, 1)


def test_progress_migration_takes_over_what_a_filled_database_knows(make_world: MakeWorld) -> None:
    world = make_world(tables(2), filled(2), max_retries=5)
    world.sync()
    ended = {run["entity_uid"]: run["completed_at"] for run in world.runs()}
    world.post(f"/api/v1/entities/{world.uid('t0')}/sync")
    world.sql("UPDATE bridge.sync_slices SET attempt = 3 WHERE status = 'queued'")
    world.sql("ALTER TABLE bridge.sync_slices DROP failures; ALTER TABLE bridge.erp_sync_state DROP fresh_at")
    world.sql("DELETE FROM bridge.schema_migrations WHERE number = 2")
    assert world.app.migrate() == ("0002_progress",)
    (slice_,) = world.sql("SELECT failures FROM bridge.sync_slices WHERE status = 'queued'")
    fresh = world.sql("SELECT entity_uid, fresh_at FROM bridge.erp_sync_state")
    assert slice_["failures"] == 3
    assert {str(row["entity_uid"]): row["fresh_at"] for row in fresh} == {
        uid: datetime.fromisoformat(at) for uid, at in ended.items()
    }


def test_a_thousand_entities_in_one_tick(make_world: MakeWorld) -> None:
    world = make_world(tables(1), filled(1))
    world.sync()
    # Copies of one entity: what a tick does with many needs no thousand tables.
    _thousand(world)
    before = len(world.erp.requests)
    world.tick()
    assert len(world.erp.requests) - before == 1000
    assert len(world.sql("SELECT 1 FROM bridge.sync_runs WHERE status = 'queued'")) == 999


def _thousand(world: World) -> None:
    world.sql("DROP INDEX bridge.entities_slug")
    columns = [r["column_name"] for r in world.sql(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'bridge' AND table_name = 'entities'")]  # fmt: skip
    chosen = ", ".join(f'"{c}"' for c in columns)
    copied = ", ".join(
        {"uid": "gen_random_uuid()", "target_schema": "'copy' || n"}.get(c, f'"{c}"') for c in columns
    )
    world.sql(
        f"INSERT INTO bridge.entities ({chosen}) SELECT {copied} FROM bridge.entities, generate_series(2, 1000) n"
    )
    world.sql(
        "INSERT INTO bridge.field_mappings SELECT (jsonb_populate_record(m, jsonb_build_object('entity_uid', e.uid))).*"
        " FROM bridge.field_mappings m, bridge.entities e WHERE e.target_schema LIKE 'copy%%'"
    )
    world.sql(
        "INSERT INTO bridge.erp_sync_state (entity_uid) SELECT uid FROM bridge.entities ON CONFLICT DO NOTHING"
    )


def test_one_table_whose_words_are_unknown_spoils_no_discovery(make_world: MakeWorld) -> None:
    odd = TableSpec(slug="odd", keys=("id",), strategy="rowversion", columns=COLUMNS)
    world = make_world([*tables(1), odd], filled(1))
    specs = world.erp.store.specs
    specs["fresh"] = replace(odd, slug="fresh", version_kind="base64", dialect="klingon")  # type: ignore[arg-type]
    world.erp.store._ids["fresh"] = world.erp.store._ids["odd"]
    world.discover()
    world.put_entity("odd", sync_enabled=False)
    entity = world.entity("fresh")
    assert (entity["delta_strategy"], bool(entity["warnings"])) == ("hash", True)
    assert world.erp.rows("t0") and [run["status"] for run in world.sync()] == ["success", "success"]
    assert world.rows("t0") == plain(world.erp.rows("t0"))
