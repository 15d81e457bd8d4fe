"""What one slice needs from the outside, as Protocols; adapters carry them out."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

import polars as pl

from shared.sync.model import RunConfig


@dataclass(frozen=True, slots=True)
class Counters:
    """Rows by outcome. `released` is a part of inserted and updated; `soft_deleted` rows were never fetched."""

    fetched: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    superseded: int = 0
    rejected: int = 0
    held: int = 0
    released: int = 0
    soft_deleted: int = 0

    def __add__(self, other: "Counters") -> "Counters":
        return Counters(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Probe:
    """A connector's cheap answer about a table: versions as the source spells them."""

    changed: bool
    max_rowversion: str | None
    count: int | None


@dataclass(frozen=True, slots=True)
class Claim:
    """One delivery's hold on one slice, and what it needs to work: the run's frozen configuration and cursor.

    `epoch` fences: any other number in the slice's row means somebody else holds it. `watermark` is in
    order-preserving form. `first_load` says the target was empty when the run began. `clock_ahead_s` is
    PostgreSQL's clock minus ours.
    """

    run_uid: UUID
    slice: int
    epoch: int
    kind: Literal["walk", "publish"]
    lane: Literal["delta", "bulk"]
    purpose: Literal["delta", "sweep", "refresh"]
    config: RunConfig
    cursor: Mapping[str, Any] | None
    chunk: int
    watermark: str | None
    first_load: bool
    pass_uid: UUID | None
    pass_began: datetime | None
    versions_since: datetime
    allow_deletes: int | None
    unproven_snapshots: int
    deletes_barred: bool
    attempt: int
    clock_ahead_s: float


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive whole pages, ready to load: every fetched row stands in exactly one member.

    `rows`: settled canonical rows. `rejects`: REJECT_SCHEMA plus KEY_HASH, REFERENCE, VERSION (null where the
    key could not be formed). `raw`: the rows as they came, for rejects found while loading. `superseded`: older or equal copies within the chunk. `also_seen`: key hashes
    that stand in neither frame (both sides of a key mismatch). `cursor`: the walk after this chunk, as JSON.
    """

    rows: pl.DataFrame
    rejects: pl.DataFrame
    raw: pl.DataFrame
    also_seen: pl.Series
    fetched: int
    superseded: int
    requested_at: datetime
    cursor: Mapping[str, Any]
    changed: Mapping[tuple[str, str], int]
    ignored_columns: frozenset[str]


class RowsRefusedError(Exception):
    """PostgreSQL refused a value among these rows; which one is found by halving."""


class ChunkConflictError(Exception):
    """Another lane wrote a row of this chunk meanwhile; run the whole transaction again."""


class ChunkTransaction(Protocol):
    """The open transaction of one chunk."""

    def known(self, rows: pl.DataFrame) -> pl.DataFrame:
        """What the target stores under the rows' business keys (delta.KNOWN_SCHEMA), in the rows' order."""

    def others_wrote_since(self, moment: datetime) -> bool:
        """Whether a run of the other lane may have written to this target after `moment`."""

    def insert(self, rows: pl.DataFrame) -> None:
        """Insert rows whose keys the target lacks; raises RowsRefusedError or ChunkConflictError."""

    def update(self, rows: pl.DataFrame) -> None:
        """Overwrite (and revive) stored rows, whose `_bridge_uid` stays."""

    def touch(self, rows: pl.DataFrame) -> None:
        """Move the stored version of rows whose content is unchanged."""

    def stage(self, rows: pl.DataFrame) -> None:
        """Append rows to the run's staging table."""

    def reject(self, rejects: pl.DataFrame) -> None:
        """Keep the rejects, newest version a key; a newer good row of a key resolves its open reject."""

    def resolve(self, rows: pl.DataFrame) -> None:
        """Close the open rejects that these landed rows answer."""

    def see(self, key_hashes: pl.Series, unkeyed: int) -> None:
        """Record keys that this pass met, and how many of its rejects have no key."""

    def hold_fence(self) -> None:
        """The transaction's last reads: raise FencedError unless the claim still stands."""

    def close(self, chunk: Chunk, counters: Counters) -> None:
        """Store cursor and counters, renew the lease."""


class Target(Protocol):
    """Where one run's rows go."""

    def chunk(self, claim: Claim) -> AbstractContextManager[ChunkTransaction]:
        """A transaction that commits on leaving and rolls back on an exception."""

    def refused_rows(self, claim: Claim, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows (ROW, code, message) that PostgreSQL will not take, found without keeping anything."""

    def mark_missing(self, claim: Claim) -> "Due":
        """After a proven pass: count who was absent, forget who came back, and say what is due."""

    def delete_due(self, claim: Claim, limit: int) -> int:
        """Soft-delete up to `limit` due rows in one fenced transaction; how many."""

    def publish(self, claim: Claim, *, proven: bool, may_delete: bool) -> "Published":
        """Move a staged snapshot into the target in one fenced transaction."""


@dataclass(frozen=True, slots=True)
class Due:
    """Rows that a proven pass would soft-delete, and how many are live and were met."""

    due: int
    live: int
    received: int
    keys_complete: bool  # false where a reject had no key: nothing may be deleted


@dataclass(frozen=True, slots=True)
class Published:
    """What publishing did; `refused` names why nothing was published."""

    counters: Counters
    refused: str | None = None


class Source(Protocol):
    """A connector, as the fetch stage sees it."""

    def probe(self, slug: str, rowversion_gt: str | None, parameters: Mapping[str, str]) -> Probe | None:
        """The cheap answer about changes; None where the connector offers none."""


class Clock(Protocol):
    """Time, injected so that tests own it."""

    def now(self) -> datetime:
        """Aware, UTC."""

    def monotonic(self) -> float:
        """Seconds, never going back."""


Pages = Iterator[Chunk]
