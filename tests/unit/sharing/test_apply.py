"""An application among lost replies, refusals, throttling and time that runs out."""

from dataclasses import replace

import pytest

from shared.errors import ConfigurationError, FencedError, PermanentError, TransientError
from shared.sharing.apply import Outcome, Rotation, Step
from shared.sharing.apply_calls import secret_name
from shared.sharing.apply_guards import StalePlanError
from shared.sharing.errors import OutcomeUnknownError, WorkspaceThrottledError, WorkspaceUnavailableError
from shared.sharing.model import Share
from shared.sharing.observed import SELECT, ObservedToken
from shared.sharing.plan import GRACE_S, Plan, plan_rotation
from shared.sharing.ports import GrantChange
from tests.unit.sharing.memory import ME, URL, Killed, MemoryClock, MemoryWorkspace, Trap, refusal, tables
from tests.unit.sharing.scene import PACK, Scene, objects, opened, owned, pack, wants
from tests.unit.sharing.test_kill_points import WANTED, clean, facts, standing

LOST = OutcomeUnknownError("the reply was lost")
TWELVE = tuple(f"c.s.t{n:02}" for n in range(12))


def places() -> list[str]:
    """Every write of the big pack, before and after its effect."""
    scene = standing()
    trap = Trap()
    scene.trapped(trap).apply(scene.plan(WANTED), WANTED)
    return [p for p in trap.passed if p.split()[0] in ("before", "after") and "/" in p]


def delivered(scene: Scene, planned: Plan) -> Outcome:
    """An outcome, after a second delivery where the first gave back what it must not repeat."""
    try:
        return scene.apply(planned, WANTED)
    except OutcomeUnknownError:
        return scene.apply(planned, WANTED)


@pytest.mark.parametrize("place", places())
def test_a_lost_reply_is_looked_after_and_nothing_is_done_twice(place: str) -> None:
    scene, expected = standing(), facts(clean()[0])
    planned = scene.plan(WANTED)
    outcome = delivered(scene.trapped(Trap(named={place: [LOST]})), planned)
    assert (outcome.state, facts(scene)) == ("COMPLETED", expected)
    created = [w for w in scene.workspace.writes if w[0].startswith("create") or w[0] == "rotate_token"]
    assert len(created) == len({*created})
    (token,) = scene.workspace.recipients["auditor"].tokens
    assert scene.vault.kept[secret_name(URL, "auditor")] == scene.workspace.links[token.id]


@pytest.mark.parametrize("place", [p for p in places() if p.startswith("before")])
@pytest.mark.parametrize(
    "error",
    [
        WorkspaceThrottledError("429", retry_after_s=7.0),
        WorkspaceThrottledError("429"),
        WorkspaceUnavailableError("500"),
    ],
    ids=["429 with Retry-After", "429", "500"],
)
def test_what_may_pass_is_given_back_and_resumed(place: str, error: TransientError) -> None:
    scene, expected = standing(), facts(clean()[0])
    planned = scene.plan(WANTED)
    with pytest.raises(TransientError) as raised:
        scene.trapped(Trap(named={place: [error]})).apply(planned, WANTED)
    assert raised.value.retry_after_s == error.retry_after_s
    assert scene.apply(planned, WANTED).state == "COMPLETED"
    assert facts(scene) == expected


@pytest.mark.parametrize("place", places())
def test_replies_lost_while_readings_lag(place: str) -> None:
    scene, expected = standing(), facts(clean()[0])
    planned = scene.plan(WANTED)
    scene.workspace.stale_reads, scene.workspace.lagging_lists = 1, True
    outcome = delivered(scene.trapped(Trap(named={place: [LOST]})), planned)
    assert (outcome.state, facts(scene)) == ("COMPLETED", expected)


def test_replies_lost_again_and_again_are_given_back() -> None:
    scene = standing()
    planned = scene.plan(WANTED)
    with pytest.raises(TransientError):
        scene.trapped(Trap(named={"before create_share share/fresh": [LOST] * 9})).apply(planned, WANTED)


def twelve(atomic: bool = True) -> Scene:
    """Twelve tables to share, of which the eighth cannot be read."""
    workspace = MemoryWorkspace(
        catalog=tables(*TWELVE), readable=lambda name: name != TWELVE[7], atomic=atomic
    )
    workspace.create_recipient(opened("reader"))
    return Scene(workspace, owned("recipient/reader"))


def statuses(outcome: Outcome) -> dict[str, str]:
    return {f"{s.kind} {s.target}": s.status for s in outcome.steps}


@pytest.mark.parametrize("atomic", [True, False])
def test_one_object_of_twelve_is_refused_and_eleven_land(atomic: bool) -> None:
    scene = twelve(atomic)
    wanted = pack(Share("sales", None, ("reader",), objects(*TWELVE)))
    outcome = scene.provision(wanted)
    assert outcome.state == "PARTIAL"
    assert statuses(outcome) == {
        "create_share sales": "done",
        "add_objects sales": "failed",
        "grant sales": "done",
    }
    assert sorted(o.name for o in scene.workspace.shares["sales"].objects) == [
        t for t in TWELVE if t != TWELVE[7]
    ]
    told = outcome.steps[1].result
    assert (told["error"].split(":")[0], told["reason"], told["landed"]) == (
        TWELVE[7],
        "PERMISSION_DENIED",
        "in part",
    )
    assert outcome.created == ("share/sales",)


def test_asking_again_does_only_what_failed() -> None:
    scene = twelve()
    wanted = pack(Share("sales", None, ("reader",), objects(*TWELVE)))
    planned = scene.plan(wanted)
    scene.apply(planned, wanted)
    scene.workspace.readable = lambda name: True
    scene.workspace.writes.clear()
    assert scene.apply(planned, wanted).state == "PARTIAL"
    assert scene.workspace.writes == []
    assert scene.apply(planned, wanted, again=True).state == "COMPLETED"
    assert scene.workspace.writes == [("update_share", "share/sales")]


def test_a_batch_that_is_refused_throughout_is_not_tried_object_by_object() -> None:
    names = [f"c.s.t{n:03}" for n in range(100)]
    scene = Scene(MemoryWorkspace(catalog=tables(*names), readable=lambda name: False))
    assert scene.provision(pack(Share("sales", None, (), objects(*names)))).state == "PARTIAL"
    assert scene.workspace.calls["update_share"] < 20


def test_dependents_are_skipped_and_others_go_on() -> None:
    scene = twelve()
    wanted = pack(
        opened("lost"),
        Share("other", None, ("reader", "lost"), objects(TWELVE[1])),
        Share("sales", None, ("lost",), objects(TWELVE[0])),
    )
    planned = scene.plan(wanted)
    trap = Trap(named={"before create_recipient recipient/lost": [refusal("FEATURE_DISABLED", "no outsiders")],
                       "before create_share share/sales": [refusal("PERMISSION_DENIED", "no")]})  # fmt: skip
    outcome = scene.trapped(trap).apply(planned, wanted)
    assert statuses(outcome) == {
        "create_recipient lost": "failed", "create_share other": "done", "create_share sales": "failed",
        "add_objects other": "done", "add_objects sales": "skipped", "grant other": "failed", "grant sales": "skipped",
    }  # fmt: skip
    assert dict(scene.workspace.shares["other"].grants) == {"reader": frozenset({SELECT})}
    assert outcome.message is not None and "lost, who are not as planned" in outcome.message
    assert scene.apply(planned, wanted, again=True).state == "COMPLETED"


def test_what_failed_before_the_time_was_up_stays_failed() -> None:
    scene = twelve()
    scene.clock, scene.budget_s = MemoryClock(tick=1.0), 0.5
    wanted = pack(opened("lost"), Share("sales", None, ("reader", "lost"), objects(TWELVE[0])))
    planned = scene.plan(wanted)
    scene.trapped(Trap(named={"before create_recipient recipient/lost": [refusal("FEATURE_DISABLED", "no")]}))
    while (outcome := scene.apply(planned, wanted)).state == "CONTINUE":
        pass
    assert statuses(outcome) == {
        "create_recipient lost": "failed", "create_share sales": "done", "add_objects sales": "done",
        "grant sales": "failed"}  # fmt: skip
    assert outcome.steps[-1].result["landed"] == "in part"


def test_nothing_done_is_a_failure_and_not_partial() -> None:
    scene = twelve()
    wanted = pack(Share("sales"))
    planned = scene.plan(wanted)
    trap = Trap(named={"before create_share share/sales": [refusal("PERMISSION_DENIED", "no")]})
    outcome = scene.trapped(trap).apply(planned, wanted)
    assert (outcome.state, outcome.created) == ("FAILED", ())


def test_an_empty_plan_is_complete_without_a_write() -> None:
    scene = clean()[0]
    scene.workspace.writes.clear()
    assert scene.provision(WANTED).state == "COMPLETED"
    assert scene.workspace.writes == []


def test_time_runs_out_between_two_actions() -> None:
    scene, expected = standing(), facts(clean()[0])
    planned = scene.plan(WANTED)
    scene.clock, scene.budget_s = MemoryClock(tick=1.0), 2.5
    heard: list[Step] = []
    deliveries = 1
    while (outcome := scene.apply(planned, WANTED, progress=heard.append)).state == "CONTINUE":
        assert {s.status for s in outcome.steps} == {"done", "waiting"}
        deliveries += 1
    assert (outcome.state, facts(scene)) == ("COMPLETED", expected)
    assert deliveries > 3
    assert [s.position for s in heard] == list(range(len(planned.actions)))
    assert scene.leases.held[0] == planned.resources


def test_what_another_application_holds_is_waited_for() -> None:
    scene = standing()
    scene.leases.taken = {"share/running"}
    with pytest.raises(TransientError):
        scene.provision(WANTED)
    assert scene.workspace.writes == []


def test_a_plan_with_errors_is_never_applied() -> None:
    scene = standing()
    scene.holdings = owned()
    with pytest.raises(PermanentError, match="old-hand is in the workspace but was not created here"):
        scene.provision(WANTED)
    assert scene.workspace.writes == []


def test_a_stale_plan_names_what_changed() -> None:
    scene = standing()
    planned = scene.plan(WANTED)
    scene.workspace.comment_share("running", "changed by hand")
    scene.workspace.writes.clear()
    with pytest.raises(StalePlanError, match="share/running") as raised:
        scene.apply(planned, WANTED)
    assert (raised.value.code, raised.value.status, scene.workspace.writes) == ("plan_stale", 409, [])


def test_what_other_packs_want_since_makes_a_plan_stale() -> None:
    scene = standing()
    planned = scene.plan(WANTED)
    more = {
        *scene.holdings.contributions,
        replace(wants(PACK, "grant", "running|leaver"), pack_id=scene.holdings.pack_id),
    }
    theirs = replace(wants(PACK, "grant", "running|leaver"), pack_id=type(PACK)(int=7))
    scene.holdings = replace(scene.holdings, contributions=frozenset({*more, theirs}))
    with pytest.raises(StalePlanError, match="what other share packs want"):
        scene.apply(planned, WANTED)


def test_a_reading_that_lags_at_the_start_is_not_a_stale_plan() -> None:
    scene = standing()
    scene.workspace.stale_reads = 1
    scene.workspace.comment_share("running", "as it was, once more")
    planned = scene.subject(WANTED).plan(scene.holdings, scene.workspace.state())
    assert scene.apply(planned, WANTED).state == "COMPLETED"


def test_what_is_undone_behind_our_back_is_told() -> None:
    scene = twelve()
    wanted = pack(Share("sales", None, ("reader",)))

    def undo(workspace: MemoryWorkspace) -> None:
        share = workspace.shares.get("sales")
        if share is not None and share.grants:
            workspace.shares["sales"] = replace(share, grants={})

    scene.workspace.watch = undo
    outcome = scene.provision(wanted)
    assert (outcome.state, outcome.differing) == ("PARTIAL", ("grant sales",))
    assert outcome.message == "still to do, though every call succeeded: grant sales"


def test_a_delivery_that_was_fenced_stops_at_once() -> None:
    scene = standing()
    planned = scene.plan(WANTED)
    with pytest.raises(FencedError):
        scene.trapped(Trap(named={"before intend 3": [FencedError("another delivery")]})).apply(
            planned, WANTED
        )
    assert len(scene.workspace.writes) == 3


def test_a_link_that_could_not_be_stored_is_read_again_later() -> None:
    scene = Scene()
    wanted = pack(opened("auditor"))
    planned, name = scene.plan(wanted), secret_name(URL, "auditor")
    trap = Trap(named={f"before put {name}": [ConfigurationError("no vault")]})
    outcome = scene.trapped(trap).apply(planned, wanted)
    assert (outcome.state, outcome.created) == ("FAILED", ("recipient/auditor",))
    assert scene.trapped(Trap()).apply(planned, wanted, again=True).state == "COMPLETED"
    assert scene.workspace.writes == [("create_recipient", "recipient/auditor")]
    assert scene.vault.kept == {name: scene.workspace.links["token-1"]}


@pytest.mark.parametrize("place", ["after create_recipient recipient/auditor", "before conclude 0"])
def test_what_a_dead_delivery_created_is_known_as_ours_before_its_stale_plan_is_forgotten(place: str) -> None:
    scene = twelve()
    wanted = pack(opened("auditor"), Share("sales", None, ("reader", "auditor"), objects(TWELVE[0])))
    planned = scene.plan(wanted)
    with pytest.raises(Killed):
        scene.trapped(Trap(named={place: [Killed()]})).apply(planned, wanted)
    scene.trapped(Trap()).workspace.create_share("sales", "somebody else's")
    heard: list[Step] = []
    with pytest.raises(StalePlanError):
        scene.apply(planned, wanted, progress=heard.append)
    assert [(step.target, step.status) for step in heard] == [("auditor", "done")]
    assert list(scene.vault.kept) == [secret_name(URL, "auditor")]


def test_what_is_created_is_ours_even_where_another_delivery_took_over_meanwhile() -> None:
    scene = Scene()
    planned = scene.plan(pack(opened("auditor")))
    heard: list[Step] = []
    trap = Trap(named={"before conclude 0": [FencedError("another delivery")]})
    with pytest.raises(FencedError):
        scene.trapped(trap).apply(planned, pack(opened("auditor")), progress=heard.append)
    assert [(step.target, step.status) for step in heard] == [("auditor", "done")]


def rotating() -> tuple[Scene, Rotation]:
    scene = Scene(holdings=owned("recipient/auditor"))
    scene.workspace.create_recipient(opened("auditor"))
    return scene, Rotation({"auditor": ("token-1",)}, 3600)


def test_rotation_hands_the_new_link_over_once() -> None:
    scene, subject = rotating()
    planned = plan_rotation(["auditor"], scene.holdings, scene.workspace.state(), old_expires_in_s=3600)
    assert scene.apply(planned, subject).state == "COMPLETED"
    assert scene.vault.kept == {secret_name(URL, "auditor"): scene.workspace.links["token-2"]}


@pytest.mark.parametrize("links_readable", [True, False])
@pytest.mark.parametrize("error", [Killed(), LOST], ids=["killed", "lost"])
@pytest.mark.parametrize(
    "place", ["before rotate_token recipient/auditor", "after rotate_token recipient/auditor"]
)
def test_a_rotation_that_took_effect_is_never_repeated(
    place: str, error: BaseException, links_readable: bool
) -> None:
    scene, subject = rotating()
    scene.workspace.links_readable = links_readable
    planned = plan_rotation(["auditor"], scene.holdings, scene.workspace.state(), old_expires_in_s=3600)
    outcome = None
    try:
        outcome = scene.trapped(Trap(named={place: [error]})).apply(planned, subject)
    except (Killed, TransientError):
        outcome = scene.trapped(Trap()).apply(planned, subject)
    assert scene.workspace.writes.count(("rotate_token", "recipient/auditor")) == 1
    kept = place.startswith("before") or links_readable
    assert outcome.state == ("COMPLETED" if kept else "FAILED")
    if kept:
        assert scene.vault.kept == {secret_name(URL, "auditor"): scene.workspace.links["token-2"]}
    else:
        assert "its token was made, but the activation link was lost" in str(outcome.message)


def test_only_open_recipients_of_ours_are_rotated() -> None:
    scene, _ = rotating()
    planned = plan_rotation(["auditor", "nobody"], scene.holdings, scene.workspace.state())
    assert ["nobody" in f.detail for f in planned.errors] == [True]


def test_a_third_token_is_refused_and_said() -> None:
    scene, _ = rotating()
    now = scene.workspace.recipients["auditor"]
    scene.workspace.recipients["auditor"] = replace(now, tokens=(*now.tokens, ObservedToken("second")))
    planned = plan_rotation(["auditor"], scene.holdings, scene.workspace.state())
    outcome = scene.apply(planned, Rotation({"auditor": ("second", "token-1")}, GRACE_S))
    assert (outcome.state, outcome.steps[0].result["reason"]) == ("FAILED", "INVALID_STATE")


def test_what_we_do_not_own_is_refused_step_by_step() -> None:
    scene = twelve()
    scene.workspace.create_share("sales", None)
    scene.workspace.grant("sales", [GrantChange("reader", True)])
    scene.workspace.shares["sales"] = replace(scene.workspace.shares["sales"], owner="somebody")
    scene.holdings = owned("share/sales", "recipient/reader")
    outcome = scene.provision(pack(Share("sales", None, (), objects(TWELVE[0]), ("reader",))))
    assert statuses(outcome) == {"revoke sales": "failed", "add_objects sales": "skipped"}
    assert scene.workspace.shares["sales"].owner != ME
