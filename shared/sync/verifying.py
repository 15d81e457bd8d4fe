"""What a verification passes around: where it stands, what it may call different, and what it found.

A verification sums both sides into buckets; of buckets that differ it gathers the keys; and what differs there it
looks at once more. Each of these steps reads the source's pages and the target's blocks side by side.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import polars as pl

from shared.errors import AppError
from shared.sync.buckets import Buckets
from shared.sync.feed import Progressed
from shared.sync.model import KEY_HASH, REFERENCE, ROW_HASH, VERSION, RunConfig, Strategy, VersionSpec
from shared.sync.ports import Claim
from shared.sync.rowversion import decode_one, encode_one, lower_bound

Step = Literal["sum", "collect", "confirm"]
Side = Literal["source", "target", "aside", "suspects"]
Kind = Literal["missing_in_target", "extra_in_target", "altered", "duplicated"]
KINDS: tuple[Kind, ...] = ("missing_in_target", "extra_in_target", "altered", "duplicated")

DELETED_ROW = "_deleted"  # Boolean
STORED_HASH = "_stored_hash"  # Binary, what the target says its row's hash is
STORED_KEY = "_stored_key"  # Binary
UNTOUCHED = (
    "_untouched"  # Boolean, whether a stored row still has the hashes it was written with; null: unknown
)
REFUSED = "_refused"  # Boolean, a source row that rules reject

SOURCE_SCHEMA = {KEY_HASH: pl.Binary(), ROW_HASH: pl.UInt64(), VERSION: pl.String(), REFERENCE: pl.String(),
                 REFUSED: pl.Boolean()}  # fmt: skip
TARGET_SCHEMA = {KEY_HASH: pl.Binary(), ROW_HASH: pl.UInt64(), VERSION: pl.String(), REFERENCE: pl.String(),
                 UNTOUCHED: pl.Boolean()}  # fmt: skip
KEY_SCHEMA = {KEY_HASH: pl.Binary()}
EXCUSED_SCHEMA = {KEY_HASH: pl.Binary(), "why": pl.String()}  # why: reject, held or awaiting_delete
SCHEMAS: Mapping[Side, Mapping[str, pl.DataType]] = {
    "source": SOURCE_SCHEMA, "target": TARGET_SCHEMA, "aside": KEY_SCHEMA, "suspects": KEY_SCHEMA,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SyncState:
    """What the entity's runs left. `probe` was taken before the last proven run's first page."""

    strategy: Strategy
    watermark: str | None
    probe: Mapping[str, Any] | None
    synced: bool
    reread_due: bool  # keys or rules changed, and the rows were not all read again yet


@dataclass(frozen=True, slots=True)
class Basis:
    """What must be equal: rows whose version is up to `bound`; where there is none, all, while the source is still.

    `inclusive`: versions at the bound itself are settled too; where many rows may share one, only those below.
    `pair`: the probe under which the target was last in step. `deletes_by_sweep`: deltas do not show them.
    """

    kind: Literal["watermark", "probe", "none"]
    bound: str | None = None
    inclusive: bool = True
    overlap: int = 0
    pair: tuple[str | None, int | None] | None = None
    deletes_by_sweep: bool = False

    def settled(self, version: pl.Expr) -> pl.Expr:
        """Rows that a run must have landed by now; null versions are not known to be."""
        if self.bound is None:
            return pl.lit(False)
        reached = version <= self.bound if self.inclusive else version < self.bound
        return reached.fill_null(False)

    def above(self, version: pl.Expr) -> pl.Expr:
        """Rows that are newer than what was synced."""
        return version.is_not_null() & ~self.settled(version) if self.bound is not None else pl.lit(False)


def basis_of(state: SyncState, config: RunConfig) -> Basis:
    """What the entity's state lets a verification insist on."""
    probe = state.probe or {}
    newest, count = probe.get("max_rowversion"), probe.get("count")
    pair = (newest, count) if state.probe is not None and count is not None else None
    by_delta = state.strategy == "rowversion"
    if config.version is None:
        return Basis("none", pair=pair)
    reached = state.watermark if by_delta else (newest and encode_one(newest, config.version))
    if reached is None:
        return Basis("none", pair=None if by_delta else pair, deletes_by_sweep=by_delta)
    bound = _less(reached, config.overlap, config.version)
    inclusive = config.version.kind in ("number", "hex")
    kind: Literal["watermark", "probe"] = "watermark" if by_delta else "probe"
    return Basis(kind, bound, inclusive, config.overlap, None if by_delta else pair, by_delta)


def _less(encoded: str, overlap: int, spec: VersionSpec) -> str:
    """The version `overlap` below; within it the source may still bring rows."""
    if not overlap or spec.kind == "text":
        return encoded
    # lower_bound gives the predecessor, in the source's own spelling.
    below = lower_bound(encoded, max(overlap - 1, 0), spec)
    return (below and encode_one(below, spec)) or ""


def shown(basis: Basis, spec: VersionSpec | None) -> str | None:
    """The bound as the source spells it."""
    return decode_one(basis.bound, spec) if basis.bound and spec is not None else None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a verification stands: a slice's cursor. Everything else it knows is in its sums and pieces."""

    basis: Basis
    source: Progressed
    step: Step = "sum"
    block: int = 0
    target_ended: bool = False
    attempt: int = 1
    above: int = 0
    refused: int = 0
    keyless: int = 0
    deleted: int = 0
    differing: int = 0
    buckets: tuple[int, ...] = ()
    source_rows: int = 0
    target_rows: int = 0


@dataclass(frozen=True, slots=True)
class TargetPart:
    """A range of the target's rows: ROW, t0.., DELETED_ROW; `next_block` is where the next one begins.

    Decimals may come as Int64, unscaled. With all that is stored: exact, and VERSION, STORED_HASH, STORED_KEY.
    """

    rows: pl.DataFrame
    next_block: int | None
    ended: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """What one part adds to what was gathered."""

    side: Side
    rows: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a verification ended. `findings` is JSON-ready: counts, and examples by reference alone."""

    outcome: Literal["equal", "different", "unverified"]
    findings: Mapping[str, Any] = field(default_factory=dict)
    why: AppError | None = None


class Reader(Protocol):
    """The target's rows."""

    def parts(self, first_block: int, *, whole: bool) -> Iterator[TargetPart]:
        """From a block to the end; `whole` adds VERSION, STORED_HASH and STORED_KEY."""

    def of_keys(self, key_hashes: Sequence[bytes], *, whole: bool) -> Iterator[pl.DataFrame]:
        """The rows that are stored under these key hashes, deleted ones too."""


class Verifications(Protocol):
    """Where a verification keeps what it knows. What writes is fenced and raises FencedError."""

    def state(self, claim: Claim) -> SyncState:
        """What the entity's runs left."""

    def reader(self, claim: Claim) -> Reader:
        """The target of the claim's run."""

    def sums(self, claim: Claim) -> tuple[Buckets, Buckets]:
        """The source's and the target's, as last saved."""

    def save(
        self,
        claim: Claim,
        standing: Standing,
        sums: tuple[Buckets, Buckets],
        pieces: Sequence[Piece],
        *,
        afresh: bool,
    ) -> None:
        """One transaction: cursor, sums and new pieces; the lease begins anew.

        `afresh`: the step's walk over the source began again, so what it had gathered of the source goes first.
        """

    def pieces(self, claim: Claim, step: Step, side: Side) -> pl.DataFrame:
        """All pieces of a side, joined."""

    def excused(self, claim: Claim) -> pl.DataFrame:
        """Keys that are open rejects, waiting children, or absent at the source already once (EXCUSED_SCHEMA)."""

    def verdict(self, claim: Claim) -> Verdict | None:
        """What an earlier delivery concluded."""

    def conclude(self, claim: Claim, verdict: Verdict) -> None:
        """Keep the verdict; what was gathered goes."""
