"""Parents: which rows wait because a row they refer to is not there. Pure: frames in, frames out.

`references` turns an entity's declarations into what a run's configuration freezes; `hold` splits the rows that a
chunk would write; `blocked` settles rows that refer to each other, in a number of steps that grows with the
logarithm of a chain's length. A reference with a NULL in it waits for nobody.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shared.sync.catalogue import Catalogued, is_rename, key_targets
from shared.sync.description import ApiParent
from shared.sync.identity import TAGS, identify_keys
from shared.sync.model import KEY_HASH, REFERENCE, ROW, Reference, RunConfig, TargetColumn

NUMBER = "_number"  # UInt32, of a distinct reference
PARENT = "_parent"  # String, uid of the parent's entity
FINE, OUTSIDE = (
    -1,
    -2,
)  # where a self reference points: to a row that stands, to one that is nowhere in the batch
Look = Callable[[Reference, pl.DataFrame], pl.Series]
_MEMBER = "_place"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Rows that must wait. `rows` has the batch's columns and, by declared parent, `a0..`: the key hash it lacks.

    `awaited` has PARENT, KEY_HASH, REFERENCE, each parent once.
    """

    rows: pl.DataFrame
    awaited: pl.DataFrame


def references(
    child: Catalogued, config: RunConfig, parents: Mapping[str, Catalogued], circle: frozenset[str]
) -> tuple[Reference, ...]:
    """The declared parents that can be looked up; `circle` names those that wait for the child in their turn."""
    found = [
        _reference(declared, child, config, parents.get(declared.slug), circle)
        for declared in child.entity.parents
    ]
    return tuple(reference for reference in found if reference is not None)


def problems(declared: ApiParent, child: Catalogued, parent: Catalogued | None) -> list[str]:
    """Why a declared parent cannot be looked up, field by field; empty where it can."""
    if len(declared.columns) != len(declared.parent_columns):
        return ["columns and parent_columns differ in number"]
    targets = {m.source: m for m in reversed(child.mappings) if is_rename(m)}
    unmapped = [name for name in declared.columns if name not in targets]
    if unmapped:
        return [f"column {unmapped[0]!r} is not mapped"]
    if parent is None:
        return [f"the connector has no entity {declared.slug!r}; discover it first"]
    members = [_member(parent, name) for name in declared.parent_columns]
    if sorted(members) != sorted(parent.entity.business_keys):
        keys = ", ".join(parent.entity.business_keys)
        return [f"parent_columns must be the business key of {declared.slug}: {keys}"]
    ours = {member: targets[column].type for member, column in zip(members, declared.columns, strict=True)}
    theirs = {m.source: m.type for m in reversed(parent.mappings) if is_rename(m)}
    unlike = [name for name in ours if TAGS[ours[name].kind] != TAGS[theirs[name].kind]]
    return [f"column {name!r} is of another kind than what refers to it" for name in unlike]


def _member(catalogued: Catalogued, name: str) -> str:
    return next((c.member for c in catalogued.entity.columns if c.name == name), name)


def _reference(
    declared: ApiParent,
    child: Catalogued,
    config: RunConfig,
    parent: Catalogued | None,
    circle: frozenset[str],
) -> Reference | None:
    if parent is None or problems(declared, child, parent):
        return None
    places = {column.name: i for i, column in enumerate(config.target_columns)}
    targets = {m.source: m.target for m in reversed(child.mappings) if is_rename(m)}
    columns = {
        _member(parent, theirs): places.get(targets[ours])
        for ours, theirs in zip(declared.columns, declared.parent_columns, strict=True)
    }
    ordered = [columns[key] for key in parent.entity.business_keys]
    known = [place for place in ordered if place is not None]
    if len(known) != len(ordered):
        return None  # the source stopped sending a column: nothing is known of whom its rows refer to
    entity = parent.entity
    return Reference(
        entity_uid=str(entity.uid),
        slug=entity.slug,
        columns=tuple(known),
        target_schema=entity.target_schema,
        target_table=entity.target_table,
        key_names=key_targets(parent),
        goes_first=entity.slug not in circle and entity.uid != child.entity.uid,
    )


def circle_of(slug: str, declared: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """The tables that `slug` refers to, directly or not, and that refer back to it; `declared`: parents by slug."""

    def reach(start: str) -> set[str]:
        seen: set[str] = set()
        todo = list(declared.get(start, ()))
        while todo:
            one = todo.pop()
            if one not in seen:
                seen.add(one)
                todo += declared.get(one, ())
        return seen

    return frozenset(other for other in reach(slug) if slug in reach(other))


def hold(rows: pl.DataFrame, config: RunConfig, look: Look) -> Waiting:
    """Those of the rows to be written that lack a parent: neither live, by `look`, nor among the rows that land.

    `look` answers for distinct references (NUMBER, `t..` columns) which NUMBERs have no live row.
    """
    judged = rows
    for i, reference in enumerate(config.parents):
        judged = judged.join(_lacking(rows, reference, config, look, i), on=ROW, how="left")
    waits = blocked(*_standing(judged, config))
    if not waits.any():
        return nobody(rows)
    lands = judged.filter(~pl.Series(waits)).select(KEY_HASH, REFERENCE)
    held = _without_landing(judged.filter(pl.Series(waits)), lands, config)
    return Waiting(held, _awaited(held, config))


def nobody(rows: pl.DataFrame) -> Waiting:
    """No row waits."""
    schema = {PARENT: pl.String, KEY_HASH: pl.Binary, REFERENCE: pl.String}
    return Waiting(rows.clear(), pl.DataFrame(schema=schema))


def blocked(stuck: NDArray[np.bool_], pointers: Sequence[NDArray[np.int64]]) -> NDArray[np.bool_]:
    """Which rows cannot land: stuck ones, and those that lead to a stuck one. Rows of a whole circle may land.

    Each of `pointers` says for each row which row of the batch it refers to, FINE or OUTSIDE.
    """
    waits = stuck.copy()
    for pointer in pointers:
        waits |= pointer == OUTSIDE
    while True:
        before = waits.copy()
        for pointer in pointers:
            waits = _led(waits, pointer)
        if (before == waits).all():
            return waits


def _led(waits: NDArray[np.bool_], pointer: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Follow one reference to its end, doubling the stride at each step."""
    hop = np.where(pointer < 0, np.arange(len(pointer)), pointer)
    reached = waits.copy()
    for _ in range(len(pointer).bit_length()):
        reached |= reached[hop]
        hop = hop[hop]
    return reached


def _lacking(rows: pl.DataFrame, reference: Reference, config: RunConfig, look: Look, i: int) -> pl.DataFrame:
    """ROW, `a<i>` and `k<i>` (readable key) of the rows whose parent has no live row."""
    columns = [f"t{place}" for place in reference.columns]
    named = rows.select(ROW, *columns).drop_nulls()
    distinct = named.select(columns).unique().with_row_index(NUMBER)
    absent = look(reference, distinct) if distinct.height else pl.Series([], dtype=pl.UInt32)
    missing = distinct.filter(pl.col(NUMBER).is_in(absent.implode()))
    hashes, texts = keys_of(missing, reference, config)
    keyed = missing.with_columns(hashes.alias(f"a{i}"), texts.alias(f"k{i}"))
    return named.join(keyed, on=columns).select(ROW, f"a{i}", f"k{i}")


def keys_of(frame: pl.DataFrame, reference: Reference, config: RunConfig) -> tuple[pl.Series, pl.Series]:
    """Key hashes and readable keys of the parents that rows with these `t..` columns refer to."""
    if frame.is_empty():
        return pl.Series([], dtype=pl.Binary), pl.Series([], dtype=pl.String)
    types = [config.target_columns[place].type for place in reference.columns]
    values = [frame[f"t{place}"] for place in reference.columns]
    return identify_keys(list(zip(reference.key_names, types, values, strict=True)))


def _own(config: RunConfig) -> list[int]:
    return [i for i, reference in enumerate(config.parents) if reference.entity_uid == config.entity_uid]


def _standing(judged: pl.DataFrame, config: RunConfig) -> tuple[NDArray[np.bool_], list[NDArray[np.int64]]]:
    """Rows that lack a parent of another table, and where each reference to the own table points."""
    own = _own(config)
    others = [f"a{i}" for i in range(len(config.parents)) if i not in own]
    stuck = np.zeros(judged.height, dtype=np.bool_)
    for name in others:
        stuck |= judged[name].is_not_null().to_numpy()
    places = judged.select(KEY_HASH, REFERENCE).with_row_index(_MEMBER)
    return stuck, [_pointer(judged, places, i) for i in own]


def _pointer(judged: pl.DataFrame, places: pl.DataFrame, i: int) -> NDArray[np.int64]:
    # Hash and readable key: a crafted collision of hashes must not pass for a parent.
    met = judged.select(f"a{i}", f"k{i}").join(
        places, left_on=[f"a{i}", f"k{i}"], right_on=[KEY_HASH, REFERENCE], how="left", maintain_order="left"
    )
    found = met[_MEMBER].cast(pl.Int64).fill_null(OUTSIDE)
    return found.zip_with(met[f"a{i}"].is_not_null(), pl.repeat(FINE, met.height, eager=True)).to_numpy()


def _without_landing(held: pl.DataFrame, lands: pl.DataFrame, config: RunConfig) -> pl.DataFrame:
    """A parent of the own table that lands with this batch is not awaited."""
    for i in _own(config):
        lands_now = held.join(
            lands.rename({KEY_HASH: f"a{i}", REFERENCE: f"k{i}"}), on=[f"a{i}", f"k{i}"], how="semi"
        )[ROW]
        here = pl.col(ROW).is_in(lands_now.implode())
        held = held.with_columns(pl.when(~here).then(pl.col(f"a{i}")).alias(f"a{i}"))
    return held


def _awaited(held: pl.DataFrame, config: RunConfig) -> pl.DataFrame:
    parts = [
        held.select(
            pl.lit(reference.entity_uid).alias(PARENT),
            pl.col(f"a{i}").alias(KEY_HASH),
            pl.col(f"k{i}").alias(REFERENCE),
        ).filter(pl.col(KEY_HASH).is_not_null())
        for i, reference in enumerate(config.parents)
    ]
    return pl.concat(parts).unique([PARENT, KEY_HASH])


def reference_columns(config: RunConfig, reference: Reference) -> list[TargetColumn]:
    """The child's columns that hold a reference, in the order of the parent's key."""
    return [config.target_columns[place] for place in reference.columns]
