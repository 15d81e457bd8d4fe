"""Builds what share packs consist of. Imported by `composition` where ENABLE_WORKFLOW is true, and only then."""

import time
from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from shared.adapters.postgres.database import Database
from shared.adapters.postgres.sharing.applications import Applications
from shared.adapters.postgres.sharing.contributions import Contributions
from shared.adapters.postgres.sharing.journal import PostgresJournal
from shared.adapters.postgres.sharing.leases import PostgresLeases
from shared.adapters.postgres.sharing.ownership import Ownership
from shared.adapters.postgres.sharing.packs import Packs
from shared.adapters.postgres.sharing.plans import Plans
from shared.adapters.postgres.sharing.rotations import Rotations
from shared.adapters.postgres.sharing.tenants import Tenants
from shared.adapters.postgres.sharing.uploads import Uploads
from shared.adapters.storage_queue import StorageQueue
from shared.composition.directory import DirectoryParts
from shared.errors import QueueUnavailableError
from shared.messages import NamedMessage, parse_named_message
from shared.secrets import CachedVault, DirectoryVault, SecretStore
from shared.settings import Settings
from shared.sharing.claims import Claim
from shared.sharing.drift import DriftWatch
from shared.sharing.ports import Vault, Workspace
from shared.sharing.provision import Outside, Provisioner, Stores
from shared.sharing.rotate import TokenRotation
from shared.sharing.workflow import Workflow
from shared.telemetry import log, traceparent

if TYPE_CHECKING:
    from shared.adapters.databricks.wire import Wire
    from shared.api.workflow.ports import WorkflowServices


class MonotonicClock:
    """Time for those who wait."""

    def monotonic(self) -> float:
        """Seconds, never going back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class Sharing:
    """Share packs. `home` holds tenants and their regions, `database` the packs; `lease_s` exceeds the host's timeout
    for a function."""

    def __init__(
        self,
        settings: Settings,
        *,
        home: Database,
        database: Database,
        vault: SecretStore | None,
        queue_named: Callable[[str], StorageQueue],
        open_wire: Callable[[str], "Wire"],
        directory: DirectoryParts,
        now: Callable[[], datetime],
        lease_s: int,
    ) -> None:
        self.settings, self.home, self.database, self.directory = settings, home, database, directory
        self.key_vault, self.queue_named, self.now, self.lease_s = vault, queue_named, now, lease_s
        self._open_wire = open_wire
        self._wires: dict[str, Wire] = {}
        self._workspaces: dict[str, Workspace] = {}

    def provision(self, body: bytes, message_id: str, dequeue_count: int) -> None:
        """Work on the application that a message names."""
        message = parse_named_message(body)
        self.provisioner.deliver(message.uid, message_id, dequeue_count)
        self.send_outbox()

    def remind(self) -> None:
        """Send again what is due and has no message of late; say, and settle, what was cut off."""
        try:
            self.applications.remind()
            self.send_outbox()
        finally:
            # Neither needs the queue.
            self.provisioner.say_again()
            self.rotation.settle()

    def watch(self) -> None:
        """Look whether workspaces still hold what packs gave them."""
        self.drift.run()
        self.send_outbox()

    def send_outbox(self) -> int:
        """Send what waits."""
        return self.applications.send_outbox(self.queue.send)

    def close(self) -> None:
        """Give back what was opened."""
        for part in ("queue", "poison_queue"):
            if part in vars(self):
                getattr(self, part).close()

    @cached_property
    def queue(self) -> StorageQueue:
        """The queue of applications."""
        return self.queue_named(self.settings.azure_queue_name)

    @cached_property
    def poison_queue(self) -> StorageQueue:
        """Where its dead messages go."""
        return self.queue_named(f"{self.settings.azure_queue_name}-poison")

    @cached_property
    def applications(self) -> Applications:
        """Packs being applied."""
        return Applications(self.database, lease_s=self.lease_s)

    @cached_property
    def leases(self) -> PostgresLeases:
        """Leases on shares and recipients."""
        return PostgresLeases(self.database)

    @cached_property
    def stores(self) -> Stores:
        """All that is kept."""
        return Stores(
            packs=Packs(self.database),
            plans=Plans(self.database, lease_s=self.lease_s),
            applications=self.applications,
            contributions=Contributions(self.database),
            ownership=Ownership(self.database),
            tenants=Tenants(self.home, self.database),
        )

    @cached_property
    def outside(self) -> Outside:
        """All that is not ours."""
        return Outside(
            workspace=self.workspace,
            leases=self.leases,
            journal=self._journal,
            vault=self.vault,
            directory=self.directory.graph,
            clock=MonotonicClock(),
        )

    def _journal(self, claim: Claim) -> PostgresJournal:
        return PostgresJournal(self.database, claim, lease_s=self.lease_s, leases=self.leases)

    @cached_property
    def vault(self) -> Vault | None:
        """Where activation links go; they may lie nowhere else."""
        if self.key_vault is not None:
            return self.key_vault
        folder = self.settings.local_vault_dir
        if folder and self.settings.auth_mode == "local":
            return CachedVault(DirectoryVault(Path(folder)))
        return None

    @cached_property
    def provisioner(self) -> Provisioner:
        """What takes packs from their message to their end."""
        return Provisioner(
            stores=self.stores,
            outside=self.outside,
            default_policy=self.settings.workflow_approval,
            domains=self.settings.own_domains,
            send_later=self._send_later,
            notify=self.directory.notify,
            tell=log,
            budget_s=self.settings.slice_budget_seconds,
        )

    def _send_later(self, uid: UUID, delay_s: int) -> None:
        self.queue.send(NamedMessage(uid, traceparent()).to_json(), delay_s)

    @cached_property
    def drift(self) -> DriftWatch:
        """What asks on a timer whether anything drifted."""
        return DriftWatch(
            stores=self.stores,
            outside=self.outside,
            uploads=Uploads(self.database),
            policy=self.settings.share_drift_policy,
            notify=self.directory.notify,
            tell=log,
        )

    @cached_property
    def rotation(self) -> TokenRotation:
        """What rotates tokens."""
        rotations = Rotations(self.database, self.leases)
        return TokenRotation(rotations, self.stores.ownership, self.outside, log)

    @cached_property
    def workflow(self) -> Workflow:
        """What people do with share packs."""
        return Workflow(
            stores=self.stores,
            outside=self.outside,
            uploads=Uploads(self.database),
            rotation=self.rotation,
            workspace_until=self._workspace_until,
            send_outbox=self.send_outbox,
            now=self.now,
        )

    @cached_property
    def services(self) -> "WorkflowServices":
        """What the routes act through."""
        from shared.adapters.postgres.sharing.directory import DirectoryRecords, Notifications, SyncJobs
        from shared.adapters.postgres.sharing.figures import tables_counted
        from shared.api.workflow.ports import WorkflowServices

        return WorkflowServices(
            workflow=self.workflow,
            records=DirectoryRecords(self.database),
            sync_jobs=SyncJobs(self.database),
            notifications=Notifications(self.database),
            request_sync=self.directory.request_sync,
            tables=lambda: tables_counted(self.database),
            queue_ok=self._queue_ok,
        )

    def _queue_ok(self) -> None:
        if self.queue.depth() is None:
            raise QueueUnavailableError(f"queue {self.queue.name}: storage does not answer")

    def workspace(self, url: str) -> Workspace:
        """The workspace at an address, opened once; raises ConfigurationError for one that is not allowed."""
        from shared.adapters.databricks.workspace import DatabricksWorkspace

        if url not in self._workspaces:
            self._workspaces[url] = DatabricksWorkspace(self._wire(url))
        return self._workspaces[url]

    def _workspace_until(self, url: str, moment: float) -> Workspace:
        from shared.adapters.databricks.workspace import DatabricksWorkspace

        return DatabricksWorkspace(self._wire(url).until(moment))

    def _wire(self, url: str) -> "Wire":
        if url not in self._wires:
            self._wires[url] = self._open_wire(url)
        return self._wires[url]
