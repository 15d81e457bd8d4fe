"""Literal little frames and configurations for the tests of the value stages."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from shared.sync.model import (
    ROW,
    VERSION,
    Batch,
    ColumnType,
    Expression,
    Kind,
    Rules,
    RunConfig,
    SourceColumn,
    TargetColumn,
    no_rejects,
)

Stage = Callable[[Batch, RunConfig], Batch]
MIXED = pl.Struct({"text": pl.String(), "kind": pl.UInt8()})


def column(kind: Kind, name: str = "v", **more: Any) -> SourceColumn:
    """A source column; keywords of Rules go to its rules, the rest to its type."""
    rules = {k: v for k, v in more.items() if k in Rules.__slots__}
    return SourceColumn(
        name, "", ColumnType(kind, **{k: v for k, v in more.items() if k not in rules}), True, Rules(**rules)
    )


def target(source: SourceColumn, is_key: bool = False) -> TargetColumn:
    return TargetColumn(source.name, source.type, is_key, not is_key, Expression("rename", (source.name,)))


def config(*columns: SourceColumn, targets: Sequence[TargetColumn] = ()) -> RunConfig:
    """A run over the columns, the first of them the key unless targets say otherwise."""
    renamed = tuple(target(each, is_key=not i) for i, each in enumerate(columns))
    return RunConfig(
        "e", "s", "hash", "oracle", columns, tuple(targets) or renamed,
        "public", "s", None, None, False, 1000, 0, 10.0, 2,
    )  # fmt: skip


def batch(*columns: pl.Series) -> Batch:
    """Raw columns c0, c1, ... beside ROW and VERSION."""
    height = len(columns[0])
    meta = {
        ROW: pl.Series(range(height), dtype=pl.UInt32),
        VERSION: pl.Series([None] * height, dtype=pl.String),
    }
    return Batch(pl.DataFrame({**meta, **{f"c{i}": each for i, each in enumerate(columns)}}), no_rejects())


def mixed(*cells: tuple[str | None, int]) -> pl.Series:
    """A Struct column of (text, kind)."""
    return pl.Series([{"text": text, "kind": kind} for text, kind in cells], dtype=MIXED)


def one(stage: Stage, values: pl.Series, source: SourceColumn) -> Batch:
    """One column through one stage."""
    return stage(batch(values), config(source))


def codes(result: Batch) -> dict[int, str]:
    """Reject codes by row."""
    return dict(result.rejects.select(ROW, "code").iter_rows())


def with_mask(each: TargetColumn, mask: Any, kind: Kind = Kind.TEXT) -> TargetColumn:
    return replace(each, mask=mask, type=ColumnType(kind))
