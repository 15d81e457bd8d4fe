"""An entity's contract, held against the columns that rows really carry: evolve, freeze or reject.

Called while a page is decoded and as the first value stage. Columns that the source is known to have and nobody
maps are no strangers; only those count that the entity was never told of.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shared.errors import SchemaDriftError
from shared.sync.findings import Findings
from shared.sync.model import ROW, Batch, RunConfig

STRANGER = (
    "_stranger"  # String, first column of the row that nobody knows; null in a row that keeps the contract
)
STRANGER_RAW = "_stranger_raw"  # String, such a row as it came


def strangers(unknown: frozenset[str], config: RunConfig) -> tuple[str, ...]:
    """The columns of a page that break the contract; raises SchemaDriftError where that ends the run."""
    if config.contract == "evolve":
        return ()
    found = tuple(sorted(unknown - set(config.unmapped)))
    if found and config.contract == "freeze":
        raise SchemaDriftError(
            config.slug,
            found,
            f"{config.slug}: the source sends {', '.join(found)}, which the frozen contract does not know; nothing of"
            " the chunk was loaded",
            hint='take the column out at the source, or PUT the entity with contract "evolve" and discover again',
        )
    return found


def marked(
    frame: pl.DataFrame,
    config: RunConfig,
    present: Mapping[str, NDArray[np.bool_]],
    raw: Sequence[str | None] | None,
) -> pl.DataFrame:
    """The frame with STRANGER and STRANGER_RAW; `present` says for each stranger which rows carry it."""
    if config.contract != "reject":
        return frame
    name = pl.repeat(None, frame.height, dtype=pl.String, eager=True)
    for column, where in present.items():
        named = pl.repeat(column, frame.height, dtype=pl.String, eager=True)
        name = name.zip_with(name.is_not_null() | ~pl.Series(where), named)
    texts = (
        pl.Series(raw, dtype=pl.String)
        if raw is not None
        else pl.Series([None] * frame.height, dtype=pl.String)
    )
    return frame.with_columns(name.alias(STRANGER), texts.alias(STRANGER_RAW))


def apply(batch: Batch, config: RunConfig) -> Batch:
    """The rows that keep the contract; the others reject as `unknown_column`, under their keys."""
    if config.contract != "reject" or STRANGER not in batch.rows.columns:
        return batch
    found = Findings("contract")
    names, raw = batch.rows[STRANGER], batch.rows.select(ROW, STRANGER_RAW)
    for name in names.drop_nulls().unique(maintain_order=True):
        found.reject(name, "unknown_column", names == name)
    if not found.rejects:
        return batch
    closed = found.close(batch, batch.rows)
    told = closed.rejects.join(raw, on=ROW, how="left", maintain_order="left")
    mine = (pl.col("code") == "unknown_column") & pl.col("raw").is_null()
    kept = told.with_columns(pl.when(mine).then(STRANGER_RAW).otherwise("raw").alias("raw")).drop(
        STRANGER_RAW
    )
    return Batch(closed.rows, kept, closed.changed)
