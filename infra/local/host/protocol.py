"""What the host and its worker process say to each other: pickled values over one local socket."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class HttpRequestData:
    """A request as the worker gets it; `query` and `params` hold one text per name."""

    method: str
    url: str
    headers: Mapping[str, str]
    params: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class HttpResponseData:
    """A function's answer; headers may repeat."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Text:
    """A payload of the SDK's kinds `string`, `bytes` or `json`."""

    kind: str
    value: str | bytes


Payload = Text | HttpRequestData
Output = Text | HttpResponseData


@dataclass(frozen=True, slots=True)
class Invoke:
    """Host to worker: run one function."""

    invocation_id: str
    function: str
    payload: Payload
    traceparent: str
    metadata: Mapping[str, Text] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stop:
    """Host to worker: end; nothing is in flight any more."""


@dataclass(frozen=True, slots=True)
class FunctionInfo:
    """One indexed function: its name and the raw bindings of its decorators, as function.json would hold them."""

    name: str
    bindings: tuple[Mapping[str, object], ...]


@dataclass(frozen=True, slots=True)
class Indexed:
    """Worker to host: the app loaded."""

    functions: tuple[FunctionInfo, ...]


@dataclass(frozen=True, slots=True)
class IndexFailed:
    """Worker to host: the app cannot be loaded; nothing will run."""

    message: str


@dataclass(frozen=True, slots=True)
class Finished:
    """Worker to host: an invocation ended; `error` None means success, and only then outputs count."""

    invocation_id: str
    error: str | None
    outputs: Mapping[str, Output] = field(default_factory=dict)
