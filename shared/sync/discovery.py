"""Discovery: what a connector says of a table becomes an entity, every default written out, or refreshes one.

Enters: a description, and the entity as stored. Leaves: a Change that appends and widens; whatever else
differs is a warning. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import cast
from uuid import UUID

from shared.errors import ConfigurationError
from shared.sync import drift, names, types
from shared.sync.catalogue import (
    Catalogued,
    Change,
    Connector,
    Dialect,
    Entity,
    FieldMapping,
    described_rules,
    sources_of,
    stored_type,
)
from shared.sync.declared import declared_version
from shared.sync.description import ApiColumn, ApiDescription
from shared.sync.model import Strategy, VersionSpec

_DIALECTS = ("oracle", "sqlserver", "postgres", "ansi")
_STRATEGIES = ("full", "hash", "rowversion")
# A filled table up to this size is rewritten by discovery for a wider type; a larger one only when a person says so.
REWRITE_BYTES = 256 * 1024 * 1024


def discover(
    described: ApiDescription,
    connector: Connector,
    existing: Catalogued | None,
    *,
    uid: UUID,
    taken_tables: Iterable[str] = (),
    stored_bytes: int = 0,
) -> Change:
    """The entity that `described` gives, or what it makes of the `existing` one, whose uid then stays.

    Discovery appends and widens; it never removes a column, narrows a type, changes a key or undoes what a
    person set, nor the rules of a table that holds rows (`stored_bytes`): each of these becomes a warning. Raises
    ConfigurationError for a table that cannot be synced, SchemaDriftError where the contract is frozen.
    """
    clean, notes = storable(described)
    if existing is None:
        change = first_seen(clean, connector, uid, taken_tables)
    else:
        agreed, kept_out = drift.held(clean, existing.entity)
        change = warned(_refresh(agreed, connector, existing, stored_bytes), kept_out)
    return warned(change, notes)


def warned(change: Change, notes: Sequence[str]) -> Change:
    if not notes:
        return change
    entity = change.after.entity
    return replace(
        change, after=replace(change.after, entity=replace(entity, warnings=(*entity.warnings, *notes)))
    )


def first_seen(
    described: ApiDescription, connector: Connector, uid: UUID, taken_tables: Iterable[str]
) -> Change:
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
        target_schema=default_schema(connector),
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


def default_schema(connector: Connector) -> str:
    """Where a new entity's target goes unless a person says otherwise; raises ConfigurationError if nowhere."""
    if not connector.target_schemas:
        raise ConfigurationError(
            f"tenant {connector.tenant}: has no target schema",
            hint=f"an admin of all tenants gives it some: PUT /api/v1/tenants/{connector.tenant}",
        )
    return connector.target_schemas[0]


def _refresh(
    described: ApiDescription, connector: Connector, existing: Catalogued, stored_bytes: int
) -> Change:
    entity = existing.entity
    strategy, version, warnings = effective_version(described)
    merged, added, widened, notes = _merge(described, connector, existing, stored_bytes)
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
    after = _declared(after)
    change = Change(
        Catalogued(after, merged), added=added, widened=widened, returned=_returned(described, existing)
    )
    return replace(change, reset=needs_reset(existing, change))


def _declared(entity: Entity) -> Entity:
    """The entity with the version that a person declared, which a fresh description does not know of."""
    version, problems = declared_version(entity)
    notes = tuple(f"{entity.slug}: {name} {detail}" for name, detail in problems)
    return replace(entity, version=version or entity.version, warnings=(*entity.warnings, *notes))


def _returned(described: ApiDescription, existing: Catalogued) -> tuple[FieldMapping, ...]:
    """Mappings whose column the source had dropped and offers again: rows written meanwhile lack it."""
    before = {column.member for column in existing.entity.columns}
    now = {column.member for column in described.columns}
    return tuple(
        m for m in existing.mappings if not set(sources_of(m)) <= before and set(sources_of(m)) <= now
    )


def _merge(
    described: ApiDescription, connector: Connector, existing: Catalogued, stored_bytes: int
) -> tuple[tuple[FieldMapping, ...], tuple[FieldMapping, ...], tuple[FieldMapping, ...], list[str]]:
    """All mappings, those added, those widened, and warnings."""
    entity, kept = existing.entity, existing.mappings
    fresh, notes = _default_mappings(described, connector, entity.business_keys, kept)
    by_source = {mapping.source: mapping for mapping in fresh}
    merged, widened = [], []
    for mapping in kept:
        proposal = by_source.get(mapping.source)
        result = mapping if proposal is None else _adopt(entity.slug, mapping, proposal, notes, stored_bytes)
        merged.append(result)
        if result.type != mapping.type:
            widened.append(result)
    # A column that was described before and has no mapping was left out by a person, or skipped for its name.
    known = {column.member for column in entity.columns} | {mapping.source for mapping in kept}
    last = max((mapping.position for mapping in kept), default=-1)
    new = [mapping for mapping in fresh if mapping.source not in known]
    added = tuple(replace(mapping, position=last + 1 + i) for i, mapping in enumerate(new))
    notes += _removed(described, entity, kept)
    notes += [
        drift.rename_note(entity.slug, *pair) for pair in drift.suspected_renames(described, existing, added)
    ]
    still = drift.kept_renames(entity, kept, [column.member for column in described.columns])
    return (*merged, *added), added, tuple(widened), list(dict.fromkeys([*notes, *still]))


def _adopt(
    slug: str, stored: FieldMapping, proposal: FieldMapping, notes: list[str], stored_bytes: int
) -> FieldMapping:
    """The stored mapping with what discovery may change of it: a type that only grows, rules of an empty table."""
    if stored.set_by == "person" or (stored.expression and stored.expression.op != "rename"):
        return stored
    rules = proposal.rules
    if rules != stored.rules and stored_bytes:
        notes.append(
            f"{slug}.{stored.source}: the source's format asks for other rules than the loaded rows were read by; the"
            " stored rules stay; PUT field_mappings with the new rules to change them"
        )
        rules = stored.rules
    if stored.type == proposal.type:
        return replace(stored, rules=rules)
    if types.widens(stored.type, proposal.type):
        if types.rewrites(stored.type, proposal.type) and stored_bytes > REWRITE_BYTES:
            notes.append(
                f"{slug}.{stored.source}: the source's type is now {types.sql_type(proposal.type)}; the target column"
                f" {stored.target} stays {types.sql_type(stored.type)}, because changing it rewrites"
                f" {stored_bytes // 2**20} MB under a lock; PUT field_mappings with the new type to do it"
            )
            return replace(stored, rules=rules)
        return replace(stored, type=proposal.type, rules=rules)
    notes.append(
        f"{slug}.{stored.source}: the source's type is now {types.sql_type(proposal.type)}, the target "
        f"column {stored.target} stays {types.sql_type(stored.type)}; map it to another target to change that"
    )
    return stored


def _removed(described: ApiDescription, entity: Entity, kept: Sequence[FieldMapping]) -> list[str]:
    offered = {column.member for column in described.columns}
    gone = sorted({source for m in kept for source in sources_of(m)} - offered)
    return [
        f"{entity.slug}.{name}: the source no longer offers it; its target column stays, unwritten"
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
        (
            f"{entity.slug}: the source's business key is now {', '.join(keys)}, the entity keeps "
            f"{', '.join(entity.business_keys)}; PUT the entity with the new business_keys to change it"
        )
    ]


def storable(described: ApiDescription) -> tuple[ApiDescription, list[str]]:
    """The description without what PostgreSQL cannot store or a row cannot tell apart, and warnings.

    Raises ConfigurationError for a slug that cannot be stored and where no column is left.
    """
    if not described.slug or not _is_storable(described.slug):
        raise ConfigurationError(
            f"slug {described.slug!a}: cannot be stored", hint="rename it at the connector"
        )
    kept: dict[str, ApiColumn] = {}
    notes = list(described.notes)
    for column in described.columns:
        if column.member in kept:
            notes.append(f"{described.slug}.{column.member}: described twice; the first description counts")
        elif column.member and _is_storable(
            (column.name, column.output_alias, column.data_type, column.format)
        ):
            kept[column.member] = column
        else:
            notes.append(
                f"{described.slug}.{column.member!a}: skipped, its name or description cannot be stored"
            )
    if not kept:
        raise ConfigurationError(
            f"{described.slug}: has no columns", hint="repair the connector's description"
        )
    result = replace(
        described,
        columns=tuple(kept.values()),
        name=described.name if described.name and _is_storable(described.name) else described.slug,
        description=described.description if _is_storable(described.description) else None,
    )
    return result, notes


def _is_storable(value: object) -> bool:
    """Whether every text in it is without NUL and lone surrogates."""
    match value:
        case str():
            return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
        case Mapping():
            return all(_is_storable(k) and _is_storable(v) for k, v in value.items())
        case list() | tuple():
            return all(_is_storable(item) for item in value)
        case _:
            return True


def described_keys(described: ApiDescription) -> tuple[str, ...]:
    """The business key's members in key order; raises ConfigurationError if there is none."""
    members = {column.name: column.member for column in described.columns}
    members |= {column.member: column.member for column in described.columns}
    named = described.business_key_columns or [c.name for c in described.columns if c.is_business_key]
    unknown = [name for name in named if name not in members]
    if unknown or not named:
        what = (
            f"business key column {unknown[0]!r} is not among its columns"
            if unknown
            else "has no business key"
        )
        raise ConfigurationError(
            f"{described.slug}: {what}", hint="name the key columns in business_keys, or repair the connector"
        )
    keys = tuple(dict.fromkeys(members[name] for name in named))
    reserved = [key for key in keys if names.is_reserved(key)]
    if reserved:
        raise ConfigurationError(
            f"{described.slug}: key column {reserved[0]!r} is named like one of PostgreSQL's or ours",
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
    skipped = names.target_names([column.member for column in described.columns]).skipped
    notes = [f"{described.slug}.{name}: skipped, {reason}" for name, reason in skipped.items()]
    usable = [column for column in described.columns if column.member not in skipped]
    targets = _targets(usable, kept)
    mappings = []
    for position, column in enumerate(usable):
        target, is_key = targets[column.member], column.member in keys
        mapping, found = _default_mapping(
            described, connector, column, position=position, target=target, is_key=is_key
        )
        mappings.append(mapping)
        notes += found
    return tuple(mappings), notes


def _targets(columns: Sequence[ApiColumn], kept: Sequence[FieldMapping]) -> dict[str, str]:
    """Target names by member: those in use stay, new ones avoid them."""
    known = {mapping.source: mapping.target for mapping in kept}
    new = [column.member for column in columns if column.member not in known]
    taken = {mapping.target for mapping in kept}
    return known | dict(zip(new, names.column_names(new, taken), strict=True))


def _default_mapping(
    described: ApiDescription,
    connector: Connector,
    column: ApiColumn,
    *,
    position: int,
    target: str,
    is_key: bool,
) -> tuple[FieldMapping, list[str]]:
    kind, warning = types.column_type(column.data_type, _dialect(described))
    rules, problem = described_rules(column, kind, connector, is_key)
    notes = [warning] if warning else []
    notes += [f"format left aside, {problem}"] if problem else []
    mapping = FieldMapping(position, column.member, target, stored_type(kind, rules), rules)
    return mapping, [f"{described.slug}.{column.member}: {note}" for note in notes]


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
