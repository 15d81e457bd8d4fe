"""Packs to plan, and one application at a time of a plan in memory."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from uuid import UUID

from shared.sharing.apply import Application, Looks, Outcome, Provisioning
from shared.sharing.apply_guards import GUARDS, ApplyGuards
from shared.sharing.apply_steps import holding
from shared.sharing.apply_subject import Subject
from shared.sharing.model import DataObject, Metadata, Pipeline, Recipient, RecipientType, Share, SharePack
from shared.sharing.observe import observe
from shared.sharing.plan import Holdings, Plan
from shared.sharing.plan_draft import GUARDS as PLAN_GUARDS
from shared.sharing.plan_draft import PlanGuards
from shared.sharing.ports import Contribution
from tests.unit.sharing.memory import (
    URL,
    MemoryClock,
    MemoryJournal,
    MemoryLeases,
    MemoryVault,
    MemoryWorkspace,
    Trap,
)

PACK, OTHER = UUID(int=1), UUID(int=2)
METADATA = Metadata("requestor@example.org", "First quarter", "finance", "UPDATE")


def pack(*parts: Recipient | Share | Pipeline) -> SharePack:
    """A pack of these."""
    return SharePack(
        METADATA,
        tuple(p for p in parts if isinstance(p, Recipient)),
        tuple(p for p in parts if isinstance(p, Share)),
        tuple(p for p in parts if isinstance(p, Pipeline)),
    )


def opened(name: str, *ips: str, comment: str | None = None) -> Recipient:
    """An open recipient."""
    return Recipient(name, RecipientType.D2O, f"{name}@example.net", None, ips or None, comment)


def internal(name: str, metastore: str = "azure:westeurope:abc") -> Recipient:
    """A Databricks-to-Databricks recipient."""
    return Recipient(name, RecipientType.D2D, metastore_id=metastore)


def objects(*names: str) -> tuple[DataObject, ...]:
    return tuple(DataObject(name) for name in names)


def owned(*names: str, contributions: Iterable[Contribution] = (), pack_id: UUID = PACK) -> Holdings:
    """Holdings of `share/a`, `recipient/b` ..."""
    return holding(Holdings(pack_id, URL, contributions=frozenset(contributions)), names)


def wants(pack_id: UUID, kind: str, key: str) -> Contribution:
    return Contribution(pack_id, URL, kind, key)  # type: ignore[arg-type]


@dataclass
class Scene:
    """A workspace and what surrounds an application; `holdings` are recorded at its end only, as in production."""

    workspace: MemoryWorkspace = field(default_factory=MemoryWorkspace)
    holdings: Holdings = field(default_factory=owned)
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    vault: MemoryVault = field(default_factory=MemoryVault)
    leases: MemoryLeases = field(default_factory=MemoryLeases)
    clock: MemoryClock = field(default_factory=MemoryClock)
    owner: str | None = None
    guards: ApplyGuards = GUARDS
    plan_guards: PlanGuards = PLAN_GUARDS
    budget_s: float = 240.0

    def plan(self, wanted: SharePack) -> Plan:
        """What would happen now."""
        return self.subject(wanted).plan(self.holdings, observe(self.workspace, wanted))

    def subject(self, wanted: SharePack) -> Provisioning:
        return Provisioning(wanted, self.owner, self.plan_guards)

    def application(self, planned: Plan, subject: Subject, **members: object) -> Application:
        made = Application(
            UUID(int=9), planned, subject, lambda: self.holdings, self.workspace, self.journal, self.leases,
            self.vault, self.clock, budget_s=self.budget_s, looks=Looks(), guards=self.guards,
        )  # fmt: skip
        for name, value in members.items():
            setattr(made, name, value)
        return made

    def apply(self, planned: Plan, wanted: SharePack | Subject, **members: object) -> Outcome:
        """One delivery; its outcome is recorded as the caller records it."""
        subject = self.subject(wanted) if isinstance(wanted, SharePack) else wanted
        outcome = self.application(planned, subject, **members).run()
        if outcome.state != "CONTINUE":
            self.record(planned, outcome)
        return outcome

    def record(self, planned: Plan, outcome: Outcome) -> None:
        others = {c for c in self.holdings.contributions if c.pack_id != self.holdings.pack_id}
        known = holding(self.holdings, outcome.created)
        self.holdings = replace(known, contributions=frozenset(others | {*planned.contributions}))

    def provision(self, wanted: SharePack) -> Outcome:
        """Plan and apply, as a whole new application."""
        self.journal = MemoryJournal(self.journal.trap)
        return self.apply(self.plan(wanted), wanted)

    def trapped(self, trap: Trap) -> "Scene":
        """Every call passes this trap."""
        self.workspace.trap = self.journal.trap = self.vault.trap = trap
        return self
