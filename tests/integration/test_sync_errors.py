"""Errors a user meets: each names the thing, what was wrong and the next step; after each, the next good run is right."""

from itertools import count
from typing import Any

import pytest

from infra.local.sample_erp import ColumnSpec, TableSpec, parse_columns
from shared.errors import TransientError
from shared.sync.guards import Guards
from shared.sync.ports import Fenced
from tests.integration.harness import MakeWorld, Row, World, balanced, plain

COLUMNS = parse_columns("id NUMBER(9) NOT NULL\n note VARCHAR2(40)")


def table(strategy: Any = "hash", slug: str = "t") -> TableSpec:
    return TableSpec(slug=slug, keys=("id",), strategy=strategy, columns=COLUMNS)


def rows(count: int, slug: str = "t") -> dict[str, list[Row]]:
    return {slug: [{"id": i, "note": f"n{i}"} for i in range(count)]}


def equal(world: World) -> bool:
    return world.rows("t") == plain(world.erp.rows("t"))


def refused(world: World, code: str, *words: str) -> None:
    """The next run fails with a whole sentence and a next step."""
    run = world.sync_now("t")
    error = run["error"]
    assert (run["status"], error["code"]) == ("failed", code), run
    assert all(word in error["message"] + error["hint"] for word in words), error
    assert error["hint"] and "secret" not in error["message"].lower().replace("client_secret", "")


def test_connector_unreachable(make_world: MakeWorld) -> None:
    world = make_world([table()], rows(5), max_retries=0)
    world.erp.stop()
    refused(world, "source_unavailable", "127.0.0.1", "could not be reached")
    world.erp.start()
    assert (world.sync_now("t")["status"], equal(world)) == ("success", True)


def test_token_refused_twice(make_world: MakeWorld) -> None:
    world = make_world([table()], rows(5))
    world.app.secrets.value = "wrong"  # type: ignore[attr-defined]
    refused(world, "source_refused", "sample", "credentials")
    world.app.secrets.value = None  # type: ignore[attr-defined]
    assert (world.sync_now("t")["status"], equal(world)) == ("success", True)


def test_slug_the_source_no_longer_knows(make_world: MakeWorld) -> None:
    world = make_world([table()], rows(5))
    world.sql("UPDATE bridge.entities SET slug = 'gone'")
    run = world.sync_now("gone")
    assert (run["status"], run["error"]["code"]) == ("failed", "source_refused")
    assert "gone" in run["error"]["message"] and "discover" in run["error"]["hint"]
    world.sql("UPDATE bridge.entities SET slug = 't'")
    assert (world.sync_now("t")["status"], equal(world)) == ("success", True)


def test_target_column_too_narrow_is_a_reject_a_row(make_world: MakeWorld) -> None:
    world = make_world([table()], rows(5))
    world.sql("ALTER TABLE public.t ALTER note TYPE varchar(2)")
    world.erp.update("t", {"id": 3}, {"note": "longer"})
    run = world.sync_now("t")
    assert (run["status"], run["inserted"], run["rejected"], balanced(run)) == ("partial", 4, 1, True)
    reject = world.rejects("t")[0]
    assert (reject["code"], reject["stage"], "widen" in reject["message"]) == ("too_narrow", "load", True)
    assert (
        "longer" in reject["raw"]["data"]["note"]
        if isinstance(reject["raw"], dict)
        else "longer" in reject["raw"]
    )
    world.sql("ALTER TABLE public.t ALTER note TYPE varchar(40)")
    world.sync_now("t")
    assert (world.rejects("t"), equal(world)) == ([], True)


def test_target_table_that_was_dropped(make_world: MakeWorld) -> None:
    world = make_world([table()], rows(5))
    world.sql("DROP TABLE public.t")
    refused(world, "configuration", '"public"."t"', "discover")
    world.discover()
    assert (world.sync_now("t")["status"], equal(world)) == ("success", True)


@pytest.mark.parametrize("strategy", ["full", "hash", "rowversion"])
def test_column_added_at_the_source_is_ignored_until_discovered(make_world: MakeWorld, strategy: str) -> None:
    world = make_world([table(strategy)], rows(5))
    world.sync()
    world.erp.add_column("t", ColumnSpec("extra", "NUMBER(3)"), 5)
    world.erp.update("t", {"id": 1}, {"note": "x"})
    world.sync_now("t")
    assert "extra" not in world.rows("t")[1]
    ignored = world.sql("SELECT ignored_columns FROM bridge.sync_runs ORDER BY created_at DESC LIMIT 1")
    assert ignored[0]["ignored_columns"] == ["extra"]
    world.discover()
    world.sync()
    world.sync()
    assert (world.rows("t")[1]["extra"], equal(world)) == (5, True)


@pytest.mark.parametrize("strategy", ["full", "hash", "rowversion"])
def test_column_removed_at_the_source_stops_until_discovered_and_stays_in_the_target(
    make_world: MakeWorld, strategy: str
) -> None:
    world = make_world([table(strategy)], rows(5))
    world.sync()
    world.erp.drop_column("t", "note")
    refused(world, "schema_drift", "note", "discover")
    world.discover()
    world.erp.insert("t", [{"id": 9}])
    run = world.sync_now("t")
    assert (run["status"], world.rows("t")[9]) == ("success", {"id": 9, "note": None})


def test_narrower_type_that_stored_values_do_not_fit_is_refused_and_the_table_stays(
    make_world: MakeWorld,
) -> None:
    world = make_world([table()], rows(5))
    world.sync_now("t")
    entity = world.entity("t")
    mappings = [
        m | ({"type": "varchar(1)"} if m["target"] == "note" else {}) for m in entity["field_mappings"]
    ]
    answer = world.agreed("PUT", f"/api/v1/entities/{entity['uid']}", entity | {"field_mappings": mappings})
    assert (answer.status_code, "5 stored values do not fit" in answer.text) == (409, True), answer.text
    assert (world.sync_now("t")["status"], equal(world)) == ("success", True)


def test_table_too_large_for_a_snapshot(make_world: MakeWorld) -> None:
    world = make_world([table("full")], rows(9), full_max_rows=5)
    refused(world, "configuration", "hash", "FULL_MAX_ROWS")
    assert world.stored("t") == []
    world.compose()
    world._told.pop("full_max_rows")
    world.compose()
    assert (world.sync_now("t")["status"], equal(world)) == ("success", True)


@pytest.mark.parametrize("strategy", ["full", "hash", "rowversion"])
def test_transient_failure_comes_back_with_backoff_and_keeps_its_uid(
    make_world: MakeWorld, strategy: str
) -> None:
    world = make_world([table(strategy)], rows(12))
    world.compose(chunk_rows=3, retry_delay_seconds=0)
    world.erp.fail("/data/t", 503, times=20, skip=2)
    begun = world.post(f"/api/v1/entities/{world.uid('t')}/sync")["run_uid"]
    world.deliver_one()
    waiting = world.get(f"/api/v1/runs/{begun}")
    assert waiting["attempt"] == 1
    world.erp._failures.clear()
    run = world.finish(begun)
    assert (run["status"], run["fetched"], equal(world)) == ("success", 12, True)


def test_rows_that_do_not_add_up_commit_nothing(make_world: MakeWorld) -> None:
    world = make_world([table()], rows(5))

    def refuse(_: object, *, where: str) -> None:
        raise TransientError(f"{where}: no", code="conservation")

    world.compose(Guards(conservation=refuse), max_retries=0)
    assert (world.sync_now("t")["error"]["code"], world.stored("t")) == ("conservation", [])
    world.compose()
    assert (world.sync_now("t")["status"], equal(world)) == ("success", True)


@pytest.mark.parametrize("strategy", ["full", "hash", "rowversion"])
def test_failures_far_apart_do_not_add_up_to_a_failed_run(make_world: MakeWorld, strategy: str) -> None:
    world = make_world([table(strategy)], rows(12))
    fence = Guards().fence
    calls = count()

    def every_other(transaction: Fenced) -> None:
        if next(calls) % 2 == 0:
            raise TransientError("the connection broke")
        fence(transaction)

    world.compose(Guards(fence=every_other), chunk_rows=3, max_retries=1)
    run = world.sync_now("t")
    assert (run["status"], equal(world)) == ("success", True)
    assert run["attempt"] == (5 if strategy == "full" else 4)


def test_failures_without_progress_between_them_fail_the_run(make_world: MakeWorld) -> None:
    world = make_world([table()], rows(12))
    calls, fence = count(), Guards().fence

    def after_two_chunks(transaction: Fenced) -> None:
        if next(calls) >= 2:
            raise TransientError("the connection broke", code="broke")
        fence(transaction)

    world.compose(Guards(fence=after_two_chunks), chunk_rows=3, max_retries=2)
    run = world.sync_now("t")
    assert (run["error"]["code"], run["attempt"], len(world.stored("t"))) == ("broke", 2, 6)


def test_run_in_flight_is_a_conflict_and_an_unknown_run_is_not_there(make_world: MakeWorld) -> None:
    world = make_world([table()], rows(5))
    path = f"/api/v1/entities/{world.uid('t')}/sync"
    world.post(path)
    assert world.ask("POST", path).status_code == 409
    assert world.ask("POST", f"/api/v1/sync/stop/{world.connector_uid}").status_code == 404
