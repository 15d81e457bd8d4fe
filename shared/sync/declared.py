"""Row versions that a person declares for a PostgreSQL source's table, and how far a row version can be trusted.

A column holding transaction ids (xid8) bounds a run exactly. A sequence or a time does not: a row may commit after a
higher one was read, so the entity needs an overlap, and the sweep finds what came later still. Pure.
"""

from typing import Literal

from shared.sync import names, types
from shared.sync.catalogue import Entity
from shared.sync.model import Kind, VersionKind, VersionSpec

PARAMETER = "rowversion_column"
Bound = Literal["exact", "overlap"]
Problem = tuple[str, str]
_KINDS: dict[Kind, VersionKind] = {
    Kind.INTEGER: "number",
    Kind.TIMESTAMP: "timestamp",
    Kind.TIMESTAMPTZ: "timestamp",
}


def declared_version(entity: Entity) -> tuple[VersionSpec | None, list[Problem]]:
    """The version that `parameters.rowversion_column` names, and what is wrong with it; (None, []) where none is."""
    named = entity.parameters.get(PARAMETER)
    if named is None or entity.dialect != "postgres":
        return None, []
    place = f"parameters.{PARAMETER}"
    if named in names.SYSTEM:
        return None, [
            (place, f"{named} is never a row version: it wraps around and VACUUM rewrites it; add an xid8")
        ]
    data_type = next((column.data_type for column in entity.columns if column.member == named), None)
    if data_type is None:
        return None, [(place, f"{named!r} is not among the source's columns")]
    kind = "number" if data_type == "xid8" else _KINDS.get(types.column_type(data_type, "postgres")[0].kind)
    if kind is None:
        return None, [(place, f"{named!r} is {data_type}; it must be xid8, a whole number or a timestamp")]
    if data_type != "xid8" and entity.overlap == 0 and entity.delta_strategy == "rowversion":
        unit = "seconds" if kind == "timestamp" else "numbers"
        return None, [("overlap", f"must be declared: {unit} that cover the source's longest transaction")]
    return VersionSpec(kind, named), []


def bound_of(entity: Entity, connector_kind: str) -> Bound | None:
    """How this entity's deltas are bounded; None where they are not ours to bound, or there are none.

    exact: nothing below the bound can appear later. overlap: it can, within the overlap or until the next sweep.
    """
    version = entity.version
    if connector_kind != "postgres" or entity.delta_strategy != "rowversion" or version is None:
        return None
    types_of = {column.member: column.data_type for column in entity.columns}
    return "exact" if version.column is None or types_of.get(version.column) == "xid8" else "overlap"
