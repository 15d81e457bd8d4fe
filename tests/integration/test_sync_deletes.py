"""Deleting needs proof: what a walk that may have missed a row must never do, and what a proven one does."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from infra.local.sample_erp import Json, SampleErp, TableSpec, parse_columns
from tests.integration.harness import MakeWorld, Row, World

COLUMNS = parse_columns("id NUMBER(9) NOT NULL\n note VARCHAR2(40)")


def table(strategy: Any) -> TableSpec:
    return TableSpec(slug="t", keys=("id",), strategy=strategy, columns=COLUMNS)


def rows(count: int) -> dict[str, list[Row]]:
    return {"t": [{"id": i, "note": f"n{i}"} for i in range(count)]}


def whole(world: World) -> Row:
    """One pass over the whole table."""
    strategy = world.entity("t")["delta_strategy"]
    return world.sweep("t") if strategy == "rowversion" else world.sync_now("t")


def live(world: World) -> int:
    return len(world.rows("t"))


def vanish(world: World, count: int) -> None:
    world.erp.delete("t", [{"id": i} for i in range(count)])


def cut_short(erp: SampleErp) -> None:
    erp.behave("t", total=True, total_error=3)


def empty_page_promises_more(erp: SampleErp) -> None:
    erp.behave("t", pagination="page", total=False, probe=False)
    shift_while_read(erp)


def shift_while_read(erp: SampleErp) -> None:
    """A row before the reading point goes, one behind it comes: another row is never seen."""
    erp.behave("t", pagination="page")
    at = iter(range(1000, 1100))

    def move(request: Any) -> None:
        if "/data/" in request.path and erp.count("t") > 5:
            first = min(int(row["id"]) for row in erp.rows("t"))
            erp.delete("t", [{"id": first}])
            erp.insert("t", [{"id": next(at), "note": "new"}])

    erp.on_request = move


def no_page_says_how_many(erp: SampleErp) -> None:
    shift_while_read(erp)
    erp.behave("t", total=False, has_more=False, probe=False)


def fails_half_way(erp: SampleErp) -> None:
    erp.fail("/data/t", 500, times=100, skip=2)


def refuses_half_way(erp: SampleErp) -> None:
    erp.fail("/data/t", 403, times=100, skip=2)


def signed_out_half_way(erp: SampleErp) -> None:
    erp.fail("/data/t", 401, times=100, skip=2)


def gone_half_way(erp: SampleErp) -> None:
    erp.fail("/data/t", 404, times=100, skip=2)


def unavailable_at_once(erp: SampleErp) -> None:
    erp.fail("/data/t", 503, times=100)


def says_far_more(erp: SampleErp) -> None:
    """One page of forty, as its total tells."""
    erp.behave("t", total=True, total_error=400)
    erp.delete("t", [{"id": i} for i in range(3, 12)])


def says_more_under_page_numbers(erp: SampleErp) -> None:
    erp.behave("t", pagination="page", total=True, total_error=1)


def empties_while_read(erp: SampleErp) -> None:
    """A truncate and reload at the source: what is read half way is neither the old table nor the new."""
    erp.behave("t", pagination="page", probe=False)
    asked: list[str] = []

    def reload(request: Any) -> None:
        asked.extend([request.path] * ("/data/" in request.path))
        if len(asked) % 3 == 2 and "/data/" in request.path:
            erp.delete("t", [{"id": int(row["id"])} for row in erp.rows("t")][len(asked) :])

    erp.on_request = reload


LIES: list[Callable[[SampleErp], None]] = [
    cut_short, empty_page_promises_more, shift_while_read, no_page_says_how_many, fails_half_way, refuses_half_way,
    signed_out_half_way, gone_half_way, unavailable_at_once, says_far_more, says_more_under_page_numbers,
    empties_while_read,
]  # fmt: skip


def test_partial_fetches_are_many() -> None:
    assert len(set(LIES)) >= 12


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("strategy", ["full", "hash", "rowversion"])
def test_partial_fetch_deletes_nothing_and_moves_no_watermark(
    make_world: MakeWorld, strategy: str, lie: Callable[[SampleErp], None]
) -> None:
    world = make_world([table(strategy)], rows(12), max_retries=0)
    world.sync()
    world.put_entity("t", delete_after_missing=1)
    before = world.state("t")
    lie(world.erp)
    run = whole(world)
    assert (run["status"] in ("partial", "failed"), run["soft_deleted"]) == (True, 0), run
    assert all(not row["_bridge_deleted"] for row in world.stored("t"))
    after = world.state("t")
    assert (after["watermark"], after["probe"]) == (before["watermark"], before["probe"])


@pytest.mark.parametrize("strategy", ["full", "hash", "rowversion"])
def test_source_that_became_empty_needs_an_override(make_world: MakeWorld, strategy: str) -> None:
    world = make_world([table(strategy)], rows(5))
    world.sync()
    world.put_entity("t", delete_after_missing=1)
    vanish(world, 5)
    run = whole(world)
    assert (run["error"]["code"], live(world)) == ("delete_guard", 5)
    assert run["status"] == ("failed" if strategy == "full" else "partial")


@pytest.mark.parametrize("strategy", ["full", "hash", "rowversion"])
def test_guard_refuses_too_many_and_takes_one_shot_override(make_world: MakeWorld, strategy: str) -> None:
    world = make_world([table(strategy)], rows(40), entity={"delete_after_missing": 1})
    world.sync()
    vanish(world, 11)
    assert (whole(world)["error"]["code"], live(world)) == ("delete_guard", 40)
    assert world.sync_now("t", allow_deletes=10, reason="too few")["error"]["code"] == "delete_guard"
    run = world.sync_now("t", allow_deletes=11, reason="closed the branch")
    assert (run["status"], run["soft_deleted"], live(world)) == ("success", 11, 29)
    audited = world.sql("SELECT details FROM bridge.audit_trail WHERE action = 'allow_deletes' ORDER BY id")
    assert audited[-1]["details"]["allow_deletes"] == 11
    vanish_more = [{"id": i} for i in range(11, 23)]
    world.erp.delete("t", vanish_more)
    assert whole(world)["error"]["code"] == "delete_guard"


def test_ten_rows_go_whatever_their_share(make_world: MakeWorld) -> None:
    world = make_world([table("hash")], rows(12), entity={"delete_after_missing": 1})
    world.sync()
    vanish(world, 10)
    assert (whole(world)["soft_deleted"], live(world)) == (10, 2)


def test_key_must_be_missing_twice_and_an_unchanged_source_does_not_put_that_off(
    make_world: MakeWorld,
) -> None:
    world = make_world([table("hash")], rows(6), entity={"delete_after_missing": 2})
    world.sync()
    vanish(world, 1)
    assert [run["soft_deleted"] for run in world.sync()] == [0]
    assert [run["soft_deleted"] for run in world.sync()] == [1]
    assert world.sync() == []


def test_row_that_left_is_found_though_a_reject_makes_the_counts_equal(make_world: MakeWorld) -> None:
    """Six live keys and six met ones, but not the same six: the sums tell."""
    world = make_world([table("hash")], rows(6), entity={"delete_after_missing": 1})
    world.sync()
    vanish(world, 1)
    world.erp.insert("t", [{"id": 9, "note": "nul\x00"}])
    run = whole(world)
    assert (run["rejected"], run["soft_deleted"], live(world)) == (1, 1, 5)


def test_key_that_came_back_starts_counting_again(make_world: MakeWorld) -> None:
    world = make_world([table("hash")], rows(6), entity={"delete_after_missing": 2})
    world.sync()
    vanish(world, 1)
    whole(world)
    world.erp.insert("t", [{"id": 0, "note": "back"}])
    whole(world)
    assert world.sql("SELECT 1 FROM bridge.missing_keys") == []
    vanish(world, 1)
    assert (whole(world)["soft_deleted"], whole(world)["soft_deleted"]) == (0, 1)


@pytest.mark.parametrize("strategy", ["full", "hash", "rowversion"])
def test_rejected_row_is_not_deleted(make_world: MakeWorld, strategy: str) -> None:
    world = make_world([table(strategy)], rows(6), entity={"delete_after_missing": 1})
    world.sync()
    world.erp.break_row("t", {"id": 2}, "note", "x" * 41 + "\x00")
    assert (whole(world)["rejected"], live(world)) == (1, 6)


@pytest.mark.parametrize("strategy", ["full", "hash", "rowversion"])
def test_reject_without_a_key_bars_every_delete(make_world: MakeWorld, strategy: str) -> None:
    world = make_world([table(strategy)], rows(6), entity={"delete_after_missing": 1})
    world.sync()
    vanish(world, 1)
    # The envelope's key is spoilt, too, so that nothing says which row it is.
    world.erp.insert("t", [{"id": Json('"abc"'), "note": "who?"}])
    run = whole(world)
    assert (run["rejected"], run["soft_deleted"], live(world)) == (1, 0, 6)


@pytest.mark.parametrize("strategy", ["full", "hash", "rowversion"])
def test_open_reject_of_a_key_that_left_the_source_is_closed(make_world: MakeWorld, strategy: str) -> None:
    world = make_world([table(strategy)], rows(6), entity={"delete_after_missing": 1})
    world.erp.break_row("t", {"id": 2}, "note", 5)
    world.erp.break_row("t", {"id": 3}, "note", "nul\x00")
    world.sync()
    assert len(world.rejects("t")) >= 1
    world.erp.delete("t", [{"id": 2}, {"id": 3}])
    whole(world)
    assert (world.rejects("t"), live(world)) == ([], 4)


def test_row_born_during_the_pass_is_immune(make_world: MakeWorld) -> None:
    world = make_world([table("rowversion")], rows(9), entity={"delete_after_missing": 1})
    world.sync()
    world.compose(chunk_rows=1, slice_budget_seconds=0.0001)
    sweep = world.app.runs.create(
        uuid.UUID(world.uid("t")), purpose="sweep", trigger="timer", requested_by="t"
    )
    world.app.send_outbox()
    for _ in range(2):
        world.deliver_one()
    # Behind the sweep's reading point; the delta lands it while the sweep is under way.
    world.erp.insert("t", [{"id": -5, "note": "born"}])
    delta = world.sync_now("t")
    run = world.finish(str(sweep))
    assert (delta["inserted"], run["status"], run["soft_deleted"], live(world)) == (1, "success", 0, 10)


@pytest.mark.parametrize("strategy", ["full", "hash", "rowversion"])
def test_revived_row_keeps_its_uid(make_world: MakeWorld, strategy: str) -> None:
    world = make_world([table(strategy)], rows(6), entity={"delete_after_missing": 1})
    world.sync()
    uids = {row["id"]: row["_bridge_uid"] for row in world.stored("t")}
    vanish(world, 1)
    whole(world)
    assert 0 not in world.rows("t")
    world.erp.insert("t", [{"id": 0, "note": "n0"}])
    assert world.sync_now("t")["updated"] == 1
    assert {row["id"]: row["_bridge_uid"] for row in world.stored("t")} == uids
    assert all(row["_bridge_deleted_at"] is None for row in world.stored("t"))


def test_third_unproven_snapshot_in_a_row_is_published_without_deletes(make_world: MakeWorld) -> None:
    world = make_world([table("full")], rows(8))
    world.sync()
    vanish(world, 1)
    world.erp.update("t", {"id": 5}, {"note": "new"})
    cut_short(world.erp)
    for _ in range(2):
        assert (whole(world)["error"]["code"], world.rows("t")[5]["note"]) == ("unproven", "n5")
    run = whole(world)
    assert (run["status"], run["error"]["code"], run["updated"], run["soft_deleted"]) == (
        "partial",
        "unproven",
        1,
        0,
    )
    assert (live(world), world.rows("t")[5]["note"]) == (8, "new")


def test_failed_runs_between_unproven_snapshots_do_not_begin_the_count_anew(make_world: MakeWorld) -> None:
    world = make_world([table("full")], rows(8))
    world.sync()
    world.erp.update("t", {"id": 5}, {"note": "new"})
    cut_short(world.erp)
    for _ in range(2):
        assert whole(world)["error"]["code"] == "unproven"
        world.compose(full_max_rows=2)
        assert whole(world)["error"]["code"] == "configuration"
        world.compose()
    assert (whole(world)["updated"], world.rows("t")[5]["note"]) == (1, "new")


def test_only_a_proven_snapshot_begins_the_count_of_unproven_ones_anew(make_world: MakeWorld) -> None:
    world = make_world([table("full")], rows(8))
    world.sync()
    cut_short(world.erp)
    for _ in range(4):
        assert whole(world)["error"]["code"] == "unproven"
    world.erp.update("t", {"id": 5}, {"note": "new"})
    assert (whole(world)["updated"], world.state("t")["unproven_snapshots"]) == (1, 2)
    world.erp.behave("t", total=True, total_error=0)
    assert (whole(world)["status"], world.state("t")["unproven_snapshots"]) == ("success", 0)


def test_snapshot_of_two_walks_publishes_only_the_second(make_world: MakeWorld) -> None:
    world = make_world([table("full")], rows(8))
    world.erp.behave("t", pagination="page", probe=False)
    world.discover()
    world.sync()
    walked = []

    def change(request: Any) -> None:
        walked.append(request.path)
        if len([p for p in walked if "/data/" in p]) == 3:
            world.erp.update("t", {"id": 0}, {"note": "changed"})
            world.erp.delete("t", [{"id": 1}])

    world.erp.on_request = change
    run = world.sync_now("t")
    assert (run["status"], run["rejected"], run["updated"], run["soft_deleted"]) == ("success", 0, 1, 1), run
    assert (world.rows("t")[0]["note"], 1 in world.rows("t")) == ("changed", False)


def test_changed_keys_or_rules_bar_the_next_pass_from_deleting(make_world: MakeWorld) -> None:
    world = make_world([table("hash")], rows(6), entity={"delete_after_missing": 1})
    world.sync()
    vanish(world, 1)
    mappings = world.entity("t")["field_mappings"]
    mappings[1]["rules"]["case"] = "upper"
    world.put_entity("t", field_mappings=mappings)
    assert world.state("t")["deletes_barred"]
    first = [(run["updated"], run["soft_deleted"]) for run in world.sync()]
    assert (first, world.state("t")["deletes_barred"]) == ([(5, 0)], False)
    assert world.sync_now("t")["soft_deleted"] == 1
