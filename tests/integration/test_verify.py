"""Verification: equal on a healthy table, different when somebody meddled, and never a false alarm for rows in flight."""

from typing import Any

import pytest

from infra.local.sample_erp import TableSpec, parse_columns
from tests.integration.harness import MakeWorld, Row, World

STRATEGIES = ("full", "hash", "rowversion")
COLUMNS = parse_columns("""
    id NUMBER(9) NOT NULL
    note VARCHAR2(40)
    amount NUMBER(12,2)
    day DATE
    flag BOOLEAN
    raw RAW(20)
    weight BINARY_DOUBLE
    doc JSON
    free NUMBER
""")


def table(strategy: Any, columns: Any = COLUMNS) -> TableSpec:
    return TableSpec(slug="t", keys=("id",), strategy=strategy, columns=columns)


def row(i: int) -> Row:
    """Every kind of column, a third of the values NULL."""
    if i % 3 == 0:
        return {"id": i, "note": None, "amount": None, "day": None, "flag": None, "raw": None, "weight": None,
                "doc": None, "free": None}  # fmt: skip
    return {"id": i, "note": f"n{i} é", "amount": i / 4, "day": f"2024-01-{i % 28 + 1:02d}T10:00:00", "flag": i % 2 == 0,
            "raw": "0aff", "weight": i * 1e17 + 0.1, "doc": {"b": [1, 2.50, "x"], "a": {"z": 1}}, "free": "1.500"}  # fmt: skip


def made(make_world: MakeWorld, strategy: Any, count: int = 30, **more: Any) -> World:
    world = make_world([table(strategy)], {"t": [row(i) for i in range(count)]}, **more)
    run = world.sync()[0]
    assert run["inserted"] == count, world.rejects("t")[:2]
    return world


def verify(world: World) -> Row:
    answer = world.post(f"/api/v1/entities/{world.uid('t')}/verify")
    world.pump()
    return dict(world.get(f"/api/v1/verifications/{answer['verification_uid']}"))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_healthy_table_is_equal(make_world: MakeWorld, strategy: str) -> None:
    world = made(make_world, strategy)
    before = world.state("t")
    found = verify(world)
    assert (found["outcome"], found["why"]) == ("equal", None), found
    assert (found["source_rows"], found["target_rows"], found["differing_buckets"]) == (30, 30, 0)
    assert world.state("t") == before
