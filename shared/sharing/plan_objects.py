"""What has to change about the objects of one share.

In: the share as a pack wants it, as it is, what the catalogue says, who contributed what. Out: changes, split so that
what readers lose can happen before what they gain. An object is its kind, its lower-case name and its alias; what the
server filled in by itself is never compared.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from shared.sharing.model import TABLE_LIKE, DataObject, Finding, ObjectType, Partition, Share
from shared.sharing.observed import CatalogObject, ObservedObject, ObservedShare
from shared.sharing.ports import ObjectChange

Identity = tuple[str, str, str]
"""Kind, name and stated alias ("" where none is stated, which stands for any)."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Who contributed what to one share: this pack and all others."""

    mine: frozenset[Identity] = frozenset()
    others: frozenset[Identity] = frozenset()


@dataclass(slots=True)
class ObjectDiff:
    """Changes by when they happen, and what the pack contributes once they did."""

    removes: list[ObjectChange] = field(default_factory=list)
    renamed: set[str] = field(default_factory=set)
    narrows: list[ObjectChange] = field(default_factory=list)
    updates: list[ObjectChange] = field(default_factory=list)
    adds: list[ObjectChange] = field(default_factory=list)
    wanted: set[Identity] = field(default_factory=set)
    withdrawn: set[Identity] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)


def diff_objects(
    share: Share, observed: ObservedShare | None, catalog: Mapping[str, CatalogObject], claims: Claims
) -> ObjectDiff:
    """All changes to the objects of one share."""
    diff = ObjectDiff()
    here = _by_name(observed.objects if observed else ())
    kept: set[int] = set()
    aliases: dict[str, list[str]] = {}
    for each in share.data_objects:
        aliases.setdefault(each.name, []).extend([each.shared_as.lower()] if each.shared_as else [])
    for wanted in _distinct(share.data_objects):
        present = here.get(wanted.name, [])
        if any(o.type is None for o in present):
            diff.findings.append(_unmanaged(share.name, wanted.name))
            continue
        kind = _kind(wanted, present, catalog)
        if kind is None:
            continue  # the catalogue has no such thing: preflight says so
        stated = aliases[wanted.name]
        match = _match(wanted, kind, present, stated)
        if match is not None:
            kept.add(id(match))
            diff.wanted.add((str(match.type), wanted.name, _alias(wanted.shared_as)))
            _compare(wanted, match, diff)
        else:
            kept |= _add(wanted, kind, present, stated, claims, diff)
    _remove(share, here, kept, claims, diff)
    _refuse_taken_aliases(share.name, observed.objects if observed else (), diff)
    return diff


def _by_name(objects: Iterable[ObservedObject]) -> dict[str, list[ObservedObject]]:
    named: dict[str, list[ObservedObject]] = {}
    for each in objects:
        named.setdefault(each.name, []).append(each)
    return named


def _distinct(objects: Sequence[DataObject]) -> Iterable[DataObject]:
    return {(o.name, _alias(o.shared_as)): o for o in reversed(objects)}.values().__reversed__()


def _kind(
    wanted: DataObject, present: Sequence[ObservedObject], catalog: Mapping[str, CatalogObject]
) -> ObjectType | None:
    if wanted.type is not None:
        return wanted.type
    if wanted.name in catalog:
        return catalog[wanted.name].type
    return present[0].type if present else None


def _match(
    wanted: DataObject, kind: ObjectType, present: Sequence[ObservedObject], stated: Sequence[str]
) -> ObservedObject | None:
    """The object in the share that is the wanted one; a default alias goes before another."""
    alike = [o for o in present if _same_kind(o.type, kind)]
    if wanted.shared_as is not None:
        return next((o for o in alike if _alias(o.alias) == wanted.shared_as.lower()), None)
    free = [o for o in alike if _alias(o.alias) not in stated]
    return min(free, key=lambda o: not has_default_alias(o), default=None)


def _same_kind(one: ObjectType | None, other: ObjectType) -> bool:
    return one == other or (one in TABLE_LIKE and other in TABLE_LIKE)  # tables and views share one namespace


def has_default_alias(observed: ObservedObject) -> bool:
    """Whether consumers see the object under the name that the server gives by itself."""
    parts = observed.name.split(".")
    return observed.alias is None or observed.alias.lower() in {
        ".".join(parts[-2:]),
        parts[-1],
        observed.name,
    }


def _alias(alias: str | None) -> str:
    return (alias or "").lower()


def _add(
    wanted: DataObject,
    kind: ObjectType,
    present: Sequence[ObservedObject],
    stated: Sequence[str],
    claims: Claims,
    diff: ObjectDiff,
) -> set[int]:
    """Add the object; an alias cannot be changed, so what only this pack shared under another one goes first."""
    identity = (str(kind), wanted.name, _alias(wanted.shared_as))
    diff.wanted.add(identity)
    gone = set()
    for old in present if wanted.shared_as is not None else ():
        if _same_kind(old.type, kind) and _alias(old.alias) not in stated and _only_mine(old, claims):
            diff.removes.append(_removal(old))
            diff.renamed.add(old.name)
            diff.withdrawn |= {c for c in claims.mine if _holds(c, old)}
            gone.add(id(old))
    history = wanted.history
    added = replace(wanted, type=kind, cdf=None if history else wanted.cdf)
    diff.adds.append(ObjectChange("ADD", added, kind))
    return gone


def _only_mine(observed: ObservedObject, claims: Claims) -> bool:
    return any(_holds(c, observed) for c in claims.mine) and not any(
        _holds(c, observed) for c in claims.others
    )


def _holds(claim: Identity, observed: ObservedObject) -> bool:
    _, name, alias = claim
    return name == observed.name and (not alias or alias == _alias(observed.alias))


def _removal(observed: ObservedObject) -> ObjectChange:
    assert observed.type is not None
    named = DataObject(observed.name, observed.type, observed.alias)
    return ObjectChange("REMOVE", named, observed.type, observed)


def _remove(
    share: Share,
    here: Mapping[str, Sequence[ObservedObject]],
    kept: set[int],
    claims: Claims,
    diff: ObjectDiff,
) -> None:
    """What the pack names for removal goes, unless it wants it itself or another pack still does."""
    for name in dict.fromkeys(share.remove_data_objects):
        diff.withdrawn |= {c for c in claims.mine if c[1] == name} - diff.wanted
        for each in here.get(name, ()):
            if id(each) in kept:
                continue
            if each.type is None:
                diff.findings.append(_unmanaged(share.name, name))
            elif any(_holds(c, each) for c in claims.others):
                diff.findings.append(
                    Finding("warning", f"{name} stays in {share.name}: another share pack still wants it")
                )
            else:
                diff.removes.append(_removal(each))


def _refuse_taken_aliases(share: str, present: Iterable[ObservedObject], diff: ObjectDiff) -> None:
    """Within a share, consumers see no name twice."""
    gone = {(c.object.name, _alias(c.object.shared_as)) for c in diff.removes}
    taken = {_seen_as(o.name, o.alias): o.name for o in present if (o.name, _alias(o.alias)) not in gone}
    for change in diff.adds:
        alias = _seen_as(change.object.name, change.object.shared_as)
        if alias in taken:
            detail = (
                f"share {share}: {change.object.name} would be seen as {alias}, which is what {taken[alias]} is"
                " seen as; give it another shared_as"
            )
            diff.findings.append(Finding("error", detail))
        taken[alias] = change.object.name


def _seen_as(name: str, alias: str | None) -> str:
    return _alias(alias) or ".".join(name.split(".")[-2:])


def _unmanaged(share: str, name: str) -> Finding:
    return Finding(
        "warning", f"{name} is in {share} as something this release does not know: unmanaged, left as it is"
    )


def _compare(wanted: DataObject, now: ObservedObject, diff: ObjectDiff) -> None:
    target = _merged(wanted, now)
    level, was = _level(target.history, target.cdf), _level(now.history, now.cdf)
    partitions = _partition_change(now.partitions, target.partitions or ())
    if not _differs(wanted, now):
        return
    assert now.type is not None
    final = ObjectChange("UPDATE", target, now.type, now)
    if partitions != "wider" and level <= was:
        diff.narrows.append(final)
        return
    if partitions == "narrower" or level < was:
        kept = target.partitions if partitions == "narrower" else now.partitions
        flags = (
            (target.history, target.cdf) if level < was else (now.history, None if now.history else now.cdf)
        )
        part = replace(target, partitions=kept, history=flags[0], cdf=flags[1])
        diff.narrows.append(ObjectChange("UPDATE", part, now.type, now))
    diff.updates.append(final)


def _differs(wanted: DataObject, now: ObservedObject) -> bool:
    history = now.history if wanted.history is None else wanted.history
    return (
        (wanted.history is not None and wanted.history != bool(now.history))
        # With history on, the server reports CDF on as well, and refuses to be told.
        or (not history and wanted.cdf is not None and wanted.cdf != bool(now.cdf))
        or (wanted.partitions is not None and _set(wanted.partitions) != _set(now.partitions))
    )


def _merged(wanted: DataObject, now: ObservedObject) -> DataObject:
    """The object as it should be, whole: what the pack leaves out stays as it is."""
    history = now.history if wanted.history is None else wanted.history
    cdf = (None if now.history else now.cdf) if wanted.cdf is None else wanted.cdf
    partitions = now.partitions if wanted.partitions is None else wanted.partitions
    return DataObject(now.name, now.type, now.alias, partitions, history, None if history else cdf)


def _level(history: bool | None, cdf: bool | None) -> int:
    return 2 if history else int(bool(cdf))


def _partition_change(
    old: Sequence[Partition], new: Sequence[Partition]
) -> Literal["same", "narrower", "wider"]:
    """Partitions are alternatives, and none at all means the whole table."""
    before, after = _set(old), _set(new)
    if before == after:
        return "same"
    return "narrower" if after and (not before or after < before) else "wider"


def _set(partitions: Sequence[Partition]) -> frozenset[frozenset[object]]:
    return frozenset(frozenset(p.values) for p in partitions)
