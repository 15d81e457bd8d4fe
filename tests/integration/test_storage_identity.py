"""Storage by identity: the app as Azure's settings compose it, on Azurite, which then checks bearer tokens over TLS.

Azurite looks at a token's issuer, audience and lifetime, not at its signature, and knows no roles.
"""

import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from psycopg.conninfo import conninfo_to_dict

from infra.local.azure.certificate import self_signed
from infra.local.azure.identity import IdentityEndpoint
from infra.local.azurite import ACCOUNT, Azurite
from infra.local.ports import free_ports
from shared.adapters.submissions import Submission
from shared.composition import App
from shared.errors import ConfigurationError, QueueUnavailableError, StorageUnavailableError
from shared.settings import load_settings
from tests.fixtures_azure import CLIENT


@dataclass(frozen=True, slots=True)
class TokenAzurite(Azurite):
    """Azurite over TLS, taking bearer tokens."""

    files: tuple[str, str] = ("", "")

    def _command(self) -> list[str]:
        certificate, key = self.files
        return [*Azurite._command(self), "--oauth", "basic", "--cert", certificate, "--key", key]


@pytest.fixture(scope="module")
def storage(stack_directory: Path) -> Iterator[TokenAzurite]:
    home = stack_directory / "tokens"
    home.mkdir()
    files = self_signed(home, ["azurite"])
    emulator = TokenAzurite(home / "data", *free_ports(3), base=home, files=files)
    emulator.start()
    yield emulator
    emulator.stop()


@pytest.fixture
def environment(
    storage: TokenAzurite, identity: IdentityEndpoint, database: str, monkeypatch: pytest.MonkeyPatch
) -> pytest.MonkeyPatch:
    """The settings of a function app in Azure, with no key among them."""
    told = conninfo_to_dict(database)
    at = {"blob": storage.blob_port, "queue": storage.queue_port, "table": storage.table_port}
    for service, port in at.items():
        monkeypatch.setenv(f"AzureWebJobsStorage__{service}ServiceUri", f"https://127.0.0.1:{port}/{ACCOUNT}")
    settings = {
        "AzureWebJobsStorage__credential": "managedidentity", "AzureWebJobsStorage__clientId": CLIENT,
        "SUBMISSIONS_CONTAINER": "submissions", "REQUESTS_CA_BUNDLE": storage.files[0], "MIGRATE_ON_START": "false",
        "POSTGRES_HOST": told["host"], "POSTGRES_PORT": told["port"], "POSTGRES_DB": told["dbname"],
        "POSTGRES_USER": told["user"], "POSTGRES_PASSWORD": told["password"],
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    return monkeypatch


@pytest.fixture
def app(environment: pytest.MonkeyPatch) -> Iterator[App]:
    made = App(load_settings())
    yield made
    made.close()


def test_queues_tables_and_blobs_take_the_identitys_token(app: App, identity: IdentityEndpoint) -> None:
    app.queue.send("{}")
    assert app.queue.depth() == 1
    assert app.table_log.beat("detect_changes", app.clock.now())
    assert set(app.table_log.beats() or ()) == {"detect_changes"}
    stored = app.submissions.store(Submission("a", json.dumps({"n": 1}).encode(), "ada", "key"))
    assert stored.path.startswith("a/") and identity.given >= 1


def test_identity_that_is_not_assigned_is_a_transient_error(
    environment: pytest.MonkeyPatch, identity: IdentityEndpoint
) -> None:
    environment.setenv("AzureWebJobsStorage__clientId", "another")
    app = App(load_settings())
    with pytest.raises(QueueUnavailableError):
        app.queue.send("{}")
    with pytest.raises(StorageUnavailableError):
        app.submissions.store(Submission("a", b"{}", "ada"))
    assert app.table_log.beats() is None
    app.close()


def test_token_that_has_ended_is_refused(
    app: App, identity: IdentityEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "life_s", -60)
    with pytest.raises(QueueUnavailableError):
        app.queue.send("{}")


@pytest.mark.parametrize(
    ("service", "part"), [("queue", "queue"), ("table", "table_log"), ("blob", "submissions")]
)
def test_missing_address_is_named(environment: pytest.MonkeyPatch, service: str, part: str) -> None:
    environment.delenv(f"AzureWebJobsStorage__{service}ServiceUri")
    with pytest.raises(ConfigurationError, match="AzureWebJobsStorage: not set") as caught:
        getattr(App(load_settings()), part)
    assert "__blobServiceUri" in caught.value.hint


def test_emulator_refuses_what_carries_no_token(storage: TokenAzurite) -> None:
    trusted = ssl.create_default_context(cafile=storage.files[0])
    url = f"https://127.0.0.1:{storage.queue_port}/{ACCOUNT}?comp=list"
    assert httpx.get(url, verify=trusted).status_code == 403
