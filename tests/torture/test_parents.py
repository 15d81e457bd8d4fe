"""Children and rejects under kill -9 and without their guards: no child lands early, twice, stale or never."""

from typing import Any

import pytest

from infra.local.sample_erp import TableSpec, parse_columns
from infra.local.sample_erp.schema import Strategy
from shared.failpoints import POINTS
from shared.sync.guards import Guards
from tests.torture import oracle
from tests.torture.conftest import MakeWorld
from tests.torture.test_kill_points import KILLS, torment
from tests.torture.world import SLUG, World

pytestmark = pytest.mark.torture

CUSTOMERS = TableSpec(slug="customers", keys=("id",), strategy="hash",
                      columns=parse_columns("id VARCHAR2(9) NOT NULL\nname VARCHAR2(40)"))  # fmt: skip
PARENTS = [{"columns": ["note"], "slug": "customers", "parent_columns": ["id"]}]
RELEASES = ("chunk.held", "release.pick", "release.landed", "release.before_commit", "release.after_commit",
            "retry.before_create", "retry.after_create", "claim.after", "finish.before", "finish.after",
            "outbox.before_send", "outbox.after_commit")  # fmt: skip
REPLAYS = ("replay.pick", "replay.before_commit", "replay.after_commit")
both = pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "without"])


def order(number: int) -> dict[str, object]:
    """Every third order is of a customer who is not there yet."""
    return {"id": number, "note": f"c{number % 9}", "amount": number}


def customer(number: int) -> dict[str, object]:
    return {"id": f"c{number}", "name": "x"}


def small_world(make_world: MakeWorld, strategy: Strategy = "rowversion", *, loaded: bool = True) -> World:
    """Customers c0 to c5, and 300 orders of c0 to c8."""
    table = TableSpec(slug=SLUG, keys=("id",), strategy=strategy,
                      columns=parse_columns("id NUMBER(9) NOT NULL\nnote VARCHAR2(9)\namount NUMBER(12,2)"))  # fmt: skip
    world = make_world(
        strategy, loaded=False, spec=table, seeded=[order(n) for n in range(1, 301)],
        beside={CUSTOMERS: [customer(n) for n in range(6)]}, RETRY_DELAY_SECONDS="0",
    )  # fmt: skip
    world.put_entity(parents=PARENTS)
    if loaded:
        world.sync()
    return world


def misplaced(world: World) -> list[str]:
    """Children that are not in exactly the one place where they belong."""
    customers = {row["id"] for row in world.ask("SELECT id FROM public.customers WHERE NOT _bridge_deleted")}
    waiting = [int(row["key"]) for row in world.ask("SELECT key FROM bridge.pending_children")]
    live, found = world.live(), []
    for row in world.source():
        there = row["note"] is None or row["note"] in customers
        if (row["id"] in live) != there or (row["id"] in waiting) == there:
            found.append(
                f"{row['id']}: live {row['id'] in live}, waiting {row['id'] in waiting}, parent {there}"
            )
    found += [f"{key}: waits twice" for key in set(waiting) if waiting.count(key) > 1]
    beside = world.one("SELECT count(*) FROM public.customers")
    return [*found, *oracle.duplicate_problems(world), *oracle.counter_problems(world, beside)]


def settle(world: World) -> None:
    """Ticks and timers until nothing is due any more."""
    for _ in range(3):
        world.ask("UPDATE bridge.awaited_parents SET next_attempt_at = now()")
        world.app.retry_rejects()
        world.settle()


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.parametrize("strategy", ["rowversion", "hash", "full"])
@pytest.mark.parametrize("point", RELEASES)
def test_kill_while_children_are_held_or_released(
    make_world: MakeWorld, point: str, strategy: Strategy, kills: int
) -> None:
    world = small_world(make_world, strategy)
    assert world.one("SELECT count(*) FROM bridge.pending_children") > 50
    world.erp.insert("customers", [customer(6), customer(7)])
    world.erp.insert(SLUG, [order(n) for n in range(301, 320)])
    world.due()
    killed = torment(world, f"{point}=kill", kills, tiny=False)
    settle(world)
    assert killed or (point in ("chunk.held",) and strategy == "full"), world.story(f"{point} was never hit")
    assert not (found := misplaced(world)), world.story(*found)


@pytest.mark.parametrize("point", REPLAYS)
def test_kill_while_rejects_are_tried_again(make_world: MakeWorld, point: str) -> None:
    world = make_world("rowversion")
    for key in (3, 4, 5):
        world.erp.break_row(SLUG, {"id": key}, "amount", "n/a")
    world.sync()
    at = f"/api/v1/entities/{world.entity}"
    mappings = world.api.ask("GET", at).json()["field_mappings"]
    mappings[2]["rules"] |= {"null_values": ["n/a"]}
    planned = world.api.ask("PUT", at, json=world.api.ask("GET", at).json() | {"field_mappings": mappings})
    consent = f"{at}?plan_hash={planned.json()['plan']['plan_hash']}"
    answer = world.api.ask(
        "PUT", consent, json=world.api.ask("GET", at).json() | {"field_mappings": mappings}
    )
    assert answer.status_code == 200, answer.text
    assert world.api.ask("POST", "/api/v1/sync/retry-failed", json={}).json()["marked"] == 3
    assert torment(world, f"{point}=kill", 1, tiny=False) == 1, world.story()
    assert not oracle.open_rejects(world)
    assert {key: row["amount"] for key, row in world.target().items() if key in (3, 4, 5)} == {
        3: None,
        4: None,
        5: None,
    }
    assert not (found := [*oracle.duplicate_problems(world), *oracle.counter_problems(world)]), world.story(
        *found
    )


def test_every_point_of_waiting_rows_is_killed_here() -> None:
    new = [point for point in POINTS if point.split(".")[0] in ("release", "retry", "replay")]
    assert set(new) <= {*RELEASES, *REPLAYS}


def deliver(world: World, guards: Guards | None) -> None:
    """All that waits, through an app with or without a guard."""
    app = world.compose(guards)
    while (message := world.receive()) is not None:
        world.deliver(message, app)
    app.close()


@both
@pytest.mark.parametrize("strategy", ["rowversion", "full"])
def test_hold_children(make_world: MakeWorld, guarded: bool, strategy: Strategy) -> None:
    """An order of a customer who isn't there would land before him."""
    world = small_world(make_world, strategy, loaded=False)
    world.due()
    world.tick()
    deliver(world, None if guarded else Guards(hold_children=False))
    assert bool(misplaced(world)) == (not guarded)


@both
def test_release_guard(make_world: MakeWorld, guarded: bool) -> None:
    """A row that was held late, in an old version, overwrites what has landed since."""
    world = small_world(make_world)
    held = f"bridge.held_{world.entity.hex}"
    world.ask(f"CREATE TABLE kept AS SELECT * FROM {held} WHERE id = 6")
    world.erp.update(SLUG, {"id": 6}, {"note": "c1", "amount": 77})
    world.sync_delta()
    world.ask(f"INSERT INTO {held} SELECT * FROM kept")
    world.ask("UPDATE bridge.awaited_parents SET arrived_at = now() WHERE key = 'c6'")
    world.erp.insert("customers", [customer(6)])
    world.app.runs.create(_uid(world, "customers"), purpose="delta", trigger="manual", requested_by="test")
    world.app.send_outbox()
    deliver(world, None if guarded else Guards(release_guard=False))
    assert (world.target()[6]["amount"] == 77) == guarded, world.story()


@both
def test_reject_threshold(make_world: MakeWorld, guarded: bool) -> None:
    """A source that spells half its numbers otherwise passes for a good one."""
    world = make_world("full", loaded=False)
    for key in range(1, 151):
        world.erp.break_row(SLUG, {"id": key}, "amount", "12,5")
    world.put_entity(reject_threshold_percent=20)
    world.due()
    world.tick()
    deliver(world, None if guarded else Guards(rejects=lambda *_: None))
    assert (world.runs()[-1]["status"] == "failed") == guarded
    assert (len(world.live()) == 0) == guarded


def _uid(world: World, slug: str) -> Any:
    return world.one("SELECT uid FROM bridge.entities WHERE slug = %s", slug)
