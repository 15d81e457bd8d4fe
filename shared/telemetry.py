"""Structured logs: constant text plus fields, one JSON object a line; never a row's value, a secret or a DSN."""

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Literal

LOGGER = logging.getLogger("tributary")
# These speak at INFO of every request, with URLs and headers.
_NOISY = (
    "httpx",
    "httpcore",
    "azure",
    "azure.core.pipeline.policies.http_logging_policy",
    "azure.identity",
    "uvicorn.access",
)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SECRETS = re.compile(
    r"(?i)(bearer\s+[\w\-.~+/=]+|(?:password|pwd|secret|token|accountkey|sig|client_secret)\s*[=:]\s*[^\s;,&\"']+"
    r"|(?:postgres(?:ql)?|https?)://[^\s/@]+:[^\s/@]+@)"
)


def redact(text: str) -> str:
    """The text with whatever looks like a credential blotted out, on one line, without terminal commands."""
    plain = _SECRETS.sub("[redacted]", text)
    # Not only CR and LF: escapes colour and erase, and some viewers break lines at NEL, U+2028 and U+2029.
    return plain if plain.isprintable() else "".join(map(_visible, plain))


def _visible(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


class JsonFormatter(logging.Formatter):
    """One JSON object a record; fields come from `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        body: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        body |= {k: _safe(v) for k, v in vars(record).items() if k not in _STANDARD}
        if record.exc_info and record.exc_info[0] is not None:
            # The type and the places alone: texts and locals of foreign exceptions quote rows and connection strings.
            body["error"] = record.exc_info[0].__name__
            body["where"] = [
                f"{f.filename}:{f.lineno}" for f in traceback.extract_tb(record.exc_info[2])[-8:]
            ]
        return json.dumps(body, default=str)


class TextFormatter(logging.Formatter):
    """The same for people: time, level, text, fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        fields = " ".join(f"{k}={_safe(v)}" for k, v in vars(record).items() if k not in _STANDARD)
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        return f"{at} {record.levelname:<7} {redact(record.getMessage())} {fields}".rstrip()


def _safe(value: object) -> object:
    """The value as it may be shown: texts redacted, wherever they stand."""
    match value:
        case str():
            return redact(value)
        case None | bool() | int() | float():
            return value
        case dict():
            return {redact(str(k)): _safe(v) for k, v in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_safe(each) for each in value]
        case _:
            return redact(str(value))


def configure_logging(level: str, form: Literal["json", "text"]) -> None:
    """Give our logger one handler of its own; calling again replaces it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    LOGGER.handlers[:] = [handler]
    LOGGER.setLevel(level)
    LOGGER.propagate = False
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def log(action: str, /, *, level: int = logging.INFO, **fields: object) -> None:
    """Log one event; `action` is a constant, everything that varies is a field."""
    LOGGER.log(level, action, extra={"action": action, **fields})
