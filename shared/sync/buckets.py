"""A table's rows summed into buckets: equal for equal sets of rows, whatever their order, and small.

A row belongs to the bucket that its key hash begins with. Each bucket holds how many rows it has, and the sums of
their key and row hashes modulo 2^64: a dropped, an altered and a doubled row each change them.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shared.sync.model import KEY_HASH, ROW_HASH

COUNT = 4096
_SHIFT = np.uint64(64 - 12)
Sums = NDArray[np.uint64]


def heads(key_hashes: pl.Series) -> Sums:
    """The first eight bytes of each key hash."""
    leading = key_hashes.bin.slice(0, 8).bin.reinterpret(dtype=pl.UInt64, endianness="big")
    return leading.to_numpy()


def numbers(key_hashes: pl.Series) -> pl.Series:
    """The bucket of each key."""
    return pl.Series((heads(key_hashes) >> _SHIFT).astype(np.uint32))


@dataclass(frozen=True, slots=True)
class Buckets:
    """One side's sums; three rows of COUNT: rows, key hashes, row hashes."""

    sums: Sums

    @classmethod
    def empty(cls) -> "Buckets":
        """No rows."""
        return cls(np.zeros((3, COUNT), np.uint64))

    @classmethod
    def read(cls, data: bytes | None) -> "Buckets":
        """What `to_bytes` wrote; None is empty."""
        if data is None:
            return cls.empty()
        return cls(np.frombuffer(data, ">u8").astype(np.uint64).reshape(3, COUNT))

    def to_bytes(self) -> bytes:
        """For keeping between slices."""
        return self.sums.astype(">u8").tobytes()

    def add(self, rows: pl.DataFrame) -> None:
        """Count rows in (KEY_HASH, ROW_HASH as UInt64)."""
        self.sums[:] += _sums(rows)

    def remove(self, rows: pl.DataFrame) -> None:
        """Take rows out that were counted."""
        self.sums[:] -= _sums(rows)

    @property
    def rows(self) -> int:
        """How many rows are counted."""
        return int(self.sums[0].sum())

    def differing(self, other: "Buckets") -> list[int]:
        """The buckets whose rows cannot be the same on both sides."""
        return [int(n) for n in np.flatnonzero((self.sums != other.sums).any(axis=0))]

    def sizes(self, other: "Buckets") -> NDArray[np.int64]:
        """Rows of each bucket, of the side that has more."""
        larger: NDArray[np.int64] = np.maximum(self.sums[0], other.sums[0]).astype(np.int64)
        return larger


def _sums(rows: pl.DataFrame) -> Sums:
    keys = heads(rows[KEY_HASH])
    places = (keys >> _SHIFT).astype(np.int64)
    out = np.zeros((3, COUNT), np.uint64)
    out[0] = np.bincount(places, minlength=COUNT).astype(np.uint64)
    # bincount's weights are floats; adding in place keeps all 64 bits, and overflow is what modulo means.
    np.add.at(out[1], places, keys)
    np.add.at(out[2], places, rows[ROW_HASH].to_numpy())
    return out
