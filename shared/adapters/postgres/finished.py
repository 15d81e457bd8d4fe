"""Finished runs whose copy in Table Storage is still to be written."""

from collections.abc import Callable

from shared.adapters.execution_log import LogEntry
from shared.adapters.postgres.database import Database
from shared.failpoints import hit
from shared.sql import query

_FIELDS = ("strategy", "trigger", "status", "started_at", "fetched", "inserted", "updated", "unchanged",
           "superseded", "rejected", "held", "soft_deleted", "error")  # fmt: skip
_BATCH = 20


def copy_finished(database: Database, write: Callable[[LogEntry], bool]) -> int:
    """Copy finished runs, oldest first, until one cannot be written; the rest waits for the next caller."""
    with database.connection() as connection:
        rows = connection.execute(query("runs_unlogged", database.schema), {"limit": _BATCH}).fetchall()
    copied = []
    for row in rows:
        hit("log.before")
        fields = {name: row[name] for name in _FIELDS}
        if not write(LogEntry(row["tenant"], row["slug"], str(row["uid"]), row["completed_at"], fields)):
            break
        copied.append(row["uid"])
    hit("log.after")
    if copied:
        with database.connection() as connection:
            connection.execute(query("runs_logged", database.schema), {"runs": copied})
    return len(copied)
