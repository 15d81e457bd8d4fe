"""What differing keys mean: pure, from the rows gathered of both sides to labels, and from labels to a verdict."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from shared.errors import AppError, PermanentError
from shared.sync.model import KEY_HASH, REFERENCE, ROW_HASH, VERSION
from shared.sync.verifying import KINDS, REFUSED, UNTOUCHED, Basis, Standing, Verdict

EXAMPLES = 20
_TRUSTED_SHARE = 0.01
LABEL, SURE = "label", "sure"
# Labels beside KINDS: what is accounted for and no difference.
ACCOUNTED = ("reject", "held", "awaiting_delete", "in_flight")


@dataclass(frozen=True, slots=True)
class Gathered:
    """Both sides' rows of some keys (SOURCE_SCHEMA, TARGET_SCHEMA), keys excused, and what may be insisted on.

    `still`: the source has not changed since the target was last in step with it.
    """

    source: pl.DataFrame
    target: pl.DataFrame
    excused: pl.DataFrame
    basis: Basis
    still: bool
    keyless: int


def judge(gathered: Gathered) -> pl.DataFrame:
    """One row a key that does not agree: KEY_HASH, LABEL, SURE, REFERENCE."""
    met = (
        _source(gathered.source)
        .join(_target(gathered), on=KEY_HASH, how="full", coalesce=True)
        .join(gathered.excused.unique(KEY_HASH), on=KEY_HASH, how="left")
        .with_columns(pl.coalesce("s_reference", "t_reference").alias(REFERENCE))
        .with_columns(_label(gathered).alias(LABEL))
        .with_columns(_sure(gathered).fill_null(False).alias(SURE))
    )
    return met.filter(pl.col(LABEL) != "agree").select(KEY_HASH, LABEL, SURE, REFERENCE)


def suspects(judged: pl.DataFrame) -> pl.DataFrame:
    """The keys that need a second look."""
    return judged.filter(pl.col(LABEL).is_in(KINDS)).select(KEY_HASH)


def _source(rows: pl.DataFrame) -> pl.DataFrame:
    """One row a key: the newest copy; copies that rules would reject, or that tie, make it refused."""
    top = rows.filter(
        (pl.col(VERSION) == pl.col(VERSION).max().over(KEY_HASH)).fill_null(True) | pl.col(REFUSED)
    )
    return top.group_by(KEY_HASH).agg(
        pl.col(ROW_HASH).first().alias("s_hash"),
        pl.col(VERSION).first().alias("s_version"),
        pl.col(REFERENCE).first().alias("s_reference"),
        (pl.col(REFUSED).any() | (pl.col(ROW_HASH).n_unique() > 1)).alias("s_refused"),
    )


def _target(gathered: Gathered) -> pl.DataFrame:
    rows = gathered.target
    if not _is_trusted(gathered):
        rows = rows.with_columns(pl.lit(None, pl.Boolean).alias(UNTOUCHED))
    return rows.group_by(KEY_HASH).agg(
        pl.col(ROW_HASH).first().alias("t_hash"),
        pl.col(VERSION).first().alias("t_version"),
        pl.col(REFERENCE).first().alias("t_reference"),
        pl.col(UNTOUCHED).first().alias("t_untouched"),
        pl.len().alias("t_copies"),
    )


def _is_trusted(gathered: Gathered) -> bool:
    """Whether a stored hash that does not fit its row says that somebody touched it.

    Where rows that agree with the source have such hashes as well, the mapping changed since they were written.
    """
    agreeing = gathered.target.join(gathered.source, on=[KEY_HASH, ROW_HASH], how="semi")
    known = agreeing[UNTOUCHED].drop_nulls()
    return len(known) == 0 or (~known).sum() <= _TRUSTED_SHARE * len(known)


def _label(gathered: Gathered) -> pl.Expr:
    absent, unknown = pl.col("t_hash").is_null(), pl.col("s_hash").is_null() & pl.col("s_refused").is_null()
    newer = (pl.col("s_version") < pl.col("t_version")).fill_null(False)
    touched = ~pl.col("t_untouched").fill_null(True)
    in_flight = gathered.basis.above(pl.col("s_version")) | newer
    unswept = pl.lit(gathered.basis.deletes_by_sweep) & ~touched
    return (
        pl.when((pl.col("t_copies") > 1).fill_null(False))
        .then(pl.lit("duplicated"))
        .when(pl.col("why").is_in(["reject", "held"]))
        .then(pl.col("why"))
        .when(pl.col("s_refused").fill_null(False))
        .then(pl.lit("reject"))
        .when((pl.col("s_hash") == pl.col("t_hash")).fill_null(False))
        .then(pl.lit("agree"))
        .when(unknown & ((pl.col("why") == "awaiting_delete").fill_null(False) | unswept))
        .then(pl.lit("awaiting_delete"))
        .when(unknown)
        .then(pl.lit("extra_in_target"))
        .when(absent & in_flight)
        .then(pl.lit("in_flight"))
        .when(absent)
        .then(pl.lit("missing_in_target"))
        .when(in_flight & ~touched)
        .then(pl.lit("in_flight"))
        .otherwise(pl.lit("altered"))
    )


def _sure(gathered: Gathered) -> pl.Expr:
    """Whether a difference cannot be a change at the source that no run has seen yet."""
    still = pl.lit(gathered.still)
    touched = ~pl.col("t_untouched").fill_null(True)
    settled = gathered.basis.settled(pl.col("s_version"))
    extra = touched | (still & (gathered.keyless == 0))
    return (
        pl.when(pl.col(LABEL) == "duplicated")
        .then(True)
        .when(pl.col(LABEL) == "extra_in_target")
        .then(extra)
        .when(pl.col(LABEL) == "missing_in_target")
        .then(settled | still)
        .otherwise(touched | settled | still)
    )


def verdict(judged: pl.DataFrame, standing: Standing, looked_into: int, *, complete: bool) -> Verdict:
    """The end, from the keys that still differ. `complete`: every differing bucket was looked into."""
    differing = judged.filter(pl.col(LABEL).is_in(KINDS))
    sure = differing.filter(pl.col(SURE))
    findings = {
        "differing_buckets": standing.differing,
        "looked_into_buckets": looked_into,
        "counts_complete": complete,
        "differences": _counts(sure, KINDS),
        "undecided": _counts(differing.filter(~pl.col(SURE)), KINDS),
        "accounted": _counts(judged, ACCOUNTED),
        "examples": _examples(sure if sure.height else differing),
    }
    if sure.height:
        return Verdict("different", findings, _different(sure.height, complete=complete))
    if differing.height:
        return Verdict("unverified", findings, _undecided(differing.height, standing))
    if not complete:
        return Verdict("unverified", findings, _moving(standing.differing))
    return Verdict("equal", findings)


def _counts(judged: pl.DataFrame, labels: tuple[str, ...]) -> dict[str, int]:
    return {label: judged.filter(pl.col(LABEL) == label).height for label in labels}


def _examples(judged: pl.DataFrame) -> Mapping[str, list[str]]:
    chosen = {kind: judged.filter(pl.col(LABEL) == kind)[REFERENCE].drop_nulls().sort() for kind in KINDS}
    return {kind: names.head(EXAMPLES).to_list() for kind, names in chosen.items() if len(names)}


def _different(count: int, *, complete: bool) -> AppError:
    at_least = "" if complete else "at least "
    return PermanentError(
        f"the target differs from its source in {at_least}{count} keys; the verification names examples",
        hint="find who writes to the table beside Tributary, then POST .../full-refresh, and verify again",
        code="different",
    )


def _undecided(count: int, standing: Standing) -> AppError:
    if standing.keyless:
        return PermanentError(
            f"{count} keys differ, but {standing.keyless} rows of the source have no readable key and may be these",
            hint="see the entity's failed records; correct them at the source, then verify again",
            code="keyless_rejects",
        )
    return PermanentError(
        f"{count} keys differ, but the source changed since the last run and its rows have no versions to tell"
        " a change that is still to be synced from damage",
        hint="sync, then verify again before the source changes; row versions would make this certain",
        code="no_bound",
    )


def _moving(buckets: int) -> AppError:
    return PermanentError(
        f"{buckets} buckets differ by rows in flight, more than one verification looks into",
        hint="sync, then verify at a quieter time",
        code="moving",
    )
