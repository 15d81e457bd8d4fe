"""XML of untrusted workbooks, streamed: nothing is kept but what the handler keeps.

expat itself remembers names, open elements and unfinished tokens; each of these is bounded here, for a file of a few
kilobytes could otherwise fill gigabytes. Document types, and with them all entities, are refused.
"""

from collections.abc import Iterable
from typing import Protocol
from xml.parsers import expat

from shared.sharing.parsing import limits

_NAMESPACES = {
    "http://schemas.openxmlformats.org/spreadsheetml/2006/main",
    "http://purl.oclc.org/ooxml/spreadsheetml/main",  # Excel's "Strict Open XML"
    "http://schemas.openxmlformats.org/package/2006/relationships",
    "http://schemas.openxmlformats.org/package/2006/content-types",
}
_DEPTH = 64
_NAMES = 2_000
_TOKEN_BYTES = 256 * 1024
_NO_ATTRIBUTES: dict[str, str] = {}


class XmlError(Exception):
    """Not well-formed, or not what a workbook would hold."""


class XmlTooLargeError(XmlError):
    """More than is read of any workbook."""


class Handler(Protocol):
    """Who listens. Elements of other namespaces, and all within them, are left out; text may come in pieces."""

    def start(self, name: str, attributes: dict[str, str]) -> None: ...
    def end(self, name: str) -> None: ...
    def text(self, data: str) -> None: ...


def stream(chunks: Iterable[bytes], handler: Handler) -> None:
    """Tell the handler of every element in turn; raises XmlError."""
    listener = _Listener(handler)
    parser = listener.parser
    fed = 0
    try:
        for chunk in chunks:
            parser.Parse(chunk, False)
            fed += len(chunk)
            if fed - parser.CurrentByteIndex > _TOKEN_BYTES:
                raise XmlTooLargeError(f"a single element's head takes more than {_TOKEN_BYTES:,} bytes")
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise XmlError(f"not well-formed XML: {expat.ErrorString(error.code)}") from None


class _Listener:
    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._names: dict[str, str] = {}
        self._depth = self._elements = 0
        self._foreign_at = 0  # the depth of the outermost foreign element, 0 outside
        self.parser = expat.ParserCreate(namespace_separator=" ", intern=self._names)
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartNamespaceDeclHandler = self._prefix

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._elements += 1
        if self._elements > limits.XML_ELEMENTS:
            raise XmlTooLargeError(f"more than {limits.XML_ELEMENTS:,} elements")
        if self._depth > _DEPTH or len(self._names) > _NAMES:
            raise XmlTooLargeError(
                f"elements nest more than {_DEPTH} deep, or have more than {_NAMES:,} names"
            )
        if self._foreign_at:
            return
        namespace, _, local = name.rpartition(" ")
        if namespace in _NAMESPACES:
            self._handler.start(local, attributes or _NO_ATTRIBUTES)
        else:
            self._foreign_at = self._depth

    def _end(self, name: str) -> None:
        if not self._foreign_at:
            self._handler.end(name.rpartition(" ")[2])
        elif self._foreign_at == self._depth:
            self._foreign_at = 0
        self._depth -= 1

    def _text(self, data: str) -> None:
        if not self._foreign_at:
            self._handler.text(data)

    def _prefix(self, _prefix: str | None, _uri: str | None) -> None:
        """Heard so that prefixes count among the names."""

    def _doctype(self, *_: object) -> None:
        raise XmlError("a document type declaration; workbooks have none")
