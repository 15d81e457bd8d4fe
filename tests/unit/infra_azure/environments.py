"""The deployments that the tests look at: each environment's parameters, with what a person adds to them."""

import json
from functools import cache
from typing import Any

from tests.unit.infra_azure.deployment import Deployed, deploy
from tests.unit.infra_azure.syntax import INFRA

ENVIRONMENTS = ("dev", "prod")
ASKED = {
    "databaseAdministratorObjectId": "33333333-3333-3333-3333-333333333333",
    "databaseAdministratorName": "tributary-administrators",
    "entraAudience": "api://tributary",
}
OPTIONAL = {
    "allowedIpRanges": [
        {"name": "office", "from": "198.51.100.0", "to": "198.51.100.255", "cidr": "198.51.100.0/24"},
        {"name": "home", "from": "203.0.113.7", "to": "203.0.113.7"},
    ],
    "alertEmails": ["on-call@example.com"],
    "graphApplication": {"tenantId": "t", "clientId": "c"},
    "mailServer": {"host": "mail.example.com", "port": 587, "username": "u", "from": "noreply@example.com"},
    "enableWorkflow": True,
    "readCosts": True,
}


def parameters(environment: str) -> dict[str, Any]:
    """The environment's parameter file."""
    document = json.loads((INFRA / f"parameters/{environment}.parameters.json").read_text())
    return {name: each["value"] for name, each in document["parameters"].items()}


@cache
def deployed(environment: str, *, everything: bool = True) -> Deployed:
    """What an environment becomes, with every optional part or with none."""
    return deploy(INFRA / "main.bicep", parameters(environment) | ASKED | (OPTIONAL if everything else {}))


def app_settings(environment: str, *, everything: bool = True) -> dict[str, str]:
    """The function app's settings."""
    (config,) = deployed(environment, everything=everything).of_type("Microsoft.Web/sites/config")
    return config.body["properties"]
