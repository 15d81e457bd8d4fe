"""Untrusted rules are taken whole or refused with every wrong field named."""

from typing import Any

import pytest

from shared.sync.model import Rules
from shared.sync.rules import RulesError, dump_rules, parse_rules


def test_nothing_said_leaves_the_base():
    base = Rules(unicode="NFC", timezone="UTC")
    assert parse_rules({}, base) == base


def test_what_is_said_wins_over_the_base():
    rules = parse_rules({"trim": "none", "null_values": ["-"], "timezone": None}, Rules(timezone="UTC"))
    assert rules == Rules(trim="none", null_values=("-",), timezone=None)


def test_null_leaves_a_default():
    assert parse_rules({"trim": None}) == Rules()


def test_rules_written_out_come_back():
    rules = Rules(formats=("%d.%m.%Y", "epoch_s"), sentinels={"x": None}, mask="hash")
    said = {k: list(v) if isinstance(v, tuple) else v for k, v in dump_rules(rules).items()}
    assert parse_rules(said) == rules


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"trim": "left"}, "trim"),
    ({"trims": "both"}, "trims"),
    ({"empty_is_null": "yes"}, "empty_is_null"),
    ({"null_values": "N/A"}, "null_values"),
    ({"null_values": [1]}, "null_values.0"),
    ({"decimal_separator": ""}, "decimal_separator"),
    ({"decimal_separator": ".."}, "decimal_separator"),
    ({"decimal_separator": ","}, "group_separator"),
    ({"group_separator": "5"}, "group_separator"),
    ({"group_separator": "-"}, "group_separator"),
    ({"timezone": "Mars/Olympus"}, "timezone"),
    ({"timezone": "../etc/passwd"}, "timezone"),
    ({"timezone": ""}, "timezone"),
    ({"formats": ["DD.MM.YYYY"]}, "formats.0"),
    ({"formats": ["%d.%m.%Y", "%Q"]}, "formats.1"),
    ({"formats": ["%d.%m"]}, "formats.0"),
    ({"formats": ["%H:%M"]}, "formats.0"),
    ({"formats": ["%Y-%m-%d %I:%M"]}, "formats.0"),
    ({"formats": ["%Y-%m-%d %d"]}, "formats.0"),
    ({"formats": ["%"]}, "formats.0"),
    ({"true_values": []}, "true_values"),
    ({"true_values": ["J"], "false_values": ["J"]}, "false_values"),
    ({"sentinels": {"x": 1}}, "sentinels.x"),
    ({"null_values": ["x"], "sentinels": {"x": "y"}}, "sentinels"),
    ({"mask": "blur"}, "mask"),
]


@pytest.mark.parametrize(("said", "field"), WRONG)
def test_a_wrong_rule_is_named(said: dict[str, Any], field: str):
    with pytest.raises(RulesError) as refused:
        parse_rules(said)
    assert field in [name for name, _ in refused.value.problems]


def test_every_wrong_field_is_named_at_once():
    with pytest.raises(RulesError) as refused:
        parse_rules({"trim": "left", "mask": "blur", "case": 1})
    assert [name for name, _ in refused.value.problems] == ["trim", "case", "mask"]


@pytest.mark.parametrize("mask", ["null", "redact"])
def test_a_key_is_never_masked_away(mask: str):
    assert parse_rules({"mask": mask}).mask == mask
    with pytest.raises(RulesError, match="business key"):
        parse_rules({"mask": mask}, is_key=True)


def test_the_error_is_a_value_error_too():
    assert issubclass(RulesError, ValueError)
