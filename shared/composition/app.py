"""The application: what triggers call, over the parts that carry it out."""

from functools import cached_property
from typing import TYPE_CHECKING

from shared.composition.resources import LEASE_S
from shared.composition.table_sync import TableSync

if TYPE_CHECKING:
    from fastapi import FastAPI

    from shared.adapters.tokens import TokenVerifier
    from shared.composition.directory import DirectoryParts
    from shared.composition.sharing import Sharing
    from shared.settings import Settings
    from shared.sync.guards import Guards


class App(TableSync):
    """The application. Triggers call its methods; everything behind them is injected.

    Its parts are attributes of one object, so that any of them can be replaced before another part asks for it.
    """

    def __init__(self, settings: "Settings", guards: "Guards | None" = None) -> None:
        super().__init__(settings, guards)
        if settings.migrate_on_start:
            self.migrate()

    # what triggers call

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
        """Queue stored rows that are due: rejects asked for again, children whose parents came; forget what is old."""
        from shared.telemetry import span

        with span("retries", traceparent):
            self.retries.purge(self.settings.reject_payload_days)
            self.runs.purge(self.settings.run_history_days)
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
        from shared.messages import traceparent_of
        from shared.telemetry import log, span

        queue: str = getattr(self.settings, setting.lower())
        with span("poison", traceparent_of(body), traceparent):
            record(self.database, queue, message_id, body, "recorded")
            log("poison_recorded", level=40, queue=queue, message_id=message_id)

    def provision_share_pack(
        self, body: bytes, message_id: str, dequeue_count: int, traceparent: str = ""
    ) -> None:
        """Work on the share pack's application that a message names."""
        from shared.messages import traceparent_of
        from shared.telemetry import span

        if self.sharing is not None:
            with span("provision", traceparent_of(body), traceparent):
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
        from shared.messages import traceparent_of
        from shared.telemetry import span

        if self.directory is not None:
            with span("directory_sync", traceparent_of(body), traceparent):
                self.directory.sync(body)

    @cached_property
    def http(self) -> "FastAPI":
        """The management API, imported on the first request."""
        from shared.composition.api import management_api

        return management_api(
            self,
            tokens=self._tokens(),
            migrate=self.migrate,
            queue_depths=self._queue_depths,
            workflow=self.sharing.services if self.sharing else None,
        )

    def _tokens(self) -> "TokenVerifier":
        from shared.composition.api import token_verifier

        return token_verifier(self.settings)

    def _queue_depths(self) -> dict[str, int | None]:
        queues = [self.queue, self._poison_queue]
        if self.sharing is not None and self.directory is not None:
            queues += [self.sharing.queue, self.sharing.poison_queue, self.directory.queue]
            queues += [self.directory.poison_queue]
        return {queue.name: queue.depth() for queue in queues}

    # what operates it

    def migrate(self) -> tuple[str, ...]:
        """Apply missing migrations; their names."""
        from shared.adapters.postgres.migrations import migrate, migrate_sharing

        applied = migrate(self.database)
        if self.settings.enable_workflow:
            applied += tuple(f"sharing_{name}" for name in migrate_sharing(self.domain_database))
        return applied

    def beat(self, function: str) -> None:
        """Leave a heartbeat, in storage and in the log; storage trouble is no trouble of ours."""
        from shared.telemetry import log

        self.table_log.beat(function, self.clock.now())
        log("beat", function=function)

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

    # share packs

    @cached_property
    def sharing(self) -> "Sharing | None":
        """Share packs; None where they are off."""
        directory = self.directory
        if directory is None:
            return None
        from shared.composition.sharing import Sharing

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
        from shared.composition.directory import DirectoryParts

        return DirectoryParts(
            self.settings,
            database=self.domain_database,
            queue_named=self._queue_named,
            open_wire=self._open_wire,
            credential=self.credential,
            clock=self.clock,
            lease_s=LEASE_S,
        )
