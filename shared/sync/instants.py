"""One date or time text read exactly: the authority behind the quick readers of `dates.py`.

Enters one text and how its column reads; leaves microseconds of the wall clock since 1970, minutes of offset,
or the code that says why not.
"""

# ruff: noqa: DTZ001, DTZ007 - wall clocks have no zone
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from shared.sync.model import Kind, SourceColumn

DAY_US = 86_400_000_000
_EPOCH = datetime(1970, 1, 1)
_END = timedelta(days=2_932_897)  # 10000-01-01
_FIRST = timedelta(days=-719_162)  # 0001-01-01
_CLOCK = r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?"
_ZONE = r"(?:\s?(Z|[+-][0-9]{2}(?::?[0-9]{2})?))?"
_ISO = re.compile(rf"([0-9]{{4}})-([0-9]{{2}})-([0-9]{{2}})(?:[T ]{_CLOCK}{_ZONE})?")
_BASIC = re.compile(
    rf"([0-9]{{4}})([0-9]{{2}})([0-9]{{2}})(?:T?([0-9]{{2}})([0-9]{{2}})([0-9]{{2}})(?:\.([0-9]+))?{_ZONE})?"
)
_MONTH_NAME = re.compile(rf"([0-9]{{2}})-([A-Z]{{3}})-([0-9]{{4}})(?: {_CLOCK}{_ZONE})?", re.IGNORECASE)
_MONTHS = "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"

Outcome = tuple[int | None, int | None, str | None, bool]  # wall, offset, code, digits were truncated


@dataclass(frozen=True, slots=True)
class Reading:
    """How a column's texts are read. `zoned` says that counted formats are instants, not wall clocks."""

    formats: tuple[str, ...]
    dialect: Literal["oracle", "sqlserver", "postgres", "ansi"]
    truncate: bool
    zoned: bool

    @classmethod
    def of(
        cls, column: SourceColumn, dialect: Literal["oracle", "sqlserver", "postgres", "ansi"]
    ) -> "Reading":
        """The reading that a column's rules and type declare."""
        zoned = column.type.kind is Kind.TIMESTAMPTZ
        return cls(column.rules.formats, dialect, column.rules.fraction == "truncate", zoned)


class _RefusedError(Exception):
    """The text has this format's shape but is refused for the reason in `code`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def read(spelt: str, reading: Reading) -> Outcome:
    """The text as a time: the first format that fits decides."""
    if not spelt.isascii() and any(c.isdigit() and not c.isascii() for c in spelt):
        return None, None, "bad_digits", False
    refused: str | None = None
    for pattern in reading.formats or ("",):
        try:
            result = _read_as(spelt, pattern, reading)
        except _RefusedError as error:
            refused = refused or error.code
            continue
        if result is not None:
            return result
    return None, None, refused or diagnose(spelt), False


def _read_as(spelt: str, pattern: str, reading: Reading) -> Outcome | None:
    if pattern == "":
        return _read_default(spelt, reading)
    if pattern in ("epoch_s", "epoch_ms"):
        return _read_epoch(spelt, 1_000_000 if pattern == "epoch_s" else 1_000, reading)
    if pattern == "excel_serial":
        return _read_serial(spelt)
    return _read_strptime(spelt, pattern, reading)


def _read_default(spelt: str, reading: Reading) -> Outcome | None:
    match = _ISO.fullmatch(spelt) or _BASIC.fullmatch(spelt)
    if match:
        year, month, day, *rest = match.groups()
        return _combined((int(year), int(month), int(day)), rest, reading)
    match = _MONTH_NAME.fullmatch(spelt) if reading.dialect == "oracle" else None
    if match is None or _MONTHS.find(match[2].upper()) % 3:
        return None
    day, name, year, *rest = match.groups()
    return _combined((int(year), _MONTHS.find(name.upper()) // 3 + 1, int(day)), rest, reading)


def _combined(date: tuple[int, int, int], rest: list[str | None], reading: Reading) -> Outcome:
    hour, minute, second, fraction, zone = rest
    if 0 in date:
        raise _RefusedError("zero_date")
    if hour == "24":
        raise _RefusedError("hour_24" if (minute, second or "00") == ("00", "00") else "bad_date")
    if second == "60":
        raise _RefusedError("leap_second")
    try:
        moment = datetime(*date, int(hour or 0), int(minute or 0), int(second or 0))
    except ValueError:
        raise _RefusedError("bad_date") from None
    micros, cut = _micros(fraction or "", reading)
    return _us(moment - _EPOCH) + micros, _minutes(zone), None, cut


def _micros(fraction: str, reading: Reading) -> tuple[int, bool]:
    beyond = bool(fraction[6:].strip("0"))
    if beyond and not reading.truncate:
        raise _RefusedError("too_precise")
    return int(fraction[:6].ljust(6, "0")), beyond


def _minutes(zone: str | None) -> int | None:
    if zone is None:
        return None
    if zone == "Z":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[3:].lstrip(":") or 0)
    # no place on earth is further than 14 hours from UTC; PostgreSQL takes less than 16, Java 18
    if hours > 18 or minutes > 59:
        raise _RefusedError("bad_date")
    return (hours * 60 + minutes) * (-1 if zone[0] == "-" else 1)


def _us(difference: timedelta) -> int:
    return difference // timedelta(microseconds=1)


def _read_epoch(spelt: str, unit_us: int, reading: Reading) -> Outcome | None:
    if not re.fullmatch(r"-?[0-9]{1,20}(?:\.[0-9]{1,30})?", spelt):
        return None
    exact = Decimal(spelt) * unit_us
    whole = int(exact)
    if whole != exact and not reading.truncate:
        raise _RefusedError("too_precise")
    if not _us(_FIRST) <= whole < _us(_END):
        raise _RefusedError("out_of_range")
    return whole, 0 if reading.zoned else None, None, whole != exact


def _read_serial(spelt: str) -> Outcome | None:
    """Days of the 1900 system, which counts a 29 February 1900 that never was."""
    if not re.fullmatch(r"[0-9]{1,7}(?:\.[0-9]{1,30})?", spelt):
        return None
    serial = Decimal(spelt)
    if not 1 <= serial < 2_958_466:
        raise _RefusedError("out_of_range")
    if 60 <= serial < 61:
        raise _RefusedError("no_such_day")
    # Excel keeps binary fractions of a day, good to a millisecond: finer digits are noise, not data
    milliseconds = round(serial * 86_400_000)
    first = datetime(1899, 12, 30) if serial > 60 else datetime(1899, 12, 31)
    return _us(first - _EPOCH) + milliseconds * 1_000, None, None, False


def _read_strptime(spelt: str, pattern: str, reading: Reading) -> Outcome | None:
    cut = False
    long = re.search(r"[.,]([0-9]{7,})", spelt) if "%f" in pattern else None
    if long:
        # strptime reads six digits; further zeros mean nothing, further digits ask for the fraction rule
        _, cut = _micros(long[1], reading)
        spelt = spelt[: long.start(1) + 6] + spelt[long.end() :]
    try:
        moment = datetime.strptime(spelt, pattern)
    except (ValueError, OverflowError):
        return None
    offset = moment.utcoffset()
    minutes = None if offset is None else _us(offset) // 60_000_000
    return _us(moment.replace(tzinfo=None) - _EPOCH), minutes, None, cut


def diagnose(spelt: str) -> str:
    """Why a text that no format reads is refused: the nearest reason that a person can act on."""
    for pattern, code in _DIAGNOSES:
        if pattern.search(spelt):
            return code
    return "bad_date"


_DIAGNOSES = tuple(
    (re.compile(pattern, re.IGNORECASE), code)
    for pattern, code in (
        (r"\bB\.?C\.?(E\.?)?\s*$|^-[0-9]{4,}-[0-9]{2}", "bc_date"),
        (r"^0{1,4}([-./])0{1,2}\1[0-9]{1,2}|^[0-9]{4}([-./])(00\2[0-9]{2}|[0-9]{2}\2\s?00)\b", "zero_date"),
        (r"^0{1,2}([-./])0{1,2}\1[0-9]{2,4}", "zero_date"),
        (r"^\+?[0-9]{5,}-[0-9]{2}-[0-9]{2}", "out_of_range"),
        (r"[T ]24:00(:00(\.0+)?)?$", "hour_24"),
        (r":[0-5][0-9]:60", "leap_second"),
        (r"^(13|14)[0-9]{2}[/.][0-9]{1,2}[/.][0-9]{1,2}\b", "other_calendar"),
        (r"^[0-9]{1,2}([-./ ])([0-9]{1,2}|[A-Z]{3})\1[0-9]{2}(?![0-9])", "two_digit_year"),
        (r"^[0-9]{1,2}([-./ ])[0-9]{1,2}\1[0-9]{4}\b", "day_month_order"),
    )
)
