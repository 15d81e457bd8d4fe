"""How the workspace stand-in behaves between requests: what it echoes, hides, shuffles, pages and forgets."""

import pytest
from databricks.sdk.errors import DatabricksError
from databricks.sdk.service import sharing
from databricks.sdk.service.sharing import AuthenticationType as Auth

from infra.local.workspace import OTHER, Switches, WorkspaceServer
from tests.fixtures_workspace import MakeWorkspace
from tests.workspace_client import RecordingClient, change, networks, objects, permit, update

ENABLED = sharing.SharedDataObjectHistoryDataSharingStatus.ENABLED
YEAR_MS = 365 * 86_400_000


def test_an_unknown_route_is_remembered() -> None:
    with WorkspaceServer() as workspace:
        with pytest.raises(DatabricksError) as caught:
            RecordingClient(workspace).clusters.get("x")
        assert caught.value.error_code == "ENDPOINT_NOT_FOUND"
        assert [entry.path for entry in workspace.unknown] == ["/api/2.1/clusters/get"]


def test_names_are_stored_in_lower_case_and_found_without_case(sharing_client: RecordingClient) -> None:
    sharing_client.shares.create("Q1_Finance")
    assert sharing_client.shares.get("q1_FINANCE").name == "q1_finance"


def test_defaults_are_echoed(sharing_client: RecordingClient) -> None:
    shared = sharing_client.shares.get("sold", include_shared_data=True).objects
    assert shared is not None
    assert (shared[0].shared_as, shared[0].cdf_enabled, shared[0].history_data_sharing_status) == (
        "retail.orders", False, sharing.SharedDataObjectHistoryDataSharingStatus.DISABLED,
    )  # fmt: skip
    assert not sharing_client.shares.get("sold").objects


def test_history_alone_reads_back_with_the_change_feed(sharing_client: RecordingClient) -> None:
    update(change("UPDATE", "main.retail.orders", history_data_sharing_status=ENABLED))(sharing_client)
    shared = sharing_client.shares.get("sold", include_shared_data=True).objects
    assert shared is not None
    assert (shared[0].history_data_sharing_status, shared[0].cdf_enabled) == (ENABLED, True)


def test_one_table_may_be_shared_under_two_aliases(
    sharing_client: RecordingClient, workspace: WorkspaceServer
) -> None:
    update(change("ADD", "main.retail.orders", shared_as="again.orders"))(sharing_client)
    with pytest.raises(DatabricksError, match="several aliases"):
        update(change("REMOVE", "main.retail.orders"))(sharing_client)
    update(change("REMOVE", "main.retail.orders", shared_as="again.orders"))(sharing_client)
    assert objects(workspace) == ["main.retail.orders", "main.retail.customers"]


def test_renamed_recipients_and_shares_keep_their_grants(sharing_client: RecordingClient) -> None:
    permit("opened", ["SELECT"])(sharing_client)
    sharing_client.recipients.update("opened", new_name="Auditor")
    sharing_client.shares.update("sold", new_name="given")
    held = sharing_client.shares.share_permissions("given").privilege_assignments or []
    assert [each.principal for each in held] == ["auditor"]
    sharing_client.recipients.delete("auditor")
    assert not sharing_client.shares.share_permissions("given").privilege_assignments


def test_a_share_given_away_is_no_longer_ours_to_change(sharing_client: RecordingClient) -> None:
    sharing_client.shares.update("sold", owner=OTHER.name, comment="theirs now")
    with pytest.raises(DatabricksError, match="not an owner of Share 'sold'"):
        sharing_client.shares.update("sold", comment="ours")
    shared = sharing_client.shares.get("sold", include_shared_data=True)
    assert (shared.owner, shared.comment) == (OTHER.name, "theirs now")


def test_losing_select_turns_an_object_off(
    sharing_client: RecordingClient, workspace: WorkspaceServer
) -> None:
    workspace.lose_select("main.retail.orders")
    shared = sharing_client.shares.get("sold", include_shared_data=True).objects
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
    sharing_client: RecordingClient, workspace: WorkspaceServer
) -> None:
    link = sharing_client.recipients.get("opened").activation_url or ""
    sharing_client.recipient_activation.retrieve_token(link.partition("?")[2])
    shown = sharing_client.recipients.get("opened")
    assert (shown.activated, shown.activation_url) == (True, None)
    with pytest.raises(DatabricksError, match="used before"):
        sharing_client.recipient_activation.retrieve_token(link.partition("?")[2])
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


def test_unknown_words_reach_the_caller(sharing_client: RecordingClient, workspace: WorkspaceServer) -> None:
    workspace.state.shares["sold"].objects[0].type = "CLEAN_ROOM"
    shared = sharing_client.shares.get("sold", include_shared_data=True).objects
    assert shared is not None
    assert shared[0].data_object_type is None
    assert sharing_client.answers[-1]["objects"][0]["data_object_type"] == "CLEAN_ROOM"


def test_a_used_idempotency_token_starts_no_second_run(sharing_client: RecordingClient) -> None:
    job = sharing_client.jobs.create(name="j").job_id or 0
    runs = {sharing_client.jobs.run_now(job, idempotency_token="once").response.run_id for _ in "ab"}
    assert len(runs) == 1
