"""Uploaded bytes -> Parsed: the format is told from the content, limits precede parsing, faults come all at once."""

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Literal

from shared.sharing import rules
from shared.sharing.errors import (
    InvalidPackError,
    UnreadableUploadError,
    UploadError,
    UploadTooLargeError,
    UploadTypeError,
)
from shared.sharing.model import Finding, Place, SharePack
from shared.sharing.parsing import limits
from shared.sharing.parsing.document import Draft, draft
from shared.sharing.parsing.tree import Fields, Node, Path, locate

Format = Literal["yaml", "xlsx"]
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "a legacy or password-protected Office file; save it as a plain .xlsx",
    ),
    (b"%PDF", "a PDF file"),
    (b"{\\rtf", "an RTF file"),
    (b"\x1f\x8b", "a gzip file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF8", "an image"),
)
_MARKS: tuple[tuple[bytes, str], ...] = (
    (b"\xef\xbb\xbf", "begins with a byte-order mark; save it as UTF-8 without one"),
    (b"\xff\xfe", "in UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "in UTF-16; save it as UTF-8"),
)
_ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_EXTENSIONS: dict[str, Format] = {".yaml": "yaml", ".yml": "yaml", ".xlsx": "xlsx"}
_SHOWN_AS: dict[Format, str] = {"yaml": "YAML text", "xlsx": "an Excel workbook"}


@dataclass(frozen=True, slots=True)
class Parsed:
    """An upload that could be read. `draft` holds what of the pack is well formed: all of it if there is no error.

    `content_hash` is the SHA-256 of the bytes, in hex. `checked` adds what the rules say; then `pack` is safe to use.
    Of entries that are broken only the names are kept, in `lost`; cells that cannot be trusted are `doubtful`.
    """

    format: Format
    content_hash: str
    draft: SharePack
    findings: tuple[Finding, ...]
    lost: frozenset[str]
    doubtful: frozenset[Place]
    place_of: Callable[[Path], Place | None]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What forbids to store the pack."""
        return tuple(each for each in self.findings if each.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What its author should know."""
        return tuple(each for each in self.findings if each.severity == "warning")

    @property
    def pack(self) -> SharePack:
        """The pack; raises InvalidPackError with every error that was found."""
        if self.errors:
            raise InvalidPackError(self.errors)
        return self.draft

    def checked(self, known: Collection[str] = ()) -> "Parsed":
        """With the business rules' findings; `known` are recipients managed already, lower case."""
        found = rules.check(self.draft, known=self.lost | frozenset(known), place_of=self.place_of)
        found = [each for each in found if each.place not in self.doubtful]
        if self.errors:
            # Half a pack lacks things for another reason than its author's.
            found = [each for each in found if each.severity == "error"]
        return replace(self, findings=_bounded(_in_order([*self.findings, *found])))


def parse_upload(content: bytes, filename: str | None = None) -> Parsed:
    """What the file says, and all that is wrong with its form, each with its place.

    Raises UploadTooLargeError (413), UploadTypeError (415), UnreadableUploadError (400), and InvalidPackError (422)
    for a file without any section.
    """
    if len(content) > limits.UPLOAD_BYTES:
        raise UploadTooLargeError([_error(f"larger than {limits.UPLOAD_BYTES // limits.MIB} MiB")])
    format: Format = "xlsx" if content.startswith(_ARCHIVES) else "yaml"
    tree, findings = _workbook(content) if format == "xlsx" else _yaml(content)
    if not isinstance(tree, Fields):
        raise InvalidPackError([*findings, _error(_EMPTY)])
    made = draft(tree)
    doubtful = frozenset(each.place for each in findings if each.place is not None and each.place.cell)
    found = [*_name_doubts(filename, format), *findings, *_placed(made, tree, doubtful)]
    return Parsed(
        format=format,
        content_hash=hashlib.sha256(content).hexdigest(),
        draft=made.pack,
        findings=_bounded(_in_order(found)),
        lost=made.lost,
        doubtful=doubtful,
        place_of=lambda path: _somewhere(locate(made.tree, path)),
    )


_EMPTY = "no share pack: the sections metadata, recipient, share and pipeline are expected"


def _yaml(content: bytes) -> tuple[Node | None, list[Finding]]:
    from shared.sharing.parsing.yaml_reader import read_yaml

    return read_yaml(_decoded(content))


def _workbook(content: bytes) -> tuple[Node | None, list[Finding]]:
    from shared.sharing.parsing.workbook import read_workbook

    return read_workbook(content)


def _decoded(content: bytes) -> str:
    """The text of a YAML file; raises for anything that is not UTF-8 text."""
    for signature, what in _SIGNATURES:
        if content.startswith(signature):
            raise UploadTypeError([_error(f"{what}, neither YAML nor an Excel workbook")])
    for mark, what in _MARKS:
        if content.startswith(mark):
            raise UnreadableUploadError([_error(what)])
    if b"\0" in content:
        raise _binary(content)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        detail = "not UTF-8 text; save it as UTF-8"
        raise UnreadableUploadError([Finding("error", detail, Place(line=line))]) from None


def _binary(content: bytes) -> UploadError:
    sample = content[:64]
    if len(sample) > 3 and (not any(sample[0:8:2]) or not any(sample[1:8:2])):
        return UnreadableUploadError([_error("in UTF-16; save it as UTF-8")])
    return UploadTypeError([_error("binary data, neither YAML nor an Excel workbook")])


def _name_doubts(filename: str | None, format: Format) -> list[Finding]:
    """A name that promises another format is worth a word; what counts is the content."""
    promised = _EXTENSIONS.get(PurePath(filename or "").suffix.lower(), format)
    if promised == format:
        return []
    told = (
        f"the file's name promises {_SHOWN_AS[promised]}; it holds {_SHOWN_AS[format]}, and was read as that"
    )
    return [Finding("warning", told)]


def _placed(made: Draft, tree: Node, doubtful: Collection[Place]) -> list[Finding]:
    """The draft's faults with their places; nothing more about a cell whose content is in doubt already."""
    found = (Finding("error", detail, _somewhere(locate(tree, path))) for path, detail in made.faults)
    return [each for each in found if each.place not in doubtful]


def _somewhere(place: Place) -> Place | None:
    return None if place == Place() else place


def _in_order(findings: list[Finding]) -> list[Finding]:
    """Each once, by line, or by sheet, row and column."""
    return sorted(dict.fromkeys(findings), key=_position)


def _position(finding: Finding) -> tuple[str, int, int, str]:
    place = finding.place or Place()
    letters = (place.cell or "").rstrip("0123456789")
    row = int((place.cell or "")[len(letters) :] or 0)
    return (place.sheet or "", place.line or row, len(letters), letters)


def _bounded(findings: list[Finding]) -> tuple[Finding, ...]:
    if len(findings) <= limits.FINDINGS:
        return tuple(findings)
    more = _error(f"there is more than these {limits.FINDINGS:,}; mend them first")
    return (*findings[: limits.FINDINGS], more)


def _error(detail: str) -> Finding:
    return Finding("error", detail)
