"""A window's nights: every instant belongs to one or none, on the days of clock changes, too."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.sync.windows import Window, first_moment

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu")
NIGHT = (time(19), time(7))
times = st.times().map(lambda t: t.replace(microsecond=0))
windows = st.builds(Window, times, times, st.sampled_from(ZONES))
instants = st.datetimes(datetime(1995, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC))
# Where the interesting things are: within two days of a change of clocks.
CHANGES = [datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC),
           datetime(2026, 3, 8, 7, tzinfo=UTC), datetime(2026, 4, 4, 15, tzinfo=UTC),
           datetime(2011, 12, 30, 10, tzinfo=UTC)]  # fmt: skip
near_a_change = st.builds(
    lambda at, minutes: at + timedelta(minutes=minutes),
    st.sampled_from(CHANGES), st.integers(-2880, 2880),
)  # fmt: skip
moments = instants | near_a_change


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def hours(window: Window, night: date) -> float:
    opening = window.on(night)
    return (opening.closes - opening.opens) / timedelta(hours=1)


@given(windows, moments)
def test_every_instant_belongs_to_one_night_or_none(window: Window, now: datetime) -> None:
    today = now.astimezone(ZoneInfo(window.time_zone)).date()
    nights = [window.on(today + timedelta(days=shift)) for shift in range(-3, 4)]
    holding = [night for night in nights if night.opens <= now < night.closes]
    assert holding == ([window.at(now)] if window.at(now) else [])


@given(windows, moments)
def test_nights_follow_each_other_without_overlap(window: Window, now: datetime) -> None:
    first = window.on(now.date())
    second = window.on(now.date() + timedelta(days=1))
    assert first.opens <= first.closes <= second.opens


@given(windows, moments)
def test_the_next_night_opens_later_and_none_opens_before_it(window: Window, now: datetime) -> None:
    following = window.after(now)
    assert now < following.opens and window.at(following.opens) == following
    assert window.after(following.opens - timedelta(microseconds=1)) == following


@given(windows, moments)
def test_far_from_clock_changes_the_window_is_what_the_wall_clock_shows(
    window: Window, now: datetime
) -> None:
    zone = ZoneInfo(window.time_zone)
    if len({(now + timedelta(days=d)).astimezone(zone).utcoffset() for d in range(-3, 4)}) > 1:
        return
    shown, start, end = now.astimezone(zone).time(), window.start, window.end
    within = start <= shown < end if start < end else shown >= start or shown < end
    assert (window.at(now) is not None) == within


@given(times, st.sampled_from(ZONES), moments)
def test_equal_start_and_end_are_always_open(at: time, zone: str, now: datetime) -> None:
    assert Window(at, at, zone).at(now) is not None


@given(windows, moments)
def test_a_window_opens_when_the_clock_first_shows_its_start_or_later(window: Window, now: datetime) -> None:
    zone, local = ZoneInfo(window.time_zone), datetime.combine(now.date(), window.start)
    opens = first_moment(local, zone)
    assert opens.astimezone(zone).replace(tzinfo=None) >= local
    just_before = opens - timedelta(seconds=1)
    assert just_before.astimezone(zone).replace(tzinfo=None) < local


@pytest.mark.parametrize(
    ("now", "night"),
    [("2026-01-10 17:59:59", None), ("2026-01-10 18:00", date(2026, 1, 10)), ("2026-01-10 23:30", date(2026, 1, 10)),
     ("2026-01-11 05:59:59", date(2026, 1, 10)), ("2026-01-11 06:00", None)],
)  # fmt: skip
def test_a_night_across_midnight_belongs_to_the_day_it_began(now: str, night: date | None) -> None:
    found = Window(*NIGHT, "Europe/Berlin").at(utc(now))
    assert (found and found.night) == night


def test_a_night_is_an_hour_shorter_in_spring_and_longer_in_autumn() -> None:
    window = Window(*NIGHT, "Europe/Berlin")
    assert [hours(window, date(2026, *day)) for day in ((1, 1), (3, 28), (10, 24))] == [12, 11, 13]


def test_a_skipped_start_opens_at_the_skip() -> None:
    opening = Window(time(2, 30), time(5), "Europe/Berlin").on(date(2026, 3, 29))
    assert (opening.opens, opening.closes) == (utc("2026-03-29 01:00"), utc("2026-03-29 03:00"))


def test_a_window_inside_the_skipped_hour_does_not_open() -> None:
    window = Window(time(2, 10), time(2, 50), "Europe/Berlin")
    assert hours(window, date(2026, 3, 29)) == 0
    assert window.after(utc("2026-03-28 12:00")).night == date(2026, 3, 30)


def test_a_time_that_comes_twice_counts_from_its_first_coming() -> None:
    closing = Window(time(1), time(2, 30), "Europe/Berlin").on(date(2026, 10, 25))
    opening = Window(time(2, 30), time(4), "Europe/Berlin").on(date(2026, 10, 25))
    assert (closing.closes, opening.opens) == (utc("2026-10-25 00:30"), utc("2026-10-25 00:30"))
    assert hours(Window(time(2, 30), time(4), "Europe/Berlin"), date(2026, 10, 25)) == 2.5


def test_a_day_that_a_zone_skipped_has_no_night_of_its_own_evening() -> None:
    window = Window(time(8), time(20), "Pacific/Apia")
    assert hours(window, date(2011, 12, 30)) == 0
