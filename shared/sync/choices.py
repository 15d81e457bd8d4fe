"""What a person asks of an entity, checked field by field and laid over what is stored. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from shared.errors import InvalidError
from shared.sync import names, types
from shared.sync.catalogue import (
    DAY_S,
    FIRST_TENANT,
    Catalogued,
    Change,
    Connector,
    Entity,
    FieldMapping,
    is_rename,
    key_targets,
    sources_of,
)
from shared.sync.declared import PARAMETER, declared_version
from shared.sync.description import ApiColumn, ApiDescription, ApiParent
from shared.sync.discovery import default_delete_after_missing, first_seen, needs_reset, storable, warned
from shared.sync.model import ColumnType, Contract, Expression, Kind, Strategy


@dataclass(frozen=True, slots=True)
class EntityChoice:
    """What a person asks of an entity. None leaves a field to discovery or to its default."""

    api_name: str | None = None
    delta_strategy: Strategy | None = None
    business_keys: tuple[str, ...] | None = None
    target_schema: str | None = None
    target_table: str | None = None
    columns: tuple[ApiColumn, ...] | None = None
    mappings: tuple[FieldMapping, ...] | None = None
    parents: tuple[ApiParent, ...] | None = None
    reject_threshold_percent: float | None = None
    parameters: Mapping[str, str] | None = None
    sync_enabled: bool | None = None
    sync_interval_seconds: int | None = None
    overlap: int | None = None
    page_size: int | None = None
    delete_guard_percent: float | None = None
    delete_after_missing: int | None = None
    key_sweep_interval_seconds: int | None = None
    contract: Contract | None = None
    verify_interval_seconds: int | None = None
    adaptive: bool | None = None


# Fields that only a person sets, with what they go back to when a PUT leaves them out.
_PLAIN: Mapping[str, object] = {
    "parameters": {},
    "reject_threshold_percent": None,
    "sync_enabled": True,
    "sync_interval_seconds": None,
    "overlap": 0,
    "page_size": None,
    "delete_guard_percent": 10.0,
    "key_sweep_interval_seconds": DAY_S,
    "contract": "evolve",
    "verify_interval_seconds": None,
    "adaptive": False,
}
_DISCOVERED = ("api_name", "delta_strategy", "business_keys", "delete_after_missing", "parents")


def create(
    described: ApiDescription,
    choice: EntityChoice,
    connector: Connector,
    *,
    uid: UUID,
    taken_tables: Iterable[str] = (),
) -> Change:
    """A new entity as a person wants it, over what the source says of its table.

    Raises ConfigurationError for a table that cannot be synced, InvalidError naming each wrong field.
    """
    own_schemas = (None, *connector.target_schemas)
    if connector.tenant != FIRST_TENANT and choice.target_schema not in own_schemas:
        own = ", ".join(connector.target_schemas) or "none yet"
        detail = f"{choice.target_schema!r} is not a schema of tenant {connector.tenant}, which has {own}"
        _raise(described.slug, [("target_schema", detail)])
    wanted = replace(
        described,
        columns=choice.columns or described.columns,
        business_key_columns=choice.business_keys or described.business_key_columns,
        delta_strategy=choice.delta_strategy or described.delta_strategy,
    )
    wanted, notes = storable(wanted)
    base = warned(first_seen(wanted, connector, uid, taken_tables), notes).after
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
    if choice.columns is not None and _unflagged(choice.columns) != _unflagged(existing.entity.columns):
        problems.append(("columns", "come from the source; discover the connector to refresh them"))
    _raise(existing.entity.slug, problems)
    after = _chosen(existing, choice)
    old = {mapping.target: mapping for mapping in existing.mappings}
    change = Change(
        after,
        added=tuple(m for m in after.mappings if m.target not in old),
        widened=tuple(m for m in after.mappings if m.target in old and _grows(old[m.target], m)),
        narrowed=tuple(m for m in after.mappings if m.target in old and _shrinks(old[m.target], m)),
        rekeyed=key_targets(existing) != key_targets(after),
    )
    return replace(change, reset=needs_reset(existing, change) or bool(change.narrowed))


def _grows(old: FieldMapping, new: FieldMapping) -> bool:
    return old.type != new.type and types.widens(old.type, new.type)


def _shrinks(old: FieldMapping, new: FieldMapping) -> bool:
    return old.type != new.type and not types.widens(old.type, new.type)


def _unflagged(columns: Iterable[ApiColumn]) -> list[ApiColumn]:
    # Answers flag the entity's own keys, which a source may name elsewhere than on the column.
    return [replace(column, is_business_key=False) for column in columns]


def _chosen(base: Catalogued, choice: EntityChoice) -> Catalogued:
    entity = base.entity
    strategy = choice.delta_strategy or entity.delta_strategy
    changes: dict[str, object] = {
        "api_name": choice.api_name or entity.api_name,
        "delta_strategy": strategy,
        "business_keys": choice.business_keys or entity.business_keys,
        "parents": entity.parents if choice.parents is None else choice.parents,
        "delete_after_missing": choice.delete_after_missing or default_delete_after_missing(strategy),
    }
    for name, default in _PLAIN.items():
        value = getattr(choice, name)
        changes[name] = default if value is None else value
    after = replace(entity, **changes, person_set=_person_set(entity, choice))  # type: ignore[arg-type]
    after, problems = _versioned(entity, after)
    mappings = _set_by(base.mappings, choice.mappings)
    result = Catalogued(after, _key_defaults(mappings, after.business_keys))
    problems += [*_entity_problems(after), *mapping_problems(result), *_type_problems(base, result)]
    _raise(entity.slug, problems)
    return result


def _versioned(before: Entity, after: Entity) -> tuple[Entity, list[tuple[str, str]]]:
    """The entity with the version its parameters declare; one that was declared before and is no more is gone."""
    version, problems = declared_version(after)
    was_declared = PARAMETER in before.parameters and PARAMETER not in after.parameters
    if version is None and not (was_declared and after.dialect == "postgres"):
        return after, problems
    return replace(after, version=version), problems


def _person_set(entity: Entity, choice: EntityChoice) -> tuple[str, ...]:
    """A value that a person repeats as it stands is not made his own: a GET put back changes nothing."""
    names_of = [*_DISCOVERED, *_PLAIN]
    given = {name for name in names_of if getattr(choice, name) is not None}
    kept = given & set(entity.person_set)
    return tuple(sorted(kept | {name for name in given if getattr(choice, name) != getattr(entity, name)}))


def _set_by(
    stored: tuple[FieldMapping, ...], wanted: tuple[FieldMapping, ...] | None
) -> tuple[FieldMapping, ...]:
    if wanted is None:
        return stored
    same = {_says(mapping): mapping.set_by for mapping in stored}
    return tuple(
        replace(mapping, position=i, set_by=same.get(_says(mapping), "person"))
        for i, mapping in enumerate(wanted)
    )


def _says(mapping: FieldMapping) -> tuple[object, ...]:
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
        problems.append(
            ("delete_after_missing", "at least 2 unless the source pages by keyset or the strategy is full")
        )
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
        problems += [
            (f"{place}.{name}", detail) for name, detail in _mapping_problems(mapping, members, entity)
        ]
        if mapping.target in targets:
            problems.append((f"{place}.target", f"{mapping.target!r} is mapped twice"))
        targets.add(mapping.target)
    renamed = {mapping.source for mapping in mappings if is_rename(mapping)}
    problems += [
        (
            "business_keys",
            f"{key!r} is not among the source's columns" if key not in members else f"{key!r} is not mapped",
        )
        for key in entity.business_keys
        if key not in renamed
    ]
    return problems + _rule_conflicts(mappings) + _mask_conflicts(catalogued)


def _mapping_problems(mapping: FieldMapping, members: set[str], entity: Entity) -> list[tuple[str, str]]:
    problems = []
    detail = names.problem(mapping.target) or (
        "is a name the system keeps" if names.is_reserved(mapping.target) else ""
    )
    if detail:
        problems.append(("target", detail))
    stored = set(sources_of(mapping))
    # A column that the source dropped may stay mapped; only a name never heard of is a mistake.
    unknown = sorted(stored - members) if mapping.set_by == "person" else []
    problems += [("source", f"{name!r} is not among the source's columns") for name in unknown]
    if (
        mapping.source in entity.business_keys
        and is_rename(mapping)
        and mapping.rules.mask in ("null", "redact")
    ):
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
    return (
        []
        if fits
        else [("expression.args", f"do not fit {expression.op}; see the mapping expressions in the README")]
    )


def _rule_conflicts(mappings: Sequence[FieldMapping]) -> list[tuple[str, str]]:
    """A source column is read once, so all its renames must read it by the same rules."""
    seen: dict[str, tuple[object, ...]] = {}
    problems = []
    for i, mapping in enumerate(mappings):
        if is_rename(mapping):
            reading = (repr(replace(mapping.rules, mask="none")),)
            if seen.setdefault(mapping.source, reading) != reading:
                problems.append(
                    (f"field_mappings[{i}].rules", f"differ from another mapping of {mapping.source!r}")
                )
    return problems


def _mask_conflicts(catalogued: Catalogued) -> list[tuple[str, str]]:
    """Whatever reads a masked column must mask it, or its values are stored all the same."""
    mappings, version = catalogued.mappings, catalogued.entity.version
    hidden = {source for m in mappings if m.rules.mask != "none" for source in sources_of(m)}
    problems = []
    for i, mapping in enumerate(mappings):
        open_ = sorted(hidden & set(sources_of(mapping)))
        if mapping.rules.mask == "none" and open_:
            problems.append(
                (f"field_mappings[{i}].rules.mask", f"another mapping masks {open_[0]!r}; mask it here too")
            )
        if mapping.rules.mask == "hash" and not _holds_a_hash(mapping.type):
            problems.append(
                (f"field_mappings[{i}].type", "is too narrow for mask hash; text of 64 characters holds it")
            )
    if version is not None and version.column in hidden:
        problems.append(("field_mappings", f"the row version {version.column!r} cannot be masked"))
    return problems


def _holds_a_hash(kind: ColumnType) -> bool:
    return kind.kind is Kind.TEXT and (kind.length is None or kind.length >= 64)


def _type_problems(base: Catalogued, result: Catalogued) -> list[tuple[str, str]]:
    old = {mapping.target: mapping.type for mapping in base.mappings}
    return [
        (f"field_mappings[{i}].type", f"{_lossy(old[m.target], m.type)}; use another target")
        for i, m in enumerate(result.mappings)
        if m.target in old and m.type != old[m.target] and not _related(old[m.target], m.type)
    ]


def _related(old: ColumnType, new: ColumnType) -> bool:
    """Whether one type holds the other: wider at once, narrower where every stored value fits."""
    return types.widens(old, new) or types.widens(new, old)


def _lossy(old: ColumnType, new: ColumnType) -> str:
    return f"{types.sql_type(old)} cannot become {types.sql_type(new)} without loss"


def _raise(slug: str, problems: Sequence[tuple[str, str]]) -> None:
    if problems:
        what = "; ".join(f"{name} {detail}" for name, detail in problems)
        raise InvalidError(
            f"entity {slug}: {what}", problems, hint="correct the fields named and send it again"
        )
