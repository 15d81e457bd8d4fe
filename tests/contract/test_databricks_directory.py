"""Listing a workspace: databricks-sdk against the workspace stand-in, with its pages, faults and refusals."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.local.workspace import OTHER, WorkspaceServer
from infra.local.workspace.state import Run
from shared.adapters.databricks.client import FixedToken, Limits, open_wire
from shared.adapters.databricks.directory import DatabricksDirectory
from shared.adapters.databricks.wire import Patience, Wire
from shared.sharing.directory_ports import ObjectPage, WorkspaceObject
from shared.sharing.errors import (
    MissingError,
    WorkspaceRefusedError,
    WorkspaceThrottledError,
    WorkspaceUnavailableError,
)

BEGAN = datetime(2026, 11, 20, 12, tzinfo=UTC)


def wire(workspace: WorkspaceServer, token: str = "") -> Wire:
    limits = Limits(calls_per_s=1e6, burst=1000, patience=Patience(budget_s=5, sleep=lambda _: None))
    return open_wire(workspace.url, [workspace.host], FixedToken(token or workspace.token), "1.0", limits)


@pytest.fixture
def directory(workspace: WorkspaceServer) -> DatabricksDirectory:
    return DatabricksDirectory(lambda _: wire(workspace))


def listed(pages: Sequence[ObjectPage]) -> dict[str, WorkspaceObject]:
    return {found.name: found for page in pages for found in page.objects}


def test_catalogs_schemas_and_tables_are_listed_with_their_kinds(
    workspace: WorkspaceServer, directory: DatabricksDirectory
) -> None:
    pages = list(directory.objects(workspace.host, ""))
    found = listed(pages)
    kinds = {name: found[name].type for name in ("main", "main.retail", "main.retail.orders")}
    assert kinds == {"main": "CATALOG", "main.retail": "SCHEMA", "main.retail.orders": "TABLE"}
    assert found["main.retail.order_totals"].type == "VIEW"
    assert found["main.retail.daily_totals"].type == "MATERIALIZED_VIEW"
    assert found["main.retail.order_events"].type == "STREAMING_TABLE"
    assert found["main.retail.legacy_orders"].type == "FOREIGN_TABLE"
    assert found["main.retail.orders"].owner == OTHER.name
    assert sum(name.startswith("main.wide.t") for name in found) == 260  # six pages
    assert all(page.complete for page in pages)


def test_walk_goes_on_behind_any_cursor_and_misses_nothing(
    workspace: WorkspaceServer, directory: DatabricksDirectory
) -> None:
    workspace.add_table("main-old.x.t")
    workspace.add_table("main.retail-old.t")
    pages = list(directory.objects(workspace.host, ""))
    whole = listed(pages)
    assert [page.cursor for page in pages] == sorted(
        {page.cursor for page in pages}, key=lambda c: c.split(".")
    )
    for position, page in enumerate(pages):
        rest = list(directory.objects(workspace.host, page.cursor))
        assert listed(pages[: position + 1]) | listed(rest) == whole


class Spoilt:
    """A wire on which the listing of one schema's tables fails."""

    def __init__(self, inner: Wire, schema: str, error: Exception) -> None:
        self.inner, self.schema, self.error = inner, schema, error
        self._cfg = inner._cfg

    def do(self, method: str, path: str, **options: Any) -> Any:
        if path.endswith("/tables") and options["query"]["schema_name"] == self.schema:
            raise self.error
        return self.inner.do(method, path, **options)


def test_schema_that_may_not_be_listed_makes_its_page_incomplete(workspace: WorkspaceServer) -> None:
    refusal = WorkspaceRefusedError("no", reason="PERMISSION_DENIED")
    spoilt = Spoilt(wire(workspace), "retail", refusal)
    pages = list(DatabricksDirectory(lambda _: spoilt).objects(workspace.host, ""))
    assert [page.cursor for page in pages if not page.complete] == ["main.retail"]
    assert "main.wide.t000" in listed(pages)


def test_schema_that_goes_away_during_the_walk_is_simply_empty(workspace: WorkspaceServer) -> None:
    gone = MissingError("gone", reason="SCHEMA_DOES_NOT_EXIST")
    spoilt = Spoilt(wire(workspace), "retail", gone)
    assert all(page.complete for page in DatabricksDirectory(lambda _: spoilt).objects(workspace.host, ""))


def add_runs(workspace: WorkspaceServer, *hours: float | None) -> None:
    """Runs a minute apart, each so many hours long; None still runs."""
    for number, length in enumerate(hours, start=1):
        began = BEGAN + timedelta(minutes=number)
        milliseconds = int(began.timestamp() * 1000)
        ended = milliseconds + int(length * 3_600_000) if length is not None else 0
        workspace.state.runs[number] = run(number, milliseconds, ended)


def run(number: int, began: int, ended: int) -> Run:
    result = "SUCCESS" if ended else ""
    return Run(
        id=number, number=number, job_id=7, started_at=began, ended_at=ended, result=result, creator="ann"
    )


def test_finished_runs_come_page_by_page_within_their_window(
    workspace: WorkspaceServer, directory: DatabricksDirectory
) -> None:
    add_runs(workspace, *[0.5] * 60, None)
    pages = list(directory.finished_runs(workspace.host, BEGAN, BEGAN + timedelta(minutes=45)))
    runs = [each for page in pages for each in page]
    assert sorted(each.run_id for each in runs) == list(range(1, 46))
    newest = max(runs, key=lambda each: each.run_id)
    assert (newest.job_id, newest.result) == (7, "SUCCESS")
    assert newest.started_at == BEGAN + timedelta(minutes=45)
    assert newest.ended_at - newest.started_at == timedelta(minutes=30)


def test_window_of_one_moment_finds_the_run_that_began_then(
    workspace: WorkspaceServer, directory: DatabricksDirectory
) -> None:
    add_runs(workspace, 1, 1, 1)
    moment = BEGAN + timedelta(minutes=2)
    (page,) = directory.finished_runs(workspace.host, moment, moment)
    assert [each.run_id for each in page] == [2]


def test_active_runs_tell_when_they_began(workspace: WorkspaceServer, directory: DatabricksDirectory) -> None:
    add_runs(workspace, 1, None, 1, None)
    assert sorted(directory.active_since(workspace.host)) == [
        BEGAN + timedelta(minutes=2),
        BEGAN + timedelta(minutes=4),
    ]


def test_trouble_is_told_apart(workspace: WorkspaceServer, directory: DatabricksDirectory) -> None:
    workspace.fault("catalogs.list", "429", times=50)
    with pytest.raises(WorkspaceThrottledError):
        list(directory.objects(workspace.host, ""))
    workspace.heal()
    workspace.fault("catalogs.list", "500", times=50)
    with pytest.raises(WorkspaceUnavailableError):
        list(directory.objects(workspace.host, ""))
    workspace.heal()
    workspace.fault("tables.list", "before", times=50)
    with pytest.raises(WorkspaceUnavailableError):
        list(directory.objects(workspace.host, ""))


def test_refused_token_is_permanent_and_quoted_nowhere(workspace: WorkspaceServer) -> None:
    directory = DatabricksDirectory(lambda _: wire(workspace, "not-a-token-of-theirs"))
    with pytest.raises(WorkspaceRefusedError) as caught:
        list(directory.objects(workspace.host, ""))
    assert "not-a-token" not in str(caught.value)


def test_workspace_is_opened_once(workspace: WorkspaceServer) -> None:
    opened: list[str] = []

    def open_it(host: str) -> Wire:
        opened.append(host)
        return wire(workspace)

    directory = DatabricksDirectory(open_it)
    directory.active_since(workspace.host)
    directory.active_since(workspace.host)
    assert opened == [workspace.host]
