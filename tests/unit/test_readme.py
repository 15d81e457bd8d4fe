"""The README keeps its promises: settings as in the code, a tree that exists, commands that can be run."""

import importlib.util
import json
import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/why.md",
    "docs/protocol.md",
    "docs/operations.md",
    "docs/deploy.md",
    "docs/share-packs.md",
)
EXAMPLE: dict[str, str] = json.loads((ROOT / "local.settings.json.example").read_text())["Values"]
HOSTS_OWN = {"FUNCTIONS_WORKER_RUNTIME", "PYTHON_THREADPOOL_THREAD_COUNT", "AzureWebJobsDisableHomepage"}


def documented_settings() -> dict[str, str]:
    """Name to default, as the README's table has them."""
    table = README.split("<!-- settings")[1].split("## The tree")[0]
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|", table, re.MULTILINE)
    return {name: default.strip().strip("`") for name, default in rows}


def coded_settings() -> dict[str, str]:
    """Name to default, as the code has them."""
    fields = Settings.model_fields.items()
    return {field.alias or name.upper(): shown(field.default, field.is_required()) for name, field in fields}


def shown(default: object, required: bool) -> str:
    if required:
        return "required"
    if isinstance(default, bool):
        return str(default).lower()
    if default is None or isinstance(default, SecretStr):
        return ""
    return f"{default:g}" if isinstance(default, float) else str(default)


def tree_paths() -> list[Path]:
    """Every path that the README's tree draws."""
    block = README.split("## The tree")[1].split("```text\n")[1].split("```")[0]
    paths, folders = [], [ROOT]
    for line in block.splitlines():
        depth = (len(line) - len(line.lstrip())) // 4
        names = [
            name for name in re.split(r"\s+", line.strip()) if re.fullmatch(r"[\w./]+(/|\.py|\.md)", name)
        ]
        first = folders[depth] / names[0]
        # More names on a folder's line stand in it; on a file's line, beside it.
        paths += [
            first,
            *((first if names[0].endswith("/") else folders[depth]) / name for name in names[1:]),
        ]
        folders[depth + 1 :] = [first]
    return paths


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_settings_table_is_the_code() -> None:
    documented = {n: d for n, d in documented_settings().items() if n not in HOSTS_OWN}
    assert documented == coded_settings()


def test_the_example_lists_every_setting_and_no_other() -> None:
    assert set(EXAMPLE) == set(documented_settings())


def test_the_example_shows_the_defaults() -> None:
    differing = {"AzureWebJobsStorage", "POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_DB", "POSTGRES_USER"}
    same = {name: default for name, default in documented_settings().items() if name not in differing}
    assert {name: EXAMPLE[name] for name in same} == same


def test_the_tree_exists() -> None:
    paths = tree_paths()
    assert len(paths) > 20
    assert [str(path) for path in paths if not path.exists()] == []


def test_the_tree_names_every_trigger_and_every_folder_of_the_domain() -> None:
    drawn = set(tree_paths())
    triggers = {path for path in (ROOT / "functions").glob("*.py") if path.name != "__init__.py"}
    folders = {path for path in (ROOT / "shared").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert triggers | folders <= drawn


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_make_command_in_the_documents_exists(name: str) -> None:
    text = (ROOT / name).read_text()
    spoken = set(re.findall(r"(?:`|^)make (?:[A-Z]\S+ )?([a-z-]+)", text, re.MULTILINE))
    assert spoken <= make_targets()


def test_every_module_in_a_command_exists() -> None:
    text = "".join((ROOT / name).read_text() for name in (*DOCUMENTS, "Makefile"))
    modules = re.findall(r"python -m ([\w.]+)", text)
    assert [module for module in modules if importlib.util.find_spec(module) is None] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_between_documents_lead_somewhere(name: str) -> None:
    path = ROOT / name
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []
