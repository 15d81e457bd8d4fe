"""What every request passes before any route: token, rate, size. Deny by default: few paths are anonymous.

An ASGI middleware rather than a dependency: the framework reads and parses bodies before dependencies run.
"""

from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.adapters.tokens import Caller, TokenVerifier
from shared.api import problems
from shared.errors import AppError, UnauthorizedError

ANONYMOUS = frozenset({"/api/v1/health", "/docs", "/docs/oauth2-redirect", "/openapi.json"})
# Anybody may ask; who brings a token hears more.
MORE_WITH_TOKEN = frozenset({"/workflow/health"})
MAX_BODY_BYTES = 1_048_576
UPLOADS = {"/workflow/sharepack/upload": 16 * 1_048_576}
_MAX_SUBJECTS = 10_000


class RateLimiter:
    """A bucket a subject, refilled steadily. Per process: a limit against accidents, not against an army."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._capacity, self._clock = float(per_minute), clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, subject: str) -> None:
        """One request; raises TooManyRequestsError with the wait until the next would pass."""
        now = self._clock()
        tokens, at = self._buckets.pop(subject, (self._capacity, now))
        tokens = min(self._capacity, tokens + (now - at) * self._capacity / 60)
        if len(self._buckets) >= _MAX_SUBJECTS:
            self._buckets.pop(next(iter(self._buckets)))  # the one that has been quiet longest
        self._buckets[subject] = (max(0.0, tokens - 1) if tokens >= 1 else tokens, now)
        if tokens < 1:
            raise problems.TooManyRequestsError((1 - tokens) * 60 / self._capacity)


class Gate:
    """Authenticates, limits, and turns whatever escapes the application into a problem document."""

    def __init__(self, app: ASGIApp, *, tokens: TokenVerifier, limiter: RateLimiter) -> None:
        self._app, self._tokens, self._limiter = app, tokens, limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = _Began(send)
        try:
            await self._admit(scope)
            limit = UPLOADS.get(scope["path"], MAX_BODY_BYTES)
            body = _Limited(receive, Headers(scope=scope), limit)
            await self._app(scope, body, began)
        except Exception as error:
            # Decided here, once, for the whole interface: nobody else may leak a traceback to a caller.
            response = problems.of_error(error) if isinstance(error, AppError) else problems.of_crash(error)
            if not began.sent:
                await response(scope, receive, began)

    async def _admit(self, scope: Scope) -> None:
        path, headers = scope["path"], Headers(scope=scope)
        if path in ANONYMOUS or (path in MORE_WITH_TOKEN and "authorization" not in headers):
            return
        caller = await run_in_threadpool(self._authenticate, headers)
        self._limiter.take(caller.subject)
        scope.setdefault("state", {})["caller"] = caller

    def _authenticate(self, headers: Headers) -> Caller:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise UnauthorizedError(
                "no bearer token",
                hint="send Authorization: Bearer <token>; make up prints one for the local stack",
            )
        return self._tokens.verify(token.strip())


class _Limited:
    """The request's body, refused as soon as it is known to be too long."""

    def __init__(self, receive: Receive, headers: Headers, limit: int) -> None:
        self._receive, self._received, self._limit = receive, 0, limit
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > limit:
            raise _too_large(limit)

    async def __call__(self) -> Message:
        message = await self._receive()
        self._received += len(message.get("body", b""))
        if self._received > self._limit:
            # The framework reads bodies and would turn any error but its own into a 400.
            raise HTTPException(413)
        return message


class _Began:
    """Remembers whether the answer has begun, and adds the headers that every answer carries."""

    def __init__(self, send: Send) -> None:
        self._send, self.sent = send, False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.sent = True
            extra = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]
            message = {**message, "headers": [*message.get("headers", []), *extra]}
        await self._send(message)


def _too_large(limit: int) -> problems.TooLargeError:
    return problems.TooLargeError(
        f"request body: larger than {limit} bytes", hint="send less, or in several requests"
    )
