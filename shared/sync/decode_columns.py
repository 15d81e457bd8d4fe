"""A regular page, straight to columns: every row names the same members in the same order.

In: a body whose rows differ in their scalar values only (as one serialiser writes them). Out: ParsedRows, or
IrregularPageError, upon which decode_rows reads the page exactly. The first row is parsed and gives the
pattern; every byte of every other row outside its values is then compared with it, so nothing is taken on
trust.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shared.sync.cells import Cells, IrregularPageError
from shared.sync.page_json import Bytes, DuplicateKeyError, Positions, find_quotes, unique
from shared.sync.parsed_rows import SECTIONS, ParsedRows
from shared.sync.spans import cut

_ROWS = re.compile(rb'"rows"\s*:\s*\[')
_SCALAR = re.compile(rb"[^\s,\]}\"]+")
_FIRST_ROW_BYTES = 65536
_ENVELOPE_BYTES, _BRACKETS_AT_MOST = 65536, 32
_COLON, _QUOTE, _BRACE_CLOSE = 58, 34, 125
_LAST_CONTROL = 31
_NESTING = (ord("{"), ord("["))
_PIECES = "pieces"


@dataclass(frozen=True, slots=True)
class _Names:
    """Where the member names of all rows open and close, a line a row; `last_row_end` as if a row
    followed."""

    opens: Positions
    closes: Positions
    next_opens: Positions
    row_starts: Positions
    row_ends: Positions


@dataclass(frozen=True, slots=True)
class _Values:
    """Spans of the scalar values, a line a row: whole tokens, and which of them are strings."""

    starts: Positions
    ends: Positions
    first: Bytes
    strings: NDArray[np.bool_]


Slot = tuple[str, str]


def read_columns(body: bytes) -> tuple[ParsedRows, bytes]:
    """The rows by column, and the body with its rows cut out; raises IrregularPageError."""
    start, end = _region(body)
    buffer = np.frombuffer(body, dtype=np.uint8)
    escaped = b"\\" in body
    if (buffer[start:end] <= _LAST_CONTROL).any() or not _is_utf8(body):
        raise IrregularPageError
    quotes = find_quotes(buffer, escaped)
    quotes = quotes[np.searchsorted(quotes, start) : np.searchsorted(quotes, end)]
    length, members = _first_row(body, start)
    names = _names(buffer, quotes, (start, length, end), len(members))
    slots = [(index, slot) for index, slot in enumerate(members) if slot is not None]
    values = _values(body, buffer, names, [index for index, _ in slots])
    if len(quotes) != 2 * (names.opens.size + int(values.strings.sum())):
        raise IrregularPageError
    _check_second_row(body, names, values)
    texts = _texts(body, buffer, names, values)
    cells = {slot: Cells(texts[i], values.first[:, i], escaped) for i, (_, slot) in enumerate(slots)}
    rows = ParsedRows(len(names.opens), cells, body, names.row_starts, names.row_ends)
    return rows, body[:start] + body[end:]


def _region(body: bytes) -> tuple[int, int]:
    match = _ROWS.search(body)
    if match is None or body[match.end() : match.end() + 1] != b"{":
        raise IrregularPageError
    return match.end(), _rows_end(body, match.end())


def _rows_end(body: bytes, start: int) -> int:
    """The bracket that closes the rows, looked for from behind: members after them, such as a cursor, may hold some."""
    end = len(body)
    for _ in range(_BRACKETS_AT_MOST):
        end = body.rfind(b"]", start, end)
        if end < 0 or len(body) - end > _ENVELOPE_BYTES:
            break
        if body[end - 1] == _BRACE_CLOSE and _closes_an_object(body[end + 1 :]):
            return end
    raise IrregularPageError


def _closes_an_object(rest: bytes) -> bool:
    try:
        json.loads(b'{"rows":[]' + rest)
    except (ValueError, RecursionError):
        return False
    return True


def _is_utf8(body: bytes) -> bool:
    try:
        return body.isascii() or bool(body.decode("utf-8"))
    except UnicodeDecodeError:
        return False


def _first_row(body: bytes, start: int) -> tuple[int, list[Slot | None]]:
    # Latin-1 keeps a character for each byte, so the parser's position is a position in the body.
    text = body[start : start + _FIRST_ROW_BYTES].decode("latin-1")
    try:
        row, length = json.JSONDecoder(object_pairs_hook=unique, parse_int=str).raw_decode(text)
    except (DuplicateKeyError, ValueError, RecursionError):
        raise IrregularPageError from None
    return length, list(_members(row))


def _members(row: dict[str, object]) -> Iterator[Slot | None]:
    for name, value in row.items():
        if isinstance(value, dict) and name in SECTIONS:
            yield None
            yield from (_slot(name, inner, held) for inner, held in value.items())
        else:
            yield _slot("", name, value)


def _slot(section: str, name: str, value: object) -> Slot:
    if isinstance(value, dict | list):
        raise IrregularPageError
    try:
        return section, name.encode("latin-1").decode("utf-8")
    except UnicodeError:
        raise IrregularPageError from None


def _names(buffer: Bytes, quotes: Positions, region: tuple[int, int, int], width: int) -> _Names:
    start, length, end = region
    opens, closes = quotes[0::2], quotes[1::2]
    if len(opens) != len(closes) or not width:
        raise IrregularPageError
    named = buffer[closes + 1] == _COLON
    opens, closes = opens[named], closes[named]
    if len(opens) % width or len(opens) < 2 * width:
        raise IrregularPageError
    opens, closes = opens.reshape(-1, width), closes.reshape(-1, width)
    lead = int(opens[0, 0]) - start
    between = int(opens[1, 0]) - lead - start - length
    row_starts = opens[:, 0] - lead
    next_opens = np.append(opens.ravel()[1:], end + between + lead).reshape(-1, width)
    return _Names(opens, closes, next_opens, row_starts, np.append(row_starts[1:] - between, end))


def _values(body: bytes, buffer: Bytes, names: _Names, slots: list[int]) -> _Values:
    if not slots:
        raise IrregularPageError
    shape = (len(names.opens), len(slots))
    starts, ends = np.empty(shape, dtype=np.int64), np.empty(shape, dtype=np.int64)
    for column, slot in enumerate(slots):
        start, end = _first_value(body, int(names.closes[0, slot]) + 1)
        starts[:, column] = names.closes[:, slot] + (start - int(names.closes[0, slot]))
        ends[:, column] = names.next_opens[:, slot] - (int(names.next_opens[0, slot]) - end)
    if starts.min() < 0 or starts.max() >= len(body):
        raise IrregularPageError
    first = np.asfortranarray(buffer[starts])
    if np.isin(first, _NESTING).any():
        raise IrregularPageError
    return _Values(starts, ends, first, first == _QUOTE)


def _first_value(body: bytes, colon: int) -> tuple[int, int]:
    start = colon + 1
    while body[start] == ord(" "):
        start += 1
    if body[start] != _QUOTE:
        match = _SCALAR.match(body, start)
        if match is None:
            raise IrregularPageError
        return start, match.end()
    end = start + 1
    while body[end] != _QUOTE:
        end += 2 if body[end] == ord("\\") else 1
    return start, end + 1


def _check_second_row(body: bytes, names: _Names, values: _Values) -> None:
    """The pattern between two rows is read off the first pair, so that pair is checked against the parsed
    row."""
    heads = [body[names.row_starts[row] : values.starts[row, 0]] for row in (0, 1)]
    between = body[names.row_ends[0] : names.row_starts[1]]
    if heads[0] != heads[1] or between.strip(b" ") != b",":
        raise IrregularPageError


def _texts(body: bytes, buffer: Bytes, names: _Names, values: _Values) -> list[pl.Series]:
    rows, width = values.starts.shape
    edges = np.empty((rows, width, 2), dtype=np.int64)
    edges[:, :, 0] = values.starts + values.strings
    edges[:, :, 1] = values.ends - values.strings
    flat = np.append(edges.ravel(), names.row_ends[-1])
    if flat[0] < names.row_starts[0] or (flat[1:] < flat[:-1]).any():
        raise IrregularPageError
    pieces = pl.DataFrame({_PIECES: cut(buffer, flat)})
    # One select for all columns: a select of its own for each costs more than the work itself.
    checks = [_gap_is_the_first_rows(body, names, values, column) for column in range(width)]
    texts = [
        pl.col(_PIECES).gather_every(2 * width, 2 * column).alias(str(column)) for column in range(width)
    ]
    if not all(pieces.select(check.alias(str(i)) for i, check in enumerate(checks)).row(0)):
        raise IrregularPageError
    return pieces.select(texts).get_columns()


def _gap_is_the_first_rows(body: bytes, names: _Names, values: _Values, column: int) -> pl.Expr:
    """Whether what stands behind a column's values is what stands there in the first row."""
    rows, width = values.starts.shape
    gaps = pl.col(_PIECES).gather_every(2 * width, 2 * column + 1)
    left = values.strings[:, column]
    if column + 1 < width:
        expected = body[values.ends[0, column] : values.starts[0, column + 1]]
        return _same(gaps, expected, left, values.strings[:, column + 1])
    expected = body[values.ends[0, column] : values.starts[1, 0]]
    tail = body[values.ends[0, column] : names.row_ends[0]]
    inner = _same(gaps.head(rows - 1), expected, left[:-1], values.strings[1:, 0])
    return inner & _same(gaps.tail(1), tail, left[-1:], np.zeros(1, dtype=np.bool_))


def _same(gaps: pl.Expr, expected: bytes, left: NDArray[np.bool_], right: NDArray[np.bool_]) -> pl.Expr:
    text = expected.decode("utf-8")
    lefts, rights = {bool(left.min()), bool(left.max())}, {bool(right.min()), bool(right.max())}
    spellings = ['"' * a + text + '"' * b for a in lefts for b in rights]
    return (gaps == spellings[0] if len(spellings) == 1 else gaps.is_in(spellings)).all()
