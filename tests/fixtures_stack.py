"""Real servers for tests: PostgreSQL and Azurite on free ports with throwaway data.

`pytest_plugins = ["tests.fixtures_stack"]` in conftest.py makes them available everywhere.
"""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from infra.local.azurite import Azurite
from infra.local.ports import free_ports
from infra.local.postgres import PostgresServer

# A test's data need not survive a power cut; crash recovery after kill -9 works without fsync all the same.
QUICK_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
}


@pytest.fixture(scope="session")
def stack_directory() -> Iterator[Path]:
    """A directory other accounts may pass through, as PostgreSQL's does when tests run as root."""
    directory = Path(tempfile.mkdtemp(prefix="tributary-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server(stack_directory: Path) -> Iterator[PostgresServer]:
    """A running server with quick settings, shared by the whole session."""
    server = PostgresServer(
        stack_directory / "postgres", free_ports(1)[0], stack_directory / "pg.secret", settings=QUICK_SETTINGS
    )
    server.start()
    yield server
    server.stop("immediate")


@pytest.fixture
def durable_postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A running server of its own with the product's settings (fsync on), for tests that crash it."""
    directory = Path(tempfile.mkdtemp(prefix="tributary-durable-"))
    directory.chmod(0o755)
    server = PostgresServer(directory / "postgres", free_ports(1)[0], directory / "pg.secret")
    server.start()
    yield server
    server.stop("immediate")
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[str]:
    """Conninfo of a fresh, empty database, dropped afterwards with whatever is still connected."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_server.dsn_of("postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield postgres_server.dsn_of(name)
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def azurite(stack_directory: Path) -> Iterator[Azurite]:
    """A running storage emulator, shared by the whole session."""
    blob, queue, table = free_ports(3)
    emulator = Azurite(stack_directory / "azurite", blob, queue, table, base=stack_directory)
    emulator.start()
    yield emulator
    emulator.stop()


@pytest.fixture(scope="session")
def storage_connection_string(azurite: Azurite) -> str:
    """What AzureWebJobsStorage holds in tests; name queues and tables uniquely, the emulator is shared."""
    return azurite.connection_string
