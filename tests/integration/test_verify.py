"""Verification: equal on a healthy table, different when somebody meddled, and never a false alarm for rows in flight."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from infra.local.sample_erp import TableSpec, parse_columns
from shared import failpoints
from shared.sync.guards import Guards
from tests.integration.harness import MakeWorld, Row, World

STRATEGIES = ("full", "hash", "rowversion")
COLUMNS = parse_columns("""
    id NUMBER(9) NOT NULL
    note VARCHAR2(40)
    amount NUMBER(12,2)
    day DATE
    flag BOOLEAN
    raw RAW(20)
    weight BINARY_DOUBLE
    doc JSON
    free NUMBER
""")


def table(strategy: Any, columns: Any = COLUMNS) -> TableSpec:
    return TableSpec(slug="t", keys=("id",), strategy=strategy, columns=columns)


def row(i: int) -> Row:
    """Every kind of column, a third of the values NULL."""
    if i % 3 == 0:
        return {"id": i, "note": None, "amount": None, "day": None, "flag": None, "raw": None, "weight": None,
                "doc": None, "free": None}  # fmt: skip
    return {"id": i, "note": f"n{i} é", "amount": i / 4, "day": f"2024-01-{i % 28 + 1:02d}T10:00:00", "flag": i % 2 == 0,
            "raw": "0aff", "weight": i * 1e17 + 0.1, "doc": {"b": [1, 2.50, "x"], "a": {"z": 1}}, "free": "1.500"}  # fmt: skip


def made(make_world: MakeWorld, strategy: Any, count: int = 30, **more: Any) -> World:
    world = make_world([table(strategy)], {"t": [row(i) for i in range(count)]}, **more)
    run = world.sync()[0]
    assert run["inserted"] == count, world.rejects("t")[:2]
    return world


def verify(world: World) -> Row:
    answer = world.post(f"/api/v1/entities/{world.uid('t')}/verify")
    world.pump()
    return dict(world.get(f"/api/v1/verifications/{answer['verification_uid']}"))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_healthy_table_is_equal(make_world: MakeWorld, strategy: str) -> None:
    world = made(make_world, strategy)
    before = world.state("t")
    found = verify(world)
    assert (found["outcome"], found["why"]) == ("equal", None), found
    assert (found["source_rows"], found["target_rows"], found["differing_buckets"]) == (30, 30, 0)
    assert world.state("t") == before


def meddle_drop(world: World) -> None:
    world.sql("DELETE FROM public.t WHERE id = 4")


def meddle_alter(world: World) -> None:
    world.sql("UPDATE public.t SET amount = amount + 1 WHERE id = 4")


def meddle_null(world: World) -> None:
    world.sql("UPDATE public.t SET doc = NULL WHERE id = 4")


def meddle_duplicate(world: World) -> None:
    world.sql("ALTER TABLE public.t DROP CONSTRAINT t_bridge_key, DROP CONSTRAINT t_pkey")
    world.sql("INSERT INTO public.t SELECT * FROM public.t WHERE id = 4")


def meddle_soft_delete(world: World) -> None:
    world.sql("UPDATE public.t SET _bridge_deleted = true WHERE id = 4")


PLAIN = parse_columns("id NUMBER(9) NOT NULL\n note VARCHAR2(40)")


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("meddle", "kind"),
    [(meddle_drop, "missing_in_target"), (meddle_alter, "altered"), (meddle_null, "altered"),
     (meddle_duplicate, "duplicated"), (meddle_soft_delete, "missing_in_target")],
)  # fmt: skip
def test_meddling_is_found(make_world: MakeWorld, strategy: str, meddle: Any, kind: str) -> None:
    world = made(make_world, strategy, 9, default_page_size=10)
    meddle(world)
    found = verify(world)
    assert (found["outcome"], found["why"]["code"]) == ("different", "different"), found
    assert (found["differences"][kind], sum(found["differences"].values())) == (1, 1), found
    assert found["examples"] == {kind: ["4"]}
    assert found["status"] == "partial"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_row_put_in_behind_our_back_is_extra(make_world: MakeWorld, strategy: str) -> None:
    world = made(make_world, strategy, 9, default_page_size=10)
    world.sql("CREATE TEMP TABLE x AS SELECT 1; INSERT INTO public.t (_bridge_uid, id, _bridge_erp_key_hash,"
              " _bridge_erp_data_hash) VALUES (gen_random_uuid(), 77, gen_random_uuid(), '\\x01')")  # fmt: skip
    found = verify(world)
    assert (found["outcome"], found["examples"]) == ("different", {"extra_in_target": ["77"]}), found


def test_rows_above_the_bound_are_in_flight(make_world: MakeWorld) -> None:
    world = made(make_world, "rowversion", 12)
    world.erp.update("t", {"id": 4}, {"note": "newer"})
    world.erp.insert("t", [row(100)])
    found = verify(world)
    assert (found["outcome"], found["above_bound"]) == ("equal", 2), found


@pytest.mark.parametrize("strategy", ["full", "hash"])
def test_change_without_versions_is_never_called_damage(make_world: MakeWorld, strategy: str) -> None:
    world = made(make_world, strategy, 12)
    world.erp.update("t", {"id": 4}, {"note": "newer"})
    world.erp.delete("t", [{"id": 5}])
    found = verify(world)
    assert (found["outcome"], found["why"]["code"]) == ("unverified", "no_bound"), found
    assert (found["undecided"]["altered"], found["undecided"]["extra_in_target"]) == (1, 1)
    world.sync()
    world.sync()
    assert verify(world)["outcome"] == "equal"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_altered_column_is_found_though_the_source_moved_on(make_world: MakeWorld, strategy: str) -> None:
    world = make_world([table(strategy, PLAIN)], {"t": [{"id": i, "note": f"n{i}"} for i in range(12)]})
    world.sync()
    world.erp.update("t", {"id": 3}, {"note": "newer"})
    world.sql("UPDATE public.t SET note = 'bad' WHERE id = 7")
    found = verify(world)
    assert (found["outcome"], found["examples"]) == ("different", {"altered": ["7"]}), found


def test_rejects_deletes_and_pending_deletes_are_accounted_for(make_world: MakeWorld) -> None:
    world = made(make_world, "hash", 12, entity={"delete_after_missing": 2})
    world.erp.break_row("t", {"id": 4}, "amount", "no number")
    world.erp.delete("t", [{"id": 5}])
    world.sync()
    found = verify(world)
    assert (found["outcome"], found["refused_by_rules"]) == ("equal", 1), found
    assert found["accounted"]["awaiting_delete"] == 1
    world.sync()
    found = verify(world)
    assert (found["outcome"], found["soft_deleted"]) == ("equal", 1), found


def test_rows_that_move_while_verifying_do_not_cry_wolf(make_world: MakeWorld) -> None:
    world = made(make_world, "rowversion", 30)
    world.compose(chunk_rows=3, slice_budget_seconds=0.0001)
    uid = world.post(f"/api/v1/entities/{world.uid('t')}/verify")["verification_uid"]
    for number in range(8):
        world.deliver_one()
        world.erp.update("t", {"id": number * 3 + 1}, {"note": f"moved {number}"})
        world.sync_now("t")
        world.erp.update("t", {"id": number}, {"note": "not synced"})
    world.pump()
    found = world.get(f"/api/v1/verifications/{uid}")
    assert (found["outcome"], sum(found["differences"].values())) == ("equal", 0), found


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_unproven_walk_proves_nothing(make_world: MakeWorld, strategy: str) -> None:
    world = made(make_world, strategy, 12)
    world.erp.behave("t", total=True, total_error=3)
    found = verify(world)
    assert (found["outcome"], found["why"]["code"]) == ("unverified", "unproven"), found


def test_source_that_is_down_leaves_it_unverified(make_world: MakeWorld) -> None:
    world = made(make_world, "hash", 12, max_retries=0)
    world.erp.fail("/data/t", 500, times=100)
    found = verify(world)
    assert (found["outcome"], found["status"], found["why"]["code"]) == (
        "unverified",
        "failed",
        "source_unavailable",
    )


def test_table_that_was_never_loaded_is_unverified(make_world: MakeWorld) -> None:
    world = make_world([table("hash", PLAIN)], {"t": [{"id": 1, "note": "a"}]})
    assert verify(world)["why"]["code"] == "never_synced"
    world.erp.fail("t", status=500, times=50)
    assert world.compose(max_retries=0) and world.sync_now("t")["status"] == "failed"
    world.erp._failures.clear()
    assert verify(world)["why"]["code"] == "never_synced"


def test_verification_is_due_by_its_own_interval(make_world: MakeWorld) -> None:
    world = made(make_world, "hash", 3, entity={"verify_interval_seconds": 3600})
    world.sync()
    world.sync()
    listed = world.get(f"/api/v1/entities/{world.uid('t')}/verifications")["items"]
    assert [(item["trigger"], item["outcome"]) for item in listed] == [("timer", "equal")]
    world.sql("UPDATE bridge.sync_runs SET created_at = created_at - interval '2 hours'")
    world.sync()
    assert len(world.get("/api/v1/verifications")["items"]) == 2


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_verification_in_many_slices_finds_what_one_would(make_world: MakeWorld, strategy: str) -> None:
    world = made(make_world, strategy, 30)
    world.sql("DELETE FROM public.t WHERE id = 4")
    world.sql("UPDATE public.t SET note = 'x' WHERE id = 7")
    world.compose(chunk_rows=3, slice_budget_seconds=0.0001)
    found = verify(world)
    assert found["examples"] == {"missing_in_target": ["4"], "altered": ["7"]}, found
    assert world.sql("SELECT 1 FROM bridge.verification_pieces") == []


@pytest.mark.parametrize("point", ["verify.saved", "verify.concluded", "page.after", "finish.before"])
def test_verification_broken_off_anywhere_goes_on(make_world: MakeWorld, point: str) -> None:
    world = made(make_world, "rowversion", 12)
    world.sql("UPDATE public.t SET note = 'x' WHERE id = 7")
    world.compose(chunk_rows=3, slice_budget_seconds=0.0001)
    uid = world.post(f"/api/v1/entities/{world.uid('t')}/verify")["verification_uid"]
    failpoints.arm(f"{point}=raise@2" if point in ("verify.saved", "page.after") else f"{point}=raise@1")
    with suppress(failpoints.FailpointError):
        world.pump()
    failpoints.arm("")
    # The host died: its message comes back, counted once more.
    world.sql(
        "UPDATE bridge.sync_slices SET lease_until = now() - interval '1 s', sent_at = NULL WHERE status = 'running'"
    )
    world.tick()
    world.pump()
    found = world.get(f"/api/v1/verifications/{uid}")
    assert (found["outcome"], found["examples"]) == ("different", {"altered": ["7"]}), found


def test_stopped_verification_proved_nothing(make_world: MakeWorld) -> None:
    world = made(make_world, "hash", 6)
    uid = world.post(f"/api/v1/entities/{world.uid('t')}/verify")["verification_uid"]
    world.post(f"/api/v1/sync/stop/{uid}")
    found = world.get(f"/api/v1/verifications/{uid}")
    assert (found["status"], found["outcome"], found["why"]["code"]) == ("cancelled", "unverified", "stopped")


def test_without_the_completeness_guard_a_walk_that_lost_rows_accuses_the_target(
    make_world: MakeWorld,
) -> None:
    world = made(make_world, "hash", 12)
    world.compose(replace(Guards(), completeness=lambda _: True))
    world.erp.behave("t", total=True, total_error=3)
    assert verify(world)["outcome"] == "equal"


def test_old_runs_are_forgotten_but_the_last_of_each_entity(make_world: MakeWorld) -> None:
    world = made(make_world, "hash", 3)
    for _ in range(2):
        world.sync_now("t")
        verify(world)
    world.sql("UPDATE bridge.sync_runs SET created_at = created_at - interval '401 days'")
    world.sync_now("t")
    world.sync_now("t")
    world.app.retry_rejects()
    kept = world.sql(
        "SELECT purpose, created_at < now() - interval '1 day' AS old FROM bridge.sync_runs ORDER BY created_at"
    )
    assert [(row["purpose"], row["old"]) for row in kept] == [
        ("verify", True),
        ("delta", False),
        ("delta", False),
    ]
    counts = world.sql("SELECT (SELECT count(*) FROM bridge.verifications) AS v, (SELECT count(*) FROM bridge.sync_slices) AS s,"
                       " (SELECT count(*) FROM bridge.passes) AS p")  # fmt: skip
    assert counts == [{"v": 1, "s": 3, "p": 2}]
    world.sql("UPDATE bridge.sync_runs SET created_at = created_at - interval '401 days'")
    world.app.retry_rejects()
    assert [row["purpose"] for row in world.sql("SELECT purpose FROM bridge.sync_runs")] == [
        "verify",
        "delta",
    ]
