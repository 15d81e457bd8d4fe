"""Exposure of what shares held before they were adopted: told from the adoption on, until somebody takes it away."""

from datetime import datetime
from typing import Any

import pytest

from tests.integration.sharing.world import ADMIN, APPROVER, OPERATOR, MakePacks, PackWorld, update
from tests.workspace_client import RecordingClient

TABLE = "prod_catalog.sales.customers"
OTHER = "prod_catalog.sales.transactions"
SAM = ("sam@example.org", "operator", "approver", "reader", "tenant:sales")
HEAD = update().splitlines()[0] + "\n"


@pytest.fixture
def standing(make_packs: MakePacks) -> PackWorld:
    """A workspace in which somebody shared a table with outsiders before we came."""
    from databricks.sdk.service import sharing

    world = make_packs(workflow_approval="never")
    client = RecordingClient(world.workspace)
    client.recipients.create("outsider", sharing.AuthenticationType.TOKEN)
    client.shares.create("old")
    added = sharing.SharedDataObject(TABLE, data_object_type=sharing.SharedDataObjectDataObjectType.TABLE)
    client.shares.update(
        "old", updates=[sharing.SharedDataObjectUpdate(sharing.SharedDataObjectUpdateAction.ADD, added)]
    )
    client.shares.update_permissions(
        "old", changes=[sharing.PermissionsChange(add=["SELECT"], principal="outsider")]
    )
    return world


def adopt(world: PackWorld, *recipients: str) -> datetime:
    """And the moment just after."""
    world.must(
        "POST", "/workflow/adopt", APPROVER, headers={"X-Workspace-URL": world.workspace.url},
        json={"Shares": ["old"], "Recipients": list(recipients)},
    )  # fmt: skip
    at: datetime = world.sql("SELECT clock_timestamp() AS at")[0]["at"]
    return at


def exposed(
    world: PackWorld, table: str = TABLE, at: datetime | None = None, who: tuple[str, ...] = OPERATOR
) -> list[dict[str, Any]]:
    query = {"table": table} | ({"at": at.isoformat()} if at else {})
    items: list[dict[str, Any]] = world.must("GET", "/workflow/exposure", who, params=query)["Items"]
    return items


def readers(world: PackWorld, table: str = TABLE, at: datetime | None = None) -> list[str]:
    return [line["Recipient"] for line in exposed(world, table, at)]


def test_what_a_share_held_is_told_from_its_adoption_on(standing: PackWorld) -> None:
    before = standing.sql("SELECT clock_timestamp() AS at")[0]["at"]
    adopt(standing)
    (line,) = exposed(standing)
    assert (line["Recipient"], line["Share"], line["SharePacks"]) == ("outsider", "old", [])
    assert line["AdoptedBy"] == ["ben@example.org"]
    assert readers(standing, at=before) == []


def test_networks_of_a_recipient_that_is_not_ours_are_unknown_not_everywhere(standing: PackWorld) -> None:
    adopt(standing)
    assert exposed(standing)[0]["Networks"] is None
    adopt(standing, "outsider")
    assert exposed(standing)[0]["Networks"] == []


def test_what_a_pack_adds_is_read_by_those_who_were_there(standing: PackWorld) -> None:
    adopt(standing)
    standing.provisioned(f"{HEAD}share: [{{name: old, data_objects: [{OTHER}]}}]\n")
    (line,) = exposed(standing, OTHER)
    assert line["Recipient"] == "outsider" and len(line["SharePacks"]) == 1


def test_what_a_pack_takes_away_is_over_but_was(standing: PackWorld) -> None:
    adopted = adopt(standing, "outsider")
    standing.provisioned(f"{HEAD}share: [{{name: old, remove_recipients: [outsider]}}]\n")
    assert readers(standing) == [] and readers(standing, at=adopted) == ["outsider"]
    client = RecordingClient(standing.workspace)
    assert client.shares.get("old", include_shared_data=True).objects
    again = adopt(standing)
    assert readers(standing, at=again) == []


def test_object_that_a_pack_removes_is_over(standing: PackWorld) -> None:
    adopted = adopt(standing)
    standing.provisioned(f"{HEAD}share: [{{name: old, remove_data_objects: [{TABLE}]}}]\n")
    assert readers(standing) == [] and readers(standing, at=adopted) == ["outsider"]


def test_adopting_again_tells_what_is_there_by_then(standing: PackWorld) -> None:
    first = adopt(standing)
    standing.workspace.state.shares["old"].objects.clear()
    adopt(standing)
    assert readers(standing) == [] and readers(standing, at=first) == ["outsider"]
    adopt(standing)


def test_share_of_our_own_is_told_by_its_packs_alone(standing: PackWorld) -> None:
    standing.provisioned()
    standing.must(
        "POST", "/workflow/adopt", APPROVER, headers={"X-Workspace-URL": standing.workspace.url},
        json={"Shares": ["q1"], "Recipients": []},
    )  # fmt: skip
    assert standing.sql("SELECT 1 FROM deltashare_state.adopted") == []


def test_adoption_is_seen_by_its_business_line(standing: PackWorld) -> None:
    adopt(standing)
    standing.must("PUT", "/api/v1/tenants/sales", ADMIN, json={})
    assert exposed(standing, who=SAM) == []
    assert len(exposed(standing, who=ADMIN)) == 1


def test_pack_of_another_business_line_is_not_named_to_the_adopters(standing: PackWorld) -> None:
    adopt(standing)
    standing.must("PUT", "/api/v1/tenants/sales", ADMIN, json={})
    regions = {"regions": [{"region": "here", "workspace_url": standing.workspace.url}]}
    standing.must("PUT", "/api/v1/tenants/sales/regions", ADMIN, json=regions)
    head = HEAD.replace("ada@", "sam@").replace("business_line: finance", "business_line: sales")
    answer = standing.send(f"{head}share: [{{name: old, data_objects: [{OTHER}]}}]\n", SAM)
    assert answer.status_code == 202, answer.text
    standing.pump()
    (theirs,) = exposed(standing, OTHER, who=SAM)
    (ours,) = exposed(standing, OTHER)
    assert len(theirs["SharePacks"]) == 1 and ours["SharePacks"] == []
    assert (theirs["AdoptedBy"], ours["AdoptedBy"]) == ([], ["ben@example.org"])


def test_removal_that_was_done_before_a_crash_is_noted_after_it(standing: PackWorld) -> None:
    from shared import failpoints

    adopt(standing, "outsider")
    standing.upload(f"{HEAD}share: [{{name: old, remove_recipients: [outsider]}}]\n")
    failpoints.arm("journal.concluded=raise")
    with pytest.raises(failpoints.FailpointError):
        standing.pump()
    failpoints.arm("")
    assert readers(standing) == ["outsider"]
    standing.sql("UPDATE deltashare_state.applications SET lease_until = clock_timestamp()")
    standing.due()
    standing.pump()
    assert readers(standing) == []


def test_rollback_takes_nothing_that_was_there_before_the_pack(standing: PackWorld) -> None:
    adopt(standing, "outsider")
    pack = standing.provisioned(
        f"{HEAD}share: [{{name: old, recipients: [outsider], data_objects: [{TABLE}, {OTHER}]}}]\n"
    )
    body = {"Version": 1, "Reason": "as it was"}
    said = standing.must("POST", f"/workflow/sharepack/{pack}/rollback", APPROVER, json=body)["Message"]
    standing.pump()
    assert standing.status(pack)["State"] == "COMPLETED"
    share = standing.workspace.state.shares["old"]
    assert ([each.name for each in share.objects], [*share.privileges]) == ([TABLE], ["outsider"])
    assert "outsider stays in old: it was there when the share was adopted" in said
    assert readers(standing) == ["outsider"] and readers(standing, OTHER) == []
