"""The deployable zip: what may go in, that it is whole for the deployed Python, and always the same bytes."""

import os
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from infra.package import archive, contents, target, wheels
from infra.package.errors import PackageError

ROOT = Path(__file__).resolve().parents[2]
OURS = (
    "function_app.py",
    "host.json",
    "requirements.txt",
    "functions/sync_table.py",
    "shared/sql/queries/a.sql",
)
NOT_OURS = (
    "local.settings.json", "tests/test_a.py", "infra/main.bicep", ".env", "README.md", "requirements-dev.txt",
    "shared/__pycache__/a.pyc", "shared/.cache/a.json", "functions/.hidden",
)  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in OURS + NOT_OURS:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def distribution(folder: Path, name: str, version: str, *requires: str) -> None:
    """What pip leaves of a package with one module."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    (info / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {one}" for one in requires)]) + "\n")
    (info / "RECORD").write_text(f"{name}.py,,\n{info.name}/METADATA,,\n{info.name}/RECORD,,\n")
    (folder / f"{name}.py").touch()


def test_only_what_is_listed_goes_in(tree: Path) -> None:
    assert sorted(contents.own_files(tree)) == sorted(OURS)


@pytest.mark.parametrize("name", ["shared/key.pem", "functions/notes.md", "shared/settings.local"])
def test_a_kind_of_file_that_nobody_listed_is_refused(tree: Path, name: str) -> None:
    (tree / name).touch()
    with pytest.raises(PackageError, match=name):
        contents.own_files(tree)


@pytest.mark.parametrize("name", contents.FILES)
def test_a_file_that_is_missing_is_named(tree: Path, name: str) -> None:
    (tree / name).unlink()
    with pytest.raises(PackageError, match=name):
        contents.own_files(tree)


def test_the_repository_itself_can_be_packaged() -> None:
    found = contents.own_files(ROOT)
    assert {"function_app.py", "functions/serve_http.py", "shared/composition/app.py"} <= set(found)
    assert not [name for name in found if "test" in Path(name).parts or name.startswith("infra")]


def test_the_same_files_make_the_same_bytes(tree: Path, tmp_path: Path) -> None:
    files = contents.own_files(tree)
    archive.write(tmp_path / "a.zip", files)
    for path in files.values():
        os.utime(path, (1, 1))
        path.chmod(0o600)
    archive.write(tmp_path / "b.zip", dict(reversed(files.items())))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_zip_that_broke_off_leaves_the_older_one(tree: Path, tmp_path: Path) -> None:
    files = contents.own_files(tree)
    archive.write(tmp_path / "a.zip", files)
    with pytest.raises(FileNotFoundError):
        archive.write(tmp_path / "a.zip", files | {"gone.py": tmp_path / "gone.py"})
    assert zipfile.ZipFile(tmp_path / "a.zip").testzip() is None


def test_requirements_are_those_of_the_deployed_python() -> None:
    lines = ["azure-functions==1.26.0 ; python_version < '3.13'", "azure-functions==2.3.0 ; python_version >= '3.13'",
             "", "# a note", "pywin32==1 ; sys_platform == 'win32'", "psycopg[binary]==3.3.9"]  # fmt: skip
    assert [str(one) for one in target.applicable(lines)] == [
        "azure-functions==2.3.0",
        "psycopg[binary]==3.3.9",
    ]


def test_what_only_the_deployed_python_needs_is_found_missing(tmp_path: Path) -> None:
    distribution(tmp_path, "top", "1.0", "old; python_version < '3.13'", "new>=2; python_version >= '3.13'")
    assert target.closure([Requirement("top")], tmp_path).lacking == ["new>=2"]


def test_an_extra_is_followed_only_where_it_is_asked_for(tmp_path: Path) -> None:
    distribution(tmp_path, "top", "1.0", "more; extra == 'all'")
    assert target.closure([Requirement("top")], tmp_path).lacking == []
    assert target.closure([Requirement("top[all]")], tmp_path).lacking == ["more"]


def test_a_version_that_does_not_do_counts_as_missing(tmp_path: Path) -> None:
    distribution(tmp_path, "top", "1.0")
    assert target.closure([Requirement("top>=2")], tmp_path).lacking == ["top>=2"]


class Pip:
    """Leaves what `act` makes of the folder and the requirements; remembers what it was asked for."""

    def __init__(self, act: Callable[[Path, list[str]], object]) -> None:
        self.asked: list[list[str]] = []
        self._act = act

    def __call__(self, site_packages: Path, requirements: Iterable[str], constraints: Iterable[str]) -> None:
        site_packages.mkdir()
        self.asked.append(list(requirements))
        self._act(site_packages, self.asked[-1])


def requirements(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.txt"
    path.write_text("top==1.0\n")
    return path


def test_pip_is_asked_again_for_what_it_did_not_know_of(tmp_path: Path) -> None:
    def install(folder: Path, wanted: list[str]) -> None:
        distribution(folder, "top", "1.0", "new; python_version >= '3.13'")
        if "new" in wanted:
            distribution(folder, "new", "3.0")

    pip = Pip(install)
    wheels.install(requirements(tmp_path), tmp_path / "site", pip)
    assert pip.asked == [["top==1.0"], ["top==1.0", "new"]]


def test_what_stays_missing_is_named(tmp_path: Path) -> None:
    pip = Pip(lambda folder, wanted: distribution(folder, "top", "1.0", "new"))
    with pytest.raises(PackageError, match=r"^new: needed on Python 3\.13"):
        wheels.install(requirements(tmp_path), tmp_path / "site", pip)


def test_what_nothing_asks_for_on_the_deployed_python_is_left_out(tmp_path: Path) -> None:
    def install(folder: Path, wanted: list[str]) -> None:
        distribution(folder, "top", "1.0", "old; python_version < '3.13'")
        distribution(folder, "old", "1.0")
        (folder / "bin").mkdir()
        (folder / "__pycache__").mkdir()

    wheels.install(requirements(tmp_path), tmp_path / "site", Pip(install))
    left = {path.name for path in (tmp_path / "site").rglob("*") if path.is_file()}
    assert left == {"top.py", "METADATA", "RECORD"}
    assert not (tmp_path / "site" / "bin").exists()


@pytest.mark.parametrize("name", ["shared", "functions", "function_app"])
def test_a_dependency_that_would_hide_our_own_is_refused(tmp_path: Path, name: str) -> None:
    def install(folder: Path, wanted: list[str]) -> None:
        distribution(folder, "top", "1.0")
        (folder / f"{name}.py").touch()

    with pytest.raises(PackageError, match=f"^{name}: a dependency"):
        wheels.install(requirements(tmp_path), tmp_path / "site", Pip(install))
