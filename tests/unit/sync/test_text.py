"""Text rules alter what they say, count it, and leave good columns untouched."""

import polars as pl

from shared.sync import text
from shared.sync.model import Kind
from tests.unit.sync.stage_frames import batch, codes, column, config, one


def test_each_rule_counts_the_values_it_changed():
    values = pl.Series([" a", "b\x07", "c ", "e\u0301", "x"])
    result = one(text.apply, values, column(Kind.TEXT, unicode="NFC", case="upper"))
    assert result.rows["c0"].to_list() == ["A", "B", "C", "\u00c9", "X"]
    assert result.changed == {("v", "control"): 1, ("v", "trim"): 2, ("v", "unicode"): 1, ("v", "case"): 5}


def test_null_words_are_counted():
    rules = {"empty_is_null": True, "null_values": ("-",), "sentinels": {"?": None}}
    result = one(text.apply, pl.Series(["", "-", "?", "a"]), column(Kind.TEXT, **rules))
    assert result.rows["c0"].to_list() == [None, None, None, "a"]
    assert result.changed == {("v", rule): 1 for rule in rules}


def test_a_clean_column_is_passed_on_as_it_is():
    values = pl.Series(["a", None, "\u00e4 b"])
    result = one(text.apply, values, column(Kind.TEXT))
    assert result.rows["c0"].to_list() == values.to_list()
    assert result.changed == {}


def test_a_row_with_two_faults_is_rejected_once():
    columns = (column(Kind.TEXT, "a"), column(Kind.TEXT, "b", length=1))
    result = text.apply(batch(pl.Series(["x\0", "y"]), pl.Series(["long", "z"])), config(*columns))
    assert codes(result) == {0: "nul"}
    assert result.rows["_row"].to_list() == [1]


def test_a_reject_names_column_stage_and_next_step():
    reject = one(text.apply, pl.Series(["secret\0"]), column(Kind.TEXT)).rejects.to_dicts()[0]
    assert (reject["stage"], reject["column"], reject["code"]) == ("text", "v", "nul")
    assert reject["message"].startswith("column v: the text holds NUL")
    assert "secret" not in reject["message"]


def test_trimming_the_right_end_alone_leaves_the_left():
    assert one(text.apply, pl.Series(["  a  "]), column(Kind.TEXT, trim="right")).rows["c0"].to_list() == [
        "  a"
    ]


def test_columns_of_other_kinds_are_not_touched():
    values = pl.Series([" 1 "])
    assert one(text.apply, values, column(Kind.INTEGER)).rows["c0"].to_list() == [" 1 "]


def test_an_empty_batch_stays_empty():
    assert one(text.apply, pl.Series([], dtype=pl.String), column(Kind.TEXT, length=3)).rows.is_empty()
