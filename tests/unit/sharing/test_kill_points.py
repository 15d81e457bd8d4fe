"""A share pack provisioned by processes that die: wherever they do, the end is that of one clean run."""

import pytest

from shared.sharing.apply import Outcome
from shared.sharing.apply_calls import secret_name
from shared.sharing.model import ANY_ADDRESS, DataObject, Pipeline, Recipient, RecipientType, Share, SharePack
from shared.sharing.observed import ObservedShare
from shared.sharing.plan import Plan
from tests.unit.sharing.memory import URL, Killed, MemoryWorkspace, Trap, echoed, tables
from tests.unit.sharing.scene import OTHER, PACK, Scene, internal, objects, opened, owned, pack, wants

WANTED = pack(
    opened("auditor", "203.0.113.0/24", comment="Outside"),
    opened("old-hand", "198.51.100.0/25", "192.0.2.0/24"),
    internal("analyst"),
    Share("fresh", "new one", ("auditor", "analyst"), objects("c.s.a", "c.s.b")),
    Share("running", None, ("auditor", "old-hand"),
          (*objects("c.s.a"), DataObject("c.s.b", history=True), DataObject("c.s.c", shared_as="s.new")),
          ("leaver",), ("c.s.gone",)),
    Pipeline("nightly", "JOB", "/Shared/nightly", "c.s", "0 0 2 * * ?", "refreshes"),
)  # fmt: skip


def standing() -> Scene:
    """A share that runs already, with a leaver, and an alias that only this pack gave."""
    workspace = MemoryWorkspace(catalog=tables("c.s.a", "c.s.b", "c.s.c", "c.s.gone", "c.s.theirs"))
    for name, ips in (("old-hand", ("198.51.100.0/24",)), ("leaver", ()), ("neighbour", ())):
        workspace.create_recipient(opened(name, *ips))
    workspace.create_share("running", "as it was")
    workspace.shares["running"] = ObservedShare(
        "running", workspace.me, "as it was",
        echoed((*objects("c.s.b", "c.s.gone", "c.s.theirs"), DataObject("c.s.c", shared_as="s.old"))),
        {name: frozenset({"SELECT"}) for name in ("leaver", "neighbour")},
    )  # fmt: skip
    workspace.writes.clear()
    contributed = (
        wants(PACK, "object", "running|TABLE|c.s.c|s.old"),
        wants(PACK, "object", "running|TABLE|c.s.gone|"),
        wants(OTHER, "object", "running|TABLE|c.s.theirs|"),
        wants(OTHER, "grant", "running|neighbour"),
    )
    held = owned("share/running", "recipient/old-hand", "recipient/leaver", contributions=contributed)
    return Scene(workspace, held, owner="owners")


def clean() -> tuple[Scene, Plan, Outcome]:
    scene = standing()
    planned = scene.plan(WANTED)
    return scene, planned, scene.apply(planned, WANTED)


def died(scene: Scene, planned: Plan, wanted: SharePack, trap: Trap) -> bool:
    """One delivery under the trap; whether it died."""
    scene.trapped(trap)
    try:
        scene.apply(planned, wanted)
    except Killed:
        return True
    finally:
        scene.trapped(Trap())
    return False


def facts(scene: Scene) -> object:
    """What must be the same as after one clean run; token ids are the platform's."""
    state = scene.workspace.state()
    recipients = {
        n: (r.owner, r.comment, r.allowed_ips, r.metastore_id, len(r.tokens))
        for n, r in state.recipients.items()
    }
    shares = {
        n: (s.owner, s.comment, sorted(map(repr, s.objects)), dict(s.grants)) for n, s in state.shares.items()
    }
    return shares, recipients, state.pipelines, [e.status for e in scene.journal.entries()]


def passings() -> int:
    scene = standing()
    trap = Trap()
    assert not died(scene, scene.plan(WANTED), WANTED, trap)
    return len(trap.passed)


def test_the_pack_takes_more_than_twelve_calls_and_completes() -> None:
    scene, planned, outcome = clean()
    assert len(scene.workspace.writes) == planned.writes >= 12
    assert outcome.state == "COMPLETED"
    assert scene.plan(WANTED).actions == ()


@pytest.mark.parametrize("links_readable", [True, False])
@pytest.mark.parametrize("atomic", [True, False])
def test_a_death_at_any_point_ends_like_one_clean_run(links_readable: bool, atomic: bool) -> None:
    expected = facts(clean()[0])
    for point in range(1, passings() + 1):
        scene = standing()
        scene.workspace.links_readable, scene.workspace.atomic = links_readable, atomic
        planned = scene.plan(WANTED)
        trap = Trap(at={point: Killed()})
        assert died(scene, planned, WANTED, trap), point
        outcome = scene.apply(planned, WANTED)
        assert outcome.state == "COMPLETED", (point, trap.passed[-1], outcome.message)
        assert facts(scene) == expected, (point, trap.passed[-1])
        nothing_repeated(scene, links_readable, trap.passed[-1])
        the_vault_opens_the_door(scene)


def nothing_repeated(scene: Scene, links_readable: bool, where: str) -> None:
    """Nothing took effect twice, and a token was made anew only where its link was lost for good."""
    writes = scene.workspace.writes
    once = [
        w for w in writes if w[0] in ("create_recipient", "create_share", "create_pipeline", "rotate_token")
    ]
    assert len(once) == len({*once}), where
    rotated = [w for w in writes if w[0] == "rotate_token"]
    lost = not links_readable and any(w in where for w in ("create_recipient", "put activation", "conclude"))
    assert not rotated or lost, where


def the_vault_opens_the_door(scene: Scene) -> None:
    """The link that was handed over is the one of the living token, and it is nowhere else."""
    (token,) = scene.workspace.recipients["auditor"].tokens
    link = scene.workspace.links[token.id]
    assert scene.vault.kept == {secret_name(URL, "auditor"): link}
    assert not any(link in str(entry) for entry in scene.journal.entries())


def test_two_deaths_in_a_row_at_any_point() -> None:
    expected = facts(clean()[0])
    for point in range(1, passings() + 1, 3):
        for second in (2, 9, 15):
            scene = standing()
            planned = scene.plan(WANTED)
            died(scene, planned, WANTED, Trap(at={point: Killed()}))
            died(scene, planned, WANTED, Trap(at={second: Killed()}))
            outcome = scene.apply(planned, WANTED)
            assert (outcome.state, facts(scene)) == ("COMPLETED", expected), (point, second)


def test_a_death_with_readings_that_lag() -> None:
    expected = facts(clean()[0])
    for point in range(1, passings() + 1):
        scene = standing()
        planned = scene.plan(WANTED)
        scene.workspace.stale_reads, scene.workspace.lagging_lists = 1, True
        assert died(scene, planned, WANTED, Trap(at={point: Killed()}))
        outcome = scene.apply(planned, WANTED)
        assert (outcome.state, facts(scene)) == ("COMPLETED", expected), (point, outcome.message)


def test_any_clears_the_list_and_nothing_else_does() -> None:
    scene = standing()
    opening = pack(Recipient("old-hand", RecipientType.D2O, allowed_ips=ANY_ADDRESS))
    planned = scene.plan(opening)
    act = next(a for a in planned.actions if a.resource == "recipient/old-hand")
    assert (act.kind, act.widens) == ("widen_addresses", True)
    scene.owner = None
    scene.provision(opening)
    assert scene.workspace.recipients["old-hand"].allowed_ips is None
    assert scene.plan(pack(opened("old-hand"))).actions == ()
