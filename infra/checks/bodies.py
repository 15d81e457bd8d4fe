"""Resources' bodies held against the models of Azure's own management libraries.

Reads a JSON array of `{"type", "where", "body"}`, prints a JSON array of sentences, one a property that its service
does not know, misses, or takes only in another form. It stands in for the compiler's types, which are made from the
same specifications; what a service checks beyond its schema stays unchecked.
"""

import enum
import importlib
import inspect
import json
import sys
import types
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

MODELS = json.loads((Path(__file__).parent / "models.json").read_text())
# What a published model lacks: how this document says that it signs in; what lets a saved search be written again.
EXTRA = {
    "AzurePostgreSqlLinkedServiceTypeProperties": {"authenticationType"},
    "SavedSearchProperties": {"etag"},
}
# A resource's envelope, which some models leave out.
ENVELOPE = {"location", "tags", "kind", "sku", "identity", "name"}


def problems(kind: str, where: str, body: dict[str, Any]) -> Iterator[str]:
    """What is wrong with one body."""
    if kind not in MODELS:
        yield f"{where}: {kind} has no model in models.json"
        return
    module, _, name = MODELS[kind].rpartition(".")
    model = getattr(importlib.import_module(f"azure.mgmt.{module}"), name)
    yield from _object(model, body, where, ENVELOPE)


def _object(model: Any, value: Any, where: str, extra: set[str]) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: {value!r} is no object"
        return
    model = _narrowed(model, value)
    fields = _fields(model)
    known = {
        **fields,
        **{name: Any for name in extra | EXTRA.get(model.__name__, set()) if name not in fields},
    }
    for name, each in value.items():
        if name not in known:
            yield f"{where}.{name}: {model.__name__} has no such property"
        else:
            yield from _value(known[name], each, f"{where}.{name}")
    for name in _required(model) - set(value):
        yield f"{where}.{name}: {model.__name__} needs it"


def _value(hint: Any, value: Any, where: str) -> Iterator[str]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or value is None:
        return
    if origin in (typing.Union, types.UnionType):
        yield from _union(arguments, value, where)
    elif origin is list:
        for i, each in enumerate(value if isinstance(value, list) else [value]):
            yield from _value(arguments[0], each, f"{where}[{i}]")
    elif origin is dict:
        for name, each in value.items():
            yield from _value(arguments[1], each, f"{where}.{name}")
    elif inspect.isclass(hint):
        yield from _plain(hint, value, where)


def _union(kinds: tuple[Any, ...], value: Any, where: str) -> Iterator[str]:
    """A union of a text and an enumeration means the enumeration; of any others the one that fits best."""
    real = [each for each in kinds if each is not type(None)]
    listed = [each for each in real if inspect.isclass(each) and issubclass(each, enum.Enum)]
    found = [list(_value(each, value, where)) for each in listed or real]
    yield from min(found, key=len)


def _plain(kind: Any, value: Any, where: str) -> Iterator[str]:
    if issubclass(kind, enum.Enum):
        if value not in {each.value for each in kind}:
            yield f"{where}: {value!r} is none of {', '.join(str(each.value) for each in kind)}"
    elif hasattr(kind, "_is_model") or hasattr(kind, "_attribute_map"):
        yield from _object(kind, value, where, set())
    elif kind in (str, int, bool, float) and type(value) not in ({int, float} if kind is float else {kind}):
        yield f"{where}: {value!r} is no {kind.__name__}"


@cache
def _fields(model: Any) -> dict[str, Any]:
    """Property names as they are sent, and what they hold."""
    if hasattr(model, "_attribute_map"):
        return _nested(model)
    scope = {
        "_models": sys.modules[model.__module__.rpartition(".")[0]],
        **vars(sys.modules[model.__module__]),
    }
    hints = typing.get_type_hints(model, localns=scope)
    found = {}
    for base in reversed(model.__mro__):
        for name, field in vars(base).items():
            if type(field).__name__ == "_RestField" and name in hints:
                found[field._rest_name_input or name] = hints[name]
    return found


def _nested(model: Any) -> dict[str, Any]:
    """The fields of an older model, which flattens what lies under `properties`: types below that are not followed."""
    found: dict[str, Any] = {}
    for described in model._attribute_map.values():
        name, *rest = described["key"].split(".")
        found[name] = Any if not rest else _Flat(model, name)
    return {name: hint.model() if isinstance(hint, _Flat) else hint for name, hint in found.items()}


class _Flat:
    """The part of an older model that lies under a name."""

    def __init__(self, of: Any, name: str) -> None:
        self.of, self.name = of, name

    def model(self) -> Any:
        """That part as a model of its own."""
        under = f"{self.name}."
        keys = {
            attribute: described["key"].removeprefix(under)
            for attribute, described in self.of._attribute_map.items()
            if described["key"].startswith(under)
        }
        asked = {name: rule for name, rule in self.of._validation.items() if name in keys}
        described = {name: {"key": key, "type": "object"} for name, key in keys.items()}
        return type(self.of.__name__, (), {"_attribute_map": described, "_validation": asked})


@cache
def _required(model: Any) -> set[str]:
    if hasattr(model, "_attribute_map"):
        rules = getattr(model, "_validation", {})
        keys = {name: described["key"] for name, described in model._attribute_map.items()}
        return {keys[name] for name, rule in rules.items() if rule.get("required") and "." not in keys[name]}
    fields, found = _fields(model), set()
    for base in model.__mro__:
        for name, field in vars(base).items():
            if type(field).__name__ == "_RestField":
                sent = field._rest_name_input or name
                writable = field._visibility is None or "create" in field._visibility
                if (
                    writable
                    and sent in fields
                    and not _optional(fields[sent])
                    and not field._is_discriminator
                ):
                    found.add(sent)
    return found - ENVELOPE


def _optional(hint: Any) -> bool:
    return type(None) in typing.get_args(hint) or hint is Any


def _narrowed(model: Any, value: dict[str, Any]) -> Any:
    """The kind of model that the value says it is; a kind may stand several steps below."""
    for name in _discriminators(model):
        said = value.get(name)
        found = _below(model, said) if said is not None else None
        if found is not None:
            return found
    return model


def _discriminators(model: Any) -> Iterator[str]:
    for base in model.__mro__:
        for name, field in vars(base).items():
            if type(field).__name__ == "_RestField" and field._is_discriminator:
                yield field._rest_name_input or name


def _below(model: Any, said: str) -> Any:
    mapping = vars(model).get("__mapping__", {})
    if said in mapping:
        return mapping[said]
    return next((found for each in mapping.values() if (found := _below(each, said)) is not None), None)


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    found = [said for each in asked for said in problems(each["type"], each["where"], each["body"])]
    sys.stdout.write(json.dumps(found) + "\n")
