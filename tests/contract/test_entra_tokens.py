"""T66: bearer tokens of Entra ID, as the whole management interface sees them; the directory is a stand-in."""

import base64
import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from infra.local.azure.directory import Directory
from shared.adapters.tokens import (
    EntraTokens,
    SigningKeys,
    entra_issuer,
    entra_keys_url,
    json_fetcher,
)
from tests.fixtures_azure import TENANT, Serve
from tests.unit.api.fakes import World

AUDIENCE = "api://tributary"
ROLES = ["reader", "tenant:*"]
Forge = Callable[[Directory], str]


@pytest.fixture
def own() -> Directory:
    """A directory of this test's own, whose keys it may roll."""
    return Directory(TENANT)


class Entrance:
    """The management interface, signed in to by tokens of a directory; `now` is the key cache's clock."""

    def __init__(self, directory: Directory, url: str) -> None:
        self.directory, self.now = directory, [0.0]
        # The path is the real one's; only the host is this machine.
        path = entra_keys_url(TENANT).removeprefix("https://login.microsoftonline.com")
        keys = SigningKeys(json_fetcher(url + path), clock=lambda: self.now[0])
        self.world = World(tokens=EntraTokens(keys, issuer=entra_issuer(TENANT), audience=AUDIENCE))

    def ask(self, token: str, method: str = "GET", path: str = "/api/v1/entities") -> Any:
        return self.world.ask(method, path, None, headers={"Authorization": f"Bearer {token}"})

    @property
    def fetched(self) -> int:
        return len(self.directory.asked)


@pytest.fixture
def entrance(own: Directory, serve: Serve) -> Entrance:
    return Entrance(own, serve(own.handle).url)


def test_configuration_names_the_issuer_and_keys_that_we_use(own: Directory, serve: Serve) -> None:
    url = serve(own.handle).url
    found = json_fetcher(f"{url}/{TENANT}/v2.0/.well-known/openid-configuration")()
    assert found["issuer"] == entra_issuer(TENANT)
    assert found["jwks_uri"].removeprefix(url) == entra_keys_url(TENANT).removeprefix(
        "https://login.microsoftonline.com"
    )


def test_good_token_is_let_in_and_keys_are_fetched_once(entrance: Entrance, own: Directory) -> None:
    answers = [entrance.ask(own.token(AUDIENCE, roles=ROLES)).status_code for _ in range(3)]
    assert (answers, entrance.fetched) == ([200, 200, 200], 1)


def unsigned(directory: Directory) -> str:
    token = directory.token(AUDIENCE, roles=["admin", "tenant:*"])
    kid, body = jwt.get_unverified_header(token)["kid"], token.split(".")[1]
    return f"{encoded({'alg': 'none', 'kid': kid})}.{body}."


def confused(directory: Directory) -> str:
    """HS256 under the public key, which everybody can fetch."""
    token = directory.token(AUDIENCE, roles=["admin", "tenant:*"])
    kid = jwt.get_unverified_header(token)["kid"]
    public = directory._keys[kid].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = f"{encoded({'alg': 'HS256', 'kid': kid})}.{token.split('.')[1]}"
    mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(signed.encode(), public)
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def signed_by(key: Any, algorithm: str, **headers: Any) -> Forge:
    def forge(directory: Directory) -> str:
        body = jwt.decode(
            directory.token(AUDIENCE, roles=["admin", "tenant:*"]), options={"verify_signature": False}
        )
        kid = next(iter(directory._keys))
        return jwt.encode(body, key, algorithm, headers={"kid": kid} | headers)

    return forge


def told(**claims: Any) -> Forge:
    return lambda directory: directory.token(claims.pop("aud", AUDIENCE), **{"roles": ROLES} | claims)


OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
FORGED: dict[str, Forge] = {
    "none": unsigned,
    "key confusion": confused,
    "another key": signed_by(OTHER, "RS256"),
    "unknown kid": signed_by(OTHER, "RS256", kid="unheard-of"),
    "other algorithm": signed_by(OTHER, "RS512"),
    "PSS": signed_by(OTHER, "PS256"),
    "elliptic": signed_by(ec.generate_private_key(ec.SECP256R1()), "ES256"),
    "own key in the header": signed_by(OTHER, "RS256", jwk={"kty": "RSA"}),
    "own key set": signed_by(OTHER, "RS256", jku="http://127.0.0.1:9/keys"),
    "critical": signed_by(OTHER, "RS256", crit=["x"]),
    "audience": told(aud="https://graph.microsoft.com"),
    "issuer": told(iss=entra_issuer("99999999-2222-3333-4444-555555555555")),
    "version 1 issuer": told(iss=f"https://sts.windows.net/{TENANT}/"),
    "expired": told(life_s=-3600),
    "not yet": told(nbf=4_000_000_000, exp=4_000_000_100),
    "issued in the future": told(iat=4_000_000_000, exp=4_000_000_100),
    "for ever": told(exp=None),
    "no audience": lambda directory: directory.token(AUDIENCE, aud=None),
    "another tenant": lambda _: Directory("99999999-2222-3333-4444-555555555555").token(
        AUDIENCE, roles=["admin"]
    ),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_forged_token_is_401_and_never_quoted(entrance: Entrance, own: Directory, forge: Forge) -> None:
    token = forge(own)
    answer = entrance.ask(token)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert token not in answer.text
    assert entrance.ask(own.token(AUDIENCE, roles=ROLES)).status_code == 200, "the good one still works"


@pytest.mark.parametrize("roles", [None, [], ["Reader"], ["tenant:*"], ["unheard-of"]])
def test_token_without_our_roles_is_403(entrance: Entrance, own: Directory, roles: Any) -> None:
    assert entrance.ask(own.token(AUDIENCE, roles=roles)).status_code == 403


def test_token_of_an_app_alone_has_the_roles_it_was_assigned(entrance: Entrance, own: Directory) -> None:
    token = own.token(AUDIENCE, roles=["operator", "tenant:*"], azp="a-service", idtyp="app")
    assert entrance.ask(token).status_code == 200
    assert entrance.ask(token, "POST", "/api/v1/operations/migrate").status_code == 403


def test_rolled_key_is_found_and_the_retired_one_is_refused(entrance: Entrance, own: Directory) -> None:
    old = own.token(AUDIENCE, roles=ROLES)
    assert entrance.ask(old).status_code == 200
    own.roll()
    entrance.now[0] = 61.0
    assert [entrance.ask(t).status_code for t in (own.token(AUDIENCE, roles=ROLES), old)] == [200, 200]
    own.retire()
    entrance.now[0] = 25 * 3600.0
    assert entrance.ask(old).status_code == 401
    assert entrance.fetched == 3


def test_forged_kids_do_not_become_a_request_each(entrance: Entrance, own: Directory) -> None:
    entrance.ask(own.token(AUDIENCE, roles=ROLES))
    for number in range(20):
        assert entrance.ask(signed_by(OTHER, "RS256", kid=f"k{number}")(own)).status_code == 401
    assert entrance.fetched == 1


def test_directory_that_is_down_lets_known_keys_serve_and_is_503_before_that(
    entrance: Entrance, own: Directory
) -> None:
    own.down = True
    assert entrance.ask(own.token(AUDIENCE, roles=ROLES)).status_code == 503
    own.down = False
    assert entrance.ask(own.token(AUDIENCE, roles=ROLES)).status_code == 200
    own.down, entrance.now[0] = True, 25 * 3600.0
    assert entrance.ask(own.token(AUDIENCE, roles=ROLES)).status_code == 200
