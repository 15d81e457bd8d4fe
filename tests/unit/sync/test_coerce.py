"""JSON kinds meet declared types; the key's raw spelling is remembered."""

import polars as pl
import pytest

from shared.sync import coerce
from shared.sync.model import RAW_KEY, Kind
from tests.unit.sync.stage_frames import batch, codes, column, config, mixed, one


def test_json_integers_and_booleans_pass_as_they_are():
    assert one(coerce.apply, pl.Series([1, None]), column(Kind.INTEGER)).rows["c0"].to_list() == [1, None]
    assert one(coerce.apply, pl.Series([True, None]), column(Kind.BOOLEAN)).rows["c0"].to_list() == [
        True,
        None,
    ]


def test_integers_in_a_text_column_become_their_digits():
    assert one(coerce.apply, pl.Series([7, None]), column(Kind.TEXT)).rows["c0"].to_list() == ["7", None]


def test_only_the_cells_of_a_wrong_kind_reject():
    values = mixed(("1", 2), ("true", 3), ("[1]", 4), (None, 0))
    result = one(coerce.apply, values, column(Kind.DECIMAL, precision=5, scale=2))
    assert codes(result) == {1: "wrong_kind", 2: "wrong_kind"}
    assert result.rows["c0"].struct.field("text").to_list() == ["1", None]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pl.Series([True, None]), Kind.INTEGER),
        (pl.Series([True, None]), Kind.TIMESTAMP),
        (pl.Series([5, None]), Kind.UUID),
        (pl.Series([5, None]), Kind.BYTES),
    ],
)
def test_a_whole_column_of_a_wrong_kind_rejects_but_for_nulls(values: pl.Series, kind: Kind):
    result = one(coerce.apply, values, column(kind))
    assert codes(result) == {0: "wrong_kind"}
    assert result.rows["c0"].to_list() == [None]


def test_words_and_padded_words_are_booleans_in_one_column():
    values = pl.Series(["Y", "N", " Y", "1", None, "maybe"])
    result = one(coerce.apply, values, column(Kind.BOOLEAN))
    assert result.rows["c0"].to_list() == [True, False, True, True, None]
    assert codes(result) == {5: "bad_boolean"}


def test_a_null_column_has_the_kinds_dtype():
    result = one(coerce.apply, pl.Series([None, None], dtype=pl.String), column(Kind.BOOLEAN))
    assert result.rows["c0"].dtype == pl.Boolean
    assert one(coerce.apply, pl.Series([None]), column(Kind.BYTES)).rows["c0"].dtype == pl.Binary


def test_keys_spelt_differently_differ_before_any_rule():
    keys = pl.Series(["a", "a ", "A", "e\u0301", "\u00e9", "a"])
    raw = one(coerce.apply, keys, column(Kind.TEXT)).rows[RAW_KEY]
    assert raw.n_unique() == 5
    assert raw[0] == raw[5]


def test_a_key_is_one_spelling_whether_a_page_held_integers_or_a_mix():
    plain = one(coerce.apply, pl.Series([7]), column(Kind.INTEGER)).rows[RAW_KEY][0]
    assert one(coerce.apply, mixed(("7", 2)), column(Kind.INTEGER)).rows[RAW_KEY][0] == plain


def test_members_of_a_raw_key_do_not_run_together():
    columns = (column(Kind.TEXT, "a"), column(Kind.TEXT, "b"))
    run = config(*columns)
    both = config(*columns, targets=[*run.target_columns[:1], *(config(columns[1]).target_columns)])
    rows = coerce.apply(batch(pl.Series(["ab", "a"]), pl.Series(["c", "bc"])), both).rows
    assert rows[RAW_KEY].n_unique() == 2


def test_native_bytes_pass():
    assert one(coerce.apply, pl.Series([b"\0x"]), column(Kind.BYTES)).rows["c0"].to_list() == [b"\0x"]


def test_json_in_strings_is_validated_one_distinct_spelling_at_a_time():
    values = mixed(('{"a":1}', 4), ('{"a": [1 , 2]}', 1), ("nope", 1), (None, 0))
    result = one(coerce.apply, values, column(Kind.JSON))
    assert result.rows["c0"].to_list() == ['{"a":1}', '{"a":[1,2]}', None]
    assert codes(result) == {2: "bad_json"}
