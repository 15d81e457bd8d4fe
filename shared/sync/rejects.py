"""Rejects on their way to `failed_records`: the raw row as text, and the business key wherever it can be formed.

A reject whose key is known protects its row from being deleted as missing; so the key columns of a refused row
are taken through the stages on their own.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from shared.sync.contract import STRANGER
from shared.sync.masking import hidden_sources, masks_of
from shared.sync.model import (
    KEY_HASH,
    REFERENCE,
    REJECT_SCHEMA,
    ROW,
    VERSION,
    Batch,
    RunConfig,
    no_rejects,
)

KEYED_SCHEMA = {**REJECT_SCHEMA, KEY_HASH: pl.Binary(), REFERENCE: pl.String(), VERSION: pl.String()}


def concat(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Keyed rejects joined; empty parts cost nothing."""
    filled = [part for part in parts if part.height]
    return pl.concat(filled) if filled else pl.DataFrame(schema=KEYED_SCHEMA)


def keyed(
    rejects: pl.DataFrame,
    raw: pl.DataFrame,
    versioned: pl.DataFrame,
    config: RunConfig,
    identify: Callable[[Batch, RunConfig], Batch],
) -> pl.DataFrame:
    """Rejects of the value stages with raw text and, where their keys pass the rules, key hash and reference.

    `identify` takes rows through every stage; here all columns but the key's are blank, so only a key can fail.
    `versioned` is `raw` under order-preserving versions.
    """
    if rejects.is_empty():
        return pl.DataFrame(schema=KEYED_SCHEMA)
    refused = versioned.join(rejects.select(ROW), on=ROW, how="semi", maintain_order="left")
    keys = identify(Batch(blank_beside_key(refused, config), no_rejects()), config).rows
    masked = keys
    if hidden := hidden_sources(config):
        # On their own, too: what a mask made of them is all that may be kept.
        masked = identify(Batch(blank_beside_key(refused, config, hidden), no_rejects()), config).rows
    return _finish(rejects, keys, raw, config, masked)


def keyed_from_rows(
    rejects: pl.DataFrame, rows: pl.DataFrame, raw: pl.DataFrame, config: RunConfig
) -> pl.DataFrame:
    """Rejects of rows that already have an identity."""
    if rejects.is_empty():
        return pl.DataFrame(schema=KEYED_SCHEMA)
    return _finish(rejects, rows, raw, config, rows)


def blank_beside_key(
    raw: pl.DataFrame, config: RunConfig, besides: frozenset[str] = frozenset()
) -> pl.DataFrame:
    """Raw rows with every column but those of the business key, and those of `besides`, set to null."""
    used = {name for column in config.target_columns if column.is_key for name in column.expression.args}
    used |= besides
    beside = [f"c{i}" for i, column in enumerate(config.source_columns) if column.name not in used]
    beside += [STRANGER] if STRANGER in raw.columns else []
    return raw.with_columns(pl.lit(None, pl.String).alias(name) for name in beside)


def _finish(
    rejects: pl.DataFrame, keys: pl.DataFrame, raw: pl.DataFrame, config: RunConfig, masked: pl.DataFrame
) -> pl.DataFrame:
    wanted = rejects.filter(pl.col("raw").is_null()).select(ROW)
    texts = raw_texts(raw.join(wanted, on=ROW, how="semi", maintain_order="left"), config, masked)
    return (
        rejects.join(
            keys.select(ROW, KEY_HASH, REFERENCE, VERSION), on=ROW, how="left", maintain_order="left"
        )
        .join(texts, on=ROW, how="left", maintain_order="left")
        .with_columns(pl.coalesce("raw", "_text").alias("raw"))
        .select(pl.col(name).cast(dtype) for name, dtype in KEYED_SCHEMA.items())
    )


def raw_texts(raw: pl.DataFrame, config: RunConfig, masked: pl.DataFrame) -> pl.DataFrame:
    """ROW and `_text`, each row as ASCII JSON under the source's column names. For rejects only: row by row.

    Masked columns are left out of `data`; a member `masked` holds what `masked` (mapped rows) made of them, by target
    name, or null where one of them is at fault itself: such a row comes back only by fetching it again.
    """
    hidden = hidden_sources(config)
    names = {
        f"c{i}": column.name for i, column in enumerate(config.source_columns) if column.name not in hidden
    }
    masks = dict(masks_of(masked, config).iter_rows()) if hidden else {}
    texts = []
    for row in raw.select(ROW, *(c for c in raw.columns if c in names or c == VERSION)).to_dicts():
        number, version = row.pop(ROW), row.pop(VERSION, None)
        data = {names[column]: _plain(value) for column, value in row.items()}
        kept = {"masked": masks.get(number)} if hidden else {}
        body = {"row_version": version, "data": data, **kept}
        texts.append(json.dumps(body, default=str, separators=(",", ":")))
    return pl.DataFrame({ROW: raw[ROW], "_text": pl.Series(texts, dtype=pl.String)})


def _plain(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"text", "kind"}:
        return value["text"]
    return value.hex() if isinstance(value, bytes) else value
