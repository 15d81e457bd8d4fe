"""Row versions: ties, late commits, odd spellings, regressions, lanes."""

import uuid
from typing import Any

import pytest

from infra.local.sample_erp import TableSpec, parse_columns
from tests.integration.harness import MakeWorld, Row, World, balanced, plain, written

COLUMNS = parse_columns("id NUMBER(9) NOT NULL\n note VARCHAR2(40)")


def table(**more: Any) -> TableSpec:
    return TableSpec(slug="t", keys=("id",), strategy="rowversion", columns=COLUMNS, **more)


def rows(count: int) -> dict[str, list[Row]]:
    return {"t": [{"id": i, "note": f"n{i}"} for i in range(count)]}


def equal(world: World) -> bool:
    return world.rows("t") == plain(world.erp.rows("t"))


def test_ties_at_page_and_run_edges_are_read_again(make_world: MakeWorld) -> None:
    world = make_world([table()], {"t": []}, default_page_size=2)
    world.erp.insert("t", [{"id": i, "note": "a"} for i in range(5)], row_version=50)
    world.sync()
    world.erp.insert("t", [{"id": i, "note": "tie"} for i in range(5, 8)], row_version=50)
    run = world.sync_now("t")
    assert (run["inserted"], run["unchanged"], equal(world)) == (3, 5, True)


@pytest.mark.parametrize("kind", ["number", "hex", "timestamp", "text"])
def test_late_commit_is_found_through_safe_rowversion(make_world: MakeWorld, kind: str) -> None:
    world = make_world([table(version_kind=kind)], rows(4))
    world.sync()
    world.erp.insert("t", [{"id": 10, "note": "late"}], txn="a")
    world.erp.insert("t", [{"id": 11, "note": "early"}])
    world.sync()
    assert set(world.rows("t")) == {0, 1, 2, 3, 11}
    world.erp.commit("a")
    world.sync()
    assert (equal(world), written(world.sync_now("t"))) == (True, 0)


@pytest.mark.parametrize("kind", ["number", "hex", "timestamp"])
def test_late_commit_is_found_through_overlap(make_world: MakeWorld, kind: str) -> None:
    world = make_world([table(version_kind=kind)], rows(4), entity={"overlap": 10})
    world.erp.behave("t", safe_rowversion=False)
    world.sync()
    world.erp.insert("t", [{"id": 10, "note": "late"}], txn="a")
    world.erp.insert("t", [{"id": 11, "note": "early"}])
    world.sync()
    world.erp.commit("a")
    world.erp.insert("t", [{"id": 12, "note": "next"}])
    world.sync()
    assert equal(world)


def test_versions_are_compared_as_numbers(make_world: MakeWorld) -> None:
    world = make_world([table()], {"t": []})
    world.erp.behave("t", safe_rowversion=False)
    world.erp.insert("t", [{"id": 1, "note": "nine"}], row_version=9)
    world.sync()
    world.erp.insert("t", [{"id": 2, "note": "ten"}], row_version=10)
    assert (world.sync()[0]["inserted"], world.entity("t")["last_rowversion"]) == (1, "10")


def test_text_versions_are_asked_from_the_last_one_below_the_watermark(make_world: MakeWorld) -> None:
    world = make_world([table(version_kind="text")], rows(9))
    world.sync()
    world.erp.update("t", {"id": 1}, {"note": "x"})
    run = world.sync()[0]
    assert (run["fetched"], run["updated"]) == (2, 1)
    world.erp.update("t", {"id": 2}, {"note": "y"})
    run = world.sync()[0]
    assert (run["fetched"], run["updated"], equal(world)) == (2, 1, True)


def test_restored_source_stops_the_run_and_a_refresh_heals_it(make_world: MakeWorld) -> None:
    world = make_world([table()], rows(6))
    world.erp.insert("t", [{"id": 50, "note": "high"}], row_version=900)
    world.erp.behave("t", safe_rowversion=False)
    world.sync()
    world.erp.delete("t", [{"id": 50}])
    run = world.sync()[0]
    assert (run["status"], run["error"]["code"]) == ("failed", "watermark_regression")
    assert "full refresh" in run["error"]["hint"]
    world.put_entity("t", delete_after_missing=1)
    assert (world.refresh("t")["status"], equal(world)) == ("success", True)
    world.erp.update("t", {"id": 1}, {"note": "after"})
    assert (world.sync()[0]["status"], equal(world)) == ("success", True)


def test_newest_row_deleted_is_no_regression_where_the_source_tells_its_bound(make_world: MakeWorld) -> None:
    world = make_world([table()], rows(6))
    world.sync()
    world.erp.delete("t", [{"id": 5}])
    assert [run["status"] for run in world.sync()] == ["success"]
    assert world.sync() == []


def test_version_from_the_far_future_stops_the_run(make_world: MakeWorld) -> None:
    world = make_world([table()], rows(3))
    world.sync()
    world.erp.insert("t", [{"id": 9, "note": "2099"}], row_version=10**15)
    run = world.sync()[0]
    assert (run["error"]["code"], world.entity("t")["last_rowversion"]) == ("watermark_regression", "3")
    world.erp.delete("t", [{"id": 9}])
    world.erp.insert("t", [{"id": 10, "note": "ok"}], row_version=20)
    assert (world.sync()[0]["inserted"], equal(world)) == (1, True)


def test_bad_row_with_the_newest_version_is_kept_and_an_older_good_one_does_not_answer_it(
    make_world: MakeWorld,
) -> None:
    world = make_world([table()], rows(3))
    world.sync()
    world.erp.break_row("t", {"id": 1}, "note", "nul\x00")
    run = world.sync()[0]
    assert (run["rejected"], run["status"], len(world.rejects("t"))) == (1, "partial", 1)
    assert world.rows("t")[1]["note"] == "n1"
    world.erp.update("t", {"id": 2}, {"note": "other"})
    world.sync()
    assert len(world.rejects("t")) == 1
    world.erp.update("t", {"id": 1}, {"note": "good"})
    world.sync()
    assert (world.rejects("t"), equal(world)) == ([], True)


def test_older_version_never_overwrites(make_world: MakeWorld) -> None:
    world = make_world([table()], {"t": []})
    world.erp.behave("t", safe_rowversion=False)
    world.erp.insert("t", [{"id": 1, "note": "new"}], row_version=90)
    world.sync()
    world.erp.update("t", {"id": 1}, {"note": "old"}, row_version=40)
    world.erp.insert("t", [{"id": 2, "note": "x"}], row_version=91)
    run = world.sweep("t")
    assert (run["superseded"], run["inserted"], world.rows("t")[1]["note"]) == (1, 1, "new")


def test_full_refresh_ignores_older_generations_and_leaves_a_watermark(make_world: MakeWorld) -> None:
    world = make_world([table()], {"t": []})
    world.erp.behave("t", safe_rowversion=False)
    world.erp.insert("t", [{"id": 1, "note": "new"}], row_version=90)
    world.sync()
    world.erp.update("t", {"id": 1}, {"note": "restored"}, row_version=40)
    run = world.refresh("t")
    assert (run["status"], run["updated"], equal(world)) == ("success", 1, True)
    assert world.entity("t")["last_rowversion"] == "40"


def test_full_refresh_fences_what_runs(make_world: MakeWorld) -> None:
    world = make_world([table()], rows(9))
    world.compose(chunk_rows=1, slice_budget_seconds=0.0001)
    begun = world.post(f"/api/v1/entities/{world.uid('t')}/sync")["run_uid"]
    world.deliver_one()
    assert world.refresh("t")["status"] == "success"
    assert (world.get(f"/api/v1/runs/{begun}")["status"], equal(world)) == ("cancelled", True)


def test_stopped_run_ends_and_the_next_one_is_right(make_world: MakeWorld) -> None:
    world = make_world([table()], rows(9))
    world.compose(chunk_rows=1, slice_budget_seconds=0.0001)
    begun = world.post(f"/api/v1/entities/{world.uid('t')}/sync")["run_uid"]
    world.deliver_one()
    assert world.post(f"/api/v1/sync/stop/{begun}")["status"] == "cancelled"
    assert world.finish(begun)["status"] == "cancelled"
    assert (world.sync_now("t")["status"], equal(world)) == ("success", True)


def bulk(world: World) -> str:
    run = world.app.runs.create(uuid.UUID(world.uid("t")), purpose="sweep", trigger="timer", requested_by="t")
    world.app.send_outbox()
    return str(run)


def test_bulk_slice_gives_its_slot_back_to_a_delta_and_goes_on_after_it(make_world: MakeWorld) -> None:
    world = make_world([table()], rows(9), sync_max_concurrent=1)
    world.compose(chunk_rows=1, slice_budget_seconds=0.0001)
    world.sync()
    sweep = bulk(world)
    world.deliver_one()
    world.erp.update("t", {"id": 1}, {"note": "x"})
    delta = world.post(f"/api/v1/entities/{world.uid('t')}/sync")["run_uid"]
    world.pump()
    ended = {uid: world.get(f"/api/v1/runs/{uid}") for uid in (sweep, delta)}
    assert [run["status"] for run in ended.values()] == ["success", "success"]
    assert ended[delta]["completed_at"] < ended[sweep]["completed_at"]
    assert (equal(world), world.entity("t")["last_rowversion"]) == (True, "10")


def test_sweep_interval_of_zero_finds_a_delete_at_every_tick(make_world: MakeWorld) -> None:
    world = make_world(
        [table()], rows(9), entity={"key_sweep_interval_seconds": 0, "delete_after_missing": 1}
    )
    assert len(world.sync()) == 1
    world.erp.delete("t", [{"id": 3}])
    world.erp.update("t", {"id": 1}, {"note": "x"})
    runs = world.sync()
    assert [(run["strategy"], run["soft_deleted"]) for run in runs] == [("rowversion", 0), ("hash", 1)]
    assert equal(world)
    world.erp.delete("t", [{"id": 4}])
    assert [run["soft_deleted"] for run in world.sync() if run["strategy"] == "hash"] == [1]
    assert equal(world)


@pytest.mark.parametrize("strategy", ["full", "hash", "rowversion"])
@pytest.mark.parametrize("chunk_rows", [1, 50])
def test_equal_copies_land_once(make_world: MakeWorld, strategy: Any, chunk_rows: int) -> None:
    spec = TableSpec(slug="t", keys=("id",), strategy=strategy, columns=COLUMNS)
    world = make_world([spec], rows(3), default_page_size=2)
    world.compose(chunk_rows=chunk_rows)
    world.erp.insert("t", [{"id": 1, "note": "n1"}], duplicate=True)
    run = world.sync()[0]
    other = run["superseded"] + run["unchanged"]
    assert (run["fetched"], run["inserted"], other, balanced(run)) == (4, 3, 1, True)


@pytest.mark.parametrize("chunk_rows", [1, 50])
def test_torn_pair_rejects_both_in_a_snapshot(make_world: MakeWorld, chunk_rows: int) -> None:
    spec = TableSpec(slug="t", keys=("id",), strategy="full", columns=COLUMNS)
    world = make_world([spec], rows(3), default_page_size=2)
    world.compose(chunk_rows=chunk_rows)
    world.erp.insert("t", [{"id": 1, "note": "other"}], duplicate=True)
    run = world.sync()[0]
    assert (run["rejected"], run["inserted"], balanced(run)) == (2, 2, True)
    assert [r["code"] for r in world.rejects("t")] == ["duplicate_key"]


@pytest.mark.parametrize(("chunk_rows", "rejected"), [(1, 1), (50, 2)])
def test_torn_pair_under_hash(make_world: MakeWorld, chunk_rows: int, rejected: int) -> None:
    spec = TableSpec(slug="t", keys=("id",), strategy="hash", columns=COLUMNS)
    world = make_world([spec], rows(3), default_page_size=2)
    world.compose(chunk_rows=chunk_rows)
    world.erp.insert("t", [{"id": 1, "note": "other"}], duplicate=True)
    run = world.sync()[0]
    assert (run["rejected"], balanced(run)) == (rejected, True)


def torn(make_world: MakeWorld, pagination: str) -> World:
    """A pair of one key under `hash`, its copies in different chunks; pages by number are walked twice."""
    spec = TableSpec(slug="t", keys=("id",), strategy="hash", columns=COLUMNS)
    world = make_world([spec], rows(3), default_page_size=2)
    world.erp.behave("t", pagination=pagination, probe=False)
    world.compose(chunk_rows=1)
    world.discover()
    world.erp.insert("t", [{"id": 1, "note": "other"}], duplicate=True)
    return world


@pytest.mark.parametrize("pagination", ["keyset", "page"])
def test_torn_pair_under_hash_stays_as_it_first_landed(make_world: MakeWorld, pagination: str) -> None:
    world = torn(make_world, pagination)
    for _ in range(4):
        run = world.sync_now("t")
        assert (world.rows("t")[1]["note"], run["updated"], balanced(run)) == ("n1", 0, True)
        assert [r["code"] for r in world.rejects("t")] == ["duplicate_key"]
    assert len(world.sql("SELECT 1 FROM bridge.failed_records")) == 1


@pytest.mark.parametrize("pagination", ["keyset", "page"])
@pytest.mark.parametrize("stays", ["n1", "other"])
def test_torn_pair_is_settled_once_one_copy_is_left(
    make_world: MakeWorld, pagination: str, stays: str
) -> None:
    world = torn(make_world, pagination)
    world.sync_now("t")
    world.sync_now("t")
    world.erp.delete("t", [{"id": 1}])
    world.erp.insert("t", [{"id": 1, "note": stays}])
    run = world.sync_now("t")
    assert (world.rows("t")[1]["note"], run["rejected"], world.rejects("t")) == (stays, 0, [])


@pytest.mark.parametrize("chunk_rows", [1, 50])
def test_highest_version_wins(make_world: MakeWorld, chunk_rows: int) -> None:
    world = make_world([table()], rows(3), default_page_size=2)
    world.compose(chunk_rows=chunk_rows)
    world.erp.insert("t", [{"id": 1, "note": "newer"}], duplicate=True)
    assert (world.sync()[0]["rejected"], world.rows("t")[1]["note"]) == (0, "newer")


@pytest.mark.parametrize(("chunk_rows", "rejected"), [(1, 0), (50, 2)])
def test_equal_versions_with_different_content(make_world: MakeWorld, chunk_rows: int, rejected: int) -> None:
    world = make_world([table()], {"t": []}, default_page_size=1)
    world.compose(chunk_rows=chunk_rows)
    world.erp.insert("t", [{"id": 1, "note": "a"}], row_version=5)
    world.erp.insert("t", [{"id": 1, "note": "b"}], row_version=5, duplicate=True)
    run = world.sync()[0]
    assert (run["rejected"], run["updated"], balanced(run)) == (rejected, 1 - rejected // 2, True)


@pytest.mark.parametrize("strategy", ["full", "hash", "rowversion"])
def test_keys_that_meet_only_after_a_rule_reject_all(make_world: MakeWorld, strategy: Any) -> None:
    columns = parse_columns("code VARCHAR2(9) NOT NULL\n note VARCHAR2(40)")
    spec = TableSpec(slug="t", keys=("code",), strategy=strategy, columns=columns)
    world = make_world(
        [spec], {"t": [{"code": "a", "note": "1"}, {"code": "a ", "note": "1"}, {"code": "b"}]}
    )
    run = world.sync()[0]
    assert (run["rejected"], run["inserted"]) == (2, 1)
    assert {r["code"] for r in world.rejects("t")} == {"key_collision"}


def test_stored_versions_may_hold_any_text(make_world: MakeWorld) -> None:
    world = make_world([table(version_kind="text")], rows(5))
    world.sync()
    before = versions(world)
    for key, version in enumerate(["", "\n", "a\nb\n", None]):
        world.sql("UPDATE public.t SET _bridge_erp_rowversion = %s WHERE id = %s", version, key)
    run = world.sweep("t")
    # A stored version that differs follows the source's; a row that had none says nothing that could differ.
    assert (run["status"], run["unchanged"], versions(world)) == ("success", 5, before | {3: None})


def versions(world: World) -> dict[int, str | None]:
    return {row["id"]: row["_bridge_erp_rowversion"] for row in world.stored("t")}


@pytest.mark.parametrize("strategy", ["delta", "sweep"])
def test_row_without_a_version_lands_and_leaves_the_stored_version_on_guard(
    make_world: MakeWorld, strategy: str
) -> None:
    world = make_world([table()], rows(5))
    world.sync()
    before = versions(world)
    world.erp.behave("t", flat_rows=True)  # rows as bare data carry no version
    world.erp.update("t", {"id": 1}, {"note": "unversioned"})
    run = world.sync_now("t") if strategy == "delta" else world.sweep("t")
    assert (run["updated"], world.rows("t")[1]["note"], versions(world)) == (1, "unversioned", before)
    world.erp.behave("t", flat_rows=False)
    world.erp.update("t", {"id": 1}, {"note": "old copy"}, row_version=1)
    run = world.sweep("t")
    assert (run["superseded"], world.rows("t")[1]["note"]) == (1, "unversioned")
