"""Two hosts, fifty tables, every fifth message twice, a kill every five seconds: afterwards each table is right."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from infra.local.sample_erp import TableSpec, parse_columns
from infra.local.sample_erp.schema import Strategy
from tests.torture import oracle
from tests.torture.conftest import MakeWorld
from tests.torture.workers import Attempt
from tests.torture.world import SLUG, World, order, orders

pytestmark = pytest.mark.torture

NIGHTLY = os.environ.get("NIGHTLY") == "1"
SECONDS = float(os.environ.get("SOAK_SECONDS", "900" if NIGHTLY else "90"))
TABLES, HOSTS, ROWS, KILL_EVERY_S = 50, 2, 60, 5.0
STRATEGIES: tuple[Strategy, ...] = ("full", "hash", "rowversion")
COLUMNS = "id NUMBER(9) NOT NULL\nnote VARCHAR2(40)\namount NUMBER(12,2)"


@dataclass
class Hosts:
    """Processes that pump the queue; whichever dies is followed by another."""

    world: World
    stop: Path
    running: list[Attempt] = field(default_factory=list)
    kills: int = 0

    def begin(self) -> None:
        action = ["pump", str(self.stop), len(self.running) + self.kills]
        self.running.append(self.world.start(action))

    def kill(self, number: int) -> None:
        """kill -9 of one of them, and a fresh one in its place."""
        victim = self.running.pop(number)
        victim.kill()
        ended = victim.wait()
        assert ended.killed, self.world.story(victim.said())
        self.kills += 1
        self.begin()

    def end(self) -> None:
        """Let each finish what it is at."""
        self.stop.touch()
        for host in self.running:
            assert host.wait().code == 0, self.world.story(host.said())


def slugs() -> list[str]:
    return [SLUG, *(f"table_{n:02}" for n in range(1, TABLES))]


def soaked(make_world: MakeWorld) -> World:
    """Fifty tables, the strategies in turn; nothing loaded yet."""
    rows = [order(n) for n in range(1, ROWS + 1)]
    beside = {
        TableSpec(slug=slug, keys=("id",), strategy=STRATEGIES[n % 3], columns=parse_columns(COLUMNS)): rows
        for n, slug in enumerate(slugs())
        if slug != SLUG
    }
    world = make_world(
        "full", loaded=False, spec=orders("full"), seeded=rows, beside=beside,
        SYNC_MAX_CONCURRENT="20", DEFAULT_PAGE_SIZE="20",
    )  # fmt: skip
    world.chunk_rows = 25
    world.app.runner = replace(world.app.runner, chunk_rows=world.chunk_rows)
    for row in world.ask("SELECT uid FROM bridge.entities WHERE slug <> %s", SLUG):
        at = f"/api/v1/entities/{row['uid']}"
        body = world.api.ask("GET", at).json() | {"delete_after_missing": 1, "key_sweep_interval_seconds": 0}
        assert world.api.ask("PUT", at, json=body).status_code == 200
    return world


def change(world: World, chance: random.Random, fresh: int) -> None:
    """In three tables: updates, one row more, one fewer, one broken or repaired."""
    for slug in chance.sample(slugs(), 3):
        keys = sorted({row["id"] for row in oracle.read_source(world.erp, slug)})
        first, second, third = chance.sample(keys, 3)
        world.erp.update(slug, {"id": first}, {"note": f"changed {fresh}", "amount": fresh})
        world.erp.insert(slug, [order(1_000 + fresh)])
        world.erp.delete(slug, [{"id": second}])
        if chance.random() < 0.5:
            world.erp.break_row(slug, {"id": third}, "amount", "abc")


def soak(world: World, hosts: Hosts) -> None:
    """The main process is the timer and the source; how long is real time."""
    chance, begun = random.Random(7), time.monotonic()
    world.queue.create_queue()
    for _ in range(HOSTS):
        hosts.begin()
    fresh = 0
    while (passed := time.monotonic() - begun) < SECONDS:
        fresh += 1
        change(world, chance, fresh)
        if fresh % 4 == 1:
            # Many rows at once, in any order: waiting for a lock here could deadlock with the hosts.
            world.ask(
                "UPDATE bridge.erp_sync_state SET due_at = now() WHERE entity_uid IN"
                " (SELECT entity_uid FROM bridge.erp_sync_state FOR UPDATE SKIP LOCKED)"
            )
        world.app.detect_changes()
        if passed > KILL_EVERY_S * (hosts.kills + 1):
            hosts.kill(chance.randrange(HOSTS))
    hosts.end()


def allow_deletes(world: World) -> None:
    """What a person does where deletes had piled up beyond the guard's share."""
    refused = world.ask(
        "SELECT DISTINCT entity_uid FROM bridge.sync_runs WHERE error ->> 'code' = 'delete_guard'"
    )
    for row in refused:
        # How many pile up depends on how fast the machine is.
        body = {"allow_deletes": 100_000, "reason": "the soak deletes a lot"}
        answer = world.api.ask("POST", f"/api/v1/entities/{row['entity_uid']}/sync", json=body)
        assert answer.status_code == 202, answer.text
    world.app.send_outbox()
    world.settle()


def table_problems(world: World, slug: str) -> list[str]:
    """The oracle of one table: each source row live in its newest version or rejected, and nothing else live."""
    source = {row["id"]: row for row in oracle.read_source(world.erp, slug)}
    stored = world.ask(f'SELECT * FROM public."{slug}"')
    live = {row["id"]: (row["note"], row["amount"]) for row in stored if not row["_bridge_deleted"]}
    rejected = Counter(
        int(row["key"])
        for row in world.ask(
            "SELECT f.key FROM bridge.failed_records f JOIN bridge.entities e ON e.uid = f.entity_uid"
            " WHERE e.slug = %s AND f.status = 'open'", slug,
        )
    )  # fmt: skip
    found = [f"{slug} {key}: not at the source" for key in {*live, *rejected} - set(source)]
    found += [f"{slug}: a key stands twice"] * (len(stored) - len({row["id"] for row in stored}))
    for key, row in source.items():
        wanted = oracle.good(row)
        if (rejected[key], wanted or live.get(key)) != (int(wanted is None), live.get(key)):
            found.append(
                f"{slug} {key}: {rejected[key]} rejects, stored {live.get(key)}, at the source {row}"
            )
    return found


@pytest.mark.timeout(SECONDS * 2 + 600)
def test_fifty_tables_survive_two_hosts_that_keep_dying(make_world: MakeWorld, tmp_path: Path) -> None:
    world = soaked(make_world)
    hosts = Hosts(world, tmp_path / "stop")
    soak(world, hosts)
    assert hosts.kills >= SECONDS / KILL_EVERY_S / 2
    world.later()
    world.sync()
    allow_deletes(world)
    world.sync()
    beside = sum(world.one(f'SELECT count(*) FROM public."{slug}"') for slug in slugs() if slug != SLUG)
    found = [problem for slug in slugs() for problem in table_problems(world, slug)]
    found += [*oracle.counter_problems(world, beside), *oracle.leftovers(world)]
    assert not found, world.story(*found)
