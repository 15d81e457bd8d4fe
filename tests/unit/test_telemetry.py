"""Logs carry constant text and fields; what looks like a credential is blotted out."""

import json
import logging
import sys
from typing import Any

import pytest

from shared.telemetry import JsonFormatter, TextFormatter, redact


@pytest.mark.parametrize(
    "text",
    ["Bearer canary", "authorization: bearer canary.canary-canary", "password=canary", "PASSWORD: canary",
     "client_secret=canary", "AccountKey=canary==;EndpointSuffix=x", "https://x/?sig=canary&se=1",
     "postgresql://u:canary@h/db", "postgres://u:canary@h/db", "https://u:canary@h/", "token=canary", "pwd=canary"],
)  # fmt: skip
def test_credentials_are_blotted_out(text: str) -> None:
    assert "canary" not in redact(f"before {text} after")


@pytest.mark.parametrize("text", ["run 5 of 7", "orders: 12 rows", "https://host/path", "tokens are counted"])
def test_plain_text_stays(text: str) -> None:
    assert redact(text) == text


def record(message: str, **fields: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "tributary", "levelname": "INFO", "msg": message, **fields})


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_record_is_one_line_whatever_it_holds(formatter: logging.Formatter) -> None:
    line = formatter.format(record("a\nforged\r line", note="two\nlines", secret="password=canary"))
    assert "\n" not in line and "\r" not in line and "canary" not in line


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
@pytest.mark.parametrize(
    "forged", ["\x1b[2K", "\x9b2K", "\x85", "\u2028", "\u2029", "\x00", "\u202e", "\r\n"]
)
def test_no_character_commands_a_terminal_or_breaks_a_line(formatter: logging.Formatter, forged: str) -> None:
    line = formatter.format(
        record(f"a{forged}b", note=[f"c{forged}d", {"k": f"password=canary{forged}"}], odd=Odd())
    )
    assert line.isprintable() and "canary" not in line


class Odd:
    """Something whose text is a credential."""

    def __str__(self) -> str:
        return "token=canary\x1b[31m"


def test_fields_stand_beside_the_text() -> None:
    body = json.loads(JsonFormatter().format(record("tick", rows=3, run="r")))
    assert (body["message"], body["rows"], body["run"], body["level"]) == ("tick", 3, "r", "INFO")


def test_foreign_exceptions_leave_only_their_type() -> None:
    try:
        raise ValueError("row canary")
    except ValueError:
        line = JsonFormatter().format(record("failed", exc_info=sys.exc_info()))
    body = json.loads(line)
    assert body["error"] == "ValueError" and "canary" not in line
    assert body["where"][0].rpartition(":")[0].endswith("test_telemetry.py")
