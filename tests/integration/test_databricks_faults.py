"""What the Databricks adapter repeats, what it never repeats, and what it says of a lost reply."""

from collections.abc import Callable
from typing import Any

import pytest

from infra.local.workspace import WorkspaceServer
from infra.local.workspace.routes import UNITY
from shared.adapters.databricks.workspace import DatabricksWorkspace
from shared.sharing.errors import (
    LookCutShortError,
    OutcomeUnknownError,
    WorkspaceThrottledError,
    WorkspaceUnavailableError,
)
from shared.sharing.model import Pipeline, Recipient, RecipientType
from shared.sharing.ports import GrantChange
from tests.databricks_adapter import Seconds, adapter_to, add, wire_to

Write = Callable[[DatabricksWorkspace], object]
OPENED = Recipient("opened", RecipientType.D2O)
WRITES: dict[str, Write] = {
    "shares.create": lambda w: w.create_share("fresh", None),
    "shares.update": lambda w: w.update_share("sold", [add("main.retail.customers")]),
    "shares.update_permissions": lambda w: w.grant("sold", [GrantChange("opened", True)]),
    "recipients.create": lambda w: w.create_recipient(Recipient("new", RecipientType.D2O)),
    "recipients.update": lambda w: w.update_recipient("opened", comment="x", allowed_ips=None),
    "recipients.rotate_token": lambda w: w.rotate_token("opened", old_expires_in_s=60),
    "jobs.create": lambda w: w.create_pipeline(Pipeline("nightly", "JOB", "/Shared/x")),
    "pipelines.create": lambda w: w.create_pipeline(Pipeline("flow", "PIPELINE", "/Shared/x")),
}


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


# writes whose outcome nobody knows


@pytest.mark.parametrize("kind", ["before", "after", "500", "503", "504", "500-after", "504-after"])
@pytest.mark.parametrize("route", WRITES)
def test_a_write_without_a_true_answer_has_an_unknown_outcome_and_is_not_repeated(
    route: str, kind: Any, adapter: DatabricksWorkspace, workspace: WorkspaceServer
) -> None:
    before = len(asked(workspace, route))
    workspace.fault(route, kind)
    with pytest.raises(OutcomeUnknownError):
        WRITES[route](adapter)
    assert len(asked(workspace, route)) == before + 1


def test_a_slow_rotation_is_not_sent_twice(adapter: DatabricksWorkspace, workspace: WorkspaceServer) -> None:
    hasty = DatabricksWorkspace(wire_to(workspace, http_timeout_s=0.3))
    workspace.fault("recipients.rotate_token", "delay", delay_s=0.8)
    with pytest.raises(OutcomeUnknownError, match="no answer came in time"):
        hasty.rotate_token("opened", old_expires_in_s=0)
    workspace.stop()
    assert asked(workspace, "recipients.rotate_token") == [200]


def test_a_throttled_rotation_is_left_to_the_caller(
    adapter: DatabricksWorkspace, workspace: WorkspaceServer
) -> None:
    workspace.fault("recipients.rotate_token", "429", retry_after_s=1)
    with pytest.raises(WorkspaceThrottledError):
        adapter.rotate_token("opened", old_expires_in_s=0)
    assert asked(workspace, "recipients.rotate_token") == [429]


# what is repeated, and for how long


@pytest.mark.parametrize("kind", ["before", "after", "500", "503", "504", "429"])
def test_a_read_is_repeated(kind: Any, adapter: DatabricksWorkspace, workspace: WorkspaceServer) -> None:
    workspace.fault("shares.get", kind, times=2)
    assert adapter.share("sold") is not None
    assert len(asked(workspace, "shares.get")) == 3


def test_a_throttled_write_is_repeated_after_what_the_workspace_asks(workspace: WorkspaceServer) -> None:
    seconds = Seconds()
    adapter = adapter_to(workspace, seconds=seconds)
    workspace.fault("shares.create", "429", retry_after_s=7)
    workspace.fault("shares.create", "429")
    adapter.create_share("fresh", None)
    assert seconds.slept == [7, 2]
    assert asked(workspace, "shares.create") == [429, 429, 200]


def test_a_long_retry_after_is_told_and_not_slept_through(workspace: WorkspaceServer) -> None:
    seconds = Seconds()
    workspace.fault("shares.get", "429", retry_after_s=86_400)
    with pytest.raises(WorkspaceThrottledError) as caught:
        adapter_to(workspace, seconds=seconds).share("sold")
    assert (caught.value.retry_after_s, seconds.slept) == (300, [])


def test_patience_ends(workspace: WorkspaceServer) -> None:
    seconds = Seconds()
    workspace.fault("shares.get", "500", times=1000)
    with pytest.raises(WorkspaceUnavailableError, match="INTERNAL_ERROR"):
        adapter_to(workspace, seconds=seconds).share("sold")
    assert 40 < seconds.now <= 60


def test_nothing_is_called_once_the_time_for_looking_is_up(
    adapter: DatabricksWorkspace, workspace: WorkspaceServer
) -> None:
    seconds = Seconds()
    wire = wire_to(workspace, seconds=seconds)
    looking = DatabricksWorkspace(wire.until(20.0))
    workspace.fault("shares.get", "500", times=1000)
    with pytest.raises(WorkspaceUnavailableError):
        looking.share("sold")
    assert seconds.now <= 20
    seconds.now = 20
    before = len(workspace.requests)
    with pytest.raises(LookCutShortError):
        looking.recipient("opened")
    assert len(workspace.requests) == before
    assert DatabricksWorkspace(wire).recipient("opened") is not None


def test_a_write_that_never_left_is_unavailable_not_unknown(
    adapter: DatabricksWorkspace, workspace: WorkspaceServer
) -> None:
    workspace.stop()
    with pytest.raises(WorkspaceUnavailableError):
        adapter.create_share("fresh", None)


def test_calls_are_paced_by_our_own_rate(workspace: WorkspaceServer) -> None:
    seconds = Seconds()
    wire = wire_to(workspace, seconds=seconds, calls_per_s=2, burst=1)
    for _ in range(5):
        wire.do("GET", f"{UNITY}/metastore_summary")
    assert sum(seconds.slept) == pytest.approx(2.0)
