"""T2, T47, T48, T49: PostgreSQL's answers lost, connections cut, rivals at the rows, the server gone."""

import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from infra.local.postgres import PostgresServer
from shared.composition import App
from shared.errors import AppError, TargetUnavailableError
from tests.torture import oracle
from tests.torture.conftest import MakeWorld, Standing
from tests.torture.proxy import Cut, CutProxy, cut_proxy
from tests.torture.workers import Attempt
from tests.torture.world import World, made

pytestmark = pytest.mark.torture

LOST = {
    "claim": (b"dequeue_count = $", "hash"),
    "chunk": (b"rejected = rejected + $", "hash"),
    "staged chunk": (b"rejected = rejected + $", "full"),
    "delta chunk": (b"rejected = rejected + $", "rowversion"),
    "continuation": (b"sent_at = NULL, sends = 0", "hash"),
    "publication queued": (b"slice, connector_uid, kind, admitted", "full"),
    "publication": (b'"published": true', "full"),
    "marked missing": (b"SET due_deletes", "hash"),
    "deletes": (b"soft_deleted = soft_deleted + $", "hash"),
    "run's end": (b"completed_at = clock_timestamp(), error", "hash"),
    "delta's end": (b"completed_at = clock_timestamp(), error", "rowversion"),
    "outbox": (b"sends = sends + 1", "rowversion"),
    "run copied": (b"logged_at = clock_timestamp()", "hash"),
}


def port(world: World) -> int:
    return int(conninfo_to_dict(world.dsn)["port"])  # type: ignore[arg-type]


def behind(world: World, proxy: CutProxy, **env: str) -> App:
    return world.compose(POSTGRES_PORT=str(proxy.port), MIGRATE_ON_START="false", **env)


def work_until(world: World, app: App, done: Callable[[], bool]) -> None:
    """Deliver through `app`; a delivery that raises is redelivered, as the host does."""
    for _ in range(30):
        if done() or (message := world.receive()) is None:
            return
        try:
            world.deliver(message, app)
        except AppError as error:
            world.step(f"raised {error.code}")
            world.let_go(message)


@pytest.mark.parametrize("what", LOST)
def test_lost_answer_to_commit_is_neither_lost_nor_repeated(standing: Standing, what: str) -> None:
    """T2"""
    marker, strategy = LOST[what]
    world = standing.take(strategy)
    world.change(seed=len(marker))
    world.due()
    world.tick()
    with cut_proxy(port(world), Cut(marker, "reply of COMMIT")) as proxy:
        budget = {"SLICE_BUDGET_SECONDS": "0.000001"} if what == "continuation" else {}
        app = behind(world, proxy, **budget)
        work_until(world, app, lambda: proxy.fired)
        app.close()
    assert proxy.fired, world.story(f"the server was never told {marker!r}")
    world.settle()
    oracle.check(world)
    standing.put(world)


@pytest.mark.parametrize("bytes_more", [0, 40, 700])
def test_connection_cut_in_the_middle_of_copy_leaves_no_half_chunk(
    make_world: MakeWorld, bytes_more: int
) -> None:
    """T47"""
    world = make_world("hash", loaded=False)
    world.due()
    world.tick()
    with cut_proxy(port(world), Cut(b'COPY "public"."orders"', "bytes later", bytes_more)) as proxy:
        app = behind(world, proxy)
        work_until(world, app, lambda: proxy.fired)
        app.close()
    assert proxy.fired and world.one("SELECT count(*) FROM public.orders") % 100 == 0
    world.settle()
    oracle.check(world)


def stopped_in_chunk(world: World, point: str) -> Attempt:
    """A process that stands still at the point, with a delivery in its hands."""
    for _ in range(5):
        message = world.take()
        assert message is not None, world.story(f"{point} was not met")
        attempt = world.start(world.action(message), f"{point}=stop@1")
        if attempt.wait().stopped:
            world.held = message
            return attempt
        world.queue.delete_message(message)
    raise AssertionError(world.story(f"{point} was not met"))


def changed(standing_or_world: World, seed: int) -> World:
    standing_or_world.change(seed)
    standing_or_world.due()
    standing_or_world.tick()
    return standing_or_world


def test_terminated_backend_is_retried_with_nothing_kept(make_world: MakeWorld) -> None:
    """T47"""
    world = changed(make_world("hash"), 5)
    attempt = stopped_in_chunk(world, "chunk.copy")
    world.ask(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tributary'"
        " AND state = 'idle in transaction'"
    )
    assert attempt.go_on().code == 0, attempt.said()
    assert "backed_off" in attempt.said()
    world.queue.delete_message(world.held)
    world.settle()
    oracle.check(world)


def test_server_crashed_in_the_middle_of_a_chunk_comes_back_with_whole_chunks(
    fork_server: None, durable_postgres_server: PostgresServer, storage_connection_string: str, tmp_path: Path
) -> None:
    """T47: an immediate stop, recovered from the log"""
    with made("hash", durable_postgres_server, storage_connection_string, tmp_path) as world:
        world.tick()
        attempt = stopped_in_chunk(world, "chunk.before_commit")
        durable_postgres_server.stop("immediate")
        durable_postgres_server.start()
        attempt.go_on()
        assert world.one("SELECT count(*) FROM public.orders") % 100 == 0
        world.queue.delete_message(world.held)
        world.settle()
        oracle.check(world)


def test_same_key_inserted_by_a_rival_meanwhile_ends_as_one_row(make_world: MakeWorld) -> None:
    """T49"""
    world = make_world("rowversion")
    world.erp.insert("orders", [{"id": 900, "note": "ours", "amount": 9}])
    changed(world, 6)
    attempt = stopped_in_chunk(world, "chunk.lookup")
    world.ask(
        "INSERT INTO public.orders (id, note, amount, _bridge_uid, _bridge_erp_key_hash, _bridge_erp_data_hash,"
        " _bridge_erp_ref_str, _bridge_erp_rowversion) SELECT 900, 'theirs', 1, gen_random_uuid(), gen_random_uuid(),"
        " _bridge_erp_data_hash, _bridge_erp_ref_str, _bridge_erp_rowversion FROM public.orders LIMIT 1"
    )
    assert attempt.go_on().code == 0, attempt.said()
    world.queue.delete_message(world.held)
    world.settle()
    assert world.target()[900]["note"] != "theirs"
    assert not oracle.row_problems(world) + oracle.duplicate_problems(world) + oracle.leftovers(world)


def test_row_changed_by_a_rival_meanwhile_is_retried_on_a_new_snapshot(make_world: MakeWorld) -> None:
    """T48: serialization failure"""
    world = changed(make_world("hash"), 7)
    attempt = stopped_in_chunk(world, "chunk.lookup")
    world.ask(
        "UPDATE public.orders SET note = 'theirs', _bridge_erp_data_hash = decode(repeat('01', 33), 'hex')"
    )
    assert attempt.go_on().code == 0, attempt.said()
    world.queue.delete_message(world.held)
    world.settle()
    oracle.check(world)


def test_deadlock_with_a_rival_is_retried(make_world: MakeWorld) -> None:
    """T48: our transaction is the victim, since only it looks for deadlocks in time."""
    world = changed(make_world("hash"), 8)
    attempt = stopped_in_chunk(world, "chunk.copy")
    with psycopg.connect(world.dsn) as rival:
        rival.execute("SET deadlock_timeout = '60s'")
        rival.execute("UPDATE public.orders SET note = note WHERE id > 0")
        attempt.wake()
        until(world, "SELECT count(*) FROM pg_locks WHERE NOT granted")
        crossing = threading.Thread(
            target=lambda: rival.execute("LOCK TABLE public.orders IN SHARE ROW EXCLUSIVE MODE")
        )
        crossing.start()
        crossing.join(60)
        rival.rollback()
    assert attempt.wait().code == 0, attempt.said()
    world.queue.delete_message(world.held)
    world.settle()
    oracle.check(world)


def test_locked_table_backs_off_and_the_next_good_attempt_is_right(make_world: MakeWorld) -> None:
    """T48: lock timeout, five times in a row"""
    world = changed(make_world("hash"), 9)
    name = conninfo_to_dict(world.dsn)["dbname"]
    world.ask(f"ALTER DATABASE {name} SET lock_timeout = '100ms'")
    app = world.compose()
    with psycopg.connect(world.dsn) as rival:
        rival.execute("LOCK TABLE public.orders IN EXCLUSIVE MODE")
        message = world.take()
        world.deliver(message, app)
    app.close()
    assert world.runs()[-1]["attempt"] == 1
    world.settle()
    oracle.check(world)


def test_database_down_is_a_clear_error_and_the_next_run_is_right(make_world: MakeWorld) -> None:
    world = changed(make_world("hash"), 10)
    with cut_proxy(port(world)) as proxy:
        app = behind(world, proxy)
        proxy.close()
        message = world.take()
        with pytest.raises(TargetUnavailableError, match=r"PostgreSQL 127\.0\.0\.1:\d+/torture_"):
            world.deliver(message, app)
        world.let_go(message)
        app.close()
    world.settle()
    oracle.check(world)


def until(world: World, text: str) -> None:
    """Ask until the answer is true; each question is a connection of its own, so nothing spins."""
    for _ in range(3000):
        if world.one(text):
            return
    raise AssertionError(world.story(f"never true: {text}"))
