"""Any page, exactly: rows whose members differ, values that nest, and rows that are broken.

In: a body that decode_columns would not read. Out: ParsedRows of its sound rows and a Fault for each other
one; SourceProtocolError when the body as a whole is no page. A page whose rows all parse is read in one go;
only otherwise is each row tried alone, so one broken row costs that row and nothing else.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from shared.sync.cells import Cells, IrregularPageError
from shared.sync.page_json import (
    Bytes,
    DuplicateKeyError,
    Positions,
    Structure,
    count_members,
    find_quotes,
    find_rows,
    protocol_error,
    unique,
)
from shared.sync.parsed_rows import DATA, KEYS, SECTIONS, TOP, ParsedRows
from shared.sync.spans import cut_pieces

MAX_DEPTH = 200
BAD_TEXT, DUPLICATE, TOO_DEEP, BAD_NUMBER, BAD_ROW = (
    "bad_text",
    "duplicate_json_key",
    "too_deep",
    "bad_number",
    "bad_row",
)
Row = dict[str, msgspec.Raw]
_rows_decoder = msgspec.json.Decoder(list[Row])
_object_decoder = msgspec.json.Decoder(Row)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_OPENING = (ord("{"), ord("["))
_QUOTE = ord('"')


@dataclass(frozen=True, slots=True)
class Fault:
    """A row that cannot be read: its error code and its bytes."""

    code: str
    raw: bytes


class _BadNumberError(ValueError):
    """NaN or an infinity stands where JSON wants a number."""


def read_rows(body: bytes) -> tuple[ParsedRows, list[Fault], bytes]:
    """The sound rows by column, the broken ones, and the body with its rows cut out."""
    buffer = np.frombuffer(body, dtype=np.uint8)
    quotes = find_quotes(buffer, b"\\" in body)
    found = find_rows(body, buffer, quotes)
    around = body[: found.start] + body[found.end :]
    rows = _read_whole(body, buffer, quotes, found)
    if rows is not None:
        return rows, [], around
    spans, faults = _isolate(body, found)
    return _read_spans(body, spans), faults, around


def _read_whole(body: bytes, buffer: Bytes, quotes: Positions, found: Structure) -> ParsedRows | None:
    if len(found.row_depths) and found.row_depths.max() > MAX_DEPTH:
        return None
    region = body[found.start : found.end]
    try:
        region.decode("utf-8")
        rows = _rows_decoder.decode(b"[" + region + b"]")
        if len(rows) != len(found.row_starts):
            return None
        parsed, members = _by_column(rows, body, (found.row_starts, found.row_ends))
    except (*_UNREADABLE, IrregularPageError):
        return None
    inside = quotes[(quotes >= found.start) & (quotes < found.end)]
    # A name given twice vanishes in a dictionary; the count of names in the bytes gives it away.
    return parsed if members == count_members(buffer, inside) else None


def _read_spans(body: bytes, spans: Sequence[tuple[int, int]]) -> ParsedRows:
    rows = [_object_decoder.decode(body[start:end]) for start, end in spans]
    starts, ends = np.array(spans, dtype=np.int64).reshape(-1, 2).T
    return _by_column(rows, body, (starts, ends))[0]


def _by_column(
    rows: Sequence[Row], body: bytes, spans: tuple[Positions, Positions]
) -> tuple[ParsedRows, int]:
    escaped = b"\\" in body
    sections: dict[str, Sequence[Row]] = {DATA: _section(rows, DATA), KEYS: _section(rows, KEYS)}
    members = sum(map(len, rows)) + sum(sum(map(len, held)) for held in sections.values())
    sections[TOP] = rows
    cells = {}
    for section, held in sections.items():
        for name in sorted(set().union(*held)):
            cells[section, name] = _cells(held, name, escaped)
            members += (
                0 if section == TOP and name in SECTIONS else _count_nested(held, name, cells[section, name])
            )
    return ParsedRows(len(rows), cells, body, *spans), members


def _section(rows: Sequence[Row], name: str) -> list[Row]:
    empty = msgspec.Raw(b"{}")
    held = b",".join([row.get(name, empty) for row in rows])
    try:
        return _rows_decoder.decode(b"[" + held + b"]")
    except msgspec.ValidationError:
        # Some row holds something else than an object there; to it the member says nothing.
        tokens = [bytes(row.get(name, empty)) for row in rows]
        return [_object_decoder.decode(token) if token[:1] == b"{" else {} for token in tokens]


def _cells(rows: Sequence[Row], name: str, escaped: bool) -> Cells:
    absent = msgspec.Raw(b"")
    tokens = [row.get(name, absent) for row in rows]
    lengths = np.fromiter(map(len, tokens), dtype=np.int64, count=len(tokens))
    ends = np.cumsum(lengths)
    # The byte behind the last token stands for those that are absent at the end.
    buffer = np.frombuffer(b"".join(tokens) + b" ", dtype=np.uint8)
    first = np.where(lengths > 0, buffer[ends - lengths], 0).astype(np.uint8)
    quoted = (first == _QUOTE).astype(np.int64)
    return Cells(cut_pieces(buffer, ends - lengths + quoted, ends - quoted), first, escaped)


def _count_nested(rows: Sequence[Row], name: str, cells: Cells) -> int:
    nested = np.flatnonzero(np.isin(cells.first, _OPENING))
    return sum(_count_names(bytes(rows[index][name])) for index in nested.tolist())


def _count_names(token: bytes) -> int:
    buffer = np.frombuffer(token, dtype=np.uint8)
    try:
        json.loads(token, object_pairs_hook=unique, parse_int=str)
    except ValueError:
        raise IrregularPageError from None
    return count_members(buffer, find_quotes(buffer, b"\\" in token))


def _isolate(body: bytes, found: Structure) -> tuple[list[tuple[int, int]], list[Fault]]:
    sound: list[tuple[int, int]] = []
    faults = [Fault(BAD_ROW, piece) for piece in _between_rows(body, found)]
    spans = zip(found.row_starts.tolist(), found.row_ends.tolist(), found.row_depths.tolist(), strict=True)
    for start, end, depth in spans:
        code = TOO_DEEP if depth > MAX_DEPTH else _fault(body[start:end])
        if code is None:
            sound.append((start, end))
        else:
            faults.append(Fault(code, body[start:end]))
    return sound, faults


def _between_rows(body: bytes, found: Structure) -> Iterable[bytes]:
    """What stands between the objects of the array, commas aside: elements that are no objects."""
    starts, ends = [found.start, *found.row_ends.tolist()], [*found.row_starts.tolist(), found.end]
    for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
        pieces = [piece.strip() for piece in body[start:end].split(b",")]
        before, after = index > 0, index < len(starts) - 1
        if len(pieces) == 1 and not pieces[0] and not (before and after):
            continue
        inner = pieces[int(before) : len(pieces) - int(after)]
        if (
            (before and pieces[0])
            or (after and pieces[-1])
            or len(pieces) <= before + after - 1
            or not all(inner)
        ):
            raise protocol_error("its rows are not separated by commas")
        yield from inner


def _fault(raw: bytes) -> str | None:
    try:
        row = json.loads(
            raw.decode("utf-8"), object_pairs_hook=unique, parse_int=str, parse_constant=_refuse_constant
        )
        _object_decoder.decode(raw)
        if b"\\u" in raw:
            json.dumps(row, ensure_ascii=False).encode("utf-8")
    except DuplicateKeyError:
        return DUPLICATE
    except _BadNumberError:
        return BAD_NUMBER
    except RecursionError:
        return TOO_DEEP
    except UnicodeError:
        return BAD_TEXT
    except (ValueError, msgspec.DecodeError):
        return BAD_TEXT if _has_lone_surrogate(raw) else BAD_ROW
    return None


def _refuse_constant(_: str) -> object:
    raise _BadNumberError


def _has_lone_surrogate(raw: bytes) -> bool:
    try:
        json.dumps(json.loads(raw), ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    except (ValueError, RecursionError):
        return False
    return False
