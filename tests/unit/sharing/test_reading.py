"""What good files mean, however they were written; and that every fault of a bad one is told at once."""

import hashlib

import pytest

from shared.sharing.errors import InvalidPackError
from shared.sharing.model import (
    ANY_ADDRESS,
    DataObject,
    Finding,
    ObjectType,
    Partition,
    PartitionValue,
    Place,
)
from shared.sharing.parsing import Parsed, limits, parse_upload
from shared.sharing.parsing.cells import Sheet
from tests.unit.sharing.test_hostile_workbooks import BASE, SHEET3, STRING, styled
from tests.unit.sharing.test_hostile_yaml import BASE as YAML
from tests.unit.sharing.test_hostile_yaml import line, objects
from tests.unit.sharing.workbooks import (
    MAIN,
    RECIPIENTS,
    SHARES,
    SHEETS,
    changed,
    pack_parts,
    parts_of,
    sheet,
    workbook,
    worksheet,
)

STRICT = "http://purl.oclc.org/ooxml/spreadsheetml/main"


def read(content: bytes) -> Parsed:
    parsed = parse_upload(content)
    assert parsed.findings == ()
    return parsed


def comment(content: bytes) -> str | None:
    return read(content).draft.shares[0].comment


def strung(inside: str) -> bytes:
    """The base workbook, its share's comment in the shared string table."""
    return pack_parts(parts_of(changed("Shares", "B2", STRING), strings=f"<si>{inside}</si>"))


@pytest.mark.parametrize(
    "text", ["no", "1.20", "12:30:45", "0123", "2026-01-01", "1e3", "0x1F", "12345678901234567890"]
)
def test_words_of_yaml_stay_as_written(text: str) -> None:
    assert comment(line(14, f"    comment: {text}")) == text


@pytest.mark.parametrize("text", ["", "~", "null", "''", '" \\u200b"'])
def test_blank_is_absent(text: str) -> None:
    assert comment(line(14, f"    comment: {text}")) is None


def test_a_quoted_null_is_text() -> None:
    assert comment(line(14, '    comment: "null"')) == "null"


def test_names_are_trimmed_normalised_and_lower_case() -> None:
    pack = read(line(13, '  - name: "\\u00a0\\uff33ales_Q1\\u200b "')).draft
    assert pack.shares[0].name == "sales_q1"


def test_comments_keep_what_people_wrote() -> None:
    assert comment(line(14, "    comment: 5 m² für Zoë™")) == "5 m² für Zoë™"


def test_an_object_says_all_it_can() -> None:
    content = objects(
        "[{name: C.S.T, type: table, shared_as: A.B, history: true, cdf: false,"
        " partitions: [{values: [{name: r, op: like, value: 01}]}]}]"
    )
    condition = Partition((PartitionValue("r", "LIKE", "01"),))
    assert read(content).draft.shares[0].data_objects == (
        DataObject("c.s.t", ObjectType.TABLE, "a.b", (condition,), True, False),
    )


@pytest.mark.parametrize("text", ["ANY", "[ANY]", '" ANY "'])
def test_any_clears_the_list(text: str) -> None:
    assert read(line(10, f"    allowed_ips: {text}")).draft.recipients[0].allowed_ips is ANY_ADDRESS


@pytest.mark.parametrize(
    "text", ["2026-01-31T18:00:00Z", "2026-01-31T19:00:00+01:00", "2026-01-31 18:00+00:00"]
)
def test_a_start_is_kept_in_utc(text: str) -> None:
    start = read(line(5, f"  strategy: NEW\n  start_at: {text}")).draft.metadata.start_at
    assert start is not None
    assert start.isoformat() == "2026-01-31T18:00:00+00:00"


def test_both_formats_give_the_same_pack() -> None:
    assert read(workbook()).draft.shares[0].recipients == read(YAML.encode()).draft.shares[0].recipients


def test_columns_may_stand_in_any_order_and_case() -> None:
    rows = [["Data Objects", "NAME", "recipients"], ["c.s.t1, c.s.t2", "sales_q1", "sales-analyst"]]
    assert read(workbook(sheet("Shares", rows))).draft.shares[0].data_objects == (
        DataObject("c.s.t1"),
        DataObject("c.s.t2"),
    )


def test_rows_of_a_share_continue_its_lists() -> None:
    rows = [
        *SHARES,
        ["SALES_Q1", "First quarter", "Sales-Analyst", "c.s.t3"],
        [],
        ["sales_q1", "", "other", '["c.s.t4"]'],
    ]
    [share] = read(workbook(sheet("Shares", rows))).draft.shares
    assert share.recipients == ("sales-analyst", "other")
    assert [each.name for each in share.data_objects] == ["c.s.t1", "c.s.t2", "c.s.t3", "c.s.t4"]


def test_a_json_cell_says_what_a_mapping_says() -> None:
    cell = '[{"name": "c.s.t", "history": true, "partitions": [{"values": [{"name": "r", "op": "EQUAL", "value": 1.10}]}]}]'
    [wanted] = read(workbook(changed("Shares", "D2", cell))).draft.shares[0].data_objects
    condition = Partition((PartitionValue("r", "EQUAL", "1.10"),))
    assert wanted == DataObject("c.s.t", partitions=(condition,), history=True)


@pytest.mark.parametrize("code", ["General", "0", "@"])
def test_a_whole_number_shown_as_its_digits_is_text(code: str) -> None:
    assert read(styled(code, "2024")).draft.shares[0].name == "2024"


def test_a_number_cell_may_give_the_days() -> None:
    assert (
        read(workbook(changed("Recipients", "G2", '<c r="@"><v>90</v></c>')))
        .draft.recipients[0]
        .token_expiry_days
        == 90
    )


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        ("<t>First</t>", "First"),
        ("<r><rPr><b/></rPr><t>Fi</t></r><r><t>rst</t></r>", "First"),
        ('<t>First</t><rPh sb="0" eb="1"><t>phonetic</t></rPh>', "First"),
        ("<t>a_x000D_\nb</t>", "a\nb"),
        ("<t>_x005F_x000D_</t>", "_x000D_"),
        ("<t xml:space='preserve'> \u00a0First\u200b </t>", "First"),
    ],
)
def test_shared_strings_are_read_as_excel_shows_them(inside: str, text: str) -> None:
    assert comment(strung(inside)) == text


def test_a_formula_of_text_kind_that_was_replaced_by_its_value_is_text() -> None:
    assert comment(workbook(changed("Shares", "B2", '<c r="@" t="str"><v>First</v></c>'))) == "First"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f'<worksheet xmlns="{MAIN}">', f'<worksheet xmlns="{STRICT}">'),
        (f'<worksheet xmlns="{MAIN}">', f'<worksheet xmlns="{MAIN}"><dimension ref="A1:XFD1048576"/>'),
        ("<sheetData>", '<other xmlns="urn:x"><row><c/></row></other><sheetData>'),
        ("<sheetData>", '<x:other xmlns:x="urn:x"><row r="1"/></x:other><sheetData>'),
        ("</sheetData>", '<row r="900000"><c r="A900000" s="0"/></row></sheetData>'),
    ],
    ids=["strict", "lying dimension", "foreign elements", "within foreign elements", "blank cell far below"],
)
def test_other_programs_workbooks_are_read(old: str, new: str) -> None:
    assert old in BASE[SHEET3]
    content = pack_parts({**BASE, SHEET3: BASE[SHEET3].replace(old, new)})
    assert read(content).draft == read(workbook()).draft


def test_prefixed_elements_are_read() -> None:
    xml = (
        BASE[SHEET3]
        .replace("</", "</x:")
        .replace("<", "<x:")
        .replace("<x:/x:", "</x:")
        .replace("xmlns=", "xmlns:x=")
    )
    assert read(pack_parts({**BASE, SHEET3: xml})).draft == read(workbook()).draft


def test_cells_without_references_follow_each_other() -> None:
    xml = worksheet([[cell for cell in row if cell] for row in SHARES[:2]])
    for reference in ("A1", "B1", "C1", "D1", "E1", "F1", "A2", "B2", "C2", "D2"):
        xml = xml.replace(f' r="{reference}"', "")
    assert (
        read(pack_parts({**BASE, SHEET3: xml.replace(' r="1"', "").replace(' r="2"', "")})).draft
        == read(workbook()).draft
    )


def test_absolute_targets_are_found() -> None:
    name = "xl/_rels/workbook.xml.rels"
    content = pack_parts({**BASE, name: BASE[name].replace('"worksheets/', '"/xl/worksheets/')})
    assert read(content).draft == read(workbook()).draft


def test_sheets_are_known_in_any_case_and_pipelines_may_be_absent() -> None:
    sheets = {name.upper(): worksheet(rows) for name, rows in SHEETS.items()}
    assert read(workbook(sheets)).draft == read(workbook()).draft


@pytest.mark.parametrize(
    ("content", "name", "told"),
    [
        (YAML.encode(), "pack.xlsx", "it holds YAML text"),
        (workbook(), "pack.yml", "it holds an Excel workbook"),
        (workbook(), "PACK.YAML", "it holds an Excel workbook"),
    ],
)
def test_the_content_decides_and_a_misleading_name_is_told(content: bytes, name: str, told: str) -> None:
    parsed = parse_upload(content, name)
    assert [each.severity for each in parsed.findings] == ["warning"]
    assert told in parsed.findings[0].detail
    assert parsed.pack.shares


def test_the_hash_is_of_the_bytes() -> None:
    assert parse_upload(YAML.encode()).content_hash == hashlib.sha256(YAML.encode()).hexdigest()


def test_every_fault_of_a_yaml_file_is_told_at_once() -> None:
    content = b"""\
metadata:
  requestor: nobody
  project_name: [x]
  business_line: b
  strategy: OLD
recipient:
  - name: a/b
    type: D2O
    email: &m mail@example.net
    allowed_ips: [10.0.0.300]
    token_expiry_days: soon
  - name: c
    type: D2X
share:
  - name: s
    recipients: [c, ghost]
    data_objects:
      - {name: c.s.t, history: yes}
      - c.s
      - c/s
"""
    parsed = parse_upload(content).checked()
    told = {
        (each.place.line if each.place else None, each.detail.partition(":")[0]) for each in parsed.findings
    }
    assert told == {
        (2, "requestor"), (3, "project_name"), (5, "strategy"), (7, "name"), (9, "anchor &m"), (10, "allowed_ips"),
        (11, "token_expiry_days"), (13, "type"), (16, "recipients"), (18, "history"), (20, "data_objects"),
    }  # fmt: skip
    assert [each.place.line for each in parsed.findings if each.place] == sorted(
        line for line, _ in told if line
    )


def test_every_fault_of_a_workbook_is_told_at_once() -> None:
    rows = [["name", "comment", "recipients", "data_objects"],
            ["s", '<c r="@" t="b"><v>1</v></c>', "ghost", "c.s.t"],
            ["S", "", "a b", '[{"name": "c/s/t"}]']]  # fmt: skip
    sheets = {
        **sheet("Shares", rows),
        "Recipients": worksheet([*RECIPIENTS, ["x", "D2D"], ["y", "D3"]]),
    }
    parsed = parse_upload(workbook(sheets)).checked()
    assert [(each.place.sheet, each.place.cell) for each in parsed.findings if each.place] == [
        ("Recipients", "A3"), ("Recipients", "B4"), ("Shares", "B2"), ("Shares", "C2"), ("Shares", "C3"), ("Shares", "D3"),
    ]  # fmt: skip


def test_what_refers_to_a_broken_entry_is_not_told_to_be_missing() -> None:
    parsed = parse_upload(line(8, "    type: OIDC")).checked()
    assert [each.place for each in parsed.findings] == [Place(line=8)]


def test_a_section_that_is_no_list_does_not_hide_its_names() -> None:
    content = YAML.replace("  - name: sales-analyst", "    name: sales-analyst").encode()
    assert [each.detail for each in parse_upload(content).checked().findings] == [
        "recipient: a list is expected"
    ]


def test_half_a_pack_is_not_warned_about() -> None:
    content = line(10, "").replace(b"strategy: NEW", b"strategy: NEW\n  colour: red")
    assert [each.severity for each in parse_upload(content).checked().findings] == ["error"]


def test_the_pack_is_kept_back_until_it_is_good() -> None:
    parsed = parse_upload(line(9, "")).checked()
    with pytest.raises(InvalidPackError) as caught:
        _ = parsed.pack
    assert (caught.value.status, caught.value.findings) == (422, parsed.errors)
    assert "needs one" in caught.value.message


def test_warnings_do_not_keep_it_back() -> None:
    parsed = parse_upload(line(11, "")).checked()
    assert parsed.pack == parsed.draft
    assert [each.severity for each in parsed.warnings] == ["warning"]


def test_known_recipients_may_be_named() -> None:
    content = line(15, "    recipients: [sales-analyst, Managed]")
    assert parse_upload(content).checked(known=["managed"]).errors == ()
    assert len(parse_upload(content).checked().errors) == 1


def test_a_flood_of_faults_is_cut_and_says_so() -> None:
    parsed = parse_upload(objects("\n" + "".join(f"      - x/{n}\n" for n in range(1_200)))).checked()
    assert len(parsed.findings) == limits.FINDINGS + 1
    assert parsed.findings[-1] == Finding("error", "there is more than these 1,000; mend them first")


def test_a_sheet_remembers_as_many_faults_as_are_told() -> None:
    sheet_read = Sheet("Shares")
    for row in range(1, 1_500):
        sheet_read.fault("x", sheet_read.place(row, 1))
    assert len(sheet_read.findings) == limits.FINDINGS


def test_a_finding_cannot_forge_another_line() -> None:
    [finding] = parse_upload(line(13, '  - name: "a\\nerror: b"')).checked().findings
    assert "\n" not in finding.detail
