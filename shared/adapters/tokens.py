"""Bearer tokens: who calls, proven by a signature. Entra ID in Azure, a local issuer on one machine.

Enter: the token's text. Leave: a Caller, or UnauthorizedError without a word about which check failed
beyond what its owner could read in the token himself.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jwt

from shared.errors import ConfigurationError, SourceUnavailableError, TransientError, UnauthorizedError
from shared.platform import azure_marker

ROLES = ("reader", "operator", "approver", "admin")
LOCAL_ISSUER = "tributary-local"
LOCAL_AUDIENCE = "tributary"
_MAX_TOKEN_CHARS = 16_384
_REQUIRED = ["exp", "iat", "aud", "iss", "sub"]
_LEEWAY_S = 60
_REFRESH_S = 60.0
_KEYS_TTL_S = 24 * 3600.0
_MINIMUM_SECRET_BYTES = 32
_FETCH_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. `tenants` None means every tenant; an empty set sees nothing.

    `subject` is the object id, `name` the user principal name; `is_app`: a service, signed in as itself.
    """

    subject: str
    name: str
    roles: frozenset[str]
    tenants: frozenset[str] | None
    is_app: bool = False

    def sees(self, tenant: str) -> bool:
        """Whether what belongs to `tenant` exists for this caller."""
        return self.tenants is None or tenant in self.tenants


class TokenVerifier(Protocol):
    """Turns a bearer token into a caller."""

    def verify(self, token: str) -> Caller:
        """The caller; raises UnauthorizedError for anything but a good token."""
        ...


class LocalTokens:
    """The local stack's own tokens: HS256 under a secret of this machine."""

    def __init__(self, secret: str, environment: Mapping[str, str]) -> None:
        if found := azure_marker(environment):
            raise ConfigurationError(
                f"AUTH_MODE=local: refused, {found} shows that this runs in Azure",
                hint="set AUTH_MODE=entra with ENTRA_TENANT_ID and ENTRA_AUDIENCE",
            )
        self._secret = _strong(secret)

    def verify(self, token: str) -> Caller:
        """The caller that `sign_local_token` named."""
        _header(token, "HS256")
        return _caller(_claims(token, self._secret, "HS256", issuer=LOCAL_ISSUER, audience=LOCAL_AUDIENCE))


def sign_local_token(
    secret: str, subject: str, roles: Sequence[str], ttl_s: int, *, now_s: float | None = None
) -> str:
    """A token for the local stack; `roles` as in Entra: reader ... admin, tenant:<name>, tenant:*."""
    issued = int(time.time() if now_s is None else now_s)
    claims = {
        "iss": LOCAL_ISSUER,
        "aud": LOCAL_AUDIENCE,
        "sub": subject,
        "roles": list(roles),
        "iat": issued,
        "nbf": issued,
        "exp": issued + ttl_s,
    }
    return jwt.encode(claims, _strong(secret), algorithm="HS256")


class SigningKeys:
    """The issuer's public keys by `kid`, fetched when needed: at most once a minute, at least once a day.

    `fetch` answers the JWKS document. An unknown kid asks again, because Entra rotates its keys.
    """

    def __init__(
        self, fetch: Callable[[], Mapping[str, Any]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch, self._clock = fetch, clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._lock = threading.Lock()

    def find(self, kid: str) -> jwt.PyJWK | None:
        """The RSA key named `kid`, or None if the issuer has none."""
        with self._lock:
            if self._may_refresh(kid):
                self._refresh()
            return self._keys.get(kid)

    def _may_refresh(self, kid: str) -> bool:
        if self._fetched_at is None:
            return True
        age = self._clock() - self._fetched_at
        return age >= _KEYS_TTL_S or (kid not in self._keys and age >= _REFRESH_S)

    def _refresh(self) -> None:
        # Stamped first: forged kids must not turn an issuer that is down into a request each.
        first, self._fetched_at = self._fetched_at is None, self._clock()
        try:
            document = self._fetch()
        except TransientError:
            if first:
                self._fetched_at = None
                raise
            return  # the keys we have may still serve
        self._keys = _rsa_keys(document)


class EntraTokens:
    """Entra ID's tokens, version 2.0, RS256 only, for one tenant and one audience."""

    def __init__(self, keys: SigningKeys, *, issuer: str, audience: str) -> None:
        self._keys, self._issuer, self._audience = keys, issuer, audience

    def verify(self, token: str) -> Caller:
        """The caller that Entra vouches for."""
        kid = _header(token, "RS256").get("kid")
        key = self._keys.find(kid) if isinstance(kid, str) else None
        if key is None:
            raise _refused("its signing key is not the issuer's")
        return _caller(_claims(token, key.key, "RS256", issuer=self._issuer, audience=self._audience))


def entra_issuer(tenant_id: str) -> str:
    """The issuer of a tenant's version 2.0 tokens."""
    return f"https://login.microsoftonline.com/{tenant_id}/v2.0"


def entra_keys_url(tenant_id: str) -> str:
    """Where a tenant's JWKS document is."""
    return f"https://login.microsoftonline.com/{tenant_id}/discovery/v2.0/keys"


def json_fetcher(url: str) -> Callable[[], Mapping[str, Any]]:
    """Fetches the JSON document at `url` when called; raises SourceUnavailableError."""

    def fetch() -> Mapping[str, Any]:
        import httpx

        try:
            answer = httpx.get(url, timeout=_FETCH_TIMEOUT_S, follow_redirects=False).raise_for_status()
            document = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise SourceUnavailableError(
                f"signing keys of the issuer: {type(error).__name__}",
                hint=f"check that {url} can be reached and that ENTRA_TENANT_ID is right",
            ) from None
        return document if isinstance(document, dict) else {}

    return fetch


def _header(token: str, algorithm: str) -> Mapping[str, Any]:
    """The token's header, once it is harmless: the pinned algorithm and no critical extensions."""
    if len(token) > _MAX_TOKEN_CHARS:
        raise _refused("it is too long")
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise _refused("it is not a JSON Web Token") from None
    if header.get("alg") != algorithm:
        raise _refused(f"it is not signed with {algorithm}")
    if "crit" in header or "b64" in header:
        raise _refused("it asks for extensions that are not supported")
    return header


def _claims(token: str, key: Any, algorithm: str, *, issuer: str, audience: str) -> Mapping[str, Any]:
    try:
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=audience,
            issuer=issuer,
            leeway=_LEEWAY_S,
            options={"require": _REQUIRED, "strict_aud": True},
        )
    except jwt.ExpiredSignatureError:
        raise _refused("it has expired") from None
    except jwt.PyJWTError as error:
        raise _refused(_REASONS.get(type(error), "it is malformed")) from None


_REASONS: Mapping[type[Exception], str] = {
    jwt.InvalidSignatureError: "its signature is wrong",
    jwt.InvalidAudienceError: "it is meant for another service",
    jwt.InvalidIssuerError: "it comes from another issuer",
    jwt.ImmatureSignatureError: "it is not valid yet",
    jwt.InvalidIssuedAtError: "it is not valid yet",
    jwt.MissingRequiredClaimError: "it lacks a claim that is required",
}


def _caller(claims: Mapping[str, Any]) -> Caller:
    subject, roles = claims.get("oid") or claims["sub"], claims.get("roles", [])
    if not isinstance(subject, str) or not subject or not isinstance(roles, list):
        raise _refused("it is malformed")
    texts = [role for role in roles if isinstance(role, str)]
    tenants = frozenset(role.removeprefix("tenant:") for role in texts if role.startswith("tenant:"))
    name = claims.get("preferred_username") or claims.get("azp") or subject
    # Tokens of services carry no user name; `idtyp` is an optional claim that not every registration asks for.
    is_app = claims.get("idtyp") == "app" or ("azp" in claims and "preferred_username" not in claims)
    seen = None if "*" in tenants else tenants
    return Caller(subject, str(name), frozenset(texts) & frozenset(ROLES), seen, is_app)


def _rsa_keys(document: Mapping[str, Any]) -> dict[str, jwt.PyJWK]:
    found: dict[str, jwt.PyJWK] = {}
    for entry in document.get("keys", []):
        if (
            entry.get("kty") == "RSA"
            and entry.get("use", "sig") == "sig"
            and isinstance(entry.get("kid"), str)
        ):
            try:
                found[entry["kid"]] = jwt.PyJWK(entry, algorithm="RS256")
            except jwt.PyJWTError:
                continue  # one broken key of the issuer's must not shut out the others
    return found


def _strong(secret: str) -> str:
    if len(secret.encode()) < _MINIMUM_SECRET_BYTES:
        raise ConfigurationError(
            f"LOCAL_TOKEN_SECRET: shorter than {_MINIMUM_SECRET_BYTES} bytes",
            hint="make up writes one of its own; or use 64 random hexadecimal digits",
        )
    return secret


def _refused(reason: str) -> UnauthorizedError:
    return UnauthorizedError(f"bearer token: {reason}", hint="get a new token and try again")
