"""Each guard, taken away: the violation it stands against happens, and the suite would turn red.

Every scenario runs twice, as the product is composed (the oracle holds) and without the one guard (it doesn't).
"""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from infra.local.sample_erp import ColumnSpec, TableSpec, parse_columns
from shared.adapters.postgres.slices import Retry, Slices
from shared.adapters.tokens import sign_local_token
from shared.composition import LEASE_S, App
from shared.sql import query
from shared.sync.claims import Take
from shared.sync.delta import Settled, settle
from shared.sync.guards import Guards
from shared.sync.model import RAW_KEY
from shared.sync.ports import Claim
from tests.torture import oracle
from tests.torture.conftest import MakeWorld
from tests.torture.world import LOCAL_SECRET, ROWS, SLUG, Interface, World, order

pytestmark = pytest.mark.torture

NOTHING: Callable[..., None] = lambda *_, **__: None  # noqa: E731
both = pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "without"])


def once(erp: Any, page_after: int, act: Callable[[], Any]) -> None:
    """Do something while the source answers its n-th page from now on."""
    seen = {"pages": 0}

    def hook(request: Any) -> None:
        if request.path.startswith("/api/v1/data/"):
            seen["pages"] += 1
            if seen["pages"] == page_after:
                act()

    erp.on_request = hook


def work(world: World, guarded: bool, guards: Guards | None = None, app: App | None = None) -> str:
    """Deliver what waits through an app with or without the guard; the last run's status."""
    chosen = app or world.compose(None if guarded else guards)
    try:
        for _ in range(12):
            if (message := world.receive()) is None:
                break
            world.deliver(message, chosen)
    finally:
        world.erp.on_request = lambda request: None
        chosen.close()
    return str(world.runs()[-1]["status"])


def tick(world: World) -> None:
    world.due()
    world.tick()


@both
def test_fence(make_world: MakeWorld, guarded: bool) -> None:
    """A run that a person stopped goes on writing."""
    world = make_world("hash", loaded=False)
    tick(world)
    run = world.runs()[-1]["uid"]
    once(world.erp, 4, lambda: world.app.runs.stop(run, "a person"))
    work(world, guarded, Guards(fence=NOTHING))
    assert world.runs()[-1]["status"] == "cancelled"
    assert (len(world.target()) > 100) == (not guarded), world.story()


@both
def test_conservation(make_world: MakeWorld, guarded: bool) -> None:
    """A stage that drops a row: either nothing is committed, or the row is lost without a word."""
    lossy: Callable[..., Settled] = lambda rows: settle(rows[1:])  # noqa: E731
    world = make_world("hash", loaded=False)
    tick(world)
    guards = Guards(settle=lossy) if guarded else Guards(settle=lossy, conservation=NOTHING)
    status = work(world, guarded, app=world.compose(guards))
    assert (status == "failed") == guarded
    assert not guarded or not world.target()
    assert bool(oracle.counter_problems(world)) == (not guarded)


@both
@pytest.mark.parametrize("strategy", ["hash", "full"])
def test_completeness(make_world: MakeWorld, guarded: bool, strategy: str) -> None:
    """A source that says 300 rows and shows 280: the 20 it kept back are deleted."""
    world = make_world(strategy)
    world.erp.delete(SLUG, [{"id": n} for n in range(101, 121)])
    world.erp.behave(SLUG, total=True, total_error=20)
    tick(world)
    work(world, guarded, Guards(completeness=lambda proven: True))
    assert len(world.live()) == (300 if guarded else 280), world.story()
    assert (world.runs()[-1]["status"] == "partial") == guarded


@both
@pytest.mark.parametrize("strategy", ["hash", "full"])
def test_delete_guard(make_world: MakeWorld, guarded: bool, strategy: str) -> None:
    """A source that shows half its rows takes the other half away."""
    world = make_world(strategy)
    world.erp.delete(SLUG, [{"id": n} for n in range(1, 151)])
    tick(world)
    work(world, guarded, Guards(delete=NOTHING))
    assert len(world.live()) == (300 if guarded else 150)


@both
@pytest.mark.parametrize("strategy", ["hash", "full"])
def test_rejects_are_seen(make_world: MakeWorld, guarded: bool, strategy: str) -> None:
    """A row that could not be read this time is taken for a deleted one."""
    world = make_world(strategy)
    world.erp.break_row(SLUG, {"id": 7}, "amount", "abc")
    tick(world)
    work(world, guarded, Guards(rejects_are_seen=False))
    assert (7 in world.live()) == guarded


@both
def test_row_versions(make_world: MakeWorld, guarded: bool) -> None:
    """A sweep's old page overwrites what a delta has landed meanwhile."""
    world = make_world("rowversion")
    world.app.runs.create(world.entity, purpose="sweep", trigger="timer", requested_by="test")
    world.app.send_outbox()
    once(world.erp, 2, lambda: _newer(world, 10))
    work(world, guarded, Guards(row_versions=False))
    stale = [line for line in oracle.row_problems(world) if line.startswith("10:")]
    assert bool(stale) == (not guarded), world.story(*oracle.row_problems(world))


def _newer(world: World, key: int) -> None:
    """The row changes after its page left the source, and a delta lands it at once."""
    world.erp.on_request = lambda request: None
    world.erp.update(SLUG, {"id": key}, {"note": "newest"})
    delta = world.app.runs.create(world.entity, purpose="delta", trigger="manual", requested_by="test")
    body = f'{{"v":1,"id":"{delta}","slice":0,"traceparent":""}}'.encode()
    world.app.sync_table(body, "by hand", 1)


@both
def test_settling_of_duplicates(make_world: MakeWorld, guarded: bool) -> None:
    """A key that stands twice in a page keeps the whole chunk from landing."""
    world = make_world("hash", loaded=False)
    world.erp.insert(SLUG, [order(20)], duplicate=True)
    tick(world)
    unsettled: Callable[..., Settled] = lambda rows: Settled(rows, 0, *_none(rows))  # noqa: E731
    status = work(world, guarded, Guards(settle=unsettled))
    assert (status == "success") == guarded
    assert (20 in world.live()) == guarded


def _none(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    nothing = settle(rows.clear())
    return nothing.rejects, nothing.rejected_keys


TEXTS = TableSpec(slug=SLUG, keys=("id",), strategy="hash",
                  columns=parse_columns("id VARCHAR2(20) NOT NULL\nnote VARCHAR2(40)"))  # fmt: skip


@both
def test_key_collision(make_world: MakeWorld, guarded: bool) -> None:
    """Two customers whose keys meet after a rule become one, and nobody is told."""
    seeded: list[dict[str, object]] = [{"id": "a", "note": "x"}, {"id": "a ", "note": "x"}]
    world = make_world("hash", loaded=False, spec=TEXTS, seeded=seeded)
    tick(world)
    work(world, guarded, Guards(settle=lambda rows: settle(rows.with_columns(pl.lit(0).alias(RAW_KEY)))))
    stored, rejected = len(world.target()), world.one("SELECT count(*) FROM bridge.failed_records")
    codes = [row["code"] for row in world.ask("SELECT code FROM bridge.failed_records")]
    assert (stored, rejected) == ((0, 1) if guarded else (1, 0))
    assert codes == (["key_collision"] if guarded else [])


@both
def test_bound_of_the_watermark(make_world: MakeWorld, guarded: bool) -> None:
    """A transaction that commits late, under an older version, is passed by the watermark and lost."""
    world = make_world("rowversion")
    world.erp.update(SLUG, {"id": 1}, {"note": "late"}, txn="slow")
    world.erp.update(SLUG, {"id": 2}, {"note": "early"})
    tick(world)
    beyond = lambda walk, envelope, spec: replace(walk, bound="9" * 60)  # noqa: E731
    work(world, guarded, Guards(bound=beyond))
    world.erp.commit("slow")
    assert bool(oracle.watermark_problems(world)) == (not guarded), world.story()
    world.request_sync()
    world.app.send_outbox()
    work(world, True)
    assert (world.target()[1]["note"] == "late") == guarded


@both
def test_inclusive_lower_bound(make_world: MakeWorld, guarded: bool) -> None:
    """A second row of the version that the watermark holds is never asked for."""
    world = make_world("rowversion")
    highest = int(world.erp.max_rowversion(SLUG))
    world.erp.insert(SLUG, [order(700)], row_version=highest)
    exclusive = lambda watermark, overlap, spec, **_: str(int(watermark)) if watermark else None  # noqa: E731
    world.request_sync()
    world.app.send_outbox()
    work(world, guarded, Guards(lower_bound=exclusive))
    assert (700 in world.live()) == guarded


@both
def test_regression_check(make_world: MakeWorld, guarded: bool) -> None:
    """A source restored from a backup starts its versions again below our watermark: silence for ever."""
    world = make_world("rowversion")
    world.ask("UPDATE bridge.erp_sync_state SET watermark = lpad('5000000', length(watermark), '0')")
    world.erp.update(SLUG, {"id": 3}, {"note": "after the restore"})
    world.request_sync()
    world.app.send_outbox()
    status = work(world, guarded, Guards(progress=NOTHING))
    assert (status == "failed") == guarded
    assert not guarded or world.runs()[-1]["error"]["code"] == "watermark_regression"


@both
def test_claim_rule(make_world: MakeWorld, guarded: bool) -> None:
    """A message redelivered after success does its work, and counts its rows, a second time."""
    world = make_world("hash", loaded=False)
    tick(world)
    message = world.take()
    app = world.compose(None if guarded else Guards(claim=lambda *_: Take()))
    for count in (1, 2):
        app.sync_table(message.content.encode(), message.id, count)
    app.close()
    before = len(world.ask("SELECT 1 FROM bridge.sync_slices WHERE epoch > 2"))
    assert (before == 0) == guarded


class Forgetful(Slices):
    """Slices whose passes never know when they began."""

    def claim(self, *message: Any) -> Any:
        answer = super().claim(*message)
        if not isinstance(answer, Claim) or answer.pass_began is None:
            return answer
        return replace(answer, pass_began=datetime(2999, 1, 1, tzinfo=UTC))


@both
def test_immunity_of_rows_born_later(make_world: MakeWorld, guarded: bool) -> None:
    """A row that came behind a sweep's reading point is deleted by that sweep."""
    world = make_world("rowversion")
    world.erp.delete(SLUG, [{"id": 5}])
    world.sync()
    world.app.runs.create(world.entity, purpose="sweep", trigger="timer", requested_by="test")
    world.app.send_outbox()
    once(world.erp, 4, lambda: _reborn(world, 5))
    app = world.compose()
    if not guarded:
        app.slices = Forgetful(app.database, lease_s=LEASE_S, default_limit=5, retry=Retry(3, 60, 3600))
        app.__dict__.pop("runner")
    work(world, guarded, app=app)
    assert (5 in world.live()) == guarded


def _reborn(world: World, key: int) -> None:
    world.erp.on_request = lambda request: None
    world.erp.insert(SLUG, [order(key)])
    delta = world.app.runs.create(world.entity, purpose="delta", trigger="manual", requested_by="test")
    world.app.sync_table(f'{{"v":1,"id":"{delta}","slice":0,"traceparent":""}}'.encode(), "by hand", 1)


@both
def test_one_run_an_entity_and_lane(make_world: MakeWorld, guarded: bool) -> None:
    """Two ticks at once would load one table twice at the same time."""
    world = make_world("hash", loaded=False)
    if not guarded:
        world.ask("DROP INDEX bridge.sync_runs_in_flight")
    ticks = [world.start(["tick"]) for _ in range(2)]
    assert all(tick.wait().code == 0 for tick in ticks)
    for _ in range(2):
        try:
            world.app.runs.create(world.entity, purpose="delta", trigger="manual", requested_by="test")
        except Exception:
            assert guarded
    assert (len(world.runs()) == 1) == guarded


@both
def test_proof_of_a_verification(make_world: MakeWorld, guarded: bool) -> None:
    """A source that says 320 rows and shows 300 is vouched for as equal."""
    world = make_world("hash")
    world.erp.behave(SLUG, total=True, total_error=20)
    asked = world.api.ask("POST", f"/api/v1/entities/{world.entity}/verify").json()["verification_uid"]
    world.app.send_outbox()
    work(world, guarded, Guards(completeness=lambda proven: True))
    found = world.api.ask("GET", f"/api/v1/verifications/{asked}").json()
    assert found["outcome"] == ("unverified" if guarded else "equal"), found


@both
def test_consent_to_the_plan(make_world: MakeWorld, guarded: bool) -> None:
    """A rule that reads 300 stored values otherwise is changed in passing, and nobody was asked."""
    world = make_world("hash")
    app = world.compose(None if guarded else Guards(consent=NOTHING))
    api, at = Interface(app, world.api.headers), f"/api/v1/entities/{world.entity}"
    entity = api.ask("GET", at).json()
    entity["field_mappings"][1]["rules"]["case"] = "upper"
    answer = api.ask("PUT", at, json=entity)
    app.close()
    assert answer.status_code == (409 if guarded else 200), answer.text
    world.sync()
    assert (world.target()[1]["note"] == "note 1") == guarded


class Lax(Slices):
    """Slices whose runs know of no contract."""

    def claim(self, *message: Any) -> Any:
        answer = super().claim(*message)
        return (
            replace(answer, config=replace(answer.config, contract="evolve"))
            if isinstance(answer, Claim)
            else answer
        )


def with_slices(world: World, kind: type[Slices]) -> App:
    """An app whose slices lack something."""
    app = world.compose()
    app.slices = kind(app.database, lease_s=LEASE_S, default_limit=5, retry=Retry(3, 60, 3600))
    app.runner = replace(app.runner, ledger=app.slices)
    return app


@both
@pytest.mark.parametrize("contract", ["freeze", "reject"])
def test_contract(make_world: MakeWorld, guarded: bool, contract: str) -> None:
    """Rows of a shape that nobody agreed to land as if it were the old one."""
    world = make_world("hash")
    world.put_entity(contract=contract)
    world.erp.add_column(SLUG, ColumnSpec("extra", "NUMBER(9)"), 7)
    world.erp.update(SLUG, {"id": 1}, {"note": "of another shape"})
    world.request_sync()
    world.app.send_outbox()
    status = work(world, guarded, app=world.app if guarded else with_slices(world, Lax))
    assert (status == "success") == (not guarded)
    assert (world.target()[1]["note"] == "note 1") == guarded


class Hasty(Slices):
    """Slices of which each that ends its part takes itself for the last."""

    def end_part(self, claim: Claim) -> None:
        names = {"run": claim.run_uid, "slice": claim.slice}
        with self._database.connection() as connection:
            held = self._hold(connection, claim)
            connection.execute(query("slice_end", self._schema), names | {"status": "done"})
            self._follow(connection, claim.run_uid, 100 + claim.slice, "conclude", held["connector_uid"])


@both
def test_last_part_concludes(make_world: MakeWorld, guarded: bool) -> None:
    """A part that ends early ends the whole run, and the rows of the others are not there."""
    world = make_world("hash", loaded=False, SPLIT_ROWS=str(ROWS // 10))
    app = world.compose() if guarded else with_slices(world, Hasty)
    tick(world)
    while held := [message for message in (world.receive() for _ in range(12)) if message is not None]:
        held.sort(key=lambda message: json.loads(message.content)["slice"])
        world.deliver(held.pop(), app)
        for message in held:
            world.let_go(message)
    app.close()
    run = world.runs()[0]
    assert ((run["status"], run["fetched"]) == ("success", ROWS)) == guarded, run


class Generous:
    """Tokens that let their callers see or do more than they say."""

    def __init__(self, tokens: Any, **more: Any) -> None:
        self._tokens, self._more = tokens, more

    def verify(self, token: str) -> Any:
        return replace(self._tokens.verify(token), **self._more)


def stranger(world: World, roles: list[str], more: dict[str, Any] | None) -> tuple[App, Interface]:
    """An interface for somebody with these roles, and what its tokens are taken to grant besides."""
    app = world.compose()
    if more is not None:
        tokens = Generous(app._tokens(), **more)
        app._tokens = lambda: tokens  # type: ignore[method-assign, assignment, return-value]
    token = sign_local_token(LOCAL_SECRET, "stranger", roles, 3600)
    return app, Interface(app, {"Authorization": f"Bearer {token}"})


@both
def test_tenants(make_world: MakeWorld, guarded: bool) -> None:
    """An admin of another tenant reads a table, and has it loaded anew."""
    world = make_world("hash")
    app, api = stranger(world, ["admin", "tenant:other"], None if guarded else {"tenants": None})
    at = f"/api/v1/entities/{world.entity}"
    answers = [api.ask("GET", at).status_code, api.ask("POST", f"{at}/full-refresh").status_code]
    app.close()
    assert answers == ([404, 404] if guarded else [200, 202])
    assert (len(world.runs()) == 1) == guarded


@both
def test_roles(make_world: MakeWorld, guarded: bool) -> None:
    """Who may only read orders a full refresh."""
    world = make_world("hash")
    more = None if guarded else {"roles": frozenset({"admin"})}
    app, api = stranger(world, ["reader", "tenant:default"], more)
    answer = api.ask("POST", f"/api/v1/entities/{world.entity}/full-refresh")
    app.close()
    assert answer.status_code == (403 if guarded else 202)
    assert (len(world.runs()) == 1) == guarded


def test_every_guard_has_its_scenario() -> None:
    """A new guard needs a scenario here."""
    tried = {
        "conservation",
        "delete",
        "fence",
        "completeness",
        "settle",
        "bound",
        "lower_bound",
        "progress",
        "claim",
        "consent",
        "rejects_are_seen",
        "row_versions",
    }
    tried |= {"hold_children", "release_guard", "rejects"}  # in test_parents.py  # fmt: skip
    assert set(Guards.__dataclass_fields__) == tried


def test_guards_shown_without_are_many() -> None:
    from tests.torture import test_parents

    tests = {**vars(test_parents), **globals()}.items()
    shown = {name for name, test in tests if name.startswith("test_") and "guarded" in _parameters(test)}
    assert len(shown) >= 23


def _parameters(test: Any) -> list[object]:
    return [mark.args[0] for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
