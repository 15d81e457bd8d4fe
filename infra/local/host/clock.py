"""Time as the timers see it: real in use, hand-driven in tests."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Where timers read the time and wait for it."""

    def now(self) -> datetime:
        """The current instant, aware, UTC."""

    def wait(self, until: datetime, stop: threading.Event) -> bool:
        """True once `until` has come, False as soon as `stop` is set before it."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The current instant, aware, UTC."""
        return datetime.now(UTC)

    def wait(self, until: datetime, stop: threading.Event) -> bool:
        """True once `until` has come; a clock set back or forth meanwhile is noticed within a minute."""
        while (left_s := (until - self.now()).total_seconds()) > 0:
            if stop.wait(min(left_s, 60)):
                return False
        return not stop.is_set()


class FakeClock:
    """A clock that moves only when told to."""

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._moved = threading.Condition()

    def now(self) -> datetime:
        """The instant it was last set to."""
        with self._moved:
            return self._now

    def advance(self, by: timedelta) -> None:
        """Move forward and wake whoever waits."""
        with self._moved:
            self._now += by
            self._moved.notify_all()

    def wait(self, until: datetime, stop: threading.Event) -> bool:
        """True once `advance` reached `until`, False when stopped before."""
        with self._moved:
            while self._now < until and not stop.is_set():
                # `stop` cannot notify this condition, hence the short look every now and then.
                self._moved.wait(0.02)
        return not stop.is_set()
