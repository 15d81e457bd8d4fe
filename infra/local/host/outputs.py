"""Queue messages: reading and writing bodies as the Functions host does, and sending what outputs hold."""

import base64
import binascii
import json
from collections.abc import Mapping
from functools import lru_cache

from azure.core.exceptions import ResourceExistsError
from azure.storage.queue import QueueClient

from infra.local.host.protocol import Output, Text
from infra.local.host.triggers import QueueOutput


@lru_cache(maxsize=64)
def queue_client(connection: str, name: str) -> QueueClient:
    """A client that leaves bodies as they are; encoding is ours, to see what is not base64."""
    return QueueClient.from_connection_string(connection, name)


def encode(body: bytes, base64_bodies: bool) -> str:
    """The text that travels."""
    return base64.b64encode(body).decode() if base64_bodies else body.decode()


def decode(text: str, base64_bodies: bool) -> bytes | None:
    """The body, None when it should be base64 and is not."""
    if not base64_bodies:
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def body_text(body: bytes) -> Text:
    """A message's body as the worker gets it."""
    try:
        return Text("string", body.decode())
    except UnicodeDecodeError:
        return Text("bytes", body)


def send(targets: Mapping[str, QueueOutput], outputs: Mapping[str, Output], base64_bodies: bool) -> int:
    """Send every queue output, in order; the number of messages sent. An absent queue is created."""
    sent = 0
    for name, target in targets.items():
        output = outputs.get(name)
        if isinstance(output, Text):
            for body in _bodies(output):
                _send(queue_client(target.connection, target.queue), encode(body, base64_bodies))
                sent += 1
    return sent


def ensure_queue(client: QueueClient) -> None:
    """Create the queue when it is absent."""
    try:
        client.create_queue()
    except ResourceExistsError:
        return


def _send(client: QueueClient, text: str) -> None:
    ensure_queue(client)
    client.send_message(text)


def _bodies(output: Text) -> list[bytes]:
    if isinstance(output.value, bytes):
        return [output.value]
    if output.kind != "json":
        return [output.value.encode()]
    value = json.loads(output.value)
    items = value if isinstance(value, list) else [value]
    return [(item if isinstance(item, str) else json.dumps(item)).encode() for item in items]
