"""Frames into tables: which fields a batch sends, and the COPY that takes them."""

from collections.abc import Sequence

import polars as pl
from psycopg import sql

from shared.adapters.postgres import copy_format
from shared.adapters.postgres.copy_format import Bytes, Field
from shared.adapters.postgres.database import Connection
from shared.adapters.postgres.statements import (
    BRIDGE_TYPES,
    DATA,
    KEY,
    REFERENCE_TEXT,
    ROWVERSION,
    UID,
    Statements,
    copy_into,
)
from shared.sync.model import KEY_HASH, REFERENCE, ROW_HASH, VERSION

BRIDGE_FRAME = {KEY: KEY_HASH, DATA: ROW_HASH, ROWVERSION: VERSION, REFERENCE_TEXT: REFERENCE}


def send(connection: Connection, table: sql.Composable, fields: Sequence[Field]) -> None:
    """COPY the fields into a table."""
    encoded = copy_format.encode(fields)
    with connection.cursor() as cursor, cursor.copy(copy_into(table, encoded.columns)) as copy:
        for piece in encoded.pieces:
            copy.write(piece)


def target_fields(statements: Statements, rows: pl.DataFrame, uids: Bytes | None) -> list[Field]:
    """A batch's mapped and bridge columns, ready to send; new rows bring their uids."""
    columns = statements.config.target_columns
    fields = [Field(c.name, rows[f"t{i}"], c.type) for i, c in enumerate(columns)]
    fields += [Field(name, rows[frame], BRIDGE_TYPES[name]) for name, frame in BRIDGE_FRAME.items()]
    return fields if uids is None else [*fields, Field(UID, uids, BRIDGE_TYPES[UID])]
