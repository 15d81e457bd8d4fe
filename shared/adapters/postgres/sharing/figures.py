"""Whether share packs have their tables: for health."""

from shared.adapters.postgres.database import Database
from shared.sql import sharing_query


def tables_counted(database: Database) -> int:
    """How many tables schema `deltashare` has: sixteen when all is well."""
    with database.connection() as connection:
        row = connection.execute(sharing_query("tables_counted")).fetchone()
    return int(row["tables"]) if row else 0
