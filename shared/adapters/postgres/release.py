"""Waiting rows whose parents came: judged against the target as it is now, and landed set-wise, a batch a time.

No row leaves the server. The row guard holds here as everywhere: a row that the target has newer, or that was
deleted since it was fetched, is closed and never landed.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from psycopg import sql

from shared.adapters.postgres.database import Connection
from shared.adapters.postgres.fence import hold_fence, slice_update
from shared.adapters.postgres.holding import (
    PARTS,
    Backoff,
    await_parents,
    compose,
    held_table,
    keyed,
    parent_table,
)
from shared.adapters.postgres.indexes import lifted
from shared.adapters.postgres.statements import DATA, KEY, REFERENCE_TEXT, ROWVERSION, UID, Statements, names
from shared.failpoints import hit
from shared.sql import query
from shared.sync.model import KEY_HASH, Reference
from shared.sync.parents import FINE, PARENT, Waiting, blocked, reference_columns
from shared.sync.ports import Claim, Counters

_PARENTS_AT_ONCE = 100_000
_PLACE = sql.Identifier("_bridge_place")
# As for first loads: from here on it pays to build the indexes of an empty table after its rows.
REBUILD_FROM = 100_000
# Temporary tables have no statistics: with the default memory a batch would be joined row by row.
_JOIN_MEMORY = "64MB"
# Rows of one table that wait for each other are judged together; a longer chain takes several slices.
_CHAIN_ROWS = 200_000


@dataclass(slots=True)
class PostgresRelease:
    """`sync.ports.Release` over one open transaction. `backoff`: when parents are looked for again.

    `rebuild_from`: new rows from which an empty target's indexes are built after them.
    """

    connection: Connection
    claim: Claim
    statements: Statements
    lease_s: int
    backoff: Backoff
    rebuild_from: int = REBUILD_FROM

    def take(self, limit: int, *, guarded: bool) -> Counters | None:
        """Take up rows whose parents arrived, at most about `limit`; None when none is left to take up."""
        self.connection.execute("SELECT set_config('work_mem', %s, true)", (_JOIN_MEMORY,))
        if not self._due():
            return None
        self.connection.execute("ANALYZE due")
        self._describe()
        hit("release.pick")
        self._judge(self._picked(limit), limit, guarded)
        counters = self._land()
        stuck = self._hold_again(counters.held)
        if counters.fetched < limit or stuck == counters.fetched:
            # Of a full batch in which nothing moved only the circles' marks go: others may wait behind it.
            self._forget_due(all_of_them=counters.fetched < limit)
        hit("release.landed")
        return counters

    def _due(self) -> bool:
        """The arrived parents to look after now: those really there, and rows of the own table that wait as well."""
        ids = {"entity": self.claim.config.entity_uid, "limit": _PARENTS_AT_ONCE}
        self.connection.execute(query("release_due", self.statements.schema), ids)
        declared = []
        for parent in {reference.entity_uid: reference for reference in self.claim.config.parents}.values():
            declared.append(parent.entity_uid)
            self.connection.execute(
                compose(
                    "UPDATE due d SET live = true FROM {parent} p WHERE d.parent_uid = %(parent)s"
                    " AND p.{key} = d.key_hash AND NOT p.{deleted}",
                    self.statements, parent=parent_table(parent),
                ),
                {"parent": parent.entity_uid},
            )  # fmt: skip
        values = {"declared": declared, "entity": self.claim.config.entity_uid}
        # Nobody waits for a parent that is no longer declared.
        self.connection.execute(
            "UPDATE due SET live = true WHERE parent_uid <> ALL (%(declared)s::uuid[])", values
        )
        self.connection.execute(query("release_gone", self.statements.schema), values)
        row = self.connection.execute("SELECT EXISTS (SELECT 1 FROM due) AS some").fetchone()
        return bool(row and row["some"])

    def _describe(self) -> None:
        """Statistics of waiting rows that have none yet: the planner would take a hundred thousand rows for two."""
        table = held_table(self.statements.schema, self.claim.config.entity_uid)
        row = self.connection.execute(
            "SELECT reltuples < 0 AS unknown FROM pg_class WHERE oid = %s::regclass",
            (table.as_string(self.connection),),
        ).fetchone()
        if row and row["unknown"]:
            # A tenth of the usual sample tells few from many. Whoever vacuums the table right now is not waited for.
            self.connection.execute("SELECT set_config('default_statistics_target', '10', true)")
            self.connection.execute(sql.SQL("ANALYZE (SKIP_LOCKED) {}").format(table))

    def _slots(self) -> int:
        """How many parents rows wait for at most; more than are declared where one no longer is."""
        declared = [reference.entity_uid for reference in self.claim.config.parents]
        row = self.connection.execute(
            "SELECT EXISTS (SELECT 1 FROM due WHERE parent_uid <> ALL (%s::uuid[])) AS some", (declared,)
        ).fetchone()
        if not (row and row["some"]):
            return len(declared)
        row = self.connection.execute(
            compose("SELECT coalesce(max(cardinality({awaits})), 1) AS n FROM {held}", self.statements)
        ).fetchone()
        return int(row["n"]) if row else 1

    def _picked(self, limit: int) -> sql.Composed:
        """Waiting rows of this generation that await a due parent; with them the rows that wait for those."""
        if not any(self._is_own(reference) for reference in self.claim.config.parents):
            return self._awaiting(sql.SQL("h.*"))
        values = {"generation": self.claim.config.generation, "limit": limit, "chain": _CHAIN_ROWS}
        chains = self._with_chains(self._awaiting(sql.SQL("h.{}").format(PARTS["key"])))
        self.connection.execute(sql.SQL("CREATE TEMP TABLE taken ON COMMIT DROP AS ") + chains, values)
        self.connection.execute("ANALYZE taken")
        return compose(
            "SELECT h.ctid AS {place}, h.* FROM taken k JOIN {held} h ON h.ctid = k.place",
            self.statements, place=_PLACE,
        )  # fmt: skip

    def _awaiting(self, shown: sql.Composable) -> sql.Composed:
        """Rows that await a due parent, each once: by the first of its parents that is due."""
        parts = []
        alone = compose("h.{generation} = %(generation)s", self.statements)
        for n in map(sql.Literal, range(1, self._slots() + 1)):
            parts.append(
                compose(
                    "(SELECT h.ctid AS {place}, {shown} FROM (SELECT DISTINCT key_hash FROM due) d"
                    " JOIN {held} h ON h.{awaits}[{n}] = d.key_hash WHERE {alone} LIMIT %(limit)s)",
                    self.statements, n=n, shown=shown, alone=alone, place=_PLACE,
                )
            )  # fmt: skip
            alone += compose(
                " AND (h.{awaits}[{n}] IN (SELECT key_hash FROM due)) IS NOT TRUE", self.statements, n=n
            )
        return sql.SQL("SELECT * FROM ({}) x LIMIT %(limit)s").format(sql.SQL(" UNION ALL ").join(parts))

    def _with_chains(self, picked: sql.Composed) -> sql.Composed:
        followers = [
            compose(
                "SELECT h.ctid, h.{key} FROM {held} h WHERE h.{awaits}[{n}] = s.key_hash"
                " AND h.{generation} = %(generation)s",
                self.statements, n=sql.Literal(i + 1),
            )
            for i, reference in enumerate(self.claim.config.parents)
            if self._is_own(reference)
        ]  # fmt: skip
        return sql.SQL(
            "WITH RECURSIVE s (place, key_hash) AS (({}) UNION SELECT f.* FROM s, LATERAL ({}) f)"
            " SELECT * FROM s LIMIT %(chain)s"
        ).format(picked, sql.SQL(" UNION ALL ").join(followers))

    def _is_own(self, reference: Reference) -> bool:
        return reference.entity_uid == self.claim.config.entity_uid

    def _judge(self, picked: sql.Composed, limit: int, guarded: bool) -> None:
        """What becomes of each row taken up: insert, update, unchanged, superseded, or held again."""
        parents = self.claim.config.parents
        lacks = [
            sql.SQL("num_nulls({}) = 0 AND {}.{} IS NULL").format(
                names(self._columns(reference), "h."), sql.Identifier(f"p{i}"), sql.Identifier(UID)
            )
            for i, reference in enumerate(parents)
        ]
        own = [self._is_own(reference) for reference in parents]
        outside = [lack for lack, mine in zip(lacks, own, strict=True) if not mine]
        shown = [sql.SQL("{} AS {}").format(lack, sql.Identifier(f"l{i}")) for i, lack in enumerate(lacks)]
        older = _OLDER if guarded else sql.SQL("false")
        self.connection.execute(
            compose(
                "CREATE TEMP TABLE judged ON COMMIT DROP AS"
                " SELECT h.{place} AS place, h.{key} AS key_hash{shown},"
                " CASE WHEN ({older}) IS TRUE THEN 'superseded' WHEN {stuck} THEN 'held'"
                "  WHEN t.{uid} IS NULL THEN 'insert'"
                "  WHEN t.{data} = h.{data} AND NOT t.{deleted} THEN 'unchanged' ELSE 'update' END AS outcome"
                " FROM ({picked}) h LEFT JOIN {target} t ON {same}{joins}",
                self.statements,
                picked=picked,
                place=_PLACE,
                shown=sql.SQL("").join(sql.SQL(", ") + one for one in shown),
                older=older.format(**PARTS) if guarded else older,
                stuck=sql.SQL(" OR ").join([sql.SQL("false"), *outside]),
                same=self.statements.same_key("t", "h"),
                joins=sql.SQL("").join(self._parent_joins()),
            ),
            {
                "since": self.claim.versions_since,
                "generation": self.claim.config.generation,
                "limit": limit,
            },
        )
        if any(own):
            self._judge_chains([i for i, mine in enumerate(own) if mine])

    def _parent_joins(self) -> list[sql.Composed]:
        return [
            sql.SQL(" LEFT JOIN {} {} ON {} AND NOT {}.{}").format(
                parent_table(reference),
                sql.Identifier(f"p{i}"),
                self._refers(reference, i),
                sql.Identifier(f"p{i}"),
                sql.Identifier("_bridge_deleted"),
            )
            for i, reference in enumerate(self.claim.config.parents)
        ]

    def _refers(self, reference: Reference, i: int) -> sql.Composed:
        columns = self._columns(reference)
        return sql.SQL(" AND ").join(
            sql.SQL("{}.{} = h.{}").format(
                sql.Identifier(f"p{i}"), sql.Identifier(key), sql.Identifier(column)
            )
            for key, column in zip(reference.key_names, columns, strict=True)
        )

    def _columns(self, reference: Reference) -> list[str]:
        return [column.name for column in reference_columns(self.statements.config, reference)]

    def _judge_chains(self, own: list[int]) -> None:
        """Rows of the own table settle as a whole: whoever leads to a row that stays, stays."""
        self.connection.execute("ALTER TABLE judged ADD number serial")
        with self.connection.cursor(binary=True) as cursor:
            row = cursor.execute(
                "SELECT string_agg(CASE WHEN outcome = 'held' THEN '\\x01'::bytea ELSE '\\x00'::bytea END, ''::bytea"
                " ORDER BY number) AS stuck FROM judged"
            ).fetchone()
        if row is None or row["stuck"] is None:
            return
        stuck = np.frombuffer(row["stuck"], np.uint8).astype(bool)
        waits = blocked(stuck, [self._pointers(i, len(stuck)) for i in own])
        stays = (np.flatnonzero(waits & ~stuck) + 1).tolist()
        self.connection.execute(
            "UPDATE judged SET outcome = 'held' WHERE number = ANY (%s) AND outcome <> 'superseded'", (stays,)
        )

    def _pointers(self, i: int, rows: int) -> NDArray[np.int64]:
        """Which row taken up each one refers to, where that parent is not live; see parents.blocked."""
        columns = self._columns(self.claim.config.parents[i])
        same = sql.SQL(" AND ").join(
            sql.SQL("g.{} = h.{}").format(sql.Identifier(key), sql.Identifier(column))
            for key, column in zip(self.claim.config.parents[i].key_names, columns, strict=True)
        )
        with self.connection.cursor(binary=True) as cursor:
            row = cursor.execute(
                compose(
                    "SELECT string_agg(int4send(j.number - 1), ''::bytea ORDER BY j.number) AS at,"
                    " string_agg(int4send(coalesce(o.number - 1, -2)), ''::bytea ORDER BY j.number) AS to"
                    " FROM judged j JOIN {held} h ON h.ctid = j.place"
                    " LEFT JOIN ({held} g JOIN judged o ON o.place = g.ctid AND o.outcome <> 'superseded') ON {same}"
                    " WHERE j.{lack}",
                    self.statements, same=same, lack=sql.Identifier(f"l{i}"),
                )
            ).fetchone()  # fmt: skip
        pointer = np.full(rows, FINE, np.int64)
        if row is not None and row["at"] is not None:
            pointer[np.frombuffer(row["at"], ">i4")] = np.frombuffer(row["to"], ">i4")
        return pointer

    def _land(self) -> Counters:
        """Overwrite, insert, and close what was answered."""
        statements, table = self.statements, held_table(self.statements.schema, self.claim.config.entity_uid)
        outcomes = {"insert": 0, "update": 0, "unchanged": 0, "superseded": 0, "held": 0}
        for row in self.connection.execute("SELECT outcome, count(*) AS n FROM judged GROUP BY outcome"):
            outcomes[row["outcome"]] = row["n"]
        due = sql.SQL("u.ctid IN (SELECT place FROM judged WHERE outcome = {})")
        if outcomes["update"]:
            since = {"since": self.claim.versions_since}
            self.connection.execute(statements.overwrite(table, due.format(sql.Literal("update"))), since)
        if outcomes["unchanged"]:
            moved = sql.SQL(" AND u.{0} IS NOT NULL AND t.{0} IS DISTINCT FROM u.{0}").format(
                sql.Identifier(ROWVERSION)
            )
            self.connection.execute(statements.touch(table, due.format(sql.Literal("unchanged")) + moved))
        if outcomes["insert"] >= self.rebuild_from:
            with lifted(self.connection, statements):
                self._insert()
        elif outcomes["insert"]:
            self._insert()
        self._close()
        self._arrive()
        return Counters(
            fetched=sum(outcomes.values()),
            inserted=outcomes["insert"],
            updated=outcomes["update"],
            unchanged=outcomes["unchanged"],
            superseded=outcomes["superseded"],
            held=outcomes["held"],
            released=outcomes["insert"] + outcomes["update"],
        )

    # Places are fetched as an array, not joined: the server then reads the rows in the order they stand in. The two
    # statements see one snapshot, and cost half of one that hands the deleted rows to the insert.

    def _insert(self) -> None:
        columns = [*self.statements.data_names, UID, KEY, DATA, ROWVERSION, REFERENCE_TEXT]
        self.connection.execute(
            compose(
                "INSERT INTO {target} ({columns}) SELECT {columns} FROM {held} h"
                " WHERE h.ctid = ANY (ARRAY(SELECT place FROM judged WHERE outcome = 'insert'))",
                self.statements, columns=names(columns),
            )
        )  # fmt: skip

    def _close(self) -> None:
        """Take the rows that need not wait any more out of the waiting table."""
        self.connection.execute(
            compose(
                "DELETE FROM {held} h WHERE h.ctid = ANY (ARRAY(SELECT place FROM judged WHERE outcome <> 'held'))",
                self.statements,
            )
        )

    def _arrive(self) -> None:
        """Rows that landed may be awaited in their turn."""
        ids = {"parent": self.claim.config.entity_uid}
        if self.connection.execute(query("awaited_some", self.statements.schema), ids).fetchone():
            self.connection.execute(query("release_arrived", self.statements.schema), ids)

    def _hold_again(self, held: int) -> int:
        """Rows that still lack a parent go on waiting, for what they lack now; how many wait just as before."""
        parents = self.claim.config.parents
        if not held:
            return 0
        awaited = []
        joins: list[sql.Composable] = []
        for i, reference in enumerate(parents):
            awaited.append(self._keys(reference, i))
            joins.append(self._keyed(reference, i))
        hashes = sql.SQL(", ").join(
            sql.SQL("{}._hash").format(sql.Identifier(f"k{i}")) for i in range(len(parents))
        )
        moved = self.connection.execute(
            compose(
                "UPDATE {held} u SET {awaits} = n.now FROM ("
                " SELECT j.place, ARRAY[{hashes}]::uuid[] AS now FROM judged j JOIN {held} h ON h.ctid = j.place{joins}"
                " WHERE j.outcome = 'held') n WHERE u.ctid = n.place AND u.{awaits} IS DISTINCT FROM n.now",
                self.statements, hashes=hashes, joins=sql.SQL("").join(joins),
            )
        ).rowcount  # fmt: skip
        waiting = Waiting(pl.DataFrame(), pl.concat(awaited).unique([PARENT, KEY_HASH]))
        await_parents(self.connection, self.claim, self.statements, waiting, self.backoff)
        return held - moved

    def _keys(self, reference: Reference, i: int) -> pl.DataFrame:
        shown = sql.SQL(", ").join(
            sql.SQL("h.{} AS {}").format(sql.Identifier(column), sql.Identifier(f"r{n}"))
            for n, column in enumerate(self._columns(reference))
        )
        lacking = compose(
            "SELECT {shown} FROM judged j JOIN {held} h ON h.ctid = j.place WHERE j.outcome = 'held' AND j.{lack}",
            self.statements, shown=shown, lack=sql.Identifier(f"l{i}"),
        )  # fmt: skip
        return keyed(self.connection, self.statements, reference, f"lack{i}", lacking)

    def _keyed(self, reference: Reference, i: int) -> sql.Composed:
        same = sql.SQL(" AND ").join(
            sql.SQL("{}.{} = h.{}").format(
                sql.Identifier(f"k{i}"), sql.Identifier(f"r{n}"), sql.Identifier(column)
            )
            for n, column in enumerate(self._columns(reference))
        )
        return sql.SQL(" LEFT JOIN {} {} ON j.{} AND {}").format(
            sql.Identifier(f"lack{i}"), sql.Identifier(f"k{i}"), sql.Identifier(f"l{i}"), same
        )

    def _forget_due(self, *, all_of_them: bool) -> None:
        """These parents are looked after: the ones that are there are awaited no more, the others go on being so."""
        ids = {"entity": self.claim.config.entity_uid, "live": all_of_them}
        self.connection.execute(query("release_forget", self.statements.schema), ids)

    def hold_fence(self) -> None:
        """See removal.hold_fence."""
        hold_fence(self.connection, self.claim, self.statements.schema)

    def close(self, counters: Counters) -> None:
        """Counters and lease, in the slice's own row."""
        update: dict[str, Any] = slice_update(self.claim, counters) | {"lease_s": self.lease_s}
        self.connection.execute(query("retry_close", self.statements.schema), update)


# Newer in the target, or written or deleted there since the row was fetched.
_OLDER = sql.SQL(
    "h.{version} < t.{version} AND t.{updated} >= %(since)s"
    " OR (h.{version} IS NULL OR t.{version} IS NULL) AND t.{updated} > h.{read_at}"
    " OR t.{deleted} AND t.{updated} > h.{read_at}"
)
