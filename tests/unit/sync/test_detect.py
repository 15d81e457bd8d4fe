"""Which tables changed, asked cheaply, and whose trouble stays whose."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from threading import Event
from typing import Any
from uuid import UUID

import pytest

from shared.errors import AppError, SourceProtocolError, SourceRefusedError, SourceUnavailableError
from shared.sync import detect
from shared.sync.detect import Detected, Detector, DueEntity, is_changed, question
from shared.sync.fetch import Probe
from shared.sync.model import VersionSpec

TEN = "10".zfill(38)
PAIR = {"lower": "9", "max_rowversion": "10", "count": 1}
DELTA = DueEntity(UUID(int=1), UUID(int=9), "t", "rowversion", VersionSpec("number"), TEN, 0, {}, PAIR, False)
HASH = replace(DELTA, strategy="hash", version=None, watermark=None, last_probe=PAIR | {"lower": None})


def probe(newest: str | None, count: int | None) -> Probe:
    return Probe(True, newest, count)


@pytest.mark.parametrize(
    ("entity", "answer", "changed"),
    [
        (DELTA, probe("10", 1), False),
        (DELTA, probe("11", 1), True),
        (DELTA, probe("10", 2), True),
        (DELTA, probe("10", None), True),
        (DELTA, None, True),
        (replace(DELTA, last_probe=None), probe("10", 1), True),
        (DELTA, probe("odd", 1), True),
        (DELTA, probe(None, 1), True),
        # Another lower bound: counts can't be compared, the newest version can.
        (replace(DELTA, last_probe=PAIR | {"lower": "4", "count": 6}), probe("10", 1), False),
        # With an overlap rows may commit late below the newest, so one more run asks from the new bound.
        (replace(DELTA, overlap=3, last_probe=PAIR | {"lower": "4", "count": 6}), probe("10", 1), True),
        (replace(DELTA, last_probe=PAIR | {"lower": "4"}), probe("11", 2), True),
        (replace(DELTA, last_probe=PAIR | {"lower": "4"}), probe("8", 0), True),
        (replace(DELTA, last_probe=PAIR | {"max_rowversion": "8", "count": 0}), probe("8", 0), False),
        (replace(DELTA, watermark=None, last_probe=PAIR | {"lower": None}), probe("10", 1), False),
        (HASH, probe("10", 1), False),
        (HASH, probe("9", 1), True),
        (HASH, probe("10", 0), True),
        (HASH, None, True),
    ],
)
def test_entity_is_changed_unless_the_probe_rules_it_out(
    entity: DueEntity, answer: Probe | None, changed: bool
) -> None:
    assert is_changed(entity, answer, question(entity)) is changed


def test_question_is_the_fetchs_own() -> None:
    padded = replace(DELTA, overlap=3, last_probe=PAIR | {"max_rowversion": "0010"})
    text = replace(DELTA, version=VersionSpec("text"), watermark="v9", last_probe=PAIR | {"previous": "v5"})
    assert (question(padded), question(text), question(HASH)) == ("0006", "v5", None)


class Clock:
    time = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.time


@dataclass
class Fleet:
    """Connectors that answer as told: an error by slug or by connector."""

    errors: Mapping[object, AppError] = field(default_factory=dict)
    asked: Counter[object] = field(default_factory=Counter)
    opened: Counter[UUID] = field(default_factory=Counter)
    hanging: UUID | None = None
    released: Event = field(default_factory=Event)

    def source(self, connector_uid: UUID) -> Any:
        self.opened[connector_uid] += 1
        return _Source(self, connector_uid)


@dataclass
class _Source:
    fleet: Fleet
    connector: UUID

    def probe(self, slug: str, lower: str | None, parameters: Mapping[str, str]) -> Probe:
        self.fleet.asked[self.connector] += 1
        if self.connector == self.fleet.hanging:
            assert self.fleet.released.wait(30), "nobody went on without it"
        for name in (slug, self.connector):
            if name in self.fleet.errors:
                raise self.fleet.errors[name]
        return probe("10", 1)


def entities(connector: int, count: int) -> list[DueEntity]:
    return [replace(DELTA, connector_uid=UUID(int=connector), slug=f"{connector}.{i}") for i in range(count)]


def look(fleet: Fleet, due: list[DueEntity], budget_s: float = 60.0) -> Counter[str]:
    found: list[Detected] = []
    # One at a time, so that "in a row" has one meaning.
    Detector(fleet, Clock(), concurrency=1, budget_s=budget_s).look(due, found.append)
    return Counter(one.outcome for one in found)


def test_connectors_take_turns() -> None:
    found: list[Detected] = []
    due = [*entities(1, 3), *entities(2, 1), *entities(3, 2)]
    Detector(Fleet(), Clock(), concurrency=1, budget_s=60.0).look(due, found.append)
    assert [one.entity.connector_uid.int for one in found] == [1, 2, 3, 1, 3, 1]


@pytest.mark.parametrize("error", [SourceUnavailableError("down"), SourceRefusedError("401")])
def test_three_failures_in_a_row_leave_the_connector_until_the_next_tick(error: AppError) -> None:
    fleet = Fleet({UUID(int=1): error})
    outcomes = look(fleet, [*entities(1, 10), *entities(2, 10)])
    assert outcomes == {"failed": 3, "left": 7, "unchanged": 10}
    assert fleet.asked == {UUID(int=1): 3, UUID(int=2): 10}


def test_connector_is_looked_up_once_a_tick_however_many_tables_it_has() -> None:
    fleet = Fleet()
    due = [*entities(1, 50), *entities(2, 50)]
    Detector(fleet, Clock(), concurrency=20, budget_s=60.0).look(due, lambda _: None)
    assert fleet.opened == {UUID(int=1): 1, UUID(int=2): 1}
    assert fleet.asked.total() == 100


def test_connector_that_hangs_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detect, "_QUIET_S", 0.01)
    fleet, found, quiet = Fleet(hanging=UUID(int=1)), list[Detected](), list[int]()

    def meanwhile() -> None:
        # It lets go once the other has answered for all its tables, or never will.
        quiet.append(len(found))
        if len(found) == 50 or len(quiet) == 1_000:
            fleet.released.set()

    due = [*entities(1, 50), *entities(2, 50)]
    Detector(fleet, Clock(), concurrency=5, budget_s=60.0).look(due, found.append, meanwhile)
    assert 50 in quiet and {one.entity.connector_uid.int for one in found[:50]} == {2}
    assert Counter(one.outcome for one in found) == {"unchanged": 100}


def test_one_tables_failure_touches_no_other() -> None:
    trouble = {"1.0": SourceUnavailableError("500"), "1.2": SourceUnavailableError("500")}
    assert look(Fleet(trouble), entities(1, 8)) == {"failed": 2, "unchanged": 6}


def test_unreadable_answers_are_the_tables_own() -> None:
    trouble = {f"1.{i}": SourceProtocolError("odd") for i in range(5)}
    assert look(Fleet(trouble), entities(1, 8)) == {"failed": 5, "unchanged": 3}


def test_nothing_is_probed_after_the_deadline() -> None:
    fleet = Fleet()
    assert (look(fleet, entities(1, 4), budget_s=0.0), fleet.asked) == ({"left": 4}, {})
