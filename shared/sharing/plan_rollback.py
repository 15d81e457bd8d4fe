"""The way back: an earlier version of a pack, as a pack that is planned and applied like any other.

Leaving something out never removes it, so what the pack contributed since is spelt out for removal. What no plan can
bring back is said.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from shared.sharing.model import Share, SharePack
from shared.sharing.plan import contributions_of
from shared.sharing.plan_draft import Holdings
from shared.sharing.records import Found


@dataclass(frozen=True, slots=True)
class Rollback:
    """The pack to plan, and what stays as it is whatever is planned, in words for whoever asked."""

    pack: SharePack
    stays: tuple[str, ...]


def rollback(earlier: SharePack, holdings: Holdings, found: Iterable[Found] = ()) -> Rollback:
    """`earlier` with the removal of all that the pack contributed and that `earlier` does not want.

    `found`: what shares held when they were adopted, which no pack brought.
    """
    grants, objects, things = _contributed(holdings)
    spared = []
    for each in found:
        brought = (grants if each.kind == "grant" else objects).get(each.share, set())
        if each.name in brought:
            brought.discard(each.name)
            spared.append(f"{each.name} stays in {each.share}: it was there when the share was adopted")
    wanted = {share.name: share for share in earlier.shares}
    names = sorted({*wanted, *grants, *objects})
    shares = tuple(
        _removing(wanted.get(name, Share(name)), grants.get(name, set()), objects.get(name, set()))
        for name in names
    )
    pack = replace(earlier, metadata=replace(earlier.metadata, strategy="UPDATE"), shares=shares)
    return Rollback(pack, (*sorted(spared), *_stays(earlier, things)))


def _contributed(holdings: Holdings) -> tuple[dict[str, set[str]], dict[str, set[str]], set[str]]:
    grants: dict[str, set[str]] = {}
    objects: dict[str, set[str]] = {}
    things: set[str] = set()
    for each in contributions_of(holdings):
        first, *rest = each.key.split("|")
        if each.kind == "grant":
            grants.setdefault(first, set()).add(rest[0])
        elif each.kind == "object":
            objects.setdefault(first, set()).add(rest[1])
        else:
            things.add(f"{each.kind} {rest[0] if rest else first}")
    return grants, objects, things


def _removing(share: Share, readers: set[str], objects: set[str]) -> Share:
    wanted = {each.name for each in share.data_objects}
    return replace(
        share,
        remove_recipients=tuple(sorted(readers - {*share.recipients})),
        remove_data_objects=tuple(sorted(objects - wanted)),
    )


def _stays(earlier: SharePack, things: set[str]) -> list[str]:
    known = {f"share {s.name}" for s in earlier.shares} | {f"recipient {r.name}" for r in earlier.recipients}
    known |= {f"pipeline {p.name}" for p in earlier.pipelines}
    told = [f"{thing} stays: nothing is ever deleted" for thing in sorted(things - known)]
    told += [
        f"recipient {r.name}: the version does not say from where it may connect, so that stays as it is"
        for r in earlier.recipients
        if r.allowed_ips is None and f"recipient {r.name}" in things
    ]
    told.append("tokens that were handed over and data that was read stay with those who have them")
    return told
