"""docs/deploy.md and the scripts' advice: every command exists, with its flags, in the Azure CLI or in our scripts."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.azure_cli.command_line import UnknownCommandError, read

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "deploy.md").read_text()
SCRIPTS = sorted((ROOT / "infra").glob("*.sh"))
LIBRARIES = sorted((ROOT / "infra" / "azure").glob("*.sh"))
TEMPLATE = ROOT / "infra" / "main.bicep"


def fenced(text: str) -> Iterator[str]:
    """Logical lines of the document's shell blocks."""
    for language, block in re.findall(r"^```(sh|powershell)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        joined = re.sub(r"`\n\s*" if language == "powershell" else r"\\\n\s*", " ", block)
        yield from (line.strip() for line in joined.splitlines())


def az_commands() -> list[str]:
    """Every `az` line of the document, an assignment's left side and comments cut off."""
    found = [re.sub(r"^\$?\w+ = ", "", line) for line in fenced(DOCUMENT)]
    return [line.split("  #")[0] for line in found if line.startswith("az ")]


def script_calls(name: str) -> list[list[str]]:
    """Words of every call of one of our scripts in the document."""
    lines = [line.split(" <")[0] if line.endswith(".txt") else line for line in fenced(DOCUMENT)]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith(f"infra/{name} ")]


def options(script: Path) -> set[str]:
    """What the script's help offers."""
    return set(re.findall(r"^#.*?(--[a-z-]+)", script.read_text(), re.MULTILINE))


def advice() -> list[str]:
    """Every `az ...` that a script advises or a document mentions in passing: command and flags, values cut off."""
    text = "\n".join(path.read_text() for path in [*SCRIPTS, *LIBRARIES])
    said = re.findall(r'[" ](az (?:[a-z-]+ )*[a-z-]+(?: --[a-z-]+(?: [\'<$][^ ";]*)?)*)[";,]', text)
    return sorted({*said, *re.findall(r"`(az [^`]+)`", DOCUMENT)})


@pytest.mark.parametrize("line", az_commands())
def test_every_az_line_of_the_document_is_one(line: str) -> None:
    read(shlex.split(line)[1:])


def test_the_document_has_such_lines() -> None:
    assert len(az_commands()) > 25


@pytest.mark.parametrize(
    "line",
    [
        "az group create --name x",
        "az group create --name x --location y --colour red",
        "az functionapp explode",
    ],
)
def test_a_line_that_is_none_is_found(line: str) -> None:
    with pytest.raises(UnknownCommandError):
        read(shlex.split(line)[1:])


@pytest.mark.parametrize("line", advice())
def test_every_command_that_is_advised_exists(line: str) -> None:
    words = shlex.split(line.replace("'", ""))[1:]
    try:
        read(words)
    except UnknownCommandError as error:
        assert "are required" in str(error)  # advice names what matters and leaves out the rest


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_document_uses_scripts_as_their_help_says(script: Path) -> None:
    calls = script_calls(script.name)
    assert calls or f"`infra/{script.name}`" in DOCUMENT
    assert {word for words in calls for word in words if word.startswith("--")} <= options(script)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_help_and_code_of_a_script_name_the_same_options(script: Path) -> None:
    taken = set(re.findall(r"^ +(--[a-z-]+)(?: \| -h)?\)", script.read_text(), re.MULTILINE))
    documented = {one for one in options(script) if one in taken or one == "--help"}
    assert taken - {"--help"} <= options(script), taken - options(script)
    assert documented <= taken | {"--help"}


def test_scripts_use_parameters_and_outputs_that_the_template_has() -> None:
    template = TEMPLATE.read_text()
    text = "\n".join(path.read_text() for path in [*SCRIPTS, *LIBRARIES])
    outputs = re.findall(r"\$\(output (\w+)\)", text) + re.findall(r"outputs\.(\w+)\.value", text + DOCUMENT)
    parameters = re.findall(r'"(\w+)=\$', (ROOT / "infra" / "deploy.sh").read_text())
    assert len(outputs) > 15 and len(parameters) > 4
    assert set(outputs) <= set(re.findall(r"^output (\w+) ", template, re.MULTILINE))
    assert set(parameters) <= set(re.findall(r"^param (\w+) ", template, re.MULTILINE))


def test_the_connections_are_those_of_every_function_there_is() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "functions").glob("*.py"))
    timers, queues = source.count("timer_trigger("), source.count("queue_trigger(")
    (stated,) = re.findall(r"^\| all \| \| \| (\d+) \|$", DOCUMENT, re.MULTILINE)
    assert int(stated) == (queues + 1) * 40 * 2 + timers * 2
