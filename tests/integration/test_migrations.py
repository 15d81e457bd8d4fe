"""Migrations: numbered, once, forward only, one caller at a time."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from shared.adapters.postgres.database import Database, Server
from shared.adapters.postgres.migrations import available, is_current, migrate
from shared.errors import ConfigurationError

EXPECTED = {"tenants", "connectors", "entities", "field_mappings", "erp_sync_state", "sync_runs", "sync_slices", "passes",
            "seen_keys", "missing_keys", "failed_records", "outbox", "schema_migrations", "audit_trail"}  # fmt: skip


@pytest.fixture
def opened(database: str) -> Iterator[Callable[..., Database]]:
    made: list[Database] = []

    def open_(schema: str = "bridge") -> Database:
        parts: dict[str, Any] = conninfo_to_dict(database)
        server = Server(
            parts["host"], int(parts["port"]), parts["dbname"], parts["user"], lambda: parts["password"]
        )
        made.append(Database(server, schema))
        return made[-1]

    yield open_
    for each in made:
        each.close()


def tables(database: str, schema: str = "bridge") -> set[str]:
    with psycopg.connect(database) as connection:
        found = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = %s", (schema,)
        )
        return {row[0] for row in found}


def test_numbers_rise_and_none_stands_twice() -> None:
    numbers = [m.number for m in available()]
    assert numbers == sorted(set(numbers)) and numbers[0] == 1


def test_empty_database_gets_every_table_and_a_second_call_nothing(
    opened: Callable[..., Database], database: str
) -> None:
    one = opened()
    assert not is_current(one)
    assert migrate(one)[0] == "0001_table_sync"
    assert (tables(database) >= EXPECTED, is_current(one), migrate(one)) == (True, True, ())


def test_several_callers_at_once_migrate_once(opened: Callable[..., Database]) -> None:
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(migrate, [opened() for _ in range(4)]))
    assert sorted(map(len, applied)) == [0, 0, 0, len(available())]


def test_schema_of_another_name(opened: Callable[..., Database], database: str) -> None:
    migrate(opened("other"))
    assert (tables(database, "other") >= EXPECTED, tables(database)) == (True, set())


def test_newer_schema_is_refused(opened: Callable[..., Database], database: str) -> None:
    migrate(opened())
    with psycopg.connect(database) as connection:
        connection.execute("INSERT INTO bridge.schema_migrations (number, name) VALUES (9999, 'later')")
    with pytest.raises(ConfigurationError, match="9999 is newer") as refused:
        migrate(opened())
    assert "deploy" in refused.value.hint


def test_failing_migration_leaves_nothing(opened: Callable[..., Database], database: str) -> None:
    with psycopg.connect(database) as connection:
        # What stands in the way of a later statement undoes the earlier ones, too.
        connection.execute("CREATE SCHEMA bridge; CREATE TABLE bridge.outbox (id int)")
    with pytest.raises(Exception, match="PostgreSQL|outbox"):
        migrate(opened())
    assert tables(database) == {"outbox"}


def test_audit_trail_is_insert_only(opened: Callable[..., Database], database: str) -> None:
    migrate(opened())
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("INSERT INTO bridge.audit_trail (actor, action, subject) VALUES ('a', 'b', 'c')")
        for statement in ("UPDATE bridge.audit_trail SET actor = 'x'", "DELETE FROM bridge.audit_trail"):
            with pytest.raises(psycopg.errors.RaiseException):
                connection.execute(statement)


def test_tenants_of_a_filled_database_get_the_schemas_and_secrets_they_use(
    opened: Callable[..., Database], database: str
) -> None:
    migrate(opened())
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET search_path = bridge")
        connection.execute("DROP TABLE tenant_schemas, tenant_secrets, tenant_regions, mask_keys")
        connection.execute(
            "DELETE FROM schema_migrations WHERE number = 60; INSERT INTO tenants VALUES ('north')"
        )
        for tenant, schema, secret in (
            ("north", "public", "Shared"),
            ("north", "n", "own"),
            ("default", "d", "shared"),
        ):
            connection.execute(
                "WITH c AS (INSERT INTO connectors (uid, tenant, name, kind, base_url, auth_type, secret_name)"
                " VALUES (gen_random_uuid(), %s, %s, 'http', 'https://x', 'token', %s) RETURNING uid)"
                " INSERT INTO entities (uid, connector_uid, slug, api_name, delta_strategy, business_keys, target_schema,"
                " target_table) SELECT gen_random_uuid(), uid, 's', 's', 'hash', '{id}', %s, 't' FROM c",
                (tenant, schema, secret, schema),
            )
        migrate(opened())
        schemas = connection.execute("SELECT schema_name, tenant FROM tenant_schemas ORDER BY 1").fetchall()
        secrets = connection.execute("SELECT name, tenant FROM tenant_secrets ORDER BY 1").fetchall()
    assert schemas == [("d", "default"), ("n", "north"), ("public", "default")]
    assert secrets == [("own", "north"), ("shared", "north")]
