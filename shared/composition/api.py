"""Builds the management API and what checks its callers' tokens. Imported on the first request, and only then."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from fastapi import FastAPI

from shared.adapters import tokens as verifiers
from shared.adapters.postgres.discovery import DiscoveryService
from shared.adapters.postgres.overview import Overview
from shared.api.app import create_app
from shared.api.ports import ApiServices
from shared.composition.resources import new_uid
from shared.composition.table_sync import TableSync
from shared.errors import ConfigurationError
from shared.settings import Settings
from shared.sync.windows import Window

if TYPE_CHECKING:
    from shared.adapters.postgres.database import Database
    from shared.api.workflow.ports import WorkflowServices


def management_api(
    parts: TableSync,
    *,
    tokens: verifiers.TokenVerifier,
    migrate: Callable[[], Sequence[str]],
    queue_depths: Callable[[], Mapping[str, int | None]],
    workflow: "WorkflowServices | None",
) -> FastAPI:
    """The API over table sync, and over share packs where there is a `workflow`."""
    s = parts.settings
    services = ApiServices(
        tokens=tokens,
        catalogue=parts.catalogue,
        discovery=DiscoveryService(parts.catalogue, new_uid),
        runs=parts.runs,
        rejects=parts.retries,
        overview=Overview(parts.database, default_interval_s=s.default_sync_interval_seconds),
        verifications=parts.verifications,
        planning=parts.planning,
        planner=parts.planner,
        open_source=parts.connectors.open,
        send_outbox=parts.send_outbox,
        migrate=migrate,
        database_ok=lambda: _answers(parts.database),
        new_uid=new_uid,
        clock=time.monotonic,
        now=parts.clock.now,
        schedules=parts.schedules,
        schedule_defaults=_usual_window(s),
        connector_hosts=s.allowed_connector_hosts,
        secrets=parts.vault,
        rate_limit_per_minute=s.rate_limit_per_minute,
        queue_depths=queue_depths,
        error_rate_warning_percent=s.error_rate_warning_percent,
        cors_origins=tuple(o.strip() for o in s.cors_origins.split(",") if o.strip()),
        metadata_schema=s.postgres_schema,
        pipelines=lambda: parts.data_factory,
        submissions=lambda: parts.submissions,
    )
    return create_app(services, workflow)


def _answers(database: "Database") -> None:
    with database.connection() as connection:
        connection.execute("SELECT 1")


def _usual_window(s: Settings) -> Window:
    return Window(s.background_sync_window_start, s.background_sync_window_end, s.background_sync_time_zone)


def token_verifier(s: Settings) -> verifiers.TokenVerifier:
    """What checks bearer tokens; raises ConfigurationError naming the settings that AUTH_MODE lacks."""
    if s.auth_mode == "local":
        if s.local_token_secret is None:
            raise ConfigurationError("LOCAL_TOKEN_SECRET: not set", hint="make up makes one; or set your own")
        return verifiers.LocalTokens(s.local_token_secret.get_secret_value(), os.environ)
    if not s.entra_tenant_id or not s.entra_audience:
        raise ConfigurationError(
            "ENTRA_TENANT_ID, ENTRA_AUDIENCE: not set", hint="both are needed while AUTH_MODE is entra"
        )
    keys = verifiers.SigningKeys(verifiers.json_fetcher(verifiers.entra_keys_url(s.entra_tenant_id)))
    return verifiers.EntraTokens(
        keys, issuer=verifiers.entra_issuer(s.entra_tenant_id), audience=s.entra_audience
    )
