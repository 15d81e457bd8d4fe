"""The templates as readers see them that are not ours: a security scanner, the services' models, the queries' parser.

They live in an environment of their own, which the first test makes; `make infra-check` runs this file alone.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.infra_azure.deployment import deploy
from tests.unit.infra_azure.environments import ASKED, ENVIRONMENTS, deployed
from tests.unit.infra_azure.syntax import INFRA, parse, templates
from tests.unit.infra_azure.test_monitoring import queries

ROOT = INFRA.parent
CHECKS = INFRA / "checks"
# No management library that is installed here describes them.
UNMODELLED = {"Microsoft.Insights/diagnosticSettings", "Microsoft.Resources/resourceGroups"}

# Files of whose resources the scanner knows no type; the services' models are what reads them.
UNSCANNED = {
    "alerts",
    "identity",
    "monitoring",
    "postgres",
    "private-endpoints",
    "role-assignments",
    "subscription",
}


@pytest.fixture(scope="session")
def environment() -> Path:
    """The Python of the scanner and the models."""
    install = ["sh", "infra/checks/install.sh"]
    found = subprocess.run(install, check=False, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    return ROOT / ".local/checks/bin/python"


def answer(program: Path, script: str, *arguments: str, given: object = None) -> Any:
    """What a script of the checks says."""
    found = subprocess.run(
        [program, CHECKS / script, *arguments],
        check=False,
        capture_output=True,
        text=True,
        input=json.dumps(given),
    )
    assert found.returncode == 0, found.stderr[-2000:]
    return json.loads(found.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def scanned(environment: Path) -> dict[str, Any]:
    """What the scanner made of every template."""
    return answer(environment, "scan.py", *map(str, templates()))


def test_scanner_reads_every_template(scanned: dict[str, Any]) -> None:
    assert set(scanned["files"]) == {str(path) for path in templates()}
    assert [name for name, found in scanned["files"].items() if found["unread"]] == []
    assert scanned["broken"] == []


def test_scanner_checks_every_resource_that_it_knows(scanned: dict[str, Any]) -> None:
    """It passes in silence over what it could not make sense of."""
    for path in templates():
        found = scanned["files"][str(path)]
        seen = {*found["checked"], *(each["resource"] for each in found["skipped"])}
        for name, declared in parse(path).of_kind("resource").items():
            kind = declared.of.partition("@")[0]
            if kind in scanned["types"] and not declared.existing:
                assert f"{kind}.{name}" in seen, f"{path.name}: {name} was not checked"
    silent = {
        path.stem
        for path in templates()
        if parse(path).of_kind("resource") and not scanned["files"][str(path)]["passed"]
    }
    assert silent == UNSCANNED


def test_scanner_finds_nothing_that_was_not_answered(scanned: dict[str, Any]) -> None:
    dismissed = {
        (each["check"], each["resource"]) for each in json.loads((CHECKS / "dismissed.json").read_text())
    }
    failed = [each for found in scanned["files"].values() for each in found["failed"]]
    assert [each for each in failed if (each["check"], each["resource"]) not in dismissed] == []
    assert dismissed == {(each["check"], each["resource"]) for each in failed}, (
        "an answer that nothing asks for"
    )


def test_every_suppression_has_a_reason(scanned: dict[str, Any]) -> None:
    skipped = [each for found in scanned["files"].values() for each in found["skipped"]]
    reasons = [each["reason"] for each in skipped]
    reasons += [each["reason"] for each in json.loads((CHECKS / "dismissed.json").read_text())]
    assert all(len(reason) > 20 for reason in reasons)


def test_scanner_finds_what_is_wrong(environment: Path, tmp_path: Path) -> None:
    source = (INFRA / "modules/storage.bicep").read_text()
    open_door = tmp_path / "storage.bicep"
    open_door.write_text(source.replace("supportsHttpsTrafficOnly: true", "supportsHttpsTrafficOnly: false"))
    unreadable = tmp_path / "unreadable.bicep"
    unreadable.write_text("resource x 'A/b@2020-01-01' = {\n  name: [for\n}\n")
    found = answer(environment, "scan.py", str(open_door), str(unreadable))
    assert found["files"][str(open_door)]["failed"]
    assert found["files"][str(unreadable)]["unread"]


def bodies() -> list[dict[str, Any]]:
    """Every resource of every environment, as it would be sent."""
    found = [(name, each) for name in ENVIRONMENTS for each in deployed(name).everything()]
    found += [
        ("subscription", each)
        for each in deploy(INFRA / "subscription.bicep", ASKED | {"environmentName": "dev"}).resources
    ]
    return [
        {"type": each.type, "where": f"{name}: {each.file.name}: {each.symbol}", "body": each.body}
        for name, each in found
        if not each.existing and each.type not in UNMODELLED
    ]


def test_bodies_are_such_as_their_services_take(environment: Path) -> None:
    assert answer(environment, "bodies.py", given=bodies()) == []


WRONG = [
    ("Microsoft.Web/sites", "httpsOnly", "yes", "'yes' is no bool"),
    ("Microsoft.Web/sites", "httpOnly", True, "has no such property"),
    ("Microsoft.Storage/storageAccounts", "minimumTlsVersion", "1.2", "is none of"),
    ("Microsoft.Network/virtualNetworks", "subnets", [{"nam": "x"}], "has no such property"),
    ("Microsoft.Insights/scheduledQueryRules", "window", "PT5M", "has no such property"),
    ("Microsoft.DataFactory/factories/pipelines", "activities", [{"name": "x", "type": "Copy"}], "needs it"),
    (
        "Microsoft.DataFactory/factories/triggers",
        "typeProperties",
        {"recurrance": {}},
        "has no such property",
    ),
]


@pytest.mark.parametrize(("kind", "name", "value", "said"), WRONG)
def test_body_that_its_service_would_refuse_is_refused(
    environment: Path, kind: str, name: str, value: Any, said: str
) -> None:
    body = next(each for each in bodies() if each["type"] == kind)
    wrong = {**body, "body": {**body["body"], "properties": {**body["body"]["properties"], name: value}}}
    found = answer(environment, "bodies.py", given=[wrong])
    assert found
    assert any(said in each for each in found)


def said_of_queries(environment: Path, asked: dict[str, str]) -> list[str]:
    """What the parser of Log Analytics says."""
    modules = str(environment.parents[1] / "kusto")
    found: list[str] = answer(environment.with_name("node"), "kusto/queries.cjs", modules, given=asked)
    return found


def test_queries_are_understood(environment: Path) -> None:
    assert said_of_queries(environment, queries()) == []


@pytest.mark.parametrize(
    "query", ["AppTraces | wher Message == 'x'", "AppTraces | where Gone == 'x'", "Apptraces | take 1", "AppTraces |"]
)  # fmt: skip
def test_query_that_would_fail_is_found(environment: Path, query: str) -> None:
    assert said_of_queries(environment, {"q": query})
