"""Another business key, other rules, narrower types: planned first, then done without losing a row (T27)."""

from typing import Any

import pytest

from shared.sync.guards import Guards
from tests.integration.drifting import COLUMNS, kill_at, release, rows, stamps, table, types_of
from tests.integration.harness import MakeWorld, Row, World, written


def loaded(make_world: MakeWorld, strategy: str = "hash", **settings: Any) -> World:
    world = make_world([table(strategy)], rows(20), entity={"delete_after_missing": 1}, **settings)
    world.sync()
    return world


def ask(world: World, plan_hash: str = "", **changes: Any) -> Any:
    entity = world.entity("t")
    query = f"?plan_hash={plan_hash}" if plan_hash else ""
    return world.ask("PUT", f"/api/v1/entities/{entity['uid']}{query}", entity | changes)


def typed(world: World, target: str, kind: str) -> list[Row]:
    mappings = world.entity("t")["field_mappings"]
    return [m | ({"type": kind} if m["target"] == target else {}) for m in mappings]


def settled(world: World) -> list[Row]:
    """What follows a change: ticks until the rows are hashed anew and a sync has read them."""
    runs = world.sync()
    return [*runs, *world.sync(), *world.sync()]


def test_another_key_answers_its_plan_first_and_changes_nothing(make_world: MakeWorld) -> None:
    world = loaded(make_world)
    before = world.entity("t")
    answer = ask(world, business_keys=["code"])
    plan = answer.json()["plan"]
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:tributary:plan_needed")
    assert [act["kind"] for act in plan["actions"]] == ["rekey", "rules", "end_runs", "read_all"]
    assert plan["actions"][0]["destructive"] and "id becomes code" in plan["text"]
    assert (world.entity("t"), world.state("t")["generation"]) == (before, 1)


def test_plan_of_yesterday_is_stale(make_world: MakeWorld) -> None:
    world = loaded(make_world)
    plan_hash = ask(world, business_keys=["code"]).json()["plan"]["plan_hash"]
    world.put_entity("t", page_size=5)
    answer = ask(world, plan_hash, business_keys=["code"])
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:tributary:plan_stale")
    again = answer.json()["plan"]["plan_hash"]
    assert (again != plan_hash, ask(world, again, business_keys=["code"]).status_code) == (True, 200)


@pytest.mark.parametrize("strategy", ["hash", "rowversion", "full"])
def test_another_key_keeps_every_row_and_uid_and_deletes_none(make_world: MakeWorld, strategy: str) -> None:
    """T27: the classic damage is all old rows deleted and all new ones inserted."""
    world = loaded(make_world, strategy)
    before = stamps(world)
    world.put_entity("t", business_keys=["code"])
    runs = settled(world)
    assert [written(run) for run in runs] == [0] * len(runs)
    assert (stamps(world), world.state("t")["rehash"]) == (before, None)
    for _ in range(2):
        world.sweep("t") if strategy == "rowversion" else world.sync_now("t")
    assert (stamps(world), all(not row["_bridge_deleted"] for row in world.stored("t"))) == (before, True)
    assert {row["_bridge_erp_ref_str"] for row in world.stored("t")} == {f"c{i:03d}" for i in range(1, 21)}


def test_rows_matched_by_the_new_key_change_their_old_one(make_world: MakeWorld) -> None:
    world = loaded(make_world)
    uid = {row["code"]: row["_bridge_uid"] for row in world.stored("t")}
    world.put_entity("t", business_keys=["code"])
    settled(world)
    world.erp.delete("t", [{"id": 3}])
    world.erp.insert("t", [{"id": 300, "code": "c003", "note": "moved", "amount": 1}])
    run = world.sync_now("t")
    row = world.rows("t", "code")["c003"]
    assert (run["updated"], run["inserted"], run["soft_deleted"], row["id"]) == (1, 0, 0, 300)
    assert {row["code"]: row["_bridge_uid"] for row in world.stored("t")} == uid


def test_deletes_are_found_again_under_the_new_key(make_world: MakeWorld) -> None:
    world = loaded(make_world)
    world.put_entity("t", business_keys=["code"])
    settled(world)
    world.erp.delete("t", [{"id": 3}])
    assert world.sync_now("t")["soft_deleted"] == 1


@pytest.mark.parametrize(
    ("change", "count"), [({"code": "c002"}, "1 rows repeat"), ({"code": None}, "1 rows have a NULL")]
)
def test_key_that_stored_rows_contradict_is_refused_with_counts(
    make_world: MakeWorld, change: Row, count: str
) -> None:
    loose = table("hash", COLUMNS.replace("code VARCHAR2(20) NOT NULL", "code VARCHAR2(20)"))
    world = make_world([loose], rows(5))
    world.erp.update("t", {"id": 1}, change)
    world.sync()
    plan_hash = ask(world, business_keys=["code"]).json()["plan"]["plan_hash"]
    answer = ask(world, plan_hash, business_keys=["code"])
    assert (answer.status_code, count in answer.text) == (409, True), answer.text
    assert world.entity("t")["business_keys"] == ["id"]


def test_run_in_flight_ends_when_the_key_changes(make_world: MakeWorld) -> None:
    """T27: its rows would come under the old key."""
    world = loaded(make_world)
    world.erp.insert("t", [{"id": 77, "code": "late", "note": "x", "amount": 1}])
    uid = world.post(f"/api/v1/entities/{world.uid('t')}/sync")["run_uid"]
    done: list[bool] = []

    def change(request: Any) -> None:
        if request.path.startswith("/api/v1/data/") and not done:
            done.append(True)
            world.put_entity("t", business_keys=["code"])

    world.erp.on_request = change
    run = world.finish(uid)
    world.erp.on_request = lambda request: None
    assert (run["status"], run["error"]["code"]) == ("cancelled", "reconfigured")
    settled(world)
    assert (len(world.rows("t")), world.state("t")["deletes_barred"]) == (21, False)


def test_nothing_else_runs_before_the_rows_are_hashed_anew(make_world: MakeWorld) -> None:
    world = loaded(make_world)
    world.put_entity("t", business_keys=["code"])
    answer = world.ask("POST", f"/api/v1/entities/{world.uid('t')}/sync")
    assert (answer.status_code, "hashed anew" in answer.text) == (409, True)
    world.tick()
    assert [
        r["purpose"] for r in world.sql("SELECT purpose FROM bridge.sync_runs WHERE status = 'queued'")
    ] == ["rehash"]
    world.pump()
    assert world.sync_now("t")["status"] == "success"


@pytest.mark.parametrize(
    "point", ["rehash.before_commit", "rehash.after_commit", "finish.before", "finish.after"]
)
def test_rehash_killed_in_the_middle_goes_on_where_it_was(make_world: MakeWorld, point: str) -> None:
    world = loaded(make_world)
    before = stamps(world)
    world.put_entity("t", business_keys=["code"])
    world.tick()
    assert kill_at(world, f"{point}")
    release(world)
    world.pump()
    run = world.runs("t")[-1]
    assert (run["status"], run["fetched"], run["unchanged"]) == ("success", 20, 20)
    assert (stamps(world), world.state("t")["rehash"]) == (before, None)


def test_rehash_hands_over_when_its_time_is_up(make_world: MakeWorld) -> None:
    world = loaded(make_world)
    world.put_entity("t", business_keys=["code"])
    world.compose(chunk_rows=3, slice_budget_seconds=0.000001)
    world.tick()
    assert world.pump() >= 6
    assert (world.runs("t")[-1]["fetched"], world.state("t")["rehash"]) == (20, None)


@pytest.mark.parametrize("guarded", [True, False])
def test_rehash_of_a_stopped_run_writes_nothing_more(make_world: MakeWorld, guarded: bool) -> None:
    """The fence, taken away: a run that a person stopped goes on hashing."""
    world = loaded(make_world)
    world.put_entity("t", business_keys=["code"])
    world.tick()
    world.compose(None if guarded else Guards(fence=lambda _: None), chunk_rows=5)
    run = world.runs("t")[-1]["uid"]
    told: list[str] = []
    rehash = world.app.runner.target.rehash

    def stopping(claim: Any) -> Any:
        told.append(run)
        if len(told) == 2:
            world.post(f"/api/v1/sync/stop/{run}")
        return rehash(claim)

    object.__setattr__(world.app.runner.target, "rehash", stopping)
    world.pump()
    hashed = sum(row["_bridge_erp_ref_str"].startswith("c") for row in world.stored("t"))
    assert (hashed == 5) == guarded


@pytest.mark.parametrize("guarded", [True, False])
def test_without_the_rehash_the_new_key_would_have_every_row_deleted(
    make_world: MakeWorld, guarded: bool
) -> None:
    """T27, the rule taken away: stored key hashes speak of the old key, so a later pass misses them all."""
    world = loaded(make_world)
    world.put_entity("t", business_keys=["code"])
    if not guarded:
        world.sql("UPDATE bridge.erp_sync_state SET rehash = NULL")
    settled(world)
    world.sync_now("t")
    run = world.sync_now("t")
    assert ((run["error"] or {}).get("code") == "delete_guard") == (not guarded)


def test_rules_of_a_loaded_table_need_a_plan_and_an_added_mapping_does_not(make_world: MakeWorld) -> None:
    world = loaded(make_world)
    mappings = world.entity("t")["field_mappings"]
    upper = [
        m | ({"rules": m["rules"] | {"case": "upper"}} if m["target"] == "note" else {}) for m in mappings
    ]
    answer = ask(world, field_mappings=upper)
    assert (answer.status_code, answer.json()["plan"]["actions"][0]["kind"]) == (409, "rules")
    more = [*mappings, {"source": "note", "target": "copy", "type": "varchar(40)"}]
    assert ask(world, field_mappings=more).status_code == 200
    assert (world.state("t")["generation"], world.state("t")["backfill"]) == (1, ["copy"])


def test_table_without_rows_needs_no_plan(make_world: MakeWorld) -> None:
    world = make_world([table("hash")], rows(3))
    assert ask(world, business_keys=["code"]).status_code == 200


def test_narrower_type_that_fits_every_stored_value_is_done_after_its_plan(make_world: MakeWorld) -> None:
    world = loaded(make_world)
    mappings = typed(world, "note", "varchar(10)")
    answer = ask(world, field_mappings=mappings)
    assert answer.json()["plan"]["actions"][0]["kind"] == "narrow"
    assert ask(world, answer.json()["plan"]["plan_hash"], field_mappings=mappings).status_code == 200
    assert types_of(world)["note"] == "character varying(10)"
    world.erp.update("t", {"id": 1}, {"note": "more than ten"})
    run = world.sync_now("t")
    assert (run["rejected"], run["updated"], len(world.rows("t"))) == (1, 0, 20)


@pytest.mark.parametrize(
    ("target", "kind", "fits"),
    [("note", "varchar(5)", False), ("amount", "numeric(4,1)", True), ("amount", "numeric(8,0)", False),
     ("amount", "numeric(3,2)", False), ("id", "smallint", True), ("amount", "integer", False)],
)  # fmt: skip
def test_narrowing_never_rounds_and_never_cuts(
    make_world: MakeWorld, target: str, kind: str, fits: bool
) -> None:
    world = loaded(make_world)
    before = [world.rows("t"), types_of(world)]
    mappings = typed(world, target, kind)
    # A type that is neither wider nor narrower has no plan at all: 422.
    plan = ask(world, field_mappings=mappings).json().get("plan", {"plan_hash": "none"})
    answer = ask(world, plan["plan_hash"], field_mappings=mappings)
    assert (answer.status_code == 200) == fits, answer.text
    assert (world.rows("t"), types_of(world) == before[1]) == (before[0], not fits)
