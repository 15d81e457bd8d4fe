"""Where things stand in a page's bytes: its quotes, its rows, and the envelope around them.

In: the body of one answer. Out: positions, found with whole-array operations and no recursion, so that
neither a crafted nesting nor one broken row can stop the reading of the others. Called by the decoders only.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.errors import SourceProtocolError

Positions = NDArray[np.int64]
Bytes = NDArray[np.uint8]
_BACKSLASH, _QUOTE, _COLON = 92, 34, 58
_SIGNS = np.zeros(256, dtype=np.int8)
_SIGNS[[ord("{"), ord("[")]] = 1
_SIGNS[[ord("}"), ord("]")]] = -1
_BLANKS = np.zeros(256, dtype=np.bool_)
_BLANKS[[9, 10, 13, 32]] = True


class DuplicateKeyError(ValueError):
    """A JSON object names one member twice."""


class ExactNumber(str):
    """A JSON number as the source spelt it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Structure:
    """The rows array of a body: `start` and `end` stand just inside its brackets; each row's span and
    depth."""

    start: int
    end: int
    row_starts: Positions
    row_ends: Positions
    row_depths: Positions


def unique(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """An object's members; raises DuplicateKeyError where a name comes twice."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise DuplicateKeyError
    return members


def protocol_error(what: str) -> SourceProtocolError:
    """An error for an answer that is not a page of the protocol."""
    return SourceProtocolError(
        f"The answer of the connector is not a page: {what}.",
        hint="Call the data endpoint of this table by hand and compare it with docs/protocol.md.",
    )


def find_quotes(buffer: Bytes, escaped: bool) -> Positions:
    """Positions of the quotes that open and close strings, in order; `escaped`: a backslash is in the
    buffer."""
    quotes = np.flatnonzero(buffer == _QUOTE)
    if not escaped:
        return quotes
    slashes = np.flatnonzero(buffer == _BACKSLASH)
    lasts = np.flatnonzero(np.diff(slashes, append=-2) != 1)
    lengths = np.diff(lasts, prepend=-1)
    shielded = slashes[lasts[lengths % 2 == 1]] + 1
    return np.setdiff1d(quotes, shielded, assume_unique=True)


def count_members(buffer: Bytes, quotes: Positions) -> int:
    """How many member names stand among the strings."""
    after = quotes[1::2] + 1
    after = after[after < len(buffer)]
    blank = _BLANKS[buffer[after]]
    while blank.any():
        after[blank] += 1
        after = after[after < len(buffer)]
        blank = _BLANKS[buffer[after]]
    return int((buffer[after] == _COLON).sum())


def find_rows(body: bytes, buffer: Bytes, quotes: Positions) -> Structure:
    """The spans of the rows of a page; raises SourceProtocolError when the body is no such thing."""
    if len(quotes) % 2:
        raise protocol_error("it is cut off inside a string")
    brackets = np.flatnonzero(_SIGNS[buffer])
    brackets = brackets[np.searchsorted(quotes, brackets) % 2 == 0]
    signs = _SIGNS[buffer[brackets]]
    depths = np.cumsum(signs, dtype=np.int64)
    if not len(depths) or depths[-1] != 0 or depths.min() < 0:
        raise protocol_error("it is no JSON object, or is cut off")
    first = _find_array(body, brackets, depths, quotes)
    last = first + 1 + int(np.argmax(depths[first + 1 :] == 1))
    inner = slice(first + 1, last)
    opening = (signs[inner] > 0) & (depths[inner] == 3)
    closing = (signs[inner] < 0) & (depths[inner] == 2)
    starts, ends = brackets[inner][opening], brackets[inner][closing] + 1
    deepest = np.maximum.reduceat(depths[inner], np.flatnonzero(opening)) if len(starts) else depths[:0]
    return Structure(int(brackets[first]) + 1, int(brackets[last]), starts, ends, deepest - 2)


def _find_array(body: bytes, brackets: Positions, depths: Positions, quotes: Positions) -> int:
    at = body.find(b'"rows"')
    while at >= 0:
        opening, parity = int(np.searchsorted(brackets, at)), int(np.searchsorted(quotes, at)) % 2
        if parity == 0 and 0 < opening < len(brackets) and depths[opening - 1] == 1:
            between = bytes(body[at + 6 : int(brackets[opening])]).split()
            if b"".join(between) == b":" and body[int(brackets[opening])] == ord("["):
                return opening
        at = body.find(b'"rows"', at + 6)
    raise protocol_error("it has no member 'rows' that is a list")


def parse_envelope(around: bytes) -> dict[str, object]:
    """The members beside the rows, numbers as ExactNumber; `around` is the body with its rows cut out."""
    try:
        members = json.loads(
            around,
            object_pairs_hook=unique,
            parse_int=ExactNumber,
            parse_float=ExactNumber,
            parse_constant=ExactNumber,
        )
    except DuplicateKeyError:
        raise protocol_error("a member beside the rows comes twice") from None
    except (ValueError, RecursionError):
        raise protocol_error("it is not JSON") from None
    if not isinstance(members, dict) or members.get("rows") != []:
        raise protocol_error("it has no member 'rows' that is a list")
    return members
