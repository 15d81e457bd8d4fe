"""Masks: nothing reads past them, rejects keep only what they make, and taking a reject up again leaves them alone."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ConfigurationError
from shared.sync import masking
from shared.sync.decode import decode_page
from shared.sync.model import KEY_HASH, RAW_KEY, ROW, ROW_HASH, Expression, Kind, RunConfig, VersionSpec
from shared.sync.stages import Prepared, Stages
from tests.unit.sync.stage_frames import column, config, target, with_mask

KEY, OTHER = b"a mask key of the tests", b"another one altogether"
CODE, MAIL, AMOUNT, NOTE = (
    column(Kind.TEXT, "code"),
    column(Kind.TEXT, "mail", case="lower"),
    column(Kind.DECIMAL, "amount", precision=9, scale=2),
    column(Kind.TEXT, "note"),
)
TARGETS = [
    with_mask(target(CODE, is_key=True), "hash"),
    with_mask(target(MAIL), "hash"),
    target(AMOUNT),
    target(NOTE),
]
CONFIG = config(CODE, MAIL, AMOUNT, NOTE, targets=TARGETS)
CANARY = "canary"


def prepared(*rows: dict[str, Any], run: RunConfig = CONFIG, key: bytes = KEY, **more: Any) -> Prepared:
    stages = Stages(run, key, **more)
    page = decode_page(json.dumps({"rows": [{"data": row} for row in rows]}).encode(), run)
    return stages.prepare([page], [stages.versions(page)])


def row(code: str = "canary-1", **changes: Any) -> dict[str, Any]:
    return {"code": code, "mail": "Canary@X.org", "amount": "1.5", "note": "n"} | changes


def raws(found: Prepared) -> list[dict[str, Any]]:
    return [json.loads(text) for text in found.rejects["raw"]]


def test_reject_taken_up_again_becomes_the_row_it_would_have_been() -> None:
    """Law 6: rules are today's, masks are those that were stored."""
    good = prepared(row()).rows
    [kept] = raws(prepared(row(amount="x")))
    again = prepared(
        {**kept["data"], "code": None, "mail": None, "amount": "1.5"}, masks={0: kept["masked"]}
    ).rows
    same = [KEY_HASH, ROW_HASH, "t0", "t1", "t2", "t3"]
    assert again.select(same).equals(good.select(same))
    assert CANARY not in json.dumps(kept)


def test_reject_in_a_masked_column_keeps_no_masks() -> None:
    run = config(CODE, AMOUNT, targets=[TARGETS[0], with_mask(target(AMOUNT), "hash")])
    [kept] = raws(prepared({"code": "canary", "amount": "canary"}, run=run))
    assert kept == {"row_version": None, "data": {}, "masked": None}


def test_rejects_of_an_entity_without_masks_are_as_they_came() -> None:
    [kept] = raws(prepared(row(amount="x"), run=config(CODE, MAIL, AMOUNT, NOTE)))
    assert kept == {"row_version": None, "data": row(amount="x")}


def decoded(*rows: bytes, run: RunConfig = CONFIG) -> Sequence[str]:
    return decode_page(b'{"rows":[' + b",".join(rows) + b"]}", run).rejects["raw"].to_list()


@pytest.mark.parametrize(
    "broken",
    [
        b'{"data":{"code":"canary","mail":"canary","note":"\\ud800"},"row_version":"7"}',
        b'{"data":{"code":"canary","mail":"canary","note":1,"mail":"canary"}}',
        b'{"data":{"code":"canary","mail":NaN}}',
        b'{"data":{"code":"canary","other":"canary"},"oracle_keys":{"code":"canary-2"},"extra":{"mail":"canary"}}',
        b'"canary"',
        b'{"data":{"mail":"canary","note":' + b"[" * 300 + b"]" * 300 + b"}}",
        b'{"mail":"canary","code":"\xff"}',
    ],
)
def test_rows_that_cannot_be_decoded_lose_what_is_masked(broken: bytes) -> None:
    found = decoded(b'{"data":{"code":"a","mail":"b"}}', broken)
    assert len(found) == 1 and CANARY not in found[0]
    json.loads(found[0])


@given(st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_scrubbing_shows_nothing_beside_known_open_columns(data: Any) -> None:
    said = json.dumps(
        {"data": {"mail": CANARY, "x": data, "note": "n"}, "oracle_keys": {"code": CANARY}, "y": data}
    )
    assert json.loads(masking.scrubbed(said.encode(), CONFIG)) == {"data": {"note": "n"}, "oracle_keys": {}}


def test_raw_key_of_a_masked_key_still_tells_spellings_apart_but_only_by_the_key() -> None:
    run = config(replace(CODE, rules=replace(CODE.rules, case="lower")), targets=[TARGETS[0]])
    found = prepared({"code": "A"}, {"code": "a"}, {"code": "b"}, run=run)
    assert found.rejects["code"].to_list() == ["key_collision"] * 2
    one, other = (prepared({"code": "b"}, run=run, key=key).rows[RAW_KEY][0] for key in (KEY, OTHER))
    assert one == found.rows[RAW_KEY][0] != other


def test_tenants_mask_the_same_value_differently() -> None:
    values = pl.Series(["x", None, ""])
    north, south = (masking.hashed(values, KEY, tenant).to_list() for tenant in ("north", "south"))
    assert north[1] is south[1] is None and not {north[0], north[2]} & {south[0], south[2]}


def test_child_and_parent_columns_of_different_types_mask_alike() -> None:
    number = column(Kind.INTEGER, "n")
    run = config(CODE, number, targets=[TARGETS[0], with_mask(target(number), "hash")])
    rows = prepared({"code": "42", "n": 42}, run=run).rows
    assert rows["t0"].to_list() == rows["t1"].to_list()


@pytest.mark.parametrize(
    ("op", "args"), [("rename", ("mail",)), ("concat", ("-", "note", "mail")), ("coalesce", ("mail", "note")),
                     ("substring", ("mail", "0", "3")), ("map", ("mail", "a", "b"))]
)  # fmt: skip
def test_no_expression_reads_past_a_mask(op: Any, args: tuple[str, ...]) -> None:
    peek = replace(target(NOTE), name="peek", expression=Expression(op, args))
    with pytest.raises(ConfigurationError, match="'mail', which another field mapping masks"):
        masking.check(replace(CONFIG, target_columns=(*CONFIG.target_columns, peek)))


def test_constant_that_is_spelt_like_a_masked_column_reads_nothing() -> None:
    word = replace(target(NOTE), name="word", expression=Expression("constant", ("mail",)))
    masking.check(replace(CONFIG, target_columns=(*CONFIG.target_columns, word)))


def test_row_version_is_never_masked() -> None:
    with pytest.raises(ConfigurationError, match="row version 'mail'"):
        masking.check(replace(CONFIG, version=VersionSpec("text", "mail")))


def test_key_name_tells_keys_apart_and_not_what_they_are() -> None:
    assert masking.key_name(KEY) == masking.key_name(KEY) != masking.key_name(OTHER)
    assert KEY.hex() not in masking.key_name(KEY)


def test_overlay_leaves_rows_without_masks_empty() -> None:
    rows = pl.DataFrame({ROW: pl.Series([0, 1], dtype=pl.UInt32), "t0": ["a", "b"], "t1": ["c", "d"]})
    done = masking.overlaid(rows, {1: {"code": "k"}}, CONFIG)
    assert (done["t0"].to_list(), done["t1"].to_list()) == ([None, "k"], [None, None])
