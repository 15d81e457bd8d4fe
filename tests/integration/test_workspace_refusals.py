"""What the workspace stand-in refuses, and with which status and error_code."""

import json
import urllib.error
import urllib.request

import pytest
from databricks.sdk.errors import DatabricksError
from databricks.sdk.service import catalog, sharing
from databricks.sdk.service.sharing import AuthenticationType as Auth

from infra.local.workspace import OTHER, Switches, WorkspaceServer
from infra.local.workspace.routes import UNITY
from tests.fixtures_workspace import MakeWorkspace
from tests.workspace_client import (
    METASTORE,
    Act,
    RecordingClient,
    change,
    networks,
    objects,
    permit,
    recipient,
    update,
)

ENABLED = sharing.SharedDataObjectHistoryDataSharingStatus.ENABLED

INVALID, EXISTS, ABSENT, DENIED = (
    "INVALID_PARAMETER_VALUE",
    "_ALREADY_EXISTS",
    "_DOES_NOT_EXIST",
    "PERMISSION_DENIED",
)
REFUSALS: dict[str, tuple[str, Act]] = {
    "name with a space": (INVALID, lambda c: c.shares.create("a b")),
    "name with a period": (INVALID, lambda c: c.shares.create("a.b")),
    "name with a slash": (INVALID, recipient("a/b")),
    "name with a control character": (INVALID, recipient("a\x07b")),
    "name too long": (INVALID, lambda c: c.shares.create("a" * 256)),
    "no name": (INVALID, lambda c: c.shares.create("")),
    "share taken": ("SHARE" + EXISTS, lambda c: c.shares.create("SOLD")),
    "recipient taken": ("RECIPIENT" + EXISTS, recipient("Opened")),
    "share absent": ("SHARE" + ABSENT, lambda c: c.shares.get("nothing")),
    "recipient absent": ("RECIPIENT" + ABSENT, lambda c: c.recipients.delete("nothing")),
    "table absent": ("TABLE" + ABSENT, lambda c: c.tables.get("main.retail.nothing")),
    "schema absent": ("SCHEMA" + ABSENT, lambda c: c.tables.get("main.nothing.orders")),
    "catalog absent": ("CATALOG" + ABSENT, lambda c: c.schemas.get("nothing.retail")),
    "more than a hundred updates": (
        INVALID, update(*(change("ADD", f"main.wide.t{n:03}") for n in range(101))),
    ),
    "two updates of one object": (
        INVALID, update(change("REMOVE", "main.retail.orders"), change("ADD", "main.retail.Orders")),
    ),
    "shared already": ("RESOURCE" + EXISTS, update(change("ADD", "MAIN.retail.orders"))),
    "alias taken": (
        "RESOURCE" + EXISTS, update(change("ADD", "main.wide.t000", shared_as="retail.orders")),
    ),
    "no such object": ("TABLE" + ABSENT, update(change("ADD", "main.retail.nothing"))),
    "wrong kind": (INVALID, update(change("ADD", "main.retail.order_totals"))),
    "kind nobody knows": (INVALID, lambda c: raw_update(c, "CLEAN_ROOM")),
    "alias changed": (INVALID, update(change("UPDATE", "main.retail.orders", shared_as="a.b"))),
    "alias of three parts": (INVALID, update(change("ADD", "main.wide.t000", shared_as="a.b.c"))),
    "empty alias": (INVALID, update(change("ADD", "main.wide.t000", shared_as=""))),
    "alias of a table as that of a volume": (
        INVALID, update(change("ADD", "main.wide.t000", string_shared_as="a.b")),
    ),
    "history and change feed": (
        INVALID,
        update(change("ADD", "main.wide.t000", cdf_enabled=True, history_data_sharing_status=ENABLED)),
    ),
    "history of a view": (
        INVALID, update(change("ADD", "main.retail.order_totals", "VIEW", history_data_sharing_status=ENABLED)),
    ),
    "partition with value and property": (
        INVALID,
        update(
            change(
                "ADD", "main.wide.t000",
                partitions=[sharing.Partition([sharing.PartitionValue("r", value="x", recipient_property_key="y")])],
            )
        ),
    ),
    "object not in the share": ("RESOURCE" + ABSENT, update(change("REMOVE", "main.wide.t000"))),
    "table without SELECT": (DENIED, update(change("ADD", "main.payroll.salaries"))),
    "second recipient of a metastore": (
        "RECIPIENT" + EXISTS, recipient("twin", Auth.DATABRICKS, data_recipient_global_metastore_id=METASTORE),
    ),
    "metastore id of two parts": (
        INVALID, recipient("x", Auth.DATABRICKS, data_recipient_global_metastore_id="aws:abc"),
    ),
    "Databricks recipient without metastore": (INVALID, recipient("x", Auth.DATABRICKS)),
    "networks of a Databricks recipient": (
        INVALID,
        recipient(
            "x", Auth.DATABRICKS, data_recipient_global_metastore_id="a:b:c", ip_access_list=networks("10.0.0.1")
        ),
    ),
    "networks for a Databricks recipient": (
        INVALID, lambda c: c.recipients.update("inside", ip_access_list=networks("10.0.0.1")),
    ),
    "IPv6": (INVALID, recipient("x", ip_access_list=networks("2001:db8::/32"))),
    "more than a hundred networks": (
        INVALID, recipient("x", ip_access_list=networks(*(f"10.0.0.{n}" for n in range(101)))),
    ),
    "metastore of an open recipient": (INVALID, recipient("x", data_recipient_global_metastore_id="a:b:c")),
    "expiry beyond a year": (
        INVALID, lambda c: c.recipients.create("x", Auth.TOKEN, expiration_time=4_000_000_000_000),
    ),
    "rotation without tokens": (INVALID, lambda c: c.recipients.rotate_token("inside", 0)),
    "extending a token": (INVALID, lambda c: c.recipients.rotate_token("opened", 366 * 86_400)),
    "extending an expiry": (
        INVALID, lambda c: c.recipients.update("opened", expiration_time=4_000_000_000_000),
    ),
    "negative expiry": (INVALID, lambda c: c.recipients.rotate_token("opened", -1)),
    "third live token": ("INVALID_STATE", lambda c: [c.recipients.rotate_token("opened", 60) for _ in "ab"]),
    "privilege added and removed": (INVALID, permit("opened", ["SELECT"], ["SELECT"])),
    "privilege a share has not": (INVALID, permit("opened", ["MODIFY"])),
    "grant to nobody": ("PRINCIPAL" + ABSENT, permit("nobody", ["SELECT"])),
    "policy of an open recipient": (
        INVALID, lambda c: c.recipient_federation_policies.create("opened", sharing.FederationPolicy()),
    ),
    "page of grants too small": (INVALID, lambda c: c.grants.get("table", "main.retail.orders", max_results=20)),
    "policy without an issuer": (
        INVALID,
        lambda c: [
            c.recipients.create("oidc", Auth.OIDC_FEDERATION),
            c.recipient_federation_policies.create("oidc", sharing.FederationPolicy(name="p")),
        ],
    ),
    "policy absent": (
        "RESOURCE" + ABSENT, lambda c: c.recipient_federation_policies.get_federation_policy("opened", "p"),
    ),
    "share renamed to a taken name": (
        "SHARE" + EXISTS, lambda c: [c.shares.create("b"), c.shares.update("b", new_name="sold")],
    ),
    "recipient renamed to a taken name": (
        "RECIPIENT" + EXISTS, lambda c: c.recipients.update("inside", new_name="opened"),
    ),
    "notebook without content": (INVALID, update(change("ADD", "notes.py", "NOTEBOOK_FILE"))),
    "authentication nobody knows": (
        INVALID, lambda c: post(c, "recipients", {"name": "x", "authentication_type": "PIGEON"}),
    ),
    "partition operator nobody knows": (
        INVALID, lambda c: raw_update(c, "TABLE", partitions=[{"values": [{"name": "a", "op": "IN"}]}]),
    ),
    "member of another type": (INVALID, lambda c: post(c, "shares", {"name": 5})),
    "page that was never given out": (INVALID, lambda c: c.shares.share_permissions("sold", page_token="x")),
    "name of too many parts": (INVALID, lambda c: c.tables.get("a.b.c.d")),
    "grants of a kind without any": (INVALID, lambda c: c.grants.get("pigeon", "main")),
    "expiry in the past": (INVALID, lambda c: c.recipients.create("x", Auth.TOKEN, expiration_time=5)),
    "expiry of a Databricks recipient": (
        INVALID, lambda c: c.recipients.update("inside", expiration_time=4_000_000_000_000),
    ),
    "negative page": (INVALID, lambda c: c.shares.share_permissions("sold", max_results=-1)),
    "job absent": (INVALID, lambda c: c.jobs.get(5)),
    "schedule that is none": (
        INVALID, lambda c: c.api_client.do("POST", "/api/2.2/jobs/create", body={"schedule": {}}),
    ),
    "pipeline absent": ("RESOURCE" + ABSENT, lambda c: c.pipelines.get("nothing")),
    "pipeline taken": ("RESOURCE_CONFLICT", lambda c: [c.pipelines.create(name="p") for _ in "ab"]),
}  # fmt: skip


def post(client: RecordingClient, what: str, body: dict[str, object]) -> object:
    """A request with what the SDK wouldn't send."""
    return client.api_client.do("POST", f"{UNITY}/{what}", body=body)


def raw_update(client: RecordingClient, kind: str, **members: object) -> object:
    """An update with a word that the SDK has no name for."""
    shown = {"name": "main.wide.t000", "data_object_type": kind, **members}
    body = {"updates": [{"action": "ADD", "data_object": shown}]}
    return client.api_client.do("PATCH", f"{UNITY}/shares/sold", body=body)


@pytest.mark.parametrize("what", REFUSALS)
def test_it_refuses(what: str, sharing_client: RecordingClient, workspace: WorkspaceServer) -> None:
    code, act = REFUSALS[what]
    before = objects(workspace)
    with pytest.raises(DatabricksError) as caught:
        act(sharing_client)
    status = workspace.requests[-1].status
    expected = {"_DOES_NOT_EXIST": 404, "PERMISSION_DENIED": 403, "RESOURCE_CONFLICT": 409}
    assert caught.value.error_code == code
    assert status == next((s for ending, s in expected.items() if code.endswith(ending)), 400)
    assert objects(workspace) == before


def test_a_stranger_may_change_nothing_of_ours(
    sharing_client: RecordingClient, workspace: WorkspaceServer
) -> None:
    other = RecordingClient(workspace, OTHER.token)
    other.recipients.create("theirs", Auth.TOKEN)
    attempts: list[Act] = [
        update(change("REMOVE", "main.retail.orders")),
        permit("opened", ["SELECT"]),
        lambda c: c.shares.delete("sold"),
        lambda c: c.recipients.update("opened", comment="x"),
        lambda c: c.recipients.rotate_token("opened", 0),
        lambda c: c.recipients.delete("opened"),
    ]
    for act in attempts:
        with pytest.raises(DatabricksError) as caught:
            act(other)
        assert caught.value.error_code == DENIED
    with pytest.raises(DatabricksError, match="not an owner of Recipient 'theirs'"):
        permit("theirs", ["SELECT"])(sharing_client)
    assert other.shares.get("sold").owner == workspace.identities[0].name


def test_a_privilege_added_and_removed_at_once_is_refused_of_an_owner_too(workspace: WorkspaceServer) -> None:
    both = [
        catalog.PermissionsChange(
            principal="x", add=[catalog.Privilege.SELECT], remove=[catalog.Privilege.SELECT]
        )
    ]
    with pytest.raises(DatabricksError, match="both added and removed"):
        RecordingClient(workspace, OTHER.token).grants.update("table", "main.retail.orders", changes=both)


def test_a_request_without_a_token_is_refused(workspace: WorkspaceServer) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{workspace.url}{UNITY}/shares")
    assert (caught.value.code, json.load(caught.value)["error_code"]) == (401, "UNAUTHENTICATED")
    caught.value.close()


def test_without_use_share_only_own_shares_are_seen(make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace()
    workspace.state.revoke(workspace.state.metastore, OTHER.name)
    RecordingClient(workspace).shares.create("sold")
    other = RecordingClient(workspace, OTHER.token)
    assert list(other.shares.list_shares()) == []
    for act in (lambda: other.shares.get("sold"), lambda: other.shares.create("mine")):
        with pytest.raises(DatabricksError, match="does not have"):
            act()


def test_a_token_nobody_gave_out_is_refused(workspace: WorkspaceServer) -> None:
    with pytest.raises(DatabricksError, match="Invalid access token"):
        RecordingClient(workspace, "forged").current_user.me()


@pytest.mark.parametrize("switch", ["sharing", "external_sharing"])
def test_a_metastore_that_does_not_share_says_so(switch: str, make_workspace: MakeWorkspace) -> None:
    client = RecordingClient(make_workspace(switches=Switches(**{switch: False})))
    with pytest.raises(DatabricksError) as caught:
        client.recipients.create("x", Auth.TOKEN)
    assert caught.value.error_code == "FEATURE_DISABLED"
