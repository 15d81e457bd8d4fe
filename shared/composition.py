"""The only place that builds objects: settings in, the application out, each part made when first needed."""

import os
import secrets as entropy
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any
from uuid import UUID

from shared.errors import ConfigurationError
from shared.platform import azure_marker
from shared.process import prepare_process

if TYPE_CHECKING:
    # Every import below costs a cold start something, so each is made where its part is first needed.
    from fastapi import FastAPI

    from shared.adapters.connectors import Connectors
    from shared.adapters.data_factory import DataFactory
    from shared.adapters.databricks.wire import Wire
    from shared.adapters.execution_log import TableLog
    from shared.adapters.identity import BearerTokens
    from shared.adapters.postgres.agenda import Agenda
    from shared.adapters.postgres.catalogue import Catalogue
    from shared.adapters.postgres.copy_format import Bytes
    from shared.adapters.postgres.database import Connection, Database
    from shared.adapters.postgres.freezing import Freezing
    from shared.adapters.postgres.health import Health
    from shared.adapters.postgres.holding import Backoff
    from shared.adapters.postgres.masks import Masks
    from shared.adapters.postgres.pacing import Pacing
    from shared.adapters.postgres.planning import PostgresPlanning
    from shared.adapters.postgres.retries import Retries
    from shared.adapters.postgres.runs import Runs
    from shared.adapters.postgres.schedules import Schedules
    from shared.adapters.postgres.slices import Slices
    from shared.adapters.postgres.verifications import PostgresVerifications
    from shared.adapters.storage_queue import StorageQueue
    from shared.adapters.submissions import Submissions
    from shared.adapters.tokens import TokenVerifier
    from shared.composition_directory import DirectoryParts
    from shared.composition_sharing import Sharing
    from shared.secrets import Secrets, SecretStore
    from shared.settings import Settings
    from shared.sync.catalogue import Defaults
    from shared.sync.deliver import Deliveries
    from shared.sync.guards import Guards
    from shared.sync.plan import Planner
    from shared.sync.run import SliceRunner
    from shared.sync.tick import Tick

LEASE_S = 660  # above host.json's functionTimeout of ten minutes
DETECTION_BUDGET_S = 60.0
WORKSPACE_CALLS_PER_S = 10.0  # from one process to one workspace
VERSION = "0.1.0"


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Aware, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds, never going back."""
        return time.monotonic()


class App:
    """The application. Triggers call its methods; everything behind them is injected."""

    def __init__(self, settings: "Settings", guards: "Guards | None" = None) -> None:
        prepare_process()
        from shared.sync.guards import Guards
        from shared.telemetry import configure_telemetry

        self.settings, self.guards, self.clock = settings, guards or Guards(), SystemClock()
        self.workspace_calls_per_s = WORKSPACE_CALLS_PER_S
        exported = settings.python_applicationinsights_enable_telemetry
        configure_telemetry(settings.log_level, settings.log_format, exported=exported)
        if settings.migrate_on_start:
            self.migrate()

    def detect_changes(self, traceparent: str = "") -> None:
        """One tick: ask what is due, create runs, send messages. `traceparent` is the invocation's, here and below."""
        from shared.telemetry import span

        with span("tick", traceparent):
            self.tick().run()
            self.beat("detect_changes")

    def load_in_window(self, traceparent: str = "") -> None:
        """Give background loads their run of the night, where their window is open."""
        from shared.sync.background import BackgroundLoads
        from shared.telemetry import log, span

        with span("background_loads", traceparent):
            if self.settings.background_sync_enabled:
                BackgroundLoads(self.schedules, self.clock, self.send_outbox, log).run()
            self.beat("load_in_window")

    def sync_table(self, body: bytes, message_id: str, dequeue_count: int, traceparent: str = "") -> None:
        """Work on the slice that a message names; raises MessageError for a message that is none of ours."""
        from shared.messages import parse_slice_message
        from shared.telemetry import span

        message = parse_slice_message(body)
        # The message's own trace began where the work was found; the invocation's only where the queue was read.
        traces = message.traceparent, traceparent
        with span("slice", *traces, run=message.run_uid, slice=message.slice):
            self.deliveries.deliver(message.run_uid, message.slice, message_id, dequeue_count)

    def handle_poison(self, body: bytes, message_id: str, traceparent: str = "") -> None:
        """A dead message becomes a visible failure, or a later attempt."""
        from shared.adapters.postgres.poison import handle_poison
        from shared.messages import traceparent_of
        from shared.telemetry import log, span

        with span("poison", traceparent_of(body), traceparent):
            outcome = handle_poison(
                self.database, self.slices, self.settings.sync_queue_name, message_id, body
            )
            log("poison_handled", level=30, message_id=message_id, outcome=outcome)
            self.deliveries.flush()

    def retry_rejects(self, traceparent: str = "") -> None:
        """Queue what is due of stored rows: rejects asked for again, children whose parents came."""
        from shared.telemetry import span

        with span("retries", traceparent):
            self.retries.purge(self.settings.reject_payload_days)
            self.retries.run()
            self.deliveries.flush()
            self.beat("retry_rejects")

    def watch_health(self, traceparent: str = "") -> None:
        """Say in the log what a person should look at; see docs/operations.md for the events."""
        from shared.adapters.watching import Watch
        from shared.telemetry import log, span

        with span("watch", traceparent):
            Watch(self.health, self.table_log, self._queue_depths, log, self.clock.now).look()
            self.beat("watch_health")

    def record_poison(self, setting: str, body: bytes, message_id: str, traceparent: str = "") -> None:
        """Keep a dead message of another queue as evidence; what it was about is sent again by a timer."""
        from shared.adapters.postgres.poison import record
        from shared.telemetry import log, span

        queue: str = getattr(self.settings, setting.lower())
        with span("poison", traceparent):
            record(self.database, queue, message_id, body, "recorded")
            log("poison_recorded", level=40, queue=queue, message_id=message_id)

    def provision_share_pack(
        self, body: bytes, message_id: str, dequeue_count: int, traceparent: str = ""
    ) -> None:
        """Work on the share pack's application that a message names."""
        from shared.telemetry import span

        if self.sharing is not None:
            with span("provision", traceparent):
                self.sharing.provision(body, message_id, dequeue_count)

    def remind_share_packs(self, traceparent: str = "") -> None:
        """Send again what is due of share packs."""
        from shared.telemetry import span

        if self.sharing is not None:
            with span("remind", traceparent):
                self.sharing.remind()
                self.beat("remind_share_packs")

    def watch_shares(self, traceparent: str = "") -> None:
        """Look whether workspaces still hold what share packs gave them."""
        from shared.telemetry import span

        if self.sharing is not None:
            with span("drift", traceparent):
                self.sharing.watch()
                self.beat("watch_shares")

    def request_directory(self, traceparent: str = "") -> None:
        """Queue the directory syncs that are due and deliver what notices wait; nothing while share packs are off."""
        from shared.telemetry import span

        if self.directory is not None:
            with span("directory_requests", traceparent):
                self.directory.request()
                self.beat("request_directory")

    def sync_directory(self, body: bytes, traceparent: str = "") -> None:
        """Work on the directory sync that a message names; nothing while share packs are off."""
        from shared.telemetry import span

        if self.directory is not None:
            with span("directory_sync", traceparent):
                self.directory.sync(body)

    def migrate(self) -> tuple[str, ...]:
        """Apply missing migrations; their names."""
        from shared.adapters.postgres.migrations import migrate, migrate_sharing

        applied = migrate(self.database)
        if self.settings.enable_workflow:
            applied += tuple(f"sharing_{name}" for name in migrate_sharing(self.domain_database))
        return applied

    def beat(self, function: str) -> None:
        """Leave a heartbeat; storage trouble is no trouble of ours."""
        self.table_log.beat(function, self.clock.now())

    def close(self) -> None:
        """Give back every connection that was made."""
        parts = (
            "sharing",
            "directory",
            "connectors",
            "queue",
            "_poison_queue",
            "table_log",
            "submissions",
            "data_factory",
            "domain_database",
            "database",
        )
        for part in parts:
            if vars(self).get(part) is not None:
                getattr(self, part).close()

    @cached_property
    def database(self) -> "Database":
        """Metadata and targets."""
        from shared.adapters.postgres.database import Database, Server

        s = self.settings
        server = Server(
            host=s.postgres_host,
            port=s.postgres_port,
            database=s.postgres_db,
            user=s.postgres_user,
            password=self._postgres_password,
            sslmode=s.sslmode,
            sslrootcert=s.postgres_sslrootcert,
        )
        if s.postgres_auth == "entra":
            from shared.adapters.identity import POSTGRES_SCOPE

            tokens = self.bearer_tokens(POSTGRES_SCOPE)
            server = replace(server, password=tokens.text, forget_password=tokens.forget)
        return Database(server, s.postgres_schema, pool_max=max(2, s.postgres_pool_max))

    def _postgres_password(self) -> str | None:
        password = self.settings.postgres_password
        return password.get_secret_value() if password else None

    def credential(self) -> Any:
        """A new credential of the app's identity, for whichever service asks."""
        from shared.adapters.identity import managed_identity

        return managed_identity(self.settings.azure_client_id, azure=bool(azure_marker(os.environ)))

    def bearer_tokens(self, scope: str) -> "BearerTokens":
        """The app's tokens for one service."""
        from shared.adapters.identity import BearerTokens

        return BearerTokens(self.credential, scope)

    @cached_property
    def data_factory(self) -> "DataFactory":
        """Data Factory; raises ConfigurationError naming the settings that are missing."""
        from shared.adapters.data_factory import DataFactory, factory_of
        from shared.adapters.identity import MANAGEMENT_SCOPE

        s = self.settings
        factory = factory_of(s.azure_subscription_id, s.data_factory_resource_group, s.data_factory_name)
        return DataFactory(factory, self.bearer_tokens(MANAGEMENT_SCOPE))

    @cached_property
    def submissions(self) -> "Submissions":
        """Where submissions are kept; raises ConfigurationError where no container is set."""
        from shared.adapters.submissions import Submissions

        container = self.settings.submissions_container
        if not container:
            raise ConfigurationError(
                "SUBMISSIONS_CONTAINER: not set", hint="name the blob container that submissions go to"
            )
        account, credential = self._storage(self.settings.storage_blob_uri)
        return Submissions(account, container, credential, new_uid=new_uid, now=self.clock.now)

    @cached_property
    def health(self) -> "Health":
        """What a watch reads of PostgreSQL."""
        from shared.adapters.postgres.health import Health

        return Health(self.database, default_interval_s=self.settings.default_sync_interval_seconds)

    @cached_property
    def domain_database(self) -> "Database":
        """Share packs: a database of their own, or the same."""
        from shared.adapters.postgres.database import Database, server_of

        s = self.settings
        if s.domain_db_connection_string is None:
            return self.database
        told = s.domain_db_connection_string.get_secret_value()
        server = server_of(told, "DOMAIN_DB_CONNECTION_STRING", s.postgres_sslrootcert)
        return Database(server, s.postgres_schema, pool_max=max(2, s.postgres_pool_max))

    @cached_property
    def sharing(self) -> "Sharing | None":
        """Share packs; None where they are off."""
        directory = self.directory
        if directory is None:
            return None
        from shared.composition_sharing import Sharing

        return Sharing(
            self.settings,
            home=self.database,
            database=self.domain_database,
            vault=self.vault,
            queue_named=self._queue_named,
            open_wire=self._open_wire,
            directory=directory,
            now=self.clock.now,
            lease_s=LEASE_S,
        )

    @cached_property
    def directory(self) -> "DirectoryParts | None":
        """Directory syncs and notices; None where share packs are off."""
        if not self.settings.enable_workflow:
            return None
        from shared.composition_directory import DirectoryParts

        return DirectoryParts(
            self.settings,
            database=self.domain_database,
            queue_named=self._queue_named,
            open_wire=self._open_wire,
            credential=self.credential,
            clock=self.clock,
            lease_s=LEASE_S,
        )

    def _open_wire(self, url: str) -> "Wire":
        from shared.adapters.databricks.client import FixedToken, Limits, open_wire
        from shared.adapters.databricks_identity import managed_identity_strategy

        token = self.settings.databricks_token
        signs_in = (
            FixedToken(token.get_secret_value()) if token else managed_identity_strategy(self.credential)
        )
        limits = Limits(calls_per_s=self.workspace_calls_per_s)
        return open_wire(url, self.settings.allowed_databricks_hosts, signs_in, VERSION, limits)

    @cached_property
    def slices(self) -> "Slices":
        """The life of slices."""
        from shared.adapters.postgres.slices import Retry, Slices

        s = self.settings
        retry = Retry(s.max_retries, s.retry_delay_seconds, s.max_retry_delay_seconds)
        return Slices(
            self.database,
            lease_s=LEASE_S,
            default_limit=s.sync_max_concurrent,
            retry=retry,
            decide=self.guards.claim,
            wake=self._wake,
            now=self.clock.now,
            seal=self.masks.sealed,
            pacing=self.pacing,
        )

    @cached_property
    def pacing(self) -> "Pacing":
        """What adaptive entities learn."""
        from shared.adapters.postgres.pacing import Pacing
        from shared.telemetry import log

        interval_s = self.settings.default_sync_interval_seconds
        return Pacing(self.database.schema, self._defaults(), interval_s, log)

    def _defaults(self) -> "Defaults":
        from shared.sync.catalogue import Defaults

        return Defaults(self.settings.default_page_size, self.settings.max_page_size)

    @cached_property
    def catalogue(self) -> "Catalogue":
        """Connectors and entities."""
        from shared.adapters.postgres.catalogue import Catalogue

        kept = [self.settings.mask_key_secret]
        return Catalogue(self.database, new_uid, reserved_secrets=kept, require=self.guards.consent)

    @cached_property
    def runs(self) -> "Runs":
        """Runs and their frozen configurations."""
        from shared.adapters.postgres.runs import Runs

        limit = self.settings.sync_max_concurrent
        return Runs(self.database, self.slices, self._freezing(), default_limit=limit, uuid7=new_uid)

    @cached_property
    def retries(self) -> "Retries":
        """Retry runs of stored rows."""
        from shared.adapters.postgres.retries import Retries

        asked = {"trigger": "retry", "requested_by": "retry"}
        return Retries(
            self.database,
            lambda connection, entity: self.runs.create_in(connection, entity, "retry", asked),
            self.slices.admit_connector,
            self._backoff(),
        )

    def _wake(self, connection: "Connection", connector_uid: UUID) -> None:
        """Late: retries need runs, which need slices, which call this."""
        self.retries.wake(connection, connector_uid)

    def _backoff(self) -> "Backoff":
        from shared.adapters.postgres.holding import Backoff

        return Backoff(self.settings.retry_delay_seconds, self.settings.max_retry_delay_seconds)

    @cached_property
    def schedules(self) -> "Schedules":
        """Background loads."""
        from shared.adapters.postgres.schedules import Schedules

        return Schedules(self.database, self.runs)

    @cached_property
    def connectors(self) -> "Connectors":
        """Registered connectors as sources."""
        from shared.adapters.connectors import Connectors

        s = self.settings
        return Connectors(
            self.catalogue, lambda: self.secrets, s.allowed_connector_hosts, s.postgres_sslrootcert
        )

    @cached_property
    def secrets(self) -> "Secrets":
        """Secret values by name: from Key Vault, or locally from the environment."""
        from shared.secrets import EnvironmentSecrets
        from shared.settings import Settings

        return self.vault or EnvironmentSecrets(os.environ, [name.upper() for name in Settings.model_fields])

    def _secret(self, name: str) -> str:
        return self.secrets.get(name)

    @cached_property
    def vault(self) -> "SecretStore | None":
        """Key Vault, where one is set."""
        from shared.secrets import AzureKeyVault, CachedVault

        url = self.settings.key_vault_url
        return CachedVault(AzureKeyVault(url, self.credential)) if url else None

    @cached_property
    def queue(self) -> "StorageQueue":
        """The queue of slices."""
        return self._queue_named(self.settings.sync_queue_name)

    def _queue_named(self, name: str) -> "StorageQueue":
        from shared.adapters.storage_queue import StorageQueue

        account, credential = self._storage(self.settings.storage_queue_uri)
        return StorageQueue(account, name, credential)

    @cached_property
    def table_log(self) -> "TableLog":
        """Copies in Table Storage."""
        from shared.adapters.execution_log import TableLog

        return TableLog(*self._storage(self.settings.storage_table_uri))

    def _storage(self, uri: str | None) -> tuple[str, Any]:
        if self.settings.storage:
            return self.settings.storage, None
        if not uri:
            raise ConfigurationError(
                "AzureWebJobsStorage: not set",
                hint="a connection string, or AzureWebJobsStorage__queueServiceUri, __tableServiceUri and"
                " __blobServiceUri for an identity",
            )
        from shared.adapters.identity import managed_identity

        told = self.settings.storage_credential == "managedidentity"
        client_id = self.settings.storage_client_id or self.settings.azure_client_id
        return uri, managed_identity(client_id, azure=told or bool(azure_marker(os.environ)))

    @cached_property
    def agenda(self) -> "Agenda":
        """What is due."""
        from shared.adapters.postgres.agenda import Agenda

        s = self.settings
        return Agenda(
            self.database,
            self.slices,
            default_limit=s.sync_max_concurrent,
            default_interval_s=s.default_sync_interval_seconds,
            by_night=s.background_sync_enabled,
            pacing=self.pacing,
        )

    def tick(self) -> "Tick":
        """One tick of detection."""
        from shared.adapters.postgres.catalogue import DiscoveryService
        from shared.adapters.rediscovery import Rediscovery
        from shared.sync.detect import Detector
        from shared.sync.tick import Tick
        from shared.telemetry import log

        def detector() -> Detector:
            concurrency = self.settings.detect_concurrency
            return Detector(self.connectors, self.clock, concurrency=concurrency, budget_s=DETECTION_BUDGET_S)

        discovery = DiscoveryService(self.catalogue, new_uid)
        describe = Rediscovery(self.catalogue, discovery, self.connectors.open)
        return Tick(self.agenda, self.runs, detector, self.send_outbox, log, describe, self.verifications.due)

    @cached_property
    def verifications(self) -> "PostgresVerifications":
        """What verifications keep, and which are due."""
        from shared.adapters.postgres.verifications import PostgresVerifications

        return PostgresVerifications(self.database, lease_s=LEASE_S, seal=self.masks.sealed)

    @cached_property
    def runner(self) -> "SliceRunner":
        """What works on one slice."""
        from shared.adapters.postgres.target import PostgresTarget
        from shared.sync.run import SliceRunner
        from shared.sync.verify import Verifier
        from shared.telemetry import log

        s = self.settings
        return SliceRunner(
            target=PostgresTarget(
                self.database,
                lease_s=LEASE_S,
                uuid7=new_uids,
                backoff=self._backoff(),
                seal=self.masks.sealed,
            ),
            mask_key=self.masks.key,
            open_claim=self.masks.opened,
            ledger=self.slices,
            guards=self.guards,
            clock=self.clock,
            budget_s=s.slice_budget_seconds,
            full_max_rows=s.full_max_rows,
            split_rows=s.split_rows,
            tell=log,
            verifier=Verifier(self.verifications),
        )

    @cached_property
    def masks(self) -> "Masks":
        """The mask key, settled for each table."""
        from shared.adapters.postgres.masks import Masks

        return Masks(self.database, self.settings.mask_key_secret, self._secret)

    @cached_property
    def deliveries(self) -> "Deliveries":
        """What messages lead to."""
        from shared.adapters.postgres.finished import copy_finished
        from shared.sync.deliver import Deliveries
        from shared.telemetry import log

        return Deliveries(
            claims=self.slices,
            runner=self.runner,
            sources=self.connectors,
            send_outbox=self.send_outbox,
            send_later=self._send_later,
            copy_finished=lambda: copy_finished(self.database, self.table_log.write),
            tell=log,
        )

    @cached_property
    def planning(self) -> "PostgresPlanning":
        """What plans read."""
        from shared.adapters.postgres.planning import PostgresPlanning

        return PostgresPlanning(self.database, self._freezing())

    @cached_property
    def planner(self) -> "Planner":
        """What makes plans."""
        from shared.sync.plan import Planner

        return Planner(self.planning, self.guards, self.clock, mask_key=self.masks.key_of)

    def _freezing(self) -> "Freezing":
        from shared.adapters.postgres.freezing import Freezing

        return Freezing(self.catalogue, self._defaults(), self.pacing)

    def send_outbox(self) -> int:
        """Send what transactions left in the outbox; raises QueueUnavailableError."""
        from shared.adapters.postgres.outbox import send_outbox
        from shared.telemetry import span

        with span("fan_out"):
            return send_outbox(self.database, self.queue.send)

    def _send_later(self, run_uid: UUID, slice_: int, delay_s: int) -> None:
        from shared.messages import SliceMessage
        from shared.telemetry import traceparent

        self.queue.send(SliceMessage(run_uid, slice_, traceparent()).to_json(), delay_s)

    @cached_property
    def http(self) -> "FastAPI":
        """The management API, imported on the first request."""
        from shared.adapters.postgres.catalogue import DiscoveryService
        from shared.adapters.postgres.overview import Overview
        from shared.api.app import create_app
        from shared.api.ports import ApiServices
        from shared.sync.windows import Window

        s = self.settings
        return create_app(
            ApiServices(
                tokens=self._tokens(),
                catalogue=self.catalogue,
                discovery=DiscoveryService(self.catalogue, new_uid),
                runs=self.runs,
                rejects=self.retries,
                overview=Overview(self.database, default_interval_s=s.default_sync_interval_seconds),
                verifications=self.verifications,
                planning=self.planning,
                planner=self.planner,
                open_source=self.connectors.open,
                send_outbox=self.send_outbox,
                migrate=self.migrate,
                database_ok=self._database_ok,
                new_uid=new_uid,
                clock=time.monotonic,
                now=self.clock.now,
                schedules=self.schedules,
                schedule_defaults=Window(
                    s.background_sync_window_start, s.background_sync_window_end, s.background_sync_time_zone
                ),
                connector_hosts=s.allowed_connector_hosts,
                secrets=self.vault,
                rate_limit_per_minute=s.rate_limit_per_minute,
                queue_depths=self._queue_depths,
                error_rate_warning_percent=s.error_rate_warning_percent,
                cors_origins=tuple(o.strip() for o in s.cors_origins.split(",") if o.strip()),
                metadata_schema=s.postgres_schema,
                pipelines=lambda: self.data_factory,
                submissions=lambda: self.submissions,
            ),
            self.sharing.services if self.sharing else None,
        )

    def _database_ok(self) -> None:
        with self.database.connection() as connection:
            connection.execute("SELECT 1")

    def _queue_depths(self) -> dict[str, int | None]:
        queues = [self.queue, self._poison_queue]
        if self.sharing is not None and self.directory is not None:
            queues += [self.sharing.queue, self.sharing.poison_queue, self.directory.queue]
            queues += [self.directory.poison_queue]
        return {queue.name: queue.depth() for queue in queues}

    @cached_property
    def _poison_queue(self) -> "StorageQueue":
        return self._queue_named(f"{self.settings.sync_queue_name}-poison")

    def _tokens(self) -> "TokenVerifier":
        from shared.adapters import tokens

        s = self.settings
        if s.auth_mode == "local":
            if s.local_token_secret is None:
                raise ConfigurationError(
                    "LOCAL_TOKEN_SECRET: not set", hint="make up makes one; or set your own"
                )
            return tokens.LocalTokens(s.local_token_secret.get_secret_value(), os.environ)
        if not s.entra_tenant_id or not s.entra_audience:
            raise ConfigurationError(
                "ENTRA_TENANT_ID, ENTRA_AUDIENCE: not set", hint="both are needed while AUTH_MODE is entra"
            )
        keys = tokens.SigningKeys(tokens.json_fetcher(tokens.entra_keys_url(s.entra_tenant_id)))
        return tokens.EntraTokens(
            keys, issuer=tokens.entra_issuer(s.entra_tenant_id), audience=s.entra_audience
        )


def new_uids(count: int) -> "Bytes":
    """Time-ordered row ids."""
    from shared.adapters.postgres.target import uuid7_table

    return uuid7_table(count, entropy=entropy.token_bytes)


def new_uid() -> UUID:
    """One time-ordered id (UUID version 7)."""
    value = (time.time_ns() // 1_000_000) << 80 | entropy.randbits(76)
    return UUID(int=value & ~(0xF000 << 64) & ~(0xC000 << 48) | 0x7000 << 64 | 0x8000 << 48)


_lock = Lock()


def services() -> App:
    """The application of this process, built on the first call."""
    with _lock:
        return _app()


@cache
def _app() -> App:
    from shared.settings import load_settings

    return App(load_settings())
