"""Microsoft's REST interfaces behind a bearer token: one host, bounded waits, no redirects, errors in our words.

Used by graph and cost_management; safe for several threads, as httpx's client is.
"""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from shared.errors import ConfigurationError
from shared.sharing.directory_errors import (
    DirectoryProtocolError,
    DirectoryRefusedError,
    DirectoryThrottledError,
    DirectoryUnavailableError,
)

TokenSource = Callable[[bool], str]
"""A bearer token; True asks for a new one, since the last was refused."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_CODE = re.compile(r"[A-Za-z0-9_.]{1,64}")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one request with its repeats; seconds and bytes."""

    timeout_s: float = 30.0
    connect_s: float = 10.0
    attempts: int = 4
    wait_budget_s: float = 60.0
    backoff_s: float = 1.0
    retry_after_cap_s: float = 3600.0
    body_bytes: int = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Reply:
    """A service's answer: status, headers in lower case, and the JSON object of its body (empty where none)."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def reason(self) -> str:
        """The service's error code, empty where it gave none that looks like one."""
        error = self.body.get("error")
        code = error.get("code") if isinstance(error, dict) else error
        return code if isinstance(code, str) and _CODE.fullmatch(code) else ""


def base_url(url: str, setting: str) -> str:
    """The URL without a trailing slash; ConfigurationError unless it is https, or http on this machine."""
    parts = urlsplit(url)
    safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    if not safe or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ConfigurationError(
            f"{setting}: not an https URL", hint="write https://host, without user, query or fragment"
        )
    return url.rstrip("/")


class AzureRest:
    """Requests to one host. `service` is its name in messages; `wait_headers` may ask for a pause besides Retry-After.

    401 is repeated once with a new token; 429 and 5xx within the limits, then DirectoryThrottledError or
    DirectoryUnavailableError; 403 and a second 401 are DirectoryRefusedError. Other statuses are the caller's.
    """

    def __init__(
        self,
        service: str,
        url: str,
        token: TokenSource,
        *,
        limits: Limits | None = None,
        wait_headers: Sequence[str] = (),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.service, self.url = service, url
        self._token, self._limits = token, limits or Limits()
        self._wait_headers, self._sleep = ("retry-after", *wait_headers), sleep
        self._client: Any = None  # httpx.Client; typing it would import httpx

    def own(self, link: str) -> str:
        """The link, if it stays on this service's origin; otherwise it would carry our token elsewhere."""
        ours, theirs = urlsplit(self.url), urlsplit(link)
        if (theirs.scheme, theirs.netloc) != (ours.scheme, ours.netloc):
            raise DirectoryProtocolError(
                f"{self.service}: a link leads to another host; it was not followed",
                hint="request the sync again; if it stays so, look at what stands between us and the service",
            )
        return link

    def send(
        self,
        method: str,
        link: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: Mapping[str, object] | None = None,
    ) -> Reply:
        """The answer to a request that may be repeated: reading, or a query sent as POST."""
        url = self.own(link if link.startswith(("http://", "https://")) else self.url + link)
        waited, attempt, refused = 0.0, 0, 0
        while True:
            reply = self._once(method, url, headers or {}, content, renew=refused == 1)
            refused += reply is not None and reply.status == 401
            if reply is not None and reply.status == 401 and refused == 1:
                continue
            if reply is not None and reply.status != 429 and reply.status < 500:
                return self._judged(reply)
            attempt += 1
            wait_s = self._wait_s(reply, attempt)
            waited += wait_s
            if attempt >= self._limits.attempts or waited > self._limits.wait_budget_s:
                raise self._given_up(reply, wait_s)
            self._sleep(wait_s)

    def close(self) -> None:
        """Close the connections kept open."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _once(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: Mapping[str, object] | None,
        renew: bool,
    ) -> Reply | None:
        """One exchange; None where the network gave no answer."""
        import httpx

        signed = {"Accept": "application/json", "Authorization": f"Bearer {self._token(renew)}", **headers}
        try:
            with self._connected().stream(method, url, headers=signed, json=content) as response:
                return Reply(response.status_code, dict(response.headers), self._body(response))
        except (httpx.TransportError, httpx.DecodingError):
            return None
        except httpx.InvalidURL:
            raise DirectoryProtocolError(f"{self.service}: a link is not a URL") from None

    def _body(self, response: Any) -> Mapping[str, Any]:
        received = bytearray()
        for chunk in response.iter_bytes():
            received += chunk
            if len(received) > self._limits.body_bytes:
                raise DirectoryProtocolError(
                    f"{self.service}: an answer is larger than {self._limits.body_bytes} bytes"
                )
        try:
            body = json.loads(received or b"{}", parse_float=Decimal)  # costs keep every digit
        except ValueError:
            body = None
        if isinstance(body, dict):
            return body
        if response.status_code >= 400:
            return {}
        raise DirectoryProtocolError(f"{self.service}: an answer is not a JSON object")

    def _judged(self, reply: Reply) -> Reply:
        if 300 <= reply.status < 400:
            raise DirectoryProtocolError(
                f"{self.service}: it redirects ({reply.status}), which is not followed"
            )
        if reply.status not in (401, 403):
            return reply
        refusal = f" ({reply.reason})" if reply.reason else ""
        raise DirectoryRefusedError(
            f"{self.service}: refused with {reply.status}{refusal}",
            reason=reply.reason,
            hint="check the app registration's credentials, its permissions and the admin's consent",
        )

    def _wait_s(self, reply: Reply | None, attempt: int) -> float:
        wishes = [_seconds(reply.headers.get(name)) for name in self._wait_headers] if reply else []
        wish = max((each for each in wishes if each is not None), default=None)
        backoff: float = self._limits.backoff_s * 2 ** (attempt - 1)
        return min(backoff if wish is None else wish, self._limits.retry_after_cap_s)

    def _given_up(
        self, reply: Reply | None, wait_s: float
    ) -> DirectoryThrottledError | DirectoryUnavailableError:
        if reply is not None and reply.status == 429:
            return DirectoryThrottledError(
                f"{self.service}: throttled", hint="the job is tried again later", retry_after_s=wait_s
            )
        said = "could not be reached or broke off its answer" if reply is None else f"answered {reply.status}"
        return DirectoryUnavailableError(f"{self.service}: {said}", hint="the job is tried again later")

    def _connected(self) -> Any:
        if self._client is None:
            import httpx

            times = httpx.Timeout(self._limits.timeout_s, connect=self._limits.connect_s)
            # A proxy from the environment would be handed our tokens' destination; on Azure there is none to want.
            self._client = httpx.Client(timeout=times, follow_redirects=False, trust_env=False)
        return self._client


def _seconds(value: str | None) -> float | None:
    """A pause in seconds; dates, which these services do not send, and nonsense count as none."""
    try:
        return max(0.0, float(value)) if value else None
    except ValueError:
        return None
