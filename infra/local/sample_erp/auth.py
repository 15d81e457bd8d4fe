"""Tokens: client credentials in, random bearer tokens out; one static token that never expires."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from infra.local.sample_erp.errors import UnauthorizedError


@dataclass(slots=True)
class Tokens:
    """Issues tokens valid for `expires_in` seconds of `clock`, and checks them."""

    client_id: str
    client_secret: str = field(repr=False)
    static_token: str = field(repr=False)
    clock: Callable[[], float]
    expires_in: int = 3600
    _issued: dict[str, float] = field(default_factory=dict, repr=False)

    def issue(self, client_id: str, client_secret: str) -> str:
        """A new token; UnauthorizedError unless both parts are right."""
        right_id = hmac.compare_digest(client_id.encode(), self.client_id.encode())
        right_secret = hmac.compare_digest(client_secret.encode(), self.client_secret.encode())
        if not (right_id and right_secret):
            raise UnauthorizedError("client_id or client_secret is wrong; check the connector's secret")
        now = self.clock()
        self._issued = {token: until for token, until in self._issued.items() if until > now}
        token = secrets.token_urlsafe(32)
        self._issued[token] = now + self.expires_in
        return token

    def check(self, bearer: str) -> None:
        """UnauthorizedError unless the token is the static one or was issued and hasn't expired."""
        static = bool(self.static_token) and hmac.compare_digest(bearer.encode(), self.static_token.encode())
        if not static and self._issued.get(bearer, 0.0) <= self.clock():
            raise UnauthorizedError(
                "bearer token missing, unknown or expired; ask /api/v1/auth/token for a new one"
            )

    def revoke_all(self) -> int:
        """Forget every issued token; answers how many. The static one stays."""
        count, self._issued = len(self._issued), {}
        return count
