"""What deliveries do with packs that fail halfway, meet each other, are asked for anew, or belong to somebody else."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from shared.composition.sharing import Sharing
from shared.errors import FencedError, TargetUnavailableError, TransientError
from shared.sharing import provision
from shared.sharing.ports import Contribution
from shared.sharing.views import State
from tests.integration.sharing.conftest import WORKSPACE, Store
from tests.integration.sharing.world import (
    ADMIN,
    APPROVER,
    PACK,
    MakePacks,
    PackWorld,
    update,
)

CAT = ("cat@example.org", "approver", "reader", "tenant:finance")
SAM = ("sam@example.org", "operator", "reader", "tenant:sales")
SUE = ("sue@example.org", "approver", "reader", "tenant:sales")


@pytest.fixture
def free(make_packs: MakePacks) -> PackWorld:
    """Nobody waits for approvals."""
    return make_packs(workflow_approval="never")


def sharing_of(world: PackWorld) -> Sharing:
    assert world.app.sharing is not None
    return world.app.sharing


def application(world: PackWorld) -> dict[str, Any]:
    return world.sql("SELECT * FROM deltashare_state.applications ORDER BY created_at DESC LIMIT 1")[0]


# going on


def test_step_that_was_refused_is_not_tried_again_by_each_delivery(make_packs: MakePacks) -> None:
    world = make_packs(workflow_approval="never", slice_budget_seconds=0.001)
    world.workspace.switches.external_sharing = False
    pack = world.upload()
    world.pump()
    status = world.status(pack)
    assert status["State"] == "PARTIAL", status
    created = [entry for entry in world.workspace.requests if entry.route == "recipients.create"]
    assert len([entry for entry in created if entry.status != 200]) == 1


def test_steps_that_failed_are_taken_up_when_somebody_asks_again(free: PackWorld) -> None:
    free.workspace.switches.external_sharing = False
    pack = free.upload()
    free.pump()
    assert free.status(pack)["State"] == "PARTIAL"
    free.workspace.switches.external_sharing = True
    assert free.upload() == pack
    free.workspace.fault("shares.update_permissions", "429")  # and the new try itself needs two deliveries
    free.pump()
    free.due()
    free.pump()
    assert free.status(pack)["State"] == "COMPLETED"


def test_looking_and_planning_are_part_of_a_deliverys_time(
    free: PackWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []
    made = provision.Application

    def application(**parts: Any) -> Any:
        given.append(parts["budget_s"])
        return made(**parts)

    class PerRequest:
        """A second for each request to the workspace."""

        def monotonic(self) -> float:
            return float(free.workspace.last)

        def sleep(self, seconds: float) -> None:
            pass

    monkeypatch.setattr(provision, "Application", application)
    provisioner = sharing_of(free).provisioner
    provisioner.outside = replace(provisioner.outside, clock=PerRequest())
    free.provisioned()
    assert 0 < given[0] < provisioner.budget_s - 3


# failures


def test_failures_count_only_while_nothing_goes_well(store: Store) -> None:
    pack = store.upload().pack.id
    failed = store.claim(pack, "m1")
    store.applications.back_off(failed, TransientError("passes"), 0)
    again = store.claim(pack, "m2")
    assert again.failures == 1
    store.applications.hand_on(again)
    assert store.claim(pack, "m3").failures == 0


def test_waiting_for_another_pack_is_no_failure(free: PackWorld) -> None:
    pack, sharing = free.upload(), sharing_of(free)
    with sharing.leases.hold(free.workspace.url, ["share/q1"], uuid4()):
        for _ in range(provision.MAX_FAILURES + 1):
            free.pump()
            free.due()
        assert free.status(pack)["State"] == "IN_PROGRESS" and application(free)["failures"] == 0
        assert free.workspace.writes() == 0
    free.due()
    free.pump()
    assert free.status(pack)["State"] == "COMPLETED"


def test_stale_delivery_does_not_touch_what_its_pack_contributes(store: Store) -> None:
    pack = store.upload().pack.id
    stale = store.claim(pack, "m1")
    store.plans.keep(stale, "h" * 64, {}, widens=True)
    store.claim(pack, "m1", 2)
    wanted = [Contribution(pack, WORKSPACE, "grant", "q1|auditor")]
    with pytest.raises(FencedError):
        store.plans.begin(stale, "h" * 64, (WORKSPACE, wanted))
    assert store.sql("SELECT 1 FROM deltashare_state.contributions") == []


def test_what_could_not_be_told_at_once_is_told_by_the_next_tick(world: PackWorld) -> None:
    told: list[tuple[str, str]] = []

    def unheard(event: str, pack: object, detail: str) -> None:
        raise TargetUnavailableError("no database for a moment")

    provisioner = sharing_of(world).provisioner
    provisioner.notify = unheard
    pack = world.upload()
    world.pump()
    assert world.status(pack)["State"] == "AWAITING_APPROVAL"
    provisioner.notify = lambda event, pack, detail: told.append((event, str(pack.id)))
    world.app.remind_share_packs()
    assert told == [("approval_waiting", pack)]


# approvals


def test_whoever_asks_for_a_rollback_cannot_approve_it(world: PackWorld) -> None:
    pack = world.provisioned()
    world.workspace.state.shares["log"].objects.clear()
    body = {"Version": world.status(pack)["Version"], "Reason": "as it was"}
    world.must("POST", f"/workflow/sharepack/{pack}/rollback", APPROVER, json=body)
    world.pump()
    assert world.status(pack)["State"] == "AWAITING_APPROVAL"
    assert world.approve(pack, APPROVER).status_code == 403
    assert world.approve(pack, CAT).status_code == 202


# two business lines in one workspace


@pytest.fixture
def shared(world: PackWorld) -> Iterator[PackWorld]:
    """Finance has provisioned; sales has the same workspace."""
    world.provisioned()
    world.must("PUT", "/api/v1/tenants/sales", ADMIN, json={})
    regions = {"regions": [{"region": "here", "workspace_url": world.workspace.url}]}
    world.must("PUT", "/api/v1/tenants/sales/regions", ADMIN, json=regions)
    yield world


def of_sales(text: str) -> str:
    return text.replace("ada@", "sam@").replace("business_line: finance", "business_line: sales")


@pytest.mark.parametrize(
    "text",
    [
        "recipient: [{name: outsider, type: D2O, email: o@example.net}]\n"
        "share: [{name: q1, recipients: [outsider], data_objects: []}]\n",
        "recipient: [{name: auditor, type: D2O, email: auditor@example.net, allowed_ips: ANY}]\n",
    ],
    ids=["a reader for their share", "their recipient opened to the world"],
)
def test_pack_of_another_business_line_changes_nothing_of_ours(shared: PackWorld, text: str) -> None:
    head = of_sales(update().splitlines()[0]) + "\n"
    mark = shared.workspace.last
    answer = shared.send(head + text, SAM)
    assert answer.status_code == 202, answer.text
    shared.pump()
    pack = answer.json()["SharePackId"]
    status = shared.must("GET", f"/workflow/sharepack/{pack}", SAM)
    assert status["State"] == "VALIDATION_FAILED", status
    assert "another business line" in status["ValidationErrors"][0]
    assert shared.workspace.writes(since=mark) == 0
    dry = shared.send(head + text + "#\n", SAM, query="?dry_run=true").json()
    assert dry["Status"] == "VALIDATION_FAILED"


def test_another_business_lines_recipient_may_read_ones_own_share(shared: PackWorld) -> None:
    head = of_sales(PACK.splitlines()[0]) + "\n"
    text = "share: [{name: own, recipients: [auditor], data_objects: [prod_catalog.sales.customers]}]\n"
    pack = shared.send(head + text, SAM).json()["SharePackId"]
    shared.pump()
    body = {"PlanHash": shared.must("GET", f"/workflow/sharepack/{pack}/plan", SAM)["PlanHash"]}
    shared.must("POST", f"/workflow/sharepack/{pack}/approve", SUE, json=body)
    shared.pump()
    assert "auditor" in shared.workspace.state.shares["own"].privileges


def test_another_business_lines_token_is_not_rotated(shared: PackWorld) -> None:
    mark = shared.workspace.last
    answer = shared.ask(
        "POST",
        "/workflow/recipients/auditor/rotate-token",
        SAM,
        headers={"X-Workspace-URL": shared.workspace.url},
    )
    assert answer.status_code == 422, answer.text
    assert shared.workspace.writes(since=mark) == 0


# the workspace says no


def test_refusal_of_the_workspace_is_a_bad_gateway(free: PackWorld) -> None:
    free.provisioned()
    ask = {
        "headers": {"X-Workspace-URL": free.workspace.url},
        "json": {"ExistingTokenExpireInSeconds": 86_400},
    }
    path = "/workflow/recipients/auditor/rotate-token"
    assert free.ask("POST", path, **ask).status_code == 200
    answer = free.ask("POST", path, **ask)  # a third living token
    assert answer.status_code == 502, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


# drift


def test_what_no_plan_can_mend_is_reported_and_not_repaired(free: PackWorld) -> None:
    pack = free.provisioned()
    del free.workspace.state.securables["table prod_catalog.sales.customers"]
    for share in free.workspace.state.shares.values():
        share.objects[:] = [each for each in share.objects if each.name != "prod_catalog.sales.customers"]
    drift = sharing_of(free).drift
    drift.policy = "repair"
    (found,) = drift.run()
    assert "prod_catalog.sales.customers" in found.detail
    assert free.status(pack)["State"] == "COMPLETED"


def test_pack_that_was_rolled_back_last_has_the_last_word(free: PackWorld) -> None:
    old = free.provisioned()
    new = free.provisioned(update().replace("comment: First quarter", "comment: As of June"))
    body = {"Version": free.status(old)["Version"], "Reason": "June was wrong"}
    free.must("POST", f"/workflow/sharepack/{old}/rollback", APPROVER, json=body)
    free.pump()
    assert free.workspace.state.shares["q1"].comment == "First quarter"
    assert {free.status(pack)["State"] for pack in (old, new)} == {"COMPLETED"}
    assert sharing_of(free).drift.run() == []


def test_pack_that_cannot_be_repaired_now_keeps_no_other_from_it(free: PackWorld) -> None:
    packs = [
        free.provisioned(),
        free.provisioned(PACK.replace("q1", "q2").replace("name: log", "name: log2")),
    ]
    for name in ("log", "log2"):
        free.workspace.state.shares[name].objects.clear()
    drift = sharing_of(free).drift
    drift.policy = "repair"
    first: list[str] = []

    def notify(event: str, pack: Any, detail: str) -> None:
        if not first:
            first.append(str(pack.id))
            raise TargetUnavailableError("no database for a moment")

    drift.notify = notify
    drift.run()
    states = {pack: free.status(pack)["State"] for pack in packs}
    assert sorted(states.values()) == [State.COMPLETED, State.IN_PROGRESS]
