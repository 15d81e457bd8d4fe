"""Who can read what: in a workspace as observed, by what packs contributed, and by what a plan would change.

Pure. A reader is a recipient with SELECT on a share; what it reads is every object in it; from where is its list of
addresses, None meaning from everywhere.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from shared.sharing import plan_networks
from shared.sharing.model import AnyAddress, DataObject
from shared.sharing.observed import (
    AUTHENTICATION,
    SELECT,
    ObservedObject,
    ObservedRecipient,
    ObservedShare,
    ObservedWorkspace,
)
from shared.sharing.plan_actions import Action, Addresses, Comment, Grants, Kind, NewRecipient, Objects, Owner
from shared.sharing.plan_objects import has_default_alias
from shared.sharing.ports import Contribution, ObjectChange

Networks = tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Exposure:
    """One recipient reads one object through one share. `object` is a full name, perhaps a whole schema's."""

    workspace: str
    share: str
    recipient: str
    object: str
    alias: str = ""


@dataclass(frozen=True, slots=True)
class ReadingChange:
    """What one recipient gains and loses in one share; objects as people read them.

    `networks` are those afterwards: None for everywhere, () for a grantee that is no recipient here. A D2D recipient
    reads from its `metastore` instead.
    """

    recipient: str
    share: str
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    networks: Networks
    metastore: str | None = None


@dataclass(frozen=True, slots=True)
class NetworkChange:
    """From where else, or from where no longer, a recipient reads everything it has. None: from everywhere."""

    recipient: str
    gained: Networks
    lost: Networks


def exposures_of(contributions: Iterable[Contribution]) -> frozenset[Exposure]:
    """Who can read what by these contributions: today's, or those of any day."""
    readers: dict[tuple[str, str], set[str]] = {}
    objects: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for each in contributions:
        if each.kind == "grant":
            share, recipient = each.key.split("|")
            readers.setdefault((each.workspace, share), set()).add(recipient)
        elif each.kind == "object":
            share, _, name, alias = each.key.split("|")
            objects.setdefault((each.workspace, share), set()).add((name, alias))
    return frozenset(
        Exposure(workspace, share, recipient, name, alias)
        for (workspace, share), recipients in readers.items()
        for recipient in recipients
        for name, alias in objects.get((workspace, share), ())
    )


def readers_of(table: str, exposures: Iterable[Exposure]) -> tuple[Exposure, ...]:
    """Those by which `table` can be read: as itself, or because its whole schema is shared."""
    name = table.lower()
    schema = name.rpartition(".")[0] if name.count(".") == 2 else name
    found = (e for e in exposures if e.object in (name, schema))
    return tuple(sorted(found, key=lambda e: (e.workspace, e.share, e.recipient, e.object, e.alias)))


def after(observed: ObservedWorkspace, actions: Iterable[Action]) -> ObservedWorkspace:
    """The workspace as it will be once these actions are done; pipelines, which nobody reads, stay out of it."""
    shares, recipients = dict(observed.shares), dict(observed.recipients)
    for action in actions:
        if action.resource.startswith("share/"):
            now = shares.get(action.target, ObservedShare(action.target, observed.identity))
            shares[action.target] = _share_after(now, action)
        elif action.resource.startswith("recipient/"):
            known = recipients.get(action.target)
            recipients[action.target] = _recipient_after(known, action, observed.identity)
    return replace(observed, shares=shares, recipients=recipients)


def _share_after(share: ObservedShare, action: Action) -> ObservedShare:
    match action.body:
        case Grants(names):
            grants = {**share.grants}
            for name in names:
                now = grants.get(name, frozenset())
                grants[name] = now - {SELECT} if action.kind is Kind.REVOKE else now | {SELECT}
            return replace(share, grants={name: held for name, held in grants.items() if held})
        case Objects(changes):
            return replace(share, objects=_objects_after(share.objects, changes))
        case Comment(text):
            return replace(share, comment=text)
        case Owner(name):
            return replace(share, owner=name)
        case _:
            return share


def _objects_after(
    objects: Sequence[ObservedObject], changes: Sequence[ObjectChange]
) -> tuple[ObservedObject, ...]:
    gone = {(c.object.name, (c.object.shared_as or "").lower()) for c in changes if c.action != "ADD"}
    kept = [o for o in objects if (o.name, (o.alias or "").lower()) not in gone]
    return (*kept, *(_as_observed(c.object) for c in changes if c.action != "REMOVE"))


def _as_observed(wanted: DataObject) -> ObservedObject:
    cdf = True if wanted.history else wanted.cdf  # as the server reports it
    return ObservedObject(
        wanted.name, wanted.type, wanted.shared_as, wanted.partitions or (), wanted.history, cdf
    )


def _recipient_after(now: ObservedRecipient | None, action: Action, identity: str) -> ObservedRecipient:
    if isinstance(action.body, NewRecipient):
        made = action.body.recipient
        ips = None if isinstance(made.allowed_ips, AnyAddress) else made.allowed_ips
        return ObservedRecipient(
            made.name, identity, AUTHENTICATION[made.type], made.metastore_id, made.comment, ips
        )
    assert now is not None
    match action.body:
        case Addresses(allowed):
            return replace(now, allowed_ips=None if isinstance(allowed, AnyAddress) else allowed)
        case Comment(text):
            return replace(now, comment=text)
        case Owner(name):
            return replace(now, owner=name)
        case _:
            return now


def readings(share: ObservedShare | None) -> dict[str, frozenset[str]]:
    """What each recipient reads in the share, as people read it."""
    if share is None:
        return {}
    objects = frozenset(spelt(each) for each in share.objects)
    return {recipient: objects for recipient, held in share.grants.items() if SELECT in held}


def spelt(observed: ObservedObject) -> str:
    """An object with what distinguishes it for its readers."""
    said = observed.name
    if not has_default_alias(observed):
        said += f" as {observed.alias}"
    if observed.history or observed.cdf:
        said += " with history" if observed.history else " with its change feed"
    if observed.partitions:
        said += f" in {len(observed.partitions)} partition{'s' if len(observed.partitions) > 1 else ''}"
    return said


def reading_changes(before: ObservedWorkspace, then: ObservedWorkspace) -> tuple[ReadingChange, ...]:
    """Who gains or loses which objects between two states, by recipient and share."""
    changes = []
    for name, share in then.shares.items():
        old, new = readings(before.shares.get(name)), readings(share)
        for recipient in old.keys() | new.keys():
            had, has = old.get(recipient, frozenset()), new.get(recipient, frozenset())
            if had != has:
                known = then.recipients.get(recipient)
                networks = () if known is None else plan_networks.normal(known.allowed_ips)
                metastore = known.metastore_id if known else None
                gained, lost = tuple(sorted(has - had)), tuple(sorted(had - has))
                changes.append(ReadingChange(recipient, name, gained, lost, networks, metastore))
    return tuple(sorted(changes, key=lambda c: (c.recipient, c.share)))


def network_changes(before: ObservedWorkspace, then: ObservedWorkspace) -> tuple[NetworkChange, ...]:
    """From where recipients that were there already gain or lose all their readings."""
    changes = []
    for name in sorted(before.recipients.keys() & then.recipients.keys()):
        old, new = before.recipients[name].allowed_ips, then.recipients[name].allowed_ips
        change = plan_networks.compare(old, new)
        if change != "same":
            gained, lost = plan_networks.difference(old, new), plan_networks.difference(new, old)
            changes.append(NetworkChange(name, gained, lost))
    return tuple(changes)
