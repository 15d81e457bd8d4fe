"""Share packs whole: the App over a fresh database and a queue of its own, the API, and the workspace stand-in.

world = make_packs()                                    # one tenant, finance, whose region is the stand-in
pack = world.upload(PACK)                               # PascalCase answers, as clients see them
world.pump()                                            # deliver what is visible, as the host would
world.status(pack)["State"]
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import httpx
import psycopg
import pytest
from azure.core.exceptions import ResourceExistsError
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from infra.local.azurite import Azurite
from infra.local.workspace import WorkspaceServer
from shared.adapters.tokens import sign_local_token
from shared.composition import App
from shared.settings import Settings
from tests.fixtures_workspace import MakeWorkspace

Row = dict[str, Any]
_SECRET = "local-token-secret-of-the-tests-" + "x" * 16
OPERATOR = ("ada@example.org", "operator", "reader", "tenant:finance")
APPROVER = ("ben@example.org", "approver", "reader", "tenant:finance")
ADMIN = ("root", "admin", "tenant:*")
STRANGER = ("eve@example.org", "operator", "approver", "reader", "tenant:sales")

PACK = """\
metadata: {requestor: ada@example.org, project_name: Q1, business_line: finance, strategy: NEW}
recipient:
  - {name: auditor, type: D2O, email: auditor@example.net, allowed_ips: [203.0.113.0/24]}
  - {name: analyst, type: D2D, metastore_id: "aws:us-west-2:abc-123-def"}
share:
  - name: q1
    comment: First quarter
    recipients: [auditor, analyst]
    data_objects: [prod_catalog.sales.transactions, prod_catalog.sales.customers]
  - name: log
    recipients: [auditor]
    data_objects: [prod_catalog.sales.customers]
"""


def update(text: str = PACK, note: str = "") -> str:
    """The same pack as an UPDATE, in other bytes."""
    return text.replace("strategy: NEW", "strategy: UPDATE") + f"# {note}\n"


class PackWorld:
    """One installation with share packs enabled. Callers are (subject, role, ...)."""

    def __init__(
        self, conninfo: str, storage: str, workspace: WorkspaceServer, vault: Path, **settings: Any
    ) -> None:
        self.conninfo, self.storage, self.workspace, self.vault = conninfo, storage, workspace, vault
        self.queue_name, self._told = f"packs-{uuid.uuid4().hex[:12]}", settings
        self.app = App(self.settings())
        self.app.workspace_calls_per_s = 10_000.0
        self.must("PUT", "/api/v1/tenants/finance", ADMIN, json={})
        regions = {"regions": [{"region": "here", "workspace_url": workspace.url}]}
        self.must("PUT", "/api/v1/tenants/finance/regions", ADMIN, json=regions)

    def settings(self) -> Settings:
        return Settings(**self.told())

    def told(self) -> dict[str, Any]:
        parts = conninfo_to_dict(self.conninfo)
        return {
            "AzureWebJobsStorage": self.storage, "postgres_host": parts["host"], "postgres_port": parts["port"],
            "postgres_db": parts["dbname"], "postgres_user": parts["user"], "postgres_password": parts["password"],
            "azure_queue_name": self.queue_name, "auth_mode": "local", "local_token_secret": _SECRET,
            "log_level": "ERROR", "rate_limit_per_minute": 1_000_000, "enable_workflow": True,
            "databricks_hosts": self.workspace.host, "databricks_token": self.workspace.token,
            "local_vault_dir": str(self.vault), "workflow_approval": "widening",
        } | self._told  # fmt: skip

    def environment(self) -> dict[str, str]:
        """The same for a process of its own."""
        return {
            name if name.startswith("Azure") else name.upper(): str(value)
            for name, value in self.told().items()
        }

    def close(self) -> None:
        self.app.close()
        self.queue.close()

    # the API

    def ask(
        self, method: str, path: str, who: tuple[str, ...] | None = OPERATOR, **request: Any
    ) -> httpx.Response:
        headers = dict(request.pop("headers", {}))
        if who is not None:
            subject, *roles = who
            headers["Authorization"] = f"Bearer {sign_local_token(_SECRET, subject, roles, 3600)}"
        return asyncio.run(_call(self.app.http, method, path, headers, request))

    def must(self, method: str, path: str, who: tuple[str, ...] | None = OPERATOR, **request: Any) -> Any:
        answer = self.ask(method, path, who, **request)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def send(
        self, content: str | bytes = PACK, who: tuple[str, ...] = OPERATOR, *, query: str = "", url: str = ""
    ) -> httpx.Response:
        return self.ask(
            "POST", f"/workflow/sharepack/upload{query}", who,
            files={"file": ("pack.yaml", content)}, headers={"X-Workspace-URL": url or self.workspace.url},
        )  # fmt: skip

    def upload(self, content: str = PACK) -> str:
        """The pack's id."""
        answer = self.send(content)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["SharePackId"])

    def status(self, pack: str) -> Row:
        return dict(self.must("GET", f"/workflow/sharepack/{pack}"))

    def plan(self, pack: str) -> Row:
        return dict(self.must("GET", f"/workflow/sharepack/{pack}/plan"))

    def approve(self, pack: str, who: tuple[str, ...] = APPROVER) -> httpx.Response:
        body = {"PlanHash": self.plan(pack)["PlanHash"]}
        return self.ask("POST", f"/workflow/sharepack/{pack}/approve", who, json=body)

    def provisioned(self, content: str = PACK) -> str:
        """Uploaded, planned, approved where it must be, and applied; its id."""
        pack = self.upload(content)
        self.pump()
        if self.status(pack)["State"] == "AWAITING_APPROVAL":
            assert self.approve(pack).status_code == 202
            self.pump()
        return pack

    def provisioned_by_hand(self, share: str) -> None:
        """A share that somebody made in the workspace itself."""
        from tests.workspace_client import RecordingClient

        RecordingClient(self.workspace).shares.create(share)

    # the queue

    @cached_property
    def queue(self) -> Any:
        from azure.storage.queue import QueueClient, TextBase64DecodePolicy

        client = QueueClient.from_connection_string(
            self.storage, self.queue_name, message_decode_policy=TextBase64DecodePolicy()
        )
        with contextlib.suppress(ResourceExistsError):
            client.create_queue()
        return client

    def pump(self) -> int:
        """Deliver what is visible, each message once; how many."""
        for count in range(50):
            message = self.queue.receive_message(visibility_timeout=600)
            if message is None:
                return count
            self.app.provision_share_pack(message.content.encode(), message.id, message.dequeue_count)
            self.queue.delete_message(message)
        raise AssertionError("the queue was not quiet after 50 messages")

    def take(self) -> tuple[str, str]:
        """The body and id of the next message, which stays invisible."""
        message = self.queue.receive_message(visibility_timeout=600)
        assert message is not None
        return message.content, message.id

    def sql(self, statement: str, *values: Any) -> list[Row]:
        with psycopg.connect(self.conninfo, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(statement, values)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def due(self) -> None:
        """Let what backs off be due now, its message too."""
        self.sql("UPDATE deltashare_state.applications SET next_attempt_at = clock_timestamp()")
        self.sql("UPDATE deltashare_state.outbox SET due_at = clock_timestamp()")
        self.sql(
            "UPDATE deltashare_state.applications SET sent_at = NULL, created_at = created_at - interval '1 day'"
        )
        self.queue.clear_messages()
        self.app.remind_share_packs()


async def _call(
    app: Any, method: str, path: str, headers: dict[str, str], request: dict[str, Any]
) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.request(method, path, headers=headers, **request)


class MakePacks(Protocol):
    """Builds one."""

    def __call__(self, **settings: Any) -> PackWorld: ...


@pytest.fixture
def make_packs(
    database: str, azurite: Azurite, make_workspace: MakeWorkspace, tmp_path: Path
) -> Iterator[MakePacks]:
    """A factory of worlds over this test's database."""
    made: list[PackWorld] = []

    def make(**settings: Any) -> PackWorld:
        workspace = make_workspace()
        made.append(PackWorld(database, azurite.connection_string, workspace, tmp_path / "vault", **settings))
        return made[-1]

    yield make
    for world in made:
        world.close()
    logging.getLogger("tributary").handlers.clear()


@pytest.fixture
def world(make_packs: MakePacks) -> PackWorld:
    """One installation where widening plans wait for an approver."""
    return make_packs()
