"""Verifications in PostgreSQL: their sums and gathered rows between slices, their verdicts, and which are due."""

import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import polars as pl
from psycopg.types.json import Jsonb

from shared.adapters.postgres.database import Connection, Database
from shared.adapters.postgres.fence import hold_fence, slice_update
from shared.adapters.postgres.masks import Seal, as_it_is
from shared.adapters.postgres.reading import PostgresReader
from shared.adapters.postgres.slices import error_body
from shared.errors import PermanentError
from shared.sql import query
from shared.sync.buckets import Buckets
from shared.sync.model import KEY_HASH
from shared.sync.ports import Claim, Counters
from shared.sync.verifying import (
    EXCUSED_SCHEMA,
    SCHEMAS,
    Piece,
    Side,
    Standing,
    Step,
    SyncState,
    Verdict,
)


class PostgresVerifications:
    """`sync.verifying.Verifications`; every write is one fenced transaction. `lease_s` as for chunks."""

    def __init__(self, database: Database, *, lease_s: int, seal: Seal = as_it_is) -> None:
        self._database, self._schema, self._lease_s = database, database.schema, lease_s
        self._seal = seal

    def state(self, claim: Claim) -> SyncState:
        """What the entity's runs left."""
        row = self._one("verification_state", {"entity": claim.config.entity_uid})
        assert row is not None  # the claim's own run refers to it
        return SyncState(**row)

    def reader(self, claim: Claim) -> PostgresReader:
        """The run's target."""
        return PostgresReader(self._database, claim.config, claim.run_uid)

    def sums(self, claim: Claim) -> tuple[Buckets, Buckets]:
        """The source's and the target's; empty before the first save."""
        row = self._one("verification_sums", {"run": claim.run_uid}) or {}
        return Buckets.read(row.get("source_sums")), Buckets.read(row.get("target_sums"))

    def save(
        self,
        claim: Claim,
        standing: Standing,
        sums: tuple[Buckets, Buckets],
        pieces: Sequence[Piece],
        *,
        afresh: bool,
    ) -> None:
        """Cursor, sums, pieces and lease."""
        names: dict[str, Any] = {
            "run": claim.run_uid,
            "entity": claim.config.entity_uid,
            "step": standing.step,
        }
        with self._database.connection() as connection:
            saved = names | {"source": sums[0].to_bytes(), "target": sums[1].to_bytes()}
            connection.execute(query("verification_save", self._schema), saved)
            if afresh:
                connection.execute(query("verification_forget", self._schema), names)
            for piece in pieces:
                body = {"side": piece.side, "body": _written(piece.rows)}
                connection.execute(query("verification_piece", self._schema), names | body)
            hold_fence(connection, claim, self._schema)
            cursor = Jsonb(self._seal(msgspec.to_builtins(standing), claim.config))
            connection.execute(query("chunk_close", self._schema), slice_update(claim, Counters()) | {
                "cursor": cursor, "chunks": 0, "lease_s": self._lease_s})  # fmt: skip

    def pieces(self, claim: Claim, step: Step, side: Side) -> pl.DataFrame:
        """All pieces of a side."""
        names = {"run": claim.run_uid, "step": step, "side": side}
        with self._database.connection() as connection:
            rows = connection.execute(query("verification_pieces", self._schema), names).fetchall()
        frames = [pl.read_ipc(io.BytesIO(row["body"])) for row in rows]
        return pl.concat([pl.DataFrame(schema=dict(SCHEMAS[side])), *frames])

    def excused(self, claim: Claim) -> pl.DataFrame:
        """Open rejects, waiting children, keys that are about to be deleted."""
        entity = {"entity": claim.config.entity_uid}
        with self._database.connection() as connection:
            rows = connection.execute(query("verification_excused", self._schema), entity).fetchall()
            rows += self._held(connection, entity)
        keys = {KEY_HASH: [row["key_hash"].bytes for row in rows], "why": [row["why"] for row in rows]}
        return pl.DataFrame(keys, schema=EXCUSED_SCHEMA)

    def _held(self, connection: Connection, entity: Mapping[str, Any]) -> list[dict[str, Any]]:
        name = f'"{self._schema}".pending_children'
        if connection.execute("SELECT to_regclass(%s) AS t", (name,)).fetchone() == {"t": None}:
            return []
        return connection.execute(query("verification_held", self._schema), entity).fetchall()

    def verdict(self, claim: Claim) -> Verdict | None:
        """What an earlier delivery of this run concluded before it could end the run."""
        row = self._one("verification_verdict", {"run": claim.run_uid})
        if row is None:
            return None
        why = row["why"] and PermanentError(
            row["why"]["message"], hint=row["why"]["hint"], code=row["why"]["code"]
        )
        return Verdict(row["outcome"], row["findings"], why)

    def conclude(self, claim: Claim, verdict: Verdict) -> None:
        """Keep the verdict and drop what was gathered."""
        row = {
            "run": claim.run_uid,
            "entity": claim.config.entity_uid,
            "outcome": verdict.outcome,
            "why": None if verdict.why is None else Jsonb(error_body(verdict.why)),
            "findings": Jsonb(dict(verdict.findings)),
        }
        with self._database.connection() as connection:
            connection.execute(query("verification_conclude", self._schema), row)
            hold_fence(connection, claim, self._schema)

    def due(self) -> list[UUID]:
        """Entities whose verification is due."""
        with self._database.connection() as connection:
            return [row["uid"] for row in connection.execute(query("verifications_due", self._schema))]

    def list(
        self,
        tenants: frozenset[str] | None,
        *,
        uid: UUID | None = None,
        entity_uid: UUID | None = None,
        limit: int = 100,
        after: tuple[datetime, UUID] | None = None,
    ) -> Sequence[Mapping[str, Any]]:
        """Verifications, newest first."""
        at, after_uid = after or (None, None)
        values = {
            "tenants": None if tenants is None else sorted(tenants), "uid": uid, "entity_uid": entity_uid,
            "limit": limit, "after_at": at, "after_uid": after_uid,
        }  # fmt: skip
        with self._database.connection() as connection:
            return connection.execute(query("verifications_select", self._schema), values).fetchall()

    def _one(self, name: str, values: Mapping[str, Any]) -> dict[str, Any] | None:
        with self._database.connection() as connection:
            return connection.execute(query(name, self._schema), values).fetchone()


def _written(rows: pl.DataFrame) -> bytes:
    target = io.BytesIO()
    rows.write_ipc(target, compression="lz4")
    return target.getvalue()
