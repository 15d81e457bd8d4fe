"""T3-T7, T9-T11: messages that come twice, late, to two workers, or to one that was dead for a while."""

import json
import uuid

import pytest

from shared.errors import MessageError
from tests.torture import oracle
from tests.torture.conftest import MakeWorld, Standing
from tests.torture.test_postgres_faults import changed, stopped_in_chunk, until
from tests.torture.workers import Attempt
from tests.torture.world import World, order

pytestmark = pytest.mark.torture

TINY = {"SLICE_BUDGET_SECONDS": "0.000001"}
# Where a stopped worker holds no lock that a rival needs, the rival finishes first.
FREE = [("claim.after", "hash"), ("page.after", "hash"), ("page.after", "rowversion"), ("stages.after", "full"),
        ("stages.after", "hash"), ("chunk.begin", "hash"), ("chunk.lookup", "rowversion"), ("chunk.after_commit", "full"),
        ("chunk.after_commit", "hash"), ("deletes.mark", "hash"), ("deletes.chunk", "hash"), ("continuation.before", "full"),
        ("publish.after_commit", "full"), ("finish.before", "hash"), ("finish.before", "rowversion"),
        ("finish.after", "hash"), ("log.before", "hash"), ("acknowledge.before", "hash")]  # fmt: skip
# Here it holds rows or tables: the rival claims, then waits for them.
ROWS_HELD = [("chunk.copy", "hash"), ("chunk.update", "rowversion"), ("stage.create", "full")]
# Here it has locked its own slice: the rival leaves the message alone.
SLICE_HELD = [
    ("chunk.before_commit", "hash"),
    ("publish.before_commit", "full"),
    ("deletes.before_commit", "hash"),
]
AFTER_THE_END = {"finish.after", "log.before", "acknowledge.before"}


@pytest.mark.parametrize(("point", "strategy"), FREE)
def test_worker_stopped_beyond_its_lease_is_fenced(standing: Standing, point: str, strategy: str) -> None:
    """T7"""
    world = changed(standing.take(strategy), len(point))
    zombie = stopped_in_chunk(world, point)
    world.later()
    world.let_go(world.held)
    world.settle()
    world.change(seed=len(point) + 100)
    world.sync()
    assert zombie.go_on().code == 0, zombie.said()
    assert ("fenced" in zombie.said()) == (point not in AFTER_THE_END), world.story(zombie.said())
    oracle.check(world)
    standing.put(world)


@pytest.mark.parametrize(("point", "strategy"), ROWS_HELD)
def test_worker_stopped_inside_its_transaction_is_fenced_too(
    standing: Standing, point: str, strategy: str
) -> None:
    """T7"""
    world = changed(standing.take(strategy), len(point))
    zombie = stopped_in_chunk(world, point)
    epochs = world.one("SELECT sum(epoch) FROM bridge.sync_slices")
    world.later()
    world.let_go(world.held)
    rival = world.start(world.action(message := world.take()))
    until(world, f"SELECT sum(epoch) > {epochs} FROM bridge.sync_slices")
    assert zombie.go_on().code == 0 and rival.wait().code == 0, zombie.said() + rival.said()
    assert "fenced" in zombie.said(), world.story(zombie.said())
    world.queue.delete_message(message)
    world.settle()
    oracle.check(world)
    standing.put(world)


@pytest.mark.parametrize(("point", "strategy"), SLICE_HELD)
def test_rival_leaves_a_slice_alone_whose_worker_is_about_to_commit(
    standing: Standing, point: str, strategy: str
) -> None:
    """T7"""
    world = changed(standing.take(strategy), len(point))
    slow = stopped_in_chunk(world, point)
    world.let_go(world.held)
    rival = world.start(world.action(message := world.take()))
    assert rival.wait().code == 0 and "message_ignored" in rival.said(), rival.said()
    world.queue.delete_message(message)
    assert slow.go_on().code == 0 and "fenced" not in slow.said(), slow.said()
    world.settle()
    oracle.check(world)
    standing.put(world)


def test_abandoned_run_is_healed_by_a_later_tick_without_its_message(make_world: MakeWorld) -> None:
    """T3: the message is gone with the host; lease and patience run out."""
    world = changed(make_world("full"), 1)
    attempt = world.start(world.action(message := world.take()), "chunk.after_commit=kill@1")
    assert attempt.wait().killed
    world.queue.delete_message(message)
    world.tick()
    assert world.receive() is None, "a live lease is nobody's business"
    world.later()
    world.settle()
    oracle.check(world)


def test_work_tables_of_ended_runs_are_swept(make_world: MakeWorld) -> None:
    """T3"""
    world = make_world("hash")
    for name in ("stage", "seen"):
        world.ask(f"CREATE TABLE bridge.{name}_{uuid.uuid4().hex} (x int)")
    world.tick()
    assert not oracle.leftovers(world)


@pytest.mark.parametrize("strategy", ["full", "hash", "rowversion"])
def test_run_longer_than_its_budget_goes_on_where_it_stopped(make_world: MakeWorld, strategy: str) -> None:
    """T4: each delivery commits at least one chunk, and none twice."""
    world = make_world(strategy, loaded=False)
    world.tick()
    app, reached = world.compose(**TINY), [0]
    while (message := world.receive()) is not None:
        world.deliver(message, app)
        reached.append(world.one("SELECT sum(chunk) FROM bridge.sync_slices"))
    app.close()
    assert len(reached) > 3 and reached == sorted(reached)
    assert world.runs()[0]["fetched"] == 300
    oracle.check(world)


def test_two_ticks_at_once_create_no_second_run(make_world: MakeWorld) -> None:
    """T5"""
    world = make_world("hash")
    world.change(2)
    world.due()
    before = len(world.runs())
    ticks = [world.start(["tick"]) for _ in range(3)]
    assert all(tick.wait().code == 0 for tick in ticks)
    assert len(world.runs()) == before + 1
    world.settle()
    oracle.check(world)


def test_tick_that_dies_halfway_is_finished_by_the_next(make_world: MakeWorld) -> None:
    """T5"""
    world = make_world("rowversion")
    world.change(3)
    world.due()
    assert world.start(["tick"], "detect.after_create=kill@1").wait().killed
    world.tick()
    world.settle()
    oracle.check(world)


@pytest.mark.parametrize("same_message", [True, False])
def test_one_slice_two_workers_is_worked_on_by_one(make_world: MakeWorld, same_message: bool) -> None:
    """T6"""
    world = changed(make_world("hash"), 4)
    message = world.take()
    first = world.start(world.action(message), "stages.after=stop@1")
    assert first.wait().stopped
    twin = [*world.action(message)[:2], message.id if same_message else str(uuid.uuid4()), 1]
    second = world.start(twin)
    assert second.wait().code == 0 and "message_ignored" in second.said()
    assert first.go_on().code == 0 and "run_ended" in first.said()
    world.queue.delete_message(message)
    oracle.check(world)


def test_message_redelivered_after_success_changes_nothing(make_world: MakeWorld) -> None:
    """T11: the work is done, only the delete was refused."""
    world = changed(make_world("hash"), 5)
    message = world.take()
    world.app.sync_table(message.content.encode(), message.id, 1)
    before = (world.runs(), world.target())
    world.let_go(message)
    world.deliver(world.take())
    assert (world.runs(), world.target()) == before
    oracle.check(world)


def test_sweep_fetched_before_a_delta_does_not_overwrite_it(make_world: MakeWorld) -> None:
    """T9: old pages land last, and are superseded."""
    world = make_world("rowversion")
    sweep = _stopped_sweep(world, "stages.after")
    world.erp.update("orders", {"id": 10}, {"note": "newest"})
    world.sync_delta()
    assert sweep.go_on().code == 0, sweep.said()
    world.queue.delete_message(world.held)
    world.settle()
    assert world.target()[10]["note"] == "newest"
    oracle.check(world)


def test_row_born_during_a_sweep_is_not_deleted_by_it(make_world: MakeWorld) -> None:
    """T56: its key lies before the sweep's reading point."""
    world = make_world("rowversion")
    world.erp.delete("orders", [{"id": 5}])
    world.sync()
    sweep = _stopped_sweep(world, "chunk.after_commit")
    world.erp.insert("orders", [order(5)])
    world.sync_delta()
    assert sweep.go_on().code == 0, sweep.said()
    world.queue.delete_message(world.held)
    world.settle()
    assert 5 in world.live()
    oracle.check(world)


def test_full_refresh_fences_what_began_before_it(make_world: MakeWorld) -> None:
    """T9"""
    world = changed(make_world("rowversion"), 6)
    old = stopped_in_chunk(world, "stages.after")
    answer = world.api.ask("POST", f"/api/v1/entities/{world.entity}/full-refresh")
    assert answer.status_code == 202, answer.text
    world.settle()
    assert old.go_on().code == 0 and "fenced" in old.said()
    oracle.check(world)


def test_stopped_run_writes_nothing_after_the_stop(make_world: MakeWorld) -> None:
    world = changed(make_world("hash"), 7)
    worker = stopped_in_chunk(world, "chunk.begin")
    run = world.runs()[-1]["uid"]
    assert world.api.ask("POST", f"/api/v1/sync/stop/{run}").json()["status"] == "cancelled"
    before = world.target()
    assert worker.go_on().code == 0 and "fenced" in worker.said()
    assert world.target() == before
    world.queue.delete_message(world.held)
    world.tick()
    world.sync()
    oracle.check(world)


def test_unreachable_source_is_retried_with_growing_delays_then_fails_visibly(make_world: MakeWorld) -> None:
    world = changed(make_world("hash"), 8)
    world.erp.stop()
    delays = []
    for _ in range(3):
        world.deliver(world.take())
        row = world.ask("SELECT extract(epoch FROM next_attempt_at - now()) AS s FROM bridge.sync_slices"
                        " WHERE status = 'queued'")  # fmt: skip
        delays.append(round(row[0]["s"], -1))
        world.later()
        world.app.agenda.heal()
        world.app.send_outbox()
    world.deliver(world.take())
    assert delays == [60, 120, 240]
    failed = world.runs()[-1]
    assert (failed["status"], failed["error"]["code"]) == ("failed", "source_unavailable")
    world.erp.start()
    world.sync()
    oracle.check(world)


def test_message_whose_hosts_die_each_time_is_queued_again_then_fails_visibly(make_world: MakeWorld) -> None:
    """T10"""
    world = changed(make_world("hash"), 9)
    body = b""
    for attempt in range(4):
        for _ in range(5):
            message = world.take()
            assert world.start(world.action(message), "claim.after=kill@1").wait().killed
            body = message.content.encode()
            world.let_go(message)
        world.queue.delete_message(world.take())
        world.app.handle_poison(body, f"dead-{attempt}")
        world.later()
        world.app.agenda.heal()
        world.app.send_outbox()
    run = world.runs()[-1]
    assert (run["status"], run["error"]["code"]) == ("failed", "poisoned")
    assert world.one("SELECT count(*) FROM bridge.poison_messages") == 4
    world.sync()
    oracle.check(world)


def test_poison_of_a_slice_at_work_is_left_alone(make_world: MakeWorld) -> None:
    """T10: the lease lives, so somebody is at it."""
    world = changed(make_world("hash"), 10)
    worker = stopped_in_chunk(world, "stages.after")
    world.app.handle_poison(world.held.content.encode(), "dead")
    assert worker.go_on().code == 0 and "run_ended" in worker.said()
    world.queue.delete_message(world.held)
    oracle.check(world)


JUNK = [b"", b"not base64 \xff\xfe\x00", b"{}", b"[1]", b'{"v":2,"id":"x","slice":0}', b"null", b"\x00" * 70_000,
        json.dumps({"v": 1, "id": str(uuid.UUID(int=7)), "slice": 0}).encode()]  # fmt: skip


@pytest.mark.parametrize("body", JUNK, ids=range(len(JUNK)))
def test_junk_message_is_recorded_once_and_hurts_nothing(standing: Standing, body: bytes) -> None:
    """T10: junk, JSON of others, an unknown run"""
    world = standing.take("hash")
    known = b'"slice": 0' in body
    if known:
        world.app.sync_table(body, "m", 1)
    else:
        with pytest.raises(MessageError):
            world.app.sync_table(body, "m", 1)
    before = world.one("SELECT count(*) FROM bridge.poison_messages")
    name = str(uuid.uuid4())
    for _ in range(2):
        world.app.handle_poison(body, name)
    assert world.one("SELECT count(*) FROM bridge.poison_messages") == before + (1 if known else 2 - 1)
    assert not oracle.problems(world)
    standing.put(world)


def _stopped_sweep(world: World, point: str) -> Attempt:
    """A sweep's process that stands still after its first chunk was fetched or landed."""
    world.app.runs.create(world.entity, purpose="sweep", trigger="timer", requested_by="test")
    world.app.send_outbox()
    return stopped_in_chunk(world, point)
