"""Acts that a person must plan first: what a change of an entity would do to rows that are stored already.

Enters: the entity as stored, the change asked for. Leaves: a plan whose hash, sent back, is the consent. Pure; the
adapter adds what only the table can tell.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from shared.errors import ConflictError
from shared.sync import types
from shared.sync.catalogue import Catalogued, Change, FieldMapping, key_targets, sources_of

_NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that would happen. `destructive`: it cannot be taken back by asking for the old state again."""

    kind: str
    target: str
    reason: str
    destructive: bool = False


@dataclass(frozen=True, slots=True)
class ChangePlan:
    """Everything that would happen; `plan_hash` names exactly this, for exactly what is stored now."""

    plan_hash: str
    acts: tuple[Act, ...]

    @property
    def text(self) -> str:
        """The plan as people read it, a line an act."""
        return "\n".join(f"{act.kind} {act.target}: {act.reason}" for act in self.acts)


class PlanNeededError(ConflictError):
    """The change waits for consent: send it again with the plan's hash."""

    code = "plan_needed"

    def __init__(self, what: str, plan: ChangePlan, *, stale: bool) -> None:
        why = (
            "the plan acknowledged is not today's"
            if stale
            else "this touches stored rows and needs a plan first"
        )
        super().__init__(
            f"{what}: {why}; nothing was changed",
            hint=f"read the plan, then send the same request again with ?plan_hash={plan.plan_hash}",
            code="plan_stale" if stale else None,
        )
        self.plan = plan


_MASKED = "what is stored of it goes at once, as does the payload of rejects; the next pass brings it masked"


def acts_of(before: Catalogued, change: Change) -> tuple[Act, ...]:
    """What of a person's change needs consent where rows are stored; empty where nothing does."""
    if not change.reset and not change.narrowed:
        return ()
    slug = before.entity.slug
    acts = [*_key_acts(before, change.after), *_mapping_acts(before, change.after)]
    acts += [_narrow_act(before, mapping) for mapping in change.narrowed]
    if before.entity.parameters != change.after.entity.parameters:
        acts.append(
            Act("parameters", slug, "the source is asked for other rows; those it no longer sends go missing")
        )
    return (
        *acts,
        Act("end_runs", slug, "unfinished runs end, and a new generation fences what they would still write"),
        Act(
            "read_all",
            slug,
            "the next pass reads the whole table and may not delete; rows that differ are updated",
        ),
    )


def _key_acts(before: Catalogued, after: Catalogued) -> list[Act]:
    old, new = key_targets(before), key_targets(after)
    if old == new:
        return []
    reason = (
        f"{', '.join(old)} becomes {', '.join(new)}; stored rows keep their _bridge_uid and are hashed anew under it"
        " before any run"
    )
    return [Act("rekey", before.entity.slug, reason, destructive=True)]


def _mapping_acts(before: Catalogued, after: Catalogued) -> list[Act]:
    wanted = {mapping.target: mapping for mapping in after.mappings}
    hidden = {
        name for mapping in after.mappings if mapping.rules.mask != "none" for name in sources_of(mapping)
    }
    acts = []
    for old in before.mappings:
        new = wanted.get(old.target)
        if old.rules.mask == "none" and hidden & set(sources_of(old)):
            acts.append(Act("mask", old.target, _MASKED, destructive=True))
        elif new is None:
            acts.append(Act("unmap", old.target, "the column and its values stay, and are no longer written"))
        elif (old.source, old.expression) != (new.source, new.expression):
            acts.append(Act("remap", old.target, f"is made from {_source(new)} instead of {_source(old)}"))
        elif old.rules != new.rules:
            acts.append(Act("rules", old.target, "its values are read by other rules"))
    return acts


def _source(mapping: FieldMapping) -> str:
    return mapping.source if mapping.expression is None else f"{mapping.expression.op}(...)"


def _narrow_act(before: Catalogued, mapping: FieldMapping) -> Act:
    old = next(m.type for m in before.mappings if m.target == mapping.target)
    reason = (
        f"{types.sql_type(old)} becomes {types.sql_type(mapping.type)}, which rewrites the table under a lock; refused"
        " while a stored value does not fit, and later ones that don't are rejected"
    )
    return Act("narrow", mapping.target, reason, destructive=True)


def plan_of(before: Catalogued | None, after: Catalogued, acts: Sequence[Act]) -> ChangePlan:
    """The plan, named by what is stored, what is wanted and what would happen."""
    # Each attempt at creating an entity comes with a uid of its own.
    wanted = after if before is not None else replace(after, entity=replace(after.entity, uid=_NOBODY))
    named = hashlib.sha256(repr((before, wanted, tuple(acts))).encode())
    return ChangePlan(named.hexdigest()[:32], tuple(acts))


@dataclass(frozen=True, slots=True)
class Consent:
    """What a request acknowledges: the hash of a plan, or nothing yet."""

    plan_hash: str | None = None

    def require(self, what: str, plan: ChangePlan) -> None:
        """Raise PlanNeededError unless exactly this plan was acknowledged."""
        if self.plan_hash != plan.plan_hash:
            raise PlanNeededError(what, plan, stale=self.plan_hash is not None)
