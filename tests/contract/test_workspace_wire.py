"""The workspace stand-in speaks databricks-sdk's own wire format: nothing is lost on the way in or out."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest
from databricks.sdk.service import catalog, jobs, pipelines, sharing

from infra.local.workspace import WorkspaceServer
from infra.local.workspace.routes import ROUTES
from infra.local.workspace.state import Run
from tests.workspace_client import RecordingClient, change

ORDERS = "main.retail.orders"
POLICY = sharing.FederationPolicy(
    name="entra", oidc_policy=sharing.OidcFederationPolicy("https://issuer", ["a"], "sub", "oid")
)


def without_empty(value: Any) -> Any:
    """As the SDK writes it: empty members are left out."""
    if isinstance(value, dict):
        kept = {name: without_empty(member) for name, member in value.items()}
        return {name: member for name, member in kept.items() if member not in ({}, [], None)}
    return [without_empty(each) for each in value] if isinstance(value, list) else value


def same(client: RecordingClient, read: Any) -> None:
    """What the SDK read, written again, is what was sent."""
    assert without_empty(read.as_dict()) == without_empty(client.answers[-1])


def same_items(client: RecordingClient, member: str, read: Iterator[Any]) -> None:
    first = len(client.answers)
    items = [without_empty(each.as_dict()) for each in islice(read, 500)]
    assert items
    assert items == [without_empty(each) for page in client.answers[first:] for each in page.get(member, [])]


def shares(client: RecordingClient) -> None:
    same(client, client.shares.create("fresh", comment="c", storage_root="abfss://x"))
    partition = sharing.Partition(
        [sharing.PartitionValue("region", sharing.PartitionValueOp.EQUAL, value="EU")]
    )
    added = [
        change("ADD", ORDERS, partitions=[partition], comment="c", shared_as="sold.orders"),
        change("ADD", "main.retail.documents", "VOLUME", string_shared_as="files.documents"),
        change(
            "ADD",
            "catalog.schema.revenue_table",
            history_data_sharing_status=sharing.SharedDataObjectHistoryDataSharingStatus.ENABLED,
            start_version=3,
        ),
    ]
    same(client, client.shares.update("fresh", comment="d", owner=None, updates=added))
    same(client, client.shares.get("fresh", include_shared_data=True))
    same_items(client, "shares", client.shares.list_shares())
    client.recipients.create("reader", sharing.AuthenticationType.TOKEN)
    client.recipients.create("second", sharing.AuthenticationType.TOKEN)
    given = [sharing.PermissionsChange(principal=name, add=["SELECT"]) for name in ("reader", "Second")]
    same(client, client.shares.update_permissions("fresh", changes=given))
    same(client, client.shares.share_permissions("fresh"))
    same(client, client.recipients.share_permissions("reader"))
    client.shares.delete("fresh")


def recipients(client: RecordingClient) -> None:
    networks = sharing.IpAccessList(["203.0.113.0/24", "198.51.100.50"])
    properties = sharing.SecurablePropertiesKvPairs({"country": "NO"})
    opened = client.recipients.create(
        "opened", sharing.AuthenticationType.TOKEN, comment="c", ip_access_list=networks,
        properties_kvpairs=properties,
    )  # fmt: skip
    same(client, opened)
    same(
        client,
        client.recipients.create(
            "inside", sharing.AuthenticationType.DATABRICKS,
            data_recipient_global_metastore_id="aws:us-west-2:abc-123-def",
        ),
    )  # fmt: skip
    same(client, client.recipients.update("opened", comment="d", ip_access_list=networks))
    same(client, client.recipients.rotate_token("opened", 3600))
    rotated = client.recipients.get("opened")
    same(client, rotated)
    assert rotated.activation_url
    link = rotated.activation_url
    client.recipient_activation.get_activation_url_info(link.partition("?")[2])
    same(client, client.recipient_activation.retrieve_token(link.partition("?")[2]))
    same_items(client, "recipients", client.recipients.list())
    client.recipients.delete("inside")


def policies(client: RecordingClient) -> None:
    client.recipients.create("oidc", sharing.AuthenticationType.OIDC_FEDERATION)
    held = client.recipient_federation_policies
    same(client, held.create("oidc", POLICY))
    same(client, held.get_federation_policy("oidc", "entra"))
    same_items(client, "policies", held.list("oidc"))
    held.delete("oidc", "entra")


def catalogs(client: RecordingClient) -> None:
    same(client, client.catalogs.get("main"))
    same(client, client.schemas.get("main.retail"))
    for name in (ORDERS, "main.retail.order_totals", "main.retail.order_events", "main.retail.legacy_orders"):
        same(client, client.tables.get(name))
    same(client, client.tables.exists("main.retail.nothing"))
    same(client, client.volumes.read("main.retail.documents"))
    same(client, client.functions.get("main.retail.net_price"))
    same(client, client.registered_models.get("main.retail.demand"))
    same_items(client, "catalogs", client.catalogs.list())
    same_items(client, "schemas", client.schemas.list("main"))
    same_items(client, "tables", client.tables.list("main", "wide"))
    same_items(client, "volumes", client.volumes.list("main", "retail"))
    same_items(client, "functions", client.functions.list("main", "retail"))
    same_items(client, "registered_models", client.registered_models.list())
    same(client, client.metastores.summary())
    same(client, client.metastores.current())


def grants(client: RecordingClient) -> None:
    same(client, client.grants.get("table", ORDERS))


def grants_of_owner(client: RecordingClient) -> None:
    given = [catalog.PermissionsChange(principal="x@example.org", add=[catalog.Privilege.SELECT])]
    same(client, client.grants.update("table", ORDERS, changes=given))


def work(client: RecordingClient) -> None:
    task = jobs.Task(
        task_key="run",
        notebook_task=jobs.NotebookTask("/Shared/load", base_parameters={"destination": "main.retail"}),
    )
    schedule = jobs.CronSchedule(quartz_cron_expression="0 0 6 * * ?", timezone_id="UTC")
    created = client.jobs.create(name="nightly", tasks=[task], schedule=schedule, tags={"owner": "tributary"})
    same(client, created)
    assert created.job_id
    client.jobs.reset(created.job_id, jobs.JobSettings(name="nightly", tasks=[task]))
    same(client, client.jobs.get(created.job_id))
    same_items(client, "jobs", client.jobs.list(name="nightly"))
    started = client.jobs.run_now(created.job_id, idempotency_token="t").response
    assert started.run_id
    same(client, client.jobs.get_run(started.run_id))
    same_items(client, "runs", client.jobs.list_runs(job_id=created.job_id))
    client.jobs.delete(created.job_id)


def declarative(client: RecordingClient) -> None:
    library = pipelines.PipelineLibrary(notebook=pipelines.NotebookLibrary("/Shared/flow"))
    same(client, client.pipelines.create(name="flow", catalog="main", schema="retail", libraries=[library]))
    made = client.answers[-1]["pipeline_id"]
    client.pipelines.update(made, name="flow", catalog="main", target="retail", libraries=[library])
    same(client, client.pipelines.get(made))
    same_items(client, "statuses", client.pipelines.list_pipelines(filter="name LIKE '%flow%'"))
    same(client, client.pipelines.start_update(made))
    client.pipelines.delete(made)


def people(client: RecordingClient) -> None:
    same(client, client.current_user.me())
    same_items(client, "Resources", client.users.list())
    same_items(client, "Resources", client.groups.list())


AREAS: tuple[Callable[[RecordingClient], None], ...] = (
    shares, recipients, policies, catalogs, grants, work, declarative, people,
)  # fmt: skip


@pytest.mark.parametrize("area", AREAS, ids=lambda area: area.__name__)
def test_every_answer_passes_through_the_sdk_without_losing_a_field(
    area: Callable[[RecordingClient], None], workspace: WorkspaceServer
) -> None:
    area(RecordingClient(workspace))
    assert {entry.status for entry in workspace.requests} == {200}


def test_a_finished_run_passes_through_the_sdk_without_losing_a_field(workspace: WorkspaceServer) -> None:
    workspace.state.runs[7] = Run(
        id=7, job_id=5, number=1, started_at=1_000, creator="x", ended_at=61_000, result="SUCCESS"
    )
    client = RecordingClient(workspace)
    same(client, client.jobs.get_run(7))
    assert client.jobs.get_run(7).execution_duration == 40_000


def test_every_route_was_reached_by_the_sdks_own_requests(workspace: WorkspaceServer) -> None:
    client = RecordingClient(workspace)
    for area in AREAS:
        area(client)
    grants_of_owner(RecordingClient(workspace, workspace.identities[1].token))
    assert {entry.route for entry in workspace.requests} == {route.name for route in ROUTES}


def test_an_error_has_the_code_the_message_and_the_request_that_the_sdk_reads(
    workspace: WorkspaceServer,
) -> None:
    client = RecordingClient(workspace)
    with pytest.raises(Exception, match="Share 'absent' does not exist") as caught:
        client.shares.get("absent")
    error: Any = caught.value
    assert error.error_code == "SHARE_DOES_NOT_EXIST"
    assert error.get_error_details().request_info.request_id
