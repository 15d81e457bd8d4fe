"""Queue triggers: poll, run, renew, then delete, show again or poison, as the storage extension does."""

import json
import logging
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYetError
from dataclasses import dataclass
from datetime import datetime

from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.storage.queue import QueueClient, QueueMessage

from infra.local.host import outputs
from infra.local.host.errors import HostError
from infra.local.host.host_json import QueueOptions
from infra.local.host.protocol import Finished, Text
from infra.local.host.runner import Runner
from infra.local.host.triggers import QueueTrigger

log = logging.getLogger("host.queue")

POISON_SUFFIX = "-poison"
LONGEST_QUEUE_NAME = 63


@dataclass(frozen=True, slots=True)
class QueueTiming:
    """Seconds: how long a received message stays invisible, how often that is renewed, the shortest poll pause."""

    invisible_s: int = 600
    renew_s: float = 300
    min_poll_s: float = 0.1


class Backoff:
    """Random, growing pauses between polls that find nothing; one that finds something starts over."""

    def __init__(self, shortest_s: float, longest_s: float) -> None:
        self._shortest_s, self._longest_s = shortest_s, max(shortest_s, longest_s)
        self._empty = 0

    def pause(self, found: bool) -> float:
        """Seconds until the next poll."""
        if found:
            self._empty = 0
            return self._shortest_s
        self._empty += 1
        ceiling = min(self._shortest_s * 2 ** min(self._empty, 32), self._longest_s)
        return random.uniform(0.8 * ceiling, ceiling)


class QueueListener:
    """One queue function; polls on a thread of its own, each message in flight has one too."""

    def __init__(
        self, trigger: QueueTrigger, runner: Runner, options: QueueOptions, timing: QueueTiming
    ) -> None:
        self._trigger, self._runner, self._options, self._timing = trigger, runner, options, timing
        self._queue = outputs.queue_client(trigger.connection, trigger.queue)
        self._poison = _poison_queue(trigger)
        self._stop = threading.Event()
        self._room = threading.Condition()
        self._in_flight = 0
        self._thread = threading.Thread(target=self._poll, daemon=True, name=f"queue-{trigger.queue}")

    def start(self) -> None:
        """Begin to poll."""
        self._thread.start()

    def stop(self) -> None:
        """Pull no further message; returns at once."""
        self._stop.set()
        with self._room:
            self._room.notify_all()

    def join(self, timeout_s: float) -> None:
        """Wait until what was pulled has been settled."""
        deadline = time.monotonic() + timeout_s
        self._thread.join(timeout_s)
        with self._room:
            self._room.wait_for(lambda: self._in_flight == 0, timeout=max(0.0, deadline - time.monotonic()))

    def invoke(self, body: str) -> None:
        """Run the function once by hand with this body; nothing is deleted or retried."""
        function = self._trigger.function
        self._runner.finish(function, self._runner.begin(function, outputs.body_text(body.encode())).result())

    def _poll(self) -> None:
        backoff = Backoff(self._timing.min_poll_s, self._options.max_polling_interval_s)
        while self._wait_for_room():
            messages = self._receive()
            for message in messages:
                with self._room:
                    self._in_flight += 1
                threading.Thread(target=self._process, args=(message,), daemon=True).start()
            self._stop.wait(backoff.pause(bool(messages)))

    def _wait_for_room(self) -> bool:
        with self._room:
            self._room.wait_for(
                lambda: self._stop.is_set() or self._in_flight <= self._options.new_batch_threshold
            )
        return not self._stop.is_set()

    def _receive(self) -> Sequence[QueueMessage]:
        try:
            size = self._options.batch_size
            return list(
                self._queue.receive_messages(
                    messages_per_page=size, max_messages=size, visibility_timeout=self._timing.invisible_s
                )
            )
        except ResourceNotFoundError:
            # Nobody has sent to it yet; the real host waits for the queue to appear as well.
            return []
        except AzureError as error:
            log.warning("queue %s cannot be read: %s", self._trigger.queue, error)
            return []

    def _process(self, message: QueueMessage) -> None:
        try:
            self._settle(message)
        except AzureError as error:
            log.error("message %s of %s is left to reappear: %s", message.id, self._trigger.queue, error)
        finally:
            with self._room:
                self._in_flight -= 1
                self._room.notify_all()

    def _settle(self, message: QueueMessage) -> None:
        body = outputs.decode(message.content, self._options.base64)
        count = message.dequeue_count or 1
        if body is None or count > self._options.max_dequeue_count:
            self._bury(message, body)
            return
        try:
            succeeded = self._run(message, body)
        except HostError:
            if self._runner.supervisor.closing:
                # On the platform the instance is gone by now; the message reappears when its invisibility ends.
                return
            succeeded = False
        if succeeded:
            self._queue.delete_message(message.id, message.pop_receipt)
        elif count >= self._options.max_dequeue_count:
            self._bury(message, body)
        elif self._poison is not None:
            self._show_again(message)

    def _run(self, message: QueueMessage, body: bytes) -> bool:
        function = self._trigger.function
        done = self._runner.begin(function, outputs.body_text(body), _metadata(message))
        finished = self._await(done, message)
        try:
            return self._runner.finish(function, finished)
        except AzureError as error:
            log.error("%s succeeded but its outputs were not sent: %s", function.name, error)
            return False

    def _await(self, done: "Future[Finished]", message: QueueMessage) -> Finished:
        while True:
            try:
                return done.result(timeout=self._timing.renew_s)
            except NotYetError:
                self._renew(message)

    def _renew(self, message: QueueMessage) -> None:
        renewed = self._queue.update_message(
            message.id, message.pop_receipt, visibility_timeout=self._timing.invisible_s
        )
        # Every update makes a new receipt; the old one is refused from now on.
        message.pop_receipt = renewed.pop_receipt

    def _show_again(self, message: QueueMessage) -> None:
        self._queue.update_message(
            message.id, message.pop_receipt, visibility_timeout=round(self._options.visibility_timeout_s)
        )

    def _bury(self, message: QueueMessage, body: bytes | None) -> None:
        if self._poison is None:
            # Without a poison queue the message stays invisible: showing it again would loop at full speed.
            log.error(
                "message %s of %s has failed for good and there is no poison queue", message.id, self._queue
            )
            return
        raw = message.content.encode() if body is None else body
        outputs.ensure_queue(self._poison)
        self._poison.send_message(outputs.encode(raw, self._options.base64))
        self._queue.delete_message(message.id, message.pop_receipt)
        log.error("message %s of %s moved to %s", message.id, self._trigger.queue, self._poison.queue_name)


def _poison_queue(trigger: QueueTrigger) -> QueueClient | None:
    name = trigger.queue + POISON_SUFFIX
    if trigger.queue.endswith(POISON_SUFFIX) or len(name) > LONGEST_QUEUE_NAME:
        return None
    return outputs.queue_client(trigger.connection, name)


def _metadata(message: QueueMessage) -> dict[str, Text]:
    values: dict[str, object] = {
        "Id": message.id,
        "DequeueCount": message.dequeue_count,
        "PopReceipt": message.pop_receipt,
        "InsertionTime": _iso(message.inserted_on),
        "ExpirationTime": _iso(message.expires_on),
        "NextVisibleTime": _iso(message.next_visible_on),
    }
    return {name: Text("json", json.dumps(value)) for name, value in values.items()}


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
