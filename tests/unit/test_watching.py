"""A watch tells each trouble once under its own name, and one line when there is none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.adapters.watching import Watch
from shared.errors import TargetUnavailableError

NOW = datetime(2026, 5, 6, 3, 0, tzinfo=UTC)
NOTHING = {"stale": 0, "failed": 0, "poisoned": 0, "silent": 0, "unreachable": 0}


@dataclass
class Installation:
    """What a watch finds; `asked_since` is what it asked failed runs from."""

    late: Sequence[Mapping[str, Any]] = ()
    failures: Sequence[Mapping[str, Any]] = ()
    running: Mapping[str, datetime] | None = field(default_factory=dict)
    depths: Mapping[str, int | None] = field(default_factory=dict)
    down: bool = False
    asked_since: datetime | None = None
    told: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def stale(self, limit: int) -> Sequence[Mapping[str, Any]]:
        if self.down:
            raise TargetUnavailableError("down", code="target_unavailable")
        return self.late

    def failed(self, since: datetime, limit: int) -> Sequence[Mapping[str, Any]]:
        self.asked_since = since
        return self.failures

    def beats(self) -> Mapping[str, datetime] | None:
        return self.running

    def tell(self, action: str, /, *, level: int = 20, **fields: object) -> None:
        self.told.append((action, fields | {"level": level}))

    def look(self) -> dict[str, int]:
        return Watch(self, self, lambda: self.depths, self.tell, lambda: NOW).look()


def test_without_trouble_one_line_is_told() -> None:
    installation = Installation(
        running={"detect_changes": NOW - timedelta(minutes=5)}, depths={"a-poison": 0, "a": 9}
    )
    assert installation.look() == NOTHING
    assert installation.told == [("health", NOTHING | {"level": 20})]


def test_each_trouble_has_its_event_and_counts() -> None:
    late = {"entity": "orders", "fresh_at": None, "total": 70}
    failed = {"run": "r", "code": "unproven", "total": 1}
    installation = Installation(
        late=[late], failures=[failed], running={"detect_changes": NOW - timedelta(hours=3)},
        depths={"a-poison": 2, "a": 5, "b-poison": None},
    )  # fmt: skip
    counts = {"stale": 70, "failed": 1, "poisoned": 2, "silent": 1, "unreachable": 0}
    assert installation.look() == counts
    assert dict(installation.told) == {
        "health_poison": {"queue": "a-poison", "messages": 2, "level": 40},
        "health_silent": {"function": "detect_changes", "last_at": NOW - timedelta(hours=3), "level": 40},
        "health_stale": {"entity": "orders", "fresh_at": None, "level": 30},
        "health_failed_run": {"run": "r", "code": "unproven", "level": 30},
        "health": counts | {"level": 20},
    }


@pytest.mark.parametrize(
    ("before", "since"),
    [
        (None, timedelta(minutes=15)),
        (timedelta(minutes=40), timedelta(minutes=40)),
        (timedelta(days=9), timedelta(days=1)),
    ],
)
def test_failures_are_told_since_the_watch_before(before: timedelta | None, since: timedelta) -> None:
    installation = Installation(running={} if before is None else {"watch_health": NOW - before})
    installation.look()
    assert installation.asked_since == NOW - since


def test_what_does_not_answer_is_a_trouble_and_stops_nothing() -> None:
    installation = Installation(down=True, running=None, depths={"a-poison": 1})
    assert installation.look() == NOTHING | {"poisoned": 1, "unreachable": 2}
    whats = {fields["what"] for name, fields in installation.told if name == "health_unreachable"}
    assert whats == {"storage", "postgresql"}


def test_function_that_never_ran_is_not_called_silent() -> None:
    assert Installation(running={"watch_health": NOW - timedelta(hours=9)}).look()["silent"] == 0
