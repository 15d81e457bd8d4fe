"""Hashing stored rows anew: after adopting a table, or under another business key. Resumable batch by batch.

Enters: a claim of purpose `rehash`. Each batch is one fenced transaction that reads rows in key order, takes them
through the hash stage every sync uses, and stores the hashes without marking a row updated; its last key is the
slice's cursor. Nothing else runs on the entity meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from shared.errors import TargetRefusedError, TargetUnavailableError
from shared.failpoints import hit
from shared.sync import identity
from shared.sync.model import ROW_HASH, Batch, Kind, RunConfig, no_rejects
from shared.sync.ports import Claim, Counters, Ending, Rehashing

if TYPE_CHECKING:
    from shared.sync.run import SliceRunner

BATCH_ROWS = 20_000
ROUNDS = 5
UNREAD = (
    "_unread"  # Boolean: a stored value that the stages could not have made, so its row's hash is unknowable
)


@dataclass(frozen=True, slots=True)
class Place:
    """How far a re-hash is: the last key hashed, in key order, which round over the table, and whether it is over."""

    after: tuple[str, ...] | None = None
    rounds: int = 1
    done: bool = False

    @classmethod
    def of(cls, cursor: Mapping[str, Any] | None) -> "Place":
        """From a slice's cursor."""
        if cursor is None:
            return cls()
        after = cursor["after"]
        return cls(None if after is None else tuple(after), cursor["rounds"], cursor["done"])

    def to_cursor(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {
            "after": None if self.after is None else list(self.after),
            "rounds": self.rounds,
            "done": self.done,
        }


def rehash(runner: "SliceRunner", claim: Claim) -> Literal["ended", "continued"]:
    """Hash what is left, or hand over when the time budget ends."""
    if claim.indexes_deferred:
        runner.target.build_indexes(claim)
    started, place = runner.clock.monotonic(), Place.of(claim.cursor)
    limit = min(runner.chunk_rows, BATCH_ROWS)
    while not place.done:
        with runner.target.rehash(claim) as batch:
            place = _advance(claim, batch, place, limit)
            runner.guards.fence(batch)
            hit("rehash.before_commit")
        hit("rehash.after_commit")
        if not place.done and runner.clock.monotonic() - started >= runner.budget_s:
            runner.ledger.continue_later(claim)
            return "continued"
    runner.ledger.end(claim, Ending("success"))
    runner.tell("rehashed", run=str(claim.run_uid), entity=claim.config.slug)
    return "ended"


def _advance(claim: Claim, batch: Rehashing, place: Place, limit: int) -> Place:
    """One batch, or the end behind the last one; rows that came meanwhile mean another round."""
    rows, last = batch.read(place.after, limit)
    if rows.height:
        batch.write(hashed(rows, claim.config))
    if rows.height == limit:
        following = Place(last, place.rounds)
    elif batch.finish():
        following = Place(last, place.rounds, done=True)
    elif place.rounds < ROUNDS:
        following = Place(None, place.rounds + 1)
    else:
        raise TargetUnavailableError(
            f"{claim.config.slug}: others keep inserting rows into its table, {ROUNDS} rounds long",
            hint="stop whoever writes to the target table; the re-hash goes on by itself",
        )
    batch.close(following.to_cursor(), Counters(fetched=rows.height, unchanged=rows.height))
    return following


def hashed(rows: pl.DataFrame, config: RunConfig) -> pl.DataFrame:
    """The rows with their hashes, by the stage that every sync takes; no row hash where it cannot be known.

    Raises TargetRefusedError for a key that no row may have.
    """
    found = identity.apply(Batch(rows, no_rejects()), config)
    if found.rejects.height or _keys_unread(rows, config):
        raise TargetRefusedError(
            f"{config.slug}: stored rows have a business key that no synced row may have (longer than 2,600 bytes, or"
            " not a finite value)",
            hint="correct these rows, or choose other business_keys",
        )
    return found.rows.with_columns(
        pl.when(pl.col(UNREAD)).then(None).otherwise(pl.col(ROW_HASH)).alias(ROW_HASH)
    )


def _keys_unread(rows: pl.DataFrame, config: RunConfig) -> bool:
    return any(rows[f"t{i}"].has_nulls() for i in config.key_positions)


def read_column(texts: pl.Series, kind: Kind, dtype: pl.DataType) -> pl.Series:
    """Stored values, spelt as `rehashing.spelling` asks PostgreSQL to, in the dtype of a finished batch."""
    match kind:
        case Kind.BOOLEAN:
            return texts == "true"
        case Kind.DATE:
            return texts.cast(pl.Int32, strict=False).cast(pl.Date)
        case Kind.TIMESTAMP | Kind.TIMESTAMPTZ:
            return texts.cast(pl.Int64, strict=False).cast(dtype)
        case Kind.BYTES:
            return texts.str.decode("hex", strict=False)
        case _:
            return texts.cast(dtype, strict=False)
