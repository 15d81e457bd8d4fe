"""Notices as signed JSON to the one URL that is configured.

The receiver checks `X-Tributary-Signature: t=<unix seconds>,v1=<hex>`, where v1 is HMAC-SHA256 of `<t>.<body>` under
the shared secret, and drops what is old or whose `Idempotency-Key` it has seen.
"""

import hashlib
import hmac
import json
from collections.abc import Callable

from shared.adapters.azure_rest import base_url
from shared.errors import ConfigurationError
from shared.sharing.directory_errors import NoticeRefusedError, NoticeUndeliveredError
from shared.sharing.notices import Notice

_TIMEOUT_S = 15.0
_MIN_SECRET = 16
_TRY_AGAIN = (408, 425, 429)


class Webhook:
    """The channel `webhook`. `secret` is asked for each notice; `clock` gives Unix seconds."""

    def __init__(self, url: str, secret: Callable[[], str], clock: Callable[[], float]) -> None:
        _, _, query = url.partition("?")  # such receivers put their own key there
        self._url = base_url(url.partition("?")[0], "NOTIFICATION_WEBHOOK_URL") + (
            f"?{query}" if query else ""
        )
        self._secret, self._clock = secret, clock

    def deliver(self, notice: Notice) -> None:
        """Post it once; NoticeUndeliveredError or NoticeRefusedError where it was not taken."""
        import httpx

        body = payload(notice)
        secret = self._secret()
        if len(secret) < _MIN_SECRET:
            raise ConfigurationError(
                "NOTIFICATION_WEBHOOK_SECRET: shorter than 16 characters",
                hint="set a random text of 32 or more",
            )
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": hashlib.sha256(notice.dedupe_key.encode()).hexdigest(),
            "X-Tributary-Signature": signature(secret, int(self._clock()), body),
        }
        try:
            # Nothing of the answer is of use, and a redirect would lead away from the one URL allowed.
            with (
                httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
                client.stream("POST", self._url, content=body, headers=headers) as response,
            ):
                status = response.status_code
        except httpx.HTTPError as error:
            raise NoticeUndeliveredError(
                f"webhook: {type(error).__name__}", hint="check NOTIFICATION_WEBHOOK_URL"
            ) from None
        if 200 <= status < 300:
            return
        if status >= 500 or status in _TRY_AGAIN:
            raise NoticeUndeliveredError(f"webhook: answered {status}", hint="it is tried again")
        raise NoticeRefusedError(
            f"webhook: refused the notice ({status})", hint="check NOTIFICATION_WEBHOOK_URL and its secret"
        )


def payload(notice: Notice) -> bytes:
    """The notice as JSON."""
    body = {
        "kind": notice.kind,
        "key": notice.dedupe_key,
        "subject": notice.subject,
        "text": notice.text,
        "share_pack_id": str(notice.pack_id) if notice.pack_id else None,
    }
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def signature(secret: str, at: int, body: bytes) -> str:
    """The header's value."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"
