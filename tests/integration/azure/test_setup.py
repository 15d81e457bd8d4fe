"""infra/setup.sh against the real interface, a real database and the sample ERP; only `az` and the vault stand in."""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvicorn

from infra.local.sample_erp import TableSpec, parse_columns
from shared.adapters.tokens import sign_local_token
from tests.integration.azure.scripts import Done, Scripts
from tests.integration.harness import _SECRET, MakeWorld, World

ORDERS = TableSpec(
    slug="orders",
    keys=("id",),
    strategy="hash",
    columns=parse_columns("id NUMBER(9) NOT NULL\n note VARCHAR2(40)"),
)
AUDIENCE = "11111111-0000-4000-8000-000000000000"


@dataclass(slots=True)
class Vault:
    """A vault in memory."""

    values: dict[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str:
        return self.values[name]

    reload = get

    def put(self, name: str, value: str) -> None:
        self.values[name] = value


@pytest.fixture
def vault() -> Vault:
    return Vault()


@pytest.fixture
def world(make_world: MakeWorld, vault: Vault) -> World:
    made = make_world([ORDERS], {"orders": [{"id": 1, "note": "a"}, {"id": 2, "note": "b"}]})
    made.sql("TRUNCATE bridge.connectors CASCADE")
    made.compose()
    made.app.secrets = made.app.vault = vault  # type: ignore[assignment]
    return made


@pytest.fixture
def setup(world: World, tmp_path: Path) -> Iterator[Scripts]:
    """The scripts, with the app served on loopback and a token for it."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(world.app.http, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    scripts = Scripts(tmp_path, f"http://127.0.0.1:{listener.getsockname()[1]}")
    scripts.cloud["token"] = sign_local_token(_SECRET, "ada", ["admin", "tenant:*"], 3600)
    yield scripts
    scripts.azure.close()
    server.should_exit = True
    thread.join(10)
    listener.close()


def asked(setup: Scripts, world: World, *more: str) -> list[str]:
    url = setup.cloud["outputs"]["functionAppUrl"]
    wanted = ["--url", url, "--audience", AUDIENCE, "--connector", "erp", "--base-url", world.erp.base_url]
    return [*wanted, "--secret-name", "erp-token", *more]


def run(setup: Scripts, world: World, *more: str, secret: str | None = None) -> Done:
    given = world.erp.credentials.static_token if secret is None else secret
    return setup.run("setup.sh", *asked(setup, world, *more), given=f"{given}\n")


def test_a_connector_is_registered_with_its_secret_and_its_tables_found(
    setup: Scripts, world: World, vault: Vault
) -> None:
    done = run(setup, world, "--time-zone", "Europe/Oslo")
    assert done.code == 0, done.err
    assert done.out.split() == ["orders", "created"]
    (connector,) = world.get("/api/v1/connectors")["items"]
    assert (connector["name"], connector["time_zone"]) == ("erp", "Europe/Oslo")
    assert vault.values == {"erp-token": world.erp.credentials.static_token}


def test_a_second_run_changes_the_connector_and_doubles_nothing(setup: Scripts, world: World) -> None:
    run(setup, world)
    assert run(setup, world, "--keep-secret", secret="").code == 0
    assert len(world.get("/api/v1/connectors")["items"]) == 1


def test_the_first_table_is_loaded(setup: Scripts, world: World) -> None:
    setup.cloud["calls"] = []
    process = setup.start("setup.sh", *asked(setup, world, "--sync", "orders"), tries=10_000)
    assert process.stdin is not None
    process.stdin.write(world.erp.credentials.static_token)
    process.stdin.close()
    process.stdin = None
    while process.poll() is None:  # in Azure the queue function does this
        world.deliver_one()
        time.sleep(0.05)
    done = setup.finished(process)
    assert done.code == 0, done.err
    assert "orders: success, 2 rows fetched, 2 inserted" in done.out


def test_the_secret_is_said_nowhere(setup: Scripts, world: World) -> None:
    secret = world.erp.credentials.static_token
    done = run(setup, world)
    assert secret not in done.out + done.err + str(setup.cloud)
    left = [
        path for path in setup.folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()
    ]
    assert [path for path in left if path.parts[-2] not in ("erp-0",)] == []


def test_a_secret_that_the_source_refuses_is_told(setup: Scripts, world: World) -> None:
    done = run(setup, world, secret="wrong")
    assert done.code == 1 and "source_refused" in done.err and "next: " in done.err


def test_a_host_that_is_not_allowed_is_told_with_the_setting(setup: Scripts, world: World) -> None:
    done = run(setup, world, "--base-url", "https://elsewhere.example.com")
    assert done.code == 1 and "CONNECTOR_HOSTS" in done.err


def test_no_role_is_told(setup: Scripts, world: World) -> None:
    setup.cloud["token"] = sign_local_token(_SECRET, "ada", ["reader", "tenant:*"], 3600)
    done = run(setup, world)
    assert done.code == 1 and "admin and tenant:*" in done.err


def test_a_table_that_is_not_there_is_told(setup: Scripts, world: World) -> None:
    done = run(setup, world, "--sync", "nothing")
    assert done.code == 1 and "no such table" in done.err


def test_an_empty_secret_is_refused_before_anything_is_registered(setup: Scripts, world: World) -> None:
    done = run(setup, world, secret="")
    assert done.code == 1 and "secret is empty" in done.err
    assert world.get("/api/v1/connectors")["items"] == []


def test_the_address_comes_from_the_deployment(setup: Scripts, world: World) -> None:
    setup.cloud["groups"]["tributary-dev"] = {"location": "x", "tags": {}}
    outputs = {"functionAppUrl": {"value": setup.cloud["outputs"]["functionAppUrl"]}}
    told = {"outputs": outputs, "parameters": {"entraAudience": {"value": AUDIENCE}}}
    setup.cloud["deployments"]["tributary-dev/tributary-dev"] = {"properties": told}
    done = setup.run(
        "setup.sh", "--env", "dev", "--connector", "erp", "--base-url", world.erp.base_url,
        given=world.erp.credentials.static_token,
    )  # fmt: skip
    assert done.code == 0, done.err


def test_nothing_deployed_is_told(setup: Scripts, world: World) -> None:
    setup.cloud["groups"]["tributary-dev"] = {"location": "x", "tags": {}}
    done = setup.run("setup.sh", "--env", "dev", "--connector", "erp", "--base-url", world.erp.base_url)
    assert done.code == 1 and "next: infra/deploy.sh --env dev" in done.err


@pytest.mark.parametrize("path", ["health", "health/db"])
def test_an_app_that_is_down_is_told(scripts: Scripts, app: object, path: str) -> None:
    app.answers[f"GET /api/v1/{path}"] = [(503, {"detail": "starting"})]  # type: ignore[attr-defined]
    url = scripts.cloud["outputs"]["functionAppUrl"]
    done = scripts.run(
        "setup.sh",
        "--url",
        url,
        "--audience",
        AUDIENCE,
        "--connector",
        "erp",
        "--base-url",
        "https://erp.example.com",
    )
    assert done.code == 1 and "status 503, starting" in done.err
