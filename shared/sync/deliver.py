"""What one queue message leads to: a claimed slice's work, a later message, or nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from shared.errors import AppError, TargetUnavailableError, TransientError
from shared.failpoints import hit
from shared.sync.claims import ClaimAnswer, Ignore, Wait
from shared.sync.detect import Sources
from shared.sync.run import SliceRunner, Told

LAST_DELIVERY = 4  # host.json's maxDequeueCount is five
PAUSE_S = 60


class Claims(Protocol):
    """How a delivery gets hold of its slice."""

    def admit(self, run_uid: UUID) -> None:
        """Fill the free slots of the run's connector."""

    def claim(self, run_uid: UUID, slice_: int, message_id: str, dequeue_count: int) -> ClaimAnswer:
        """The claim, a delay, or why the message is none of our business."""


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Carries messages to slices. `send_outbox` sends what ended transactions left; `send_later` one message."""

    claims: Claims
    runner: SliceRunner
    sources: Sources
    send_outbox: Callable[[], int]
    send_later: Callable[[UUID, int, int], None]
    copy_finished: Callable[[], int]
    tell: Told

    def deliver(self, run_uid: UUID, slice_: int, message_id: str, dequeue_count: int) -> None:
        """Work on the slice if it is ours to claim. Whatever this loses, the next tick finds again.

        While PostgreSQL does not serve, the first deliveries fail, since a blip ends soon and the message comes back
        with its claim; the last before the queue would call it poison sends another later and pauses the slice.
        """
        try:
            self._deliver(run_uid, slice_, message_id, dequeue_count)
        except TargetUnavailableError as error:
            if dequeue_count < LAST_DELIVERY:
                raise
            self.send_later(run_uid, slice_, PAUSE_S)
            self.tell(
                "paused", level=40, run=str(run_uid), slice=slice_, code=error.code, reason=error.message
            )

    def _deliver(self, run_uid: UUID, slice_: int, message_id: str, dequeue_count: int) -> None:
        self.claims.admit(run_uid)
        answer = self.claims.claim(run_uid, slice_, message_id, dequeue_count)
        if isinstance(answer, Wait):
            self.send_later(run_uid, slice_, answer.delay_s)
        elif isinstance(answer, Ignore):
            self.tell("message_ignored", run=str(run_uid), slice=slice_, reason=answer.reason)
            if answer.give_back:
                self.claims.admit(run_uid)
        else:
            connector = self.sources
            self.runner.run(answer, lambda: connector.source(answer.connector_uid))
        self.flush()
        hit("acknowledge.before")

    def flush(self) -> None:
        """Send the outbox and copy finished runs; neither may fail the work that is already committed."""
        try:
            self.send_outbox()
        except TransientError as error:
            self.tell("outbox_waits", code=error.code)
        try:
            self.copy_finished()
        except AppError as error:
            self.tell("copy_waits", code=error.code)
