"""What both readers produce: text in lists and mappings, each piece knowing its place in the upload."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from shared.sharing import text
from shared.sharing.model import Place

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A piece of text, as written."""

    text: str
    place: Place

    @property
    def blank(self) -> bool:
        """Whether it says nothing: only spaces, or characters without width."""
        return not text.word(self.text)


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    place: Place
    items: list["Node"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping; `keys` are the places of its keys."""

    place: Place
    items: dict[str, "Node"] = field(default_factory=dict)
    keys: dict[str, Place] = field(default_factory=dict)


Node = Leaf | Items | Fields


def plain(node: Node) -> Any:
    """Strings, lists and dicts; a mapping's blank members are left out, for blank means absent."""
    if isinstance(node, Leaf):
        return node.text
    if isinstance(node, Items):
        return [plain(item) for item in node.items]
    return {key: plain(value) for key, value in node.items.items() if not _blank(value)}


def locate(root: Node, path: Path) -> Place:
    """The place of the piece at `path`; of the last one on the way to it that exists."""
    node, place = root, root.place
    for step in path:
        if isinstance(node, Fields) and isinstance(step, str):
            found = node.items.get(step)
            place = node.keys.get(step, found.place if found else place)
            if found is None:
                break
            node = found
        elif isinstance(node, Items) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
            place = node.place
        else:
            break
    return place


def prune(node: Node, cuts: Collection[Path], path: Path = ()) -> Node | None:
    """The tree without what stands at `cuts`; None where that is all of it."""
    if path in cuts:
        return None
    if isinstance(node, Items):
        kept = (prune(item, cuts, (*path, index)) for index, item in enumerate(node.items))
        return Items(node.place, [item for item in kept if item is not None])
    if isinstance(node, Fields):
        pairs = ((key, prune(value, cuts, (*path, key))) for key, value in node.items.items())
        return Fields(node.place, {key: value for key, value in pairs if value is not None}, node.keys)
    return node


def _blank(node: Node) -> bool:
    return isinstance(node, Leaf) and node.blank
