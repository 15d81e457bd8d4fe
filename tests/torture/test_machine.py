"""Y: a Hypothesis state machine over the whole sync, on real PostgreSQL and Azurite.

Source changes, ticks, deliveries, copies, kills and time come in any order; after every step epochs have only grown
and the watermark passed nothing unaccounted; at the end of each run everything settles and the whole oracle holds.
One world a strategy serves all runs: between two, its database is made again from a template, its source reseeded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from azure.core.exceptions import ResourceNotFoundError
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg import sql
from psycopg.rows import dict_row

from infra.local.postgres import PostgresServer
from infra.local.sample_erp import ColumnSpec, TableSpec, parse_columns
from infra.local.sample_erp.schema import Strategy
from shared.composition import App
from shared.failpoints import POINTS
from tests.torture import oracle
from tests.torture.world import SLUG, World, made

pytestmark = pytest.mark.torture

NIGHTLY = os.environ.get("NIGHTLY") == "1"
# A run of twenty steps takes two seconds and more; MACHINE_RUNS asks for other numbers, a strategy.
RUNS, STEPS = (2_000, 50) if NIGHTLY else (200, 20)
SHARES: dict[Strategy, int] = {"full": RUNS // 4, "hash": RUNS // 4, "rowversion": RUNS // 2}
ROWS, CHUNK_ROWS = 45, 15
# Never below: the guard against deletes has tests of its own, and an emptied source is refused.
FEWEST = 30
CUSTOMERS = TableSpec(slug="customers", keys=("id",), strategy="hash",
                      columns=parse_columns("id VARCHAR2(9) NOT NULL\nname VARCHAR2(40)"))  # fmt: skip
PARENTS = [{"columns": ["note"], "slug": "customers", "parent_columns": ["id"]}]
EXTRA = ColumnSpec("extra", "NUMBER(3)")
BROKEN = ["abc", "1e99", "12,5"]
CHANGES = ("insert", "update", "delete", "rekey", "restore", "late", "commit", "break_row", "repair", "parent",
           "add_column", "drop_column")  # fmt: skip


def order(number: int, customer: int) -> dict[str, object]:
    """An order of c0 to c8, of whom c0 to c5 are there from the start; 9 stands for nobody."""
    return {"id": number, "note": None if customer % 10 == 9 else f"c{customer % 10}", "amount": number % 97}


@dataclass
class Source:
    """What a person does at the source; rows in an open transaction are left alone, as locks would."""

    world: World
    next_id: int = 1_000
    next_parent: int = 6
    gone: list[int] = field(default_factory=list)
    broken: set[int] = field(default_factory=set)
    locked: set[int] = field(default_factory=set)
    widened: bool = False
    drifted: bool = False

    def change(self, kind: str, pick: int) -> None:
        """One of CHANGES; nothing where there is nothing to do it to."""
        getattr(self, kind)(pick)

    def insert(self, pick: int) -> None:
        self.world.erp.insert(SLUG, [order(self._fresh(), pick + n) for n in range(1 + pick % 3)])

    def update(self, pick: int) -> None:
        key = self._key(pick)
        self.world.erp.update(SLUG, {"id": key}, {"note": order(0, pick // 7)["note"], "amount": pick % 89})
        self.broken.discard(key)

    def delete(self, pick: int) -> None:
        if len(self._keys()) > FEWEST:
            key = self._key(pick)
            self.world.erp.delete(SLUG, [{"id": key}])
            self.gone.append(key)

    def rekey(self, pick: int) -> None:
        self.delete(pick)
        self.insert(pick - pick % 3)

    def restore(self, pick: int) -> None:
        if self.gone:
            self.world.erp.insert(SLUG, [order(self.gone.pop(pick % len(self.gone)), pick)])

    def late(self, pick: int) -> None:
        """Changes that take their versions now and show only once committed."""
        key, fresh = self._key(pick), self._fresh()
        self.world.erp.update(SLUG, {"id": key}, {"amount": pick % 89}, txn="late")
        self.world.erp.insert(SLUG, [order(fresh, pick)], txn="late")
        self.broken.discard(key)
        self.locked |= {key, fresh}

    def commit(self, pick: int) -> None:
        self.world.erp.commit("late")
        self.locked.clear()

    def break_row(self, pick: int) -> None:
        key = self._key(pick)
        self.world.erp.break_row(SLUG, {"id": key}, "amount", BROKEN[pick % 3])
        self.broken.add(key)

    def repair(self, pick: int) -> None:
        for key in sorted((self.broken - self.locked) & set(self._keys()))[:1]:
            self.world.erp.update(SLUG, {"id": key}, {"amount": 1})
            self.broken.discard(key)

    def parent(self, pick: int) -> None:
        if self.next_parent < 9:
            self.world.erp.insert("customers", [{"id": f"c{self.next_parent}", "name": "late"}])
            self.next_parent += 1

    def add_column(self, pick: int) -> None:
        if not self.widened:
            self.world.erp.add_column(SLUG, EXTRA, pick % 9)
            self.widened = self.drifted = True

    def drop_column(self, pick: int) -> None:
        if self.widened:
            self.world.erp.drop_column(SLUG, "extra")
            self.widened = False

    def _fresh(self) -> int:
        self.next_id += 1
        return self.next_id

    def _keys(self) -> list[int]:
        return sorted({row["id"] for row in self.world.source()} - self.locked)

    def _key(self, pick: int) -> int:
        keys = self._keys()
        return keys[pick % len(keys)]


class WholeSync(RuleBasedStateMachine):
    """The rules; `stage` lends the world."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.world, self.tiny = stage.fresh(), stage.tiny
        self.source = Source(self.world)
        self.count = stage.served

    @rule(kind=st.sampled_from(CHANGES), pick=st.integers(0, 999))
    def change(self, kind: str, pick: int) -> None:
        self.world.step(f"source: {kind} {pick}")
        self.source.change(kind, pick)

    @rule(kind=st.sampled_from(CHANGES), pick=st.integers(0, 999))
    def change_too(self, kind: str, pick: int) -> None:
        self.change(kind, pick)

    @rule(status=st.sampled_from([401, 429, 500, 503]), skip=st.integers(0, 3))
    def fail_page(self, status: int, skip: int) -> None:
        self.world.step(f"page {skip} fails with {status}")
        self.world.erp.fail(f"/data/{SLUG}", status, skip=skip)

    @rule()
    def tick(self) -> None:
        self.world.due()
        self.world.tick()

    @rule(most=st.integers(1, 4))
    def deliver(self, most: int) -> None:
        self._deliver(self.world.app, most)

    @rule(most=st.integers(1, 4))
    def deliver_in_small_slices(self, most: int) -> None:
        self._deliver(self.tiny, most)

    def _deliver(self, app: App, most: int) -> None:
        for _ in range(most):
            if (message := self.world.receive()) is not None:
                self.world.deliver(message, app)

    @rule()
    def duplicate(self) -> None:
        if (message := self.world.receive()) is not None:
            self.world.step("a message comes twice")
            self.world.queue.send_message(message.content)
            self.world.let_go(message)

    @rule()
    def reorder(self) -> None:
        """The first message goes behind the others, and counts as delivered before."""
        if (message := self.world.receive()) is not None:
            self.world.step("a message goes to the end")
            self.world.let_go(message)

    @rule(point=st.sampled_from(POINTS), hit=st.integers(1, 2))
    def kill(self, point: str, hit: int) -> None:
        message = self.world.receive()
        action = ["tick"] if message is None else self.world.action(message)
        attempt = self.world.start(action, f"{point}=kill@{hit}")
        ended = attempt.wait()
        assert ended.killed or ended.code == 0, self.world.story(attempt.said())
        self.world.step("killed" if ended.killed else "survived")
        if message is not None:
            self.world.let_go(message) if ended.killed else self.world.queue.delete_message(message)

    @rule()
    def clock(self) -> None:
        self.world.later()

    @rule(path=st.sampled_from(["sync", "sync", "full-refresh"]))
    def ask_for_a_run(self, path: str) -> None:
        self.world.step(f"a person asks: {path}")
        at = f"/api/v1/entities/{self.world.entity}/{path}"
        assert self.world.api.ask("POST", at, json={}).status_code in (202, 409)

    @precondition(lambda self: self.source.broken)
    @rule()
    def retry(self) -> None:
        self.world.step("rejects are tried again")
        assert self.world.api.ask("POST", "/api/v1/sync/retry-failed", json={}).status_code == 202

    @rule()
    def resolve(self) -> None:
        resolve(self.world)

    @invariant()
    def nothing_unaccounted(self) -> None:
        self.world.watch()

    def teardown(self) -> None:
        """All comes to rest; then the oracle."""
        self.world.step("end")
        self.source.commit(0)
        self.world.erp.heal()
        # What a new column holds arrives one pass after the pass that met it; and a pass that was under way when a
        # row was deleted proves what it began with, so that the next one finds it.
        under_way = self.world.one(
            "SELECT count(*) FROM bridge.sync_runs WHERE status IN ('queued', 'running')"
        )
        for _ in range(1 + bool(self.source.drifted) + bool(under_way)):
            self.world.sync()
            resolve(self.world)
            self.world.settle()
        assert not (found := problems(self.world)), self.world.story(*found)
        if NIGHTLY or self.count % 3 == 0:
            rerun(self.world)


def resolve(world: World) -> None:
    """The timer of waiting rows, with all that waits due."""
    world.step("waiting rows are looked at")
    world.ask("UPDATE bridge.awaited_parents SET next_attempt_at = now()")
    world.app.retry_rejects()


def problems(world: World) -> list[str]:
    """The oracle, where rows may wait for their parents."""
    beside = world.one("SELECT count(*) FROM public.customers")
    return [
        *misplaced(world),
        *oracle.duplicate_problems(world),
        *oracle.counter_problems(world, beside),
        *oracle.watermark_problems(world),
        *oracle.leftovers(world),
    ]


def misplaced(world: World) -> list[str]:
    """Rows that are not in exactly the one place where they belong, or not in their newest version."""
    parents = {row["id"] for row in world.ask("SELECT id FROM public.customers WHERE NOT _bridge_deleted")}
    waiting = [int(row["key"]) for row in world.ask("SELECT key FROM bridge.pending_children")]
    rejected, target, source = (
        oracle.open_rejects(world),
        world.target(),
        {r["id"]: r for r in world.source()},
    )
    found = [f"{key}: live, but not at the source" for key in world.live() - set(source)]
    found += [f"{key}: rejected or waiting, but gone" for key in {*rejected, *waiting} - set(source)]
    for key, row in source.items():
        place = (rejected[key], waiting.count(key))
        wanted, stored = oracle.good(row), target.get(key)
        held = wanted is not None and wanted[0] is not None and wanted[0] not in parents
        if place != ((1, 0) if wanted is None else (0, 1) if held else (0, 0)):
            found.append(f"{key}: (rejects, waits) {place}, row {row}")
        elif place != (0, 0):
            continue
        elif stored is None or stored["_bridge_deleted"] or (stored["note"], stored["amount"]) != wanted:
            found.append(f"{key}: lost or stale: {stored}, row {row}")
    return found


def rerun(world: World) -> None:
    """Once more, and nothing is written."""
    world.step("rerun")
    uid = world.request_sync()
    world.app.send_outbox()
    world.settle()
    run = next(run for run in world.runs() if run["uid"] == uid)
    written = run["inserted"] + run["updated"] + run["soft_deleted"]
    assert run["status"] in ("success", "partial") and not written, world.story(f"the rerun wrote: {run}")
    assert not (found := problems(world)), world.story(*found)


@dataclass
class Stage:
    """A loaded world that returns to its first state; `tiny` works on it in slices of one chunk."""

    world: World
    admin: str
    tiny: App
    served: int = 0

    def keep(self) -> Stage:
        """Make the present state the one to return to."""
        self._copy("CREATE DATABASE {kept} TEMPLATE {used}")
        return self

    def fresh(self) -> World:
        """The world as it was kept, with an empty queue."""
        self.served += 1
        self._copy("DROP DATABASE {used} WITH (FORCE)", "CREATE DATABASE {used} TEMPLATE {kept}")
        self.world.erp.reset()
        with suppress(ResourceNotFoundError):
            self.world.queue.clear_messages()
        self.world.steps.clear()
        self.world.epochs.clear()
        self.world.line = psycopg.connect(
            self.world.dsn, autocommit=True, row_factory=dict_row, prepare_threshold=None
        )
        return self.world

    def close(self) -> None:
        self._copy("DROP DATABASE {kept} WITH (FORCE)")
        self.tiny.close()

    def _copy(self, *statements: str) -> None:
        name = self.world.env["POSTGRES_DB"]
        names = {"used": sql.Identifier(name), "kept": sql.Identifier(f"{name}_kept")}
        for holder in (self.world.app.database, self.tiny.database, self.world.line):
            if holder is not None:
                holder.close()
        self.world.line = None
        with psycopg.connect(self.admin, autocommit=True) as admin:
            for statement in statements:
                admin.execute(sql.SQL(statement).format(**names))


@contextmanager
def staged(strategy: Strategy, server: PostgresServer, storage: str, folder: Path) -> Iterator[Stage]:
    """Customers c0 to c5, orders of c0 to c8 and of nobody, all loaded."""
    table = TableSpec(slug=SLUG, keys=("id",), strategy=strategy,
                      columns=parse_columns("id NUMBER(9) NOT NULL\nnote VARCHAR2(9)\namount NUMBER(12,2)"))  # fmt: skip
    beside = {CUSTOMERS: [{"id": f"c{n}", "name": "x"} for n in range(6)]}
    seeded = [order(n, n) for n in range(1, ROWS + 1)]
    with ExitStack() as stack:
        world = stack.enter_context(
            made(
                strategy,
                server,
                storage,
                folder,
                seeded=seeded,
                spec=table,
                beside=beside,
                DEFAULT_PAGE_SIZE="10",
            )
        )
        world.put_entity(parents=PARENTS)
        world.chunk_rows = CHUNK_ROWS
        world.app.runner = replace(world.app.runner, chunk_rows=CHUNK_ROWS)
        tiny = world.compose(SLICE_BUDGET_SECONDS="0.000001")
        tiny.runner = replace(tiny.runner, chunk_rows=CHUNK_ROWS)
        world.sync()
        assert not (found := problems(world)), world.story(*found)
        stage = Stage(world, server.dsn_of("postgres"), tiny).keep()
        stack.callback(stage.close)
        yield stage


@pytest.mark.timeout(40_000 if NIGHTLY else 1_200)
@pytest.mark.parametrize("strategy", SHARES)
def test_any_order_of_events_loses_and_doubles_nothing(
    fork_server: None,
    postgres_server: PostgresServer,
    storage_connection_string: str,
    tmp_path: Path,
    strategy: Strategy,
) -> None:
    """Derandomised in CI: the same runs each time. A failure prints its steps; by night it is shrunk first."""
    plan = settings(
        max_examples=int(os.environ.get("MACHINE_RUNS", SHARES[strategy])), stateful_step_count=STEPS, deadline=None,
        database=None, derandomize=not NIGHTLY, print_blob=True, suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, *([Phase.shrink] if NIGHTLY else [])],
    )  # fmt: skip
    with staged(strategy, postgres_server, storage_connection_string, tmp_path) as stage:
        factory: Callable[[], Any] = lambda: WholeSync(stage)  # noqa: E731
        run_state_machine_as_test(factory, settings=plan)  # type: ignore[no-untyped-call]
