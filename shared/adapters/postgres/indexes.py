"""A new target's indexes: taken down by the first chunk of its first load, built by the transaction that ends it.

Maintaining three indexes row by row costs more than the rows themselves; building them once costs a third.
The unique index is its own duplicate check: if it cannot be built, the keys that stand twice are settled first.
`lifted` does the same within one transaction for an empty target that is no longer new.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from psycopg import errors as pg
from psycopg import sql

from shared.adapters.postgres.database import Connection
from shared.adapters.postgres.fence import slice_update
from shared.adapters.postgres.statements import DATA, KEY, REFERENCE_TEXT, ROWVERSION, UID, Statements, names
from shared.adapters.postgres.tables import hash_index_name, key_constraint_name
from shared.sql import query
from shared.sync.ports import Claim, Counters

_OURS = 3  # primary key, business key, key hash


def defer(connection: Connection, statements: Statements) -> None:
    """Drop the empty target's three indexes, unless somebody added others or refers to it."""
    entity = {"entity": statements.config.entity_uid}
    table = statements.target.as_string(connection)
    found = connection.execute(query("index_names", statements.schema), {"table": table}).fetchone()
    if found is None or found["indexes"] != _OURS or len(found["keys"]) != _OURS - 1 or found["referred_to"]:
        return
    connection.execute("SELECT set_config('lock_timeout', '5s', true)")
    for constraint in found["keys"]:
        drop = sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(
            statements.target, sql.Identifier(constraint)
        )
        connection.execute(drop)
    index = sql.Identifier(statements.config.target_schema, hash_index_name(statements.config.target_table))
    connection.execute(sql.SQL("DROP INDEX {}").format(index))
    connection.execute(query("indexes_deferred", statements.schema), entity | {"deferred": True})


def build(connection: Connection, claim: Claim, statements: Statements) -> None:
    """Put the indexes back inside the caller's transaction; nothing to do where they stand."""
    entity = {"entity": claim.config.entity_uid}
    row = connection.execute(query("indexes_state", statements.schema), entity).fetchone()
    if row is None or not row["indexes_deferred"]:
        return
    connection.execute("SELECT set_config('maintenance_work_mem', '128MB', true)")
    try:
        with connection.transaction():
            _add_key(connection, statements)
    except pg.UniqueViolation:
        _settle(connection, claim, statements)
        _add_key(connection, statements)
    connection.execute(
        sql.SQL("ALTER TABLE {} ADD PRIMARY KEY ({})").format(statements.target, sql.Identifier(UID))
    )
    name = sql.Identifier(hash_index_name(claim.config.target_table))
    connection.execute(
        sql.SQL("CREATE INDEX {} ON {} ({})").format(name, statements.target, sql.Identifier(KEY))
    )
    connection.execute(query("indexes_deferred", statements.schema), entity | {"deferred": False})


@contextmanager
def lifted(connection: Connection, statements: Statements) -> Iterator[None]:
    """All indexes of a target without a page, down for one large insert of this transaction and put back after it.

    Nobody sees the table without them. A table that holds anything, or that somebody uses right now, keeps them.
    """
    rebuild = _lift(connection, statements)
    yield
    if rebuild:
        connection.execute("SELECT set_config('maintenance_work_mem', '128MB', true)")
    for statement in rebuild:
        connection.execute(statement.encode())


def _lift(connection: Connection, statements: Statements) -> Sequence[str]:
    """Take the indexes down if that is free of harm; the statements that put them back."""
    of = {"table": statements.target.as_string(connection)}
    if connection.execute(query("indexes_of_empty", statements.schema), of).fetchone() is None:
        return ()
    try:
        with connection.transaction():
            # Not waited for: whoever comes after a waiting lock waits, too, be it for a report that runs for hours.
            connection.execute(
                sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE NOWAIT").format(statements.target)
            )
            found = connection.execute(query("indexes_of_empty", statements.schema), of).fetchone()
            for statement in found["down"] if found else ():
                connection.execute(statement.encode())
    except (pg.LockNotAvailable, pg.DependentObjectsStillExist):
        return ()
    return found["up"] if found else ()


def _add_key(connection: Connection, statements: Statements) -> None:
    add = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} UNIQUE ({})").format(
        statements.target,
        sql.Identifier(key_constraint_name(statements.config.target_table)),
        names([column.name for column in statements.keys]),
    )
    connection.execute(add)


def _settle(connection: Connection, claim: Claim, statements: Statements) -> None:
    """Keep one row a key, as if each later copy had met the earlier one: see the rules across chunks.

    The highest version stays; among equals the later row under `rowversion`, else the earlier one. The others
    turn from inserted into unchanged (equal content), superseded (older version), updated, or rejected.
    """
    later_wins = claim.config.strategy == "rowversion"
    _run(connection, statements, (
        "CREATE TEMP TABLE twice ON COMMIT DROP AS SELECT * FROM ("
        " SELECT t.ctid AS place, t.{data} AS data, t.{version} AS version,"
        "  count(*) OVER k AS copies, row_number() OVER best AS rank,"
        "  first_value(t.{data}) OVER best AS kept_data, first_value(t.{version}) OVER best AS kept_version"
        " FROM {target} t WINDOW k AS (PARTITION BY {keys}),"
        "  best AS (PARTITION BY {keys} ORDER BY t.{version} DESC NULLS LAST, t.{uid} {direction})"
        ") x WHERE copies > 1 AND rank > 1"
    ), direction=sql.SQL("DESC" if later_wins else "ASC"))  # fmt: skip
    outcome = (
        "CASE WHEN data = kept_data THEN 'unchanged' WHEN version < kept_version THEN 'superseded'"
        " WHEN {later_wins} THEN 'updated' ELSE 'rejected' END"
    )
    _run(connection, statements, "ALTER TABLE twice ADD outcome text")
    _run(connection, statements, "UPDATE twice SET outcome = " + outcome, later_wins=sql.Literal(later_wins))
    _reject(connection, claim, statements)
    _run(connection, statements, "DELETE FROM {target} t USING twice w WHERE t.ctid = w.place")
    counts: dict[str, Any] = {"unchanged": 0, "superseded": 0, "updated": 0, "rejected": 0}
    for row in connection.execute("SELECT outcome, count(*) AS n FROM twice GROUP BY outcome"):
        counts[row["outcome"]] = row["n"]
    moved = Counters(inserted=-sum(counts.values()), **counts)
    connection.execute(query("slice_adjust", statements.schema), slice_update(claim, moved))


def _reject(connection: Connection, claim: Claim, statements: Statements) -> None:
    connection.execute(query("rejects_table", statements.schema))
    _run(connection, statements, (
        "INSERT INTO chunk_rejects (uid, key, key_hash, version, stage, code, message, raw)"
        " SELECT t.{uid}, t.{reference}, t.{key}, t.{version}, 'load', 'duplicate_key',"
        " 'the business key came twice with different content; correct the source, or the declared key',"
        " to_jsonb(t)::text FROM {target} t JOIN twice w ON t.ctid = w.place WHERE w.outcome = 'rejected'"
    ))  # fmt: skip
    ids = {"run": claim.run_uid, "entity": claim.config.entity_uid}
    connection.execute(query("rejects_keep", statements.schema), ids)


def _run(connection: Connection, statements: Statements, text: Any, **more: sql.Composable) -> None:
    parts = {
        "target": statements.target,
        "keys": names([column.name for column in statements.keys], "t."),
        "uid": sql.Identifier(UID),
        "key": sql.Identifier(KEY),
        "data": sql.Identifier(DATA),
        "version": sql.Identifier(ROWVERSION),
        "reference": sql.Identifier(REFERENCE_TEXT),
    }
    connection.execute(sql.SQL(text).format(**parts, **more))
