"""Stage 7, identity: the key hash, the row hash and the readable reference of every row.

Canonical bytes of a row: for each column that is not NULL, in the order of target names, `<name
length>:<name>` `<type tag><value length>:<value>`, lengths in UTF-8 bytes. Reading it back is unambiguous,
so different rows have different bytes; leaving NULLs out and naming every value means that a new column
changes nothing until it holds something. `canonical`, `key_hash` and `row_hash` are the reference; the
stage itself works on columns and is held equal to them by tests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
import polars as pl
import polars_hash as plh
import xxhash
from blake3 import blake3
from numpy.typing import NDArray

from shared.sync.findings import Findings
from shared.sync.mapping import readable
from shared.sync.model import KEY_HASH, REFERENCE, ROW_HASH, Batch, Kind, RunConfig, TargetColumn

MAX_KEY_BYTES = 2_600  # a B-tree of PostgreSQL takes entries of 2,704 bytes
TAGS: Mapping[Kind, str] = {
    Kind.TEXT: "t",
    Kind.INTEGER: "n",  # integers and decimals share a tag: widening a column must not mark its rows updated
    Kind.DECIMAL: "n",
    Kind.FLOAT: "f",
    Kind.BOOLEAN: "b",
    Kind.DATE: "d",
    Kind.TIMESTAMP: "s",
    Kind.TIMESTAMPTZ: "z",
    Kind.BYTES: "x",
    Kind.UUID: "u",
    Kind.JSON: "j",
}
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - wall clocks have no zone
_LONG = 4_096  # texts up to this many bytes take their length from a table

Value = str | int | Decimal | float | bool | date | datetime | bytes


def canonical(values: Mapping[str, tuple[Kind, Value | None]]) -> bytes:
    """Reference: the canonical bytes of a row's values by target name."""
    parts = []
    for name in sorted(values):
        kind, value = values[name]
        if value is not None:
            spelt, label = _spelt(kind, value).encode(), name.encode()
            parts.append(b"%d:%b%b%d:%b" % (len(label), label, TAGS[kind].encode(), len(spelt), spelt))
    return b"".join(parts)


def key_hash(key: bytes) -> bytes:
    """Reference: xxHash128 (XXH3) of canonical key bytes, 16 bytes, most significant first."""
    return xxhash.xxh3_128_digest(key)


def row_hash(row: bytes, version: int) -> bytes:
    """Reference: the hash version's byte, then BLAKE3's 32 of canonical row bytes."""
    return bytes([version]) + blake3(row).digest()


def reference(key: Sequence[str]) -> str:
    """The readable business key: members between bars, bars and backslashes within them escaped."""
    return "|".join(member.replace("\\", "\\\\").replace("|", "\\|") for member in key)


def _spelt(kind: Kind, value: Value) -> str:
    match value:
        case bool():
            spelt = "t" if value else "f"
        case datetime():
            naive = value.replace(tzinfo=None) - (value.utcoffset() or timedelta())
            spelt = str((naive - _EPOCH) // timedelta(microseconds=1))
        case date():
            spelt = str((value - _EPOCH.date()).days)
        case bytes():
            spelt = value.hex()
        case float():
            spelt = repr(value)
        case _:
            spelt = _plain(Decimal(value)) if TAGS[kind] == "n" else str(value)
    return spelt


def _plain(number: Decimal) -> str:
    digits = f"{number:f}"
    digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return "0" if digits == "-0" else digits


def apply(batch: Batch, config: RunConfig) -> Batch:
    """The canonical frame with KEY_HASH, ROW_HASH and REFERENCE; rejects `key_too_long`."""
    found = Findings("identity")
    cells = [_Cells.of(batch.rows[f"t{i}"], column) for i, column in enumerate(config.target_columns)]
    keys = [cells[position] for position in config.key_positions]
    _reject_long_keys(keys, found)
    columns = [
        _key_hashes(_canonical(keys)).alias(KEY_HASH),
        _row_hashes(_canonical(cells), config.hash_version).alias(ROW_HASH),
        _references(keys).alias(REFERENCE),
    ]
    return found.close(batch, batch.rows.with_columns(columns))


def keyed(batch: Batch, config: RunConfig, *, named: bool) -> Batch:
    """The canonical frame with KEY_HASH, and with REFERENCE where `named` (else null); rejects `key_too_long`."""
    found = Findings("identity")
    columns = config.target_columns
    keys = [_Cells.of(batch.rows[f"t{i}"], columns[i]) for i in config.key_positions]
    _reject_long_keys(keys, found)
    hashes = _key_hashes(_canonical(keys)).alias(KEY_HASH)
    references = _references(keys) if named else pl.repeat(None, len(hashes), dtype=pl.String, eager=True)
    return found.close(batch, batch.rows.with_columns(hashes, references.alias(REFERENCE)))


@dataclass(frozen=True, slots=True)
class _Cells:
    """One target column as canonical texts, beside the values they came from."""

    column: TargetColumn
    values: pl.Series
    texts: pl.Series

    @classmethod
    def of(cls, values: pl.Series, column: TargetColumn) -> "_Cells":
        return cls(column, values, canonical_text(values, column.type.kind))


def canonical_text(values: pl.Series, kind: Kind) -> pl.Series:
    """A column's canonical spelling, null for NULL."""
    match kind:
        case Kind.DATE | Kind.TIMESTAMP | Kind.TIMESTAMPTZ:
            return values.to_physical().cast(pl.String)
        case Kind.BOOLEAN:
            return _words(values)
        case _:
            return readable(values, kind)


def _words(values: pl.Series) -> pl.Series:
    letters = pl.Series(["f", "t"])
    return letters.gather(values.cast(pl.UInt8))


def _canonical(cells: Sequence[_Cells]) -> pl.DataFrame:
    """One column `x`: canonical bytes, as text since each of them is valid UTF-8."""
    frame: dict[str, pl.Series] = {}
    for i, cell in enumerate(sorted(cells, key=lambda each: each.column.name)):
        frame[f"p{i}"] = _prefixes(cell)
        frame[f"v{i}"] = cell.texts
    if not frame:
        return pl.DataFrame({"x": pl.Series([], dtype=pl.String)})
    return pl.DataFrame(frame).select(pl.concat_str(pl.all(), ignore_nulls=True).alias("x"))


def _prefixes(cell: _Cells) -> pl.Series:
    """Name, tag and length before each value; null for NULL."""
    name = cell.column.name
    head = f"{len(name.encode())}:{name}{TAGS[cell.column.type.kind]}"
    lengths = cell.texts.str.len_bytes()
    longest = lengths.max()
    if not isinstance(longest, int):
        return pl.repeat(None, len(cell.texts), dtype=pl.String, eager=True)
    if longest <= _LONG:
        # a table of ready prefixes costs a fifth of spelling every length anew
        return pl.Series([f"{head}{n}:" for n in range(longest + 1)]).gather(lengths)
    return pl.DataFrame({"n": lengths}).select(pl.format("{}{}:", pl.lit(head), pl.col("n"))).to_series()


def _key_hashes(keys: pl.DataFrame) -> pl.Series:
    wide = keys.select(plh.col("x").nchash.xxh3_128()).to_series()
    halves: NDArray[np.uint64] = np.empty((len(wide), 2), dtype=">u8")
    halves[:, 0] = (wide // (1 << 64)).cast(pl.UInt64).to_numpy()
    halves[:, 1] = wide.cast(pl.UInt64, wrap_numerical=True).to_numpy()
    return _binary(halves.view(np.uint8))


def _row_hashes(rows: pl.DataFrame, version: int) -> pl.Series:
    digits = rows.select(plh.col("x").chash.blake3()).to_series()
    hashes: NDArray[np.uint8] = np.empty((len(digits), 33), dtype=np.uint8)
    hashes[:, 0] = version
    # decoding all digits at once is four times quicker than a column's hex decoder
    joined = bytes.fromhex(str(digits.str.join("")[0] or ""))
    hashes[:, 1:] = np.frombuffer(joined, dtype=np.uint8).reshape(-1, 32)
    return _binary(hashes)


def _binary(table: NDArray[np.uint8]) -> pl.Series:
    if not len(table):
        return pl.Series([], dtype=pl.Binary)
    return pl.Series(table).arr.to_list().cast(pl.Binary)


def _reject_long_keys(keys: Sequence[_Cells], found: Findings) -> None:
    lengths = [cell.texts.str.len_bytes() for cell in keys]
    if sum(length.max() or 0 for length in lengths) <= MAX_KEY_BYTES:  # type: ignore[misc]  # lengths are integers
        return
    total = lengths[0]
    for length in lengths[1:]:
        total = total + length
    found.reject(None, "key_too_long", total > MAX_KEY_BYTES)


def _references(keys: Sequence[_Cells]) -> pl.Series:
    members = [_member(cell) for cell in keys]
    if len(members) == 1:
        return members[0]
    frame = pl.DataFrame([member.alias(str(i)) for i, member in enumerate(members)])
    return frame.select(pl.concat_str(pl.all(), separator="|")).to_series()


def _member(cell: _Cells) -> pl.Series:
    kind = cell.column.type.kind
    texts = cell.texts if TAGS[kind] in "tnuj" else readable(cell.values, kind)
    if kind not in (Kind.TEXT, Kind.JSON):
        return texts
    if not texts.str.contains_any(["|", "\\"]).any():
        return texts
    return texts.str.replace_all("\\", "\\\\", literal=True).str.replace_all("|", "\\|", literal=True)
