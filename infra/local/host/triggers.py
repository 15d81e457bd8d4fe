"""What the host makes of the raw bindings: typed triggers and outputs, all it must refuse refused at start."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.local.host.errors import AppError
from infra.local.host.ncrontab import Schedule, ScheduleError
from infra.local.host.protocol import FunctionInfo
from infra.local.host.settings import is_disabled, resolve

RESERVED_ROUTES = ("admin", "runtime")
QUEUE_NAME = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}")
FUNCTION_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,127}")


@dataclass(frozen=True, slots=True)
class QueueOutput:
    """Where an output parameter's messages go; `connection` is a connection string."""

    queue: str
    connection: str


@dataclass(frozen=True, slots=True)
class Function:
    """One hosted function; `outputs` holds its queue outputs by parameter."""

    name: str
    outputs: Mapping[str, QueueOutput] = field(default_factory=dict)
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class TimerTrigger:
    """Fires by schedule; `monitored` timers keep a status blob."""

    function: Function
    schedule: Schedule
    monitored: bool
    run_on_startup: bool


@dataclass(frozen=True, slots=True)
class QueueTrigger:
    """Runs for each message of a queue."""

    function: Function
    queue: str
    connection: str


@dataclass(frozen=True, slots=True)
class HttpTrigger:
    """Runs for each request; no methods means all."""

    function: Function
    route: str
    methods: frozenset[str]
    auth_level: str


Trigger = TimerTrigger | QueueTrigger | HttpTrigger


def read_triggers(
    functions: Iterable[FunctionInfo], environment: Mapping[str, str], route_prefix: str
) -> tuple[Trigger, ...]:
    """One trigger for each function.

    Raises AppError listing everything that is wrong at once.
    """
    triggers, faults = [], []
    for info in functions:
        try:
            triggers.append(_trigger(info, environment, route_prefix))
        except AppError as error:
            faults.append(str(error))
    if faults:
        raise AppError("\n".join(faults))
    return tuple(triggers)


def _trigger(info: FunctionInfo, environment: Mapping[str, str], route_prefix: str) -> Trigger:
    if not FUNCTION_NAME.fullmatch(info.name):
        raise AppError(
            f"{info.name}: a function's name takes letters, digits, - and _, and begins with a letter"
        )
    outputs = {
        str(binding["name"]): _output(info, binding, environment)
        for binding in info.bindings
        if str(binding["direction"]).upper() == "OUT" and binding["type"] != "http"
    }
    function = Function(info.name, outputs, is_disabled(info.name, environment))
    binding = next(binding for binding in info.bindings if str(binding["type"]).endswith("Trigger"))
    if binding["type"] == "timerTrigger":
        return _timer(function, binding, environment)
    if binding["type"] == "queueTrigger":
        return QueueTrigger(function, *_queue(info.name, binding, environment))
    if binding["type"] == "httpTrigger":
        return _http(function, binding, route_prefix)
    raise AppError(
        f"{info.name}: this host has no {binding['type']}; it knows timer, queue and HTTP triggers"
    )


def _timer(function: Function, binding: Mapping[str, Any], environment: Mapping[str, str]) -> TimerTrigger:
    text = resolve(str(binding["schedule"]), f"{function.name}: schedule", environment)
    try:
        schedule = Schedule.parse(text)
    except ScheduleError as error:
        raise AppError(f"{function.name}: {error}") from error
    return TimerTrigger(
        function,
        schedule,
        monitored=binding.get("useMonitor") is not False,
        run_on_startup=bool(binding.get("runOnStartup")),
    )


def _http(function: Function, binding: Mapping[str, Any], route_prefix: str) -> HttpTrigger:
    route = str(binding.get("route") or function.name).strip("/")
    path = "/".join(part for part in (route_prefix, route) if part)
    if path.split("/")[0].lower() in RESERVED_ROUTES:
        raise AppError(
            f"{function.name}: route {path!r} begins with a word the host keeps; choose another prefix"
        )
    methods = frozenset(str(method).upper() for method in binding.get("methods") or ())
    return HttpTrigger(function, path, methods, str(binding.get("authLevel") or "function").lower())


def _output(info: FunctionInfo, binding: Mapping[str, Any], environment: Mapping[str, str]) -> QueueOutput:
    if binding["type"] != "queue":
        raise AppError(
            f"{info.name}: this host has no {binding['type']} output; it knows queue and HTTP outputs"
        )
    return QueueOutput(*_queue(info.name, binding, environment))


def _queue(function: str, binding: Mapping[str, Any], environment: Mapping[str, str]) -> tuple[str, str]:
    name = resolve(str(binding["queueName"]), f"{function}: queueName", environment).lower()
    if not QUEUE_NAME.fullmatch(name):
        raise AppError(f"{function}: {name!r} is no queue name; use 3-63 of a-z, 0-9 and single hyphens")
    setting = str(binding.get("connection") or "AzureWebJobsStorage")
    # A connection may be named with or without the prefix, as on the platform.
    connection = environment.get(setting) or environment.get(f"AzureWebJobs{setting}")
    if not connection:
        raise AppError(
            f"{function}: connection setting {setting} is not set; this host needs a connection string"
        )
    return name, connection
