"""Random packs over random workspaces: what was asked for comes about, nothing else moves, nobody ever reads more."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import product

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from shared.sharing.model import (
    ANY_ADDRESS,
    DataObject,
    Partition,
    PartitionValue,
    Recipient,
    RecipientType,
    Share,
    SharePack,
)
from shared.sharing.observed import SELECT, ObservedObject, ObservedShare
from shared.sharing.plan import Plan
from shared.sharing.plan_actions import SHRINKING, Kind
from shared.sharing.plan_draft import GUARDS as PLAN_GUARDS
from shared.sharing.plan_networks import compare, difference, intersection, normal
from shared.sharing.ports import Contribution
from tests.unit.sharing.memory import ME, URL, MemoryJournal, MemoryWorkspace, Trap, echoed, refusal, tables
from tests.unit.sharing.scene import OTHER, PACK, Scene, owned, pack

TABLES = ("c.s.a", "c.s.b", "c.s.c")
SHARES, RECIPIENTS, GUESTS = ("s1", "s2"), ("r1", "r2", "r3"), ("guest",)
# A network of four addresses, its halves, and one apart from them.
NETWORKS = ("10.0.0.0/30", "10.0.0.0/31", "10.0.0.2/31", "10.9.9.9/32")
ADDRESSES = ("10.0.0.0", "10.0.0.2", "10.9.9.9", "elsewhere")
PARTS = tuple(Partition((PartitionValue("country", "EQUAL", value),)) for value in ("de", "fr"))
RUNS = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])

subsets = partial(st.lists, unique=True)
aliases = st.sampled_from([None, "s.x", "s.y"])
lists = st.one_of(st.none(), subsets(st.sampled_from(NETWORKS), min_size=1).map(tuple))
flags = st.sampled_from(
    [(None, None), (True, None), (False, None), (None, True), (False, False), (False, True)]
)
parts = st.sampled_from([None, (), PARTS[:1], PARTS[1:], PARTS])


@st.composite
def data_objects(draw: st.DrawFn) -> tuple[DataObject, ...]:
    """Up to three tables, no alias twice."""
    chosen, seen = [], set()
    for name in draw(subsets(st.sampled_from(TABLES))):
        alias = draw(aliases)
        if alias not in seen:
            seen.add(alias or name)
            history, cdf = draw(flags)
            chosen.append(DataObject(name, None, alias, draw(parts), history, cdf))
    return tuple(chosen)


@st.composite
def packs(draw: st.DrawFn) -> SharePack:
    """Recipients r1, r2 open and r3 internal; shares s1, s2."""
    recipients = tuple(_recipient(name, draw(st.one_of(lists, st.just(ANY_ADDRESS)))) for name in RECIPIENTS)
    return pack(*recipients, *(draw(shares(name)) for name in draw(subsets(st.sampled_from(SHARES)))))


def _recipient(name: str, allowed: object) -> Recipient:
    if name == "r3":
        return Recipient(name, RecipientType.D2D, metastore_id="azure:region:r3")
    return Recipient(name, RecipientType.D2O, allowed_ips=allowed)  # type: ignore[arg-type]


@st.composite
def shares(draw: st.DrawFn, name: str) -> Share:
    readers = draw(subsets(st.sampled_from(RECIPIENTS)))
    leavers = [r for r in draw(subsets(st.sampled_from((*RECIPIENTS, *GUESTS)))) if r not in readers]
    wanted = draw(data_objects())
    removed = [t for t in draw(subsets(st.sampled_from(TABLES))) if t not in {o.name for o in wanted}]
    return Share(
        name, draw(st.sampled_from([None, "said"])), tuple(readers), wanted, tuple(leavers), tuple(removed)
    )


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """A workspace where some of it stands already, partly by this pack, partly by another, partly by nobody."""
    workspace = MemoryWorkspace(catalog=tables(*TABLES), atomic=draw(st.booleans()))
    for name in (*draw(subsets(st.sampled_from(RECIPIENTS))), *GUESTS):
        made = _recipient(name, draw(lists))
        workspace.create_recipient(made)
    contributions: set[Contribution] = set()
    for name in draw(subsets(st.sampled_from(SHARES))):
        held = echoed(draw(data_objects()))
        readers = draw(subsets(st.sampled_from(sorted(workspace.recipients))))
        grants = {reader: frozenset({SELECT}) for reader in readers}
        workspace.shares[name] = ObservedShare(name, ME, draw(st.sampled_from([None, "old"])), held, grants)
        keys = [("object", f"{name}|TABLE|{o.name}|{a}") for o in held for a in ("", o.alias)]
        keys += [("grant", f"{name}|{reader}") for reader in readers]
        for key in keys:
            for whose in draw(subsets(st.sampled_from([PACK, OTHER]))):
                contributions.add(Contribution(whose, URL, *key))  # type: ignore[arg-type]
    workspace.writes.clear()
    names = [f"share/{s}" for s in workspace.shares] + [f"recipient/{r}" for r in workspace.recipients]
    return Scene(workspace, owned(*names, contributions=contributions))


def exposed(workspace: MemoryWorkspace) -> frozenset[tuple[str, ...]]:
    """Who reads which part of what, how deep, from where: single facts, so that more of anything is a superset."""
    return frozenset(
        (share.name, reader, o.name, str(o.alias), part, depth, address)
        for share in workspace.shares.values()
        for reader in share.grants
        for o in share.objects
        for part, depth, address in product(_parts(o), _depths(o), _addresses(workspace, reader))
    )


def _parts(o: ObservedObject) -> tuple[str, ...]:
    return tuple(p.values[0].value or "" for p in o.partitions) if o.partitions else ("de", "fr", "rest")


def _depths(o: ObservedObject) -> tuple[str, ...]:
    return ("rows", "changes", "history")[: 3 if o.history else 2 if o.cdf else 1]


def _addresses(workspace: MemoryWorkspace, reader: str) -> Iterator[str]:
    allowed = workspace.recipients[reader].allowed_ips
    for address in ADDRESSES:
        single = None if address == "elsewhere" else (f"{address}/32",)
        if allowed is None or (single is not None and intersection(allowed, single)):
            yield address


def untouched(scene: Scene, wanted: SharePack) -> object:
    """All that the pack does not name."""
    named = {s.name: s for s in wanted.shares}
    state = scene.workspace.state()
    objects = {(s.name, o) for s in state.shares.values() for o in s.objects
               if s.name not in named or o.name not in _names(named[s.name])}  # fmt: skip
    grants = {(s.name, r) for s in state.shares.values() for r in s.grants
              if s.name not in named or r not in (*named[s.name].recipients, *named[s.name].remove_recipients)}  # fmt: skip
    declared = {r.name for r in wanted.recipients}
    recipients = {n: r for n, r in state.recipients.items() if n not in declared}
    owners = {n: x.owner for n, x in (*state.shares.items(), *state.recipients.items())}
    return objects, grants, recipients, {n: o for n, o in owners.items() if o != ME}


def _names(share: Share) -> set[str]:
    return {o.name for o in share.data_objects} | {*share.remove_data_objects}


def theirs(scene: Scene) -> set[tuple[str, ...]]:
    """What another pack contributed and that really stands."""
    found: set[tuple[str, ...]] = set()
    for each in scene.holdings.contributions:
        if each.pack_id == OTHER and each.kind in ("object", "grant"):
            share, *rest = each.key.split("|")
            now = scene.workspace.shares.get(share)
            if now is None:
                continue
            if each.kind == "grant" and rest[0] in now.grants:
                found.add((share, rest[0]))
            found |= {(share, o.name, str(o.alias)) for o in now.objects
                      if each.kind == "object" and o.name == rest[1] and rest[2] in ("", o.alias)}  # fmt: skip
    return found


@given(scenes(), packs())
@RUNS
def test_planning_again_finds_nothing_to_do(scene: Scene, wanted: SharePack) -> None:
    planned = scene.plan(wanted)
    assume(not planned.errors)  # an alias that is taken
    outcome = scene.apply(planned, wanted)
    assert outcome.state == "COMPLETED", (outcome.message, planned.text())
    writes = len(scene.workspace.writes)
    assert writes == planned.writes
    assert scene.plan(wanted).actions == ()
    assert scene.provision(wanted).state == "COMPLETED"
    assert len(scene.workspace.writes) == writes


@given(scenes(), packs())
@RUNS
def test_nothing_that_the_pack_does_not_name_is_touched(scene: Scene, wanted: SharePack) -> None:
    assume(not scene.plan(wanted).errors)
    before, stood = untouched(scene, wanted), theirs(scene)
    scene.provision(wanted)
    assert untouched(scene, wanted) == before
    assert stood <= theirs(scene)


def bounded(scene: Scene, wanted: SharePack, planned: Plan) -> bool:
    """Whether nobody ever read anything that they could read neither before nor afterwards."""
    moments = [exposed(scene.workspace)]
    scene.journal = MemoryJournal()
    scene.workspace.watch = lambda workspace: moments.append(exposed(workspace))
    scene.apply(planned, wanted)
    return all(moment <= moments[0] | moments[-1] for moment in moments)


@given(scenes(), packs())
@RUNS
def test_nobody_ever_reads_more_than_before_or_afterwards(scene: Scene, wanted: SharePack) -> None:
    planned = scene.plan(wanted)
    assume(not planned.errors)
    kinds = [a.kind for a in planned.actions if a.kind is not Kind.REPLACE_ADDRESSES]
    shrinks = [i for i, kind in enumerate(kinds) if kind in SHRINKING]
    assert shrinks == list(range(len(shrinks)))
    assert bounded(scene, wanted, planned)


@given(scenes(), packs(), st.integers(1, 40))
@RUNS
def test_a_refusal_anywhere_never_shows_anybody_more(scene: Scene, wanted: SharePack, point: int) -> None:
    """Whatever is refused, and with it what needs it, the rest stays within what was signed."""
    planned = scene.plan(wanted)
    assume(not planned.errors)
    clean = Scene(replace_workspace(scene.workspace), scene.holdings)
    clean.apply(planned, wanted)
    allowed = exposed(scene.workspace) | exposed(clean.workspace)
    moments: list[frozenset[tuple[str, ...]]] = []
    scene.workspace.watch = lambda workspace: moments.append(exposed(workspace))
    writes = ("revoke", "update_share", "update_recipient", "create_recipient", "grant")
    named = {f"before {w} {kind}/{n}": [refusal("PERMISSION_DENIED", "no")] * 9
             for i, (w, (kind, n)) in enumerate(product(writes, [("share", s) for s in SHARES] + [("recipient", r) for r in RECIPIENTS]))
             if i % 7 == point % 7}  # fmt: skip
    scene.trapped(Trap(named=named))
    scene.apply(planned, wanted)
    assert all(moment <= allowed for moment in moments)


def replace_workspace(workspace: MemoryWorkspace) -> MemoryWorkspace:
    return MemoryWorkspace(
        dict(workspace.shares), dict(workspace.recipients), dict(workspace.pipelines), workspace.catalog
    )


def test_without_the_order_somebody_reads_more() -> None:
    """The same check, turned red by a plan that grows first."""
    scene = Scene(
        MemoryWorkspace(catalog=tables(*TABLES)), plan_guards=replace(PLAN_GUARDS, rank=_grow_first)
    )
    first = pack(_recipient("r1", None), _recipient("r2", None), Share("s1", None, ("r1",), ()))
    scene.provision(first)
    swap = pack(_recipient("r1", None), _recipient("r2", None),
                Share("s1", None, ("r2",), (DataObject("c.s.a"),), ("r1",)))  # fmt: skip
    assert not bounded(scene, swap, scene.plan(swap))
    scene.plan_guards = PLAN_GUARDS


def _grow_first(kind: Kind) -> int:
    return kind in SHRINKING


@given(packs(), packs(), scenes())
@RUNS
def test_packs_that_share_a_share_never_undo_each_other(
    mine: SharePack, other: SharePack, scene: Scene
) -> None:
    """Two packs in turn: what either wants and does not withdraw stands at the end."""
    assume(not scene.plan(_merging(other)).errors)
    scene.provision(_merging(other))
    scene.holdings = replace(
        scene.holdings,
        contributions=frozenset(replace(c, pack_id=OTHER) for c in scene.holdings.contributions),
    )
    stood = theirs(scene)
    assume(not scene.plan(mine).errors)
    scene.provision(mine)
    assert stood <= theirs(scene)


def _merging(wanted: SharePack) -> SharePack:
    """The same, removing nothing."""
    return replace(
        wanted,
        shares=tuple(replace(s, remove_recipients=(), remove_data_objects=()) for s in wanted.shares),
    )


@given(lists, lists)
def test_networks_add_up(old: tuple[str, ...] | None, new: tuple[str, ...] | None) -> None:
    """What both admit is in both, what is new is only in the new, and the change is named accordingly."""

    def inside(address: str, listed: tuple[str, ...] | None) -> bool:
        return listed is None or bool(intersection(listed, (address,)))

    common, gained = intersection(old, new), difference(old, new)
    for address in ("10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.9.9.9"):
        assert inside(address, common) == (inside(address, old) and inside(address, new))
        if gained is not None:
            assert inside(address, gained) == (inside(address, new) and not inside(address, old))
    assert compare(old, new) == compare(normal(old), normal(new))
    assert (compare(old, new) == "same") == (normal(old) == normal(new))
    assert (compare(old, new) == "wider") == (compare(new, old) == "narrower")
