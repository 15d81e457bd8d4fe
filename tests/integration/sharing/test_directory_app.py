"""The app whole: the tick, real queues and real tables, with stand-ins for everything of Microsoft's and Databricks'."""

import base64
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from azure.storage.queue import QueueClient
from psycopg.conninfo import conninfo_to_dict

from infra.local.mail_sink import MailSink
from infra.local.microsoft import MicrosoftServer
from infra.local.webhook_sink import WebhookSink
from infra.local.workspace import WorkspaceServer
from shared.composition import App
from shared.errors import ConfigurationError, MessageError
from shared.settings import Settings
from tests.integration.sharing.conftest import Store

SECRET = "a-secret-of-thirty-two-characters"
Make = Callable[..., App]


@pytest.fixture
def queue_name() -> str:
    return f"sync-triggers-{uuid4().hex[:12]}"


@pytest.fixture
def make_app(
    bare: Store,
    storage_connection_string: str,
    queue_name: str,
    microsoft: MicrosoftServer,
    workspace: WorkspaceServer,
) -> Iterator[Make]:
    """A factory of apps over one database and queue."""
    parts = conninfo_to_dict(bare.conninfo)
    told: dict[str, Any] = {
        "AzureWebJobsStorage": storage_connection_string,
        "postgres_host": parts["host"],
        "postgres_port": parts["port"],
        "postgres_db": parts["dbname"],
        "postgres_user": parts["user"],
        "postgres_password": parts["password"],
        "log_level": "ERROR",
        "enable_workflow": True,
        "directory_queue_name": queue_name,
        "graph_tenant_id": microsoft.entra.tenant,
        "graph_client_id": microsoft.entra.client_id,
        "graph_client_secret": microsoft.entra.client_secret,
        "graph_url": microsoft.url,
        "entra_url": microsoft.url,
        "databricks_hosts": workspace.host,
        "databricks_token": workspace.token,
    }
    made: list[App] = []

    def make(**changes: Any) -> App:
        made.append(App(Settings(**told | changes)))
        return made[-1]

    yield make
    for app in made:
        app.close()


@pytest.fixture
def bodies(storage_connection_string: str, queue_name: str) -> Iterator[Callable[[], list[bytes]]]:
    """What waits in the queue, taken out."""
    client = QueueClient.from_connection_string(storage_connection_string, queue_name)

    def take() -> list[bytes]:
        found = []
        for message in client.receive_messages(messages_per_page=32):
            found.append(base64.b64decode(message.content))
            client.delete_message(message)
        return found

    yield take
    client.close()


def test_tick_queues_what_is_set_up_and_messages_fill_the_tables(
    bare: Store, make_app: Make, bodies: Callable[[], list[bytes]], microsoft: MicrosoftServer
) -> None:
    microsoft.add_user("ann@example.org")
    microsoft.add_group("Finance")
    app = make_app()
    app.request_directory()
    for body in bodies():
        app.sync_directory(body)
    ended = bare.sql(
        "SELECT kind, status FROM deltashare.sync_jobs WHERE status NOT IN ('queued', 'running') ORDER BY kind"
    )
    assert [tuple(row.values()) for row in ended] == [
        ("groups", "success"),
        ("job_metrics", "success"),
        ("users", "success"),
        ("workspace_objects", "success"),
    ]
    objects = bare.sql("SELECT count(*) AS n FROM deltashare.databricks_objects WHERE is_current")
    assert objects[0]["n"] > 260
    app.request_directory()
    assert bodies() == []  # nothing is due again so soon


def test_directory_is_asked_about_requestors_and_groups(make_app: Make, microsoft: MicrosoftServer) -> None:
    microsoft.add_user("ann@example.org")
    directory = make_app().directory
    assert directory is not None and directory.graph is not None
    assert directory.graph.user("ann@example.org") and not directory.graph.group("Finance")


def test_notices_of_expiring_tokens_go_out_with_the_tick(bare: Store, make_app: Make) -> None:
    with MailSink() as sink, WebhookSink(SECRET) as hook:
        app = make_app(
            smtp_host="127.0.0.1",
            smtp_port=sink.port,
            smtp_security="none",
            notification_from_email="tributary@example.org",
            notification_to_emails="ops@example.org",
            notification_webhook_url=hook.url,
            notification_webhook_secret=SECRET,
        )
        bare.sql(
            "INSERT INTO deltashare.recipients (record_id, recipient_id, version, effective_from, is_current, created_by,"
            " change_reason, name, workspace_url, token_id, token_expires_at)"
            " VALUES (gen_random_uuid(), gen_random_uuid(), 1, now(), true, 'test', 'test', 'acme', 'https://adb', 't1',"
            " now() + interval '6 days')"
        )
        app.request_directory()
        app.request_directory()
        assert len(sink.received) == len(hook.received) == 1
        assert "acme" in sink.received[0].message["Subject"]


def test_trouble_with_mail_settings_does_not_stop_the_syncs(
    make_app: Make, bodies: Callable[[], list[bytes]]
) -> None:
    app = make_app(smtp_host="127.0.0.1")
    with pytest.raises(ConfigurationError, match="NOTIFICATION_FROM_EMAIL"):
        app.request_directory()
    assert len(bodies()) == 4


def test_message_of_another_kind_is_refused(make_app: Make) -> None:
    app = make_app()
    for body in (b"", b"{}", b'{"v":2,"id":"x"}', b'{"v":1,"id":"x"}'):
        with pytest.raises(MessageError):
            app.sync_directory(body)


def test_nothing_is_done_built_or_imported_while_share_packs_are_off(
    bare: Store, make_app: Make, microsoft: MicrosoftServer
) -> None:
    app = make_app(enable_workflow=False)
    app.request_directory()
    app.sync_directory(b"whatever")
    assert app.directory is None and not microsoft.requests
    assert bare.sql("SELECT to_regclass('deltashare.users') AS t")[0]["t"] is None
    looked = (
        "import sys, functions.request_directory, functions.sync_directory;"
        "print([m for m in sys.modules if m.startswith(('shared.sharing', 'shared.composition_directory', 'httpx'))])"
    )
    shown = subprocess.run([sys.executable, "-c", looked], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
