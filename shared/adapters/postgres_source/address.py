"""Where a PostgreSQL source is: its base URL checked, its name resolved once and pinned.

In: a base_url and CONNECTOR_HOSTS. Out: an Address whose host was allowed and whose TLS mode is safe for it. Called
when a connector is registered and whenever a connection is opened.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from shared.adapters.http_client import Origin, Resolver, check_address, is_listed
from shared.errors import ConfigurationError, SourceUnavailableError

SCHEMES = ("postgres", "postgresql")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_HOST = re.compile(r"[A-Za-z0-9._:-]+")  # one host: no socket directory, no list of hosts
_ENCRYPTED = ("require", "verify-ca", "verify-full")
_FORM = "write postgres://host[:port]/database, without user and password"


@dataclass(frozen=True, slots=True)
class Address:
    """One database of one server. `sslmode` is libpq's word; anything but loopback is encrypted."""

    host: str
    port: int
    database: str
    sslmode: str

    @property
    def name(self) -> str:
        """As messages name it: never with credentials."""
        return f"PostgreSQL {self.host}:{self.port}/{self.database}"

    @property
    def is_local(self) -> bool:
        """Whether it never leaves this machine."""
        return self.host in _LOOPBACK


def parse_address(base_url: str, allowed_hosts: Sequence[str]) -> Address:
    """The address a base URL names; ConfigurationError where it is none, or its host is not allowed."""
    try:
        parts = urlsplit(base_url)
        host, port = (parts.hostname or "").rstrip("."), parts.port or 5432
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError:
        raise ConfigurationError("base_url: not a URL", hint=_FORM) from None
    database = unquote(parts.path.removeprefix("/"))
    plain = parts.scheme in SCHEMES and parts.username is None and not parts.fragment
    if not plain or not _HOST.fullmatch(host) or not database or "/" in database or "\0" in database:
        raise ConfigurationError("base_url: not the address of one PostgreSQL database", hint=_FORM)
    if not is_listed(Origin("postgres", host, port, ""), allowed_hosts):
        raise ConfigurationError(
            f"base_url: host {host!r} is not in CONNECTOR_HOSTS", hint="add it there to allow it"
        )
    return Address(host, port, database, _sslmode(options, host in _LOOPBACK))


def pinned(address: Address, allowed_hosts: Sequence[str], resolver: Resolver) -> str:
    """The first of the host's addresses, all of them checked; so a name that moves cannot lead inside."""
    try:
        found = list(resolver(address.host, address.port))
    except OSError:
        found = []
    if not found:
        raise SourceUnavailableError(
            f"{address.name}: its host name leads nowhere", hint="check base_url and DNS"
        )
    for one in found:
        check_address(Origin("postgres", address.host, address.port, ""), one, allowed_hosts)
    return found[0]


def _sslmode(options: dict[str, str], is_local: bool) -> str:
    mode = options.pop("sslmode", "prefer" if is_local else "verify-full")
    if options:
        raise ConfigurationError(
            f"base_url: option {min(options)!r} is unknown", hint="only ?sslmode= may be given"
        )
    if mode not in _ENCRYPTED and not (is_local and mode in ("disable", "prefer")):
        raise ConfigurationError(
            f"base_url: sslmode {mode[:20]!r} would send credentials in the clear",
            hint=f"use one of {', '.join(_ENCRYPTED)}",
        )
    return mode
