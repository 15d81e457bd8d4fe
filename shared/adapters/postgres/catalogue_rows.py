"""Rows of the catalogue's tables as connectors, entities and mappings, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from shared.adapters.postgres.database import Connection
from shared.sql import query
from shared.sync.adaptive import Adapted
from shared.sync.catalogue import Catalogued, Connector, Entity, FieldMapping
from shared.sync.description import ApiColumn, ApiParent
from shared.sync.model import ColumnType, Expression, Rules, VersionSpec

_CONNECTOR_FIELDS = tuple(f.name for f in fields(Connector))
_JSON_FIELDS = ("version", "columns", "warnings", "parameters", "parents")
_ENTITY_FIELDS = tuple(f.name for f in fields(Entity))


@dataclass(frozen=True, slots=True)
class EntityView:
    """An entity as the API shows it. `watermark` is in order-preserving form."""

    catalogued: Catalogued
    last_sync_at: datetime | None
    last_sync_status: str | None
    watermark: str | None
    connector_kind: str = "http"
    adapted: Adapted | None = None


def view_of(row: Mapping[str, Any], mappings: tuple[FieldMapping, ...]) -> EntityView:
    """An entity of its row, as the API shows it: a tick's trouble with it is one of its warnings."""
    entity, trouble = entity_of(row), row["trouble"]
    if trouble is not None:
        warning = f"the last tick could not start a run: {trouble['message']} {trouble['hint']}"
        entity = replace(entity, warnings=(*entity.warnings, warning))
    catalogued = Catalogued(entity, mappings)
    return EntityView(
        catalogued,
        row["last_sync_at"],
        row["last_sync_status"],
        row["watermark"],
        row["connector_kind"],
        msgspec.convert(row["adapted"], Adapted) if entity.adaptive and row["adapted"] else None,
    )


def connector_of(row: Mapping[str, Any]) -> Connector:
    """A connector of its row."""
    plain = {name: row[name] for name in _CONNECTOR_FIELDS}
    return Connector(**plain | {"target_schemas": tuple(row["target_schemas"])})


def connector_values(connector: Connector) -> dict[str, object]:
    """A connector as parameters of its statements."""
    return asdict(connector)


def entity_of(row: Mapping[str, Any]) -> Entity:
    """An entity of its row."""
    plain = {name: row[name] for name in _ENTITY_FIELDS}
    version = row["version"]
    return Entity(
        **plain
        | {
            "business_keys": tuple(row["business_keys"]),
            "version": None if version is None else msgspec.convert(version, VersionSpec),
            "columns": msgspec.convert(row["columns"], tuple[ApiColumn, ...]),
            "parents": msgspec.convert(row["parents"], tuple[ApiParent, ...]),
            "delete_guard_percent": float(row["delete_guard_percent"]),
            "reject_threshold_percent": _number(row["reject_threshold_percent"]),
            "person_set": tuple(row["person_set"]),
            "warnings": tuple(row["warnings"]),
        }
    )


def entity_values(entity: Entity) -> dict[str, object]:
    """An entity as parameters of its statements."""
    values: dict[str, object] = {name: getattr(entity, name) for name in _ENTITY_FIELDS}
    values |= {name: _jsonb(values[name]) for name in _JSON_FIELDS}
    return values | {"business_keys": list(entity.business_keys), "person_set": list(entity.person_set)}


def mappings_of(
    connection: Connection, schema: str, uids: Sequence[UUID]
) -> dict[UUID, tuple[FieldMapping, ...]]:
    """The mappings of these entities, by entity; nothing for one without any."""
    found: dict[UUID, tuple[FieldMapping, ...]] = {}
    for row in connection.execute(query("catalogue_mappings", schema), {"uids": list(uids)}):
        found[row["entity_uid"]] = (*found.get(row["entity_uid"], ()), mapping_of(row))
    return found


def mapping_of(row: Mapping[str, Any]) -> FieldMapping:
    """A mapping of its row."""
    return FieldMapping(
        position=row["position"],
        source=row["source"],
        target=row["target"],
        type=msgspec.convert(row["type"], ColumnType),
        rules=msgspec.convert(row["rules"], Rules),
        expression=None if row["expression"] is None else msgspec.convert(row["expression"], Expression),
        set_by=row["set_by"],
    )


def mapping_values(uid: UUID, mapping: FieldMapping) -> dict[str, object]:
    """A mapping as parameters of its statement."""
    return {
        "entity_uid": uid,
        "position": mapping.position,
        "source": mapping.source,
        "target": mapping.target,
        "type": _jsonb(mapping.type),
        "rules": _jsonb(mapping.rules),
        "expression": _jsonb(mapping.expression),
        "set_by": mapping.set_by,
    }


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _jsonb(value: object) -> Jsonb | None:
    return None if value is None else Jsonb(msgspec.to_builtins(value))
