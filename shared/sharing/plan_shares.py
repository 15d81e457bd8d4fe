"""What has to change about the shares of a pack: themselves, their objects, their grants."""

from shared.sharing.model import Share
from shared.sharing.observed import SELECT, ObservedShare
from shared.sharing.plan_actions import Comment, Grants, Kind, Objects, Owner, batches
from shared.sharing.plan_draft import Draft, Ground
from shared.sharing.plan_objects import ObjectDiff, diff_objects
from shared.sharing.plan_recipients import not_ours


def plan_shares(ground: Ground, draft: Draft) -> None:
    """Create those that are absent, bring those that are ours up to the pack."""
    for wanted in ground.pack.shares:
        draft.wanted.add(("share", wanted.name))
        now = ground.observed.shares.get(wanted.name)
        if now is not None and not ground.guards.ours(wanted.name, ground.holdings.shares):
            draft.error(not_ours("share", wanted.name))
            continue
        if now is None:
            draft.act(Kind.CREATE_SHARE, wanted.name, Comment(wanted.comment), "is not there yet")
        elif wanted.comment is not None and wanted.comment != (now.comment or ""):
            draft.act(Kind.COMMENT_SHARE, wanted.name, Comment(wanted.comment), "its comment reads otherwise")
        diff = diff_objects(wanted, now, ground.observed.catalog, ground.claims(wanted.name))
        _objects(wanted.name, diff, draft)
        _grants(wanted, now, ground, draft)
        _owner(wanted, now, ground, draft)


def _objects(share: str, diff: ObjectDiff, draft: Draft) -> None:
    draft.report(diff.findings)
    draft.wanted |= {("object", "|".join((share, *identity))) for identity in diff.wanted}
    draft.withdrawn |= {("object", "|".join((share, *identity))) for identity in diff.withdrawn - diff.wanted}
    renamed = [c for c in diff.removes if c.object.name in diff.renamed]
    dropped = [c for c in diff.removes if c.object.name not in diff.renamed]
    for batch in batches(dropped):
        draft.act(Kind.REMOVE_OBJECTS, share, Objects(batch), "the pack removes them", destructive=True)
    for batch in batches(renamed):
        reason = "an alias cannot be changed: they go, and come back under the new one"
        draft.act(Kind.REMOVE_OBJECTS, share, Objects(batch), reason, destructive=True)
    for batch in batches(diff.narrows):
        draft.act(Kind.NARROW_OBJECTS, share, Objects(batch), "readers see more of them than the pack says")
    for batch in batches(diff.updates):
        reason = "the pack shows more, or another part, of them"
        draft.act(Kind.UPDATE_OBJECTS, share, Objects(batch), reason, widens=True)
    for batch in batches(diff.adds):
        draft.act(Kind.ADD_OBJECTS, share, Objects(batch), "are not in the share yet", widens=True)


def _grants(wanted: Share, now: ObservedShare | None, ground: Ground, draft: Draft) -> None:
    given = {name for name, held in now.grants.items() if SELECT in held} if now else set()
    for name in wanted.recipients:
        draft.wanted.add(("grant", f"{wanted.name}|{name}"))
        _managed(name, wanted.name, ground, draft)
    missing = tuple(name for name in dict.fromkeys(wanted.recipients) if name not in given)
    leaving = tuple(name for name in dict.fromkeys(wanted.remove_recipients) if name not in wanted.recipients)
    draft.withdrawn |= {("grant", f"{wanted.name}|{name}") for name in leaving}
    for name in leaving:
        if name in given and ground.wanted_by_others("grant", f"{wanted.name}|{name}"):
            draft.warn(f"{name} goes on reading {wanted.name}: another share pack still wants it")
    revoked = tuple(
        name
        for name in leaving
        if name in given and not ground.wanted_by_others("grant", f"{wanted.name}|{name}")
    )
    if revoked:
        draft.act(Kind.REVOKE, wanted.name, Grants(revoked), "the pack removes them", destructive=True)
    if missing:
        draft.act(Kind.GRANT, wanted.name, Grants(missing), "may not read it yet", widens=True)


def _managed(recipient: str, share: str, ground: Ground, draft: Draft) -> None:
    """A share's recipients stand in the pack, or are there and ours."""
    if any(r.name == recipient for r in ground.pack.recipients):
        return
    if recipient not in ground.observed.recipients:
        draft.error(f"share {share}: recipient {recipient} is neither in this pack nor in the workspace")
    elif not ground.guards.ours(recipient, ground.holdings.recipients):
        draft.error(f"share {share}: {not_ours('recipient', recipient)}")


def _owner(wanted: Share, now: ObservedShare | None, ground: Ground, draft: Draft) -> None:
    """What we own goes to its owner at the end; what belongs to somebody else stays theirs."""
    me = ground.observed.identity
    if ground.owner in (None, me) or (now is not None and now.owner != me):
        return
    assert ground.owner is not None
    draft.act(Kind.OWN_SHARE, wanted.name, Owner(ground.owner), "what is created here belongs to them")
