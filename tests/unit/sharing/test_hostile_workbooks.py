"""Workbooks that must be refused: each for its own cause, with its status, its sheet and cell, a word of its reason."""

import io
import random
import zipfile

import pytest

from shared.sharing.errors import UploadError
from shared.sharing.model import Finding, Place
from shared.sharing.parsing import parse_upload
from tests.unit.sharing.workbooks import (
    BOOK_TYPE,
    MACHINE,
    MAIN,
    OFFICE,
    SHARES,
    SHEETS,
    changed,
    pack_parts,
    parts_of,
    sheet,
    workbook,
    worksheet,
)

MIB = 1024 * 1024
BASE = parts_of({name: worksheet(rows) for name, rows in SHEETS.items()})
NOISE = random.Random(7).randbytes(1500).hex()


def member(name: str, content: str | bytes) -> bytes:
    """The base workbook with one member replaced or added."""
    return pack_parts({**BASE, name: content})


def replaced(name: str, old: str, new: str) -> bytes:
    assert old in BASE[name]
    return member(name, BASE[name].replace(old, new))


def one(name: str, reference: str, value: str) -> bytes:
    return workbook(changed(name, reference, value))


def one_part_thrice(size: int) -> bytes:
    """Three sheets that all lie in one large member: it would be inflated three times."""
    relations = "xl/_rels/workbook.xml.rels"
    made = {
        **BASE,
        relations: BASE[relations].replace("sheet2.xml", "sheet1.xml").replace("sheet3.xml", "sheet1.xml"),
    }
    return pack_parts({**made, "xl/worksheets/sheet1.xml": worksheet([], tail=filled(size, " " * 10))})


def shares(rows_xml: str = "", **more: str) -> bytes:
    return workbook(sheet("Shares", SHARES, rows_xml=rows_xml, **more))


def filled(size: int, unit: str) -> str:
    """About `size` characters of the unit, compressible less than a hundred times."""
    source = random.Random(7)
    comments = (f"<!--{source.randbytes(len(unit) * 4).hex()}-->" for _ in range(size // (len(unit) * 208)))
    return "".join(unit * 200 + comment for comment in comments)


def state(value: str) -> bytes:
    return pack_parts(parts_of({n: worksheet(r) for n, r in SHEETS.items()}, {"Shares": f'state="{value}"'}))


def styled(format_code: str, value: str) -> bytes:
    """A number in Shares!A2, shown in the given format."""
    styles = (
        f'<styleSheet xmlns="{MAIN}"><numFmts><numFmt numFmtId="164" formatCode="{format_code}"/></numFmts>'
        '<cellXfs><xf numFmtId="0"/><xf numFmtId="164"/></cellXfs></styleSheet>'
    )
    made = parts_of(changed("Shares", "A2", f'<c r="@" s="1"><v>{value}</v></c>'))
    relation = f'<Relationship Id="y" Type="{OFFICE}/styles" Target="styles.xml"/></Relationships>'
    made["xl/_rels/workbook.xml.rels"] = made["xl/_rels/workbook.xml.rels"].replace(
        "</Relationships>", relation
    )
    return pack_parts({**made, "xl/styles.xml": styles})


def with_styles(inside: str) -> bytes:
    """The base workbook with a styles part."""
    relations = "xl/_rels/workbook.xml.rels"
    relation = f'<Relationship Id="y" Type="{OFFICE}/styles" Target="styles.xml"/></Relationships>'
    styles = f'<styleSheet xmlns="{MAIN}">{inside}</styleSheet>'
    listed = BASE[relations].replace("</Relationships>", relation)
    return pack_parts({**BASE, relations: listed, "xl/styles.xml": styles})


def flagged(content: bytes, flag: int) -> bytes:
    """Every entry of the archive's directory with a flag set."""
    data, at = bytearray(content), 0
    while (at := data.find(b"PK\x01\x02", at)) >= 0:
        data[at + 8] |= flag
        at += 4
    return bytes(data)


def lying(content: bytes, name: str, size: int) -> bytes:
    """The archive's directory with another inflated size for one member."""
    data = bytearray(content)
    at = data.rfind(name.encode()) - 46
    assert data[at : at + 4] == b"PK\x01\x02"
    data[at + 24 : at + 28] = size.to_bytes(4, "little")
    return bytes(data)


def twice(name: str) -> bytes:
    target = io.BytesIO(workbook())
    with zipfile.ZipFile(target, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(name, BASE[name])
    return target.getvalue()


def refusal(content: bytes) -> tuple[int, tuple[Finding, ...]]:
    with pytest.raises(UploadError) as caught:
        _ = parse_upload(content, "pack.xlsx").checked().pack
    return caught.value.status, caught.value.findings


def at(where: str) -> Place | None:
    """`Shares!A2`, `Shares` or nothing."""
    name, _, cell = where.partition("!")
    return Place(sheet=name, cell=cell or None) if name else None


SHEET3 = "xl/worksheets/sheet3.xml"
DOCTYPE = '<!DOCTYPE worksheet [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
STRING = '<c r="@" t="s"><v>0</v></c>'
# Content, status, place, a part of the reason.
ARCHIVES = {
    "cut short": (workbook()[:-30], 400, "", "damaged"),
    "first bytes only": (b"PK\x03\x04", 400, "", "damaged"),
    "empty archive": (pack_parts({}), 415, "", "no Excel workbook"),
    "other zip": (pack_parts({"readme.txt": "hello"}), 415, "", "no Excel workbook"),
    "word": (pack_parts({"[Content_Types].xml": "", "word/document.xml": ""}), 415, "", "Word"),
    "powerpoint": (pack_parts({"[Content_Types].xml": "", "ppt/presentation.xml": ""}), 415, "", "PowerPoint"),
    "opendocument": (pack_parts({"mimetype": "", "META-INF/manifest.xml": ""}), 415, "", "OpenDocument"),
    "binary workbook": (pack_parts({"[Content_Types].xml": "", "xl/workbook.bin": ""}), 415, "", ".xlsb"),
    "other package": (replaced("[Content_Types].xml", BOOK_TYPE, f"{MACHINE}.chart+xml"), 415, "", "not an Excel"),
    "macro project": (member("xl/vbaProject.bin", b"x"), 415, "", "macros"),
    "macro type": (
        replaced("[Content_Types].xml", BOOK_TYPE, "application/vnd.ms-excel.sheet.macroEnabled.main+xml"),
        415, "", "macros",
    ),
    "old macro sheet": (member("xl/macrosheets/sheet1.xml", "<a/>"), 415, "", "macros"),
    "embedded object": (member("xl/embeddings/oleObject1.bin", b"x"), 415, "", "embedded"),
    "65 members": (pack_parts({**BASE, **{f"x{n}": "" for n in range(65 - len(BASE))}}), 413, "", "65 members"),
    "zip bomb": (member("xl/media/image.png", b"\0" * 20 * MIB), 413, "", "compressed more than 100 times"),
    "inflates too far": (
        pack_parts({**BASE, "xl/media/a": (NOISE.encode() + b"\0" * 9 * MIB) * 4}), 413, "", "32 MiB"
    ),
    "inflates too far when read": (one_part_thrice(12 * MIB), 413, "", "32 MiB"),
    "declares less than it is": (lying(workbook(), SHEET3, 10), 400, "", "sheet3.xml"),
    "declares more than it is": (lying(workbook(), SHEET3, 33 * MIB), 413, "", "32 MiB"),
    "encrypted": (flagged(workbook(), 0x1), 400, "", "encrypted"),
    "bzip2": (pack_parts(BASE, zipfile.ZIP_BZIP2), 400, "", "method"),
    "lzma": (pack_parts(BASE, zipfile.ZIP_LZMA), 400, "", "method"),
    "path out of the archive": (member("xl/../../etc/passwd", "x"), 400, "", "name that no workbook"),
    "absolute path": (member("/etc/passwd", "x"), 400, "", "name that no workbook"),
    "backslashes": (member("xl\\evil.xml", "x"), 400, "", "name that no workbook"),
    "name with a null": (member("xl/aXb", "x").replace(b"xl/aXb", b"xl/a\0b"), 400, "", "name that no workbook"),
    "member twice": (twice(SHEET3), 400, "", "twice"),
    "member twice by case": (member("XL/worksheets/SHEET3.xml", "x"), 400, "", "twice"),
    "no workbook part": (replaced("_rels/.rels", "xl/workbook.xml", "xl/other.xml"), 400, "", "main part"),
    "sheet without a part": (replaced("xl/_rels/workbook.xml.rels", "sheet3.xml", "sheet9.xml"), 400, "", "missing"),
    "sheet without a relation": (replaced("xl/workbook.xml", 'r:id="r3"', 'r:id="r9"'), 400, "", "list of sheets"),
    "external sheet": (
        replaced("xl/_rels/workbook.xml.rels", '"worksheets/sheet3.xml"', '"file:///x" TargetMode="External"'),
        400, "", "list of sheets",
    ),
    "entity bomb": (member(SHEET3, DOCTYPE + BASE[SHEET3]), 400, "Shares", "document type"),
    "doctype in the strings": (
        pack_parts(
            {**parts_of(changed("Shares", "A2", STRING), strings="<si/>"), "xl/sharedStrings.xml": DOCTYPE + "<a/>"}
        ),
        400, "", "document type",
    ),
    "not xml": (member(SHEET3, "hello"), 400, "Shares", "not well-formed"),
    "xml cut short": (member(SHEET3, BASE[SHEET3][:-20]), 400, "Shares", "not well-formed"),
    "deep xml": (shares(tail="<a>" * 70 + "</a>" * 70), 413, "Shares", "64 deep"),
    "many names": (shares(tail="".join(f"<a{n}/>" for n in range(2100))), 413, "Shares", "2,000 names"),
    "many prefixes": (shares(tail="".join(f'<a xmlns:p{n}="u"/>' for n in range(2100))), 413, "Shares", "2,000 names"),
    "many relations": (
        replaced("xl/_rels/workbook.xml.rels", "</Relationships>", filled(MIB // 8, "<Relationship/>") + "</Relationships>"),
        413, "", "1,000 entries",
    ),
    "many styles": (with_styles(f"<cellXfs>{filled(MIB // 2, '<xf/>')}</cellXfs>"), 413, "", "65,536 styles"),
    "many number formats": (
        with_styles("<numFmts>" + "".join(f'<numFmt numFmtId="{n}"/>' for n in range(65_600)) + "</numFmts>"),
        413, "", "65,536 styles",
    ),
    "long format": (with_styles(f'<numFmt formatCode="{NOISE[:1001]}"/>'), 400, "", "more than 1,000 characters"),
    "long sheet name": (
        replaced("xl/workbook.xml", 'name="Shares"', f'name="{NOISE[:1001]}"'), 400, "", "more than 1,000 characters"
    ),
    "many hidden columns": (
        shares(head="<cols>" + filled(MIB // 8, '<col min="9" max="9" hidden="1"/>') + "</cols>"),
        400, "Shares", "hidden columns",
    ),
    "endless attribute": (shares(tail=f'<a b="{random.Random(7).randbytes(MIB).hex()}"/>'), 413, "Shares", "262,144"),
    "blank cells without end": (shares(filled(3 * MIB, "<row/>")), 413, "Shares", "500,000 elements"),
    "strings without end": (
        pack_parts(parts_of(changed("Shares", "A2", STRING), strings=filled(2 * MIB, "<si><t>a</t></si>"))),
        413, "", "60,000",
    ),
    "strings too long together": (
        pack_parts(parts_of(changed("Shares", "A2", STRING), strings=filled(4 * MIB, f"<si><t>{'x' * 4000}</t></si>"))),
        413, "", "2,097,152",
    ),
}  # fmt: skip
CELLS = {
    "five sheets": (
        workbook({**sheet("Pipelines", []), "Notes": worksheet([])}), 413, "Notes", "at most 4"
    ),
    "unknown sheet": (workbook(sheet("Notes", [])), 422, "Notes", "none of Metadata, Recipients"),
    "sheet by a second case": (workbook(sheet("SHARES", SHARES)), 422, "SHARES", "second sheet"),
    "hidden sheet": (state("hidden"), 422, "Shares", "hidden"),
    "very hidden sheet": (state("veryHidden"), 422, "Shares", "hidden"),
    "chart sheet": (
        replaced("xl/_rels/workbook.xml.rels", f'Id="r3" Type="{OFFICE}/worksheet"', f'Id="r3" Type="{OFFICE}/chartsheet"'),
        422, "Shares", "holds no cells",
    ),
    "row 5,002": (shares('<row r="5002"><c r="A5002" t="str"><v>x</v></c></row>'), 413, "Shares!A5002", "5,000 rows"),
    "last row of all": (
        shares('<row r="1048576"><c r="XFD1048576" t="str"><v>x</v></c></row>'), 413, "Shares!XFD1048576", "5,000 rows"
    ),
    "column 65": (shares('<row r="3"><c r="BM3" t="str"><v>x</v></c></row>'), 413, "Shares!BM3", "64 columns"),
    "long cell": (one("Shares", "B2", "x" * 4097), 413, "Shares!B2", "4,096"),
    "long shared string": (
        pack_parts(parts_of(changed("Shares", "B2", STRING), strings=f"<si><t>{'x' * 4097}</t></si>")),
        413, "Shares!B2", "4,096",
    ),
    "endless list": (
        pack_parts(parts_of(sheet("Shares", [SHARES[0], *[[f"s{n}", "", "", "a," * 2000] for n in range(40)]])), 0),
        413, "Shares!D31", "60,000",
    ),
    "endless json": (
        pack_parts(parts_of(sheet("Shares", [SHARES[0], *[[f"s{n}", "", "", f"[{'{},' * 900}{{}}]"] for n in range(80)]])), 0),
        413, "Shares!D68", "60,000",
    ),
    "deep json": (one("Shares", "D2", "[" * 12 + "]" * 12), 413, "Shares!D2", "10 deep"),
    "no string of that number": (one("Shares", "A2", '<c r="@" t="s"><v>7</v></c>'), 400, "Shares", "not there"),
    "negative string": (one("Shares", "A2", '<c r="@" t="s"><v>-1</v></c>'), 400, "Shares", "number"),
    "cell twice": (one("Shares", "B2", '<c r="A2" t="str"><v>x</v></c>'), 400, "Shares", "twice"),
    "row twice": (shares('<row r="2"/>'), 400, "Shares", "out of order"),
    "cell of another row": (one("Shares", "B2", '<c r="B9" t="str"><v>x</v></c>'), 400, "Shares", "in row 2"),
    "formula": (one("Shares", "B2", '<c r="@" t="str"><f>A1</f><v>x</v></c>'), 422, "Shares!B2", "formula"),
    "formula without a value": (one("Shares", "B2", '<c r="@"><f>A1</f></c>'), 422, "Shares!B2", "formula"),
    "error": (one("Shares", "B2", '<c r="@" t="e"><v>#REF!</v></c>'), 422, "Shares!B2", "#REF!"),
    "boolean": (one("Shares", "B2", '<c r="@" t="b"><v>1</v></c>'), 422, "Shares!B2", "TRUE/FALSE"),
    "boolean for a type": (one("Recipients", "B2", '<c r="@" t="b"><v>1</v></c>'), 422, "Recipients!B2", "TRUE/FALSE"),
    "number for a name": (one("Pipelines", "A2", '<c r="@"><v>1.1</v></c>'), 422, "Pipelines!A2", "1.10"),
    "date": (one("Shares", "B2", '<c r="@" t="d"><v>2026-01-01</v></c>'), 422, "Shares!B2", "a date"),
    "unknown kind of cell": (one("Shares", "B2", '<c r="@" t="q"><v>1</v></c>'), 422, "Shares!B2", "not known"),
    "serial date": (styled("yyyy-mm-dd", "46053"), 422, "Shares!A2", "shown as a date"),
    "leading zeros by format": (styled("00000", "123"), 422, "Shares!A2", "another format"),
    "version number": (one("Shares", "B2", '<c r="@"><v>1.1</v></c>'), 422, "Shares!B2", "1.10"),
    "twenty digits": (one("Shares", "B2", '<c r="@"><v>12345678901234567000</v></c>'), 422, "Shares!B2", "15 digits"),
    "scientific": (one("Shares", "B2", '<c r="@"><v>1.2345678901234E+19</v></c>'), 422, "Shares!B2", "15 digits"),
    "merged cells": (shares(tail='<mergeCells><mergeCell ref="A2:B3"/></mergeCells>'), 422, "Shares!A2", "merged"),
    "hidden row": (
        shares('<row r="3" hidden="1"><c r="A3" t="str"><v>spy_share</v></c></row>'), 422, "Shares!A3", "hidden row"
    ),
    "hidden column": (
        shares(head='<cols><col min="2" max="2" hidden="1"/></cols>'), 422, "Shares!B1", "hidden column"
    ),
    "escaped control character": (one("Shares", "B2", "a_x0007_b"), 422, "Shares!B2", "U+0007"),
    "no headings": (workbook(sheet("Shares", [[], *SHARES[1:]])), 422, "Shares!A1", "row 1 holds the headings"),
    "unknown heading": (one("Shares", "B1", "coment"), 422, "Shares!B1", "no column"),
    "heading twice": (one("Shares", "B1", "Name"), 422, "Shares!B1", "stands twice"),
    "value without heading": (one("Shares", "G2", "x"), 422, "Shares!G2", "without a heading"),
    "unknown metadata field": (one("Metadata", "A6", "owner"), 422, "Metadata!A6", "no field"),
    "metadata field twice": (one("Metadata", "A6", "Strategy"), 422, "Metadata!A6", "stands twice"),
    "metadata value without field": (one("Metadata", "B6", "x"), 422, "Metadata!A6", "without the name"),
    "blank metadata value": (one("Metadata", "B3", " \u00a0\u200b"), 422, "Metadata!A3", "required"),
    "recipient without a name": (one("Recipients", "A2", ""), 422, "Recipients!A2", "name: required"),
    "recipient of another type": (one("Recipients", "B2", "OIDC"), 422, "Recipients!B2", "'D2O' or 'D2D'"),
    "expiry in words": (one("Recipients", "G2", "a month"), 422, "Recipients!G2", "whole number"),
    "comma alone": (one("Shares", "C2", "sales-analyst,"), 422, "Shares!C2", "blank"),
    "share says two things": (
        workbook(sheet("Shares", [*SHARES, ["Sales_Q1", "Another comment"]])), 422, "Shares!B3", "B2 says something else"
    ),
    "broken json": (one("Shares", "D2", '[{"name": "c.s.t"'), 422, "Shares!D2", "no JSON array"),
    "json key twice": (one("Shares", "D2", '[{"name": "c.s.t", "name": "c.s.u"}]'), 422, "Shares!D2", "twice"),
    "json NaN": (one("Shares", "D2", '[{"name": NaN}]'), 422, "Shares!D2", "NaN"),
    "look-alike name": (one("Shares", "A2", "s\u0430les"), 422, "Shares!A2", "CYRILLIC"),
    "greek look-alike mail": (one("Recipients", "C2", "\u03b1@example.net"), 422, "Recipients!C2", "GREEK"),
}  # fmt: skip
HOSTILE = {**ARCHIVES, **CELLS}


def test_the_base_workbook_has_no_fault() -> None:
    assert parse_upload(workbook()).checked().findings == ()


@pytest.mark.parametrize(("content", "status", "where", "reason"), HOSTILE.values(), ids=HOSTILE.keys())
def test_is_refused_with_its_place(content: bytes, status: int, where: str, reason: str) -> None:
    found_status, findings = refusal(content)
    matching = [each for each in findings if reason in each.detail]
    assert matching, findings
    assert (found_status, matching[0].place) == (status, at(where))


def test_each_has_a_cause_of_its_own() -> None:
    several = {name for name, (content, *_) in HOSTILE.items() if len(refusal(content)[1]) > 1}
    # A hidden column hides two cells; whom the share names is then unknown.
    assert several == {"hidden column", "recipient without a name"}
