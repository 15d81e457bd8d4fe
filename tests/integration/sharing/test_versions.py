"""Versions: one current, none empty, turned round or overlapping, whoever writes and whenever."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Barrier
from uuid import UUID, uuid4

import psycopg
import pytest

from shared.adapters.postgres.database import Connection
from shared.adapters.postgres.sharing import versions
from shared.adapters.postgres.sharing.versions import PROJECTS, VERSIONED, Change, in_transaction
from tests.integration.sharing.conftest import Store

BROKEN = """
SELECT count(*) AS broken FROM deltashare.projects v WHERE v.effective_from >= v.effective_to
    OR EXISTS (SELECT FROM deltashare.projects o WHERE o.project_id = v.project_id AND o.record_id <> v.record_id
                  AND ((v.is_current AND o.is_current) OR o.version = v.version
                       OR (o.effective_from < v.effective_to AND v.effective_from < o.effective_to)))
"""
GAPS = """
SELECT count(*) AS gaps FROM (
    SELECT effective_to, lead(effective_from) OVER (PARTITION BY project_id ORDER BY version) AS next
      FROM deltashare.projects) v
 WHERE v.next IS DISTINCT FROM v.effective_to AND v.effective_to <> 'infinity'
"""
ROW = (
    "INSERT INTO deltashare.projects (record_id, project_id, name, version, effective_from, effective_to, is_current,"
    " created_by, change_reason) VALUES (gen_random_uuid(), %s, 'x', %s, %s, %s, %s, 't', 't')"
)


def put(store: Store, id_: UUID, name: str, *, deleted: bool = False) -> list[versions.Written]:
    change = Change(id_, {} if deleted else {"name": name}, deleted)
    return in_transaction(
        store.database, lambda c: versions.write(c, PROJECTS, [change], by="t", reason="test")
    )


def names(store: Store, id_: UUID) -> list[str]:
    with store.database.connection() as connection:
        return [row["name"] for row in versions.versions(connection, PROJECTS, id_)]


def intact(store: Store) -> bool:
    return (store.sql(BROKEN)[0]["broken"], store.sql(GAPS)[0]["gaps"]) == (0, 0)


def test_writers_at_once_leave_one_current_version_each_time(store: Store) -> None:
    """Two hundred races of four writers, each over an entity that none of them has seen."""
    ids, barrier = [uuid4() for _ in range(200)], Barrier(4, timeout=60)

    def writer(number: int) -> None:
        for id_ in ids:
            barrier.wait()
            put(store, id_, f"by {number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(writer, range(4)))
    assert intact(store)
    rows = store.sql("SELECT count(*) AS n FROM deltashare.projects WHERE is_current")
    assert rows[0]["n"] == len(ids)
    assert store.sql("SELECT count(*) AS n, max(version) AS v FROM deltashare.projects")[0] == {
        "n": 800,
        "v": 4,
    }


def test_batches_that_share_entities_in_any_order_do_not_deadlock(store: Store) -> None:
    ids, barrier = [uuid4() for _ in range(20)], Barrier(4, timeout=60)

    def writer(number: int) -> None:
        for round_ in range(15):
            some = ids[number:] + ids[:number] if round_ % 2 else ids[::-1]
            changes = [Change(id_, {"name": f"{number} {round_}"}) for id_ in some]
            barrier.wait()
            in_transaction(
                store.database,
                lambda c, changes=changes: versions.write(c, PROJECTS, changes, by="t", reason="t"),  # type: ignore[misc]
            )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(writer, range(4)))
    assert intact(store)
    assert store.sql("SELECT count(*) AS n FROM deltashare.projects")[0]["n"] == 20 * 4 * 15


def test_writers_past_the_lock_lose_by_constraint_and_leave_history_whole(store: Store) -> None:
    """Close-then-insert by hand, without the lock: what the predecessor did. Losers get an error, nobody a mess."""
    ids, barrier = [uuid4() for _ in range(25)], Barrier(4, timeout=60)
    for id_ in ids:
        put(store, id_, "first")

    def writer(_: int) -> int:
        lost = 0
        with psycopg.connect(store.conninfo, autocommit=True) as connection:
            for id_ in ids:
                barrier.wait()
                try:
                    with connection.transaction():
                        connection.execute("SELECT now()")
                        connection.execute(
                            "UPDATE deltashare.projects SET is_current = false, effective_to = clock_timestamp()"
                            " WHERE project_id = %s AND is_current",
                            (id_,),
                        )
                        connection.execute(
                            "INSERT INTO deltashare.projects (record_id, project_id, version, effective_from, is_current,"
                            " created_by, change_reason) SELECT gen_random_uuid(), project_id, max(version) + 1,"
                            " max(effective_to) FILTER (WHERE effective_to <> 'infinity'), true, 't', 't'"
                            " FROM deltashare.projects WHERE project_id = %s GROUP BY 2",
                            (id_,),
                        )
                except (psycopg.errors.IntegrityError, psycopg.errors.DeadlockDetected):
                    lost += 1
        return lost

    with ThreadPoolExecutor(4) as pool:
        lost = sum(pool.map(writer, range(4)))
    assert intact(store)
    assert lost > 0


def test_two_changes_in_one_transaction_are_two_versions(store: Store) -> None:
    id_ = uuid4()

    def work(connection: Connection) -> None:
        for name in ("a", "b", "c"):
            versions.write(connection, PROJECTS, [Change(id_, {"name": name})], by="t", reason="t")

    in_transaction(store.database, work)
    assert names(store, id_) == ["c", "b", "a"]
    assert intact(store)


def test_clock_that_went_back_makes_no_inverted_version(store: Store) -> None:
    id_ = uuid4()
    ahead = datetime.now(UTC) + timedelta(days=1)
    store.sql(ROW, id_, 1, ahead, "infinity", True)
    put(store, id_, "later")
    found = store.sql("SELECT effective_from FROM deltashare.projects WHERE is_current")
    assert found == [{"effective_from": ahead + timedelta(microseconds=1)}]
    assert intact(store)


def test_transaction_that_began_earlier_but_writes_later_comes_later(store: Store) -> None:
    id_ = uuid4()
    with store.database.connection() as early:
        early.execute("SELECT now()")
        put(store, id_, "second to begin")
        between = store.sql("SELECT clock_timestamp() AS at")[0]["at"]
        versions.write(early, PROJECTS, [Change(id_, {"name": "first to begin"})], by="t", reason="t")
    with store.database.connection() as connection:
        then = versions.as_of(connection, PROJECTS, id_, between)
    assert then is not None and then["name"] == "second to begin"
    assert names(store, id_) == ["first to begin", "second to begin"]
    assert intact(store)


def test_unchanged_content_makes_no_version(store: Store) -> None:
    id_ = uuid4()
    assert [len(put(store, id_, name)) for name in ("a", "a", "b", "b")] == [1, 0, 1, 0]


def test_deleted_is_a_version_and_comes_back_as_one(store: Store) -> None:
    id_ = uuid4()
    put(store, id_, "a")
    assert (len(put(store, id_, "", deleted=True)), len(put(store, id_, "", deleted=True))) == (1, 0)
    put(store, id_, "a")
    with store.database.connection() as connection:
        found = [v["is_deleted"] for v in versions.versions(connection, PROJECTS, id_)]
    assert found == [False, True, False]
    assert put(store, uuid4(), "", deleted=True) == []


def test_reads_as_of_a_time(store: Store) -> None:
    id_ = uuid4()
    written = [put(store, id_, name)[0].version.effective_from for name in ("a", "b", "c")]
    with store.database.connection() as connection:
        read = lambda at: versions.as_of(connection, PROJECTS, id_, at)  # noqa: E731
        assert [row and row["name"] for row in map(read, written)] == ["a", "b", "c"]
        before = [row and row["name"] for row in map(read, (w - timedelta(microseconds=1) for w in written))]
        current = read(None)
    assert before == [None, "a", "b"]
    assert current is not None and (current["name"], current["effective_to"]) == ("c", None)


def test_column_that_the_table_lacks_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="no column nmae"):
        in_transaction(
            store.database,
            lambda c: versions.write(c, PROJECTS, [Change(uuid4(), {"nmae": 1})], by="t", reason="t"),
        )


# Each constraint holds a row that nothing else holds, and lets it in once it is dropped.
T0, T1, T2 = (datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3))
GUARDS: dict[str, tuple[str, list[tuple[object, ...]]]] = {
    "one current": ("DROP INDEX deltashare.projects_one_current;"
                    "DROP TRIGGER projects_no_overlap ON deltashare.projects",
                    [(1, T0, "infinity", True), (2, T1, "infinity", True)]),
    "version": ("ALTER TABLE deltashare.projects DROP CONSTRAINT projects_version",
                [(1, T0, T1, False), (1, T1, T2, False)]),
    "interval": ("ALTER TABLE deltashare.projects DROP CONSTRAINT projects_interval", [(1, T1, T1, False)]),
    "open means current": ("ALTER TABLE deltashare.projects DROP CONSTRAINT projects_current_is_open",
                           [(1, T0, "infinity", False)]),
    "overlap": ("DROP TRIGGER projects_no_overlap ON deltashare.projects",
                [(1, T0, T2, False), (2, T1, "infinity", True)]),
    "never NULL": ("ALTER TABLE deltashare.projects ALTER effective_to DROP NOT NULL", [(1, T0, None, None)]),
}  # fmt: skip


@pytest.mark.parametrize("guard", GUARDS)
def test_each_guard_refuses_what_only_it_refuses(store: Store, guard: str) -> None:
    removal, rows = GUARDS[guard]
    if (
        guard == "one current"
    ):  # two open versions overlap too, so the index alone is tried with the trigger away
        store.sql("DROP TRIGGER projects_no_overlap ON deltashare.projects")
        removal = removal.partition(";")[0]
    if guard == "never NULL":
        store.sql("ALTER TABLE deltashare.projects ALTER is_current DROP NOT NULL")

    def insert() -> None:
        id_ = uuid4()
        for row in rows:
            store.sql(ROW, id_, *row)

    with pytest.raises(psycopg.errors.IntegrityError):
        insert()
    for statement in removal.split(";"):
        store.sql(statement)
    insert()


def test_overlap_is_refused_between_transactions_that_do_not_see_each_other(store: Store) -> None:
    id_ = uuid4()
    statement = ROW.replace("gen_random_uuid()", f"'{uuid4()}'", 1)
    with psycopg.connect(store.conninfo) as first:
        first.execute(statement, (id_, 1, T0, T2, False))  # type: ignore[arg-type]
        with ThreadPoolExecutor(1) as pool:
            second = pool.submit(store.sql, ROW, id_, 2, T1, "infinity", True)
            with suppress(TimeoutError):
                second.result(0.3)
            first.commit()
            with pytest.raises(psycopg.errors.ExclusionViolation):
                second.result()
    assert len(names(store, id_)) == 1


@pytest.mark.parametrize("table", VERSIONED, ids=lambda t: t.name)
def test_writer_knows_the_columns_of_each_table(store: Store, table: versions.Versioned) -> None:
    write: Callable[[Connection], object] = lambda c: versions.write(  # noqa: E731
        c, table, [Change(uuid4(), {})], by="t", reason="t"
    )
    in_transaction(store.database, write)
    found = store.sql(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'deltashare' AND table_name = %s",
        table.name,
    )
    known = {"record_id", "version", "effective_from", "effective_to", "is_current", "is_deleted", "created_by",
             "change_reason", table.id, *table.columns}  # fmt: skip
    assert {row["column_name"] for row in found} == known
