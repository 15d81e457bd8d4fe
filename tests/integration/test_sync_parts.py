"""A table read in parts: the work of one walk, done once, in whatever order its slices come."""

import random
from typing import Any

import pytest

from infra.local.sample_erp import TableSpec, parse_columns
from tests.integration.harness import MakeWorld, Row, World, balanced

COLUMNS = parse_columns("id NUMBER(9) NOT NULL\n note VARCHAR2(40)")
ROWS = 97
STRATEGIES = ["full", "hash", "rowversion"]


def cut(make_world: MakeWorld, strategy: Any, **settings: Any) -> World:
    """A table of ten parts."""
    table = TableSpec(slug="t", keys=("id",), strategy=strategy, columns=COLUMNS)
    rows = {"t": [{"id": i, "note": f"n{i}"} for i in range(ROWS)]}
    return make_world([table], rows, entity={"delete_after_missing": 1}, split_rows=10, **settings)


def slices(world: World, run: Row) -> list[Row]:
    return world.sql("SELECT * FROM bridge.sync_slices WHERE run_uid = %s ORDER BY slice", run["uid"])


def shuffled(world: World, seed: int) -> None:
    """Deliver what is queued in any order, some of it twice."""
    chance = random.Random(seed)
    while messages := list(world.queue.receive_messages(max_messages=32, visibility_timeout=600)):
        chance.shuffle(messages)
        for message in messages:
            for _ in range(chance.choice([1, 1, 2])):
                world.app.sync_table(message.content.encode(), message.id, message.dequeue_count)
            world.queue.delete_message(message)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_parts_load_each_row_once_and_one_slice_concludes(make_world: MakeWorld, strategy: str) -> None:
    world = cut(make_world, strategy)
    (run,) = world.sync()
    kinds = [one["kind"] for one in slices(world, run)]
    assert kinds == ["walk"] * 10 + ["conclude"] + ["publish"] * (strategy == "full")
    assert (run["status"], run["fetched"], run["inserted"]) == ("success", ROWS, ROWS)
    assert balanced(run) and len(world.rows("t")) == ROWS
    assert world.sync() == []


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("seed", range(3))
def test_order_and_repeats_of_the_slices_change_nothing(
    make_world: MakeWorld, strategy: str, seed: int
) -> None:
    world = cut(make_world, strategy, slice_budget_seconds=0.001)
    world.sync()
    world.erp.update("t", {"id": 50}, {"note": "changed"})
    world.erp.delete("t", [{"id": 3}, {"id": 90}])
    run = world.post(f"/api/v1/entities/{world.uid('t')}/full-refresh")["run_uid"]
    shuffled(world, seed)
    seen = world.finish(run)
    counts = (seen["fetched"], seen["updated"], seen["soft_deleted"], seen["unchanged"])
    assert (seen["status"], *counts) == ("success", ROWS - 2, 1, 2, ROWS - 3)
    assert world.rows("t")[50]["note"] == "changed" and len(world.rows("t")) == ROWS - 2


def test_part_that_fails_for_good_ends_the_run_and_takes_the_others_along(make_world: MakeWorld) -> None:
    world = cut(make_world, "hash")
    world.tick()
    world.deliver_one()
    world.erp.fail("/data/t", 403, times=1)
    world.deliver_one()
    (run,) = world.runs()
    left = {one["status"] for one in slices(world, run)}
    assert (run["status"], left) == ("failed", {"done", "failed", "cancelled"})
    world.pump()
    assert len(world.rows("t")) == 10, "no slice of an ended run may land anything"
    assert [run["status"] for run in world.sync()] == ["success"] and len(world.rows("t")) == ROWS


def test_row_that_changed_behind_a_part_already_read_is_in_the_next_delta(make_world: MakeWorld) -> None:
    world = cut(make_world, "rowversion")
    world.tick()
    world.deliver_one()
    world.erp.update("t", {"id": 1}, {"note": "after its part was read"})
    world.erp.update("t", {"id": 95}, {"note": "before its part was read"})
    world.pump()
    world.sync()
    assert world.rows("t")[1]["note"] == "after its part was read"


def test_small_tables_and_sources_without_ranges_are_read_in_one_walk(make_world: MakeWorld) -> None:
    world = cut(make_world, "hash")
    world.erp.behave("t", ranges=False)
    assert [len(slices(world, run)) for run in world.sync()] == [1]
    world.erp.behave("t", ranges=True)
    world.compose(split_rows=ROWS)
    world.erp.update("t", {"id": 1}, {"note": "x"})
    assert [len(slices(world, run)) for run in world.sync()] == [1]


def test_deltas_are_never_cut(make_world: MakeWorld) -> None:
    world = cut(make_world, "rowversion")
    world.sync()
    for number in range(30):
        world.erp.update("t", {"id": number}, {"note": "x"})
    assert [(len(slices(world, run)), run["updated"]) for run in world.sync()] == [(1, 30)]
