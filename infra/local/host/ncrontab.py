"""NCRONTAB schedules of six fields (seconds first), as the Functions timer reads them; UTC.

Unlike Unix cron, a day must satisfy both its day-of-month and its day-of-week field.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september",
          "october", "november", "december")  # fmt: skip
DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
# 29 February on one given weekday comes round every 28 years, 40 where a century skips its leap day.
SEARCH_DAYS = 366 * 41


class ScheduleError(ValueError):
    """The text is no six-field NCRONTAB expression, or names a day that never comes."""


@dataclass(frozen=True, slots=True)
class Field:
    """The values one field may take, and its names where it has any (the first standing for `low`)."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def parse(self, text: str) -> frozenset[int]:
        """The values the text allows: `*`, `n`, `a-b`, each with an optional `/step`, listed with commas."""
        return frozenset(value for part in text.split(",") for value in self._part(part))

    def _part(self, text: str) -> range:
        span, slash, step_text = text.partition("/")
        step = self._step(step_text, text) if slash else 1
        first, dash, last = span.partition("-")
        if span == "*":
            return range(self.low, self.high + 1, step)
        if not dash:
            start = self._value(span)
            return range(start, self.high + 1, step) if slash else range(start, start + 1)
        return self._range(self._value(first), self._value(last), step, text)

    def _range(self, start: int, end: int, step: int, text: str) -> range:
        if start > end:
            raise ScheduleError(f"{self.name} {text!r} runs backwards; write it as two ranges")
        return range(start, end + 1, step)

    def _step(self, text: str, part: str) -> int:
        if not text.isdigit() or int(text) == 0:
            raise ScheduleError(f"{self.name} {part!r} has the step {text!r}; a step is a number from 1")
        return int(text)

    def _value(self, text: str) -> int:
        if text.isdigit() and self.low <= int(text) <= self.high:
            return int(text)
        found = [
            index for index, name in enumerate(self.names) if len(text) >= 3 and name.startswith(text.lower())
        ]
        if len(found) == 1:
            return self.low + found[0]
        names = f" or {self.names[0][:3].title()}-{self.names[-1][:3].title()}" if self.names else ""
        raise ScheduleError(f"{self.name} is {text!r}; it takes {self.low}-{self.high}{names}")


FIELDS = (
    Field("second", 0, 59),
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day", 1, 31),
    Field("month", 1, 12, MONTHS),
    Field("day of week", 0, 6, DAYS),
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A parsed expression: the allowed values of each field."""

    text: str
    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> "Schedule":
        """Raises ScheduleError naming the field that is wrong."""
        parts = text.split()
        if len(parts) != len(FIELDS):
            raise ScheduleError(
                f"schedule {text!r} has {len(parts)} fields; write six: second minute hour day month weekday"
            )
        schedule = cls(text, *(field.parse(part) for field, part in zip(FIELDS, parts, strict=True)))
        schedule.after(datetime(2000, 1, 1))  # noqa: DTZ001 - schedules run on naive UTC
        return schedule

    def after(self, moment: datetime) -> datetime:
        """The first occurrence strictly later than `moment`, in its time zone."""
        earliest = moment.replace(microsecond=0) + timedelta(seconds=1)
        for day in self._days_from(earliest.date()):
            floor = earliest.time() if day == earliest.date() else time.min
            found = self._time_from(floor.replace(tzinfo=None))
            if found is not None:
                return datetime.combine(day, found, tzinfo=moment.tzinfo)
        raise ScheduleError(f"schedule {self.text!r} names a day that never comes")

    def is_sub_minute(self, moment: datetime) -> bool:
        """Whether two occurrences follow each other within a minute; such timers keep no status."""
        first = self.after(moment)
        return self.after(first) - first < timedelta(minutes=1)

    def _days_from(self, first: date) -> Iterator[date]:
        for offset in range(SEARCH_DAYS):
            day = first + timedelta(days=offset)
            if day.month in self.months and day.day in self.days and day.isoweekday() % 7 in self.weekdays:
                yield day

    def _time_from(self, floor: time) -> time | None:
        candidates = (
            time(hour, minute, second)
            for hour in sorted(self.hours) if hour >= floor.hour
            for minute in sorted(self.minutes) if (hour, minute) >= (floor.hour, floor.minute)
            for second in sorted(self.seconds)
        )  # fmt: skip
        return next((candidate for candidate in candidates if candidate >= floor), None)
