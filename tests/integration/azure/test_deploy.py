"""infra/deploy.sh: from an empty subscription to a healthy app, again, and what it says where it cannot."""

import copy
import json
from typing import Any

import pytest

from tests.azure_cli import cloud
from tests.azure_cli.command_line import read
from tests.integration.azure.scripts import GROUP, Done, FakeApp, Scripts

DEV = ("--env", "dev", "--location", "norwayeast", "--allow-ip", "203.0.113.7")
ORDER = [
    "group create", "ad app create", "rest patch applications(appId='*')", "rest patch applications(appId='*')",
    "ad sp create", "rest post appRoleAssignedTo", "rest post appRoleAssignedTo", "deployment group create",
    "rest post appRoleAssignedTo", "rest post appRoleAssignedTo",
    "postgres flexible-server microsoft-entra-admin create", "rest post refresh",
    "functionapp deployment source config-zip", "rest post start",
]  # fmt: skip


def deployed(scripts: Scripts, *more: str) -> Done:
    done = scripts.run("deploy.sh", *DEV, *more)
    assert done.code == 0, done.err
    return done


def written(scripts: Scripts) -> list[str]:
    """The writes of the last run, without the ids in them."""
    app_ids = [app["appId"] for app in scripts.cloud["apps"]]
    return [one.replace(app_ids[0], "*") if app_ids else one for one in scripts.writes()]


def refused(scripts: Scripts, *arguments: str) -> str:
    """What it said, having failed with advice."""
    done = scripts.run("deploy.sh", *(arguments or DEV))
    assert done.code == 1 and "next: " in done.err, done.err
    return done.err


def test_an_empty_subscription_gets_everything_in_order(scripts: Scripts) -> None:
    deployed(scripts)
    assert written(scripts) == ORDER


def test_only_the_results_go_to_standard_output(scripts: Scripts, app: FakeApp) -> None:
    lines = deployed(scripts).out.splitlines()
    assert f"API           {app.url}/api/v1" in lines
    assert "Data Factory  https://adf.azure.com/monitoring" in lines
    assert all(line.split()[-1].startswith("http") for line in lines if line.split()[0] in ("API", "Swagger"))


def test_the_group_carries_the_tag_that_destroy_looks_for(scripts: Scripts) -> None:
    deployed(scripts)
    assert scripts.cloud["groups"][GROUP] == {
        "location": "norwayeast",
        "tags": {"application": "tributary", "environment": "dev"},
    }


def test_the_registration_has_our_roles_a_scope_and_lets_the_azure_cli_in(scripts: Scripts) -> None:
    deployed(scripts)
    (app,) = scripts.cloud["apps"]
    values = [role["value"] for role in app["appRoles"]]
    assert values == ["reader", "operator", "approver", "admin", "tenant:*"]
    assert app["api"]["requestedAccessTokenVersion"] == 2
    assert [one["appId"] for one in app["api"]["preAuthorizedApplications"]] == [cloud.CLI_CLIENT]


def test_caller_and_factory_get_the_roles_they_need(scripts: Scripts) -> None:
    deployed(scripts)
    values = {role["id"]: role["value"] for role in scripts.cloud["apps"][0]["appRoles"]}
    held = {(one["principalId"], values[one["appRoleId"]]) for one in scripts.cloud["assignments"]}
    assert held == {
        (cloud.CALLER, "admin"), (cloud.CALLER, "tenant:*"),
        (cloud.FACTORY_PRINCIPAL, "operator"), (cloud.FACTORY_PRINCIPAL, "tenant:*"),
    }  # fmt: skip


def test_the_package_is_published_as_it_is(scripts: Scripts) -> None:
    deployed(scripts)
    assert scripts.cloud["published"]["built_remotely"] is False


def test_a_package_of_ones_own_is_published_without_building(scripts: Scripts) -> None:
    scripts.stand_in("make", "exit 1")
    package = scripts.folder / "mine.zip"
    package.write_bytes(b"mine")
    deployed(scripts, "--zip", str(package))
    assert scripts.cloud["published"] is not None


def test_migration_and_health_are_asked_of_the_app_with_its_own_token(scripts: Scripts, app: FakeApp) -> None:
    deployed(scripts)
    assert app.asked == ["POST /api/v1/operations/migrate", "GET /api/v1/health", "GET /api/v1/health/db"]
    assert set(app.tokens) == {f"Bearer token-for-{scripts.cloud['apps'][0]['appId']}"}


def test_no_token_stands_in_an_argument(scripts: Scripts) -> None:
    deployed(scripts)
    assert "token-for-" not in json.dumps(scripts.calls())


def test_a_second_run_changes_only_what_a_deployment_is(scripts: Scripts) -> None:
    deployed(scripts)
    before = copy.deepcopy(scripts.cloud)
    deployed(scripts)
    assert written(scripts) == [
        "rest post stop", "deployment group create", "rest post start", "rest post refresh",
        "functionapp deployment source config-zip",
    ]  # fmt: skip
    for each in ("calls", "resolved"):
        before.pop(each)
    assert {name: scripts.cloud[name] for name in before} == before


def test_roles_that_somebody_added_stay(scripts: Scripts) -> None:
    deployed(scripts)
    roles = scripts.cloud["apps"][0]["appRoles"]
    roles.append(roles[0] | {"id": "f" * 8 + "-0000-4000-8000-000000000000", "value": "tenant:north"})
    del roles[1]
    scripts.cloud["assignments"].clear()
    deployed(scripts)
    values = [role["value"] for role in scripts.cloud["apps"][0]["appRoles"]]
    assert sorted(values) == ["admin", "approver", "operator", "reader", "tenant:*", "tenant:north"]


@pytest.mark.parametrize("existing", [False, True])
def test_what_if_writes_nothing(scripts: Scripts, existing: bool) -> None:
    if existing:
        scripts.cloud["groups"][GROUP] = {"location": "norwayeast", "tags": {}}
    done = scripts.run("deploy.sh", *DEV, "--what-if")
    assert done.code == 0 and "nothing was written" in done.err
    assert scripts.writes() == []
    commands = [read(words).command for words in scripts.calls()]
    assert ("deployment group what-if" in commands) is existing


def test_somebody_elses_registration_is_left_alone(scripts: Scripts) -> None:
    done = deployed(scripts, "--audience", "11111111-0000-4000-8000-000000000000")
    assert not [one for one in scripts.writes() if one.startswith(("ad ", "rest post appRole", "rest patch"))]
    assert f"--assign operator={cloud.FACTORY_PRINCIPAL}" in done.err


def test_parameters_reach_the_template(scripts: Scripts) -> None:
    deployed(scripts, "--allow-ip", "198.51.100.0/24", "--parameter", "alertsEnabled=false")
    (call,) = (read(w) for w in scripts.calls() if w[:3] == ["deployment", "group", "create"])
    given = dict(one.partition("=")[::2] for one in call.flags["--parameters"][1:])
    assert json.loads(given["allowedIpRanges"])[1] == {
        "name": "allowed-2", "from": "198.51.100.0", "to": "198.51.100.255", "cidr": "198.51.100.0/24",
    }  # fmt: skip
    assert given["alertsEnabled"] == "false"
    assert (given["databaseAdministratorName"], given["databaseAdministratorType"]) == (
        "ada@example.com",
        "User",
    )


def test_a_service_principal_deploys_as_itself(scripts: Scripts) -> None:
    scripts.cloud["account"]["user"] = {
        "name": "22222222-0000-4000-8000-000000000000",
        "type": "servicePrincipal",
    }
    me = {"id": "33333333-0000-4000-8000-000000000000", "displayName": "pipeline"}
    scripts.cloud["services"].append(me | {"appId": scripts.cloud["account"]["user"]["name"]})
    deployed(scripts)
    (call,) = (read(w) for w in scripts.calls() if w[:3] == ["deployment", "group", "create"])
    assert {"databaseAdministratorName=pipeline", f"databaseAdministratorObjectId={me['id']}"} <= set(
        call.flags["--parameters"]
    )


def test_a_pipeline_without_rights_in_the_directory_deploys_all_the_same(scripts: Scripts) -> None:
    scripts.cloud["account"]["user"] = {
        "name": "22222222-0000-4000-8000-000000000000",
        "type": "servicePrincipal",
    }
    deployed(
        scripts,
        "--audience",
        "11111111-0000-4000-8000-000000000000",
        "--database-admin",
        "Data DBAs=44444444",
    )
    assert [words for words in scripts.calls() if words[0] == "ad"] == []
    (call,) = (read(w) for w in scripts.calls() if w[:3] == ["deployment", "group", "create"])
    assert {"databaseAdministratorName=Data DBAs", "databaseAdministratorObjectId=44444444"} <= set(
        call.flags["--parameters"]
    )


def test_only_our_own_pending_private_endpoints_are_approved(scripts: Scripts) -> None:
    def connection(name: str, status: str) -> dict[str, Any]:
        return {
            "id": f"/subscriptions/x/psql/privateEndpointConnections/{name}",
            "properties": {
                "privateEndpoint": {"id": f"/vnets/{name}"},
                "privateLinkServiceConnectionState": {"status": status},
            },
        }

    ours = connection("adf-tributary-dev.pg", "Pending")
    scripts.cloud["connections"] = [ours, connection("stranger.pg", "Pending")]
    deployed(scripts)
    states = [
        one["properties"]["privateLinkServiceConnectionState"]["status"]
        for one in scripts.cloud["connections"]
    ]
    assert states == ["Approved", "Pending"]


def test_an_endpoint_that_does_not_show_is_waited_for_and_named(scripts: Scripts) -> None:
    done = deployed(scripts)
    asked = [
        words for words in scripts.calls() if words[:3] == ["network", "private-endpoint-connection", "list"]
    ]
    assert len(asked) == 3
    assert "pg does not show yet" in done.err


# what a first deployment meets


def test_a_package_is_tried_again_while_the_apps_roles_are_on_their_way(scripts: Scripts) -> None:
    command = "functionapp deployment source config-zip"
    scripts.cloud["faults"] = {command: {"says": "ERROR: 403 from the container", "times": 2}}
    deployed(scripts)
    assert [read(words).command for words in scripts.calls()].count(command) == 3
    assert scripts.cloud["published"] is not None


def test_settings_that_are_secrets_are_resolved_once_the_roles_stand(scripts: Scripts) -> None:
    deployed(scripts)
    assert scripts.cloud["resolved"] == 1
    scripts.cloud["faults"] = {"rest": {"when": "configreferences", "says": "ERROR: Forbidden"}}
    assert "may be missing until tomorrow" in deployed(scripts).err


@pytest.mark.parametrize("provider", ["Microsoft.App", "Microsoft.EventGrid"])
def test_a_provider_that_no_template_registers_is_asked_for(scripts: Scripts, provider: str) -> None:
    scripts.cloud["providers"] = {provider: "NotRegistered"}
    assert f"az provider register --namespace {provider} --wait" in refused(scripts)
    assert scripts.writes() == []


def test_whoever_may_not_read_the_subscription_deploys_all_the_same(scripts: Scripts) -> None:
    scripts.cloud["faults"] = {"provider show": {"says": "ERROR: (AuthorizationFailed) no"}}
    deployed(scripts)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), True),
        (("--parameter", 'alertEmails=["a@example.com"]'), False),
        (("--parameter", "alertsEnabled=false"), False),
    ],
)
def test_alerts_that_nobody_is_told_of_are_said(scripts: Scripts, more: tuple[str, ...], said: bool) -> None:
    assert ("nobody is told of alerts" in deployed(scripts, *more).err) is said


# Data Factory's triggers


def test_a_trigger_that_a_person_stopped_stays_stopped(scripts: Scripts) -> None:
    deployed(scripts)
    scripts.cloud["triggers"] |= {"nightly": "Stopped", "hourly": "Started"}
    deployed(scripts)
    assert scripts.cloud["triggers"] == {"nightly": "Stopped", "hourly": "Started"}


def test_a_trigger_that_is_new_is_started(scripts: Scripts) -> None:
    deployed(scripts)
    scripts.cloud["new_triggers"]["weekly"] = "Stopped"
    deployed(scripts)
    assert scripts.cloud["triggers"] == {"nightly": "Started", "weekly": "Started"}


@pytest.mark.parametrize("command", ["deployment group create", "functionapp deployment source config-zip"])
def test_a_failed_deployment_leaves_the_triggers_running(scripts: Scripts, command: str) -> None:
    deployed(scripts)
    scripts.cloud["faults"] = {command: {"says": "ERROR: (Conflict) not today"}}
    refused(scripts)
    assert scripts.cloud["triggers"] == {"nightly": "Started"}


def test_a_trigger_whose_stop_broke_off_is_started_again(scripts: Scripts) -> None:
    deployed(scripts)
    scripts.cloud["faults"] = {
        "rest": {"when": "/stop", "says": "ERROR: connection reset", "after": True, "times": 1}
    }
    assert "trigger nightly cannot be stopped" in refused(scripts)
    assert scripts.cloud["triggers"] == {"nightly": "Started"}


# what can go wrong


def test_nobody_signed_in(scripts: Scripts) -> None:
    scripts.cloud["account"] = None
    assert "next: az login" in refused(scripts)


def test_another_subscription_is_selected(scripts: Scripts) -> None:
    said = refused(scripts, *DEV, "--subscription", "production")
    assert "trial" in said and "next: az account set --subscription 'production'" in said
    assert scripts.writes() == []


@pytest.mark.parametrize("subscription", ["trial", cloud.SUBSCRIPTION])
def test_the_right_subscription_is_recognised_by_name_and_id(scripts: Scripts, subscription: str) -> None:
    deployed(scripts, "--subscription", subscription)


def test_a_disabled_subscription(scripts: Scripts) -> None:
    scripts.cloud["account"]["state"] = "Disabled"
    assert "trial is Disabled" in refused(scripts)


@pytest.mark.parametrize(("version", "code"), [("2.84.9", 1), ("2.9.100", 1), ("2.85.0", 0), ("3.0.0", 0)])
def test_an_azure_cli_that_is_too_old_is_refused(scripts: Scripts, version: str, code: int) -> None:
    scripts.cloud["version"] = version
    assert scripts.run("deploy.sh", *DEV).code == code


def test_public_endpoints_that_let_nobody_in_are_refused(scripts: Scripts) -> None:
    assert "--allow-ip <address>" in refused(scripts, "--env", "dev", "--location", "norwayeast")
    assert scripts.writes() == []


def test_a_new_group_needs_a_location(scripts: Scripts) -> None:
    assert "--location <region>" in refused(scripts, "--env", "dev", "--allow-ip", "203.0.113.7")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("bicep build", "az bicep install"),
        ("group create", "Contributor"),
        ("ad app create", "infra/register.sh"),
        ("deployment group validate", "Azure would refuse the deployment"),
        ("deployment group create", "SkuNotAvailable"),
        ("postgres flexible-server microsoft-entra-admin create", "administrator of psql-tributary-dev"),
        ("functionapp deployment source config-zip", "--allow-ip"),
    ],
)
def test_a_step_that_fails_says_what_to_do_and_ends_it(scripts: Scripts, command: str, said: str) -> None:
    scripts.cloud["faults"] = {command: {"says": "ERROR: (Forbidden) no"}}
    assert said in refused(scripts)
    tried = [read(words).command for words in scripts.calls()]
    # What a failed deployment still asks for is why it failed.
    assert [one for one in tried if one != "deployment operation group list"][-1] == command


def test_a_package_that_cannot_be_built_stops_it_before_anything_is_deployed(scripts: Scripts) -> None:
    scripts.stand_in("make", "exit 1")
    assert "make package" in refused(scripts)
    assert "deployment group create" not in scripts.writes()


def test_an_app_of_another_python_is_refused(scripts: Scripts) -> None:
    scripts.cloud["outputs"]["pythonVersion"] = "3.12"
    assert "packages are built for 3.13" in refused(scripts)
    assert scripts.cloud["published"] is None


def test_a_registration_whose_name_is_not_unique_is_refused(scripts: Scripts) -> None:
    deployed(scripts)
    scripts.cloud["apps"].append(scripts.cloud["apps"][0] | {"appId": "second"})
    assert "--audience <client id>" in refused(scripts)


@pytest.mark.parametrize("status", [401, 403, 404, 502, 503])
def test_migration_is_tried_again_while_the_app_starts_or_a_role_is_on_its_way(
    scripts: Scripts, app: FakeApp, status: int
) -> None:
    app.answers["POST /api/v1/operations/migrate"] = [(status, {}), (200, {"applied": []})]
    deployed(scripts)
    assert app.asked.count("POST /api/v1/operations/migrate") == 2
    asked_for = [read(words).command for words in scripts.calls()]
    assert asked_for.count("account get-access-token") == 2  # a token from before the role would never do


@pytest.mark.parametrize(
    ("status", "tries", "said"),
    [
        (401, 3, "az logout, az login"),
        (503, 3, "PostgreSQL role or network"),
        (409, 1, "the schema is newer"),
    ],
)
def test_a_refused_migration_is_told_with_its_reason(
    scripts: Scripts, app: FakeApp, status: int, tries: int, said: str
) -> None:
    app.answers["POST /api/v1/operations/migrate"] = [(status, {"detail": "the schema is newer"})]
    told = refused(scripts)
    assert said in told and "the schema is newer" in told
    assert app.asked == ["POST /api/v1/operations/migrate"] * tries


@pytest.mark.parametrize("path", ["/api/v1/health", "/api/v1/health/db"])
def test_an_app_that_never_gets_healthy_is_no_success(scripts: Scripts, app: FakeApp, path: str) -> None:
    app.answers[f"GET {path}"] = [(503, {"detail": "starting"})]
    assert "status 503, starting" in refused(scripts)
    assert app.asked[-3:] == [f"GET {path}"] * 3


def test_an_app_that_cannot_be_reached(scripts: Scripts) -> None:
    scripts.cloud["outputs"]["functionAppUrl"] = "http://127.0.0.1:9"
    assert "does not answer" in refused(scripts)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--env", "test"),
        ("--env",),
        (*DEV, "--force"),
        (*DEV, "--database-role", "none"),
        (*DEV, "--allow-ip", "home"),
    ],
)
def test_wrong_options_are_refused_before_anything_happens(
    scripts: Scripts, arguments: tuple[str, ...]
) -> None:
    assert scripts.run("deploy.sh", *arguments).code == 2
    assert scripts.writes() == []


# a plain role in PostgreSQL


def test_prod_makes_a_plain_role_as_the_administrators_group(scripts: Scripts) -> None:
    told = scripts.folder / "told"
    scripts.stand_in("python", f'env | grep -E "^(DATABASE|APP)_" >"{told}"', scripts.root / ".venv" / "bin")
    done = scripts.run(
        "deploy.sh",
        "--env",
        "prod",
        "--resource-group",
        "data",
        "--location",
        "x",
        "--database-admin",
        "Data DBAs",
    )
    assert done.code == 0, done.err
    given = dict(line.split("=", 1) for line in told.read_text().splitlines())
    assert (given["DATABASE_USER"], given["DATABASE_TOKEN"]) == ("Data DBAs", "token-for-oss-rdbms")
    assert given["APP_ROLE"] == "id-tributary-dev"
    assert scripts.cloud["administrators"] == []


def test_a_package_from_elsewhere_brings_no_python_so_one_is_made(scripts: Scripts) -> None:
    python = scripts.root / ".venv" / "bin" / "python"
    scripts.stand_in(
        "make", f'mkdir -p "{python.parent}"; printf "#!/bin/sh\n" >"{python}"; chmod +x "{python}"'
    )
    package = scripts.folder / "mine.zip"
    package.write_bytes(b"mine")
    deployed(scripts, "--database-role", "sql", "--zip", str(package))
    assert python.exists()


def test_a_role_that_could_not_be_made_say_where_to_run_it(scripts: Scripts) -> None:
    scripts.stand_in("python", "exit 1", scripts.root / ".venv" / "bin")
    assert "port 5432" in refused(scripts, *DEV, "--database-role", "sql")
