"""The schemas of share packs: exactly sixteen tables, migrated once, a predecessor's taken over or its faults named."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from pydantic import SecretStr

from shared.adapters.postgres.database import server_of
from shared.adapters.postgres.migrations import (
    SHARING,
    SHARING_SCHEMA,
    TABLE_SYNC,
    available,
    is_current,
    migrate,
    migrate_sharing,
)
from shared.composition import App
from shared.errors import ConfigurationError, ConflictError, NotFoundError
from shared.settings import Settings
from shared.sharing.views import State
from tests.integration.sharing.conftest import ADA, Store

SIXTEEN = {
    "tenants", "tenant_regions", "projects", "requests", "share_packs", "recipients", "shares", "pipelines", "users",
    "ad_groups", "databricks_objects", "job_metrics", "project_costs", "sync_jobs", "notifications", "audit_trail",
}  # fmt: skip
GROWING = ("job_metrics", "project_costs", "sync_jobs", "notifications", "audit_trail")


def tables(store: Store, schema: str = "deltashare") -> set[str]:
    found = store.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = %s", schema)
    return {row["table_name"] for row in found}


def columns(store: Store) -> set[tuple[str, str, str, str]]:
    rows = store.sql(
        "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns"
        " WHERE table_schema = 'deltashare'"
    )
    return {tuple(row.values()) for row in rows}  # type: ignore[misc]


def test_exactly_sixteen_tables_and_a_second_call_does_nothing(bare: Store) -> None:
    assert not is_current(bare.database, SHARING, SHARING_SCHEMA)
    assert migrate_sharing(bare.database)[0] == "0001_history"
    assert (tables(bare), migrate_sharing(bare.database)) == (SIXTEEN, ())
    assert is_current(bare.database, SHARING, SHARING_SCHEMA)
    assert tables(bare, "bridge") == set()


def test_several_callers_at_once_migrate_once(bare: Store) -> None:
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(lambda _: migrate_sharing(bare.database), range(4)))
    assert sorted(map(len, applied)) == [0, 0, 0, len(available(SHARING))]


def test_each_series_has_its_own_numbers_record_and_lock(store: Store) -> None:
    assert TABLE_SYNC.lock != SHARING.lock
    own = store.sql("SELECT number FROM deltashare_state.schema_migrations ORDER BY 1")
    assert [row["number"] for row in own] == [m.number for m in available(SHARING)]
    assert (migrate(store.database), migrate_sharing(store.database)) == ((), ())


def test_newer_schema_is_refused(store: Store) -> None:
    store.sql("INSERT INTO deltashare_state.schema_migrations (number, name) VALUES (9999, 'later')")
    with pytest.raises(ConfigurationError, match="9999 is newer"):
        migrate_sharing(store.database)


# A predecessor: the same sixteen names, the columns that the contract names, and habits of its own.
def predecessor(store: Store) -> None:
    statements = ["CREATE SCHEMA deltashare"]
    for table, id_ in (
        ("tenants", "tenant_id"), ("tenant_regions", "tenant_region_id"), ("projects", "project_id"),
        ("requests", "request_id"), ("share_packs", "share_pack_id"), ("recipients", "recipient_id"),
        ("shares", "share_id"), ("pipelines", "pipeline_id"), ("users", "user_id"), ("ad_groups", "ad_group_id"),
        ("databricks_objects", "databricks_object_id"),
    ):  # fmt: skip
        statements.append(
            f"CREATE TABLE deltashare.{table} (record_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), {id_} uuid NOT NULL,"
            " effective_from timestamptz NOT NULL DEFAULT now(), effective_to timestamptz, is_current boolean,"
            " is_deleted boolean, version int NOT NULL DEFAULT 1, created_by varchar(100), change_reason varchar(100),"
            " legacy_code varchar(10) NOT NULL)"
        )
    statements += [
        f"CREATE TABLE deltashare.{table} (id bigserial, note text NOT NULL)"
        for table in ("job_metrics", "project_costs", "sync_jobs", "notifications", "audit_trail")
    ]
    statements += [
        "ALTER TABLE deltashare.share_packs ADD share_pack_name varchar(80), ADD config json,"
        " ADD share_pack_status varchar(20), ADD strategy varchar(10)",
        "INSERT INTO deltashare.audit_trail (note) VALUES ('kept')",
    ]
    for statement in statements:
        store.sql(statement)


def old_pack(store: Store, **columns: Any) -> str:
    id_ = str(uuid4())
    values = {
        "share_pack_id": id_, "share_pack_name": "Old", "config": '{"a": 1}', "share_pack_status": "COMPLETED",
        "strategy": "NEW", "is_current": True, "legacy_code": "L",
    } | columns  # fmt: skip
    store.sql(
        f"INSERT INTO deltashare.share_packs ({', '.join(values)}) VALUES ({', '.join(['%s'] * len(values))})",
        *values.values(),
    )
    return str(values["share_pack_id"])


def test_predecessors_schema_is_taken_over_with_its_rows(bare: Store) -> None:
    predecessor(bare)
    id_ = old_pack(bare)
    migrate_sharing(bare.database)
    assert tables(bare) == SIXTEEN
    row = bare.sql(
        "SELECT share_pack_id::text, effective_to::text AS ends, config, is_current, is_deleted, legacy_code"
        " FROM deltashare.share_packs"
    )[0]
    assert (row["share_pack_id"], row["ends"], row["is_current"], row["is_deleted"]) == (
        id_,
        "infinity",
        True,
        False,
    )
    assert (row["config"], row["legacy_code"]) == ({"a": 1}, "L")
    assert bare.sql("SELECT note FROM deltashare.audit_trail") == [{"note": "kept"}]
    migrate(bare.database)
    assert bare.upload().pack.version == 1
    assert len(bare.packs.page(None)) == 2


def test_packs_of_a_predecessor_are_shown_whatever_they_lack_and_can_be_cancelled_no_more(
    bare: Store,
) -> None:
    predecessor(bare)
    ids = [
        UUID(old_pack(bare, share_pack_status=state, strategy=None))
        for state in (None, "QUEUED", "COMPLETED")
    ]
    migrate_sharing(bare.database)
    shown = {pack.id: pack.state for pack in bare.packs.page(None)}
    assert shown == dict(zip(ids, (State.FAILED, State.FAILED, State.COMPLETED), strict=True))
    assert bare.packs.page(frozenset({"finance"})) == []
    for id_ in ids:
        assert len(bare.packs.history(id_, None)) == 1
        with pytest.raises(ConflictError):
            bare.packs.cancel(id_, None, by=ADA, reason="x")
        with pytest.raises(NotFoundError):
            bare.packs.content(id_)


def test_schema_taken_over_holds_like_a_new_one(bare: Store, store: Store) -> None:
    """Every constraint, index and trigger of ours stands on the predecessor's tables, too."""
    facts = (
        "SELECT conname AS name FROM pg_constraint WHERE connamespace = 'deltashare'::regnamespace AND contype <> 'p'"
        " UNION SELECT indexname FROM pg_indexes WHERE schemaname = 'deltashare' AND indexname NOT LIKE '%%_pkey'"
        " UNION SELECT tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
        " WHERE c.relnamespace = 'deltashare'::regnamespace AND NOT tgisinternal"
    )
    new, new_columns = bare.sql(facts), columns(bare)
    bare.sql("DROP SCHEMA deltashare CASCADE")
    bare.sql("DROP SCHEMA deltashare_state CASCADE")
    predecessor(bare)
    migrate_sharing(bare.database)
    assert {r["name"] for r in bare.sql(facts)} == {r["name"] for r in new}
    assert new_columns <= columns(bare)


FAULTS = {
    "are current beside another one": [
        {"share_pack_id": "00000000-0000-0000-0000-000000000001"},
        {"share_pack_id": "00000000-0000-0000-0000-000000000001", "version": 2},
    ],
    "end before they begin": [{"effective_to": "2000-01-01", "is_current": False}],
    "whose number stands twice": [
        {"share_pack_id": "00000000-0000-0000-0000-000000000001", "effective_from": "2020-01-01",
         "effective_to": "2021-01-01", "is_current": False},
        {"share_pack_id": "00000000-0000-0000-0000-000000000001"},
    ],
    "at the same time as another one": [
        {"share_pack_id": "00000000-0000-0000-0000-000000000001", "effective_from": "2020-01-01",
         "effective_to": "2022-01-01", "is_current": False},
        {"share_pack_id": "00000000-0000-0000-0000-000000000001", "effective_from": "2021-01-01", "version": 2},
    ],
    "is_current contradicts effective_to": [{"effective_to": "2999-01-01"}],
    "versions without share_pack_id, effective_from, effective_to": [{"is_current": False}],
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_rows_that_cannot_be_taken_over_are_named_and_nothing_changes(bare: Store, fault: str) -> None:
    predecessor(bare)
    for row in FAULTS[fault]:
        old_pack(bare, **row)
    before = columns(bare)
    with pytest.raises(ConfigurationError, match=fault) as refused:
        migrate_sharing(bare.database)
    assert "share_packs: " in refused.value.message and "Old" not in refused.value.message
    assert columns(bare) == before
    assert bare.sql("SELECT to_regclass('deltashare_state.journal') AS t") == [{"t": None}]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("ADD requested_at timestamp", "requested_at: is timestamp without time zone, must be timestamptz"),
        ("ADD UNIQUE (share_pack_name)", "would refuse new versions"),
        ("ADD CHECK (share_pack_status IN ('COMPLETED'))", "would refuse new versions"),
        ("ADD tenant_id uuid REFERENCES deltashare.tenants (record_id)", "would refuse new versions"),
    ],
)
def test_shapes_that_cannot_be_taken_over_are_named(bare: Store, statement: str, said: str) -> None:
    predecessor(bare)
    bare.sql(f"ALTER TABLE deltashare.share_packs {statement}")
    bare.sql("ALTER TABLE deltashare.users ADD enabled text")
    with pytest.raises(ConfigurationError, match=said) as refused:
        migrate_sharing(bare.database)
    assert "users.enabled: is text, must be boolean" in refused.value.message


@pytest.mark.parametrize("table", GROWING)
@pytest.mark.parametrize(
    "statement", ["UPDATE deltashare.{} SET {}={}", "DELETE FROM deltashare.{}", "TRUNCATE deltashare.{}"]
)
def test_tables_that_only_grow_refuse_the_rest_even_from_their_owner(
    store: Store, table: str, statement: str
) -> None:
    id_ = store.sql("SELECT column_name AS c FROM information_schema.columns WHERE table_schema = 'deltashare'"
                    " AND table_name = %s AND is_nullable = 'NO'", table)[0]["c"]  # fmt: skip
    text = statement.format(table, id_, id_)
    with pytest.raises(psycopg.errors.RaiseException, match="only grows"):
        store.sql(text)
    store.sql(f"DROP TRIGGER {table}_only_grows ON deltashare.{table}")
    store.sql(text)


def test_rights_to_change_the_trail_are_taken_back(bare: Store) -> None:
    predecessor(bare)
    role = f"reader_{uuid4().hex[:8]}"
    bare.sql(f"CREATE ROLE {role}")
    try:
        bare.sql(f"GRANT ALL ON deltashare.audit_trail TO {role}")
        migrate_sharing(bare.database)
        rights = ("UPDATE", "DELETE", "TRUNCATE", "INSERT", "SELECT")
        held = [r for r in rights if bare.sql(
            "SELECT has_table_privilege(%s, 'deltashare.audit_trail', %s) AS h", role, r)[0]["h"]]  # fmt: skip
        assert held == ["INSERT", "SELECT"]
    finally:
        bare.sql(f"DROP OWNED BY {role}")
        bare.sql(f"DROP ROLE {role}")


def test_packs_may_stand_in_another_database_and_are_migrated_only_where_enabled(
    bare: Store, postgres_server: Any
) -> None:
    parts = server_of(bare.conninfo, "T")
    told = {
        "postgres_host": parts.host, "postgres_port": parts.port, "postgres_db": parts.database,
        "postgres_user": parts.user, "postgres_password": SecretStr(parts.password() or ""),
    }  # fmt: skip
    App(Settings(**told)).close()
    assert tables(bare) == set()
    other = f"packs_{uuid4().hex[:8]}"
    bare.sql(f"CREATE DATABASE {other}")
    try:
        uri = f"postgresql://{parts.user}:{parts.password()}@{parts.host}:{parts.port}/{other}"
        app = App(Settings(**told, enable_workflow=True, domain_db_connection_string=SecretStr(uri)))
        app.close()
        assert tables(bare) == set()
        assert tables(Store(uri)) == SIXTEEN
        app = App(Settings(**told, enable_workflow=True))
        assert app.domain_database is app.database
        app.close()
        assert tables(bare) == SIXTEEN
    finally:
        bare.sql(f"DROP DATABASE {other} WITH (FORCE)")
