"""Stage 4, numbers: exact integers and decimals from their raw text, floats by nearest value.

Enters: INTEGER, DECIMAL and FLOAT columns as Int64, String (JSON strings), Struct {text, kind} or a native
dtype. Leaves: Int64, Decimal(38, scale), String in plain canonical form (decimals without a scale or beyond
38 digits), Float64. Nothing is rounded: what doesn't fit rejects.
"""

import math
import re

import polars as pl

from shared.sync import text
from shared.sync.findings import Findings
from shared.sync.model import Batch, ColumnType, Kind, Rules, RunConfig, SourceColumn

KINDS = (Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT)
MAX_DIGITS = (
    1_000  # on either side of the point where the type sets no limit: PostgreSQL's for a declared precision
)
_NUMBER = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?)0*([0-9]+))?")
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_JSON_STRING = 1

Outcome = tuple[str | None, str | None]  # plain text, or the code of a reject


def apply(batch: Batch, config: RunConfig) -> Batch:
    """Number columns in their final dtype."""
    found = Findings("numbers")
    columns = [
        read_column(batch.rows[f"c{position}"], column, found).alias(f"c{position}")
        for position, column in enumerate(config.source_columns)
        if column.type.kind in KINDS
    ]
    return found.close(batch, batch.rows.with_columns(columns) if columns else batch.rows)


def holds_scale(column: ColumnType) -> bool:
    """Whether a DECIMAL column travels as Decimal(38, scale); else as canonical text."""
    return column.precision is not None and column.precision <= 38


def plain_text(values: pl.Series) -> pl.Series:
    """Numbers as plain decimal text: no exponent, no trailing zeros, the same for 1 and 1.00."""
    texts = values.cast(pl.String)
    if isinstance(values.dtype, pl.Decimal) and values.dtype.scale:
        return _without_zeros(texts)
    return texts


def _without_zeros(texts: pl.Series) -> pl.Series:
    """Texts with a point, less the zeros that end them."""
    ending = texts.str.ends_with("0").arg_true()
    # one decimal in ten ends in zero: touching only those halves the time
    stripped = texts.gather(ending).str.strip_chars_end("0").str.strip_chars_end(".")
    return texts.scatter(ending, stripped) if len(ending) else texts


def float_text(values: pl.Series) -> pl.Series:
    """Floats by the shortest digits that read back as the same value, as Python's repr spells them."""
    texts = values.cast(pl.String)
    size = values.abs()
    # polars spells small and large magnitudes and NaN otherwise than repr; few columns hold any
    other = (((size < 1e-3) & (values != 0)) | (size >= 1e15) | ~values.is_finite()).fill_null(False)
    if not other.any():
        return texts
    spelt = pl.Series([repr(value) for value in values.filter(other).to_list()], dtype=pl.String)
    return texts.scatter(other.arg_true(), spelt)


def read_column(values: pl.Series, column: SourceColumn, found: Findings) -> pl.Series:
    """One column's values in the dtype of `column.type`."""
    rules = column.rules
    if values.dtype.is_float() and column.type.kind is Kind.FLOAT:
        floats = values.cast(pl.Float64)
        return floats.set((floats == 0).fill_null(False), 0.0)  # -0 equals 0 but would hash otherwise
    if values.dtype == pl.Int64 and not (rules.sentinels or rules.null_values):
        done = _from_integers(values, column, found)
        if done is not None:
            return done
    texts, strings = _texts(values)
    if rules.null_values or rules.sentinels or rules.empty_is_null:
        texts = _with_sentinels(text.settle(texts, rules, column.name, found), column, found)
    return _cast(_spelt_plainly(texts, strings, column, found), column, found)


def _from_integers(values: pl.Series, column: SourceColumn, found: Findings) -> pl.Series | None:
    """JSON integers need no parsing; None when their text must be looked at."""
    if column.type.kind is Kind.INTEGER:
        if column.type.bits < 64:
            _reject_beyond(values, 1 << (column.type.bits - 1), column.name, found)
        return values
    if column.type.kind is Kind.FLOAT:
        return values.cast(pl.Float64)
    whole = (column.type.precision or 0) - (column.type.scale or 0)
    if not holds_scale(column.type) or whole >= 19:
        return None
    _reject_beyond(values, 10**whole, column.name, found)
    return values.cast(pl.Decimal(38, column.type.scale or 0), strict=False)


def _reject_beyond(values: pl.Series, limit: int, column: str, found: Findings) -> None:
    # the lower limit is a bit's -2**n or a digit's -10**n + 1; only bits reach their limit itself
    low = -limit if limit & (limit - 1) == 0 and limit > 1 else 1 - limit
    lowest, highest = values.min(), values.max()
    if isinstance(lowest, int) and isinstance(highest, int) and (lowest < low or highest >= limit):
        found.reject(column, "out_of_range", (values < low) | (values >= limit))


def _texts(values: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The raw spelling of each value, and which of them were JSON strings."""
    if isinstance(values.dtype, pl.Struct):
        return values.struct.field("text"), values.struct.field("kind") == _JSON_STRING
    strings = pl.repeat(values.dtype == pl.String, len(values), dtype=pl.Boolean, eager=True)
    return (values if values.dtype == pl.String else plain_text(values)), strings


def _with_sentinels(texts: pl.Series, column: SourceColumn, found: Findings) -> pl.Series:
    """Sentinels matched by value: `-1` also means -1.00."""
    wanted = {_value(spelt, column.rules): new for spelt, new in column.rules.sentinels.items()}
    if not wanted:
        return texts
    spellings = texts.drop_nulls().unique().to_list()
    meant = {spelt: wanted[value] for spelt in spellings if (value := _value(spelt, column.rules)) in wanted}
    if not meant:
        return texts
    found.change(column.name, "sentinels", int(texts.is_in(list(meant)).sum() or 0))
    return texts.replace(meant)


def _value(spelt: str, rules: Rules) -> str:
    value, _ = exact(spelt, True, rules, ColumnType(Kind.DECIMAL))
    return spelt if value is None else value


def _spelt_plainly(texts: pl.Series, strings: pl.Series, column: SourceColumn, found: Findings) -> pl.Series:
    """Each text as one a cast reads exactly; what is no number of the type rejects and becomes null."""
    pattern = _fast_pattern(column.type)
    good = texts.str.contains(pattern)
    if column.rules.decimal_separator != "." and strings.any():
        good = good & ~(strings & texts.str.contains(".", literal=True))
    if good.all():
        return texts
    good = good.fill_null(True)
    odd = _keep(texts, ~good)
    # most odd cells are strings with blanks or in the declared locale: both are settled a column at a time
    settled = text.settle(odd, column.rules, column.name, found)
    candidates = _candidates(settled, strings, column)
    regular = candidates.str.contains(pattern).fill_null(False)
    _count_separators(_keep(settled, regular & strings), column, found)
    rest = _exact_cells(_keep(settled, ~regular), strings, column, found)
    return texts.zip_with(good, candidates.zip_with(regular, rest))


def _keep(texts: pl.Series, where: pl.Series) -> pl.Series:
    return texts.zip_with(where, pl.repeat(None, len(texts), dtype=pl.String, eager=True))


def _fast_pattern(column: ColumnType) -> str:
    """Spellings that a cast reads exactly and that fit the type whatever their digits."""
    if column.kind is Kind.INTEGER:
        return r"^-?[0-9]{1," + {16: "4", 32: "9"}.get(column.bits, "18") + "}$"
    if column.kind is Kind.FLOAT:
        return r"^(?:-?[1-9][0-9]{0,14}(?:\.[0-9]{1,15})?|-?0\.[0-9]{0,14}[1-9]|0)$"
    if not holds_scale(column):
        return _canonical_pattern(*(min(limit, 99) for limit in _limits(column)))
    scale, whole = column.scale or 0, (column.precision or 0) - (column.scale or 0)
    point = r"(?:\.[0-9]{1," + str(scale) + "})?" if scale else ""
    return r"^-?" + ("[0-9]{1," + str(whole) + "}" if whole else "0") + point + "$"


def _canonical_pattern(whole: int, scale: int) -> str:
    """Decimals as they leave this stage: no zero that means nothing, no minus before zero."""
    lead = f"[1-9][0-9]{{0,{whole - 1}}}"
    integers = f"0|-?{lead}" if whole else "0"
    heads = f"(?:0|{lead})" if whole else "0"
    decimals = f"|-?{heads}" + rf"\.[0-9]{{0,{scale - 1}}}[1-9]" if scale else ""
    return f"^(?:{integers}{decimals})$"


def _candidates(settled: pl.Series, strings: pl.Series, column: SourceColumn) -> pl.Series:
    """Strings respelt from the declared locale where they follow it exactly; null where not."""
    rules = column.rules
    fraction = f"(?:{re.escape(rules.decimal_separator)}[0-9]+)?"
    groups = (
        f"[0-9]{{1,3}}(?:{re.escape(rules.group_separator)}[0-9]{{3}})+|" if rules.group_separator else ""
    )
    readable = settled.str.contains(f"^-?(?:{groups}[0-9]+){fraction}$").fill_null(False)
    texts = settled
    if rules.group_separator:
        texts = texts.str.replace_all(rules.group_separator, "", literal=True)
    if rules.decimal_separator != ".":
        texts = texts.str.replace(rules.decimal_separator, ".", literal=True)
    texts = _keep(texts, readable & strings).zip_with(strings, _keep(settled, ~strings))
    if column.type.kind is Kind.DECIMAL and not holds_scale(column.type):
        stripped = texts.str.strip_chars_end("0").str.strip_chars_end(".")
        return stripped.zip_with(texts.str.contains(r"^-?[0-9]+\.[0-9]+$").fill_null(False), texts)
    return texts


def _count_separators(respelt: pl.Series, column: SourceColumn, found: Findings) -> None:
    marks = {"group_separator": column.rules.group_separator}
    if column.rules.decimal_separator != ".":
        marks["decimal_separator"] = column.rules.decimal_separator
    for rule, mark in marks.items():
        if mark:
            found.change(column.name, rule, int(respelt.str.contains(mark, literal=True).sum() or 0))


def _exact_cells(cells: pl.Series, strings: pl.Series, column: SourceColumn, found: Findings) -> pl.Series:
    """The few cells no pattern covers, read one distinct spelling at a time."""
    result = cells.clear(len(cells))
    for is_string in (True, False):
        mine = _keep(cells, strings if is_string else ~strings)
        spellings = mine.drop_nulls().unique(maintain_order=True).to_list()
        if not spellings:
            continue
        read = {spelt: exact(spelt, is_string, column.rules, column.type) for spelt in spellings}
        found.reject_codes(column.name, translated(mine, {k: v[1] for k, v in read.items()}))
        result = result.zip_with(mine.is_null(), translated(mine, {k: v[0] for k, v in read.items()}))
    return result


def translated(cells: pl.Series, meaning: dict[str, str | None]) -> pl.Series:
    """Each text replaced by its meaning."""
    old = pl.Series(list(meaning), dtype=pl.String)
    new = pl.Series(list(meaning.values()), dtype=pl.String)
    return cells.replace_strict(old, new, default=None, return_dtype=pl.String)


def exact(spelt: str, is_string: bool, rules: Rules, column: ColumnType) -> Outcome:
    """One number read exactly: its plain text, or the code that says why not."""
    if not spelt.isascii() and any(c.isdigit() and not c.isascii() for c in spelt):
        return None, "bad_digits"
    if _NOT_FINITE.fullmatch(spelt):
        return (spelt, None) if column.kind is Kind.FLOAT and is_string else (None, "not_finite")
    plain, code = _without_groups(spelt, rules) if is_string else (spelt, None)
    if plain is None:
        return None, code
    match = _NUMBER.fullmatch(plain)
    if match is None or not (match[2] or match[3]):
        return None, "bad_number"
    if column.kind is Kind.FLOAT:
        return _nearest(plain, match)
    return _fitting(*_digits(match), column)


def _without_groups(spelt: str, rules: Rules) -> Outcome:
    group, point = rules.group_separator, rules.decimal_separator
    whole, mark, fraction = spelt.partition(point)
    if group and group in spelt:
        lead = re.escape(group)
        if not re.fullmatch(f"[+-]?[0-9]{{1,3}}(?:{lead}[0-9]{{3}})+", whole) or group in fraction:
            return None, "bad_grouping"
        whole = whole.replace(group, "")
    if point != "." and "." in whole + fraction:
        return None, "bad_grouping" if re.fullmatch(r"[0-9.,]+", spelt) else "bad_number"
    return whole + ("." if mark else "") + fraction, None


def _nearest(plain: str, match: re.Match[str]) -> Outcome:
    value = float(plain)
    nonzero = (match[2] + (match[3] or "")).strip("0")
    if math.isinf(value) or (value == 0 and nonzero):
        return None, "out_of_range"
    return repr(value + 0.0), None


def _digits(match: re.Match[str]) -> tuple[str, str, int]:
    """Sign, significant digits without outer zeros, and how many of them stand before the point."""
    whole, fraction = match[2], match[3] or ""
    # an exponent of more than six digits leaves every range; capped, it cannot blow up
    exponent = int(match[5]) if match[5] and len(match[5]) <= 6 else 10**6 if match[5] else 0
    point = len(whole) + (-exponent if match[4] == "-" else exponent)
    digits = (whole + fraction).lstrip("0")
    point -= len(whole) + len(fraction) - len(digits)
    return "-" if match[1] == "-" else "", digits.rstrip("0"), point


def _fitting(sign: str, digits: str, point: int, column: ColumnType) -> Outcome:
    if not digits:
        return "0", None
    whole_limit, scale = _limits(column)
    if len(digits) - point > scale:
        return None, "too_many_digits"
    if point > whole_limit:
        return None, "out_of_range"
    whole = digits[: max(point, 0)].ljust(max(point, 0), "0") or "0"
    fraction = "0" * max(-point, 0) + digits[max(point, 0) :]
    plain = sign + whole + ("." + fraction if fraction else "")
    if column.kind is Kind.INTEGER and not -(1 << (column.bits - 1)) <= int(plain) < 1 << (column.bits - 1):
        return None, "out_of_range"
    return plain, None


def _limits(column: ColumnType) -> tuple[int, int]:
    if column.kind is Kind.INTEGER:
        return 19, 0
    if column.precision is None:
        return MAX_DIGITS, MAX_DIGITS
    return column.precision - (column.scale or 0), column.scale or 0


def _cast(texts: pl.Series, column: SourceColumn, found: Findings) -> pl.Series:
    if column.type.kind is Kind.DECIMAL and not holds_scale(column.type):
        return texts
    dtype: pl.DataType = pl.Int64() if column.type.kind is Kind.INTEGER else pl.Float64()
    if column.type.kind is Kind.DECIMAL:
        dtype = pl.Decimal(38, column.type.scale or 0)
    values = texts.cast(dtype, strict=False)
    if values.null_count() > texts.null_count():
        # no spelling is known to come here; should a library change its mind, the row rejects, nothing breaks
        found.reject(column.name, "bad_number", values.is_null() & texts.is_not_null())
    return values
