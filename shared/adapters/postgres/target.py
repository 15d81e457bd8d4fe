"""A run's target in PostgreSQL: the chunk's transaction, carried out as stage 9 decides."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Literal

import numpy as np
import polars as pl
import psycopg
from psycopg import errors as pg
from psycopg import sql
from psycopg.types.json import Jsonb

from shared.adapters.postgres import holding, rejected
from shared.adapters.postgres.copy_format import Bytes, Field
from shared.adapters.postgres.copying import BRIDGE_FRAME, target_fields
from shared.adapters.postgres.database import RETRYABLE, Connection, Database, translate
from shared.adapters.postgres.fence import hold_fence, slice_update
from shared.adapters.postgres.holding import Backoff
from shared.adapters.postgres.indexes import build, defer
from shared.adapters.postgres.masks import Seal, as_it_is
from shared.adapters.postgres.rehashing import PostgresRehash, plan_by_key
from shared.adapters.postgres.release import REBUILD_FROM, PostgresRelease
from shared.adapters.postgres.removal import (
    PostgresDeletion,
    PostgresPublication,
    mark_missing,
)
from shared.adapters.postgres.schedules import advance
from shared.adapters.postgres.send import send
from shared.adapters.postgres.statements import (
    ABSENT_HASH,
    BRIDGE_TYPES,
    DATA,
    HASH_BYTES,
    ROWVERSION,
    Statements,
)
from shared.errors import ConfigurationError, TargetRefusedError
from shared.sql import query
from shared.sync.delta import KNOWN_SCHEMA
from shared.sync.model import (
    KEY_HASH,
    RAW_KEY,
    REFERENCE,
    ROW,
    VERSION,
    ColumnType,
    Kind,
    Reference,
)
from shared.sync.parents import Waiting
from shared.sync.ports import Chunk, ChunkConflictError, Claim, Counters, Due, Refused, RowsRefusedError
from shared.telemetry import span

_NO_HASH = pl.Series([None], dtype=pl.Binary)
_MICROSECONDS_TO_2000 = 946_684_800_000_000
_REFUSED_VALUE = re.compile("22...|23502|23514|54000")  # data exceptions, NOT NULL, CHECK, index row too long
_REFUSED_AT_MOST = 1000  # rows of a chunk; above it the table is at fault, not its rows


class PostgresTarget:
    """`sync.ports.Target` over one database. `lease_s` must not be below the function timeout."""

    def __init__(
        self,
        database: Database,
        *,
        lease_s: int,
        uuid7: Callable[[int], Bytes],
        backoff: Backoff,
        seal: Seal = as_it_is,
        rebuild_from: int = REBUILD_FROM,
    ) -> None:
        """`rebuild_from`: see PostgresRelease."""
        self._database, self._lease_s, self._rebuild_from = database, lease_s, rebuild_from
        self._uuid7, self._backoff, self._seal = uuid7, backoff, seal

    @contextmanager
    def chunk(self, claim: Claim) -> Iterator["PostgresChunk"]:
        """One REPEATABLE READ transaction: what was looked up is what gets written, or the server says no."""
        with _stage("commit", claim), self._repeatable(claim) as (connection, statements):
            yield PostgresChunk(
                connection, claim, statements, self._lease_s, self._uuid7, self._backoff, self._seal
            )

    @contextmanager
    def _repeatable(self, claim: Claim) -> Iterator[tuple[Connection, Statements]]:
        statements = Statements(claim.config, self._database.schema, claim.run_uid)
        try:
            with self._database.bare_connection() as connection:
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                yield connection, statements
        except pg.UndefinedTable:
            raise ConfigurationError(
                f"{claim.config.slug}: its target table {statements.target.as_string()} does not exist",
                hint="run discover on the connector, which creates it",
            ) from None
        except RETRYABLE as error:
            stands = isinstance(error, pg.UniqueViolation)
            raise ChunkConflictError(type(error).__name__, key_stands=stands) from None
        except psycopg.Error as error:
            if _REFUSED_VALUE.fullmatch(error.sqlstate or ""):
                raise RowsRefusedError(error.sqlstate) from None
            raise translate(error, self._database.server.name) from None

    def rejects_due(self, claim: Claim, limit: int) -> tuple[Sequence[Refused], datetime] | None:
        """See rejected.due."""
        with self._database.connection() as connection:
            return rejected.due(connection, claim, self._database.schema, limit)

    @contextmanager
    def release(self, claim: Claim) -> Iterator[PostgresRelease]:
        """One batch of waiting rows, under the same isolation as a chunk."""
        with _stage("release", claim), self._repeatable(claim) as (connection, statements):
            yield PostgresRelease(
                connection, claim, statements, self._lease_s, self._backoff, self._rebuild_from
            )

    def build_indexes(self, claim: Claim) -> None:
        """See indexes.build; fenced like every write."""
        statements = Statements(claim.config, self._database.schema, claim.run_uid)
        with self._database.connection() as connection:
            build(connection, claim, statements)
            hold_fence(connection, claim, self._database.schema)

    def mark_missing(self, claim: Claim) -> Due:
        """See removal.mark_missing; fenced like every write."""
        statements = Statements(claim.config, self._database.schema, claim.run_uid)
        with self._database.connection() as connection:
            due = mark_missing(connection, claim, statements)
            hold_fence(connection, claim, self._database.schema)
        return due

    @contextmanager
    def delete_due(self, claim: Claim, limit: int) -> Iterator[PostgresDeletion]:
        """One batch of soft-deletes."""
        statements = Statements(claim.config, self._database.schema, claim.run_uid)
        with _stage("delete", claim), self._database.connection() as connection:
            yield PostgresDeletion(connection, claim, statements, limit, self._lease_s)

    @contextmanager
    def publication(self, claim: Claim) -> Iterator[PostgresPublication]:
        """A snapshot's publication, its slice locked from the first statement."""
        statements = Statements(claim.config, self._database.schema, claim.run_uid)
        with _stage("publish", claim), self._database.connection() as connection:
            publication = PostgresPublication(connection, claim, statements, self._lease_s, self._backoff)
            publication.lock_slice()
            yield publication

    @contextmanager
    def rehash(self, claim: Claim) -> Iterator[PostgresRehash]:
        """One batch of rows that get their hashes anew."""
        statements = Statements(claim.config, self._database.schema, claim.run_uid)
        with self._database.connection() as connection:
            plan_by_key(connection)
            yield PostgresRehash(connection, claim, statements, self._lease_s, self._uuid7)

    def refused_rows(self, claim: Claim, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows that COPY refuses, by halving inside savepoints of a transaction that is rolled back."""
        statements = Statements(claim.config, self._database.schema, claim.run_uid)
        with self._database.connection() as connection:
            connection.execute(
                sql.SQL(
                    "CREATE TEMP TABLE trial (LIKE {} INCLUDING DEFAULTS INCLUDING CONSTRAINTS) ON COMMIT DROP"
                ).format(statements.target)
            )
            found = list(islice(self._halve(connection, statements, rows), _REFUSED_AT_MOST + 1))
            connection.rollback()
        if len(found) > _REFUSED_AT_MOST:
            raise TargetRefusedError(
                f"{claim.config.slug}: PostgreSQL refuses over {_REFUSED_AT_MOST} rows of one chunk ({found[0][1]})",
                hint="a column of the target does not fit its source: widen it in the field mappings, then sync again",
            )
        return pl.DataFrame(found, schema=[ROW, "code", "message"], orient="row")

    def _halve(
        self, connection: Connection, statements: Statements, rows: pl.DataFrame
    ) -> Iterator[tuple[int, str, str]]:
        try:
            with connection.transaction(force_rollback=True):
                fields = target_fields(statements, rows, self._uuid7(rows.height))
                send(connection, sql.Identifier("trial"), fields)
            return
        except psycopg.Error as error:
            state = error.sqlstate or ""
        if rows.height == 1:
            code = "too_narrow" if state in ("22001", "22003") else "target_refused"
            yield (
                rows[ROW].item(),
                code,
                f"PostgreSQL refused the row (SQLSTATE {state}); widen or map the column",
            )
            return
        middle = rows.height // 2
        yield from self._halve(connection, statements, rows[:middle])
        yield from self._halve(connection, statements, rows[middle:])


@dataclass(slots=True)
class PostgresChunk:
    """`sync.ports.ChunkTransaction` over one open transaction."""

    connection: Connection
    claim: Claim
    statements: Statements
    lease_s: int
    uuid7: Callable[[int], Bytes]
    backoff: Backoff
    seal: Seal

    def known(self, rows: pl.DataFrame) -> pl.DataFrame:
        """What the target stores instead of the rows, looked up in the source's order through the key's index."""
        connection, statements = self.connection, self.statements
        connection.execute(statements.key_table())
        columns = statements.config.target_columns
        fields = [Field("_ord", rows[ROW].cast(pl.Int64), ColumnType(Kind.INTEGER, bits=32))]
        fields += [
            Field(columns[i].name, rows[f"t{i}"], columns[i].type) for i in statements.config.key_positions
        ]
        fields += [Field(name, rows[BRIDGE_FRAME[name]], BRIDGE_TYPES[name]) for name in (DATA, ROWVERSION)]
        send(connection, sql.Identifier("chunk_keys"), fields)
        # A hash join would read the whole target for each chunk; the keys come in order, so the index is warm.
        _plan_by_index(connection, "off")
        with connection.cursor(binary=True) as cursor:
            packed = cursor.execute(statements.known()).fetchone()
        _plan_by_index(connection, "on")
        return _unpack(packed)

    def others_wrote_since(self, moment: datetime) -> bool:
        """Whether the other lane had a run at work on this entity after `moment`."""
        row = self.connection.execute(
            query("others_wrote_since", self.statements.schema),
            {"entity": self.claim.config.entity_uid, "run": self.claim.run_uid, "moment": moment},
        ).fetchone()
        return row is not None

    def defer_indexes(self) -> None:
        """See indexes.defer."""
        defer(self.connection, self.statements)

    def insert(self, rows: pl.DataFrame) -> None:
        """COPY new rows straight into the target."""
        if rows.height:
            send(
                self.connection,
                self.statements.target,
                target_fields(self.statements, rows, self.uuid7(rows.height)),
            )

    def update(self, rows: pl.DataFrame) -> None:
        """Overwrite stored rows; another lane's write since the snapshot makes the server refuse."""
        if rows.is_empty():
            return
        self.connection.execute(self.statements.update_table())
        send(self.connection, sql.Identifier("chunk_updates"), target_fields(self.statements, rows, None))
        overwrite = self.statements.overwrite(sql.Identifier("chunk_updates"))
        cursor = self.connection.execute(overwrite, {"since": self.claim.versions_since})
        _expect(cursor.rowcount, rows.height)
        self.connection.execute("DROP TABLE chunk_updates")

    def touch(self, rows: pl.DataFrame) -> None:
        """Move versions of unchanged rows."""
        if rows.is_empty():
            return
        self.connection.execute(self.statements.update_table())
        send(self.connection, sql.Identifier("chunk_updates"), target_fields(self.statements, rows, None))
        cursor = self.connection.execute(self.statements.touch(sql.Identifier("chunk_updates")))
        _expect(cursor.rowcount, rows.height)
        self.connection.execute("DROP TABLE chunk_updates")

    def stage(self, rows: pl.DataFrame, attempt: int) -> None:
        """Append to the staging table, made by the first chunk."""
        self.connection.execute(self.statements.create_staging())
        if rows.height:
            raw_key = Field("_raw_key", rows[RAW_KEY].reinterpret(signed=True), ColumnType(Kind.INTEGER))
            fields = target_fields(self.statements, rows, self.uuid7(rows.height))
            walk = Field(
                "_attempt", pl.repeat(attempt, rows.height, eager=True), ColumnType(Kind.INTEGER, bits=32)
            )
            send(self.connection, self.statements.staging, [*fields, raw_key, walk])

    def reject(self, rejects: pl.DataFrame) -> None:
        """Keep rejects in failed_records: one open row a key, the newest version."""
        text, uid = ColumnType(Kind.TEXT), ColumnType(Kind.UUID)
        named = {"stage": text, "column": text, "code": text, "message": text, "raw": text}
        fields = [Field(name, rejects[name], type_) for name, type_ in named.items()]
        fields += [Field("key", rejects[REFERENCE], text), Field("key_hash", rejects[KEY_HASH], uid)]
        fields += [Field("version", rejects[VERSION], text), Field("uid", self.uuid7(rejects.height), uid)]
        schema = self.statements.schema
        self.connection.execute(query("rejects_table", schema))
        send(self.connection, sql.Identifier("chunk_rejects"), fields)
        ids = {"run": self.claim.run_uid, "entity": self.claim.config.entity_uid}
        self.connection.execute(query("rejects_keep", schema), ids)
        if self.claim.may_hold:
            holding.close_by_rejects(self.connection, self.statements)
        self.connection.execute("DROP TABLE chunk_rejects")

    def disputed(self) -> frozenset[bytes]:
        """Keys that stand twice and whose landed copy was met since the pass began."""
        ids = {"entity": self.claim.config.entity_uid, "began": self.claim.pass_began}
        found = self.connection.execute(query("rejects_disputed", self.statements.schema), ids)
        return frozenset(row["key_hash"].bytes for row in found)

    def resolve(self, rows: pl.DataFrame, standing: pl.Series) -> None:
        """Close open rejects whose keys landed now; a reject of a newer version, or of a rival copy, stays open."""
        schema, entity = self.statements.schema, self.claim.config.entity_uid
        open_ = self.connection.execute(query("rejects_open", schema), {"entity": entity}).fetchall()
        if not open_ or rows.is_empty():
            return
        hashes = pl.DataFrame(
            {KEY_HASH: [row["key_hash"].bytes for row in open_]}, schema={KEY_HASH: pl.Binary}
        )
        landed = rows.select(ROW, KEY_HASH, VERSION).join(hashes, on=KEY_HASH, how="semi")
        if landed.height:
            parameters = {
                "entity": entity,
                "keys": [k.hex() for k in landed[KEY_HASH]],
                "versions": landed[VERSION].to_list(),
                "standing": landed[ROW].is_in(standing.implode()).to_list(),
            }
            self.connection.execute(query("rejects_resolve", schema), parameters)

    def absent_parents(self, reference: Reference, sought: pl.DataFrame) -> pl.Series:
        """See holding.absent."""
        return holding.absent(self.connection, self.statements, reference, sought)

    def hold(self, waiting: Waiting, read_at: datetime) -> int:
        """See holding.hold."""
        return holding.hold(
            self.connection,
            self.claim,
            self.statements,
            waiting,
            read_at=read_at,
            uids=self.uuid7(waiting.rows.height),
            backoff=self.backoff,
        )

    def answer(self, rows: pl.DataFrame, written: pl.DataFrame, read_at: datetime) -> int:
        """See holding.answer."""
        return holding.answer(self.connection, self.claim, self.statements, rows, written, read_at)

    def arrive(self, key_hashes: pl.Series) -> None:
        """See holding.arrive."""
        holding.arrive(self.connection, self.statements, key_hashes)

    def take_rejects(self, uids: Sequence[str]) -> None:
        """See rejected.take."""
        rejected.take(self.connection, self.claim, self.statements.schema, uids)

    def settle_rejects(self, uids: Sequence[str], again: pl.DataFrame) -> None:
        """See rejected.settle."""
        rejected.settle(self.connection, self.claim, self.statements.schema, uids, again)

    def see(self, key_hashes: pl.Series, unkeyed: int) -> None:
        """COPY the pass's key hashes into its own partition."""
        if key_hashes.len():
            send(
                self.connection, self.statements.seen, [Field("key_hash", key_hashes, ColumnType(Kind.UUID))]
            )
        if unkeyed:
            self.connection.execute(
                query("pass_unkeyed", self.statements.schema), {"pass": self.claim.pass_uid, "rows": unkeyed}
            )

    def hold_fence(self) -> None:
        """Last reads of the transaction: the entity's generation, then the slice itself."""
        hold_fence(self.connection, self.claim, self.statements.schema)

    def close(self, chunk: Chunk, counters: Counters) -> None:
        """Cursor, counters and lease, in the slice's own row."""
        cursor = Jsonb(self.seal(chunk.cursor, self.claim.config))
        self.connection.execute(query("chunk_close", self.statements.schema), slice_update(self.claim, counters) | {
            "cursor": cursor, "chunks": 1, "lease_s": self.lease_s})  # fmt: skip
        if self.claim.night is not None:
            advance(self.connection, self.claim, self.claim.night, chunk, self.statements.schema, cursor)


def _stage(name: str, claim: Claim) -> AbstractContextManager[None]:
    """A span around one of a slice's transactions."""
    return span(name, entity=claim.config.slug, chunk=claim.chunk + 1)


def _plan_by_index(connection: Connection, others: Literal["on", "off"]) -> None:
    connection.execute(
        "SELECT set_config(name, %s, true)"
        " FROM unnest(ARRAY['enable_hashjoin', 'enable_mergejoin', 'jit']) AS name",
        (others,),
    )


def _expect(written: int, expected: int) -> None:
    if written != expected:
        raise ChunkConflictError(f"{written} of {expected} rows written")


def _unpack(packed: dict[str, Any] | None) -> pl.DataFrame:
    if packed is None or packed["ord"] is None:
        return pl.DataFrame(schema=dict(KNOWN_SCHEMA))
    numbers = np.frombuffer(packed["ord"], ">i4").astype(np.uint32)
    hashes = np.frombuffer(packed["hash"], np.uint8).reshape(-1, HASH_BYTES)
    at = np.frombuffer(packed["at"], ">i8").astype(np.int64) + _MICROSECONDS_TO_2000
    stored = pl.Series(hashes[:, 0] != ABSENT_HASH[0])
    return pl.DataFrame(
        {
            ROW: numbers,
            "known_hash": pl.Series(hashes).arr.to_list().cast(pl.Binary).zip_with(stored, _NO_HASH),
            "known_version": pl.Series(packed["version"], dtype=pl.String),
            "known_deleted": np.frombuffer(packed["deleted"], ">i2").astype(bool),
            "known_at": pl.Series(at).cast(pl.Datetime("us", "UTC")),
        },
        schema=dict(KNOWN_SCHEMA),
    )


def uuid7_table(rows: int, *, now_ms: int | None = None, entropy: Callable[[int], bytes]) -> Bytes:
    """`rows` time-ordered UUIDs (version 7), 16 bytes each, rising within the batch.

    The twelve bits after the time and the next fourteen count the rows, so one batch's rows are neighbours in
    the primary key's index; 48 random bits keep batches of the same millisecond apart.
    """
    out = np.empty((rows, 16), np.uint8)
    milliseconds = now_ms if now_ms is not None else time.time_ns() // 1_000_000
    out[:, :6] = np.frombuffer(milliseconds.to_bytes(6, "big"), np.uint8)
    count = np.arange(rows, dtype=np.uint32)
    out[:, 6] = 0x70 | (count >> 22 & 0x0F)
    out[:, 7] = count >> 14 & 0xFF
    out[:, 8] = 0x80 | (count >> 8 & 0x3F)
    out[:, 9] = count & 0xFF
    out[:, 10:] = np.frombuffer(entropy(6 * rows), np.uint8).reshape(rows, 6)
    return out
