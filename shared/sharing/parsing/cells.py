"""The cells of a workbook as text: what is not text, and could be read in two ways, is a fault at its cell.

Streamed, so a sheet that claims a million rows costs what it really holds.
"""

import re
from dataclasses import dataclass, field
from typing import NoReturn

from shared.sharing.errors import UploadTooLargeError
from shared.sharing.model import Finding, Place
from shared.sharing.parsing import limits
from shared.sharing.parsing.xml_stream import XmlError
from shared.sharing.text import shown, word

_REFERENCE = re.compile(r"([A-Z]{1,3})([1-9][0-9]{0,6})", re.ASCII)
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
_INTEGER = re.compile(r"(-?[0-9]{1,15})(?:\.0+)?", re.ASCII)
_LONG_INTEGER = re.compile(r"-?[0-9]{16,}(?:\.0+)?|-?[0-9.]+[eE]\+?[0-9]+", re.ASCII)
_LAST_ROW = 1_048_576
_RAW_CHARACTERS = 7 * limits.CELL_CHARACTERS  # every character escaped
_AS_TEXT = "format the cell as text and type it again"


class Budget:
    """How much all cells of a workbook may hold together."""

    def __init__(self) -> None:
        self._values = limits.VALUES
        self._characters = limits.TEXT_CHARACTERS

    def take(self, text: str, place: Place | None) -> None:
        """Count one cell; raises UploadTooLargeError when there is no more room."""
        self._values -= 1
        self._characters -= len(text)
        if self._values < 0:
            too_large(f"more than {limits.VALUES:,} cells with a value", place)
        if self._characters < 0:
            too_large(f"its cells hold more than {limits.TEXT_CHARACTERS:,} characters together", place)


class SharedStrings:
    """The table of texts that cells refer to by number; None stands for one that is too long for any cell."""

    def __init__(self) -> None:
        self.texts: list[str | None] = []
        self._budget = Budget()
        self._parts: list[str] = []
        self._length = 0
        self._silent = 0  # depth of phonetic runs, which are no part of the text
        self._in_text = False

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        if name == "si":
            self._parts, self._length = [], 0
        elif name == "rPh":
            self._silent += 1
        elif name == "t":
            self._in_text = not self._silent

    def text(self, data: str) -> None:
        if self._in_text:
            self._length += len(data)
            if self._length <= _RAW_CHARACTERS:
                self._parts.append(data)

    def end(self, name: str) -> None:
        if name == "t":
            self._in_text = False
        elif name == "rPh":
            self._silent -= 1
        elif name == "si":
            text = unescaped("".join(self._parts))
            fits = self._length <= _RAW_CHARACTERS and len(text) <= limits.CELL_CHARACTERS
            self._budget.take(text if fits else "", None)
            self.texts.append(text if fits else None)


@dataclass(slots=True)
class Sheet:
    """The texts of a sheet by row and column (both from 1), and what is wrong with its cells."""

    name: str
    rows: dict[int, dict[int, str]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def place(self, row: int, column: int) -> Place:
        """The place of a cell."""
        return Place(sheet=self.name, cell=f"{column_letters(column)}{row}")

    def fault(self, detail: str, place: Place) -> None:
        """Note an error; after the first thousand of a sheet, nobody reads on."""
        if len(self.findings) < limits.FINDINGS:
            self.findings.append(Finding("error", detail, place))


@dataclass(slots=True)
class _Cell:
    """The cell that is being read."""

    row: int
    column: int
    type: str
    style: str
    formula: bool = False
    parts: list[str] = field(default_factory=list)
    length: int = 0


class SheetReader:
    """Listens to a worksheet and fills a Sheet. Raises UploadTooLargeError at the cell that is over a limit."""

    def __init__(
        self, name: str, strings: list[str | None], plain_styles: tuple[bool, ...], budget: Budget
    ) -> None:
        self.sheet = Sheet(name)
        self._strings, self._plain_styles, self._budget = strings, plain_styles, budget
        self._row = self._column = 0
        self._row_hidden = False
        self._hidden_columns: list[tuple[int, int]] = []
        self._cell: _Cell | None = None
        self._taking = False
        self._silent = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if self._cell is not None:
            self._within_cell(name)
        elif name == "c":
            self._begin_cell(attributes)
        elif name == "row":
            self._begin_row(attributes)
        elif name == "mergeCell":
            self._merge(attributes.get("ref", ""))
        elif name == "col" and attributes.get("hidden") in ("1", "true"):
            self._hide_columns(attributes)

    def text(self, data: str) -> None:
        if self._taking and self._cell is not None:
            self._cell.length += len(data)
            if self._cell.length > _RAW_CHARACTERS:
                self._too_long(self._cell)
            self._cell.parts.append(data)

    def end(self, name: str) -> None:
        if name in ("v", "t"):
            self._taking = False
        elif name == "rPh":
            self._silent -= 1
        elif name == "c" and self._cell is not None:
            self._conclude(self._cell)
            self._cell = None

    def _begin_row(self, attributes: dict[str, str]) -> None:
        row = _number(attributes["r"]) if "r" in attributes else self._row + 1
        if not self._row < row <= _LAST_ROW:
            raise XmlError(f"row {row} stands out of order")
        self._row, self._column = row, 0
        self._row_hidden = attributes.get("hidden") in ("1", "true")

    def _begin_cell(self, attributes: dict[str, str]) -> None:
        column = self._column + 1
        if "r" in attributes:
            found = _REFERENCE.fullmatch(attributes["r"])
            if not found or int(found[2]) != self._row:
                raise XmlError(f"a cell called {shown(attributes['r'])} in row {self._row}")
            column = column_number(found[1])
        if column <= self._column:
            raise XmlError(f"cell {column_letters(column)}{self._row} is there twice, or out of order")
        self._column = column
        self._cell = _Cell(self._row, column, attributes.get("t", "n"), attributes.get("s", "0"))

    def _within_cell(self, name: str) -> None:
        if name == "f" and self._cell is not None:
            self._cell.formula = True
        elif name == "rPh":
            self._silent += 1
        elif name in ("v", "t"):
            self._taking = not self._silent

    def _hide_columns(self, attributes: dict[str, str]) -> None:
        if len(self._hidden_columns) > limits.FINDINGS:
            raise XmlError("more hidden columns than a sheet has")
        self._hidden_columns.append((_number(attributes.get("min", "")), _number(attributes.get("max", ""))))

    def _merge(self, reference: str) -> None:
        first = reference.partition(":")[0]
        cell = first if _REFERENCE.fullmatch(first) else None
        where = Place(sheet=self.sheet.name, cell=cell)
        self.sheet.fault(f"merged cells {shown(reference)}; unmerge them, and fill each cell", where)

    def _conclude(self, cell: _Cell) -> None:
        place = self.sheet.place(cell.row, cell.column)
        text, fault = self._read(cell)
        if cell.formula:
            fault = "a formula; replace it by its value"
        if fault:
            self.sheet.fault(fault, place)
        if not word(text):
            return
        self._check_position(cell, place)
        if len(text) > limits.CELL_CHARACTERS:
            self._too_long(cell)
        self._budget.take(text, place)
        self.sheet.rows.setdefault(cell.row, {})[cell.column] = text

    def _read(self, cell: _Cell) -> tuple[str, str | None]:
        """The cell's text, and what makes it doubtful."""
        raw = "".join(cell.parts)
        if cell.type in ("inlineStr", "str"):
            return unescaped(raw), None
        raw = raw.strip()
        if not raw:
            return "", None
        if cell.type == "s":
            return self._shared(cell, raw), None
        if cell.type == "n":
            return self._number_text(cell, raw)
        return raw, _TYPE_FAULTS.get(cell.type, "{}: a kind of cell that is not known here").format(
            shown(raw)
        )

    def _shared(self, cell: _Cell, raw: str) -> str:
        index = _number(raw)
        if index >= len(self._strings):
            raise XmlError(f"cell {column_letters(cell.column)}{cell.row} refers to a text that is not there")
        text = self._strings[index]
        if text is None:
            self._too_long(cell)
        return text

    def _number_text(self, cell: _Cell, raw: str) -> tuple[str, str | None]:
        whole = _INTEGER.fullmatch(raw)
        if whole and self._shows_digits(cell.style):
            return whole[1], None
        if _LONG_INTEGER.fullmatch(raw):
            return raw, f"a number of more than 15 digits, which Excel rounds; {_AS_TEXT}"
        if whole:
            return raw, f"a number that is shown as a date or in another format; {_AS_TEXT}"
        return raw, f"the number {shown(raw)} may have been written differently, such as 1.10; {_AS_TEXT}"

    def _shows_digits(self, style: str) -> bool:
        index = _number(style)
        if not self._plain_styles:
            return index == 0
        if index >= len(self._plain_styles):
            raise XmlError(f"a style {index} that is not there")
        return self._plain_styles[index]

    def _check_position(self, cell: _Cell, place: Place) -> None:
        if cell.row > limits.ROWS + 1:
            too_large(f"more than {limits.ROWS:,} rows below the headings", place)
        if cell.column > limits.COLUMNS:
            too_large(f"more than {limits.COLUMNS} columns", place)
        if self._row_hidden:
            self.sheet.fault("in a hidden row; show or delete it", place)
        if any(low <= cell.column <= high for low, high in self._hidden_columns):
            self.sheet.fault("in a hidden column; show or delete it", place)

    def _too_long(self, cell: _Cell) -> NoReturn:
        place = self.sheet.place(cell.row, cell.column)
        too_large(f"a cell of more than {limits.CELL_CHARACTERS:,} characters", place)


_TYPE_FAULTS = {
    "b": f"a TRUE/FALSE value; {_AS_TEXT}",
    "e": "the error value {}; mend it",
    "d": f"a date; {_AS_TEXT}",
}


def unescaped(text: str) -> str:
    """What `_x000D_` and its like stand for."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)


def column_letters(column: int) -> str:
    """`A` for 1, `AA` for 27."""
    letters = ""
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def column_number(letters: str) -> int:
    """1 for `A`, 27 for `AA`."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number


def too_large(detail: str, place: Place | None) -> NoReturn:
    """Refuse the file at the place where it is over a limit."""
    raise UploadTooLargeError([Finding("error", detail, place)])


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII):
        raise XmlError(f"{shown(text)} where a number belongs")
    return int(text)
