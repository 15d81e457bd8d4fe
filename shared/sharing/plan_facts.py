"""The facts that a plan rests on, each as a short digest, so that a stale plan can name what changed."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

import msgspec

from shared.sharing import plan_networks
from shared.sharing.model import SharePack
from shared.sharing.observed import ObservedObject, ObservedRecipient, ObservedShare, ObservedWorkspace
from shared.sharing.plan_actions import canonical

ABSENT = "absent"


def facts_of(pack: SharePack, observed: ObservedWorkspace) -> dict[str, str]:
    """By `share/name`, `recipient/name` and `pipeline/type/name`: what the plan took for granted.

    Tokens and objects' status come and go without anything that a plan would do otherwise.
    """
    declared = {r.name for r in pack.recipients}
    facts = {f"share/{s.name}": _share(observed.shares.get(s.name)) for s in pack.shares}
    for name in sorted(declared | {*observed.recipients}):
        facts[f"recipient/{name}"] = _recipient(observed.recipients.get(name), whole=name in declared)
    for pipeline in pack.pipelines:
        now = observed.pipelines.get((pipeline.type, pipeline.name))
        facts[f"pipeline/{pipeline.type}/{pipeline.name}"] = ABSENT if now is None else _digest(now)
    return facts


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """The things whose facts differ, by name."""
    return tuple(sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name)))


def _share(share: ObservedShare | None) -> str:
    if share is None:
        return ABSENT
    grants = {recipient: sorted(held) for recipient, held in share.grants.items()}
    return _digest([share.name, share.owner, share.comment, _objects(share.objects), grants])


def _objects(objects: Iterable[ObservedObject]) -> list[Any]:
    said = ([o.name, o.type, o.alias, _partitions(o), bool(o.history), bool(o.cdf)] for o in objects)
    return sorted(said, key=canonical)


def _partitions(observed: ObservedObject) -> list[Any]:
    alternatives = (sorted(map(_plain, p.values), key=canonical) for p in observed.partitions)
    return sorted(alternatives, key=canonical)


def _plain(value: object) -> Any:
    return msgspec.to_builtins(value)


def _recipient(recipient: ObservedRecipient | None, *, whole: bool) -> str:
    if recipient is None:
        return ABSENT
    networks = plan_networks.normal(recipient.allowed_ips)
    if not whole:
        return _digest([recipient.metastore_id, networks])
    said = [recipient.owner, recipient.authentication, recipient.metastore_id, recipient.comment, networks]
    return _digest(said)


def _digest(value: object) -> str:
    return sha256(canonical(_plain(value)).encode()).hexdigest()[:16]
