"""The product's App with its storage account left out: messages are delivered in the process that made them."""

import json
from collections import deque
from typing import Any
from uuid import UUID

from shared.adapters.execution_log import LogEntry
from shared.adapters.postgres.outbox import send_outbox
from shared.composition import App
from shared.messages import SliceMessage


class NoLog:
    """Table Storage that takes everything and keeps nothing."""

    def write(self, _: LogEntry) -> bool:
        """Taken."""
        return True

    def beat(self, *_: object) -> bool:
        """Taken."""
        return True

    def close(self) -> None:
        """Nothing to close."""


class BenchApp(App):
    """An App whose queue is a list. Everything between the message and PostgreSQL is the product's own."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.waiting: deque[str] = deque()
        self.__dict__["table_log"] = NoLog()

    def send_outbox(self) -> int:
        """Move what waits in the outbox to the list."""
        return send_outbox(self.database, lambda body, _delay_s: self.waiting.append(body))

    def _send_later(self, run_uid: UUID, slice_: int, delay_s: int) -> None:
        raise RuntimeError(
            f"run {run_uid} slice {slice_} had to wait {delay_s} s; nothing else should be running"
        )

    def drain(self) -> int:
        """Deliver messages until none is left; how many."""
        self.send_outbox()
        delivered = 0
        while self.waiting:
            body = self.waiting.popleft()
            delivered += 1
            self.sync_table(body.encode(), f"bench-{delivered}-{json.loads(body)['slice']}", 1)
        return delivered

    def start_run(self, entity_uid: UUID) -> SliceMessage:
        """A run of the delta lane for the entity."""
        run = self.runs.create(entity_uid, purpose="delta", trigger="manual", requested_by="bench")
        return SliceMessage(run, 0)
