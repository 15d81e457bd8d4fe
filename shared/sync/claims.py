"""Whether a delivery may work on its slice: a pure decision over the slice's row, by PostgreSQL's clock."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Literal

from shared.sync.ports import Claim


@dataclass(frozen=True, slots=True)
class SliceState:
    """A slice as a delivery finds it."""

    status: Literal["queued", "running", "done", "failed", "cancelled"]
    run_in_flight: bool
    admitted: bool
    lease_until: datetime | None
    next_attempt_at: datetime
    message_id: str | None
    dequeue_count: int
    delta_in_flight: bool  # only ever true for a slice of the bulk lane
    parent_in_flight: bool = False  # a declared parent's delta has not ended, and the slice has not begun


@dataclass(frozen=True, slots=True)
class Wait:
    """Send the message again after this many seconds."""

    delay_s: int


@dataclass(frozen=True, slots=True)
class Ignore:
    """Acknowledge the message untouched. `give_back` says that the slice's slot is free for others meanwhile."""

    reason: str
    give_back: bool = False


@dataclass(frozen=True, slots=True)
class Take:
    """Claim the slice."""


Decision = Take | Wait | Ignore
ClaimAnswer = Claim | Wait | Ignore


def decide_claim(state: SliceState, message_id: str, dequeue_count: int, now: datetime) -> Decision:
    """Queued and due, a lease run out, or the holder's own message come back: those claim; all else doesn't."""
    if not state.run_in_flight or state.status in ("done", "failed", "cancelled"):
        return Ignore("finished")
    if state.status == "running":
        return _take_over(state, message_id, dequeue_count, now)
    if state.next_attempt_at > now:
        return Wait(ceil((state.next_attempt_at - now) / timedelta(seconds=1)))
    if not state.admitted:
        return Ignore("not admitted")
    if state.delta_in_flight or state.parent_in_flight:
        return Ignore(f"a {'delta' if state.delta_in_flight else 'parent'} goes first", give_back=True)
    return Take()


def _take_over(state: SliceState, message_id: str, dequeue_count: int, now: datetime) -> Decision:
    if state.lease_until is None or state.lease_until <= now:
        return Take()
    if state.message_id == message_id and dequeue_count > state.dequeue_count:
        # The queue shows a message again only after its holder's host died or let it go.
        return Take()
    return Ignore("held by another delivery")


def backoff_s(attempt: int, base_s: int, cap_s: int, wish_s: float | None = None) -> int:
    """Seconds until attempt number `attempt` (from 1): doubling, capped, never sooner than the source wishes."""
    doubled = min(cap_s, base_s * 2 ** min(max(attempt - 1, 0), 30))
    return int(min(cap_s, max(doubled, wish_s or 0)))
