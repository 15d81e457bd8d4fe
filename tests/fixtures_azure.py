"""Azure's stand-ins, served on loopback for one test, and Azure's own SDKs led to them.

`pytest_plugins = ["tests.fixtures_azure"]` in conftest.py makes them available everywhere.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import HTTPAdapter

from infra.local.azure.certificate import self_signed
from infra.local.azure.directory import Directory
from infra.local.azure.http import Handle, Server
from infra.local.azure.identity import APP_SERVICE_PATH, IdentityEndpoint
from infra.local.azure.key_vault import KeyVault
from infra.local.azure.management import DataFactory

TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT = "66666666-7777-8888-9999-000000000000"
HEADER = "identity-header-of-the-tests"
Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves a stand-in until the test ends."""
    with ExitStack() as stack:

        def start(handle: Handle, **more: Any) -> Server:
            return stack.enter_context(Server(handle, **more))

        yield start


@pytest.fixture(scope="session")
def directory() -> Directory:
    """A tenant; its first key costs a moment, so one serves all tests that leave it as it is."""
    return Directory(TENANT)


@pytest.fixture
def identity(serve: Serve, directory: Directory, monkeypatch: pytest.MonkeyPatch) -> IdentityEndpoint:
    """App Service's endpoint, with one user-assigned identity, as the environment names it."""
    endpoint = IdentityEndpoint(directory, HEADER, frozenset({CLIENT}))
    monkeypatch.setenv("IDENTITY_ENDPOINT", serve(endpoint.handle).url + APP_SERVICE_PATH)
    monkeypatch.setenv("IDENTITY_HEADER", HEADER)
    return endpoint


@pytest.fixture
def key_vault(directory: Directory) -> KeyVault:
    """A vault that the app's identity may read and write."""
    return KeyVault("ours", directory, officers={CLIENT}, retry_after_s=0.01)


@pytest.fixture
def to_vault(serve: Serve, key_vault: KeyVault, tmp_path: Path) -> Iterator[RequestsTransport]:
    """The way to the vault: its name and its TLS as in Azure, its address on this machine."""
    host = f"{key_vault.name}.vault.azure.net"
    files = self_signed(tmp_path, [host])
    server = serve(key_vault.handle, tls=files)
    with requests.Session() as session:
        session.mount("https://", _ToLoopback(host, server.port, files[0]))
        yield RequestsTransport(session=session, session_owner=False)


@pytest.fixture
def factory(directory: Directory) -> DataFactory:
    """A factory with one pipeline, to which the app's identity contributes."""
    pipelines = {"load orders": ("day",)}
    subscription = "99999999-0000-0000-0000-000000000001"
    return DataFactory(subscription, "a-group", "a-factory", directory, pipelines, contributors={CLIENT})


class _ToLoopback(HTTPAdapter):
    """Connects to 127.0.0.1 for one host, and checks the certificate for that host."""

    def __init__(self, host: str, port: int, authority: str) -> None:
        self.host, self.port, self.authority = host, port, authority
        self._pools: list[Any] = []
        super().__init__()

    def get_connection_with_tls_context(self, request: Any, *_: Any, **__: Any) -> Any:
        assert request.url.startswith(f"https://{self.host}/")
        pool = urllib3.HTTPSConnectionPool(
            "127.0.0.1", self.port, server_hostname=self.host, assert_hostname=self.host
        )
        self._pools.append(pool)
        return pool

    def cert_verify(self, conn: Any, *_: Any) -> None:
        conn.cert_reqs, conn.ca_certs = "CERT_REQUIRED", self.authority

    def close(self) -> None:
        for pool in self._pools:
            pool.close()
        super().close()
