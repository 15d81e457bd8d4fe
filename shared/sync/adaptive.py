"""Page size and interval of an entity that asks for it (`adaptive`), fitted to what was measured. Pure.

In: how long pages took, whether looks found changes. Out: the next figures, each change with its reason.

Pages: doubled while one answers in less than a quarter of what is too slow and the rows get cheaper, halved where one
is too slow and halving makes it faster. A step of two inside a band of four cannot overshoot, so the same input
never leads back; a size that was too slow is kept away from, lest deltas and sweeps that differ drag it to and fro.
Intervals: judged by eight looks at a time; at an unchanging rate the share of looks that meet a change grows with the
interval, and the band that leaves it alone is wider than a step.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import msgspec

SPAN = 10  # a page size stays between a tenth and ten times of what was asked for
INTERVAL_SPAN = 4
SLOW_S = 10.0  # for a page: well below the deadline at which its request is given up
QUICK_S = SLOW_S / 4
LARGE_BYTES = 8 * 1024 * 1024  # of a page, that is not doubled any more
LOOKS = 8
OFTEN, SELDOM = 7, 2  # of LOOKS that met a change
IDLE_FACTOR = 5  # an interval leaves the source four times as long alone as the longest reading took
KEPT = 10
QUIET_RUNS = 50  # after so many that might have grown, a size that was too slow once is tried again
_CHEAPER, _FASTER, _OTHER = 0.9, 0.75, 2.0

Direction = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run's pages took: those that another followed, and `busy_s` of all of them, in seconds."""

    pages: int = 0
    rows: int = 0
    seconds: float = 0.0
    size: int = 0
    busy_s: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(
            self.pages + other.pages,
            self.rows + other.rows,
            self.seconds + other.seconds,
            self.size + other.size,
            self.busy_s + other.busy_s,
        )


UNSPENT = Spent()


@dataclass(frozen=True, slots=True)
class Asked:
    """What the entity and the settings ask for; `page_most` is the largest page anybody allows."""

    page_size: int
    page_most: int
    interval_s: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One page of a size: what it and each of its rows took, in seconds, and which way was gone or given up then."""

    direction: Direction
    per_page: float
    per_row: float


@dataclass(frozen=True, slots=True)
class Paging:
    """A learned page size. `before`: measured before the last step; `useless`: the way that brought nothing.

    `slow`: the size that took too long, and how many runs since might have gone back to it.
    """

    base: int
    most: int
    size: int
    before: Measured | None = None
    useless: Measured | None = None
    slow: int | None = None
    quiet: int = 0

    @property
    def least(self) -> int:
        """The smallest page that is asked for."""
        return min(self.most, max(1, self.base // SPAN))


@dataclass(frozen=True, slots=True)
class Interval:
    """A learned interval, with the looks since it was last judged; `busiest_s`: the longest reading among them."""

    base: int
    seconds: int
    looks: int = 0
    changed: int = 0
    busiest_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Changed:
    """One change of a figure, and why."""

    at: datetime
    setting: Literal["page_size", "sync_interval_seconds"]
    before: int
    after: int
    reason: str


@dataclass(frozen=True, slots=True)
class Adapted:
    """What was learned of one entity; `changes`: the last ones, oldest first."""

    paging: Paging
    interval: Interval
    changes: tuple[Changed, ...] = ()


@dataclass(frozen=True, slots=True)
class Observed:
    """What one run, or one probe that found no change, showed.

    `page_size` is what its pages were asked with. `changed` is null where it says nothing of the rate of change.
    """

    page_size: int
    spent: Spent = UNSPENT
    changed: bool | None = None
    too_large: bool = False


def fitting(stored: Mapping[str, Any] | None, asked: Asked) -> Adapted:
    """What was learned, where it still answers what is asked for; else a fresh start from that."""
    most = max(asked.page_size, min(asked.page_most, asked.page_size * SPAN))
    fresh = Adapted(
        Paging(asked.page_size, most, asked.page_size), Interval(asked.interval_s, asked.interval_s)
    )
    if stored is None:
        return fresh
    known = msgspec.convert(stored, Adapted)
    same_pages = (known.paging.base, known.paging.most) == (fresh.paging.base, most)
    same_interval = known.interval.base == asked.interval_s
    return Adapted(
        known.paging if same_pages else fresh.paging,
        known.interval if same_interval else fresh.interval,
        known.changes,
    )


def shown(adapted: Adapted, page_size: int | None, interval_s: int | None) -> tuple[int | None, int | None]:
    """The learned page size and interval; null where the entity has come to ask for something else since."""
    paging, interval = adapted.paging, adapted.interval
    other_pages = page_size is not None and min(page_size, paging.most) != paging.base
    other_interval = interval_s is not None and interval_s != interval.base
    return None if other_pages else paging.size, None if other_interval else interval.seconds


def learn(adapted: Adapted, observed: Observed, now: datetime) -> tuple[Adapted, tuple[Changed, ...]]:
    """What follows from it, and what that changed."""
    paging, why_pages = adapted.paging, ""
    if observed.page_size == paging.size:  # a run frozen before the last step tells nothing of this size
        paging, why_pages = _paged(paging, observed)
    interval, why_interval = adapted.interval, ""
    if observed.changed is not None:
        interval, why_interval = after_look(interval, observed.changed, observed.spent.busy_s)
    made: list[Changed] = []
    if paging.size != adapted.paging.size:
        made.append(Changed(now, "page_size", adapted.paging.size, paging.size, why_pages))
    if interval.seconds != adapted.interval.seconds:
        was = adapted.interval.seconds
        made.append(Changed(now, "sync_interval_seconds", was, interval.seconds, why_interval))
    return Adapted(paging, interval, (*adapted.changes, *made)[-KEPT:]), tuple(made)


def _paged(paging: Paging, observed: Observed) -> tuple[Paging, str]:
    if observed.too_large:
        smaller = replace(_kept_away(paging), size=max(paging.least, paging.size // 2), before=None)
        return smaller, "an answer was larger than is taken"
    return after_pages(paging, observed.spent)


def after_pages(paging: Paging, spent: Spent) -> tuple[Paging, str]:
    """The next page size and why; the same where no page was followed by another, or nothing speaks for a step."""
    if not spent.pages or not spent.rows:
        return paging, ""
    per_page, per_row = spent.seconds / spent.pages, spent.seconds / spent.rows
    judged = _judged(paging, per_page, per_row)
    given_up = judged.useless.direction if judged.useless else None
    if per_page > SLOW_S and given_up != "down":
        size = max(judged.least, judged.size // 2)
        after, why = _kept_away(judged), f"a page took {per_page:.1f} s"
        measured = Measured("down", per_page, per_row)
    elif per_page < QUICK_S and given_up != "up" and spent.size < LARGE_BYTES * spent.pages:
        size = min(judged.most, judged.size * 2)
        if judged.slow is not None and size >= judged.slow:
            return _waited(judged), ""
        after, why = judged, f"a page took only {per_page:.2f} s"
        measured = Measured("up", per_page, per_row)
    else:
        return judged, ""
    return (replace(after, size=size, before=measured), why) if size != judged.size else (judged, "")


def _kept_away(paging: Paging) -> Paging:
    return replace(paging, slow=paging.size, quiet=0)


def _waited(paging: Paging) -> Paging:
    waited = paging.quiet + 1
    return replace(paging, slow=paging.slow if waited < QUIET_RUNS else None, quiet=waited)


def _judged(paging: Paging, per_page: float, per_row: float) -> Paging:
    """Whether the last step brought what it was made for; a way given up is open again once the source is another."""
    before, useless = paging.before, paging.useless
    if before is not None:
        helped = (
            per_row <= before.per_row * _CHEAPER
            if before.direction == "up"
            else per_page <= before.per_page * _FASTER
        )
        given_up = None if helped else Measured(before.direction, per_page, per_row)
        return replace(paging, before=None, useless=given_up)
    if useless and not useless.per_page / _OTHER <= per_page <= useless.per_page * _OTHER:
        return replace(paging, useless=None)
    return paging


def after_look(interval: Interval, changed: bool, busy_s: float = 0.0) -> tuple[Interval, str]:
    """The interval after one more look and why it changed; it is judged once in LOOKS looks."""
    busiest = max(interval.busiest_s, busy_s)
    counted = replace(
        interval, looks=interval.looks + 1, changed=interval.changed + changed, busiest_s=busiest
    )
    if counted.looks < LOOKS:
        return counted, ""
    seconds, why = _next_interval(counted)
    return Interval(counted.base, seconds), why


def _next_interval(counted: Interval) -> tuple[int, str]:
    now, base = counted.seconds, counted.base
    least, most = min(base, max(1, base // INTERVAL_SPAN)), base * INTERVAL_SPAN
    wanted, longer = now, -(-now * 3 // 2)
    if counted.changed >= OFTEN:
        wanted = now * 2 // 3
    elif counted.changed <= SELDOM:
        wanted = longer
    wanted = max(least, min(most, wanted))
    calm = min(most, max(least, round(counted.busiest_s * IDLE_FACTOR)))
    if wanted < calm:
        return min(calm, max(now, longer)), f"reading it kept the source busy for {counted.busiest_s:.1f} s"
    return wanted, f"{counted.changed} of {LOOKS} looks met a change"
