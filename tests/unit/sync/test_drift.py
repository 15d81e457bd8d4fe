"""Differences, contracts, suspected renames, and what a change would do: pure decisions."""

from dataclasses import replace

import pytest

from shared.errors import SchemaDriftError
from shared.sync import drift, types
from shared.sync.catalogue import Catalogued, Change
from shared.sync.choices import EntityChoice, amend
from shared.sync.consent import Consent, PlanNeededError, acts_of, plan_of
from shared.sync.discovery import REWRITE_BYTES, discover
from shared.sync.model import Rules
from tests.unit.test_catalogue import CONNECTOR, KEY, UID, C, again, described, found, frozen, mapping


def under(contract: str, *columns: C) -> Catalogued:
    entity = found(*columns)
    return replace(entity, entity=replace(entity.entity, contract=contract))  # type: ignore[arg-type]


def test_frozen_contract_names_every_difference() -> None:
    before = under("freeze", KEY, C("a", "NUMBER(4)"), C("b", "DATE"))
    with pytest.raises(SchemaDriftError) as refused:
        again(before, KEY, C("a", "NUMBER(9)"), C("c", "DATE"))
    said = refused.value.message
    assert all(one in said for one in ("c is new", "b is gone", "a is NUMBER(9), was NUMBER(4)"))


def test_frozen_contract_lets_the_same_description_pass() -> None:
    before = under("freeze")
    assert again(before).after == before


def test_another_spelling_of_one_type_is_no_difference() -> None:
    entity = found(KEY, C("a", "VARCHAR2(9)")).entity
    assert drift.differences(described(KEY, C("a", "VARCHAR(9)")), entity) == []


def test_rejecting_contract_keeps_columns_and_types_as_agreed() -> None:
    before = under("reject", KEY, C("a", "NUMBER(4)"))
    change = again(before, KEY, C("a", "NUMBER(9)"), C("b", "DATE"))
    assert (change.after.mappings, change.added, change.widened) == (before.mappings, (), ())
    assert [c.member for c in change.after.entity.columns] == ["tailnum", "a"]
    assert len(change.after.entity.warnings) == 2


def test_column_that_a_person_left_out_is_known_to_the_run() -> None:
    before = found(KEY, C("a", "NUMBER(4)"), C("b", "DATE"))
    after = amend(before, EntityChoice(mappings=before.mappings[:2])).after
    assert frozen(after).unmapped == ("b",)


@pytest.mark.parametrize(
    ("come", "suspected"),
    [
        (C("seat_count", "NUMBER(4)"), True),  # alike
        (C("places", "NUMBER(4)"), True),  # not alike, but where the other stood
        (C("seats_2", "VARCHAR2(9)"), False),
    ],
)
def test_rename_is_suspected_by_type_and_name_or_place(come: C, suspected: bool) -> None:
    before = found(KEY, C("seats", "NUMBER(4)"), C("wings", "NUMBER(4)"))
    warnings = again(before, KEY, come, C("wings", "NUMBER(4)")).after.entity.warnings
    assert any(f"planes.seats may have been renamed to {come.name}" in w for w in warnings) == suspected


def test_column_added_elsewhere_is_no_suspect() -> None:
    before = found(KEY, C("seats", "NUMBER(4)"), C("wings", "NUMBER(4)"))
    warnings = again(before, C("built", "NUMBER(4)"), KEY, C("wings", "NUMBER(4)")).after.entity.warnings
    assert not any("renamed" in warning for warning in warnings)


def sized(before: Catalogued, data_type: str, stored_bytes: int) -> Change:
    wider = described(KEY, C("a", data_type))
    return discover(wider, CONNECTOR, before, uid=UID, stored_bytes=stored_bytes)


def test_widening_that_rewrites_a_large_table_waits_for_a_person() -> None:
    before = found(KEY, C("a", "NUMBER(4)"))
    assert sized(before, "NUMBER(9)", REWRITE_BYTES).widened
    change = sized(before, "NUMBER(9)", REWRITE_BYTES + 1)
    assert (change.widened, "rewrites 256 MB" in change.after.entity.warnings[0]) == ((), True)


def test_widening_of_the_catalogue_alone_is_done_at_any_size() -> None:
    assert sized(found(KEY, C("a", "VARCHAR2(4)")), "VARCHAR2(40)", 10**12).widened
    assert sized(found(KEY, C("a", "NUMBER(12,2)")), "NUMBER(14,2)", 10**12).widened
    assert not sized(found(KEY, C("a", "NUMBER(12,2)")), "NUMBER(14,4)", 10**12).widened


def test_column_that_returns_is_told_from_one_that_stayed() -> None:
    before = found(KEY, C("a", "NUMBER(4)"))
    without = again(before, KEY).after
    change = again(without, KEY, C("a", "NUMBER(4)"))
    assert ([m.target for m in change.returned], change.added, change.reset) == (["a"], (), False)


def test_mapping_added_by_a_person_needs_no_consent() -> None:
    before = found(KEY, C("a", "NUMBER(4)"))
    copy = replace(mapping(before, "a"), target="b", set_by="person")
    change = amend(before, EntityChoice(mappings=(*before.mappings, copy)))
    assert (acts_of(before, change), change.reset, len(change.added)) == ((), False, 1)


def test_every_act_on_stored_rows_stands_in_the_plan() -> None:
    before = found(KEY, C("a", "VARCHAR2(9)"), C("b", "NUMBER(9)"), C("c", "NUMBER(4)"))
    read = replace(mapping(before, "a"), rules=Rules(case="upper"))
    short = replace(mapping(before, "b"), type=types.column_type("smallint", "postgres")[0], set_by="person")
    choice = EntityChoice(
        business_keys=("b",), mappings=(before.mappings[0], read, short), parameters={"x": "1"}
    )
    kinds = [act.kind for act in acts_of(before, amend(before, choice))]
    assert sorted(set(kinds)) == sorted(
        {"rekey", "rules", "unmap", "narrow", "parameters", "end_runs", "read_all"}
    )


def test_consent_names_one_plan_for_one_state() -> None:
    before = found(KEY, C("a", "NUMBER(9)"))
    change = amend(before, EntityChoice(business_keys=("a",)))
    plan = plan_of(before, change.after, acts_of(before, change))
    Consent(plan.plan_hash).require("entity planes", plan)
    moved = replace(before, entity=replace(before.entity, page_size=7))
    later = plan_of(moved, change.after, plan.acts)
    for consent, code in ((Consent(), "plan_needed"), (Consent(plan.plan_hash), "plan_stale")):
        with pytest.raises(PlanNeededError) as needed:
            consent.require("entity planes", later)
        assert needed.value.code == code
