"""Entities as the interface shows them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from shared.adapters.postgres.catalogue_rows import EntityView
from shared.sync import rowversion, types
from shared.sync.adaptive import shown
from shared.sync.catalogue import Catalogued, FieldMapping
from shared.sync.declared import bound_of
from shared.sync.model import VersionSpec
from shared.sync.rules import dump_rules


class ColumnOut(BaseModel):
    """A column as the source last described it; `target_column` is null where it is not mapped."""

    name: str
    data_type: str
    output_alias: str | None
    is_nullable: bool
    is_business_key: bool
    format: dict[str, Any] | None
    target_column: str | None


class ExpressionOut(BaseModel):
    """A mapping expression."""

    op: str
    args: list[str]


class MappingOut(BaseModel):
    """How one target column is made, every rule written out; `set_by` is discovery or person."""

    source: str
    target: str
    type: str
    rules: dict[str, Any]
    expression: ExpressionOut | None
    set_by: str


class ParentOut(BaseModel):
    """A declared parent."""

    model_config = ConfigDict(from_attributes=True)
    columns: list[str]
    slug: str
    parent_columns: list[str]


class AdaptedChangeOut(BaseModel):
    """One change of a figure, and why."""

    model_config = ConfigDict(from_attributes=True)
    at: datetime
    setting: str
    before: int
    after: int
    reason: str


class AdaptedOut(BaseModel):
    """The figures an adaptive entity runs with, null where nothing is learned of what it asks for now.

    `changes`: the last ones, oldest first.
    """

    page_size: int | None
    sync_interval_seconds: int | None
    changes: list[AdaptedChangeOut]


class EntityOut(BaseModel):
    """An entity as answered."""

    uid: UUID
    connector_uid: UUID
    slug: str
    api_name: str
    description: str | None
    delta_strategy: str
    business_keys: list[str]
    target_schema: str
    target_table: str
    destination_uid: UUID | None = None
    columns: list[ColumnOut]
    field_mappings: list[MappingOut]
    parents: list[ParentOut] = []
    parameters: dict[str, str]
    engine: str = "functions"
    contract: str
    reject_threshold_percent: float | None = None
    history: bool = False
    verify_interval_seconds: int | None = None
    adaptive: bool = False
    adapted: AdaptedOut | None = None
    sync_enabled: bool
    sync_interval_seconds: int | None
    overlap: int
    page_size: int | None
    delete_guard_percent: float
    delete_after_missing: int
    key_sweep_interval_seconds: int
    last_sync_at: datetime | None
    last_sync_status: str | None
    last_rowversion: str | None
    bound: str | None
    warnings: list[str]
    created_at: datetime | None
    updated_at: datetime | None


def entity_out(view: EntityView) -> EntityOut:
    """The entity with its mappings, its watermark readable."""
    entity = view.catalogued.entity
    same = {name: getattr(entity, name) for name in EntityOut.model_fields if hasattr(entity, name)}
    return EntityOut(
        **same
        | {
            "business_keys": list(entity.business_keys),
            "parents": [ParentOut.model_validate(parent) for parent in entity.parents],
            "warnings": list(entity.warnings),
            "columns": _columns_out(view.catalogued),
            "field_mappings": [_mapping_out(mapping) for mapping in view.catalogued.mappings],
            "last_sync_at": view.last_sync_at,
            "last_sync_status": view.last_sync_status,
            "adapted": _adapted(view),
            "bound": bound_of(entity, view.connector_kind),
            "last_rowversion": _readable(view.watermark, entity.version),
        }
    )


def _adapted(view: EntityView) -> AdaptedOut | None:
    known, entity = view.adapted, view.catalogued.entity
    if known is None:
        return None
    size, interval_s = shown(known, entity.page_size, entity.sync_interval_seconds)
    changes = [AdaptedChangeOut.model_validate(change) for change in known.changes]
    return AdaptedOut(page_size=size, sync_interval_seconds=interval_s, changes=changes)


def _columns_out(catalogued: Catalogued) -> list[ColumnOut]:
    targets = {m.source: m.target for m in reversed(catalogued.mappings)}
    return [
        ColumnOut(
            name=column.name,
            data_type=column.data_type,
            output_alias=column.output_alias,
            is_nullable=column.is_nullable,
            is_business_key=column.member in catalogued.entity.business_keys,
            format=None if column.format is None else dict(column.format),
            target_column=targets.get(column.member),
        )
        for column in catalogued.entity.columns
    ]


def _mapping_out(mapping: FieldMapping) -> MappingOut:
    expression = mapping.expression
    return MappingOut(
        source=mapping.source,
        target=mapping.target,
        type=types.sql_type(mapping.type),
        rules=dump_rules(mapping.rules),
        expression=None
        if expression is None
        else ExpressionOut(op=expression.op, args=list(expression.args)),
        set_by=mapping.set_by,
    )


def _readable(watermark: str | None, version: VersionSpec | None) -> str | None:
    """The watermark as the source would spell it; as stored where the entity's kind of version went away."""
    if watermark is None or version is None:
        return watermark
    return rowversion.decode_one(watermark, version)
