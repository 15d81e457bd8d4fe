"""The functions of Bicep that our templates call, and what they know of the place that is deployed to."""

import hashlib
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

GROUP = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg-test"
CONTEXT: dict[str, Any] = {
    "resourceGroup": {"id": GROUP, "name": "rg-test", "location": "norwayeast"},
    "subscription": {
        "id": "/subscriptions/11111111-1111-1111-1111-111111111111",
        "subscriptionId": "11111111-1111-1111-1111-111111111111",
        "tenantId": "22222222-2222-2222-2222-222222222222",
    },
    "deployment": {"name": "test", "location": "norwayeast"},
    "environment": {
        "portal": "https://portal.azure.com",
        "resourceManager": "https://management.azure.com/",
        "authentication": {"loginEndpoint": "https://login.microsoftonline.com/"},
        "suffixes": {"storage": "core.windows.net", "sqlServerHostname": ".database.windows.net"},
    },
}


def functions(folder: Path) -> dict[str, Callable[..., Any]]:
    """Every function by name; paths are relative to the folder."""

    def digest(*parts: str) -> str:
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def load(path: str) -> str:
        return (folder / path).read_text()

    def union(*objects: dict[str, Any]) -> dict[str, Any]:
        return {key: value for each in objects for key, value in each.items()}

    return {
        "any": lambda value: value,
        "concat": lambda *lists: [each for one in lists for each in one],
        "contains": lambda where, what: what in where,
        "empty": lambda value: not value,
        "guid": lambda *parts: str(uuid.uuid5(uuid.NAMESPACE_OID, "\0".join(parts))),
        "join": lambda parts, between: between.join(parts),
        "json": json.loads,
        "length": len,
        "loadJsonContent": lambda path: json.loads(load(path)),
        "loadTextContent": load,
        "replace": lambda where, what, by: where.replace(what, by),
        "resourceId": lambda kind, *names: f"{GROUP}/providers/{kind}/{'/'.join(names)}",
        "string": lambda value: value if isinstance(value, str) else json.dumps(value),
        "subscriptionResourceId": lambda kind, name: (
            f"{CONTEXT['subscription']['id']}/providers/{kind}/{name}"
        ),
        "take": lambda value, count: value[:count],
        "toLower": str.lower,
        "union": union,
        "uniqueString": lambda *parts: digest(*parts)[:13],
        "uriComponent": lambda value: quote(value, safe=""),
    }
