"""How a source's description differs from the stored one: columns gone and come, suspected renames, contracts kept.

Called by discovery. Pure: descriptions in, sentences or a narrower description out.
"""

from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from shared.errors import SchemaDriftError
from shared.sync import types
from shared.sync.catalogue import Catalogued, Entity, FieldMapping
from shared.sync.description import ApiColumn, ApiDescription
from shared.sync.model import ColumnType

_ALIKE = 0.6  # of a name's letters, as difflib counts them
_SUSPECTED = "may have been renamed to"


def differences(described: ApiDescription, entity: Entity) -> list[str]:
    """What the source says otherwise than when the entity was last described, one phrase a column."""
    before = {column.member: column for column in entity.columns}
    now = {column.member: column for column in described.columns}
    found = [f"{name} is new" for name in now if name not in before]
    found += [f"{name} is gone" for name in before if name not in now]
    both = [(before[name], now[name]) for name in now if name in before]
    found += [
        f"{new.member} is {new.data_type}, was {old.data_type}"
        for old, new in both
        if _retyped(old, new, entity)
    ]
    return found + [f"{new.member} has another format" for old, new in both if old.format != new.format]


def _retyped(old: ApiColumn, new: ApiColumn, entity: Entity) -> bool:
    return old.data_type != new.data_type and (
        types.column_type(old.data_type, entity.dialect) != types.column_type(new.data_type, entity.dialect)
    )


def held(described: ApiDescription, entity: Entity) -> tuple[ApiDescription, list[str]]:
    """The description as the entity's contract lets it through, and what it kept out.

    Raises SchemaDriftError under `freeze`; under `reject` columns nobody agreed to stay unknown, and types stay.
    """
    if entity.contract == "evolve":
        return described, []
    found = differences(described, entity)
    if found and entity.contract == "freeze":
        raise SchemaDriftError(
            entity.slug,
            (),
            f"{entity.slug}: the source differs from the frozen contract ({'; '.join(found)}); nothing was changed",
            hint='if the change is wanted, PUT the entity with contract "evolve" and discover again',
        )
    agreed = {column.member: column for column in entity.columns}
    columns = tuple(agreed[c.member] for c in described.columns if c.member in agreed)
    notes = [
        f"{entity.slug}: {one}; the contract keeps it out, and rows that carry a new column are rejected"
        for one in found
    ]
    return replace(described, columns=columns or entity.columns), notes


def suspected_renames(
    described: ApiDescription, existing: Catalogued, added: Sequence[FieldMapping]
) -> list[tuple[str, str]]:
    """(gone, come) members that look like one column under another name.

    Of one type and alike in name, or at one place between the same neighbours.
    """
    entity = existing.entity
    offered = {column.member for column in described.columns}
    gone = [m for m in existing.mappings if m.source and m.source not in offered]
    return [
        (old.source, new.source)
        for old in gone
        for new in added
        if _same_kind(old.type, new.type)
        and (_alike(old.source, new.source) or _same_place(old.source, new.source, entity, described))
    ]


def rename_note(slug: str, gone: str, come: str) -> str:
    """The alert that names both."""
    return (
        f"{slug}.{gone} {_SUSPECTED} {come}: one went, one of its type came; to go on in the old target column, PUT"
        f" field_mappings that read {come} into it"
    )


def kept_renames(entity: Entity, mappings: Sequence[FieldMapping], offered: Sequence[str]) -> list[str]:
    """Alerts of earlier discoveries that still hold: the old column is still gone and still mapped."""
    pairs = (
        (gone.source, come.source)
        for gone in mappings
        for come in mappings
        if gone.source and gone.source not in offered and come.source in offered
    )
    possible = {rename_note(entity.slug, gone, come) for gone, come in pairs}
    return [warning for warning in entity.warnings if _SUSPECTED in warning and warning in possible]


def _same_kind(old: ColumnType, new: ColumnType) -> bool:
    return old.kind is new.kind and (types.widens(old, new) or types.widens(new, old))


def _alike(old: str, new: str) -> bool:
    return SequenceMatcher(None, old.casefold(), new.casefold()).ratio() >= _ALIKE


def _same_place(old: str, new: str, entity: Entity, described: ApiDescription) -> bool:
    before, now = [c.member for c in entity.columns], [c.member for c in described.columns]
    if old not in before or new not in now:
        return False
    return _neighbours(old, before, now) == _neighbours(new, now, before)


def _neighbours(name: str, own: Sequence[str], other: Sequence[str]) -> tuple[str | None, str | None]:
    """The nearest columns on both sides that both descriptions have."""
    at, common = own.index(name), set(other)
    left = next((one for one in reversed(own[:at]) if one in common), None)
    right = next((one for one in own[at + 1 :] if one in common), None)
    return left, right
