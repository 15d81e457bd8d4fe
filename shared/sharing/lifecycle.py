"""What may follow on a state of a share pack, what the same bytes lead to when they come again, and names."""

import re
from datetime import UTC, datetime
from typing import Literal

from shared.errors import ConflictError
from shared.sharing.views import OPEN, State

Again = Literal["created", "resumed", "reopened", "unchanged"]
_ENDS = frozenset(State) - OPEN
FOLLOWS = {
    State.IN_PROGRESS: _ENDS - {State.REJECTED} | {State.AWAITING_APPROVAL},
    State.SCHEDULED: frozenset({State.IN_PROGRESS, State.CANCELLED, State.FAILED}),
    # A plan that grew stale while it waited is made again.
    State.AWAITING_APPROVAL: frozenset({State.IN_PROGRESS, State.SCHEDULED, State.REJECTED, State.CANCELLED}),
    # Uploading again, or rolling back, brings a finished pack to work.
    **{state: frozenset({State.IN_PROGRESS, State.SCHEDULED}) for state in _ENDS},
}
"""What may follow on a state."""


def require_follows(state: State, wanted: State, name: str) -> None:
    """Raises ConflictError where `wanted` may not follow on `state`."""
    if wanted not in FOLLOWS[state]:
        raise ConflictError(
            f"share pack {name}: is {state}, so it cannot become {wanted}",
            hint=f"from {state} it can become {', '.join(sorted(FOLLOWS[state]))}",
        )


def again(state: State) -> Again:
    """What an upload of the same bytes does to a pack in this state."""
    if state in (State.FAILED, State.PARTIAL):
        return "resumed"
    return "reopened" if state in (State.REJECTED, State.CANCELLED) else "unchanged"


def pack_name(requestor: str, at: datetime, number: int = 1) -> str:
    """`SharePack_<requestor>_<yyyymmdd_hhmmss>` in UTC; later ones of the same second add their number."""
    name = f"SharePack_{requestor}_{at.astimezone(UTC):%Y%m%d_%H%M%S}"
    return name if number == 1 else f"{name}_{number}"


def folded(name: str) -> str:
    """A business line as it is held against names of tenants: "Corporate Finance" is tenant corporate-finance."""
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")
