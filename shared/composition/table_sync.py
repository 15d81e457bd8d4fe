"""What table sync consists of: the catalogue and its runs, detection, the work on slices, retries and plans."""

from functools import cached_property
from typing import TYPE_CHECKING
from uuid import UUID

from shared.composition.resources import LEASE_S, Resources, new_uid, new_uids

if TYPE_CHECKING:
    from shared.adapters.connectors import Connectors
    from shared.adapters.postgres.agenda import Agenda
    from shared.adapters.postgres.catalogue import Catalogue
    from shared.adapters.postgres.database import Connection
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
    from shared.settings import Settings
    from shared.sync.catalogue import Defaults
    from shared.sync.deliver import Deliveries
    from shared.sync.guards import Guards
    from shared.sync.plan import Planner
    from shared.sync.run import SliceRunner
    from shared.sync.tick import Tick

DETECTION_BUDGET_S = 60.0
DESCRIPTION_BUDGET_S = 30.0  # before detection, for tables that changed their shape


class TableSync(Resources):
    """The parts of table sync, in the order in which data meets them; `guards` are what tests compose without."""

    def __init__(self, settings: "Settings", guards: "Guards | None" = None) -> None:
        super().__init__(settings)
        from shared.sync.guards import Guards

        self.guards = guards or Guards()

    # catalogue: what is synced, and what a change of it would do

    @cached_property
    def catalogue(self) -> "Catalogue":
        """Connectors and entities."""
        from shared.adapters.postgres.catalogue import Catalogue

        kept = [self.settings.mask_key_secret]
        return Catalogue(self.database, new_uid, reserved_secrets=kept, require=self.guards.consent)

    @cached_property
    def connectors(self) -> "Connectors":
        """Registered connectors as sources."""
        from shared.adapters.connectors import Connectors

        s = self.settings
        return Connectors(
            self.catalogue, lambda: self.secrets, s.allowed_connector_hosts, s.postgres_sslrootcert
        )

    def _defaults(self) -> "Defaults":
        from shared.sync.catalogue import Defaults

        return Defaults(self.settings.default_page_size, self.settings.max_page_size)

    def _freezing(self) -> "Freezing":
        from shared.adapters.postgres.freezing import Freezing

        return Freezing(self.catalogue, self._defaults(), self.pacing)

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

    @cached_property
    def masks(self) -> "Masks":
        """The mask key, settled for each table."""
        from shared.adapters.postgres.masks import Masks

        return Masks(self.database, self.settings.mask_key_secret, self._secret)

    @cached_property
    def pacing(self) -> "Pacing":
        """What adaptive entities learn."""
        from shared.adapters.postgres.pacing import Pacing
        from shared.telemetry import log

        interval_s = self.settings.default_sync_interval_seconds
        return Pacing(self.database.schema, self._defaults(), interval_s, log)

    # detection: what is due

    def tick(self) -> "Tick":
        """One tick of detection."""
        from shared.adapters.postgres.discovery import DiscoveryService
        from shared.adapters.rediscovery import Rediscovery
        from shared.sync.detect import Detector
        from shared.sync.tick import Tick
        from shared.telemetry import log

        def detector() -> Detector:
            concurrency = self.settings.detect_concurrency
            return Detector(self.connectors, self.clock, concurrency=concurrency, budget_s=DETECTION_BUDGET_S)

        discovery = DiscoveryService(self.catalogue, new_uid)
        late = self.clock.monotonic() + DESCRIPTION_BUDGET_S
        describe = Rediscovery(
            self.catalogue, discovery, self.connectors.open, lambda: self.clock.monotonic() >= late
        )
        return Tick(self.agenda, self.runs, detector, self.send_outbox, log, describe, self.verifications.due)

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

    @cached_property
    def schedules(self) -> "Schedules":
        """Background loads."""
        from shared.adapters.postgres.schedules import Schedules

        return Schedules(self.database, self.runs)

    @cached_property
    def verifications(self) -> "PostgresVerifications":
        """What verifications keep, and which are due."""
        from shared.adapters.postgres.verifications import PostgresVerifications

        return PostgresVerifications(self.database, lease_s=LEASE_S, seal=self.masks.sealed)

    # runs, their slices and the messages that name them

    @cached_property
    def runs(self) -> "Runs":
        """Runs and their frozen configurations."""
        from shared.adapters.postgres.runs import Runs

        limit = self.settings.sync_max_concurrent
        return Runs(self.database, self.slices, self._freezing(), default_limit=limit, uuid7=new_uid)

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
    def queue(self) -> "StorageQueue":
        """The queue of slices."""
        return self._queue_named(self.settings.sync_queue_name)

    @cached_property
    def _poison_queue(self) -> "StorageQueue":
        return self._queue_named(f"{self.settings.sync_queue_name}-poison")

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

    # work on a slice

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

    # what comes back to be tried again, and how all of it fares

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
    def health(self) -> "Health":
        """What a watch reads of PostgreSQL."""
        from shared.adapters.postgres.health import Health

        return Health(self.database, default_interval_s=self.settings.default_sync_interval_seconds)
