"""What a plan is drawn from, and the draft that its parts add to."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from uuid import UUID

from shared.sharing.model import Finding, PipelineType, SharePack
from shared.sharing.observed import ObservedWorkspace
from shared.sharing.plan_actions import RANK, Action, Body, Kind
from shared.sharing.plan_objects import Claims, Identity
from shared.sharing.ports import Contribution
from shared.sharing.ports import Kind as Held


@dataclass(frozen=True, slots=True)
class Holdings:
    """What this installation answers for in one workspace: names it created or adopted, and who contributed what.

    `contributions` are those of every pack there, the planned one's own among them.
    """

    pack_id: UUID
    workspace: str
    shares: frozenset[str] = frozenset()
    recipients: frozenset[str] = frozenset()
    pipelines: frozenset[tuple[PipelineType, str]] = frozenset()
    contributions: frozenset[Contribution] = frozenset()


@dataclass(frozen=True, slots=True)
class PlanGuards:
    """All guards of planning; a test plans with one replaced and must see what it stood against."""

    rank: Callable[[Kind], int] = RANK.__getitem__
    ours: Callable[[str, Collection[str]], bool] = lambda name, held: name in held
    co_owned: Callable[[bool], bool] = lambda wanted_by_others: wanted_by_others


GUARDS = PlanGuards()


@dataclass(frozen=True)
class Ground:
    """All that a plan depends on. `owner`: who owns what was created here, None for the one who creates it."""

    pack: SharePack
    holdings: Holdings
    observed: ObservedWorkspace
    owner: str | None = None
    guards: PlanGuards = GUARDS

    def claims(self, share: str) -> Claims:
        """Who contributed which objects to a share."""
        return self._claims.get(share, Claims())

    @cached_property
    def _claims(self) -> dict[str, Claims]:
        mine: dict[str, set[Identity]] = {}
        others: dict[str, set[Identity]] = {}
        for each in self.holdings.contributions:
            if each.kind == "object":
                share, kind, name, alias = each.key.split("|")
                side = mine if each.pack_id == self.holdings.pack_id else others
                side.setdefault(share, set()).add((kind, name, alias))
        return {
            share: Claims(
                frozenset(mine.get(share, ())),
                frozenset(others.get(share, ())) if self.guards.co_owned(True) else frozenset(),
            )
            for share in mine.keys() | others.keys()
        }

    @cached_property
    def _wanted_by_others(self) -> frozenset[tuple[Held, str]]:
        everyone = self.holdings.contributions
        return frozenset((c.kind, c.key) for c in everyone if c.pack_id != self.holdings.pack_id)

    def wanted_by_others(self, kind: Held, key: str) -> bool:
        """Whether another pack contributed exactly this."""
        return self.guards.co_owned((kind, key) in self._wanted_by_others)


@dataclass(slots=True)
class Draft:
    """Actions in any order, findings, and what the pack contributes or withdraws."""

    actions: list[Action] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    wanted: set[tuple[Held, str]] = field(default_factory=set)
    withdrawn: set[tuple[Held, str]] = field(default_factory=set)

    def act(
        self,
        kind: Kind,
        target: str,
        body: Body,
        reason: str,
        *,
        widens: bool = False,
        destructive: bool = False,
    ) -> None:
        self.actions.append(Action(kind, target, body, reason, widens, destructive))

    def error(self, detail: str) -> None:
        self.findings.append(Finding("error", detail))

    def warn(self, detail: str) -> None:
        self.findings.append(Finding("warning", detail))

    def report(self, findings: Sequence[Finding]) -> None:
        self.findings += findings
