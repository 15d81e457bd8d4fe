"""Cost Management as the stand-in answers and refuses: the adapter's side of the contract."""

from datetime import date
from decimal import Decimal

import pytest

from infra.local.microsoft import CostRow, MicrosoftServer
from shared.adapters.cost_management import CostManagement
from shared.errors import ConfigurationError
from shared.sharing.directory_errors import (
    DirectoryProtocolError,
    DirectoryRefusedError,
    DirectoryThrottledError,
)
from shared.sharing.directory_ports import ProjectCost
from tests.fixtures_microsoft import Rest

FIRST, LAST = date(2026, 11, 1), date(2026, 11, 30)


def ask(costs: CostManagement, microsoft: MicrosoftServer) -> list[ProjectCost]:
    return [cost for page in costs.costs(microsoft.subscription, FIRST, LAST) for cost in page]


def test_costs_come_by_project_and_day_without_the_untagged(
    microsoft: MicrosoftServer, costs: CostManagement
) -> None:
    microsoft.add_cost(CostRow("finance", date(2026, 11, 20), Decimal("12.34")))
    microsoft.add_cost(CostRow("", date(2026, 11, 20), Decimal("99")))
    microsoft.add_cost(CostRow("finance", date(2026, 12, 1), Decimal("7")))
    assert ask(costs, microsoft) == [ProjectCost("finance", date(2026, 11, 20), Decimal("12.34"), "EUR")]


def test_next_pages_are_asked_for_by_the_same_query(
    microsoft: MicrosoftServer, costs: CostManagement
) -> None:
    microsoft.switches.cost_rows = 10
    for number in range(25):
        microsoft.add_cost(CostRow(f"p{number:02}", date(2026, 11, 20), Decimal(number)))
    assert [cost.amount for cost in ask(costs, microsoft)] == [Decimal(number) for number in range(25)]
    asked = [request for request in microsoft.requests if "CostManagement" in request.path]
    assert len(asked) == 3 and len({request.body for request in asked}) == 1


@pytest.mark.parametrize("no_content", [False, True])
def test_no_costs_are_no_rows(microsoft: MicrosoftServer, costs: CostManagement, no_content: bool) -> None:
    microsoft.switches.no_content = no_content
    assert ask(costs, microsoft) == []


@pytest.mark.parametrize("budget", ["qpu", "entity", "tenant", "client"])
def test_pause_in_the_services_own_header_is_kept(
    microsoft: MicrosoftServer, costs: CostManagement, cost_rest: Rest, budget: str
) -> None:
    header = {f"x-ms-ratelimit-microsoft.costmanagement-{budget}-retry-after": "11", "Retry-After": "2"}
    microsoft.fault("CostManagement", 429, code="429", headers=header)
    assert ask(costs, microsoft) == []
    assert cost_rest.slept == [11.0]


def test_long_throttling_ends_the_delivery(microsoft: MicrosoftServer, costs: CostManagement) -> None:
    header = {"x-ms-ratelimit-microsoft.costmanagement-qpu-retry-after": "600"}
    microsoft.fault("CostManagement", 429, headers=header)
    with pytest.raises(DirectoryThrottledError) as caught:
        ask(costs, microsoft)
    assert caught.value.retry_after_s == 600


def test_columns_are_read_by_name_in_any_order_and_case(
    microsoft: MicrosoftServer, costs: CostManagement
) -> None:
    body = (
        b'{"properties": {"nextLink": "", "columns": [{"name": "Currency"}, {"name": "TagValue"}, {"name": "usageDate"},'
        b' {"name": "PreTaxCost"}], "rows": [["USD", "finance", 20261120, 0.1]]}}'
    )
    microsoft.fault("CostManagement", 200, body=body)
    assert ask(costs, microsoft) == [ProjectCost("finance", date(2026, 11, 20), Decimal("0.1"), "USD")]


@pytest.mark.parametrize(
    "properties",
    [
        b"[]",
        b'{"columns": []}',
        b'{"columns": [{"name": "Cost"}], "rows": [[1, 2]]}',
        b'{"columns": [{"name": "Cost"}], "rows": [[1]]}',
        b'{"columns": [{"name": "Cost"}, {"name": "UsageDate"}, {"name": "TagValue"}, {"name": "Currency"}],'
        b' "rows": [["much", 20261120, "p", "EUR"]]}',
    ],
)
def test_answer_of_another_shape_is_refused(
    microsoft: MicrosoftServer, costs: CostManagement, properties: bytes
) -> None:
    microsoft.fault("CostManagement", 200, body=b'{"properties": ' + properties + b"}")
    with pytest.raises(DirectoryProtocolError):
        ask(costs, microsoft)


def test_next_link_elsewhere_or_in_a_circle_is_not_followed(
    microsoft: MicrosoftServer, costs: CostManagement
) -> None:
    empty = '{"properties": {"columns": [], "rows": [], "nextLink": "%s"}}'
    microsoft.fault("CostManagement", 200, body=(empty % "https://evil.example/x").encode())
    with pytest.raises(DirectoryProtocolError, match="another host"):
        ask(costs, microsoft)
    circle = f"{microsoft.url}/subscriptions/x/providers/Microsoft.CostManagement/query"
    microsoft.fault("CostManagement", 200, body=(empty % circle).encode(), times=5)
    with pytest.raises(DirectoryProtocolError, match="circle"):
        ask(costs, microsoft)


def test_missing_role_and_unknown_subscription_are_told(
    microsoft: MicrosoftServer, costs: CostManagement
) -> None:
    microsoft.fault("CostManagement", 403, code="RBACAccessDenied")
    with pytest.raises(DirectoryRefusedError, match="RBACAccessDenied"):
        ask(costs, microsoft)
    other = "00000000-0000-0000-0000-000000000000"
    with pytest.raises(DirectoryRefusedError, match="SubscriptionNotFound"):
        list(costs.costs(other, FIRST, LAST))


def test_subscription_that_is_none_is_refused_before_anything_is_asked(
    microsoft: MicrosoftServer, costs: CostManagement
) -> None:
    with pytest.raises(ConfigurationError, match="AZURE_SUBSCRIPTION_ID"):
        list(costs.costs("../../x", FIRST, LAST))
    assert not microsoft.requests
