"""What is applied: a share pack, or new tokens. Either can be looked at and planned anew, whole or in part."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, cast

from shared.sharing.model import PipelineType, SharePack
from shared.sharing.observe import Each, observe
from shared.sharing.observed import CatalogObject, ObservedWorkspace
from shared.sharing.plan import Plan, plan, plan_rotation
from shared.sharing.plan_actions import Kind, Objects
from shared.sharing.plan_draft import GUARDS, Holdings, PlanGuards
from shared.sharing.ports import Workspace


class Subject(Protocol):
    """What a plan was made for."""

    def part(self, resources: Collection[str]) -> "Subject":
        """The same, of these things only (named as in `Plan.resources`)."""
        ...

    def observe(
        self, workspace: Workspace, catalog: Mapping[str, CatalogObject], each: Each
    ) -> ObservedWorkspace: ...

    def plan(self, holdings: Holdings, observed: ObservedWorkspace) -> Plan: ...


@dataclass(frozen=True, slots=True)
class Provisioning:
    """A share pack; `owner` as in `plan`."""

    pack: SharePack
    owner: str | None = None
    guards: PlanGuards = GUARDS

    def part(self, resources: Collection[str]) -> "Provisioning":
        """With the recipients that those shares name, for they may stand nowhere but in the pack."""
        pack = self.pack
        shares = tuple(s for s in pack.shares if f"share/{s.name}" in resources)
        readers = {reader for share in shares for reader in share.recipients}
        some = replace(
            pack,
            recipients=tuple(
                r for r in pack.recipients if r.name in readers or f"recipient/{r.name}" in resources
            ),
            shares=shares,
            pipelines=tuple(p for p in pack.pipelines if f"pipeline/{p.type}/{p.name}" in resources),
        )
        return replace(self, pack=some)

    def observe(
        self, workspace: Workspace, catalog: Mapping[str, CatalogObject], each: Each
    ) -> ObservedWorkspace:
        return observe(workspace, self.pack, catalog=catalog, each=each)

    def plan(self, holdings: Holdings, observed: ObservedWorkspace) -> Plan:
        return plan(self.pack, holdings, observed, owner=self.owner, guards=self.guards)


@dataclass(frozen=True, slots=True)
class Rotation:
    """New tokens for these recipients. `known`: the tokens there were before, by recipient."""

    known: Mapping[str, tuple[str, ...]]
    old_expires_in_s: int

    def part(self, resources: Collection[str]) -> "Rotation":
        return replace(self, known={n: ids for n, ids in self.known.items() if f"recipient/{n}" in resources})

    def observe(
        self, workspace: Workspace, catalog: Mapping[str, CatalogObject], each: Each
    ) -> ObservedWorkspace:
        found = zip(self.known, each(workspace.recipient, self.known), strict=True)
        return ObservedWorkspace(workspace.identity(), recipients={n: r for n, r in found if r is not None})

    def plan(self, holdings: Holdings, observed: ObservedWorkspace) -> Plan:
        """Those that have no token yet but the known ones."""
        due = [
            name
            for name, known in self.known.items()
            if name not in observed.recipients
            or {token.id for token in observed.recipients[name].tokens} <= {*known}
        ]
        return plan_rotation(due, holdings, observed, old_expires_in_s=self.old_expires_in_s)


def catalog_of(planned: Plan) -> dict[str, CatalogObject]:
    """What the catalogue said when this was planned, as far as it matters."""
    return {
        change.object.name: CatalogObject(change.object.name, change.type)
        for action in planned.actions
        if isinstance(action.body, Objects) and action.kind is Kind.ADD_OBJECTS
        for change in action.body.changes
    }


def reread(workspace: Workspace, known: ObservedWorkspace, resource: str) -> ObservedWorkspace:
    """The same look, with one thing read again."""
    kind, _, name = resource.partition("/")
    if kind == "share":
        shares = {n: s for n, s in known.shares.items() if n != name}
        share = workspace.share(name)
        return replace(known, shares=shares | ({name: share} if share else {}))
    if kind == "recipient":
        recipients = {n: r for n, r in known.recipients.items() if n != name}
        recipient = workspace.recipient(name)
        return replace(known, recipients=recipients | ({name: recipient} if recipient else {}))
    pipeline_type, _, pipeline_name = name.partition("/")
    key = (cast(PipelineType, pipeline_type), pipeline_name)
    pipelines = {k: p for k, p in known.pipelines.items() if k != key}
    pipeline = workspace.pipeline(*key)
    return replace(known, pipelines=pipelines | ({key: pipeline} if pipeline else {}))
