"""One connector's HTTP door: pinned, bounded, without redirects.

In: a method, a path below the base URL, headers. Out: status, headers and the decompressed body, or a Source
error. Made on httpcore, the engine under httpx, because its network backend is where a name can be resolved
once, checked and pinned, and where every read can be held to the deadline of the whole page, header bytes
included. Used by http_source only; safe for several threads.
"""

import ipaddress
import logging
import socket
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any
from urllib.parse import urlsplit

import httpcore

from shared.errors import ConfigurationError, SourceProtocolError, SourceRefusedError, SourceUnavailableError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Sequence[str]]
# Cloud metadata services live on these besides the link-local range.
_METADATA = frozenset(
    map(ipaddress.ip_address, ("168.63.129.16", "169.254.169.254", "100.100.100.200", "fd00:ec2::254"))
)
_CONNECT_S = 10.0


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Bounds of one connector's traffic; seconds and bytes."""

    page_deadline_s: float = 60.0
    body_bytes: int = 64 * 2**20
    attempts: int = 4
    wait_budget_s: float = 30.0
    backoff_s: float = 0.5
    backoff_cap_s: float = 8.0
    retry_after_cap_s: float = 3600.0
    page_rows: int = 10_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Origin:
    """The one place a connector's requests and credentials may go."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def netloc(self) -> str:
        """Host and port as a Host header wants them."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == _default_port(self.scheme) else f"{name}:{self.port}"


class _DeadlinePassedError(httpcore.ReadTimeout):
    """The page as a whole took too long."""


def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a host, as the system's resolver gives them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def parse_origin(base_url: str, allowed_hosts: Sequence[str]) -> Origin:
    """The origin a base URL names; ConfigurationError where it is no plain http(s) URL of an allowed host."""
    try:
        parts = urlsplit(base_url)
        port = parts.port or _default_port(parts.scheme)
    except ValueError:
        raise ConfigurationError(
            "The connector's base_url is not a URL.", hint="Write https://host[:port]."
        ) from None
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.query or parts.fragment:
        raise ConfigurationError(
            f"The connector's base_url (host '{host}') is not a plain http or https URL.",
            hint="Write https://host[:port][/path], without user, query or fragment.",
        )
    origin = Origin(parts.scheme, host, port, parts.path.rstrip("/"))
    if not is_listed(origin, allowed_hosts):
        raise ConfigurationError(
            f"The connector's host '{origin.netloc}' is not in CONNECTOR_HOSTS.",
            hint="Add it there if this service may call it.",
        )
    return origin


def check_address(origin: Origin, address: str, allowed_hosts: Sequence[str]) -> None:
    """Raises SourceRefusedError for an address that no connector may live at.

    Link-local and metadata addresses never; loopback only for a host named in the allow-list, because on
    Azure the identity endpoint listens there.
    """
    found = _plain(ipaddress.ip_address(address.split("%", maxsplit=1)[0]))
    barred = found in _METADATA or found.is_link_local or found.is_multicast or found.is_unspecified
    if found.is_loopback and not is_listed(origin, allowed_hosts):
        barred = True
    if barred:
        raise SourceRefusedError(
            f"The connector's host '{origin.host}' leads to {found}, which this service never calls.",
            hint="Correct the connector's base_url; a local one needs its host in CONNECTOR_HOSTS.",
        )


class HttpClient:
    """Requests to one origin, each within its own deadline."""

    def __init__(
        self,
        origin: Origin,
        limits: HttpLimits,
        allowed_hosts: Sequence[str],
        clock: Callable[[], float],
        resolver: Resolver = resolve,
    ) -> None:
        # Its debug lines would carry paths and headers.
        logging.getLogger("httpcore").setLevel(logging.WARNING)
        self._origin, self._limits, self._clock = origin, limits, clock
        self._backend = _PinnedBackend(origin, allowed_hosts, clock, resolver)
        # Whoever asks bounds how much is asked at once; the pool's own bound of ten would halve detection's twenty.
        self._pool = httpcore.ConnectionPool(
            network_backend=self._backend, retries=0, keepalive_expiry=30.0, max_connections=None
        )

    def close(self) -> None:
        """Closes the connections kept open."""
        self._pool.close()

    def send(self, method: str, target: str, headers: Mapping[str, str], content: bytes = b"") -> Answer:
        """The answer to one request; SourceUnavailableError when none came in time, SourceProtocolError when
        it is larger than it may be or broken."""
        self._backend.until = self._clock() + self._limits.page_deadline_s
        try:
            return self._exchange(method, target, headers, content)
        except httpcore.TimeoutException as error:
            raise self._unavailable(f"did not answer within {self._limits.page_deadline_s:g} s") from error
        except httpcore.ConnectError as error:
            raise self._unavailable("could not be reached") from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise self._unavailable("broke off its answer") from error

    def _exchange(self, method: str, target: str, headers: Mapping[str, str], content: bytes) -> Answer:
        origin, limit = self._origin, self._limits.page_deadline_s
        url = httpcore.URL(
            scheme=origin.scheme, host=origin.host, port=origin.port, target=origin.path + target
        )
        lines = [
            ("Host", origin.netloc),
            ("Accept", "application/json"),
            ("Accept-Encoding", "gzip, deflate"),
        ]
        lines += [("Content-Length", str(len(content)))] if method == "POST" else []
        times = {"connect": min(_CONNECT_S, limit), "read": limit, "write": limit, "pool": limit}
        with self._pool.stream(
            method, url, headers=[*lines, *headers.items()], content=content, extensions={"timeout": times}
        ) as response:
            named = {
                name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
            }
            body = b"".join(self._bounded(response.iter_stream(), named.get("content-encoding", "")))
            return Answer(response.status, named, body)

    def _bounded(self, chunks: Iterable[bytes], encoding: str) -> Iterable[bytes]:
        room = self._limits.body_bytes
        for piece in _decompressed(chunks, encoding.strip().lower(), room):
            room -= len(piece)
            if room < 0:
                raise SourceProtocolError(
                    f"An answer of '{self._origin.host}' is larger than {self._limits.body_bytes} bytes.",
                    hint="Lower the entity's page_size.",
                    code="answer_too_large",
                )
            yield piece

    def _unavailable(self, what: str) -> SourceUnavailableError:
        return SourceUnavailableError(
            f"The connector at '{self._origin.netloc}' {what}.",
            hint="Check that it runs and that this service may reach it; the run tries again later.",
        )


class _PinnedBackend(httpcore.NetworkBackend):
    """Connects to addresses that were resolved and checked, as long as one of them answers."""

    def __init__(
        self, origin: Origin, allowed_hosts: Sequence[str], clock: Callable[[], float], resolver: Resolver
    ) -> None:
        self._origin, self._allowed, self._clock, self._resolver = origin, allowed_hosts, clock, resolver
        self._inner = httpcore.SyncBackend()
        self._local = threading.local()
        self._pins: Sequence[str] = ()

    @property
    def until(self) -> float:
        """When the request of this thread must be over, by the injected clock."""
        return float(self._local.until)

    @until.setter
    def until(self, value: float) -> None:
        self._local.until = value

    def left(self, timeout_s: float | None) -> float:
        """Seconds this thread may still wait."""
        left = self.until - self._clock()
        if left <= 0:
            raise _DeadlinePassedError
        return left if timeout_s is None else min(left, timeout_s)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to the first pinned address that takes it."""
        failure: httpcore.ConnectError | httpcore.ConnectTimeout = httpcore.ConnectError()
        for address in self._addresses(host, port):
            try:
                stream = self._inner.connect_tcp(
                    address, port, self.left(timeout), local_address, socket_options
                )
                return _DeadlineStream(stream, self)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        # It may have moved: the next request asks for its addresses anew, and checks them.
        self._pins = ()
        raise failure

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        """Never: a connector is a host."""
        raise httpcore.ConnectError

    def sleep(self, seconds: float) -> None:
        """Never called: the pool makes no retries of its own."""
        raise NotImplementedError

    def _addresses(self, host: str, port: int) -> Sequence[str]:
        if not self._pins:
            try:
                found = list(self._resolver(host, port))
            except OSError as error:
                raise httpcore.ConnectError(str(error)) from error
            for address in found:
                check_address(self._origin, address, self._allowed)
            self._pins = found
        return self._pins


class _DeadlineStream(httpcore.NetworkStream):
    """A connection whose every wait is cut to what is left of the page's time."""

    def __init__(self, inner: httpcore.NetworkStream, backend: _PinnedBackend) -> None:
        self._inner, self._backend = inner, backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._backend.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._backend.left(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._inner.start_tls(ssl_context, server_hostname, self._backend.left(timeout))
        return _DeadlineStream(stream, self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _decompressed(chunks: Iterable[bytes], encoding: str, room: int) -> Iterable[bytes]:
    if encoding in ("", "identity"):
        yield from chunks
        return
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise SourceProtocolError(
            "The connector compresses in a way nobody asked for.", hint="Send gzip or identity."
        )
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        for chunk in chunks:
            # One byte beyond the room tells a bomb from a page, and is all that is ever inflated of it.
            piece = inflater.decompress(chunk, room + 1)
            room -= len(piece)
            yield piece
    except zlib.error as error:
        raise SourceProtocolError(
            "The connector's compressed answer is broken.", hint="Check its gzip."
        ) from error
    if not inflater.eof or inflater.unused_data:
        raise SourceProtocolError("The connector's compressed answer is cut off.", hint="Check its gzip.")


def _plain(address: Address) -> Address:
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if mapped is not None else address


def is_listed(origin: Origin, allowed_hosts: Sequence[str]) -> bool:
    """Whether the allow-list names this host, with or without its port."""
    names = {origin.host.lower(), f"{origin.host}:{origin.port}".lower(), origin.netloc.lower()}
    return any(entry.strip().lower() in names for entry in allowed_hosts)


def _default_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80
