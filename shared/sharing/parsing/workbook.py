"""A checked workbook's bytes -> the pack's tree and what is wrong with its sheets and cells."""

from shared.sharing.model import Finding, Place
from shared.sharing.parsing.archive import Archive
from shared.sharing.parsing.cells import Budget, SharedStrings, Sheet, SheetReader
from shared.sharing.parsing.package import Package, SheetPart, read_package, read_part
from shared.sharing.parsing.sheets import SHEETS, assemble, section_of
from shared.sharing.parsing.tree import Fields
from shared.sharing.text import shown


def read_workbook(content: bytes) -> tuple[Fields, list[Finding]]:
    """The tree of its sheets. Raises UploadError for an archive, a part or a cell that cannot be taken."""
    archive = Archive(content)
    package = read_package(archive)
    findings = [_refusal(part) for part in package.sheets if _refused(part)]
    parts = [part for part in package.sheets if not _refused(part)]
    sheets = _read_sheets(archive, package, parts)
    for sheet in sheets:
        findings += sheet.findings
    tree, more = assemble(sheets)
    return tree, findings + more


def _refused(part: SheetPart) -> bool:
    return section_of(part.name) is None or part.state != "visible" or not part.is_worksheet


def _refusal(part: SheetPart) -> Finding:
    if section_of(part.name) is None:
        detail = f"the sheet {shown(part.name)} is none of {', '.join(SHEETS.values())}; remove it"
    elif part.state != "visible":
        detail = f"the sheet {shown(part.name)} is hidden; show or delete it"
    else:
        detail = f"the sheet {shown(part.name)} holds no cells"
    return Finding("error", detail, Place(sheet=part.name))


def _read_sheets(archive: Archive, package: Package, parts: list[SheetPart]) -> list[Sheet]:
    strings = SharedStrings()
    if package.shared_strings is not None:
        read_part(archive, package.shared_strings, strings)
    budget = Budget()
    sheets = []
    for part in parts:
        reader = SheetReader(part.name, strings.texts, package.plain_styles, budget)
        read_part(archive, part.member, reader, Place(sheet=part.name))
        sheets.append(reader.sheet)
    return sheets
