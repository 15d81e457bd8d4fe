"""Stand-ins for the worker's protobuf messages: what the runtime library builds and reads, as plain values.

The generated module lives in the proxy worker, which is not published; the library takes any module of this shape.
"""

from typing import Any


class Message:
    """Keeps whatever it is given."""

    def __init__(self, **members: Any) -> None:
        self.__dict__.update(members)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.__dict__})"


class OneOf(Message):
    """A message with exactly one of several members set."""

    def WhichOneof(self, group: str) -> str | None:
        """The name of the member that is set."""
        return next(iter(self.__dict__), None)


class TypedData(OneOf):
    """`string`, `bytes`, `json`, `int`, `double` or `http`."""


class ParameterBinding(Message):
    """A parameter's name and its data."""

    def WhichOneof(self, group: str) -> str:
        """Always data; shared memory is not offered."""
        return "data"


class StatusResult(Message):
    """Success or failure."""

    Failure, Success, Cancelled = 0, 1, 2


class BindingInfo(Message):
    """A binding's type, data type and direction; the numbers are the SDK's own."""

    undefined = 0
    out, inout = 1, 2


class WorkerInitResponse(Message):
    """Answer to the first message; its result says whether the app was indexed."""


class WorkerMetadata(Message):
    """Versions of the worker."""


class FunctionMetadataResponse(Message):
    """All indexed functions."""


class RpcFunctionMetadata(Message):
    """One indexed function."""


class FunctionLoadResponse(Message):
    """Answer to loading one function."""


class InvocationResponse(Message):
    """What an invocation returned and set."""


class RpcException(Message):
    """An exception's text and trace."""


class RpcRetryOptions(Message):
    """A retry policy."""


class RpcHttp(Message):
    """A request or a response."""


class RpcHttpCookie(Message):
    """A cookie of a response."""

    class SameSite:
        """Its policy."""

        Lax, Strict, ExplicitNone = 1, 2, 3


# A member called None cannot be written as an attribute.
setattr(RpcHttpCookie.SameSite, "None", 0)
