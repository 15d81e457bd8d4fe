"""How waiting rows land in bulk: each once, without waiting for locks, and with an empty target's indexes built after."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest

from infra.local.sample_erp import TableSpec, parse_columns
from shared import failpoints
from shared.adapters.postgres.holding import Backoff
from shared.adapters.postgres.target import PostgresTarget
from shared.composition import new_uids
from shared.sql import query
from tests.integration.drifting import release as go_on_after_a_death
from tests.integration.harness import MakeWorld, Row, World, balanced

AIRPORTS = TableSpec(slug="airports", keys=("faa",), strategy="hash",
                     columns=parse_columns("faa VARCHAR2(3) NOT NULL\nname VARCHAR2(40)"))  # fmt: skip
# A source may name a column as the release names its own.
FLIGHTS = TableSpec(slug="flights", keys=("id",), strategy="hash",
                    columns=parse_columns("id NUMBER(9) NOT NULL\norigin VARCHAR2(3)\ndest VARCHAR2(3)\nplace VARCHAR2(9)"))  # fmt: skip
PARENTS = [{"columns": [name], "slug": "airports", "parent_columns": ["faa"]} for name in ("origin", "dest")]
IDS = list(range(1, 41))


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """Forty flights from BQN to SJU, all of which wait; a release takes up 28 rows at once."""
    flights = [{"id": n, "origin": "BQN", "dest": "SJU", "place": "x"} for n in IDS]
    rows = {"airports": [{"faa": "JFK", "name": "Kennedy"}], "flights": flights}
    made = make_world([AIRPORTS, FLIGHTS], rows)
    made.put_entity("flights", parents=PARENTS)
    made.sync()
    assert made.rows("flights") == {}
    return made


def arrive(world: World) -> Row:
    """Both airports come; the retry run that lands who waited for them."""
    world.erp.insert("airports", [{"faa": faa, "name": "x"} for faa in ("BQN", "SJU")])
    world.sync_now("airports")
    return next(run for run in world.runs("flights") if run["trigger"] == "retry")


def rebuild_always(world: World) -> None:
    world.compose()
    target = PostgresTarget(
        world.app.database, lease_s=660, uuid7=new_uids, backoff=Backoff(60, 3600), rebuild_from=1
    )
    world.app.runner = replace(world.app.runner, target=target)


def indexes(world: World) -> dict[int, str]:
    """Their definitions by object id: others than before were built anew."""
    found = world.sql(
        "SELECT indexrelid::bigint AS oid, concat_ws(' ', c.conname, c.contype, pg_get_indexdef(indexrelid)) AS text"
        " FROM pg_index LEFT JOIN pg_constraint c ON c.conindid = indexrelid WHERE indrelid = 'public.flights'::regclass"
    )
    return {row["oid"]: row["text"] for row in found}


@contextmanager
def locked(world: World, table: str, mode: str) -> Iterator[None]:
    """Somebody else's lock; whoever waits for it gets it after ten seconds."""
    with psycopg.connect(world.conninfo, options="-c idle_in_transaction_session_timeout=10s") as other:
        other.execute(f"LOCK TABLE {table} IN {mode} MODE".encode())
        yield
        other.rollback()


def landed(run: Row) -> tuple[object, ...]:
    return run["status"], run["fetched"], run["inserted"], run["released"], balanced(run)


ALL_OF_THEM = ("success", len(IDS), len(IDS), len(IDS), True)


def test_a_row_whose_two_parents_arrive_together_is_taken_up_once(world: World) -> None:
    assert landed(arrive(world)) == ALL_OF_THEM
    assert (sorted(world.rows("flights")), world.sql("SELECT * FROM bridge.held_rows")) == (IDS, [])


def test_a_release_does_not_wait_for_a_vacuum_of_the_waiting_rows(world: World) -> None:
    held = world.sql("SELECT DISTINCT tableoid::regclass::text AS name FROM bridge.held_rows")[0]["name"]
    with locked(world, held, "SHARE UPDATE EXCLUSIVE"):
        assert landed(arrive(world)) == ALL_OF_THEM


def test_waiting_rows_get_statistics_before_they_are_joined(world: World) -> None:
    held = "SELECT relname FROM pg_class WHERE relname LIKE 'held%%' AND relkind = 'r' AND reltuples = {}"
    assert world.sql(held.format(-1)) and not world.sql(held.format(len(IDS)))
    arrive(world)
    assert world.sql(held.format(len(IDS)))


def test_a_parent_declared_later_gets_an_index_of_its_own(world: World) -> None:
    world.put_entity("flights", parents=PARENTS[:1])
    world.sql("DROP TABLE bridge.held_{}".format(world.uid("flights").replace("-", "")))
    world.sync_now("flights")
    world.put_entity("flights", parents=PARENTS)
    world.sync_now("flights")
    named = world.sql("SELECT indexname FROM pg_indexes WHERE indexname LIKE 'held%%awaits%%'")
    assert sorted(row["indexname"][-1] for row in named) == ["1", "2"]


def test_an_empty_targets_indexes_are_built_after_its_rows_just_as_they_were(world: World) -> None:
    world.sql("CREATE INDEX own ON public.flights (lower(dest)) WHERE id > 3")
    before = indexes(world)
    rebuild_always(world)
    assert landed(arrive(world)) == ALL_OF_THEM
    after = indexes(world)
    assert set(before).isdisjoint(after)
    assert sorted(before.values()) == sorted(after.values())
    assert sorted(world.rows("flights")) == IDS


def test_a_host_that_dies_over_an_empty_target_leaves_it_as_it_was(world: World) -> None:
    before = indexes(world)
    rebuild_always(world)
    failpoints.arm("release.landed=raise@1")
    with pytest.raises(failpoints.FailpointError):
        arrive(world)
    failpoints.arm("")
    assert (indexes(world), world.rows("flights")) == (before, {})
    go_on_after_a_death(world)
    world.pump()
    assert (sorted(world.rows("flights")), world.sql("SELECT * FROM bridge.held_rows")) == (IDS, [])


def test_few_rows_leave_the_indexes_alone(world: World) -> None:
    before = indexes(world)
    assert landed(arrive(world)) == ALL_OF_THEM
    assert indexes(world) == before


LEANT_ON = {
    "a row that once stood there": (
        "INSERT INTO public.flights (_bridge_uid, id, _bridge_erp_key_hash, _bridge_erp_data_hash)"
        " VALUES (gen_random_uuid(), 0, gen_random_uuid(), ''); DELETE FROM public.flights"
    ),
    "a foreign key": "CREATE TABLE public.seats (flight bigint REFERENCES public.flights (id))",
    "a foreign key of its own": "ALTER TABLE public.flights ADD FOREIGN KEY (id) REFERENCES public.flights (id)",
    "a view": "CREATE VIEW public.v AS SELECT *, count(*) FROM public.flights GROUP BY _bridge_uid",
    "replication": "ALTER TABLE public.flights REPLICA IDENTITY USING INDEX flights_bridge_key",
    "clustering": "ALTER TABLE public.flights CLUSTER ON flights_pkey",
    "a storage parameter": "ALTER INDEX public.flights_pkey SET (fillfactor = 70)",
    "a comment on an index": "COMMENT ON INDEX public.flights_bridge_key_hash IS 'mine'",
    "a comment on a key": "COMMENT ON CONSTRAINT flights_pkey ON public.flights IS 'mine'",
    "a child table": "CREATE TABLE public.more () INHERITS (public.flights)",
}


@pytest.mark.parametrize("statement", LEANT_ON.values(), ids=LEANT_ON.keys())
def test_indexes_that_something_leans_on_are_kept(world: World, statement: str) -> None:
    for one in statement.split(";"):
        world.sql(one)
    before = indexes(world)
    rebuild_always(world)
    assert landed(arrive(world)) == ALL_OF_THEM
    assert indexes(world) == before


def test_indexes_of_another_tablespace_are_kept(world: World) -> None:
    with psycopg.connect(world.conninfo, autocommit=True) as connection:
        connection.execute("SET allow_in_place_tablespaces = on")
        connection.execute("CREATE TABLESPACE fast LOCATION ''")
    try:
        world.sql("ALTER INDEX public.flights_pkey SET TABLESPACE fast")
        before = indexes(world)
        rebuild_always(world)
        assert (landed(arrive(world)), indexes(world)) == (ALL_OF_THEM, before)
    finally:
        world.sql("DROP TABLE public.flights")
        world.sql("DROP TABLESPACE fast")


def test_a_table_that_somebody_reads_keeps_its_indexes_and_nobody_waits(world: World) -> None:
    before = indexes(world)
    rebuild_always(world)
    with locked(world, "public.flights", "ACCESS SHARE"):
        assert landed(arrive(world)) == ALL_OF_THEM
    assert indexes(world) == before


def test_a_partitioned_tables_indexes_are_kept(world: World) -> None:
    world.sql("CREATE TABLE public.parted (id int PRIMARY KEY) PARTITION BY RANGE (id)")
    world.sql("CREATE TABLE public.part PARTITION OF public.parted DEFAULT")
    with psycopg.connect(world.conninfo) as connection:
        ways = [
            connection.execute(query("indexes_of_empty", "bridge"), {"table": f"public.{name}"}).fetchone()
            for name in ("parted", "flights")
        ]
    assert [way is None for way in ways] == [True, False]
