"""Tokens: what a forger tries, and what the issuer's keys may cost."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.adapters.tokens import (
    EntraTokens,
    LocalTokens,
    SigningKeys,
    entra_issuer,
    json_fetcher,
    sign_local_token,
)
from shared.errors import ConfigurationError, SourceUnavailableError, UnauthorizedError
from shared.platform import AZURE_MARKERS

ISSUER, AUDIENCE = entra_issuer("a-tenant"), "api://tributary"
SECRET = "s" * 40
NOW = 4_000_000_000  # far enough that exp, checked against the real clock, lies in the future
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
JWKS = {
    "keys": [
        {**jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "k1", "use": "sig"}
    ]
}


def claims(**changes: Any) -> dict[str, Any]:
    base = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "s",
        "oid": "o",
        "iat": 1,
        "nbf": 1,
        "exp": NOW,
        "roles": ["reader"],
    }
    return {name: value for name, value in (base | changes).items() if value is not None}


def signed(
    key: Any = KEY, algorithm: str = "RS256", headers: dict[str, Any] | None = None, **changes: Any
) -> str:
    return jwt.encode(claims(**changes), key, algorithm, headers={"kid": "k1"} | (headers or {}))


def entra(fetch: Callable[[], Mapping[str, Any]] = lambda: JWKS) -> EntraTokens:
    return EntraTokens(SigningKeys(fetch, clock=lambda: 0.0), issuer=ISSUER, audience=AUDIENCE)


def refuses(token: str) -> bool:
    with pytest.raises(UnauthorizedError):
        entra().verify(token)
    return True


def test_good_token_names_caller_roles_and_tenants() -> None:
    caller = entra().verify(signed(roles=["operator", "tenant:north", "tenant:south", "unheard-of"]))
    assert (caller.subject, caller.roles, caller.tenants) == ("o", {"operator"}, {"north", "south"})


def test_service_is_told_from_a_person() -> None:
    person = entra().verify(signed())
    named = entra().verify(signed(azp="portal", preferred_username="ada@example.org"))
    service = entra().verify(signed(azp="nightly"))
    assert not person.is_app and not named.is_app
    assert service.is_app and entra().verify(signed(idtyp="app")).is_app


def test_star_sees_every_tenant_and_no_tenant_role_sees_none() -> None:
    assert entra().verify(signed(roles=["tenant:*"])).sees("any")
    assert not entra().verify(signed(roles=["admin"])).sees("default")


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "api://other"},
        {"aud": ["api://tributary", "api://other"]},
        {"iss": entra_issuer("another-tenant")},
        {"exp": 1000},
        {"nbf": NOW},
        {"iat": NOW},
        {"exp": None},
        {"aud": None},
        {"iss": None},
        {"sub": None},
        {"iat": None},
        {"roles": "admin"},
        {"exp": "soon"},
    ],
)
def test_token_with_wrong_or_missing_claim_is_refused(changes: dict[str, Any]) -> None:
    assert refuses(signed(**changes))


def test_token_signed_by_another_key_is_refused() -> None:
    assert refuses(signed(OTHER_KEY))


def test_unsigned_token_is_refused() -> None:
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": "k1"}).encode()).rstrip(b"=").decode()
    body = base64.urlsafe_b64encode(json.dumps(claims(roles=["admin"])).encode()).rstrip(b"=").decode()
    assert refuses(f"{header}.{body}.")


def test_public_key_used_as_shared_secret_is_refused() -> None:
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head, body, _ = signed().split(".")
    forged = (
        base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": "k1"}).encode()).rstrip(b"=").decode()
    )
    mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signature = mac.sign(f"{forged}.{body}".encode(), pem)
    assert head != forged
    assert refuses(f"{forged}.{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}")


@pytest.mark.parametrize(
    "headers", [{"crit": ["exp"]}, {"kid": "unknown"}, {"kid": ""}, {"jwk": JWKS["keys"][0]}]
)
def test_header_tricks_do_not_help(headers: dict[str, Any]) -> None:
    assert refuses(signed(OTHER_KEY, headers=headers))


def test_critical_extension_is_refused_even_under_the_right_key() -> None:
    assert refuses(signed(headers={"crit": ["exp"]}))


@pytest.mark.parametrize("token", ["", "a.b.c", "x" * 20_000, "..", "é.é.é"])
def test_what_is_no_token_is_refused(token: str) -> None:
    assert refuses(token)


def test_refusal_never_quotes_the_token() -> None:
    token = signed(aud="api://other")
    with pytest.raises(UnauthorizedError) as caught:
        entra().verify(token)
    assert token not in caught.value.message + caught.value.hint


def test_unknown_kid_refreshes_keys_at_most_once_a_minute() -> None:
    now, fetched = [0.0], []
    keys = SigningKeys(lambda: fetched.append(1) or JWKS, clock=lambda: now[0])  # type: ignore[func-returns-value]
    for now[0] in (0.0, 1.0, 59.0, 60.0, 61.0):
        assert keys.find("unknown") is None
    assert len(fetched) == 2


def test_rotated_key_is_found_after_a_minute() -> None:
    now, document = [0.0], {"keys": [dict(JWKS["keys"][0])]}
    keys = SigningKeys(lambda: document, clock=lambda: now[0])
    assert keys.find("k1") is not None
    document["keys"].append({**JWKS["keys"][0], "kid": "k2"})
    now[0] = 61.0
    assert keys.find("k2") is not None


def test_keys_that_are_known_survive_an_issuer_that_is_down() -> None:
    now, answers = [0.0], [JWKS]

    def fetch() -> Mapping[str, Any]:
        if not answers:
            raise SourceUnavailableError("issuer: down")
        return answers.pop()

    keys = SigningKeys(fetch, clock=lambda: now[0])
    assert keys.find("k1") is not None
    now[0] = 100_000.0
    assert keys.find("k1") is not None


def test_symmetric_and_broken_keys_of_the_document_are_left_aside() -> None:
    document = {"keys": [{"kty": "oct", "kid": "o", "k": "c2VjcmV0"}, {"kty": "RSA", "kid": "b", "n": "!"}]}
    keys = SigningKeys(lambda: document, clock=lambda: 0.0)
    assert keys.find("o") is None and keys.find("b") is None


def test_local_token_round_trips() -> None:
    caller = LocalTokens(SECRET, {}).verify(sign_local_token(SECRET, "ada", ["admin", "tenant:*"], 60))
    assert (caller.subject, caller.roles, caller.tenants) == ("ada", {"admin"}, None)


def test_local_token_expires_and_needs_its_own_secret() -> None:
    tokens = LocalTokens(SECRET, {})
    old, foreign = sign_local_token(SECRET, "a", [], 60, now_s=1000), sign_local_token("t" * 40, "a", [], 60)
    for token in (old, foreign, signed()):
        with pytest.raises(UnauthorizedError):
            tokens.verify(token)


@pytest.mark.parametrize("marker", AZURE_MARKERS)
def test_local_tokens_refuse_to_start_in_azure(marker: str) -> None:
    with pytest.raises(ConfigurationError, match="AUTH_MODE=local"):
        LocalTokens(SECRET, {marker: "x"})


def test_short_local_secret_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="LOCAL_TOKEN_SECRET"):
        LocalTokens("changeme", {})


def test_issuer_that_cannot_be_reached_is_a_transient_error() -> None:
    with pytest.raises(SourceUnavailableError, match="signing keys"):
        json_fetcher("http://127.0.0.1:9/keys")()
