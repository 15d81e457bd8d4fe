"""`make package` from a clean checkout, unpacked where nothing else is: the official runtime finds all it needs."""

import json
import shutil
import subprocess
import uuid
import zipfile
from pathlib import Path

import pytest

from infra.package import __main__ as package
from infra.package import cold_start, contents
from tests.runtime313 import environment
from tests.runtime313.test_runtime313 import app_settings, drive, python313

__all__ = ["app_settings", "python313"]
pytestmark = pytest.mark.runtime313
ALLOWED = (*contents.FILES, *(f"{folder}/" for folder in contents.FOLDERS), f"{cold_start.SITE_PACKAGES}/")
# The platform's worker brings these; the package must not need to.
WORKER = ("azure_functions_runtime", "azurefunctions")


@pytest.fixture(scope="module")
def zipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy that holds what a checkout holds, and a secret that must not travel."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in contents.FILES:
        shutil.copy(environment.ROOT / name, checkout)
    for name in ("functions", "shared", "tests"):
        shutil.copytree(environment.ROOT / name, checkout / name)
    (checkout / "local.settings.json").write_text('{"Values": {"POSTGRES_PASSWORD": "do-not-ship"}}')
    output = checkout / "dist" / "tributary.zip"
    package.build(output, checkout)
    return output


@pytest.fixture(scope="module")
def unpacked(zipped: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wwwroot")
    with zipfile.ZipFile(zipped) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def bare(python313: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python 3.13 that has no packages at all."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([str(python313), "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def worker(python313: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runtime library alone, without what was installed beside it."""
    folder = tmp_path_factory.mktemp("worker")
    (installed,) = (environment.VENV / "lib").glob("python3*/site-packages")
    for path in installed.iterdir():
        if path.name.startswith(WORKER):
            (folder / path.name).symlink_to(path)
    return folder


def test_the_zip_holds_what_is_allowed_and_nothing_else(zipped: Path) -> None:
    names = zipfile.ZipFile(zipped).namelist()
    assert [name for name in names if not name.startswith(ALLOWED)] == []
    assert {"function_app.py", "host.json", "shared/sql/__init__.py"} <= set(names)
    assert [
        name for name in names if "__pycache__" in name or name.endswith((".pyc", "local.settings.json"))
    ] == []


def test_nothing_of_the_machine_that_built_it_is_in_the_zip(zipped: Path) -> None:
    """Two builds then make the same bytes."""
    names = zipfile.ZipFile(zipped).namelist()
    assert [name for name in names if name.endswith(("direct_url.json", ".pth"))] == []


def test_every_wheel_is_for_the_deployed_platform(unpacked: Path) -> None:
    libraries = [path.name for path in unpacked.rglob("*.so")]
    other = [name for name in libraries if "cpython-" in name and "cpython-313-x86_64-linux-gnu" not in name]
    assert len(libraries) > 10 and other == []


def test_the_unpacked_zip_runs_one_function_of_each_kind(
    bare: Path, unpacked: Path, worker: Path, app_settings: dict[str, str]
) -> None:
    message = json.dumps(
        {
            "v": 1,
            "id": str(uuid.uuid4()),
            "slice": 1,
            "traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01",
        }
    )
    paths = f"{unpacked / cold_start.SITE_PACKAGES}:{worker}"  # in the order of the platform's worker
    answer = drive(
        bare, unpacked, app_settings | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
        "--timer", "detect_changes", "--queue", "sync_table", message, "--http", "serve_http", "GET", "/api/v1/health",
    )  # fmt: skip
    calls = answer["invocations"]
    assert [call["error"] for call in calls.values()] == [None, None, None]
    assert calls["http"]["returned"]["status"] == 200
    assert answer["functions"] == sorted(
        path.stem for path in (unpacked / "functions").glob("*.py") if path.stem[0] != "_"
    )


def test_the_figures_name_size_and_import_time(zipped: Path, python313: Path) -> None:
    found = package.figures(zipped)
    assert found["python"] == "3.13"
    assert all(float(str(found[name])) > 0 for name in ("size_mb", "unpacked_mb", "import_seconds"))
