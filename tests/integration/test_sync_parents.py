"""Children wait for their parents: held, woken, released, given up and revived; nothing lands early or gets lost."""

from itertools import count
from typing import Any

import pytest

from infra.local.sample_erp import TableSpec, parse_columns
from shared.errors import TransientError
from shared.sync.guards import Guards
from shared.sync.ports import Fenced
from tests.integration.harness import MakeWorld, Row, World, balanced

AIRPORTS = TableSpec(slug="airports", keys=("faa",), strategy="hash",
                     columns=parse_columns("faa VARCHAR2(3) NOT NULL\nname VARCHAR2(40)"))  # fmt: skip
FLIGHTS_COLUMNS = parse_columns("id NUMBER(9) NOT NULL\ndest VARCHAR2(3)\nnote VARCHAR2(40)")
TO_AIRPORT = {"columns": ["dest"], "slug": "airports", "parent_columns": ["faa"]}
STRATEGIES = ("rowversion", "hash", "full")


def flights(strategy: Any) -> TableSpec:
    return TableSpec(slug="flights", keys=("id",), strategy=strategy, columns=FLIGHTS_COLUMNS)


def flight(number: int, dest: str | None = "JFK", note: str = "a") -> Row:
    return {"id": number, "dest": dest, "note": note}


@pytest.fixture(params=STRATEGIES)
def world(request: pytest.FixtureRequest, make_world: MakeWorld) -> World:
    """Flights to JFK, to SJU (an airport that is missing), to nowhere."""
    rows = {
        "airports": [{"faa": "JFK", "name": "Kennedy"}],
        "flights": [flight(1), flight(2, "SJU"), flight(3, None), flight(4, "SJU"), flight(5)],
    }
    made = make_world([AIRPORTS, flights(request.param)], rows, entity={"delete_after_missing": 1})
    made.put_entity("flights", parents=[TO_AIRPORT])
    return made


def children(world: World) -> dict[str, Row]:
    items = world.get("/api/v1/pending-children?limit=500")["items"]
    return {item["key"]: item for item in items}


def test_a_child_without_its_parent_is_held(world: World) -> None:
    world.sync()
    assert sorted(world.rows("flights")) == [1, 3, 5]
    run = world.runs("flights")[0]
    assert (run["status"], run["held"], run["inserted"], balanced(run)) == ("partial", 2, 3, True)
    waiting = children(world)
    assert sorted(waiting) == ["2", "4"]
    assert waiting["2"]["waiting_for"] == [{"entity": "airports", "key": "SJU"}]
    assert waiting["2"]["status"] == "waiting"


def test_an_arriving_parent_releases_exactly_its_children(world: World) -> None:
    world.erp.insert("flights", [flight(6, "BQN")])
    world.sync()
    world.erp.insert("airports", [{"faa": "SJU", "name": "San Juan"}])
    world.sync_now("airports")
    retry = next(run for run in world.runs("flights") if run["trigger"] == "retry")
    assert (retry["status"], retry["fetched"], retry["inserted"], retry["released"]) == ("success", 2, 2, 2)
    assert sorted(world.rows("flights")) == [1, 2, 3, 4, 5]
    assert sorted(children(world)) == ["6"]


def test_a_soft_deleted_parent_counts_as_absent(world: World) -> None:
    world.erp.insert("airports", [{"faa": f"X{n}", "name": "x"} for n in range(9)])
    world.sync()
    world.erp.delete("airports", [{"faa": "X1"}])
    world.sync_now("airports")
    world.erp.insert("flights", [flight(7, "X1"), flight(8, "X2")])
    world.sync_now("flights")
    assert (7 in world.rows("flights"), 8 in world.rows("flights")) == (False, True)
    assert children(world)["7"]["waiting_for"] == [{"entity": "airports", "key": "X1"}]


def test_a_revived_parent_releases_its_children(world: World) -> None:
    world.erp.insert("airports", [{"faa": f"X{n}", "name": "x"} for n in range(9)])
    world.sync()
    world.erp.delete("airports", [{"faa": "X1"}])
    world.sync_now("airports")
    world.erp.insert("flights", [flight(7, "X1")])
    world.sync_now("flights")
    world.erp.insert("airports", [{"faa": "X1", "name": "again"}])
    world.sync_now("airports")
    assert 7 in world.rows("flights")


def test_a_child_superseded_while_waiting_lands_in_its_newest_version(world: World) -> None:
    world.sync()
    world.erp.update("flights", {"id": 2}, {"note": "newer"})
    world.sync_now("flights")
    assert len(world.sql("SELECT 1 FROM bridge.pending_children WHERE key = '2'")) == 1
    world.erp.insert("airports", [{"faa": "SJU", "name": "San Juan"}])
    world.sync_now("airports")
    assert world.rows("flights")[2]["note"] == "newer"


def test_a_live_row_keeps_its_old_version_while_its_new_one_waits(world: World) -> None:
    world.sync()
    uid = {row["id"]: row["_bridge_uid"] for row in world.stored("flights")}[1]
    world.erp.update("flights", {"id": 1}, {"dest": "SJU", "note": "moved"})
    world.sync_now("flights")
    assert (world.rows("flights")[1]["dest"], "1" in children(world)) == ("JFK", True)
    world.erp.insert("airports", [{"faa": "SJU", "name": "San Juan"}])
    world.sync_now("airports")
    assert (world.rows("flights")[1]["note"], children(world)) == ("moved", {})
    assert {row["id"]: row["_bridge_uid"] for row in world.stored("flights")}[1] == uid


def test_a_child_that_no_longer_needs_its_parent_lands_and_waits_no_more(world: World) -> None:
    world.sync()
    world.erp.update("flights", {"id": 2}, {"dest": "JFK"})
    run = world.sync_now("flights")
    assert (world.rows("flights")[2]["dest"], run["released"], run["inserted"]) == ("JFK", 1, 1)
    assert sorted(children(world)) == ["4"]


def test_a_child_deleted_while_waiting_is_never_resurrected(world: World) -> None:
    world.sync()
    world.erp.delete("flights", [{"id": 2}])
    world.sync_now("flights")
    world.sweep("flights")
    assert sorted(children(world)) == ["4"]
    world.erp.insert("airports", [{"faa": "SJU", "name": "San Juan"}])
    world.sync_now("airports")
    assert sorted(world.rows("flights")) == [1, 3, 4, 5]


def test_after_five_attempts_a_child_is_an_orphan_that_its_parent_still_revives(world: World) -> None:
    world.sync()
    for _ in range(5):
        assert children(world)["2"]["status"] == "waiting"
        world.sql("UPDATE bridge.awaited_parents SET next_attempt_at = now()")
        world.app.retry_rejects()
    assert (children(world)["2"]["status"], children(world)["2"]["attempts"]) == ("orphan", 5)
    world.erp.insert("airports", [{"faa": "SJU", "name": "San Juan"}])
    world.sync_now("airports")
    assert (2 in world.rows("flights"), children(world)) == (True, {})


def test_a_wake_up_that_got_lost_is_found_by_time(world: World) -> None:
    world.sync()
    world.erp.insert("airports", [{"faa": "SJU", "name": "San Juan"}])
    world.sql("ALTER TABLE bridge.awaited_parents RENAME TO out_of_sight")
    world.sql("CREATE TABLE bridge.awaited_parents (LIKE bridge.out_of_sight)")
    world.sync_now("airports")
    world.sql("DROP TABLE bridge.awaited_parents")
    world.sql("ALTER TABLE bridge.out_of_sight RENAME TO awaited_parents")
    world.sql("UPDATE bridge.awaited_parents SET next_attempt_at = now()")
    world.app.retry_rejects()
    world.pump()
    assert sorted(world.rows("flights")) == [1, 2, 3, 4, 5]


def test_a_parent_no_longer_declared_keeps_nobody_waiting(world: World) -> None:
    world.sync()
    world.put_entity("flights", parents=[])
    world.sql("UPDATE bridge.awaited_parents SET next_attempt_at = now()")
    world.app.retry_rejects()
    world.pump()
    assert sorted(world.rows("flights")) == [1, 2, 3, 4, 5]
    assert children(world) == {}


def test_parents_go_first_in_a_tick(world: World) -> None:
    world.erp.insert("airports", [{"faa": "SJU", "name": "San Juan"}])
    world.sync()
    assert [run["held"] for run in world.runs("flights")] == [0]
    assert world.runs("airports")[0]["started_at"] < world.runs("flights")[0]["started_at"]


def test_released_rows_are_progress_that_failures_before_them_do_not_use_up(world: World) -> None:
    world.erp.insert(
        "flights", [flight(n, "SJU") for n in range(6, 14)]
    )  # with two more: three batches of four
    world.sync()
    world.erp.insert("airports", [{"faa": "SJU", "name": "San Juan"}])
    fence = Guards().fence
    calls = count()

    def every_other(transaction: Fenced) -> None:
        if next(calls) % 2 == 0:
            raise TransientError("the connection broke")
        fence(transaction)

    world.compose(Guards(fence=every_other), chunk_rows=1, max_retries=1)
    world.sync_now("airports")
    retry = next(run for run in world.runs("flights") if run["trigger"] == "retry")
    assert (retry["status"], retry["released"], retry["attempt"] > 1) == ("success", 10, True)


# Rows of one table that refer to each other.

STAFF_COLUMNS = parse_columns("id NUMBER(9) NOT NULL\nboss NUMBER(9)\nnote VARCHAR2(40)")
TO_BOSS = {"columns": ["boss"], "slug": "staff", "parent_columns": ["id"]}


@pytest.fixture(params=STRATEGIES)
def staff(request: pytest.FixtureRequest, make_world: MakeWorld) -> World:
    """Nobody yet; the chunks hold six rows."""
    table = TableSpec(slug="staff", keys=("id",), strategy=request.param, columns=STAFF_COLUMNS)
    made = make_world([table], {"staff": [{"id": 1000, "boss": None, "note": "top"}]})
    made.put_entity("staff", parents=[TO_BOSS])
    return made


def person(number: int, boss: int | None) -> Row:
    return {"id": number, "boss": boss, "note": "x"}


def test_a_chain_in_reverse_order_settles_across_chunks(staff: World) -> None:
    staff.erp.insert("staff", [person(n, n + 1) for n in range(1, 40)] + [person(40, 1000)])
    staff.sync()
    assert sorted(staff.rows("staff")) == [*range(1, 41), 1000]
    assert (children(staff), all(map(balanced, staff.runs()))) == ({}, True)


def test_a_circle_within_a_chunk_or_across_chunks_lands_together(staff: World) -> None:
    staff.erp.insert("staff", [person(1, 2), person(2, 1), person(3, 3)])
    staff.erp.insert("staff", [person(n, n + 1) for n in range(10, 60)] + [person(60, 10)])
    staff.sync()
    assert sorted(staff.rows("staff")) == [1, 2, 3, *range(10, 61), 1000]
    assert children(staff) == {}


def test_a_chain_waits_whole_for_its_missing_end(staff: World) -> None:
    staff.erp.insert("staff", [person(n, n + 1) for n in range(1, 30)])
    staff.sync()
    assert (sorted(staff.rows("staff")), len(children(staff))) == ([1000], 29)
    staff.erp.insert("staff", [person(30, None)])
    staff.sync_now("staff")
    assert (sorted(staff.rows("staff")), children(staff)) == ([*range(1, 31), 1000], {})


def test_rows_of_two_tables_that_wait_for_each_other_say_so_and_land_once_one_waits_no_longer(
    make_world: MakeWorld,
) -> None:
    columns = parse_columns("id NUMBER(9) NOT NULL\nother NUMBER(9)")
    tables = [
        TableSpec(slug=slug, keys=("id",), strategy="hash", columns=columns) for slug in ("left", "right")
    ]
    world = make_world(tables, {"left": [{"id": 1, "other": 2}, {"id": 7, "other": 99}],
                                "right": [{"id": 2, "other": 1}, {"id": 3, "other": None}]})  # fmt: skip
    parents = {"left": "right", "right": "left"}
    for child, parent in parents.items():
        to_parent = {"columns": ["other"], "slug": parent, "parent_columns": ["id"]}
        world.put_entity(child, parents=[to_parent])
    world.sync()
    assert (sorted(world.rows("left")), sorted(world.rows("right"))) == ([], [3])
    assert {child["message"] for child in children(world).values()} == {None}
    for _ in range(5):
        world.sql("UPDATE bridge.awaited_parents SET next_attempt_at = now()")
        world.app.retry_rejects()
    said = {
        key: (child["status"], "waits as well" in (child["message"] or ""))
        for key, child in children(world).items()
    }
    assert said == {"1": ("orphan", True), "2": ("orphan", True), "7": ("orphan", False)}
    world.put_entity("left", parents=[])
    world.sql("UPDATE bridge.awaited_parents SET next_attempt_at = now()")
    world.app.retry_rejects()
    world.pump()
    assert (sorted(world.rows("left")), sorted(world.rows("right"))) == ([1, 7], [2, 3])
    assert children(world) == {}
