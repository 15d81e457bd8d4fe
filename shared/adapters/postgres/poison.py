"""Dead messages: kept as evidence, and their slices queued again or failed, visibly."""

from shared.adapters.postgres.database import Database
from shared.adapters.postgres.slices import Slices
from shared.errors import MessageError, PermanentError
from shared.messages import SliceMessage, parse_slice_message
from shared.sql import query

_KEPT_BYTES = 4096


class PoisonedError(PermanentError):
    """A slice's message was delivered until the queue gave up on it."""

    code = "poisoned"


def handle_poison(database: Database, slices: Slices, queue: str, message_id: str, body: bytes) -> str:
    """Record the message and decide about its slice; how it came out. Handling one twice does nothing more."""
    try:
        message = parse_slice_message(body)
    except MessageError as error:
        record(database, queue, message_id, body, error.code)
        return error.code
    evidence = PoisonedError(
        f"the message of slice {message.slice} was delivered until the queue gave up; its worker died each time",
        hint="look for kills and timeouts in the host's log around the run's time, then sync again",
    )
    # Recorded before or not: the decision looks at the slice's present state, so making it again is safe.
    record(database, queue, message_id, body, "taken", message)
    return slices.poisoned(message.run_uid, message.slice, evidence)


def record(
    database: Database,
    queue: str,
    message_id: str,
    body: bytes,
    outcome: str,
    named: SliceMessage | None = None,
) -> None:
    """Keep a dead message as evidence, once."""
    # Bytes of strangers: escaped, so that any of them fits a text column.
    text = body[:_KEPT_BYTES].decode("ascii", "backslashreplace").replace("\x00", "\\x00")
    row = {
        "queue": queue,
        "message": message_id,
        "body": text,
        "outcome": outcome,
        "run": named and named.run_uid,
        "slice": named and named.slice,
    }
    with database.connection() as connection:
        connection.execute(query("poison_insert", database.schema), row)
