"""Access, for every route there is: generated from the application's own registry."""

from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from shared.api import (
    connectors,
    datafactory,
    entities,
    figures,
    operations,
    proofs,
    records,
    runs,
    schedules,
    waiting,
)
from shared.api.access import Require
from shared.api.gate import ANONYMOUS
from tests.unit.api.fakes import World

DUE = {
    "POST /api/v1/connectors", "GET /api/v1/connectors", "GET /api/v1/connectors/{uid}",
    "PUT /api/v1/connectors/{uid}", "DELETE /api/v1/connectors/{uid}", "POST /api/v1/connectors/{uid}/test",
    "POST /api/v1/connectors/{uid}/discover", "POST /api/v1/connectors/{uid}/notify",
    "GET /api/v1/tenants", "GET /api/v1/tenants/{name}", "PUT /api/v1/tenants/{name}",
    "GET /api/v1/tenants/{name}/regions", "PUT /api/v1/tenants/{name}/regions",
    "GET /api/v1/entities", "POST /api/v1/entities", "GET /api/v1/entities/{uid}", "PUT /api/v1/entities/{uid}",
    "DELETE /api/v1/entities/{uid}", "POST /api/v1/entities/{uid}/sync", "POST /api/v1/entities/{uid}/full-refresh",
    "GET /api/v1/entities/{uid}/runs", "POST /api/v1/sync/start", "GET /api/v1/sync/status/{run_uid}",
    "POST /api/v1/sync/stop/{run_uid}", "GET /api/v1/sync/history", "GET /api/v1/runs/{uid}",
    "GET /api/v1/failed-records", "GET /api/v1/failed-records/{uid}", "POST /api/v1/operations/migrate",
    "GET /api/v1/failed-records/counts", "POST /api/v1/failed-records/{uid}/retry", "POST /api/v1/sync/retry-failed",
    "POST /api/v1/failed-records/{uid}/discard", "GET /api/v1/pending-children", "GET /api/v1/pending-children/counts",
    "GET /api/v1/health", "GET /api/v1/health/db", "GET /api/v1/stats", "GET /metrics",
    "GET /api/v1/schedules", "POST /api/v1/schedules", "PUT /api/v1/schedules/{uid}", "DELETE /api/v1/schedules/{uid}",
    "POST /api/v1/entities/{uid}/verify", "POST /api/v1/entities/{uid}/plan", "GET /api/v1/verifications",
    "GET /api/v1/entities/{uid}/verifications", "GET /api/v1/verifications/{uid}",
    "POST /api/v1/datafactory/pipelines/{name}/runs", "GET /api/v1/datafactory/runs/{id}",
    "POST /api/v1/submissions/{form}",
}  # fmt: skip
ROUTERS = (
    connectors.router,
    entities.router,
    runs.router,
    proofs.router,
    records.router,
    records.retrying,
    waiting.router,
    schedules.router,
    operations.router,
    operations.tenants,
    figures.router,
    datafactory.router,
    datafactory.submissions,
)
ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
WEAKER = {"reader": "tenant:*", "operator": "reader,approver,tenant:*", "admin": "operator,approver,tenant:*"}
# Of these nothing belongs to a tenant: tests/contract and tests/integration hold who may use them.
SHARED = ("{name}", "/datafactory/", "/submissions/")
NAMED = [r for r in ROUTES if "{" in r.path and not any(part in r.path for part in SHARED)]


def role_of(dependant: Dependant) -> str | None:
    """The role that a route's dependencies require."""
    found = [dependant.call.role] if isinstance(dependant.call, Require) else []
    found += [role for part in dependant.dependencies if (role := role_of(part))]
    return found[0] if found else None


def method(route: APIRoute) -> str:
    return min(route.methods)


def named(route: APIRoute) -> str:
    return f"{method(route)} {route.path}"


def path(route: APIRoute, world: World, uid: Any = None) -> str:
    own = {
        "connectors": "connector",
        "entities": "entity",
        "failed-records": "record",
        "schedules": "schedule",
        "verifications": "verification",
    }
    known = next((getattr(world, v) for k, v in own.items() if k in route.path), world.run)
    return route.path.format(uid=uid or known, run_uid=uid or known, id=known, name="default", form="a")


def body(route: APIRoute, world: World) -> Any:
    """A body that fits, so that nothing but access can refuse the request."""
    auth = {"type": "none"}
    return {
        "/api/v1/connectors/{uid}": {"name": "erp", "base_url": "https://erp.example.com", "auth": auth},
        "/api/v1/entities/{uid}": {"connector_uid": str(world.connector), "slug": "planes"},
        "/api/v1/schedules/{uid}": {"entity_uid": str(world.entity)},
        "/api/v1/connectors/{uid}/notify": {"slugs": ["planes"]},
        "/api/v1/failed-records/{uid}/discard": {"reason": "not wanted"},
        "/api/v1/tenants/{name}/regions": {"regions": []},
    }.get(route.path)


def test_openapi_lists_every_route_due_and_no_other() -> None:
    paths = World().ask("GET", "/openapi.json", None).json()["paths"]
    assert {f"{verb.upper()} {at}" for at, verbs in paths.items() for verb in verbs} == DUE


def test_registry_walked_here_is_the_whole_application() -> None:
    assert {named(route) for route in ROUTES} == DUE


def test_every_route_but_health_names_its_role() -> None:
    without = {route.path for route in ROUTES if role_of(route.dependant) is None}
    assert without == {"/api/v1/health"}


@pytest.mark.parametrize("route", [r for r in ROUTES if r.path not in ANONYMOUS], ids=named)
def test_no_token_is_401(route: APIRoute) -> None:
    answer = World().ask(method(route), path(route, World()), None, content=b"{not json")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize("route", [r for r in ROUTES if r.path not in ANONYMOUS], ids=named)
def test_forged_token_is_401(route: APIRoute) -> None:
    world = World()
    assert (
        world.ask(method(route), path(route, world), None, headers={"Authorization": "Bearer x"}).status_code
        == 401
    )


@pytest.mark.parametrize("route", [r for r in ROUTES if r.path not in ANONYMOUS], ids=named)
def test_role_below_the_route_is_403(route: APIRoute) -> None:
    world, role = World(), role_of(route.dependant)
    answer = world.ask(method(route), path(route, world), WEAKER[str(role)], json=body(route, world))
    assert (answer.status_code, answer.json()["detail"]) == (403, f"role {role}: missing")


@pytest.mark.parametrize("route", NAMED, ids=named)
@pytest.mark.parametrize("uid", [uuid4(), "1", "..%2f..%2fadmin", "%00"])
def test_guessed_uid_is_404(route: APIRoute, uid: Any) -> None:
    world = World()
    answer = world.ask(method(route), path(route, world, uid), json=body(route, world))
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("route", NAMED, ids=named)
def test_what_another_tenant_owns_is_404(route: APIRoute) -> None:
    world = World()
    answer = world.ask(method(route), path(route, world), "admin,tenant:north", json=body(route, world))
    assert answer.status_code == 404


@pytest.mark.parametrize("route", NAMED, ids=named)
def test_its_own_tenant_may_ask(route: APIRoute) -> None:
    world = World()
    answer = world.ask(method(route), path(route, world), "admin,tenant:default", json=body(route, world))
    assert answer.status_code < 300 or named(route) == "DELETE /api/v1/connectors/{uid}"


@pytest.mark.parametrize("at", ["connectors", "entities", "sync/history", "failed-records"])
def test_lists_show_only_the_callers_tenants(at: str) -> None:
    world = World()
    assert len(world.ask("GET", f"/api/v1/{at}", "reader,tenant:default").json()["items"]) == 1
    assert world.ask("GET", f"/api/v1/{at}", "reader,tenant:north").json()["items"] == []


def test_anonymous_paths_are_few_and_say_little() -> None:
    world = World()
    assert world.ask("GET", "/api/v1/health", None).json() == {"status": "ok"}
    assert {at for at in ANONYMOUS if world.ask("GET", at, None).status_code not in (200, 404)} == set()
    assert world.ask("GET", "/no/such/path", None).status_code == 401


def test_a_route_without_role_would_be_noticed() -> None:
    app = FastAPI()
    app.get("/open")(lambda: None)
    route = next(r for r in app.router.routes if getattr(r, "path", "") == "/open")
    assert isinstance(route, APIRoute) and role_of(route.dependant) is None
