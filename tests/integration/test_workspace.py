"""What the workspace stand-in refuses, how it behaves between requests, and the faults it can be told to show."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk.errors import DatabricksError
from databricks.sdk.service import sharing
from databricks.sdk.service.sharing import AuthenticationType as Auth

from infra.local.workspace import OTHER, Identity, Switches, WorkspaceServer
from tests.fixtures_workspace import MakeWorkspace
from tests.workspace_client import RecordingClient, change

YEAR_MS = 365 * 86_400_000
ENABLED = sharing.SharedDataObjectHistoryDataSharingStatus.ENABLED
METASTORE = "aws:us-west-2:abc-123-def"
Act = Callable[[RecordingClient], object]


@pytest.fixture
def client(workspace: WorkspaceServer) -> RecordingClient:
    """The provisioner, with a share of two objects, an open recipient and a Databricks one."""
    made = RecordingClient(workspace)
    made.shares.create("sold")
    added = [change("ADD", "main.retail.orders"), change("ADD", "main.retail.customers")]
    made.shares.update("sold", updates=added)
    made.recipients.create("opened", Auth.TOKEN)
    made.recipients.create("inside", Auth.DATABRICKS, data_recipient_global_metastore_id=METASTORE)
    return made


def objects(workspace: WorkspaceServer, share: str = "sold") -> list[str]:
    return [each.name for each in workspace.state.shares[share].objects]


def update(*updates: sharing.SharedDataObjectUpdate) -> Act:
    return lambda client: client.shares.update("sold", updates=list(updates))


def recipient(name: str, kind: Auth = Auth.TOKEN, **members: Any) -> Act:
    return lambda client: client.recipients.create(name, kind, **members)


def networks(*given: str) -> sharing.IpAccessList:
    return sharing.IpAccessList(list(given))


def permit(principal: str, add: list[str], remove: list[str] | None = None) -> Act:
    given = [sharing.PermissionsChange(principal=principal, add=add, remove=remove)]
    return lambda client: client.shares.update_permissions("sold", changes=given)


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
    "negative page": (INVALID, lambda c: c.shares.share_permissions("sold", max_results=-1)),
    "job absent": (INVALID, lambda c: c.jobs.get(5)),
    "schedule that is none": (
        INVALID, lambda c: c.api_client.do("POST", "/api/2.2/jobs/create", body={"schedule": {}}),
    ),
    "pipeline absent": ("RESOURCE" + ABSENT, lambda c: c.pipelines.get("nothing")),
    "pipeline taken": ("RESOURCE_CONFLICT", lambda c: [c.pipelines.create(name="p") for _ in "ab"]),
}  # fmt: skip


def raw_update(client: RecordingClient, kind: str) -> object:
    """A request with a word that the SDK has no name for."""
    step = {"action": "ADD", "data_object": {"name": "main.wide.t000", "data_object_type": kind}}
    return client.api_client.do("PATCH", "/api/2.1/unity-catalog/shares/sold", body={"updates": [step]})


@pytest.mark.parametrize("what", REFUSALS)
def test_it_refuses(what: str, client: RecordingClient, workspace: WorkspaceServer) -> None:
    code, act = REFUSALS[what]
    before = objects(workspace)
    with pytest.raises(DatabricksError) as caught:
        act(client)
    status = workspace.requests[-1].status
    expected = {"_DOES_NOT_EXIST": 404, "PERMISSION_DENIED": 403, "RESOURCE_CONFLICT": 409}
    assert caught.value.error_code == code
    assert status == next((s for ending, s in expected.items() if code.endswith(ending)), 400)
    assert objects(workspace) == before


def test_a_stranger_may_change_nothing_of_ours(client: RecordingClient, workspace: WorkspaceServer) -> None:
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
        permit("theirs", ["SELECT"])(client)
    assert other.shares.get("sold").owner == workspace.identities[0].name


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


def test_an_unknown_route_is_remembered() -> None:
    with WorkspaceServer() as workspace:
        with pytest.raises(DatabricksError) as caught:
            RecordingClient(workspace).clusters.get("x")
        assert caught.value.error_code == "ENDPOINT_NOT_FOUND"
        assert [entry.path for entry in workspace.unknown] == ["/api/2.1/clusters/get"]


def test_names_are_stored_in_lower_case_and_found_without_case(client: RecordingClient) -> None:
    client.shares.create("Q1_Finance")
    assert client.shares.get("q1_FINANCE").name == "q1_finance"


def test_defaults_are_echoed(client: RecordingClient) -> None:
    shared = client.shares.get("sold", include_shared_data=True).objects
    assert shared is not None
    assert (shared[0].shared_as, shared[0].cdf_enabled, shared[0].history_data_sharing_status) == (
        "retail.orders", False, sharing.SharedDataObjectHistoryDataSharingStatus.DISABLED,
    )  # fmt: skip
    assert not client.shares.get("sold").objects


def test_history_alone_reads_back_with_the_change_feed(client: RecordingClient) -> None:
    update(change("UPDATE", "main.retail.orders", history_data_sharing_status=ENABLED))(client)
    shared = client.shares.get("sold", include_shared_data=True).objects
    assert shared is not None
    assert (shared[0].history_data_sharing_status, shared[0].cdf_enabled) == (ENABLED, True)


def test_one_table_may_be_shared_under_two_aliases(
    client: RecordingClient, workspace: WorkspaceServer
) -> None:
    update(change("ADD", "main.retail.orders", shared_as="again.orders"))(client)
    with pytest.raises(DatabricksError, match="several aliases"):
        update(change("REMOVE", "main.retail.orders"))(client)
    update(change("REMOVE", "main.retail.orders", shared_as="again.orders"))(client)
    assert objects(workspace) == ["main.retail.orders", "main.retail.customers"]


def test_losing_select_turns_an_object_off(client: RecordingClient, workspace: WorkspaceServer) -> None:
    workspace.lose_select("main.retail.orders")
    shared = client.shares.get("sold", include_shared_data=True).objects
    assert shared is not None
    assert [str(each.status and each.status.value) for each in shared] == ["PERMISSION_DENIED", "ACTIVE"]


def test_grants_come_in_no_order_one_may_rely_on(make_workspace: MakeWorkspace) -> None:
    orders = set()
    for seed in range(8):
        client = RecordingClient(make_workspace(random_seed=seed))
        client.shares.create("sold")
        for name in ("a", "b", "c"):
            client.recipients.create(name, Auth.TOKEN)
            permit(name.upper(), ["SELECT"])(client)
        held = client.shares.share_permissions("sold").privilege_assignments or []
        orders.add(tuple(each.principal for each in held))
    assert len(orders) > 1


def test_pages_may_be_empty_and_still_go_on(make_workspace: MakeWorkspace) -> None:
    client = RecordingClient(make_workspace(switches=Switches(page_size=2)))
    for number in range(5):
        client.shares.create(f"s{number}")
    client.answers.clear()
    assert len(list(client.shares.list_shares())) == 5
    assert [len(page["shares"]) for page in client.answers] == [0, 2, 2, 1]


def test_the_activation_link_is_spent_by_its_first_use(
    client: RecordingClient, workspace: WorkspaceServer
) -> None:
    link = client.recipients.get("opened").activation_url or ""
    client.recipient_activation.retrieve_token(link.partition("?")[2])
    shown = client.recipients.get("opened")
    assert (shown.activated, shown.activation_url) == (True, None)
    with pytest.raises(DatabricksError, match="used before"):
        client.recipient_activation.retrieve_token(link.partition("?")[2])
    assert link.partition("?")[2] not in str(workspace.requests)


def test_rotating_shortens_the_old_token(make_workspace: MakeWorkspace) -> None:
    now = [1_000_000.0]
    client = RecordingClient(make_workspace(clock=lambda: now[0]))
    client.recipients.create("opened", Auth.TOKEN)
    tokens = client.recipients.rotate_token("opened", 60).tokens or []
    assert [token.expiration_time for token in tokens] == [1_000_060_000, 1_000_000_000 + YEAR_MS]
    now[0] += 61
    assert len(client.recipients.get("opened").tokens or []) == 1


@pytest.mark.parametrize(("clears", "left"), [(True, []), (False, ["10.0.0.1"])])
def test_an_empty_list_clears_the_networks_where_the_switch_says_so(
    clears: bool, left: list[str], make_workspace: MakeWorkspace
) -> None:
    workspace = make_workspace(switches=Switches(empty_list_clears_ips=clears))
    client = RecordingClient(workspace)
    client.recipients.create("opened", Auth.TOKEN, ip_access_list=networks("10.0.0.1"))
    client.recipients.update("opened", ip_access_list=networks())
    assert workspace.requests[-1].body == {"ip_access_list": {}}
    assert workspace.state.recipients["opened"].ip_addresses == left


@pytest.mark.parametrize(("replaces", "left"), [(True, ["10.0.0.2"]), (False, ["10.0.0.1", "10.0.0.2"])])
def test_networks_are_replaced_or_joined_as_the_switch_says(
    replaces: bool, left: list[str], make_workspace: MakeWorkspace
) -> None:
    workspace = make_workspace(switches=Switches(ip_lists_replace=replaces))
    client = RecordingClient(workspace)
    client.recipients.create("opened", Auth.TOKEN, ip_access_list=networks("10.0.0.1"))
    client.recipients.update("opened", ip_access_list=networks("10.0.0.2"))
    assert workspace.state.recipients["opened"].ip_addresses == left


@pytest.mark.parametrize(("atomic", "left"), [(True, []), (False, ["main.wide.t000"])])
def test_a_refused_patch_undoes_what_it_applied_only_where_atomic(
    atomic: bool, left: list[str], make_workspace: MakeWorkspace
) -> None:
    workspace = make_workspace(switches=Switches(atomic_updates=atomic))
    client = RecordingClient(workspace)
    client.shares.create("sold")
    with pytest.raises(DatabricksError):
        update(change("ADD", "main.wide.t000"), change("ADD", "main.payroll.salaries"))(client)
    assert objects(workspace) == left
    assert workspace.requests[-1].writes == len(left)


def test_reads_lag_behind_a_write_as_often_as_the_switch_says(make_workspace: MakeWorkspace) -> None:
    client = RecordingClient(make_workspace(switches=Switches(stale_reads=2)))
    client.shares.create("sold")
    client.shares.update("sold", comment="new")
    assert [client.shares.get("sold").comment for _ in range(3)] == [None, None, "new"]


def test_unknown_words_reach_the_caller(client: RecordingClient, workspace: WorkspaceServer) -> None:
    workspace.state.shares["sold"].objects[0].type = "CLEAN_ROOM"
    shared = client.shares.get("sold", include_shared_data=True).objects
    assert shared is not None
    assert shared[0].data_object_type is None
    assert client.answers[-1]["objects"][0]["data_object_type"] == "CLEAN_ROOM"


def test_a_used_idempotency_token_starts_no_second_run(client: RecordingClient) -> None:
    job = client.jobs.create(name="j").job_id or 0
    runs = {client.jobs.run_now(job, idempotency_token="once").response.run_id for _ in "ab"}
    assert len(runs) == 1


# faults


def comment(client: RecordingClient) -> object:
    return client.shares.update("sold", comment="faulty")


@pytest.mark.parametrize(
    ("kind", "carried_out"),
    [("500", False), ("504", False), ("500-after", True), ("504-after", True)],
)  # fmt: skip
def test_errors_that_are_not_retried_leave_the_state_as_they_say(
    kind: Any, carried_out: bool, client: RecordingClient, workspace: WorkspaceServer
) -> None:
    workspace.fault("shares.update", kind)
    with pytest.raises(DatabricksError):
        comment(client)
    assert workspace.requests[-1].status == int(kind[:3])
    assert (
        (workspace.state.shares["sold"].comment == "faulty")
        == carried_out
        == bool(workspace.requests[-1].writes)
    )


@pytest.mark.parametrize(("kind", "requests"), [("before", [0, 1]), ("after", [1, 1])])
def test_a_lost_reply_is_asked_again_by_the_sdk(
    kind: Any, requests: list[int], client: RecordingClient, workspace: WorkspaceServer
) -> None:
    workspace.fault("shares.update", kind)
    comment(client)
    assert [entry.writes for entry in workspace.requests[-2:]] == requests
    assert workspace.requests[-2].status is None


def test_a_lost_creation_surfaces_as_existing(client: RecordingClient, workspace: WorkspaceServer) -> None:
    workspace.fault("shares.create", "after")
    with pytest.raises(DatabricksError) as caught:
        client.shares.create("fresh")
    assert caught.value.error_code == "SHARE_ALREADY_EXISTS"


@pytest.mark.parametrize(("retry_after_s", "slept"), [(None, 1), (2, 2)])
def test_throttling_says_how_long_or_does_not(
    retry_after_s: int | None, slept: int, client: RecordingClient, workspace: WorkspaceServer
) -> None:
    workspace.fault("shares.get", "429", retry_after_s=retry_after_s)
    client.shares.get("sold")
    assert slept <= client.clock.slept[-1] < slept + 1


def test_a_slow_rotation_is_carried_out_twice_by_a_hasty_client(workspace: WorkspaceServer) -> None:
    client = RecordingClient(workspace, http_timeout_seconds=0.2)
    client.recipients.create("opened", Auth.TOKEN)
    workspace.fault("recipients.rotate_token", "delay", delay_s=0.5)
    client.recipients.rotate_token("opened", 0)
    workspace.stop()
    assert [entry.writes for entry in workspace.requests if entry.route == "recipients.rotate_token"] == [
        1,
        1,
    ]


def test_one_read_may_be_told_to_be_stale(client: RecordingClient, workspace: WorkspaceServer) -> None:
    comment(client)
    workspace.fault("shares.get", "stale")
    assert [client.shares.get("sold").comment for _ in "ab"] == [None, "faulty"]


def test_faults_choose_requests_by_kind_pattern_and_count(
    client: RecordingClient, workspace: WorkspaceServer
) -> None:
    workspace.fault("writes", "500", skip=1)
    workspace.fault("recipients.*", "504")
    comment(client)
    client.shares.get("sold")
    with pytest.raises(DatabricksError):
        comment(client)
    with pytest.raises(DatabricksError):
        client.recipients.get("opened")
    workspace.fault("*", "500")
    workspace.heal()
    comment(client)


def test_a_call_may_be_made_the_last_of_its_process(workspace: WorkspaceServer) -> None:
    program = (
        "import sys, urllib.request as u\n"
        "ask = lambda n: u.urlopen(u.Request(sys.argv[1] + '/api/2.1/unity-catalog/shares', method='POST',"
        " data=b'{\"name\": \"%s\"}' % n, headers={'Authorization': 'Bearer ' + sys.argv[2]})).read()\n"
        "sys.stdin.readline(); ask(b'a'); ask(b'b'); ask(b'c')\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, workspace.url, workspace.token], stdin=subprocess.PIPE
    )
    workspace.fault("shares.create", "kill", skip=1, pid=child.pid)
    child.communicate(b"\n", timeout=60)
    assert child.returncode == -9
    assert sorted(workspace.state.shares) == ["a", "b"]


def test_a_callback_may_stand_for_the_kill(client: RecordingClient, workspace: WorkspaceServer) -> None:
    seen: list[str | None] = []
    workspace.fault("shares.update", "kill", run=lambda: seen.append(workspace.state.shares["sold"].comment))
    comment(client)
    assert seen == ["faulty"]


# the control endpoint and the file


def control(workspace: WorkspaceServer, name: str, **body: object) -> Any:
    data = json.dumps(body).encode() if body else None
    with urllib.request.urlopen(f"{workspace.url}/control/{name}", data=data) as response:
        return json.load(response)


def test_faults_switches_and_privileges_are_set_over_http(
    client: RecordingClient, workspace: WorkspaceServer
) -> None:
    control(workspace, "fault", route="shares.get", kind="500")
    with pytest.raises(DatabricksError):
        client.shares.get("sold")
    assert control(workspace, "switches", atomic_updates=True)["atomic_updates"] is True
    control(
        workspace,
        "privileges",
        full_name="main.retail.orders",
        principal=workspace.identities[0].name,
        remove=[],
    )
    control(workspace, "table", full_name="new.one.here", readers=["x@example.org"])
    assert workspace.switches.atomic_updates
    assert client.tables.exists("new.one.here").table_exists
    assert control(workspace, "state")["shares"][0]["name"] == "sold"


def test_the_log_answers_what_was_written_since(client: RecordingClient, workspace: WorkspaceServer) -> None:
    mark = control(workspace, "health")["last"]
    assert control(workspace, f"writes?since={mark}")["writes"] == 0
    comment(client)
    written = control(workspace, f"writes?since={mark}")
    assert (written["writes"], written["requests"][0]["route"]) == (1, "shares.update")
    assert (
        control(workspace, f"requests?since={mark}")["requests"][0]["identity"]
        == workspace.identities[0].name
    )


@pytest.mark.parametrize(
    ("name", "body", "status"), [("nothing", {"a": 1}, 404), ("fault", {"route": "*", "kind": "x"}, 422)]
)  # fmt: skip
def test_a_control_request_that_does_not_fit_is_refused(
    name: str, body: dict[str, object], status: int, workspace: WorkspaceServer
) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        control(workspace, name, **body)
    assert caught.value.code == status
    caught.value.close()


def test_the_state_survives_in_its_file(tmp_path: Path, make_workspace: MakeWorkspace) -> None:
    path = tmp_path / "workspace" / "state.json"
    first = make_workspace(path=path)
    RecordingClient(first).shares.create("kept")
    first.close()
    again = make_workspace(path=path)
    assert RecordingClient(again).shares.get("kept").name == "kept"
    again.reset()
    assert make_workspace(path=path).state.shares == {}


def test_a_server_stopped_and_started_keeps_its_address_and_state(
    client: RecordingClient, workspace: WorkspaceServer
) -> None:
    url = workspace.url
    workspace.stop()
    workspace.start()
    assert workspace.url == url
    assert client.shares.get("sold").name == "sold"


def test_tests_may_bring_their_own_tables_and_identities(make_workspace: MakeWorkspace) -> None:
    reader = Identity("reader@example.org", "t" * 20)
    workspace = make_workspace(tables=["own.cat.table"], identities=[reader, OTHER])
    client = RecordingClient(workspace)
    client.shares.create("sold")
    update(change("ADD", "own.cat.table"))(client)
    assert client.current_user.me().user_name == reader.name


def test_the_module_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    environment = {**os.environ, "WORKSPACE_PORT": "0"}
    command = [sys.executable, "-m", "infra.local.workspace", "--data", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        url = child.stdout.readline().rpartition(" ")[2].strip()
        with urllib.request.urlopen(f"{url}/control/health") as response:
            assert json.load(response)["ok"] is True
        child.terminate()
    assert child.returncode == 0
