"""The outbox: a message is a row first and is sent second, so that a crash between the two loses nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import sql

from shared.adapters.postgres.database import Connection, Database
from shared.errors import QueueUnavailableError
from shared.failpoints import hit
from shared.messages import SliceMessage
from shared.sql import query
from shared.telemetry import traceparent

Send = Callable[[str, int], None]
_BATCH = 100


@dataclass(frozen=True, slots=True)
class Outbox:
    """`take` locks rows with `id` and `delay_seconds`, `sent` removes them by `ids`, `body` makes a row's message."""

    take: sql.Composed
    sent: sql.Composed
    body: Callable[[Mapping[str, Any]], str]


def post(connection: Connection, schema: str, names: Mapping[str, Any], delay_s: int) -> None:
    """A message to the slice `names` (run, slice), sent once the caller's transaction has committed."""
    told = {"delay_s": delay_s, "traceparent": traceparent()}
    connection.execute(query("outbox_insert", schema), {**names, **told})


def admit(connection: Connection, schema: str, connector_uid: UUID, limit: int) -> None:
    """Give the connector's free slots to slices that wait, with their messages; under the connector's row lock."""
    told = {"connector": connector_uid, "limit": limit, "traceparent": traceparent()}
    connection.execute(query("admit", schema), told)


def resend(connection: Connection, schema: str) -> Sequence[Mapping[str, Any]]:
    """Post again what was lost; the runs whose slices it was."""
    return connection.execute(query("resend", schema), {"traceparent": traceparent()}).fetchall()


def send_outbox(database: Database, send: Send) -> int:
    """Send the slices that wait and say how many; raises QueueUnavailableError like `drain`."""
    outbox = Outbox(query("outbox_take", database.schema), query("outbox_sent", database.schema), _slice)
    return drain(database, send, outbox)


def _slice(row: Mapping[str, Any]) -> str:
    return SliceMessage(row["run_uid"], row["slice"], row["traceparent"] or "").to_json()


def drain(database: Database, send: Send, outbox: Outbox) -> int:
    """Send what waits and say how many. A crash in the middle doubles messages, which is harmless.

    Raises QueueUnavailableError when the queue takes none; the rows stay for the next caller.
    """
    total = 0
    while sent := _send_batch(database, send, outbox):
        total += sent
    return total


def _send_batch(database: Database, send: Send, outbox: Outbox) -> int:
    failure: QueueUnavailableError | None = None
    with database.connection() as connection:
        rows = connection.execute(outbox.take, {"limit": _BATCH}).fetchall()
        sent = []
        for row in rows:
            try:
                hit("outbox.before_send")
                send(outbox.body(row), row["delay_seconds"])
                hit("outbox.after_send")
            except QueueUnavailableError as error:
                failure = error
                break
            sent.append(row["id"])
        if sent:
            connection.execute(outbox.sent, {"ids": sent})
    hit("outbox.after_commit")
    if failure is not None:
        raise failure
    return len(sent)
