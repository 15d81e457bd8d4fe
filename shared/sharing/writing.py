"""A share pack as the files people write: for templates and examples, and to show that both formats say the same."""

import json
import re
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from shared.sharing.model import SharePack
from shared.sharing.stored import to_document

if TYPE_CHECKING:
    from openpyxl.worksheet.worksheet import Worksheet

COLUMNS = {
    "Metadata": ("Field", "Value"),
    "Recipients": (
        "name",
        "type",
        "email",
        "metastore_id",
        "allowed_ips",
        "comment",
        "token_expiry_days",
    ),
    "Shares": ("name", "comment", "recipients", "data_objects", "remove_recipients", "remove_data_objects"),
    "Pipelines": ("name", "type", "schedule", "source", "destination", "comment"),
}
_SECTIONS = {"recipient": "recipients", "share": "shares", "pipeline": "pipelines"}
_SHARE_LISTS = COLUMNS["Shares"][2:]
_CELL_CHARACTERS = 4_000  # a little under what a reader takes
_ESCAPED = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")


def to_yaml(pack: SharePack) -> str:
    """YAML that parses back to an equal pack."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    document = to_document(pack)
    filled = {name: document[key] for name, key in _SECTIONS.items() if document[key]}
    sections = {name: [_brief(each) for each in entries] for name, entries in filled.items()}
    return yaml.dump(
        {"metadata": document["metadata"], **sections},
        Dumper=Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )


def to_workbook(pack: SharePack) -> bytes:
    """A workbook that parses back to an equal pack; every cell is text.

    A share whose lists outgrow a cell goes on in further rows. Raises ValueError for one object that does.
    """
    from openpyxl import Workbook

    document = to_document(pack)
    book = Workbook()
    assert book.active is not None
    book.remove(book.active)
    for name, columns in COLUMNS.items():
        sheet = book.create_sheet(name)
        _write(sheet, 1, columns)
        for position, row in enumerate(_rows(name, document), 2):
            _write(sheet, position, row)
    target = BytesIO()
    book.save(target)
    return target.getvalue()


def _brief(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry as a person would write it: no empty lists, and plain names where an object is nothing more."""
    made = {name: value for name, value in entry.items() if value != [] or name == "allowed_ips"}
    if "data_objects" in made:
        made["data_objects"] = [_short(each) for each in made["data_objects"]]
    return made


def _short(wanted: dict[str, Any]) -> Any:
    return wanted["name"] if len(wanted) == 1 else wanted


def _rows(sheet: str, document: dict[str, Any]) -> Iterator[Sequence[str]]:
    if sheet == "Metadata":
        yield from document["metadata"].items()
        return
    for entry in document[sheet.lower()]:
        rows = _share_rows(entry) if sheet == "Shares" else [entry]
        for row in rows:
            yield [_cell(row.get(column)) for column in COLUMNS[sheet]]


def _share_rows(share: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The share's row, and as many more as its longest list needs."""
    lists = {field: list(_cells(share[field])) for field in _SHARE_LISTS}
    for index in range(max(1, *(len(cells) for cells in lists.values()))):
        row = {field: cells[index] for field, cells in lists.items() if index < len(cells)}
        yield {"name": share["name"], **({} if index else {"comment": share.get("comment")}), **row}


def _cells(items: Sequence[Any]) -> Iterator[str]:
    """The items in as many cells as they need: names with commas, or JSON where one is more than its name."""
    written = [_short(each) if isinstance(each, dict) else each for each in items]
    as_json = any(isinstance(each, dict) for each in written)
    parts = [json.dumps(each, ensure_ascii=False) for each in written] if as_json else written
    chunk: list[str] = []
    for part in parts:
        if len(part) > _CELL_CHARACTERS - 2:
            raise ValueError("a data object that does not fit into a cell; write this pack as YAML")
        if sum(len(each) + 2 for each in chunk) + len(part) > _CELL_CHARACTERS - 2:
            yield _joined(chunk, as_json)
            chunk = []
        chunk.append(part)
    if chunk:
        yield _joined(chunk, as_json)


def _joined(parts: Sequence[str], as_json: bool) -> str:
    return f"[{', '.join(parts)}]" if as_json else ", ".join(parts)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return "" if value is None else str(value)


def _write(sheet: "Worksheet", row: int, values: Sequence[str]) -> None:
    for column, value in enumerate(values, 1):
        if value:
            cell = sheet.cell(row, column, _ESCAPED.sub("_x005F_", value))
            # A text that begins with = must stay text.
            cell.data_type = "s"
            cell.number_format = "@"
