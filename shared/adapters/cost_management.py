"""Azure Cost Management: what each project, by its tag, cost on each day.

Fulfils `CostSource` of directory_ports. Needs the role Cost Management Reader on the subscription.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from shared.adapters.azure_rest import AzureRest
from shared.errors import ConfigurationError
from shared.sharing.directory_errors import DirectoryProtocolError, DirectoryRefusedError
from shared.sharing.directory_ports import ProjectCost

SCOPE = "https://management.azure.com/.default"
# The service asks for pauses in headers of its own, one for each of its budgets.
WAIT_HEADERS = tuple(
    f"x-ms-ratelimit-microsoft.costmanagement-{budget}-retry-after"
    for budget in ("qpu", "entity", "tenant", "client")
)
_VERSION = "2024-08-01"
_SUBSCRIPTION = re.compile(r"[0-9a-fA-F-]{36}")


class CostManagement:
    """Costs over one `AzureRest`. `tag` is the resource tag whose value is the project's name."""

    def __init__(self, rest: AzureRest, *, tag: str = "project") -> None:
        self._rest, self._tag = rest, tag

    def costs(self, subscription: str, first: date, last: date) -> Iterator[Sequence[ProjectCost]]:
        """Daily costs by project tag, both days included, at most 31; page by page. Untagged costs are left out."""
        if not _SUBSCRIPTION.fullmatch(subscription):
            raise ConfigurationError("AZURE_SUBSCRIPTION_ID: not a subscription's id", hint="it is a UUID")
        path = f"/subscriptions/{subscription}/providers/Microsoft.CostManagement/query"
        link: str | None = f"{path}?api-version={_VERSION}"
        followed: set[str] = set()
        while link:
            if link in followed:
                raise DirectoryProtocolError("Cost Management: the next links lead in a circle")
            followed.add(link)
            properties = self._page(link, self._query(first, last))
            yield _costs(properties)
            link = properties.get("nextLink") or None

    def _query(self, first: date, last: date) -> Mapping[str, object]:
        return {
            "type": "ActualCost",
            "timeframe": "Custom",
            "timePeriod": {"from": f"{first}T00:00:00Z", "to": f"{last}T23:59:59Z"},
            "dataset": {
                "granularity": "Daily",
                "aggregation": {"totalCost": {"name": "Cost", "function": "Sum"}},
                "grouping": [{"type": "TagKey", "name": self._tag}],
            },
        }

    def _page(self, link: str, query: Mapping[str, object]) -> Mapping[str, Any]:
        # The next page is asked for by POST with the same query: the link holds a place in its answer only.
        reply = self._rest.send("POST", link, content=query)
        if reply.status == 204:
            return {"columns": [], "rows": []}
        properties = reply.body.get("properties")
        if reply.status != 200:
            raise DirectoryRefusedError(
                f"Cost Management: refused with {reply.status}{f' ({reply.reason})' if reply.reason else ''}",
                reason=reply.reason,
                hint="check AZURE_SUBSCRIPTION_ID and the role Cost Management Reader",
            )
        if not isinstance(properties, dict):
            raise DirectoryProtocolError("Cost Management: an answer has no properties")
        return properties


def _costs(properties: Mapping[str, Any]) -> list[ProjectCost]:
    """The rows by their columns' names, since the service orders columns as it likes."""
    try:
        names = [str(column["name"]).lower() for column in properties["columns"]]
        rows = [dict(zip(names, row, strict=True)) for row in properties["rows"]]
        costs = [_cost(row) for row in rows]
    except (KeyError, TypeError, ValueError, InvalidOperation):
        raise DirectoryProtocolError("Cost Management: an answer's columns and rows do not fit") from None
    return [cost for cost in costs if cost.project]


def _cost(row: Mapping[str, Any]) -> ProjectCost:
    amount = row["cost"] if "cost" in row else row["pretaxcost"]
    day = datetime.strptime(str(int(row["usagedate"])), "%Y%m%d").date()  # noqa: DTZ007  # a day has no zone
    return ProjectCost(str(row["tagvalue"] or ""), day, Decimal(str(amount)), str(row["currency"]))
