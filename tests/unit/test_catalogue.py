"""Catalogue: what discovery makes of a description, and what a person may ask."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from shared.errors import ConfigurationError, InvalidError, SchemaDriftError
from shared.sync.catalogue import Catalogued, Change, Connector, Defaults, Entity, FieldMapping, freeze
from shared.sync.choices import EntityChoice, amend, create
from shared.sync.description import ApiColumn, ApiDescription
from shared.sync.discovery import discover
from shared.sync.model import ColumnType, Expression, Kind, Rules, RunConfig, VersionSpec

UID = UUID(int=1)
CONNECTOR = Connector(UUID(int=9), "default", "erp", "http", "https://erp", "none")
C = ApiColumn


def described(*columns: ApiColumn, **changes: Any) -> ApiDescription:
    base = ApiDescription(
        "planes", "Planes", columns or (C("tailnum", "VARCHAR2(10)"), C("seats", "NUMBER(4)"))
    )
    return replace(base, **{"business_key_columns": ("tailnum",), "delta_strategy": "hash"} | changes)


def found(*columns: ApiColumn, connector: Connector = CONNECTOR, **changes: Any) -> Catalogued:
    return discover(described(*columns, **changes), connector, None, uid=UID).after


def again(
    before: Catalogued, *columns: ApiColumn, connector: Connector = CONNECTOR, **changes: Any
) -> Change:
    return discover(described(*columns, **changes), connector, before, uid=UUID(int=2))


def mapping(catalogued: Catalogued, target: str) -> FieldMapping:
    return next(m for m in catalogued.mappings if m.target == target)


def frozen(catalogued: Catalogued, connector: Connector = CONNECTOR) -> RunConfig:
    return freeze(catalogued.entity, catalogued.mappings, connector, Defaults())


KEY = C("tailnum", "VARCHAR2(10)")


def test_first_discovery_writes_types_and_default_rules() -> None:
    result = found()
    assert mapping(result, "tailnum") == FieldMapping(
        0, "tailnum", "tailnum", ColumnType(Kind.TEXT, length=10), Rules(unicode="NFC")
    )
    assert mapping(result, "seats").type == ColumnType(Kind.INTEGER, bits=16)
    assert (result.entity.target_schema, result.entity.target_table) == ("public", "planes")


def test_connector_zone_turns_naive_times_into_instants() -> None:
    oslo = replace(CONNECTOR, time_zone="Europe/Oslo")
    result = mapping(found(KEY, C("built", "TIMESTAMP"), connector=oslo), "built")
    assert (result.type.kind, result.rules.timezone) == (Kind.TIMESTAMPTZ, "Europe/Oslo")
    assert mapping(found(KEY, C("built", "TIMESTAMP")), "built").type.kind is Kind.TIMESTAMP


def test_format_of_the_source_becomes_rules_and_a_bad_one_a_warning() -> None:
    result = found(
        KEY, C("a", "VARCHAR2(9)", format={"case": "upper"}), C("b", "DATE", format={"formats": ["%Q"]})
    )
    assert mapping(result, "a").rules.case == "upper"
    assert mapping(result, "b").rules == Rules()
    assert "planes.b: format left aside" in result.entity.warnings[0]


def test_unknown_type_loads_as_text_with_a_warning() -> None:
    result = found(KEY, C("shape", "SDO_GEOMETRY"))
    assert mapping(result, "shape").type == ColumnType(Kind.TEXT)
    assert "SDO_GEOMETRY" in result.entity.warnings[0]


def test_alias_is_the_name_that_rows_carry() -> None:
    result = found(C("TAIL_NUM", "VARCHAR2(9)", output_alias="tailnum"), business_key_columns=("TAIL_NUM",))
    assert (result.entity.business_keys, mapping(result, "tailnum").source) == (("tailnum",), "tailnum")


def test_key_flags_serve_where_no_key_is_named() -> None:
    result = found(
        C("a", "NUMBER", is_business_key=True),
        C("b", "NUMBER", is_business_key=True),
        business_key_columns=(),
    )
    assert result.entity.business_keys == ("a", "b")


@pytest.mark.parametrize(
    ("columns", "keys", "message"),
    [
        ((KEY,), (), "has no business key"),
        ((KEY,), ("nope",), "'nope' is not among its columns"),
        ((C("ctid", "NUMBER"),), ("ctid",), "named like one of"),
        ((C("_bridge_uid", "NUMBER"),), ("_bridge_uid",), "named like one of"),
        ((C("", "NUMBER"),), ("x",), "has no columns"),
    ],
)
def test_table_that_cannot_be_synced_is_refused(columns: Any, keys: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        found(*columns, business_key_columns=keys)


@pytest.mark.parametrize("name", ["ctid", "xmin", "_bridge_deleted", "nul\0byte", "half\ud800", ""])
def test_column_whose_name_cannot_be_used_is_skipped_with_a_warning(name: str) -> None:
    result = found(KEY, C(name, "NUMBER"))
    assert [m.target for m in result.mappings] == ["tailnum"]
    assert "skipped" in result.entity.warnings[0] and "\0" not in result.entity.warnings[0]


def test_names_that_collide_after_cutting_stay_apart() -> None:
    long = "é" * 40
    targets = [m.target for m in found(KEY, C(long + "a", "NUMBER"), C(long + "b", "NUMBER")).mappings]
    assert len(set(targets)) == 3 and all(len(target.encode()) <= 63 for target in targets)


def test_table_name_taken_by_another_entity_gets_a_suffix() -> None:
    change = discover(described(), CONNECTOR, None, uid=UID, taken_tables=["planes"])
    assert change.after.entity.target_table.startswith("planes_")


@pytest.mark.parametrize(
    ("sample", "strategy"),
    [
        (("0001", "0002"), "rowversion"),
        (("9", "10"), "hash"),
        (("ab", "cd"), "hash"),
        ((), "hash"),
        (("١٢",), "hash"),
    ],
)
def test_rowversion_without_its_kind_counts_as_number_only_in_fixed_width(sample: Any, strategy: str) -> None:
    entity = found(delta_strategy="rowversion", sample_versions=sample).entity
    assert entity.delta_strategy == strategy
    assert bool(entity.warnings) == (strategy == "hash")


def test_unknown_strategy_falls_back_to_hash_with_a_warning() -> None:
    entity = found(delta_strategy="magic").entity
    assert (entity.delta_strategy, "magic" in entity.warnings[0]) == ("hash", True)


def test_version_column_is_kept_only_where_rows_carry_it() -> None:
    spec = VersionSpec("number", "SEATS")
    columns = (KEY, C("SEATS", "NUMBER", output_alias="seats"))
    assert found(*columns, delta_strategy="rowversion", version=spec).entity.version == VersionSpec(
        "number", "seats"
    )
    assert found(KEY, delta_strategy="rowversion", version=spec).entity.version == VersionSpec("number")


def test_same_description_again_changes_nothing() -> None:
    before = found()
    change = again(before)
    assert (change.after, change.added, change.widened, change.reset) == (before, (), (), False)


def test_column_added_later_is_appended_without_ending_runs() -> None:
    before = found()
    change = again(before, C("wings", "NUMBER(2)"), *before.entity.columns)
    assert [m.target for m in change.after.mappings] == ["tailnum", "seats", "wings"]
    assert ([m.target for m in change.added], change.reset) == (["wings"], False)


def test_wider_type_is_taken_over_and_narrower_or_other_is_refused() -> None:
    before = found(KEY, C("name", "VARCHAR2(20)"))
    wider = again(before, KEY, C("name", "VARCHAR2(40)"))
    assert [m.type.length for m in wider.widened] == [40]
    for data_type in ("VARCHAR2(10)", "NUMBER(9)"):
        change = again(before, KEY, C("name", data_type))
        assert (mapping(change.after, "name").type.length, change.widened) == (20, ())
        assert "stays varchar(20)" in change.after.entity.warnings[0]


def test_removed_column_stays_and_is_reported_but_runs_go_on_without_it() -> None:
    change = again(found(), KEY)
    assert [m.target for m in change.after.mappings] == ["tailnum", "seats"]
    assert "no longer offers" in change.after.entity.warnings[0]
    assert [c.name for c in frozen(change.after).target_columns] == ["tailnum"]


def test_changed_key_of_the_source_is_a_warning_only() -> None:
    change = again(found(), business_key_columns=("seats",))
    assert change.after.entity.business_keys == ("tailnum",)
    assert "the entity keeps tailnum" in change.after.entity.warnings[0]


def test_removed_key_column_fails_runs_visibly() -> None:
    after = again(found(), C("seats", "NUMBER(4)"), business_key_columns=("seats",)).after
    with pytest.raises(SchemaDriftError, match="no longer offers key column tailnum"):
        frozen(after)


def test_changed_rules_of_the_source_end_runs_in_flight() -> None:
    assert again(found(), KEY, C("seats", "NUMBER(4)", format={"null_values": ["-1"]})).reset


def test_discovery_never_undoes_what_a_person_set() -> None:
    change = amend(found(), EntityChoice(delta_strategy="full", api_name="Aircraft", overlap=5))
    entity = again(change.after, delta_strategy="hash").after.entity
    assert (entity.delta_strategy, entity.api_name, entity.overlap) == ("full", "Aircraft", 5)


def test_mapping_that_a_person_changed_or_left_out_stays_so() -> None:
    before = found(KEY, C("a", "NUMBER(4)"), C("b", "NUMBER(4)"))
    mine = replace(mapping(before, "a"), rules=Rules(null_values=("-1",)))
    changed = amend(before, EntityChoice(mappings=(before.mappings[0], mine)))
    assert changed.reset
    after = again(changed.after, KEY, C("a", "NUMBER(4)"), C("b", "NUMBER(4)"), C("c", "NUMBER(4)")).after
    assert [(m.target, m.set_by) for m in after.mappings] == [
        ("tailnum", "discovery"),
        ("a", "person"),
        ("c", "discovery"),
    ]


def test_putting_back_what_was_read_changes_nothing() -> None:
    before = found()
    e = before.entity
    choice = EntityChoice(
        api_name=e.api_name, delta_strategy=e.delta_strategy, business_keys=e.business_keys, columns=e.columns,
        target_schema=e.target_schema, target_table=e.target_table, mappings=before.mappings, parameters={},
        sync_enabled=True, overlap=0, delete_guard_percent=10.0, delete_after_missing=2,
        key_sweep_interval_seconds=86_400,
    )  # fmt: skip
    change = amend(before, choice)
    assert (change.after, change.reset, change.rekeyed) == (before, False, False)


def test_what_a_put_leaves_out_goes_back_to_its_default() -> None:
    first = amend(found(), EntityChoice(overlap=5, sync_enabled=False)).after
    second = amend(first, EntityChoice()).after
    assert (second.entity.overlap, second.entity.sync_enabled, second.entity.person_set) == (0, True, ())


@pytest.mark.parametrize(
    ("choice", "field"),
    [
        (EntityChoice(business_keys=("nope",)), "business_keys"),
        (EntityChoice(delete_after_missing=1), "delete_after_missing"),
        (EntityChoice(target_table="other"), "target_table"),
        (EntityChoice(columns=(C("x", "NUMBER"),)), "columns"),
        (EntityChoice(mappings=()), "business_keys"),
    ],
)
def test_choice_that_does_not_fit_names_its_field(choice: EntityChoice, field: str) -> None:
    with pytest.raises(InvalidError) as caught:
        amend(found(), choice)
    assert field in [name for name, _ in caught.value.problems]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"target": "ctid"}, "target"),
        ({"target": "_bridge_uid"}, "target"),
        ({"target": "x" * 64}, "target"),
        ({"target": "tailnum"}, "target"),
        ({"source": "nope"}, "source"),
        ({"type": ColumnType(Kind.TEXT, length=1)}, "type"),
        ({"expression": Expression("substring", ("seats", "a", "2"))}, "expression.args"),
        ({"expression": Expression("map", ("seats", "a"))}, "expression.args"),
    ],
)
def test_mapping_that_does_not_fit_names_its_place(changes: dict[str, Any], field: str) -> None:
    before = found()
    wanted = replace(mapping(before, "seats"), set_by="person", **changes)
    with pytest.raises(InvalidError) as caught:
        amend(before, EntityChoice(mappings=(before.mappings[0], wanted)))
    assert f"field_mappings[1].{field}" in [name for name, _ in caught.value.problems]


def test_two_readings_of_one_source_column_are_refused() -> None:
    before = found()
    second = FieldMapping(
        2, "seats", "chairs", ColumnType(Kind.INTEGER), Rules(case="upper"), set_by="person"
    )
    with pytest.raises(InvalidError, match="differ from another mapping"):
        amend(before, EntityChoice(mappings=(*before.mappings, second)))


def test_another_key_ends_runs_and_changes_the_constraint() -> None:
    change = amend(found(), EntityChoice(business_keys=("seats", "tailnum")))
    assert (change.rekeyed, change.reset, change.after.entity.person_set) == (True, True, ("business_keys",))


def test_created_entity_remembers_what_the_person_said() -> None:
    choice = EntityChoice(
        target_schema="erp", target_table="aircraft", delta_strategy="full", business_keys=("tailnum",)
    )
    entity = create(described(business_key_columns=()), choice, CONNECTOR, uid=UID).after.entity
    assert (entity.target_schema, entity.target_table, entity.delete_after_missing) == ("erp", "aircraft", 1)
    assert entity.person_set == ("business_keys", "delta_strategy")


def test_frozen_configuration_puts_keys_first_in_key_order() -> None:
    result = found(
        C("x", "NUMBER(4)"), C("b", "NUMBER(4)"), C("a", "NUMBER(4)"), business_key_columns=("a", "b")
    )
    config = frozen(result)
    assert [c.name for c in config.target_columns] == ["a", "b", "x"]
    assert [c.name for c in config.source_columns] == ["x", "b", "a"]
    assert (config.key_positions, config.target_columns[0].nullable) == ((0, 1), False)


def test_frozen_page_size_respects_source_and_service() -> None:
    entity = found(page_size_max=500).entity
    assert frozen(Catalogued(entity, found().mappings)).page_size == 500
    big = Catalogued(replace(entity, page_size=50_000, page_size_max=None), found().mappings)
    assert frozen(big).page_size == 10_000


def test_rowversion_chosen_without_a_version_runs_as_hash() -> None:
    change = amend(found(), EntityChoice(delta_strategy="rowversion"))
    assert frozen(change.after).strategy == "hash"


def test_masked_column_is_read_as_declared_and_stored_as_text() -> None:
    result = found(KEY, C("pay", "NUMBER(8,2)", format={"mask": "hash"}))
    config = frozen(result)
    assert mapping(result, "pay").type == ColumnType(Kind.TEXT)
    assert config.source_columns[1].type.kind is Kind.DECIMAL
    assert (config.target_columns[1].type.kind, config.target_columns[1].mask) == (Kind.TEXT, "hash")


def test_expression_reads_all_its_sources() -> None:
    before = found(KEY, C("a", "VARCHAR2(9)"), C("b", "VARCHAR2(9)"))
    joined = FieldMapping(
        1, "a", "ab", ColumnType(Kind.TEXT), expression=Expression("concat", ("-", "a", "b")), set_by="person"
    )
    after = amend(before, EntityChoice(mappings=(before.mappings[0], joined))).after
    assert [c.name for c in frozen(after).source_columns] == ["tailnum", "a", "b"]


def test_entity_defaults_agree_with_what_a_put_restores() -> None:
    assert Entity(UID, UID, "s", "S", "hash", ("k",), "public", "s").delete_guard_percent == 10.0
