"""The app's plain role on a real server; only Azure's function that makes a role of an Entra principal stands in."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from infra.azure.database_role import create_role, grant, main

APP = "id-tributary-test"
PRINCIPAL = """
CREATE FUNCTION pgaadauth_create_principal(name text, is_admin boolean, is_mfa boolean) RETURNS text
LANGUAGE plpgsql AS $$ BEGIN EXECUTE format('CREATE ROLE %I LOGIN', name); RETURN name; END $$
"""


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database, autocommit=True) as opened:
        opened.execute(PRINCIPAL)
        yield opened
        opened.execute("RESET ROLE")
        opened.execute(f'DROP OWNED BY "{APP}"')  # type: ignore[arg-type]
        opened.execute(f'DROP ROLE "{APP}"')  # type: ignore[arg-type]


@pytest.fixture
def parts(database: str) -> dict[str, Any]:
    return dict(conninfo_to_dict(database))


def test_the_role_is_made_once(connection: psycopg.Connection) -> None:
    assert [create_role(connection, APP), create_role(connection, APP)] == [True, False]


def test_the_role_may_make_what_the_app_makes_and_administers_nothing(
    connection: psycopg.Connection, parts: dict[str, Any]
) -> None:
    create_role(connection, APP)
    for _ in range(2):
        grant(connection, parts["dbname"], APP)
    connection.execute(f'SET ROLE "{APP}"')  # type: ignore[arg-type]
    connection.execute("CREATE SCHEMA bridge")
    connection.execute("CREATE TABLE public.orders (id integer)")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("CREATE ROLE another")


def test_a_server_that_is_not_there_is_told_without_the_token(capsys: pytest.CaptureFixture[str]) -> None:
    environment = {
        "DATABASE_HOST": "127.0.0.1", "DATABASE_PORT": "9", "DATABASE_SSLMODE": "disable", "DATABASE_NAME": "x",
        "DATABASE_USER": "dba", "DATABASE_TOKEN": "very-secret", "APP_ROLE": APP,
    }  # fmt: skip
    assert main(environment) == 1
    said = capsys.readouterr().err
    assert "OperationalError" in said and "very-secret" not in said
