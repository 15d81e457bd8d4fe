"""What a verification compares rows by: the key hash, and a digest of 64 bits that never leaves the verification.

In: canonical frames, from the source's pages through the value stages or from what the target stores. Out: the
same with KEY_HASH, ROW_HASH (UInt64) and REFERENCE. Both sides take this one way, so that equal rows meet. The row
hash that is stored beside a row isn't asked: whoever alters a column leaves it as it was. A digest of its own,
mixed by column from values as they lie in memory, costs a quarter of spelling the row out and hashing that.
"""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation

import numpy as np
import polars as pl
import polars_hash as plh
from numpy.typing import NDArray

from shared.sync import identity
from shared.sync.model import ROW_HASH, Batch, ColumnType, Kind, RunConfig
from shared.sync.numbers import holds_scale, plain_text, translated

Words = NDArray[np.uint64]
_NULL = np.uint64(0x9E6D_1C5B_37A2_F48D)
_STEP = 0x9E37_79B9_7F4A_7C15  # 2^64 over the golden ratio, as in SplitMix64
_MAX_DIGITS = 18  # an unscaled decimal of so many fits 64 bits


def apply(batch: Batch, config: RunConfig) -> Batch:
    """Fingerprints without readable keys: what sums are made of."""
    return _with_digest(identity.keyed(batch, config, named=False), config)


def named(batch: Batch, config: RunConfig) -> Batch:
    """Fingerprints with readable keys: what differences are told by."""
    return _with_digest(identity.keyed(batch, config, named=True), config)


def _with_digest(batch: Batch, config: RunConfig) -> Batch:
    total = np.zeros(batch.rows.height, np.uint64)
    # By name, so that the order of mappings does not matter; each column's place keeps equal values apart.
    order = sorted(range(len(config.target_columns)), key=lambda i: config.target_columns[i].name)
    for place, position in enumerate(order, 1):
        words = _words(batch.rows[f"t{position}"], config.target_columns[position].type)
        total += _mixed(words + np.uint64(place * _STEP % 2**64))
    # Mixed once more: sums over rows must notice when two rows swap one column's values.
    digest = pl.Series(ROW_HASH, _mixed(total))
    return Batch(batch.rows.with_columns(digest), batch.rejects, batch.changed)


def _mixed(words: Words) -> Words:
    """SplitMix64's finaliser: every bit of the input moves half of the output's."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58_476D_1CE4_E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D0_49BB_1331_11EB)
    return words ^ (words >> np.uint64(31))


def _words(values: pl.Series, column: ColumnType) -> Words:
    """One word a value; NULL has its own."""
    words = _present(values, column)
    if values.null_count():
        words = np.where(values.is_null().to_numpy(), _NULL, words)
    return words


def _present(values: pl.Series, column: ColumnType) -> Words:
    if column.kind is Kind.DECIMAL:
        return _decimals(values, column)
    return _READERS.get(column.kind, _texts)(values)


def _bits(values: pl.Series) -> Words:
    return values.fill_null(0).to_numpy().view(np.uint64)


def _floats(values: pl.Series) -> Words:
    plain = values.fill_null(0.0).to_numpy() + 0.0  # minus zero is zero
    return np.where(np.isnan(plain), np.nan, plain).view(np.uint64)


def _texts(values: pl.Series) -> Words:
    frame = pl.DataFrame({"x": values.fill_null("")})
    hashed: Words = frame.select(plh.col("x").nchash.xxh3_64()).to_series().to_numpy()
    return hashed


def _decimals(values: pl.Series, column: ColumnType) -> Words:
    """By value: unscaled where that fits a word, else by canonical text."""
    if not holds_scale(column) or (column.precision or 0) > _MAX_DIGITS:
        return _texts(values if values.dtype == pl.String else plain_text(values))
    if values.dtype != pl.String:
        # Int64 is unscaled already: the target's reader gives it so, where the table's own type makes it exact.
        return _bits(values if values.dtype == pl.Int64 else values.to_physical().cast(pl.Int64))
    scale = column.scale or 0
    beyond = values.str.contains(rf"\.[0-9]{{{scale + 1}}}").fill_null(False)
    words = _bits(values.cast(pl.Decimal(38, scale), strict=False).to_physical().cast(pl.Int64, strict=False))
    # Only a column that somebody altered holds more digits than its type; they must not be rounded away.
    return np.where(beyond.to_numpy(), _texts(values), words) if beyond.any() else words


_READERS: Mapping[Kind, Callable[[pl.Series], Words]] = {
    Kind.INTEGER: _bits,
    Kind.DATE: lambda values: _bits(values.to_physical().cast(pl.Int64)),
    Kind.TIMESTAMP: lambda values: _bits(values.to_physical()),
    Kind.TIMESTAMPTZ: lambda values: _bits(values.to_physical()),
    Kind.BOOLEAN: lambda values: _bits(values.cast(pl.Int64)),
    Kind.FLOAT: _floats,
    Kind.BYTES: lambda values: _texts(values.bin.encode("hex")),
    Kind.JSON: lambda values: _texts(_respelt(values)),
}


def _respelt(values: pl.Series) -> pl.Series:
    """JSON in one spelling: jsonb keeps neither the order of members nor the way a number was written."""
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
