"""Who signs what."""

import pytest

from shared.errors import ConflictError, ForbiddenError
from shared.sharing.approval import Approvals, Person, check_signature
from shared.sharing.model import Share
from shared.sharing.observed import SELECT, ObservedShare
from shared.sharing.plan import Plan
from tests.unit.sharing.memory import ME, MemoryWorkspace
from tests.unit.sharing.scene import Scene, opened, owned, pack

ASKED, APPROVER = Person("oid-1", "requestor@example.org"), Person("oid-2", "approver@example.org")


def widening() -> Plan:
    return Scene().plan(pack(opened("auditor")))


def narrowing() -> Plan:
    workspace = MemoryWorkspace()
    workspace.shares["sales"] = ObservedShare("sales", ME, None, (), {"leaver": frozenset({SELECT})})
    return Scene(workspace, owned("share/sales")).plan(pack(Share("sales", "said", (), (), ("leaver",))))


def sign(plan: Plan, approver: Person, signed: str | None = None, asked_by: Person = ASKED) -> None:
    check_signature(plan, signed or plan.hash, approver=approver, asked_by=asked_by, requestor=ASKED.name)


def test_only_widening_plans_wait() -> None:
    approvals = Approvals()
    assert approvals.needed(widening(), "finance")
    assert not approvals.needed(narrowing(), "finance")
    assert narrowing().destructive


def test_a_tenant_may_have_a_policy_of_its_own() -> None:
    approvals = Approvals("never", {"finance": "widening"})
    assert approvals.needed(widening(), "finance")
    assert not approvals.needed(widening(), "sales")


def test_another_person_signs_exactly_this_plan() -> None:
    sign(widening(), APPROVER)


@pytest.mark.parametrize(
    "approver", [ASKED, Person("OID-1", "other@example.org"), Person("oid-3", "Requestor@example.org")]
)
def test_whoever_asked_does_not_sign(approver: Person) -> None:
    with pytest.raises(ForbiddenError):
        sign(widening(), approver)


def test_whoever_uploaded_for_somebody_does_not_sign_either() -> None:
    service = Person("oid-7", "pipeline")
    for approver in (service, Person("oid-8", ASKED.name)):
        with pytest.raises(ForbiddenError):
            sign(widening(), approver, asked_by=service)


def test_another_plans_hash_is_stale() -> None:
    with pytest.raises(ConflictError) as raised:
        sign(widening(), APPROVER, signed=narrowing().hash)
    assert raised.value.code == "plan_stale"
