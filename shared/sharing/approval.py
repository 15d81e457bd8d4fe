"""Who must sign a plan before it is applied, and whether a signature counts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from shared.errors import ConflictError, ForbiddenError
from shared.sharing.plan import Plan

Policy = Literal["never", "widening"]


@dataclass(frozen=True, slots=True)
class Approvals:
    """When a plan waits for an approver: `tenants` overrules `default` by business line."""

    default: Policy = "widening"
    tenants: Mapping[str, Policy] = field(default_factory=dict)

    def needed(self, plan: Plan, tenant: str) -> bool:
        """Whether the plan waits: any added recipient, grant, object or network does, narrowing and comments don't."""
        return self.tenants.get(tenant, self.default) == "widening" and plan.widens


@dataclass(frozen=True, slots=True)
class Person:
    """Someone as their token names them: the directory's object id, and the name they sign in with."""

    oid: str
    name: str


def check_signature(
    plan: Plan, signed_hash: str, *, approver: Person, asked_by: Person, requestor: str
) -> None:
    """Raise unless `approver` may sign and signs exactly this plan, which is the one that stands now.

    `asked_by` uploaded the pack, perhaps on behalf of `requestor` (a principal name); neither may approve it.
    ForbiddenError for them, ConflictError for the hash of another plan.
    """
    same_name = approver.name.lower() in {asked_by.name.lower(), requestor.lower()}
    if approver.oid.lower() == asked_by.oid.lower() or same_name:
        raise ForbiddenError(
            f"share pack {plan.pack_id}: {approver.name} asked for it and cannot approve it",
            hint="another approver must look at the plan and sign it",
        )
    check_hash(plan, signed_hash)


def check_hash(plan: Plan, signed_hash: str) -> None:
    """Raise ConflictError where another plan was signed than the one that stands now."""
    if signed_hash.lower() != plan.hash:
        raise ConflictError(
            f"share pack {plan.pack_id}: the plan that was signed is not today's; nothing was changed",
            hint=f"read the plan again, then sign PlanHash {plan.hash}",
            code="plan_stale",
        )
