"""Stage 5, dates and times: declared formats, ISO 8601 or the dialect's unambiguous forms; no guessing.

Enters: DATE, TIMESTAMP and TIMESTAMPTZ columns as String, Struct {text, kind}, Int64 or a native dtype.
Leaves: Date, Datetime("us"), Datetime("us", "UTC"). Internally a time is microseconds of its wall clock
since 1970 beside the minutes of its offset; `instants.py` reads odd cells one distinct spelling at a time.
"""

import itertools
import re
from dataclasses import dataclass

import polars as pl

from shared.sync import text
from shared.sync.findings import Findings
from shared.sync.instants import DAY_US, Reading, read
from shared.sync.model import Batch, Kind, RunConfig, SourceColumn
from shared.sync.numbers import plain_text, translated

KINDS = (Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ)
_WALL = pl.Datetime("us")
_FIRST_US, _END_US = -62_135_596_800_000_000, 253_402_300_800_000_000  # years 1 to 9999
_FOREIGN_US = (-21_143_116_800_000_000, -14_831_769_600_000_000)  # years 1300 to 1499, see _reject_eras
_WIDTHS = {"%Y": 4, "%m": 2, "%d": 2, "%H": 2, "%M": 2, "%S": 2, "%b": 3}
_PLAIN_FORMATS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y%m%d%H%M%S", "%Y%m%d")
_ORACLE_FORMATS = ("%d-%b-%Y", "%d-%b-%Y %H:%M:%S")
_ISO = (
    r"^([0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-5][0-9])(?:\.([0-9]{1,6})0*)?"
    r"(?:(Z)|([+-])([0-9]{2}):?([0-5][0-9]))?$"
)


@dataclass(frozen=True, slots=True)
class _Times:
    """`wall` is Datetime("us"); `offset` Int32 minutes east, null where the text names none."""

    wall: pl.Series
    offset: pl.Series | None


def apply(batch: Batch, config: RunConfig) -> Batch:
    """Date and time columns in their final dtype."""
    found = Findings("dates")
    columns = [
        read_column(batch.rows[f"c{position}"], column, Reading.of(column, config.dialect), found).alias(
            f"c{position}"
        )
        for position, column in enumerate(config.source_columns)
        if column.type.kind in KINDS
    ]
    return found.close(batch, batch.rows.with_columns(columns) if columns else batch.rows)


def read_column(values: pl.Series, column: SourceColumn, reading: Reading, found: Findings) -> pl.Series:
    """One column's values in the dtype of `column.type`."""
    if values.dtype.is_temporal():
        times = _native(values)
    else:
        times = _parsed(_texts(values, column, reading, found), column, reading, found)
    _reject_eras(times.wall, column.name, found)
    match column.type.kind:
        case Kind.DATE:
            found.reject(column.name, "time_in_date", times.wall.to_physical() % DAY_US != 0)
            return times.wall.cast(pl.Date)
        case Kind.TIMESTAMP:
            if times.offset is not None:
                found.reject(column.name, "zone_unexpected", times.offset.is_not_null())
            return times.wall
        case _:
            return _instants(times, column, found)


def _native(values: pl.Series) -> _Times:
    zone = getattr(values.dtype, "time_zone", None)
    wall = (values.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zone else values).cast(_WALL)
    return _Times(wall, _offsets(wall, 0) if zone else None)


def _offsets(wall: pl.Series, minutes: int) -> pl.Series:
    everywhere = pl.repeat(minutes, len(wall), dtype=pl.Int32, eager=True)
    return everywhere.set(wall.is_null(), None)


def _texts(values: pl.Series, column: SourceColumn, reading: Reading, found: Findings) -> pl.Series:
    if isinstance(values.dtype, pl.Struct):
        values = values.struct.field("text")
    texts = values if values.dtype == pl.String else plain_text(values)
    rules = column.rules
    if not (rules.null_values or rules.sentinels or rules.empty_is_null):
        return texts
    texts = text.settle(texts, rules, column.name, found)
    return _with_sentinels(texts, column, reading, found)


def _with_sentinels(texts: pl.Series, column: SourceColumn, reading: Reading, found: Findings) -> pl.Series:
    """Sentinels matched by value: `9999-12-31` also means 9999-12-31T00:00:00."""
    wanted = {read(spelt, reading)[:2]: new for spelt, new in column.rules.sentinels.items()}
    wanted.pop((None, None), None)
    if not wanted:
        return texts
    days = {spelt[:10] for spelt in column.rules.sentinels}
    near = texts.filter(texts.str.head(10).is_in(list(days)).fill_null(False)).unique().to_list()
    meant = {spelt: wanted[value] for spelt in near if (value := read(spelt, reading)[:2]) in wanted}
    if not meant:
        return texts
    found.change(column.name, "sentinels", int(texts.is_in(list(meant)).sum() or 0))
    return texts.replace(meant)


def _parsed(texts: pl.Series, column: SourceColumn, reading: Reading, found: Findings) -> _Times:
    """Whole columns by the shapes their first texts show, the rest by distinct spelling."""
    times = _Times(pl.repeat(None, len(texts), dtype=_WALL, eager=True), None)
    rest, tried = texts, set[str]()
    while shape := next((each for each in _shapes(rest, reading) if each not in tried), None):
        tried.add(shape)
        times = _joined(times, _quickly(rest, shape, reading))
        if times.wall.null_count() == texts.null_count():
            return times
        rest = _keep(texts, times.wall.is_null())
    return _odd(rest, times, column, reading, found)


def _joined(times: _Times, more: _Times) -> _Times:
    if times.wall.null_count() == len(times.wall):
        return more
    wall = times.wall.zip_with(times.wall.is_not_null(), more.wall)
    return _Times(wall, _either(times.offset, more.offset))


def _quickly(texts: pl.Series, shape: str, reading: Reading) -> _Times:
    if shape == "iso":
        return _iso(texts)
    if "%" in shape:
        return _Times(_fixed(texts, shape), None)
    wall = _counted(texts, shape)
    return _Times(wall, _offsets(wall, 0) if reading.zoned else None)


def _keep(texts: pl.Series, where: pl.Series) -> pl.Series:
    return texts.zip_with(where, pl.repeat(None, len(texts), dtype=pl.String, eager=True))


def _either(first: pl.Series | None, second: pl.Series | None) -> pl.Series | None:
    if first is None or second is None:
        return second if first is None else first
    return first.zip_with(first.is_not_null(), second)


def _shapes(texts: pl.Series, reading: Reading) -> list[str]:
    """Which quick readers are worth a pass, judged by the first texts still unread; in the formats' order."""
    if reading.formats:
        return _quick_formats(reading.formats)
    sample = texts.drop_nulls().head(8).to_list()
    known = _PLAIN_FORMATS + (_ORACLE_FORMATS if reading.dialect == "oracle" else ())
    shapes = [f for f in known if any(re.fullmatch(_pattern(f), spelt) for spelt in sample)]
    iso = any(re.match(_ISO, spelt) for spelt in sample) and len(shapes) < 2
    return [*shapes, "iso"] if iso else shapes


def _quick_formats(formats: tuple[str, ...]) -> list[str]:
    """The formats that may be tried a column at a time without changing which of them reads a text first.

    The first always may. A later one may if it and all before it have full-width parts held apart: then no
    text in its exact spelling is one that an earlier format reads in some looser spelling.
    """
    if formats[0] in ("epoch_s", "epoch_ms"):
        return [formats[0]]
    quick = list(itertools.takewhile(_is_fixed, formats))
    apart = list(itertools.takewhile(lambda f: not re.search("%.%", f), quick))
    return apart or quick[:1]


def _is_fixed(pattern: str) -> bool:
    directives = re.findall("%.", pattern)
    return pattern.isascii() and all(d in _WIDTHS for d in directives) and {"%Y", "%d"} <= set(directives)


def _pattern(fixed: str) -> str:
    """The exact spelling a fixed format reads. Seconds stop at 59: chrono carries 60 over."""
    widths = {d: f"[0-9]{{{n}}}" for d, n in _WIDTHS.items()} | {"%S": "[0-5][0-9]", "%b": "[A-Za-z]{3}"}
    parts = re.split("(%.)", fixed)
    return "^" + "".join(widths.get(part) or re.escape(part) for part in parts) + "$"


def _fixed(texts: pl.Series, pattern: str) -> pl.Series:
    """Texts of a format whose every part has its full width; null where the text is anything else."""
    if not _surely_fixed(texts, pattern):
        texts = _keep(texts, texts.str.contains(_pattern(pattern)).fill_null(False))
    # null instead of 0001-01-01: chrono knows a year 0
    if "%H" not in pattern:
        return texts.str.to_date(pattern, strict=False, cache=False).cast(_WALL)
    return texts.str.to_datetime(pattern, time_unit="us", strict=False, cache=False)


def _surely_fixed(texts: pl.Series, pattern: str) -> bool:
    """One look at all texts spares a pattern for each: chrono takes only blanks and signs besides."""
    if "%b" in pattern or ("%S" in pattern and ":%S" not in pattern):
        return False
    width = len(re.sub("%.", "", pattern)) + sum(_WIDTHS[d] for d in re.findall("%.", pattern))
    lengths = texts.str.len_bytes()
    if lengths.min() != width or lengths.max() != width:
        return False
    joined, count = text.joined_text(texts), len(texts) - texts.null_count()
    literal = re.sub("%.", "", pattern)
    return (
        joined.isascii()
        and all(joined.count(mark) == literal.count(mark) * count for mark in " +-")
        and not any(blank in joined for blank in "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f")
        and ":60" not in joined
    )


def _counted(texts: pl.Series, word: str) -> pl.Series:
    """Whole epoch seconds or milliseconds; null where the text is anything else."""
    whole = _keep(texts, texts.str.contains(r"^-?[0-9]{1,14}$").fill_null(False)).cast(pl.Int64)
    within = whole * (1_000_000 if word == "epoch_s" else 1_000)
    inside = within.is_between(_FIRST_US, _END_US, closed="left") & (whole.abs() < 10**15)
    return within.set(~inside.fill_null(False), None).cast(_WALL)


def _iso(texts: pl.Series) -> _Times:
    """ISO 8601 with any fraction that fits microseconds and any offset."""
    parts = texts.str.extract_groups(_ISO).struct
    wall = parts.field("1").str.replace(" ", "T", literal=True)
    micros = parts.field("2").str.pad_end(6, "0").cast(pl.Int64).fill_null(0)
    minutes = parts.field("5").cast(pl.Int32) * 60 + parts.field("6").cast(pl.Int32)
    sign = pl.Series([1], dtype=pl.Int32).new_from_index(0, len(texts)).set(parts.field("4") == "-", -1)
    offset = (minutes * sign).zip_with(parts.field("3").is_null(), _offsets(texts, 0))
    base = wall.str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False, cache=False)
    stamped = (base.to_physical() + micros).cast(_WALL)
    # an offset beyond a day's reach is left to the exact reader, which refuses it
    usable = offset.is_null() | offset.is_between(-18 * 60, 18 * 60)
    stamped = stamped.set(~usable, None)
    offset = offset.set(stamped.is_null(), None)
    return _Times(stamped, None if offset.null_count() == len(offset) else offset)


def _odd(rest: pl.Series, times: _Times, column: SourceColumn, reading: Reading, found: Findings) -> _Times:
    """The cells no quick reader took."""
    settled = text.settle(rest, column.rules, column.name, found)
    outcomes = {
        spelt: read(spelt, reading) for spelt in settled.drop_nulls().unique(maintain_order=True).to_list()
    }
    found.reject_codes(column.name, translated(settled, {k: v[2] for k, v in outcomes.items()}))
    truncated = [spelt for spelt, outcome in outcomes.items() if outcome[3]]
    found.change(column.name, "fraction", int(settled.is_in(truncated).sum() or 0) if truncated else 0)
    walls = _numbers(settled, {k: v[0] for k, v in outcomes.items()}, pl.Int64()).cast(_WALL)
    offsets = _numbers(settled, {k: v[1] for k, v in outcomes.items()}, pl.Int32())
    offset = _either(times.offset, None if offsets.null_count() == len(offsets) else offsets)
    return _Times(times.wall.zip_with(times.wall.is_not_null(), walls), offset)


def _numbers(cells: pl.Series, meaning: dict[str, int | None], dtype: pl.DataType) -> pl.Series:
    old = pl.Series(list(meaning), dtype=pl.String)
    return cells.replace_strict(
        old, pl.Series(list(meaning.values()), dtype=dtype), default=None, return_dtype=dtype
    )


def _reject_eras(wall: pl.Series, column: str, found: Findings) -> None:
    """Years outside 1 to 9999, and 1300 to 1499, where Persian and Islamic years of our days lie."""
    instants = wall.to_physical()
    lowest, highest = instants.min(), instants.max()
    if not isinstance(lowest, int) or not isinstance(highest, int):
        return
    if lowest < _FOREIGN_US[1]:
        found.reject(column, "other_calendar", instants.is_between(*_FOREIGN_US, closed="left"))
    if lowest < _FIRST_US:
        year_zero = instants >= _FIRST_US - 366 * DAY_US
        found.reject(column, "zero_date", (instants < _FIRST_US) & year_zero)
        found.reject(column, "bc_date", instants < _FIRST_US)
    if highest >= _END_US:
        found.reject(column, "out_of_range", instants >= _END_US)


def _reject_beyond(utc: pl.Series, column: str, found: Findings) -> None:
    """Instants whose wall clock lies in years 1 to 9999, but not their UTC."""
    found.reject(column, "out_of_range", ~utc.to_physical().is_between(_FIRST_US, _END_US, closed="left"))


def _instants(times: _Times, column: SourceColumn, found: Findings) -> pl.Series:
    """Wall clocks as UTC: by their own offset where they name one, else by the column's zone."""
    wall, offset = times.wall, times.offset
    if offset is None:
        return _localised(wall, column, found).alias(wall.name)
    named = offset.is_not_null()
    shifted = (wall.to_physical() - offset.cast(pl.Int64) * 60_000_000).cast(_WALL)
    _reject_beyond(shifted, column.name, found)
    utc = shifted.dt.replace_time_zone("UTC")
    naive = wall.set(named, None)
    return utc if naive.null_count() == len(naive) else utc.zip_with(named, _localised(naive, column, found))


def _localised(wall: pl.Series, column: SourceColumn, found: Findings) -> pl.Series:
    zone, rule = column.rules.timezone, column.rules.ambiguous
    if zone is None:
        found.reject(column.name, "zone_missing", wall.is_not_null())
        return wall.dt.replace_time_zone("UTC")
    local = wall.dt.replace_time_zone(
        zone, ambiguous="null" if rule == "reject" else rule, non_existent="null"
    )
    if local.null_count() > wall.null_count():
        lost = local.is_null() & wall.is_not_null()
        gap = wall.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").is_null()
        found.reject(column.name, "dst_gap", lost & gap)
        found.reject(column.name, "dst_fold", lost & ~gap)
    utc = local.dt.convert_time_zone("UTC")
    _reject_beyond(utc, column.name, found)
    return utc
