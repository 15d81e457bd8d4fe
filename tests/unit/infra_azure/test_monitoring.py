"""Alerts, queries and the workbook ask for what the app really says."""

import json
import re
from typing import Any

import pytest

from tests.unit.infra_azure.environments import ENVIRONMENTS, deployed
from tests.unit.infra_azure.syntax import INFRA

FOLDER = INFRA / "monitoring"
ROOT = INFRA.parent
TABLES = {"AppTraces", "AppRequests", "AzureMetrics", "ADFPipelineRun", "ADFActivityRun", "Usage"}
DEMANDED = {"failed-runs", "poison-messages", "missing-heartbeats", "connector-unreachable", "three-failures-in-a-row",
            "long-runs", "postgres-connections"}  # fmt: skip


def read(name: str) -> Any:
    return json.loads((FOLDER / name).read_text())


def queries() -> dict[str, str]:
    """Every query by where it stands."""
    found = {f"alert {each['name']}": each["query"] for each in read("alerts.json")}
    found |= {f"saved {each['name']}": each["query"] for each in read("queries.json")}
    tiles = [each for each in read("workbook.json")["items"] if "query" in each["content"]]
    return found | {f"workbook {each['name']}": each["content"]["query"] for each in tiles}


def said_by_the_code() -> set[str]:
    """Every event that the code logs."""
    texts = "".join(path.read_text() for path in (ROOT / "shared").rglob("*.py"))
    return set(re.findall(r"(?:log|tell|_each)\(\s*\"([a-z_]+)\"", texts))


@pytest.mark.parametrize(("where", "query"), queries().items())
def test_query_reads_tables_that_are_filled(where: str, query: str) -> None:
    first = set(re.findall(r"(?:^|union \(|\), \()\s*([A-Z]\w+)\b", query)) | set(
        re.findall(r"\((App\w+)", query)
    )
    assert first or query.startswith("datatable")
    assert first <= TABLES


@pytest.mark.parametrize(("where", "query"), queries().items())
def test_query_asks_for_events_that_the_app_logs(where: str, query: str) -> None:
    asked = set(re.findall(r"action == '(\w+)'", query))
    for several in re.findall(r"action in \(([^)]*)\)", query):
        asked |= set(re.findall(r"'(\w+)'", several))
    assert asked <= said_by_the_code()


@pytest.mark.parametrize(("where", "query"), queries().items())
def test_query_is_closed(where: str, query: str) -> None:
    without_texts = re.sub(r"'[^']*'", "", query)
    for opening, closing in ("()", "[]"):
        assert without_texts.count(opening) == without_texts.count(closing)
    assert "'" not in without_texts


def test_silence_is_noticed_of_every_timer_that_exists() -> None:
    (rule,) = [each for each in read("alerts.json") if each["name"] == "missing-heartbeats"]
    timers = {
        name
        for path in (ROOT / "functions").glob("*.py")
        if "timer_trigger" in (source := path.read_text())
        for name in re.findall(r"^def (\w+)\(timer", source, re.M)
    }
    listed = rule["query"].partition("]")[0]
    # Those of share packs are disabled where share packs are off, and then rightly silent.
    assert timers - {"remind_share_packs", "watch_shares", "request_directory"} == set(
        re.findall(r"'(\w+)'", listed)
    )


@pytest.mark.parametrize("name", ["failed-runs", "three-failures-in-a-row"])
def test_runs_that_no_slice_lived_to_end_count_as_failed(name: str) -> None:
    """A poisoned run ends without `run_ended`, and LOG_LEVEL may hide that line; the watch reads the runs themselves."""
    (rule,) = [each for each in read("alerts.json") if each["name"] == name]
    assert "'run_ended'" in rule["query"] and "'health_failed_run'" in rule["query"]


def test_silence_is_judged_by_the_app_as_well_as_by_the_host() -> None:
    """The host samples its requests and may lose some; a timer that told of itself is not silent."""
    (rule,) = [each for each in read("alerts.json") if each["name"] == "missing-heartbeats"]
    assert "AppRequests" in rule["query"] and "action == 'beat'" in rule["query"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_alert_is_deployed_and_told_to_somebody(environment: str) -> None:
    rules = deployed(environment).of_type("Microsoft.Insights/scheduledQueryRules")
    (group,) = deployed(environment).of_type("Microsoft.Insights/actionGroups")
    assert {each.name.removeprefix("alert-") for each in rules} >= DEMANDED
    assert {each.body["properties"]["enabled"] for each in rules} == {environment == "prod"}
    for each in rules:
        assert each.body["properties"]["actions"]["actionGroups"] == [group.id]
    assert [each["emailAddress"] for each in group.body["properties"]["emailReceivers"]] == [
        "on-call@example.com"
    ]


def test_alert_looks_at_least_as_far_back_as_it_waits() -> None:
    minutes = {"PT5M": 5, "PT15M": 15, "PT30M": 30, "PT1H": 60, "P1D": 1440}
    for each in read("alerts.json"):
        assert minutes[each["over"]] >= minutes[each["every"]], each["name"]
        assert each["severity"] in range(5)
        assert len(each["description"]) > 40, "the person who is woken needs a next step"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_saved_queries_can_be_deployed_again(environment: str) -> None:
    """The service answers 409 to a saved search that is there already, unless it is told to overwrite any."""
    saved = deployed(environment).of_type("Microsoft.OperationalInsights/workspaces/savedSearches")
    assert len(saved) == len(read("queries.json"))
    assert {each.body["properties"]["etag"] for each in saved} == {"*"}


def test_workbook_shows_freshness_throughput_failures_and_cost() -> None:
    (workbook,) = deployed("prod").of_type("Microsoft.Insights/workbooks")
    shown = json.loads(workbook.body["properties"]["serializedData"])
    tiles = {each["name"]: each for each in shown["items"]}
    assert {"freshness", "throughput", "failures", "cost"} <= set(tiles)
    assert "__" not in workbook.body["properties"]["serializedData"]
    for name in ("freshness", "throughput", "failures", "cost"):
        (asked,) = tiles[name]["content"]["crossComponentResources"]
        assert asked == workbook.body["properties"]["sourceId"]


def test_logs_go_to_log_analytics_and_are_archived() -> None:
    settings = deployed("prod").of_type("Microsoft.Insights/diagnosticSettings")
    logged = {each.scope.type: each.body["properties"] for each in settings if each.scope}
    archived = {kind for kind, body in logged.items() if "storageAccountId" in body}
    assert {
        "Microsoft.Web/sites",
        "Microsoft.DBforPostgreSQL/flexibleServers",
        "Microsoft.KeyVault/vaults",
        "Microsoft.Sql/servers/databases",
        "Microsoft.DataFactory/factories",
    } <= archived
    assert all("workspaceId" in body for body in logged.values())
    assert logged["Microsoft.DataFactory/factories"]["logAnalyticsDestinationType"] == "Dedicated"


def test_archive_ends_when_the_environment_says() -> None:
    (policy,) = deployed("prod").of_type("Microsoft.Storage/storageAccounts/managementPolicies")
    for rule in policy.body["properties"]["policy"]["rules"]:
        assert rule["definition"]["actions"]["baseBlob"]["delete"]["daysAfterModificationGreaterThan"] == 2555


def test_every_alert_has_its_line_for_the_night() -> None:
    table = (ROOT / "docs/operations.md").read_text().partition("| alert | look at |")[2].partition("\n\n")[0]
    assert {each["name"] for each in read("alerts.json")} == set(re.findall(r"`([a-z-]+)`(?=[^|]*\|)", table))
