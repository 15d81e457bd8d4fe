"""Stage 8: what a chunk's rows mean for the target. Pure: frames in, labels out.

First the chunk settles its own duplicates (`settle`), then each row is compared with what the target stores
under the same business key (`classify`). No row is written here and none is forgotten: every row leaves with
exactly one outcome, which is what conservation counts.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from shared.sync.model import (
    KEY_HASH,
    RAW_KEY,
    REJECT_SCHEMA,
    ROW,
    ROW_HASH,
    VERSION,
    RunConfig,
    no_rejects,
)

DUPLICATE_MESSAGE = (
    "the business key stands twice with different content; correct the source, or the declared key"
)
COLLISION_MESSAGE = (
    "keys that differ at the source meet after a key rule; loosen the rule or correct the source"
)


@dataclass(frozen=True, slots=True)
class Settled:
    """A chunk in which every business key stands once. `superseded` rows are `rows`' older or equal copies."""

    rows: pl.DataFrame
    superseded: int
    rejects: pl.DataFrame
    rejected_keys: pl.DataFrame  # ROW, KEY_HASH of the rejects above


@dataclass(frozen=True, slots=True)
class Stance:
    """How stored rows may be trusted while one chunk is compared with them.

    `versions_since`: a version stored before this moment belongs to an older generation and doesn't count.
    `written_since`: without versions, rows that others wrote after this moment are newer than the page;
    null when nobody else wrote. `pass_began`: rows this pass wrote itself since then, for late duplicates.
    All are PostgreSQL's clock. `disputed`: keys (their hashes) that are known to stand twice and whose landed copy
    this pass has met, so that any other content is the other copy again.
    """

    versions_since: datetime
    written_since: datetime | None
    pass_began: datetime | None
    disputed: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Changes:
    """A chunk's outcomes. `inserts`, `updates` and `touches` are rows; the rest are counts and rejects.

    `touches` are unchanged rows under another version: the stored version must follow, or an old copy that
    arrives late could pass for newer than what the source has already confirmed. `standing` are unchanged rows
    without a version: they confirm the landed copy, not that it is the only one.
    """

    inserts: pl.DataFrame
    updates: pl.DataFrame
    touches: pl.DataFrame
    unchanged: int
    superseded: int
    rejects: pl.DataFrame
    standing: pl.Series  # of ROW


# What the target stores under the keys of those rows of a chunk that it does not hold just as they come, by the
# row's number; a null hash: it lacks the key.
KNOWN_SCHEMA = {
    ROW: pl.UInt32(),
    "known_hash": pl.Binary(),
    "known_version": pl.String(),
    "known_deleted": pl.Boolean(),
    "known_at": pl.Datetime("us", "UTC"),
}


def settle(rows: pl.DataFrame) -> Settled:
    """Leave one row a business key: the highest version wins, equal copies fall together, ties reject.

    Rows whose keys were spelt differently at the source and met only by a rule are all rejected.
    """
    repeated = rows.filter(rows[KEY_HASH].is_duplicated()) if rows.height else rows
    if repeated.is_empty():
        return Settled(rows, 0, no_rejects(), repeated.select(ROW, KEY_HASH))
    judged = repeated.with_columns(
        (pl.col(RAW_KEY).n_unique().over(KEY_HASH) > 1).alias("_collides"),
        (pl.col(VERSION).fill_null("") == pl.col(VERSION).fill_null("").max().over(KEY_HASH)).alias("_top"),
    )
    tied = judged.filter("_top").group_by(KEY_HASH).agg(pl.col(ROW_HASH).n_unique().alias("_contents"))
    judged = judged.join(tied, on=KEY_HASH, how="left")
    refused = judged.filter(pl.col("_collides") | (pl.col("_top") & (pl.col("_contents") > 1)))
    winners = (
        judged.filter(~pl.col("_collides") & pl.col("_top") & (pl.col("_contents") == 1))
        .unique(KEY_HASH, keep="first", maintain_order=True)
        .select(rows.columns)
    )
    kept = pl.concat([rows.filter(rows[KEY_HASH].is_unique()), winners]).sort(ROW)
    superseded = repeated.height - winners.height - refused.height
    return Settled(kept, superseded, _duplicate_rejects(refused), refused.select(ROW, KEY_HASH))


def _duplicate_rejects(refused: pl.DataFrame) -> pl.DataFrame:
    collides = pl.col("_collides")
    return _rejects(
        refused.select(
            ROW,
            pl.when(collides).then(pl.lit("key_collision")).otherwise(pl.lit("duplicate_key")).alias("code"),
            pl.when(collides)
            .then(pl.lit(COLLISION_MESSAGE))
            .otherwise(pl.lit(DUPLICATE_MESSAGE))
            .alias("message"),
        )
    )


def classify(rows: pl.DataFrame, known: pl.DataFrame, config: RunConfig, stance: Stance) -> Changes:
    """Split settled rows by what the target holds instead of them (`known` has KNOWN_SCHEMA, ROW unique).

    Rows that `known` does not name are stored as they are: unchanged.
    """
    met = rows.join(known, on=ROW, how="inner", maintain_order="left")
    met = met.with_columns(_outcome(config, stance).alias("_outcome"))
    counts = dict(met.group_by("_outcome").len().iter_rows())
    late = met.filter(pl.col("_outcome") == "late").select(
        ROW, pl.lit("duplicate_key").alias("code"), pl.lit(DUPLICATE_MESSAGE).alias("message")
    )
    return Changes(
        inserts=met.filter(pl.col("_outcome") == "insert").select(rows.columns),
        updates=met.filter(pl.col("_outcome") == "update").select(rows.columns),
        touches=met.filter(pl.col("_outcome") == "touch").select(rows.columns),
        unchanged=rows.height - met.height + counts.get("unchanged", 0) + counts.get("touch", 0),
        superseded=counts.get("superseded", 0),
        rejects=_rejects(late),
        standing=_standing(rows, met),
    )


def all_new(rows: pl.DataFrame) -> Changes:
    """The outcome of rows for an empty target."""
    return Changes(rows, rows.clear(), rows.clear(), 0, 0, no_rejects(), rows[ROW].clear())


def _standing(rows: pl.DataFrame, met: pl.DataFrame) -> pl.Series:
    """ROW of the rows without a version that the target holds as they are."""
    unversioned = rows[ROW].filter(rows[VERSION].is_null())
    others = met[ROW].filter(met["_outcome"] != "unchanged")
    return unversioned.filter(~unversioned.is_in(others.implode()))


_COMPARABLE = pl.col(VERSION).is_not_null() & pl.col("known_version").is_not_null()


def _outcome(config: RunConfig, stance: Stance) -> pl.Expr:
    same = (pl.col(ROW_HASH) == pl.col("known_hash")) & ~pl.col("known_deleted")
    current = pl.col("known_at") >= _moment(stance.versions_since)
    older = _COMPARABLE & current & (pl.col(VERSION) < pl.col("known_version"))
    ours = _since(stance.pass_began)
    if stance.disputed:
        ours = ours | pl.col(KEY_HASH).is_in(list(stance.disputed))
    return (
        pl.when(pl.col("known_hash").is_null())
        .then(pl.lit("insert"))
        .when(older)
        .then(pl.lit("superseded"))
        .when(same & _COMPARABLE & (pl.col(VERSION) != pl.col("known_version")))
        .then(pl.lit("touch"))
        .when(same)
        .then(pl.lit("unchanged"))
        .when(~_COMPARABLE & _since(stance.written_since))
        .then(pl.lit("superseded"))
        .when(~_COMPARABLE & ~pl.col("known_deleted") & ours)
        .then(pl.lit("late"))
        .otherwise(pl.lit("update"))
    )


def _since(moment: datetime | None) -> pl.Expr:
    return pl.lit(False) if moment is None else pl.col("known_at") > _moment(moment)


def _moment(moment: datetime) -> pl.Expr:
    # The driver gives the session's zone by name; polars compares zones by name, too.
    return pl.lit(moment.astimezone(UTC), pl.Datetime("us", "UTC"))


def _rejects(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(
        pl.lit("delta").alias("stage"),
        pl.lit(None, pl.String).alias("column"),
        pl.lit(None, pl.String).alias("raw"),
    ).select(pl.col(name).cast(dtype) for name, dtype in REJECT_SCHEMA.items())
