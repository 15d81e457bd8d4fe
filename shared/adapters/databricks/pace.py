"""Our own rate limit: the SDK declares one and never reads it."""

from collections.abc import Callable
from threading import Lock


class TokenBucket:
    """Lets `rate` calls a second pass, and `burst` at once; safe for several threads.

    `clock`: seconds, never going back. `sleep`: waits so many seconds.
    """

    def __init__(
        self, rate: float, burst: int, *, clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self._rate, self._burst, self._clock, self._sleep = rate, burst, clock, sleep
        self._lock = Lock()
        self._left, self._at = float(burst), clock()

    def take(self) -> None:
        """Returns when the call may be made."""
        wait = self._reserve()
        if wait > 0:
            self._sleep(wait)

    def _reserve(self) -> float:
        """Seconds until the call's turn; turns are given in the order they were asked for."""
        with self._lock:
            now = self._clock()
            self._left = min(float(self._burst), self._left + (now - self._at) * self._rate)
            self._at = now
            self._left -= 1
            return max(0.0, -self._left / self._rate)
