"""What a slice's errors, its time and its proof lead to."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.errors import (
    AppError,
    FencedError,
    SourceRefusedError,
    SourceThrottledError,
    SourceUnavailableError,
)
from shared.sync.guards import Guards
from shared.sync.ports import Claim, Due
from shared.sync.run import SliceRunner
from tests.unit.sync.memory import (
    CLAIM,
    CONFIG,
    FIRST,
    VERSIONED,
    MemoryLedger,
    MemorySource,
    MemoryTarget,
    page,
)

THREE = [page(("a", "1"), ("b", "2"), cursor="1"), page(("c", "3"), cursor="2"), page(("d", "4"))]


@dataclass
class Clock:
    time: float = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.time


@dataclass
class Slice:
    """A slice and everything it touches."""

    source: MemorySource
    guards: Guards = field(default_factory=Guards)
    target: MemoryTarget = field(default_factory=MemoryTarget)
    clock: Clock = field(default_factory=Clock)
    told: list[str] = field(default_factory=list)
    retries: int = 1
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ledger = MemoryLedger(self.target, self.retries)

    def run(self, claim: Claim = CLAIM) -> str:
        options = {
            "budget_s": 240.0,
            "full_max_rows": 100,
            "split_rows": 1_000_000,
            "chunk_rows": 1,
        } | self.options
        tell: Callable[..., None] = lambda action, **_: self.told.append(action)  # noqa: E731
        verifier: Any = None  # no slice here is a verification's
        runner = SliceRunner(
            self.target, self.ledger, self.guards, self.clock, tell=tell, verifier=verifier, **options
        )
        return runner.run(claim, lambda: self.source)

    @property
    def ended(self) -> tuple[str, str | None]:
        assert self.ledger.ending is not None
        error = self.ledger.ending.error
        return self.ledger.ending.status, error and error.code


def test_slice_commits_every_chunk_and_ends() -> None:
    work = Slice(MemorySource(THREE))
    assert (work.run(), work.ended) == ("ended", ("success", None))
    assert (len(work.target.table.closed), set(work.target.table.notes)) == (3, {"a", "b", "c", "d"})


@pytest.mark.parametrize(
    ("error", "outcome", "said"),
    [
        (SourceUnavailableError("down"), "backed_off", ["backed off source_unavailable None"]),
        (SourceThrottledError("slow", retry_after_s=7), "backed_off", ["backed off source_throttled 7"]),
        (SourceRefusedError("no"), "ended", []),
        (KeyError("a defect"), "backed_off", ["backed off defect None"]),
        (FencedError("gone"), "fenced", []),
    ],
)
def test_error_leads_to_its_own_decision(error: Exception, outcome: str, said: list[str]) -> None:
    work = Slice(MemorySource([THREE[0], error]))
    assert (work.run(), work.ledger.said) == (outcome, said)


@pytest.mark.parametrize(("error", "code"), [(SourceUnavailableError("down"), "source_unavailable"),
                                             (SourceRefusedError("no"), "source_refused"),
                                             (ZeroDivisionError(), "defect")])  # fmt: skip
def test_last_attempt_ends_as_a_failure_that_says_why(error: Exception, code: str) -> None:
    work = Slice(MemorySource([error]), retries=0)
    assert (work.run(), work.ended) == ("ended", ("failed", code))
    assert "run_ended" in work.told


def test_defect_is_named_without_its_text() -> None:
    work = Slice(MemorySource([KeyError("row 17 of ACME")]), retries=0)
    work.run()
    error = work.ledger.ending and work.ledger.ending.error
    assert isinstance(error, AppError) and "KeyError" in error.message and "ACME" not in error.message


def test_slice_that_lost_its_claim_stops_without_a_word_to_the_ledger() -> None:
    work = Slice(MemorySource(THREE))
    work.target.epoch = 2
    assert (work.run(), work.told, work.ledger.ending) == ("fenced", ["fenced"], None)
    assert work.target.table.rows == {}


def test_claim_lost_between_error_and_decision_is_fenced_too() -> None:
    work = Slice(MemorySource([SourceUnavailableError("down")]))
    work.target.epoch = 2
    assert (work.run(), work.ledger.said) == ("fenced", [])


def test_budget_ends_the_slice_after_a_chunk_and_the_next_goes_on_from_its_cursor() -> None:
    work = Slice(MemorySource(THREE))
    work.source.on_page = lambda: setattr(work.clock, "time", 500.0)
    assert (work.run(), work.ledger.said, len(work.target.table.closed)) == ("continued", ["continued"], 1)


def test_slow_source_closes_the_chunk_when_the_time_is_up() -> None:
    work = Slice(MemorySource(THREE), options={"chunk_rows": 1000})
    work.source.on_page = lambda: setattr(work.clock, "time", work.clock.time + 150)
    assert work.run() == "continued"
    assert 0 < work.target.table.closed[0].fetched < 4


def test_unproven_walk_ends_partial_moves_nothing_and_deletes_nothing() -> None:
    work = Slice(MemorySource([page(("a", "1"), total=9)], newest="1"))
    work.target.due = Due(1, 2, 2, True)
    claim = replace(CLAIM, config=VERSIONED, watermark="0" * 38)
    assert (work.run(claim), work.ended) == ("ended", ("partial", "unproven"))
    ending = work.ledger.ending
    assert ending and (ending.watermark, ending.proven, ending.swept) == ("0" * 38, False, False)


def test_unproven_walk_of_an_ordered_source_moves_no_watermark_either() -> None:
    config = replace(VERSIONED, ordered_by_rowversion=True)
    work = Slice(MemorySource([page(("a", "1"), total=9)], newest="1"))
    work.run(replace(CLAIM, config=config, watermark="0" * 38))
    assert work.ledger.ending and work.ledger.ending.watermark == "0" * 38


def test_proven_delta_leaves_its_watermark_and_probe() -> None:
    work = Slice(MemorySource([page(("a", "1"), ("b", "2"))], newest="2"))
    work.run(replace(CLAIM, config=VERSIONED, pass_uid=None))
    ending = work.ledger.ending
    assert ending and ending.watermark == "2".zfill(38) == ending.bound
    assert ending.proven and ending.probe == {"lower": None, "max_rowversion": "2", "count": None}


@pytest.mark.parametrize(
    ("due", "barred", "deleted", "ended"),
    [
        (Due(1, 20, 19, True), False, True, ("success", None)),
        (Due(1, 20, 19, True), True, False, ("success", None)),
        (Due(15, 20, 5, True), False, False, ("partial", "delete_guard")),
        (Due(1, 20, 0, True), False, False, ("partial", "delete_guard")),
    ],
)
def test_deletes_need_proof_and_the_guards_leave(due: Due, barred: bool, deleted: bool, ended: Any) -> None:
    work = Slice(MemorySource([page(("a", "1"), ("z", "2"))]))
    work.run(replace(CLAIM, pass_uid=None))
    work.source.pages, work.target.due = [page(("a", "1"))], due
    work.run(replace(CLAIM, deletes_barred=barred))
    assert (work.ended, "z" not in work.target.table.notes) == (ended, deleted)


def test_reject_without_a_key_bars_the_deletes() -> None:
    work = Slice(MemorySource([page(("a", "1"), ("z", "2"))]))
    work.run(replace(CLAIM, pass_uid=None))
    work.source.pages, work.target.due = [page(("a", "1"), (None, "?"))], Due(1, 20, 19, True)
    work.run()
    assert "z" in work.target.table.notes


def test_snapshot_beyond_the_limit_is_refused_with_the_way_out() -> None:
    work = Slice(MemorySource(THREE), options={"full_max_rows": 2})
    work.run(replace(CLAIM, config=replace(CONFIG, strategy="full")))
    assert work.ended == ("failed", "configuration")
    assert work.ledger.ending and work.ledger.ending.error and "hash" in work.ledger.ending.error.hint


@pytest.mark.parametrize(("before", "said"), [(0, []), (1, []), (2, ["publish"])])
def test_unproven_snapshot_waits_until_the_third_in_a_row(before: int, said: list[str]) -> None:
    work = Slice(MemorySource([page(("a", "1"), total=9)]))
    work.run(replace(CLAIM, config=replace(CONFIG, strategy="full"), unproven_snapshots=before))
    assert work.ledger.said == said
    assert said or (work.ledger.ending and work.ledger.ending.unproven_snapshots == before + 1)


def test_first_load_builds_the_indexes_it_took_down_and_a_later_run_does_before_it_begins() -> None:
    work = Slice(MemorySource([page(("a", "1"))]))
    work.target.table.indexed = False
    work.run(FIRST)
    assert work.target.table.indexed
    work.target.table.indexed = False
    assert work.run(replace(CLAIM, indexes_deferred=True)) == "ended"
