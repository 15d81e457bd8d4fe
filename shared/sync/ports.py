"""What one slice needs from the outside, as Protocols; adapters carry them out."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

import polars as pl

from shared.errors import AppError
from shared.sync.adaptive import UNSPENT, Spent
from shared.sync.model import Reference, RunConfig
from shared.sync.parents import Waiting


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
class Night:
    """What a run of a background load may do tonight, frozen when it is created.

    It stops at `ends_at` (our clock), or when its share is done: the rows not yet read at `rows_before`, divided by
    the `nights_left`, tonight included.
    """

    schedule_uid: UUID
    ends_at: datetime
    nights_left: int
    rows_before: int


@dataclass(frozen=True, slots=True)
class Claim:
    """One delivery's hold on one slice, and what it needs to work: the run's frozen configuration and cursor.

    `epoch` fences: any other number in the slice's row means somebody else holds it. `watermark` is in
    order-preserving form. `first_load` says the target was empty when the run began. `new_target`: no run of
    this entity ever ended. `indexes_deferred`: a first load left the target without indexes. `clock_ahead_s` is
    PostgreSQL's clock minus ours. `soft_deleted`: what this slice deleted already. `walked`: once the walk is over,
    what its slices ended with. `last_probe`: what the last proven run left, its probe and what it asked from.
    `night`: for a background load. `may_hold`: rows of this entity wait for parents, or may.
    """

    run_uid: UUID
    connector_uid: UUID
    slice: int
    epoch: int
    kind: Literal["walk", "conclude", "publish", "retry"]
    lane: Literal["delta", "bulk"]
    purpose: Literal["delta", "sweep", "refresh", "window", "backfill", "rehash", "verify", "retry"]
    config: RunConfig
    cursor: Mapping[str, Any] | None
    chunk: int
    watermark: str | None
    first_load: bool
    new_target: bool
    indexes_deferred: bool
    pass_uid: UUID | None
    pass_began: datetime | None
    versions_since: datetime
    allow_deletes: int | None
    unproven_snapshots: int
    deletes_barred: bool
    soft_deleted: int
    walked: Sequence[Mapping[str, Any]]
    attempt: int
    clock_ahead_s: float
    last_probe: Mapping[str, Any] | None = None
    may_hold: bool = False
    night: Night | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive whole pages, ready to load: every fetched row stands in exactly one member.

    `rows`: settled canonical rows. `rejects`: REJECT_SCHEMA plus KEY_HASH, REFERENCE, VERSION (null where the
    key could not be formed). `raw`: the rows as they came, for rejects found while loading. `superseded`: older
    or equal copies within the chunk. `also_seen`: key hashes
    that stand in neither frame (both sides of a key mismatch). `keyless`: rejects that could be any row.
    `requested_at`: before its first page was asked for, by PostgreSQL's clock. `expected`: rows of the
    whole walk, where the source tells. `cursor`: where to go on, as JSON. `attempt`: which walk of the run.
    """

    rows: pl.DataFrame
    rejects: pl.DataFrame
    raw: pl.DataFrame
    also_seen: pl.Series
    fetched: int
    superseded: int
    keyless: int
    requested_at: datetime
    expected: int | None
    cursor: Mapping[str, Any]
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Refused:
    """A stored reject that is to be tried again; `raw` as failed_records holds it."""

    uid: UUID
    raw: str | None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ends, and what it leaves for the next. Versions are in order-preserving form.

    `proven`: the probe pair may be trusted. `swept`: every key of the table was met, so a sweep is not due.
    `filled`: every row was read whole, so that columns added before the run are filled.
    `unproven_snapshots`: how many stand in a row now; None leaves the count as it is.
    `changed` counts values by "column.rule"; `ignored` names columns the run did not know. `night`: for a background
    load, whether its walk goes on another night, is finished, or must begin again. `spent`: what the pages took.
    """

    status: Literal["success", "partial", "failed"]
    error: AppError | None = None
    watermark: str | None = None
    bound: str | None = None
    probe: Mapping[str, Any] | None = None
    proven: bool = False
    swept: bool = False
    filled: bool = False
    unproven_snapshots: int | None = None
    changed: Mapping[str, int] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    night: Literal["goes_on", "finished", "again"] | None = None
    spent: Spent = UNSPENT


class Ledger(Protocol):
    """The life of slices, as the runner needs it. Each call raises FencedError when the claim no longer stands."""

    def continue_later(self, claim: Claim) -> None:
        """Hand the slice to its continuation."""

    def back_off(self, claim: Claim, error: AppError, wish_s: float | None) -> bool:
        """Queue the slice again after a transient failure; false when its retries in a row are used up."""

    def totals(self, claim: Claim) -> Counters:
        """What the run's slices have counted so far."""

    def split(self, claim: Claim, cursors: Sequence[Mapping[str, Any]]) -> None:
        """Give the slice the first of these cursors, and each of the others a slice of its own."""

    def end_part(self, claim: Claim) -> None:
        """End a slice whose part is read; the last one of the run to do so queues a slice that concludes it."""

    def begin_publish(self, claim: Claim) -> None:
        """End a snapshot's walk and queue its publication as a slice of its own."""

    def end(self, claim: Claim, ending: Ending) -> None:
        """End the run."""


class RowsRefusedError(Exception):
    """PostgreSQL refused a value among these rows; which one is found by halving."""


class ChunkConflictError(Exception):
    """Another writer came between; run the whole transaction again. `key_stands`: an inserted key exists already."""

    def __init__(self, what: str, *, key_stands: bool = False) -> None:
        super().__init__(what)
        self.key_stands = key_stands


class ChunkTransaction(Protocol):
    """The open transaction of one chunk."""

    def known(self, rows: pl.DataFrame) -> pl.DataFrame:
        """What the target holds instead of these rows (delta.KNOWN_SCHEMA), in their order.

        A row that it holds already, live and with the same content and version, is left out.
        """

    def others_wrote_since(self, moment: datetime) -> bool:
        """Whether a run of the other lane may have written to this target after `moment`."""

    def defer_indexes(self) -> None:
        """Take the empty target's indexes down until `Target.build_indexes`; leave them where that is not safe."""

    def insert(self, rows: pl.DataFrame) -> None:
        """Insert rows whose keys the target lacks; raises RowsRefusedError or ChunkConflictError."""

    def update(self, rows: pl.DataFrame) -> None:
        """Overwrite (and revive) stored rows, whose `_bridge_uid` stays."""

    def touch(self, rows: pl.DataFrame) -> None:
        """Move the stored version of rows whose content is unchanged."""

    def stage(self, rows: pl.DataFrame, attempt: int) -> None:
        """Append rows to the run's staging table, marked with the walk they came from."""

    def reject(self, rejects: pl.DataFrame) -> None:
        """Keep the rejects, newest version a key; a newer good row of a key resolves its open reject."""

    def disputed(self) -> frozenset[bytes]:
        """Key hashes with an open reject as duplicate whose landed copy was met since the pass began."""

    def resolve(self, rows: pl.DataFrame, standing: pl.Series) -> None:
        """Close the open rejects that these landed rows answer.

        A `standing` row (by ROW) is the landed copy met again: a duplicate of its key stays open and is marked as met.
        """

    def absent_parents(self, reference: Reference, sought: pl.DataFrame) -> pl.Series:
        """NUMBERs of the distinct references (parents.NUMBER, `t..`) without a live row in the parent's target."""

    def hold(self, waiting: Waiting, read_at: datetime) -> int:
        """Keep rows that must wait, the newest a key; how many were older than one that waits already."""

    def answer(self, rows: pl.DataFrame, written: pl.DataFrame, read_at: datetime) -> int:
        """Close waiting rows that these rows answer; how many of them are among the `written` ones."""

    def arrive(self, key_hashes: pl.Series) -> None:
        """Mark the children that wait for these landed rows as due."""

    def take_rejects(self, uids: Sequence[str]) -> None:
        """Lock the rejects; raises ChunkConflictError where one was settled otherwise meanwhile."""

    def settle_rejects(self, uids: Sequence[str], again: pl.DataFrame) -> None:
        """Close the rejects of these uids, but those `again` names, which get what refused them now."""

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

    def build_indexes(self, claim: Claim) -> None:
        """Put deferred indexes back, settling keys that stand twice by the rules across chunks."""

    def mark_missing(self, claim: Claim) -> "Due":
        """After a proven pass: count who was absent, forget who came back, and say what is due. Repeatable."""

    def delete_due(self, claim: Claim, limit: int) -> AbstractContextManager["Deletion"]:
        """One fenced transaction that soft-deletes up to `limit` due rows."""

    def rejects_due(self, claim: Claim, limit: int) -> "tuple[Sequence[Refused], datetime] | None":
        """Rejects to be tried again, all refused at one moment, which is given; None when there are none."""

    def release(self, claim: Claim) -> AbstractContextManager["Release"]:
        """One transaction that lands waiting rows; raises ChunkConflictError where another lane came between."""

    def publication(self, claim: Claim) -> AbstractContextManager["Publication"]:
        """The one transaction that moves a staged snapshot into the target; the slice's row is locked first."""

    def rehash(self, claim: Claim) -> AbstractContextManager["Rehashing"]:
        """One fenced transaction that hashes a batch of stored rows anew."""


class Fenced(Protocol):
    """Any transaction of a slice."""

    def hold_fence(self) -> None:
        """Raise FencedError unless the claim still stands."""


class Deletion(Fenced, Protocol):
    """An open transaction of soft-deletes."""

    def delete(self) -> int:
        """Delete the batch, close the rejects of its keys, count it in the slice; how many rows."""


class Release(Fenced, Protocol):
    """The open transaction of one batch of waiting rows."""

    def take(self, limit: int, *, guarded: bool) -> Counters | None:
        """Land the waiting rows whose parents arrived, hold the others again; None when nothing is due any more."""

    def close(self, counters: Counters) -> None:
        """Count the batch in the slice, renew the lease."""


class Publication(Fenced, Protocol):
    """The open transaction of a snapshot's publication."""

    def walked(self) -> Counters:
        """What the walk's slices counted: fetched, superseded and rejected rows."""

    def settle(self, final: int | None) -> Counters:
        """Settle keys that stand twice in the whole snapshot: superseded and rejected rows.

        Of several walks only the `final` one counts; None: none was complete, so each key's latest walk does.
        """

    def hold(self) -> Counters:
        """Take the rows that lack a parent out of the snapshot: held rows, and those older than ones that wait."""

    def due(self) -> "Due":
        """What publishing would soft-delete."""

    def apply(self, *, delete: bool) -> Counters:
        """Insert, update and, if asked, soft-delete."""

    def close(self, counters: Counters) -> None:
        """Store the counters and remember that this snapshot is published."""


class Rehashing(Fenced, Protocol):
    """An open transaction over a batch of stored rows, in the order of their business key."""

    def read(self, after: Sequence[str] | None, limit: int) -> tuple[pl.DataFrame, tuple[str, ...] | None]:
        """Up to `limit` rows behind a key, locked: ROW, t0..tN, rehash.UNREAD; and the last one's key as text."""

    def write(self, rows: pl.DataFrame) -> None:
        """Store their hashes, leaving everything else as it is; a null row hash leaves the stored one."""

    def finish(self) -> bool:
        """Behind the last row: let runs begin. False where rows came meanwhile that have no hashes yet."""

    def close(self, cursor: Mapping[str, Any], counters: Counters) -> None:
        """Store cursor and counters, renew the lease."""


@dataclass(frozen=True, slots=True)
class Due:
    """Rows that would be soft-deleted, and how many are live and were met."""

    due: int
    live: int
    received: int
    keys_complete: bool  # false where a reject had no key: nothing may be deleted


class Clock(Protocol):
    """Time, injected so that tests own it."""

    def now(self) -> datetime:
        """Aware, UTC."""

    def monotonic(self) -> float:
        """Seconds, never going back."""
