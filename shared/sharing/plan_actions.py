"""What a plan is made of: one action, one call to the workspace.

Each action knows the single effects it has, so that one which took effect in part can be cut down to the rest, and
so that a plan made anew can be held against the one that was approved.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, cast

import msgspec

from shared.sharing.model import AllowedIps, Pipeline, Recipient
from shared.sharing.ports import ObjectChange

OBJECTS_PER_CALL = 100


class Kind(StrEnum):
    """Every kind of action, in the order of a plan: exposure shrinks before it grows, owners change last."""

    REVOKE = "revoke"
    REMOVE_OBJECTS = "remove_objects"
    NARROW_OBJECTS = "narrow_objects"
    NARROW_ADDRESSES = "narrow_addresses"
    REPLACE_ADDRESSES = "replace_addresses"
    ROTATE_TOKEN = "rotate_token"  # noqa: S105
    CREATE_RECIPIENT = "create_recipient"
    COMMENT_RECIPIENT = "comment_recipient"
    CREATE_SHARE = "create_share"
    COMMENT_SHARE = "comment_share"
    UPDATE_OBJECTS = "update_objects"
    ADD_OBJECTS = "add_objects"
    GRANT = "grant"
    WIDEN_ADDRESSES = "widen_addresses"
    CREATE_PIPELINE = "create_pipeline"
    UPDATE_PIPELINE = "update_pipeline"
    OWN_SHARE = "own_share"
    OWN_RECIPIENT = "own_recipient"


RANK = {kind: rank for rank, kind in enumerate(Kind)}
CREATING = frozenset({Kind.CREATE_RECIPIENT, Kind.CREATE_SHARE, Kind.CREATE_PIPELINE})
UNREPEATABLE = frozenset({Kind.ROTATE_TOKEN, Kind.CREATE_PIPELINE})
"""Whose second call would take effect once more: names of jobs are not unique."""
SHRINKING = frozenset(
    {Kind.REVOKE, Kind.REMOVE_OBJECTS, Kind.NARROW_OBJECTS, Kind.NARROW_ADDRESSES, Kind.REPLACE_ADDRESSES}
)
ON_RECIPIENTS = frozenset(
    {
        Kind.NARROW_ADDRESSES,
        Kind.REPLACE_ADDRESSES,
        Kind.ROTATE_TOKEN,
        Kind.CREATE_RECIPIENT,
        Kind.COMMENT_RECIPIENT,
        Kind.WIDEN_ADDRESSES,
        Kind.OWN_RECIPIENT,
    }
)
ON_PIPELINES = frozenset({Kind.CREATE_PIPELINE, Kind.UPDATE_PIPELINE})


@dataclass(frozen=True, slots=True)
class Grants:
    """Recipients that are given or lose SELECT on the share."""

    recipients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Objects:
    """At most a hundred changes to a share's objects, one an object."""

    changes: tuple[ObjectChange, ...]


@dataclass(frozen=True, slots=True)
class Addresses:
    """The whole list from now on."""

    allowed_ips: AllowedIps


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens that were there before; another id shows that a rotation took effect."""

    known: tuple[str, ...]
    old_expires_in_s: int


@dataclass(frozen=True, slots=True)
class NewRecipient:
    """All that a recipient is created with."""

    recipient: Recipient


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment; None only where something is created without one."""

    text: str | None


@dataclass(frozen=True, slots=True)
class PipelineBody:
    """The whole definition; `id` of the one that is replaced."""

    pipeline: Pipeline
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Owner:
    """Who owns it from now on."""

    name: str


Body = Grants | Objects | Addresses | Tokens | NewRecipient | Comment | PipelineBody | Owner

_BODIES: Mapping[Kind, type[Body]] = {
    Kind.REVOKE: Grants,
    Kind.REMOVE_OBJECTS: Objects,
    Kind.NARROW_OBJECTS: Objects,
    Kind.NARROW_ADDRESSES: Addresses,
    Kind.REPLACE_ADDRESSES: Addresses,
    Kind.ROTATE_TOKEN: Tokens,
    Kind.CREATE_RECIPIENT: NewRecipient,
    Kind.COMMENT_RECIPIENT: Comment,
    Kind.CREATE_SHARE: Comment,
    Kind.COMMENT_SHARE: Comment,
    Kind.UPDATE_OBJECTS: Objects,
    Kind.ADD_OBJECTS: Objects,
    Kind.GRANT: Grants,
    Kind.WIDEN_ADDRESSES: Addresses,
    Kind.CREATE_PIPELINE: PipelineBody,
    Kind.UPDATE_PIPELINE: PipelineBody,
    Kind.OWN_SHARE: Owner,
    Kind.OWN_RECIPIENT: Owner,
}


@dataclass(frozen=True, slots=True)
class Action:
    """One call to the workspace. `target` is the share, recipient or `type/name` of a pipeline that it acts on.

    `needs`: positions of the actions without which this one must not happen. `destructive`: readers lose
    something altogether, and what they built on it may break.
    """

    kind: Kind
    target: str
    body: Body
    reason: str
    widens: bool = False
    destructive: bool = False
    needs: tuple[int, ...] = ()

    @property
    def resource(self) -> str:
        """The thing acted on, as leases and facts name it: `share/name`, `recipient/name`, `pipeline/type/name`."""
        return resource(self.kind, self.target)

    def effects(self) -> frozenset[str]:
        """What is different once it is done, each thing by itself."""
        match self.body:
            case Grants(recipients):
                return frozenset(f"{self.kind}|{self.target}|{name}" for name in recipients)
            case Objects(changes):
                return frozenset(_change_effect(self.target, change) for change in changes)
            case Addresses(allowed_ips):
                return frozenset({f"addresses|{self.target}|{_canonical(allowed_ips)}"})
            case PipelineBody(pipeline):
                return frozenset({f"{self.kind}|{self.target}|{_canonical(pipeline)}"})
            case Tokens():
                return frozenset({f"{self.kind}|{self.target}"})
            case _:
                return frozenset({f"{self.kind}|{self.target}|{_canonical(self.body)}"})

    def only(self, effects: frozenset[str]) -> "Action | None":
        """The part of it that has some of these effects; None where that is nothing."""
        match self.body:
            case Grants(recipients):
                left = tuple(r for r in recipients if f"{self.kind}|{self.target}|{r}" in effects)
                return replace(self, body=Grants(left)) if left else None
            case Objects(changes):
                some = tuple(c for c in changes if _change_effect(self.target, c) in effects)
                return replace(self, body=Objects(some)) if some else None
            case _:
                return self if self.effects() & effects else None


def resource(kind: Kind, target: str) -> str:
    """What leases and facts call the thing that an action of this kind acts on."""
    if kind in ON_PIPELINES:
        return f"pipeline/{target}"
    return f"recipient/{target}" if kind in ON_RECIPIENTS else f"share/{target}"


def _change_effect(share: str, change: ObjectChange) -> str:
    wanted = change.object
    named = f"{share}|{change.type}|{wanted.name}|{wanted.shared_as or ''}"
    if change.action == "REMOVE":
        return f"remove|{named}"
    facets = (wanted.history, wanted.cdf, wanted.partitions)
    return f"{'add' if change.action == 'ADD' else 'set'}|{named}|{_canonical(facets)}"


def _canonical(value: object) -> str:
    return canonical(msgspec.to_builtins(value))


def canonical(value: object) -> str:
    """JSON that is the same text for the same facts, whatever made them."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def to_document(action: Action) -> dict[str, Any]:
    """The action as JSON types."""
    return cast(dict[str, Any], msgspec.to_builtins(action))


def from_document(document: Mapping[str, Any]) -> Action:
    """The inverse of `to_document`; raises msgspec.ValidationError for what is no action of this release."""
    kind = msgspec.convert(document["kind"], Kind)
    body = msgspec.convert(document["body"], _BODIES[kind])
    plain = {name: msgspec.convert(document[name], said) for name, said in _PLAIN.items()}
    return Action(kind=kind, body=body, **plain)


_PLAIN: Mapping[str, Any] = {
    "target": str,
    "reason": str,
    "widens": bool,
    "destructive": bool,
    "needs": tuple[int, ...],
}


def batches(changes: Sequence[ObjectChange]) -> list[tuple[ObjectChange, ...]]:
    """Calls of at most a hundred changes, none of which names an object twice: the platform refuses that."""
    rounds: list[list[ObjectChange]] = []
    met: Counter[str] = Counter()
    for change in changes:
        if met[change.object.name] == len(rounds):
            rounds.append([])
        rounds[met[change.object.name]].append(change)
        met[change.object.name] += 1
    return [
        tuple(one[i : i + OBJECTS_PER_CALL]) for one in rounds for i in range(0, len(one), OBJECTS_PER_CALL)
    ]
