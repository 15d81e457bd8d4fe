"""The parts of a workbook that are not cells: which sheets there are, where they lie, how numbers are shown."""

from collections.abc import Iterable
from dataclasses import dataclass

from shared.sharing.errors import UnreadableUploadError, UploadTooLargeError, UploadTypeError
from shared.sharing.model import Finding, Place
from shared.sharing.parsing import limits
from shared.sharing.parsing.archive import Archive, unreadable
from shared.sharing.parsing.xml_stream import Handler, XmlError, XmlTooLargeError, stream
from shared.sharing.text import shown

_CONTENT_TYPES = "[Content_Types].xml"
_WORKBOOK_TYPE = "spreadsheetml.sheet.main+xml"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_STRICT = "http://purl.oclc.org/ooxml/officeDocument/relationships"
_ENTRIES = 1_000
_ATTRIBUTE_CHARACTERS = 1_000
_STYLES = 65_536
# Number formats that show an integer as its digits: General, 0, @ (text).
_PLAIN_FORMATS = {"0": True, "1": True, "49": True}
_PLAIN_CODES = {"general", "0", "@"}
_OTHERS = {
    "word/": "a Word document",
    "ppt/": "a PowerPoint presentation",
    "META-INF/": "an OpenDocument or Java file",
    "xl/workbook.bin": "a binary workbook (.xlsb)",
}
_ACTIVE = ("vbaproject", "xl/macrosheets/", "xl/dialogsheets/", "xl/activex/", "xl/embeddings/")


@dataclass(frozen=True, slots=True)
class SheetPart:
    """A sheet by name, its state (`visible`, `hidden`, `veryHidden`) and the member with its cells."""

    name: str
    state: str
    member: str
    is_worksheet: bool


@dataclass(frozen=True, slots=True)
class Package:
    """Where the cells are; `plain_styles[i]` says whether style i shows integers as they are."""

    sheets: tuple[SheetPart, ...]
    shared_strings: str | None
    plain_styles: tuple[bool, ...]


def read_package(archive: Archive) -> Package:
    """What the workbook holds. Raises UploadTypeError for anything else, UploadTooLargeError for too many sheets."""
    _check_kind(archive.names)
    types = _Entries("Override", "Default")
    read_part(archive, _CONTENT_TYPES, types)
    _check_types([entry.get("ContentType", "") for entry in types.found])
    root = _relations(archive, "", "_rels/.rels")
    book = next((target for kind, target in root.values() if kind.endswith("/officeDocument")), None)
    if book not in archive.names or not book:
        raise unreadable("a workbook without its main part")
    folder, _, leaf = book.rpartition("/")
    relations = _relations(archive, folder, f"{folder}/_rels/{leaf}.rels".lstrip("/"))
    by_kind = {kind.rpartition("/")[2]: target for kind, target in relations.values()}
    sheets = _Entries("sheet")
    read_part(archive, book, sheets)
    return Package(
        _sheets(sheets.found, relations),
        by_kind.get("sharedStrings"),
        _plain_styles(archive, by_kind.get("styles")),
    )


def read_part(archive: Archive, member: str, handler: Handler, place: Place | None = None) -> None:
    """Stream one member to the handler; raises UnreadableUploadError or UploadTooLargeError for what is wrong."""
    if member not in archive.names:
        raise unreadable(f"its member {shown(member)} is missing")
    try:
        stream(archive.chunks(member), handler)
    except XmlError as error:
        kind = UploadTooLargeError if isinstance(error, XmlTooLargeError) else UnreadableUploadError
        raise kind([Finding("error", f"its member {shown(member)}: {error}", place)]) from None


def _check_kind(names: frozenset[str]) -> None:
    for prefix, what in _OTHERS.items():
        if any(name.startswith(prefix) for name in names):
            raise _wrong_type(f"{what}; save the share pack as .xlsx or YAML")
    if _CONTENT_TYPES not in names:
        raise _wrong_type("a ZIP archive, and no Excel workbook")
    if any(part in name.lower() for name in names for part in _ACTIVE):
        raise _wrong_type("a workbook with macros or embedded objects; save it as a plain .xlsx")


def _check_types(types: list[str]) -> None:
    if any("macroEnabled" in kind or "vbaProject" in kind for kind in types):
        raise _wrong_type("a workbook with macros; save it as a plain .xlsx")
    if not any(kind.endswith(_WORKBOOK_TYPE) for kind in types):
        raise _wrong_type("not an Excel workbook (.xlsx)")


def _sheets(found: list[dict[str, str]], relations: dict[str, tuple[str, str]]) -> tuple[SheetPart, ...]:
    if len(found) > limits.SHEETS:
        names = [entry.get("name", "") for entry in found]
        detail = f"{len(names)} sheets, at most {limits.SHEETS}"
        raise UploadTooLargeError(
            [Finding("error", detail, Place(sheet=name)) for name in names[limits.SHEETS :]]
        )
    return tuple(_sheet(entry, relations) for entry in found)


def _sheet(entry: dict[str, str], relations: dict[str, tuple[str, str]]) -> SheetPart:
    id = entry.get(f"{_OFFICE} id") or entry.get(f"{_STRICT} id") or ""
    if id not in relations or "name" not in entry:
        raise unreadable("its list of sheets names one that is not there")
    kind, member = relations[id]
    return SheetPart(entry["name"], entry.get("state", "visible"), member, kind.endswith("/worksheet"))


def _relations(archive: Archive, folder: str, member: str) -> dict[str, tuple[str, str]]:
    """Id to (type, member)."""
    entries = _Entries("Relationship")
    read_part(archive, member, entries)
    return {
        entry.get("Id", ""): (entry.get("Type", ""), _resolved(folder, entry.get("Target", "")))
        for entry in entries.found
        if entry.get("TargetMode") != "External"
    }


def _resolved(folder: str, target: str) -> str:
    if target.startswith("/"):
        return target[1:]
    parts = folder.split("/") if folder else []
    for part in target.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _plain_styles(archive: Archive, member: str | None) -> tuple[bool, ...]:
    if member is None:
        return ()
    styles = _Styles()
    read_part(archive, member, styles)
    return tuple(styles.plain)


class _Entries:
    """Collects the attributes of the elements of given names."""

    def __init__(self, *names: str) -> None:
        self.found: list[dict[str, str]] = []
        self._names = names

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name in self._names:
            _check_short(attributes.values())
            if len(self.found) >= _ENTRIES:
                raise XmlTooLargeError(f"more than {_ENTRIES:,} entries")
            self.found.append(attributes)

    def end(self, name: str) -> None: ...
    def text(self, data: str) -> None: ...


class _Styles:
    """For each cell style, whether it shows an integer as its digits and nothing else."""

    def __init__(self) -> None:
        self.plain: list[bool] = []
        self._formats = dict(_PLAIN_FORMATS)
        self._in_cells = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "cellXfs":
            self._in_cells = True
        elif name == "xf" and self._in_cells:
            self._room(len(self.plain))
            self.plain.append(self._formats.get(attributes.get("numFmtId", "0"), False))
        elif name == "numFmt":
            _check_short(attributes.values())
            self._room(len(self._formats))
            code = attributes.get("formatCode", "").lower()
            self._formats[attributes.get("numFmtId", "")] = code in _PLAIN_CODES

    def end(self, name: str) -> None:
        if name == "cellXfs":
            self._in_cells = False

    def text(self, data: str) -> None: ...

    def _room(self, taken: int) -> None:
        if taken >= _STYLES:
            raise XmlTooLargeError(f"more than {_STYLES:,} styles")


def _check_short(values: Iterable[str]) -> None:
    if any(len(value) > _ATTRIBUTE_CHARACTERS for value in values):
        raise XmlError(f"an attribute of more than {_ATTRIBUTE_CHARACTERS:,} characters")


def _wrong_type(detail: str) -> UploadTypeError:
    return UploadTypeError([Finding("error", detail)])
