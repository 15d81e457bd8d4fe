"""Tokens for Microsoft's services: by an app registration's secret, or by any azure-identity credential."""

import threading
import time
from collections.abc import Callable
from typing import Any

from shared.adapters.azure_rest import TokenSource
from shared.sharing.directory_errors import DirectoryRefusedError, DirectoryUnavailableError

_EARLY_S = 300.0  # a token is given up so long before it ends
_TIMEOUT_S = 20.0


class ClientCredentials:
    """The token of an app registration, kept until shortly before it ends. `secret` is asked on every sign-in."""

    def __init__(
        self,
        authority: str,
        tenant_id: str,
        client_id: str,
        secret: Callable[[], str],
        scope: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = f"{authority}/{tenant_id}/oauth2/v2.0/token"
        self._client_id, self._secret, self._scope, self._clock = client_id, secret, scope, clock
        self._token, self._until = "", 0.0
        self._lock = threading.Lock()

    def __call__(self, renew: bool) -> str:
        """The token; DirectoryRefusedError where the directory refuses the registration."""
        with self._lock:
            if renew or self._clock() >= self._until:
                self._token, lasts_s = self._sign_in()
                self._until = self._clock() + max(0.0, lasts_s - _EARLY_S)
            return self._token

    def _sign_in(self) -> tuple[str, float]:
        import httpx

        form = {
            "grant_type": "client_credentials",
            "client_id": self._client_id,
            "client_secret": self._secret(),
            "scope": self._scope,
        }
        try:
            with httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False) as client:
                response = client.post(self._url, data=form)
            body = response.json() if response.status_code < 500 and response.status_code != 429 else None
        except (httpx.HTTPError, ValueError):
            body = None
        if not isinstance(body, dict):
            raise DirectoryUnavailableError(
                "Entra ID: no token within reach", hint="the job is tried again later; check the network"
            )
        if isinstance(body.get("access_token"), str):
            return body["access_token"], float(body.get("expires_in", 0))
        # The description quotes ids and times; the code alone says what to do.
        code = body.get("error") if isinstance(body.get("error"), str) else ""
        raise DirectoryRefusedError(
            f"Entra ID: no token for client {self._client_id} ({code or response.status_code})",
            reason=str(code),
            hint="check GRAPH_TENANT_ID, GRAPH_CLIENT_ID and whether GRAPH_CLIENT_SECRET has expired",
        )


def identity_token(credential: Callable[[], Any], scope: str) -> TokenSource:
    """Tokens of an azure-identity credential, which keeps and renews them itself; made on first use."""
    made: list[Any] = []
    lock = threading.Lock()

    def token(renew: bool) -> str:
        from azure.core.exceptions import ClientAuthenticationError

        with lock:
            if not made:
                made.append(credential())
        try:
            return str(made[0].get_token(scope).token)
        except ClientAuthenticationError:
            raise DirectoryRefusedError(
                f"the app's identity got no token for {scope}",
                hint="check that the identity is assigned to the app",
            ) from None

    return token
