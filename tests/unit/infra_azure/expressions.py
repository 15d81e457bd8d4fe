"""Data Factory's expressions: read, held against what they may name, and worked out.

A text is `@expression`, or text with `@{expression}` in it; `@@` at its start means an `@`. Only the functions that our
documents use are known, with their counts of arguments; anything else is refused.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<mark>\?\.|[().,\[\]]))"
)
_FORMATS = {"yyyy/MM/dd": "%Y/%m/%d", "yyyy-MM-ddTHH:mm:ssZ": "%Y-%m-%dT%H:%M:%SZ"}


class ExpressionError(Exception):
    """Data Factory would refuse the expression."""


@dataclass(frozen=True)
class Call:
    """A function with its arguments."""

    name: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Member:
    """A property or an element of something."""

    of: Any
    name: Any


@dataclass(frozen=True)
class Literal:
    """A value as it stands."""

    value: Any


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _formatted(text: str, form: str) -> str:
    if form not in _FORMATS:
        raise ExpressionError(f"formatDateTime: {form} is no format known here")
    return _time(text).strftime(_FORMATS[form])


FUNCTIONS: dict[str, tuple[int, int, Callable[..., Any]]] = {
    "add": (2, 2, lambda a, b: a + b),
    "addDays": (2, 3, lambda at, days, *_: (_time(at) + timedelta(days=days)).isoformat()),
    "concat": (1, 99, lambda *parts: "".join(map(str, parts))),
    "formatDateTime": (1, 2, _formatted),
    "if": (3, 3, lambda condition, yes, no: yes if condition else no),
    "join": (2, 2, lambda parts, between: between.join(parts)),
    "mul": (2, 2, lambda a, b: a * b),
    "not": (1, 1, lambda a: not a),
    "skip": (2, 2, lambda parts, count: parts[count:]),
    "split": (2, 2, lambda text, between: text.split(between)),
    "startsWith": (2, 2, lambda text, start: text.lower().startswith(start.lower())),
    "string": (1, 1, str),
}
ROOTS = {
    "activity": 1,
    "dataset": 0,
    "item": 0,
    "linkedService": 0,
    "pipeline": 0,
    "trigger": 0,
    "triggerBody": 0,
}


def expressions(text: str) -> list[Any]:
    """The expressions that a text holds, each as a tree; none in a plain text."""
    if text.startswith("@@") or "@" not in text:
        return []
    if text.startswith("@") and not text.startswith("@{"):
        return [_parsed(text[1:])]
    return [_parsed(inner) for inner, _ in _interpolations(text)]


def rendered(text: str, names: Mapping[str, Any]) -> Any:
    """What the text becomes; `names` holds what the roots mean, an activity's as `activity`."""
    if text.startswith("@") and not text.startswith(("@@", "@{")):
        return evaluate(_parsed(text[1:]), names)
    found, end = "", 0
    for inner, (start, stop) in _interpolations(text):
        found += text[end:start] + str(evaluate(_parsed(inner), names))
        end = stop
    return found + text[end:]


def evaluate(tree: Any, names: Mapping[str, Any]) -> Any:
    """The value of a tree."""
    match tree:
        case Literal(value):
            return value
        case Member(of, name):
            return evaluate(of, names)[evaluate(name, names) if isinstance(name, Call | Member) else name]
        case Call(name, arguments) if name in ROOTS:
            return names[name][arguments[0].value] if arguments else names[name]
        case Call(name, arguments):
            return FUNCTIONS[name][2](*(evaluate(each, names) for each in arguments))
    raise ExpressionError(f"{tree!r}: no expression")


def members(tree: Any) -> Iterator[tuple[str, ...]]:
    """Every path that a tree reads from a root: `("pipeline", "parameters", "hours")`."""
    match tree:
        case Call(name, arguments):
            if name in ROOTS:
                yield (name, *(each.value for each in arguments))
            else:
                for each in arguments:
                    yield from members(each)
        case Member(of, name):
            found = list(members(of))
            yield from ((*path, name) if _straight(of) else path for path in found)


def _straight(tree: Any) -> bool:
    return (isinstance(tree, Member) and _straight(tree.of)) or (
        isinstance(tree, Call) and tree.name in ROOTS
    )


def _interpolations(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """What stands between `@{` and the brace that closes it, and where."""
    at = 0
    while (start := text.find("@{", at)) >= 0:
        quoted, end = False, start + 2
        while end < len(text) and (quoted or text[end] != "}"):
            quoted ^= text[end] == "'"
            end += 1
        if end == len(text):
            raise ExpressionError(f"{text}: @{{ is never closed")
        yield text[start + 2 : end], (start, end + 1)
        at = end + 1


def _parsed(text: str) -> Any:
    tokens = _tokens(text)
    found, rest = _expression(tokens)
    if rest:
        raise ExpressionError(f"{text}: {rest[0][1]} is too much")
    return found


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise ExpressionError(f"{text}: not understood at {text[at:][:20]}")
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


def _expression(tokens: list[tuple[str, str]]) -> tuple[Any, list[tuple[str, str]]]:
    if not tokens:
        raise ExpressionError("ends too early")
    (kind, word), *rest = tokens
    match kind:
        case "text":
            found: Any = Literal(word[1:-1].replace("''", "'"))
        case "number":
            found = Literal(float(word) if "." in word else int(word))
        case "name" if word in ("true", "false", "null"):
            found = Literal({"true": True, "false": False, "null": None}[word])
        case "name":
            arguments, rest = _arguments(word, rest)
            found = _called(word, arguments)
        case _:
            raise ExpressionError(f"{word}: begins nothing")
    return _members(found, rest)


def _arguments(name: str, tokens: list[tuple[str, str]]) -> tuple[list[Any], list[tuple[str, str]]]:
    if not tokens or tokens[0][1] != "(":
        raise ExpressionError(f"{name}: is no value; a text stands in quotes")
    rest, found = tokens[1:], []
    while rest and rest[0][1] != ")":
        argument, rest = _expression(rest)
        found.append(argument)
        if rest and rest[0][1] == ",":
            rest = rest[1:]
            if rest and rest[0][1] == ")":
                raise ExpressionError(f"{name}: a comma too many")
        elif not rest or rest[0][1] != ")":
            raise ExpressionError(f"{name}: its arguments are not closed")
    if not rest:
        raise ExpressionError(f"{name}: its arguments are not closed")
    return found, rest[1:]


def _called(name: str, arguments: list[Any]) -> Call:
    if name in ROOTS:
        least = most = ROOTS[name]
    elif name in FUNCTIONS:
        least, most, _ = FUNCTIONS[name]
    else:
        raise ExpressionError(f"{name}: no function known here")
    if not least <= len(arguments) <= most:
        raise ExpressionError(f"{name}: {len(arguments)} arguments")
    return Call(name, tuple(arguments))


def _members(found: Any, rest: list[tuple[str, str]]) -> tuple[Any, list[tuple[str, str]]]:
    while rest and rest[0][1] in (".", "?.", "["):
        mark, *rest = rest
        if mark[1] == "[":
            key, rest = _expression(rest)
            if not rest or rest[0][1] != "]":
                raise ExpressionError("a bracket is not closed")
            found, rest = Member(found, key.value if isinstance(key, Literal) else key), rest[1:]
        else:
            if not rest or rest[0][0] != "name":
                raise ExpressionError("a dot without a name")
            found, rest = Member(found, rest[0][1]), rest[1:]
    return found, rest
