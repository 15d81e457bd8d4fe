"""Builds directory syncs and notices. Imported where ENABLE_WORKFLOW is true, and only then."""

import hashlib
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from shared.adapters.azure_rest import LOOPBACK, AzureRest, TokenSource, base_url
from shared.adapters.client_credentials import ClientCredentials, identity_token
from shared.adapters.graph import Graph
from shared.adapters.postgres.database import Database
from shared.adapters.postgres.sharing.directory import DirectoryRecords, Notifications, SyncJobs
from shared.adapters.postgres.sharing.expiring import expiring_tokens
from shared.adapters.postgres.sharing.progress import DirectoryProgress, NoticeStore
from shared.adapters.storage_queue import StorageQueue
from shared.errors import ConfigurationError
from shared.messages import NamedMessage, parse_named_message
from shared.settings import Settings
from shared.sharing.directory import DirectoryRequests, DirectorySync, Sources
from shared.sharing.directory_ports import Kind
from shared.sharing.directory_walk import Clock
from shared.sharing.notices import (
    Audience,
    Channel,
    ChannelDoor,
    Notice,
    Notifier,
    Pack,
    approval_waiting,
    drift_found,
    pack_failed,
    token_expiring,
)
from shared.sharing.views import PackView, State
from shared.telemetry import log, traceparent


class DirectoryParts:
    """Directory syncs and notices over the share packs' database.

    `open_wire` opens the wire to a workspace by its URL; `credential` makes a credential of the app's identity;
    `lease_s` exceeds the host's timeout for a function.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        database: Database,
        queue_named: Callable[[str], StorageQueue],
        open_wire: Callable[[str], Any],
        credential: Callable[[], Any],
        clock: Clock,
        lease_s: int,
    ) -> None:
        self.settings, self.database, self.clock, self.lease_s = settings, database, clock, lease_s
        self._queue_named, self._open_wire, self._credential = queue_named, open_wire, credential
        self.audience = Audience(settings.operators)

    # what triggers and routes call

    def request(self) -> None:
        """One tick: say which tokens end soon, deliver what waits, queue the syncs that are due."""
        try:
            self._say_what_expires()
            self.notifier.flush()
        finally:
            # A mail server's trouble is no reason for an old directory.
            self.requests.run()

    def sync(self, body: bytes) -> None:
        """Work on the sync that a message names; raises MessageError for a message that is none of ours."""
        self.syncs.run(parse_named_message(body).uid)

    def request_sync(self, kind: Kind, requested_by: str, allowed_removals: int | None) -> Sequence[UUID]:
        """Queue syncs of a kind, one a workspace or subscription; none where the kind is not set up."""
        return self.requests.request(kind, requested_by, allowed_removals)

    def notify(self, event: str, pack: PackView, detail: str) -> None:
        """Keep the notice of something that happened to a pack; it is delivered with the next tick at the latest."""
        self.notifier.say(notice_of(event, pack, detail, self.audience))

    def close(self) -> None:
        """Give back what was opened."""
        for part in ("queue", "poison_queue", "_graph_rest", "_cost_rest"):
            if vars(self).get(part) is not None:
                getattr(self, part).close()

    # parts

    @cached_property
    def queue(self) -> StorageQueue:
        """The queue of directory syncs."""
        return self._queue_named(self.settings.directory_queue_name)

    @cached_property
    def poison_queue(self) -> StorageQueue:
        """Where its dead messages go."""
        return self._queue_named(f"{self.settings.directory_queue_name}-poison")

    @cached_property
    def progress(self) -> DirectoryProgress:
        """How far syncs got."""
        return DirectoryProgress(self.database, lease_s=self.lease_s)

    @cached_property
    def requests(self) -> DirectoryRequests:
        """What makes jobs."""
        return DirectoryRequests(self.progress, SyncJobs(self.database), self.clock, self.wanted, self._send)

    @cached_property
    def syncs(self) -> DirectorySync:
        """What works on jobs."""
        return DirectorySync(
            self.progress,
            DirectoryRecords(self.database),
            SyncJobs(self.database),
            self._sources(),
            self.clock,
            self._send,
            log,
            budget_s=self.settings.slice_budget_seconds,
        )

    @cached_property
    def graph(self) -> Graph | None:
        """Users and groups; None where no directory is set."""
        return None if self._graph_rest is None else Graph(self._graph_rest)

    @cached_property
    def notifier(self) -> Notifier:
        """What keeps and delivers notices."""
        queue, sent = NoticeStore(self.database), Notifications(self.database)
        return Notifier(queue, sent, self._doors(), self.clock.now, log)

    def wanted(self) -> list[tuple[Kind, str]]:
        """Each kind and scope that is set up."""
        s = self.settings
        wanted: list[tuple[Kind, str]] = [("users", ""), ("groups", "")] if s.graph_tenant_id else []
        for host in s.allowed_databricks_hosts:
            wanted += [("workspace_objects", host), ("job_metrics", host)]
        return wanted + ([("project_costs", s.azure_subscription_id)] if s.azure_subscription_id else [])

    def _say_what_expires(self) -> None:
        now = self.clock.now()
        for token in expiring_tokens(self.database, now):
            self.notifier.say(
                token_expiring(
                    token.recipient, token.workspace, token.id, token.expires_at, now, self.audience
                )
            )

    def _send(self, uid: UUID, delay_s: float) -> None:
        self.queue.send(NamedMessage(uid, traceparent()).to_json(), round(delay_s))

    def _sources(self) -> Sources:
        from shared.adapters.cost_management import CostManagement
        from shared.adapters.databricks.directory import DatabricksDirectory

        listing = DatabricksDirectory(lambda host: self._open_wire(workspace_url(host)))
        costs = None
        if self._cost_rest is not None:
            costs = CostManagement(self._cost_rest, tag=self.settings.project_cost_tag)
        return Sources(self.graph, listing, costs)

    @cached_property
    def _graph_rest(self) -> AzureRest | None:
        from shared.adapters.graph import SCOPE

        s = self.settings
        if not s.graph_tenant_id:
            return None
        url = base_url(s.graph_url, "GRAPH_URL")
        return AzureRest("Microsoft Graph", url, self._graph_token(scope_of(url, SCOPE)))

    def _graph_token(self, scope: str) -> TokenSource:
        s = self.settings
        if not s.graph_client_id:
            return identity_token(self._credential, scope)
        if s.graph_client_secret is None:
            raise ConfigurationError(
                "GRAPH_CLIENT_SECRET: not set",
                hint="GRAPH_CLIENT_ID needs it; without both, the app's identity reads the directory",
            )
        authority = base_url(s.entra_url, "ENTRA_URL")
        secret = s.graph_client_secret
        assert s.graph_tenant_id is not None  # else nobody asks
        return ClientCredentials(
            authority, s.graph_tenant_id, s.graph_client_id, secret.get_secret_value, scope
        )

    @cached_property
    def _cost_rest(self) -> AzureRest | None:
        from shared.adapters.cost_management import SCOPE, WAIT_HEADERS

        if not self.settings.azure_subscription_id:
            return None
        url = base_url(self.settings.azure_management_url, "AZURE_MANAGEMENT_URL")
        token = identity_token(self._credential, scope_of(url, SCOPE))
        return AzureRest("Cost Management", url, token, wait_headers=WAIT_HEADERS)

    def _doors(self) -> dict[Channel, ChannelDoor]:
        from shared.adapters.webhook import Webhook

        s = self.settings
        doors: dict[Channel, ChannelDoor] = {"email": self._mail()} if s.smtp_host else {}
        if s.notification_webhook_url:
            if s.notification_webhook_secret is None:
                raise ConfigurationError(
                    "NOTIFICATION_WEBHOOK_SECRET: not set", hint="NOTIFICATION_WEBHOOK_URL needs it"
                )
            secret = s.notification_webhook_secret
            doors["webhook"] = Webhook(s.notification_webhook_url, secret.get_secret_value, time.time)
        return doors

    def _mail(self) -> ChannelDoor:
        from shared.adapters.mail import Mail, MailServer

        s = self.settings
        if not s.notification_from_email:
            raise ConfigurationError("NOTIFICATION_FROM_EMAIL: not set", hint="SMTP_HOST needs it")
        password = s.smtp_password
        server = MailServer(
            s.smtp_host or "",
            s.smtp_port,
            s.notification_from_email,
            s.smtp_security,
            s.smtp_username,
            password.get_secret_value if password else lambda: None,
        )
        return Mail(server)


def notice_of(event: str, view: PackView, detail: str, audience: Audience) -> Notice | None:
    """The notice of an event of provisioning or of the drift watch; None for one that nobody needs to hear of."""
    pack = Pack(view.id, view.name, view.version, view.requested_by)
    match event:
        case "approval_waiting":
            return approval_waiting(pack, detail, audience)
        case "drift":
            # What drifts again after a repair, which is a version, is news.
            said = f"{view.id}|{view.version}|{detail}"
            fingerprint = hashlib.sha256(said.encode()).hexdigest()[:32]
            return drift_found(view.workspace, [f"{view.name}: {detail}"], fingerprint, audience, view.id)
        case "pack_failed" if view.state is State.PARTIAL:
            return pack_failed(pack, "PARTIAL", detail, audience)
        case "pack_failed" if view.state is State.VALIDATION_FAILED:
            return pack_failed(pack, "VALIDATION_FAILED", detail, audience)
        case "pack_failed":
            return pack_failed(pack, "FAILED", detail, audience)
    return None


def workspace_url(host: str) -> str:
    """The address of an allow-listed `host[:port]`: https, but on this machine."""
    name = urlsplit(f"//{host}").hostname
    return f"{'http' if name in LOOPBACK else 'https'}://{host}"


def scope_of(url: str, usual: str) -> str:
    """What a token for this service is asked for: the service itself, or on this machine the one it stands in for."""
    return usual if urlsplit(url).hostname in LOOPBACK else f"{url}/.default"
