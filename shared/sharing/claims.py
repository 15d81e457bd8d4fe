"""Whether a delivery may work on its application: a pure decision over the application's row, by PostgreSQL's clock."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any, Literal
from uuid import UUID

ApplicationStatus = Literal["queued", "running", "waiting", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class ApplicationState:
    """An application as a delivery finds it."""

    status: ApplicationStatus
    next_attempt_at: datetime
    lease_until: datetime | None
    message_id: str | None
    dequeue_count: int


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on an application, good until somebody claims it with a higher epoch."""

    application_uid: UUID
    share_pack_id: UUID
    pack_version: int
    epoch: int
    attempts: int
    failures: int


@dataclass(frozen=True, slots=True)
class RotationClaim:
    """The right to work on the rotation of a token; `document` is its plan."""

    rotation_uid: UUID
    workspace: str
    recipient: str
    business_line: str
    document: Mapping[str, Any]
    epoch: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Send the message again after this many seconds."""

    delay_s: int


@dataclass(frozen=True, slots=True)
class Ignore:
    """Acknowledge the message untouched."""

    reason: str


@dataclass(frozen=True, slots=True)
class Take:
    """Claim the application."""


Decision = Take | Wait | Ignore
ClaimAnswer = Claim | Wait | Ignore


def decide_claim(state: ApplicationState, message_id: str, dequeue_count: int, now: datetime) -> Decision:
    """Queued and due, a lease run out, or the holder's own message come back: those claim; all else doesn't."""
    match state.status:
        case "queued" if state.next_attempt_at > now:
            return Wait(ceil((state.next_attempt_at - now) / timedelta(seconds=1)))
        case "queued":
            return Take()
        case "running":
            own = state.message_id == message_id and dequeue_count > state.dequeue_count
            # The queue shows a message again only after its holder's host died or let it go.
            late = state.lease_until is None or state.lease_until <= now
            return Take() if own or late else Ignore("held by another delivery")
        case "waiting":
            return Ignore("waits for an approval")
        case _:
            return Ignore("finished")
