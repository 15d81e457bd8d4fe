"""A subscription and a directory in one JSON file, as far as our scripts change and ask about them.

It refuses what Azure refuses: deploying over a running trigger, taking an enabled app role away, assigning a role
twice, letting a client in before its scope exists. `faults` makes a command fail as Azure would.
"""

import base64
import hashlib
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.azure_cli.command_line import Call

Json = dict[str, Any]
SUBSCRIPTION = "00000000-0000-4000-8000-000000000001"
TENANT = "00000000-0000-4000-8000-000000000002"
CALLER = "00000000-0000-4000-8000-000000000003"
FACTORY_PRINCIPAL = "00000000-0000-4000-8000-000000000004"
IDENTITY = "00000000-0000-4000-8000-000000000005"
CLI_CLIENT = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"


class AzureError(Exception):
    """What az prints before it exits with 1."""


def fresh(outputs: Json) -> Json:
    """An empty subscription with somebody signed in; a deployment answers `outputs`."""
    return {
        "version": "2.91.0",
        "account": {
            "id": SUBSCRIPTION, "name": "trial", "state": "Enabled", "tenantId": TENANT,
            "user": {"name": "ada@example.com", "type": "user"},
        },
        "groups": {}, "deployments": {}, "triggers": {}, "new_triggers": {"nightly": "Stopped"},
        "providers": {}, "resolved": 0, "connections": [], "administrators": [], "apps": [], "services": [], "assignments": [],
        "published": None, "token": None, "outputs": outputs, "faults": {}, "calls": [],
    }  # fmt: skip


class Cloud:
    """Carries out one call; `state` is what fresh() made, and whatever became of it."""

    def __init__(self, state: Json) -> None:
        self.state = state

    def run(self, call: Call) -> Any:
        """The answer before --query; raises AzureError as the real one would fail."""
        fault = self._fault(call)
        if fault and not fault.get("after"):
            raise AzureError(fault["says"])
        self._signed_in(call.command)
        handler: Callable[[Call], Any] = getattr(self, "_" + call.command.replace(" ", "_").replace("-", "_"))
        answer = handler(call)
        if fault:
            raise AzureError(fault["says"])
        return answer

    def _fault(self, call: Call) -> Json | None:
        """What makes this call fail; `when` names a part of an argument, `times` how often."""
        fault: Json | None = self.state["faults"].get(call.command)
        if fault is None or fault.get("when", "") not in " ".join(
            v for values in call.flags.values() for v in values
        ):
            return None
        fault["times"] = fault.get("times", 1_000) - 1
        if fault["times"] <= 0:
            del self.state["faults"][call.command]
        return fault

    def _signed_in(self, command: str) -> None:
        if self.state["account"] is None and command not in ("version", "bicep build"):
            raise AzureError("ERROR: Please run 'az login' to setup account.")

    # the tool and the account

    def _version(self, call: Call) -> Json:
        return {"azure-cli": self.state["version"]}

    def _account_show(self, call: Call) -> Any:
        return self.state["account"]

    def _account_get_access_token(self, call: Call) -> Json:
        asked = call.get("--resource") or call.get("--resource-type")
        return {"accessToken": self.state["token"] or f"token-for-{asked}"}

    def _bicep_build(self, call: Call) -> None:
        assert Path(call.get("--file")).name == "main.bicep"

    def _provider_show(self, call: Call) -> Json:
        return {"registrationState": self.state["providers"].get(call.get("--namespace"), "Registered")}

    # resource groups and deployments

    def _group_exists(self, call: Call) -> bool:
        return call.get("--name") in self.state["groups"]

    def _group_show(self, call: Call) -> Json:
        if call.get("--name") not in self.state["groups"]:
            raise AzureError(
                f"ERROR: (ResourceGroupNotFound) Resource group '{call.get('--name')}' could not be found."
            )
        found: Json = self.state["groups"][call.get("--name")]
        return found

    def _group_create(self, call: Call) -> None:
        tags = dict(one.split("=", 1) for one in call.flags.get("--tags", []))
        self.state["groups"][call.get("--name")] = {"location": call.get("--location"), "tags": tags}

    def _group_delete(self, call: Call) -> None:
        self._group_show(call)
        assert "--yes" in call.flags, "az would wait for an answer"
        del self.state["groups"][call.get("--name")]

    def _resource_list(self, call: Call) -> list[Json]:
        self._in_group(call)
        factory = self._factory(call)
        return [{"id": factory, "type": "Microsoft.DataFactory/factories", "name": "adf"}] if factory else []

    def _deployment_group_validate(self, call: Call) -> None:
        self._in_group(call)
        self._parameters(call)

    _deployment_group_what_if = _deployment_group_validate

    def _deployment_group_create(self, call: Call) -> None:
        group = self._in_group(call)
        running = [name for name, state in self.state["triggers"].items() if state == "Started"]
        if running:
            raise AzureError(
                "ERROR: (TriggerEnabledCannotUpdate) Cannot update enabled Trigger; Trigger needs to be "
                f"disabled first: {running[0]}"
            )
        for name, state in self.state["new_triggers"].items():
            self.state["triggers"].setdefault(name, state)
        self.state["deployments"][f"{group}/{call.get('--name')}"] = {
            "properties": {"outputs": self._outputs(), "parameters": self._parameters(call)}
        }

    def _deployment_group_show(self, call: Call) -> Json:
        found = self.state["deployments"].get(f"{self._in_group(call)}/{call.get('--name')}")
        if found is None:
            raise AzureError(
                f"ERROR: (DeploymentNotFound) Deployment '{call.get('--name')}' could not be found."
            )
        answer: Json = found
        return answer

    def _deployment_operation_group_list(self, call: Call) -> list[Json]:
        return [
            {
                "properties": {
                    "provisioningState": "Failed",
                    "targetResource": {"id": "/subscriptions/x/psql"},
                    "statusMessage": {"error": {"code": "SkuNotAvailable"}},
                }
            }
        ]

    def _in_group(self, call: Call) -> str:
        name = call.get("--resource-group")
        if name not in self.state["groups"]:
            raise AzureError(f"ERROR: (ResourceGroupNotFound) Resource group '{name}' could not be found.")
        return name

    def _outputs(self) -> Json:
        return {name: {"value": value} for name, value in self.state["outputs"].items()}

    @staticmethod
    def _parameters(call: Call) -> Json:
        file, *more = call.flags["--parameters"]
        named: Json = json.loads(Path(file.removeprefix("@")).read_text())["parameters"]
        return named | {name: {"value": value} for name, _, value in (one.partition("=") for one in more)}

    # Data Factory, PostgreSQL, the app

    def _factory(self, call: Call) -> str:
        group = call.get("--resource-group")
        if not any(key.startswith(f"{group}/") for key in self.state["deployments"]):
            return ""
        return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.DataFactory/factories/adf"

    def _trigger(self, path: str) -> None:
        name, action = path.split("/")[-2:]
        self.state["triggers"][name] = {"start": "Started", "stop": "Stopped"}[action]

    def _network_private_endpoint_connection_list(self, call: Call) -> list[Json]:
        return [one for one in self.state["connections"] if one["id"].startswith(call.get("--id"))]

    def _network_private_endpoint_connection_approve(self, call: Call) -> None:
        (found,) = (one for one in self.state["connections"] if one["id"] == call.get("--id"))
        found["properties"]["privateLinkServiceConnectionState"]["status"] = "Approved"

    def _postgres_flexible_server_microsoft_entra_admin_list(self, call: Call) -> list[Json]:
        return [{"objectId": one} for one in self.state["administrators"]]

    def _postgres_flexible_server_microsoft_entra_admin_create(self, call: Call) -> None:
        assert call.get("--type") == "ServicePrincipal", "an identity is none of the others"
        self.state["administrators"].append(call.get("--object-id"))

    def _functionapp_deployment_source_config_zip(self, call: Call) -> None:
        content = Path(call.get("--src")).read_bytes()
        # Without the flag the real command builds Python apps anew on its side.
        built_remotely = call.get("--build-remote", "true") != "false"
        self.state["published"] = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "built_remotely": built_remotely,
        }

    # the directory

    def _ad_signed_in_user_show(self, call: Call) -> Json:
        if self.state["account"]["user"]["type"] != "user":
            raise AzureError("ERROR: /me request is only valid with delegated authentication flow.")
        return {"id": CALLER}

    def _ad_group_show(self, call: Call) -> Json:
        return {"id": str(uuid.uuid5(uuid.NAMESPACE_DNS, call.get("--group")))}

    def _ad_app_list(self, call: Call) -> list[Json]:
        wanted = call.get("--display-name")  # the real one too matches beginnings
        return [app for app in self.state["apps"] if app["displayName"].startswith(wanted)]

    def _ad_app_create(self, call: Call) -> Json:
        app = {
            "appId": str(uuid.uuid4()), "displayName": call.get("--display-name"), "appRoles": _file(call.get("--app-roles")),
            "api": {
                "requestedAccessTokenVersion": int(call.get("--requested-access-token-version")),
                "oauth2PermissionScopes": [], "preAuthorizedApplications": [],
            },
        }  # fmt: skip
        self.state["apps"].append(app)
        return app

    def _ad_app_show(self, call: Call) -> Json:
        for app in self.state["apps"]:
            if app["appId"] == call.get("--id"):
                found: Json = app
                return found
        raise AzureError(
            f"ERROR: Resource '{call.get('--id')}' does not exist or one of its queried references"
        )

    def _ad_app_update(self, call: Call) -> None:
        app, roles = self._ad_app_show(call), _file(call.get("--app-roles"))
        gone = {role["id"] for role in app["appRoles"] if role["isEnabled"]} - {role["id"] for role in roles}
        if gone:
            raise AzureError(
                "ERROR: (CannotDeleteOrUpdateEnabledEntitlement) Permission (scope or role) cannot be deleted"
                " or updated unless disabled first."
            )
        app["appRoles"] = roles

    def _ad_app_delete(self, call: Call) -> None:
        self.state["apps"].remove(self._ad_app_show(call))

    def _ad_sp_list(self, call: Call) -> list[Json]:
        return [one for one in self.state["services"] if f"'{one['appId']}'" in call.get("--filter")]

    def _ad_sp_create(self, call: Call) -> None:
        self.state["services"].append(
            {"id": str(uuid.uuid4()), "appId": call.get("--id"), "displayName": "app"}
        )

    def _ad_sp_show(self, call: Call) -> Json:
        for one in self.state["services"]:
            if one["appId"] == call.get("--id"):
                found: Json = one
                return found
        raise AzureError(f"ERROR: Resource '{call.get('--id')}' does not exist")

    # az rest: Azure's own interface by path, Graph by address

    def _rest(self, call: Call) -> Any:
        method, url = call.get("--method", "get"), call.get("--url").partition("?")[0]
        if url.endswith("/triggers"):
            return {
                "value": [
                    {"name": name, "properties": {"runtimeState": state}}
                    for name, state in self.state["triggers"].items()
                ]
            }
        if url.endswith(("/start", "/stop")) and method == "post":
            return self._trigger(url)
        if url.endswith("/config/configreferences/appsettings/refresh") and method == "post":
            self.state["resolved"] += 1
            return None
        if "/applications(appId='" in url and method == "patch":
            return self._patch_api(url.split("'")[1], _file(call.get("--body"))["api"])
        if url.endswith("/appRoleAssignedTo"):
            return self._assign(method, call)
        raise AzureError(f"ERROR: Not Found({url})")

    def _patch_api(self, app_id: str, change: Json) -> None:
        (app,) = (one for one in self.state["apps"] if one["appId"] == app_id)
        scopes = {scope["id"] for scope in app["api"]["oauth2PermissionScopes"]}
        for client in change.get("preAuthorizedApplications", []):
            if not set(client["delegatedPermissionIds"]) <= scopes:
                raise AzureError(
                    "ERROR: Bad Request: Property PermissionId is invalid: it must be a scope of the app"
                )
        app["api"].update(change)

    def _assign(self, method: str, call: Call) -> Any:
        if method == "get":
            return {"value": self.state["assignments"]}
        wanted: Json = json.loads(call.get("--body"))
        if any(wanted.items() <= one.items() for one in self.state["assignments"]):
            raise AzureError("ERROR: Bad Request: Permission being assigned already exists on the object")
        self.state["assignments"].append(wanted | {"id": base64.b64encode(uuid.uuid4().bytes).decode()})
        return None


def _file(value: str) -> Any:
    assert value.startswith("@"), "long JSON belongs in a file"
    return json.loads(Path(value[1:]).read_text())
