"""The workflows run what they say, with no more rights than they need."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.infra_azure.syntax import INFRA

FOLDER = INFRA.parent / ".github/workflows"
PATHS = sorted(FOLDER.glob("*.yml"))
PINNED = re.compile(r"[\w-]+/[\w-]+@(v\d+\.\d+\.\d+|[0-9a-f]{40})")
# Rights beyond reading the repository, and the jobs that need them.
RIGHTS = {
    ("infrastructure", "what-if"): {"contents": "read", "id-token": "write"},
    ("deploy", "deploy"): {"contents": "read", "id-token": "write"},
    ("release", "release"): {"contents": "write"},
}


def read(name: str) -> dict[str, Any]:
    document = yaml.safe_load((FOLDER / f"{name}.yml").read_text())
    document["on"] = document.pop(True)  # YAML 1.1 takes the word for a boolean
    return document


def named(path: Path) -> str:
    return path.stem


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    return read(path.stem)["jobs"]


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in jobs(path).values() for step in job["steps"]]


def runs(name: str) -> str:
    return "\n".join(step.get("run", "") for step in steps(FOLDER / f"{name}.yml"))


def test_there_is_a_workflow_for_every_stage() -> None:
    assert {path.stem for path in PATHS} == {"check", "infrastructure", "deploy", "release"}


@pytest.mark.parametrize("path", PATHS, ids=named)
def test_actions_are_pinned(path: Path) -> None:
    for step in steps(path):
        assert PINNED.fullmatch(step["uses"]) if "uses" in step else step["run"]


# The first majors that run on Node 24; runners have no older one any more.
ON_NODE_24 = {
    "actions/checkout": 5,
    "actions/setup-python": 6,
    "actions/upload-artifact": 6,
    "actions/download-artifact": 7,
    "azure/login": 3,
}


@pytest.mark.parametrize("path", PATHS, ids=named)
def test_actions_run_on_the_node_that_runners_have(path: Path) -> None:
    for name, _, version in (step["uses"].partition("@") for step in steps(path) if "uses" in step):
        assert int(version.removeprefix("v").partition(".")[0]) >= ON_NODE_24[name], name


@pytest.mark.parametrize("path", PATHS, ids=named)
def test_rights_are_no_wider_than_needed(path: Path) -> None:
    assert read(path.stem)["permissions"] == {"contents": "read"}
    for name, job in jobs(path).items():
        assert job.get("permissions") == RIGHTS.get((path.stem, name)), name


@pytest.mark.parametrize("path", PATHS, ids=named)
def test_jobs_end_by_themselves(path: Path) -> None:
    assert all(0 < job["timeout-minutes"] <= 60 for job in jobs(path).values())


@pytest.mark.parametrize("path", PATHS, ids=named)
def test_a_checkout_keeps_no_credentials(path: Path) -> None:
    for step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", PATHS, ids=named)
def test_no_text_from_outside_becomes_a_command(path: Path) -> None:
    """What stands between braces is put into the script as text, whoever wrote it."""
    assert "pull_request_target" not in read(path.stem)["on"]
    for step in steps(path):
        assert "${{" not in step.get("run", "")


@pytest.mark.parametrize("path", PATHS, ids=named)
def test_no_secret_is_kept_where_federation_serves(path: Path) -> None:
    assert "secrets." not in path.read_text()


@pytest.mark.parametrize("path", PATHS, ids=named)
def test_failure_before_a_pipe_fails_the_step(path: Path) -> None:
    """The runner's own choice of shell forgets it; naming bash turns pipefail on."""
    shell = read(path.stem).get("defaults", {}).get("run", {}).get("shell")
    assert shell == "bash" or not any("|" in step.get("run", "") for step in steps(path))


def test_every_promised_python_is_tested() -> None:
    matrix = read("check")["jobs"]["test"]["strategy"]["matrix"]["python"]
    promised = re.search(
        r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (INFRA.parent / "pyproject.toml").read_text()
    )
    assert promised
    assert matrix == [f"3.{minor}" for minor in range(int(promised[1]), int(promised[2]))]


def test_pull_requests_are_checked_built_and_compared() -> None:
    assert "pull_request" in read("check")["on"]
    assert "pull_request" in read("infrastructure")["on"]
    assert "az bicep build" in runs("infrastructure")
    assert "make infra-check" in runs("infrastructure")
    assert "--what-if" in runs("infrastructure")


def test_deployment_is_the_scripts_and_never_cut_off() -> None:
    assert 'bash infra/deploy.sh --env "$ENVIRONMENT"' in runs("deploy")
    assert read("deploy")["concurrency"]["cancel-in-progress"] is False
    assert read("deploy")["on"]["workflow_dispatch"]["inputs"]["environment"]["options"] == ["dev", "prod"]


def test_make_knows_every_target_that_a_workflow_runs() -> None:
    known = set(re.findall(r"^([a-z-]+):", (INFRA.parent / "Makefile").read_text(), re.M))
    asked = {name for path in PATHS for name in re.findall(r"make ([a-z-]+)", runs(path.stem))}
    assert asked - known <= {"package"}
