"""Workbooks written part by part, so that they can be broken in every way that a library would not let pass."""

import io
import zipfile
from collections.abc import Mapping, Sequence

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
MACHINE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
BOOK_TYPE = f"{MACHINE}.sheet.main+xml"
Rows = Sequence[Sequence[str]]

METADATA: Rows = [
    ["Field", "Value"],
    ["requestor", "requestor@example.org"],
    ["project_name", "Sales Data Q1"],
    ["business_line", "Sales Operations"],
    ["strategy", "NEW"],
]
RECIPIENTS: Rows = [
    ["name", "type", "email", "metastore_id", "allowed_ips", "comment", "token_expiry_days"],
    ["sales-analyst", "D2O", "analyst@example.net", "", "192.0.2.0/24", "", "30"],
]
SHARES: Rows = [
    ["name", "comment", "recipients", "data_objects", "remove_recipients", "remove_data_objects"],
    ["sales_q1", "First quarter", "sales-analyst", "c.s.t1, c.s.t2"],
]
PIPELINES: Rows = [
    ["name", "type", "schedule", "source", "destination", "comment"],
    ["nightly", "JOB", "0 0 2 * * ?", "/Shared/nightly"],
]
SHEETS = {"Metadata": METADATA, "Recipients": RECIPIENTS, "Shares": SHARES}


def column(number: int) -> str:
    """`A` for 1."""
    letters = ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def cell(reference: str, value: str) -> str:
    """One cell: text, or XML as it stands where `value` begins with `<c`, its reference put in for `@`."""
    if value.startswith("<c"):
        return value.replace("@", reference)
    return (
        f'<c r="{reference}" t="inlineStr"><is><t xml:space="preserve">{value}</t></is></c>' if value else ""
    )


def worksheet(rows: Rows, *, head: str = "", tail: str = "", rows_xml: str = "") -> str:
    """A worksheet part; `rows_xml` follows the rows."""
    body = "".join(
        f'<row r="{r}">'
        + "".join(cell(f"{column(c)}{r}", value) for c, value in enumerate(row, 1))
        + "</row>"
        for r, row in enumerate(rows, 1)
    )
    return f'<worksheet xmlns="{MAIN}">{head}<sheetData>{body}{rows_xml}</sheetData>{tail}</worksheet>'


def sheet(name: str, rows: Rows, **more: str) -> dict[str, str]:
    """The base workbook's sheets with one of them replaced or added."""
    made = {each: worksheet(content) for each, content in SHEETS.items()}
    return {**made, name: worksheet(rows, **more)}


def changed(name: str, reference: str, value: str) -> dict[str, str]:
    """The base workbook's sheets with one cell, `B2`, replaced."""
    rows = [list(row) for row in {**SHEETS, "Pipelines": PIPELINES}[name]]
    position, line = ord(reference[0]) - 65, int(reference[1:]) - 1
    while len(rows) <= line:
        rows.append([])
    rows[line] += [""] * (position + 1 - len(rows[line]))
    rows[line][position] = value
    return sheet(name, rows)


def parts_of(
    sheets: Mapping[str, str], states: Mapping[str, str] | None = None, strings: str = ""
) -> dict[str, str]:
    """Member to content; `strings` is the inside of the shared string table."""
    states = states or {}
    numbered = list(enumerate(sheets, 1))
    listed = "".join(
        f'<sheet name="{name}" sheetId="{n}" {states.get(name, "")} r:id="r{n}"/>' for n, name in numbered
    )
    relations = "".join(
        f'<Relationship Id="r{n}" Type="{OFFICE}/worksheet" Target="worksheets/sheet{n}.xml"/>'
        for n, _ in numbered
    )
    if strings:
        relations += f'<Relationship Id="s" Type="{OFFICE}/sharedStrings" Target="sharedStrings.xml"/>'
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="xml" ContentType="a/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{BOOK_TYPE}"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
        f'<Relationship Id="r1" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">{relations}</Relationships>',
        **{f"xl/worksheets/sheet{n}.xml": sheets[name] for n, name in numbered},
    }
    return {**parts, "xl/sharedStrings.xml": f'<sst xmlns="{MAIN}">{strings}</sst>'} if strings else parts


def pack_parts(parts: Mapping[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """The parts as an archive."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return target.getvalue()


def workbook(sheets: Mapping[str, str] | None = None, **more: object) -> bytes:
    """A whole workbook; the base one by default."""
    base = {each: worksheet(content) for each, content in SHEETS.items()}
    return pack_parts(parts_of(base if sheets is None else sheets, **more))  # type: ignore[arg-type]
