"""A table in ten parts under several hosts at once: exactly one walk's work, whatever dies or comes twice."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from infra.local.paths import REPO_ROOT
from infra.local.ports import free_ports
from tests.torture import oracle
from tests.torture.conftest import MakeWorld
from tests.torture.world import ROWS, World

pytestmark = pytest.mark.torture

PARTS = {"SPLIT_ROWS": str(ROWS // 10)}
HOSTS = 4
WHERE = ("claim.after", "chunk.before_commit", "chunk.after_commit", "continuation.before", "continuation.after",
         "finish.before", "finish.after", "deletes.chunk", "publish.after_commit")  # fmt: skip


def crowd(world: World, chance: random.Random) -> None:
    """Up to four processes at once, each on a message of its own; some die, some messages go to two."""
    for _ in range(60):
        held = [message for message in (world.receive() for _ in range(HOSTS)) if message is not None]
        if not held and world.is_quiet():
            return
        if not held:
            world.later()
            world.tick()
        arms = [f"{chance.choice(WHERE)}=kill@1" if chance.random() < 0.4 else "" for _ in held]
        working = [world.start(world.action(m), arm) for m, arm in zip(held, arms, strict=True)]
        twins = [world.start(world.action(message)) for message in held[:1]]
        for message, attempt in zip(held, working, strict=True):
            world.let_go(message) if attempt.wait().killed else world.queue.delete_message(message)
        assert all(twin.wait().code == 0 for twin in twins)
        world.watch()
    raise AssertionError(world.story("not quiet after sixty rounds"))


@pytest.mark.parametrize("strategy", ["full", "hash", "rowversion"])
@pytest.mark.parametrize("seed", range(4 if os.environ.get("NIGHTLY") else 1))
def test_parts_hold_the_oracle_though_workers_die(make_world: MakeWorld, strategy: str, seed: int) -> None:
    world = make_world(strategy, loaded=False, **PARTS)
    chance = random.Random(seed)
    for round_ in range(2):
        world.tick()
        crowd(world, chance)
        world.change(seed=10 * seed + round_)
        world.due()
    world.settle()
    first = world.runs()[0]
    assert (first["slices"] >= 11, first["fetched"], first["inserted"]) == (True, ROWS, ROWS)
    oracle.check(world)


@contextmanager
def hosts(world: World, count: int) -> Iterator[None]:
    """Local hosts over one stack, each a process with the whole app; they end by SIGTERM."""
    with ExitStack() as stack:
        for port in free_ports(count):
            command = [sys.executable, "-m", "infra.local.host", "--port", str(port), "--grace", "20"]
            # Detection runs in the test, so that what is left to four hosts is the work itself.
            quiet = {
                "AzureWebJobs.detect_changes.Disabled": "true",
                "DETECT_SCHEDULE": "0 0 0 1 1 *",
                "RETRY_SCHEDULE": "0 0 0 1 1 *",
                "WATCH_SCHEDULE": "0 0 0 1 1 *",
                "REMIND_SCHEDULE": "0 0 0 1 1 *",
                "DRIFT_SCHEDULE": "0 0 0 1 1 *",
                "DIRECTORY_SCHEDULE": "0 0 0 1 1 *",
                "AZURE_QUEUE_NAME": "sharepack-processing",
                "DIRECTORY_QUEUE_NAME": "sync-triggers",
                "LOG_LEVEL": "ERROR",
            }
            process = subprocess.Popen(
                command, cwd=REPO_ROOT, env={**os.environ, **world.env, **quiet}, stderr=subprocess.DEVNULL
            )
            stack.callback(process.wait, 60)
            stack.callback(process.terminate)
            stack.callback(_still_runs, process)
        yield


def _still_runs(process: "subprocess.Popen[bytes]") -> None:
    assert process.poll() is None, "a host ended before its work; start one by hand to see why"


def test_four_local_hosts_on_a_ten_part_table_do_the_work_of_one(make_world: MakeWorld) -> None:
    world = make_world("hash", loaded=False, rows=2_000, SPLIT_ROWS="200")
    world.ask("UPDATE bridge.connectors SET max_concurrent_syncs = 10")
    world.tick()
    with hosts(world, HOSTS):
        deadline = time.monotonic() + 120
        while not world.is_quiet() and time.monotonic() < deadline:
            time.sleep(0.2)  # four processes at work: there is nothing else to wait for
    run = world.runs()[0]
    assert (run["status"], run["slices"], run["fetched"], run["inserted"]) == ("success", 11, 2_000, 2_000)
    holders = world.one("SELECT count(*) FROM bridge.sync_slices WHERE kind = 'walk' AND chunk > 0")
    assert holders == 10
    oracle.check(world)
