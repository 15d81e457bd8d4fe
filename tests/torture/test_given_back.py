"""T7: a slice that was given back or ended belongs to nobody; whoever was paused while working on it is fenced."""

import pytest

from tests.torture import oracle
from tests.torture.conftest import MakeWorld
from tests.torture.test_postgres_faults import stopped_in_chunk
from tests.torture.world import World

pytestmark = pytest.mark.torture


def poisoned_under_the_hands_of(world: World) -> str:
    """Its message dies while the worker stands still; the worker goes on; what it says then."""
    zombie = stopped_in_chunk(world, "chunk.begin")
    world.later()
    world.app.handle_poison(world.held.content.encode(), "dead")
    assert zombie.go_on().code == 0, zombie.said()
    world.queue.delete_message(world.held)
    return zombie.said()


@pytest.mark.parametrize("strategy", ["full", "hash", "rowversion"])
def test_worker_of_a_slice_that_was_queued_again_writes_nothing(make_world: MakeWorld, strategy: str) -> None:
    world = make_world(strategy, loaded=False)
    world.tick()
    assert "fenced" in poisoned_under_the_hands_of(world)
    assert [(run["status"], run["attempt"], run["fetched"]) for run in world.runs()] == [("running", 1, 0)]
    assert not world.target()
    world.settle()
    oracle.check(world)


@pytest.mark.parametrize("strategy", ["full", "hash", "rowversion"])
def test_worker_of_a_slice_whose_run_failed_writes_nothing(make_world: MakeWorld, strategy: str) -> None:
    world = make_world(strategy, loaded=False, MAX_RETRIES="0")
    world.tick()
    assert "fenced" in poisoned_under_the_hands_of(world)
    run = world.runs()[0]
    assert (run["status"], run["error"]["code"], run["fetched"]) == ("failed", "poisoned", 0)
    assert not world.target()
    world.sync()
    oracle.check(world)
