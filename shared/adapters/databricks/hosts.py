"""Which workspaces may be called: hosts on the allow-list, over TLS unless they are on this machine.

The SDK asks a host for its configuration before anything else, and every call carries a credential: an address
from a header must pass here first.
"""

from collections.abc import Collection
from urllib.parse import urlsplit

from shared.errors import ConfigurationError

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def workspace_origin(url: str, allowed: Collection[str]) -> str:
    """The address in its one spelling, such as `https://adb-1.7.azuredatabricks.net`; no scheme means https.

    `allowed`: `host[:port]`, lower case. Raises ConfigurationError for any other host, for a path, a query or a
    user in the address, and for plain http beyond this machine.
    """
    try:
        parts = urlsplit(url.strip() if "://" in url else f"https://{url.strip()}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _refused(url, "is no address", allowed) from None
    if parts.scheme not in ("https", "http") or not host:
        raise _refused(url, "is no address", allowed)
    if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise _refused(url, "holds more than a scheme, a host and a port", allowed)
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise _refused(url, "is not https", allowed)
    shown = f"[{host}]" if ":" in host else host
    plain = port is None or (parts.scheme, port) in (("https", 443), ("http", 80))
    place = shown if plain else f"{shown}:{port}"
    if place not in allowed:
        raise _refused(url, "is not among the workspaces that may be called", allowed)
    return f"{parts.scheme}://{place}"


def _refused(url: str, why: str, allowed: Collection[str]) -> ConfigurationError:
    known = ", ".join(sorted(allowed)) or "none"
    # What stands before an @ may be a password.
    shown = url.rpartition("@")[2][:100]
    return ConfigurationError(
        f"workspace {shown!r}: {why}",
        hint=f"name one of DATABRICKS_HOSTS (now: {known}), or add its host there",
        code="workspace_host",
    )
