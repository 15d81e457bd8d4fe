"""Bicep files as declarations: what a template names, with the syntax tree of each value."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

INFRA = Path(__file__).parents[3] / "infra"
_PARSER = Parser(Language(tree_sitter_bicep.language()))
_KINDS = {
    "parameter_declaration": "param",
    "variable_declaration": "var",
    "resource_declaration": "resource",
    "module_declaration": "module",
    "output_declaration": "output",
}


class BicepError(Exception):
    """The template would not compile, or not deploy."""


@dataclass(frozen=True)
class Declaration:
    """One declaration. `of`: a resource's type with its version, a module's path, a value's primitive type."""

    kind: str
    name: str
    of: str
    value: Node | None
    decorators: dict[str, Node | None]
    existing: bool
    line: int


@dataclass(frozen=True)
class Template:
    """A file: its scope and its declarations by kind and name; outputs are a namespace of their own."""

    path: Path
    scope: str
    declarations: tuple[Declaration, ...]
    root: Node = field(repr=False)

    def of_kind(self, kind: str) -> dict[str, Declaration]:
        """The declarations of a kind, by name."""
        return {each.name: each for each in self.declarations if each.kind == kind}

    @property
    def symbols(self) -> dict[str, Declaration]:
        """What an expression may name."""
        return {each.name: each for each in self.declarations if each.kind != "output"}


def templates() -> list[Path]:
    """Every Bicep file of the repository."""
    return sorted(INFRA.rglob("*.bicep"))


@cache
def parse(path: Path) -> Template:
    """The file's declarations; raises BicepError at the first place that is no Bicep, or where a name comes twice."""
    root = _PARSER.parse(path.read_bytes()).root_node
    for node in walk(root):
        if node.type == "ERROR" or node.is_missing:
            raise BicepError(f"{path.name}:{node.start_point.row + 1}: not Bicep: {text(node)[:60]}")
    found, scope, decorators = [], "resourceGroup", {}
    for node in root.named_children:
        match node.type:
            case "decorators":
                decorators = _decorators(node)
            case "target_scope_assignment":
                scope = literal(node.named_children[0])
            case kind if kind in _KINDS:
                found.append(_declaration(node, decorators))
                decorators = {}
    _refuse_twice(path, found)
    return Template(path, scope, tuple(found), root)


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    yield node
    for child in node.children:
        yield from walk(child)


def text(node: Node) -> str:
    """The node as it is written."""
    return (node.text or b"").decode()


def literal(node: Node) -> str:
    """The text of a string without expressions."""
    if any(child.type == "interpolation" for child in node.children):
        raise BicepError(f"line {node.start_point.row + 1}: must be known before a deployment: {text(node)}")
    return "".join(unescaped(child) for child in node.named_children)


def unescaped(part: Node) -> str:
    """A piece of a string as it is meant."""
    if part.type != "escape_sequence":
        return text(part)
    return {"n": "\n", "r": "\r", "t": "\t"}.get(text(part)[1], text(part)[1])


def _declaration(node: Node, decorators: dict[str, Node | None]) -> Declaration:
    kind, (name, *rest) = _KINDS[node.type], node.named_children
    assigned = [child.type for child in node.children]
    value = rest[-1] if "=" in assigned else None
    of = ""
    if kind in ("resource", "module"):
        of = literal(rest[0])
    elif rest and rest[0].type == "type":
        of = text(rest[0])
    return Declaration(
        kind, text(name), of, value, decorators, "existing" in assigned, node.start_point.row + 1
    )


def _decorators(node: Node) -> dict[str, Node | None]:
    found: dict[str, Node | None] = {}
    for decorator in node.named_children:
        name, arguments = decorator.named_children[0].named_children
        found[text(name)] = arguments.named_children[0] if arguments.named_children else None
    return found


def _refuse_twice(path: Path, found: list[Declaration]) -> None:
    for group in (
        [d.name for d in found if d.kind != "output"],
        [d.name for d in found if d.kind == "output"],
    ):
        twice = {name for name in group if group.count(name) > 1}
        if twice:
            raise BicepError(f"{path.name}: declared twice: {', '.join(sorted(twice))}")


def names_used(template: Template) -> set[str]:
    """Every name that an expression of the template reads."""
    found = set()
    for declared in template.declarations:
        nodes = [declared.value, *declared.decorators.values()]
        for node in (each for start in nodes if start is not None for each in walk(start)):
            if node.type == "identifier" and not _is_label(node):
                found.add(text(node))
    return found


def _is_label(node: Node) -> bool:
    """Whether the identifier names a property or a function, and so no declaration."""
    parent = node.parent
    if parent is None:
        return False
    first = parent.named_children[0] == node
    following = node.next_sibling
    called = parent.type == "array" and following is not None and following.start_byte == node.end_byte
    return called or (parent.type in ("object_property", "call_expression") and first)
