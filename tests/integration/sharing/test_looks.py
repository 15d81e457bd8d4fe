"""Requests whose look at the workspace takes longer than they have, and warnings that outlive a delivery."""

from dataclasses import replace
from typing import Any

import pytest

from shared.sharing.ports import Clock
from tests.integration.sharing.world import APPROVER, PACK, MakePacks, PackWorld

WARNED = PACK.replace("allowed_ips: [203.0.113.0/24]", "allowed_ips: ANY")


class Elapsed:
    """A clock by which every request's time was up long ago."""

    def monotonic(self) -> float:
        return -1e6

    def sleep(self, seconds: float) -> None:
        pass


@pytest.fixture
def waiting(world: PackWorld) -> PackWorld:
    """A pack that waits for its approver."""
    world.upload()
    world.pump()
    return world


def out_of_time(world: PackWorld, clock: Clock | None = None) -> int:
    """From now on; the last request to the workspace until then."""
    assert world.app.sharing is not None
    workflow = world.app.sharing.workflow
    workflow.outside = replace(workflow.outside, clock=clock or Elapsed())
    return world.workspace.last


def test_dry_run_that_takes_too_long_says_so_and_what_to_do(world: PackWorld) -> None:
    out_of_time(world)
    answer = world.send(query="?dry_run=true")
    assert answer.status_code == 503 and "Retry-After" in answer.headers
    problem = answer.json()
    assert problem["type"].endswith("look_cut_short") and "smaller packs" in problem["hint"], problem
    assert {entry.route for entry in world.workspace.requests} <= {"well_known"}, world.workspace.requests
    assert world.must("GET", "/workflow/sharepacks")["Items"] == []


def test_several_dry_runs_have_the_time_of_one_request(world: PackWorld) -> None:
    assert world.app.sharing is not None
    workflow, asked = world.app.sharing.workflow, list[float]()
    opened = workflow.workspace_until
    workflow.workspace_until = lambda url, until: (asked.append(until), opened(url, until))[1]
    files = [("file", (name, PACK + f"# {name}\n")) for name in ("a.yaml", "b.yaml")]
    headers = {"X-Workspace-URL": world.workspace.url}
    world.must("POST", "/workflow/sharepack/upload?dry_run=true", files=files, headers=headers)
    assert len(asked) == 2 and asked[0] == asked[1]


def test_adoption_that_takes_too_long_adopts_nothing(world: PackWorld) -> None:
    world.provisioned_by_hand("old")
    out_of_time(world)
    answer = world.ask(
        "POST", "/workflow/adopt", APPROVER, headers={"X-Workspace-URL": world.workspace.url},
        json={"Shares": ["old"], "Recipients": []},
    )  # fmt: skip
    assert answer.status_code == 503 and "name fewer" in answer.json()["hint"]
    assert world.sql("SELECT 1 FROM deltashare.shares") == []


def test_approval_counts_though_the_look_takes_too_long(waiting: PackWorld) -> None:
    out_of_time(waiting)
    (pack,) = waiting.must("GET", "/workflow/sharepacks")["Items"]
    answer = waiting.approve(pack["SharePackId"])
    assert answer.status_code == 202 and "before anything is changed" in answer.json()["Message"]
    waiting.pump()
    assert waiting.status(pack["SharePackId"])["State"] == "COMPLETED"


def test_stale_plan_that_was_approved_unseen_waits_again_and_writes_nothing(waiting: PackWorld) -> None:
    (pack,) = waiting.must("GET", "/workflow/sharepacks")["Items"]
    out_of_time(waiting)
    waiting.workspace.add_table("prod_catalog.audit.logins", readers=["tributary@example.org"])
    waiting.workspace.lose_select("prod_catalog.sales.customers")
    waiting.provisioned_by_hand("q1")
    mark = waiting.workspace.last
    assert waiting.approve(pack["SharePackId"]).status_code == 202
    waiting.pump()
    assert waiting.status(pack["SharePackId"])["State"] in ("VALIDATION_FAILED", "AWAITING_APPROVAL")
    assert waiting.workspace.writes(since=mark) == 0


# warnings


def test_warnings_of_the_file_stay_when_the_pack_is_planned(world: PackWorld) -> None:
    answer = world.send(WARNED).json()
    assert any("ANY" in said for said in answer["ValidationWarnings"])
    world.pump()
    said = world.status(answer["SharePackId"])["ValidationWarnings"]
    assert {*answer["ValidationWarnings"]} < {*said}, "those of the file, and what planning adds"


def test_warnings_outlive_the_delivery_that_found_them(make_packs: MakePacks) -> None:
    world = make_packs(workflow_approval="never", slice_budget_seconds=0.001)
    answer = world.send(WARNED).json()
    world.pump()
    status = world.status(answer["SharePackId"])
    assert status["State"] == "COMPLETED"
    said = status["ValidationWarnings"]
    assert {*answer["ValidationWarnings"]} < {*said} and any(
        "directory was not asked" in each for each in said
    )


def test_warnings_of_the_file_come_back_with_the_same_bytes(make_packs: MakePacks) -> None:
    world = make_packs(workflow_approval="never")
    world.workspace.switches.external_sharing = False
    first = world.send(WARNED).json()
    world.pump()
    assert world.status(first["SharePackId"])["State"] == "PARTIAL"
    again = world.send(WARNED).json()
    assert {*first["ValidationWarnings"]} <= {*world.status(again["SharePackId"])["ValidationWarnings"]}


def test_changed_token_life_of_a_recipient_that_stands_is_warned_of(make_packs: MakePacks) -> None:
    world = make_packs(workflow_approval="never")
    expiring = PACK.replace("allowed_ips: [203.0.113.0/24]", "token_expiry_days: 30")
    assert not any(
        "token_expiry_days" in w for w in world.status(world.provisioned(expiring))["ValidationWarnings"]
    )
    changed = expiring.replace("NEW", "UPDATE").replace("token_expiry_days: 30", "token_expiry_days: 7")
    pack = world.provisioned(changed)
    status = world.status(pack)
    assert status["State"] == "COMPLETED"
    assert any("token_expiry_days 7" in w and "rotate-token" in w for w in status["ValidationWarnings"]), (
        status
    )
    assert "token_expiry_days 7" in world.plan(pack)["Text"]


# what is said in advance


def test_exposure_of_a_plan_that_was_stale_before_its_first_call_is_taken_back(
    waiting: PackWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert waiting.app.sharing is not None
    plans = waiting.app.sharing.stores.plans
    begin = plans.begin

    def begun(*begins: Any) -> None:
        begin(*begins)
        monkeypatch.undo()
        waiting.provisioned_by_hand("q1")

    (pack,) = waiting.must("GET", "/workflow/sharepacks")["Items"]
    assert waiting.approve(pack["SharePackId"]).status_code == 202
    monkeypatch.setattr(plans, "begin", begun)
    waiting.pump()
    assert waiting.status(pack["SharePackId"])["State"] == "VALIDATION_FAILED"
    said = waiting.sql("SELECT valid_to = 'infinity' AS holds FROM deltashare_state.contributions")
    assert said and not any(row["holds"] for row in said)
