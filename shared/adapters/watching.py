"""A watch: what a person should look at, as events with fixed names; one line when nothing is wrong.

The events and their fields are a contract: alerts query them, docs/operations.md lists them.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from shared.errors import AppError

WATCHED = ("detect_changes", "load_in_window", "retry_rejects")
SILENT_AFTER = timedelta(hours=2)
_FIRST_LOOK = timedelta(minutes=15)
_LOOK_BACK_AT_MOST = timedelta(days=1)
_SHOWN = 50


class Troubles(Protocol):
    """What the metadata knows of trouble; see postgres.health."""

    def stale(self, limit: int) -> Sequence[Mapping[str, Any]]: ...
    def failed(self, since: datetime, limit: int) -> Sequence[Mapping[str, Any]]: ...


class Heartbeats(Protocol):
    """When functions last ran; None where storage does not say."""

    def beats(self) -> Mapping[str, datetime] | None: ...


class Log(Protocol):
    """Where events go."""

    def __call__(self, action: str, /, *, level: int = 20, **fields: object) -> None: ...


class Watch:
    """One look around. `depths`: messages by queue, None where storage is silent; poison queues end in -poison."""

    def __init__(
        self,
        troubles: Troubles,
        heartbeats: Heartbeats,
        depths: Callable[[], Mapping[str, int | None]],
        tell: Log,
        now: Callable[[], datetime],
    ) -> None:
        self._troubles, self._heartbeats, self._depths = troubles, heartbeats, depths
        self._tell, self._now = tell, now

    def look(self) -> dict[str, int]:
        """Tell each trouble, then the counts; PostgreSQL or storage being down is a trouble, not an error."""
        beats = self._heartbeats.beats()
        found = {
            "stale": 0,
            "failed": 0,
            "poisoned": self._poisoned(),
            "silent": self._silent(beats or {}),
            "unreachable": 0 if beats is not None else self._unreachable("storage", "table_log_unavailable"),
        }
        try:
            found["stale"] = self._each("health_stale", self._troubles.stale(_SHOWN))
            found["failed"] = self._each(
                "health_failed_run", self._troubles.failed(self._since(beats or {}), _SHOWN)
            )
        except AppError as error:
            found["unreachable"] += self._unreachable("postgresql", error.code)
        self._tell("health", **found)
        return found

    def _since(self, beats: Mapping[str, datetime]) -> datetime:
        """The watch before this one, so that each failure is told once."""
        now = self._now()
        return max(beats.get("watch_health", now - _FIRST_LOOK), now - _LOOK_BACK_AT_MOST)

    def _each(self, event: str, rows: Iterable[Mapping[str, Any]]) -> int:
        total = 0
        for row in rows:
            total = int(row["total"])
            fields = {name: value for name, value in row.items() if name != "total"}
            self._tell(event, level=logging.WARNING, **fields)
        return total

    def _poisoned(self) -> int:
        dead = {name: n for name, n in self._depths().items() if name.endswith("-poison") and n}
        for name, messages in dead.items():
            self._tell("health_poison", level=logging.ERROR, queue=name, messages=messages)
        return sum(dead.values())

    def _silent(self, beats: Mapping[str, datetime]) -> int:
        """Functions that ran once and no longer do; one that never ran may not have been deployed yet."""
        late = {
            name: beats[name]
            for name in WATCHED
            if name in beats and self._now() - beats[name] > SILENT_AFTER
        }
        for name, at in late.items():
            self._tell("health_silent", level=logging.ERROR, function=name, last_at=at)
        return len(late)

    def _unreachable(self, what: str, code: str) -> int:
        self._tell("health_unreachable", level=logging.ERROR, what=what, code=code)
        return 1
