"""The API's ports in memory, and an application over them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, time
from functools import cache
from typing import Any
from uuid import UUID, uuid4

import httpx
from fastapi import FastAPI

from shared.adapters.postgres.catalogue import Tenants
from shared.adapters.postgres.catalogue_rows import EntityView
from shared.adapters.postgres.discovery import Discovered
from shared.adapters.postgres.entity_changes import Decide
from shared.adapters.postgres.retries import Asked, Wanted
from shared.adapters.postgres.schedules import ScheduleChoice, ScheduleView
from shared.adapters.postgres.views import RunView
from shared.adapters.tokens import Caller
from shared.api.app import create_app
from shared.api.ports import ApiServices
from shared.errors import AppError, ConflictError, NotFoundError, SourceUnavailableError, UnauthorizedError
from shared.sync import fetch
from shared.sync.catalogue import Catalogued, Connector, Entity
from shared.sync.consent import Consent
from shared.sync.description import ApiColumn, ApiDescription
from shared.sync.discovery import discover
from shared.sync.nights import Standing
from shared.sync.plan import KINDS, Plan
from shared.sync.windows import Window

AT = datetime(2026, 1, 1, tzinfo=UTC)
OFFERED = ApiDescription(
    "planes", "Planes", (ApiColumn("tailnum", "VARCHAR2(10)"), ApiColumn("seats", "NUMBER(4)")), ("tailnum",)
)


class FakeTokens:
    """Tokens that say who calls: `subject role,role,tenant:x`."""

    def verify(self, token: str) -> Caller:
        if " " not in token:
            raise UnauthorizedError("bearer token: forged")
        subject, roles = token.split(" ")
        given = frozenset(roles.split(","))
        tenants = frozenset(r.removeprefix("tenant:") for r in given if r.startswith("tenant:"))
        return Caller(subject, subject, given, None if "*" in tenants else tenants)


@dataclass
class FakeSource:
    """A connector that offers `described`, or fails."""

    described: Sequence[ApiDescription] = (OFFERED,)
    page: bytes = b""
    error: AppError | None = None

    def list_apis(self) -> Sequence[ApiDescription]:
        if self.error:
            raise self.error
        return self.described

    def fetch_page(self, request: fetch.PageRequest) -> bytes:
        return self.page


@dataclass
class FakeCatalogue:
    """What the PostgreSQL adapter promises, in dictionaries."""

    tenant_names: set[str] = field(default_factory=lambda: {"default", "north"})
    stored: dict[UUID, Connector] = field(default_factory=dict)
    views: dict[UUID, EntityView] = field(default_factory=dict)
    region_urls: dict[str, dict[str, str]] = field(default_factory=dict)

    def tenants(
        self, tenants: Tenants, *, name: str | None = None, limit: int = 100, after: str | None = None
    ) -> list[Mapping[str, Any]]:
        seen = sorted(t for t in self.tenant_names if (tenants is None or t in tenants) and name in (None, t))
        schemas = {"target_schemas": ["public"]}
        return [{"name": t, "created_at": AT} | schemas for t in seen if after is None or t > after][:limit]

    def put_tenant(self, name: str, actor: str, target_schemas: Sequence[str] | None = None) -> None:
        self.tenant_names.add(name)

    def regions(self, tenant: str) -> list[Mapping[str, Any]]:
        return [{"region": r, "workspace_url": u} for r, u in self.region_urls.get(tenant, {}).items()]

    def put_regions(self, tenant: str, regions: Mapping[str, str], actor: str) -> None:
        self.region_urls[tenant] = dict(regions)

    def connectors(
        self,
        tenants: Tenants,
        *,
        uid: UUID | None = None,
        name: str | None = None,
        limit: int = 100,
        after: UUID | None = None,
    ) -> list[Connector]:
        seen = [c for c in self.stored.values() if tenants is None or c.tenant in tenants]
        seen = [c for c in seen if uid in (None, c.uid) and name in (None, c.name)]
        return sorted((c for c in seen if after is None or c.uid > after), key=lambda c: c.uid)[:limit]

    def connector(self, uid: UUID, tenants: Tenants = None) -> Connector:
        return _one(self.connectors(tenants, uid=uid))

    def add_connector(self, connector: Connector, actor: str) -> Connector:
        if any((c.tenant, c.name) == (connector.tenant, connector.name) for c in self.stored.values()):
            raise ConflictError("connector: name taken")
        return self.change_connector(connector, actor)

    def change_connector(self, connector: Connector, actor: str) -> Connector:
        self.stored[connector.uid] = replace(connector, created_at=AT, updated_at=AT)
        return self.stored[connector.uid]

    def delete_connector(self, uid: UUID, actor: str) -> None:
        if self.entities(None, connector_uid=uid):
            raise ConflictError("connector: entities are synced from it")
        del self.stored[uid]

    def notify(self, connector_uid: UUID, slugs: Sequence[str]) -> list[str]:
        return [v.catalogued.entity.slug for v in self.entities(None, connector_uid=connector_uid)]

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
        seen = [v for v in self.views.values() if self._sees(tenants, v.catalogued.entity)]
        seen = [v for v in seen if uid in (None, v.catalogued.entity.uid)]
        seen = [v for v in seen if connector_uid in (None, v.catalogued.entity.connector_uid)]
        seen = [v for v in seen if after is None or v.catalogued.entity.uid > after]
        return sorted(seen, key=lambda v: v.catalogued.entity.uid)[:limit]

    def entity(self, uid: UUID, tenants: Tenants = None) -> EntityView:
        return _one(self.entities(tenants, uid=uid))

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
        held = [
            v for v in self.entities(None, connector_uid=connector_uid) if v.catalogued.entity.slug == slug
        ]
        after = decide(held[0].catalogued if held else None, []).after
        self.views[after.entity.uid] = EntityView(after, None, None, None)
        return after

    def delete_entity(self, uid: UUID, actor: str) -> None:
        del self.views[uid]

    def _sees(self, tenants: Tenants, entity: Entity) -> bool:
        return tenants is None or self.stored[entity.connector_uid].tenant in tenants


def _one(found: Sequence[Any]) -> Any:
    if not found:
        raise NotFoundError("not found")
    return found[0]


@dataclass
class FakeDiscovery:
    """Discovery straight into the fake catalogue."""

    catalogue: FakeCatalogue

    def discover(
        self, connector: Connector, described: Sequence[ApiDescription], *, actor: str
    ) -> list[Discovered]:
        done = []
        for one in described:
            after = self.catalogue.change_entity(
                connector.uid,
                one.slug,
                lambda existing, taken, one=one: discover(one, connector, existing, uid=uuid4()),
                actor=actor,
                action="x",
            )
            assert after is not None
            done.append(Discovered(one.slug, "created", after.entity.uid, after.entity.warnings))
        return done


@dataclass
class FakeRuns:
    """Runs that stay queued until stopped."""

    catalogue: FakeCatalogue
    runs: dict[UUID, RunView] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)

    def create(self, entity_uid: UUID, *, purpose: str, trigger: str, requested_by: str, **more: Any) -> UUID:
        in_flight = [r for r in self.runs.values() if (r.entity_uid, r.status) == (entity_uid, "queued")]
        if in_flight and purpose == "delta":
            raise ConflictError(f"entity {entity_uid}: a run is in flight already")
        self.asked.append({"purpose": purpose, "trigger": trigger, **more})
        uid = uuid4()
        empty: dict[str, Any] = {f.name: 0 for f in fields(RunView)} | {"error": None}
        known = {
            "strategy": "hash",
            "purpose": purpose,
            "trigger": trigger,
            "status": "queued",
            "requested_by": requested_by,
        }
        known |= dict.fromkeys(("started_at", "completed_at", "watermark_start", "watermark_end"))
        self.runs[uid] = RunView(**empty | known | {"uid": uid, "entity_uid": entity_uid})
        return uid

    def stop(self, run_uid: UUID, requested_by: str) -> None:
        self.runs[run_uid] = replace(self.runs[run_uid], status="cancelled")

    def get(self, run_uid: UUID, *, tenants: Sequence[str] | None = None) -> RunView | None:
        return next((r for r in self.history(tenants=tenants)[0] if r.uid == run_uid), None)

    def history(
        self, *, entity_uid: UUID | None = None, tenants: Sequence[str] | None = None, **_: Any
    ) -> tuple[list[RunView], str | None]:
        seen = frozenset(tenants) if tenants is not None else None
        mine = {v.catalogued.entity.uid for v in self.catalogue.entities(seen)}
        runs = [r for r in self.runs.values() if r.entity_uid in mine and entity_uid in (None, r.entity_uid)]
        return runs, None


@dataclass
class FakeOverview:
    """One reject of one entity."""

    catalogue: FakeCatalogue
    records: list[dict[str, Any]] = field(default_factory=list)

    def failed_records(
        self, tenants: Tenants, *, uid: UUID | None = None, limit: int = 100, **_: Any
    ) -> list[Mapping[str, Any]]:
        mine = {v.catalogued.entity.uid for v in self.catalogue.entities(tenants)}
        return [r for r in self.records if r["entity_uid"] in mine and uid in (None, r["uid"])][:limit]

    def reject_counts(self, tenants: Tenants, **_: Any) -> list[Mapping[str, Any]]:
        same = ("entity_uid", "code", "status")
        return [
            {n: r[n] for n in same} | {"count": 1, "oldest": AT, "newest": AT}
            for r in self.failed_records(tenants)
        ]

    def pending_children(self, tenants: Tenants, **_: Any) -> list[Mapping[str, Any]]:
        return []

    def pending_counts(self, tenants: Tenants, **_: Any) -> list[Mapping[str, Any]]:
        return []

    def stats(self, tenants: Tenants, *, limit: int = 100, **_: Any) -> Mapping[str, Any]:
        views = self.catalogue.entities(tenants)
        counts = {"fetched": 1000, "rejected": 3}
        by_entity = [
            {"entity_uid": v.catalogued.entity.uid, "slug": v.catalogued.entity.slug, "connector": "erp"}
            | counts
            for v in views
        ]
        empty = {"fresh": 0, "open_rejects": 0, "waiting_children": 0, "orphans": 0, "slices": {"queued": 2}}
        now = {"entities": len(views), "stale": len(views), "runs": {"success": 3, "failed": 1}}
        return empty | now | {"rows": counts if views else {}, "by_entity": by_entity[:limit]}


@dataclass
class FakeSchedules:
    """Schedules in a dictionary, one an entity."""

    catalogue: FakeCatalogue
    stored: dict[UUID, ScheduleView] = field(default_factory=dict)

    def schedules(
        self,
        tenants: Tenants,
        *,
        uid: UUID | None = None,
        entity_uid: UUID | None = None,
        connector_uid: UUID | None = None,
        limit: int = 100,
        after: UUID | None = None,
    ) -> list[ScheduleView]:
        mine = {
            v.catalogued.entity.uid for v in self.catalogue.entities(tenants, connector_uid=connector_uid)
        }
        seen = [s for s in self.stored.values() if s.choice.entity_uid in mine and uid in (None, s.uid)]
        seen = [s for s in seen if entity_uid in (None, s.choice.entity_uid)]
        return sorted((s for s in seen if after is None or s.uid > after), key=lambda s: s.uid)[:limit]

    def schedule(self, uid: UUID, tenants: Tenants = None) -> ScheduleView:
        return _one(self.schedules(tenants, uid=uid))

    def add_schedule(self, uid: UUID, choice: ScheduleChoice, actor: str) -> ScheduleView:
        if any(s.choice.entity_uid == choice.entity_uid for s in self.stored.values()):
            raise ConflictError("entity: has a schedule already")
        return self.change_schedule(uid, choice, actor)

    def change_schedule(self, uid: UUID, choice: ScheduleChoice, actor: str) -> ScheduleView:
        untouched = Standing(0, None, 0, 0, None, None, running=False, finished=False)
        self.stored[uid] = ScheduleView(uid, choice, untouched, None, None, None, AT, AT)
        return self.stored[uid]

    def delete_schedule(self, uid: UUID, actor: str) -> None:
        del self.stored[uid]


@dataclass
class FakeVerifications:
    """Verifications as rows, of the one entity there is."""

    catalogue: FakeCatalogue
    rows: list[dict[str, Any]] = field(default_factory=list)

    def list(
        self,
        tenants: Tenants,
        *,
        uid: UUID | None = None,
        entity_uid: UUID | None = None,
        limit: int = 100,
        after: Any = None,
    ) -> Sequence[Mapping[str, Any]]:
        mine = {v.catalogued.entity.uid for v in self.catalogue.entities(tenants)}
        seen = [r for r in self.rows if r["entity_uid"] in mine and uid in (None, r["uid"])]
        return [r for r in seen if entity_uid in (None, r["entity_uid"])][:limit]


def verification(uid: UUID, entity_uid: UUID) -> dict[str, Any]:
    """One that found nothing amiss."""
    findings = {"source_rows": 3, "target_rows": 3, "examples": {}}
    return {"uid": uid, "entity_uid": entity_uid, "status": "success", "outcome": "equal", "why": None,
            "findings": findings, "trigger": "manual", "requested_by": "ada", "created_at": AT, "started_at": AT,
            "completed_at": AT}  # fmt: skip


class FakePlanning:
    """A target that fits, and a plan of nothing."""

    def subject(self, _: UUID) -> None: ...

    def ddl(self, stored: Any, *_: Any) -> tuple[list[str], Any]:
        return [], stored

    def plan(self, _subject: None, _source: Any, mode: Any) -> Plan:
        rows = dict.fromkeys(KINDS, 0)
        return Plan(mode, True, True, "hash", None, rows, {}, 0, 0, None, True, 0, 1, 0.0)


@dataclass
class FakeRejects:
    """Rejects that are marked, or discarded, at a word."""

    overview: FakeOverview

    def ask(self, wanted: Wanted, actor: str) -> Asked:
        found = self.overview.failed_records(wanted.tenants)
        marked = [r for r in found if wanted.uids is None or r["uid"] in wanted.uids]
        return Asked(len(marked), {record["entity_uid"]: uuid4() for record in marked})

    def discard(self, uid: UUID, actor: str, reason: str) -> bool:
        for record in self.overview.records:
            if record["uid"] == uid and record["status"] == "open":
                record |= {"status": "discarded", "closed_by": actor, "reason": reason}
                return True
        return False


class FakeStore:
    """A vault that takes new values."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def get(self, name: str) -> str:
        return self.values[name]

    reload = get

    def put(self, name: str, value: str) -> None:
        self.values[name] = value


class World:
    """An application over fakes, with one connector, one entity, one run and one reject of tenant default."""

    def __init__(self, **changes: Any) -> None:
        self.catalogue, self.source, self.now, self.sent = FakeCatalogue(), FakeSource(), [0.0], [0]
        self.runs, self.overview = FakeRuns(self.catalogue), FakeOverview(self.catalogue)
        self.verifications, self.planning = FakeVerifications(self.catalogue), FakePlanning()
        self.services = replace(self._services(), **changes)
        # Building the routes costs more than most requests; only a world of its own kind needs them anew.
        self.app = create_app(self.services) if changes else _shared_app()
        connector = Connector(uuid4(), "default", "erp", "http", "https://erp.example.com", "none")
        self.connector = self.catalogue.add_connector(connector, "t").uid
        self.entity = (
            FakeDiscovery(self.catalogue)
            .discover(connector, self.source.list_apis(), actor="t")[0]
            .entity_uid
        )
        assert self.entity is not None
        self.run = self.runs.create(self.entity, purpose="refresh", trigger="timer", requested_by="timer")
        self.runs.stop(self.run, "t")
        self.record = uuid4()
        self.overview.records.append(reject(self.record, self.run, self.entity))
        self.verifications.rows.append(verification(self.run, self.entity))

    @property
    def verification(self) -> Any:
        """A verification of the entity."""
        return self.run

    @property
    def schedule(self) -> UUID:
        """A schedule of the entity, made when first asked for."""
        found = self.services.schedules.schedules(None)
        choice = ScheduleChoice(self.entity, time(19), time(7), "UTC", 7, is_active=True)
        return found[0].uid if found else self.services.schedules.add_schedule(uuid4(), choice, "t").uid

    def _services(self) -> ApiServices:
        return ApiServices(
            tokens=FakeTokens(),
            catalogue=self.catalogue,
            discovery=FakeDiscovery(self.catalogue),
            runs=self.runs,
            overview=self.overview,
            verifications=self.verifications,
            planning=self.planning,  # type: ignore[arg-type]
            planner=self.planning,  # type: ignore[arg-type]
            rejects=FakeRejects(self.overview),
            open_source=lambda _: self.source,  # type: ignore[arg-type,return-value]
            send_outbox=self._send,
            migrate=lambda: ["0001_table_sync"],
            database_ok=lambda: None,
            new_uid=uuid4,
            clock=lambda: self.now[0],
            now=lambda: AT,
            schedules=FakeSchedules(self.catalogue),
            schedule_defaults=Window(time(19), time(7), "Europe/Oslo"),
            connector_hosts=("erp.example.com", "127.0.0.1:8007"),
        )

    def _send(self) -> None:
        self.sent[0] += 1

    def ask(self, method: str, path: str, roles: str | None = "admin,tenant:*", **more: Any) -> Any:
        """The answer to one request; `roles` None sends no token."""
        headers = {} if roles is None else {"Authorization": f"Bearer ada {roles}"}
        self.app.state.services = self.services
        return asyncio.run(call(self.app, method, path, headers=headers | more.pop("headers", {}), **more))


@cache
def _shared_app() -> FastAPI:
    """The application whose services each request of a world puts in place."""
    return create_app(World(rate_limit_per_minute=1_000_000).services)


async def call(app: Any, method: str, path: str, **more: Any) -> httpx.Response:
    """One request to an application in this process."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.request(method, path, **more)


def reject(uid: UUID, run_uid: UUID, entity_uid: UUID) -> dict[str, Any]:
    """A reject as the adapter gives it."""
    empty = dict.fromkeys(("key", "column", "normalized", "error_details", "next_attempt_at"))
    return empty | {
        "uid": uid, "run_uid": run_uid, "entity_uid": entity_uid, "stage": "numbers", "code": "bad_number",
        "message": "not a number", "raw": "{}", "status": "open", "attempts": 0, "created_at": AT,
    }  # fmt: skip


DOWN = SourceUnavailableError("connector 'erp': no answer", hint="check that it runs")
