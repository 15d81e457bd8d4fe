"""host.json: the few settings the local host obeys, with `AzureFunctionsJobHost__a__b` overrides."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local.host.errors import AppError

OVERRIDE = "AzureFunctionsJobHost__"
TIME_SPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2})(?:\.\d+)?")
DEFAULT_TIMEOUT = "00:30:00"
MAX_BATCH = 32


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """How every queue function of the app is pumped; the settings are app-wide."""

    batch_size: int = 16
    new_batch_threshold: int = 8
    visibility_timeout_s: float = 0
    max_dequeue_count: int = 5
    max_polling_interval_s: float = 60
    base64: bool = True


@dataclass(frozen=True, slots=True)
class HostOptions:
    """What host.json asks of a host; `function_timeout_s` None means unbounded."""

    function_timeout_s: float | None = 1800
    route_prefix: str = "api"
    queues: QueueOptions = QueueOptions()


def read(path: Path, environment: Mapping[str, str]) -> HostOptions:
    """The options of a host.json with the environment's overrides applied.

    Raises AppError naming the file's faulty member.
    """
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise AppError(f"{path.parent} holds no host.json; a Functions app has one at its root") from error
    except ValueError as error:
        raise AppError(f"host.json is not valid JSON ({error}); repair it") from error
    if document.get("version") != "2.0":
        raise AppError(f'host.json: version is {document.get("version")!r}; this host reads "2.0"')
    for name, value in environment.items():
        if name.startswith(OVERRIDE):
            _put(document, name.removeprefix(OVERRIDE).split("__"), value)
    extensions = document.get("extensions", {})
    return HostOptions(
        function_timeout_s=_timeout(str(document.get("functionTimeout", DEFAULT_TIMEOUT))),
        route_prefix=str(extensions.get("http", {}).get("routePrefix", "api")).strip("/"),
        queues=_queues(extensions.get("queues", {})),
    )


def _queues(member: Mapping[str, Any]) -> QueueOptions:
    batch = _number(member, "batchSize", 16)
    if not 1 <= batch <= MAX_BATCH:
        raise AppError(f"host.json: queues.batchSize is {batch}; it takes 1-{MAX_BATCH}")
    encoding = str(member.get("messageEncoding", "base64")).lower()
    if encoding not in ("base64", "none"):
        raise AppError(f"host.json: queues.messageEncoding is {encoding!r}; it takes base64 or none")
    return QueueOptions(
        batch_size=batch,
        new_batch_threshold=_number(member, "newBatchThreshold", batch * (os.cpu_count() or 1) // 2),
        visibility_timeout_s=_seconds(str(member.get("visibilityTimeout", "00:00:00"))),
        max_dequeue_count=_number(member, "maxDequeueCount", 5),
        max_polling_interval_s=_seconds(str(member.get("maxPollingInterval", "00:01:00"))),
        base64=encoding == "base64",
    )


def _number(member: Mapping[str, Any], name: str, default: int) -> int:
    text = str(member.get(name, default))
    if not text.isdigit():
        raise AppError(f"host.json: queues.{name} is {text!r}; it takes a whole number")
    return int(text)


def _timeout(text: str) -> float | None:
    return None if text == "-1" else _seconds(text)


def _seconds(text: str) -> float:
    match = TIME_SPAN.fullmatch(text)
    if match is None:
        raise AppError(f"host.json: {text!r} is no time span; write hh:mm:ss")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _put(document: dict[str, Any], path: list[str], value: str) -> None:
    for part in path[:-1]:
        document = document.setdefault(_known(document, part), {})
    document[_known(document, path[-1])] = value


def _known(document: Mapping[str, Any], name: str) -> str:
    # Settings are case-blind in the real host; JSON members are not.
    return next((key for key in document if key.lower() == name.lower()), name)
