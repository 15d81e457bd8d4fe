"""A plan says what a run would do, and writes nothing at all."""

from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg import sql

from infra.local.sample_erp import ColumnSpec, TableSpec, parse_columns
from tests.integration.harness import MakeWorld, Row, World

STRATEGIES = ("full", "hash", "rowversion")
COLUMNS = parse_columns(
    "id NUMBER(9) NOT NULL\n code VARCHAR2(9) NOT NULL\n note VARCHAR2(40)\n amount NUMBER(12,2)"
)


def made(make_world: MakeWorld, strategy: Any, count: int = 20, **more: Any) -> World:
    spec = TableSpec(slug="t", keys=("id", "code"), strategy=strategy, columns=COLUMNS)
    return make_world([spec], {"t": [row(i) for i in range(count)]}, **more)


def row(i: int) -> Row:
    return {"id": i, "code": f"c{i}", "note": f"n{i}", "amount": i}


def change(world: World) -> None:
    """Two updates, an insert, a reject, a delete."""
    for i in (3, 4):
        world.erp.update("t", {"id": i, "code": f"c{i}"}, {"note": "new"})
    world.erp.insert("t", [row(50)])
    world.erp.break_row("t", {"id": 5, "code": "c5"}, "amount", "x")
    world.erp.delete("t", [{"id": 6, "code": "c6"}])


def plan(world: World, mode: str = "full") -> Row:
    return dict(world.post(f"/api/v1/entities/{world.uid('t')}/plan", {"mode": mode}))


def everything(world: World) -> dict[str, Any]:
    """Every row of every table of ours, as text."""
    found = world.sql("SELECT table_schema AS s, table_name AS t FROM information_schema.tables"
                      " WHERE table_schema IN ('bridge', 'public') AND table_type = 'BASE TABLE'")  # fmt: skip
    with psycopg.connect(world.conninfo) as connection:
        return {
            f"{r['s']}.{r['t']}": sorted(
                str(x)
                for x in connection.execute(
                    sql.SQL("SELECT * FROM {}").format(sql.Identifier(r["s"], r["t"]))
                )
            )
            for r in found
        }


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_plan_foretells_the_run(make_world: MakeWorld, strategy: str) -> None:
    world = made(make_world, strategy, entity={"delete_after_missing": 1})
    world.sync()
    change(world)
    planned = plan(world)
    run = world.sync_now("t")
    names = {"fetched": "fetched", "insert": "inserted", "update": "updated", "unchanged": "unchanged",
             "superseded": "superseded", "reject": "rejected", "soft_delete": "soft_deleted"}  # fmt: skip
    assert {name: planned["rows"][name] for name in names} == {name: run[of] for name, of in names.items()}
    assert (planned["complete"], planned["proven"], planned["rejects_by_code"]) == (
        True,
        True,
        {"bad_number": 1},
    )


@pytest.mark.parametrize("mode", ["sample", "full"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_plan_writes_nothing(make_world: MakeWorld, strategy: str, mode: str) -> None:
    world = made(make_world, strategy)
    world.sync()
    change(world)
    world.erp.add_column("t", ColumnSpec("x", "NUMBER(3)"), 5)
    before, asked = everything(world), len(world.erp.requests)
    plan(world, mode)
    assert everything(world) == before
    assert {request.method for request in list(world.erp.requests)[asked:]} <= {"GET"}
    assert world.pump() == 0


def test_plan_of_an_empty_target_is_a_first_load(make_world: MakeWorld) -> None:
    world = made(make_world, "hash")
    app = world.compose()
    app.planner = replace(app.planner, sample_rows=5)
    planned = plan(world, "sample")
    assert (planned["first_load"], planned["rows"]["insert"], planned["deletes"]["due"]) == (True, 6, None)
    assert (planned["complete"], planned["expected"]["requests"]) == (False, 7)


def test_plan_names_the_ddl_of_discovery_and_the_guards_refusal(make_world: MakeWorld) -> None:
    world = made(make_world, "hash", 40, entity={"delete_after_missing": 1})
    world.sync()
    world.erp.add_column("t", ColumnSpec("x", "NUMBER(3)"), 5)
    world.erp.delete("t", [{"id": i, "code": f"c{i}"} for i in range(20)])
    planned = plan(world)
    assert planned["discovery"]["added"] == ["x"]
    assert planned["discovery"]["statements"] == ['ALTER TABLE "public"."t" ADD COLUMN "x" smallint']
    assert (planned["deletes"]["due"], planned["deletes"]["refused"]["code"]) == (20, "delete_guard")


def with_parents(make_world: MakeWorld, strategy: Any, children: list[Row], **child: Any) -> World:
    """Table c, whose column p names a row of t; t holds ids 0 to 2."""
    parent = TableSpec(slug="t", keys=("id",), strategy="hash", columns=COLUMNS)
    columns = parse_columns("id NUMBER(9) NOT NULL\n p NUMBER(9)\n note VARCHAR2(9)")
    spec = TableSpec(slug="c", keys=("id",), strategy=strategy, columns=columns)
    world = make_world([parent, spec], {"t": [row(i) for i in range(3)], "c": children})
    world.put_entity("c", parents=[{"columns": ["p"], "parent_columns": ["id"], "slug": "t"} | child])
    return world


def child(i: int, parent: int | None) -> Row:
    return {"id": i, "p": parent, "note": "a"}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_plan_counts_rows_that_would_wait_for_a_parent(make_world: MakeWorld, strategy: str) -> None:
    world = with_parents(make_world, strategy, [child(1, 0), child(2, 9), child(3, None), child(4, 9)])
    world.sync_now("t")
    uid = world.uid("c")
    planned = world.post(f"/api/v1/entities/{uid}/plan", {"mode": "full"})["rows"]
    run = world.sync_now("c")
    assert (run["held"], run["inserted"]) == (2, 2)
    assert (planned["hold"], planned["insert"], planned["fetched"]) == (2, 2, 4)
    world.erp.update("c", {"id": 1}, {"p": 8})
    world.erp.insert("c", [child(5, 2), child(6, 7)])
    planned = world.post(f"/api/v1/entities/{uid}/plan", {"mode": "full"})["rows"]
    run = world.sync_now("c")
    assert (planned["hold"], planned["insert"], planned["update"]) == (
        run["held"],
        run["inserted"],
        run["updated"],
    )


def test_plan_finds_parents_of_the_own_table_in_earlier_chunks(make_world: MakeWorld) -> None:
    rows = [child(0, None), *(child(i, i - 1) for i in range(1, 8)), child(8, 99)]
    world = with_parents(make_world, "hash", rows, slug="c")
    app = world.compose()
    app.planner = replace(app.planner, chunk_rows=3)
    planned = world.post(f"/api/v1/entities/{world.uid('c')}/plan", {"mode": "full"})["rows"]
    assert (planned["hold"], planned["insert"]) == (1, 8)


def test_plan_holds_every_child_of_a_table_that_is_gone(make_world: MakeWorld) -> None:
    world = with_parents(make_world, "hash", [child(1, 0), child(2, None)])
    world.sql("DROP TABLE public.t")
    planned = world.post(f"/api/v1/entities/{world.uid('c')}/plan", {"mode": "sample"})["rows"]
    assert (planned["hold"], planned["insert"]) == (1, 1)
