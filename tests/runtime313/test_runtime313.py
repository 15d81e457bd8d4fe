"""The apps load and run under the official Python 3.13 runtime library, not only under our own host."""

import json
import os
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from infra.local.host.settings import read_local_settings
from infra.local.postgres import PostgresServer
from infra.local.storage import prepare
from tests.runtime313 import environment

pytestmark = pytest.mark.runtime313

FIXTURE_APP = environment.ROOT / "tests" / "integration" / "host_apps" / "everything"
REAL_APP = environment.ROOT


@pytest.fixture(scope="session")
def python313() -> Path:
    """The interpreter of `.venv313`; without a Python 3.13 the tests are skipped, loudly: see conftest.py."""
    python = environment.find_python()
    if python is None:
        pytest.skip(environment.ABSENT)
    return environment.prepared(python)


def drive(python: Path, app: Path, env: dict[str, str], *arguments: str) -> dict[str, Any]:
    """What the driver printed."""
    driver = Path(__file__).with_name("drive.py")
    # The pool's size is the library's own default here, as on the platform.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(python), str(driver), str(app), *arguments],
        env={**clean, **env}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.fixture(scope="module")
def fixture_answer(python313: Path) -> dict[str, Any]:
    names = {"TICKS": "0 * * * * *", "JOBS": "jobs", "REPORTS": "reports", "AzureWebJobsStorage": "unused"}
    return drive(
        python313, FIXTURE_APP, names, "--http", "thing", "GET", "/things/1", "--queue", "on_message", "hi"
    )


def test_the_official_runtime_indexes_every_function(fixture_answer: dict[str, Any]) -> None:
    names = ["broken", "everything_else", "locked", "on_message", "on_poison", "on_time", "thing"]
    assert fixture_answer["functions"] == names
    assert fixture_answer["python"].startswith("3.13.")


@pytest.mark.parametrize("kind", ["timer", "queue"])
def test_the_official_runtime_invokes_background_functions(fixture_answer: dict[str, Any], kind: str) -> None:
    call = fixture_answer["invocations"][kind]
    assert call["error"] is None and "report" in call["outputs"]


def test_the_official_runtime_fails_a_function_that_lacks_its_route_parameter(
    fixture_answer: dict[str, Any],
) -> None:
    call = fixture_answer["invocations"]["http"]
    assert call["succeeded"] is False and "KeyError" in call["error"]


def test_the_official_runtime_invokes_an_async_function(python313: Path) -> None:
    arguments = ("--http", "everything_else", "GET", "/some/where")
    call = drive(python313, FIXTURE_APP, {}, *arguments)["invocations"]["http"]
    assert (call["returned"]["status"], call["returned"]["body"]) == (203, "/some/where?")


@pytest.fixture
def app_settings(
    postgres_server: PostgresServer, database: str, storage_connection_string: str
) -> dict[str, str]:
    """The real app's settings over a fresh database and the shared emulator."""
    values = read_local_settings(REAL_APP / "local.settings.json.example")
    values |= {
        "AzureWebJobsStorage": storage_connection_string,
        "AUTH_MODE": "local",
        "LOCAL_TOKEN_SECRET": uuid.uuid4().hex,
        "POSTGRES_HOST": "127.0.0.1",
        "POSTGRES_PORT": str(postgres_server.port),
        "POSTGRES_DB": database.partition("dbname=")[2].split()[0],
        "POSTGRES_USER": "tributary",
        "POSTGRES_PASSWORD": postgres_server.password,
    }
    prepare(values)
    return values


def test_the_real_app_runs_one_function_of_each_kind(python313: Path, app_settings: dict[str, str]) -> None:
    message = json.dumps(
        {
            "v": 1,
            "id": str(uuid.uuid4()),
            "slice": 1,
            "traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01",
        }
    )
    answer = drive(
        python313, REAL_APP, app_settings, "--timer", "detect_changes",
        "--queue", "sync_table", message, "--http", "serve_http", "GET", "/api/v1/health",
    )  # fmt: skip
    calls = answer["invocations"]
    assert [call["error"] for call in calls.values()] == [None, None, None]
    assert calls["http"]["returned"]["status"] == 200
