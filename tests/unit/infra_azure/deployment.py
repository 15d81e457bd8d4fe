"""What a template would deploy: a small evaluator of the Bicep that we write.

It stands in for the compiler, which no package index carries: it knows names, modules' contracts, loops, conditions
and the functions listed below, and refuses the rest. It knows no resource's schema.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tree_sitter import Node

from tests.unit.infra_azure.functions import CONTEXT, GROUP, functions
from tests.unit.infra_azure.syntax import (
    BicepError,
    Declaration,
    Template,
    literal,
    parse,
    text,
    unescaped,
    walk,
)

_PRIMITIVES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "int": int,
    "bool": bool,
    "array": list,
    "object": dict,
}


class Runtime(str):
    """A value that only a deployment knows, as the path that reads it."""

    __slots__ = ()


@dataclass(frozen=True)
class Resource:
    """A resource to be deployed, or an existing one. `body` is everything but name, parent, scope and dependsOn."""

    symbol: str
    type: str
    version: str
    name: str
    existing: bool
    body: dict[str, Any]
    scope: "Resource | None"
    file: Path

    @property
    def id(self) -> str:
        """As resource ids are written."""
        if self.type == "Microsoft.Resources/resourceGroups":
            return f"{CONTEXT['subscription']['id']}/resourceGroups/{self.name}"
        names, (provider, *kinds) = self.name.split("/"), self.type.split("/")
        pairs = "/".join(f"{kind}/{name}" for kind, name in zip(kinds, names, strict=True))
        return f"{self.scope.id if self.scope else GROUP}/providers/{provider}/{pairs}"


@dataclass
class Deployed:
    """A template with its parameters put in."""

    template: Template
    parameters: dict[str, Any]
    outputs: dict[str, Any] = field(default_factory=dict)
    resources: list[Resource] = field(default_factory=list)
    modules: dict[str, "Deployed"] = field(default_factory=dict)

    def everything(self) -> list[Resource]:
        """The resources of this template and of its modules."""
        return [*self.resources, *(each for module in self.modules.values() for each in module.everything())]

    def of_type(self, kind: str) -> list[Resource]:
        """The deployed resources of a type."""
        return [each for each in self.everything() if each.type == kind and not each.existing]


def deploy(path: Path, parameters: Mapping[str, Any]) -> Deployed:
    """Evaluate the whole template; raises BicepError where a deployment would be refused."""
    return _Evaluator(parse(path), parameters).run()


class _Evaluator:
    def __init__(self, template: Template, given: Mapping[str, Any]) -> None:
        self.template, self.symbols = template, template.symbols
        self.values: dict[str, Any] = {}
        self.deployed = Deployed(template, {})
        self.functions = functions(template.path.parent)
        self._take_parameters(given)

    def run(self) -> Deployed:
        for name in self.symbols:
            self.value(name)
        for name, output in self.template.of_kind("output").items():
            found = self.evaluate(_given(output), {})
            self._expect(output, found)
            self.deployed.outputs[name] = found
        return self.deployed

    def value(self, name: str) -> Any:
        """What a symbol means; worked out when first asked for."""
        if name not in self.values:
            declared = self.symbols.get(name)
            if declared is None:
                raise BicepError(f"{self.template.path.name}: {name} is not declared")
            self.values[name] = _UNDER_WAY
            self.values[name] = self._declared(declared)
        if self.values[name] is _UNDER_WAY:
            raise BicepError(f"{self.template.path.name}: {name} needs itself")
        return self.values[name]

    def _declared(self, declared: Declaration) -> Any:
        match declared.kind:
            case "param":
                return self.deployed.parameters[declared.name]
            case "var":
                return self.evaluate(_given(declared), {})
            case "resource":
                return self._each(declared, self._resource)
            case _:
                return self._each(declared, self._module)

    def _take_parameters(self, given: Mapping[str, Any]) -> None:
        declared, found = self.template.of_kind("param"), self.deployed.parameters
        if unknown := set(given) - set(declared):
            raise BicepError(f"{self.template.path.name}: has no parameter {', '.join(sorted(unknown))}")
        for name, parameter in declared.items():
            if name not in given and parameter.value is None:
                raise BicepError(f"{self.template.path.name}: parameter {name} is missing")
            found[name] = given[name] if name in given else self.evaluate(parameter.value, {})
            self._expect(parameter, found[name])

    def _expect(self, declared: Declaration, found: Any) -> None:
        """The declared type and what the decorators ask for."""
        where = f"{self.template.path.name}: {declared.name}"
        if not isinstance(found, _PRIMITIVES[declared.of]) or (declared.of == "int" and found is True):
            raise BicepError(f"{where}: {found!r} is no {declared.of}")
        asked = {name: node and self.evaluate(node, {}) for name, node in declared.decorators.items()}
        if isinstance(found, Runtime):
            return
        if "allowed" in asked and found not in asked["allowed"]:
            raise BicepError(f"{where}: {found!r} is not allowed")
        size = found if declared.of == "int" else len(found) if declared.of != "bool" else 0
        least = asked.get("minValue", asked.get("minLength", size))
        most = asked.get("maxValue", asked.get("maxLength", size))
        if not least <= size <= most:
            raise BicepError(f"{where}: {found!r} is not between {least} and {most}")

    def _each(self, declared: Declaration, build: Callable[[Declaration, Node, dict[str, Any]], Any]) -> Any:
        """The one that is declared, or a list where a loop declares them; None where a condition leaves it out."""
        node = _given(declared)
        if node.type == "for_statement":
            rounds = self._loop(node, {})
            self._refuse_equal_names(declared, rounds)
            return [self._one(declared, body, scope, build) for body, scope in rounds]
        return self._one(declared, node, {}, build)

    def _refuse_equal_names(self, declared: Declaration, rounds: list[tuple[Node, dict[str, Any]]]) -> None:
        """Azure takes equal names for one resource defined twice, also where a condition leaves one of them out."""
        bodies = [
            (body.named_children[-1] if body.type == "if_statement" else body, at) for body, at in rounds
        ]
        names = [self._identity(body, scope) for body, scope in bodies]
        if any(name in names[:i] for i, name in enumerate(names)):
            raise BicepError(f"{self.template.path.name}: {declared.name} is defined twice under one name")

    def _identity(self, body: Node, scope: dict[str, Any]) -> list[Any]:
        """What tells a resource from the others of its loop."""
        given = {
            text(each.named_children[0]): each.named_children[1]
            for each in body.named_children
            if each.type == "object_property"
        }
        found = [self.evaluate(given[part], scope) for part in ("name", "parent", "scope") if part in given]
        return [each.id if isinstance(each, Resource) else each for each in found]

    def _one(
        self, declared: Declaration, node: Node, scope: dict[str, Any], build: Callable[..., Any]
    ) -> Any:
        if node.type == "if_statement":
            condition, node = node.named_children
            read = [each for each in walk(condition) if each.type == "member_expression"]
            self._at_once([self.evaluate(each, scope) for each in read], node)
            if not self.evaluate(condition, scope):
                return None
        return build(declared, node, scope)

    def _resource(self, declared: Declaration, node: Node, scope: dict[str, Any]) -> Resource:
        body = self.evaluate(node, scope)
        kind, _, version = declared.of.partition("@")
        parent, name = body.pop("parent", None), body.pop("name")
        for waited in body.pop("dependsOn", []):
            if not isinstance(waited, Resource | Deployed | list):
                raise BicepError(f"{self.template.path.name}: {declared.name} depends on no resource")
        if parent is not None:
            if not isinstance(parent, Resource) or kind.rpartition("/")[0].lower() != parent.type.lower():
                raise BicepError(f"{self.template.path.name}: {declared.name} is no child of its parent")
            name = f"{parent.name}/{name}"
        self._at_once(name, node)
        found = Resource(
            declared.name,
            kind,
            version,
            name,
            declared.existing,
            body,
            body.pop("scope", None),
            self.template.path,
        )
        self.deployed.resources.append(found)
        return found

    def _module(self, declared: Declaration, node: Node, scope: dict[str, Any]) -> Deployed:
        body = self.evaluate(node, scope)
        # A module is a deployment of its own: what it is given is known when it begins.
        found = deploy(self.template.path.parent / declared.of, _known(body.get("params", {})))
        self.deployed.modules[declared.name] = found
        return found

    def _loop(self, node: Node, outer: dict[str, Any]) -> list[tuple[Node, dict[str, Any]]]:
        named, over, body = node.named_children
        rows = self._at_once(self.evaluate(over, outer), node)
        if not isinstance(rows, list):
            raise BicepError(f"{self.template.path.name}:{node.start_point.row + 1}: loops over no array")
        names = [text(each) for each in named.named_children] or [text(named)]
        return [(body, outer | dict(zip(names, (row, i), strict=False))) for i, row in enumerate(rows)]

    def _at_once(self, value: Any, node: Node) -> Any:
        """The value of a name, a condition or a loop's array: nothing that only a running deployment knows."""
        if _has_runtime(value):
            raise BicepError(
                f"{self.template.path.name}:{node.start_point.row + 1}: must be known at the start"
            )
        return value

    def evaluate(self, node: Node, scope: dict[str, Any]) -> Any:
        """The value of an expression; `scope` holds what loops around it name."""
        return getattr(self, f"_{node.type}", self._unknown)(node, scope)

    def _unknown(self, node: Node, scope: dict[str, Any]) -> Any:
        raise BicepError(
            f"{self.template.path.name}:{node.start_point.row + 1}: {node.type} is not understood"
        )

    def _identifier(self, node: Node, scope: dict[str, Any]) -> Any:
        name = text(node)
        return scope[name] if name in scope else self.value(name)

    def _string(self, node: Node, scope: dict[str, Any]) -> str:
        parts = [
            self.evaluate(part.named_children[0], scope) if part.type == "interpolation" else unescaped(part)
            for part in node.named_children
        ]
        if len(parts) == 1:
            return parts[0] if isinstance(parts[0], str) else str(parts[0])
        joined = "".join(map(str, parts))
        return Runtime(joined) if any(isinstance(part, Runtime) for part in parts) else joined

    def _number(self, node: Node, scope: dict[str, Any]) -> int:
        return int(text(node))

    def _boolean(self, node: Node, scope: dict[str, Any]) -> bool:
        return text(node) == "true"

    def _null(self, node: Node, scope: dict[str, Any]) -> None:
        return None

    def _array(self, node: Node, scope: dict[str, Any]) -> list[Any]:
        found, children = [], [each for each in node.named_children if each.type != "comment"]
        while children:
            first = children.pop(0)
            # The grammar takes the first call of an array apart: a name, and what stands in brackets right behind it.
            if first.type == "identifier" and children and children[0].start_byte == first.end_byte:
                given = [self.evaluate(each, scope) for each in children.pop(0).named_children]
                found.append(self._call(first, given))
            else:
                found.append(self.evaluate(first, scope))
        return found

    def _object(self, node: Node, scope: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for each in node.named_children:
            if each.type == "comment":
                continue
            key, value = each.named_children
            name = text(key) if key.type == "identifier" else self.evaluate(key, scope)
            if name in found:
                raise BicepError(f"{self.template.path.name}:{key.start_point.row + 1}: {name} comes twice")
            found[name] = self.evaluate(value, scope)
        return found

    def _for_statement(self, node: Node, scope: dict[str, Any]) -> list[Any]:
        return [self.evaluate(body, inner) for body, inner in self._loop(node, scope)]

    def _parenthesized_expression(self, node: Node, scope: dict[str, Any]) -> Any:
        return self.evaluate(node.named_children[0], scope)

    def _unary_expression(self, node: Node, scope: dict[str, Any]) -> Any:
        value = self.evaluate(node.named_children[0], scope)
        return -value if node.children[0].type == "-" else not value

    def _ternary_expression(self, node: Node, scope: dict[str, Any]) -> Any:
        condition, yes, no = node.named_children
        return self.evaluate(yes if self.evaluate(condition, scope) else no, scope)

    def _binary_expression(self, node: Node, scope: dict[str, Any]) -> Any:
        left, operator, right = node.children
        first = self.evaluate(left, scope)
        match operator.type:
            case "&&":
                return first and self.evaluate(right, scope)
            case "||":
                return first or self.evaluate(right, scope)
            case "??":
                return self.evaluate(right, scope) if first is None else first
        return _OPERATORS[operator.type](first, self.evaluate(right, scope))

    def _member_expression(self, node: Node, scope: dict[str, Any]) -> Any:
        of, name = node.named_children
        return self._member(self.evaluate(of, scope), text(name), safe=node.children[1].type == ".?", at=node)

    def _subscript_expression(self, node: Node, scope: dict[str, Any]) -> Any:
        of, key = (self.evaluate(each, scope) for each in node.named_children)
        if isinstance(of, list):
            return of[key]
        return self._member(of, key, safe=False, at=node)

    def _member(self, of: Any, name: str, *, safe: bool, at: Node) -> Any:
        if isinstance(of, Resource):
            return _of_resource(of, name)
        if isinstance(of, Deployed):
            if name != "outputs":
                raise BicepError(f"{self.template.path.name}: a module has outputs and no {name}")
            return of.outputs
        if isinstance(of, Runtime):
            return Runtime(f"{of}.{name}")
        if isinstance(of, dict) and (name in of or safe):
            return of.get(name)
        raise BicepError(
            f"{self.template.path.name}:{at.start_point.row + 1}: {text(at)}: there is no {name}"
        )

    def _call_expression(self, node: Node, scope: dict[str, Any]) -> Any:
        name, arguments = node.named_children
        if text(name).startswith("load"):
            literal(arguments.named_children[0])
        return self._call(name, [self.evaluate(each, scope) for each in arguments.named_children])

    def _call(self, name: Node, given: list[Any]) -> Any:
        if text(name) in CONTEXT:
            return CONTEXT[text(name)]
        if text(name) not in self.functions:
            raise BicepError(
                f"{self.template.path.name}:{name.start_point.row + 1}: {text(name)} is no function known here"
            )
        found = self.functions[text(name)](*given)
        unknown = isinstance(found, str) and any(isinstance(each, Runtime) for each in given)
        return Runtime(found) if unknown else found


def _has_runtime(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(_has_runtime, value.values() if isinstance(value, dict) else value))
    return isinstance(value, Runtime)


def _known(value: Any) -> Any:
    """The value with nothing left to wait for."""
    if isinstance(value, dict):
        return {key: _known(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_known(each) for each in value]
    return "".join(value) if isinstance(value, Runtime) else value


_UNDER_WAY = object()
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
}


def _given(declared: Declaration) -> Node:
    if declared.value is None:
        raise BicepError(f"{declared.name}: has no value")
    return declared.value


def _of_resource(resource: Resource, name: str) -> Any:
    if name in ("id", "name", "type"):
        return {"id": resource.id, "name": resource.name.rpartition("/")[2], "type": resource.type}[name]
    if name in ("properties", "identity", "location", "sku", "tags"):
        return Runtime(f"{resource.symbol}.{name}")
    raise BicepError(f"{resource.symbol}: has no {name}")
