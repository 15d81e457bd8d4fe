"""The catalogue and its targets on a real server."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from shared.adapters.postgres.catalogue import Catalogue
from shared.adapters.postgres.database import Database, Server
from shared.adapters.postgres.discovery import Discovered, DiscoveryService
from shared.adapters.postgres.migrations import migrate
from shared.adapters.postgres.overview import Overview
from shared.errors import ConflictError, NotFoundError
from shared.sync.catalogue import Catalogued, Connector, Defaults, freeze
from shared.sync.choices import EntityChoice, amend, create
from shared.sync.description import ApiColumn, ApiDescription
from shared.sync.model import Rules, VersionSpec

C = ApiColumn
KEY = C("tailnum", "VARCHAR2(10)")
OWN = ["_bridge_uid", "_bridge_created_at", "_bridge_updated_at", "_bridge_erp_key_hash", "_bridge_erp_data_hash",
       "_bridge_erp_rowversion", "_bridge_erp_ref_str", "_bridge_deleted", "_bridge_deleted_at"]  # fmt: skip


class Stage:
    """A migrated database with one connector."""

    def __init__(self, conninfo: str) -> None:
        parts = conninfo_to_dict(conninfo)
        server = Server(
            str(parts["host"]), int(str(parts["port"])), str(parts["dbname"]), str(parts["user"]),
            lambda: parts.get("password") and str(parts["password"]),
        )  # fmt: skip
        self.database, self.conninfo = Database(server), conninfo
        migrate(self.database)
        self.catalogue = Catalogue(self.database, uuid4)
        self.service = DiscoveryService(self.catalogue, uuid4)
        connector = Connector(uuid4(), "default", "erp", "http", "https://erp", "none")
        self.connector = self.catalogue.add_connector(connector, "ada")

    def discover(self, *columns: ApiColumn, slug: str = "planes", **changes: Any) -> Discovered:
        described = ApiDescription(slug, slug.title(), columns or (KEY, C("seats", "NUMBER(4)")))
        described = replace(described, **{"business_key_columns": ("tailnum",)} | changes)
        return self.service.discover(self.connector, [described], actor="ada")[0]

    def amend(self, slug: str = "planes", **choice: Any) -> Catalogued:
        def decide(existing: Catalogued | None, _taken: object) -> Any:
            assert existing is not None
            return amend(existing, EntityChoice(**choice))

        after = self.catalogue.change_entity(
            self.connector.uid, slug, decide, actor="ada", action="entity.change"
        )
        assert after is not None
        return after

    def rows(self, statement: str, *values: Any) -> list[Any]:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            cursor = connection.execute(statement, values)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def columns(self, table: str = "planes") -> dict[str, str]:
        return dict(self.rows(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid"
            " WHERE relname = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum", table,
        ))  # fmt: skip

    def insert(self, table: str = "planes", **values: Any) -> None:
        own = {"_bridge_uid": uuid4(), "_bridge_created_at": "now", "_bridge_updated_at": "now",
               "_bridge_erp_key_hash": uuid4(), "_bridge_erp_data_hash": b"x"}  # fmt: skip
        row = own | values
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join(sql.Placeholder() * len(row)),
        )  # fmt: skip
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute(statement, list(row.values()))

    def state(self, uid: UUID | None) -> dict[str, Any]:
        with self.database.connection() as connection:
            row = connection.execute(
                "SELECT * FROM bridge.erp_sync_state WHERE entity_uid = %s", (uid,)
            ).fetchone()
        assert row is not None
        return row


@pytest.fixture
def stage(database: str) -> Iterator[Stage]:
    made = Stage(database)
    yield made
    made.database.close()


def test_target_has_the_mapped_columns_ours_and_a_unique_key(stage: Stage) -> None:
    assert stage.discover().status == "created"
    assert list(stage.columns()) == ["_bridge_uid", "tailnum", "seats", *OWN[1:]]
    assert stage.columns()["tailnum"] == "character varying(10)"
    indexes = [
        r[0] for r in stage.rows("SELECT indexdef FROM pg_indexes WHERE tablename = 'planes' ORDER BY 1")
    ]
    assert [("UNIQUE" in i, i[i.index("(") :]) for i in indexes] == [
        (False, "(_bridge_erp_key_hash)"), (True, "(tailnum)"), (True, "(_bridge_uid)"),
    ]  # fmt: skip


def test_key_is_not_null_and_versions_sort_by_bytes(stage: Stage) -> None:
    stage.discover()
    with pytest.raises(psycopg.errors.NotNullViolation):
        stage.insert(tailnum=None)
    collation = stage.rows(
        "SELECT collname FROM pg_attribute a JOIN pg_collation c ON c.oid = a.attcollation"
        " WHERE attrelid = 'planes'::regclass AND attname = '_bridge_erp_rowversion'"
    )
    assert collation == [("C",)]


def test_second_discovery_touches_nothing(stage: Stage) -> None:
    first = stage.discover()
    before = stage.rows("SELECT xmin FROM bridge.entities")
    second = stage.discover()
    assert (second.status, second.entity_uid) == ("refreshed", first.entity_uid)
    assert stage.rows("SELECT xmin FROM bridge.entities") == before


def test_what_is_stored_reads_back_as_it_was(stage: Stage) -> None:
    found = stage.discover(
        C("A", "NUMBER(12,2)", output_alias="tailnum"), C("b", "DATE", format={"formats": ["%Y"], "timezone": None}),
        delta_strategy="rowversion", version=VersionSpec("hex"), pagination="keyset", page_size_max=50,
    )  # fmt: skip
    view = stage.catalogue.entity(UUID(str(found.entity_uid)))
    assert view.catalogued.entity.version == VersionSpec("hex")
    assert view.catalogued.entity.columns[0].output_alias == "tailnum"
    with stage.database.connection() as connection:
        frozen = freeze(*stage.catalogue.for_run(connection, view.catalogued.entity.uid), Defaults())
    assert (frozen.page_size, frozen.strategy) == (50, "rowversion")


def test_added_column_is_appended_and_a_wider_type_widens(stage: Stage) -> None:
    stage.discover()
    stage.insert(tailnum="N1")
    stage.discover(C("tailnum", "VARCHAR2(20)"), C("seats", "NUMBER(9)"), C("wings", "NUMBER(4)"))
    columns = stage.columns()
    assert (columns["tailnum"], columns["seats"], columns["wings"]) == (
        "character varying(20)", "integer", "smallint",
    )  # fmt: skip
    assert stage.rows("SELECT tailnum FROM planes") == [("N1",)]


def test_narrower_type_and_removed_column_leave_the_table_alone(stage: Stage) -> None:
    stage.discover()
    before = stage.columns()
    outcome = stage.discover(C("tailnum", "VARCHAR2(5)"))
    assert (outcome.status, stage.columns(), len(outcome.warnings)) == ("refreshed", before, 2)


def test_foreign_table_at_the_name_is_refused_and_untouched(stage: Stage) -> None:
    stage.rows("CREATE TABLE planes (mine int)")
    outcome = stage.discover()
    assert outcome.error is not None and outcome.error.code == "target_refused"
    assert "was not made by Tributary" in outcome.error.message
    assert (list(stage.columns()), stage.rows("SELECT * FROM bridge.entities")) == (["mine"], [])


def test_one_tables_failure_does_not_touch_the_next(stage: Stage) -> None:
    described = [ApiDescription(slug, slug, (KEY,), keys) for slug, keys in
                 (("a", ("tailnum",)), ("b", ()), ("c", ("tailnum",)))]  # fmt: skip
    found = stage.service.discover(stage.connector, described, actor="ada")
    assert [one.status for one in found] == ["created", "failed", "created"]


@pytest.mark.parametrize(
    "name",
    ['x"; DROP TABLE bridge.entities; --', "100%s", "{braces}", "MixedCase", "select", "😀" * 20, "tab\tle", "a.b",
     "é" * 40, "'quoted'", "\\back", "%(x)s"],
)  # fmt: skip
def test_odd_names_of_tables_and_columns_are_only_names(stage: Stage, name: str) -> None:
    outcome = stage.discover(KEY, C(name, "NUMBER(4)"), slug=name)
    assert outcome.status == "created"
    entity = stage.catalogue.entity(UUID(str(outcome.entity_uid))).catalogued
    assert stage.columns(entity.entity.target_table)[entity.mappings[1].target] == "smallint"


def test_names_that_meet_after_cutting_get_tables_of_their_own(stage: Stage) -> None:
    slugs = ["é" * 40 + end for end in "ab"]
    found = [stage.discover(slug=slug).entity_uid for slug in slugs]
    tables = {stage.catalogue.entity(UUID(str(uid))).catalogued.entity.target_table for uid in found}
    assert len(tables) == 2 and all(stage.columns(table) for table in tables)


def test_more_columns_than_postgresql_has_is_refused_before_any_ddl(stage: Stage) -> None:
    many = [C(f"c{i}", "NUMBER(4)") for i in range(1600)]
    outcome = stage.discover(KEY, *many)
    assert outcome.error is not None and "1600" in outcome.error.message
    assert stage.columns() == {}


def test_dropped_columns_count_towards_the_limit(stage: Stage) -> None:
    stage.discover()
    for batch in range(4):
        names = [f"d{batch}_{i}" for i in range(397)]
        stage.rows("ALTER TABLE planes " + ", ".join(f"ADD COLUMN {n} smallint" for n in names))
        stage.rows("ALTER TABLE planes " + ", ".join(f"DROP COLUMN {n}" for n in names))
    outcome = stage.discover(KEY, C("seats", "NUMBER(4)"), C("wings", "NUMBER(4)"), C("tail", "NUMBER(4)"))
    assert outcome.error is not None and "dropped ones counted" in outcome.error.message


def test_alter_behind_a_long_reader_gives_up_and_says_so(stage: Stage) -> None:
    stage.discover()
    pauses: list[float] = []
    hurried = Catalogue(stage.database, uuid4, pause=pauses.append, lock_timeout_ms=50)
    with psycopg.connect(stage.conninfo) as reader:
        reader.execute("SELECT * FROM planes")
        service = DiscoveryService(hurried, uuid4)
        wider = ApiDescription("planes", "Planes", (KEY, C("wings", "NUMBER(4)")), ("tailnum",))
        outcome = service.discover(stage.connector, [wider], actor="ada")[0]
    assert outcome.error is not None and "still locked" in outcome.error.message
    assert (len(pauses), "wings" in stage.columns()) == (4, False)


def test_schema_of_the_service_is_no_target(stage: Stage) -> None:
    for schema in ("bridge", "pg_catalog", "information_schema"):
        error = refusal(lambda schema=schema: make(stage, target_schema=schema))  # type: ignore[misc]
        assert "kept for the service itself" in error


def test_other_schema_is_created_for_its_first_table(stage: Stage) -> None:
    make(stage, target_schema="erp")
    assert stage.rows("SELECT schemaname FROM pg_tables WHERE tablename = 'own'") == [("erp",)]


def test_target_of_another_entity_is_refused(stage: Stage) -> None:
    stage.discover()
    assert "taken by another entity" in refusal(lambda: make(stage, target_table="planes"))


def test_rules_changed_by_a_person_open_a_generation_and_end_runs(stage: Stage) -> None:
    uid = stage.discover().entity_uid
    run = start_run(stage, uid)
    mappings = stage.catalogue.entity(UUID(str(uid))).catalogued.mappings
    mine = replace(mappings[1], rules=Rules(null_values=("-1",)))
    stage.amend(mappings=(mappings[0], mine))
    state = stage.state(uid)
    assert (state["generation"], state["deletes_barred"], state["watermark"]) == (2, True, None)
    ended = stage.rows(
        "SELECT r.status, s.status, s.epoch FROM bridge.sync_runs r JOIN bridge.sync_slices s ON run_uid = uid"
    )
    assert (run is not None, ended) == (True, [("cancelled", "cancelled", 1)])


def test_plain_settings_changed_leave_runs_alone(stage: Stage) -> None:
    uid = stage.discover().entity_uid
    start_run(stage, uid)
    stage.amend(page_size=10)
    assert stage.state(uid)["generation"] == 1
    assert stage.rows("SELECT status FROM bridge.sync_runs") == [("queued",)]


def test_another_kind_of_version_makes_stored_ones_incomparable(stage: Stage) -> None:
    uid = stage.discover(delta_strategy="rowversion", version=VersionSpec("number")).entity_uid
    before = stage.state(uid)["versions_since"]
    stage.discover(delta_strategy="rowversion", version=VersionSpec("hex"))
    assert stage.state(uid)["versions_since"] > before


def test_another_key_rebuilds_the_constraint_unless_stored_rows_contradict_it(stage: Stage) -> None:
    uid = stage.discover().entity_uid
    stage.amend(business_keys=("seats",))
    stage.insert(tailnum=None, seats=1)
    assert "1 rows have a NULL in it" in refusal(lambda: stage.amend(business_keys=("tailnum",)))
    stage.rows("UPDATE planes SET tailnum = 'N1'")
    stage.amend(business_keys=("tailnum",))
    stage.insert(tailnum="N2", seats=None)
    assert stage.state(uid)["rehash"] == "rekey"


def test_deleted_entity_stays_deleted_until_a_person_brings_it_back(stage: Stage) -> None:
    uid = stage.discover().entity_uid
    stage.insert(tailnum="N1")
    stage.catalogue.delete_entity(UUID(str(uid)), "ada")
    assert stage.discover().status == "skipped"
    with pytest.raises(NotFoundError):
        stage.catalogue.entity(UUID(str(uid)))
    make(stage, slug="planes")
    assert stage.rows("SELECT tailnum FROM planes") == [("N1",)]


def test_dropped_target_is_made_again_by_discovery(stage: Stage) -> None:
    stage.discover()
    stage.rows("DROP TABLE planes")
    stage.discover()
    assert "tailnum" in stage.columns()


def test_connector_name_is_free_again_after_its_deletion(stage: Stage) -> None:
    again = replace(stage.connector, uid=uuid4())
    with pytest.raises(ConflictError):
        stage.catalogue.add_connector(again, "ada")
    stage.catalogue.delete_connector(stage.connector.uid, "ada")
    stage.catalogue.add_connector(again, "ada")


def test_connector_with_entities_cannot_be_deleted(stage: Stage) -> None:
    stage.discover()
    with pytest.raises(ConflictError):
        stage.catalogue.delete_connector(stage.connector.uid, "ada")


def test_notify_makes_known_tables_due(stage: Stage) -> None:
    stage.discover()
    stage.rows("UPDATE bridge.erp_sync_state SET due_at = now() + interval '1 day'")
    assert stage.catalogue.notify(stage.connector.uid, ["planes", "nope"]) == ["planes"]
    assert stage.rows("SELECT due_at <= now() FROM bridge.erp_sync_state") == [(True,)]


def test_reads_see_only_the_callers_tenants(stage: Stage) -> None:
    uid = UUID(str(stage.discover().entity_uid))
    north = frozenset({"north"})
    assert (
        stage.catalogue.connectors(north),
        stage.catalogue.entities(north),
        stage.catalogue.tenants(north),
    ) == ([], [], [])
    assert stage.catalogue.entity(uid, frozenset({"default"})).catalogued.entity.uid == uid


def test_every_change_leaves_a_trace(stage: Stage) -> None:
    stage.discover()
    stage.amend(page_size=10)
    actions = [row[0] for row in stage.rows("SELECT action FROM bridge.audit_trail ORDER BY id")]
    assert actions == ["connector.create", "entity.discover", "entity.change"]


def test_rejects_page_newest_first_and_figures_count(stage: Stage) -> None:
    uid = stage.discover().entity_uid
    for code in ("one", "two"):
        stage.rows(
            "INSERT INTO bridge.failed_records (uid, run_uid, entity_uid, stage, code, message)"
            " VALUES (%s, %s, %s, 'numbers', %s, 'm')", uuid4(), uuid4(), uid, code,
        )  # fmt: skip
    overview = Overview(stage.database, default_interval_s=300)
    first = overview.failed_records(None, limit=1)[0]
    second = overview.failed_records(None, after=(first["created_at"], first["uid"]))
    assert (first["code"], [row["code"] for row in second]) == ("two", ["one"])
    figures = overview.stats(None)
    assert (figures["entities"], figures["stale"], figures["open_rejects"], figures["runs"]) == (1, 1, 2, {})
    assert overview.stats(frozenset({"north"}))["open_rejects"] == 0


def make(stage: Stage, slug: str = "own", **choice: Any) -> Catalogued | None:
    described = ApiDescription(slug, slug, (KEY, C("seats", "NUMBER(4)")), ("tailnum",))

    def decide(_existing: Catalogued | None, taken: Any) -> Any:
        return create(described, EntityChoice(**choice), stage.connector, uid=uuid4(), taken_tables=taken)

    return stage.catalogue.change_entity(
        stage.connector.uid, slug, decide, actor="ada", action="entity.create", revive=True
    )


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(Exception) as caught:
        act()
    return str(caught.value)


def start_run(stage: Stage, uid: UUID | None) -> UUID:
    run = uuid4()
    stage.rows(
        "INSERT INTO bridge.sync_runs (uid, entity_uid, connector_uid, lane, purpose, strategy, trigger, generation,"
        " config, requested_by) VALUES (%s, %s, %s, 'delta', 'delta', 'hash', 'manual', 1, '{}', 'ada')",
        run, uid, stage.connector.uid,
    )  # fmt: skip
    stage.rows(
        "INSERT INTO bridge.sync_slices (run_uid, slice, connector_uid) VALUES (%s, 0, %s)",
        run,
        stage.connector.uid,
    )
    return run
