"""What differing keys mean, and sums that notice."""

from typing import Any

import polars as pl
import pytest

from shared.sync.buckets import Buckets
from shared.sync.feed import Progressed
from shared.sync.fetch import Walk
from shared.sync.model import KEY_HASH, REFERENCE, ROW_HASH, VERSION, RunConfig, VersionSpec
from shared.sync.rowversion import encode_one
from shared.sync.verdict import LABEL, SURE, Gathered, judge, verdict
from shared.sync.verifying import (
    EXCUSED_SCHEMA,
    REFUSED,
    SOURCE_SCHEMA,
    TARGET_SCHEMA,
    UNTOUCHED,
    Basis,
    Standing,
    SyncState,
    basis_of,
)

NUMBER = VersionSpec("number")


def v(number: int) -> str | None:
    return encode_one(str(number), NUMBER)


BOUND = Basis("watermark", v(10), deletes_by_sweep=True)
NONE = Basis("none")


def source(*rows: tuple[str, int | None, int | None], refused: bool = False) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {KEY_HASH: k.encode(), ROW_HASH: h, VERSION: n and v(n), REFERENCE: k, REFUSED: refused}
            for k, h, n in rows
        ],
        schema=SOURCE_SCHEMA,
    )


def target(*rows: tuple[str, int, int | None], untouched: bool | None = True) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {KEY_HASH: k.encode(), ROW_HASH: h, VERSION: n and v(n), REFERENCE: k, UNTOUCHED: untouched}
            for k, h, n in rows
        ],
        schema=TARGET_SCHEMA,
    )


def excused(**keys: str) -> pl.DataFrame:
    return pl.DataFrame(
        [{KEY_HASH: k.encode(), "why": why} for k, why in keys.items()], schema=EXCUSED_SCHEMA
    )


def judged(
    left: pl.DataFrame, right: pl.DataFrame, basis: Basis = BOUND, *, still: bool = False, keyless: int = 0,
    known: pl.DataFrame | None = None,
) -> list[tuple[str, bool]]:  # fmt: skip
    known = excused() if known is None else known
    found = judge(Gathered(left, right, known, basis, still, keyless))
    return list(found.select(LABEL, SURE).iter_rows())


NO_SOURCE, NO_TARGET = source(), target()


@pytest.mark.parametrize(
    ("left", "right", "basis", "expected"),
    [
        (source(("a", 1, 5)), target(("a", 1, 5)), BOUND, []),
        (source(("a", 1, 5)), NO_TARGET, BOUND, [("missing_in_target", True)]),
        (source(("a", 1, 11)), NO_TARGET, BOUND, [("in_flight", False)]),
        (source(("a", 1, 10)), NO_TARGET, Basis("watermark", v(10), inclusive=False), [("in_flight", False)]),
        (source(("a", 1, None)), NO_TARGET, NONE, [("missing_in_target", False)]),
        (source(("a", 1, None)), NO_TARGET, BOUND, [("missing_in_target", False)]),
        (NO_SOURCE, target(("a", 1, 5)), BOUND, [("awaiting_delete", False)]),
        (NO_SOURCE, target(("a", 1, 5), untouched=False), BOUND, [("extra_in_target", True)]),
        (NO_SOURCE, target(("a", 1, None)), NONE, [("extra_in_target", False)]),
        (source(("a", 1, 5)), target(("a", 2, 5)), BOUND, [("altered", True)]),
        (source(("a", 1, 11)), target(("a", 2, 5)), BOUND, [("in_flight", False)]),
        (source(("a", 1, 11)), target(("a", 2, 5), untouched=False), BOUND, [("altered", True)]),
        (source(("a", 1, 5)), target(("a", 2, 12)), BOUND, [("in_flight", False)]),
        (source(("a", 1, None)), target(("a", 2, None)), NONE, [("altered", False)]),
        (source(("a", 1, 5)), target(("a", 1, 5), ("a", 1, 5)), BOUND, [("duplicated", True)]),
        (source(("a", None, 5), refused=True), target(("a", 2, 4)), BOUND, [("reject", False)]),
        (source(("a", 1, 5), ("a", 2, 5)), target(("a", 3, 4)), BOUND, [("reject", False)]),
        (source(("a", 1, 5), ("a", 2, 6)), target(("a", 2, 6)), BOUND, []),
    ],
)
def test_labels(left: pl.DataFrame, right: pl.DataFrame, basis: Basis, expected: Any) -> None:
    found = judged(left, right, basis)
    assert [(label, sure) if label not in ("in_flight", "awaiting_delete", "reject") else (label, False)
            for label, sure in found] == expected  # fmt: skip


@pytest.mark.parametrize("why", ["reject", "held"])
def test_excused_keys_are_accounted_for(why: str) -> None:
    assert [label for label, _ in judged(source(("a", 1, 5)), NO_TARGET, known=excused(a=why))] == [why]


def test_still_source_makes_differences_certain() -> None:
    left, right = source(("a", 1, None), ("b", 1, None)), target(("a", 2, None), ("c", 1, None))
    assert {sure for _, sure in judged(left, right, NONE, still=True)} == {True}


def test_extra_row_may_be_a_reject_without_key() -> None:
    assert judged(NO_SOURCE, target(("a", 1, None)), NONE, still=True, keyless=1) == [
        ("extra_in_target", False)
    ]


def test_stored_hashes_that_fit_nowhere_accuse_nobody() -> None:
    agreeing = [(f"k{i}", i, None) for i in range(9)]
    left = source(("a", 1, None), *agreeing)  # type: ignore[arg-type]
    right = target(("a", 2, None), *agreeing, untouched=False)  # type: ignore[arg-type]
    assert judged(left, right, NONE) == [("altered", False)]


def ended(judged: pl.DataFrame, *, complete: bool = True, keyless: int = 0) -> tuple[str, str | None]:
    standing = Standing(NONE, Progressed(Walk(slug="t")), keyless=keyless, differing=1)
    found = verdict(judged, standing, 1, complete=complete)
    return found.outcome, found.why and found.why.code


def test_verdicts() -> None:
    sure = judge(Gathered(source(("a", 1, 5)), NO_TARGET, excused(), BOUND, False, 0))
    doubtful = judge(Gathered(source(("a", 1, None)), NO_TARGET, excused(), NONE, False, 0))
    nothing = sure.clear()
    assert ended(sure) == ("different", "different")
    assert ended(doubtful) == ("unverified", "no_bound")
    assert ended(doubtful, keyless=2) == ("unverified", "keyless_rejects")
    assert ended(nothing) == ("equal", None)
    assert ended(nothing, complete=False) == ("unverified", "moving")


def config(version: VersionSpec | None, overlap: int = 0) -> RunConfig:
    return RunConfig(
        "e", "t", "hash", "oracle", (), (), "public", "t", version, None, False, 10, overlap, 10.0, 1
    )


@pytest.mark.parametrize(
    ("strategy", "version", "overlap", "kind", "bound"),
    [
        ("rowversion", NUMBER, 0, "watermark", v(10)),
        ("rowversion", NUMBER, 3, "watermark", v(7)),
        ("rowversion", NUMBER, 99, "watermark", ""),
        ("hash", NUMBER, 0, "probe", v(12)),
        ("hash", None, 0, "none", None),
    ],
)
def test_bound_is_what_runs_have_settled(
    strategy: Any, version: VersionSpec | None, overlap: int, kind: str, bound: str | None
) -> None:
    state = SyncState(strategy, v(10), {"max_rowversion": "12", "count": 4}, True, False)
    found = basis_of(state, config(version, overlap))
    assert (found.kind, found.bound) == (kind, bound)


def rows(*pairs: tuple[int, int]) -> pl.DataFrame:
    return pl.DataFrame({KEY_HASH: [k.to_bytes(16, "big") for k, _ in pairs], ROW_HASH: [h for _, h in pairs]},
                        schema={KEY_HASH: pl.Binary, ROW_HASH: pl.UInt64})  # fmt: skip


A, B = (7 << 116, 2**64 - 1), (9 << 120, 5)


def summed(*pairs: tuple[int, int]) -> Buckets:
    found = Buckets.empty()
    found.add(rows(*pairs))
    return found


def test_sums_ignore_order_and_notice_everything_else() -> None:
    both = summed(A, B)
    assert both.differing(summed(B, A)) == []
    for other in ((A,), (A, B, B), (A, (B[0], 6)), (A, B, A, A)):
        assert both.differing(summed(*other)), other


def test_sums_survive_storage_and_removal() -> None:
    both = Buckets.read(summed(A, B).to_bytes())
    both.remove(rows(A))
    assert (both.differing(summed(B)), both.rows) == ([], 1)
