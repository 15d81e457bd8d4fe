"""One invocation inside the worker: payload to trigger object, call, outputs back; all through the SDK's converters."""

import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import azure.functions as func
from azure.functions import meta

from infra.local.host.loader import Loaded, converter
from infra.local.host.protocol import HttpRequestData, HttpResponseData, Invoke, Output, Payload, Text

_thread_local = threading.local()


class OutputValue(func.Out[Any]):
    """What an output parameter is given to call `set` on."""

    def __init__(self) -> None:
        self._value: Any = None

    def set(self, val: Any) -> None:
        """Keep the value; the last one wins."""
        self._value = val

    def get(self) -> Any:
        """The value kept, None when there is none."""
        return self._value


class Trace:
    """The trace context of one invocation, under the worker's attribute names."""

    def __init__(self, traceparent: str) -> None:
        self.trace_parent = self.Traceparent = traceparent
        self.trace_state = self.Tracestate = ""
        self.attributes: Mapping[str, str] = {}
        self.Attributes = self.attributes


class Retry:
    """No retry policy is in force."""

    retry_count = 0
    max_retry_count = 0
    exception = None


class InvocationContext(func.Context):
    """What a parameter called `context` receives."""

    def __init__(self, invoke: Invoke, directory: Path) -> None:
        self._invoke, self._directory = invoke, directory
        self._trace = Trace(invoke.traceparent)

    @property
    def invocation_id(self) -> str:
        """Unique for this run of the function."""
        return self._invoke.invocation_id

    @property
    def thread_local_storage(self) -> Any:
        """Carries `invocation_id` for log records of the pool's threads."""
        return _thread_local

    @property
    def function_name(self) -> str:
        """The name in the decorator."""
        return self._invoke.function

    @property
    def function_directory(self) -> str:
        """The app's root."""
        return str(self._directory)

    @property
    def trace_context(self) -> Any:
        """W3C trace context: `trace_parent` continues the caller's where there was one."""
        return self._trace

    @property
    def retry_context(self) -> Any:
        """Always zero: retry policies do not cover queue triggers."""
        return Retry()


def arguments(function: Loaded, invoke: Invoke, directory: Path) -> dict[str, Any]:
    """Keyword arguments for the user's function."""
    metadata = {name: meta.Datum(text.value, text.kind) for name, text in invoke.metadata.items()}
    decode = converter(function.types[function.trigger]).decode
    values: dict[str, Any] = {
        function.trigger: decode(_datum(invoke.payload), trigger_metadata=metadata),
        **{name: OutputValue() for name in function.outputs if name != "$return"},
    }
    if function.wants_context:
        values["context"] = InvocationContext(invoke, directory)
    return values


def call(function: Loaded, values: Mapping[str, Any], invocation_id: str) -> Any:
    """Call a plain function on a pool thread."""
    _thread_local.invocation_id = invocation_id
    try:
        return function.call(**values)
    finally:
        _thread_local.invocation_id = None


def outputs(function: Loaded, values: Mapping[str, Any], returned: Any) -> dict[str, Output]:
    """What the function set or returned, encoded; nothing for outputs left alone.

    Raises RuntimeError for a returned value no binding takes, as the worker does.
    """
    if returned is not None and "$return" not in function.outputs:
        raise RuntimeError(
            f"function {function.info.name} without a $return binding returned a non-None value"
        )
    given = {name: values[name].get() for name in function.outputs if name != "$return"}
    if "$return" in function.outputs:
        given["$return"] = returned
    return {
        name: _encoded(function.outputs[name], value) for name, value in given.items() if value is not None
    }


def new_invocation_id() -> str:
    """A fresh id, unique for ever."""
    return str(uuid.uuid4())


def _datum(payload: Payload) -> meta.Datum:
    if isinstance(payload, Text):
        return meta.Datum(payload.value, payload.kind)
    return meta.Datum(_http_members(payload), "http")


def _http_members(request: HttpRequestData) -> dict[str, Any]:
    def texts(values: Mapping[str, str]) -> dict[str, meta.Datum]:
        return {name: meta.Datum(value, "string") for name, value in values.items()}

    return {
        "method": meta.Datum(request.method, "string"),
        "url": meta.Datum(request.url, "string"),
        "headers": texts(request.headers),
        "params": texts(request.params),
        "query": texts(request.query),
        "body": meta.Datum(request.body, "bytes"),
    }


def _encoded(binding_type: str, value: Any) -> Output:
    datum = converter(binding_type).encode(value, expected_type=None)
    if datum.type == "http":
        return _response(datum.value)
    if binding_type == "http":
        return HttpResponseData(
            200, (("content-type", "text/plain; charset=utf-8"),), str(datum.value).encode()
        )
    return Text(datum.type, datum.value)


def _response(members: Mapping[str, Any]) -> HttpResponseData:
    headers = [(name, datum.value) for name, datum in members["headers"].items()]
    cookies = [morsel.OutputString() for jar in members.get("cookies") or () for morsel in jar.values()]
    headers += [("set-cookie", cookie) for cookie in cookies]
    return HttpResponseData(int(members["status_code"].value), tuple(headers), members["body"].value)
