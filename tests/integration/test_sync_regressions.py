"""Defects of the core that were found and mended once: each test turns red when its mending is taken out."""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from infra.local.sample_erp import ColumnSpec, Json, TableSpec, parse_columns
from shared import failpoints
from shared.adapters.postgres.removal import PostgresDeletion, PostgresPublication
from shared.sync.guards import Guards
from tests.integration.harness import MakeWorld, Row, World, balanced, plain

COLUMNS = parse_columns("id NUMBER(9) NOT NULL\n note VARCHAR2(40)")


def table(strategy: Any = "hash") -> TableSpec:
    return TableSpec(slug="t", keys=("id",), strategy=strategy, columns=COLUMNS)


def rows(count: int) -> dict[str, list[Row]]:
    return {"t": [{"id": i, "note": f"n{i}"} for i in range(count)]}


def equal(world: World) -> bool:
    return world.rows("t") == plain(world.erp.rows("t"))


def at_page(world: World, number: int, act: Callable[[], Any]) -> None:
    """Do something while the source is asked for its n-th page from now on."""
    asked = []

    def hook(request: Any) -> None:
        asked.extend([request] if "/data/" in request.path else [])
        if "/data/" in request.path and len(asked) == number:
            act()

    world.erp.on_request = hook


@contextmanager
def holding(world: World, statement: str) -> Iterator[None]:
    """A rival session that has run the statement and keeps its locks."""
    with psycopg.connect(world.conninfo) as rival:
        rival.execute(statement)  # type: ignore[call-overload]
        yield
        rival.rollback()


# A broken slice ends where a person sees it.


def test_defect_fails_the_run_visibly_once_its_attempts_are_used_up(make_world: MakeWorld) -> None:
    world = make_world([table()], rows(5), max_retries=2)

    def broken(_: object) -> Any:
        raise KeyError("a defect")

    world.compose(Guards(settle=broken), max_retries=2)
    run = world.sync_now("t")
    assert (run["status"], run["error"]["code"], run["attempt"]) == ("failed", "defect", 2)
    assert "KeyError" in run["error"]["message"] and run["error"]["hint"]
    world.compose()
    assert (world.sync_now("t")["status"], equal(world)) == ("success", True)


def test_poison_recorded_before_its_decision_was_made_is_decided_when_it_comes_again(
    make_world: MakeWorld,
) -> None:
    world = make_world([table()], rows(5), max_retries=0)
    run = world.post(f"/api/v1/entities/{world.uid('t')}/sync")["run_uid"]
    body = f'{{"v":1,"id":"{run}","slice":0,"traceparent":""}}'
    world.sql("INSERT INTO bridge.poison_messages (queue, message_id, body, run_uid, slice, outcome)"
              " VALUES (%s, 'm', %s, %s, 0, 'taken')", world.queue_name, body, run)  # fmt: skip
    world.app.handle_poison(body.encode(), "m")
    assert world.get(f"/api/v1/runs/{run}")["error"]["code"] == "poisoned"
    assert len(world.sql("SELECT 1 FROM bridge.poison_messages")) == 1


# Time.


class SlowSource:
    """A clock on which every page takes a hundred seconds."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return self.passed

    def page(self, request: Any) -> None:
        self.passed += 100 * ("/data/" in request.path)


def test_chunk_of_a_slow_source_closes_when_the_slices_time_is_up(make_world: MakeWorld) -> None:
    world = make_world([table()], rows(60))
    clock = SlowSource()
    world.compose(chunk_rows=50_000)
    world.app.runner = replace(world.app.runner, clock=clock, budget_s=240.0)
    world.erp.on_request = clock.page
    run = world.post(f"/api/v1/entities/{world.uid('t')}/sync")["run_uid"]
    assert world.deliver_one()
    kept = world.get(f"/api/v1/runs/{run}")
    assert (kept["status"], 0 < kept["fetched"] < 60) == ("running", True), kept
    assert (world.finish(run)["status"], equal(world)) == ("success", True)


# A first load whose indexes are down.


def large_at_first(world: World, pages: int) -> list[bool]:
    """The first pages promise 100,000 rows, so the indexes go down; whether they were, while the rest is read."""
    asked: list[str] = []
    deferred: list[bool] = []

    def hook(request: Any) -> None:
        if "/data/" not in request.path:
            return
        asked.append(request.path)
        world.erp.behave("t", total=True, total_error=100_000 if len(asked) <= pages + 1 else 0)
        if len(asked) > 3 * pages + 1:
            deferred.append(world.state("t")["indexes_deferred"])

    world.erp.on_request = hook
    return deferred


@contextmanager
def no_lookups() -> Iterator[None]:
    """Looking stored rows up ends the process's work here: without indexes it would read the table each time."""
    failpoints.arm("chunk.lookup=raise")
    yield
    failpoints.arm("")


REFUSE_ONCE = """
    CREATE SEQUENCE public.tries;
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('public.tries') = 10 THEN RAISE SQLSTATE '{state}'; END IF; RETURN NEW; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.refuse();
"""


@pytest.mark.parametrize("state", ["40001", "40P01", "55P03", "57014"])
def test_rival_during_a_load_without_indexes_leads_to_a_second_try_but_to_no_lookup(
    make_world: MakeWorld, state: str
) -> None:
    world = make_world([table()], rows(40))
    world.sql(REFUSE_ONCE.format(state=state))
    deferred = large_at_first(world, pages=3)
    with no_lookups():
        run = world.sync_now("t")
    assert any(deferred) and not world.state("t")["indexes_deferred"]
    assert (run["status"], run["inserted"], run["attempt"], equal(world)) == ("success", 40, 0, True)
    assert world.sql("SELECT last_value FROM public.tries")[0]["last_value"] > 40


def test_key_that_stands_is_looked_up_where_indexes_stand(make_world: MakeWorld) -> None:
    world = make_world([table()], rows(12), default_page_size=2)
    world.compose(chunk_rows=1)
    world.erp.insert("t", [{"id": 3, "note": "n3"}], duplicate=True)
    run = world.sync_now("t")
    assert (run["status"], run["inserted"], run["unchanged"], run["attempt"]) == ("success", 12, 1, 0)


TWICE = [("hash", "n3", "unchanged", "n3"), ("hash", "other", "rejected", "n3"),
         ("rowversion", "n3", "unchanged", "n3"), ("rowversion", "newer", "superseded", "newer")]  # fmt: skip


@pytest.mark.parametrize(("strategy", "note", "outcome", "kept"), TWICE)
def test_key_that_comes_twice_while_indexes_are_down_is_settled_at_the_end_without_lookups(
    make_world: MakeWorld, strategy: str, note: str, outcome: str, kept: str
) -> None:
    world = make_world([table(strategy)], rows(12), default_page_size=2)
    world.compose(chunk_rows=1)
    world.erp.insert("t", [{"id": 3, "note": note}], duplicate=True)
    deferred = large_at_first(world, pages=1)
    with no_lookups():
        run = world.sync_now("t")
    assert any(deferred) and not world.state("t")["indexes_deferred"]
    assert (run["inserted"], run[outcome], balanced(run)) == (12, 1, True), run
    assert (len(world.stored("t")), world.rows("t")[3]["note"]) == (12, kept)


# What was not proven.


@pytest.mark.parametrize("strategy", ["hash", "rowversion"])
def test_pass_with_a_reject_without_key_counts_no_row_as_absent(make_world: MakeWorld, strategy: str) -> None:
    world = make_world([table(strategy)], rows(6), entity={"delete_after_missing": 2})
    world.sync()
    whole = world.sweep if strategy == "rowversion" else world.sync_now
    world.erp.delete("t", [{"id": 1}])
    world.erp.insert("t", [{"id": Json('"abc"'), "note": "who?"}])
    for _ in range(3):
        assert (whole("t")["rejected"], world.sql("SELECT 1 FROM bridge.missing_keys")) == (1, [])
    world.erp.delete("t", [{"id": Json('"abc"')}])
    assert [whole("t")["soft_deleted"] for _ in range(2)] == [0, 1]


def test_pass_with_a_reject_without_key_closes_no_open_reject(make_world: MakeWorld) -> None:
    world = make_world([table()], rows(6), entity={"delete_after_missing": 2})
    world.sync()
    world.erp.insert("t", [{"id": 50, "note": "nul\x00"}])
    world.sync_now("t")
    world.erp.delete("t", [{"id": 50}])
    world.erp.insert("t", [{"id": Json('"abc"'), "note": "who?"}])
    world.sync_now("t")
    assert "50" in {reject["key"] for reject in world.rejects("t")}


def test_unproven_walk_moves_no_watermark_even_where_pages_come_in_order(make_world: MakeWorld) -> None:
    world = make_world([table("rowversion")], rows(9))
    world.erp.behave("t", ordered_by_rowversion=True)
    world.discover()
    world.sync()
    before = world.state("t")["watermark"]
    world.erp.update("t", {"id": 1}, {"note": "x"})
    world.erp.behave("t", total=True, total_error=3)
    assert (world.sync_now("t")["error"]["code"], world.state("t")["watermark"]) == ("unproven", before)
    world.erp.behave("t", total_error=0)
    world.sync_now("t")
    assert (equal(world), world.state("t")["watermark"] > before) == (True, True)


def test_later_copy_of_a_key_that_is_refused_stays_open_for_a_person_to_see(make_world: MakeWorld) -> None:
    world = make_world([table()], rows(3), default_page_size=2)
    world.compose(chunk_rows=1)
    world.erp.insert("t", [{"id": 1, "note": "other"}], duplicate=True)
    run = world.sync_now("t")
    assert (run["status"], run["rejected"]) == ("partial", 1)
    assert [(reject["key"], reject["code"]) for reject in world.rejects("t")] == [("1", "duplicate_key")]


# Messages and work tables.


def test_slice_locked_by_whoever_got_its_message_holds_no_sender_up(make_world: MakeWorld) -> None:
    world = make_world([table()], rows(3))
    world.app.runs.create(uuid.UUID(world.uid("t")), purpose="delta", trigger="manual", requested_by="test")
    world.sql(f"ALTER DATABASE {world.app.settings.postgres_db} SET lock_timeout = '1s'")
    app = world.compose()
    with holding(world, "SELECT 1 FROM bridge.sync_slices FOR UPDATE"):
        assert app.send_outbox() == 1
    assert (app.send_outbox(), world.sql("SELECT 1 FROM bridge.outbox")) == (0, [])
    assert world.pump() == 1, "the message was sent more than once"
    assert equal(world)


def test_message_that_another_sender_is_sending_is_left_to_it(make_world: MakeWorld) -> None:
    world = make_world([table()], rows(3))
    world.app.runs.create(uuid.UUID(world.uid("t")), purpose="delta", trigger="manual", requested_by="test")
    world.sql(f"ALTER DATABASE {world.app.settings.postgres_db} SET lock_timeout = '1s'")
    app = world.compose()
    with holding(world, "SELECT 1 FROM bridge.outbox FOR UPDATE"):
        assert app.send_outbox() == 0
    assert (app.send_outbox(), world.pump(), equal(world)) == (1, 1, True)


def work_tables(world: World) -> set[str]:
    found = world.sql(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^(stage|seen)_[0-9a-f]{32}$'"
    )
    return {row["relname"] for row in found}


@pytest.mark.parametrize("read", [0, 1, 2])
def test_work_table_that_somebody_reads_keeps_no_other_from_being_swept(
    make_world: MakeWorld, read: int
) -> None:
    world = make_world([table()], rows(3))
    names = [f"{kind}_{uuid.uuid4().hex}" for kind in ("stage", "seen", "stage")]
    for name in names:
        world.sql(f"CREATE TABLE bridge.{name} (x int)")
    with holding(world, f"LOCK TABLE bridge.{names[read]} IN ACCESS SHARE MODE"):
        assert [run["status"] for run in world.sync()] == ["success"]
        assert work_tables(world) == {names[read]}
    world.tick()
    assert work_tables(world) == set()


def test_reader_of_a_work_table_does_not_keep_the_run_from_ending(make_world: MakeWorld) -> None:
    world = make_world([table()], rows(9))
    world.sync()
    run = world.post(f"/api/v1/entities/{world.uid('t')}/sync")["run_uid"]
    with psycopg.connect(world.conninfo) as reader:
        at_page(world, 2, lambda: reader.execute(f"SELECT 1 FROM bridge.seen_{uuid.UUID(run).hex}"))
        ended = world.finish(run)
        assert (ended["status"], ended["attempt"], len(work_tables(world))) == ("success", 0, 1)
        reader.rollback()
    world.tick()
    assert work_tables(world) == set()


# Locks.


@pytest.mark.parametrize(
    ("strategy", "transaction"), [("full", PostgresPublication), ("hash", PostgresDeletion)]
)
def test_full_refresh_that_meets_a_publication_or_deletes_waits_for_them(
    make_world: MakeWorld, strategy: str, transaction: type
) -> None:
    """State before slice, in both: the other order lets each wait for the other."""
    world = make_world([table(strategy)], rows(9), entity={"delete_after_missing": 1})
    world.sync()
    world.erp.delete("t", [{"id": 1}])
    refresh = Refresh(world, transaction)
    world.compose(Guards(fence=refresh.meets))
    world.sync_now("t")
    refresh.thread.join(60)
    assert refresh.created, "the refresh was the deadlock's victim"
    assert [1 for run in world.runs() if run["attempt"]] == []
    world.pump()
    assert (world.runs()[-1]["status"], equal(world)) == ("success", True)


class Refresh:
    """A full refresh that is asked for while a certain transaction stands before its fence."""

    def __init__(self, world: World, transaction: type) -> None:
        self.world, self.transaction, self.created = world, transaction, False
        self.thread = threading.Thread(target=self._ask)
        self._begun = False

    def meets(self, transaction: Any) -> None:
        if isinstance(transaction, self.transaction) and not self._begun:
            self._begun = True
            self.thread.start()
            self._wait_until_it_waits()
        transaction.hold_fence()

    def _ask(self) -> None:
        self.world.app.runs.create(
            uuid.UUID(self.world.uid("t")), purpose="refresh", trigger="manual", requested_by="test"
        )
        self.created = True

    def _wait_until_it_waits(self) -> None:
        for _ in range(3000):  # each question is a connection of its own, so nothing spins
            if self.world.sql("SELECT 1 FROM pg_locks WHERE NOT granted"):
                return
        raise AssertionError("the refresh met no lock")


# What a change asked for.


@pytest.mark.parametrize("purpose", ["delta", "sweep"])
def test_run_begun_before_a_column_was_added_does_not_pay_off_the_reading_it_asked_for(
    make_world: MakeWorld, purpose: Any
) -> None:
    world = make_world([table("rowversion" if purpose == "sweep" else "hash")], rows(5))
    world.sync()
    world.sync()
    begun = world.app.runs.create(
        uuid.UUID(world.uid("t")), purpose=purpose, trigger="manual", requested_by="test"
    )
    world.app.send_outbox()
    world.erp.add_column("t", ColumnSpec("extra", "NUMBER(3)"), 5)
    world.discover()
    assert world.finish(str(begun))["status"] == "success"
    for _ in range(2):
        world.sync()
    assert {row["extra"] for row in world.rows("t").values()} == {5}


def test_hash_entity_with_versions_is_left_alone_after_a_refresh_until_it_changes(
    make_world: MakeWorld,
) -> None:
    world = make_world([table("rowversion")], rows(5))
    world.put_entity("t", delta_strategy="hash")
    world.erp.behave("t", safe_rowversion=False)
    world.refresh("t")
    world.sync()
    assert world.sync() == []
    world.erp.update("t", {"id": 1}, {"note": "x"})
    assert [run["updated"] for run in world.sync()] == [1]
    assert (world.sync(), world.sync(), equal(world)) == ([], [], True)


# Snapshots.


def test_older_snapshot_without_versions_leaves_alone_what_a_rival_published_since(
    make_world: MakeWorld,
) -> None:
    world = make_world([table("full")], rows(5))
    world.sync()
    older = str(world.app.runs.create(
        uuid.UUID(world.uid("t")), purpose="sweep", trigger="timer", requested_by="test"
    ))  # fmt: skip
    world.app.send_outbox()
    world.erp.update("t", {"id": 2}, {"note": "before both"})
    assert world.deliver_one(), "the older walk, whose publication is still to come"
    world.erp.update("t", {"id": 1}, {"note": "newest"})
    world.post(f"/api/v1/entities/{world.uid('t')}/sync")
    run = world.finish(older)
    assert (run["status"], run["updated"], balanced(run)) == ("success", 0, True), run
    assert (run["superseded"] > 0, equal(world)) == (True, True)
