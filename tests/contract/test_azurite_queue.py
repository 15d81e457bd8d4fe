"""T12: the emulator's queues behave as the service's do, in what redelivery rests on."""

import uuid
from collections.abc import Iterator

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.queue import QueueClient, QueueMessage


@pytest.fixture
def queue(storage_connection_string: str) -> Iterator[QueueClient]:
    client = QueueClient.from_connection_string(storage_connection_string, f"t12-{uuid.uuid4().hex[:12]}")
    client.create_queue()
    yield client
    client.delete_queue()


@pytest.fixture
def received(queue: QueueClient) -> QueueMessage:
    queue.send_message("one")
    return take(queue, visibility_s=1)


def take(queue: QueueClient, visibility_s: int = 30) -> QueueMessage:
    """The next visible message; the emulator's own clock decides, so this asks until it agrees."""
    while True:
        message = queue.receive_message(visibility_timeout=visibility_s)
        if message is not None:
            return message


def test_a_received_message_is_invisible_to_others(queue: QueueClient) -> None:
    queue.send_message("one")
    take(queue, visibility_s=30)
    assert queue.receive_message() is None


def test_an_expired_message_reappears_with_dequeue_count_two(
    queue: QueueClient, received: QueueMessage
) -> None:
    again = take(queue)
    assert (again.id, received.dequeue_count, again.dequeue_count) == (received.id, 1, 2)


def test_the_old_receipt_is_refused_after_redelivery(queue: QueueClient, received: QueueMessage) -> None:
    take(queue)
    with pytest.raises(HttpResponseError, match="PopReceiptMismatch|MessageNotFound"):
        queue.delete_message(received.id, received.pop_receipt)


def test_renewing_changes_the_receipt_and_only_the_new_one_deletes(queue: QueueClient) -> None:
    queue.send_message("one")
    message = take(queue)
    renewed = queue.update_message(message.id, message.pop_receipt, visibility_timeout=30)
    assert renewed.pop_receipt != message.pop_receipt
    with pytest.raises(HttpResponseError):
        queue.delete_message(message.id, message.pop_receipt)
    queue.delete_message(renewed.id, renewed.pop_receipt)
    assert queue.get_queue_properties().approximate_message_count == 0


def test_renewing_keeps_the_dequeue_count_and_the_body(queue: QueueClient) -> None:
    queue.send_message("one")
    message = take(queue)
    queue.update_message(message.id, message.pop_receipt, visibility_timeout=0)
    again = take(queue)
    assert (again.content, again.dequeue_count) == ("one", 2)


def test_a_delayed_message_is_not_yet_visible(queue: QueueClient) -> None:
    queue.send_message("later", visibility_timeout=60)
    assert queue.receive_message() is None
    assert queue.get_queue_properties().approximate_message_count == 1
