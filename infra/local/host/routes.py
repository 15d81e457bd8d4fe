"""Which HTTP function answers a path: templates with `{name}`, `{name?}`, `{name:int}` and `{*rest}`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from infra.local.host.errors import AppError
from infra.local.host.triggers import HttpTrigger

PARAMETER = re.compile(
    r"\{(?P<star>\*{0,2})(?P<name>\w+)(?::(?P<kind>\w+)(?:\([^)]*\))?)?(?P<optional>\?)?\}"
)
KINDS = {
    "int": r"-?\d+",
    "long": r"-?\d+",
    "guid": r"[0-9a-fA-F-]{36}",
    "alpha": r"[A-Za-z]+",
    "bool": "true|false",
}
LITERAL, VALUE, REST = range(3)


@dataclass(frozen=True, slots=True)
class Route:
    """A compiled template; `rank` puts literal segments before values, and those before a rest."""

    trigger: HttpTrigger
    pattern: re.Pattern[str]
    rank: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """The function that answers, and its route parameters, decoded."""

    trigger: HttpTrigger
    params: dict[str, str]


def compile_routes(triggers: Iterable[HttpTrigger]) -> tuple[Route, ...]:
    """All routes, the most literal first."""
    return tuple(sorted((_compile(trigger) for trigger in triggers), key=lambda route: route.rank))


def match(routes: Iterable[Route], method: str, path: str) -> Match | None:
    """The function for this request; None when no template fits, or none that fits takes the method."""
    for route in routes:
        found = route.pattern.fullmatch(path.strip("/"))
        if found and (not route.trigger.methods or method.upper() in route.trigger.methods):
            params = {name: unquote(value) for name, value in found.groupdict().items() if value is not None}
            return Match(route.trigger, params)
    return None


def _compile(trigger: HttpTrigger) -> Route:
    segments = trigger.route.split("/") if trigger.route else []
    patterns = [_segment(trigger, segment) for segment in segments]
    text = "".join(f"(?:/{pattern})?" if loose else f"/{pattern}" for pattern, loose, _ in patterns)
    # Paths come without slashes at either end, so the first separator is not there.
    return Route(
        trigger, re.compile(text.replace("/", "", 1), re.IGNORECASE), tuple(rank for _, _, rank in patterns)
    )


def _segment(trigger: HttpTrigger, text: str) -> tuple[str, bool, int]:
    found = PARAMETER.fullmatch(text)
    if found is None:
        if "{" in text:
            raise AppError(
                f"{trigger.function.name}: this host cannot route {text!r}; give the parameter a segment"
            )
        return re.escape(text), False, LITERAL
    if found["star"]:
        return f"(?P<{found['name']}>.*)", True, REST
    kind = KINDS.get(found["kind"] or "", "[^/]+")
    return f"(?P<{found['name']}>{kind})", bool(found["optional"]), VALUE
