"""The harness itself: an undisturbed world holds, and the oracle sees what is broken."""

import pytest

from tests.torture import oracle
from tests.torture.conftest import MakeWorld

pytestmark = pytest.mark.torture


@pytest.mark.parametrize("strategy", ["full", "hash", "rowversion"])
def test_undisturbed_syncs_hold(make_world: MakeWorld, strategy: str) -> None:
    world = make_world(strategy)
    oracle.check(world)
    for seed in (1, 2, 3, 4):
        world.change(seed)
        world.sync()
        oracle.check(world)


def test_process_of_its_own_syncs_like_this_one(make_world: MakeWorld) -> None:
    world = make_world("hash", loaded=False)
    assert world.start(["tick"]).wait().code == 0
    attempt = world.start(world.action(message := world.take()))
    assert attempt.wait().code == 0, attempt.said()
    world.queue.delete_message(message)
    oracle.check(world)
