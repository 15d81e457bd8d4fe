"""What is synced, from where to where: connectors, entities, field mappings, and the configuration of a run.

Enters: what a connector says of its tables and what is stored. Leaves: frozen configurations. `discovery.py`
makes entities of descriptions, `choices.py` applies what a person asks; adapters store, the API shows them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from shared.errors import SchemaDriftError
from shared.sync import masking, types
from shared.sync.description import ApiColumn, ApiParent, Pagination
from shared.sync.model import (
    ColumnType,
    Contract,
    Expression,
    Kind,
    Rules,
    RunConfig,
    SourceColumn,
    Strategy,
    TargetColumn,
    VersionSpec,
)
from shared.sync.rules import RulesError, parse_rules

Dialect = Literal["oracle", "sqlserver", "postgres", "ansi"]
DAY_S = 86_400
# There before tenants were told apart: schemas and secrets that are nobody's are its own.
FIRST_TENANT = "default"


@dataclass(frozen=True, slots=True)
class Connector:
    """A source system as registered. `secret_name` names a secret; the value is never here.

    `target_schemas` are its tenant's: where entities may have their targets, the default first.
    """

    uid: UUID
    tenant: str
    name: str
    kind: Literal["http", "postgres", "sqlserver"]
    base_url: str
    auth_type: Literal["token", "client_credentials", "none"]
    secret_name: str | None = None
    time_zone: str | None = None
    max_concurrent_syncs: int | None = None
    is_active: bool = True
    created_at: datetime | None = None
    updated_at: datetime | None = None
    target_schemas: tuple[str, ...] = ("public",)


@dataclass(frozen=True, slots=True)
class FieldMapping:
    """How one target column is made. `source` is the member it comes from, empty for a constant."""

    position: int
    source: str
    target: str
    type: ColumnType
    rules: Rules = field(default_factory=Rules)
    expression: Expression | None = None
    set_by: Literal["discovery", "person"] = "discovery"


@dataclass(frozen=True, slots=True)
class Entity:
    """A synced table as stored. `person_set` names the fields that discovery leaves alone."""

    uid: UUID
    connector_uid: UUID
    slug: str
    api_name: str
    delta_strategy: Strategy
    business_keys: tuple[str, ...]
    target_schema: str
    target_table: str
    description: str | None = None
    dialect: Dialect = "oracle"
    version: VersionSpec | None = None
    pagination: Pagination | None = None
    ordered_by_rowversion: bool = False
    page_size_max: int | None = None
    columns: tuple[ApiColumn, ...] = ()
    parents: tuple[ApiParent, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    reject_threshold_percent: float | None = None
    sync_enabled: bool = True
    sync_interval_seconds: int | None = None
    overlap: int = 0
    page_size: int | None = None
    delete_guard_percent: float = 10.0
    delete_after_missing: int = 2
    key_sweep_interval_seconds: int = DAY_S
    contract: Contract = "evolve"
    verify_interval_seconds: int | None = None
    person_set: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    is_deleted: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Catalogued:
    """An entity with its mappings, in position order."""

    entity: Entity
    mappings: tuple[FieldMapping, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What to store, and what must happen to the target in the same transaction.

    `added` columns are appended, `widened` ones get their new type. `reset` says that keys, rules, mappings
    or the kind of row version changed: runs in flight end and the next pass may not delete. `returned` columns
    are offered again. `narrowed` ones lose room, which needs a person's consent as `reset` by a person does.
    """

    after: Catalogued
    added: tuple[FieldMapping, ...] = ()
    widened: tuple[FieldMapping, ...] = ()
    rekeyed: bool = False
    reset: bool = False
    returned: tuple[FieldMapping, ...] = ()
    narrowed: tuple[FieldMapping, ...] = ()


@dataclass(frozen=True, slots=True)
class Defaults:
    """What an entity that doesn't say gets."""

    page_size: int = 1000
    max_page_size: int = 10_000


def sources_of(mapping: FieldMapping) -> tuple[str, ...]:
    """The members that a mapping reads."""
    expression = mapping.expression
    if expression is None:
        return (mapping.source,)
    match expression.op:
        case "constant":
            return ()
        case "concat":
            return expression.args[1:]
        case "coalesce":
            return expression.args
        case _:
            return expression.args[:1]


def is_rename(mapping: FieldMapping) -> bool:
    return mapping.expression is None or mapping.expression.op == "rename"


def key_targets(catalogued: Catalogued) -> tuple[str, ...]:
    """The target columns of the business key, in key order."""
    by_source = {m.source: m.target for m in reversed(catalogued.mappings) if is_rename(m)}
    return tuple(by_source[key] for key in catalogued.entity.business_keys)


def stored_type(kind: ColumnType, rules: Rules) -> ColumnType:
    """The type once rules are applied: a naive time with a zone is an instant, a masked value is text."""
    if rules.mask in ("hash", "redact"):
        return ColumnType(Kind.TEXT)
    if kind.kind is Kind.TIMESTAMP and rules.timezone:
        return replace(kind, kind=Kind.TIMESTAMPTZ)
    return kind


def described_rules(
    column: ApiColumn, kind: ColumnType, connector: Connector, is_key: bool
) -> tuple[Rules, str | None]:
    """The default rules with what the column's format says; its error where it says nothing usable."""
    rules = _default_rules(kind, connector, is_key)
    try:
        return parse_rules(column.format or {}, rules, is_key=is_key), None
    except RulesError as error:
        return rules, error.message


def _default_rules(kind: ColumnType, connector: Connector, is_key: bool) -> Rules:
    times = kind.kind in (Kind.TIMESTAMP, Kind.TIMESTAMPTZ)
    return Rules(
        unicode="NFC" if is_key and kind.kind is Kind.TEXT else "none",
        timezone=connector.time_zone if times else None,
    )


def freeze(
    entity: Entity,
    mappings: Sequence[FieldMapping],
    connector: Connector,
    defaults: Defaults,
    *,
    generation: int = 0,
) -> RunConfig:
    """A run's configuration, complete and final. Key columns come first, in key order.

    Raises SchemaDriftError where the source no longer offers a key column or anything to map, ConfigurationError where
    a masked column would be stored past its mask.
    """
    members = {column.member: column for column in entity.columns}
    usable = [m for m in sorted(mappings, key=lambda m: m.position) if set(sources_of(m)) <= set(members)]
    keys = _key_mappings(entity, usable)
    rest = [m for m in usable if m not in keys]
    config = RunConfig(
        entity_uid=str(entity.uid),
        slug=entity.slug,
        strategy=_strategy(entity),
        dialect=entity.dialect,
        source_columns=_source_columns(entity, usable, connector),
        target_columns=(*(_target(m, True) for m in keys), *(_target(m, False) for m in rest)),
        target_schema=entity.target_schema,
        target_table=entity.target_table,
        version=entity.version,
        pagination=entity.pagination,
        ordered_by_rowversion=entity.ordered_by_rowversion,
        page_size=_page_size(entity, defaults),
        overlap=entity.overlap,
        delete_guard_percent=float(entity.delete_guard_percent),
        delete_after_missing=entity.delete_after_missing,
        parameters=dict(entity.parameters),
        generation=generation,
        reject_threshold_percent=entity.reject_threshold_percent,
        tenant=connector.tenant,
        contract=entity.contract,
        unmapped=tuple(sorted(set(members) - {source for m in usable for source in sources_of(m)})),
    )
    return masking.check(config)


def _strategy(entity: Entity) -> Strategy:
    versionless = entity.delta_strategy == "rowversion" and entity.version is None
    return "hash" if versionless else entity.delta_strategy


def _key_mappings(entity: Entity, usable: Sequence[FieldMapping]) -> list[FieldMapping]:
    found = {m.source: m for m in reversed(usable) if is_rename(m)}
    missing = [key for key in entity.business_keys if key not in found]
    if missing:
        raise SchemaDriftError(
            entity.slug,
            missing,
            f"{entity.slug}: the source no longer offers key column {', '.join(missing)}",
            hint="repair the connector and discover again, or PUT the entity with other business_keys",
        )
    return [found[key] for key in entity.business_keys]


def _page_size(entity: Entity, defaults: Defaults) -> int:
    asked = entity.page_size or defaults.page_size
    return min(asked, entity.page_size_max or asked, defaults.max_page_size)


def _source_columns(
    entity: Entity, usable: Sequence[FieldMapping], connector: Connector
) -> tuple[SourceColumn, ...]:
    readers = {m.source: m for m in reversed(usable) if is_rename(m)}
    used = {source for m in usable for source in sources_of(m)}
    if entity.version and entity.version.column:
        used.add(entity.version.column)
    return tuple(
        _source_column(column, readers.get(column.member), entity, connector)
        for column in entity.columns
        if column.member in used
    )


def _source_column(
    column: ApiColumn, reader: FieldMapping | None, entity: Entity, connector: Connector
) -> SourceColumn:
    """How the column is read: as its own mapping says, else as discovery would."""
    declared, _ = types.column_type(column.data_type, entity.dialect)
    if reader is None:
        rules, _ = described_rules(column, declared, connector, False)
        return SourceColumn(
            column.member, column.data_type, stored_type(declared, rules), column.is_nullable, rules
        )
    return SourceColumn(
        column.member, column.data_type, _read_as(declared, reader), column.is_nullable, reader.rules
    )


def _read_as(declared: ColumnType, reader: FieldMapping) -> ColumnType:
    """The kind that the stages make of a column before mapping.

    What is stored as text, because a person or a mask wants it so, is first read as what the source declares;
    text that is stored as something else is read as that, under the mapping's own rules.
    """
    if reader.type.kind is Kind.TEXT and declared.kind is not Kind.TEXT:
        return stored_type(declared, replace(reader.rules, mask="none"))
    masked = reader.rules.mask in ("hash", "redact")
    return declared if masked else reader.type


def _target(mapping: FieldMapping, is_key: bool) -> TargetColumn:
    expression = mapping.expression or Expression("rename", (mapping.source,))
    return TargetColumn(mapping.target, mapping.type, is_key, not is_key, expression, mapping.rules.mask)
