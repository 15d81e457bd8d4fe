"""A connector that answers by script: each data request takes the next step, the last step repeats.

In: steps, which write raw answers. Out: a server on 127.0.0.1 and what it was asked. `read_table` walks a table
through the real adapter, decoder and walk decisions, as a run does.
"""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest
import xxhash

from shared.adapters.http_client import HttpLimits, Resolver, resolve
from shared.adapters.http_source import ConnectorAccess, HttpSource, Pace
from shared.sync.decode import decode_page
from shared.sync.fetch import (
    Proof,
    Source,
    Walk,
    after_page,
    after_probe,
    conclude,
    first_request,
    fix_bound,
    next_request,
    page_facts,
    proof,
    wants_probe,
    with_keys,
)
from shared.sync.model import (
    ColumnType,
    Expression,
    Kind,
    RunConfig,
    SourceColumn,
    TargetColumn,
    VersionSpec,
)
from shared.sync.rowversion import encode

Step = Callable[[BaseHTTPRequestHandler], None]
TOKEN = "t0ken-canary"
QUICK = HttpLimits(page_deadline_s=5.0, attempts=3, wait_budget_s=10.0, body_bytes=2**20)


def config(slug: str = "orders", **changes: Any) -> RunConfig:
    """A run's configuration over the columns id (key) and note."""
    text = ColumnType(Kind.TEXT)
    base = RunConfig(
        entity_uid="00000000-0000-0000-0000-000000000001",
        slug=slug,
        strategy="hash",
        dialect="oracle",
        source_columns=(SourceColumn("id", "NUMBER(9)", text), SourceColumn("note", "VARCHAR2(40)", text)),
        target_columns=(
            TargetColumn("id", text, True, False, Expression("rename", ("id",))),
            TargetColumn("note", text, False, True, Expression("rename", ("note",))),
        ),
        target_schema="public",
        target_table=slug,
        version=VersionSpec("number"),
        pagination=None,
        ordered_by_rowversion=False,
        page_size=2,
        overlap=0,
        delete_guard_percent=10.0,
        delete_after_missing=2,
    )
    return replace(base, **changes)


def rows(*keys: int) -> list[dict[str, object]]:
    """Protocol rows for these keys; the row version is the key."""
    return [
        {"oracle_keys": {"id": key}, "row_version": str(key), "data": {"id": key, "note": f"n{key}"}}
        for key in keys
    ]


def page(*keys: int, **members: object) -> Step:
    """A sound page with these rows and envelope members."""
    return body(json.dumps({"rows": rows(*keys), **members}).encode())


def body(content: bytes, status: int = 200, **headers: str) -> Step:
    """An answer with this content; header names are written with underscores."""

    def write(handler: BaseHTTPRequestHandler) -> None:
        named = {"content-type": "application/json", "content-length": str(len(content))}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        handler.send_response(status)
        for name, value in named.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    return write


def status(code: int, **headers: str) -> Step:
    """An error of this status."""
    return body(b'{"error":"no"}', code, **headers)


def short(content: bytes, promised: int) -> Step:
    """A body that ends before its Content-Length."""

    def write(handler: BaseHTTPRequestHandler) -> None:
        body(content, content_length=str(promised))(handler)
        handler.close_connection = True

    return write


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """The connection closes without a byte."""
    handler.close_connection = True


def drip(handler: BaseHTTPRequestHandler) -> None:
    """A header that never ends, a byte at a time, until the client goes away."""
    try:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not handler.server.stopping.wait(0.02):  # type: ignore[attr-defined]  # ours, see StubServer
            handler.wfile.write(b"x")
    except OSError:
        handler.close_connection = True


def gzipped(content: bytes, *, keep: int | None = None) -> Step:
    """A compressed answer, cut to `keep` bytes."""
    return body(gzip.compress(content)[:keep], content_encoding="gzip")


def bomb(size: int) -> Step:
    """`size` bytes of nothing, tiny on the wire."""
    return body(zlib.compress(b" " * size, 9), content_encoding="deflate")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    stopping: threading.Event


@dataclass
class StubServer:
    """What a running stub was asked, and what it will answer."""

    base_url: str
    steps: list[Step]
    probes: list[Step]
    tokens: list[Step] = field(default_factory=list)
    lists: list[Step] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)

    def next_step(self, path: str) -> Step:
        """The step for a request to this path."""
        grant = body(b'{"access_token":"granted","expires_in":3600,"token_type":"bearer"}')
        for part, steps, default in (
            ("/changes/", self.probes, status(404)),
            ("/auth/", self.tokens, grant),
            ("/apis", self.lists, body(b"[]")),
            ("/data/", self.steps, status(500)),
        ):
            if part in path:
                return steps.pop(0) if len(steps) > 1 else steps[0] if steps else default
        return status(404)

    def pages_asked(self) -> list[dict[str, str]]:
        """The queries of the data requests."""
        return [query for path, query in self.asked if "/data/" in path]


@contextmanager
def stub(*steps: Step, probes: Sequence[Step] = ()) -> Iterator[StubServer]:
    """A running stub server."""
    server = _Server(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.stopping = threading.Event()
    said = StubServer(f"http://127.0.0.1:{server.server_port}", list(steps), list(probes))
    server.RequestHandlerClass = _handler(said)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield said
    finally:
        server.stopping.set()
        server.shutdown()
        server.server_close()


def _handler(said: StubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_GET(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            self.rfile.read(length)
            parts = urlsplit(self.path)
            said.asked.append((parts.path, {k: v[0] for k, v in parse_qs(parts.query).items()}))
            said.authorizations.append(self.headers.get("authorization"))
            said.next_step(parts.path)(self)

        do_POST = do_GET  # noqa: N815 - the name the base class calls

        def log_message(self, format: str, *args: Any) -> None:
            return None

    return Handler


@dataclass
class FakeTime:
    """A clock that only sleeping moves, in seconds; remembers each sleep."""

    seconds: float = 0.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        """Moves the clock."""
        self.slept.append(seconds)
        self.seconds += seconds

    def pace(self, budget_s: float = 1e9) -> Pace:
        """A Pace on this clock, without chance."""
        return Pace(
            clock=lambda: self.seconds, sleep=self.sleep, jitter=lambda: 1.0, budget_s=lambda: budget_s
        )


_opened: list[HttpSource] = []


@pytest.fixture(autouse=True)
def sources_are_closed() -> Iterator[None]:
    """Closes what open_source opened during a test."""
    yield
    while _opened:
        _opened.pop().close()


def open_source(
    access: ConnectorAccess,
    limits: HttpLimits = QUICK,
    pace: Pace | None = None,
    resolver: Resolver = resolve,
) -> HttpSource:
    """The real adapter, closed after the test; the module must import sources_are_closed."""
    source = HttpSource(access, limits, pace, resolver)
    _opened.append(source)
    return source


def source_for(server: StubServer, *, pace: Pace | None = None, limits: HttpLimits = QUICK) -> HttpSource:
    """The real adapter with a static token."""
    access = ConnectorAccess(
        "erp", server.base_url, "token", secret=lambda: TOKEN, allowed_hosts=(server.base_url.split("//")[1],)
    )
    return open_source(access, limits, pace or FakeTime().pace())


@dataclass(frozen=True)
class Reading:
    """How a walk over a table went."""

    walk: Walk
    keys: frozenset[str]
    proof: Proof


def read_table(source: Source, run: RunConfig) -> Reading:
    """Walks the table to its end, again where proof needs it."""
    taken = source.probe(run.slug, None, run.parameters)
    walk, keys = first_request(run, taken), set[str]()
    while True:
        request = next_request(walk, run)
        if request is None:
            if wants_probe(walk):
                walk = after_probe(walk, source.probe(run.slug, None, run.parameters))
            again = conclude(walk)
            if again.ended:
                return Reading(again, frozenset(keys), proof(again))
            walk = again
            continue
        decoded = decode_page(source.fetch_page(request), run)
        walk = fix_bound(walk, decoded.envelope, run.version)
        ids = decoded.frame["c0"].cast(pl.String)
        keys |= set(ids.to_list())
        hashes = pl.Series([xxhash.xxh3_128_digest(key.encode()) for key in ids.to_list()], dtype=pl.Binary)
        versions = encode(decoded.frame["_version"], run.version or VersionSpec("number"))
        walk = after_page(walk, page_facts(decoded, versions, walk.bound), run)
        walk = with_keys(walk, hashes, versions)
