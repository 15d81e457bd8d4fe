"""The FastAPI application, built from its services on the first request."""

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

_DESCRIPTION = (
    "Keeps warehouse tables in step with the systems they come from. Errors are application/problem+json."
)


def create_app(services: ApiServices) -> FastAPI:
    """The management API; every path but those in `gate.ANONYMOUS` needs a bearer token."""
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
    limiter = RateLimiter(services.rate_limit_per_minute, services.clock)
    app.add_middleware(Gate, tokens=services.tokens, limiter=limiter)
    if services.cors_origins:
        # Added last, so it stands outside: a preflight carries no token.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(services.cors_origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["authorization", "content-type"],
            expose_headers=["retry-after"],
        )
    return app
