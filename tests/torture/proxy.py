"""A TCP proxy before PostgreSQL that cuts a connection at a chosen moment, once."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Cut:
    """When to cut: after `marker` was sent to the server, `bytes_more` bytes later, or at the next COMMIT's reply."""

    marker: bytes
    at: Literal["reply of COMMIT", "bytes later"]
    bytes_more: int = 0


@dataclass
class CutProxy:
    """Forwards every connection to `server_port`; `cut` is done once and then `fired` is true."""

    server_port: int
    cut: Cut | None = None
    fired: bool = False
    _sockets: list[socket.socket] = field(default_factory=list)
    _listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self.server_port))
                self._sockets += [client, server]
                _Pair(self, client, server).start()

    def close(self) -> None:
        """Stop listening and cut everything: the server looks down from here on."""
        # shutdown wakes the thread that waits in accept; close alone would leave it there.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._sockets:
            _shut(each)


@contextmanager
def cut_proxy(server_port: int, cut: Cut | None = None) -> Iterator[CutProxy]:
    """A running proxy."""
    proxy = CutProxy(server_port, cut)
    thread = threading.Thread(target=proxy.serve, daemon=True)
    thread.start()
    yield proxy
    proxy.close()
    thread.join(10)


class _Pair:
    """One client's connection and what flows both ways."""

    def __init__(self, proxy: CutProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._tail, self._marked, self._swallows = b"", False, False

    def start(self) -> None:
        for target in (self._to_server, self._to_client):
            threading.Thread(target=target, daemon=True).start()

    def _to_server(self) -> None:
        with suppress(OSError):
            while data := self._client.recv(65536):
                if not self._forward(data):
                    break
        self._end()

    def _forward(self, data: bytes) -> bool:
        cut = self._proxy.cut
        if cut is None or self._proxy.fired:
            self._server.sendall(data)
            return True
        seen = self._tail + data
        self._tail = seen[-256:]
        if not self._marked:
            self._marked = cut.marker in seen
            if self._marked and cut.at == "bytes later":
                self._proxy.fired = True
                start = max(0, seen.index(cut.marker) + len(cut.marker) - (len(seen) - len(data)))
                self._server.sendall(data[: start + cut.bytes_more])
                return False
        elif b"COMMIT" in data:
            self._swallows = True
        self._server.sendall(data)
        return True

    def _to_client(self) -> None:
        with suppress(OSError):
            while data := self._server.recv(65536):
                if self._swallows and b"COMMIT" in data and not self._proxy.fired:
                    # The server has committed; the client will never know from this connection.
                    self._proxy.fired = True
                    break
                self._client.sendall(data)
        self._end()

    def _end(self) -> None:
        _shut(self._client)
        _shut(self._server)


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
