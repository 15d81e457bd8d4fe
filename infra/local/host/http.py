"""The host's HTTP front: routes to functions, admin routes of its own, and the body cap."""

import asyncio
import hmac
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from infra.local.host.errors import HostError
from infra.local.host.protocol import HttpRequestData, HttpResponseData
from infra.local.host.routes import compile_routes, match
from infra.local.host.runner import Runner, new_traceparent
from infra.local.host.triggers import RESERVED_ROUTES, HttpTrigger

log = logging.getLogger("host.http")

MAX_BODY_BYTES = 104_857_600
KEY_HEADER, KEY_PARAMETER = "x-functions-key", "code"


class BodyTooLargeError(HostError):
    """The request's body is above the cap."""


class HttpFront:
    """The ASGI application: one request in, one function's answer out.

    `invoke_by_name` runs a timer or queue function by hand, and returns False for a name it does not know.
    """

    def __init__(
        self,
        triggers: Iterable[HttpTrigger],
        runner: Runner,
        invoke_by_name: Callable[[str, str], bool],
        *,
        key: str,
        names: Iterable[str] = (),
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._routes = compile_routes(triggers)
        self._runner, self._invoke_by_name = runner, invoke_by_name
        self._key, self._names, self._max_body_bytes = key, sorted(names), max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request; web sockets are refused."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except BodyTooLargeError as error:
            response = JSONResponse({"error": str(error)}, 413, {"connection": "close"})
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.scope["raw_path"].decode().split("?")[0]
        if path.strip("/").split("/")[0].lower() in RESERVED_ROUTES:
            return await self._admin(request, path.strip("/").lower())
        found = match(self._routes, request.method, path)
        if found is None:
            return Response(status_code=404)
        if found.trigger.auth_level != "anonymous" and not self._has_key(request):
            return Response(status_code=401)
        data = await self._request_data(request, found.params)
        traceparent = new_traceparent(request.headers.get("traceparent"))
        return await self._run(found.trigger, data, traceparent)

    async def _run(self, trigger: HttpTrigger, data: HttpRequestData, traceparent: str) -> Response:
        function = trigger.function
        try:
            # Handing over may wait for a worker to come back, and sending outputs talks to storage.
            done = await asyncio.to_thread(self._runner.begin, function, data, None, traceparent)
            finished = await asyncio.wrap_future(done)
            succeeded = await asyncio.to_thread(self._runner.finish, function, finished)
        except HostError as error:
            log.error("%s: %s", function.name, error)
            return Response(status_code=503 if self._runner.supervisor.closing else 500)
        answer = finished.outputs.get("$return")
        if not succeeded:
            return Response(status_code=500)
        return _response(answer) if isinstance(answer, HttpResponseData) else Response(status_code=204)

    async def _admin(self, request: Request, path: str) -> Response:
        if path == "admin/host/status":
            return JSONResponse({"state": "Running", "functions": self._names})
        if request.method == "POST" and path.startswith("admin/functions/"):
            return await self._invoke(request, request.url.path.strip("/").split("/")[2])
        return Response(status_code=404)

    async def _invoke(self, request: Request, name: str) -> Response:
        try:
            body = json.loads(await self._body(request) or b"{}")
            text = str(body.get("input") or "")
        except (ValueError, AttributeError):
            return JSONResponse({"error": 'the body must be JSON like {"input": ""}'}, 400)
        known = await asyncio.to_thread(self._invoke_by_name, name, text)
        if not known:
            return JSONResponse({"error": f"no timer or queue function is called {name!r}"}, 404)
        return Response(status_code=202)

    async def _request_data(self, request: Request, params: Mapping[str, str]) -> HttpRequestData:
        return HttpRequestData(
            method=request.method,
            url=str(request.url),
            headers=_joined(request.headers.items()),
            params=params,
            query=_joined(request.query_params.multi_items()),
            body=await self._body(request),
        )

    async def _body(self, request: Request) -> bytes:
        announced = request.headers.get("content-length", "0")
        self._check_size(int(announced) if announced.isdigit() else 0)
        chunks, size = [], 0
        async for chunk in request.stream():
            size += len(chunk)
            self._check_size(size)
            chunks.append(chunk)
        return b"".join(chunks)

    def _check_size(self, size: int) -> None:
        if size > self._max_body_bytes:
            raise BodyTooLargeError(f"the body is above {self._max_body_bytes} bytes; send it in parts")

    def _has_key(self, request: Request) -> bool:
        given = request.headers.get(KEY_HEADER) or request.query_params.get(KEY_PARAMETER) or ""
        return hmac.compare_digest(given.encode(), self._key.encode())


class HttpServer:
    """Serves the front on a socket that is bound already, on a thread of its own."""

    def __init__(self, front: HttpFront, listener: socket.socket, grace_s: float) -> None:
        config = uvicorn.Config(
            front, log_level="warning", access_log=False, lifespan="off", server_header=False,
            timeout_graceful_shutdown=round(grace_s), timeout_keep_alive=75,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._listener = listener
        self._thread = threading.Thread(target=self._serve, daemon=True, name="http")

    def start(self) -> None:
        """Begin to accept requests."""
        self._thread.start()

    def stop(self) -> None:
        """Accept no further request; returns at once."""
        self._server.should_exit = True

    def join(self, timeout_s: float) -> None:
        """Wait for the requests being answered."""
        self._thread.join(timeout_s)

    def _serve(self) -> None:
        self._server.run(sockets=[self._listener])


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _response(answer: HttpResponseData) -> Response:
    response = Response(answer.body, answer.status)
    # The function's own headers are the whole truth but for the length, which is counted here.
    length = [(name, value) for name, value in response.raw_headers if name == b"content-length"]
    given: list[tuple[bytes, Any]] = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in answer.headers
        if name.lower() not in ("content-length", "transfer-encoding", "connection")
    ]
    response.raw_headers = given + length
    return response
