"""The statements of one run's target, composed once from its frozen configuration; every name is quoted."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg import sql

from shared.sync.model import ColumnType, Kind, RunConfig, TargetColumn

UID, CREATED, UPDATED = "_bridge_uid", "_bridge_created_at", "_bridge_updated_at"
KEY, DATA, ROWVERSION = "_bridge_erp_key_hash", "_bridge_erp_data_hash", "_bridge_erp_rowversion"
REFERENCE_TEXT, DELETED, DELETED_AT = "_bridge_erp_ref_str", "_bridge_deleted", "_bridge_deleted_at"

_ALWAYS = sql.SQL("true")

HASH_BYTES = 33
ABSENT_HASH = bytes(HASH_BYTES)  # stands for a row that is not there: no hash version is 0

# What a run writes besides the mapped columns; the rest of the bridge columns have defaults.
BRIDGE_TYPES: dict[str, ColumnType] = {
    UID: ColumnType(Kind.UUID),
    KEY: ColumnType(Kind.UUID),
    DATA: ColumnType(Kind.BYTES),
    ROWVERSION: ColumnType(Kind.TEXT),
    REFERENCE_TEXT: ColumnType(Kind.TEXT),
}


def names(columns: Sequence[str], prefix: str = "") -> sql.Composed:
    """Quoted names, comma-separated, each after `prefix` (such as "t.")."""
    return sql.SQL(", ").join(sql.SQL(prefix) + sql.Identifier(c) for c in columns)


def copy_into(table: sql.Composable, columns: Sequence[str]) -> sql.Composed:
    """COPY in binary form; the stream's own column order is named."""
    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(table, names(columns))


@dataclass(frozen=True, slots=True)
class Statements:
    """SQL for one run. `t` is the target, `u` rows sent up, `s` staged rows."""

    config: RunConfig
    schema: str
    run_uid: UUID

    @property
    def target(self) -> sql.Identifier:
        """The target table."""
        return sql.Identifier(self.config.target_schema, self.config.target_table)

    @property
    def staging(self) -> sql.Identifier:
        """The logged table in which a snapshot waits for its publication."""
        return sql.Identifier(self.schema, f"stage_{self.run_uid.hex}")

    @property
    def seen(self) -> sql.Identifier:
        """The partition of seen_keys that belongs to this pass; written directly, so the parent stays unlocked."""
        return sql.Identifier(self.schema, f"seen_{self.run_uid.hex}")

    @property
    def keys(self) -> tuple[TargetColumn, ...]:
        """The business key's columns."""
        return tuple(self.config.target_columns[i] for i in self.config.key_positions)

    @property
    def data_names(self) -> tuple[str, ...]:
        """The mapped columns' names."""
        return tuple(column.name for column in self.config.target_columns)

    def same_key(self, left: str, right: str) -> sql.Composed:
        """The join condition over the business key."""
        return sql.SQL(" AND ").join(
            sql.SQL("{}.{} = {}.{}").format(
                sql.Identifier(left), sql.Identifier(c.name), sql.Identifier(right), sql.Identifier(c.name)
            )
            for c in self.keys
        )

    def key_table(self) -> sql.Composed:
        """A temporary table for a chunk's keys, content hashes and versions, typed as the target's are."""
        columns = [*(column.name for column in self.keys), DATA, ROWVERSION]
        return sql.SQL(
            "CREATE TEMP TABLE chunk_keys ON COMMIT DROP AS SELECT 0::int4 AS _ord, {} FROM {} WITH NO DATA"
        ).format(names(columns), self.target)

    def known(self) -> sql.Composed:
        """What is stored instead of the rows in chunk_keys: one row of packed columns, so nothing is parsed per row.

        Rows stored just as they come are left out: after most passes that is nearly all of them.
        """
        return sql.SQL(
            "SELECT string_agg(int4send(ord), ''::bytea) AS ord, string_agg(data, ''::bytea) AS hash,"
            " array_agg(version) AS version, string_agg(int2send(deleted::int2), ''::bytea) AS deleted,"
            " string_agg(timestamptz_send(updated), ''::bytea) AS at"
            " FROM (SELECT u._ord AS ord, coalesce(t.{data}, {absent}) AS data, t.{version} AS version,"
            "  coalesce(t.{deleted}, false)::int AS deleted, coalesce(t.{updated}, 'epoch') AS updated"
            "  FROM chunk_keys u LEFT JOIN {target} t ON {same_key}"
            "  WHERE (t.{data} = u.{data} AND NOT t.{deleted} AND t.{version} IS NOT DISTINCT FROM u.{version})"
            "  IS NOT TRUE) x"
        ).format(
            absent=sql.Literal(ABSENT_HASH),
            data=sql.Identifier(DATA),
            version=sql.Identifier(ROWVERSION),
            deleted=sql.Identifier(DELETED),
            updated=sql.Identifier(UPDATED),
            target=self.target,
            same_key=self.same_key("t", "u"),
        )

    def update_table(self) -> sql.Composed:
        """A temporary table for rows that overwrite stored ones."""
        columns = [*self.data_names, KEY, DATA, ROWVERSION, REFERENCE_TEXT]
        return sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA").format(
            sql.Identifier("chunk_updates"), names(columns), self.target
        )

    def overwrite(self, source: sql.Composable, where: sql.Composable = _ALWAYS) -> sql.Composed:
        """Overwrite stored rows with those of `source`, aliased u; the uid stays, a deleted row is revived.

        A row that comes without a version says nothing of the stored one, which stays where it counts at all
        (`since`): cleared, it would let any older copy that is still on its way pass for new.
        """
        changed = [n for n in self.data_names if n not in {c.name for c in self.keys}]
        assignments = [
            sql.SQL("{0} = u.{0}").format(sql.Identifier(n)) for n in [*changed, KEY, DATA, REFERENCE_TEXT]
        ]
        return sql.SQL(
            "UPDATE {target} t SET {set}, {updated} = now(), {deleted} = false, {deleted_at} = NULL,"
            " {version} = coalesce(u.{version}, CASE WHEN t.{updated} >= %(since)s THEN t.{version} END)"
            " FROM {source} u WHERE {same_key} AND {where}"
        ).format(
            target=self.target,
            set=sql.SQL(", ").join(assignments),
            version=sql.Identifier(ROWVERSION),
            updated=sql.Identifier(UPDATED),
            deleted=sql.Identifier(DELETED),
            deleted_at=sql.Identifier(DELETED_AT),
            source=source,
            same_key=self.same_key("t", "u"),
            where=where,
        )

    def touch(self, source: sql.Composable, where: sql.Composable = _ALWAYS) -> sql.Composed:
        """Move the stored version of rows whose content did not change."""
        return sql.SQL(
            "UPDATE {target} t SET {version} = u.{version}, {updated} = now() FROM {source} u"
            " WHERE {same_key} AND {where}"
        ).format(
            target=self.target,
            version=sql.Identifier(ROWVERSION),
            updated=sql.Identifier(UPDATED),
            source=source,
            same_key=self.same_key("t", "u"),
            where=where,
        )

    def create_staging(self) -> sql.Composed:
        """The staging table: the target's columns, unconstrained, plus what settles duplicates."""
        columns = [*self.data_names, UID, KEY, DATA, ROWVERSION, REFERENCE_TEXT]
        return sql.SQL(
            "CREATE TABLE IF NOT EXISTS {staging} AS SELECT {columns}, 0::bigint AS _raw_key, 1 AS _attempt"
            " FROM {target} WITH NO DATA"
        ).format(staging=self.staging, columns=names(columns), target=self.target)
