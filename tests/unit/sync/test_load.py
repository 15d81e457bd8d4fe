"""One chunk, one transaction: what is tried again, what becomes a reject, and what is never kept."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.errors import ConservationError, FencedError, TargetUnavailableError
from shared.sync.delta import settle
from shared.sync.guards import Guards
from shared.sync.load import load
from shared.sync.model import KEY_HASH
from shared.sync.ports import ChunkConflictError, Counters
from tests.unit.sync.memory import CLAIM, CONFIG, EPOCH, FIRST, VERSIONED, MemoryTarget, chunk

AB = (("a", "1"), ("b", "2"))
NEXT = replace(CLAIM, pass_began=EPOCH + timedelta(hours=2))  # a later pass than the one that wrote the rows


def loaded(*rows: tuple[str | None, str], **more: Any) -> MemoryTarget:
    target = MemoryTarget(**more)
    load(chunk(*rows), FIRST, target, Guards())
    return target


def test_first_load_looks_nothing_up() -> None:
    target = loaded(*AB)
    assert (target.table.notes, target.lookups) == ({"a": "1", "b": "2"}, 0)


def test_each_row_has_the_outcome_that_the_stored_one_gives_it() -> None:
    target = loaded(*AB)
    counters = load(chunk(("a", "1"), ("b", "x"), ("c", "3")), NEXT, target, Guards())
    assert counters == Counters(fetched=3, inserted=1, updated=1, unchanged=1) == target.table.closed[-1]
    assert target.table.notes == {"a": "1", "b": "x", "c": "3"}


def test_rival_leads_to_another_try_without_a_lookup_where_the_load_is_the_first() -> None:
    target = MemoryTarget(interfere=[ChunkConflictError("SerializationFailure")] * 4)
    assert load(chunk(*AB), FIRST, target, Guards()).inserted == 2
    assert (target.attempts, target.lookups) == (5, 0)


def test_key_that_stands_makes_a_first_load_look_keys_up() -> None:
    target = loaded(*AB)
    assert load(chunk(("b", "2"), ("c", "3")), FIRST, target, Guards()).inserted == 1
    assert (target.attempts, target.lookups) == (3, 1)


def test_rivals_without_end_leave_it_for_later_and_keep_nothing() -> None:
    target = MemoryTarget(interfere=[ChunkConflictError("DeadlockDetected")] * 5)
    with pytest.raises(TargetUnavailableError, match="5 times in a row"):
        load(chunk(*AB), CLAIM, target, Guards())
    assert (target.table.rows, target.table.closed) == ({}, [])


@pytest.mark.parametrize("claim", [FIRST, CLAIM])
def test_rows_that_the_target_refuses_are_rejects_and_the_rest_lands(claim: Any) -> None:
    target = MemoryTarget()
    counters = load(chunk(("a", "1"), ("b", "too long a note"), ("c", "3")), claim, target, Guards())
    assert counters == Counters(fetched=3, inserted=2, rejected=1)
    reject = target.table.rejects[0]
    assert (reject["stage"], reject["code"], reject["_reference"]) == ("load", "too_narrow", "b")
    assert "too long a note" in reject["raw"] and reject[KEY_HASH] in target.table.seen


def test_chunk_refused_as_a_whole_but_in_no_row_is_left_for_later() -> None:
    target = MemoryTarget(width=1)
    target.refused_rows = lambda claim, rows: rows.head(0).select("_row")  # type: ignore[method-assign, assignment]
    with pytest.raises(TargetUnavailableError, match="takes each of its rows"):
        load(chunk(("a", "12")), CLAIM, target, Guards())


def test_holder_of_an_older_epoch_keeps_nothing() -> None:
    target = MemoryTarget(epoch=2)
    with pytest.raises(FencedError):
        load(chunk(*AB), CLAIM, target, Guards())
    assert (target.table.rows, target.table.seen, target.table.closed) == ({}, set(), [])


def test_rows_that_do_not_add_up_are_not_kept() -> None:
    target, lossy = MemoryTarget(), chunk(*AB)
    with pytest.raises(ConservationError, match="chunk 1"):
        load(replace(lossy, rows=settle(lossy.rows[1:]).rows), CLAIM, target, Guards())
    assert target.table.rows == {}


def test_pass_sees_landed_and_rejected_keys_and_counts_the_rows_without_one() -> None:
    target = MemoryTarget()
    counters = load(chunk(("a", "1"), (None, "no key"), ("c", "nul\x00")), CLAIM, target, Guards())
    assert (counters.inserted, counters.rejected, len(target.table.seen), target.table.unkeyed) == (
        1,
        2,
        2,
        1,
    )


def test_run_without_a_pass_records_no_keys() -> None:
    target = MemoryTarget()
    load(chunk(*AB), replace(CLAIM, pass_uid=None), target, Guards())
    assert target.table.seen == set()


def test_good_row_answers_the_open_reject_of_its_key() -> None:
    target = MemoryTarget()
    load(chunk(("a", "nul\x00")), CLAIM, target, Guards())
    assert len(target.table.rejects) == 1
    load(chunk(("a", "good")), CLAIM, target, Guards())
    assert target.table.rejects == []


BIG, SMALL, HUGE = 100_000, 99_999, 2_000_001
LATER, OLD = replace(FIRST, chunk=1), replace(FIRST, new_target=False)
DEFERS = [(FIRST, BIG, False), (FIRST, SMALL, True), (FIRST, HUGE, True), (FIRST, None, True), (LATER, BIG, True),
          (OLD, BIG, True), (CLAIM, BIG, True)]  # fmt: skip


@pytest.mark.parametrize(("claim", "expected", "indexed"), DEFERS)
def test_indexes_go_down_only_at_the_beginning_of_a_large_first_load(
    claim: Any, expected: int | None, indexed: bool
) -> None:
    target = MemoryTarget()
    load(chunk(*AB, expected=expected), claim, target, Guards())
    assert target.table.indexed == indexed


def test_rows_that_a_rival_wrote_since_the_page_was_asked_for_stand() -> None:
    target = loaded(*AB, others_wrote=True)
    counters = load(chunk(("a", "older"), ("b", "2")), CLAIM, target, Guards())
    assert (counters.superseded, counters.unchanged, target.table.notes["a"]) == (1, 1, "1")


def test_row_that_this_pass_wrote_and_meets_again_with_other_content_is_a_reject() -> None:
    target = loaded(*AB)
    counters = load(chunk(("a", "other")), replace(CLAIM, chunk=1), target, Guards())
    assert (counters.rejected, target.table.rejects[0]["code"]) == (1, "duplicate_key")
    again = replace(chunk(("a", "other")), attempt=2)
    assert load(again, replace(CLAIM, chunk=2), target, Guards()).updated == 1


def test_older_version_is_superseded_unless_it_is_of_an_older_generation() -> None:
    claim = replace(CLAIM, config=VERSIONED, pass_began=None)
    target = MemoryTarget()
    load(chunk(("x", "1"), ("a", "new"), config=VERSIONED), claim, target, Guards())
    older = chunk(("a", "old"), config=VERSIONED)
    assert load(older, claim, target, Guards()).superseded == 1
    refreshed = replace(claim, versions_since=EPOCH + timedelta(hours=2))
    assert load(older, refreshed, target, Guards()).updated == 1


def test_snapshot_waits_in_staging_without_outcomes() -> None:
    config = replace(CONFIG, strategy="full")
    target = MemoryTarget()
    counters = load(
        chunk(*AB, ("c", "nul\x00"), config=config), replace(CLAIM, config=config), target, Guards()
    )
    assert (counters, target.lookups) == (Counters(fetched=3, rejected=1), 0)
    assert len(target.table.seen) == 1, "staged keys are read where they are staged"
