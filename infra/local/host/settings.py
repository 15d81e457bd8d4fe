"""The app's settings: local.settings.json under the environment, and the `%name%` references in bindings."""

import json
import re
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from infra.local.host.errors import AppError

REFERENCE = re.compile(r"%([^%]+)%")


def read_local_settings(path: Path) -> dict[str, str]:
    """The `Values` of a local.settings.json, empty when there is none or nothing in it.

    Raises AppError when the file is no JSON, is encrypted, or holds a value that is no text.
    """
    text = path.read_text() if path.exists() else ""
    # `python -m infra.local.stack settings > local.settings.json`: the shell has emptied the file before we read it.
    if not text.strip():
        return {}
    try:
        document = json.loads(text)
    except ValueError as error:
        raise AppError(f"{path.name} is not valid JSON ({error}); repair it") from error
    if document.get("IsEncrypted"):
        raise AppError(f"{path.name} is encrypted; decrypt it with `func settings decrypt`")
    for name, value in document.get("Values", {}).items():
        if not isinstance(value, str):
            raise AppError(f"{path.name}: {name} is {value!r}; put it in quotes, every value is text")
    return dict(document.get("Values", {}))


def apply(values: Mapping[str, str], environment: MutableMapping[str, str]) -> None:
    """Add the values to the environment; what is already set there stays."""
    for name, value in values.items():
        environment.setdefault(name, value)


def resolve(text: str, where: str, environment: Mapping[str, str]) -> str:
    """The text with each `%NAME%` replaced by that setting.

    Raises AppError naming the setting and where it is used.
    """

    def value(match: re.Match[str]) -> str:
        found = environment.get(match[1])
        if not found:
            raise AppError(
                f"{where}: setting {match[1]} is not set; add it to local.settings.json or the environment"
            )
        return found

    return REFERENCE.sub(value, text)


def is_disabled(function: str, environment: Mapping[str, str]) -> bool:
    """Whether an `AzureWebJobs.<function>.Disabled` setting (dots or double underscores) is true."""
    names = (f"AzureWebJobs.{function}.Disabled", f"AzureWebJobs__{function}__Disabled")
    return any(environment.get(name, "").lower() in ("true", "1") for name in names)
