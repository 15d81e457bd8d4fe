"""What the Databricks adapter makes of refusals, hostile names and odd words; the workspace stand-in plays them."""

import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from infra.local.loopback import Answer, LoopbackServer, Request
from infra.local.ports import free_ports
from infra.local.workspace import OTHER, WorkspaceServer
from infra.local.workspace.routes import UNITY
from infra.local.workspace.state import Partition, PartitionValue
from shared.adapters.databricks.client import FixedToken, Limits, open_wire
from shared.adapters.databricks.wire import Patience
from shared.adapters.databricks.workspace import DatabricksWorkspace
from shared.errors import AppError, ConfigurationError
from shared.sharing.errors import (
    AlreadyExistsError,
    MissingError,
    OutcomeUnknownError,
    WorkspaceRefusedError,
    WorkspaceUnavailableError,
)
from shared.sharing.model import ANY_ADDRESS, ObjectType, Pipeline, Recipient, RecipientType
from shared.sharing.ports import GrantChange
from tests.databricks_adapter import Seconds, adapter_to, add, again, wire_to

Write = Callable[[DatabricksWorkspace], object]
OPENED = Recipient("opened", RecipientType.D2O)


@pytest.fixture
def adapter(workspace: WorkspaceServer) -> DatabricksWorkspace:
    """A workspace with a share of one object and an open recipient."""
    made = adapter_to(workspace)
    made.create_share("sold", None)
    made.update_share("sold", [add("main.retail.orders")])
    made.create_recipient(OPENED)
    return made


def asked(workspace: WorkspaceServer, route: str) -> list[int | None]:
    """How each request of a route ended."""
    return [entry.status for entry in workspace.requests if entry.route == route]


# refusals


REFUSED: dict[str, tuple[type[WorkspaceRefusedError], str, Write]] = {
    "taken": (AlreadyExistsError, "SHARE_ALREADY_EXISTS", lambda w: w.create_share("sold", None)),
    "shared twice": (
        AlreadyExistsError,
        "RESOURCE_ALREADY_EXISTS",
        lambda w: w.update_share("sold", [add("main.retail.orders")]),
    ),
    "taken pipeline": (
        AlreadyExistsError,
        "RESOURCE_CONFLICT",
        lambda w: [w.create_pipeline(Pipeline("flow", "PIPELINE", "/x")) for _ in "ab"],
    ),
    "gone share": (MissingError, "SHARE_DOES_NOT_EXIST", lambda w: w.comment_share("nothing", "x")),
    "gone table": (
        MissingError, "TABLE_DOES_NOT_EXIST", lambda w: w.update_share("sold", [add("main.retail.nothing")]),
    ),
    "gone job": (MissingError, "INVALID_PARAMETER_VALUE", lambda w: w.update_pipeline("5", Pipeline("a", "JOB", "/x"))),
    "unreadable table": (
        WorkspaceRefusedError, "PERMISSION_DENIED", lambda w: w.update_share("sold", [add("main.payroll.salaries")]),
    ),
    "bad network": (
        WorkspaceRefusedError,
        "INVALID_PARAMETER_VALUE",
        lambda w: w.update_recipient("opened", comment=None, allowed_ips=("::1",)),
    ),
    "third token": (
        WorkspaceRefusedError,
        "INVALID_STATE",
        lambda w: [w.rotate_token("opened", old_expires_in_s=60) for _ in "ab"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_refusals_keep_the_workspaces_reason(what: str, adapter: DatabricksWorkspace) -> None:
    kind, reason, act = REFUSED[what]
    with pytest.raises(WorkspaceRefusedError) as caught:
        act(adapter)
    assert (type(caught.value), caught.value.reason) == (kind, reason)


def test_a_disabled_feature_is_a_refusal_with_advice(workspace: WorkspaceServer) -> None:
    workspace.switches.external_sharing = False
    with pytest.raises(WorkspaceRefusedError) as caught:
        adapter_to(workspace).create_recipient(OPENED)
    assert caught.value.reason == "FEATURE_DISABLED"
    assert "metastore admin" in caught.value.hint


def test_somebody_elses_share_is_seen_but_not_changed(
    adapter: DatabricksWorkspace, workspace: WorkspaceServer
) -> None:
    other = adapter_to(workspace, OTHER.token)
    share = other.share("sold")
    assert share is not None and share.owner != other.identity()
    with pytest.raises(WorkspaceRefusedError, match="not an owner of Share 'sold'"):
        other.comment_share("sold", "mine")


def test_a_forged_token_is_refused_without_being_quoted(workspace: WorkspaceServer) -> None:
    with pytest.raises(WorkspaceRefusedError) as caught:
        adapter_to(workspace, "a-forged-token").identity()
    assert "Invalid access token" in str(caught.value)
    assert "a-forged-token" not in str(caught.value) and "Config:" not in str(caught.value)


def test_a_route_that_is_not_there_is_no_absence() -> None:
    with WorkspaceServer() as workspace:
        wire = wire_to(workspace)
        with pytest.raises(WorkspaceRefusedError) as caught:
            wire.do("GET", "/api/2.1/unity-catalog/nothing")
        assert (type(caught.value), caught.value.reason) == (WorkspaceRefusedError, "ENDPOINT_NOT_FOUND")


# names, hosts and the link nobody may follow


HOSTILE = ("../catalogs/main", "..", "a/b", "a.b", "a b", "a%2fb", "a?x=1", "a#b", "", "ä", "a" * 256, "a\n")


@pytest.mark.parametrize("name", HOSTILE)
def test_no_hostile_name_reaches_the_workspace(name: str, workspace: WorkspaceServer) -> None:
    adapter = adapter_to(workspace)
    calls: list[Write] = [
        lambda w: w.share(name),
        lambda w: w.recipient(name),
        lambda w: w.create_share(name, None),
        lambda w: w.comment_share(name, "x"),
        lambda w: w.own_share(name, "x"),
        lambda w: w.update_share(name, []),
        lambda w: w.grant(name, []),
        lambda w: w.grant("sold", [GrantChange(name, True)]),
        lambda w: w.create_recipient(Recipient(name, RecipientType.D2O)),
        lambda w: w.update_recipient(name, comment="x", allowed_ips=None),
        lambda w: w.own_recipient(name, "x"),
        lambda w: w.rotate_token(name, old_expires_in_s=0),
        lambda w: w.pipeline("JOB", name),
        lambda w: w.pipeline("PIPELINE", name),
        lambda w: w.update_pipeline(name, Pipeline("x", "PIPELINE", "/x")),
        lambda w: w.catalog_object(f"main.retail.{name}"),
        lambda w: w.update_share("sold", [add(f"main.retail.{name}")]),
    ]
    before = workspace.last
    for call in calls:
        with pytest.raises(WorkspaceRefusedError) as caught:
            call(adapter)
        assert caught.value.reason == "INVALID_NAME"
    assert workspace.last == before


@pytest.mark.parametrize("path", [f"{UNITY}/shares/../catalogs", f"{UNITY}/shares/", f"{UNITY}/shares/a%2e"])
def test_no_hostile_path_leaves(path: str, workspace: WorkspaceServer) -> None:
    with pytest.raises(WorkspaceRefusedError, match="not one that may be sent"):
        wire_to(workspace).do("GET", path)


@pytest.mark.parametrize("route", ["data_sharing_activation", "data_sharing_activation_info"])
def test_the_activation_route_is_never_called(
    route: str, adapter: DatabricksWorkspace, workspace: WorkspaceServer
) -> None:
    with pytest.raises(WorkspaceRefusedError):
        wire_to(workspace).do("GET", f"{UNITY}/public/{route}/token")
    assert not [entry for entry in workspace.requests if entry.route.startswith("activation")]


def test_nothing_is_sent_to_a_host_that_is_not_allowed(workspace: WorkspaceServer) -> None:
    with pytest.raises(ConfigurationError, match="not among the workspaces"):
        open_wire(workspace.url, ["127.0.0.1:1"], FixedToken("secret"), "0.1.0")
    assert workspace.requests == []


def test_a_host_that_is_down_is_found_out_at_the_first_call() -> None:
    place = f"127.0.0.1:{free_ports(1)[0]}"
    seconds = Seconds()
    limits = Limits(probe_budget_s=1, patience=Patience(clock=seconds.clock, sleep=seconds.sleep))
    wire = open_wire(f"http://{place}", [place], FixedToken("secret"), "0.1.0", limits)
    with pytest.raises(WorkspaceUnavailableError, match="the connection failed"):
        wire.do("POST", f"{UNITY}/shares", body={"name": "x"})


def test_a_redirect_is_never_followed(workspace: WorkspaceServer) -> None:
    def elsewhere(request: Request) -> Answer:
        return Answer(307, b"", {"Location": workspace.url + request.path})

    server = LoopbackServer(elsewhere)
    place, seconds = f"127.0.0.1:{server.port}", Seconds()
    limits = Limits(patience=Patience(clock=seconds.clock, sleep=seconds.sleep))
    wire = open_wire(f"http://{place}", [place], FixedToken(workspace.token), "0.1.0", limits)
    before = workspace.last
    with pytest.raises(OutcomeUnknownError, match="redirect"):
        wire.do("POST", f"{UNITY}/shares", body={"name": "x"})
    server.stop()
    assert workspace.last == before


def test_another_way_to_sign_in_in_the_environment_is_no_conflict(
    workspace: WorkspaceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_TOKEN", "another")
    monkeypatch.setenv("ARM_CLIENT_SECRET", "another")
    adapter_to(workspace).identity()
    assert workspace.requests[-1].identity == workspace.identities[0].name


class Unsigned(FixedToken):
    """A sign-in that goes wrong with a given error, when it is first asked or when it is set up."""

    def __init__(self, error: Exception, *, early: bool = False) -> None:
        super().__init__("unused")
        object.__setattr__(self, "trouble", (error, early))

    def __call__(self, cfg: Any) -> Callable[[], dict[str, str]]:
        error, early = self.trouble  # type: ignore[attr-defined]
        if early:
            raise error

        def fail() -> dict[str, str]:
            raise error

        return fail


def test_an_error_of_our_own_passes_as_it_is(workspace: WorkspaceServer) -> None:
    trouble = ConfigurationError("no identity here")
    wire = open_wire(workspace.url, [workspace.host], Unsigned(trouble), "0.1.0")
    with pytest.raises(ConfigurationError, match="no identity here"):
        wire.do("POST", f"{UNITY}/shares", body={"name": "x"})


def test_a_configuration_the_sdk_refuses_is_named_without_its_secrets(workspace: WorkspaceServer) -> None:
    credentials = Unsigned(ValueError("a secret of the environment"), early=True)
    with pytest.raises(ConfigurationError) as caught:
        open_wire(workspace.url, [workspace.host], credentials, "0.1.0")
    assert "secret" not in str(caught.value) and caught.value.__cause__ is None


def test_what_no_catalog_holds_is_refused(workspace: WorkspaceServer) -> None:
    with pytest.raises(WorkspaceRefusedError, match="not something a catalog holds"):
        adapter_to(workspace).catalog_object("main.retail.notes", ObjectType.NOTEBOOK_FILE)


# what is read


def test_words_nobody_knows_make_an_object_unmanaged(
    adapter: DatabricksWorkspace, workspace: WorkspaceServer
) -> None:
    adapter.update_share("sold", [add("main.retail.customers"), add("main.wide.t000")])
    first, second, _ = workspace.state.shares["sold"].objects
    first.type = "CLEAN_ROOM"
    second.partitions = [Partition([PartitionValue(name="region", op="BETWEEN", value="x")])]
    share = adapter.share("sold")
    assert share is not None
    assert [(each.name, each.type and each.type.value) for each in share.objects] == [
        ("main.retail.orders", None),
        ("main.retail.customers", None),
        ("main.wide.t000", "TABLE"),
    ]


def test_a_recipient_of_an_unknown_kind_is_unmanaged(
    adapter: DatabricksWorkspace, workspace: WorkspaceServer
) -> None:
    workspace.state.recipients["opened"].authentication_type = "CARRIER_PIGEON"
    found = adapter.recipient("opened")
    assert found is not None and found.authentication is None


def test_a_lost_select_shows(adapter: DatabricksWorkspace, workspace: WorkspaceServer) -> None:
    workspace.lose_select("main.retail.orders")
    share = adapter.share("sold")
    assert share is not None and share.objects[0].status == "PERMISSION_DENIED"


def test_every_page_of_grants_is_read(workspace: WorkspaceServer) -> None:
    workspace.switches.page_size = 2
    adapter, names = adapter_to(workspace), [f"r{number}" for number in range(5)]
    adapter.create_share("sold", None)
    for name in names:
        adapter.create_recipient(Recipient(name, RecipientType.D2O))
    adapter.grant("sold", [GrantChange(name, True) for name in names])
    share = adapter.share("sold")
    assert share is not None and sorted(share.grants) == names
    assert len(asked(workspace, "shares.permissions")) == 4


KINDS = {
    "main.retail.orders": "TABLE",
    "main.retail.order_totals": "VIEW",
    "main.retail.daily_totals": "MATERIALIZED_VIEW",
    "main.retail.order_events": "STREAMING_TABLE",
    "main.retail.legacy_orders": "FOREIGN_TABLE",
    "main.retail.documents": "VOLUME",
    "main.retail.net_price": "FUNCTION",
    "main.retail.demand": "MODEL",
    "main.retail": "SCHEMA",
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_recognised_and_can_be_shared_and_taken_out(
    name: str, workspace: WorkspaceServer
) -> None:
    adapter = adapter_to(workspace)
    retail = workspace.state.find("schema", "main.retail")
    assert retail is not None
    workspace.state.grant(retail, workspace.identities[0].name, "SELECT")
    found = adapter.catalog_object(name.upper())
    assert found is not None and found.type.value == KINDS[name]
    assert adapter.catalog_object(name, found.type) == found
    adapter.create_share("sold", None)
    adapter.update_share("sold", [add(name, found.type)])
    share = adapter.share("sold")
    assert share is not None
    adapter.update_share("sold", [again("REMOVE", share.objects[0])])
    assert workspace.state.shares["sold"].objects == []


# what is written


def test_an_update_sends_no_alias_and_a_removal_nothing_but_the_name(
    adapter: DatabricksWorkspace, workspace: WorkspaceServer
) -> None:
    share = adapter.share("sold")
    assert share is not None
    adapter.update_share("sold", [again("UPDATE", share.objects[0], history=True, cdf=True)])
    assert workspace.requests[-1].body["updates"][0]["data_object"] == {  # type: ignore[index]
        "name": "main.retail.orders",
        "data_object_type": "TABLE",
        "history_data_sharing_status": "ENABLED",
    }
    adapter.update_share("sold", [again("REMOVE", share.objects[0], history=True)])
    assert workspace.requests[-1].body["updates"][0]["data_object"] == {  # type: ignore[index]
        "name": "main.retail.orders",
        "data_object_type": "TABLE",
        "shared_as": "retail.orders",
    }


def test_ownership_goes_with_nothing_else(adapter: DatabricksWorkspace, workspace: WorkspaceServer) -> None:
    for give, route in ((adapter.own_share, "shares"), (adapter.own_recipient, "recipients")):
        name = {"shares": "sold", "recipients": "opened"}[route]
        give(name, OTHER.name)
        assert (workspace.requests[-1].route, workspace.requests[-1].body) == (
            f"{route}.update",
            {"owner": OTHER.name},
        )
        with pytest.raises(WorkspaceRefusedError):
            give(name, workspace.identities[0].name)


def test_only_the_word_opens_a_recipient_to_the_world(
    adapter: DatabricksWorkspace, workspace: WorkspaceServer
) -> None:
    before = workspace.last
    with pytest.raises(ValueError, match="say ANY"):
        adapter.update_recipient("opened", comment=None, allowed_ips=())
    assert workspace.last == before
    adapter.update_recipient("opened", comment="x", allowed_ips=None)
    assert workspace.requests[-1].body == {"comment": "x"}
    adapter.update_recipient("opened", comment=None, allowed_ips=ANY_ADDRESS)
    assert workspace.requests[-1].body == {"ip_access_list": {}}


def test_an_oddly_named_object_can_be_taken_out(
    adapter: DatabricksWorkspace, workspace: WorkspaceServer
) -> None:
    workspace.state.shares["sold"].objects[0].name = "main.retail.år 2026"
    share = adapter.share("sold")
    assert share is not None
    adapter.update_share("sold", [again("REMOVE", share.objects[0])])
    assert workspace.state.shares["sold"].objects == []


def test_more_than_a_hundred_changes_are_not_sent(
    adapter: DatabricksWorkspace, workspace: WorkspaceServer
) -> None:
    before = workspace.last
    with pytest.raises(ValueError, match="101 changes"):
        adapter.update_share("sold", [add(f"main.wide.t{number:03}") for number in range(101)])
    assert workspace.last == before
    adapter.update_share("sold", [add(f"main.wide.t{number:03}") for number in range(100)])


def test_what_a_pack_does_not_speak_of_survives_an_update(workspace: WorkspaceServer) -> None:
    adapter = adapter_to(workspace)
    id = adapter.create_pipeline(Pipeline("nightly", "JOB", "/Shared/x"))
    workspace.state.jobs[int(id)].settings["tags"] = {"team": "finance"}
    adapter.update_pipeline(id, Pipeline("nightly", "JOB", "/Shared/y", schedule="0 0 6 * * ?"))
    settings = workspace.state.jobs[int(id)].settings
    assert (settings["tags"], settings["max_concurrent_runs"]) == ({"team": "finance"}, 1)
    flow = adapter.create_pipeline(Pipeline("flow", "PIPELINE", "/Shared/x"))
    workspace.state.pipelines[flow].spec["tags"] = {"team": "finance"}
    adapter.update_pipeline(flow, Pipeline("flow", "PIPELINE", "/Shared/y"))
    assert workspace.state.pipelines[flow].spec["tags"] == {"team": "finance"}


def test_an_underscore_in_a_name_finds_nothing_else(workspace: WorkspaceServer) -> None:
    adapter = adapter_to(workspace)
    id = adapter.create_pipeline(Pipeline("a_b", "PIPELINE", "/Shared/x"))
    adapter.create_pipeline(Pipeline("axb", "PIPELINE", "/Shared/x"))
    found = adapter.pipeline("PIPELINE", "a_b")
    assert found is not None and found.id == id


def test_a_job_on_another_clock_or_paused_has_no_schedule_of_ours(workspace: WorkspaceServer) -> None:
    adapter = adapter_to(workspace)
    id = adapter.create_pipeline(Pipeline("nightly", "JOB", "/Shared/x", schedule="0 0 6 * * ?"))
    for odd in ({"timezone_id": "Europe/Oslo"}, {"timezone_id": "UTC", "pause_status": "PAUSED"}):
        schedule = {"quartz_cron_expression": "0 0 6 * * ?", **odd}
        workspace.state.jobs[int(id)].settings["schedule"] = schedule
        found = adapter.pipeline("JOB", "nightly")
        assert found is not None and found.schedule is None


# what must not leak


def test_neither_errors_nor_logs_hold_links_or_tokens(
    workspace: WorkspaceServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    adapter = adapter_to(workspace)
    token = adapter.create_recipient(OPENED)
    assert token is not None
    workspace.fault("recipients.get", "500", times=100)
    with pytest.raises(AppError) as caught:
        adapter.recipient("opened")
    link = token.activation_url.partition("?")[2]
    for text in (caplog.text, str(caught.value), repr(token)):
        assert link not in text and workspace.token not in text
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_hosts_and_names_are_checked_without_importing_the_sdk() -> None:
    program = (
        "import sys; import shared.adapters.databricks.hosts, shared.adapters.databricks.names;"
        "sys.exit('databricks.sdk' in sys.modules or 'requests' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
