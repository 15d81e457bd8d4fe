"""Structured logs and traces: constant text plus fields; never a row's value, a secret or a DSN.

A trace runs from the tick through the queue's messages to the commits. Where telemetry is exported its spans are
OpenTelemetry's; elsewhere nothing of that is imported and only the trace's id travels, for the logs.
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

LOGGER = logging.getLogger("tributary")
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_fields: ContextVar[Mapping[str, object]] = ContextVar("fields")
_carried: ContextVar[str] = ContextVar("traceparent", default="")
# These speak at INFO of every request, with URLs and headers.
_NOISY = (
    "httpx",
    "httpcore",
    "azure",
    "azure.core.pipeline.policies.http_logging_policy",
    "azure.identity",
    "azure.monitor.opentelemetry",
    "msal",
    "urllib3",
    "opentelemetry",
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
        return json.dumps(body | _raised(record), default=str)


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


class Exported(logging.Filter):
    """Makes a record fit to leave as it is: exporters read its fields, so no formatter of ours comes between."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redacts the record's texts and leaves of its exception the type and the places; always true."""
        own = {k: v for k, v in vars(record).items() if k not in _STANDARD}
        record.msg, record.args = redact(record.getMessage()), ()
        vars(record).update({k: _attribute(_safe(v)) for k, v in (own | _raised(record)).items()})
        record.exc_info = record.exc_text = record.stack_info = None
        return True


def _raised(record: logging.LogRecord) -> dict[str, Any]:
    """The type and the places alone: texts and locals of foreign exceptions quote rows and connection strings."""
    if not record.exc_info or record.exc_info[0] is None:
        return {}
    frames = traceback.extract_tb(record.exc_info[2])[-8:]
    return {"error": record.exc_info[0].__name__, "where": [f"{f.filename}:{f.lineno}" for f in frames]}


def _attribute(value: object) -> object:
    """The value as an attribute of an exported record: what is not plain becomes JSON."""
    return value if isinstance(value, str | bool | int | float | None) else json.dumps(value, default=str)


class _Tracing:
    """Where spans go; None while nobody exports them."""

    tracer: Any = None


def configure_telemetry(level: str, form: Literal["json", "text"], *, exported: bool = False) -> None:
    """Logs to standard error in `form`; or, where the Functions worker exports telemetry, to its exporter with spans.

    The worker has called configure_azure_monitor by then, and a second call would send everything twice. Calling
    this again replaces what an earlier call set.
    """
    LOGGER.setLevel(level)
    LOGGER.propagate = exported
    LOGGER.filters[:] = [Exported()] if exported else []
    LOGGER.handlers[:] = [] if exported else [_to_stderr(form)]
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    _Tracing.tracer = _tracer() if exported else None


def _to_stderr(form: Literal["json", "text"]) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    return handler


def _tracer() -> Any:
    from opentelemetry import trace

    return trace.get_tracer("tributary")


def log(action: str, /, *, level: int = logging.INFO, **fields: object) -> None:
    """Log one event; `action` is a constant, everything that varies is a field. Spans around it add theirs."""
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, action, extra={**_fields.get({}), **_trace_id(), **fields, "action": action})


def _trace_id() -> dict[str, object]:
    found = traceparent()
    return {"trace": found.split("-")[1]} if found else {}


@contextmanager
def span(name: str, /, *parents: str, **fields: object) -> Iterator[None]:
    """Time what happens inside as `name`, and give its log lines `fields` and the stage's name.

    `parents` are W3C traceparents from messages or invocations, of which the first good one counts; without one the
    span stands in the current. An exception marks the span by its type alone.
    """
    parent = next((each for each in parents if _TRACEPARENT.fullmatch(each)), "")
    known = {key: str(value) for key, value in fields.items()}
    bound = _fields.set({**_fields.get({}), **known, "stage": name})
    try:
        with _recorded(name, parent, known):
            yield
    finally:
        _fields.reset(bound)


@contextmanager
def _recorded(name: str, parent: str, fields: Mapping[str, str]) -> Iterator[None]:
    if _Tracing.tracer is None:
        carried = _carried.set(parent or _carried.get())
        try:
            yield
        finally:
            _carried.reset(carried)
        return
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
    from opentelemetry.trace.status import Status, StatusCode

    context = TraceContextTextMapPropagator().extract({"traceparent": parent}) if parent else None
    with _Tracing.tracer.start_as_current_span(
        name, context, attributes=fields, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except BaseException as error:
            current.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def traceparent() -> str:
    """The current span as a W3C traceparent, for a message that carries the trace on; empty where there is none."""
    if _Tracing.tracer is None:
        return _carried.get()
    from opentelemetry import trace

    current = trace.get_current_span().get_span_context()
    if not current.is_valid:
        return ""
    return f"00-{current.trace_id:032x}-{current.span_id:016x}-{current.trace_flags:02x}"


def invoked_by(context: object) -> str:
    """The traceparent of a function's invocation: the worker attaches it to its event loop, not to our threads."""
    found = getattr(getattr(context, "trace_context", None), "trace_parent", "")
    return found if isinstance(found, str) else ""
