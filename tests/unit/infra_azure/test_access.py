"""Who may do what: roles, doors and ways in."""

import re
from typing import Any

import pytest

from tests.unit.infra_azure.deployment import Resource
from tests.unit.infra_azure.environments import ENVIRONMENTS, app_settings, deployed
from tests.unit.infra_azure.syntax import INFRA

APP, FACTORY = "identity.properties.principalId", "factory.identity.principalId"
# The names that Microsoft's list of built-in roles gives to these ids.
ROLES = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "Storage Queue Data Contributor",
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": "Key Vault Secrets Officer",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
    "673868aa-7521-48a0-acc6-0f60742d39f5": "Data Factory Contributor",
    "72fafb9e-0641-4937-9268-a91bfd8191a3": "Cost Management Reader",
}
NEEDED = {
    (APP, "Storage Blob Data Owner", "storageAccounts"),
    (APP, "Storage Queue Data Contributor", "storageAccounts"),
    (APP, "Storage Table Data Contributor", "storageAccounts"),
    (APP, "Key Vault Secrets Officer", "vaults"),
    (APP, "Monitoring Metrics Publisher", "components"),
    (APP, "Data Factory Contributor", "factories"),
    (FACTORY, "Storage Blob Data Contributor", "submissions"),
    (FACTORY, "Storage Blob Data Contributor", "archive"),
    (FACTORY, "Key Vault Secrets User", "vaults"),
}


def only(environment: str, kind: str) -> dict[str, Any]:
    (found,) = deployed(environment).of_type(kind)
    return found.body["properties"]


def assigned(environment: str, *, everything: bool) -> set[tuple[str, str, str]]:
    """Who holds which role on what: the kind of resource, or a container's name."""
    found = set()
    for each in deployed(environment, everything=everything).of_type(
        "Microsoft.Authorization/roleAssignments"
    ):
        role = ROLES[each.body["properties"]["roleDefinitionId"].rpartition("/")[2]]
        found.add((each.body["properties"]["principalId"], role, _where(each.scope)))
    return found


def _where(scope: Resource | None) -> str:
    if scope is None:
        return "resource group"
    kind = scope.type.rpartition("/")[2]
    return scope.name.rpartition("/")[2] if kind == "containers" else kind


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_roles_are_those_that_are_needed_and_no_wider(environment: str) -> None:
    assert assigned(environment, everything=False) == NEEDED


def test_reading_costs_is_a_choice_and_ends_at_the_group() -> None:
    extra = assigned("dev", everything=True) - NEEDED
    assert extra == {(APP, "Cost Management Reader", "resource group")}


def test_every_role_has_its_reason() -> None:
    for each in deployed("prod").of_type("Microsoft.Authorization/roleAssignments"):
        assert each.body["properties"]["principalType"] == "ServicePrincipal"
        assert len(each.body["properties"]["description"]) > 20


def test_table_of_roles_names_them_as_they_are_called() -> None:
    text = (INFRA / "modules/role-assignments.bicep").read_text()
    rows = re.findall(r"role: '(.+)'\n\s+roleId: '(.+)'", text)
    assert rows
    assert {(ROLES[role_id], role_id) for _, role_id in rows} == set(rows)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_queues_and_tables_are_those_that_the_code_names(environment: str) -> None:
    settings = app_settings(environment)
    named = {settings[f"{which}_QUEUE_NAME"] for which in ("SYNC", "AZURE", "DIRECTORY")}
    queues = {
        each.name.rpartition("/")[2]
        for each in deployed(environment).of_type("Microsoft.Storage/storageAccounts/queueServices/queues")
    }
    assert queues == named | {f"{name}-poison" for name in named}
    assert named == {"sync-jobs", "sharepack-processing", "sync-triggers"}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_tables_are_those_that_the_code_names(environment: str) -> None:
    tables = {
        each.name.rpartition("/")[2]
        for each in deployed(environment).of_type("Microsoft.Storage/storageAccounts/tableServices/tables")
    }
    source = (INFRA.parent / "shared/adapters/execution_log.py").read_text()
    assert tables == {"executionlog", "heartbeats"}
    assert all(f'"{name}"' in source for name in tables)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_package_and_submissions_have_their_containers(environment: str) -> None:
    containers = {
        each.name.rpartition("/")[2]: each.body["properties"]
        for each in deployed(environment).of_type("Microsoft.Storage/storageAccounts/blobServices/containers")
    }
    package = only(environment, "Microsoft.Web/sites")["functionAppConfig"]["deployment"]["storage"]["value"]
    assert package.endswith("deployment")
    assert app_settings(environment)["SUBMISSIONS_CONTAINER"] == "submissions"
    assert set(containers) == {"deployment", "submissions", "archive"}
    assert {each["publicAccess"] for each in containers.values()} == {"None"}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_key_or_password_opens_anything(environment: str) -> None:
    assert only(environment, "Microsoft.Storage/storageAccounts")["allowSharedKeyAccess"] is False
    assert only(environment, "Microsoft.Insights/components")["DisableLocalAuth"] is True
    assert (
        only(environment, "Microsoft.OperationalInsights/workspaces")["features"]["disableLocalAuth"] is True
    )
    postgres = only(environment, "Microsoft.DBforPostgreSQL/flexibleServers")
    assert postgres["authConfig"]["passwordAuth"] == "Disabled"
    assert postgres["authConfig"]["activeDirectoryAuth"] == "Enabled"
    assert "administratorLogin" not in postgres
    sql = only(environment, "Microsoft.Sql/servers")
    assert sql["administrators"]["azureADOnlyAuthentication"] is True
    assert "administratorLoginPassword" not in sql
    publishing = deployed(environment).of_type("Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    assert {each.name.rpartition("/")[2]: each.body["properties"]["allow"] for each in publishing} == {
        "scm": False,
        "ftp": False,
    }


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_vault_keeps_what_is_deleted(environment: str) -> None:
    vault = only(environment, "Microsoft.KeyVault/vaults")
    assert vault["enableRbacAuthorization"]
    assert vault["enablePurgeProtection"]
    assert vault["enableSoftDelete"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_everything_is_encrypted_on_its_way(environment: str) -> None:
    storage = only(environment, "Microsoft.Storage/storageAccounts")
    assert storage["supportsHttpsTrafficOnly"]
    assert storage["minimumTlsVersion"] == "TLS1_2"
    app = only(environment, "Microsoft.Web/sites")
    assert app["httpsOnly"]
    assert app["siteConfig"]["minTlsVersion"] == "1.2"
    assert only(environment, "Microsoft.Sql/servers")["minimalTlsVersion"] == "1.2"
    assert postgres_parameters(environment)["require_secure_transport"] == "on"


def postgres_parameters(environment: str) -> dict[str, str]:
    found = deployed(environment).of_type("Microsoft.DBforPostgreSQL/flexibleServers/configurations")
    return {each.name.rpartition("/")[2]: each.body["properties"]["value"] for each in found}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_parameter_is_set_that_the_service_keeps_to_itself(environment: str) -> None:
    """Of what we would set, these are read-only on a flexible server; a deployment that names one is refused."""
    read_only = {
        "log_connections",
        "log_disconnections",
        "log_hostname",
        "log_replication_commands",
        "log_timezone",
    }
    assert not read_only & set(postgres_parameters(environment))


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_connections_are_pooled_by_transaction(environment: str) -> None:
    assert postgres_parameters(environment)["pgbouncer.enabled"] == "true"
    assert postgres_parameters(environment)["pgbouncer.pool_mode"] == "transaction"
    assert deployed(environment).outputs["postgresPort"] == 6432


PUBLIC = (
    "Microsoft.Storage/storageAccounts",
    "Microsoft.KeyVault/vaults",
    "Microsoft.Sql/servers",
    "Microsoft.Web/sites",
)


def test_private_networking_closes_every_public_door() -> None:
    for kind in PUBLIC:
        assert only("prod", kind)["publicNetworkAccess"] == "Disabled", kind
    assert (
        only("prod", "Microsoft.DBforPostgreSQL/flexibleServers")["network"]["publicNetworkAccess"]
        == "Disabled"
    )
    assert not deployed("prod").of_type("Microsoft.DBforPostgreSQL/flexibleServers/firewallRules")
    assert not deployed("prod").of_type("Microsoft.Sql/servers/firewallRules")
    assert deployed("prod").outputs["publicNetworkAccess"] is False


def test_private_networking_gives_every_service_an_endpoint_and_a_name() -> None:
    groups, zones = set(), {each.id for each in deployed("prod").of_type("Microsoft.Network/privateDnsZones")}
    for each in deployed("prod").of_type("Microsoft.Network/privateEndpoints"):
        (connection,) = each.body["properties"]["privateLinkServiceConnections"]
        groups |= set(connection["properties"]["groupIds"])
    assert groups == {"blob", "queue", "table", "vault", "postgresqlServer", "sqlServer", "sites"}
    for each in deployed("prod").of_type("Microsoft.Network/privateEndpoints/privateDnsZoneGroups"):
        (config,) = each.body["properties"]["privateDnsZoneConfigs"]
        assert config["properties"]["privateDnsZoneId"] in zones
    assert len(zones) == 7
    assert not deployed("dev").of_type("Microsoft.Network/privateEndpoints")


def test_public_doors_open_to_named_addresses_alone() -> None:
    storage, vault = only("dev", PUBLIC[0])["networkAcls"], only("dev", PUBLIC[1])["networkAcls"]
    assert storage["defaultAction"] == vault["defaultAction"] == "Deny"
    assert [each["value"] for each in storage["ipRules"]] == ["198.51.100.0/24", "203.0.113.7"]
    assert [each["value"] for each in vault["ipRules"]] == ["198.51.100.0/24", "203.0.113.7"]
    site = only("dev", "Microsoft.Web/sites")["siteConfig"]
    assert site["ipSecurityRestrictionsDefaultAction"] == "Deny"
    assert [each["ipAddress"] for each in site["ipSecurityRestrictions"]] == [
        "198.51.100.0/24",
        "203.0.113.7/32",
    ]
    assert firewall("Microsoft.DBforPostgreSQL/flexibleServers/firewallRules") == {
        ("function-app", "outboundAddress.properties.ipAddress", "outboundAddress.properties.ipAddress"),
        ("office", "198.51.100.0", "198.51.100.255"),
        ("home", "203.0.113.7", "203.0.113.7"),
    }
    assert firewall("Microsoft.Sql/servers/firewallRules") == {
        ("office", "198.51.100.0", "198.51.100.255"),
        ("home", "203.0.113.7", "203.0.113.7"),
    }


def firewall(kind: str) -> set[tuple[str, str, str]]:
    rules = deployed("dev").of_type(kind)
    return {
        (
            each.name.rpartition("/")[2],
            each.body["properties"]["startIpAddress"],
            each.body["properties"]["endIpAddress"],
        )
        for each in rules
    }


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_firewall_admits_all_of_azure(environment: str) -> None:
    for kind in (
        "Microsoft.DBforPostgreSQL/flexibleServers/firewallRules",
        "Microsoft.Sql/servers/firewallRules",
    ):
        for each in deployed(environment).of_type(kind):
            assert each.body["properties"]["startIpAddress"] != "0.0.0.0"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_app_leaves_by_one_address_through_its_delegated_subnet(environment: str) -> None:
    subnets = {
        each["name"]: each["properties"]
        for each in only(environment, "Microsoft.Network/virtualNetworks")["subnets"]
    }
    (delegation,) = subnets["app"]["delegations"]
    assert delegation["properties"]["serviceName"] == "Microsoft.App/environments"
    assert subnets["app"]["natGateway"]["id"]
    assert only(environment, "Microsoft.Web/sites")["virtualNetworkSubnetId"].endswith("/subnets/app")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_python_is_that_of_the_package(environment: str) -> None:
    runtime = only(environment, "Microsoft.Web/sites")["functionAppConfig"]["runtime"]
    assert runtime == {"name": "python", "version": deployed(environment).outputs["pythonVersion"]}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_connections_of_all_instances_fit_into_the_pooler(environment: str) -> None:
    """Three function groups, each up to the ceiling, each with its pools; PgBouncer takes 5,000 clients."""
    scale = only(environment, "Microsoft.Web/sites")["functionAppConfig"]["scaleAndConcurrency"]
    pool = int(app_settings(environment)["POSTGRES_POOL_MAX"])
    assert 3 * scale["maximumInstanceCount"] * max(2, pool) < 5000
