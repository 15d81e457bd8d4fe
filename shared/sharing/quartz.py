"""Quartz cron expressions, as Databricks schedules take them: seconds first, `?` for one of the two day fields."""

import re
from dataclasses import dataclass

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_DAY_OF_MONTH = re.compile(r"L(-([0-9]|[12][0-9]|30))?|LW|([1-9]|[12][0-9]|3[01])W", re.ASCII)
_DAY_OF_WEEK = re.compile(r"L|([1-7]|SUN|MON|TUE|WED|THU|FRI|SAT)(L|#[1-5])", re.ASCII)
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    special: re.Pattern[str] | None = None

    def fault(self, text: str) -> str | None:
        """Why this field cannot be read."""
        for part in text.split(","):
            if not (self.special and self.special.fullmatch(part)) and not self._plain(part):
                return f"its {self.name} field has {part!r}"
        return None

    def _plain(self, part: str) -> bool:
        span, slash, step = part.partition("/")
        if slash and not (re.fullmatch(r"[0-9]{1,4}", step) and 0 < int(step) <= self.high):
            return False
        if span == "*" or (slash and not span):
            return True
        first, dash, last = span.partition("-")
        # A range that runs backwards goes round: FRI-MON, 22-2. Years don't.
        backwards = self.name == "year" and dash and self._value(first) > self._value(last)
        return self._value(first) >= 0 and (not dash or self._value(last) >= 0) and not backwards

    def _value(self, text: str) -> int:
        if text in self.names:
            return self.names.index(text) + self.low
        number = int(text) if re.fullmatch(r"[0-9]{1,4}", text, re.ASCII) else -1
        return number if self.low <= number <= self.high else -1


_FIELDS = (
    _Field("seconds", 0, 59),
    _Field("minutes", 0, 59),
    _Field("hours", 0, 23),
    _Field("day-of-month", 1, 31, special=_DAY_OF_MONTH),
    _Field("month", 1, 12, _MONTHS),
    _Field("day-of-week", 1, 7, _DAYS, _DAY_OF_WEEK),
    _Field("year", 1970, 2099),
)


def schedule_fault(expression: str) -> str | None:
    """Why it is no Quartz cron expression, None for a good one."""
    fields = expression.upper().split()
    if not 6 <= len(fields) <= 7:
        return f"it has {len(fields)} fields; Quartz takes seconds minutes hours day month weekday [year]"
    if [fields[3], fields[5]].count("?") != 1:
        return "one of day-of-month and day-of-week must be ?, and the other not"
    for field, text in zip(_FIELDS, fields, strict=False):
        if text == "?" and field.name.startswith("day"):
            continue
        fault = field.fault(text)
        if fault:
            return fault
    return _never(fields[3], fields[4])


def _never(days: str, months: str) -> str | None:
    """Days such as 31 February; only where both fields are plain lists of numbers or names."""
    if not re.fullmatch(r"[0-9,]+", days, re.ASCII) or not re.fullmatch(r"[0-9A-Z,]+", months, re.ASCII):
        return None
    numbers = [_MONTHS.index(each) + 1 if each in _MONTHS else int(each) for each in months.split(",")]
    first = min(int(each) for each in days.split(","))
    return (
        f"day {first} never comes in month {months}"
        if all(first > _LONGEST[n - 1] for n in numbers)
        else None
    )
