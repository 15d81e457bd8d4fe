"""The servers of the local stack: starting twice, crashing, surviving, and ports that are taken."""

import json
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from infra.local import environment, processes
from infra.local.errors import LocalStackError, PortTakenError, StartError
from infra.local.migrate import serving
from infra.local.ports import Ports, free_ports
from infra.local.postgres import PostgresServer
from infra.local.stack import Stack, down, status, up

SERVE = (
    "import http.server as h; h.HTTPServer(('127.0.0.1', {port}), h.BaseHTTPRequestHandler).serve_forever()"
)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """Outside pytest's own directories, which PostgreSQL's account may not enter when tests run as root."""
    directory = Path(tempfile.mkdtemp(prefix="tributary-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def service(base: Path, port: int, program: str) -> processes.Service:
    return processes.Service(
        name="child",
        command=[sys.executable, "-c", program],
        ports={port: "CHILD_PORT"},
        ready=lambda: processes.listening([port]),
        run_dir=base / "run",
        log_dir=base / "logs",
        start_timeout_s=20,
    )


@pytest.fixture
def child(tmp_path: Path) -> Iterator[processes.Service]:
    port = free_ports(1)[0]
    service_ = service(tmp_path, port, SERVE.format(port=port))
    yield service_
    processes.stop(service_)


def test_postgres_refuses_a_wrong_password(postgres_server: PostgresServer) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres_server.dsn, password="wrong")


def test_starting_postgres_twice_is_one_server(postgres_server: PostgresServer) -> None:
    before = postgres_server.running()
    assert postgres_server.start() is False
    assert postgres_server.running() == before


def test_postgres_keeps_committed_rows_through_a_crash(durable_postgres_server: PostgresServer) -> None:
    server = durable_postgres_server
    with psycopg.connect(server.dsn) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    server.stop("immediate")
    server.start()
    with psycopg.connect(server.dsn) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_postgres_runs_with_the_products_settings(durable_postgres_server: PostgresServer) -> None:
    with psycopg.connect(durable_postgres_server.dsn) as connection:
        settings = {
            name: connection.execute(f"SHOW {name}").fetchone() for name in ("fsync", "synchronous_commit")
        }
    assert settings == {"fsync": ("on",), "synchronous_commit": ("on",)}


def test_a_taken_postgres_port_names_its_variable(open_directory: Path, taken_port: int) -> None:
    server = PostgresServer(open_directory / "pg", taken_port, open_directory / "secret")
    with pytest.raises(PortTakenError, match="POSTGRES_PORT"):
        server.start()


def test_the_database_fixture_is_empty_and_ours(database: str) -> None:
    with psycopg.connect(database) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert tables == (0,)


def test_starting_a_running_child_again_changes_nothing(child: processes.Service) -> None:
    assert processes.start(child) is True
    pid = processes.running(child)
    assert processes.start(child) is False
    assert processes.running(child) == pid


def test_stopping_ends_the_child_and_frees_its_port(child: processes.Service) -> None:
    processes.start(child)
    assert processes.stop(child) is True
    assert not processes.listening(list(child.ports))
    assert not child.pid_file.exists()


def test_a_recycled_pid_is_not_taken_for_our_child(child: processes.Service) -> None:
    child.run_dir.mkdir()
    child.pid_file.write_text(json.dumps({"pid": os.getpid(), "created": 1.0}))
    assert processes.running(child) is None
    assert processes.stop(child) is False


def test_a_child_that_ends_early_shows_its_log(tmp_path: Path) -> None:
    broken = service(tmp_path, free_ports(1)[0], "raise SystemExit('no such database')")
    with pytest.raises(StartError, match="no such database"):
        processes.start(broken)
    assert not broken.pid_file.exists()


def test_a_taken_child_port_names_its_variable(tmp_path: Path, taken_port: int) -> None:
    with pytest.raises(PortTakenError, match=f"{taken_port}.*CHILD_PORT"):
        processes.start(service(tmp_path, taken_port, "pass"))


def test_ports_move_by_their_variables() -> None:
    ports = Ports.from_environment({"HOST_PORT": "8071", "AZURITE_QUEUE_PORT": "20001"})
    assert (ports.host, ports.azurite_queue, ports.postgres) == (8071, 20001, 55432)


@pytest.mark.parametrize("text", ["http", "0", "70000", "-1"])
def test_a_port_that_is_no_port_is_named(text: str) -> None:
    with pytest.raises(LocalStackError, match="ERP_PORT"):
        Ports.from_environment({"ERP_PORT": text})


def settings_file(directory: Path, name: str, values: dict[str, str]) -> None:
    (directory / name).write_text(json.dumps({"IsEncrypted": False, "Values": values}))


def test_settings_come_from_four_places_in_order(tmp_path: Path) -> None:
    settings_file(tmp_path, "local.settings.json.example", {"A": "example", "B": "example", "EMPTY": ""})
    settings_file(tmp_path, "local.settings.json", {"C": "file", "D": "file"})
    composed = environment.compose({"B": "stack", "C": "stack"}, tmp_path, {"D": "environment", "HOME": "x"})
    assert composed == {"A": "example", "B": "stack", "C": "file", "D": "environment"}


def test_the_emulators_shorthand_gives_way_to_the_chosen_ports(tmp_path: Path) -> None:
    settings_file(tmp_path, "local.settings.json", {"AzureWebJobsStorage": "UseDevelopmentStorage=true"})
    composed = environment.compose({"AzureWebJobsStorage": "long form"}, tmp_path, {})
    assert composed["AzureWebJobsStorage"] == "long form"


@pytest.fixture
def stack(open_directory: Path) -> Iterator[Stack]:
    app = open_directory / "app"
    shutil.copytree(Path(__file__).parent / "host_apps" / "everything", app)
    settings_file(app, "local.settings.json", {"JOBS": "jobs", "REPORTS": "reports", "TICKS": "0 0 0 1 1 *"})
    stack_ = Stack(Ports(*free_ports(7)), open_directory / "local", app)
    yield stack_
    down(stack_)


def test_the_stack_starts_once_keeps_its_data_and_leaves_nothing(stack: Stack) -> None:
    up(stack)
    before = [processes.running(stack.host_service()), stack.postgres.running()]
    up(stack)
    assert [processes.running(stack.host_service()), stack.postgres.running()] == before
    with psycopg.connect(stack.postgres.dsn) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    down(stack)
    assert not any(part["running"] for part in status(stack).values())
    stack.postgres.start()
    with psycopg.connect(stack.postgres.dsn) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


@pytest.mark.parametrize("before", [False, True], ids=["stopped", "running"])
def test_migrating_leaves_the_server_as_it_found_it(open_directory: Path, before: bool) -> None:
    port = free_ports(1)[0]
    server = PostgresServer(open_directory / "pg", port, open_directory / "secret")
    if before:
        server.start()
    try:
        with serving(server):
            assert server.running() is not None
        assert (server.running() is not None) is before
    finally:
        server.stop()
