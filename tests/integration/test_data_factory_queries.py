"""What the Data Factory asks of PostgreSQL, asked of a real one that a sync has filled."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from tests.integration.drifting import rows, table
from tests.integration.harness import MakeWorld, World
from tests.unit.infra_azure.expressions import rendered
from tests.unit.infra_azure.factory import FOLDER, factory


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A table of twelve rows, synced once."""
    made = make_world([table("hash")], rows(12))
    made.sync()
    return made


def query(pipeline: str, activity: str) -> str:
    """The query of a copy, wherever in the pipeline it stands."""
    text = json.dumps(factory().documents["pipeline"][pipeline].properties)

    def found(node: Any) -> Iterator[str]:
        if isinstance(node, dict) and node.get("name") == activity and "typeProperties" in node:
            yield node["typeProperties"]["source"]["query"]["value"]
        for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from found(each)

    (only,) = found(json.loads(text))
    return only


def hourly(until: datetime, hours: int = 3) -> str:
    names = {"pipeline": {"parameters": {"until": until.isoformat(), "hours": hours}}}
    return str(rendered(query("HourlyReportingPipeline", "CopyHourlyRuns"), names))


def test_hourly_report_counts_the_runs_of_past_hours(world: World) -> None:
    (line,) = world.sql(hourly(datetime.now(UTC) + timedelta(hours=1)))
    assert line["connector"] == "sample"
    assert line["entity"] == "t"
    assert line["status"] == "success"
    assert (line["runs"], line["fetched"], line["inserted"]) == (1, 12, 12)
    assert line["seconds"] >= 0


def test_hour_that_is_not_over_is_not_reported_yet(world: World) -> None:
    assert world.sql(hourly(datetime.now(UTC))) == []


def test_hourly_report_fills_the_columns_of_its_table(world: World) -> None:
    (line,) = world.sql(hourly(datetime.now(UTC) + timedelta(hours=1)))
    schema = (FOLDER / "sql/reporting.sql").read_text()
    declared = schema.partition("CREATE TABLE reporting.hourly_runs (")[2].partition(");")[0]
    columns = {
        each.split()[0] for each in declared.strip().splitlines() if not each.strip().startswith("CONSTRAINT")
    }
    assert set(line) == columns


def test_backup_holds_every_row_as_a_document(world: World) -> None:
    tables = factory().documents["pipeline"]["DailyBackupPipeline"].parameters["tables"]["defaultValue"]
    asked = query("DailyBackupPipeline", "BackUpTable")
    for each in tables:
        kept = world.sql(str(rendered(asked, {"item": each})))
        (counted,) = world.sql(f"SELECT count(*) AS rows FROM {each['schema']}.{each['table']}")
        assert len(kept) == counted["rows"]
    (entity,) = world.sql(str(rendered(asked, {"item": {"schema": "bridge", "table": "entities"}})))
    assert json.loads(entity["document"])["slug"] == "t"


@pytest.fixture
def roles(world: World) -> Iterator[tuple[str, str]]:
    """Names of the factory's role and the app's; both gone afterwards."""
    names = f"adf-{uuid4().hex[:8]}", f"id-{uuid4().hex[:8]}"
    with psycopg.connect(world.conninfo, autocommit=True) as admin:
        for name in names:
            admin.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)))
        admin.execute(sql.SQL("GRANT CREATE, CONNECT ON DATABASE {} TO {}").format(
            sql.Identifier(admin.info.dbname), sql.Identifier(names[1])
        ))  # fmt: skip
        yield names
        for name in names:
            admin.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(name)))
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def grant(admin: psycopg.Connection[Any], names: tuple[str, str]) -> None:
    """Run the script of grants as psql would."""
    script = (FOLDER / "sql/access_postgres.sql").read_text()
    for variable, name in zip(("factory", "app"), names, strict=True):
        script = script.replace(f":'{variable}'", sql.Literal(name).as_string(admin))
        script = script.replace(f':"{variable}"', sql.Identifier(name).as_string(admin))
    admin.execute(script.encode())


def test_factory_reads_what_it_reads_and_writes_only_where_copies_land(
    world: World, roles: tuple[str, str]
) -> None:
    role, app = (sql.Identifier(name) for name in roles)
    with psycopg.connect(world.conninfo, autocommit=True) as admin:
        grant(admin, roles)
        grant(admin, roles)
        admin.execute(sql.SQL("SET ROLE {}").format(app))
        admin.execute("CREATE TABLE landing.planes (tailnum text)")
        admin.execute("RESET ROLE")
        admin.execute(sql.SQL("SET ROLE {}").format(role))
        assert admin.execute(hourly(datetime.now(UTC) + timedelta(hours=1)).encode()).fetchone()
        admin.execute('TRUNCATE TABLE "landing"."planes"')
        admin.execute("INSERT INTO landing.planes VALUES ('N1')")
        for refused in (
            "DELETE FROM bridge.sync_runs",
            "SELECT FROM public.t",
            "CREATE TABLE landing.x (y int)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                admin.execute(refused.encode())
        admin.execute("RESET ROLE")
