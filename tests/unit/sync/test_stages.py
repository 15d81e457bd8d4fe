"""From decoded pages to a settled chunk: every received row stands in exactly one place."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.sync.decode import decode_page
from shared.sync.model import KEY_HASH, VERSION, Kind, RunConfig, VersionSpec
from shared.sync.stages import Prepared, Stages
from tests.unit.sync.stage_frames import column, config

CONFIG = config(column(Kind.TEXT, "id"), column(Kind.INTEGER, "amount"))
VERSIONED = replace(CONFIG, version=VersionSpec("number"))


def prepared(*pages: list[dict[str, Any]], run: RunConfig = CONFIG) -> Prepared:
    """Pages of rows, each a data object or a whole row with `data`."""
    stages = Stages(run)
    decoded = [
        decode_page(json.dumps({"rows": [r if "data" in r else {"data": r} for r in rows]}).encode(), run)
        for rows in pages
    ]
    return stages.prepare(decoded, [stages.versions(page) for page in decoded])


def row(key: object, amount: object = 1, version: object = None) -> dict[str, Any]:
    return {"row_version": version, "data": {"id": key, "amount": amount}}


def test_rows_of_several_pages_become_one_chunk_in_order() -> None:
    made = prepared([row("a"), row("b")], [row("c")])
    assert (made.rows["t0"].to_list(), made.fetched, made.rows["_row"].is_unique().all()) == (
        ["a", "b", "c"],
        3,
        True,
    )


def test_copies_on_different_pages_are_settled_as_one_chunks() -> None:
    made = prepared([row("a", 1), row("b")], [row("a", 1), row("c", 1)], [row("c", 2)])
    assert (made.rows["t0"].to_list(), made.superseded) == (["a", "b"], 1)
    assert made.rejects["code"].to_list() == ["duplicate_key"] * 2


KEYLESS = [(row(None), 1), (row("nul\x00"), 1), ("no object", 1), (row("a", "abc"), 0), (row("k" * 3000), 1)]


@pytest.mark.parametrize(("bad", "keyless"), KEYLESS)
def test_reject_that_could_be_any_row_is_counted_as_keyless(bad: Any, keyless: int) -> None:
    body = json.dumps({"rows": [bad, row("z")]}).encode()
    stages, page = Stages(CONFIG), decode_page(body, CONFIG)
    made = stages.prepare([page], [stages.versions(page)])
    assert (made.rejects.height, made.keyless, made.rows["t0"].to_list()) == (1, keyless, ["z"])
    assert made.rejects[KEY_HASH].null_count() == keyless


def test_both_keys_of_a_mismatch_are_seen() -> None:
    odd = {"oracle_keys": {"id": "b"}, "data": {"id": "a", "amount": 1}}
    made, real = prepared([odd]), prepared([row("a"), row("b")])
    assert set(made.also_seen) == set(real.rows[KEY_HASH])
    assert (made.rejects["code"].to_list(), made.keyless) == (["key_mismatch"], 0)


def test_version_that_is_none_rejects_its_row_under_its_key_and_an_absent_one_does_not() -> None:
    made = prepared([row("a", 1, "x9"), row("b", 1, None), row("c", 1, "9")], run=VERSIONED)
    assert made.rows["t0"].to_list() == ["b", "c"]
    assert made.rows[VERSION].to_list() == [None, "9".zfill(38)]
    reject = made.rejects.to_dicts()[0]
    assert (reject["code"], reject["stage"], made.keyless) == ("bad_version", "coerce", 0)
    assert reject[KEY_HASH] == prepared([row("a")]).rows[KEY_HASH][0]


def test_without_a_version_of_its_own_a_run_ignores_the_sources() -> None:
    assert prepared([row("a", 1, "x9")]).rows[VERSION].to_list() == [None]


def test_every_key_that_is_known_proves_the_walk_rejected_ones_too() -> None:
    made = prepared([row("a"), row("b", "abc"), row(None)])
    assert made.keys[KEY_HASH].drop_nulls().len() == 2


def test_values_that_rules_changed_are_counted_by_column_and_rule() -> None:
    assert prepared([row(" a "), row("b ")]).changed == {("id", "trim"): 2}


VALUES = st.sampled_from(["a", "b", " a", "", "nul\x00", None, 7, True])
ROWS = st.lists(
    st.builds(row, VALUES, st.sampled_from([1, "2", "abc", None, 10**30]), st.sampled_from([None, "1", "x"]))
)


@settings(deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=3), st.booleans())
def test_every_received_row_has_one_place(pages: list[list[dict[str, Any]]], versioned: bool) -> None:
    made = prepared(*pages, run=VERSIONED if versioned else CONFIG)
    assert made.fetched == sum(map(len, pages))
    assert made.rows.height + made.rejects.height + made.superseded == made.fetched
    assert not set(made.rows["_row"]) & set(made.rejects["_row"])
    assert made.keyless == made.rejects[KEY_HASH].null_count()
