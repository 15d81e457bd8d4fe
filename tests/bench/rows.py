"""The benchmark's rows as a connector sends them: twelve columns rendered to JSON by columns, a page at a time.

A row's content follows from its number and the table's edition alone, so that any page can be rendered again.
In each edition after the first, one row in a hundred differs from the edition before and has a newer version.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

PAGE_ROWS = 10_000
CHANGED_EVERY = 100
_CHANGED_AT = 7
_WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")
_TRIPLES = pl.Series([f"{a} {b} {c}" for a in _WORDS for b in _WORDS for c in _WORDS])

COLUMNS: tuple[dict[str, object], ...] = (
    {"name": "id", "data_type": "NUMBER(12)", "is_nullable": False, "is_business_key": True},
    {"name": "code", "data_type": "VARCHAR2(20)"},
    {"name": "name", "data_type": "VARCHAR2(60)"},
    {"name": "descr", "data_type": "VARCHAR2(200)"},
    {"name": "region", "data_type": "VARCHAR2(20)"},
    {"name": "status", "data_type": "VARCHAR2(20)"},
    {"name": "price", "data_type": "NUMBER(12,2)"},
    {"name": "amount", "data_type": "NUMBER(18,4)"},
    {"name": "qty", "data_type": "NUMBER(9)"},
    {"name": "active", "data_type": "BOOLEAN"},
    {"name": "created", "data_type": "TIMESTAMP"},
    {"name": "day", "data_type": "DATE", "format": {"formats": ["%d.%m.%Y"]}},
)


def versions(ids: np.ndarray, edition: int, rows: int) -> np.ndarray:
    """Each row's version, positive; every edition's are above all of the edition before."""
    return ids + 1 + np.where(ids % CHANGED_EVERY == _CHANGED_AT, edition * rows, 0)


def changed_ids(rows: int) -> np.ndarray:
    """The rows that differ from one edition to the next."""
    return np.arange(_CHANGED_AT, rows, CHANGED_EVERY)


def pages(rows: int, edition: int) -> list[bytes]:
    """All pages of a table of `rows` rows, each a JSON array."""
    blocks = (np.arange(start, min(start + 10 * PAGE_ROWS, rows)) for start in range(0, rows, 10 * PAGE_ROWS))
    return [page for ids in blocks for page in pages_of(ids, edition, rows)]


def pages_of(ids: np.ndarray, edition: int, rows: int) -> list[bytes]:
    """Pages of just these rows, each a JSON array."""
    rendered = _rendered(ids, edition, rows)
    starts = range(0, rendered.len(), PAGE_ROWS)
    return [b"[" + _joined(rendered.slice(start, PAGE_ROWS)) + b"]" for start in starts]


def _joined(rendered: pl.Series) -> bytes:
    text: str = rendered.str.join(",").item()
    return text.encode()


def _rendered(ids: np.ndarray, edition: int, rows: int) -> pl.Series:
    values = _values(ids, edition, rows)
    names = [str(column["name"]) for column in COLUMNS]
    data = [part for name in names for part in (pl.lit(f'"{name}":'), pl.col(name), pl.lit(","))][:-1]
    row = [pl.lit('{"oracle_keys":{"id":'), pl.col("id"), pl.lit('},"row_version":"'), pl.col("version"),
           pl.lit('","data":{'), *data, pl.lit("}}")]  # fmt: skip
    return values.select(pl.concat_str(row)).to_series()


def _values(ids: np.ndarray, edition: int, rows: int) -> pl.DataFrame:
    """JSON texts by column."""
    content = np.where(ids % CHANGED_EVERY == _CHANGED_AT, ids + edition * rows, ids)
    number = _Dice(content)
    frame = {
        "id": pl.Series(ids).cast(pl.String),
        "version": pl.Series(versions(ids, edition, rows)).cast(pl.String),
        "code": _quoted(["C", _padded(ids, 8)]),
        "name": _quoted([_TRIPLES.gather(number(1, 512))]),
        "descr": _quoted([_TRIPLES.gather(number(2, 512)), " ", _TRIPLES.gather(number(3, 512))]),
        "region": _quoted([_word(number(4, 8))]),
        "status": _quoted([_word(number(5, 8))]),
        "price": _text([_plain(number(6, 100_000)), ".", _padded(number(7, 100), 2)]),
        "amount": _text([_plain(number(8, 10_000_000)), ".", _padded(number(9, 10_000), 4)]),
        "qty": _plain(number(10, 100_000)),
        "active": pl.Series(["false", "true"]).gather(number(11, 2)),
        "created": _quoted(["2024-", _padded(number(12, 12) + 1, 2), "-", _padded(number(13, 28) + 1, 2), "T",
                            _padded(number(14, 24), 2), ":", _padded(number(15, 60), 2), ":", _padded(number(16, 60), 2)]),
        "day": _quoted([_padded(number(17, 28) + 1, 2), ".", _padded(number(18, 12) + 1, 2), ".2023"]),
    }  # fmt: skip
    return pl.DataFrame(frame)


class _Dice:
    """Numbers that look random and follow from the content's number and a column's salt."""

    def __init__(self, content: np.ndarray) -> None:
        self._content = content.astype(np.uint64)

    def __call__(self, salt: int, sides: int) -> np.ndarray:
        mixed = (self._content + np.uint64(salt << 40)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
        return ((mixed >> np.uint64(33)) % np.uint64(sides)).astype(np.int64)


def _plain(numbers: np.ndarray) -> pl.Series:
    return pl.Series(numbers).cast(pl.String)


def _padded(numbers: np.ndarray, width: int) -> pl.Series:
    return _plain(numbers).str.zfill(width)


def _word(numbers: np.ndarray) -> pl.Series:
    return pl.Series(_WORDS).gather(numbers)


def _text(parts: Sequence[pl.Series | str]) -> pl.Series:
    literal = [pl.lit(part) for part in parts]
    return pl.select(pl.concat_str(literal)).to_series()


def _quoted(parts: Sequence[pl.Series | str]) -> pl.Series:
    return _text(['"', *parts, '"'])
