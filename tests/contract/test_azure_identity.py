"""The app's identity: azure-identity, the Key Vault SDK and databricks-sdk, as installed, against the stand-ins."""

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import CredentialUnavailableError
from azure.keyvault.secrets import SecretClient

from infra.local.azure.identity import MACHINE_PATH, IdentityEndpoint
from infra.local.azure.key_vault import KeyVault
from shared.adapters.databricks_identity import managed_identity_strategy
from shared.adapters.identity import POSTGRES_SCOPE, BearerTokens, managed_identity
from shared.errors import (
    ConfigurationError,
    IdentityUnavailableError,
    SourceThrottledError,
    SourceUnavailableError,
)
from shared.secrets import AzureKeyVault, CachedVault
from tests.fixtures_azure import CLIENT, Serve

AZURE = "https://adb-1234567890123456.7.azuredatabricks.net"


def credential(client_id: str | None = CLIENT) -> Any:
    return managed_identity(client_id, azure=True)


def claims(token: str) -> dict[str, Any]:
    import jwt

    return dict(jwt.decode(token, options={"verify_signature": False}))


# the identity endpoint


def test_user_assigned_identity_gets_a_token_for_the_resource(identity: IdentityEndpoint) -> None:
    given = credential().get_token(POSTGRES_SCOPE)
    found = claims(given.token)
    assert (found["aud"], found["oid"]) == ("https://ossrdbms-aad.database.windows.net", CLIENT)
    assert given.expires_on == pytest.approx(found["exp"], abs=5)


def test_identity_that_is_not_assigned_is_refused(identity: IdentityEndpoint) -> None:
    with pytest.raises((CredentialUnavailableError, ClientAuthenticationError)):
        credential("another").get_token(POSTGRES_SCOPE)


def test_wrong_header_is_refused(identity: IdentityEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_HEADER", "wrong")
    with pytest.raises((CredentialUnavailableError, ClientAuthenticationError)):
        credential().get_token(POSTGRES_SCOPE)


def test_refused_identity_is_one_clear_error_without_the_endpoints_words(identity: IdentityEndpoint) -> None:
    with pytest.raises(IdentityUnavailableError, match="no token for") as caught:
        BearerTokens(lambda: credential("another"), POSTGRES_SCOPE).get()
    assert "AZURE_CLIENT_ID" in caught.value.hint and "Identity not found" not in str(caught.value)


def test_endpoint_keeps_its_token_and_forgetting_asks_it_anew(identity: IdentityEndpoint) -> None:
    tokens = BearerTokens(credential, POSTGRES_SCOPE)
    first = tokens.text()
    assert (tokens.text(), identity.given) == (first, 1)
    identity.cached = False
    tokens.forget()
    assert (tokens.text() != first, identity.given) == (True, 2)


def test_machine_endpoint_wants_its_header_and_a_resource(identity: IdentityEndpoint, serve: Serve) -> None:
    url = serve(identity.handle).url + MACHINE_PATH
    asked = {"api-version": "2018-02-01", "resource": "https://vault.azure.net", "client_id": CLIENT}
    assert httpx.get(url, params=asked).status_code == 400
    assert httpx.get(url, params=asked, headers={"Metadata": "true"}).json()["token_type"] == "Bearer"
    asked.pop("resource")
    assert httpx.get(url, params=asked, headers={"Metadata": "true"}).status_code == 400


# Key Vault


def vault_of(key_vault: KeyVault, to_vault: RequestsTransport) -> AzureKeyVault:
    return AzureKeyVault(key_vault.url, credential, transport=to_vault)


def test_secret_is_read_and_written_with_the_identity(
    identity: IdentityEndpoint, key_vault: KeyVault, to_vault: RequestsTransport
) -> None:
    vault = vault_of(key_vault, to_vault)
    vault.write("erp-token", "one")
    key_vault.put("erp-token", "two")
    assert vault.read("erp-token") == "two"
    assert key_vault.served[0].startswith("PUT"), "the challenge was answered before the body went out"


def test_versions_are_kept_and_one_can_be_read_by_its_id(
    identity: IdentityEndpoint, key_vault: KeyVault, to_vault: RequestsTransport
) -> None:
    client = SecretClient(key_vault.url, credential(), transport=to_vault)
    first = client.set_secret("erp-token", "one").properties.version
    client.set_secret("erp-token", "two")
    assert client.get_secret("erp-token", first).value == "one"
    assert len(list(client.list_properties_of_secret_versions("erp-token"))) == 2


def test_vault_of_another_directory_is_not_given_a_token_for_it(
    identity: IdentityEndpoint, key_vault: KeyVault, to_vault: RequestsTransport
) -> None:
    """The SDK compares the challenge's resource with the vault's own address."""
    client = SecretClient("https://ours.example.com", credential(), transport=to_vault)
    with pytest.raises((ValueError, AssertionError)):
        client.get_secret("erp-token")


@pytest.mark.parametrize("disabled", [True, False])
def test_forbidden_secret_is_permanent_and_says_which_role(
    identity: IdentityEndpoint, key_vault: KeyVault, to_vault: RequestsTransport, disabled: bool
) -> None:
    key_vault.put("erp-token", "canary", enabled=not disabled)
    if not disabled:
        key_vault.officers.clear()
    with pytest.raises(ConfigurationError, match="refuses the app's identity") as caught:
        vault_of(key_vault, to_vault).read("erp-token")
    assert "Key Vault Secrets User" in caught.value.hint and "canary" not in str(caught.value)


def test_reader_may_not_write(
    identity: IdentityEndpoint, key_vault: KeyVault, to_vault: RequestsTransport
) -> None:
    key_vault.readers, key_vault.officers = {CLIENT}, set()
    key_vault.put("erp-token", "one")
    vault = vault_of(key_vault, to_vault)
    assert vault.read("erp-token") == "one"
    with pytest.raises(ConfigurationError, match="Secrets Officer|refuses"):
        vault.write("erp-token", "two")


def test_missing_secret_is_named(
    identity: IdentityEndpoint, key_vault: KeyVault, to_vault: RequestsTransport
) -> None:
    with pytest.raises(ConfigurationError, match="'no-such'"):
        vault_of(key_vault, to_vault).read("no-such")


def test_brief_throttling_is_sat_out(
    identity: IdentityEndpoint, key_vault: KeyVault, to_vault: RequestsTransport
) -> None:
    key_vault.put("erp-token", "one")
    key_vault.throttled = 2
    assert vault_of(key_vault, to_vault).read("erp-token") == "one"


def test_lasting_throttling_passes_on_the_vaults_wish(
    identity: IdentityEndpoint,
    key_vault: KeyVault,
    to_vault: RequestsTransport,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(to_vault, "sleep", waits.append)
    key_vault.throttled, key_vault.retry_after_s = 100, 3600
    with pytest.raises(SourceThrottledError) as caught:
        vault_of(key_vault, to_vault).read("erp-token")
    assert caught.value.retry_after_s == 600
    assert waits == [8.0, 8.0, 8.0], "a slice does not wait for an hour"


def test_old_value_serves_while_throttled_and_rotation_is_seen_on_reload(
    identity: IdentityEndpoint, key_vault: KeyVault, to_vault: RequestsTransport
) -> None:
    now = [0.0]
    key_vault.put("erp-token", "one")
    secrets = CachedVault(vault_of(key_vault, to_vault), ttl_s=10, clock=lambda: now[0])
    assert secrets.get("erp-token") == "one"
    key_vault.put("erp-token", "two")
    now[0], key_vault.throttled = 11.0, 100
    assert secrets.get("erp-token") == "one"
    key_vault.throttled = 0
    assert secrets.reload("erp-token") == "two"


def test_identity_without_token_is_transient_for_the_vault(
    identity: IdentityEndpoint, key_vault: KeyVault, to_vault: RequestsTransport
) -> None:
    identity.client_ids = frozenset()
    with pytest.raises(SourceUnavailableError, match="Key Vault"):
        vault_of(key_vault, to_vault).read("erp-token")


def test_unknown_api_version_is_refused(
    identity: IdentityEndpoint, key_vault: KeyVault, to_vault: RequestsTransport
) -> None:
    client = SecretClient(key_vault.url, credential(), transport=to_vault, api_version="2016-10-01")
    with pytest.raises(HttpResponseError):
        client.get_secret("erp-token")


# databricks-sdk


class Given:
    """A credential that gives numbered tokens, each good for `life_s` of its clock."""

    def __init__(self, now: list[float], life_s: float = 3600) -> None:
        self.now, self.life_s, self.scopes = now, life_s, []  # type: ignore[var-annotated]

    def get_token(self, *scopes: str) -> Any:
        from azure.core.credentials import AccessToken

        self.scopes += scopes
        return AccessToken(f"token {len(self.scopes)}", int(self.now[0] + self.life_s))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK asks a workspace about itself first, for minutes where nothing answers, and goes on without."""

    def silent(*_: Any, **__: Any) -> Any:
        raise ValueError("no such workspace")

    monkeypatch.setattr("databricks.sdk.config.get_host_metadata", silent)


def config(host: str, make: Callable[[], Any]) -> Any:
    from databricks.sdk.config import Config

    return Config(host=host, credentials_strategy=managed_identity_strategy(make))


@pytest.mark.usefixtures("offline")
def test_databricks_requests_carry_a_token_for_azure_databricks(identity: IdentityEndpoint) -> None:
    signed_in = config(AZURE, credential)
    header = signed_in.authenticate()["Authorization"]
    assert claims(header.removeprefix("Bearer "))["aud"] == "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d"
    assert signed_in.auth_type == "azure-managed-identity"


@pytest.mark.usefixtures("offline")
def test_databricks_token_is_replaced_before_it_ends() -> None:
    given = Given([time.time()], life_s=3600)
    signed_in = config(AZURE, lambda: given)
    assert [signed_in.authenticate()["Authorization"] for _ in range(2)] == ["Bearer token 1"] * 2
    given.life_s = 60
    short = config(AZURE, lambda: given)
    assert short.authenticate()["Authorization"] == "Bearer token 2"
    assert given.scopes == ["2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default"] * 2


@pytest.mark.usefixtures("offline")
def test_databricks_sdk_is_told_when_the_token_ends() -> None:
    given = Given([time.time()], life_s=3600)
    token = config(AZURE, lambda: given).oauth_token()
    assert token.valid and token.access_token == "token 1"
    given.life_s = 10
    assert config(AZURE, lambda: given).oauth_token().expired


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    "host",
    ["https://dbc-1.cloud.databricks.com", "https://azuredatabricks.net.example.com", "https://example.com",
     "https://evil-azuredatabricks.net", AZURE.replace("https", "http")],
)  # fmt: skip
def test_no_other_host_ever_gets_the_identitys_token(host: str) -> None:
    given = Given([time.time()])
    with pytest.raises(ConfigurationError, match="not an Azure Databricks workspace"):
        config(host, lambda: given).authenticate()
    assert given.scopes == []
