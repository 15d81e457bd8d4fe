"""Stored rejects that are tried again: taken up by the moment of their refusal, then closed or kept with what refused
them now. Every function but `due` works inside the chunk's transaction."""

from collections.abc import Sequence
from datetime import datetime

import polars as pl
from psycopg import sql

from shared.adapters.postgres.copy_format import Field
from shared.adapters.postgres.database import Connection
from shared.adapters.postgres.send import send
from shared.sql import query
from shared.sync.model import ColumnType, Kind
from shared.sync.ports import ChunkConflictError, Claim, Refused
from shared.sync.replay import UID


def due(
    connection: Connection, claim: Claim, schema: str, limit: int
) -> tuple[list[Refused], datetime] | None:
    """Due rejects of the oldest moment that has any, and that moment."""
    ids = {"entity": claim.config.entity_uid, "limit": limit}
    rows = connection.execute(query("rejects_due", schema), ids).fetchall()
    if not rows:
        return None
    return [Refused(row["uid"], row["raw"]) for row in rows], rows[0]["refused_at"]


def take(connection: Connection, claim: Claim, schema: str, uids: Sequence[str]) -> None:
    """Lock the rejects; raises ChunkConflictError where one is no longer what was read."""
    ids = {"entity": claim.config.entity_uid, "uids": list(uids)}
    row = connection.execute(query("rejects_take", schema), ids).fetchone()
    if row is None or row["n"] != len(uids):
        raise ChunkConflictError(f"{row['n'] if row else 0} of {len(uids)} rejects are still to be tried")


def settle(
    connection: Connection, claim: Claim, schema: str, uids: Sequence[str], again: pl.DataFrame
) -> None:
    """Close the rejects, but keep those that were refused again, with the reason of today."""
    ids = {"run": claim.run_uid, "uids": list(uids)}
    if again.height:
        connection.execute(query("rejects_again_table", schema))
        text = ColumnType(Kind.TEXT)
        fields = [Field(name, again[name], text) for name in ("stage", "column", "code", "message")]
        fields.append(Field("uid", again[UID], ColumnType(Kind.UUID)))
        send(connection, sql.Identifier("refused_again"), fields)
        connection.execute(query("rejects_again", schema), ids)
        connection.execute("DROP TABLE refused_again")
    kept = set(again[UID].to_list())
    landed = [uid for uid in uids if uid not in kept]
    connection.execute(query("rejects_landed", schema), ids | {"uids": landed})
