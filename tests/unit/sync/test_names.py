"""Names are cut to 63 bytes, stay distinct, and never take a name that PostgreSQL or Tributary keeps."""

from hypothesis import given
from hypothesis import strategies as st

from shared.sync.names import (
    MAX_BYTES,
    column_names,
    is_reserved,
    problem,
    table_name,
    table_names,
    target_names,
)


def test_a_cut_name_is_the_same_today_and_tomorrow():
    assert target_names(["x" * 70]).mapping == {"x" * 70: "x" * 54 + "_cb33629e"}


def test_a_short_name_equal_to_anothers_cut_form_keeps_itself():
    long = "x" * 70
    cut = target_names([long]).mapping[long]
    both = target_names([long, cut]).mapping
    assert both[cut] == cut
    assert both[long] != cut


def test_a_name_already_taken_gets_a_suffix():
    first, second = column_names(["a", "b"], ["a"])
    assert first.startswith("a_") and second == "b"


def test_a_source_given_twice_has_one_target():
    assert target_names(["a", "a"]).mapping == {"a": "a"}


def test_a_table_may_be_called_as_a_system_column():
    assert table_names(["ctid"]).mapping == {"ctid": "ctid"}


def test_a_table_name_in_use_gets_a_suffix():
    assert table_name("flights", []) == "flights"
    assert table_name("flights", ["flights"]).startswith("flights_")


def test_reserved_names_are_told():
    assert is_reserved("ctid") and is_reserved("_bridge_uid")
    assert not is_reserved("id")


def test_problems_are_told_in_words():
    assert problem("") == "is empty"
    assert problem("a\0") == "holds NUL"
    assert problem("x" * 64) == "is longer than 63 bytes"
    assert problem("fine") == ""


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=90), unique=True))
def test_targets_are_distinct_and_fit_whatever_the_sources(sources: list[str]):
    names = target_names(sources)
    targets = list(names.mapping.values())
    assert len(set(targets)) == len(targets)
    assert all(len(target.encode()) <= MAX_BYTES for target in targets)
    assert {*names.mapping, *names.skipped} == set(sources)
