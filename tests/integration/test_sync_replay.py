"""Rejects tried again: through today's rules, never over a newer row, one by one or by filter."""

from typing import Any

import pytest

from infra.local.sample_erp import TableSpec, parse_columns
from tests.integration.harness import MakeWorld, Row, World, balanced

COLUMNS = parse_columns("id NUMBER(9) NOT NULL\namount NUMBER(9,2)\nnote VARCHAR2(40)")
STRATEGIES = ("rowversion", "hash", "full")


def row(number: int, amount: object = 1, note: str = "a") -> Row:
    return {"id": number, "amount": amount, "note": note}


@pytest.fixture(params=STRATEGIES)
def world(request: pytest.FixtureRequest, make_world: MakeWorld) -> World:
    """Five orders; the second and the fourth are refused."""
    table = TableSpec(slug="orders", keys=("id",), strategy=request.param, columns=COLUMNS)
    rows = [row(1), row(2), row(3), row(4), row(5)]
    made = make_world([table], {"orders": rows}, entity={"delete_after_missing": 1})
    made.erp.break_row("orders", {"id": 2}, "amount", "n/a")
    made.erp.break_row("orders", {"id": 4}, "amount", "1,5,5")
    made.sync()
    return made


def accept(world: World, **rules: Any) -> None:
    """Change the rules of `amount`, as a person does."""
    mappings = world.entity("orders")["field_mappings"]
    for mapping in mappings:
        if mapping["source"] == "amount":
            mapping["rules"] |= rules
    world.put_entity("orders", field_mappings=mappings)


def retry(world: World, **wanted: Any) -> Row:
    answer: Row = world.post("/api/v1/sync/retry-failed", wanted)
    world.pump()
    return answer


def test_a_reject_lands_under_the_repaired_rule_and_the_other_stays(world: World) -> None:
    accept(world, null_values=["n/a"])
    asked = retry(world)
    run = world.get(f"/api/v1/runs/{asked['runs'][0]['run_uid']}")
    assert (asked["marked"], run["fetched"], run["inserted"], run["rejected"]) == (2, 2, 1, 1)
    assert (run["trigger"], run["status"], balanced(run)) == ("retry", "partial", True)
    assert sorted(world.rows("orders")) == [1, 2, 3, 5]
    assert [(one["key"], one["attempts"]) for one in world.rejects("orders")] == [("4", 1)]


def test_a_replay_never_overwrites_a_newer_row(world: World) -> None:
    """The row was repaired at the source and has landed; then somebody opens the old reject again and replays it."""
    world.erp.update("orders", {"id": 2}, {"amount": 7, "note": "newer"})
    world.sync_now("orders")
    accept(world, null_values=["n/a"])
    world.sql("UPDATE bridge.failed_records SET status = 'open' WHERE key = '2'")
    run = world.get(f"/api/v1/runs/{retry(world)['runs'][0]['run_uid']}")
    assert (world.rows("orders")[2]["note"], run["superseded"]) == ("newer", 1)


def test_filters_choose_what_is_tried_again(world: World) -> None:
    accept(world, null_values=["n/a", "1,5,5"])
    codes = {one["key"]: one["code"] for one in world.rejects("orders")}
    assert codes == {"2": "bad_number", "4": "bad_grouping"}
    assert retry(world, code="bad_grouping", entity_uid=world.uid("orders"))["marked"] == 1
    assert sorted(world.rows("orders")) == [1, 3, 4, 5]
    assert retry(world, min_age_seconds=3600)["marked"] == 0
    uid = world.rejects("orders")[0]["uid"]
    assert world.post(f"/api/v1/failed-records/{uid}/retry")["marked"] == 1
    world.pump()
    assert (sorted(world.rows("orders")), world.rejects("orders")) == ([1, 2, 3, 4, 5], [])


def test_a_discarded_reject_says_who_and_why_and_is_tried_no_more(world: World) -> None:
    uid = world.rejects("orders")[0]["uid"]
    done = world.post(f"/api/v1/failed-records/{uid}/discard", {"reason": "a test order"})
    assert (done["status"], done["closed_by"], done["reason"]) == ("discarded", "ada", "a test order")
    assert world.ask("POST", f"/api/v1/failed-records/{uid}/retry").status_code == 409
    assert world.ask("POST", f"/api/v1/failed-records/{uid}/discard", {"reason": "x"}).status_code == 409
    counts = world.get("/api/v1/failed-records/counts")["items"]
    assert [(one["code"], one["count"]) for one in counts] == [("bad_grouping", 1)] or len(counts) == 1


def test_a_raw_row_is_kept_for_its_days_and_no_longer(world: World) -> None:
    world.sql("UPDATE bridge.failed_records SET updated_at = now() - interval '91 days' WHERE key = '2'")
    world.app.retry_rejects()
    assert [one["raw"] is None for one in sorted(world.rejects("orders"), key=lambda r: r["key"])] == [
        True,
        False,
    ]
    assert retry(world)["marked"] == 1


def test_too_large_a_share_of_rejects_fails_the_run(world: World) -> None:
    world.put_entity("orders", reject_threshold_percent=10)
    before, watermark = world.rows("orders"), world.state("orders")["watermark"]
    world.erp.update("orders", {"id": 1}, {"note": "changed"})
    world.erp.break_row("orders", {"id": 3}, "amount", "n/a")
    run = world.sync_now("orders")
    assert (run["status"], run["error"]["code"]) == ("failed", "reject_threshold")
    assert world.state("orders")["watermark"] == watermark
    # A snapshot is not published; the other strategies have landed what was good.
    full = world.entity("orders")["delta_strategy"] == "full"
    assert (world.rows("orders") == before) == full
