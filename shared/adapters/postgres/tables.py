"""Target tables: composed from the catalogue, created once, afterwards only extended.

Enters: an entity with its mappings and what stands in the database at its name. Leaves: statements, every
name in them an identifier. A table that Tributary made carries its entity's uid as a comment; any other is
refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString, cast

from psycopg import sql

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
    """What stands at the target's name. `owner` is the entity that made it, None if not one of ours."""

    is_table: bool
    owner: str | None
    slots: int
    columns: Mapping[str, str]
    key_columns: tuple[str, ...]


def prepare_target(connection: Connection, schema: str, catalogued: Catalogued) -> None:
    """Make the target fit the mappings inside the caller's transaction; nothing happens when it fits already.

    `schema` is the metadata schema. Raises TargetRefusedError, before any statement, for what can't be done.
    """
    entity = catalogued.entity
    refuse_schema(entity.target_schema, schema)
    state = read_state(connection, schema, catalogued)
    if state is None and not _schema_exists(connection, entity.target_schema):
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(entity.target_schema)))
    takes_over = state is not None and state.owner not in (None, str(entity.uid))
    if takes_over and _is_live(connection, schema, cast(TableState, state).owner):
        raise _foreign(catalogued, "belongs to another entity")
    statements = plan(catalogued, state)
    if state is not None and set(state.key_columns) != set(key_targets(catalogued)):
        _require_empty(connection, catalogued)
    for statement in statements:
        connection.execute(statement)


def plan(catalogued: Catalogued, state: TableState | None) -> list[sql.Composed]:
    """The statements that make the target fit: all of them, or TargetRefusedError."""
    if state is None:
        _require_slots(catalogued, len(catalogued.mappings) + len(_IDENTITY) + len(_OWN))
        return create_table(catalogued)
    if not state.is_table or state.owner is None:
        raise _foreign(catalogued, "exists and was not made by Tributary")
    added = [m for m in catalogued.mappings if m.target not in state.columns]
    _require_slots(catalogued, state.slots + len(added))
    statements = [_comment(catalogued)] if state.owner != str(catalogued.entity.uid) else []
    actions = [*(_add_column(m) for m in added), *_widen_actions(catalogued, state)]
    if actions:
        # One ALTER, one lock, one rewrite at most.
        statements.append(_alter(catalogued, sql.SQL(", ").join(actions)))
    if set(state.key_columns) != set(key_targets(catalogued)):
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
        _unique(catalogued),
    ]
    create = sql.SQL("CREATE TABLE {} ({}) WITH (fillfactor = {})").format(
        table, sql.SQL(", ").join(columns), sql.Literal(FILLFACTOR)
    )
    index = sql.SQL("CREATE INDEX {} ON {} (_bridge_erp_key_hash)").format(
        sql.Identifier(hash_index_name(catalogued.entity.target_table)), table
    )
    return [create, index, _comment(catalogued)]


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
    }
    row = connection.execute(query("catalogue_table_state", schema), values).fetchone()
    if row is None:
        return None
    comment = row["comment"] or ""
    owner = comment.removeprefix(_OWNER) if comment.startswith(_OWNER) else None
    return TableState(
        row["kind"] in "rp", owner, row["slots"] or 0, row["columns"], tuple(row["key_columns"] or ())
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


def _widen_actions(catalogued: Catalogued, state: TableState) -> list[sql.Composed]:
    actions = []
    for mapping in catalogued.mappings:
        actual = state.columns.get(mapping.target)
        if actual is not None and _must_widen(catalogued, mapping, actual):
            actions.append(
                sql.SQL("ALTER COLUMN {} TYPE {}").format(sql.Identifier(mapping.target), _type(mapping.type))
            )
    return actions


def _must_widen(catalogued: Catalogued, mapping: FieldMapping, actual: str) -> bool:
    wanted = mapping.type
    if _catalog_name(types.sql_type(wanted)) == actual:
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


def _catalog_name(written: str) -> str:
    """A type as format_type spells it."""
    short, bracket, rest = written.partition("(")
    return _LONG_NAMES.get(short, short) + bracket + rest


_LONG_NAMES = {
    "varchar": "character varying",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
}


def _rekey(catalogued: Catalogued, state: TableState) -> list[sql.Composed]:
    """Another business key for an empty table: the stored hashes of rows would name the old one."""
    keys = key_targets(catalogued)
    gone = [name for name in state.key_columns if name not in keys and name in state.columns]
    actions: list[sql.Composable] = []
    if state.key_columns:
        actions.append(
            sql.SQL("DROP CONSTRAINT IF EXISTS {}").format(
                sql.Identifier(key_constraint_name(catalogued.entity.target_table))
            )
        )
    actions += [sql.SQL("ALTER COLUMN {} DROP NOT NULL").format(sql.Identifier(name)) for name in gone]
    actions += [sql.SQL("ALTER COLUMN {} SET NOT NULL").format(sql.Identifier(name)) for name in keys]
    actions.append(sql.SQL("ADD {}").format(_unique(catalogued)))
    return [_alter(catalogued, sql.SQL(", ").join(actions))]


def _require_empty(connection: Connection, catalogued: Catalogued) -> None:
    statement = sql.SQL("SELECT EXISTS (SELECT FROM {}) AS filled").format(target(catalogued))
    row = connection.execute(statement).fetchone()
    if row is not None and row["filled"]:
        raise TargetRefusedError(
            f"{_shown(catalogued)}: holds rows under another business key",
            hint="TRUNCATE the table and send it again, or create another entity with another target_table",
        )


def _schema_exists(connection: Connection, name: str) -> bool:
    # Asked first: CREATE SCHEMA IF NOT EXISTS wants the right to create even where nothing is to be created.
    return (
        connection.execute("SELECT FROM pg_catalog.pg_namespace WHERE nspname = %s", (name,)).fetchone()
        is not None
    )


def _is_live(connection: Connection, schema: str, owner: str | None) -> bool:
    row = connection.execute(query("catalogue_entity_is_live", schema), {"uid": owner}).fetchone()
    return row is not None


def _comment(catalogued: Catalogued) -> sql.Composed:
    return sql.SQL("COMMENT ON TABLE {} IS {}").format(
        target(catalogued), sql.Literal(f"{_OWNER}{catalogued.entity.uid}")
    )


def _alter(catalogued: Catalogued, actions: sql.Composed) -> sql.Composed:
    return sql.SQL("ALTER TABLE {} {}").format(target(catalogued), actions)


def _unique(catalogued: Catalogued) -> sql.Composed:
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


def _add_column(mapping: FieldMapping) -> sql.Composed:
    return sql.SQL("ADD COLUMN {}").format(_mapped_column(mapping, not_null=False))


def _type(column_type: ColumnType) -> sql.SQL:
    # types.sql_type composes from our own words and integers only, never from a source's text.
    return sql.SQL(types.sql_type(column_type))


def _foreign(catalogued: Catalogued, what: str) -> TargetRefusedError:
    return TargetRefusedError(
        f"{_shown(catalogued)}: {what}",
        hint="give the entity another target_table, or rename the table that is there",
    )


def _shown(catalogued: Catalogued) -> str:
    return f"table {catalogued.entity.target_schema}.{catalogued.entity.target_table}"
