"""The templates say what they take, use what they take, and hold together without the compiler."""

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.unit.infra_azure.deployment import Deployed, deploy
from tests.unit.infra_azure.environments import ASKED, ENVIRONMENTS, deployed
from tests.unit.infra_azure.syntax import (
    INFRA,
    BicepError,
    Template,
    literal,
    names_used,
    parse,
    templates,
    text,
    walk,
)

MODULES = sorted((INFRA / "modules").glob("*.bicep"))
DATED = re.compile(r"\d{4}-\d{2}-\d{2}")
# Diagnostic settings have been in preview since 2017, and no other version keeps categories in groups.
PREVIEWS = {"Microsoft.Insights/diagnosticSettings@2021-05-01-preview"}


RUNTIME = (
    "resource first 'A/b@2020-01-01' existing = {\n  name: 'x'\n}\nresource second 'A/b@2020-01-01' = {\n"
)


def all_templates() -> list[Template]:
    return [parse(path) for path in templates()]


def short(path: Path) -> str:
    return path.relative_to(INFRA).as_posix()


@pytest.fixture
def written(tmp_path: Path):
    def write(source: str, name: str = "main.bicep") -> Path:
        path = tmp_path / name
        path.write_text(source)
        return path

    return write


@pytest.mark.parametrize("path", templates(), ids=short)
def test_template_is_bicep(path: Path) -> None:
    assert parse(path).declarations


@pytest.mark.parametrize("path", templates(), ids=short)
def test_every_parameter_and_output_is_described(path: Path) -> None:
    for declared in parse(path).declarations:
        if declared.kind in ("param", "output"):
            assert "description" in declared.decorators, f"{declared.name} has no description"
            described = declared.decorators["description"]
            assert described is not None
            assert literal(described).strip().endswith(".")


@pytest.mark.parametrize("path", templates(), ids=short)
def test_everything_declared_is_used(path: Path) -> None:
    template = parse(path)
    used = names_used(template)
    idle = {name for name, each in template.symbols.items() if each.kind in ("param", "var") or each.existing}
    assert idle - used == set()


@pytest.mark.parametrize("path", templates(), ids=short)
def test_loops_stand_where_the_compiler_takes_them(path: Path) -> None:
    for node in walk(parse(path).root):
        if node.type == "for_statement":
            parent = node.parent
            assert parent is not None
            assert parent.type.endswith("_declaration") or parent.type == "object_property", text(node)[:60]


@pytest.mark.parametrize("path", templates(), ids=short)
def test_versions_are_dated_and_released(path: Path) -> None:
    for declared in parse(path).of_kind("resource").values():
        version = declared.of.partition("@")[2]
        assert DATED.fullmatch(version) or declared.of in PREVIEWS, declared.of


def test_a_type_has_one_version_everywhere() -> None:
    versions: dict[str, set[str]] = {}
    for declared in (each for one in all_templates() for each in one.of_kind("resource").values()):
        kind, _, version = declared.of.partition("@")
        versions.setdefault(kind, set()).add(version)
    assert {kind: found for kind, found in versions.items() if len(found) > 1} == {}


def test_modules_come_from_this_repository() -> None:
    for template in all_templates():
        for declared in template.of_kind("module").values():
            assert not declared.of.startswith(("br:", "br/", "ts:", "ts/"))
            assert (template.path.parent / declared.of).is_file()


def test_every_module_is_deployed() -> None:
    called = {each.of for each in parse(INFRA / "main.bicep").of_kind("module").values()}
    assert called == {short(path) for path in MODULES}


def test_modules_are_given_exactly_their_parameters() -> None:
    """None is left to a module's own default: what an environment gets is decided in one place."""
    template = parse(INFRA / "main.bicep")
    for declared in template.of_kind("module").values():
        assert declared.value is not None
        given = next(
            each.named_children[1]
            for each in walk(declared.value)
            if each.type == "object_property" and text(each.named_children[0]) == "params"
        )
        names = {
            text(each.named_children[0]) for each in given.named_children if each.type == "object_property"
        }
        assert names == set(parse(template.path.parent / declared.of).of_kind("param")), declared.name


def test_no_secret_is_a_parameter_or_an_output() -> None:
    telling = re.compile(r"(?i)password|secret|token|accesskey|connectionstring|sas\b")
    # Names a place to send telemetry to, which takes nothing without a token.
    harmless = {("monitoring.bicep", "connectionString")}
    for template in all_templates():
        for declared in template.declarations:
            if declared.kind in ("param", "output") and "secure" not in declared.decorators:
                known = (template.path.name, declared.name) in harmless
                assert known or not telling.search(declared.name), (template.path.name, declared.name)
    assert not [
        path for path in templates() if re.search(r"list(Keys|Secrets|Credentials)", path.read_text())
    ]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("everything", [True, False])
def test_environment_deploys(environment: str, everything: bool) -> None:
    found = deployed(environment, everything=everything)
    ids = [each.id for each in found.everything() if not each.existing]
    assert len(ids) == len(set(ids))


def test_subscription_creates_the_group_and_what_is_in_it() -> None:
    found = deploy(INFRA / "subscription.bicep", ASKED | {"environmentName": "dev"})
    assert found.resources[0].name == found.outputs["resourceGroupName"] == "rg-tributary-dev"
    assert found.modules["tributary"].outputs["functionAppName"] == found.outputs["functionAppName"]


def test_azd_finds_the_group_and_destroy_knows_it_as_ours() -> None:
    found = deploy(INFRA / "subscription.bicep", ASKED | {"environmentName": "dev", "tags": {"owner": "me"}})
    assert found.resources[0].body["tags"] == {
        "owner": "me", "application": "tributary", "environment": "dev", "azd-env-name": "dev",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("address", "admitted"), [("", ["192.0.2.0/24"]), ("203.0.113.7", ["192.0.2.0/24", "203.0.113.7/32"])]
)
def test_one_address_more_may_be_let_in_by_name(address: str, admitted: list[str]) -> None:
    office = {"name": "office", "from": "192.0.2.0", "to": "192.0.2.255", "cidr": "192.0.2.0/24"}
    given = {"environmentName": "dev", "allowedIpRanges": [office], "allowedIpAddress": address}
    (app,) = deploy(INFRA / "subscription.bicep", ASKED | given).of_type("Microsoft.Web/sites")
    rules = app.body["properties"]["siteConfig"]["ipSecurityRestrictions"]
    assert [each["ipAddress"] for each in rules] == admitted


@pytest.mark.parametrize("environment", ["dev", "prod", "ab"])
def test_names_are_such_as_their_services_take(environment: str) -> None:
    found = deploy(INFRA / "main.bicep", ASKED | {"environmentName": environment})
    limits = {
        "Microsoft.Storage/storageAccounts": r"[a-z0-9]{3,24}",
        "Microsoft.KeyVault/vaults": r"(?=.{3,24}$)[A-Za-z](-?[A-Za-z0-9])*",
        "Microsoft.Web/sites": r"(?=.{2,60}$)[a-z0-9](-?[a-z0-9])*",
        "Microsoft.DBforPostgreSQL/flexibleServers": r"(?=.{3,63}$)[a-z0-9](-?[a-z0-9])*",
        "Microsoft.Sql/servers": r"(?=.{1,63}$)[a-z0-9](-?[a-z0-9])*",
        "Microsoft.DataFactory/factories": r"(?=.{3,63}$)[A-Za-z0-9](-?[A-Za-z0-9])*",
    }
    for kind, form in limits.items():
        for each in found.of_type(kind):
            assert re.fullmatch(form, each.name), each.name


def test_environment_name_that_makes_names_too_long_is_refused() -> None:
    with pytest.raises(BicepError, match="environmentName"):
        deploy(INFRA / "main.bicep", ASKED | {"environmentName": "production"})


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("param a string\noutput b string = c\n", "c is not declared"),
        ("param a string\nvar b = a.x.\n", "not Bicep"),
        ("var a = b\nvar b = a\n", "needs itself"),
        ("var a = 1\nvar a = 2\n", "declared twice"),
        ("var a = frobnicate('x')\n", "no function known"),
        ("var a = { b: 1 }\nvar c = a.d\n", "there is no d"),
        ("output a int = 'x'\n", "is no int"),
        ("@allowed([\n  'x'\n])\nparam a string = 'y'\n", "is not allowed"),
        ("var a = 'x'\nvar b = [for c in a: c]\n", "loops over no array"),
        (RUNTIME + "  name: first.properties.x\n}\n", "known at the start"),
        (
            RUNTIME.replace("01' = {", "01' = if (contains(first.properties.x, 'y')) {") + "  name: 'z'\n}\n",
            "known at the start",
        ),
        (RUNTIME + "  name: 'z'\n}\nvar b = [for c in [first.properties.x]: c]\n", "known at the start"),
        (
            "resource a 'A/b@2020-01-01' = [for c in [1, 2]: if (c == 1) {\n  name: 'x'\n}]\n",
            "defined twice under one name",
        ),
    ],
)
def test_what_the_compiler_would_refuse_is_refused(written, source: str, said: str) -> None:
    with pytest.raises(BicepError, match=said):
        deploy(written(source), {"a": "x"} if "param a string\n" in source else {})


@pytest.mark.parametrize(("given", "said"), [("", "a is missing"), ("a: 'x'\nb: 'y'", "has no parameter b")])
def test_call_of_a_module_that_does_not_fit_is_refused(written, given: str, said: str) -> None:
    written("param a string\noutput b string = a\n", "part.bicep")
    caller = written(f"module part 'part.bicep' = {{\n  name: 'part'\n  params: {{\n{given}\n  }}\n}}\n")
    with pytest.raises(BicepError, match=said):
        deploy(caller, {})


def test_what_is_handed_on_is_what_the_deployment_script_reads() -> None:
    """The names are a contract: renaming one breaks whoever deploys with an older script."""
    found: Deployed = deployed("dev")
    assert {
        "environmentName", "resourceGroupName", "location", "functionAppName", "functionAppUrl", "pythonVersion",
        "deploymentContainerUrl", "storageAccountName", "submissionsContainer", "archiveContainer", "identityName",
        "identityClientId", "identityPrincipalId", "keyVaultName", "keyVaultUrl", "postgresServerName",
        "postgresHost", "postgresPort", "postgresDatabase", "databaseAdministratorName", "sqlServerName", "sqlHost",
        "sqlDatabase", "dataFactoryName", "dataFactoryPrincipalId", "dataFactoryMonitoringUrl",
        "dataFactoryTriggers", "dataFactoryPrivateEndpoints", "logAnalyticsName", "logAnalyticsWorkspaceId",
        "applicationInsightsName", "workbookUrl", "outboundIpAddress", "publicNetworkAccess",
    } <= set(found.outputs)  # fmt: skip
    assert found.outputs["dataFactoryTriggers"] == [
        "DailyDataSyncTrigger",
        "HourlyReportingTrigger",
        "MidnightBackupTrigger",
        "SubmissionArrivedTrigger",
    ]


def test_azd_finds_the_template_its_parameters_and_the_app() -> None:
    described = yaml.safe_load((INFRA.parent / "azure.yaml").read_text())
    module = described["infra"]["module"]
    asked = json.loads((INFRA / f"{module}.parameters.json").read_text())["parameters"]
    declared = parse(INFRA / f"{module}.bicep").of_kind("param")
    assert {name for name, each in declared.items() if each.value is None} <= set(asked) <= set(declared)
    (app,) = deployed("dev").of_type("Microsoft.Web/sites")
    assert set(described["services"]) == {app.body["tags"]["azd-service-name"]}
