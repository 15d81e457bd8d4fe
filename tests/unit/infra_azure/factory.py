"""The Data Factory's documents, and everything in them that names something else."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.unit.infra_azure.expressions import ExpressionError, expressions, members
from tests.unit.infra_azure.syntax import INFRA

FOLDER = INFRA / "data_factory"
KINDS = ("linkedService", "dataset", "pipeline", "trigger")
_REFERENCES = {
    "LinkedServiceReference": "linkedService",
    "DatasetReference": "dataset",
    "PipelineReference": "pipeline",
}
# What a trigger's event holds, and a pipeline's run beside its parameters.
_TRIGGER = {
    "ScheduleTrigger": {("trigger", "scheduledTime"), ("trigger", "startTime")},
    "BlobEventsTrigger": {("triggerBody", "folderPath"), ("triggerBody", "fileName")},
}
_RUN = {"RunId", "DataFactory", "TriggerTime", "GroupId"}


@dataclass(frozen=True)
class Document:
    """One document: its kind is its folder."""

    kind: str
    name: str
    properties: dict[str, Any]

    @property
    def parameters(self) -> dict[str, Any]:
        """Its own parameters, by name."""
        return self.properties.get("parameters", {})


@dataclass(frozen=True)
class Factory:
    """All documents, by kind and name."""

    documents: Mapping[str, Mapping[str, Document]]

    def problems(self) -> list[str]:
        """Whatever does not fit together, one sentence each."""
        return [
            said
            for kind in KINDS
            for document in self.documents[kind].values()
            for said in _problems(self, document)
        ]

    def replacing(self, document: Document) -> "Factory":
        """The factory with another version of a document."""
        changed = {**self.documents[document.kind], document.name: document}
        return Factory({**self.documents, document.kind: changed})


@cache
def factory() -> Factory:
    """The repository's documents; each is named as its file is."""
    return Factory({kind: {each.name: each for each in map(_read, files(kind))} for kind in KINDS})


def files(kind: str) -> list[Path]:
    """The files of a kind."""
    return sorted((FOLDER / kind).glob("*.json"))


def _read(path: Path) -> Document:
    found = json.loads(path.read_text())
    assert found["name"] == path.stem, f"{path.name}: names itself {found['name']}"
    assert set(found) == {"name", "properties"}, f"{path.name}: holds more than a name and properties"
    return Document(path.parent.name, found["name"], found["properties"])


def _problems(factory: Factory, document: Document) -> Iterator[str]:
    yield from (f"{document.name}: {said}" for said in _references(factory, document.properties))
    yield from (f"{document.name}: {said}" for said in _expressions(document))
    if document.kind == "pipeline":
        yield from (f"{document.name}: {said}" for said in _activities(document.properties["activities"]))


def _references(factory: Factory, node: Any) -> Iterator[str]:
    """References to documents that aren't there, and parameters that don't match theirs."""
    if isinstance(node, list):
        for each in node:
            yield from _references(factory, each)
    if not isinstance(node, dict):
        return
    if kind := _REFERENCES.get(node.get("type", "")):
        yield from _reference(factory, kind, node, node.get("parameters", {}))
    elif "pipelineReference" in node:
        yield from _reference(factory, "pipeline", node["pipelineReference"], node.get("parameters", {}))
    for name, each in node.items():
        # A trigger's reference has its parameters beside it.
        if name != "pipelineReference":
            yield from _references(factory, each)


def _reference(factory: Factory, kind: str, node: dict[str, Any], given: dict[str, Any]) -> Iterator[str]:
    found = factory.documents[kind].get(node["referenceName"])
    if found is None:
        yield f"there is no {kind} {node['referenceName']}"
        return
    if unknown := set(given) - set(found.parameters):
        yield f"{found.name} has no parameter {', '.join(sorted(unknown))}"
    needed = {name for name, parameter in found.parameters.items() if "defaultValue" not in parameter}
    if missing := needed - set(given):
        yield f"{found.name} needs {', '.join(sorted(missing))}"


def _expressions(document: Document) -> Iterator[str]:
    used: set[str] = set()
    for text, activities, items in _texts(document.properties, frozenset(), items=False):
        try:
            trees = expressions(text)
        except ExpressionError as error:
            yield str(error)
            continue
        for path in (path for tree in trees for path in members(tree)):
            if path[: len(_own(document))] == _own(document) and len(path) > len(_own(document)):
                used.add(path[len(_own(document))])
            if said := _unknown(document, path, activities, items):
                yield f"{text}: {said}"
    if unused := set(document.parameters) - used:
        yield f"never uses its parameters {', '.join(sorted(unused))}"


def _own(document: Document) -> tuple[str, ...]:
    """Where the document's parameters are read."""
    return ("pipeline", "parameters") if document.kind == "pipeline" else (document.kind,)


def _unknown(document: Document, path: tuple[str, ...], activities: frozenset[str], items: bool) -> str:
    """What is wrong with a path; empty where nothing is."""
    match document.kind, path:
        case "pipeline", ("pipeline", "parameters", name, *_):
            return "" if name in document.parameters else f"has no parameter {name}"
        case "pipeline", ("pipeline", name):
            return "" if name in _RUN else f"a run has no {name}"
        case "pipeline", ("activity", name, "output", *_):
            return "" if name in activities else f"does not run after {name}"
        case "pipeline", ("item", *_):
            return "" if items else "stands in no loop"
        case ("dataset" | "linkedService") as root, (first, name) if first == root:
            return "" if name in document.parameters else f"has no parameter {name}"
        case "trigger", _:
            return (
                "" if path in _TRIGGER[document.properties["type"]] else "is nothing that the trigger knows"
            )
    return f"{'.'.join(map(str, path))} means nothing in a {document.kind}"


def _texts(
    node: Any, activities: frozenset[str], *, items: bool
) -> Iterator[tuple[str, frozenset[str], bool]]:
    """Every text, with the activities that have ended before it and whether a loop is around it."""
    if isinstance(node, str):
        yield node, activities, items
    elif isinstance(node, list):
        for each in node:
            yield from _texts(each, activities, items=items)
    elif isinstance(node, dict):
        before = activities | {
            each["activity"] for each in node.get("dependsOn", []) if isinstance(each, dict)
        }
        looping = node.get("type") == "ForEach"
        for name, each in node.items():
            if name != "parameters" or not _declares(each):
                yield from _texts(each, before, items=items or (looping and name == "typeProperties"))


def _declares(node: Any) -> bool:
    """Whether these are parameters' declarations, whose defaults are no expressions."""
    return isinstance(node, dict) and all(
        isinstance(each, dict) and each.get("type", "Expression") != "Expression" for each in node.values()
    )


def _activities(activities: list[dict[str, Any]]) -> Iterator[str]:
    """Names that come twice, and waiting for what isn't there or for each other."""
    names = [each["name"] for each in activities]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"has two activities {name}"
    done: set[str] = set()
    waiting = {each["name"]: {one["activity"] for one in each["dependsOn"]} for each in activities}
    for name, awaited in waiting.items():
        for unknown in sorted(awaited - set(names)):
            yield f"{name} waits for {unknown}, which is not beside it"
    while ready := {name for name, awaited in waiting.items() if name not in done and awaited <= done}:
        done |= ready
    if circular := {name for name, awaited in waiting.items() if awaited <= set(names)} - done:
        yield f"{', '.join(sorted(circular))}: wait for each other"
    for each in activities:
        for inner in _inner(each):
            yield from _activities(inner)


def _inner(activity: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The lists of activities inside one."""
    held = activity["typeProperties"]
    names = ("activities", "ifTrueActivities", "ifFalseActivities", "defaultActivities")
    return [held[name] for name in names if name in held] + [
        each["activities"] for each in held.get("cases", [])
    ]
