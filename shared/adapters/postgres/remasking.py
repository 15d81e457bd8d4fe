"""What was stored before a column was masked goes, in the transaction that masks it; the next pass brings it masked.

Live and deleted rows lose the column's values; rejects, waiting children and cursors of the entity lose what they hold.
"""

import json
from collections.abc import Sequence

from psycopg import sql

from shared.adapters.postgres.database import Connection
from shared.errors import TargetRefusedError
from shared.sql import query
from shared.sync.catalogue import Catalogued, key_targets, sources_of

_FORGOTTEN = json.dumps(
    {"withheld": "a column of this entity was masked after the row was kept; it comes with the next pass"}
)


def forget_unmasked(connection: Connection, schema: str, before: Catalogued, after: Catalogued) -> None:
    """Forget the plain values of columns that `after` masks and `before` did not; nothing else changes.

    Raises TargetRefusedError for a business key of a table that holds rows: its plain keys cannot be taken back.
    """
    columns = newly_masked(before, after)
    if not columns:
        return
    keys = [name for name in columns if name in {*key_targets(before), *key_targets(after)}]
    target = sql.Identifier(after.entity.target_schema, after.entity.target_table)
    if keys:
        _require_empty(connection, target, after, keys[0])
    others = [name for name in columns if name not in keys]
    if others:
        _blank(connection, target, others)
    values = {"entity": after.entity.uid, "forgotten": _FORGOTTEN, "keys": bool(keys)}
    for name in ("remask_rejects", "remask_cursors", "remask_loads", "remask_missing"):
        connection.execute(query(name, schema), values)
    _forget_waiting(connection, schema, after)


def forget_adopted(connection: Connection, after: Catalogued) -> None:
    """The same for a table that stood filled before its entity: whether its values are masked, nobody can tell."""
    masked = [mapping.target for mapping in after.mappings if mapping.rules.mask != "none"]
    target = sql.Identifier(after.entity.target_schema, after.entity.target_table)
    keys = [name for name in masked if name in key_targets(after)]
    if keys:
        _require_empty(connection, target, after, keys[0])
    if others := [name for name in masked if name not in keys]:
        _blank(connection, target, others)


def newly_masked(before: Catalogued, after: Catalogued) -> list[str]:
    """Target columns that hold plain values of what is masked from now on, be they mapped any longer or not."""
    hidden = {
        name for mapping in after.mappings if mapping.rules.mask != "none" for name in sources_of(mapping)
    }
    return sorted(m.target for m in before.mappings if m.rules.mask == "none" and hidden & set(sources_of(m)))


def _require_empty(connection: Connection, target: sql.Identifier, after: Catalogued, key: str) -> None:
    row = connection.execute(sql.SQL("SELECT EXISTS (SELECT FROM {}) AS filled").format(target)).fetchone()
    if row is not None and row["filled"]:
        raise TargetRefusedError(
            f"table {after.entity.target_schema}.{after.entity.target_table}: holds rows under the plain key {key}",
            hint="TRUNCATE the table and send it again: the next pass loads it under masked keys",
        )


def _blank(connection: Connection, target: sql.Identifier, columns: Sequence[str]) -> None:
    names = [sql.Identifier(name) for name in columns]
    assignments = sql.SQL(", ").join(sql.SQL("{} = NULL").format(name) for name in names)
    filled = sql.SQL(" OR ").join(sql.SQL("{} IS NOT NULL").format(name) for name in names)
    connection.execute(sql.SQL("UPDATE {} SET {} WHERE {}").format(target, assignments, filled))


def _forget_waiting(connection: Connection, schema: str, after: Catalogued) -> None:
    """Waiting children are met again by the pass that reads everything anew."""
    for table, column in (("held_rows", "_bridge_entity_uid"), ("awaited_parents", "entity_uid")):
        there = connection.execute("SELECT to_regclass(%s) AS t", (f'"{schema}".{table}',)).fetchone()
        if there is not None and there["t"] is not None:
            statement = sql.SQL("DELETE FROM {} WHERE {} = %s").format(
                sql.Identifier(schema, table), sql.Identifier(column)
            )
            connection.execute(statement, (after.entity.uid,))
