"""What the steps of a verification make of the parts of both sides: sums of buckets, then the rows that differ."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl

from shared.sync import buckets
from shared.sync.buckets import Buckets
from shared.sync.model import KEY_HASH, REFERENCE, ROW_HASH, VERSION
from shared.sync.ports import Chunk, Claim
from shared.sync.verifying import (
    DELETED_ROW,
    KEY_SCHEMA,
    REFUSED,
    SCHEMAS,
    SOURCE_SCHEMA,
    TARGET_SCHEMA,
    Piece,
    Side,
    Standing,
    Step,
    TargetPart,
    Verifications,
)


@dataclass(frozen=True, slots=True)
class Counted:
    """How many of a chunk's rows stood above the bound."""

    above: int = 0


class Looking(Protocol):
    """What one step makes of the parts of both sides."""

    sums: tuple[Buckets, Buckets]
    pieces: list[Piece]
    afresh: bool  # the source's walk began again: what was gathered of it is to be dropped

    def source(self, chunk: Chunk) -> Counted: ...
    def target(self, part: TargetPart) -> None: ...
    def begin_again(self) -> None: ...


class _Sum:
    """Sums of what must be equal; keys whose rows need not be are set aside."""

    def __init__(self, store: Verifications, claim: Claim, standing: Standing) -> None:
        self.sums = store.sums(claim)
        self.pieces: list[Piece] = []
        self.afresh = False
        self._basis = standing.basis
        excused = store.excused(claim)
        self._excused = excused.filter(pl.col("why") != "awaiting_delete").select(KEY_HASH)

    def source(self, chunk: Chunk) -> Counted:
        above = pl.DataFrame(schema=KEY_SCHEMA)
        rows = chunk.rows
        if self._basis.bound is not None:
            is_above = rows.select(self._basis.above(pl.col(VERSION))).to_series().fill_null(False)
            if is_above.any():
                above, rows = rows.filter(is_above).select(KEY_HASH), rows.filter(~is_above)
        self.sums[0].add(self._without_excused(rows))
        refused = chunk.rejects.select(KEY_HASH).drop_nulls()
        seen = chunk.also_seen.to_frame(KEY_HASH)
        aside = pl.concat([above, refused, seen]) if refused.height or seen.height else above
        if aside.height:
            self.pieces.append(Piece("aside", aside))
        return Counted(above.height)

    def target(self, part: TargetPart) -> None:
        rows = part.rows
        if rows[DELETED_ROW].any():
            rows = rows.filter(~pl.col(DELETED_ROW))
        self.sums[1].add(self._without_excused(rows))

    def begin_again(self) -> None:
        self.sums[0].sums[:] = 0
        self.pieces[:] = [piece for piece in self.pieces if piece.side == "target"]
        self.afresh = True

    def _without_excused(self, rows: pl.DataFrame) -> pl.DataFrame:
        if self._excused.is_empty():
            return rows
        return rows.join(self._excused, on=KEY_HASH, how="anti")


class _Gather:
    """The rows of both sides whose keys are wanted."""

    def __init__(self, store: Verifications, claim: Claim, standing: Standing) -> None:
        self.sums = store.sums(claim)
        self.pieces: list[Piece] = []
        self.afresh = False
        self._wanted = (
            _wanted_keys(store, claim) if standing.step == "confirm" else _wanted_buckets(standing.buckets)
        )

    def source(self, chunk: Chunk) -> Counted:
        good = chunk.rows.with_columns(pl.lit(False).alias(REFUSED))
        refused = chunk.rejects.filter(pl.col(KEY_HASH).is_not_null()).with_columns(
            pl.lit(None, pl.UInt64).alias(ROW_HASH), pl.lit(True).alias(REFUSED)
        )
        seen = chunk.also_seen.to_frame(KEY_HASH).with_columns(
            pl.lit(None, pl.UInt64).alias(ROW_HASH), pl.lit(None, pl.String).alias(VERSION),
            pl.lit(None, pl.String).alias(REFERENCE), pl.lit(True).alias(REFUSED),
        )  # fmt: skip
        self._keep("source", pl.concat([rows.select(list(SOURCE_SCHEMA)) for rows in (good, refused, seen)]))
        return Counted()

    def target(self, part: TargetPart) -> None:
        self._keep("target", part.rows.filter(~pl.col(DELETED_ROW)).select(list(TARGET_SCHEMA)))

    def begin_again(self) -> None:
        self.pieces[:] = [piece for piece in self.pieces if piece.side == "target"]
        self.afresh = True

    def _keep(self, side: Side, rows: pl.DataFrame) -> None:
        wanted = self._wanted(rows)
        if wanted.height:
            self.pieces.append(Piece(side, wanted.cast(dict(SCHEMAS[side]))))  # type: ignore[arg-type]  # as in findings


STEPS: dict[Step, Callable[[Verifications, Claim, Standing], Looking]] = {
    "sum": _Sum,
    "collect": _Gather,
    "confirm": _Gather,
}


def _wanted_buckets(chosen: Sequence[int]) -> Callable[[pl.DataFrame], pl.DataFrame]:
    table = np.zeros(buckets.COUNT, bool)
    table[list(chosen)] = True
    return lambda rows: rows.filter(pl.Series(table[buckets.numbers(rows[KEY_HASH]).to_numpy()]))


def _wanted_keys(store: Verifications, claim: Claim) -> Callable[[pl.DataFrame], pl.DataFrame]:
    keys = store.pieces(claim, "confirm", "suspects")
    return lambda rows: rows.join(keys, on=KEY_HASH, how="semi")
