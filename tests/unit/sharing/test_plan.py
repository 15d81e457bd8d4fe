"""What a plan says: identity, merging, ownership, addresses, hashes."""

import json
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from shared.sharing.model import (
    ANY_ADDRESS,
    DataObject,
    ObjectType,
    Partition,
    PartitionValue,
    Pipeline,
    Recipient,
    RecipientType,
    Share,
)
from shared.sharing.observe import observe
from shared.sharing.observed import (
    SELECT,
    ObservedObject,
    ObservedPipeline,
    ObservedRecipient,
    ObservedShare,
    ObservedToken,
)
from shared.sharing.plan import Holdings, Plan, plan
from shared.sharing.plan_actions import Action, Kind, Objects
from shared.sharing.plan_rollback import rollback
from tests.unit.sharing.memory import ME, NOW, URL, MemoryWorkspace, echoed, tables
from tests.unit.sharing.scene import OTHER, PACK, Scene, internal, objects, opened, owned, pack, wants

GERMANY = (Partition((PartitionValue("country", "EQUAL", "de"),)),)


def holding(*shared: DataObject, owner: str = ME, **grants: frozenset[str]) -> Scene:
    """A share `sales` of ours that holds these."""
    workspace = MemoryWorkspace(catalog=tables("c.s.a", "c.s.b"))
    workspace.shares["sales"] = ObservedShare("sales", owner, None, echoed(shared), grants)
    return Scene(workspace, owned("share/sales"))


def sharing(*wanted: DataObject, **members: object) -> Share:
    return replace(Share("sales", data_objects=wanted), **members)  # type: ignore[arg-type]


def acts(planned: Plan) -> list[tuple[str, str]]:
    return [(str(a.kind), a.target) for a in planned.actions]


def changes(action: Action) -> list[tuple[str, str, str | None]]:
    assert isinstance(action.body, Objects)
    return [(c.action, c.object.name, c.object.shared_as) for c in action.body.changes]


def test_leaving_something_out_never_removes_it() -> None:
    scene = holding(*objects("c.s.a", "c.s.b"), reader=frozenset({SELECT}))
    assert scene.plan(pack(sharing(*objects("c.s.a")))).actions == ()


def test_what_the_server_filled_in_is_not_compared() -> None:
    scene = holding(DataObject("c.s.a", shared_as="other.name", history=True))
    assert scene.plan(pack(sharing(DataObject("c.s.a")))).actions == ()
    assert scene.plan(pack(sharing(DataObject("c.s.a", cdf=True)))).actions == ()


@pytest.mark.parametrize(
    ("now", "wanted", "kind", "widens"),
    [
        (DataObject("c.s.a"), DataObject("c.s.a", history=True), "update_objects", True),
        (DataObject("c.s.a", history=True), DataObject("c.s.a", history=False), "narrow_objects", False),
        (DataObject("c.s.a"), DataObject("c.s.a", cdf=True), "update_objects", True),
        (DataObject("c.s.a", cdf=True), DataObject("c.s.a", cdf=False), "narrow_objects", False),
        (DataObject("c.s.a"), DataObject("c.s.a", partitions=GERMANY), "narrow_objects", False),
        (DataObject("c.s.a", partitions=GERMANY), DataObject("c.s.a", partitions=()), "update_objects", True),
    ],
)
def test_a_changed_facet_is_an_update(now: DataObject, wanted: DataObject, kind: str, widens: bool) -> None:
    scene = holding(now)
    planned = scene.plan(pack(sharing(wanted)))
    assert (acts(planned), planned.widens) == ([(kind, "sales")], widens)
    assert changes(planned.actions[0]) == [("UPDATE", "c.s.a", "s.a")]


def test_history_and_the_change_feed_are_never_sent_together() -> None:
    planned = holding().plan(pack(sharing(DataObject("c.s.a", history=True, cdf=True))))
    assert isinstance(planned.actions[0].body, Objects)
    sent = planned.actions[0].body.changes[0].object
    assert (sent.history, sent.cdf) == (True, None)


def test_narrower_and_wider_at_once_shrinks_first() -> None:
    scene = holding(DataObject("c.s.a", history=True, partitions=GERMANY))
    planned = scene.plan(pack(sharing(DataObject("c.s.a", history=False, partitions=()))))
    assert acts(planned) == [("narrow_objects", "sales"), ("update_objects", "sales")]
    first = planned.actions[0].body
    assert isinstance(first, Objects)
    assert (first.changes[0].object.history, first.changes[0].object.partitions) == (False, GERMANY)


def test_an_alias_of_ours_is_replaced_by_removing_and_adding() -> None:
    scene = holding(DataObject("c.s.a", shared_as="s.old"))
    scene.holdings = owned("share/sales", contributions=[wants(PACK, "object", "sales|TABLE|c.s.a|s.old")])
    planned = scene.plan(pack(sharing(DataObject("c.s.a", shared_as="s.new"))))
    assert [changes(a) for a in planned.actions] == [
        [("REMOVE", "c.s.a", "s.old")], [("ADD", "c.s.a", "s.new")]]  # fmt: skip
    assert [a.destructive for a in planned.actions] == [True, False]


@pytest.mark.parametrize("whose", [[], [OTHER], [PACK, OTHER]])
def test_an_alias_that_others_gave_or_nobody_stays_beside_the_new_one(whose: list[UUID]) -> None:
    scene = holding(DataObject("c.s.a", shared_as="s.old"))
    held = [wants(each, "object", "sales|TABLE|c.s.a|s.old") for each in whose]
    scene.holdings = owned("share/sales", contributions=held)
    planned = scene.plan(pack(sharing(DataObject("c.s.a", shared_as="s.new"))))
    assert [changes(a) for a in planned.actions] == [[("ADD", "c.s.a", "s.new")]]


def test_one_table_under_two_aliases() -> None:
    scene = holding()
    both = sharing(DataObject("c.s.a", shared_as="s.x"), DataObject("c.s.a", shared_as="s.y"))
    planned = scene.plan(pack(both))
    assert [changes(a) for a in planned.actions] == [[("ADD", "c.s.a", "s.x")], [("ADD", "c.s.a", "s.y")]]
    assert scene.apply(planned, pack(both)).state == "COMPLETED"
    assert scene.plan(pack(both)).actions == ()


def test_an_alias_that_is_taken_is_an_error() -> None:
    scene = holding(DataObject("c.s.a", shared_as="s.x"))
    planned = scene.plan(pack(sharing(DataObject("c.s.b", shared_as="S.X"))))
    assert "is what c.s.a is seen as" in planned.errors[0].detail


def test_what_this_release_does_not_know_is_left_alone() -> None:
    scene = holding()
    odd = ObservedObject("c.s.a", None, "s.a")
    scene.workspace.shares["sales"] = replace(scene.workspace.shares["sales"], objects=(odd,))
    scene.workspace.recipients["r"] = ObservedRecipient("r", ME, None)
    scene.holdings = owned("share/sales", "recipient/r")
    planned = scene.plan(pack(opened("r", "192.0.2.0/24"), sharing(*objects("c.s.a"))))
    assert planned.actions == ()
    assert ["unmanaged" in f.detail for f in planned.findings] == [True, True]
    assert scene.plan(pack(sharing(remove_data_objects=("c.s.a",)))).actions == ()


def test_removals_are_explicit_and_destructive() -> None:
    scene = holding(*objects("c.s.a", "c.s.b"), reader=frozenset({SELECT}))
    planned = scene.plan(
        pack(sharing(remove_recipients=("reader",), remove_data_objects=("c.s.b", "c.s.never")))
    )
    assert acts(planned) == [("revoke", "sales"), ("remove_objects", "sales")]
    assert (planned.destructive, planned.widens) == (True, False)


def test_what_another_pack_wants_stays_and_is_told() -> None:
    scene = holding(*objects("c.s.a"), reader=frozenset({SELECT}))
    scene.holdings = owned("share/sales", contributions=[
        wants(OTHER, "object", "sales|TABLE|c.s.a|"), wants(OTHER, "grant", "sales|reader"),
        wants(PACK, "object", "sales|TABLE|c.s.a|"), wants(PACK, "grant", "sales|reader"),
    ])  # fmt: skip
    planned = scene.plan(pack(sharing(remove_recipients=("reader",), remove_data_objects=("c.s.a",))))
    assert planned.actions == ()
    assert ["another share pack still wants it" in f.detail for f in planned.findings] == [True, True]
    assert {c.kind for c in planned.contributions} == {"share"}


def test_names_owned_elsewhere_are_refused_until_adopted() -> None:
    scene = holding()
    scene.holdings = Holdings(PACK, URL)
    scene.workspace.create_recipient(opened("reader"))
    scene.workspace.create_pipeline(Pipeline("nightly", "JOB", "/n"))
    wanted = pack(opened("reader"), sharing(recipients=("reader",)), Pipeline("nightly", "JOB", "/other"))
    planned = scene.plan(wanted)
    assert planned.actions == ()
    assert [f.detail.split(" is in")[0] for f in planned.errors] == [
        "recipient reader",
        "share sales",
        "job nightly",
    ]
    assert all("/workflow/adopt" in f.detail for f in planned.errors)
    scene.holdings = replace(
        owned("share/sales", "recipient/reader"), pipelines=frozenset({("JOB", "nightly")})
    )
    assert acts(scene.plan(wanted)) == [("grant", "sales"), ("update_pipeline", "JOB/nightly")]


def test_recipients_of_a_share_stand_in_the_pack_or_are_ours() -> None:
    scene = holding()
    scene.workspace.create_recipient(opened("stranger"))
    planned = scene.plan(pack(sharing(recipients=("nobody", "stranger"))))
    assert "nobody is neither in this pack" in planned.errors[0].detail
    assert "recipient stranger is in the workspace but was not created here" in planned.errors[1].detail


def test_a_metastore_has_one_recipient() -> None:
    scene = Scene()
    scene.workspace.create_recipient(internal("theirs", "azure:r:1"))
    planned = scene.plan(pack(internal("ours", "azure:r:1")))
    assert "theirs already stands for metastore azure:r:1" in planned.errors[0].detail


@pytest.mark.parametrize(
    ("wanted", "why"), [(opened("r"), "which is not D2O"), (internal("r", "azure:r:2"), "metastore")]
)
def test_the_kind_and_metastore_of_a_recipient_cannot_change(wanted: Recipient, why: str) -> None:
    scene = Scene(holdings=owned("recipient/r"))
    scene.workspace.create_recipient(internal("r", "azure:r:1"))
    assert why in scene.plan(pack(wanted)).errors[0].detail


@pytest.mark.parametrize(
    ("now", "wanted", "kinds", "widens"),
    [
        (("192.0.2.0/24",), None, [], False),
        (("192.0.2.0/24",), ("192.0.2.0/25", "192.0.2.128/25"), [], False),
        (("192.0.2.0/24",), ("192.0.2.0/25",), ["narrow_addresses"], False),
        (None, ("192.0.2.0/25",), ["narrow_addresses"], False),
        (("192.0.2.0/25",), ("192.0.2.0/24",), ["widen_addresses"], True),
        (("192.0.2.0/25",), ANY_ADDRESS, ["widen_addresses"], True),
        (None, ANY_ADDRESS, [], False),
        (("192.0.2.0/24",), ("192.0.2.0/25", "198.51.100.1"), ["narrow_addresses", "widen_addresses"], True),
        (("192.0.2.0/24",), ("198.51.100.1",), ["replace_addresses"], True),
    ],
)
def test_addresses(now: tuple[str, ...] | None, wanted: object, kinds: list[str], widens: bool) -> None:
    scene = Scene(holdings=owned("recipient/r"))
    scene.workspace.create_recipient(Recipient("r", RecipientType.D2O, allowed_ips=now))
    asked = pack(Recipient("r", RecipientType.D2O, allowed_ips=wanted))  # type: ignore[arg-type]
    planned = scene.plan(asked)
    assert ([str(a.kind) for a in planned.actions], planned.widens) == (kinds, widens)
    assert scene.apply(planned, asked).state == "COMPLETED"
    assert scene.plan(asked).actions == ()


def test_comments_change_without_widening() -> None:
    scene = holding()
    scene.workspace.create_recipient(opened("r"))
    scene.holdings = owned("share/sales", "recipient/r")
    planned = scene.plan(pack(opened("r", comment="new"), sharing(comment="new")))
    assert (acts(planned), planned.widens) == (
        [("comment_recipient", "r"), ("comment_share", "sales")],
        False,
    )


def test_owners_change_last_and_only_from_us() -> None:
    scene = holding(*objects("c.s.a"))
    wanted = pack(sharing(*objects("c.s.a", "c.s.b")))
    planned = plan(wanted, scene.holdings, scene.workspace.state(), owner="owners")
    assert acts(planned) == [("add_objects", "sales"), ("own_share", "sales")]
    assert planned.actions[1].needs == (0,)
    theirs = holding(*objects("c.s.a"), owner="somebody")
    assert plan(pack(sharing()), theirs.holdings, theirs.workspace.state(), owner="owners").actions == ()


def test_a_pipeline_is_replaced_whole_and_keeps_what_the_pack_leaves_out() -> None:
    scene = Scene(holdings=replace(owned(), pipelines=frozenset({("PIPELINE", "p")})))
    now = ObservedPipeline("17", "p", "PIPELINE", ME, "/old", "c.s", "0 0 2 * * ?", "said")
    scene.workspace.pipelines["PIPELINE", "p"] = now
    wanted = pack(Pipeline("p", "PIPELINE", "/new", schedule="0 0 2 * * ?"))
    planned = scene.plan(wanted)
    assert planned.actions[0].reason == "differs in source"
    scene.apply(planned, wanted)
    assert scene.workspace.pipelines["PIPELINE", "p"] == replace(now, source="/new")


def test_more_than_a_hundred_objects_go_in_several_calls() -> None:
    names = [f"c.s.t{n}" for n in range(250)]
    scene = Scene(MemoryWorkspace(catalog=tables(*names)))
    wanted = pack(Share("big", data_objects=objects(*names)))
    assert [len(a.body.changes) for a in scene.plan(wanted).actions if isinstance(a.body, Objects)] == [
        100,
        100,
        50,
    ]
    assert scene.provision(wanted).state == "COMPLETED"


def test_shrinking_goes_before_growing() -> None:
    kinds = list(Kind)
    assert (
        kinds.index(Kind.REPLACE_ADDRESSES)
        < kinds.index(Kind.CREATE_RECIPIENT)
        < kinds.index(Kind.CREATE_SHARE)
    )
    assert kinds.index(Kind.ADD_OBJECTS) < kinds.index(Kind.GRANT) < kinds.index(Kind.OWN_SHARE)


def signed() -> tuple[Scene, Plan]:
    scene = holding(*objects("c.s.a"), leaver=frozenset({SELECT}))
    scene.workspace.create_recipient(opened("leaver"))
    wanted = pack(opened("new", "192.0.2.0/24"), sharing(*objects("c.s.b"), recipients=("new",)))
    return scene, scene.plan(wanted)


def test_a_stored_plan_is_the_same_plan() -> None:
    _, planned = signed()
    document = json.loads(json.dumps(planned.to_document()))
    assert Plan.from_document(document) == planned


@pytest.mark.parametrize(
    "path", [("actions", 0, "target"), ("identity",), ("workspace",), ("facts", "share/sales")]
)
def test_a_stored_plan_that_was_changed_is_refused(path: tuple[str | int, ...]) -> None:
    document = json.loads(json.dumps(signed()[1].to_document()))
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = "other"
    with pytest.raises(ValueError, match="not the one that was hashed"):
        Plan.from_document(document)


def test_a_plan_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version 2"):
        Plan.from_document({**signed()[1].to_document(), "version": 2})


def test_the_hash_stays_what_it_is_across_releases() -> None:
    assert signed()[1].hash == "66f3b6b5adfab9e4dcdc7deb678c2a01d856d0375780f66340d315ef2ec2d688"


def test_the_order_of_a_workspaces_answers_changes_nothing() -> None:
    scene, planned = signed()
    share = scene.workspace.shares["sales"]
    scene.workspace.shares["sales"] = replace(
        share, objects=tuple(reversed(share.objects)), grants=dict(reversed(share.grants.items()))
    )
    wanted = pack(opened("new", "192.0.2.0/24"), sharing(*objects("c.s.b"), recipients=("new",)))
    assert scene.plan(wanted).hash == planned.hash


def test_a_change_of_the_workspace_changes_the_hash() -> None:
    scene, planned = signed()
    wanted = pack(opened("new", "192.0.2.0/24"), sharing(*objects("c.s.b"), recipients=("new",)))
    scene.workspace.update_recipient("leaver", comment=None, allowed_ips=("192.0.2.7",))
    assert scene.plan(wanted).hash != planned.hash


def test_the_text_says_first_who_reads_what() -> None:
    text = signed()[1].text()
    assert text.startswith("3 actions: 3 widening, 0 destructive.\n")
    summary = text.split("Actions, in this order:")[0]
    assert "  + leaver gains c.s.b in sales, from everywhere\n" in summary
    assert "  + new gains c.s.a, c.s.b in sales, from 192.0.2.0/24\n" in summary


def test_looking_takes_no_more_calls_than_there_are_things() -> None:
    scene, _ = signed()
    scene.workspace.calls.clear()
    wanted = pack(
        opened("new"), sharing(*objects("c.s.a", "c.s.b"), recipients=("new",)), Pipeline("p", "JOB", "/p")
    )
    observe(scene.workspace, wanted)
    calls = scene.workspace.calls
    assert calls == {"share": 1, "recipient": 2, "pipeline": 1, "catalog_objects": 1, "identity": 1}


def test_a_rollback_removes_what_came_since_and_says_what_stays() -> None:
    scene = Scene(MemoryWorkspace(catalog=tables("c.s.a", "c.s.b")))
    first = pack(opened("early"), Share("sales", None, ("early",), objects("c.s.a")))
    scene.provision(first)
    later = pack(opened("early"), opened("late"), Share("sales", None, ("early", "late"), objects("c.s.a", "c.s.b")),
                 Share("more", None, ("late",), objects("c.s.b")))  # fmt: skip
    scene.provision(later)
    back = rollback(first, scene.holdings)
    assert scene.provision(back.pack).state == "COMPLETED"
    shares = scene.workspace.shares
    assert ([o.name for o in shares["sales"].objects], {*shares["sales"].grants}) == (["c.s.a"], {"early"})
    assert (shares["more"].objects, dict(shares["more"].grants)) == ((), {})
    assert any("share more stays" in said for said in back.stays)
    assert any("tokens that were handed over" in said for said in back.stays)


def test_schemas_and_volumes_have_their_own_namespaces() -> None:
    scene = holding()
    scene.workspace.catalog |= tables("c.s", kind=ObjectType.SCHEMA)
    planned = scene.plan(pack(sharing(DataObject("c.s"))))
    assert isinstance(planned.actions[0].body, Objects)
    assert planned.actions[0].body.changes[0].type is ObjectType.SCHEMA


@pytest.mark.parametrize(
    ("days", "token", "said"),
    [
        (30, ObservedToken("t", NOW, NOW + timedelta(days=30)), None),
        (None, ObservedToken("t", NOW, NOW + timedelta(days=90)), None),
        (30, ObservedToken("t", NOW, NOW + timedelta(days=90)), "today's ends 2026-06-30"),
        (30, ObservedToken("t", NOW), "today's never ends"),
        (30, None, "there is none now"),
    ],
)
def test_token_life_that_cannot_be_had_any_more_is_said(
    days: int | None, token: ObservedToken | None, said: str | None
) -> None:
    workspace = MemoryWorkspace()
    older = ObservedToken("o", NOW - timedelta(days=300), NOW - timedelta(days=270))
    tokens = (token, older) if token else ()
    workspace.recipients["auditor"] = ObservedRecipient("auditor", ME, "TOKEN", tokens=tokens)
    planned = Scene(workspace, owned("recipient/auditor")).plan(
        pack(replace(opened("auditor"), token_expiry_days=days))
    )
    assert planned.actions == () and planned.errors == ()
    assert [said in finding.detail for finding in planned.findings] == ([True] if said else [])
    assert all("rotate-token" in finding.detail for finding in planned.findings)
