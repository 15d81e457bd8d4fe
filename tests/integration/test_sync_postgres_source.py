"""PostgreSQL to PostgreSQL through the whole product: strategies, open transactions, keyset walks that move."""

import pytest

from shared.sync.guards import Guards
from tests.fixtures_pg_source import PgSource
from tests.integration.harness import balanced, written
from tests.integration.pg_world import MakePgWorld, PgWorld, make_pg_world

__all__ = ("make_pg_world",)


@pytest.fixture
def orders(pg_source: PgSource) -> PgSource:
    """A table of ten rows without versions."""
    pg_source.sql("CREATE TABLE orders (id integer PRIMARY KEY, note text)")
    pg_source.sql("INSERT INTO orders SELECT i, 'n' || i FROM generate_series(1, 10) i")
    return pg_source


def same(world: PgWorld, slug: str = "orders") -> bool:
    """Whether the target's live rows are the source's."""
    there = {row["id"]: row for row in world.source.sql(f"SELECT id, note FROM {slug}")}
    here = {key: {n: row[n] for n in ("id", "note")} for key, row in world.rows(slug).items()}
    return here == there


@pytest.mark.parametrize("strategy", ["full", "hash"])
def test_whole_table_arrives_and_changes_follow(
    orders: PgSource, make_pg_world: MakePgWorld, strategy: str
) -> None:
    world = make_pg_world()
    world.put_entity("orders", delta_strategy=strategy, delete_after_missing=1)
    (first,) = world.sync()
    assert (first["status"], first["inserted"]) == ("success", 10) and same(world)
    orders.sql("UPDATE orders SET note = 'x' WHERE id = 3; DELETE FROM orders WHERE id = 7")
    orders.sql("INSERT INTO orders VALUES (11, 'new')")
    (second,) = world.sync()
    assert written(second) == 3 and second["soft_deleted"] == 1 and balanced(second) and same(world)


@pytest.mark.parametrize("kept", [None, "add_version", "track"])
def test_large_table_is_read_in_parts(orders: PgSource, make_pg_world: MakePgWorld, kept: str | None) -> None:
    orders.track()
    orders.sql("INSERT INTO orders SELECT i, 'n' FROM generate_series(11, 97) i")
    if kept:
        orders.sql(f"SELECT tributary.{kept}('orders')")
    orders.sql("ANALYZE orders")
    world = make_pg_world(split_rows=25)
    (run,) = world.sync()
    kinds = [one["kind"] for one in world.sql("SELECT kind FROM bridge.sync_slices ORDER BY slice")]
    assert kinds == ["walk"] * 4 + ["conclude"] and (run["status"], run["inserted"]) == ("success", 97)
    orders.sql("UPDATE orders SET note = 'x' WHERE id = 50; DELETE FROM orders WHERE id = 90")
    world.put_entity("orders", delete_after_missing=1)
    world.sync()
    world.sync()
    assert same(world) or (kept == "add_version" and world.sweep("orders")["soft_deleted"] == 1)


@pytest.mark.parametrize("kept", ["add_version", "track"])
def test_delta_reads_what_changed_and_no_more(
    orders: PgSource, make_pg_world: MakePgWorld, kept: str
) -> None:
    orders.track()
    orders.sql(f"SELECT tributary.{kept}('orders')")
    world = make_pg_world()
    entity = world.entity("orders")
    assert (entity["delta_strategy"], entity["bound"]) == ("rowversion", "exact")
    world.sync()
    orders.sql("UPDATE orders SET note = 'x' WHERE id = 3")
    orders.sql("INSERT INTO orders VALUES (11, 'new')")
    world.sync()  # the rows of the first load share one transaction, which is read once more
    orders.sql("UPDATE orders SET note = 'y' WHERE id = 4")
    (run,) = world.sync()
    assert run["strategy"] == "rowversion" and run["fetched"] <= 2 and same(world)
    assert world.sync() == []


@pytest.mark.parametrize("kept", ["add_version", "track"])
def test_row_of_a_transaction_held_open_across_runs_is_not_missed(
    orders: PgSource, make_pg_world: MakePgWorld, kept: str
) -> None:
    orders.track()
    orders.sql(f"SELECT tributary.{kept}('orders')")
    world = make_pg_world()
    world.sync()
    with orders.transaction() as held:
        held.execute("INSERT INTO orders VALUES (50, 'early')")
        orders.sql("INSERT INTO orders VALUES (51, 'late')")
        world.sync()
        assert 51 in world.rows("orders") and 50 not in world.rows("orders")
        orders.sql("INSERT INTO orders VALUES (52, 'later')")
        world.sync()
    world.sync()
    assert same(world) and 50 in world.rows("orders")


def test_bound_that_is_composed_away_loses_the_late_row(orders: PgSource, make_pg_world: MakePgWorld) -> None:
    orders.versioned("orders")
    world = make_pg_world()
    world.compose(Guards(bound=lambda walk, *_: walk))
    world.sync()
    with orders.transaction() as held:
        held.execute("INSERT INTO orders VALUES (50, 'early')")
        orders.sql("INSERT INTO orders VALUES (51, 'late')")
        world.sync()
        orders.sql("INSERT INTO orders VALUES (52, 'later')")
        world.sync()
    world.sync()
    assert 50 not in world.rows("orders")


def test_deletes_in_the_change_table_bring_a_pass_that_proves_them(
    orders: PgSource, make_pg_world: MakePgWorld
) -> None:
    orders.track("orders")
    world = make_pg_world()
    world.sync()
    assert world.sync() == []
    orders.sql("DELETE FROM orders WHERE id = 3")
    passes = world.sync()
    assert [run["strategy"] for run in passes] == ["hash"] and 3 in world.rows("orders")
    (second,) = world.sync()  # absent from two passes, as delete_after_missing asks by default
    assert second["soft_deleted"] == 1 and same(world)
    assert world.sync() == []


def test_truncate_is_a_deletion_that_the_guard_judges(orders: PgSource, make_pg_world: MakePgWorld) -> None:
    orders.sql("INSERT INTO orders SELECT i, 'n' FROM generate_series(11, 100) i")
    orders.track("orders")
    world = make_pg_world()
    world.put_entity("orders", delete_after_missing=1)
    world.sync()
    orders.sql("TRUNCATE orders")
    (run,) = world.sync()
    assert run["error"]["code"] == "delete_guard" and len(world.rows("orders")) == 100


def test_moved_key_is_a_deletion_and_a_new_row(orders: PgSource, make_pg_world: MakePgWorld) -> None:
    orders.track("orders")
    world = make_pg_world()
    world.put_entity("orders", delete_after_missing=1)
    world.sync()
    orders.sql("UPDATE orders SET id = 77 WHERE id = 7")
    world.sync()
    assert same(world) and 77 in world.rows("orders")


@pytest.mark.parametrize("strategy", ["full", "hash"])
def test_late_commit_below_the_newest_version_is_no_standstill(
    orders: PgSource, make_pg_world: MakePgWorld, strategy: str
) -> None:
    orders.versioned("orders")
    world = make_pg_world()
    world.put_entity("orders", delta_strategy=strategy)
    with orders.transaction() as held:
        held.execute("UPDATE orders SET note = 'early' WHERE id = 1")
        orders.sql("UPDATE orders SET note = 'late' WHERE id = 2")
        world.sync()
    world.sync()
    assert same(world)
    world.sync()  # the first look at rest has nothing to compare itself with
    assert world.sync() == []


def test_named_column_does_not_stand_for_the_whole_row_under_hash(
    orders: PgSource, make_pg_world: MakePgWorld
) -> None:
    world = make_pg_world()
    world.put_entity("orders", delta_strategy="hash", parameters={"rowversion_column": "id"})
    world.sync()
    orders.sql("UPDATE orders SET note = 'x' WHERE id = 3")
    world.sync()
    assert same(world)


def test_sweep_finds_what_a_sequence_hid(orders: PgSource, make_pg_world: MakePgWorld) -> None:
    orders.sql("CREATE SEQUENCE changes")
    orders.sql("ALTER TABLE orders ADD COLUMN seq bigint NOT NULL DEFAULT nextval('changes')")
    world = make_pg_world()
    entity = world.put_entity(
        "orders", delta_strategy="rowversion", parameters={"rowversion_column": "seq"}, overlap=1
    )
    assert entity["bound"] == "overlap"
    world.sync()
    with orders.transaction() as held:
        held.execute("INSERT INTO orders VALUES (50, 'early')")
        orders.sql("INSERT INTO orders SELECT i, 'late' FROM generate_series(51, 59) i")
        world.sync()
    world.sync()
    assert 50 not in world.rows("orders")  # what an overlap too short costs, until ...
    assert world.sweep("orders")["inserted"] == 1 and same(world)


def test_overlap_that_covers_the_open_transaction_misses_nothing(
    orders: PgSource, make_pg_world: MakePgWorld
) -> None:
    orders.sql("ALTER TABLE orders ADD COLUMN at timestamptz NOT NULL DEFAULT clock_timestamp()")
    world = make_pg_world()
    world.put_entity(
        "orders", delta_strategy="rowversion", parameters={"rowversion_column": "at"}, overlap=600
    )
    world.sync()
    with orders.transaction() as held:
        held.execute("INSERT INTO orders VALUES (50, 'early')")
        orders.sql("INSERT INTO orders VALUES (51, 'late')")
        world.sync()
    world.sync()
    assert same(world) and 50 in world.rows("orders")


def test_xmin_is_refused_by_name(orders: PgSource, make_pg_world: MakePgWorld) -> None:
    world = make_pg_world()
    answer = world.ask("PUT", f"/api/v1/entities/{world.uid('orders')}",
                       world.entity("orders") | {"parameters": {"rowversion_column": "xmin"}})  # fmt: skip
    assert answer.status_code == 422 and "xmin is never a row version" in answer.text


def test_overlap_must_be_declared_for_a_sequence(orders: PgSource, make_pg_world: MakePgWorld) -> None:
    world = make_pg_world()
    change = {"delta_strategy": "rowversion", "parameters": {"rowversion_column": "id"}}
    answer = world.ask("PUT", f"/api/v1/entities/{world.uid('orders')}", world.entity("orders") | change)
    assert answer.status_code == 422 and answer.json()["errors"][0]["field"] == "overlap"


def test_declared_version_survives_discovery(orders: PgSource, make_pg_world: MakePgWorld) -> None:
    world = make_pg_world()
    chosen = {"delta_strategy": "rowversion", "parameters": {"rowversion_column": "id"}, "overlap": 5}
    world.put_entity("orders", **chosen)
    world.discover()
    entity = world.entity("orders")
    assert entity["bound"] == "overlap" and entity["delta_strategy"] == "rowversion"


def test_rows_that_change_during_the_walk_arrive_with_the_next(
    orders: PgSource, make_pg_world: MakePgWorld
) -> None:
    orders.versioned("orders")
    world = make_pg_world(default_page_size=2)
    world.put_entity("orders", delete_after_missing=1, delete_guard_percent=100)
    seen = _meddled(world, orders)
    world.sync()
    assert seen["pages"] > 3
    world.sync()
    world.sweep("orders")
    assert same(world) and all(balanced(run) for run in world.runs("orders"))


def _meddled(world: PgWorld, source: PgSource) -> dict[str, int]:
    """Changes rows before and behind the reading point whenever a page is asked for."""
    from shared.adapters.postgres_source.source import PostgresSource

    inner = world.app.connectors.source(world.app.catalogue.connectors(None)[0].uid)
    assert isinstance(inner, PostgresSource)
    seen = {"pages": 0}
    real = inner.fetch_page

    def fetch(request):  # type: ignore[no-untyped-def]
        seen["pages"] += 1
        if seen["pages"] <= 4:
            source.sql("UPDATE orders SET note = note || '+' WHERE id IN (1, 10)")
            source.sql("DELETE FROM orders WHERE id = %s", seen["pages"] + 2)
            source.sql(
                "INSERT INTO orders VALUES (%s, 'new'), (%s, 'new')", -seen["pages"], 100 + seen["pages"]
            )
            source.sql("UPDATE orders SET id = id + 1000 WHERE id = %s", seen["pages"] + 5)
        return real(request)

    inner.fetch_page = fetch  # type: ignore[method-assign]
    return seen


def test_restored_source_is_told_by_its_transaction_ids(
    orders: PgSource, make_pg_world: MakePgWorld, durable_pg_source: PgSource
) -> None:
    orders.versioned("orders")
    orders.sql("INSERT INTO orders VALUES (11, 'newest')")
    world = make_pg_world()
    world.sync()
    younger = durable_pg_source
    younger.sql("CREATE TABLE orders (id integer PRIMARY KEY, note text)")
    younger.versioned("orders")
    younger.sql("INSERT INTO orders VALUES (1, 'restored')")
    world.source = younger
    world.ask("PUT", f"/api/v1/connectors/{world.connector_uid}", world.registration(younger))
    (run,) = world.sync()
    assert (run["status"], run["error"]["code"]) == ("failed", "watermark_regression")


def test_rows_copied_with_another_servers_ids_are_refused(
    orders: PgSource, make_pg_world: MakePgWorld
) -> None:
    orders.versioned("orders")
    orders.sql("ALTER TABLE orders DISABLE TRIGGER zz_tributary_version")
    orders.sql("UPDATE orders SET row_version = '123456789012' WHERE id = 2")
    orders.sql("ALTER TABLE orders ENABLE TRIGGER zz_tributary_version")
    world = make_pg_world()
    run = world.sync_now("orders")
    assert (run["status"], run["error"]["code"]) == ("failed", "watermark_regression")
    orders.sql("SELECT tributary.renew('orders')")
    assert world.sync_now("orders")["status"] == "success" and same(world)
