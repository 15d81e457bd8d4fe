"""YAML, Excel and the stored document say the same: whatever can be written is read back equal."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings

from shared.sharing.errors import StoredPackError
from shared.sharing.model import ANY_ADDRESS, DataObject, Finding, Place, Recipient, SharePack
from shared.sharing.parsing import parse_upload
from shared.sharing.parsing.document import ENTRIES, MetadataSection
from shared.sharing.parsing.sheets import SHEETS
from shared.sharing.stored import finding_document, from_document, to_document
from shared.sharing.writing import COLUMNS, to_workbook, to_yaml
from tests.unit.sharing.packs import METADATA, PACK, SHARE, packs

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "docs" / "examples").glob("*.yaml"))


@given(packs)
def test_yaml_reads_back_equal(pack: SharePack) -> None:
    parsed = parse_upload(to_yaml(pack).encode(), "pack.yaml")
    assert (parsed.findings, parsed.draft) == ((), pack)


@given(packs)
@settings(max_examples=50)
def test_a_workbook_reads_back_equal(pack: SharePack) -> None:
    parsed = parse_upload(to_workbook(pack), "pack.xlsx")
    assert (parsed.findings, parsed.draft) == ((), pack)


@given(packs)
def test_a_stored_document_reads_back_equal(pack: SharePack) -> None:
    assert from_document(json.loads(json.dumps(to_document(pack)))) == pack


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_good_and_the_same_in_both_formats(path: Path) -> None:
    parsed = parse_upload(path.read_bytes(), path.name).checked()
    assert parsed.errors == ()
    assert parse_upload(to_workbook(parsed.pack)).checked().pack == parsed.pack


def test_the_example_workbook_says_what_its_yaml_does() -> None:
    workbook = EXAMPLES[0].with_suffix(".xlsx")
    assert (
        parse_upload(workbook.read_bytes()).checked().pack
        == parse_upload(EXAMPLES[0].read_bytes()).checked().pack
    )


def test_the_examples_are_there() -> None:
    assert [path.stem for path in EXAMPLES] == ["finance_q1", "sales_q1"]


def test_what_a_real_example_says() -> None:
    pack = parse_upload(EXAMPLES[0].read_bytes()).checked().pack
    assert (pack.metadata.project_name, pack.metadata.strategy) == ("Corporate Finance Q1 Data Share", "NEW")
    assert [(each.name, each.type.value) for each in pack.recipients] == [
        ("external-auditor", "D2O"),
        ("internal-analyst", "D2D"),
    ]
    assert pack.recipients[0].allowed_ips == ("203.0.113.0/24", "198.51.100.50")
    assert pack.shares[1].data_objects == (DataObject("catalog.audit_schema.activity_log"),)


def test_templates_have_every_column_that_is_read() -> None:
    read = {SHEETS[section]: set(entry.model_fields) for section, entry in ENTRIES.items()}
    assert {name: set(columns) for name, columns in COLUMNS.items() if name != "Metadata"} == read
    assert set(MetadataSection.model_fields) == set(METADATA.__dataclass_fields__)


def test_a_long_share_goes_on_in_further_rows() -> None:
    objects = tuple(DataObject(f"catalog_{n}.schema_{n}.table_{n}", shared_as=f"s.t_{n}") for n in range(900))
    pack = replace(PACK, shares=(replace(SHARE, data_objects=objects),))
    assert parse_upload(to_workbook(pack)).checked().pack == pack


def test_one_object_larger_than_a_cell_has_no_workbook() -> None:
    pack = replace(PACK, shares=(replace(SHARE, data_objects=(DataObject("c.s.t", shared_as="x" * 4000),)),))
    with pytest.raises(ValueError, match="YAML"):
        to_workbook(pack)


def test_stored_documents_say_only_what_the_pack_says() -> None:
    pack = SharePack(replace(METADATA, start_at=datetime(2026, 1, 31, 18, tzinfo=UTC)))
    assert to_document(pack) == {
        "v": 1,
        "metadata": {
            "requestor": "requestor@example.org",
            "project_name": "Finance",
            "business_line": "Corporate Finance",
            "strategy": "NEW",
            "start_at": "2026-01-31T18:00:00+00:00",
        },
        "recipients": [],
        "shares": [],
        "pipelines": [],
    }


def test_stored_any_is_neither_a_list_nor_absent() -> None:
    anywhere = Recipient("a", PACK.recipients[0].type, allowed_ips=ANY_ADDRESS)
    stored = to_document(replace(PACK, recipients=(anywhere,)))
    assert stored["recipients"][0]["allowed_ips"] == "ANY"


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        (None, {}),
        (Place(line=7), {"line": 7}),
        (Place(sheet="Shares"), {"sheet": "Shares"}),
        (Place(sheet="Shares", cell="B2"), {"sheet": "Shares", "cell": "B2"}),
    ],
)
def test_answers_say_where_as_far_as_it_is_known(place: Place | None, shown: dict[str, object]) -> None:
    assert finding_document(Finding("error", "why", place)) == {"detail": "why", **shown}


@pytest.mark.parametrize(
    "document",
    [{}, {"v": 2}, {"v": 1}, {"v": 1, "metadata": {}, "recipients": [], "shares": [], "pipelines": []},
     {**to_document(PACK), "recipients": [{"name": "a", "type": "OIDC"}]},
     {**to_document(PACK), "shares": [{"name": "a"}]},
     {**to_document(PACK), "pipelines": [{"name": "a", "colour": "red"}]}],
)  # fmt: skip
def test_a_stored_document_of_another_form_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(StoredPackError):
        from_document(document)
