"""A frame's columns as PostgreSQL's binary COPY stream, built with arrays: no Python object per value.

Columns of one width without nulls are packed into one block a row; the rest follows as length-prefixed fields.
That reorders the columns, so `encode` says in which order they stand and the COPY statement names them so.
The layouts (numeric's base-10,000 digits, dates from 2000-01-01) are those of PostgreSQL's own receive functions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shared.sync.model import ColumnType, Kind

Bytes = NDArray[np.uint8]

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"
_DAYS_TO_2000 = 10_957
_MICROSECONDS_TO_2000 = _DAYS_TO_2000 * 86_400 * 1_000_000
_LIMB = 10**16  # four base-10,000 digits, the most that an int64 holds with room to multiply
_PIECE_ROWS = 16_384
_LONG_TEXT = 192  # above this a byte-wise scatter beats grouping the rows by length


@dataclass(frozen=True, slots=True)
class Field:
    """One column to send: its name in the table, its values, and the type the table has for it."""

    name: str
    values: pl.Series | Bytes  # Bytes: (rows, 16), for uuids made as a table
    type: ColumnType


@dataclass(frozen=True, slots=True)
class Encoded:
    """The order the fields stand in, and the COPY stream piece by piece: the server works on one meanwhile."""

    columns: tuple[str, ...]
    pieces: Iterator[memoryview]


@dataclass(frozen=True, slots=True)
class _Fixed:
    name: str
    payload: Bytes  # (rows, width)
    null: NDArray[np.bool_] | None


@dataclass(frozen=True, slots=True)
class _Variable:
    name: str
    payload: Bytes  # every value's bytes, one after another
    starts: NDArray[np.int64]  # of each value in the payload
    lengths: NDArray[np.int64]  # 0 where null
    null: NDArray[np.bool_] | None

    @classmethod
    def of(
        cls, name: str, payload: Bytes, lengths: NDArray[np.int64], null: NDArray[np.bool_] | None
    ) -> "_Variable":
        """Values that lie one after another in the payload."""
        return cls(name, payload, np.cumsum(lengths) - lengths, lengths, null)


def encode(fields: Sequence[Field]) -> Encoded:
    """Encode equally long columns; raises OverflowError for a value its type cannot hold."""
    columns = [_wire(field) for field in fields]
    fixed = [c for c in columns if isinstance(c, _Fixed) and c.null is None]
    loose = [_as_variable(c) if isinstance(c, _Fixed) else c for c in columns if not _packs(c)]
    order = (*(c.name for c in fixed), *(c.name for c in loose))
    return Encoded(order, _pieces(len(fields[0].values), len(fields), fixed, loose))


def _pieces(
    rows: int, count: int, fixed: Sequence[_Fixed], loose: Sequence[_Variable]
) -> Iterator[memoryview]:
    yield memoryview(HEADER)
    for low in range(0, rows, _PIECE_ROWS):
        part = slice(low, min(low + _PIECE_ROWS, rows))
        block = _block(count, [replace(c, payload=c.payload[part]) for c in fixed], part.stop - low)
        yield memoryview(_assemble(block, [_part(c, part) for c in loose]).data)
    yield memoryview(TRAILER)


def _part(column: _Variable, part: slice) -> _Variable:
    null = None if column.null is None else column.null[part]
    return replace(column, starts=column.starts[part], lengths=column.lengths[part], null=null)


def _packs(column: _Fixed | _Variable) -> bool:
    return isinstance(column, _Fixed) and column.null is None


def _block(count: int, fixed: Sequence[_Fixed], rows: int) -> Bytes:
    """The head of every row: the field count and all fields of fixed width."""
    layout: list[tuple[str, str] | tuple[str, str, tuple[int]]] = [("count", ">i2")]
    for i, column in enumerate(fixed):
        width = column.payload.shape[1]
        # Whole words where the width is one: a copy of eight bytes costs no more than one of a single byte.
        layout += [(f"size{i}", ">i4"), (f"value{i}", f"V{width}")]
    block = np.empty(rows, np.dtype(layout))
    block["count"] = count
    for i, column in enumerate(fixed):
        block[f"size{i}"] = column.payload.shape[1]
        block[f"value{i}"] = _items(column.payload)
    return block.view(np.uint8).reshape(rows, block.dtype.itemsize)


def _assemble(block: Bytes, loose: Sequence[_Variable]) -> Bytes:
    """Whole rows: the block, then each loose field behind its length."""
    sizes = np.full(len(block), block.shape[1], np.int64)
    for column in loose:
        sizes += column.lengths + 4
    ends = np.cumsum(sizes)
    at = ends - sizes
    out = np.empty(int(ends[-1]), np.uint8)
    _windows(out, block.shape[1])[at] = _items(block)
    at = at + block.shape[1]
    for column in loose:
        prefix = column.lengths if column.null is None else np.where(column.null, -1, column.lengths)
        _windows(out, 4)[at] = _items(_big_endian(prefix, ">i4"))
        at = at + 4
        _scatter(out, at, column)
        at = at + column.lengths
    return out


def _scatter(out: Bytes, at: NDArray[np.int64], column: _Variable) -> None:
    """Copy each value to its place: rows of one length together, since one copy a row beats one a byte."""
    starts = column.starts
    groupable = np.where(column.lengths <= _LONG_TEXT, column.lengths, 0).astype(np.uint8)
    order = np.argsort(groupable, kind="stable")
    counts = np.bincount(groupable, minlength=1)
    begins = np.cumsum(counts) - counts
    for length in np.flatnonzero(counts[1:]) + 1:
        rows = order[begins[length] : begins[length] + counts[length]]
        _windows(out, int(length))[at[rows]] = _windows(column.payload, int(length))[starts[rows]]
    for row in np.flatnonzero(column.lengths > _LONG_TEXT):
        size = column.lengths[row]
        out[at[row] : at[row] + size] = column.payload[starts[row] : starts[row] + size]


def _windows(buffer: Bytes, width: int) -> NDArray[np.void]:
    """Every `width` bytes of the buffer as one item, overlapping: item i starts at byte i."""
    return np.ndarray((len(buffer) - width + 1,), f"V{width}", buffer.data, strides=(1,))


def _items(block: Bytes) -> NDArray[np.void]:
    return np.ascontiguousarray(block).view(f"V{block.shape[1]}").ravel()


def _big_endian(values: NDArray[np.generic], dtype: str) -> Bytes:
    ordered = values.astype(dtype)
    return ordered.view(np.uint8).reshape(len(ordered), ordered.dtype.itemsize)


def _as_variable(column: _Fixed) -> _Variable:
    assert column.null is not None
    lengths = np.where(column.null, 0, column.payload.shape[1]).astype(np.int64)
    return _Variable.of(column.name, column.payload[~column.null].ravel(), lengths, column.null)


def _wire(field: Field) -> _Fixed | _Variable:
    kind, values = field.type.kind, field.values
    if isinstance(values, np.ndarray):
        return _Fixed(field.name, values, None)
    if kind in (Kind.TEXT, Kind.BYTES, Kind.JSON):
        return _text(field.name, "\x01" + values if kind is Kind.JSON else values)
    if kind is Kind.DECIMAL:
        return _numeric(field.name, values, field.type.scale or 0)
    null = values.is_null().to_numpy() if values.null_count() else None
    return _Fixed(field.name, _payload(kind, field.type, values), null)


def _payload(kind: Kind, type_: ColumnType, values: pl.Series) -> Bytes:
    match kind:
        case Kind.INTEGER:
            narrow = {16: pl.Int16, 32: pl.Int32, 64: pl.Int64}[type_.bits]
            return _big_endian(values.fill_null(0).cast(narrow).to_numpy(), f">i{type_.bits // 8}")
        case Kind.FLOAT:
            return _big_endian(values.fill_null(0.0).to_numpy(), f">f{type_.bits // 8}")
        case Kind.BOOLEAN:
            return _big_endian(values.fill_null(False).cast(pl.UInt8).to_numpy(), "u1")
        case Kind.DATE:
            days = values.to_physical().fill_null(_DAYS_TO_2000).to_numpy()
            return _big_endian(days - _DAYS_TO_2000, ">i4")
        case Kind.TIMESTAMP | Kind.TIMESTAMPTZ:
            microseconds = values.to_physical().fill_null(_MICROSECONDS_TO_2000).to_numpy()
            return _big_endian(microseconds - _MICROSECONDS_TO_2000, ">i8")
        case Kind.UUID:
            return _uuid_bytes(values)
    raise TypeError(f"no binary form for {kind}")


def _uuid_bytes(values: pl.Series) -> Bytes:
    """16 bytes a value, from hyphenated text or from 16-byte binaries."""
    if values.dtype == pl.Binary:
        return _table(values.fill_null(bytes(16)), 16)
    text = values.fill_null("0" * 32).str.replace_all("-", "", literal=True)
    joined = bytes.fromhex(text.str.join("").item() or "")
    return np.frombuffer(joined, np.uint8).reshape(len(values), 16)


def _table(values: pl.Series, width: int) -> Bytes:
    """Binaries of one width as rows of bytes."""
    if not len(values):
        return np.empty((0, width), np.uint8)
    table: Bytes = values.bin.reinterpret(dtype=pl.Array(pl.UInt8, width)).to_numpy()
    return table


def _text(name: str, values: pl.Series) -> _Fixed | _Variable:
    """Texts or binaries; those of one width without nulls are packed like numbers."""
    binary = values.cast(pl.Binary)
    sizes = binary.bin.size()
    width = sizes.max()
    if isinstance(width, int) and width > 0 and sizes.min() == width and not values.null_count():
        return _Fixed(name, _table(binary, width), None)
    null = values.is_null().to_numpy() if values.null_count() else None
    lengths = sizes.fill_null(0).cast(pl.Int64).to_numpy()
    return _Variable.of(name, np.frombuffer(_joined(values), np.uint8), lengths, null)


def _joined(values: pl.Series) -> bytes:
    """All values one after another; nulls are nothing."""
    if values.dtype == pl.Binary:
        return b"".join(values.drop_nulls().to_list())
    joined: bytes | None = values.str.join("").cast(pl.Binary).item()
    return joined or b""


def _numeric(name: str, values: pl.Series, scale: int) -> _Fixed | _Variable:
    if values.dtype == pl.String:
        return _free_numeric(name, values)
    null = values.is_null().to_numpy() if values.null_count() else None
    return _Fixed(name, _digits(values, scale, np.int16(scale)), null)


def _free_numeric(name: str, values: pl.Series) -> _Fixed | _Variable:
    """Numbers of any scale, from canonical text; each keeps its own display scale."""
    fraction = values.str.split_exact(".", 1).struct.field("field_1").str.len_bytes().fill_null(0)
    scale = int(fraction.max() or 0)  # type: ignore[arg-type]  # lengths are integers
    longest = int(values.str.len_bytes().max() or 0)  # type: ignore[arg-type]
    if longest + scale > 36:
        return _text(name, pl.Series([_long_numeric(v) for v in values.to_list()], dtype=pl.Binary))
    null = values.is_null().to_numpy() if values.null_count() else None
    exact = values.cast(pl.Decimal(38, scale))
    return _Fixed(name, _digits(exact, scale, fraction.cast(pl.Int16).to_numpy()), null)


def _digits(values: pl.Series, scale: int, shown_scale: NDArray[np.int16] | np.int16) -> Bytes:
    """PostgreSQL's numeric with a fixed count of digits; its receive function strips the zeros."""
    fraction_groups = -(-scale // 4)
    unscaled = values.to_physical().fill_null(0)
    factor = 10 ** (4 * fraction_groups - scale)
    extremes: list[int] = [value for value in (unscaled.min(), unscaled.max()) if isinstance(value, int)]
    largest = max(map(abs, extremes), default=0) * factor
    groups = max(-(-len(str(largest)) // 4), fraction_groups, 1)
    # Zeros: a large scale asks for more groups than small numbers have limbs.
    out = np.zeros((len(values), 4 + groups), ">i2")
    out[:, 0] = groups
    out[:, 1] = groups - fraction_groups - 1
    out[:, 3] = shown_scale
    negative, limbs = _limbs(unscaled, factor, largest)
    out[:, 2] = np.where(negative, 0x4000, 0)
    for number, limb in enumerate(limbs):
        rest = limb
        for place in range(min(4, groups - 4 * number)):
            rest, digit = np.divmod(rest, 10_000)
            out[:, 3 + groups - 4 * number - place] = digit
    return out.view(np.uint8).reshape(len(values), 2 * (4 + groups))


def _limbs(
    unscaled: pl.Series, factor: int, largest: int
) -> tuple[NDArray[np.bool_], Sequence[NDArray[np.int64]]]:
    """Which numbers are negative, and their magnitudes times `factor`, sixteen decimal digits at a time."""
    if largest < 2**63:
        whole = unscaled.cast(pl.Int64).to_numpy()
        magnitude = np.abs(whole) * factor
        limbs = [magnitude] if largest < _LIMB else [magnitude % _LIMB, magnitude // _LIMB]
        return whole < 0, limbs
    # Times `factor`, 38 digits would not fit 128 bits: only what goes into the lowest limb is multiplied.
    wide, low = unscaled.abs(), _int128(_LIMB // factor)
    rest = wide // low
    count = -(-len(str(largest)) // 16) - 1
    high = [rest // _int128(_LIMB**i) % _int128(_LIMB) for i in range(count)]
    parts = [part.cast(pl.Int64).to_numpy() for part in (wide % low * _int128(factor), *high)]
    return (unscaled < _int128(0)).to_numpy(), parts


def _int128(value: int) -> pl.Series:
    return pl.Series([value], dtype=pl.Int128)


def _long_numeric(text: str | None) -> bytes | None:
    """One number longer than 38 digits; rare, so value by value."""
    if text is None:
        return None
    sign, digits, exponent = Decimal(text).as_tuple()
    assert isinstance(exponent, int)
    plain = "".join(map(str, digits)) + "0" * max(exponent, 0)
    scale = max(-exponent, 0)
    plain += "0" * (-scale % 4)
    plain = plain.zfill(-(-len(plain) // 4) * 4)
    groups = [int(plain[i : i + 4]) for i in range(0, len(plain), 4)]
    head = (len(groups), len(groups) - -(-scale // 4) - 1, 0x4000 if sign else 0, scale)
    return b"".join(part.to_bytes(2, "big", signed=part < 0) for part in (*head, *groups))
