"""T71: a vault as the cache wants it: our fake and Azure's adapter keep the same contract.

Azure's SDK runs whole, retries included; only its wire ends in a vault of ours.
"""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
import urllib3
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import HTTPAdapter

from shared.errors import ConfigurationError, TransientError
from shared.secrets import AzureKeyVault, CachedVault, KeyVault
from tests.fakes_vault import FakeVault

URL = "https://ours.vault.azure.net"
CHALLENGE = 'Bearer authorization="https://login.microsoftonline.com/t", resource="https://vault.azure.net"'


class Wire(HTTPAdapter):
    """Key Vault's REST interface over a FakeVault."""

    def __init__(self, vault: FakeVault) -> None:
        super().__init__()
        self.vault = vault

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        name = str(request.path_url).split("/")[2].split("?")[0]
        if "Authorization" not in request.headers:
            return self.answer(request, 401, {})
        if self.vault.throttled:
            return self.answer(request, 429, {"error": {"code": "Throttled", "message": "canary"}})
        if request.method == "PUT":
            self.vault.values[name] = json.loads(request.body or b"{}")["value"]
        if name not in self.vault.values:
            return self.answer(request, 404, {"error": {"code": "SecretNotFound", "message": "canary"}})
        return self.answer(request, 200, {"id": f"{URL}/secrets/{name}/1", "value": self.vault.values[name]})

    def answer(self, request: requests.PreparedRequest, status: int, body: Any) -> requests.Response:
        headers = {"Content-Type": "application/json", "Retry-After": "0.01", "WWW-Authenticate": CHALLENGE}
        content = io.BytesIO(json.dumps(body).encode())
        raw = urllib3.HTTPResponse(content, headers, status, reason="", preload_content=False)
        return self.build_response(request, raw)


class Anyone:
    """A credential without a directory."""

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        return AccessToken("t", 4_000_000_000)


def azure(vault: FakeVault) -> AzureKeyVault:
    session = requests.Session()
    session.mount("https://", Wire(vault))
    return AzureKeyVault(URL, Anyone, transport=RequestsTransport(session=session, session_owner=False))


@pytest.fixture(params=[lambda vault: vault, azure], ids=["fake", "azure"])
def both(request: pytest.FixtureRequest) -> tuple[FakeVault, KeyVault]:
    """What stands in the vault, and the adapter over it."""
    vault, make = FakeVault(erp_token="one"), request.param
    return vault, make(vault)


def test_newest_value_is_read(both: tuple[FakeVault, KeyVault]) -> None:
    vault, adapter = both
    assert adapter.read("erp-token") == "one"
    vault.rotate(erp_token="two")
    assert adapter.read("erp-token") == "two"


def test_written_value_is_read_back(both: tuple[FakeVault, KeyVault]) -> None:
    both[1].write("new-one", "n")
    assert (both[1].read("new-one"), both[0].values["new-one"]) == ("n", "n")


def test_missing_name_is_permanent_and_names_the_secret(both: tuple[FakeVault, KeyVault]) -> None:
    with pytest.raises(ConfigurationError, match="no-such"):
        both[1].read("no-such")


@pytest.mark.parametrize("act", [lambda v: v.read("erp-token"), lambda v: v.write("erp-token", "x")])
def test_throttled_vault_is_transient_and_quotes_nothing(
    both: tuple[FakeVault, KeyVault], act: Callable[[KeyVault], object]
) -> None:
    both[0].throttled = True
    with pytest.raises(TransientError) as caught:
        act(both[1])
    assert "canary" not in str(caught.value) and (
        caught.value.__suppress_context__ or not caught.value.__context__
    )


def test_old_value_serves_while_the_vault_is_throttled(both: tuple[FakeVault, KeyVault]) -> None:
    now, (vault, adapter) = [0.0], both
    secrets = CachedVault(adapter, ttl_s=10, clock=lambda: now[0])
    secrets.get("erp-token")
    vault.throttled, now[0] = True, 20.0
    vault.rotate(erp_token="two")
    assert secrets.get("erp-token") == "one"
    with pytest.raises(TransientError):
        secrets.reload("erp-token")
    vault.throttled, now[0] = False, 100.0
    assert secrets.get("erp-token") == "two"
