"""Row versions: typed, order-preserving, and asked for without a gap.

In: versions as the source spells them. Out: an encoded text whose order under collation C is the versions'
order (what `_bridge_erp_rowversion`, bounds and watermarks hold), and spellings to ask the source with.
number -> 38 digits, hex -> 32 lower-case digits, timestamp -> 2025-01-31T23:59:59.123456Z, text -> itself.
Digits beyond microseconds are cut off when encoding, so an encoded value never exceeds the version it stands
for; as every question is asked from strictly below the encoded watermark, versions that share its microsecond
are read again, never skipped. A time without a zone is taken as UTC: the source's own clock, consistently.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from shared.errors import WatermarkRegressionError
from shared.sync.model import VersionSpec

NUMBER_WIDTH, HEX_WIDTH = 38, 32
_TIMESTAMP = (
    r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:[.,]([0-9]+))?"
    r" ?(Z|z|[+-][0-9]{2}(?::?[0-9]{2})?)?$"
)
_PARTS = ("day", "clock", "fraction", "zone")
_TEXT = pl.col("v").str.strip_chars(" \t\r\n")
_WRITTEN = pl.col("naive").dt.strftime("%Y-%m-%dT%H:%M:%S")
_MICROSECOND = timedelta(microseconds=1)
_LEAP_AHEAD = timedelta(days=1)
_LEAP_FACTOR = 10**6


@dataclass(frozen=True, slots=True)
class Progress:
    """Encoded versions to compare: the stored watermark, the source's maximum now, and the source's own
    clock."""

    stored: str | None
    seen: str | None
    now: datetime


def encode(raw: pl.Series, spec: VersionSpec) -> pl.Series:
    """The versions in their order-preserving form; null where null, and where a value is not of its kind."""
    return _ENCODERS[spec.kind](pl.DataFrame({"v": raw.cast(pl.String)})).alias(raw.name)


def is_malformed(raw: pl.Series, encoded: pl.Series) -> pl.Series:
    """Where a version was given but is not of its kind: such a row is rejected, a null version is not."""
    return raw.is_not_null() & encoded.is_null()


def encode_one(raw: str, spec: VersionSpec) -> str | None:
    """One version's order-preserving form; None when it is not of its kind."""
    value: str | None = encode(pl.Series([raw], dtype=pl.String), spec).item()
    return value


def decode_one(encoded: str, spec: VersionSpec, like: str | None = None) -> str:
    """A spelling the source understands; `like` is one of its own, whose prefix, case, width or zone is
    kept."""
    if spec.kind == "number":
        return _spell_number(int(encoded), like)
    if spec.kind == "hex":
        return _spell_hex(int(encoded, 16), like)
    if spec.kind == "timestamp":
        return _spell_time(_time(encoded), like)
    return encoded


def lower_bound(
    watermark: str | None,
    overlap: int,
    spec: VersionSpec,
    *,
    like: str | None = None,
    previous: str | None = None,
) -> str | None:
    """What to send as `rowversion_gt`: the predecessor of (watermark - overlap); None asks for everything.

    The question is exclusive, so asking from the predecessor reads the watermark's own ties again. `overlap`
    counts versions (number, hex) or seconds (timestamp). Text has no arithmetic: `previous` is the greatest
    version known strictly below the watermark; without it, the watermark less its last character, which sorts
    below it and reads more than needed, never less.
    """
    if watermark is None:
        return None
    if spec.kind == "text":
        below = previous if previous is not None and previous < watermark else watermark[:-1]
        return below or None
    if spec.kind == "timestamp":
        return _time_below(watermark, overlap, like)
    value = int(watermark, 16 if spec.kind == "hex" else 10) - overlap - 1
    if value < 0:
        return None
    return _spell_hex(value, like) if spec.kind == "hex" else _spell_number(value, like)


def remembered(last_probe: Mapping[str, Any] | None) -> dict[str, str | None]:
    """What the last proven run left for asking again, as `lower_bound` takes it."""
    left = last_probe or {}
    return {"like": left.get("max_rowversion"), "previous": left.get("previous")}


def check_progress(progress: Progress, spec: VersionSpec, overlap: int = 0) -> None:
    """Raises WatermarkRegressionError when the source stands below the stored watermark, or leapt beyond
    belief.

    Below means below (watermark - overlap): within the overlap rows are read again anyway. Beyond belief
    means more than a day after the source's clock (timestamp), or a million times the stored watermark
    (number, hex).
    """
    if progress.seen is None or spec.kind == "text":
        return
    if progress.stored is not None and _less(progress.seen, progress.stored, overlap, spec):
        raise _regression(
            "went back", f"its newest version {progress.seen} is below the stored watermark {progress.stored}"
        )
    if _leaps(progress, spec):
        raise _regression("leapt", f"its newest version {progress.seen} is beyond belief")


def _regression(verb: str, why: str) -> WatermarkRegressionError:
    return WatermarkRegressionError(
        f"The source's row versions {verb}: {why}.",
        hint="After a restore of the source, run a full refresh of this entity; else correct its row.",
    )


def _less(seen: str, stored: str, overlap: int, spec: VersionSpec) -> bool:
    if spec.kind == "timestamp":
        return _time(stored) - _time(seen) > timedelta(seconds=overlap)
    base = 16 if spec.kind == "hex" else 10
    return int(stored, base) - int(seen, base) > overlap


def _leaps(progress: Progress, spec: VersionSpec) -> bool:
    seen = progress.seen or ""
    if spec.kind == "timestamp":
        return _time(seen) - progress.now > _LEAP_AHEAD
    if progress.stored is None:
        return False
    base = 16 if spec.kind == "hex" else 10
    return int(seen, base) > (int(progress.stored, base) + _LEAP_FACTOR) * _LEAP_FACTOR


def _numbers(frame: pl.DataFrame) -> pl.Series:
    return frame.select(_padded(_TEXT, r"^[0-9]+$", NUMBER_WIDTH)).to_series()


def _hexes(frame: pl.DataFrame) -> pl.Series:
    digits = _TEXT.str.to_lowercase().str.strip_prefix("0x")
    return frame.select(_padded(digits, r"^[0-9a-f]+$", HEX_WIDTH)).to_series()


def _padded(text: pl.Expr, pattern: str, width: int) -> pl.Expr:
    digits = text.str.strip_chars_start("0")
    fits = text.str.contains(pattern) & (digits.str.len_bytes() <= width)
    return pl.when(fits).then(digits.str.zfill(width))


def _times(frame: pl.DataFrame) -> pl.Series:
    parts = (
        frame.select(_TEXT.str.extract_groups(_TIMESTAMP))
        .unnest("v")
        .rename(dict(zip("1234", _PARTS, strict=True)))
    )
    day, clock, fraction, zone = (pl.col(name) for name in _PARTS)
    parts = parts.with_columns(
        (day + "T" + clock).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False).alias("naive"),
        fraction.fill_null("").str.slice(0, 6).str.pad_end(6, "0"),
        (zone.is_null() | zone.is_in(["Z", "z", "+00:00"])).alias("utc"),
    )
    # The common case joins what was read; only times of other zones are computed and written anew.
    if not parts["utc"].all():
        parts = parts.with_columns(_in_utc()).with_columns(
            day=_WRITTEN.str.slice(0, 10), clock=_WRITTEN.str.slice(11)
        )
    spelt = pl.concat_str(day, pl.lit("T"), clock, pl.lit("."), fraction, pl.lit("Z"))
    return parts.select(pl.when(pl.col("naive").is_not_null()).then(spelt)).to_series()


def _in_utc() -> pl.Expr:
    moved = pl.col("naive") - pl.duration(minutes=_offset(pl.col("zone")))
    return pl.when(moved.dt.year().is_between(1, 9999)).then(moved).alias("naive")


def _offset(zone: pl.Expr) -> pl.Expr:
    digits = zone.str.replace(":", "", literal=True)
    hours = digits.str.slice(1, 2).cast(pl.Int64, strict=False).fill_null(0)
    minutes = digits.str.slice(3, 2).cast(pl.Int64, strict=False).fill_null(0)
    sign = pl.when(zone.str.starts_with("-")).then(-1).otherwise(1)
    return sign * (hours * 60 + minutes)


def _texts(frame: pl.DataFrame) -> pl.Series:
    return frame["v"]


_ENCODERS: Mapping[str, Callable[[pl.DataFrame], pl.Series]] = {
    "number": _numbers,
    "hex": _hexes,
    "timestamp": _times,
    "text": _texts,
}


def _time(encoded: str) -> datetime:
    return datetime.strptime(encoded, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def _time_below(watermark: str, overlap: int, like: str | None) -> str | None:
    try:
        return _spell_time(_time(watermark) - timedelta(seconds=overlap) - _MICROSECOND, like)
    except OverflowError:
        return None


def _spell_number(value: int, like: str | None) -> str:
    padded = like is not None and len(like) > 1 and like.startswith("0")
    return str(value).zfill(len(like)) if padded and like is not None else str(value)


def _spell_hex(value: int, like: str | None) -> str:
    shape = like if like is not None else "0x" + "0" * 16
    prefix = shape[:2] if shape[:2].lower() == "0x" else ""
    digits = format(value, "x").zfill(len(shape) - len(prefix))
    return prefix + (digits.upper() if re.search("[A-F]", shape[len(prefix) :]) else digits)


def _spell_time(value: datetime, like: str | None) -> str:
    separator = " " if like is not None and " " in like.strip() else "T"
    zone = "" if like is not None and not re.search(r"(?:[Zz]|[+-]\d{2}:?\d{2})\s*$", like[10:]) else "Z"
    return value.strftime(f"{value.year:04d}-%m-%d{separator}%H:%M:%S.%f") + zone
