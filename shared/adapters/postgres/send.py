"""Rows into a table by binary COPY."""

from collections.abc import Sequence

from psycopg import sql

from shared.adapters.postgres import copy_format
from shared.adapters.postgres.copy_format import Field
from shared.adapters.postgres.database import Connection
from shared.adapters.postgres.statements import copy_into


def send(connection: Connection, table: sql.Composable, fields: Sequence[Field]) -> None:
    """COPY the fields into a table."""
    encoded = copy_format.encode(fields)
    with connection.cursor() as cursor, cursor.copy(copy_into(table, encoded.columns)) as copy:
        for piece in encoded.pieces:
            copy.write(piece)
