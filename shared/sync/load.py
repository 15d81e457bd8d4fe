"""Stage 9: one chunk becomes one committed transaction, or nothing at all.

Decides the order of the writes, repeats the transaction where another lane interfered, and isolates the rows
that PostgreSQL refuses although every rule let them pass. The adapter only carries it out.
"""

from dataclasses import replace
from datetime import UTC, datetime

import polars as pl

from shared.errors import TargetUnavailableError
from shared.failpoints import hit
from shared.sync.delta import Changes, Stance, all_new, classify
from shared.sync.guards import Guards
from shared.sync.model import KEY_HASH, REJECT_SCHEMA, ROW, RunConfig
from shared.sync.parents import Look, Waiting, hold, nobody
from shared.sync.ports import (
    Chunk,
    ChunkConflictError,
    ChunkTransaction,
    Claim,
    Counters,
    RowsRefusedError,
    Target,
)
from shared.sync.rejects import concat, keyed_from_rows

_TRIES = 5
# Rows for which building the indexes afterwards beats keeping them; above the second, the final build takes too long.
_DEFER_FROM, _DEFER_TO = 100_000, 2_000_000
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)


def load(chunk: Chunk, claim: Claim, target: Target, guards: Guards) -> Counters:
    """Commit the chunk and say what became of its rows.

    Raises FencedError when another delivery took over, ConservationError when rows don't add up, and
    TargetUnavailableError when rivals kept interfering; nothing of the chunk is kept then.
    """
    for _ in range(_TRIES):
        try:
            return _commit(chunk, claim, target, guards)
        except ChunkConflictError as conflict:
            if conflict.key_stands:
                # How a first load learns that a key came twice: from here on it looks keys up.
                claim = replace(claim, first_load=False)
        except RowsRefusedError:
            chunk = without_refused(chunk, claim, target.refused_rows(claim, chunk.rows))
    raise TargetUnavailableError(
        f"{claim.config.slug}: other writers kept changing the same rows, {_TRIES} times in a row",
        hint="the chunk is repeated later; make sure nothing but Tributary writes to the target table",
    )


def _commit(chunk: Chunk, claim: Claim, target: Target, guards: Guards) -> Counters:
    with target.chunk(claim) as transaction:
        hit("chunk.begin")
        if claim.config.strategy == "full":
            counters, rejects = _stage(chunk, transaction), chunk.rejects
            _reject(rejects, transaction)
        else:
            if _may_defer(chunk, claim):
                transaction.defer_indexes()
            counters, rejects, changes = apply(chunk, claim, transaction, guards)
            _reject(rejects, transaction)
            _resolve(chunk, claim, changes, transaction)
        if claim.pass_uid is not None:
            _see(chunk, claim, rejects, transaction, guards)
        if claim.config.strategy != "full":
            guards.conservation(counters, where=f"{claim.config.slug}, chunk {claim.chunk + 1}")
        guards.fence(transaction)
        transaction.close(chunk, counters)
        hit("chunk.before_commit")
    hit("chunk.after_commit")
    return counters


def _may_defer(chunk: Chunk, claim: Claim) -> bool:
    """Only the first chunk of a new, empty target's first load, of a size where it pays."""
    begins = claim.first_load and claim.new_target and claim.chunk == 0
    if any(parent.entity_uid == claim.config.entity_uid for parent in claim.config.parents):
        return False  # every chunk looks its parents up in this very table
    return begins and chunk.expected is not None and _DEFER_FROM <= chunk.expected <= _DEFER_TO


def _stage(chunk: Chunk, transaction: ChunkTransaction) -> Counters:
    """A snapshot's rows wait in staging; what becomes of them is known at publication."""
    transaction.stage(chunk.rows, chunk.attempt)
    hit("stage.create")
    return Counters(fetched=chunk.fetched, superseded=chunk.superseded, rejected=chunk.rejects.height)


def apply(
    chunk: Chunk, claim: Claim, transaction: ChunkTransaction, guards: Guards
) -> tuple[Counters, pl.DataFrame, Changes]:
    """Write what the chunk's rows change: what became of them, all of its rejects, and the changes."""
    changes = _changes(chunk, claim, transaction, guards)
    changes, waiting = wait(changes, claim.config, guards, transaction.absent_parents)
    transaction.insert(changes.inserts)
    hit("chunk.copy")
    transaction.update(changes.updates)
    transaction.touch(changes.touches)
    hit("chunk.update")
    late, released = _settle_waiting(chunk, changes, waiting, claim, transaction)
    rejects = concat([chunk.rejects, keyed_from_rows(changes.rejects, chunk.rows, chunk.raw, claim.config)])
    counters = Counters(
        fetched=chunk.fetched,
        inserted=changes.inserts.height,
        updated=changes.updates.height,
        unchanged=changes.unchanged,
        superseded=chunk.superseded + changes.superseded + late,
        rejected=rejects.height,
        held=waiting.rows.height - late,
        released=released,
    )
    return counters, rejects, changes


def wait(changes: Changes, config: RunConfig, guards: Guards, look: Look) -> tuple[Changes, Waiting]:
    """The changes without the rows that lack a parent, and those rows; `look` as for `hold`."""
    writes = pl.concat([changes.inserts, changes.updates])
    if not guards.hold_children or not config.parents or writes.is_empty():
        return changes, nobody(writes)
    waiting = hold(writes, config, look)
    if waiting.rows.is_empty():
        return changes, waiting
    inserts, updates = (
        rows.join(waiting.rows.select(ROW), on=ROW, how="anti", maintain_order="left")
        for rows in (changes.inserts, changes.updates)
    )
    return replace(changes, inserts=inserts, updates=updates), waiting


def _settle_waiting(
    chunk: Chunk, changes: Changes, waiting: Waiting, claim: Claim, transaction: ChunkTransaction
) -> tuple[int, int]:
    """Keep who waits, close who was answered, wake who waited for these: rows that came too late, rows released."""
    written = pl.concat([changes.inserts, changes.updates])
    transaction.arrive(written[KEY_HASH])
    if not claim.may_hold:
        return 0, 0
    beside = [waiting.rows.select(ROW), changes.rejects.select(ROW)]
    answers = chunk.rows.join(pl.concat(beside), on=ROW, how="anti", maintain_order="left")
    released = transaction.answer(answers, written, chunk.requested_at)
    late = transaction.hold(waiting, chunk.requested_at) if waiting.rows.height else 0
    hit("chunk.held")
    return late, released


def _reject(rejects: pl.DataFrame, transaction: ChunkTransaction) -> None:
    if rejects.height:
        transaction.reject(rejects)
        hit("chunk.rejects")


def _resolve(chunk: Chunk, claim: Claim, changes: Changes, transaction: ChunkTransaction) -> None:
    """Close what landed rows answer."""
    # Only a pass has an end at which a duplicate that did not come again is closed: a delta closes it at once.
    standing = changes.standing if claim.pass_began is not None else changes.standing.clear()
    transaction.resolve(_landed(chunk.rows, changes.rejects), standing)


def _changes(chunk: Chunk, claim: Claim, transaction: ChunkTransaction, guards: Guards) -> Changes:
    if claim.first_load or chunk.rows.is_empty():
        return all_new(chunk.rows)
    known = transaction.known(chunk.rows)
    hit("chunk.lookup")
    rivals = bool(known.height) and transaction.others_wrote_since(chunk.requested_at)
    stance = Stance(
        versions_since=claim.versions_since if guards.row_versions else _NEVER,
        written_since=chunk.requested_at if rivals else None,
        # Rows that this very pass wrote can only be told from a rival's when there is no rival; a second walk
        # meets every row that the first one wrote.
        pass_began=None if rivals or chunk.attempt > 1 else claim.pass_began,
        disputed=transaction.disputed() if known.height and claim.pass_began else frozenset(),
    )
    return classify(chunk.rows, known, claim.config, stance)


def _landed(rows: pl.DataFrame, rejects: pl.DataFrame) -> pl.DataFrame:
    """The rows that may answer open rejects of their keys; one refused just now must not close its own."""
    return rows.join(rejects.select(ROW), on=ROW, how="anti") if rejects.height else rows


def _see(
    chunk: Chunk, claim: Claim, rejects: pl.DataFrame, transaction: ChunkTransaction, guards: Guards
) -> None:
    keyed = rejects[KEY_HASH].drop_nulls() if guards.rejects_are_seen else rejects[KEY_HASH].clear()
    # A snapshot's rows stand in staging, where their keys can be read; only the others need recording.
    landed = [] if claim.config.strategy == "full" else [chunk.rows[KEY_HASH]]
    transaction.see(pl.concat([*landed, keyed, chunk.also_seen]).unique(), chunk.keyless)
    hit("chunk.seen")


def without_refused(chunk: Chunk, claim: Claim, refused: pl.DataFrame) -> Chunk:
    """The chunk with the rows that PostgreSQL refuses among its rejects."""
    if refused.is_empty():
        raise TargetUnavailableError(
            "the target refused the chunk, yet takes each of its rows", hint="the chunk is repeated later"
        )
    rejects = refused.with_columns(
        pl.lit("load").alias("stage"),
        pl.lit(None, pl.String).alias("column"),
        pl.lit(None, pl.String).alias("raw"),
    ).select(pl.col(name).cast(dtype) for name, dtype in REJECT_SCHEMA.items())
    described = keyed_from_rows(rejects, chunk.rows, chunk.raw, claim.config)
    return replace(
        chunk,
        rows=chunk.rows.join(refused.select(ROW), on=ROW, how="anti", maintain_order="left"),
        rejects=concat([chunk.rejects, described]),
    )
