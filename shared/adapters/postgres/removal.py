"""Soft-deletes after a proven pass, and the publication of a snapshot: set-based, each in a fenced transaction."""

from dataclasses import dataclass
from typing import Any

from psycopg import sql

from shared.adapters.postgres.database import Connection
from shared.adapters.postgres.statements import (
    DATA,
    DELETED,
    DELETED_AT,
    KEY,
    REFERENCE_TEXT,
    ROWVERSION,
    UID,
    UPDATED,
    Statements,
    names,
)
from shared.errors import FencedError
from shared.sql import query
from shared.sync.ports import Claim, Counters, Due

_BRIDGE = {
    "key": sql.Identifier(KEY),
    "data": sql.Identifier(DATA),
    "version": sql.Identifier(ROWVERSION),
    "reference": sql.Identifier(REFERENCE_TEXT),
    "deleted": sql.Identifier(DELETED),
    "deleted_at": sql.Identifier(DELETED_AT),
    "updated": sql.Identifier(UPDATED),
}


_JOIN_MEMORY = "96MB"  # holds the hashes of a million keys, which would otherwise go through temporary files

# A reject whose key a proven pass did not meet speaks of a row that the source no longer has.
CLOSE_ABSENT = (
    "UPDATE {failed} f SET status = 'resolved', updated_at = now()"
    " WHERE f.entity_uid = %(entity)s AND f.status = 'open' AND f.key_hash IS NOT NULL AND f.updated_at < %(began)s"
    " AND NOT EXISTS (SELECT 1 FROM {seen} s WHERE s.key_hash = f.key_hash)"
)


# A key stood twice, and this pass met the landed copy alone.
CLOSE_SETTLED = (
    "UPDATE {failed} f SET status = 'resolved', updated_at = now()"
    " WHERE f.entity_uid = %(entity)s AND f.status = 'open' AND f.code = 'duplicate_key' AND f.updated_at < %(began)s"
    " AND f.rival_met_at >= %(began)s"
)


def slice_update(claim: Claim, counters: Counters) -> dict[str, Any]:
    """The parameters that name a slice and what to add to its counters."""
    return {"run": claim.run_uid, "slice": claim.slice} | {
        name: getattr(counters, name) for name in Counters.__dataclass_fields__
    }


def hold_fence(connection: Connection, claim: Claim, schema: str) -> None:
    """The last reads of a slice's transaction: the entity's generation, then the slice; FencedError if stale."""
    ids = {"run": claim.run_uid, "slice": claim.slice, "entity": claim.config.entity_uid}
    row = connection.execute(query("fence", schema), ids).fetchone()
    if row is None or row["epoch"] != claim.epoch or row["generation"] != claim.config.generation:
        raise FencedError(f"{claim.config.slug}: slice {claim.slice} belongs to another delivery now")


def share_state(connection: Connection, claim: Claim, schema: str) -> None:
    """Take the entity's state before the slice, as every transaction does that needs both."""
    connection.execute(query("state_share", schema), {"entity": claim.config.entity_uid})


def mark_missing(connection: Connection, claim: Claim, statements: Statements) -> Due:
    """Count the live keys that a proven pass did not meet, once a pass; then say what is due."""
    schema = statements.schema
    ids = {"pass": claim.pass_uid, "entity": claim.config.entity_uid, "began": claim.pass_began}
    row = connection.execute(query("pass_lock", schema), ids).fetchone()
    assert row is not None
    if row["due_deletes"] is None:
        connection.execute("SELECT set_config('work_mem', %s, true)", (_JOIN_MEMORY,))
        _forget_met(connection, statements, ids)
        if row["unkeyed_rejects"] == 0:
            # A reject without a key may be any of these rows: such a pass proves nobody's absence.
            _count_absent(connection, statements, ids)
        connection.execute(query("pass_marked", schema), ids | {"after": claim.config.delete_after_missing})
    # Counting a large table twice is for the guard, which has nothing to judge where nothing is due.
    counted = (
        "SELECT p.due_deletes AS due,"
        " CASE WHEN p.due_deletes > 0 THEN (SELECT count(*) FROM {target} t WHERE NOT t.{deleted}) ELSE 0 END AS live,"
        " CASE WHEN p.due_deletes > 0 THEN (SELECT count(*) FROM {seen}) ELSE 0 END AS received"
        " FROM {passes} p WHERE p.uid = %(pass)s"
    )
    totals = connection.execute(_compose(counted, statements), ids).fetchone()
    assert totals is not None
    return Due(totals["due"], totals["live"], totals["received"], row["unkeyed_rejects"] == 0)


def _forget_met(connection: Connection, statements: Statements, ids: dict[str, Any]) -> None:
    """Keys that came back are not missing any more."""
    forget = (
        "DELETE FROM {missing} m USING {seen} s WHERE m.entity_uid = %(entity)s AND m.key_hash = s.key_hash"
        " AND EXISTS (SELECT 1 FROM {missing} WHERE entity_uid = %(entity)s)"
    )
    connection.execute(_compose(forget, statements), ids)


def _count_absent(connection: Connection, statements: Statements, ids: dict[str, Any]) -> None:
    """One more pass without them for live keys that this one lacks; what the source lost, nobody need repair."""
    if not _all_met(connection, statements):
        absent = (
            "INSERT INTO {missing} AS m (entity_uid, key_hash, passes)"
            " SELECT DISTINCT %(entity)s::uuid, t.{key}, 1 FROM {target} t"
            " WHERE NOT t.{deleted} AND t.{updated} < %(began)s"
            " AND NOT EXISTS (SELECT 1 FROM {seen} s WHERE s.key_hash = t.{key})"
            " ON CONFLICT (entity_uid, key_hash) DO UPDATE SET passes = m.passes + 1"
        )
        connection.execute(_compose(absent, statements), ids)
    live = " AND NOT EXISTS (SELECT 1 FROM {target} t WHERE t.{key} = f.key_hash AND NOT t.{deleted})"
    connection.execute(_compose(CLOSE_ABSENT + live, statements), ids)
    connection.execute(_compose(CLOSE_SETTLED, statements), ids)


def _all_met(connection: Connection, statements: Statements) -> bool:
    """Whether the pass met each live key once and nothing else, by count and two 64-bit sums.

    Sums in any order cost a quarter of the join that finds the absent keys, and after most passes there are none.
    """
    sums = "count(*) AS n, sum(uuid_hash_extended({0}, 0)) AS one, sum(uuid_hash_extended({0}, 1)) AS other"
    live, met = (sql.SQL(sums).format(column) for column in (_BRIDGE["key"], sql.Identifier("key_hash")))
    equal = (
        "SELECT (SELECT row(x.*)::text FROM (SELECT {live} FROM {target} WHERE NOT {deleted}) x)"
        " = (SELECT row(x.*)::text FROM (SELECT {met} FROM {seen}) x) AS equal"
    )
    row = connection.execute(_compose(equal, statements, live=live, met=met)).fetchone()
    return bool(row and row["equal"])


def _compose(text: str, statements: Statements, **more: sql.Composable) -> sql.Composed:
    parts = {
        "missing": sql.Identifier(statements.schema, "missing_keys"),
        "passes": sql.Identifier(statements.schema, "passes"),
        "failed": sql.Identifier(statements.schema, "failed_records"),
        "seen": statements.seen,
        "staging": statements.staging,
        "target": statements.target,
        "same_key": statements.same_key("t", "u"),
        "keys": names([c.name for c in statements.keys]),
    }
    return sql.SQL(text).format(**parts, **_BRIDGE, **more)


@dataclass(slots=True)
class PostgresDeletion:
    """`sync.ports.Deletion`: one batch of due keys."""

    connection: Connection
    claim: Claim
    statements: Statements
    limit: int
    lease_s: int

    def delete(self) -> int:
        """Soft-delete a batch; rows written since the pass began are immune, their keys are forgotten all the same."""
        ids = {
            "entity": self.claim.config.entity_uid,
            "began": self.claim.pass_began,
            "after": self.claim.config.delete_after_missing,
            "limit": self.limit,
        }
        text = (
            "WITH due AS (DELETE FROM {missing} WHERE (entity_uid, key_hash) IN ("
            "   SELECT entity_uid, key_hash FROM {missing} WHERE entity_uid = %(entity)s AND passes >= %(after)s"
            "   LIMIT %(limit)s) RETURNING key_hash),"
            " closed AS (UPDATE {failed} f SET status = 'resolved', updated_at = now() FROM due"
            "   WHERE f.entity_uid = %(entity)s AND f.status = 'open' AND f.key_hash = due.key_hash),"
            " gone AS (UPDATE {target} t SET {deleted} = true, {deleted_at} = now(), {updated} = now() FROM due"
            "   WHERE t.{key} = due.key_hash AND NOT t.{deleted} AND t.{updated} < %(began)s RETURNING 1)"
            " SELECT (SELECT count(*) FROM due) AS taken, (SELECT count(*) FROM gone) AS gone"
        )
        share_state(self.connection, self.claim, self.statements.schema)
        row = self.connection.execute(_compose(text, self.statements), ids).fetchone()
        assert row is not None
        counters = slice_update(self.claim, Counters(soft_deleted=row["gone"]))
        self.connection.execute(
            query("slice_count", self.statements.schema), counters | {"lease_s": self.lease_s}
        )
        taken: int = row["taken"]
        return taken

    def hold_fence(self) -> None:
        """See the module's function."""
        hold_fence(self.connection, self.claim, self.statements.schema)


@dataclass(slots=True)
class PostgresPublication:
    """`sync.ports.Publication`: readers see the old state or the new, never a mix."""

    connection: Connection
    claim: Claim
    statements: Statements
    lease_s: int

    def walked(self) -> Counters:
        """Totals of the run's other slices."""
        row = self.connection.execute(
            query("publish_walked", self.statements.schema),
            {"run": self.claim.run_uid, "slice": self.claim.slice},
        ).fetchone()
        assert row is not None
        return Counters(**row)

    def settle(self, final: int | None) -> Counters:
        """The duplicate rules over the whole snapshot: highest version, equal copies fall together, ties reject."""
        earlier = self._drop_earlier(final)
        self._run(
            'CREATE TEMP TABLE twice ON COMMIT DROP AS SELECT {keys}, max({version} COLLATE "C") AS top,'
            " count(DISTINCT _raw_key) > 1 AS collides FROM {staging} GROUP BY {keys} HAVING count(*) > 1"
        )
        copies = (
            "CREATE TEMP TABLE copies ON COMMIT DROP AS SELECT s.ctid AS place, u.collides,"
            " s.{version} IS NOT DISTINCT FROM u.top AS top, s.{data} AS data, {pair} AS pair"
            " FROM {staging} s JOIN twice u ON {joined}"
        )
        pair = sql.SQL("row({})").format(names([c.name for c in self.statements.keys], "u."))
        self._run(
            copies, joined=self.statements.same_key("s", "u"), pair=sql.SQL("md5(({})::text)").format(pair)
        )
        self._run(
            "CREATE TEMP TABLE refused ON COMMIT DROP AS SELECT c.place, c.collides FROM copies c JOIN ("
            " SELECT pair, count(DISTINCT data) FILTER (WHERE top) > 1 AS torn FROM copies GROUP BY pair"
            ") p USING (pair) WHERE c.collides OR (p.torn AND c.top)"
        )
        rejected = self._reject_refused()
        gone = self._run(
            "DELETE FROM {staging} s USING copies c WHERE s.ctid = c.place AND c.place NOT IN ("
            " SELECT min(c.place) FROM copies c WHERE c.top"
            "  AND NOT EXISTS (SELECT 1 FROM refused r WHERE r.place = c.place)"
            " AND NOT c.collides GROUP BY c.pair)"
        )
        return Counters(superseded=earlier + gone - rejected, rejected=rejected)

    def _drop_earlier(self, final: int | None) -> int:
        """Forget what earlier walks staged: the source may have changed or deleted it since."""
        text = "DELETE FROM {staging} s WHERE s._attempt < %(final)s"
        if final is None:
            text = "DELETE FROM {staging} s USING {staging} u WHERE u._attempt > s._attempt AND {same}"
        return self._run(text, {"final": final}, same=self.statements.same_key("s", "u"))

    def _reject_refused(self) -> int:
        """Rejects whose keys are remembered as seen, so that a conflict at the source never deletes the row."""
        self._run(
            "INSERT INTO {seen} (key_hash) SELECT DISTINCT s.{key} FROM {staging} s JOIN refused r ON r.place = s.ctid"
        )
        self.connection.execute(query("rejects_table", self.statements.schema))
        count = self._run(
            "INSERT INTO chunk_rejects (uid, key, key_hash, version, stage, code, message, raw)"
            " SELECT s.{uid}, s.{reference}, s.{key}, s.{version}, 'delta',"
            " CASE WHEN r.collides THEN 'key_collision' ELSE 'duplicate_key' END, %(message)s,"
            " (to_jsonb(s) - '_raw_key' - '_attempt')::text"
            " FROM {staging} s JOIN refused r ON r.place = s.ctid",
            {
                "message": "the business key stands more than once in the snapshot; correct the source or its key"
            },
            uid=sql.Identifier(UID),
        )
        ids = {"run": self.claim.run_uid, "entity": self.claim.config.entity_uid}
        self.connection.execute(query("rejects_keep", self.statements.schema), ids)
        return count

    def due(self) -> Due:
        """Live rows whose keys the snapshot lacks, and which were not merely rejected."""
        row = self.connection.execute(
            _compose(
                "SELECT (SELECT count(*) FROM {target} t WHERE NOT t.{deleted}) AS live,"
                " (SELECT count(*) FROM {staging}) + (SELECT count(*) FROM {seen}) AS received,"
                " (SELECT count(*) FROM {target} t WHERE {absent}) AS due,"
                " (SELECT unkeyed_rejects FROM {passes} WHERE uid = %(pass)s) AS unkeyed",
                self.statements,
                absent=self._absent(),
            ),
            {"pass": self.claim.pass_uid, "began": self.claim.pass_began},
        ).fetchone()
        assert row is not None
        return Due(row["due"], row["live"], row["received"], row["unkeyed"] == 0)

    def apply(self, *, delete: bool) -> Counters:
        """Set-based: count the superseded, overwrite, touch, insert, then soft-delete what is absent."""
        since = {"since": self.claim.versions_since, "began": self.claim.pass_began}
        # Without versions, whatever was written since this pass began is a rival's, and newer than our pages.
        older = sql.SQL(
            "((u.{version} < t.{version} AND t.{updated} >= %(since)s) IS TRUE"
            " OR ((u.{version} IS NULL OR t.{version} IS NULL) AND t.{updated} >= %(began)s))"
        ).format(**_BRIDGE)
        staged = self._count("SELECT count(*) AS n FROM {staging}")
        superseded = self._count(
            "SELECT count(*) AS n FROM {target} t JOIN {staging} u ON {same_key} WHERE {older}",
            since,
            older=older,
        )
        statements, staging = self.statements, self.statements.staging
        changed = sql.SQL("NOT {} AND (t.{data} <> u.{data} OR t.{deleted})").format(older, **_BRIDGE)
        updated = self.connection.execute(statements.overwrite(staging, changed), since).rowcount
        moved = sql.SQL("NOT {} AND t.{data} = u.{data} AND t.{version} <> u.{version}").format(
            older, **_BRIDGE
        )
        self.connection.execute(statements.touch(staging, moved), since)
        columns = names([*statements.data_names, UID, KEY, DATA, ROWVERSION, REFERENCE_TEXT])
        inserted = self._run(
            "INSERT INTO {target} ({columns}) SELECT {columns} FROM {staging} u"
            " WHERE NOT EXISTS (SELECT 1 FROM {target} t WHERE {same_key})",
            columns=columns,
        )
        deleted = self._delete_absent() if delete else 0
        self._close_rejects(absent=delete)
        unchanged = staged - superseded - updated - inserted
        return Counters(
            inserted=inserted,
            updated=updated,
            unchanged=unchanged,
            superseded=superseded,
            soft_deleted=deleted,
        )

    def _delete_absent(self) -> int:
        return self._run(
            "UPDATE {target} t SET {deleted} = true, {deleted_at} = now(), {updated} = now() WHERE {absent}",
            {"began": self.claim.pass_began},
            absent=self._absent(),
        )

    def _close_rejects(self, *, absent: bool) -> None:
        """Landed rows answer the open rejects of their keys; where deleting is allowed, absent keys close theirs."""
        ids = {"entity": self.claim.config.entity_uid, "began": self.claim.pass_began}
        self._run(
            "UPDATE {failed} f SET status = 'resolved', updated_at = now() FROM {staging} u"
            " WHERE f.entity_uid = %(entity)s AND f.status = 'open' AND f.key_hash = u.{key} AND (f.version IS NULL"
            ' OR u.{version} IS NULL OR f.version COLLATE "C" <= u.{version} COLLATE "C")',
            ids,
        )
        if absent:
            gone = " AND NOT EXISTS (SELECT 1 FROM {staging} u WHERE u.{key} = f.key_hash)"
            self._run(CLOSE_ABSENT + gone, ids)

    def _absent(self) -> sql.Composed:
        return _compose(
            "NOT t.{deleted} AND t.{updated} < %(began)s"
            " AND NOT EXISTS (SELECT 1 FROM {staging} u WHERE {same_key})"
            " AND NOT EXISTS (SELECT 1 FROM {seen} s WHERE s.key_hash = t.{key})",
            self.statements,
        )

    def hold_fence(self) -> None:
        """See the module's function."""
        hold_fence(self.connection, self.claim, self.statements.schema)

    def close(self, counters: Counters) -> None:
        """The slice remembers that it published, so that a redelivery only has to end the run."""
        update = slice_update(self.claim, counters) | {"lease_s": self.lease_s}
        self.connection.execute(query("publish_close", self.statements.schema), update)

    def lock_slice(self) -> None:
        """First of all: whoever else gets the message skips the locked slice."""
        share_state(self.connection, self.claim, self.statements.schema)
        ids = {"run": self.claim.run_uid, "slice": self.claim.slice}
        row = self.connection.execute(query("slice_lock", self.statements.schema), ids).fetchone()
        if row is None or row["epoch"] != self.claim.epoch:
            raise FencedError(f"{self.claim.config.slug}: the publication belongs to another delivery now")

    def _run(self, text: str, values: dict[str, Any] | None = None, **more: sql.Composable) -> int:
        return self.connection.execute(_compose(text, self.statements, **more), values).rowcount

    def _count(self, text: str, values: dict[str, Any] | None = None, **more: sql.Composable) -> int:
        row = self.connection.execute(_compose(text, self.statements, **more), values).fetchone()
        return int(row["n"]) if row else 0
