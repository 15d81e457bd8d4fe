"""Twice the same key, and what a row means for the target."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.sync.delta import KNOWN_SCHEMA, Changes, Stance, all_new, classify, settle
from shared.sync.model import KEY_HASH, RAW_KEY, ROW, ROW_HASH, VERSION, Kind
from tests.unit.sync.stage_frames import column, config

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BEFORE, AFTER = NOW - timedelta(hours=1), NOW + timedelta(hours=1)
CONFIG = config(column(Kind.TEXT, "id"))
CALM = Stance(versions_since=datetime(1970, 1, 1, tzinfo=UTC), written_since=None, pass_began=None)
SCHEMA: dict[str, Any] = {
    ROW: pl.UInt32,
    KEY_HASH: pl.Binary,
    ROW_HASH: pl.Binary,
    VERSION: pl.String,
    RAW_KEY: pl.UInt64,
}


def rows(*told: tuple[str, str, str | None] | tuple[str, str, str | None, int]) -> pl.DataFrame:
    """(key, content, version[, spelling of the key])."""
    return pl.DataFrame(
        [(i, one[0].encode(), one[1].encode(), one[2], one[3] if len(one) > 3 else 0) for i, one in enumerate(told)],
        schema=SCHEMA, orient="row",
    )  # fmt: skip


def known(content: str, version: str | None, *, deleted: bool = False, at: datetime = BEFORE) -> pl.DataFrame:
    return pl.DataFrame(
        [(0, content.encode(), version, deleted, at)], schema=dict(KNOWN_SCHEMA), orient="row"
    )


def outcome(changes: Changes) -> str:
    heights = {"insert": changes.inserts.height, "update": changes.updates.height, "touch": changes.touches.height,
               "superseded": changes.superseded, "reject": changes.rejects.height}  # fmt: skip
    found = [name for name, height in heights.items() if height]
    assert len(found) <= 1
    return found[0] if found else "unchanged"


@pytest.mark.parametrize(
    ("told", "kept", "superseded", "codes"),
    [
        ([("a", "x", "1"), ("b", "y", "1")], [0, 1], 0, []),
        ([("a", "x", "1"), ("a", "y", "2")], [1], 1, []),
        ([("a", "y", "2"), ("a", "x", "1")], [0], 1, []),
        ([("a", "x", "1"), ("a", "x", "1"), ("a", "x", "1")], [0], 2, []),
        ([("a", "x", None), ("a", "x", None)], [0], 1, []),
        ([("a", "x", "1"), ("a", "y", "1")], [], 0, ["duplicate_key"] * 2),
        ([("a", "x", None), ("a", "y", None)], [], 0, ["duplicate_key"] * 2),
        ([("a", "x", "2"), ("a", "y", "2"), ("a", "z", "1")], [], 1, ["duplicate_key"] * 2),
        ([("a", "x", None), ("a", "y", "1")], [1], 1, []),
        ([("a", "x", "1", 1), ("a", "x", "2", 2)], [], 0, ["key_collision"] * 2),
        ([("a", "x", "1", 1), ("b", "x", "1", 2), ("a", "x", "1", 2)], [1], 0, ["key_collision"] * 2),
        ([], [], 0, []),
    ],
)
def test_chunk_settles_its_own_duplicates(
    told: list[Any], kept: list[int], superseded: int, codes: list[str]
) -> None:
    settled = settle(rows(*told))
    assert settled.rows[ROW].to_list() == kept
    assert (settled.superseded, settled.rejects["code"].to_list()) == (superseded, codes)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from("xy"),
            st.none() | st.sampled_from("123"),
            st.integers(0, 1),
        )
    )
)
def test_settling_accounts_for_every_row_and_leaves_a_key_once(told: list[Any]) -> None:
    settled = settle(rows(*told))
    assert settled.rows.height + settled.superseded + settled.rejects.height == len(told)
    assert settled.rows[KEY_HASH].is_unique().all() if settled.rows.height else True
    assert not set(settled.rows[ROW]) & set(settled.rejects[ROW])


@pytest.mark.parametrize(
    ("row", "stored", "expected"),
    [
        (("a", "x", "2"), known("x", "2"), "unchanged"),
        (("a", "y", "2"), known("x", "1"), "update"),
        (("a", "x", "2"), known("x", "1"), "touch"),
        (("a", "y", "1"), known("x", "2"), "superseded"),
        (("a", "x", "1"), known("x", "2"), "superseded"),
        (("a", "y", "2"), known("x", "2"), "update"),
        (("a", "x", "2"), known("x", "2", deleted=True), "update"),
        (("a", "y", None), known("x", None), "update"),
        (("a", "x", None), known("x", None), "unchanged"),
        # A row without a version goes by its content alone.
        (("a", "y", None), known("x", "9"), "update"),
        (("a", "x", None), known("x", "9"), "unchanged"),
    ],
)
def test_row_is_compared_with_what_is_stored(row: Any, stored: pl.DataFrame, expected: str) -> None:
    assert outcome(classify(rows(row), stored, CONFIG, CALM)) == expected


@pytest.mark.parametrize(
    ("row", "stored", "stance", "expected"),
    [
        # Versions stored before this generation don't count.
        (("a", "y", "1"), known("x", "9"), replace(CALM, versions_since=NOW), "update"),
        (("a", "y", "1"), known("x", "9", at=AFTER), replace(CALM, versions_since=NOW), "superseded"),
        # Without versions, what others wrote since the page was asked for is newer.
        (("a", "y", None), known("x", None, at=AFTER), replace(CALM, written_since=NOW), "superseded"),
        (("a", "y", None), known("x", None), replace(CALM, written_since=NOW), "update"),
        (("a", "y", "3"), known("x", "2", at=AFTER), replace(CALM, written_since=NOW), "update"),
        # What this very pass wrote is the other half of a torn pair.
        (("a", "y", None), known("x", None, at=AFTER), replace(CALM, pass_began=NOW), "reject"),
        (("a", "x", None), known("x", None, at=AFTER), replace(CALM, pass_began=NOW), "unchanged"),
        (("a", "y", None), known("x", None, at=AFTER, deleted=True), replace(CALM, pass_began=NOW), "update"),
        (("a", "y", "2"), known("x", "2", at=AFTER), replace(CALM, pass_began=NOW), "update"),
    ],
)
def test_stance_says_how_far_stored_rows_may_be_trusted(
    row: Any, stored: pl.DataFrame, stance: Stance, expected: str
) -> None:
    assert outcome(classify(rows(row), stored, CONFIG, stance)) == expected


@pytest.mark.parametrize(
    ("content", "version", "expected"),
    [("x", None, "unchanged"), ("y", None, "reject"), ("y", "3", "update")],
)
def test_other_copy_of_a_key_that_stands_twice_stays_out_while_the_landed_one_comes(
    content: str, version: str | None, expected: str
) -> None:
    # Neither the pass's own writes nor a second walk are at hand to tell: the landed copy was not written anew.
    disputed = replace(CALM, disputed=frozenset({b"a"}))
    changes = classify(rows(("a", content, version)), known("x", version and "2"), CONFIG, disputed)
    assert outcome(changes) == expected
    others = replace(CALM, disputed=frozenset({b"b"}))
    assert classify(rows(("a", "y", None)), known("x", None), CONFIG, others).updates.height == 1


def test_unchanged_row_without_a_version_stands_for_its_copy_alone() -> None:
    told = rows(("a", "x", None), ("b", "x", None), ("c", "x", "1"))
    absent = pl.DataFrame([(1, None, None, False, BEFORE)], schema=dict(KNOWN_SCHEMA), orient="row")
    assert classify(told, absent, CONFIG, CALM).standing.to_list() == [0]
    assert classify(rows(("a", "x", None)), known("x", "9"), CONFIG, CALM).standing.to_list() == [0]
    assert all_new(told).standing.is_empty()


def test_unknown_keys_are_inserted() -> None:
    assert all_new(rows(("a", "x", None))).inserts.height == 1
    absent = pl.DataFrame([(1, None, None, False, BEFORE)], schema=dict(KNOWN_SCHEMA), orient="row")
    changes = classify(rows(("a", "x", None), ("b", "y", None)), absent, CONFIG, CALM)
    assert (changes.inserts[ROW].to_list(), changes.unchanged) == ([1], 1)
