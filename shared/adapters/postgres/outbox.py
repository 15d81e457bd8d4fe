"""The outbox: a message is a row first and is sent second, so that a crash between the two loses nothing."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from shared.adapters.postgres.database import Connection, Database
from shared.errors import QueueUnavailableError
from shared.failpoints import hit
from shared.messages import SliceMessage
from shared.sql import query
from shared.telemetry import traceparent

Send = Callable[[str, int], None]
_BATCH = 100


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
    """Send what waits and say how many. A crash in the middle doubles messages, which is harmless.

    Raises QueueUnavailableError when the queue takes none; the rows stay for the next caller.
    """
    total = 0
    while sent := _send_batch(database, send):
        total += sent
    return total


def _send_batch(database: Database, send: Send) -> int:
    failure: QueueUnavailableError | None = None
    with database.connection() as connection:
        rows = connection.execute(query("outbox_take", database.schema), {"limit": _BATCH}).fetchall()
        sent = []
        for row in rows:
            try:
                hit("outbox.before_send")
                send(
                    SliceMessage(row["run_uid"], row["slice"], row["traceparent"] or "").to_json(),
                    row["delay_seconds"],
                )
                hit("outbox.after_send")
            except QueueUnavailableError as error:
                failure = error
                break
            sent.append(row["id"])
        if sent:
            connection.execute(query("outbox_sent", database.schema), {"ids": sent})
    hit("outbox.after_commit")
    if failure is not None:
        raise failure
    return len(sent)
