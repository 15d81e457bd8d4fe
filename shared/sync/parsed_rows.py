"""What both decoders hand over: the members of a page's rows, by column."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.sync.cells import Cells
from shared.sync.page_json import Positions

DATA, KEYS, TOP, VERSION_MEMBER = "data", "oracle_keys", "", "row_version"
SECTIONS = (DATA, KEYS)


@dataclass(frozen=True, slots=True)
class ParsedRows:
    """Cells by (section, name): section "" holds the row's own scalar members, `data` and `oracle_keys`
    theirs."""

    height: int
    cells: Mapping[tuple[str, str], Cells]
    body: bytes
    row_starts: Positions
    row_ends: Positions

    def raw(self, row: int) -> bytes:
        """The row as the source spelt it."""
        return self.body[int(self.row_starts[row]) : int(self.row_ends[row])]
