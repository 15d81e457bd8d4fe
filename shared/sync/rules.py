"""Column rules from untrusted mappings: a connector's `format`, a field mapping's `rules`.

Leaves: model.Rules, or RulesError naming every wrong field at once. Called by the catalogue.
"""

import re
from collections.abc import Mapping
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import InvalidError
from shared.sync.model import Rules

WORDS = ("epoch_s", "epoch_ms", "excel_serial")
_DIRECTIVES = frozenset("YymdHIMSfpbBjzaA%")


class RulesError(InvalidError, ValueError):
    """Rules that are unknown, malformed or contradict each other."""

    code = "invalid_rules"


class _Rules(BaseModel):
    """The wire form: the connector protocol's names, nothing else allowed, no type guessed from another."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    trim: Literal["both", "right", "none"] | None = None
    control: Literal["strip", "strip_nul"] | None = None
    unicode: Literal["none", "NFC"] | None = None
    case: Literal["none", "upper", "lower"] | None = None
    empty_is_null: bool | None = None
    null_values: list[str] | None = None
    decimal_separator: str | None = Field(None, min_length=1, max_length=1)
    group_separator: str | None = Field(None, min_length=0, max_length=1)
    formats: list[str] | None = None
    timezone: str | None = None
    ambiguous: Literal["reject", "earliest", "latest"] | None = None
    fraction: Literal["reject", "truncate"] | None = None
    true_values: list[str] | None = Field(None, min_length=1)
    false_values: list[str] | None = Field(None, min_length=1)
    sentinels: dict[str, str | None] | None = None
    mask: Literal["none", "hash", "redact", "null"] | None = None


def parse_rules(raw: Mapping[str, object], base: Rules | None = None, *, is_key: bool = False) -> Rules:
    """`base` (the defaults) with what `raw` says over it; raises RulesError with each wrong field."""
    base = base or Rules()
    try:
        given = _Rules.model_validate(dict(raw))
    except ValidationError as error:
        raise _error([(_place(e["loc"]), e["msg"]) for e in error.errors(include_input=False)]) from None
    said = {name: getattr(given, name) for name in raw}
    # only timezone has null as a meaning of its own (no zone at all); elsewhere null means the default
    said = {name: value for name, value in said.items() if value is not None or name == "timezone"}
    rules = Rules(**{**dump_rules(base), **said})
    rules = _frozen(rules)
    problems = _contradictions(rules, is_key)
    if problems:
        raise _error(problems)
    return rules


def dump_rules(rules: Rules) -> dict[str, object]:
    """The rules under their wire names, every default written out; JSON-ready but for tuples."""
    return {name: getattr(rules, name) for name in Rules.__slots__}


def _frozen(rules: Rules) -> Rules:
    values = dump_rules(rules)
    return Rules(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})  # type: ignore[arg-type]  # names and values come from Rules itself


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)


def _error(problems: list[tuple[str, str]]) -> RulesError:
    what = "; ".join(f"{name}: {detail}" for name, detail in problems)
    return RulesError(f"rules: {what}", problems, hint="correct the fields named and send them again")


def _contradictions(rules: Rules, is_key: bool) -> list[tuple[str, str]]:
    problems = _separators(rules)
    problems += [(f"formats.{i}", d) for i, p in enumerate(rules.formats) if (d := format_problem(p))]
    if rules.timezone is not None and not is_zone(rules.timezone):
        problems.append(("timezone", "is no time zone of the IANA database; use a name like Europe/Berlin"))
    both = sorted(set(rules.true_values) & set(rules.false_values))
    if both:
        problems.append(("false_values", f"{both[0]!r} also stands in true_values"))
    if any(word in rules.sentinels for word in rules.null_values):
        problems.append(("sentinels", "names a text that null_values already makes NULL"))
    if is_key and rules.mask in ("null", "redact"):
        problems.append(("mask", "a business key cannot be masked away; hash keeps it distinct"))
    return problems


def _separators(rules: Rules) -> list[tuple[str, str]]:
    problems = []
    if rules.decimal_separator == rules.group_separator:
        problems.append(("group_separator", "is the same as decimal_separator; they must differ"))
    for name in ("decimal_separator", "group_separator"):
        mark = getattr(rules, name)
        if mark and (mark in "+-eE" or mark.isalnum()):
            problems.append((name, "cannot be a letter, a digit or a sign"))
    return problems


def is_zone(name: str) -> bool:
    """Whether the name is a zone of the IANA database."""
    if not re.fullmatch(r"[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+){0,2}", name):
        return False
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        return False
    return True


def format_problem(pattern: str) -> str:
    """What makes a format unusable; empty when nothing does."""
    if pattern in WORDS:
        return ""
    directives = re.findall(r"%(.?)", pattern, re.DOTALL)
    unknown = [d for d in directives if d not in _DIRECTIVES or not d]
    if not directives:
        return f"is neither a strptime pattern nor one of {', '.join(WORDS)}"
    if unknown:
        return f"%{unknown[0]} is not a directive that can be read; use %Y %m %d %H %M %S %f %b %j %p %z"
    if not set(directives) & {"Y", "y"} or not (
        (set(directives) & {"m", "b", "B"} and "d" in directives) or "j" in directives
    ):
        return "does not name year, month and day"
    if len(set(directives) - {"%"}) < len([d for d in directives if d != "%"]):
        return "names a part twice"
    return "" if "I" not in directives or "p" in directives else "%I needs %p"
