"""Who may work on a slice, and when to try again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.sync.claims import Decision, Ignore, SliceState, Take, Wait, backoff_s, decide_claim

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOON, AGO = NOW + timedelta(seconds=90), NOW - timedelta(seconds=1)
QUEUED = SliceState("queued", True, True, None, NOW, None, 0, False)
RUNNING = replace(QUEUED, status="running", lease_until=SOON, message_id="m", dequeue_count=1)


@pytest.mark.parametrize(
    ("state", "message", "count", "decision"),
    [
        (QUEUED, "m", 1, Take()),
        (replace(QUEUED, next_attempt_at=SOON), "m", 1, Wait(90)),
        (replace(QUEUED, next_attempt_at=NOW + timedelta(milliseconds=10)), "m", 1, Wait(1)),
        (replace(QUEUED, admitted=False), "m", 1, Ignore("not admitted")),
        (replace(QUEUED, admitted=False, next_attempt_at=SOON), "m", 1, Wait(90)),
        (replace(QUEUED, delta_in_flight=True), "m", 1, Ignore("a delta goes first", give_back=True)),
        (replace(QUEUED, run_in_flight=False), "m", 1, Ignore("finished")),
        (replace(QUEUED, status="done"), "m", 1, Ignore("finished")),
        (replace(QUEUED, status="failed"), "m", 1, Ignore("finished")),
        (replace(QUEUED, status="cancelled"), "m", 1, Ignore("finished")),
        (RUNNING, "m", 1, Ignore("held by another delivery")),
        (RUNNING, "other", 9, Ignore("held by another delivery")),
        (RUNNING, "m", 2, Take()),
        (replace(RUNNING, lease_until=AGO), "other", 1, Take()),
        (replace(RUNNING, lease_until=NOW), "other", 1, Take()),
        (replace(RUNNING, lease_until=None), "other", 1, Take()),
        (replace(RUNNING, lease_until=AGO, run_in_flight=False), "m", 2, Ignore("finished")),
    ],
)
def test_claim_is_decided_by_the_slices_row(
    state: SliceState, message: str, count: int, decision: Decision
) -> None:
    assert decide_claim(state, message, count, NOW) == decision


@pytest.mark.parametrize(
    ("attempt", "wish", "seconds"),
    [(1, None, 60), (2, None, 120), (3, None, 240), (7, None, 3600), (10**9, None, 3600), (1, 500.0, 500),
     (1, 1e9, 3600), (0, None, 60)],
)  # fmt: skip
def test_backoff_doubles_is_capped_and_honours_the_sources_wish(
    attempt: int, wish: float | None, seconds: int
) -> None:
    assert backoff_s(attempt, 60, 3600, wish) == seconds
