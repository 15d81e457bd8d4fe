"""T1: kill -9 at every named step, then redelivery or the next tick. Nothing lost, nothing doubled."""

import os
import random
from typing import Any

import pytest

from shared.failpoints import POINTS
from tests.torture import oracle
from tests.torture.conftest import MakeWorld, Standing
from tests.torture.world import World

pytestmark = pytest.mark.torture

NIGHTLY = os.environ.get("NIGHTLY") == "1"
KILLS = (1, 2) if NIGHTLY else (1,)
STRATEGIES = ("full", "hash", "rowversion")
# Hit by adopting a table and by another key only, which have tests of their own.
ELSEWHERE = {"rehash.before_commit", "rehash.after_commit", "verify.saved", "verify.concluded"}
# What a strategy's second sync cannot pass through, so that a point that is never hit is never taken for a good one;
# background loads have their own test below.
BY_NIGHT = {"window.created", "window.cursor"}
# Points of waiting rows are met only where parents are declared, or rejects tried again: see test_parents.py. Share packs
# have points of their own.
_ELSEWHERE = ("release", "retry", "replay", "application", "journal")
OTHERS = {point for point in POINTS if point.split(".")[0] in _ELSEWHERE} | {"chunk.held"}
NEVER = {
    "full": BY_NIGHT | OTHERS | {"chunk.lookup", "chunk.copy", "chunk.update", "deletes.mark", "deletes.before_commit", "deletes.chunk"},
    "hash": BY_NIGHT | OTHERS | {"stage.create", "publish.before_commit", "publish.after_commit"},
    "rowversion": BY_NIGHT | OTHERS | {"stage.create", "publish.before_commit", "publish.after_commit"},
}  # fmt: skip


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("point", [point for point in POINTS if point not in OTHERS])
def test_kill_at_a_step_loses_and_doubles_nothing(
    standing: Standing, point: str, strategy: str, kills: int
) -> None:
    world = standing.take(strategy)
    world.change(seed=POINTS.index(point) * 10 + kills)
    world.due()
    killed = torment(world, f"{point}=kill", kills, tiny=point.startswith("continuation"))
    assert (killed == 0) == (point in NEVER[strategy] | ELSEWHERE), world.story(
        f"{point}: killed {killed} times"
    )
    oracle.check(world, rerun=NIGHTLY or POINTS.index(point) % 3 == 0)
    standing.put(world)


@pytest.mark.parametrize("seed", range(500 if NIGHTLY else 6))
def test_random_kills_lose_and_double_nothing(standing: Standing, seed: int) -> None:
    """Any point, any of its first four hits, twice, and now and then with a continuation after every chunk."""
    chance = random.Random(seed)
    world = standing.take(chance.choice(STRATEGIES))
    world.change(seed)
    world.due()
    arm = ";".join(f"{point}=kill@{chance.randint(1, 4)}" for point in chance.sample(POINTS, 3))
    torment(world, arm, kills=2, tiny=chance.random() < 0.5)
    oracle.check(world)
    standing.put(world)


@pytest.mark.parametrize(
    "point", sorted(BY_NIGHT | {"chunk.before_commit", "chunk.after_commit", "finish.after"})
)
@pytest.mark.parametrize("strategy", ["hash", "rowversion"])
def test_kill_in_a_background_load_loses_and_doubles_nothing(
    make_world: MakeWorld, strategy: str, point: str
) -> None:
    """Two nights of a first load, the timer and each delivery in processes that die at the point once a night."""
    world = make_world(strategy, loaded=False)
    always = {"window_start": "00:00", "window_end": "00:00", "days_to_complete": 2}
    assert world.api.ask(
        "POST", "/api/v1/schedules", json={"entity_uid": str(world.entity)} | always
    ).is_success
    for night in (1, 2):
        assert _torment_night(world, f"{point}=kill") == 1, world.story(f"night {night}")
        world.ask(
            "UPDATE bridge.background_sync_schedule SET last_night = last_night - 1, first_night = first_night - 1"
        )
        world.change(night)
    world.put_entity(key_sweep_interval_seconds=0)
    world.sync()
    oracle.check(world)


def _torment_night(world: World, arm: str) -> int:
    """Begin the night and work until its run has ended; how often a process died."""
    killed = int(_dies(world, ["window"], arm, {}))
    if killed:
        world.app.send_outbox()
    while world.one("SELECT count(*) FROM bridge.sync_runs WHERE status IN ('queued', 'running')"):
        if (message := world.receive()) is None:
            world.later()
            world.app.agenda.heal()
            world.app.send_outbox()
            continue
        died = _dies(world, world.action(message), "" if killed else arm, {})
        killed += died
        world.let_go(message) if died else world.queue.delete_message(message)
        world.watch()
    return killed


def test_points_are_enough() -> None:
    """Twenty-five at least for each strategy, or the list above hides too much; and none stands twice."""
    assert len(set(POINTS)) == len(POINTS)
    assert all(len(set(POINTS) - NEVER[strategy] - ELSEWHERE) >= 25 for strategy in STRATEGIES)


def torment(world: World, arm: str, kills: int, *, tiny: bool) -> int:
    """Ticks and deliveries in processes that die at armed points, until they died often enough or all is quiet."""
    env = {"SLICE_BUDGET_SECONDS": "0.000001"} if tiny else {}
    killed = 0
    for _ in range(60):
        message = world.receive()
        action = ["tick"] if message is None else world.action(message)
        died = _dies(world, action, arm, env)
        killed += died
        if message is not None:
            world.let_go(message) if died else world.queue.delete_message(message)
        world.watch()
        if killed >= kills or (message is None and not died and world.is_quiet()):
            break
    world.settle()
    return killed


def _dies(world: World, action: list[Any], arm: str, env: dict[str, str]) -> bool:
    attempt = world.start(action, arm, **env)
    ended = attempt.wait()
    assert ended.killed or ended.code == 0, world.story(attempt.said())
    world.step("killed" if ended.killed else "survived")
    return ended.killed
