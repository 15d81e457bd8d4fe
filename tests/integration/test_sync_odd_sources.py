"""T17, T19, T39: rows without a version, clocks that lie, seconds cut short, tables too wide; from source to target."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.local.sample_erp import ColumnSpec, TableSpec, parse_columns
from shared.composition import App, SystemClock
from tests.integration.harness import MakeWorld, Row, World, balanced, plain, written

PLAIN = "id NUMBER(9) NOT NULL\n note VARCHAR2(40)"


def equal(world: World) -> bool:
    return world.rows("t") == plain(world.erp.rows("t"))


# T17. The version is a column of its own, so that it can be NULL; no question ever selects such a row (version 0).

NULLABLE = TableSpec(slug="t", keys=("id",), strategy="rowversion", version_column="rv",
                     columns=parse_columns(PLAIN + "\n rv NUMBER(12)"))  # fmt: skip


def with_null_versions(make_world: MakeWorld, *, total: int = 6) -> World:
    world = make_world([NULLABLE], {"t": []}, entity={"delete_after_missing": 1})
    world.erp.behave("t", safe_rowversion=False)
    for i in range(1, total):
        world.erp.insert("t", [{"id": i, "note": f"n{i}", "rv": i}], row_version=i)
    world.erp.insert("t", [{"id": total, "note": "no version", "rv": None}], row_version=0)
    return world


def test_row_without_a_version_lands_is_counted_and_never_becomes_the_watermark(
    make_world: MakeWorld,
) -> None:
    world = with_null_versions(make_world)
    run = world.sync_now("t")
    assert (run["fetched"], run["inserted"], run["rejected"], balanced(run)) == (6, 6, 0, True)
    assert (equal(world), world.entity("t")["last_rowversion"]) == (True, "5")
    stored = {row["id"]: row["_bridge_erp_rowversion"] for row in world.stored("t")}
    assert stored[6] is None and all(stored[i] for i in range(1, 6))
    assert written(world.sync_now("t")) == 0


def test_rows_without_a_version_that_no_delta_selects_are_kept_in_step_by_the_sweep(
    make_world: MakeWorld,
) -> None:
    world = with_null_versions(make_world)
    world.sync()
    world.erp.update("t", {"id": 6}, {"note": "changed"}, row_version=0)
    world.erp.insert("t", [{"id": 7, "note": "born so", "rv": None}], row_version=0)
    assert (written(world.sync_now("t")), world.entity("t")["last_rowversion"]) == (0, "5")
    run = world.sweep("t")
    assert (run["updated"], run["inserted"], equal(world)) == (1, 1, True)
    world.erp.delete("t", [{"id": 7}])
    assert (world.sweep("t")["soft_deleted"], equal(world), written(world.sweep("t"))) == (1, True, 0)


def test_version_that_comes_or_goes_changes_no_content_and_loses_no_row(make_world: MakeWorld) -> None:
    world = with_null_versions(make_world)
    world.sync()
    world.erp.update("t", {"id": 6}, {"rv": 9}, row_version=9)
    world.erp.update("t", {"id": 1}, {"rv": None, "note": "went"}, row_version=0)
    assert [world.sync_now("t")["updated"], world.sweep("t")["updated"]] == [1, 1]
    assert (equal(world), world.entity("t")["last_rowversion"]) == (True, "9")
    assert written(world.sweep("t")) == 0


def test_table_whose_versions_are_all_null_never_gets_a_watermark(make_world: MakeWorld) -> None:
    world = with_null_versions(make_world, total=1)
    for note in ("a", "b"):
        world.erp.update("t", {"id": 1}, {"note": note}, row_version=0)
        world.sync_now("t")
    assert (equal(world), world.entity("t")["last_rowversion"]) == (True, None)


# T19


class Skewed(SystemClock):
    """A machine's clock that is wrong."""

    def __init__(self, by: timedelta) -> None:
        self._by = by

    def now(self) -> datetime:
        return datetime.now(UTC) + self._by


def skew(world: World, by: timedelta, chunk_rows: int = 7) -> App:
    """The world's app on a machine with such a clock."""
    app = world.compose()
    for part in ("slices", "runs", "agenda", "runner", "deliveries"):
        vars(app).pop(part, None)
    app.clock = Skewed(by)
    app.runner = replace(app.runner, chunk_rows=chunk_rows)
    return app


skews = pytest.mark.parametrize("by", [timedelta(hours=-20), timedelta(), timedelta(hours=20)], ids=str)
TIMED = TableSpec(slug="t", keys=("id",), version_kind="timestamp", columns=parse_columns(PLAIN))


@skews
def test_watermark_is_the_sources_time_whatever_our_clock_says(make_world: MakeWorld, by: timedelta) -> None:
    world = make_world([TIMED], {"t": [{"id": i, "note": f"n{i}"} for i in range(9)]})
    world.erp.behave("t", safe_rowversion=False)
    skew(world, by)
    for note in ("a", "b", "c"):
        world.erp.update("t", {"id": 4}, {"note": note})
        world.sync_now("t")
        newest = datetime.fromisoformat(world.erp.max_rowversion("t"))
        assert datetime.fromisoformat(world.state("t")["watermark"]) == newest
        assert equal(world)


@skews
def test_page_older_than_a_rivals_write_is_superseded_whatever_our_clock_says(
    make_world: MakeWorld, by: timedelta
) -> None:
    spec = TableSpec(slug="t", keys=("id",), strategy="hash", columns=parse_columns(PLAIN))
    world = make_world([spec], {"t": [{"id": i, "note": f"n{i}"} for i in range(9)]})
    world.sync()
    app = skew(world, by, chunk_rows=50)
    for i in range(9):
        world.erp.update("t", {"id": i}, {"note": f"older {i}"})
    sweep = app.runs.create(uuid.UUID(world.uid("t")), purpose="sweep", trigger="timer", requested_by="t")
    app.send_outbox()
    pages: list[Any] = []

    def hook(request: Any) -> None:
        pages.extend([request] if "/data/" in request.path else [])
        if len(pages) == 2:  # the sweep holds the first page, whose rows it has not landed yet
            pages.extend([request] * 1000)
            world.erp.update("t", {"id": 0}, {"note": "newest"})
            delta(world, app)

    world.erp.on_request = hook
    run = world.finish(str(sweep))
    assert (run["status"], run["superseded"] > 0, equal(world)) == ("success", True, True), run


def delta(world: World, app: App) -> None:
    uid = app.runs.create(uuid.UUID(world.uid("t")), purpose="delta", trigger="manual", requested_by="t")
    app.sync_table(f'{{"v":1,"id":"{uid}","slice":0,"traceparent":""}}'.encode(), "by hand", 1)


FINE = TableSpec(slug="t", keys=("id",), version_kind="timestamp", version_column="at",
                 columns=parse_columns(PLAIN + "\n at VARCHAR2(40)"))  # fmt: skip
SPELLINGS = [
    (
        "2026-01-01T00:00:05.0050001Z",
        "2026-01-01T00:00:05.0050009Z",
        5005,
    ),  # datetime2(7): a tenth of a microsecond
    ("2026-01-01T00:00:05.005000001+00:00", "2026-01-01T00:00:05.005000999+00:00", 5005),  # nanoseconds
    ("2026-01-01 00:00:05", "2026-01-01 00:00:05", 5000),  # Oracle's DATE
    ("2026-01-01T00:00:05.005Z", "2026-01-01T00:00:05.005Z", 5005),
    ("2026-01-01T02:00:05.005+02:00", "2026-01-01T02:00:05.0050009+02:00", 5005),
]


@pytest.mark.parametrize(("first", "second", "milliseconds"), SPELLINGS)
def test_rows_of_one_instant_that_come_after_the_watermark_stood_there_are_found(
    make_world: MakeWorld, first: str, second: str, milliseconds: int
) -> None:
    world = make_world([FINE], {"t": []})
    world.erp.behave("t", safe_rowversion=False, probe=False)
    rows: list[Row] = [{"id": i, "note": "a", "at": first} for i in (1, 2)]
    world.erp.behave("t", ordered_by_rowversion=True)
    world.discover()
    world.erp.insert("t", rows, row_version=milliseconds)
    world.sync_now("t")
    assert world.state("t")["watermark"] is not None
    world.erp.insert("t", [{"id": 3, "note": "late", "at": second}], row_version=milliseconds)
    world.erp.update("t", {"id": 1}, {"note": "changed", "at": second}, row_version=milliseconds)
    run = world.sync_now("t")
    assert (run["inserted"], run["updated"], equal(world)) == (1, 1, True), run


# T39

OWN = 9  # columns that every target has besides the mapped ones
MOST = 1600 - OWN


def wide(columns: int, slug: str = "t") -> TableSpec:
    lines = ["id NUMBER(9) NOT NULL", *(f"c{i} NUMBER(18)" for i in range(1, columns))]
    return TableSpec(slug=slug, keys=("id",), strategy="hash", columns=parse_columns("\n".join(lines)))


def row(number: int, columns: int, value: object = None) -> Row:
    return {"id": number} | {f"c{i}": value for i in range(1, columns)}


def found(world: World, slug: str = "t") -> Row:
    return world.discover()[slug]


def test_table_too_wide_is_refused_by_name_before_anything_is_made_and_hurts_no_other(
    make_world: MakeWorld,
) -> None:
    narrow = TableSpec(slug="u", keys=("id",), strategy="hash", columns=parse_columns(PLAIN))
    world = make_world([wide(MOST + 1), narrow], {"t": [], "u": [{"id": 1, "note": "x"}]})
    refused = found(world)
    assert (refused["status"], refused["error"]["code"]) == ("failed", "target_refused"), refused
    assert all(word in str(refused["error"]) for word in ("public.t", "1601", "1600", "field_mappings"))
    assert world.sql("SELECT to_regclass('public.t') AS t") == [{"t": None}]
    assert [run["status"] for run in world.sync()] == ["success"]
    assert world.rows("u") == plain(world.erp.rows("u"))


def test_widest_table_loads_and_rows_that_fill_it_beyond_a_page_are_rejects(make_world: MakeWorld) -> None:
    world = make_world([wide(MOST)], {"t": [row(1, MOST), row(2, MOST), row(3, MOST, 7)]})
    run = world.sync()[0]
    assert (run["inserted"], run["rejected"], run["status"], balanced(run)) == (2, 1, "partial", True), run
    assert set(world.rows("t")) == {1, 2}
    reject = world.rejects("t")[0]
    assert (reject["key"], reject["stage"], reject["code"]) == ("3", "load", "target_refused")


def test_columns_that_a_full_table_cannot_take_are_refused_dropped_ones_counted(
    make_world: MakeWorld,
) -> None:
    world = make_world([wide(MOST)], {"t": [row(1, MOST)]})
    world.sync()
    world.erp.add_column("t", ColumnSpec("extra", "NUMBER(3)"), 5)
    assert "1601" in found(world)["error"]["message"]
    assert world.sync_now("t")["status"] == "success"
    world.sql("ALTER TABLE public.t DROP COLUMN c5")
    assert "1602" in found(world)["error"]["message"], "a dropped column's slot is not free again"
