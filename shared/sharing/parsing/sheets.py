"""A workbook's sheets as the same tree that YAML gives: headings are field names, rows are entries.

Rows that repeat a share's name continue its lists; lists are comma-separated; a `data_objects` cell that starts with
`[` is a JSON array.
"""

import json
from typing import Any, NoReturn

from shared.sharing.model import Finding, Place
from shared.sharing.parsing import limits
from shared.sharing.parsing.cells import Budget, Sheet, too_large
from shared.sharing.parsing.document import ENTRIES, MetadataSection
from shared.sharing.parsing.tree import Fields, Items, Leaf, Node
from shared.sharing.text import shown, trimmed, word

SHEETS = {"metadata": "Metadata", "recipient": "Recipients", "share": "Shares", "pipeline": "Pipelines"}
LISTS = frozenset({"allowed_ips", "recipients", "data_objects", "remove_recipients", "remove_data_objects"})
_SHARE_LISTS = LISTS - {"allowed_ips"}


def assemble(sheets: list[Sheet]) -> tuple[Fields, list[Finding]]:
    """The pack's tree, and what is wrong with its rows. Sheets are taken in the order of the workbook."""
    root, findings, budget = Fields(Place()), [], Budget()
    for sheet in sheets:
        section = section_of(sheet.name)
        if section is None or section in root.items:
            detail = f"a second sheet for {section}; put all rows into one"
            findings += [Finding("error", detail, Place(sheet=sheet.name))] if section else []
            continue
        reader = _Rows(sheet, budget)
        root.keys[section] = Place(sheet=sheet.name)
        root.items[section] = reader.metadata() if section == "metadata" else reader.entries(section)
        findings += reader.findings
    return root, findings


def section_of(sheet_name: str) -> str | None:
    """The section that a sheet of this name holds, whatever its case."""
    called = word(sheet_name).lower()
    return next((section for section, name in SHEETS.items() if name.lower() == called), None)


class _Rows:
    """Turns the rows of one sheet into nodes."""

    def __init__(self, sheet: Sheet, budget: Budget) -> None:
        self.findings: list[Finding] = []
        self._sheet, self._budget = sheet, budget
        self._place = Place(sheet=sheet.name)

    def metadata(self) -> Fields:
        """The Field and Value columns as a mapping."""
        columns = self._columns(("field", "value"))
        fields = Fields(self._place)
        for row in self._data_rows():
            cells = {columns[column]: column for column in self._known(row, columns)}
            if "field" not in cells:
                self._fault(row, 1, "a value without the name of its field")
                continue
            self._metadata_field(row, cells, fields)
        return fields

    def _metadata_field(self, row: int, cells: dict[str, int], fields: Fields) -> None:
        name = _heading(self._sheet.rows[row][cells["field"]])
        place = self._sheet.place(row, cells["field"])
        if name in fields.keys:
            self.findings.append(Finding("error", f"{shown(name)} stands twice", place))
        elif name not in MetadataSection.model_fields:
            known = ", ".join(MetadataSection.model_fields)
            self.findings.append(
                Finding("error", f"{shown(name)}: no field of metadata; there are {known}", place)
            )
        elif "value" in cells:
            value = cells["value"]
            fields.keys[name] = self._sheet.place(row, value)
            fields.items[name] = Leaf(self._sheet.rows[row][value], fields.keys[name])
        else:
            fields.keys[name] = place

    def entries(self, section: str) -> Items:
        """Each row as a mapping; the rows of one share as one."""
        columns = self._columns(tuple(ENTRIES[section].model_fields))
        found = Items(self._place)
        shares: dict[str, Fields] = {}
        for row in self._data_rows():
            entry = self._entry(row, columns)
            name = entry.items.get("name")
            key = word(name.text).lower() if section == "share" and isinstance(name, Leaf) else ""
            if key in shares:
                self._continue(shares[key], entry)
                continue
            found.items.append(entry)
            if key:
                shares[key] = entry
        return found

    def _entry(self, row: int, columns: dict[int, str]) -> Fields:
        entry = Fields(self._sheet.place(row, 1))
        for column in self._known(row, columns):
            name, place = columns[column], self._sheet.place(row, column)
            text = self._sheet.rows[row][column]
            entry.items[name] = self._list(name, text, place) if name in LISTS else Leaf(text, place)
        return entry

    def _list(self, name: str, text: str, place: Place) -> Node:
        if name == "data_objects" and trimmed(text).startswith("["):
            return self._json(trimmed(text), place)
        items: list[Node] = []
        for part in text.split(","):
            self._budget.take("", place)
            items.append(Leaf(part, place))
        return Items(place, items)

    def _json(self, text: str, place: Place) -> Node:
        try:
            return self._node(_parsed(text), place, 1)
        except (ValueError, RecursionError) as error:
            told = str(error) if isinstance(error, _JsonError) else "no JSON array"
            if isinstance(error, json.JSONDecodeError):
                told = f"no JSON array: {error.msg} at character {error.colno}"
            self.findings.append(Finding("error", f"data_objects: {told}", place))
            return Items(place)

    def _node(self, value: Any, place: Place, depth: int) -> Node:
        if depth > limits.DEPTH:
            too_large(f"JSON nested more than {limits.DEPTH} deep", place)
        self._budget.take("", place)
        if isinstance(value, list):
            return Items(place, [self._node(item, place, depth + 1) for item in value])
        if isinstance(value, dict):
            items = {key: self._node(item, place, depth + 1) for key, item in value.items()}
            return Fields(place, items)
        return Leaf({True: "true", False: "false", None: ""}.get(value, value), place)

    def _continue(self, share: Fields, entry: Fields) -> None:
        """Add a further row of a share: its lists go on, anything else may only be repeated."""
        for name, node in entry.items.items():
            before = share.items.get(name)
            if before is None:
                share.items[name] = node
            elif isinstance(before, Items) and isinstance(node, Items):
                before.items.extend(self._new(name, before, node))
            elif (
                name != "name"
                and isinstance(before, Leaf)
                and isinstance(node, Leaf)
                and before.text != node.text
            ):
                detail = f"{name}: {before.place.cell} says something else for this share"
                self.findings.append(Finding("error", detail, node.place))

    @staticmethod
    def _new(name: str, before: Items, more: Items) -> list[Node]:
        """What a further row adds. Recipients filled down with the share's name are the same ones, not others."""
        if name == "data_objects":
            return more.items
        there = {word(node.text).lower() for node in before.items if isinstance(node, Leaf)}
        return [
            node for node in more.items if not (isinstance(node, Leaf) and word(node.text).lower() in there)
        ]

    def _columns(self, known: tuple[str, ...]) -> dict[int, str]:
        """Column to field name, as row 1 says."""
        columns: dict[int, str] = {}
        for column, text in self._sheet.rows.get(1, {}).items():
            name = _heading(text)
            if name in columns.values():
                self._fault(1, column, f"the heading {shown(name)} stands twice")
            elif name not in known:
                self._fault(
                    1, column, f"{shown(name)}: no column of {self._sheet.name}; there are {', '.join(known)}"
                )
            else:
                columns[column] = name
        if not columns:
            self._fault(1, 1, f"row 1 holds the headings: {', '.join(known)}")
        return columns

    def _data_rows(self) -> list[int]:
        """The rows below the headings; none where there are no headings to read them by."""
        return [row for row in self._sheet.rows if row > 1 and 1 in self._sheet.rows]

    def _known(self, row: int, columns: dict[int, str]) -> list[int]:
        """The columns of a row that have a name; others are told of."""
        headed = self._sheet.rows.get(1, {})
        for column in self._sheet.rows[row]:
            if column not in headed:
                self._fault(row, column, "a value in a column without a heading")
        return [column for column in self._sheet.rows[row] if column in columns]

    def _fault(self, row: int, column: int, detail: str) -> None:
        if len(self.findings) < limits.FINDINGS:
            self.findings.append(Finding("error", detail, self._sheet.place(row, column)))


class _JsonError(ValueError):
    """JSON that could be read in two ways."""


def _parsed(text: str) -> Any:
    # Numbers stay as written: 1.10 and identifiers of twenty digits are text here.
    return json.loads(
        text, parse_int=str, parse_float=str, parse_constant=_refuse_constant, object_pairs_hook=_unique
    )


def _refuse_constant(name: str) -> NoReturn:
    raise _JsonError(f"{name} is no JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _JsonError(f"{shown(name)} stands twice in one object")
        found[name] = value
    return found


def _heading(text: str) -> str:
    return "_".join(word(text).lower().split())
