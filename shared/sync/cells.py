"""One column's JSON values, as texts with their kinds, and the polars column they make.

In: for each row the value's text (a string's without its quotes) and the first byte of its token (0: absent).
Out: String, Int64, Boolean or the Struct {text, kind} of the raw frame, and which rows hold broken text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

NULL, STRING, NUMBER, BOOLEAN, NESTED, UNKNOWN = range(6)
MIXED = pl.Struct({"text": pl.String(), "kind": pl.UInt8()})
_NUMBER = r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$"
_KINDS = np.full(256, UNKNOWN, dtype=np.uint8)
_KINDS[[0, ord("n")]] = NULL
_KINDS[ord('"')] = STRING
_KINDS[np.frombuffer(b"-0123456789", dtype=np.uint8)] = NUMBER
_KINDS[[ord("t"), ord("f")]] = BOOLEAN
_KINDS[[ord("{"), ord("[")]] = NESTED


class IrregularPageError(Exception):
    """The quick way cannot read this page; the exact way decides."""


@dataclass(frozen=True, slots=True)
class Cells:
    """A column of JSON values: `text` as spelt (strings without quotes), `first` byte of each token, 0 =
    absent."""

    text: pl.Series
    first: NDArray[np.uint8]
    escaped: bool  # whether a backslash may stand in any string

    @property
    def kinds(self) -> NDArray[np.uint8]:
        """Each value's kind, in the raw frame's numbering."""
        return _KINDS[self.first]

    @property
    def absent(self) -> NDArray[np.bool_]:
        """Where the row has no such member at all."""
        return np.asarray(self.first == 0)


@dataclass(frozen=True, slots=True)
class Column:
    """A finished column: its texts (null where JSON null or absent), the typed series, the broken rows."""

    text: pl.Series
    series: pl.Series
    broken: tuple[int, ...] = ()


def column(cells: Cells) -> Column:
    """The raw frame's column for these values; a page whose values are not JSON raises IrregularPageError."""
    kinds = cells.kinds
    counts = np.bincount(kinds, minlength=UNKNOWN + 1)
    if counts[UNKNOWN]:
        raise IrregularPageError
    text, broken = _unescaped(cells.text, kinds) if cells.escaped and counts[STRING] else (cells.text, ())
    if counts[NESTED]:
        text = _compacted(text, kinds)
    if counts[NULL]:
        text = _nulled(text, cells, kinds)
    return Column(text, _typed(text, kinds, counts), broken)


def absent_column(rows: int) -> Column:
    """A column that no row holds."""
    nothing = pl.Series("", [None], dtype=pl.String).new_from_index(0, rows)
    return Column(nothing, nothing)


def mixed(series: pl.Series) -> pl.Series:
    """Any raw column as the Struct {text, kind} that holds every kind."""
    if series.dtype == MIXED:
        return series
    number = {pl.String: STRING, pl.Int64: NUMBER, pl.Boolean: BOOLEAN}[series.dtype.base_type()]
    kind = pl.when(pl.col("v").is_null()).then(NULL).otherwise(number).cast(pl.UInt8)
    frame = pl.DataFrame({"v": series}).select(
        pl.struct(text=pl.col("v").cast(pl.String), kind=kind).alias(series.name)
    )
    return frame.to_series()


def _nulled(text: pl.Series, cells: Cells, kinds: NDArray[np.uint8]) -> pl.Series:
    empty = pl.Series(kinds == NULL)
    present = pl.Series((kinds == NULL) & ~cells.absent)
    if not (text.filter(present) == "null").all():
        raise IrregularPageError
    return text.zip_with(~empty, absent_column(len(text)).text)


def _typed(text: pl.Series, kinds: NDArray[np.uint8], counts: NDArray[np.int64]) -> pl.Series:
    holds = {kind for kind in range(1, UNKNOWN) if counts[kind]}
    if holds <= {STRING}:
        return text
    if holds == {BOOLEAN}:
        return _booleans(text)
    if holds == {NUMBER}:
        whole = text.cast(pl.Int64, strict=False)
        # Only a text that the integer prints as itself is kept as one: -0, 007 and 1.0 are told apart here.
        if (whole.cast(pl.String).eq_missing(text)).all():
            return whole
    return _struct(text, kinds, holds)


def _booleans(text: pl.Series) -> pl.Series:
    if not text.drop_nulls().is_in(["true", "false"]).all():
        raise IrregularPageError
    return text == "true"


def _struct(text: pl.Series, kinds: NDArray[np.uint8], holds: set[int]) -> pl.Series:
    if NUMBER in holds:
        numbers = text if holds == {NUMBER} else text.filter(pl.Series(kinds == NUMBER))
        if not numbers.str.contains(_NUMBER).all():
            raise IrregularPageError
    if BOOLEAN in holds:
        _booleans(text.filter(pl.Series(kinds == BOOLEAN)))
    return pl.DataFrame({"text": text, "kind": pl.Series(kinds)}).to_struct("")


def _unescaped(text: pl.Series, kinds: NDArray[np.uint8]) -> tuple[pl.Series, tuple[int, ...]]:
    where = (text.str.contains("\\", literal=True) & pl.Series(kinds == STRING)).arg_true()
    if not len(where):
        return text, ()
    spelt = [f'"{value}"'.encode() for value in text.gather(where).to_list()]
    values, broken = _decoded(spelt)
    return text.scatter(where, pl.Series(values, dtype=pl.String)), tuple(where.gather(broken).to_list())


def _decoded(spelt: Sequence[bytes]) -> tuple[list[str | None], list[int]]:
    try:
        return msgspec.json.decode(b"[" + b",".join(spelt) + b"]", type=list[str | None]), []
    except (msgspec.DecodeError, UnicodeDecodeError):
        values = [_string(token) for token in spelt]
        return values, [i for i, value in enumerate(values) if value is None]


def _string(token: bytes) -> str | None:
    try:
        return msgspec.json.decode(token, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _compacted(text: pl.Series, kinds: NDArray[np.uint8]) -> pl.Series:
    where = pl.Series(kinds == NESTED).arg_true()
    compact: list[Any] = [
        msgspec.json.format(value.encode(), indent=-1).decode() for value in text.gather(where).to_list()
    ]
    return text.scatter(where, pl.Series(compact, dtype=pl.String))
