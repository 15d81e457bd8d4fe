"""The FastAPI application, built from its services on the first request."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from shared.api import (
    connectors,
    datafactory,
    entities,
    figures,
    operations,
    problems,
    proofs,
    records,
    runs,
    schedules,
    waiting,
)
from shared.api.gate import Gate, RateLimiter
from shared.api.ports import ApiServices

if TYPE_CHECKING:
    from shared.api.workflow.ports import WorkflowServices

_DESCRIPTION = (
    "Keeps warehouse tables in step with the systems they come from. Errors are application/problem+json."
)


def create_app(services: ApiServices, workflow: "WorkflowServices | None" = None) -> FastAPI:
    """The management API, and the share packs' where there is a `workflow`; few paths need no bearer token."""
    app = FastAPI(
        title="Tributary",
        version="1",
        description=_DESCRIPTION,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        responses={"default": {"description": "A problem", "content": {problems.MEDIA_TYPE: {}}}},
    )
    app.state.services = services
    for module in (
        connectors,
        entities,
        runs,
        proofs,
        records,
        waiting,
        schedules,
        operations,
        figures,
        datafactory,
    ):
        app.include_router(module.router)
    app.include_router(operations.tenants)
    app.include_router(records.retrying)
    app.include_router(datafactory.submissions)
    problems.install(app)
    if workflow is not None:
        _add_workflow(app, workflow)
    limiter = RateLimiter(services.rate_limit_per_minute, services.clock)
    app.add_middleware(Gate, tokens=services.tokens, limiter=limiter)
    if services.cors_origins:
        # Added last, so it stands outside: a preflight carries no token.
        _allow_origins(app, services.cors_origins)
    return app


def _allow_origins(app: FastAPI, origins: Sequence[str]) -> None:
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=["authorization", "content-type"],
        expose_headers=["retry-after"],
    )


def _add_workflow(app: FastAPI, workflow: "WorkflowServices") -> None:
    # Nothing of share packs is imported where they are off.
    from shared.api.workflow import directory, refusals, routes

    app.state.workflow = workflow
    app.include_router(routes.router)
    app.include_router(directory.router)
    refusals.install(app)
