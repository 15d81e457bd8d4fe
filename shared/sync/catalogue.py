"""What is synced, from where to where: connectors, entities and field mappings, and what discovery makes of them.

Enters: what a connector says about its tables, what a person chose, what is stored. Leaves: the entity and its
mappings as they shall be stored, the columns to add or widen, warnings, and the frozen configuration of a run.
Pure: the PostgreSQL adapter stores it, `shared/api` shows it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, cast
from uuid import UUID

from shared.errors import ConfigurationError, InvalidError, SchemaDriftError
from shared.sync import names, types
from shared.sync.model import (
    ColumnType,
    Expression,
    Kind,
    Rules,
    RunConfig,
    SourceColumn,
    Strategy,
    TargetColumn,
    VersionSpec,
)
from shared.sync.rules import parse_rules

Dialect = Literal["oracle", "sqlserver", "postgres", "ansi"]
Pagination = Literal["keyset", "page"]
DAY_S = 86_400
_DIALECTS = ("oracle", "sqlserver", "postgres", "ansi")
_STRATEGIES = ("full", "hash", "rowversion")


@dataclass(frozen=True, slots=True)
class Connector:
    """A source system as registered. `secret_name` names a secret; the value is never here."""

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


@dataclass(frozen=True, slots=True)
class DescribedColumn:
    """A column in the connector's words. Rows carry it under `member`."""

    name: str
    data_type: str
    output_alias: str | None = None
    is_nullable: bool = True
    is_business_key: bool = False
    format: Mapping[str, object] | None = None

    @property
    def member(self) -> str:
        """The column's name in a row's data."""
        return self.output_alias or self.name


@dataclass(frozen=True, slots=True)
class ApiDescription:
    """One table as the connector offers it (an item of its `/api/v1/apis`).

    `delta_strategy` and `dialect` may hold words we don't know: discovery decides what becomes of them.
    `sample_versions` are row versions of some rows, filled only where a strategy needs them to be judged.
    """

    slug: str
    name: str
    columns: tuple[DescribedColumn, ...]
    business_key_columns: tuple[str, ...] = ()
    delta_strategy: str = "hash"
    version: VersionSpec | None = None
    description: str | None = None
    parents: tuple[Mapping[str, object], ...] = ()
    pagination: Pagination | None = None
    page_size_max: int | None = None
    dialect: str = "oracle"
    ordered_by_rowversion: bool = False
    sample_versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldMapping:
    """How one target column is made. `source` is the member it comes from, empty for a constant."""

    position: int
    source: str
    target: str
    type: ColumnType
    rules: Rules = Rules()
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
    columns: tuple[DescribedColumn, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    sync_enabled: bool = True
    sync_interval_seconds: int | None = None
    overlap: int = 0
    page_size: int | None = None
    delete_guard_percent: float = 10.0
    delete_after_missing: int = 2
    key_sweep_interval_seconds: int = DAY_S
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

    `added` columns are appended, `widened` ones get their new type. `reset` says that keys, rules, mappings or
    the kind of row version changed: runs in flight end and the next pass may not delete.
    """

    after: Catalogued
    added: tuple[FieldMapping, ...] = ()
    widened: tuple[FieldMapping, ...] = ()
    rekeyed: bool = False
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Defaults:
    """What an entity that doesn't say gets."""

    page_size: int = 1000
    max_page_size: int = 10_000


def discover(
    described: ApiDescription,
    connector: Connector,
    existing: Catalogued | None,
    *,
    uid: UUID,
    taken_tables: Iterable[str] = (),
) -> Change:
    """The entity that `described` gives, or what it makes of the `existing` one, whose uid then stays.

    Discovery appends and widens; it never removes a column, narrows a type, changes a key or undoes what a
    person set: each of these becomes a warning. Raises ConfigurationError for a table that cannot be synced.
    """
    _check_members(described)
    if existing is None:
        return _first(described, connector, uid, taken_tables)
    return _refresh(described, connector, existing)


def _first(described: ApiDescription, connector: Connector, uid: UUID, taken_tables: Iterable[str]) -> Change:
    keys = described_keys(described)
    strategy, version, warnings = effective_version(described)
    mappings, skipped = _default_mappings(described, connector, keys)
    entity = Entity(
        uid=uid,
        connector_uid=connector.uid,
        slug=described.slug,
        api_name=described.name,
        description=described.description,
        delta_strategy=strategy,
        business_keys=keys,
        target_schema="public",
        target_table=names.table_name(described.slug, taken_tables),
        dialect=_dialect(described),
        version=version,
        pagination=described.pagination,
        ordered_by_rowversion=described.ordered_by_rowversion,
        page_size_max=described.page_size_max,
        columns=described.columns,
        delete_after_missing=default_delete_after_missing(strategy),
        warnings=(*warnings, *skipped),
    )
    return Change(Catalogued(entity, mappings), added=mappings)


def _refresh(described: ApiDescription, connector: Connector, existing: Catalogued) -> Change:
    entity = existing.entity
    strategy, version, warnings = effective_version(described)
    merged, added, widened, notes = _merge(described, connector, existing)
    found = {
        "api_name": described.name,
        "description": described.description,
        "delta_strategy": strategy,
        "version": version,
        "dialect": _dialect(described),
        "pagination": described.pagination,
        "ordered_by_rowversion": described.ordered_by_rowversion,
        "page_size_max": described.page_size_max,
        "delete_after_missing": default_delete_after_missing(strategy),
    }
    changes = {name: value for name, value in found.items() if name not in entity.person_set}
    after = replace(
        entity,
        columns=described.columns,
        warnings=(*warnings, *notes, *_key_warnings(described, entity)),
        **changes,  # type: ignore[arg-type]  # each value has its field's type, by the table above
    )
    change = Change(Catalogued(after, merged), added=added, widened=widened)
    return replace(change, reset=needs_reset(existing, change))


def _merge(
    described: ApiDescription, connector: Connector, existing: Catalogued
) -> tuple[tuple[FieldMapping, ...], tuple[FieldMapping, ...], tuple[FieldMapping, ...], list[str]]:
    """All mappings, those added, those widened, and warnings."""
    entity, kept = existing.entity, existing.mappings
    fresh, notes = _default_mappings(described, connector, entity.business_keys, kept)
    by_source = {mapping.source: mapping for mapping in fresh}
    merged, widened = [], []
    for mapping in kept:
        proposal = by_source.get(mapping.source)
        result = mapping if proposal is None else _adopt(entity.slug, mapping, proposal, notes)
        merged.append(result)
        if result.type != mapping.type:
            widened.append(result)
    # A column that was described before and has no mapping was left out by a person, or skipped for its name.
    known = {column.member for column in entity.columns} | {mapping.source for mapping in kept}
    last = max((mapping.position for mapping in kept), default=-1)
    new = [mapping for mapping in fresh if mapping.source not in known]
    added = tuple(replace(mapping, position=last + 1 + i) for i, mapping in enumerate(new))
    return (*merged, *added), added, tuple(widened), [*notes, *_removed(described, entity, kept)]


def _adopt(slug: str, stored: FieldMapping, proposal: FieldMapping, notes: list[str]) -> FieldMapping:
    """The stored mapping with what discovery may change of it: rules, and a type that only grows."""
    if stored.set_by == "person" or (stored.expression and stored.expression.op != "rename"):
        return stored
    if stored.type == proposal.type:
        return replace(stored, rules=proposal.rules)
    if types.widens(stored.type, proposal.type):
        return replace(stored, type=proposal.type, rules=proposal.rules)
    notes.append(
        f"{slug}.{stored.source}: the source's type is now {types.sql_type(proposal.type)}, the target column "
        f"{stored.target} stays {types.sql_type(stored.type)}; map the column to another target to change that"
    )
    return stored


def _removed(described: ApiDescription, entity: Entity, kept: Sequence[FieldMapping]) -> list[str]:
    offered = {column.member for column in described.columns}
    gone = sorted({source for m in kept for source in sources_of(m)} - offered)
    return [
        f"{entity.slug}.{name}: the source no longer offers this column; its target column stays and is not written"
        for name in gone
    ]


def _key_warnings(described: ApiDescription, entity: Entity) -> list[str]:
    if "business_keys" in entity.person_set:
        return []
    try:
        keys = described_keys(described)
    except ConfigurationError as error:
        return [f"{error.message}; the stored key {', '.join(entity.business_keys)} stays"]
    if keys == entity.business_keys:
        return []
    return [
        f"{entity.slug}: the source's business key is now {', '.join(keys)}, the entity keeps "
        f"{', '.join(entity.business_keys)}; PUT the entity with the new business_keys to change it"
    ]


def _check_members(described: ApiDescription) -> None:
    members = [column.member for column in described.columns]
    twice = sorted({name for name in members if members.count(name) > 1})
    if not members or twice or not all(members):
        what = f"columns described twice: {', '.join(twice)}" if twice else "a column without a name, or no columns"
        raise ConfigurationError(f"{described.slug}: {what}", hint="repair the connector's description, then discover")


def described_keys(described: ApiDescription) -> tuple[str, ...]:
    """The business key's members in key order; raises ConfigurationError if there is none or it is no column."""
    members = {column.name: column.member for column in described.columns}
    members |= {column.member: column.member for column in described.columns}
    named = described.business_key_columns or [c.name for c in described.columns if c.is_business_key]
    unknown = [name for name in named if name not in members]
    if unknown or not named:
        what = f"business key column {unknown[0]!r} is not among its columns" if unknown else "has no business key"
        raise ConfigurationError(
            f"{described.slug}: {what}", hint="name the key columns in business_keys, or repair the connector"
        )
    keys = tuple(dict.fromkeys(members[name] for name in named))
    reserved = [key for key in keys if names.is_reserved(key)]
    if reserved:
        raise ConfigurationError(
            f"{described.slug}: key column {reserved[0]!r} is named like one of PostgreSQL's or our own columns",
            hint="give the column an output_alias at the connector",
        )
    return keys


def effective_version(described: ApiDescription) -> tuple[Strategy, VersionSpec | None, list[str]]:
    """The strategy that the description allows, how its row versions are spelt, and what to tell a person."""
    wanted, version = described.delta_strategy, described.version
    if wanted not in _STRATEGIES:
        return "hash", version, [f"{described.slug}: delta strategy {wanted!r} is unknown; hash is used"]
    if wanted == "rowversion" and version is None:
        version = version_of_sample(described.sample_versions)
        if version is None:
            return "hash", None, [f"{described.slug}: rowversion without a kind of row version; hash is used"]
    return cast(Strategy, wanted), _placed(version, described), []


def version_of_sample(sample: Sequence[str]) -> VersionSpec | None:
    """Digits of one width sort as numbers do; nothing else can be trusted unsaid."""
    widths = {len(value) for value in sample}
    digits = all(value.isascii() and value.isdigit() for value in sample)
    return VersionSpec("number") if len(widths) == 1 and digits else None


def _placed(version: VersionSpec | None, described: ApiDescription) -> VersionSpec | None:
    # The protocol names the source's version column even where rows carry it only as row_version.
    if version is None or version.column is None:
        return version
    members = {c.name: c.member for c in described.columns} | {c.member: c.member for c in described.columns}
    return replace(version, column=members.get(version.column))


def _dialect(described: ApiDescription) -> Dialect:
    return cast(Dialect, described.dialect) if described.dialect in _DIALECTS else "ansi"


def default_delete_after_missing(strategy: str) -> int:
    """How many proven passes a key must be absent from: a `full` snapshot shows all keys at once."""
    return 1 if strategy == "full" else 2


def _default_mappings(
    described: ApiDescription, connector: Connector, keys: Sequence[str], kept: Sequence[FieldMapping] = ()
) -> tuple[tuple[FieldMapping, ...], list[str]]:
    """One mapping a column, every default rule written out; and warnings for what is skipped or unusual."""
    notes: list[str] = []
    usable = []
    for column in described.columns:
        if names.is_reserved(column.member):
            notes.append(
                f"{described.slug}.{column.member}: skipped, PostgreSQL or Tributary keeps this name for itself; "
                "an output_alias at the connector makes it available"
            )
        else:
            usable.append(column)
    targets = _targets(usable, kept)
    mappings = tuple(
        _default_mapping(i, column, targets[column.member], described, connector, column.member in keys, notes)
        for i, column in enumerate(usable)
    )
    return mappings, notes


def _targets(columns: Sequence[DescribedColumn], kept: Sequence[FieldMapping]) -> dict[str, str]:
    """Target names by member: those in use stay, new ones avoid them."""
    known = {mapping.source: mapping.target for mapping in kept}
    new = [column.member for column in columns if column.member not in known]
    taken = {mapping.target for mapping in kept}
    return known | dict(zip(new, names.column_names(new, taken), strict=True))


def _default_mapping(
    position: int,
    column: DescribedColumn,
    target: str,
    described: ApiDescription,
    connector: Connector,
    is_key: bool,
    notes: list[str],
) -> FieldMapping:
    kind, warning = types.column_type(column.data_type, _dialect(described))
    if warning:
        notes.append(f"{described.slug}.{column.member}: {warning}")
    rules = _default_rules(kind, connector, is_key)
    try:
        rules = parse_rules(column.format or {}, rules)
    except ValueError as error:
        notes.append(f"{described.slug}.{column.member}: format left aside, {error}")
    return FieldMapping(position, column.member, target, stored_type(kind, rules), rules)


def _default_rules(kind: ColumnType, connector: Connector, is_key: bool) -> Rules:
    times = kind.kind in (Kind.TIMESTAMP, Kind.TIMESTAMPTZ)
    return Rules(
        unicode="NFC" if is_key and kind.kind is Kind.TEXT else "none",
        timezone=connector.time_zone if times else None,
    )


def stored_type(kind: ColumnType, rules: Rules) -> ColumnType:
    """The target's type once rules are applied: a naive time with a zone is an instant, a masked value is text."""
    if rules.mask in ("hash", "redact"):
        return ColumnType(Kind.TEXT)
    if kind.kind is Kind.TIMESTAMP and rules.timezone:
        return replace(kind, kind=Kind.TIMESTAMPTZ)
    return kind


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


def needs_reset(before: Catalogued, change: Change) -> bool:
    """Whether rows written before can differ, under the same source, from rows written after.

    A column that only appends or widens doesn't count: frozen runs finish without it.
    """
    old, new = before.entity, change.after.entity
    if (old.business_keys, old.version, old.parameters) != (new.business_keys, new.version, new.parameters):
        return True
    added = {mapping.target for mapping in change.added}
    return _recipe(before.mappings) != _recipe(m for m in change.after.mappings if m.target not in added)


def _recipe(mappings: Iterable[FieldMapping]) -> set[tuple[object, ...]]:
    return {(m.source, m.target, repr(m.rules), m.expression) for m in mappings}


@dataclass(frozen=True, slots=True)
class EntityChoice:
    """What a person asks of an entity. None leaves a field to discovery where that knows it, else to its default."""

    api_name: str | None = None
    delta_strategy: Strategy | None = None
    business_keys: tuple[str, ...] | None = None
    target_schema: str | None = None
    target_table: str | None = None
    columns: tuple[DescribedColumn, ...] | None = None
    mappings: tuple[FieldMapping, ...] | None = None
    parameters: Mapping[str, str] | None = None
    sync_enabled: bool | None = None
    sync_interval_seconds: int | None = None
    overlap: int | None = None
    page_size: int | None = None
    delete_guard_percent: float | None = None
    delete_after_missing: int | None = None
    key_sweep_interval_seconds: int | None = None


# Fields that only a person sets, with what they go back to when a PUT leaves them out.
_PLAIN: Mapping[str, object] = {
    "parameters": {},
    "sync_enabled": True,
    "sync_interval_seconds": None,
    "overlap": 0,
    "page_size": None,
    "delete_guard_percent": 10.0,
    "key_sweep_interval_seconds": DAY_S,
}
_DISCOVERED = ("api_name", "delta_strategy", "business_keys", "delete_after_missing")


def create(
    described: ApiDescription,
    choice: EntityChoice,
    connector: Connector,
    *,
    uid: UUID,
    taken_tables: Iterable[str] = (),
) -> Change:
    """A new entity as a person wants it, over what the source says of its table.

    Raises ConfigurationError for a table that cannot be synced and InvalidError naming each field that is wrong.
    """
    wanted = replace(
        described,
        columns=choice.columns or described.columns,
        business_key_columns=choice.business_keys or described.business_key_columns,
        delta_strategy=choice.delta_strategy or described.delta_strategy,
    )
    _check_members(wanted)
    base = _first(wanted, connector, uid, taken_tables).after
    placed = replace(
        base.entity,
        target_schema=choice.target_schema or base.entity.target_schema,
        target_table=choice.target_table or base.entity.target_table,
    )
    after = _chosen(Catalogued(placed, base.mappings), replace(choice, business_keys=None))
    named = tuple(name for name in _DISCOVERED if getattr(choice, name) is not None)
    entity = replace(after.entity, person_set=tuple(sorted({*after.entity.person_set, *named})))
    return Change(Catalogued(entity, after.mappings), added=after.mappings)


def amend(existing: Catalogued, choice: EntityChoice) -> Change:
    """What a PUT makes of an entity: everything it leaves out goes back to its default.

    Columns and mappings left out stay as they are. Raises InvalidError naming each field that is wrong.
    """
    problems = [
        (name, "cannot be changed; create another entity with it")
        for name in ("target_schema", "target_table")
        if getattr(choice, name) not in (None, getattr(existing.entity, name))
    ]
    if choice.columns is not None and choice.columns != existing.entity.columns:
        problems.append(("columns", "come from the source; discover the connector to refresh them"))
    _raise(existing.entity.slug, problems)
    after = _chosen(existing, choice)
    old = {mapping.target: mapping for mapping in existing.mappings}
    change = Change(
        after,
        added=tuple(m for m in after.mappings if m.target not in old),
        widened=tuple(m for m in after.mappings if m.target in old and m.type != old[m.target].type),
        rekeyed=key_targets(existing) != key_targets(after),
    )
    return replace(change, reset=needs_reset(existing, replace(change, added=())))


def _chosen(base: Catalogued, choice: EntityChoice) -> Catalogued:
    entity = base.entity
    strategy = choice.delta_strategy or entity.delta_strategy
    changes: dict[str, object] = {
        "api_name": choice.api_name or entity.api_name,
        "delta_strategy": strategy,
        "business_keys": choice.business_keys or entity.business_keys,
        "delete_after_missing": choice.delete_after_missing or default_delete_after_missing(strategy),
    }
    for name, default in _PLAIN.items():
        value = getattr(choice, name)
        changes[name] = default if value is None else value
    after = replace(entity, **changes, person_set=_person_set(entity, choice))  # type: ignore[arg-type]
    mappings = _set_by(base.mappings, choice.mappings)
    result = Catalogued(after, _key_defaults(mappings, after.business_keys))
    _raise(entity.slug, [*_entity_problems(after), *mapping_problems(result), *_type_problems(base, result)])
    return result


def _person_set(entity: Entity, choice: EntityChoice) -> tuple[str, ...]:
    """A value that a person repeats as it stands is not made his own: a GET put back changes nothing."""
    names_of = [*_DISCOVERED, *_PLAIN]
    given = {name for name in names_of if getattr(choice, name) is not None}
    kept = given & set(entity.person_set)
    return tuple(sorted(kept | {name for name in given if getattr(choice, name) != getattr(entity, name)}))


def _set_by(stored: tuple[FieldMapping, ...], wanted: tuple[FieldMapping, ...] | None) -> tuple[FieldMapping, ...]:
    if wanted is None:
        return stored
    same = {replace_free(mapping): mapping.set_by for mapping in stored}
    return tuple(
        replace(mapping, position=i, set_by=same.get(replace_free(mapping), "person")) for i, mapping in enumerate(wanted)
    )


def replace_free(mapping: FieldMapping) -> tuple[object, ...]:
    """What a mapping says, without where it stands or who said it."""
    return (mapping.source, mapping.target, mapping.type, repr(mapping.rules), mapping.expression)


def _key_defaults(mappings: tuple[FieldMapping, ...], keys: Sequence[str]) -> tuple[FieldMapping, ...]:
    """Text keys that discovery mapped compare in NFC."""
    return tuple(
        replace(m, rules=replace(m.rules, unicode="NFC"))
        if m.set_by == "discovery" and m.source in keys and m.type.kind is Kind.TEXT
        else m
        for m in mappings
    )


def _entity_problems(entity: Entity) -> list[tuple[str, str]]:
    problems = []
    if entity.delete_after_missing < 2 and entity.delta_strategy != "full" and entity.pagination != "keyset":
        problems.append(("delete_after_missing", "at least 2 unless the source pages by keyset or the strategy is full"))
    for name in ("target_schema", "target_table"):
        detail = names.problem(getattr(entity, name))
        if detail:
            problems.append((name, detail))
    return problems


def mapping_problems(catalogued: Catalogued) -> list[tuple[str, str]]:
    """Every place where the mappings do not fit the entity's columns and keys."""
    entity, mappings = catalogued.entity, catalogued.mappings
    members = {column.member for column in entity.columns}
    problems = []
    targets: set[str] = set()
    for i, mapping in enumerate(mappings):
        place = f"field_mappings[{i}]"
        problems += [(f"{place}.{name}", detail) for name, detail in _mapping_problems(mapping, members, entity)]
        if mapping.target in targets:
            problems.append((f"{place}.target", f"{mapping.target!r} is mapped twice"))
        targets.add(mapping.target)
    renamed = {mapping.source for mapping in mappings if _is_rename(mapping)}
    problems += [
        ("business_keys", f"{key!r} is not among the source's columns" if key not in members else f"{key!r} is not mapped")
        for key in entity.business_keys
        if key not in renamed
    ]
    return problems + _rule_conflicts(mappings)


def _mapping_problems(mapping: FieldMapping, members: set[str], entity: Entity) -> list[tuple[str, str]]:
    problems = []
    detail = names.problem(mapping.target) or ("is a name the system keeps" if names.is_reserved(mapping.target) else "")
    if detail:
        problems.append(("target", detail))
    stored = {source for source in sources_of(mapping)}
    # A column that the source dropped may stay mapped; only a name never heard of is a mistake.
    unknown = sorted(stored - members) if mapping.set_by == "person" else []
    problems += [("source", f"{name!r} is not among the source's columns") for name in unknown]
    if mapping.source in entity.business_keys and _is_rename(mapping) and mapping.rules.mask in ("null", "redact"):
        problems.append(("rules.mask", "a business key cannot be masked away; hash keeps it distinct"))
    return problems + _expression_problems(mapping.expression)


def _expression_problems(expression: Expression | None) -> list[tuple[str, str]]:
    if expression is None:
        return []
    count = len(expression.args)
    fits = {
        "rename": count == 1,
        "constant": count == 1,
        "concat": count >= 2,
        "coalesce": count >= 1,
        "substring": count == 3 and all(arg.isascii() and arg.isdigit() for arg in expression.args[1:]),
        "map": count >= 3 and count % 2 == 1,
    }[expression.op]
    return [] if fits else [("expression.args", f"do not fit {expression.op}; see the mapping expressions in the README")]


def _is_rename(mapping: FieldMapping) -> bool:
    return mapping.expression is None or mapping.expression.op == "rename"


def _rule_conflicts(mappings: Sequence[FieldMapping]) -> list[tuple[str, str]]:
    """A source column is read once, so all its renames must read it by the same rules and as the same kind."""
    seen: dict[str, tuple[object, ...]] = {}
    problems = []
    for i, mapping in enumerate(mappings):
        if _is_rename(mapping):
            reading = (repr(replace(mapping.rules, mask="none")),)
            if seen.setdefault(mapping.source, reading) != reading:
                problems.append((f"field_mappings[{i}].rules", f"differ from another mapping of {mapping.source!r}"))
    return problems


def _type_problems(base: Catalogued, result: Catalogued) -> list[tuple[str, str]]:
    old = {mapping.target: mapping.type for mapping in base.mappings}
    return [
        (
            f"field_mappings[{i}].type",
            f"{types.sql_type(old[m.target])} cannot become {types.sql_type(m.type)} without loss; use another target",
        )
        for i, m in enumerate(result.mappings)
        if m.target in old and m.type != old[m.target] and not types.widens(old[m.target], m.type)
    ]


def _raise(slug: str, problems: Sequence[tuple[str, str]]) -> None:
    if problems:
        what = "; ".join(f"{name} {detail}" for name, detail in problems)
        raise InvalidError(f"entity {slug}: {what}", problems, hint="correct the fields named and send it again")


def key_targets(catalogued: Catalogued) -> tuple[str, ...]:
    """The target columns of the business key, in key order."""
    by_source = {m.source: m.target for m in reversed(catalogued.mappings) if _is_rename(m)}
    return tuple(by_source[key] for key in catalogued.entity.business_keys)


def freeze(
    entity: Entity,
    mappings: Sequence[FieldMapping],
    connector: Connector,
    defaults: Defaults,
    *,
    generation: int = 0,
) -> RunConfig:
    """A run's configuration, complete and final. Key columns come first, in key order.

    Raises SchemaDriftError where the source no longer offers a key column or anything to map.
    """
    members = {column.member: column for column in entity.columns}
    usable = [m for m in sorted(mappings, key=lambda m: m.position) if set(sources_of(m)) <= set(members)]
    keys = _key_mappings(entity, usable)
    rest = [m for m in usable if m not in keys]
    version = entity.version
    strategy: Strategy = "hash" if entity.delta_strategy == "rowversion" and version is None else entity.delta_strategy
    return RunConfig(
        entity_uid=str(entity.uid),
        slug=entity.slug,
        strategy=strategy,
        dialect=entity.dialect,
        source_columns=_source_columns(entity, usable, connector),
        target_columns=(*(_target(m, True) for m in keys), *(_target(m, False) for m in rest)),
        target_schema=entity.target_schema,
        target_table=entity.target_table,
        version=version,
        pagination=entity.pagination,
        ordered_by_rowversion=entity.ordered_by_rowversion,
        page_size=_page_size(entity, defaults),
        overlap=entity.overlap,
        delete_guard_percent=float(entity.delete_guard_percent),
        delete_after_missing=entity.delete_after_missing,
        parameters=dict(entity.parameters),
        generation=generation,
    )


def _key_mappings(entity: Entity, usable: Sequence[FieldMapping]) -> list[FieldMapping]:
    found = {m.source: m for m in reversed(usable) if _is_rename(m)}
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


def _source_columns(entity: Entity, usable: Sequence[FieldMapping], connector: Connector) -> tuple[SourceColumn, ...]:
    readers = {m.source: m for m in reversed(usable) if _is_rename(m)}
    used = {source for m in usable for source in sources_of(m)}
    if entity.version and entity.version.column:
        used.add(entity.version.column)
    return tuple(
        _source_column(column, readers.get(column.member), entity, connector)
        for column in entity.columns
        if column.member in used
    )


def _source_column(
    column: DescribedColumn, reader: FieldMapping | None, entity: Entity, connector: Connector
) -> SourceColumn:
    """How the column is read: as its own mapping says, else as discovery would."""
    declared, _ = types.column_type(column.data_type, entity.dialect)
    if reader is None:
        rules = parse_rules(column.format or {}, _default_rules(declared, connector, False))
        return SourceColumn(column.member, column.data_type, stored_type(declared, rules), column.is_nullable, rules)
    # A masked value is read as what the source declares; only what is stored becomes text.
    masked = reader.rules.mask in ("hash", "redact")
    read_as = stored_type(declared, replace(reader.rules, mask="none")) if masked else reader.type
    return SourceColumn(column.member, column.data_type, read_as, column.is_nullable, reader.rules)


def _target(mapping: FieldMapping, is_key: bool) -> TargetColumn:
    expression = mapping.expression or Expression("rename", (mapping.source,))
    return TargetColumn(mapping.target, mapping.type, is_key, not is_key, expression, mapping.rules.mask)
