"""Parents under `full`: a staged snapshot's rows are held by the transaction that publishes the rest."""

import polars as pl
from psycopg import sql

from shared.adapters.postgres.database import Connection
from shared.adapters.postgres.holding import Backoff, await_parents, compose, keyed, parent_table, settle
from shared.adapters.postgres.statements import (
    DATA,
    DELETED,
    KEY,
    REFERENCE_TEXT,
    ROWVERSION,
    UID,
    Statements,
    names,
)
from shared.sql import query
from shared.sync.model import KEY_HASH, Reference
from shared.sync.parents import PARENT, Waiting, reference_columns
from shared.sync.ports import Claim, Counters


def hold_snapshot(
    connection: Connection, claim: Claim, statements: Statements, backoff: Backoff, older: sql.Composable
) -> Counters:
    """Move the rows that lack a parent from staging to those that wait; their keys count as seen.

    `older`: which stored rows `t` are newer than staged rows `u`. A parent may stand in the snapshot itself.
    """
    since = {"since": claim.versions_since, "began": claim.pass_began}
    changed = sql.SQL("(t.{uid} IS NULL OR NOT {older} AND (t.{data} <> u.{data} OR t.{deleted}))").format(
        uid=sql.Identifier(UID), data=sql.Identifier(DATA), deleted=sql.Identifier(DELETED), older=older
    )
    connection.execute(_lacking(claim, statements, changed), since)
    for i, reference in enumerate(claim.config.parents):
        if reference.entity_uid == claim.config.entity_uid:
            while connection.execute(_led(claim, statements, changed, reference, i), since).rowcount:
                pass  # one link of the longest chain a step
    row = connection.execute("SELECT count(*) AS n FROM lacking").fetchone()
    found = int(row["n"]) if row else 0
    if not found:
        return Counters()
    awaited = _gather(connection, claim, statements)
    superseded = settle(connection, claim, statements, "chunk_held", claim.pass_began)
    await_parents(connection, claim, statements, Waiting(pl.DataFrame(), awaited), backoff)
    return Counters(held=found - superseded, superseded=superseded)


def answer_snapshot(connection: Connection, claim: Claim, statements: Statements) -> int:
    """Close waiting rows that the published snapshot answers, and wake who waits for its rows; how many it released."""
    row = connection.execute(
        compose(
            "WITH gone AS (DELETE FROM {held} h USING {staging} u WHERE {same} AND (h.{version} <= u.{version}"
            "   OR h.{generation} < %(generation)s"
            "   OR (h.{version} IS NULL OR u.{version} IS NULL) AND h.{read_at} <= %(began)s) RETURNING u.{key} AS key)"
            " SELECT count(*) AS n FROM gone JOIN {target} t ON t.{key} = gone.key AND t.{updated} = now()",
            statements, staging=statements.staging, same=statements.same_key("h", "u"),
        ),
        {"generation": claim.config.generation, "began": claim.pass_began},
    ).fetchone()  # fmt: skip
    return int(row["n"]) if row else 0


def arrive_snapshot(connection: Connection, statements: Statements) -> None:
    """Mark whoever waits for a row of the published snapshot as due."""
    connection.execute(
        compose(
            "UPDATE {awaited} a SET arrived_at = clock_timestamp() FROM {staging} u"
            " WHERE a.parent_uid = %(parent)s AND a.key_hash = u.{key} AND a.arrived_at IS NULL",
            statements, staging=statements.staging,
        ),
        {"parent": statements.config.entity_uid},
    )  # fmt: skip


def _lacking(claim: Claim, statements: Statements, changed: sql.Composable) -> sql.Composed:
    """Rows to be written that name a parent which is neither live nor, of the own table, in the snapshot."""
    joins, lacks = [], []
    for i, reference in enumerate(claim.config.parents):
        own = reference.entity_uid == claim.config.entity_uid
        joins.append(_join(statements, reference, parent_table(reference), f"p{i}", live=True))
        lack = sql.SQL("num_nulls({}) = 0 AND {}.{} IS NULL").format(
            names(_columns(statements, reference), "u."), sql.Identifier(f"p{i}"), sql.Identifier(UID)
        )
        if own:
            joins.append(_join(statements, reference, statements.staging, f"s{i}", live=False))
            lack += sql.SQL(" AND {}.{} IS NULL").format(sql.Identifier(f"s{i}"), sql.Identifier(UID))
        lacks.append(lack)
    shown = [sql.SQL(", ({}) AS {}").format(lack, sql.Identifier(f"l{i}")) for i, lack in enumerate(lacks)]
    return compose(
        "CREATE TEMP TABLE lacking ON COMMIT DROP AS SELECT u.ctid AS place{shown}"
        " FROM {staging} u LEFT JOIN {target} t ON {same}{joins} WHERE {changed} AND ({any})",
        statements,
        shown=sql.SQL("").join(shown),
        staging=statements.staging,
        same=statements.same_key("t", "u"),
        joins=sql.SQL("").join(joins),
        changed=changed,
        any=sql.SQL(" OR ").join(sql.SQL("({})").format(lack) for lack in lacks),
    )


def _led(
    claim: Claim, statements: Statements, changed: sql.Composable, reference: Reference, i: int
) -> sql.Composed:
    """Rows whose parent of the own table is itself among the lacking."""
    flags = [sql.Literal(n == i) for n in range(len(claim.config.parents))]
    return compose(
        "INSERT INTO lacking SELECT u.ctid, {flags} FROM {staging} u LEFT JOIN {target} t ON {same}{live}{staged}"
        " JOIN lacking k ON k.place = s.ctid WHERE p.{uid} IS NULL AND {changed}"
        " AND NOT EXISTS (SELECT 1 FROM lacking o WHERE o.place = u.ctid)",
        statements,
        flags=sql.SQL(", ").join(flags),
        staging=statements.staging,
        same=statements.same_key("t", "u"),
        live=_join(statements, reference, parent_table(reference), "p", live=True),
        staged=_join(statements, reference, statements.staging, "s", live=False),
        changed=changed,
    )


def _gather(connection: Connection, claim: Claim, statements: Statements) -> pl.DataFrame:
    """The lacking rows, taken out of staging into `chunk_held`; whom they wait for."""
    awaited, joins, hashes = [], [], []
    for i, reference in enumerate(claim.config.parents):
        awaited.append(
            keyed(connection, statements, reference, f"lack{i}", _references(statements, reference, i))
        )
        same = sql.SQL(" AND ").join(
            sql.SQL("{}.{} = u.{}").format(
                sql.Identifier(f"k{i}"), sql.Identifier(f"r{n}"), sql.Identifier(column)
            )
            for n, column in enumerate(_columns(statements, reference))
        )
        joins.append(
            sql.SQL(" LEFT JOIN {} {} ON k.{} AND {}").format(
                sql.Identifier(f"lack{i}"), sql.Identifier(f"k{i}"), sql.Identifier(f"l{i}"), same
            )
        )
        hashes.append(sql.SQL(", {}._hash AS {}").format(sql.Identifier(f"k{i}"), sql.Identifier(f"_a{i}")))
    columns = [*statements.data_names, UID, KEY, DATA, ROWVERSION, REFERENCE_TEXT]
    parts = {"staging": statements.staging, "seen": statements.seen}
    connection.execute(
        compose(
            "CREATE TEMP TABLE chunk_held ON COMMIT DROP AS SELECT {columns}{hashes}"
            " FROM lacking k JOIN {staging} u ON u.ctid = k.place{joins}",
            statements, columns=names(columns, "u."), hashes=sql.SQL("").join(hashes),
            joins=sql.SQL("").join(joins), **parts,
        )
    )  # fmt: skip
    connection.execute(
        compose("INSERT INTO {seen} (key_hash) SELECT {key} FROM chunk_held", statements, **parts)
    )
    ids = {"entity": claim.config.entity_uid}
    connection.execute(query("rejects_answered_by_held", statements.schema), ids)
    connection.execute(
        compose("DELETE FROM {staging} u USING lacking k WHERE u.ctid = k.place", statements, **parts)
    )
    return pl.concat(awaited).unique([PARENT, KEY_HASH])


def _references(statements: Statements, reference: Reference, i: int) -> sql.Composed:
    shown = sql.SQL(", ").join(
        sql.SQL("u.{} AS {}").format(sql.Identifier(column), sql.Identifier(f"r{n}"))
        for n, column in enumerate(_columns(statements, reference))
    )
    return compose(
        "SELECT {shown} FROM lacking k JOIN {staging} u ON u.ctid = k.place WHERE k.{lack}",
        statements, shown=shown, staging=statements.staging, lack=sql.Identifier(f"l{i}"),
    )  # fmt: skip


def _columns(statements: Statements, reference: Reference) -> list[str]:
    return [column.name for column in reference_columns(statements.config, reference)]


def _join(
    statements: Statements, reference: Reference, table: sql.Composable, alias: str, *, live: bool
) -> sql.Composed:
    same = [
        sql.SQL("{}.{} = u.{}").format(sql.Identifier(alias), sql.Identifier(key), sql.Identifier(column))
        for key, column in zip(reference.key_names, _columns(statements, reference), strict=True)
    ]
    if live:
        same.append(sql.SQL("NOT {}.{}").format(sql.Identifier(alias), sql.Identifier(DELETED)))
    return sql.SQL(" LEFT JOIN {} {} ON {}").format(table, sql.Identifier(alias), sql.SQL(" AND ").join(same))
