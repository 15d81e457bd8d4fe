"""Columns come, go, change their names and types; contracts let them or not (T26, T35, T36, T40)."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from uuid import UUID, uuid4

import psycopg
import pytest

from shared.adapters.postgres.discovery import DiscoveryService
from tests.integration.drifting import (
    add,
    kill_at,
    of_source,
    release,
    retype,
    rows,
    stamps,
    table,
    types_of,
    warnings,
)
from tests.integration.harness import MakeWorld, World, balanced, written


def purposes(world: World) -> list[str]:
    return [r["purpose"] for r in world.sql("SELECT purpose FROM bridge.sync_runs ORDER BY created_at")]


def filled(world: World, column: str) -> dict[int, object]:
    return {key: row[column] for key, row in world.rows("t").items()}


def loaded(make_world: MakeWorld, strategy: str = "rowversion", count: int = 12, **settings: object) -> World:
    world = make_world([table(strategy)], rows(count), **settings)
    world.sync()
    return world


def test_added_column_of_rows_that_did_not_change_is_backfilled_on_the_bulk_lane(
    make_world: MakeWorld,
) -> None:
    world = loaded(make_world)
    add(world, "extra", 7)
    world.discover()
    assert filled(world, "extra") == dict.fromkeys(range(1, 13))
    runs = world.sync()
    assert "backfill" in purposes(world) and all(balanced(run) for run in runs)
    assert filled(world, "extra") == dict.fromkeys(range(1, 13), 7)
    assert world.state("t")["backfill"] is None
    world.sync()
    assert purposes(world).count("backfill") == 1


@pytest.mark.parametrize("strategy", ["hash", "full"])
def test_strategies_that_read_every_row_fill_an_added_column_with_their_next_run(
    make_world: MakeWorld, strategy: str
) -> None:
    world = loaded(make_world, strategy)
    add(world, "extra", 7)
    world.discover()
    world.sync()
    assert set(filled(world, "extra").values()) == {7}
    assert (purposes(world), world.state("t")["backfill"]) == (["delta", "delta"], None)


@pytest.mark.parametrize("strategy", ["rowversion", "hash"])
def test_added_column_that_holds_nothing_marks_no_row_updated(make_world: MakeWorld, strategy: str) -> None:
    world = loaded(make_world, strategy)
    before = stamps(world)
    add(world, "extra")
    world.discover()
    runs = world.sync()
    assert runs and [written(run) for run in runs] == [0] * len(runs)
    assert stamps(world) == before


def test_backfill_deletes_nothing(make_world: MakeWorld) -> None:
    world = loaded(make_world)
    world.put_entity("t", delete_after_missing=1)
    world.erp.delete("t", [{"id": 3}])
    add(world, "extra", 7)
    world.discover()
    world.sync()
    assert (3 in world.rows("t"), filled(world, "extra")[3], filled(world, "extra")[4]) == (True, None, 7)


@pytest.mark.parametrize("point", ["chunk.before_commit", "chunk.after_commit"])
def test_backfill_killed_in_the_middle_goes_on_where_it_was(make_world: MakeWorld, point: str) -> None:
    world = loaded(make_world, count=20)
    add(world, "extra", 7)
    world.discover()
    world.tick()
    while world.sql("SELECT 1 FROM bridge.sync_runs WHERE lane = 'delta' AND completed_at IS NULL"):
        world.deliver_one()
    assert kill_at(world, f"{point}")
    release(world)
    world.pump()
    assert set(filled(world, "extra").values()) == {7}
    runs = world.runs("t")[-2:]
    assert all(balanced(run) and run["status"] == "success" for run in runs)
    assert sum(run["updated"] for run in runs) == 20


def test_failed_backfill_begins_where_the_last_one_ended(make_world: MakeWorld) -> None:
    world = loaded(make_world, count=20, max_retries=0)
    add(world, "extra", 7)
    world.discover()
    world.sync_now("t")
    world.tick()
    world.erp.fail("/data/t", 503, times=40, skip=5)
    world.pump()
    failed = world.runs("t")[-1]
    assert (failed["status"], 0 < failed["fetched"] < 20) == ("failed", True)
    world.erp._failures.clear()
    world.sync()
    last = next(run for run in reversed(world.runs("t")) if run["updated"])
    assert (last["fetched"] + failed["fetched"], set(filled(world, "extra").values())) == (20, {7})


def test_column_that_came_back_is_filled_again(make_world: MakeWorld) -> None:
    world = loaded(make_world)
    world.erp.drop_column("t", "note")
    world.discover()
    world.sync_now("t")
    assert "note: the source no longer offers it" in warnings(world)
    add(world, "note", "back", "VARCHAR2(40)")
    world.discover()
    world.sync()
    assert set(filled(world, "note").values()) == {"back"}


def test_removed_column_stays_with_its_values(make_world: MakeWorld) -> None:
    world = loaded(make_world, "hash")
    world.erp.drop_column("t", "note")
    world.discover()
    run = world.sync_now("t")
    assert (run["status"], filled(world, "note")[5]) == ("success", "note 5")


def test_suspected_rename_alerts_with_both_names_until_a_person_acts(make_world: MakeWorld) -> None:
    world = loaded(make_world)
    world.erp.drop_column("t", "note")
    add(world, "notes", "x", "VARCHAR2(40)")
    for _ in range(2):
        world.discover()
        assert "t.note may have been renamed to notes" in warnings(world)
    mappings = [m for m in world.entity("t")["field_mappings"] if m["target"] != "notes"]
    renamed = [m | ({"source": "notes"} if m["target"] == "note" else {}) for m in mappings]
    world.put_entity("t", field_mappings=renamed)
    world.discover()
    assert "renamed" not in warnings(world)
    world.sync()
    assert set(filled(world, "note").values()) == {"x"}


def test_other_type_or_other_place_is_no_rename(make_world: MakeWorld) -> None:
    world = loaded(make_world)
    world.erp.drop_column("t", "note")
    add(world, "notes", 5, "NUMBER(9)")
    add(world, "remark", "x", "VARCHAR2(40)")
    world.discover()
    assert "renamed" not in warnings(world)


@pytest.mark.parametrize("strategy", ["rowversion", "hash"])
def test_wider_types_at_the_source_widen_the_target_and_mark_no_row(
    make_world: MakeWorld, strategy: str
) -> None:
    world = loaded(make_world, strategy)
    before = stamps(world)
    for member, kind in (("note", "VARCHAR2(400)"), ("id", "NUMBER(18)"), ("amount", "NUMBER(12,2)")):
        retype(world, member, kind)
    world.discover()
    assert {k: v for k, v in types_of(world).items() if k in ("id", "note", "amount")} == {
        "id": "bigint", "note": "character varying(400)", "amount": "numeric(12,2)"}  # fmt: skip
    world.erp.insert("t", [{"id": 10**12, "code": "big", "note": "n" * 300, "amount": 1e9}])
    assert written(world.sync_now("t")) == 1
    assert (stamps(world).items() >= before.items(), len(world.rows("t"))) == (True, 13)


def test_catalogue_only_widening_writes_no_row_anew(make_world: MakeWorld) -> None:
    world = loaded(make_world)
    file = "SELECT pg_relation_filenode('t') AS file"
    before = world.sql(file)
    retype(world, "note", "VARCHAR2(400)")
    retype(world, "amount", "NUMBER(14,2)")
    world.discover()
    assert (world.sql(file), types_of(world)["note"]) == (before, "character varying(400)")


@pytest.mark.parametrize(
    ("member", "kind", "stays"),
    [("note", "VARCHAR2(4)", "varchar(40)"), ("id", "NUMBER(4)", "integer"), ("amount", "NUMBER(8,4)", "numeric(8,2)"),
     ("note", "NUMBER(9)", "varchar(40)")],
)  # fmt: skip
def test_what_could_lose_something_is_refused_with_a_report(
    make_world: MakeWorld, member: str, kind: str, stays: str
) -> None:
    world = loaded(make_world)
    before = types_of(world)
    retype(world, member, kind)
    world.discover()
    assert (types_of(world), f"stays {stays}" in warnings(world)) == (before, True)


def test_widening_ends_the_run_whose_rows_are_encoded_for_the_old_type(make_world: MakeWorld) -> None:
    """T36: the chunk that was being made would be refused row by row, and rejects would stand for good rows."""
    world = loaded(make_world, count=20)
    for key in range(1, 21):
        world.erp.update("t", {"id": key}, {"note": "new"})
    seen = Event()

    def widen(request: object) -> None:
        if getattr(request, "path", "").startswith("/api/v1/data/") and not seen.is_set():
            seen.set()
            retype(world, "id", "NUMBER(18)")
            world.discover()

    uid = world.post(f"/api/v1/entities/{world.uid('t')}/sync")["run_uid"]
    world.erp.on_request = widen
    run = world.finish(uid)
    world.erp.on_request = lambda request: None
    assert (run["status"], run["error"]["code"], world.rejects("t")) == ("cancelled", "reconfigured", [])
    world.sync()
    assert set(filled(world, "note").values()) == {"new"}


def test_two_alters_at_once_are_serialised_and_both_land(make_world: MakeWorld) -> None:
    """T40."""
    world = loaded(make_world)
    add(world, "one", 1)
    connector = world.app.catalogue.connector(UUID(world.connector_uid))
    service = DiscoveryService(world.app.catalogue, uuid4)
    first = list(world.app.connectors.open(connector).list_apis())
    add(world, "two", 2)
    second = list(world.app.connectors.open(connector).list_apis())
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda d: service.discover(connector, d, actor="ada"), (first, second)))
    assert {one.status for found in outcomes for one in found} == {"refreshed"}
    assert {"one", "two"} <= set(types_of(world))


def test_alter_behind_a_long_reader_waits_its_turn_and_lets_others_read(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T40: the lock is asked for briefly, again and again; nobody queues behind it for long."""
    world = loaded(make_world)
    add(world, "extra", 7)
    pauses: list[float] = []
    retry = world.app.catalogue._retry
    with psycopg.connect(world.conninfo) as reader:
        reader.execute("SELECT * FROM t")

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 2:
                reader.rollback()

        monkeypatch.setattr(retry, "_pause", pause)
        monkeypatch.setattr(retry, "_lock_timeout_ms", 50)
        assert world.discover()["t"]["status"] == "refreshed"
    assert (len(pauses), "extra" in types_of(world)) == (2, True)


def test_frozen_contract_fails_discovery_and_run_and_changes_nothing(make_world: MakeWorld) -> None:
    world = loaded(make_world)
    world.put_entity("t", contract="freeze")
    before = (types_of(world), world.entity("t"))
    add(world, "extra", 7)
    found = world.discover()["t"]
    assert (found["status"], found["error"]["code"]) == ("failed", "schema_drift")
    assert "extra is new" in str(found["error"])
    world.erp.update("t", {"id": 1}, {"note": "later"})
    run = world.sync_now("t")
    assert (run["status"], run["error"]["code"]) == ("failed", "schema_drift")
    after = world.entity("t") | {k: before[1][k] for k in ("last_sync_at", "last_sync_status")}
    assert (types_of(world), after, filled(world, "note")[1]) == (*before, "note 1")


def test_reject_contract_turns_away_the_rows_that_carry_what_nobody_agreed_to(make_world: MakeWorld) -> None:
    world = loaded(make_world)
    world.put_entity("t", contract="reject", delete_after_missing=1)
    add(world, "extra", 7)
    world.discover()
    assert ("extra" in types_of(world), "extra is new; the contract keeps it out" in warnings(world)) == (
        False,
        True,
    )
    world.erp.update("t", {"id": 2}, {"note": "later"})
    run = world.sync_now("t")
    assert (run["status"], run["rejected"], balanced(run)) == ("partial", run["fetched"], True)
    reject = next(one for one in world.rejects("t") if one["key"] == "2")
    assert (reject["code"], reject["column"]) == ("unknown_column", "extra")
    assert '"extra":7' in reject["raw"].replace(" ", "")
    assert (world.sweep("t")["soft_deleted"], filled(world, "note")[2]) == (0, "note 2")


def test_contract_that_evolves_again_lets_the_column_in(make_world: MakeWorld) -> None:
    world = loaded(make_world)
    world.put_entity("t", contract="reject")
    add(world, "extra", 7)
    world.discover()
    world.erp.update("t", {"id": 2}, {"note": "later"})
    world.sync_now("t")
    world.put_entity("t", contract="evolve")
    world.discover()
    world.sync()
    assert (set(filled(world, "extra").values()), filled(world, "note")[2], world.rejects("t")) == (
        {7},
        "later",
        [],
    )


def test_column_added_while_a_run_walks_is_ignored_by_it_and_filled_later(make_world: MakeWorld) -> None:
    """T35: the run keeps the shape it began with."""
    world = make_world([table()], rows(20))
    done = Event()

    def grow(request: object) -> None:
        if getattr(request, "path", "").startswith("/api/v1/data/") and not done.is_set():
            done.set()
            add(world, "extra", 7)
            world.discover()

    world.erp.on_request = grow
    run = world.sync()[0]
    world.erp.on_request = lambda request: None
    assert (run["status"], run["inserted"], len(of_source(world))) == ("success", 20, 20)
    world.sync()
    assert set(filled(world, "extra").values()) == {7}


def test_rules_that_the_source_changes_wait_for_a_person_once_rows_are_loaded(make_world: MakeWorld) -> None:
    world = loaded(make_world)
    store = world.erp.store
    spec = store.spec("t")
    columns = tuple(replace(c, format={"case": "upper"}) if c.member == "note" else c for c in spec.columns)
    with store.transaction():
        store._save_spec(replace(spec, columns=columns))
    before = world.state("t")["generation"]
    world.discover()
    assert world.state("t")["generation"] == before
    assert "asks for other rules" in warnings(world)


def test_shape_that_a_run_met_is_asked_about_and_healed_by_the_next_tick(make_world: MakeWorld) -> None:
    world = loaded(make_world)
    add(world, "extra", 7)
    world.erp.update("t", {"id": 1}, {"note": "later"})
    world.sync()
    assert "extra" not in types_of(world)
    world.sync()
    assert set(filled(world, "extra").values()) == {7}
    world.erp.drop_column("t", "note")
    world.erp.update("t", {"id": 1}, {"extra": 8})
    assert [run["status"] for run in world.sync()] == ["failed"]
    assert (world.sync()[0]["status"], filled(world, "extra")[1], filled(world, "note")[2]) == (
        "success",
        8,
        "note 2",
    )


def test_column_that_the_connector_never_describes_is_asked_about_once(make_world: MakeWorld) -> None:
    world = loaded(make_world, "hash")
    store = world.erp.store
    add(world, "ghost", 7)
    spec = store.spec("t")
    with store.transaction():
        store._save_spec(replace(spec, columns=spec.columns[:-1]))
    asked = []
    for key in range(1, 4):
        world.erp.update("t", {"id": key}, {"note": "later"})
        before = len(world.erp.requests)
        world.sync()
        asked.append(sum(r.path == "/api/v1/apis" for r in list(world.erp.requests)[before:]))
    assert asked == [0, 1, 0]
