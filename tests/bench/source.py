"""The benchmark's source: a process of its own that serves rendered pages from memory over the connector protocol.

Run: python -m tests.bench.source '{"rows": N, "tables": [{"slug", "strategy", "rows"}]}'. Its
first output line is its port. `POST /control/edition` {"edition"} renders the next edition and answers when the
pages are ready; `POST /control/probed` {"slug": version} moves what the probe of a small table says.
"""

import json
import socket
import socketserver
import sys
import time
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from tests.bench import rows as content

PROBE_S = 0.05
_SLOW_PREFIX = "tick_"  # tables of the thousand, whose probes take their time


@dataclass(frozen=True, slots=True)
class Table:
    """One table as the source offers it; `rows` at most the source's."""

    slug: str
    strategy: str
    rows: int


@dataclass(slots=True)
class Stock:
    """Everything rendered. Tables share their pages: a smaller one shows the first of them."""

    rows: int
    tables: dict[str, Table]
    token: str | None = None
    edition: int = 0
    pages: list[bytes] = field(default_factory=list)
    deltas: dict[tuple[int, int], list[bytes]] = field(default_factory=dict)
    probed: dict[str, int] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def render(self, edition: int) -> None:
        """Render all pages of an edition; smaller tables and deltas are rendered when they are first asked for."""
        self.edition, self.pages, self.deltas = edition, content.pages(self.rows, edition), {}

    def greatest(self, rows: int) -> int:
        """The greatest version among a table's rows."""
        return int(self._versions(rows).max()) if rows else 0

    def _versions(self, rows: int) -> np.ndarray:
        return content.versions(np.arange(rows), self.edition, self.rows)

    def delta(self, rows: int, above: int) -> list[bytes]:
        """Pages of the rows above a version; rendered once an edition."""
        with self.lock:
            if (rows, above) not in self.deltas:
                ids = np.flatnonzero(self._versions(rows) > above)
                self.deltas[rows, above] = content.pages_of(ids, self.edition, self.rows) or [b"[]"]
            return self.deltas[rows, above]

    def page(self, table: Table, number: int, above: int | None) -> list[bytes]:
        """The pieces of a page's body; the rows themselves are not copied."""
        pages = self._whole(table) if above is None else self.delta(table.rows, above)
        more = number < len(pages)
        total = table.rows if above is None else int((self._versions(table.rows) > above).sum())
        tail: dict[str, Any] = {
            "page": number,
            "page_size": content.PAGE_ROWS,
            "total": total,
            "has_more": more,
        }
        tail["next_cursor"] = str(number + 1) if more else None
        return [b'{"rows":', pages[number - 1], b"," + json.dumps(tail).encode()[1:]]

    def _whole(self, table: Table) -> list[bytes]:
        if table.rows % content.PAGE_ROWS == 0 or table.rows == self.rows:
            return self.pages[: -(-table.rows // content.PAGE_ROWS)]
        with self.lock:
            if (table.rows, -1) not in self.deltas:
                ids = np.arange(table.rows)
                self.deltas[table.rows, -1] = content.pages_of(ids, self.edition, self.rows)
            return self.deltas[table.rows, -1]

    def changes(self, table: Table) -> dict[str, object]:
        """The probe's answer."""
        newest = self.probed.get(table.slug) or self.greatest(table.rows)
        return {"changed": True, "max_rowversion": str(newest), "count": table.rows}


class Handler(socketserver.BaseRequestHandler):
    """One kept-open connection: just enough HTTP/1.1 to cost next to nothing."""

    stock: Stock

    def handle(self) -> None:
        """Answer requests until the other side leaves."""
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        rest = b""
        while True:
            head, _, rest = self._until_blank_line(rest)
            if not head:
                return
            lines = head.decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
            }
            size = int(headers.get("content-length", 0))
            while len(rest) < size:
                rest += self.request.recv(65_536)
            method, target, _ = lines[0].split(" ")
            self._send(*self._answer(method, target, headers, rest[:size]))
            rest = rest[size:]

    def _until_blank_line(self, rest: bytes) -> tuple[bytes, bytes, bytes]:
        while b"\r\n\r\n" not in rest:
            piece = self.request.recv(65_536)
            if not piece:
                return b"", b"", b""
            rest += piece
        return rest.partition(b"\r\n\r\n")

    def _answer(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, list[bytes]]:
        url = urlsplit(target)
        if method == "POST":
            return 200, [json.dumps(self._control(url.path, json.loads(body))).encode()]
        if self.stock.token and headers.get("authorization") != f"Bearer {self.stock.token}":
            return 401, [b"{}"]
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        return self._read(url.path.removeprefix("/api/v1/").split("/"), query)

    def _read(self, path: list[str], query: dict[str, str]) -> tuple[int, list[bytes]]:
        if path == ["apis"]:
            return 200, [json.dumps([_described(table) for table in self.stock.tables.values()]).encode()]
        table = self.stock.tables.get(path[-1]) if path[0] in ("changes", "data") else None
        if table is None or int(query.get("page_size", content.PAGE_ROWS)) != content.PAGE_ROWS:
            return 404 if table is None else 400, [b"{}"]
        if path[0] == "changes":
            time.sleep(PROBE_S if table.slug.startswith(_SLOW_PREFIX) else 0)
            return 200, [json.dumps(self.stock.changes(table)).encode()]
        above = int(query["rowversion_gt"]) if "rowversion_gt" in query else None
        return 200, self.stock.page(table, int(query.get("cursor") or query.get("page") or "1"), above)

    def _control(self, path: str, asked: dict[str, int]) -> dict[str, bool]:
        if path == "/control/edition":
            self.stock.render(asked["edition"])
        else:
            self.stock.probed.update(asked)
        return {"ok": True}

    def _send(self, status: int, pieces: list[bytes]) -> None:
        length = sum(map(len, pieces))
        head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        # One call and no copy of the rows; a socket that takes only a part gets the rest in the loop.
        sent = self.request.sendmsg([head.encode(), *pieces])
        for piece in [head.encode(), *pieces]:
            if sent < len(piece):
                self.request.sendall(memoryview(piece)[sent:])
            sent = max(0, sent - len(piece))


def _described(table: Table) -> dict[str, object]:
    return {
        "slug": table.slug,
        "name": table.slug,
        "description": "rows of the benchmark",
        "business_key_columns": ["id"],
        "delta_strategy": table.strategy,
        "rowversion": {"column": None, "kind": "number"},
        "pagination": "keyset",
        "page_size_max": content.PAGE_ROWS,
        "columns": content.COLUMNS,
    }


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128


def main(specification: str) -> None:
    """Render, say the port, serve until ended."""
    asked = json.loads(specification)
    tables = {table["slug"]: Table(**table) for table in asked["tables"]}
    Handler.stock = Stock(asked["rows"], tables, asked.get("token"))
    Handler.stock.render(0)
    with _Server(("127.0.0.1", 0), Handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
