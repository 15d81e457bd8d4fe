"""Children wait for their parents: held, woken, released, given up and revived; nothing lands early or gets lost."""

from typing import Any

import pytest

from infra.local.sample_erp import TableSpec, parse_columns
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
