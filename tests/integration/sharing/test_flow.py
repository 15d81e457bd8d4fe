"""Share packs from the upload to the workspace, as their users live through it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.sharing.world import (
    ADMIN,
    APPROVER,
    OPERATOR,
    PACK,
    STRANGER,
    MakePacks,
    PackWorld,
    update,
)


def test_pack_waits_for_another_person_and_is_applied_as_signed(world: PackWorld) -> None:
    pack = world.upload()
    world.pump()
    assert world.status(pack)["State"] == "AWAITING_APPROVAL"
    assert world.workspace.writes() == 0
    plan = world.plan(pack)
    assert [action["Kind"] for action in plan["Actions"]].count("create_share") == 2
    assert "auditor gains" in plan["Text"]
    assert world.approve(pack).status_code == 202
    world.pump()
    status = world.status(pack)
    assert (status["Status"], status["State"]) == ("COMPLETED", "COMPLETED")
    assert set(world.workspace.state.shares) == {"q1", "log"}
    assert {step["Status"] for step in status["Steps"]} == {"done"}


def test_same_content_as_update_leads_to_no_write(world: PackWorld) -> None:
    world.provisioned()
    mark = world.workspace.last
    again = world.provisioned(update())
    assert world.status(again)["State"] == "COMPLETED"
    assert world.workspace.writes(since=mark) == 0


def test_same_bytes_answer_with_the_same_pack(world: PackWorld) -> None:
    pack = world.provisioned()
    mark = world.workspace.last
    assert world.upload() == pack
    assert world.pump() == 0 and world.workspace.last == mark


def test_requestor_cannot_approve_and_nothing_happens(world: PackWorld) -> None:
    pack = world.upload()
    world.pump()
    answer = world.approve(pack, ("ada@example.org", "approver", "reader", "tenant:finance"))
    assert answer.status_code == 403, answer.text
    assert world.status(pack)["State"] == "AWAITING_APPROVAL" and world.workspace.writes() == 0


def test_plan_that_the_workspace_outran_is_refused_and_made_anew(world: PackWorld) -> None:
    pack = world.upload()
    world.pump()
    old = world.plan(pack)["PlanHash"]
    world.workspace.lose_select("prod_catalog.sales.customers")
    world.workspace.state.shares.clear()
    world.provisioned_by_hand("q1")
    answer = world.approve(pack)
    assert answer.status_code == 409, answer.text
    world.pump()
    assert world.workspace.state.shares["q1"].objects == []
    assert world.status(pack)["State"] in ("VALIDATION_FAILED", "AWAITING_APPROVAL")
    assert (
        world.ask("POST", f"/workflow/sharepack/{pack}/approve", APPROVER, json={"PlanHash": old}).status_code
        == 409
    )


def test_rejected_pack_writes_nothing_and_the_same_bytes_begin_anew(world: PackWorld) -> None:
    pack = world.upload()
    world.pump()
    body = {"Reason": "not this quarter"}
    assert world.ask("POST", f"/workflow/sharepack/{pack}/reject", APPROVER, json=body).status_code == 200
    status = world.status(pack)
    assert (status["State"], status["Status"], status["ErrorMessage"]) == (
        "REJECTED",
        "FAILED",
        "not this quarter",
    )
    assert world.upload() == pack
    world.pump()
    assert world.status(pack)["State"] == "AWAITING_APPROVAL" and world.workspace.writes() == 0


def test_cancelled_pack_is_left_alone_by_its_message(world: PackWorld) -> None:
    pack = world.upload()
    world.must("POST", f"/workflow/sharepack/{pack}/cancel", json={"Reason": "wrong file"})
    world.pump()
    assert world.status(pack)["State"] == "CANCELLED" and world.workspace.writes() == 0


def test_start_in_the_future_waits_for_its_time(world: PackWorld) -> None:
    later = PACK.replace("strategy: NEW", "strategy: NEW, start_at: 2099-01-01T00:00:00Z")
    pack = world.upload(later)
    world.pump()
    assert world.status(pack)["State"] == "SCHEDULED" and world.workspace.requests == []


def test_dry_run_plans_and_keeps_nothing(world: PackWorld) -> None:
    answer = world.send(query="?dry_run=true").json()
    assert "SharePackId" not in answer and answer["Plan"]["Widens"]
    assert world.must("GET", "/workflow/sharepacks")["Items"] == []
    assert world.pump() == 0 and world.workspace.writes() == 0


def test_table_that_is_not_there_fails_validation_and_names_it(world: PackWorld) -> None:
    pack = world.upload(PACK.replace("sales.transactions", "sales.no_such_table"))
    world.pump()
    status = world.status(pack)
    assert status["State"] == status["Status"] == "VALIDATION_FAILED"
    assert "prod_catalog.sales.no_such_table" in status["ValidationErrors"][0]
    assert world.workspace.writes() == 0


def test_broken_file_is_refused_with_every_place_and_nothing_is_stored(world: PackWorld) -> None:
    answer = world.send(PACK.replace("type: D2O", "type: D3X").replace("strategy: NEW", "strategy: MAYBE"))
    assert answer.status_code == 422
    errors = answer.json()["errors"]
    assert len(errors) >= 2 and all("line" in error for error in errors)
    assert world.must("GET", "/workflow/sharepacks")["Items"] == []


def test_several_files_get_a_result_each(world: PackWorld) -> None:
    files = [("file", ("a.yaml", PACK)), ("file", ("b.yaml", "metadata: ["))]
    answer = world.must(
        "POST", "/workflow/sharepack/upload", files=files, headers={"X-Workspace-URL": world.workspace.url}
    )
    assert [result["Status"] for result in answer["Results"]] == ["IN_PROGRESS", "VALIDATION_FAILED"]


def test_pack_for_somebody_else_is_refused_unless_a_service_brings_it(world: PackWorld) -> None:
    answer = world.send(who=("mallory@example.org", "operator", "tenant:finance"))
    assert answer.status_code == 403, answer.text


def test_business_line_and_workspace_must_be_the_callers(world: PackWorld) -> None:
    assert world.send(who=("ada@example.org", "operator", "tenant:sales")).status_code == 422
    assert world.send(url="https://evil.example.net").status_code == 422
    assert world.workspace.requests == []


def test_nobody_sees_another_tenants_pack(world: PackWorld) -> None:
    pack = world.provisioned()
    at = f"/workflow/sharepack/{pack}"
    for method, path, body in (
        ("GET", at, None), ("GET", f"{at}/plan", None), ("GET", f"{at}/history", None),
        ("POST", f"{at}/approve", {"PlanHash": "0" * 64}), ("POST", f"{at}/reject", {"Reason": "x"}),
        ("POST", f"{at}/cancel", {"Reason": "x"}), ("POST", f"{at}/rollback", {"Version": 1, "Reason": "x"}),
    ):  # fmt: skip
        assert world.ask(method, path, STRANGER, json=body).status_code == 404, path
    assert world.must("GET", "/workflow/sharepacks", STRANGER)["Items"] == []
    table = "/workflow/exposure?table=prod_catalog.sales.customers"
    assert world.must("GET", table, STRANGER)["Items"] == []


def test_exposure_is_told_for_now_and_for_then(world: PackWorld) -> None:
    before = world.sql("SELECT clock_timestamp() AS now")[0]["now"].isoformat().replace("+", "%2B")
    world.provisioned()
    table = "/workflow/exposure?table=prod_catalog.sales.customers"
    seen = world.must("GET", table)["Items"]
    assert {(one["Recipient"], one["Share"]) for one in seen} == {
        ("auditor", "q1"), ("analyst", "q1"), ("auditor", "log"),
    }  # fmt: skip
    assert {tuple(one["Networks"]) for one in seen if one["Recipient"] == "auditor"} == {("203.0.113.0/24",)}
    assert world.must("GET", f"{table}&at={before}")["Items"] == []


CAT = ("cat@example.org", "approver", "reader", "tenant:finance")


def rolled_back(world: PackWorld, pack: str, version: int) -> None:
    body = {"Version": version, "Reason": "as it was"}
    said = world.must("POST", f"/workflow/sharepack/{pack}/rollback", APPROVER, json=body)["Message"]
    assert "tokens that were handed over" in said, "what a rollback does not bring back"
    world.pump()
    if world.status(pack)["State"] == "AWAITING_APPROVAL":
        assert world.approve(pack, CAT).status_code == 202
        world.pump()
    assert world.status(pack)["State"] == "COMPLETED", world.status(pack)


def test_rollback_plans_forward_to_what_an_earlier_version_held(world: PackWorld) -> None:
    pack = world.provisioned()
    version = world.status(pack)["Version"]
    world.workspace.state.shares["log"].objects.clear()
    rolled_back(world, pack, version)
    assert len(world.workspace.state.shares["log"].objects) == 1
    assert world.must("GET", f"/workflow/sharepack/{pack}/history")["Items"][0]["State"] == "COMPLETED"


def test_rollback_to_before_it_was_applied_withdraws_what_the_pack_alone_brought(world: PackWorld) -> None:
    world.provisioned()
    more = PACK.replace(
        "[prod_catalog.sales.transactions, prod_catalog.sales.customers]", "[prod_catalog.audit.logins]"
    )
    world.workspace.add_table("prod_catalog.audit.logins", readers=["tributary@example.org"])
    wider = world.provisioned(update(more))
    done = world.status(wider)["Version"]

    def readable() -> set[str]:
        return {each.name for each in world.workspace.state.shares["q1"].objects}

    before = readable()
    assert "prod_catalog.audit.logins" in before
    rolled_back(world, wider, 1)
    # The tables and grants that the first pack wants as well stay.
    assert readable() == before - {"prod_catalog.audit.logins"}
    assert set(world.workspace.state.shares["q1"].privileges) == {"auditor", "analyst"}
    assert world.must("GET", "/workflow/exposure?table=prod_catalog.audit.logins")["Items"] == []
    rolled_back(world, wider, done)
    assert readable() == before


def test_token_is_rotated_once_and_its_link_lies_in_the_vault(world: PackWorld) -> None:
    world.provisioned()
    known = "SELECT token_id, secret_name FROM deltashare.recipients WHERE name = 'auditor' AND is_current"
    first = world.sql(known)[0]
    answer = world.must(
        "POST", "/workflow/recipients/auditor/rotate-token", headers={"X-Workspace-URL": world.workspace.url}
    )
    assert (world.vault / answer["SecretName"]).read_text().startswith("http")
    assert len([r for r in world.workspace.requests if r.route == "recipients.rotate_token"]) == 1
    second = world.sql(known)[0]
    assert second["secret_name"] == first["secret_name"] == answer["SecretName"]
    assert None not in (first["token_id"], second["token_id"]) and first["token_id"] != second["token_id"]


def test_share_of_somebody_else_is_refused_until_it_is_adopted(world: PackWorld) -> None:
    world.provisioned_by_hand("q1")
    pack = world.upload()
    world.pump()
    status = world.status(pack)
    assert status["State"] == "VALIDATION_FAILED" and "q1" in status["ValidationErrors"][0]
    mark = world.workspace.last
    world.must(
        "POST", "/workflow/adopt", APPROVER,
        json={"Shares": ["q1"], "Recipients": []}, headers={"X-Workspace-URL": world.workspace.url},
    )  # fmt: skip
    assert world.workspace.writes(since=mark) == 0
    other = world.provisioned(PACK + "# adopted\n")
    assert world.status(other)["State"] == "COMPLETED"


def test_drift_is_reported_and_repaired_only_by_policy(make_packs: MakePacks) -> None:
    world = make_packs(workflow_approval="never")
    world.provisioned()
    world.workspace.state.shares["log"].objects.clear()
    assert world.app.sharing is not None
    found = world.app.sharing.drift.run()
    assert [drifted.actions[0].target for drifted in found] == ["log"]
    assert world.pump() == 0 and world.workspace.state.shares["log"].objects == []
    world.app.sharing.drift.policy = "repair"
    world.app.watch_shares()
    world.pump()
    assert len(world.workspace.state.shares["log"].objects) == 1


def test_drift_watch_stops_when_its_time_is_up_and_says_so(make_packs: MakePacks) -> None:
    world = make_packs(workflow_approval="never")
    world.provisioned()
    world.workspace.state.shares["log"].objects.clear()
    assert world.app.sharing is not None
    drift, said = world.app.sharing.drift, list[tuple[str, object]]()
    drift.budget_s, drift.tell = -1.0, lambda text, **fields: said.append((text, fields.get("left")))
    assert drift.run() == []
    assert ("drift_cut_short", 1) in said


def test_links_and_tokens_are_in_the_vault_and_nowhere_else(
    world: PackWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = world.provisioned()
    links = [path.read_text() for path in world.vault.iterdir()]
    assert links and all(link.startswith("http") for link in links)
    canaries = [link.rsplit("/", 1)[-1].rsplit("?", 1)[-1] for link in links] + [world.workspace.token]
    shown = json.dumps([
        world.status(pack), world.plan(pack), world.must("GET", f"/workflow/sharepack/{pack}/history"),
        world.must("GET", "/workflow/sharepacks"), world.must("GET", "/workflow/notifications"),
    ])  # fmt: skip
    tables = world.sql(
        "SELECT table_schema AS s, table_name AS t FROM information_schema.tables"
        " WHERE table_schema IN ('deltashare', 'deltashare_state', 'bridge') AND table_type = 'BASE TABLE'"
    )
    stored = "".join(str(world.sql(f'SELECT x::text FROM "{row["s"]}"."{row["t"]}" x')) for row in tables)
    said = capsys.readouterr()
    for canary in canaries:
        assert canary not in shown + stored + said.out + said.err


def test_health_says_more_to_who_signs_in(world: PackWorld) -> None:
    world.upload()
    assert world.must("GET", "/workflow/health", None) == {"Message": "healthy"}
    assert world.must("GET", "/workflow/health") == {
        "Message": "healthy", "DatabaseConnected": True, "QueueConnected": True, "TablesCount": 16,
    }  # fmt: skip


def test_every_route_demands_a_token_and_a_role(world: PackWorld) -> None:
    uid, asked = "00000000-0000-4000-8000-000000000000", 0
    for template, operations in world.app.http.openapi()["paths"].items():
        path = (
            re.sub("{(pack|project)_id}", uid, template)
            .replace("{kind}", "users")
            .replace("{name}", "auditor")
        )
        if not path.startswith("/workflow") or path == "/workflow/health":
            continue
        for method in operations:
            asked += 1
            assert world.ask(method.upper(), path, None).status_code == 401, path
            assert world.ask(method.upper(), path, ("eve", "tenant:*")).status_code == 403, path
            if method == "post":
                assert world.ask("POST", path, ("eve", "reader", "tenant:*")).status_code == 403, path
    assert asked >= 17


def test_share_packs_are_off_by_default_and_then_not_even_imported(
    make_packs: MakePacks, tmp_path: Path
) -> None:
    world = make_packs()
    world.sql("DROP SCHEMA deltashare CASCADE")
    world.sql("DROP SCHEMA deltashare_state CASCADE")
    code = """
import sys
from shared.composition import services
app = services()
app.http, app.deliveries
app.provision_share_pack(b"", "", 1)
app.remind_share_packs()
app.watch_shares()
assert not [r.path for r in app.http.routes if getattr(r, "path", "").startswith("/workflow")]
assert not [name for name in sys.modules if "sharing" in name or name.startswith(("databricks", "openpyxl"))]
"""
    environment = {**world.environment(), "PATH": "", "ENABLE_WORKFLOW": ""}
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        env=environment,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not world.sql("SELECT 1 FROM information_schema.schemata WHERE schema_name LIKE 'deltashare%%'")


def test_operators_are_no_approvers_and_the_reverse(world: PackWorld) -> None:
    pack = world.upload()
    world.pump()
    assert world.approve(pack, OPERATOR).status_code == 403
    assert world.send(PACK + "#\n", who=APPROVER).status_code == 403
    assert world.approve(pack, ADMIN).status_code == 202
