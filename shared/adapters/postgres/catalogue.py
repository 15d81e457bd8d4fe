"""The catalogue in PostgreSQL: tenants, connectors, entities with their mappings, and their targets.

One transaction holds an entity's row, its mappings, the DDL of its target and what a change means for runs in
flight: either all of it happened or nothing. Lists are in uid order, which is the order of creation.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg import errors as pg

from shared.adapters.postgres import tenancy
from shared.adapters.postgres.catalogue_rows import (
    EntityView,
    connector_of,
    connector_values,
    entity_of,
    mappings_of,
    view_of,
)
from shared.adapters.postgres.contention import LOCK_TIMEOUT_MS, Persistent
from shared.adapters.postgres.database import Connection, Database, translate
from shared.adapters.postgres.entity_changes import Decide, EntityChanges, Place, audit
from shared.errors import ConflictError, NotFoundError
from shared.sql import query
from shared.sync.catalogue import Catalogued, Connector, Entity, FieldMapping
from shared.sync.consent import ChangePlan, Consent

Tenants = frozenset[str] | None


class Catalogue:
    """Connectors and entities. Every read takes the tenants that its caller sees (None: all)."""

    def __init__(
        self,
        database: Database,
        new_uid: Callable[[], UUID],
        *,
        pause: Callable[[float], None] = time.sleep,
        lock_timeout_ms: int = LOCK_TIMEOUT_MS,
        reserved_secrets: Sequence[str] = (),
        require: Callable[[Consent, str, ChangePlan], None] = Consent.require,
    ) -> None:
        """`reserved_secrets`: names that no connector may use, being the service's own. `require`: the plan's guard."""
        self._database, self._new_uid = database, new_uid
        self._reserved_secrets = tuple(name.lower() for name in reserved_secrets)
        self._schema, self._changes = database.schema, EntityChanges(database.schema, require)
        self._retry = Persistent(database, pause, lock_timeout_ms)

    # Tenants

    def tenants(
        self, tenants: Tenants, *, name: str | None = None, limit: int = 100, after: str | None = None
    ) -> list[Mapping[str, Any]]:
        """Tenants with `name`, `created_at` and `target_schemas`, by name."""
        values = {"tenants": _list(tenants), "name": name, "after": after, "limit": limit}
        with self._database.connection() as connection:
            return list(connection.execute(query("catalogue_tenants", self._schema), values))

    def put_tenant(self, name: str, actor: str, target_schemas: Sequence[str] | None = None) -> None:
        """Make sure the tenant exists, with these target schemas; a new one gets the schema of its own name.

        Raises ConflictError for a schema that is another tenant's, or still in use.
        """
        with self._database.connection() as connection:
            is_new = connection.execute(
                query("catalogue_tenant_insert", self._schema), {"name": name}
            ).rowcount
            if is_new and target_schemas is None:
                target_schemas = (tenancy.own_schema(name),)
            if target_schemas is not None:
                tenancy.set_schemas(connection, self._schema, name, target_schemas)
                details = {"target_schemas": ", ".join(target_schemas)}
                audit(
                    connection,
                    self._schema,
                    actor,
                    "tenant.create" if is_new else "tenant.change",
                    name,
                    details,
                )

    def regions(self, tenant: str) -> list[Mapping[str, Any]]:
        """The tenant's regions: `region` and `workspace_url`, by region."""
        with self._database.connection() as connection:
            return tenancy.regions(connection, self._schema, tenant)

    def put_regions(self, tenant: str, regions: Mapping[str, str], actor: str) -> None:
        """Replace the tenant's regions: workspace URLs by region."""
        with self._database.connection() as connection:
            tenancy.set_regions(connection, self._schema, tenant, regions)
            audit(connection, self._schema, actor, "tenant.regions", tenant, regions)

    # Connectors

    def connectors(
        self,
        tenants: Tenants,
        *,
        uid: UUID | None = None,
        name: str | None = None,
        limit: int = 100,
        after: UUID | None = None,
    ) -> list[Connector]:
        """Connectors, in order of creation."""
        values = {"tenants": _list(tenants), "uid": uid, "name": name, "limit": limit, "after": after}
        with self._database.connection() as connection:
            rows = connection.execute(query("catalogue_connectors", self._schema), values)
            return [connector_of(row) for row in rows]

    def connector(self, uid: UUID, tenants: Tenants = None) -> Connector:
        """One connector; raises NotFoundError."""
        found = self.connectors(tenants, uid=uid, limit=1)
        if not found:
            raise _not_found("connector", uid)
        return found[0]

    def add_connector(self, connector: Connector, actor: str) -> Connector:
        """Store a new connector; raises ConflictError where its tenant has one of that name."""
        return self._write_connector("catalogue_connector_insert", connector, actor, "connector.create")

    def change_connector(self, connector: Connector, actor: str) -> Connector:
        """Replace a connector; raises ConflictError for a name taken."""
        return self._write_connector("catalogue_connector_update", connector, actor, "connector.change")

    def delete_connector(self, uid: UUID, actor: str) -> None:
        """Forget a connector; raises ConflictError while entities stand on it."""
        with self._database.connection() as connection:
            gone = connection.execute(
                query("catalogue_connector_delete", self._schema), {"uid": uid}
            ).fetchone()
            if gone is None:
                raise ConflictError(
                    f"connector {uid}: entities are synced from it",
                    hint="delete its entities first, or set is_active to false",
                )
            audit(connection, self._schema, actor, "connector.delete", str(uid))

    def notify(self, connector_uid: UUID, slugs: Sequence[str]) -> list[str]:
        """Make the tables of these slugs due now; the slugs that have an entity."""
        values = {"connector_uid": connector_uid, "slugs": list(slugs)}
        with self._database.connection() as connection:
            return sorted(
                row["slug"] for row in connection.execute(query("catalogue_notify", self._schema), values)
            )

    # Entities

    def entities(
        self,
        tenants: Tenants,
        *,
        uid: UUID | None = None,
        connector_uid: UUID | None = None,
        status: str | None = None,
        limit: int = 100,
        after: UUID | None = None,
    ) -> list[EntityView]:
        """Entities with their mappings, in order of creation."""
        values = {
            "tenants": _list(tenants),
            "uid": uid,
            "connector_uid": connector_uid,
            "status": status,
            "limit": limit,
            "after": after,
        }
        with self._database.connection() as connection:
            rows = connection.execute(query("catalogue_entities", self._schema), values).fetchall()
            mappings = mappings_of(connection, self._schema, [row["uid"] for row in rows])
        return [view_of(row, mappings.get(row["uid"], ())) for row in rows]

    def entity(self, uid: UUID, tenants: Tenants = None) -> EntityView:
        """One entity; raises NotFoundError."""
        found = self.entities(tenants, uid=uid, limit=1)
        if not found:
            raise _not_found("entity", uid)
        return found[0]

    def for_run(
        self, connection: Connection, uid: UUID
    ) -> tuple[Entity, tuple[FieldMapping, ...], Connector]:
        """What freezing a run's configuration needs, in the caller's transaction; raises NotFoundError."""
        values = {
            "tenants": None,
            "uid": uid,
            "connector_uid": None,
            "status": None,
            "limit": 1,
            "after": None,
        }
        row = connection.execute(query("catalogue_entities", self._schema), values).fetchone()
        if row is None:
            raise _not_found("entity", uid)
        values = {"tenants": None, "uid": row["connector_uid"], "name": None, "limit": 1, "after": None}
        source = connection.execute(query("catalogue_connectors", self._schema), values).fetchone()
        if source is None:
            raise _not_found("connector", row["connector_uid"])
        return entity_of(row), mappings_of(connection, self._schema, [uid]).get(uid, ()), connector_of(source)

    def siblings(self, connection: Connection, connector_uid: UUID) -> dict[str, Catalogued]:
        """The connector's entities that declare parents or are declared as one, by slug."""
        values = {"connector": connector_uid}
        rows = connection.execute(query("catalogue_siblings", self._schema), values).fetchall()
        mappings = mappings_of(connection, self._schema, [row["uid"] for row in rows])
        return {row["slug"]: Catalogued(entity_of(row), mappings.get(row["uid"], ())) for row in rows}

    def change_entity(
        self,
        connector_uid: UUID,
        slug: str,
        decide: Decide,
        *,
        actor: str,
        action: str,
        revive: bool = False,
        consent: Consent | None = None,
    ) -> Catalogued | None:
        """Store what `decide` makes of the slug's entity, with its target, in one transaction.

        `decide` gets what is stored (None for a slug without entity) and the target names taken in the tenant's
        default schema; it may run again when another transaction stood in the way. None, and nothing done, where a
        person deleted the entity, unless `revive` asks for a new one. With `consent` (a person's request), what
        touches stored rows raises PlanNeededError until its plan is acknowledged, and a table that is there is
        adopted.
        """
        place = Place(connector_uid, slug, actor, action, revive, consent)
        return self._retry(lambda connection: self._changes.change(connection, place, decide))

    def stored_bytes(self, connector_uid: UUID, slug: str) -> int:
        """The size of what the slug's target holds by now; 0 where it holds nothing, or nothing is there."""
        values = {"connector_uid": connector_uid, "slug": slug}
        with self._database.connection() as connection:
            row = connection.execute(query("catalogue_stored_bytes", self._schema), values).fetchone()
        return int(row["bytes"] or 0) if row else 0

    def delete_entity(self, uid: UUID, actor: str) -> None:
        """Forget an entity and end its runs; the target table and its rows stay."""
        entity = self.entity(uid).catalogued.entity
        with self._database.connection() as connection:
            self._changes.reset(connection, entity, "the entity was deleted", versions_changed=False)
            connection.execute(query("catalogue_entity_delete", self._schema), {"uid": uid})
            audit(connection, self._schema, actor, "entity.delete", str(uid))

    def _write_connector(self, name: str, connector: Connector, actor: str, action: str) -> Connector:
        try:
            with self._database.bare_connection() as connection:
                if secret := connector.secret_name:
                    own = self._reserved_secrets
                    tenancy.claim_secret(connection, self._schema, connector.tenant, secret, own)
                row = connection.execute(query(name, self._schema), connector_values(connector)).fetchone()
                audit(connection, self._schema, actor, action, str(connector.uid), {"name": connector.name})
        except pg.UniqueViolation:
            raise ConflictError(
                f"connector {connector.name!r}: tenant {connector.tenant} has one of that name",
                hint="choose another name, or PUT the one that exists",
            ) from None
        except pg.Error as error:
            raise translate(error, self._database.server.name) from None
        if row is None:
            raise _not_found("connector", connector.uid)
        return connector_of(row)


def _list(tenants: Tenants) -> list[str] | None:
    return None if tenants is None else sorted(tenants)


def _not_found(kind: str, uid: UUID) -> NotFoundError:
    return NotFoundError(f"{kind} {uid}: not found", hint=f"GET /api/v1/{_PLURALS[kind]} lists what there is")


_PLURALS = {"connector": "connectors", "entity": "entities"}
