"""Reads a command line as the Azure CLI would, by the table its own package declares: see extract.py."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("commands.json")


class UnknownCommandError(Exception):
    """The Azure CLI has no such command or flag, or would miss one."""


@dataclass(frozen=True, slots=True)
class Call:
    """A command with its flags by their first name; a flag without a value has none."""

    command: str
    flags: dict[str, list[str]]
    positional: list[str]

    def get(self, flag: str, default: str = "") -> str:
        """The flag's first value."""
        return next(iter(self.flags.get(flag, [])), default)


@cache
def table() -> dict[str, Any]:
    """Command name to its flags."""
    commands: dict[str, Any] = json.loads(TABLE.read_text())["commands"]
    return commands


def read(words: Sequence[str]) -> Call:
    """The call, `words` without the leading `az`; raises UnknownCommandError as the CLI would refuse it."""
    command, rest = _command(words)
    stated = table()[command]
    names = {alias: name for name, flag in stated["flags"].items() for alias in (name, *flag["aliases"])}
    flags: dict[str, list[str]] = {}
    positional: list[str] = []
    current: str | None = None
    for word in rest:
        option, equals, value = word.partition("=")
        if word.startswith("-") and not _is_negative_number(word):
            if option not in names:
                raise UnknownCommandError(f"az {command}: unrecognized arguments: {word}")
            current = names[option]
            flags[current] = [value] if equals else []
        elif current is not None and _takes_more(stated["flags"][current], flags[current]):
            flags[current].append(word)
        else:
            positional.append(word)
    _check(command, stated, flags, positional)
    return Call(command, flags, positional)


def _command(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    for count in range(len(words), 0, -1):
        name = " ".join(words[:count])
        if name in table():
            return name, words[count:]
    raise UnknownCommandError(
        f"'az {' '.join(words[:4])}' is not in the table: see tests/azure_cli/extract.py"
    )


def _is_negative_number(word: str) -> bool:
    return word[1:].replace(".", "", 1).isdigit()


def _takes_more(flag: dict[str, Any], values: list[str]) -> bool:
    most = {None: 1, "?": 1, "+": 1_000, "*": 1_000}.get(flag["nargs"], flag["nargs"])
    return len(values) < most


def _check(command: str, stated: dict[str, Any], flags: dict[str, list[str]], positional: list[str]) -> None:
    if len(positional) > len(stated.get("positional", [])):
        raise UnknownCommandError(f"az {command}: unrecognized arguments: {' '.join(positional)}")
    missing = [name for name, flag in stated["flags"].items() if flag["required"] and name not in flags]
    if missing:
        raise UnknownCommandError(f"az {command}: the following arguments are required: {', '.join(missing)}")
    for name, values in flags.items():
        flag = stated["flags"][name]
        if not values and flag["nargs"] in (None, "+"):
            raise UnknownCommandError(f"az {command}: argument {name}: expected at least one argument")
        for value in values:
            _check_choice(command, name, flag, value)


def _check_choice(command: str, name: str, flag: dict[str, Any], value: str) -> None:
    choices = flag.get("choices")
    # A document's placeholder or variable stands for one of them.
    if (
        choices
        and not value.startswith(("<", "$"))
        and value.lower() not in {each.lower() for each in choices}
    ):
        raise UnknownCommandError(f"az {command}: '{value}' is not a valid value for '{name}': {choices}")
