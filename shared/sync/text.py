"""Stage 3, text: control characters, trimming, Unicode form, case, and the words that mean NULL.

Enters a batch whose TEXT columns are String; leaves the same with rules applied. `settle` is the same work on
one Series, which the stages for booleans, numbers and dates call for the cells they could not read at once.
"""

from collections.abc import Callable

import numpy as np
import polars as pl

from shared.sync.findings import Findings
from shared.sync.model import Batch, Kind, Rules, RunConfig

BLANKS = " \t\r\n"
_CONTROL = "[\u0001-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]"


def apply(batch: Batch, config: RunConfig) -> Batch:
    """TEXT columns after their rules; rejects `nul` and `too_long`."""
    found = Findings("text")
    columns = []
    for position, column in enumerate(config.source_columns):
        if column.type.kind is Kind.TEXT:
            texts = settle(batch.rows[f"c{position}"], column.rules, column.name, found)
            reject_long(texts, column.type.length, column.name, found)
            columns.append(texts.alias(f"c{position}"))
    return found.close(batch, batch.rows.with_columns(columns) if columns else batch.rows)


def settle(texts: pl.Series, rules: Rules, column: str, found: Findings) -> pl.Series:
    """One String Series after every text rule, in the order control, trim, unicode, case, NULL words."""
    joined = joined_text(texts)
    if _may_hold_control(joined):
        texts = _control(texts, rules, column, found)
    if rules.trim != "none":
        texts = _trim(texts, joined, rules, column, found)
    if rules.unicode == "NFC" and not joined.isascii():
        texts = _changed(texts, lambda s: s.str.normalize("NFC"), column, "unicode", found)
    if rules.case != "none":
        texts = _changed(texts, _cased(rules), column, "case", found)
    return nulls(texts, rules, column, found)


def reject_long(texts: pl.Series, length: int | None, column: str, found: Findings) -> None:
    """Rejects texts of more than `length` characters."""
    # counting bytes is five times cheaper, and no text has more characters than bytes
    if length is not None and _largest(texts.str.len_bytes()) > length:
        found.reject(column, "too_long", texts.str.len_chars() > length)


def joined_text(texts: pl.Series) -> str:
    """All texts end to end: one look at it settles for a whole chunk that a rule has nothing to do."""
    return str(texts.str.join("")[0] or "")


def nulls(texts: pl.Series, rules: Rules, column: str, found: Findings) -> pl.Series:
    """Empty texts, null_values and sentinels replaced as the rules say."""
    if rules.empty_is_null:
        texts = _blank(texts, texts == "", column, "empty_is_null", found)
    if rules.null_values:
        words = _cased(rules)(pl.Series(rules.null_values)) if rules.case != "none" else rules.null_values
        texts = _blank(texts, texts.is_in(list(words)), column, "null_values", found)
    if rules.sentinels:
        hit = texts.is_in(list(rules.sentinels))
        if hit.any():
            found.change(column, "sentinels", int(hit.sum()))
            texts = texts.replace(dict(rules.sentinels))
    return texts


def _blank(texts: pl.Series, where: pl.Series, column: str, rule: str, found: Findings) -> pl.Series:
    count = int(where.sum() or 0)
    found.change(column, rule, count)
    return texts.set(where.fill_null(False), None) if count else texts


def _may_hold_control(joined: str) -> bool:
    """Whether a control character, NUL or DEL may occur; false is certain."""
    data = np.frombuffer(joined.encode(), np.uint8)
    if not data.size or (data.min() >= 0x20 and data.max() < 0x7F):
        return False
    # C1 characters all begin with byte C2 in UTF-8
    return bool(data.min() < 0x20 or (data == 0x7F).any() or (data == 0xC2).any())


def _control(texts: pl.Series, rules: Rules, column: str, found: Findings) -> pl.Series:
    nul = texts.str.contains("\0", literal=True)
    if rules.control == "strip":
        found.reject(column, "nul", nul)
    elif nul.any():
        texts = _changed(texts, lambda s: s.str.replace_all("\0", "", literal=True), column, "control", found)
    return _changed(texts, lambda s: s.str.replace_all(_CONTROL, ""), column, "control", found)


def _trim(texts: pl.Series, joined: str, rules: Rules, column: str, found: Findings) -> pl.Series:
    # a look at both ends costs a third of stripping, and most columns have blanks only between words
    if not any(blank in joined for blank in BLANKS[1:]) and not _edged(texts, joined):
        return texts
    if rules.trim == "right":
        return _changed(texts, lambda s: s.str.strip_chars_end(BLANKS), column, "trim", found)
    return _changed(texts, lambda s: s.str.strip_chars(BLANKS), column, "trim", found)


def _edged(texts: pl.Series, joined: str) -> bool:
    return " " in joined and bool(texts.str.ends_with(" ").any() or texts.str.starts_with(" ").any())


def _cased(rules: Rules) -> Callable[[pl.Series], pl.Series]:
    return lambda s: s.str.to_uppercase() if rules.case == "upper" else s.str.to_lowercase()


def _changed(
    texts: pl.Series, rule: Callable[[pl.Series], pl.Series], column: str, name: str, found: Findings
) -> pl.Series:
    after = rule(texts)
    found.change(column, name, int((after != texts).sum() or 0))
    return after


def _largest(lengths: pl.Series) -> int:
    largest = lengths.max()
    return largest if isinstance(largest, int) else 0
