"""The catalogue in PostgreSQL: tenants, connectors, entities with their mappings, and their targets.

One transaction holds an entity's row, its mappings, the DDL of its target and what a change means for runs in
flight: either all of it happened or nothing. Lists are in uid order, which is the order of creation.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from psycopg import errors as pg
from psycopg.types.json import Jsonb

from shared.adapters.postgres import adoption, tenancy
from shared.adapters.postgres.database import Connection, Database, translate
from shared.adapters.postgres.remasking import forget_adopted, forget_unmasked
from shared.adapters.postgres.reshape import is_filled
from shared.adapters.postgres.tables import prepare_target, read_state, target
from shared.errors import AppError, ConflictError, NotFoundError, TargetUnavailableError
from shared.sql import query
from shared.sync.catalogue import Catalogued, Change, Connector, Entity, FieldMapping
from shared.sync.consent import Consent, acts_of, plan_of
from shared.sync.description import ApiColumn, ApiDescription, ApiParent
from shared.sync.discovery import discover
from shared.sync.model import ColumnType, Expression, Rules, VersionSpec
from shared.sync.types import rewires
from shared.telemetry import log

# A long reader must not make our ALTER queue everybody else behind it: give up quickly, try again.
_LOCK_TIMEOUT_MS = 3000
_ATTEMPTS = 5
_LOCKED = "target_locked"
_CONTENDED = (pg.LockNotAvailable, pg.DeadlockDetected, pg.SerializationFailure)
Tenants = frozenset[str] | None
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class EntityView:
    """An entity as the API shows it. `watermark` is in order-preserving form."""

    catalogued: Catalogued
    last_sync_at: datetime | None
    last_sync_status: str | None
    watermark: str | None
    connector_kind: str = "http"


@dataclass(frozen=True, slots=True)
class Discovered:
    """What became of one table: created, refreshed, skipped or failed; `error` only where it failed."""

    slug: str
    status: str
    entity_uid: UUID | None = None
    warnings: tuple[str, ...] = ()
    error: AppError | None = None


Decide = Callable[[Catalogued | None, Sequence[str]], Change]


class Catalogue:
    """Connectors and entities. Every read takes the tenants that its caller sees (None: all)."""

    def __init__(
        self,
        database: Database,
        new_uid: Callable[[], UUID],
        *,
        pause: Callable[[float], None] = time.sleep,
        lock_timeout_ms: int = _LOCK_TIMEOUT_MS,
        reserved_secrets: Sequence[str] = (),
    ) -> None:
        """`reserved_secrets`: names that no connector may use, being the service's own."""
        self._database, self._new_uid = database, new_uid
        self._reserved_secrets = tuple(name.lower() for name in reserved_secrets)
        self._schema = database.schema
        self._retry = _Retry(database, pause, lock_timeout_ms)

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
                self._audit(connection, actor, "tenant.create" if is_new else "tenant.change", name, details)

    def regions(self, tenant: str) -> list[Mapping[str, Any]]:
        """The tenant's regions: `region` and `workspace_url`, by region."""
        with self._database.connection() as connection:
            return tenancy.regions(connection, self._schema, tenant)

    def put_regions(self, tenant: str, regions: Mapping[str, str], actor: str) -> None:
        """Replace the tenant's regions: workspace URLs by region."""
        with self._database.connection() as connection:
            tenancy.set_regions(connection, self._schema, tenant, regions)
            self._audit(connection, actor, "tenant.regions", tenant, regions)

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
            return [_connector(row) for row in rows]

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
            self._audit(connection, actor, "connector.delete", str(uid))

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
            mappings = self._mappings(connection, [row["uid"] for row in rows])
        return [_view(row, mappings.get(row["uid"], ())) for row in rows]

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
        return _entity(row), self._mappings(connection, [uid]).get(uid, ()), _connector(source)

    def siblings(self, connection: Connection, connector_uid: UUID) -> dict[str, Catalogued]:
        """The connector's entities that declare parents or are declared as one, by slug."""
        values = {"connector": connector_uid}
        rows = connection.execute(query("catalogue_siblings", self._schema), values).fetchall()
        mappings = self._mappings(connection, [row["uid"] for row in rows])
        return {row["slug"]: Catalogued(_entity(row), mappings.get(row["uid"], ())) for row in rows}

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
        place = _Place(connector_uid, slug, actor, action, revive, consent)
        return self._retry(lambda connection: self._change(connection, place, decide))

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
            self._reset(connection, entity, "the entity was deleted", versions_changed=False)
            connection.execute(query("catalogue_entity_delete", self._schema), {"uid": uid})
            self._audit(connection, actor, "entity.delete", str(uid))

    def _change(self, connection: Connection, place: "_Place", decide: Decide) -> Catalogued | None:
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

    def _store(
        self, connection: Connection, before: Catalogued | None, change: Change, place: "_Place"
    ) -> None:
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
        connection.execute(query(name, self._schema), _entity_values(after.entity))
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
        self._audit(connection, place.actor, place.action, str(after.entity.uid), {"slug": place.slug})

    def _follow(self, connection: Connection, before: Catalogued, change: Change, *, rekeyed: bool) -> None:
        """What a changed entity means for its runs and for the rows that are stored."""
        entity = change.after.entity
        if change.reset:
            changed = before.entity.version != entity.version
            self._reset(connection, entity, "keys or rules changed", versions_changed=changed)
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
        self, connection: Connection, before: Catalogued, change: Change, place: "_Place"
    ) -> None:
        acts = acts_of(before, change) if place.consent is not None else ()
        if not acts or place.consent is None:
            return
        state = read_state(connection, self._schema, before)
        if state is not None and state.is_table and is_filled(connection, target(before)):
            plan = plan_of(before, change.after, acts)
            place.consent.require(f"entity {place.slug}", plan)
            details = {"plan_hash": plan.plan_hash, "acts": adoption.acts_summary(acts)}
            self._audit(connection, place.actor, "entity.consent", str(before.entity.uid), details)

    def _adopt(self, connection: Connection, change: Change, place: "_Place") -> Catalogued | None:
        """A new entity over a table that stands already; None where none does."""
        found = adoption.survey(connection, self._schema, change.after)
        if found is None or place.consent is None:
            return None
        plan = plan_of(None, found.catalogued, found.acts)
        place.consent.require(f"entity {place.slug}", plan)
        after = found.catalogued
        connection.execute(query("catalogue_entity_insert", self._schema), _entity_values(after.entity))
        self._store_mappings(connection, after)
        connection.execute(query("catalogue_state_insert", self._schema), {"uid": after.entity.uid})
        adoption.take_over(connection, found)
        forget_adopted(connection, after)
        self._want_rehash(connection, after.entity.uid, "adopt")
        details = {"plan_hash": plan.plan_hash, "acts": adoption.acts_summary(plan.acts)}
        self._audit(connection, place.actor, "entity.adopt", str(after.entity.uid), details)
        return after

    def _want_rehash(self, connection: Connection, entity_uid: UUID, why: str) -> None:
        connection.execute(query("rehash_wanted", self._schema), {"entity": entity_uid, "why": why})

    def _store_mappings(self, connection: Connection, catalogued: Catalogued) -> None:
        uid = catalogued.entity.uid
        connection.execute(query("catalogue_mappings_delete", self._schema), {"uid": uid})
        with connection.cursor() as cursor:
            rows = [_mapping_values(uid, mapping) for mapping in catalogued.mappings]
            cursor.executemany(query("catalogue_mapping_insert", self._schema), rows)

    def _reset(self, connection: Connection, entity: Entity, reason: str, *, versions_changed: bool) -> None:
        """A new generation; in the same transaction every unfinished run of the entity ends."""
        # Locks in the order that all transactions keep: connector, entity, slice.
        lock = {"connector": entity.connector_uid, "default_limit": 1}
        connection.execute(query("connector_lock", self._schema), lock)
        values = {"entity": entity.uid, "versions_changed": versions_changed}
        connection.execute(query("catalogue_reset", self._schema), values)
        self._cancel_runs(connection, entity, reason)

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
        return Catalogued(_entity(row), self._mappings(connection, [row["uid"]]).get(row["uid"], ()))

    def _mappings(self, connection: Connection, uids: Sequence[UUID]) -> dict[UUID, tuple[FieldMapping, ...]]:
        found: dict[UUID, tuple[FieldMapping, ...]] = {}
        for row in connection.execute(query("catalogue_mappings", self._schema), {"uids": list(uids)}):
            found[row["entity_uid"]] = (*found.get(row["entity_uid"], ()), _mapping(row))
        return found

    def _write_connector(self, name: str, connector: Connector, actor: str, action: str) -> Connector:
        try:
            with self._database.bare_connection() as connection:
                if secret := connector.secret_name:
                    own = self._reserved_secrets
                    tenancy.claim_secret(connection, self._schema, connector.tenant, secret, own)
                row = connection.execute(query(name, self._schema), _connector_values(connector)).fetchone()
                self._audit(connection, actor, action, str(connector.uid), {"name": connector.name})
        except pg.UniqueViolation:
            raise ConflictError(
                f"connector {connector.name!r}: tenant {connector.tenant} has one of that name",
                hint="choose another name, or PUT the one that exists",
            ) from None
        except pg.Error as error:
            raise translate(error, self._database.server.name) from None
        if row is None:
            raise _not_found("connector", connector.uid)
        return _connector(row)

    def _audit(
        self,
        connection: Connection,
        actor: str,
        action: str,
        subject: str,
        details: Mapping[str, str] | None = None,
    ) -> None:
        values = {"actor": actor, "action": action, "subject": subject, "details": Jsonb(details or {})}
        connection.execute(query("audit_insert", self._schema), values)


class DiscoveryService:
    """Discovery of a whole connector: one table's failure never touches another's."""

    def __init__(self, catalogue: Catalogue, new_uid: Callable[[], UUID]) -> None:
        self._catalogue, self._new_uid = catalogue, new_uid

    def discover(
        self, connector: Connector, described: Sequence[ApiDescription], *, actor: str
    ) -> list[Discovered]:
        """Each described table's outcome, in the connector's order."""
        return [self._discover_one(connector, one, actor) for one in described]

    def _discover_one(self, connector: Connector, described: ApiDescription, actor: str) -> Discovered:
        created, known = False, frozenset[str]()
        stored = self._catalogue.stored_bytes(connector.uid, described.slug)

        def decide(existing: Catalogued | None, taken: Sequence[str]) -> Change:
            nonlocal created, known
            created = existing is None
            known = frozenset(existing.entity.warnings) if existing else frozenset()
            return discover(
                described, connector, existing, uid=self._new_uid(), taken_tables=taken, stored_bytes=stored
            )

        try:
            after = self._catalogue.change_entity(
                connector.uid, described.slug, decide, actor=actor, action="entity.discover"
            )
        except AppError as error:
            if isinstance(error, TargetUnavailableError) and error.code != _LOCKED:
                raise  # the database is down for every table alike
            return Discovered(described.slug, "failed", error=error)
        if after is None:
            note = "a person deleted this entity; POST /api/v1/entities with its slug brings it back"
            return Discovered(described.slug, "skipped", warnings=(note,))
        for warning in after.entity.warnings:
            if warning not in known:
                log("drift", level=logging.WARNING, entity=described.slug, warning=warning)
        status = "created" if created else "refreshed"
        return Discovered(described.slug, status, after.entity.uid, after.entity.warnings)


@dataclass(frozen=True, slots=True)
class _Place:
    """Which slug changes, who asked, and what the audit trail calls it."""

    connector_uid: UUID
    slug: str
    actor: str
    action: str
    revive: bool
    consent: Consent | None = None


class _Retry:
    """Runs a transaction again while another one stands in its way, a few times, with growing pauses."""

    def __init__(self, database: Database, pause: Callable[[float], None], lock_timeout_ms: int) -> None:
        self._database, self._pause, self._lock_timeout_ms = database, pause, lock_timeout_ms

    def __call__(self, work: Callable[[Connection], _T]) -> _T:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._transaction() as connection:
                    return work(connection)
            except pg.UniqueViolation as error:
                # Once: a rival that took the name has committed, so the second look decides.
                if attempt > 1:
                    raise _blocked(error) from None
            except _CONTENDED as error:
                if attempt == _ATTEMPTS:
                    raise _blocked(error) from None
                self._pause(0.2 * 2**attempt * random.uniform(0.5, 1.0))
            except pg.Error as error:
                raise translate(error, self._database.server.name) from None
        raise AssertionError("the loop above returns or raises")

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._database.bare_connection() as connection:
            connection.execute("SELECT set_config('lock_timeout', %s, true)", (f"{self._lock_timeout_ms}ms",))
            yield connection


def _blocked(error: Exception) -> AppError:
    if isinstance(error, pg.UniqueViolation):
        return ConflictError(
            "entity: its slug or its target table is taken by another entity",
            hint="choose another target_table, or PUT the entity that exists",
        )
    return TargetUnavailableError(
        f"target table: still locked by another session after {_ATTEMPTS} attempts ({type(error).__name__})",
        hint="look for long transactions in pg_stat_activity, then try again",
        code=_LOCKED,
    )


def _list(tenants: Tenants) -> list[str] | None:
    return None if tenants is None else sorted(tenants)


def _not_found(kind: str, uid: UUID) -> NotFoundError:
    return NotFoundError(f"{kind} {uid}: not found", hint=f"GET /api/v1/{_PLURALS[kind]} lists what there is")


_PLURALS = {"connector": "connectors", "entity": "entities"}
_CONNECTOR_FIELDS = tuple(f.name for f in fields(Connector))
_JSON_FIELDS = ("version", "columns", "warnings", "parameters", "parents")
_ENTITY_FIELDS = tuple(f.name for f in fields(Entity))


def _connector(row: Mapping[str, Any]) -> Connector:
    plain = {name: row[name] for name in _CONNECTOR_FIELDS}
    return Connector(**plain | {"target_schemas": tuple(row["target_schemas"])})


def _connector_values(connector: Connector) -> dict[str, object]:
    return asdict(connector)


def _entity(row: Mapping[str, Any]) -> Entity:
    plain = {name: row[name] for name in _ENTITY_FIELDS}
    version = row["version"]
    return Entity(
        **plain
        | {
            "business_keys": tuple(row["business_keys"]),
            "version": None if version is None else msgspec.convert(version, VersionSpec),
            "columns": msgspec.convert(row["columns"], tuple[ApiColumn, ...]),
            "parents": msgspec.convert(row["parents"], tuple[ApiParent, ...]),
            "delete_guard_percent": float(row["delete_guard_percent"]),
            "reject_threshold_percent": _number(row["reject_threshold_percent"]),
            "person_set": tuple(row["person_set"]),
            "warnings": tuple(row["warnings"]),
        }
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _entity_values(entity: Entity) -> dict[str, object]:
    values: dict[str, object] = {name: getattr(entity, name) for name in _ENTITY_FIELDS}
    values |= {name: _jsonb(values[name]) for name in _JSON_FIELDS}
    return values | {"business_keys": list(entity.business_keys), "person_set": list(entity.person_set)}


def _mapping(row: Mapping[str, Any]) -> FieldMapping:
    return FieldMapping(
        position=row["position"],
        source=row["source"],
        target=row["target"],
        type=msgspec.convert(row["type"], ColumnType),
        rules=msgspec.convert(row["rules"], Rules),
        expression=None if row["expression"] is None else msgspec.convert(row["expression"], Expression),
        set_by=row["set_by"],
    )


def _mapping_values(uid: UUID, mapping: FieldMapping) -> dict[str, object]:
    return {
        "entity_uid": uid,
        "position": mapping.position,
        "source": mapping.source,
        "target": mapping.target,
        "type": _jsonb(mapping.type),
        "rules": _jsonb(mapping.rules),
        "expression": _jsonb(mapping.expression),
        "set_by": mapping.set_by,
    }


def _jsonb(value: object) -> Jsonb | None:
    return None if value is None else Jsonb(msgspec.to_builtins(value))


def _view(row: Mapping[str, Any], mappings: tuple[FieldMapping, ...]) -> EntityView:
    entity, trouble = _entity(row), row["trouble"]
    if trouble is not None:
        warning = f"the last tick could not start a run: {trouble['message']} {trouble['hint']}"
        entity = replace(entity, warnings=(*entity.warnings, warning))
    catalogued = Catalogued(entity, mappings)
    return EntityView(
        catalogued, row["last_sync_at"], row["last_sync_status"], row["watermark"], row["connector_kind"]
    )
