"""What provisioning a share pack would do to its workspace, as it is right now.

In: the pack, what this installation holds there, one look at the workspace. Out: a Plan: ordered actions with their
reasons, who gains or loses which object from which networks, and a hash that an approval signs. Pure. A plan without
actions means that everything is as the pack wants it: drift is the same question, asked later.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec

from shared.sharing import plan_actions
from shared.sharing.exposure import NetworkChange, ReadingChange, after, network_changes, reading_changes
from shared.sharing.model import Finding, SharePack
from shared.sharing.observed import ObservedWorkspace
from shared.sharing.plan_actions import Action, Kind, Tokens, canonical
from shared.sharing.plan_draft import GUARDS, Draft, Ground, Holdings, PlanGuards
from shared.sharing.plan_facts import facts_of
from shared.sharing.plan_order import ordered
from shared.sharing.plan_pipelines import plan_pipelines
from shared.sharing.plan_recipients import plan_recipients
from shared.sharing.plan_shares import plan_shares
from shared.sharing.plan_text import text_of
from shared.sharing.ports import Contribution
from shared.sharing.preflight import workspace_findings

__all__ = ["Holdings", "Plan", "contributions_of", "plan", "plan_rotation"]

VERSION = 1
GRACE_S = 86_400  # for which a rotated token keeps working


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that would happen, and the facts it rests on.

    `hash` names exactly these actions on exactly these facts. `contributions`: what the pack contributes once all is
    done. An error among the `findings` means that it must not be applied.
    """

    pack_id: UUID
    workspace: str
    identity: str
    actions: tuple[Action, ...]
    readings: tuple[ReadingChange, ...]
    networks: tuple[NetworkChange, ...]
    contributions: tuple[Contribution, ...]
    facts: Mapping[str, str]
    findings: tuple[Finding, ...]
    hash: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hash", self._hash())

    @property
    def widens(self) -> bool:
        """Whether anybody can read more, or from elsewhere, afterwards."""
        return any(action.widens for action in self.actions)

    @property
    def destructive(self) -> bool:
        return any(action.destructive for action in self.actions)

    @property
    def writes(self) -> int:
        """Calls that change the workspace."""
        return len(self.actions)

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def resources(self) -> tuple[str, ...]:
        """What must be leased while it is applied, sorted."""
        return tuple(sorted({*self.facts} | {action.resource for action in self.actions}))

    def text(self) -> str:
        """The plan as people read it: first who gains or loses what, then every action."""
        return text_of(self)

    def to_document(self) -> dict[str, Any]:
        """The plan as JSON types."""
        document: dict[str, Any] = msgspec.to_builtins(self)
        return {"version": VERSION, **document}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Plan":
        """The inverse of `to_document`; ValueError for another version, or where the hash is not its content's."""
        if document.get("version") != VERSION:
            raise ValueError(f"plan of version {document.get('version')!r}; this release reads {VERSION}")
        plain = {name: msgspec.convert(document[name], kind) for name, kind in _PLAIN.items()}
        made = cls(actions=tuple(plan_actions.from_document(each) for each in document["actions"]), **plain)
        if made.hash != document["hash"]:
            raise ValueError(f"plan {document['hash']}: its content is not the one that was hashed")
        return made

    def _hash(self) -> str:
        said = [
            VERSION, str(self.pack_id), self.workspace, self.identity, dict(self.facts),
            [_signed(action) for action in self.actions],
        ]  # fmt: skip
        return sha256(canonical(said).encode()).hexdigest()


_PLAIN: Mapping[str, Any] = {
    "pack_id": UUID,
    "workspace": str,
    "identity": str,
    "readings": tuple[ReadingChange, ...],
    "networks": tuple[NetworkChange, ...],
    "contributions": tuple[Contribution, ...],
    "facts": dict[str, str],
    "findings": tuple[Finding, ...],
}


def _signed(action: Action) -> list[object]:
    """What of an action is signed: all but the wording of its reason."""
    body = msgspec.to_builtins(action.body)
    return [str(action.kind), action.target, body, action.widens, action.destructive, list(action.needs)]


def plan(
    pack: SharePack,
    holdings: Holdings,
    observed: ObservedWorkspace,
    *,
    owner: str | None = None,
    guards: PlanGuards = GUARDS,
) -> Plan:
    """What must happen so that the workspace holds what the pack wants; nothing that it leaves out is taken away.

    `owner`: who shall own what is created, None for the identity that creates it.
    """
    ground, draft = Ground(pack, holdings, observed, owner, guards), Draft()
    draft.report(workspace_findings(pack, observed))
    plan_recipients(ground, draft)
    plan_shares(ground, draft)
    plan_pipelines(ground, draft)
    actions = ordered(draft.actions, ground)
    then = after(observed, actions)
    return Plan(
        pack_id=holdings.pack_id,
        workspace=holdings.workspace,
        identity=observed.identity,
        actions=actions,
        readings=reading_changes(observed, then),
        networks=network_changes(observed, then),
        contributions=_contributions(holdings, draft),
        facts=facts_of(pack, observed),
        findings=tuple(draft.findings),
    )


def _contributions(holdings: Holdings, draft: Draft) -> tuple[Contribution, ...]:
    """What the pack contributed and did not withdraw, and what it wants now."""
    before = contributions_of(holdings)
    kept = {c for c in before if (c.kind, c.key) not in draft.withdrawn}
    wanted = {Contribution(holdings.pack_id, holdings.workspace, kind, key) for kind, key in draft.wanted}
    return tuple(sorted(kept | wanted, key=lambda c: (c.kind, c.key)))


def contributions_of(holdings: Holdings) -> frozenset[Contribution]:
    """What the planned pack contributes today."""
    return frozenset(c for c in holdings.contributions if c.pack_id == holdings.pack_id)


def plan_rotation(
    names: Iterable[str], holdings: Holdings, observed: ObservedWorkspace, *, old_expires_in_s: int = GRACE_S
) -> Plan:
    """New tokens for open recipients that are ours; the old ones go on for `old_expires_in_s`."""
    draft, facts = Draft(), {}
    for name in sorted({*names}):
        now = observed.recipients.get(name)
        if now is None or name not in holdings.recipients:
            draft.error(f"recipient {name} is not one of this installation's")
        elif now.authentication != "TOKEN":
            draft.error(f"recipient {name} signs in by {now.authentication}: there is no token to rotate")
        else:
            known = tuple(sorted(token.id for token in now.tokens))
            facts[f"recipient/{name}"] = canonical(known)
            body = Tokens(known, old_expires_in_s)
            draft.act(Kind.ROTATE_TOKEN, name, body, "a new token was asked for", destructive=True)
    return Plan(
        pack_id=holdings.pack_id,
        workspace=holdings.workspace,
        identity=observed.identity,
        actions=tuple(draft.actions),
        readings=(),
        networks=(),
        contributions=tuple(sorted(contributions_of(holdings), key=lambda c: (c.kind, c.key))),
        facts=facts,
        findings=tuple(draft.findings),
    )
