"""When background loads may run: a daily window on the clock of a named time zone. Pure arithmetic, by zoneinfo.

A window opens at the first moment at which the zone's clock shows `start` or later, and closes at the first moment
at which it shows `end` or later (on the next day, where `end` is not after `start`). This one sentence settles the
days on which clocks change: a time that is skipped counts from the moment of the skip, a time that comes twice from
its first coming. So a night may last an hour more or less, a window that lies wholly inside a skipped hour does not
open that day, and no instant belongs to two nights. Equal start and end mean the whole day.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Opening:
    """One night: the local date on which its window opens, and its instants (aware, UTC); `closes` is outside."""

    night: date
    opens: datetime
    closes: datetime


@dataclass(frozen=True, slots=True)
class Window:
    """A daily window. `start` and `end` are naive times on the clock of `time_zone`, an IANA name."""

    start: time
    end: time
    time_zone: str

    def on(self, night: date) -> Opening:
        """The night that begins on this local date; empty (closing as it opens) where the clock skips all of it."""
        zone = ZoneInfo(self.time_zone)
        last = night if self.end > self.start else night + _DAY
        return Opening(
            night,
            first_moment(datetime.combine(night, self.start), zone),
            first_moment(datetime.combine(last, self.end), zone),
        )

    def at(self, now: datetime) -> Opening | None:
        """The night that `now` (aware) belongs to, if the window is open."""
        today = now.astimezone(ZoneInfo(self.time_zone)).date()
        nights = (self.on(today + _DAY * shift) for shift in (-1, 0, 1))
        return next((night for night in nights if night.opens <= now < night.closes), None)

    def after(self, now: datetime) -> Opening:
        """The first night that opens later than `now` (aware) and is not empty."""
        today = now.astimezone(ZoneInfo(self.time_zone)).date()
        nights = (self.on(today + _DAY * shift) for shift in range(-1, 400))
        return next(night for night in nights if now < night.opens < night.closes)


def first_moment(local: datetime, zone: ZoneInfo) -> datetime:
    """The first instant (UTC) at which the zone's clock shows `local` (naive) or later."""
    early, late = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if early.astimezone(zone).replace(tzinfo=None) == local:
        return early
    # Skipped: zoneinfo's two readings of such a time lie on either side of the change, `late` before it.
    return _change(late, early, zone)


def _change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The first instant of the new offset, to the second, between two instants with different ones."""
    old = before.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) // _SECOND // 2 * _SECOND
        if middle.astimezone(zone).utcoffset() == old:
            before = middle
        else:
            after = middle
    return after
