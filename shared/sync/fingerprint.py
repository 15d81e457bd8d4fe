"""What a verification compares rows by: the key hash, and a short digest of the row's canonical bytes.

In: canonical frames, from the source's pages through the value stages or from what the target stores. Out: the
same with KEY_HASH, ROW_HASH (UInt64) and REFERENCE. Both sides take this one way, so that equal rows meet.
"""

import json
from decimal import Decimal, InvalidOperation

import polars as pl

from shared.sync import identity
from shared.sync.model import Batch, Kind, RunConfig
from shared.sync.numbers import translated


def apply(batch: Batch, config: RunConfig) -> Batch:
    """Fingerprints without readable keys: what sums are made of."""
    return identity.compared(_alike(batch, config), config, named=False)


def named(batch: Batch, config: RunConfig) -> Batch:
    """Fingerprints with readable keys: what differences are told by."""
    return identity.compared(_alike(batch, config), config, named=True)


def _alike(batch: Batch, config: RunConfig) -> Batch:
    """JSON in one spelling: jsonb keeps neither the order of members nor the way a number was written."""
    documents = [f"t{i}" for i, column in enumerate(config.target_columns) if column.type.kind is Kind.JSON]
    if not documents:
        return batch
    rows = batch.rows.with_columns(_respelt(batch.rows[name]).alias(name) for name in documents)
    return Batch(rows, batch.rejects, batch.changed)


def _respelt(values: pl.Series) -> pl.Series:
    return translated(values, {text: _one_spelling(text) for text in values.drop_nulls().unique().to_list()})


def _one_spelling(text: str) -> str:
    document = json.loads(text, parse_float=_plain, parse_int=_plain)
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def _plain(digits: str) -> str:
    """A number as a marked text: by value, so that 1.0 and 1 meet, and apart from the string of the same digits."""
    try:
        value = Decimal(digits)
        return f"\ue000{value:f}" if value == 0 else f"\ue000{value.normalize():f}"
    except InvalidOperation:
        return f"\ue000{digits}"
