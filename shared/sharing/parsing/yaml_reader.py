"""YAML of plain data: every scalar is text, and nothing refers to anything else.

Composed from parse events, so no value is ever guessed (`no`, `1.20`, `12:30:45` stay as written), no alias unfolds
and depth and size are known before anything is built.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from io import StringIO
from itertools import islice
from typing import Any

from shared.sharing.errors import UnreadableUploadError, UploadTooLargeError
from shared.sharing.model import Finding, Place
from shared.sharing.parsing import limits
from shared.sharing.parsing.tree import Fields, Items, Leaf, Node
from shared.sharing.text import character_name, shown

_UNSEEN = re.compile("[^\t\r -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_SECTION_DEPTH = 2
_DIRECTIVE = re.compile("^%", re.MULTILINE)
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


def read_yaml(text: str) -> tuple[Node | None, list[Finding]]:
    """The one document and what is wrong with its form; None for an empty file.

    Raises UnreadableUploadError where it is no YAML, UploadTooLargeError where it nests or holds too much.
    """
    import yaml

    _refuse_unseen(text)
    _refuse_directives(text)
    composer = _Composer()
    try:
        # The C parser is five times as fast; wheels have it, other builds may not.
        composer.run(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.MarkedYAMLError as error:
        # What never ends is to be mended where it begins.
        endless = "end of stream" in str(error.problem)
        mark = (error.context_mark if endless else None) or error.problem_mark or error.context_mark
        raise _unreadable(f"not YAML: {error.problem}", mark.line + 1 if mark else None) from None
    except yaml.YAMLError:
        raise _unreadable("not YAML", None) from None
    return composer.root, composer.findings


def _refuse_unseen(text: str) -> None:
    """Characters that YAML forbids, or that would make its lines others than an editor's."""
    found = (
        Finding(
            "error",
            f"contains {character_name(character)}; remove it, or escape it in quotes",
            Place(line=line),
        )
        for line, content in enumerate(StringIO(text, newline="\n"), 1)
        for character in dict.fromkeys(_UNSEEN.findall(content.rstrip("\n")))
    )
    first = list(islice(found, limits.FINDINGS))
    if first:
        raise UnreadableUploadError(first)


def _refuse_directives(text: str) -> None:
    """None is of use here, and the C parser compares each with all before."""
    directive = _DIRECTIVE.search(text)
    if directive:
        raise _unreadable("a YAML directive; remove it", text.count("\n", 0, directive.start()) + 1)


def _unreadable(detail: str, line: int | None) -> UnreadableUploadError:
    return UnreadableUploadError([Finding("error", detail, Place(line=line) if line else None)])


@dataclass(slots=True)
class _Open:
    """A container that is being filled; `key` waits for its value, `kept` is False where that is thrown away."""

    node: Items | Fields
    key: str | None = None
    kept: bool = True


class _Composer:
    """Builds the tree of the first document from events; faults of form are collected, limits raise."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.findings: list[Finding] = []
        self._open: list[_Open] = []
        self._documents = 0
        self._values = 0

    def run(self, events: Iterable[Any]) -> None:
        """Take every event up to the end, or to a second document."""
        for event in events:
            kind = type(event).__name__
            line = event.start_mark.line + 1 if event.start_mark else 1
            if kind == "DocumentStartEvent" and not self._begin(line):
                return
            if kind in ("SequenceEndEvent", "MappingEndEvent"):
                self._open.pop()
            elif kind in ("ScalarEvent", "AliasEvent", "SequenceStartEvent", "MappingStartEvent"):
                self._node(kind, event, line)

    def _begin(self, line: int) -> bool:
        self._documents += 1
        if self._documents > 1:
            self._fault(line, "a second document begins; a share pack is one document")
        return self._documents == 1

    def _node(self, kind: str, event: Any, line: int) -> None:
        self._count(line)
        self._refuse_features(kind, event, line)
        node: Node
        if kind == "SequenceStartEvent":
            node = Items(Place(line=line))
        elif kind == "MappingStartEvent":
            node = Fields(Place(line=line))
        else:
            node = Leaf(self._scalar(kind, event, line), Place(line=line))
        self._place(node, kind, event, line)
        if not isinstance(node, Leaf):
            if len(self._open) >= limits.DEPTH:
                raise _too_large(line, f"nested more than {limits.DEPTH} deep")
            self._open.append(_Open(node))

    def _count(self, line: int) -> None:
        self._values += 1
        if self._values > limits.VALUES:
            raise _too_large(line, f"more than {limits.VALUES:,} values")

    def _refuse_features(self, kind: str, event: Any, line: int) -> None:
        if kind == "AliasEvent":
            self._fault(line, f"alias *{event.anchor}: aliases are not allowed; write the value out")
            return
        if event.anchor is not None:
            self._fault(line, f"anchor &{event.anchor}: anchors are not allowed")
        if event.tag is not None:
            self._fault(line, f"tag {shown(event.tag)}: tags are not allowed; every value is text")

    def _scalar(self, kind: str, event: Any, line: int) -> str:
        if kind == "AliasEvent":
            return ""
        value: str = event.value
        if len(value) > limits.CELL_CHARACTERS:
            raise _too_large(line, f"a value of more than {limits.CELL_CHARACTERS:,} characters")
        return "" if not event.style and value in _NULLS else value

    def _place(self, node: Node, kind: str, event: Any, line: int) -> None:
        if not self._open:
            self.root = node
            return
        top = self._open[-1]
        if isinstance(top.node, Items):
            if len(self._open) == _SECTION_DEPTH and len(top.node.items) >= limits.ROWS:
                raise _too_large(line, f"a section of more than {limits.ROWS:,} entries")
            top.node.items.append(node)
        elif top.key is None:
            self._key(top, top.node, node, plain=kind == "ScalarEvent" and not event.style, line=line)
        else:
            if top.kept:
                top.node.items[top.key] = node
            top.key = None

    def _key(self, top: _Open, mapping: Fields, node: Node, *, plain: bool, line: int) -> None:
        top.key, top.kept = node.text if isinstance(node, Leaf) else "", False
        if not isinstance(node, Leaf):
            self._fault(line, "a list or mapping stands where a field's name is expected")
        elif plain and node.text == "<<":
            self._fault(line, "merge key <<: merging is not allowed; write the fields out")
        elif node.text in mapping.keys:
            first = mapping.keys[node.text].line
            self._fault(line, f"{shown(node.text)} stands twice in this mapping, first in line {first}")
        else:
            top.kept = True
            mapping.keys[node.text] = node.place

    def _fault(self, line: int, detail: str) -> None:
        if len(self.findings) <= limits.FINDINGS:
            self.findings.append(Finding("error", detail, Place(line=line)))


def _too_large(line: int, detail: str) -> UploadTooLargeError:
    return UploadTooLargeError([Finding("error", detail, Place(line=line))])
