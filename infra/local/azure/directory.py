"""Entra ID for one tenant: its configuration, signing keys that roll over, and tokens. Tests sign what they like."""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.local.azure.http import Answer, Request

_LIFE_S = 3600


@dataclass
class Directory:
    """One tenant. `clock` is in seconds since 1970; `down` answers 503 to everything."""

    tenant_id: str
    clock: Callable[[], float] = time.time
    down: bool = False
    asked: list[str] = field(default_factory=list)
    _keys: dict[str, rsa.RSAPrivateKey] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.roll()

    @property
    def issuer(self) -> str:
        """The issuer of version 2.0 tokens."""
        return f"https://login.microsoftonline.com/{self.tenant_id}/v2.0"

    @property
    def old_issuer(self) -> str:
        """The issuer of version 1.0 tokens, which Azure's own services are given."""
        return f"https://sts.windows.net/{self.tenant_id}/"

    def roll(self) -> str:
        """A new signing key, used from now on; the old ones stay published until `retire`."""
        kid = uuid.uuid4().hex
        self._keys[kid] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return kid

    def retire(self) -> None:
        """Publish only the newest key."""
        self._keys = dict(list(self._keys.items())[-1:])

    def token(self, audience: str, *, life_s: float = _LIFE_S, **claims: Any) -> str:
        """A signed token; `claims` overwrite the usual ones, None leaves one out."""
        now = int(self.clock())
        usual: dict[str, Any] = {
            "iss": self.issuer,
            "aud": audience,
            "iat": now,
            "nbf": now,
            "exp": now + int(life_s),
            "sub": "an-app",
            "oid": "an-app",
            "tid": self.tenant_id,
            "ver": "2.0",
        }
        kid, key = list(self._keys.items())[-1]
        told = {name: value for name, value in (usual | claims).items() if value is not None}
        return jwt.encode(told, key, "RS256", headers={"kid": kid})

    def check(self, token: str, audience: str) -> Mapping[str, Any] | None:
        """The claims of a token for `audience`, as another service of Azure sees it; None where it is not good."""
        try:
            key = self._keys[jwt.get_unverified_header(token)["kid"]].public_key()
            now = self.clock()
            claims = jwt.decode(
                token, key, algorithms=["RS256"], issuer=[self.issuer, self.old_issuer],
                options={"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )  # fmt: skip
        except (jwt.PyJWTError, KeyError):
            return None
        good = claims["aud"].rstrip("/") == audience.rstrip("/") and claims["nbf"] <= now < claims["exp"]
        return claims if good else None

    def handle(self, request: Request) -> Answer:
        """The tenant's documents."""
        self.asked.append(request.path)
        if self.down:
            return Answer(503, {"error": "temporarily_unavailable"})
        base = f"/{self.tenant_id}"
        if request.path == f"{base}/v2.0/.well-known/openid-configuration":
            host = request.headers.get("host", "")
            keys = f"http://{host}{base}/discovery/v2.0/keys"
            algorithms = ["RS256"]
            return Answer(
                200,
                {
                    "issuer": self.issuer,
                    "jwks_uri": keys,
                    "id_token_signing_alg_values_supported": algorithms,
                },
            )
        if request.path == f"{base}/discovery/v2.0/keys":
            return Answer(200, {"keys": [self._published(kid) for kid in self._keys]})
        if request.path.startswith(base):
            return Answer(404, {"error": "not_found"})
        return Answer(
            400,
            {
                "error": "invalid_tenant",
                "error_description": f"AADSTS90002: Tenant '{request.path.split('/')[1]}' not found.",
            },
        )

    def _published(self, kid: str) -> dict[str, Any]:
        public = jwt.algorithms.RSAAlgorithm.to_jwk(self._keys[kid].public_key(), as_dict=True)
        return {**public, "kid": kid, "use": "sig", "issuer": self.issuer}
