import pytest

from shared.errors import ConservationError, DeleteGuardError
from shared.sync.guards import conserve, judge_deletes
from shared.sync.ports import Counters, Due


@pytest.mark.parametrize(
    ("due", "live", "received", "allowed"),
    [
        (0, 100, 0, None),
        (10, 11, 1, None),
        (11, 110, 99, None),
        (11, 100, 99, 11),
        (5, 5, 0, 5),
        (1, 1, 1, None),
    ],
)
def test_deletes_within_the_guard_pass(due: int, live: int, received: int, allowed: int | None) -> None:
    judge_deletes(Due(due, live, received, True), 10.0, allowed)


@pytest.mark.parametrize(
    ("due", "live", "received", "allowed"),
    [(1, 100, 0, None), (11, 100, 99, None), (11, 100, 99, 10), (5, 5, 0, 4)],
)
def test_deletes_beyond_the_guard_are_refused_with_the_way_out(
    due: int, live: int, received: int, allowed: int | None
) -> None:
    with pytest.raises(DeleteGuardError) as refused:
        judge_deletes(Due(due, live, received, True), 10.0, allowed)
    assert f"{due} of {live}" in refused.value.message and "allow_deletes" in refused.value.hint


def test_every_fetched_row_needs_exactly_one_outcome() -> None:
    conserve(Counters(6, 1, 1, 1, 1, 1, 1, released=1, soft_deleted=9), where="t")
    for counters in (Counters(fetched=1), Counters(inserted=1), Counters(2, 1, 1, 1)):
        with pytest.raises(ConservationError):
            conserve(counters, where="t")
