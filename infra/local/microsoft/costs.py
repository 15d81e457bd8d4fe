"""Cost Management's part: daily costs grouped by one tag, in columns and rows, page by page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from infra.local.loopback import Answer, Request, json_answer
from infra.local.microsoft.errors import RefusedError

if TYPE_CHECKING:
    from infra.local.microsoft.server import MicrosoftServer

_PATH = re.compile(r"/subscriptions/([^/]+)/providers/Microsoft\.CostManagement/query")
COLUMNS = (
    ("Cost", "Number"),
    ("UsageDate", "Number"),
    ("TagKey", "String"),
    ("TagValue", "String"),
    ("Currency", "String"),
)


@dataclass(frozen=True, slots=True)
class CostRow:
    """What one value of the tag cost on one day; `tag` empty for what bears none."""

    tag: str
    day: date
    amount: Decimal
    currency: str = "EUR"


def matches(path: str) -> bool:
    return _PATH.fullmatch(path) is not None


def query(server: MicrosoftServer, request: Request) -> Answer:
    """Answer a query; its next pages are asked for by POST with the same body, and nothing else will do."""
    matched = _PATH.fullmatch(request.path)
    if request.method != "POST" or matched is None:
        raise RefusedError(405, "MethodNotAllowed", f"The method {request.method} is not allowed.")
    if matched[1] != server.subscription:
        raise RefusedError(
            404, "SubscriptionNotFound", f"The subscription '{matched[1]}' could not be found."
        )
    if "api-version" not in request.parameters:
        raise RefusedError(400, "MissingApiVersionParameter", "The api-version query parameter is required.")
    tag, first, last = _wanted(request.body)
    rows = [row for row in server.costs if first <= row.day <= last]
    if not rows and server.switches.no_content:
        return Answer(204, b"")
    begin = int(request.parameters.get("$skiptoken", "0"))
    end = begin + server.switches.cost_rows
    link = f"{server.url}{request.path}?api-version=2024-08-01&$skiptoken={end}" if end < len(rows) else None
    properties = {
        "nextLink": link,
        "columns": [{"name": name, "type": type} for name, type in COLUMNS],
        "rows": [
            [float(row.amount), int(f"{row.day:%Y%m%d}"), tag, row.tag, row.currency]
            for row in rows[begin:end]
        ],
    }
    return json_answer({"id": "query", "type": "Microsoft.CostManagement/query", "properties": properties})


def _wanted(body: bytes) -> tuple[str, date, date]:
    try:
        sent: Any = msgspec.json.decode(body)
        dataset = sent["dataset"]
        grouping, period = dataset["grouping"][0], sent["timePeriod"]
        supported = (sent["type"], sent["timeframe"], dataset["granularity"], grouping["type"])
        first, last = date.fromisoformat(period["from"][:10]), date.fromisoformat(period["to"][:10])
    except (msgspec.DecodeError, KeyError, IndexError, TypeError, ValueError):
        raise RefusedError(400, "BadRequest", "Invalid query definition: Dataset or time period.") from None
    if supported != ("ActualCost", "Custom", "Daily", "TagKey") or first > last:
        raise RefusedError(400, "BadRequest", "Invalid query definition.")
    return str(grouping["name"]), first, last
