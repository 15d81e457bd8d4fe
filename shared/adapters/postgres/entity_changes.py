"""Changes of entities: their rows, their targets, and what a change means for runs and for rows that are stored.

Everything here happens in the caller's transaction: all of it or nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from shared.adapters.postgres import adoption, tenancy
from shared.adapters.postgres.catalogue_rows import entity_of, entity_values, mapping_values, mappings_of
from shared.adapters.postgres.database import Connection
from shared.adapters.postgres.remasking import forget_adopted, forget_unmasked
from shared.adapters.postgres.reshape import is_filled
from shared.adapters.postgres.tables import prepare_target, read_state, target
from shared.sql import query
from shared.sync.catalogue import Catalogued, Change, Entity
from shared.sync.consent import ChangePlan, Consent, acts_of, plan_of
from shared.sync.types import rewires

Decide = Callable[[Catalogued | None, Sequence[str]], Change]


@dataclass(frozen=True, slots=True)
class Place:
    """Which slug changes, who asked, and what the audit trail calls it."""

    connector_uid: UUID
    slug: str
    actor: str
    action: str
    revive: bool
    consent: Consent | None = None


class EntityChanges:
    """Writes what was decided about entities. `require` refuses a change whose plan was not acknowledged."""

    def __init__(self, schema: str, require: Callable[[Consent, str, ChangePlan], None]) -> None:
        self._schema, self._require = schema, require

    def change(self, connection: Connection, place: Place, decide: Decide) -> Catalogued | None:
        """Store what `decide` makes of the entity at its place; None, and nothing done, where a person deleted it."""
        names = {"connector_uid": place.connector_uid, "slug": place.slug}
        connection.execute(query("catalogue_entity_lock", self._schema), names)
        row = connection.execute(query("catalogue_entity_of_slug", self._schema), names).fetchone()
        if row is not None and row["is_deleted"]:
            if not place.revive:
                return None
            row = None
        before = None if row is None else self._catalogued(connection, row)
        change = decide(before, self._taken(connection, place.connector_uid))
        if before is None and place.consent is not None:
            adopted = self._adopt(connection, change, place)
            if adopted is not None:
                return adopted
        self._store(connection, before, change, place)
        return change.after

    def reset(self, connection: Connection, entity: Entity, reason: str, *, versions_changed: bool) -> None:
        """A new generation; in the same transaction every unfinished run of the entity ends."""
        # Locks in the order that all transactions keep: connector, entity, slice.
        lock = {"connector": entity.connector_uid, "default_limit": 1}
        connection.execute(query("connector_lock", self._schema), lock)
        values = {"entity": entity.uid, "versions_changed": versions_changed}
        connection.execute(query("catalogue_reset", self._schema), values)
        self._cancel_runs(connection, entity, reason)

    def _store(self, connection: Connection, before: Catalogued | None, change: Change, place: Place) -> None:
        after = change.after
        if before is not None and before == after:
            prepare_target(connection, self._schema, after)  # heals a target that somebody dropped
            return
        if before is None:
            schema = after.entity.target_schema
            tenancy.require_schema(connection, self._schema, place.connector_uid, schema)
        else:
            self._require_consent(connection, before, change, place)
        name = "catalogue_entity_insert" if before is None else "catalogue_entity_update"
        connection.execute(query(name, self._schema), entity_values(after.entity))
        self._store_mappings(connection, after)
        connection.execute(query("catalogue_state_insert", self._schema), {"uid": after.entity.uid})
        # The target before the entity's state: chunks take them in this order, too.
        rekeyed = prepare_target(connection, self._schema, after, change.narrowed)
        if before is not None:
            self._follow(connection, before, change, rekeyed=rekeyed)
            forget_unmasked(connection, self._schema, before, after)
        elif is_filled(connection, target(after)):
            forget_adopted(connection, after)
            # Rows that a deleted entity left: nobody knows by which rules, or how far, they were hashed.
            self._want_rehash(connection, after.entity.uid, "adopt")
        audit(
            connection, self._schema, place.actor, place.action, str(after.entity.uid), {"slug": place.slug}
        )

    def _follow(self, connection: Connection, before: Catalogued, change: Change, *, rekeyed: bool) -> None:
        """What a changed entity means for its runs and for the rows that are stored."""
        entity = change.after.entity
        if change.reset:
            changed = before.entity.version != entity.version
            self.reset(connection, entity, "keys or rules changed", versions_changed=changed)
        elif self._rewired(before, change):
            self._end_runs(connection, entity, "a column got a wider type")
        if rekeyed:
            connection.execute(query("missing_forget", self._schema), {"entity": entity.uid})
            self._want_rehash(connection, entity.uid, "rekey")
        lacking = [mapping.target for mapping in (*change.added, *change.returned)]
        if lacking:
            values = {"entity": entity.uid, "columns": Jsonb(lacking)}
            connection.execute(query("catalogue_reread", self._schema), values)

    def _rewired(self, before: Catalogued, change: Change) -> bool:
        """Whether rows encoded for the old types could not be read into the new ones."""
        old = {mapping.target: mapping.type for mapping in before.mappings}
        return any(rewires(old[mapping.target], mapping.type) for mapping in change.widened)

    def _require_consent(
        self, connection: Connection, before: Catalogued, change: Change, place: Place
    ) -> None:
        acts = acts_of(before, change) if place.consent is not None else ()
        if not acts or place.consent is None:
            return
        state = read_state(connection, self._schema, before)
        if state is not None and state.is_table and is_filled(connection, target(before)):
            plan = plan_of(before, change.after, acts)
            self._require(place.consent, f"entity {place.slug}", plan)
            details = {"plan_hash": plan.plan_hash, "acts": adoption.acts_summary(acts)}
            audit(connection, self._schema, place.actor, "entity.consent", str(before.entity.uid), details)

    def _adopt(self, connection: Connection, change: Change, place: Place) -> Catalogued | None:
        """A new entity over a table that stands already; None where none does."""
        found = adoption.survey(connection, self._schema, change.after)
        if found is None or place.consent is None:
            return None
        plan = plan_of(None, found.catalogued, found.acts)
        self._require(place.consent, f"entity {place.slug}", plan)
        after = found.catalogued
        connection.execute(query("catalogue_entity_insert", self._schema), entity_values(after.entity))
        self._store_mappings(connection, after)
        connection.execute(query("catalogue_state_insert", self._schema), {"uid": after.entity.uid})
        adoption.take_over(connection, found)
        forget_adopted(connection, after)
        self._want_rehash(connection, after.entity.uid, "adopt")
        details = {"plan_hash": plan.plan_hash, "acts": adoption.acts_summary(plan.acts)}
        audit(connection, self._schema, place.actor, "entity.adopt", str(after.entity.uid), details)
        return after

    def _want_rehash(self, connection: Connection, entity_uid: UUID, why: str) -> None:
        connection.execute(query("rehash_wanted", self._schema), {"entity": entity_uid, "why": why})

    def _store_mappings(self, connection: Connection, catalogued: Catalogued) -> None:
        uid = catalogued.entity.uid
        connection.execute(query("catalogue_mappings_delete", self._schema), {"uid": uid})
        with connection.cursor() as cursor:
            rows = [mapping_values(uid, mapping) for mapping in catalogued.mappings]
            cursor.executemany(query("catalogue_mapping_insert", self._schema), rows)

    def _end_runs(self, connection: Connection, entity: Entity, reason: str) -> None:
        """End the entity's unfinished runs, which hold a configuration that no longer fits; no new generation."""
        lock = {"connector": entity.connector_uid, "default_limit": 1}
        connection.execute(query("connector_lock", self._schema), lock)
        self._cancel_runs(connection, entity, reason)

    def _cancel_runs(self, connection: Connection, entity: Entity, reason: str) -> None:
        values = {"entity": entity.uid}
        runs = [row["uid"] for row in connection.execute(query("runs_unfinished", self._schema), values)]
        error = {"code": "reconfigured", "message": reason, "hint": "the next tick starts a new run"}
        connection.execute(query("runs_cancel", self._schema), {"runs": runs, "error": Jsonb(error)})

    def _taken(self, connection: Connection, connector_uid: UUID) -> list[str]:
        values = {"connector_uid": connector_uid}
        rows = connection.execute(query("catalogue_taken_tables", self._schema), values)
        return [row["name"] for row in rows]

    def _catalogued(self, connection: Connection, row: Mapping[str, Any]) -> Catalogued:
        return Catalogued(
            entity_of(row), mappings_of(connection, self._schema, [row["uid"]]).get(row["uid"], ())
        )


def audit(
    connection: Connection,
    schema: str,
    actor: str,
    action: str,
    subject: str,
    details: Mapping[str, str] | None = None,
) -> None:
    """Note who did what to which subject, in the caller's transaction."""
    values = {"actor": actor, "action": action, "subject": subject, "details": Jsonb(details or {})}
    connection.execute(query("audit_insert", schema), values)
