"""The function app is told everything that the code reads, in values that the code takes."""

import json
import re
from typing import Any

import pytest

from shared.settings import Settings
from tests.unit.infra_azure.environments import ENVIRONMENTS, app_settings, deployed, parameters
from tests.unit.infra_azure.syntax import INFRA

# Settings that a deployment leaves unset, each with the reason.
LOCAL_ONLY = {
    "AzureWebJobsStorage": "a connection string; in Azure the identity signs in",
    "POSTGRES_PASSWORD": "in Azure the identity signs in",
    "DATABRICKS_TOKEN": "in Azure the identity signs in to the workspaces",
    "LOCAL_TOKEN_SECRET": "signs tokens of the local stack, which refuses to run in Azure",
    "FUNCTIONS_WORKER_RUNTIME": "Flex Consumption has it in functionAppConfig, and refuses it here",
    "DOMAIN_DB_CONNECTION_STRING": "holds a password; share packs use the same database, by the identity",
    "LOCAL_VAULT_DIR": "in Azure activation links go to Key Vault",
    "NOTIFICATION_WEBHOOK_SECRET": "goes with the address, by another reference to the vault",
    "NOTIFICATION_WEBHOOK_URL": "its address is its secret: a person puts a reference to the vault",
}
# What the host, the worker and the libraries read, and no code of ours.
PLATFORM = {
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY",
    "PYTHON_THREADPOOL_THREAD_COUNT",
    "AZURE_CLIENT_ID",
    "AzureWebJobsDisableHomepage",
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__blobServiceUri",
}
# Contracts of which the code reads some only from its next release on.
PROMISED = {
    "WATCH_SCHEDULE", "ENABLE_WORKFLOW", "WORKFLOW_APPROVAL", "SHARE_DRIFT_POLICY", "DATABRICKS_HOSTS",
    "AZURE_QUEUE_NAME", "DIRECTORY_QUEUE_NAME", "DIRECTORY_DOMAINS", "GRAPH_TENANT_ID", "GRAPH_CLIENT_ID",
    "GRAPH_CLIENT_SECRET", "SMTP_HOST", "SMTP_PORT", "SMTP_USERNAME", "SMTP_PASSWORD", "NOTIFICATION_FROM_EMAIL",
    "AZURE_SUBSCRIPTION_ID", "DATA_FACTORY_RESOURCE_GROUP", "DATA_FACTORY_NAME", "SUBMISSIONS_CONTAINER",
}  # fmt: skip


def read_by_the_code() -> set[str]:
    """Every setting's name, as the environment spells it."""
    return {field.alias or name.upper() for name, field in Settings.model_fields.items()}


def example() -> dict[str, Any]:
    return json.loads((INFRA.parent / "local.settings.json.example").read_text())["Values"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_setting_that_the_code_reads_is_set_or_left_to_a_developer(environment: str) -> None:
    assert (read_by_the_code() | set(example())) - set(app_settings(environment)) - set(LOCAL_ONLY) == set()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_promised_setting_is_set(environment: str) -> None:
    assert set(app_settings(environment)) >= PROMISED


def triggers_of_share_packs() -> set[str]:
    import function_app

    modules = (*function_app.SHARE_PACKS, *function_app.DIRECTORY)
    return {module.__name__.rpartition(".")[2] for module in modules}


def test_triggers_of_share_packs_are_disabled_exactly_where_they_are_off() -> None:
    wanted = {f"AzureWebJobs__{name}__Disabled" for name in triggers_of_share_packs()}
    for everything in (False, True):
        found = app_settings("prod", everything=everything)
        disabled = {name for name in found if name.endswith("__Disabled")}
        assert disabled == (set() if found["ENABLE_WORKFLOW"] == "true" else wanted)
    assert app_settings("prod", everything=True)["ENABLE_WORKFLOW"] == "true"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_nothing_is_set_that_nobody_reads(environment: str) -> None:
    disabled = {f"AzureWebJobs__{name}__Disabled" for name in triggers_of_share_packs()}
    known = read_by_the_code() | set(example()) | PLATFORM | PROMISED | disabled
    assert set(app_settings(environment)) <= known
    assert not set(app_settings(environment)) & set(LOCAL_ONLY)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_environment_differs_by_settings_that_exist(environment: str) -> None:
    others = set(ENVIRONMENTS) - {environment}
    known = set(app_settings(others.pop(), everything=False))
    assert set(parameters(environment)["appSettings"]) <= known


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_code_takes_the_settings(environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in app_settings(environment).items():
        monkeypatch.setenv(name, value)
    settings = Settings()  # type: ignore[call-arg]
    assert settings.postgres_auth == "entra"
    assert settings.sslmode == "verify-full"
    assert settings.postgres_port == 6432
    assert settings.auth_mode == "entra"
    assert settings.storage is None


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_secrets_are_references_to_the_vault(environment: str) -> None:
    for name, value in app_settings(environment).items():
        if re.search(r"PASSWORD$|CLIENT_SECRET$", name):
            assert value.startswith("@Microsoft.KeyVault(SecretUri="), name


def test_reference_to_a_secret_stands_only_where_it_is_used() -> None:
    assert "@Microsoft.KeyVault" not in "".join(app_settings("dev", everything=False).values())


def test_defaults_are_those_that_the_code_has() -> None:
    """A default that differs between the code and a deployment is found out at 03:00."""
    ours = {
        name: value
        for name, value in app_settings("prod", everything=False).items()
        if name not in parameters("prod")["appSettings"]
    }
    deliberate = {"POSTGRES_AUTH", "POSTGRES_SSLMODE", "POSTGRES_PORT", "POSTGRES_SSLROOTCERT", "ENTRA_TENANT_ID",
                  "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY"}  # fmt: skip
    for name, field in Settings.model_fields.items():
        sent, said = field.alias or name.upper(), field.default
        if (
            sent in ours
            and sent not in deliberate
            and said is not None
            and isinstance(said, str | int | float)
        ):
            assert ours[sent].lower().rstrip("/") in {
                str(said).lower().rstrip("/"),
                str(int(said)) if isinstance(said, float) else "",
            }, sent


def test_storage_is_reached_by_the_identity() -> None:
    ours = app_settings("prod")
    assert ours["AzureWebJobsStorage__credential"] == "managedidentity"
    assert ours["AzureWebJobsStorage__clientId"] == ours["AZURE_CLIENT_ID"] == "identity.properties.clientId"
    for service in ("blob", "queue", "table"):
        assert ours[f"AzureWebJobsStorage__{service}ServiceUri"].endswith(f"primaryEndpoints.{service}")


def test_nothing_is_configured_that_flex_consumption_refuses() -> None:
    (site,) = deployed("prod").of_type("Microsoft.Web/sites")
    refused = {"alwaysOn", "ftpsState", "functionAppScaleLimit", "linuxFxVersion", "netFrameworkVersion",
               "preWarmedInstanceCount", "pythonVersion", "use32BitWorkerProcess", "vnetRouteAllEnabled",
               "windowsFxVersion", "appSettings"}  # fmt: skip
    assert not refused & {*site.body["properties"], *site.body["properties"]["siteConfig"]}


def test_nothing_is_set_that_flex_consumption_refuses() -> None:
    refused = {"FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_EXTENSION_VERSION", "FUNCTIONS_WORKER_PROCESS_COUNT",
               "WEBSITE_TIME_ZONE", "WEBSITE_RUN_FROM_PACKAGE", "SCM_DO_BUILD_DURING_DEPLOYMENT",
               "ENABLE_ORYX_BUILD", "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING", "WEBSITE_CONTENTSHARE"}  # fmt: skip
    assert not refused & set(app_settings("prod"))
