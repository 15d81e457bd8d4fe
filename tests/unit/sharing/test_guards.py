"""Each guard of planning and applying, taken away: what it stands against happens."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from shared.sharing.apply_guards import GUARDS, StalePlanError
from shared.sharing.errors import WorkspaceRefusedError, WorkspaceUnavailableError
from shared.sharing.model import Share
from shared.sharing.plan import Plan
from shared.sharing.plan_actions import RANK
from shared.sharing.plan_draft import GUARDS as PLAN_GUARDS
from shared.sharing.ports import GrantChange
from tests.unit.sharing.memory import ME, Killed, MemoryWorkspace, Trap, refusal, tables
from tests.unit.sharing.scene import OTHER, Scene, objects, opened, owned, pack, wants

NOTHING: Callable[..., Any] = lambda *_, **__: None  # noqa: E731
both = pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "without"])
SECRET = "c.s.secret"


def running() -> Scene:
    """A share with one reader, who is to leave."""
    workspace = MemoryWorkspace(catalog=tables("c.s.a", SECRET))
    for name in ("reader", "leaver"):
        workspace.create_recipient(opened(name))
    workspace.create_share("sales", None)
    workspace.grant("sales", [GrantChange("leaver", True)])
    return Scene(workspace, owned("share/sales", "recipient/reader", "recipient/leaver"))


SWAP = pack(opened("reader"), Share("sales", None, ("reader",), objects("c.s.a", SECRET), ("leaver",)))


def leaked(scene: Scene, to: str) -> bool:
    """Whether this recipient can read the secret table right now."""
    share = scene.workspace.shares.get("sales")
    return share is not None and to in share.grants and any(o.name == SECRET for o in share.objects)


def watched(scene: Scene, to: str) -> list[bool]:
    """Whether it could at any moment."""
    seen: list[bool] = []
    scene.workspace.watch = lambda _: seen.append(leaked(scene, to))
    return seen


def applied(scene: Scene, planned: Plan, wanted: Any) -> None:
    try:
        scene.apply(planned, wanted)
    except StalePlanError:
        pass


@both
def test_a_stale_plan_is_refused(guarded: bool) -> None:
    """Somebody opened the share to another reader after the plan was signed."""
    scene = running()
    planned = scene.plan(SWAP)
    scene.workspace.create_recipient(opened("stranger"))
    scene.workspace.grant("sales", [GrantChange("stranger", True)])
    scene.guards = GUARDS if guarded else replace(GUARDS, fresh=NOTHING)
    applied(scene, planned, SWAP)
    assert leaked(scene, "stranger") is not guarded


@both
def test_what_another_delivery_finishes_is_what_was_signed(guarded: bool) -> None:
    """The same, between a crash and its resumption."""
    scene = running()
    planned = scene.plan(SWAP)
    with pytest.raises(Killed):
        scene.trapped(Trap(named={"after revoke share/sales": [Killed()]})).apply(planned, SWAP)
    scene.workspace.create_recipient(opened("stranger"))
    scene.workspace.grant("sales", [GrantChange("stranger", True)])
    scene.guards = GUARDS if guarded else replace(GUARDS, covered=NOTHING)
    applied(scene, planned, SWAP)
    assert leaked(scene, "stranger") is not guarded


@both
def test_leavers_go_before_objects_come(guarded: bool) -> None:
    scene = running()
    if not guarded:
        scene.plan_guards = replace(PLAN_GUARDS, rank=lambda kind: -RANK[kind])
    seen = watched(scene, "leaver")
    scene.provision(SWAP)
    assert any(seen) is not guarded


@both
def test_nothing_grows_where_a_leaver_could_not_be_revoked(guarded: bool) -> None:
    scene = running()
    scene.guards = GUARDS if guarded else replace(GUARDS, unmet=lambda action, not_done: ())
    planned = scene.plan(SWAP)
    scene.trapped(Trap(named={"before revoke share/sales": [refusal("PERMISSION_DENIED", "no")]}))
    outcome = scene.apply(planned, SWAP)
    assert outcome.state == ("FAILED" if guarded else "PARTIAL")
    assert leaked(scene, "leaver") is not guarded


@both
def test_nothing_grows_before_a_shrinking_is_seen(guarded: bool) -> None:
    """A platform that joins address lists instead of replacing them takes the call, and narrows nothing."""
    scene = running()
    scene.workspace.create_recipient(opened("wide", "10.0.0.0/8"))
    scene.workspace.grant("sales", [GrantChange("wide", True)])
    scene.workspace.ips_replace = False
    scene.holdings = owned("share/sales", "recipient/wide")
    scene.guards = GUARDS if guarded else replace(GUARDS, seen=NOTHING)
    wanted = pack(opened("wide", "10.1.0.0/16"), Share("sales", None, ("wide",), objects(SECRET)))
    try:
        scene.provision(wanted)
    except WorkspaceUnavailableError:
        pass
    assert leaked(scene, "wide") is not guarded


@both
def test_what_was_not_created_here_is_refused_by_name(guarded: bool) -> None:
    scene = running()
    scene.holdings = owned("recipient/reader", "recipient/leaver")
    if not guarded:
        scene.plan_guards = replace(PLAN_GUARDS, ours=lambda name, held: True)
    planned = scene.plan(SWAP)
    assert bool(planned.errors) is guarded
    if guarded:
        assert "share sales" in planned.errors[0].detail
        assert planned.actions == ()
    else:
        scene.apply(planned, SWAP)
        assert "leaver" not in scene.workspace.shares["sales"].grants


@both
def test_another_packs_reader_stays(guarded: bool) -> None:
    scene = running()
    scene.holdings = owned(
        "share/sales", "recipient/reader", "recipient/leaver",
        contributions=[wants(OTHER, "grant", "sales|leaver"), wants(OTHER, "object", "sales|TABLE|c.s.a|")],
    )  # fmt: skip
    scene.provision(pack(opened("reader"), Share("sales", None, ("reader",), objects("c.s.a"))))
    if not guarded:
        scene.plan_guards = replace(PLAN_GUARDS, co_owned=lambda wanted: False)
    scene.provision(pack(Share("sales", None, (), (), ("leaver",), ("c.s.a",))))
    share = scene.workspace.shares["sales"]
    assert ("leaver" in share.grants, len(share.objects) == 1) == (guarded, guarded)


@both
def test_intent_is_written_before_the_call(guarded: bool) -> None:
    """Without it, a crash after a creation leaves a share that nobody knows for ours."""
    scene = running()
    scene.journal.strict = guarded
    scene.guards = GUARDS if guarded else replace(GUARDS, write_ahead=NOTHING)
    wanted = pack(Share("fresh", "new", ("reader",), objects("c.s.a")))
    planned = scene.plan(wanted)
    with pytest.raises(Killed):
        scene.trapped(Trap(named={"after create_share share/fresh": [Killed()]})).apply(planned, wanted)
    applied(scene, planned, wanted)
    assert bool(scene.workspace.shares["fresh"].grants) is guarded


@both
def test_a_recipient_that_somebody_else_created_meanwhile_is_left_alone(guarded: bool) -> None:
    """Our call was lost on the way; theirs was not, and theirs is the token."""
    scene = running()
    scene.guards = GUARDS if guarded else replace(GUARDS, created_here=lambda action, known: True)
    wanted = pack(opened("auditor"), Share("sales", None, ("auditor",), objects(SECRET)))
    planned = scene.plan(wanted)
    with pytest.raises(Killed):
        scene.trapped(Trap(named={"before create_recipient recipient/auditor": [Killed()]})).apply(
            planned, wanted
        )
    scene.workspace.me = "squatter"
    scene.workspace.create_recipient(opened("auditor"))
    scene.workspace.me = ME
    outcome = scene.apply(planned, wanted)
    assert outcome.state == ("PARTIAL" if guarded else "COMPLETED")
    assert leaked(scene, "auditor") is not guarded


def test_a_signature_on_another_workspace_counts_nothing() -> None:
    scene = running()
    planned = scene.plan(SWAP)
    elsewhere = replace(scene.holdings, workspace="https://other.example.org")
    assert scene.subject(SWAP).plan(elsewhere, scene.workspace.state()).hash != planned.hash


def test_a_refusal_is_no_permission() -> None:
    with pytest.raises(WorkspaceRefusedError):
        running().workspace.grant("sales", [GrantChange("nobody", True)])
