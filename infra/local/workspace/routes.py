"""Which request reaches what, by a name that faults, log and tests use."""

from __future__ import annotations

import re
from dataclasses import dataclass

from infra.local.workspace import (
    catalogs,
    jobs,
    pipelines,
    policies,
    principals,
    recipients,
    shares,
)
from infra.local.workspace.call import Call, Handler, Wire

UNITY = "/api/2.1/unity-catalog"
POLICIES = "/api/2.0/data-sharing/recipients/{name}/federation-policies"


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one path; a `public` one asks for no token."""

    name: str
    method: str
    pattern: re.Pattern[str]
    handler: Handler
    public: bool = False

    @property
    def reads(self) -> bool:
        return self.method == "GET"


def find(method: str, path: str) -> tuple[Route, tuple[str, ...]] | None:
    """The route and the parts of the path that it names; None where there is none."""
    for route in ROUTES:
        matched = route.pattern.fullmatch(path) if route.method == method else None
        if matched:
            return route, matched.groups()
    return None


def _well_known(call: Call) -> Wire:
    return {
        "oidc_endpoint": f"{call.url}/oidc",
        "account_id": "9f0c7a54-0a51-4c7e-8a3d-3f3f2e0a7c11",
        "workspace_id": "1234567890123456",
        "cloud": "AZURE",
    }


def _route(name: str, method: str, path: str, handler: Handler, *, public: bool = False) -> Route:
    # An activation link holds slashes of its own.
    part = "(.+)" if public else "([^/]+)"
    return Route(name, method, re.compile(re.sub(r"\{\w+\}", part, path)), handler, public)


ROUTES = (
    _route("well_known", "GET", "/.well-known/databricks-config", _well_known, public=True),
    _route("shares.create", "POST", f"{UNITY}/shares", shares.create),
    _route("shares.list", "GET", f"{UNITY}/shares", shares.list_shares),
    _route("shares.get", "GET", f"{UNITY}/shares/{{name}}", shares.get),
    _route("shares.update", "PATCH", f"{UNITY}/shares/{{name}}", shares.update),
    _route("shares.delete", "DELETE", f"{UNITY}/shares/{{name}}", shares.delete),
    _route("shares.permissions", "GET", f"{UNITY}/shares/{{name}}/permissions", shares.permissions),
    _route(
        "shares.update_permissions",
        "PATCH",
        f"{UNITY}/shares/{{name}}/permissions",
        shares.update_permissions,
    ),
    _route("recipients.create", "POST", f"{UNITY}/recipients", recipients.create),
    _route("recipients.list", "GET", f"{UNITY}/recipients", recipients.list_recipients),
    _route("recipients.get", "GET", f"{UNITY}/recipients/{{name}}", recipients.get),
    _route("recipients.update", "PATCH", f"{UNITY}/recipients/{{name}}", recipients.update),
    _route("recipients.delete", "DELETE", f"{UNITY}/recipients/{{name}}", recipients.delete),
    _route(
        "recipients.rotate_token",
        "POST",
        f"{UNITY}/recipients/{{name}}/rotate-token",
        recipients.rotate_token,
    ),
    _route(
        "recipients.share_permissions",
        "GET",
        f"{UNITY}/recipients/{{name}}/share-permissions",
        recipients.share_permissions,
    ),
    _route(
        "activation.info",
        "GET",
        f"{UNITY}/public/data_sharing_activation_info/{{url}}",
        recipients.activation_info,
        public=True,
    ),
    _route(
        "activation.retrieve",
        "GET",
        f"{UNITY}/public/data_sharing_activation/{{url}}",
        recipients.activate,
        public=True,
    ),
    _route("policies.create", "POST", POLICIES, policies.create),
    _route("policies.list", "GET", POLICIES, policies.list_policies),
    _route("policies.get", "GET", f"{POLICIES}/{{policy}}", policies.get),
    _route("policies.delete", "DELETE", f"{POLICIES}/{{policy}}", policies.delete),
    *(
        route
        for kind in catalogs.LEVELS
        for route in (
            _route(f"{kind}s.get", "GET", f"{UNITY}/{kind}s/{{name}}", catalogs.getter(kind)),
            _route(f"{kind}s.list", "GET", f"{UNITY}/{kind}s", catalogs.lister(kind)),
        )
    ),
    _route("tables.exists", "GET", f"{UNITY}/tables/{{name}}/exists", catalogs.table_exists),
    _route("metastore.summary", "GET", f"{UNITY}/metastore_summary", catalogs.metastore_summary),
    _route(
        "metastore.assignment", "GET", f"{UNITY}/current-metastore-assignment", catalogs.metastore_assignment
    ),
    _route("grants.get", "GET", f"{UNITY}/permissions/{{kind}}/{{name}}", catalogs.grants),
    _route("grants.update", "PATCH", f"{UNITY}/permissions/{{kind}}/{{name}}", catalogs.update_grants),
    _route("jobs.create", "POST", "/api/2.2/jobs/create", jobs.create),
    _route("jobs.reset", "POST", "/api/2.2/jobs/reset", jobs.reset),
    _route("jobs.get", "GET", "/api/2.2/jobs/get", jobs.get),
    _route("jobs.list", "GET", "/api/2.2/jobs/list", jobs.list_jobs),
    _route("jobs.delete", "POST", "/api/2.2/jobs/delete", jobs.delete),
    _route("jobs.run_now", "POST", "/api/2.2/jobs/run-now", jobs.run_now),
    _route("jobs.get_run", "GET", "/api/2.2/jobs/runs/get", jobs.get_run),
    _route("jobs.list_runs", "GET", "/api/2.2/jobs/runs/list", jobs.list_runs),
    _route("pipelines.create", "POST", "/api/2.0/pipelines", pipelines.create),
    _route("pipelines.list", "GET", "/api/2.0/pipelines", pipelines.list_pipelines),
    _route("pipelines.get", "GET", "/api/2.0/pipelines/{id}", pipelines.get),
    _route("pipelines.replace", "PUT", "/api/2.0/pipelines/{id}", pipelines.replace),
    _route("pipelines.delete", "DELETE", "/api/2.0/pipelines/{id}", pipelines.delete),
    _route("pipelines.start", "POST", "/api/2.0/pipelines/{id}/updates", pipelines.start),
    _route("principals.me", "GET", "/api/2.0/preview/scim/v2/Me", principals.me),
    _route("principals.users", "GET", "/api/2.0/preview/scim/v2/Users", principals.list_users),
    _route("principals.groups", "GET", "/api/2.0/preview/scim/v2/Groups", principals.list_groups),
)
