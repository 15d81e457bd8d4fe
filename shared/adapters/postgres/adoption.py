"""A table that stands already becomes an entity's target: surveyed, planned, then taken over with its rows and uids.

Nothing is written before the survey found every fault. The hashes of the rows come later, batch by batch
(rehashing.py); `finish` then puts up what only holds once every row has them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, LiteralString

from psycopg import sql

from shared.adapters.postgres import tables
from shared.adapters.postgres.database import Connection
from shared.adapters.postgres.reshape import key_faults
from shared.adapters.postgres.statements import CREATED, DATA, DELETED, KEY, UID, UPDATED, Statements
from shared.errors import TargetRefusedError
from shared.sql import query
from shared.sync import types
from shared.sync.catalogue import Catalogued, FieldMapping, key_targets
from shared.sync.consent import Act

# Our columns as an adopted table gets them: what every row has only after hashing is not required yet.
_OWN: Mapping[str, tuple[str, LiteralString, LiteralString | None]] = {
    UID: ("uuid", "uuid", None),
    CREATED: ("timestamp with time zone", "timestamptz NOT NULL DEFAULT now()", "now()"),
    UPDATED: ("timestamp with time zone", "timestamptz NOT NULL DEFAULT now()", "now()"),
    KEY: ("uuid", "uuid", None),
    DATA: ("bytea", "bytea", None),
    "_bridge_erp_rowversion": ("text", 'text COLLATE "C"', None),
    "_bridge_erp_ref_str": ("text", "text", None),
    DELETED: ("boolean", "boolean NOT NULL DEFAULT false", "false"),
    "_bridge_deleted_at": ("timestamp with time zone", "timestamptz", None),
}
_REQUIRED = (UID, CREATED, UPDATED, KEY, DATA, DELETED)


@dataclass(frozen=True, slots=True)
class Adoption:
    """What adopting would do. `catalogued` has the types that the table keeps."""

    catalogued: Catalogued
    acts: tuple[Act, ...]
    statements: tuple[sql.Composed, ...]


@dataclass(frozen=True, slots=True)
class _Survey:
    catalogued: Catalogued
    state: tables.TableState
    columns: Mapping[str, Mapping[str, Any]]
    indexes: Mapping[str, Any]
    rows: int

    @property
    def shown(self) -> str:
        """The table as messages name it."""
        return f"table {self.catalogued.entity.target_schema}.{self.catalogued.entity.target_table}"


def survey(connection: Connection, schema: str, catalogued: Catalogued) -> Adoption | None:
    """What adopting the table at the target's name would do; None where nothing stands there, or a table of ours.

    Raises TargetRefusedError with every fault at once; reads, and writes nothing.
    """
    tables.refuse_schema(catalogued.entity.target_schema, schema)
    state = tables.read_state(connection, schema, catalogued)
    if state is None or state.owner is not None:
        return None
    found = _look(connection, schema, catalogued, state)
    mappings, problems = _fitted(found)
    problems += [*_demands(found), *_key_problems(connection, found)]
    if problems:
        raise TargetRefusedError(
            f"{found.shown}: was not made by Tributary and cannot be adopted as it stands: {'; '.join(problems)};"
            " nothing was changed",
            hint="mend what is listed, or give the entity another target_table",
        )
    fitted = replace(catalogued, mappings=mappings)
    return Adoption(fitted, tuple(_acts(found, fitted)), tuple(_statements(found, fitted)))


def _look(connection: Connection, schema: str, catalogued: Catalogued, state: tables.TableState) -> _Survey:
    place = {
        "target_schema": catalogued.entity.target_schema,
        "target_table": catalogued.entity.target_table,
    }
    columns = connection.execute(query("adoption_columns", schema), place).fetchall()
    indexes = connection.execute(query("adoption_indexes", schema), place).fetchone()
    count = sql.SQL("SELECT count(*) AS n FROM {}").format(tables.target(catalogued))
    rows = connection.execute(count).fetchone() if state.is_table else None
    by_name = {row["name"]: row for row in columns}
    return _Survey(catalogued, state, by_name, indexes or {}, int(rows["n"]) if rows else 0)


def _fitted(found: _Survey) -> tuple[tuple[FieldMapping, ...], list[str]]:
    """The mappings under the table's own types where those are wider, and what fits no way."""
    fitted, problems = [], []
    for mapping in found.catalogued.mappings:
        column = found.columns.get(mapping.target)
        if column is None:
            fitted.append(mapping)
            continue
        stored, _ = types.column_type(column["type"], "postgres")
        if column["generated"]:
            problems.append(f"{mapping.target} is generated and cannot be written")
        elif tables.catalog_name(types.sql_type(stored)) != column["type"]:
            problems.append(
                f"{mapping.target} is {column['type']}, ALTER it to {types.sql_type(mapping.type)} first"
            )
        elif types.sql_type(stored) == types.sql_type(mapping.type) or types.widens(stored, mapping.type):
            fitted.append(mapping)
        elif types.widens(mapping.type, stored):
            # A person's by now: discovery must not call the room that the table has a narrowing.
            fitted.append(replace(mapping, type=stored, set_by="person"))
        else:
            problems.append(
                f"{mapping.target} is {column['type']}, which does not hold {types.sql_type(mapping.type)}"
            )
    return tuple(fitted), problems


def _demands(found: _Survey) -> list[str]:
    """What the table asks of a writer that we could not give."""
    problems = [] if found.state.is_table else ["it is no plain table"]
    mapped = {mapping.target for mapping in found.catalogued.mappings}
    for name, column in found.columns.items():
        if name in _OWN:
            if column["generated"] or column["type"] != _OWN[name][0]:
                problems.append(f"{name} is {column['type']} and must be a plain {_OWN[name][0]}; rename it")
        elif name not in mapped and column["not_null"] and not (column["has_default"] or column["generated"]):
            problems.append(f"{name} is NOT NULL without a default and not mapped")
    return problems


def _key_problems(connection: Connection, found: _Survey) -> list[str]:
    keys = key_targets(found.catalogued)
    absent = [key for key in keys if key not in found.columns]
    if absent or not found.state.is_table:
        return [f"key column {name} is not there" for name in absent]
    nulls, repeated = key_faults(connection, tables.target(found.catalogued), keys)
    problems = [f"{nulls} rows have a NULL in the key {', '.join(keys)}"] if nulls else []
    problems += [f"{repeated} rows repeat the key {', '.join(keys)} of another"] if repeated else []
    if found.columns.get(UID, {}).get("type") == "uuid":
        twice = key_faults(connection, tables.target(found.catalogued), [UID])[1]
        problems += [f"{twice} rows repeat the {UID} of another"] if twice else []
    return problems


def _acts(found: _Survey, fitted: Catalogued) -> list[Act]:
    table = fitted.entity.target_table
    keys = ", ".join(key_targets(fitted))
    uids = "keep theirs" if UID in found.columns else "get one"
    acts = [Act("adopt", table, f"{found.rows} rows, matched by {keys}; as to {UID}, they {uids}")]
    new = [mapping for mapping in fitted.mappings if mapping.target not in found.columns]
    acts += [Act("add_column", mapping.target, types.sql_type(mapping.type)) for mapping in new]
    acts += [Act("add_column", name, _OWN[name][1]) for name in _OWN if name not in found.columns]
    acts += [
        Act("widen", m.target, f"{found.columns[m.target]['type']} becomes {types.sql_type(m.type)}")
        for m in _wider(found, fitted)
    ]
    if not _has_key(found):
        acts.append(Act("add_unique", keys, "built at once, under a lock"))
    fire = found.indexes.get("update_triggers", 0)
    noise = f"; {fire} UPDATE triggers of the table fire for each row" if fire else ""
    return [
        *acts,
        Act("rehash", table, f"all rows, batch by batch, without marking them updated{noise}"),
        Act(
            "read_all", table, "the first sync reads the whole table, writes what differs and may not delete"
        ),
    ]


def _wider(found: _Survey, fitted: Catalogued) -> list[FieldMapping]:
    return [
        mapping
        for mapping in fitted.mappings
        if mapping.target in found.columns
        and found.columns[mapping.target]["type"] != tables.catalog_name(types.sql_type(mapping.type))
    ]


def _has_key(found: _Survey) -> bool:
    # In the key's own order: rows are walked by it, batch by batch.
    return found.state.has_key and found.state.key_columns == key_targets(found.catalogued)


def _statements(found: _Survey, fitted: Catalogued) -> list[sql.Composed]:
    actions = [tables.add_column(m) for m in fitted.mappings if m.target not in found.columns]
    actions += [
        sql.SQL("ALTER COLUMN {} TYPE {}").format(sql.Identifier(m.target), sql.SQL(types.sql_type(m.type)))
        for m in _wider(found, fitted)
    ]
    for name, (_, definition, default) in _OWN.items():
        if name not in found.columns:
            actions.append(sql.SQL("ADD COLUMN {} {}").format(sql.Identifier(name), sql.SQL(definition)))
        elif default is not None:
            set_default = sql.SQL("ALTER COLUMN {} SET DEFAULT {}")
            actions.append(set_default.format(sql.Identifier(name), sql.SQL(default)))
    actions += [_not_null(name) for name in key_targets(fitted)]
    if not _has_key(found):
        actions.append(sql.SQL("ADD {}").format(tables.unique(fitted)))
    return [
        tables.alter(fitted, sql.SQL(", ").join(actions)),
        tables.comment(fitted, found.state.comment),
    ]


def _not_null(name: str) -> sql.Composed:
    return sql.SQL("ALTER COLUMN {} SET NOT NULL").format(sql.Identifier(name))


def is_complete(connection: Connection, statements: Statements) -> bool:
    """Whether every row has what `finish` will require; one that came meanwhile has not."""
    lacking = sql.SQL(" OR ").join(sql.SQL("{} IS NULL").format(sql.Identifier(name)) for name in _REQUIRED)
    ask = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {}) AS lacking").format(statements.target, lacking)
    row = connection.execute(ask).fetchone()
    return row is not None and not row["lacking"]


def finish(connection: Connection, statements: Statements) -> None:
    """Require what every row has by now, and put up the indexes that every target has."""
    config = statements.config
    place = {"target_schema": config.target_schema, "target_table": config.target_table}
    found = connection.execute(query("adoption_indexes", statements.schema), place).fetchone()
    assert found is not None
    actions: list[sql.Composable] = [_not_null(name) for name in _REQUIRED]
    if not found["has_primary_key"]:
        actions.append(sql.SQL("ADD PRIMARY KEY ({})").format(sql.Identifier(UID)))
    elif not found["has_uid_index"]:
        actions.append(sql.SQL("ADD UNIQUE ({})").format(sql.Identifier(UID)))
    _run(connection, "ALTER TABLE {} {}", statements.target, sql.SQL(", ").join(actions))
    if not found["has_hash_index"]:
        name = sql.Identifier(tables.hash_index_name(config.target_table))
        _run(connection, "CREATE INDEX {} ON {} ({})", name, statements.target, sql.Identifier(KEY))


def _run(connection: Connection, text: LiteralString, *parts: sql.Composable) -> None:
    connection.execute(sql.SQL(text).format(*parts))


def take_over(connection: Connection, adoption: Adoption) -> None:
    """Carry the plan's DDL out, inside the caller's transaction."""
    for statement in adoption.statements:
        connection.execute(statement)


def acts_summary(acts: Sequence[Act]) -> str:
    """The acts in one line, for the audit trail."""
    return "; ".join(f"{act.kind} {act.target}" for act in acts)
