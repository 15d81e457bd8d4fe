"""Target tables: composed from the catalogue, created once, afterwards only extended.

Enters: an entity with its mappings and what stands in the database at its name. Leaves: statements, every
name in them an identifier. A table that Tributary made carries its entity's uid as a comment; any other is
refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString, cast

from psycopg import sql

from shared.adapters.postgres import reshape
from shared.adapters.postgres.database import Connection
from shared.errors import TargetRefusedError
from shared.sql import query
from shared.sync import names, types
from shared.sync.catalogue import Catalogued, FieldMapping, key_targets
from shared.sync.model import ColumnType

MAX_COLUMNS = 1600  # PostgreSQL's, dropped columns included
# Room for an update beside the row it replaces, so that it stays HOT and touches no index.
FILLFACTOR = 90
_OWNER = "tributary entity "
_PROTECTED_SCHEMAS = ("information_schema", "pg_catalog", "pg_toast")

# Name, definition: in the order they stand in the table, before and after the mapped columns.
_IDENTITY: tuple[tuple[str, LiteralString], ...] = (("_bridge_uid", "uuid PRIMARY KEY"),)
_OWN: tuple[tuple[str, LiteralString], ...] = (
    ("_bridge_created_at", "timestamptz NOT NULL DEFAULT now()"),
    ("_bridge_updated_at", "timestamptz NOT NULL DEFAULT now()"),
    ("_bridge_erp_key_hash", "uuid NOT NULL"),
    ("_bridge_erp_data_hash", "bytea NOT NULL"),
    ("_bridge_erp_rowversion", 'text COLLATE "C"'),
    ("_bridge_erp_ref_str", "text"),
    ("_bridge_deleted", "boolean NOT NULL DEFAULT false"),
    ("_bridge_deleted_at", "timestamptz"),
)


@dataclass(frozen=True, slots=True)
class TableState:
    """What stands at the target's name. `owner` is the entity that made it, None if not one of ours.

    `has_key`: a constraint over the key's columns stands; without one, a first load has it down.
    """

    is_table: bool
    owner: str | None
    slots: int
    columns: Mapping[str, str]
    key_columns: tuple[str, ...]
    has_key: bool = True
    comment: str = ""


def prepare_target(
    connection: Connection, schema: str, catalogued: Catalogued, narrowed: Sequence[FieldMapping] = ()
) -> bool:
    """Make the target fit the mappings inside the caller's transaction; nothing happens when it fits already.

    `schema` is the metadata schema; `narrowed` columns lose room, as a person consented. True where stored rows now
    lie under another business key, so that their hashes are those of the old one. Raises TargetRefusedError,
    before any statement, for what can't be done.
    """
    entity = catalogued.entity
    refuse_schema(entity.target_schema, schema)
    state = read_state(connection, schema, catalogued)
    if state is None and not _schema_exists(connection, entity.target_schema):
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(entity.target_schema)))
    takes_over = state is not None and state.owner not in (None, str(entity.uid))
    if takes_over and _is_live(connection, schema, cast(TableState, state).owner):
        raise _foreign(catalogued, "belongs to another entity")
    narrowed = () if state is None else narrowed
    statements = plan(catalogued, state, narrowed)
    other_key = state is not None and state.owner is not None and _is_other_key(catalogued, state)
    if other_key or narrowed:
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(target(catalogued)))
    rekeyed = other_key and reshape.is_filled(connection, target(catalogued))
    if rekeyed:
        reshape.check_key(connection, target(catalogued), catalogued, list(cast(TableState, state).columns))
    reshape.check_narrow(connection, target(catalogued), catalogued, narrowed)
    for statement in statements:
        connection.execute(statement)
    return rekeyed


def _is_other_key(catalogued: Catalogued, state: TableState) -> bool:
    return set(state.key_columns) != set(key_targets(catalogued))


def plan(
    catalogued: Catalogued, state: TableState | None, narrowed: Sequence[FieldMapping] = ()
) -> list[sql.Composed]:
    """The statements that make the target fit: all of them, or TargetRefusedError."""
    if state is None:
        _require_slots(catalogued, len(catalogued.mappings) + len(_IDENTITY) + len(_OWN))
        return create_table(catalogued)
    if not state.is_table or state.owner is None:
        raise _foreign(catalogued, "exists and was not made by Tributary", hint=_ADOPT)
    added = [m for m in catalogued.mappings if m.target not in state.columns]
    _require_slots(catalogued, state.slots + len(added))
    statements = [comment(catalogued)] if state.owner != str(catalogued.entity.uid) else []
    actions = [*(add_column(m) for m in added), *_widen_actions(catalogued, state, narrowed)]
    actions += [reshape.narrow_action(mapping) for mapping in narrowed]
    if actions:
        # One ALTER, one lock, one rewrite at most.
        statements.append(alter(catalogued, sql.SQL(", ").join(actions)))
    if _is_other_key(catalogued, state):
        statements += _rekey(catalogued, state)
    return statements


def create_table(catalogued: Catalogued) -> list[sql.Composed]:
    """A new target table, its unique business key and the index on the key hash."""
    table = target(catalogued)
    keys = key_targets(catalogued)
    columns = [
        *(_own_column(name, definition) for name, definition in _IDENTITY),
        *(_mapped_column(m, not_null=m.target in keys) for m in catalogued.mappings),
        *(_own_column(name, definition) for name, definition in _OWN),
        unique(catalogued),
    ]
    create = sql.SQL("CREATE TABLE {} ({}) WITH (fillfactor = {})").format(
        table, sql.SQL(", ").join(columns), sql.Literal(FILLFACTOR)
    )
    index = sql.SQL("CREATE INDEX {} ON {} (_bridge_erp_key_hash)").format(
        sql.Identifier(hash_index_name(catalogued.entity.target_table)), table
    )
    return [create, index, comment(catalogued)]


def target(catalogued: Catalogued) -> sql.Identifier:
    """The target table's qualified name."""
    return sql.Identifier(catalogued.entity.target_schema, catalogued.entity.target_table)


def key_constraint_name(table: str) -> str:
    """The unique constraint on the business key."""
    return names.column_names([table + "_bridge_key"], ())[0]


def hash_index_name(table: str) -> str:
    """The plain index on the key hash."""
    return names.column_names([table + "_bridge_key_hash"], ())[0]


def read_state(connection: Connection, schema: str, catalogued: Catalogued) -> TableState | None:
    """What stands at the target's name, None where the name is free."""
    entity = catalogued.entity
    values = {
        "target_schema": entity.target_schema,
        "target_table": entity.target_table,
        "key_name": key_constraint_name(catalogued.entity.target_table),
        "keys": list(key_targets(catalogued)),
    }
    row = connection.execute(query("catalogue_table_state", schema), values).fetchone()
    if row is None:
        return None
    comment = row["comment"] or ""
    # An adopted table's own comment stands behind ours, on lines of its own.
    owner = comment.removeprefix(_OWNER).split("\n")[0] if comment.startswith(_OWNER) else None
    keys = tuple(row["key_columns"] or ())
    return TableState(
        row["kind"] in "rp", owner, row["slots"] or 0, row["columns"], keys, row["has_key"], comment
    )


def refuse_schema(target_schema: str, metadata_schema: str) -> None:
    """Targets stay out of PostgreSQL's schemas and our own; raises TargetRefusedError."""
    if (
        target_schema == metadata_schema
        or target_schema in _PROTECTED_SCHEMAS
        or target_schema.startswith("pg_")
    ):
        raise TargetRefusedError(
            f"target schema {target_schema!r}: kept for the service itself or for PostgreSQL",
            hint="choose another target_schema, such as public",
        )


def _require_slots(catalogued: Catalogued, count: int) -> None:
    if count > MAX_COLUMNS:
        raise TargetRefusedError(
            f"{_shown(catalogued)}: {count} columns, dropped ones counted, are more than "
            f"PostgreSQL's {MAX_COLUMNS}",
            hint="map fewer columns in field_mappings; a table rebuilt gets the room of dropped columns back",
        )


def _widen_actions(
    catalogued: Catalogued, state: TableState, narrowed: Sequence[FieldMapping]
) -> list[sql.Composed]:
    actions = []
    for mapping in (one for one in catalogued.mappings if one not in narrowed):
        actual = state.columns.get(mapping.target)
        if actual is not None and _must_widen(catalogued, mapping, actual):
            actions.append(
                sql.SQL("ALTER COLUMN {} TYPE {}").format(sql.Identifier(mapping.target), _type(mapping.type))
            )
    return actions


def _must_widen(catalogued: Catalogued, mapping: FieldMapping, actual: str) -> bool:
    wanted = mapping.type
    if catalog_name(types.sql_type(wanted)) == actual:
        return False
    stored, _ = types.column_type(actual, "postgres")
    if types.sql_type(stored) == types.sql_type(wanted) or types.widens(wanted, stored):
        return False
    if not types.widens(stored, wanted):
        raise TargetRefusedError(
            f"{_shown(catalogued)}.{mapping.target}: is {actual}, which cannot become "
            f"{types.sql_type(wanted)} without loss",
            hint="map the source column to another target column",
        )
    return True


def catalog_name(written: str) -> str:
    """A type as format_type spells it."""
    short, bracket, rest = written.partition("(")
    return _LONG_NAMES.get(short, short) + bracket + rest


_LONG_NAMES = {
    "varchar": "character varying",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
}


def _rekey(catalogued: Catalogued, state: TableState) -> list[sql.Composed]:
    """Another business key. A first load that has the constraint down puts it back itself, over the new columns."""
    keys = key_targets(catalogued)
    gone = [name for name in state.key_columns if name not in keys and name in state.columns]
    actions: list[sql.Composable] = []
    if state.has_key:
        actions.append(
            sql.SQL("DROP CONSTRAINT IF EXISTS {}").format(
                sql.Identifier(key_constraint_name(catalogued.entity.target_table))
            )
        )
    actions += [sql.SQL("ALTER COLUMN {} DROP NOT NULL").format(sql.Identifier(name)) for name in gone]
    actions += [sql.SQL("ALTER COLUMN {} SET NOT NULL").format(sql.Identifier(name)) for name in keys]
    if state.has_key:
        actions.append(sql.SQL("ADD {}").format(unique(catalogued)))
    return [alter(catalogued, sql.SQL(", ").join(actions))]


def _schema_exists(connection: Connection, name: str) -> bool:
    # Asked first: CREATE SCHEMA IF NOT EXISTS wants the right to create even where nothing is to be created.
    return (
        connection.execute("SELECT FROM pg_catalog.pg_namespace WHERE nspname = %s", (name,)).fetchone()
        is not None
    )


def _is_live(connection: Connection, schema: str, owner: str | None) -> bool:
    row = connection.execute(query("catalogue_entity_is_live", schema), {"uid": owner}).fetchone()
    return row is not None


def comment(catalogued: Catalogued, beside: str = "") -> sql.Composed:
    """Makes the table the entity's; `beside` is what else its comment says."""
    text = f"{_OWNER}{catalogued.entity.uid}" + (f"\n{beside}" if beside else "")
    return sql.SQL("COMMENT ON TABLE {} IS {}").format(target(catalogued), sql.Literal(text))


def alter(catalogued: Catalogued, actions: sql.Composed) -> sql.Composed:
    """One ALTER TABLE of the target."""
    return sql.SQL("ALTER TABLE {} {}").format(target(catalogued), actions)


def unique(catalogued: Catalogued) -> sql.Composed:
    """The constraint on the business key."""
    keys: Sequence[str] = key_targets(catalogued)
    return sql.SQL("CONSTRAINT {} UNIQUE ({})").format(
        sql.Identifier(key_constraint_name(catalogued.entity.target_table)),
        sql.SQL(", ").join(map(sql.Identifier, keys)),
    )


def _own_column(name: str, definition: LiteralString) -> sql.Composed:
    return sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(definition))


def _mapped_column(mapping: FieldMapping, *, not_null: bool) -> sql.Composed:
    constraint = sql.SQL(" NOT NULL") if not_null else sql.SQL("")
    return sql.SQL("{} {}{}").format(sql.Identifier(mapping.target), _type(mapping.type), constraint)


def add_column(mapping: FieldMapping) -> sql.Composed:
    """The ALTER action for a new mapped column."""
    return sql.SQL("ADD COLUMN {}").format(_mapped_column(mapping, not_null=False))


def _type(column_type: ColumnType) -> sql.SQL:
    # types.sql_type composes from our own words and integers only, never from a source's text.
    return sql.SQL(types.sql_type(column_type))


_RENAME = "give the entity another target_table, or rename the table that is there"
_ADOPT = (
    "POST /api/v1/entities with this slug and target_table answers the plan for adopting the table; or "
    + _RENAME
)


def _foreign(catalogued: Catalogued, what: str, hint: str = _RENAME) -> TargetRefusedError:
    return TargetRefusedError(f"{_shown(catalogued)}: {what}", hint=hint)


def _shown(catalogued: Catalogued) -> str:
    return f"table {catalogued.entity.target_schema}.{catalogued.entity.target_table}"
