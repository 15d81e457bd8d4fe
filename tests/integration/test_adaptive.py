"""An adaptive entity over a real database and source: its figures follow latency and changes, and it says so."""

import json
from dataclasses import replace
from datetime import datetime

import pytest

from infra.local.sample_erp import TableSpec, parse_columns
from shared.composition import App
from tests.integration.harness import MakeWorld, World

ORDERS = TableSpec(
    slug="orders", keys=("id",), strategy="hash", columns=parse_columns("id NUMBER(9) NOT NULL\n note VARCHAR2(40)")
)  # fmt: skip
ROWS: list[dict[str, object]] = [{"id": i, "note": "a"} for i in range(60)]
ADAPTIVE = {"adaptive": True, "sync_interval_seconds": 400}


class Hurried:
    """A clock whose seconds pass five hundred at a time, so that milliseconds of latency are a slow source."""

    def __init__(self, app: App) -> None:
        self._clock = app.clock

    def now(self) -> datetime:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic() * 500


def slow_clock(world: World) -> None:
    world.app.runner = replace(world.app.runner, clock=Hurried(world.app), budget_s=1e9)


def touch(world: World, value: str) -> None:
    """Change something, and sync what the probe then finds."""
    world.erp.update("orders", {"id": 1}, {"note": value})
    world.sync()


def asked(world: World) -> list[str]:
    """The page sizes that the source was asked with, run by run."""
    sizes = [r.parameters["page_size"] for r in world.erp.requests if r.path.endswith("/data/orders")]
    return [size for i, size in enumerate(sizes) if not i or sizes[i - 1] != size]


def test_pages_grow_where_each_costs_the_same_up_to_ten_times_what_was_asked(make_world: MakeWorld) -> None:
    world = make_world([ORDERS], {"orders": ROWS}, entity=ADAPTIVE | {"page_size": 2})
    world.erp.behave("orders", latency_ms=10)
    world.sync()
    for value in "bcdefg":
        touch(world, value)
    assert asked(world) == ["2", "4", "8", "16", "20"]
    told = world.entity("orders")["adapted"]
    assert (told["page_size"], [c["after"] for c in told["changes"]]) == (20, [4, 8, 16, 20])


def test_pages_of_a_slow_source_shrink_until_that_is_no_use(
    make_world: MakeWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    world = make_world([ORDERS], {"orders": ROWS}, entity=ADAPTIVE | {"page_size": 20}, log_level="INFO")
    world.erp.behave("orders", latency_ms=60)
    slow_clock(world)
    world.sync()
    for value in "bcd":
        touch(world, value)
    assert asked(world) == ["20", "10"]
    (change,) = world.entity("orders")["adapted"]["changes"]
    assert (change["setting"], change["before"], change["after"]) == ("page_size", 20, 10)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if '"adapted"' in line]
    assert [(t["entity"], t["reason"]) for t in lines] == [("orders", change["reason"])]


def test_slices_of_one_run_add_up_what_their_pages_took(make_world: MakeWorld) -> None:
    world = make_world(
        [ORDERS], {"orders": ROWS}, entity=ADAPTIVE | {"page_size": 2}, slice_budget_seconds=0.001
    )
    world.erp.behave("orders", latency_ms=5)
    (run,) = world.sync()
    (row,) = world.sql("SELECT cursor FROM bridge.sync_slices")
    assert (run["status"], row["cursor"]["spent"]["pages"], world.state("orders")["adapted"] is None) == (
        "success", 29, False,
    )  # fmt: skip


def interval(world: World) -> int:
    """Seconds from the last look to the next."""
    state = world.state("orders")
    return round((state["due_at"] - state["last_probed_at"]).total_seconds())


def test_interval_grows_while_nothing_changes_and_shrinks_while_it_does(make_world: MakeWorld) -> None:
    world = make_world([ORDERS], {"orders": ROWS}, entity=ADAPTIVE)
    assert len(world.sync()) == 1  # a first load says nothing of the rate
    for _ in range(8):
        assert world.sync() == []
    assert (interval(world), world.entity("orders")["adapted"]["sync_interval_seconds"]) == (600, 600)
    for value in range(9):
        touch(world, f"v{value}")
    assert interval(world) == 400
    reasons = [
        c["reason"] for c in world.entity("orders")["adapted"]["changes"] if "interval" in c["setting"]
    ]
    assert reasons == ["0 of 8 looks met a change", "8 of 8 looks met a change"]


def test_what_a_person_asks_for_anew_is_where_learning_begins_again(make_world: MakeWorld) -> None:
    world = make_world([ORDERS], {"orders": ROWS}, entity=ADAPTIVE)
    for _ in range(9):
        world.sync()
    assert interval(world) == 600
    put = world.put_entity("orders", sync_interval_seconds=100)
    assert put["adapted"]["sync_interval_seconds"] is None
    world.sync()
    assert interval(world) == 100
    world.put_entity("orders", adaptive=False, sync_interval_seconds=400)
    world.sync()
    assert (interval(world), world.entity("orders")["adapted"]) == (400, None)


def test_entity_that_does_not_ask_for_it_learns_nothing(make_world: MakeWorld) -> None:
    world = make_world([ORDERS], {"orders": ROWS}, entity={"page_size": 2, "sync_interval_seconds": 400})
    for _ in range(9):
        world.sync()
    assert (world.state("orders")["adapted"], interval(world)) == (None, 400)
