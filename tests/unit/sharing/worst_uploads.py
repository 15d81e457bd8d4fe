"""The uploads that cost the most memory: the worst that each limit still lets through."""

from shared.sharing.parsing import limits
from tests.unit.sharing import workbooks
from tests.unit.sharing.test_hostile_workbooks import STRING, filled

MOST = limits.VALUES - 20
_HEAD = "metadata: {requestor: a@b.cc, project_name: x, business_line: y, strategy: NEW}\n"
_SHARE = _HEAD + "share:\n- name: x\n"


def cells_of(text: str) -> bytes:
    """A workbook stored without compression, each of its data_objects cells holding the text."""
    room = (limits.UPLOAD_BYTES - 20_000) // (len(text) + 260)
    rows = [workbooks.SHARES[0], *[[f"s{n}", "", "", text] for n in range(min(room, 4_000))]]
    return workbooks.pack_parts(workbooks.parts_of(workbooks.sheet("Shares", rows)), 0)


def text_without_end() -> str:
    """What would take four bytes a character, for its one wide one."""
    return "\U0001f600" + filled(28 * limits.MIB, "x" * 20)


WORST = {
    "endless shared string": workbooks.pack_parts(
        workbooks.parts_of(workbooks.changed("Shares", "A2", STRING), strings=f"<si><t>{text_without_end()}</t></si>")
    ),
    "endless cell": workbooks.workbook(workbooks.changed("Shares", "B2", text_without_end())),
    "names": _SHARE + f"  data_objects: [{'c.s.t,' * MOST}]",
    "objects without a name": _SHARE + f"  data_objects: [{'{},' * MOST}]",
    "objects with a wrong field": _SHARE + f"  data_objects: [{'{q: a},' * (MOST // 2)}]",
    "lists where text belongs": _SHARE + f"  recipients: [{'[],' * MOST}]",
    "partitions": _SHARE + f"  data_objects: [{'{name: a.b.c, partitions: [{values: [{}]}]},' * (MOST // 7)}]",
    "entries without fields": _HEAD + "".join(f"{s}:\n" + "- {}\n" * 5_000 for s in ("recipient", "share", "pipeline")),
    "fields that nobody knows": _HEAD + "share: [{" + ",".join(f"k{n}: a" for n in range(MOST)) + "}]",
    "anchors": _SHARE + f"  recipients: [{'&a b,' * MOST}]",
    "full sheets": workbooks.workbook(
        {name: workbooks.worksheet([*rows, *[[f"{name}{n}"] * len(rows[0]) for n in range(1_800)]])
         for name, rows in {**workbooks.SHEETS, "Pipelines": workbooks.PIPELINES}.items()}
    ),
    "lists": cells_of("a," * 900),
    "objects in JSON": cells_of("[" + "{}," * 900 + "{}]"),
    "merged cells": workbooks.workbook(
        workbooks.sheet("Shares", workbooks.SHARES, tail="".join(f'<mergeCell ref="A{n}:B{n}"/>' for n in range(1, 90_000)))
    ),
}  # fmt: skip
