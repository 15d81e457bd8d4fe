"""Entra's token endpoint for client credentials, and what the other services make of a bearer token."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from infra.local.loopback import Answer, Request, json_answer
from infra.local.microsoft.errors import RefusedError

SCOPES = ("https://graph.microsoft.com/.default", "https://management.azure.com/.default")


@dataclass(slots=True)
class Entra:
    """One app registration in one directory; a token is good for `expires_in` seconds of `clock`, and one service."""

    clock: Callable[[], float]
    tenant: str = "7d6f1b4e-9a52-4c55-8f0e-1c8f7a0c2b11"
    client_id: str = "0c9b2f60-3f2a-4b37-9e0a-54d1f3a9c802"
    client_secret: str = field(default="local-graph-secret", repr=False)
    expires_in: int = 3599
    _issued: dict[str, tuple[float, str]] = field(default_factory=dict, repr=False)

    def sign_in(self, request: Request) -> Answer:
        """A token, or Entra's refusal in its own envelope."""
        tenant = request.path.strip("/").split("/")[0]
        form = {name: values[-1] for name, values in parse_qs(request.body.decode()).items()}
        refused = self._refused(tenant, form)
        if refused is not None:
            status, error, text = refused
            return json_answer({"error": error, "error_description": text, "error_codes": [1]}, status)
        token = secrets.token_urlsafe(32)
        self._issued[token] = (self.clock() + self.expires_in, form["scope"])
        return json_answer({"token_type": "Bearer", "expires_in": self.expires_in, "access_token": token})

    def check(self, bearer: str, scope: str) -> None:
        """401 unless the token was issued for this service and lives."""
        until, issued_for = self._issued.get(bearer, (0.0, ""))
        if until <= self.clock():
            raise RefusedError(
                401, "InvalidAuthenticationToken", "Access token has expired or is not yet valid."
            )
        if issued_for != scope:
            raise RefusedError(
                401, "InvalidAuthenticationToken", "Access token validation failure. Invalid audience."
            )

    def revoke_all(self) -> None:
        """Every token issued so far is refused from now on."""
        self._issued.clear()

    def _refused(self, tenant: str, form: dict[str, str]) -> tuple[int, str, str] | None:
        if tenant != self.tenant:
            return 400, "invalid_request", f"AADSTS90002: Tenant '{tenant}' not found."
        if form.get("grant_type") != "client_credentials" or form.get("scope") not in SCOPES:
            return 400, "invalid_scope", "AADSTS1002012: The provided value for scope is not valid."
        if form.get("client_id") != self.client_id:
            return 400, "unauthorized_client", "AADSTS700016: Application was not found in the directory."
        if not hmac.compare_digest(form.get("client_secret", ""), self.client_secret):
            return 401, "invalid_client", "AADSTS7000215: Invalid client secret provided."
        return None
