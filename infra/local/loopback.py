"""A small threaded HTTP/1.1 server: requests in, one callable's answers out. Loopback only."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec


@dataclass(frozen=True, slots=True)
class Request:
    """What came in; of a parameter sent twice the last one counts. Header names are in lower case."""

    method: str
    path: str
    parameters: Mapping[str, str]
    bearer: str = field(repr=False)
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, JSON bytes and further headers; a `lost` one never leaves: the connection ends instead."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    lost: bool = False


Handle = Callable[[Request], Answer]


def json_answer(content: object, status: int = 200) -> Answer:
    return Answer(status, msgspec.json.encode(content))


class LoopbackServer:
    """Serves `handle` on 127.0.0.1 from background threads; port 0 takes a free one."""

    def __init__(self, handle: Handle, port: int = 0) -> None:
        self._server = _Server(("127.0.0.1", port), _handler_class(handle))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """Close the port and every connection; no request is being answered afterwards."""
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    # Threads that aren't daemons are joined by server_close; hang_up makes sure they end.
    daemon_threads = False
    # Twenty probes at once overflow the default backlog of five, and each lost SYN costs a second.
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End kept-alive connections: their threads would wait for a next request for ever."""
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no news; anything else is a defect and prints its traceback."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _handler_class(handle: Handle) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Headers and body leave as two segments; with Nagle the second waits for a delayed ACK (40 ms).
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            answer = handle(self._request())
            if answer.lost:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

        def _request(self) -> Request:
            parts = urlsplit(self.path)
            scheme, _, token = self.headers.get("Authorization", "").partition(" ")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return Request(
                method=self.command,
                path=parts.path,
                parameters=dict(parse_qsl(parts.query, keep_blank_values=True)),
                bearer=token.strip() if scheme.lower() == "bearer" else "",
                body=body,
                headers={name.lower(): value for name, value in self.headers.items()},
            )

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing: the demo's output belongs to its story."""

    return Handler
