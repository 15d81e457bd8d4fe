"""Rejects on their way to a person: the row as it came, and its key wherever one can be formed."""

import json
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from shared.sync import rejects
from shared.sync.decode import decode_page
from shared.sync.model import KEY_HASH, REFERENCE, ROW, Expression, Kind, RunConfig, TargetColumn
from shared.sync.stages import Stages
from tests.unit.sync.stage_frames import column, config

PAIR = [column(Kind.TEXT, "a"), column(Kind.INTEGER, "b")]
RUN = config(*PAIR, column(Kind.INTEGER, "amount"), targets=[
    TargetColumn(c.name, c.type, c.name != "amount", c.name == "amount", Expression("rename", (c.name,)))
    for c in [*PAIR, column(Kind.INTEGER, "amount")]
])  # fmt: skip


def refused(*rows: dict[str, Any] | str, run: RunConfig = RUN) -> list[dict[str, Any]]:
    """The rejects of these rows (data objects, or JSON texts of them) after every stage."""
    listed = ",".join(f'{{"data":{r if isinstance(r, str) else json.dumps(r)}}}' for r in rows)
    stages, page = Stages(run), decode_page(f'{{"rows":[{listed}]}}'.encode(), run)
    return stages.prepare([page], [stages.versions(page)]).rejects.to_dicts()


def key_of(**row: Any) -> bytes:
    stages = Stages(RUN)
    page = decode_page(json.dumps({"rows": [{"data": row}]}).encode(), RUN)
    key: bytes = stages.prepare([page], [stages.versions(page)]).rows[KEY_HASH][0]
    return key


def test_reject_carries_the_key_that_its_good_row_would_have() -> None:
    reject = refused({"a": "x", "b": 1, "amount": "abc"})[0]
    assert reject[KEY_HASH] == key_of(a="x", b=1, amount=1)
    assert reject[REFERENCE] and (reject["column"], reject["stage"]) == ("amount", "numbers")


def test_key_is_formed_by_the_rules_of_its_columns() -> None:
    assert refused({"a": " x ", "b": "1", "amount": "abc"})[0][KEY_HASH] == key_of(a="x", b=1, amount=1)


@pytest.mark.parametrize("row", [{"a": None, "b": 1}, {"a": "x", "b": "one"}, {"a": "x\x00", "b": 1}])
def test_reject_whose_key_itself_is_at_fault_has_none(row: dict[str, Any]) -> None:
    reject = refused(row | {"amount": 1})[0]
    assert (reject[KEY_HASH], reject[REFERENCE]) == (None, None)


RAW: list[Any] = ["abc", "nul\x00", 10**40, 1e300, "\u2028 é 𝄞", "x" * 100]


@pytest.mark.parametrize("value", RAW)
def test_raw_row_is_ascii_json_that_reads_back_as_it_came(value: Any) -> None:
    raw = refused({"a": "x", "b": 1, "amount": value})[0]["raw"]
    data = json.loads(raw)["data"]
    assert raw.isascii() and (data["a"], str(data["b"])) == ("x", "1")
    assert str(data["amount"]).replace("+", "") == (
        value if isinstance(value, str) else json.dumps(value).replace("+", "")
    )


def test_lone_surrogate_is_kept_where_a_person_can_see_it() -> None:
    reject = refused('{"a":"x","b":1,"amount":"\\ud800"}')[0]
    assert reject["code"] == "bad_text" and "\\ud800" in reject["raw"]


def test_key_made_of_several_source_columns_needs_all_of_them() -> None:
    joined = TargetColumn("k", PAIR[0].type, True, False, Expression("concat", ("-", "a", "note")))
    amount = TargetColumn("amount", PAIR[1].type, False, True, Expression("rename", ("amount",)))
    sources = (column(Kind.TEXT, "a"), column(Kind.TEXT, "note"), column(Kind.INTEGER, "amount"))
    run = replace(RUN, source_columns=sources, target_columns=(joined, amount))
    row = {"a": "x", "note": "y"}
    bad = refused(row | {"amount": "abc"}, run=run)[0]
    assert bad[REFERENCE] is not None and "x-y" in bad[REFERENCE]


def test_nothing_refused_costs_nothing_and_keeps_the_schema() -> None:
    empty = rejects.concat([])
    assert empty.schema == pl.Schema(rejects.KEYED_SCHEMA) and ROW in empty.columns
    assert refused({"a": "x", "b": 1, "amount": 1}) == []
