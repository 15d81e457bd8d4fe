"""The order of a plan, and which action must not happen without which.

Exposure shrinks before it grows. Whatever grows waits for every shrinking of the same share, and of whoever reads
it: an object added before a leaver was revoked would leak to them, even if the plan stopped right there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from shared.sharing.observed import SELECT
from shared.sharing.plan_actions import CREATING, SHRINKING, Action, Grants, Kind
from shared.sharing.plan_draft import Ground


def ordered(actions: Iterable[Action], ground: Ground) -> tuple[Action, ...]:
    """The actions in the order of `Kind`, each with what it needs."""
    in_order = sorted(actions, key=lambda action: ground.guards.rank(action.kind))
    readers = _readers(ground)
    reads: dict[str, set[str]] = {}
    for share, recipients in readers.items():
        for recipient in recipients:
            reads.setdefault(recipient, set()).add(share)
    by_resource: dict[str, list[int]] = {}
    for position, action in enumerate(in_order):
        by_resource.setdefault(action.resource, []).append(position)
    return tuple(
        replace(action, needs=_needs(position, action, in_order, by_resource, readers, reads))
        for position, action in enumerate(in_order)
    )


def _readers(ground: Ground) -> dict[str, set[str]]:
    """Who reads each share, before or afterwards."""
    readers = {share.name: {*share.recipients} for share in ground.pack.shares}
    for name, share in ground.observed.shares.items():
        readers.setdefault(name, set()).update(r for r, held in share.grants.items() if SELECT in held)
    return readers


def _needs(
    position: int,
    action: Action,
    in_order: Sequence[Action],
    by_resource: Mapping[str, Sequence[int]],
    readers: Mapping[str, Iterable[str]],
    reads: Mapping[str, Iterable[str]],
) -> tuple[int, ...]:
    earlier = [p for p in by_resource[action.resource] if p < position]
    if action.kind in (Kind.OWN_SHARE, Kind.OWN_RECIPIENT):
        return tuple(earlier)  # giving it away could cost the right to finish what failed
    needs = {p for p in earlier if in_order[p].kind in CREATING}
    if action.widens and action.kind not in CREATING:
        around = [action.resource, *(f"share/{share}" for share in reads.get(_recipient(action), ()))]
        if action.resource.startswith("share/") and not isinstance(action.body, Grants):
            # Of a grant's recipients, those that were not narrowed are left out when it is carried out.
            around += [f"recipient/{reader}" for reader in readers.get(action.target, ())]
        nearby = (p for each in around for p in by_resource.get(each, ()))
        needs |= {p for p in nearby if p < position and in_order[p].kind in SHRINKING}
    return tuple(sorted(needs))


def _recipient(action: Action) -> str:
    return action.target if action.resource.startswith("recipient/") else ""
