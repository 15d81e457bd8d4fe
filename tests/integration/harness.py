"""The whole product in this process: App over a fresh database, a real queue of its own, a scripted ERP.

    world = make_world([ORDERS], {"orders": [{"id": 1, "note": "a"}]}, delete_after_missing=1)
    world.sync()                                  # one tick and every message it leads to
    world.erp.update("orders", {"id": 1}, {"note": "b"})
    run = world.sync_now("orders")                # POST .../sync, pump, the run as the API shows it
    world.rows("orders")                          # live target rows by key, mapped columns only
    world.sql("SELECT ...", value)                # straight into the database

Settings by keyword (`slice_budget_seconds=0.001`), guards and chunk size by `world.compose(...)`.
"""

import asyncio
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Protocol

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from infra.local.azurite import Azurite
from infra.local.sample_erp import SampleErp, TableSpec
from shared.adapters.tokens import sign_local_token
from shared.composition import App
from shared.settings import Settings
from shared.sync.guards import Guards
from tests.fixtures_erp import MakeErp

Row = dict[str, Any]
BRIDGE_COLUMNS = ("_bridge_uid", "_bridge_created_at", "_bridge_updated_at", "_bridge_erp_key_hash",
                  "_bridge_erp_data_hash", "_bridge_erp_rowversion", "_bridge_erp_ref_str", "_bridge_deleted",
                  "_bridge_deleted_at")  # fmt: skip
_SECRET = "local-token-secret-of-the-tests-" + "x" * 16
_QUIET_PUMPS = 400


class World:
    """One installation with one connector; `erp` is its source."""

    def __init__(
        self, conninfo: str, storage: str, erp: SampleErp, entity: Mapping[str, Any], **settings: Any
    ) -> None:
        self.conninfo, self.erp, self._storage = conninfo, erp, storage
        self.queue_name = f"sync-{uuid.uuid4().hex[:12]}"
        self._entity, self._told = dict(entity), settings
        self.app = self.compose()
        self.connector_uid: str = self.post("/api/v1/connectors", {
            "name": "sample", "kind": "http", "base_url": erp.base_url, "tenant": "default",
            "auth": {"type": "token", "secret_name": "erp-token"},
        })["uid"]  # fmt: skip
        self.discover()
        for slug in self.slugs if self._entity else ():
            self.put_entity(slug, **self._entity)

    # composing

    def settings(self, **changes: Any) -> Settings:
        parts = conninfo_to_dict(self.conninfo)
        told = {
            "AzureWebJobsStorage": self._storage, "postgres_host": parts["host"], "postgres_port": parts["port"],
            "postgres_db": parts["dbname"], "postgres_user": parts["user"], "postgres_password": parts["password"],
            "sync_queue_name": self.queue_name, "auth_mode": "local", "local_token_secret": _SECRET,
            "connector_hosts": "127.0.0.1", "log_level": "ERROR", "default_sync_interval_seconds": 0,
            "default_page_size": 3, "retry_delay_seconds": 0, "rate_limit_per_minute": 1_000_000,
        }  # fmt: skip
        return Settings(**told | self._told | changes)

    def compose(self, guards: Guards | None = None, *, chunk_rows: int = 7, **settings: Any) -> App:
        """Another App over the same database and queue, which takes over; a restart, so to speak."""
        if "app" in vars(self):
            self.app.close()
        self.app = App(self.settings(**settings), guards)
        self.app.secrets = _Secrets(self.erp)  # type: ignore[assignment]
        self.app.runner = replace(self.app.runner, chunk_rows=chunk_rows)
        return self.app

    def close(self) -> None:
        self.app.close()
        if "queue" in vars(self):
            self.queue.close()

    # the API

    def ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        token = sign_local_token(_SECRET, "ada", ["admin", "tenant:*"], 3600)
        return asyncio.run(_call(self.app.http, method, path, f"Bearer {token}", body))

    def post(self, path: str, body: object = None) -> Any:
        answer = self.ask("POST", path, body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def get(self, path: str) -> Any:
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def discover(self) -> dict[str, Row]:
        items = self.post(f"/api/v1/connectors/{self.connector_uid}/discover")["items"]
        return {item["slug"]: item for item in items}

    def entity(self, slug: str) -> Row:
        return dict(self.get(f"/api/v1/entities/{self.uid(slug)}"))

    def uid(self, slug: str) -> str:
        """The uid of the slug's entity."""
        found = self.sql("SELECT uid FROM bridge.entities WHERE slug = %s AND NOT is_deleted", slug)
        return str(found[0]["uid"])

    def put_entity(self, slug: str, **changes: Any) -> Row:
        entity = self.entity(slug)
        answer = self.agreed("PUT", f"/api/v1/entities/{entity['uid']}", entity | changes)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def agreed(self, method: str, path: str, body: object) -> httpx.Response:
        """The answer once the plan that the first one may have been is acknowledged."""
        answer = self.ask(method, path, body)
        if answer.status_code != 409 or "plan" not in answer.json():
            return answer
        return self.ask(method, f"{path}?plan_hash={answer.json()['plan']['plan_hash']}", body)

    @property
    def slugs(self) -> list[str]:
        return [row["slug"] for row in self.sql("SELECT slug FROM bridge.entities WHERE NOT is_deleted")]

    # working

    def tick(self) -> None:
        """One detection, everything being due."""
        self.sql("UPDATE bridge.erp_sync_state SET due_at = now()")
        self.app.detect_changes()

    def sync(self) -> list[Row]:
        """One tick and all it leads to; the runs it made, oldest first."""
        before = {run["uid"] for run in self.runs()}
        self.tick()
        self.pump()
        return [run for run in self.runs() if run["uid"] not in before]

    def sync_now(self, slug: str, **body: Any) -> Row:
        return self.finish(self.post(f"/api/v1/entities/{self.uid(slug)}/sync", body or None)["run_uid"])

    def refresh(self, slug: str) -> Row:
        uid = self.post(f"/api/v1/entities/{self.uid(slug)}/full-refresh")["run_uid"]
        return self.finish(uid)

    def sweep(self, slug: str) -> Row:
        """A key sweep now, whatever its interval."""
        uid = self.app.runs.create(
            uuid.UUID(self.uid(slug)), purpose="sweep", trigger="timer", requested_by="test"
        )
        self.app.send_outbox()
        return self.finish(str(uid))

    def finish(self, run_uid: str) -> Row:
        self.pump()
        return dict(self.get(f"/api/v1/runs/{run_uid}"))

    def pump(self) -> int:
        """Deliver messages, each exactly once, until the queue is empty; how many."""
        for number in range(_QUIET_PUMPS):
            if not self.deliver_one():
                return number
        raise AssertionError(f"the queue was not quiet after {_QUIET_PUMPS} messages")

    def deliver_one(self) -> bool:
        message = self.queue.receive_message(visibility_timeout=600)
        if message is None:
            return False
        self.app.sync_table(message.content.encode(), message.id, message.dequeue_count)
        self.queue.delete_message(message)
        return True

    @cached_property
    def queue(self) -> Any:
        from azure.core.exceptions import ResourceExistsError
        from azure.storage.queue import QueueClient, TextBase64DecodePolicy

        client = QueueClient.from_connection_string(
            self._storage, self.queue_name, message_decode_policy=TextBase64DecodePolicy()
        )
        try:
            client.create_queue()
        except ResourceExistsError:
            pass
        return client

    # looking

    def sql(self, statement: str, *values: Any) -> list[Row]:
        with psycopg.connect(self.conninfo, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(statement, values or None)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def runs(self, slug: str | None = None) -> list[Row]:
        """Runs, oldest first."""
        query = f"&entity_uid={self.uid(slug)}" if slug else ""
        return list(reversed(self.get(f"/api/v1/sync/history?limit=500{query}")["items"]))

    def stored(self, slug: str) -> list[Row]:
        """Every target row with all columns, deleted ones too."""
        with psycopg.connect(self.conninfo, row_factory=dict_row) as connection:
            return connection.execute(
                sql.SQL("SELECT * FROM public.{}").format(sql.Identifier(slug))
            ).fetchall()

    def rows(self, slug: str, key: str = "id") -> dict[Any, Row]:
        """Live rows by key, mapped columns only."""
        return {
            row[key]: {n: v for n, v in row.items() if n not in BRIDGE_COLUMNS}
            for row in self.stored(slug)
            if not row["_bridge_deleted"]
        }

    def rejects(self, slug: str) -> list[Row]:
        """Open rejects."""
        uid = self.uid(slug)
        found = self.get(f"/api/v1/failed-records?entity_uid={uid}&status=open&limit=500")["items"]
        return list(found)

    def state(self, slug: str) -> Row:
        return self.sql("SELECT * FROM bridge.erp_sync_state WHERE entity_uid = %s", self.uid(slug))[0]


class _Secrets:
    """The ERP's present static token, as a vault would give it."""

    def __init__(self, erp: SampleErp) -> None:
        self._erp = erp
        self.value: str | None = None

    def get(self, name: str) -> str:
        return self.value or self._erp.credentials.static_token

    reload = get


async def _call(app: Any, method: str, path: str, token: str, body: object) -> httpx.Response:
    # The framework's own test client warns of a library we don't install.
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.request(method, path, json=body, headers={"Authorization": token})


def balanced(run: Row) -> bool:
    """Whether every fetched row has exactly one outcome."""
    outcomes = ("inserted", "updated", "unchanged", "superseded", "rejected", "held")
    return bool(run["fetched"] == sum(run[name] for name in outcomes))


def written(run: Row) -> int:
    """Rows that a run changed."""
    return int(run["inserted"] + run["updated"] + run["soft_deleted"])


class MakeWorld(Protocol):
    def __call__(
        self,
        tables: Sequence[TableSpec],
        rows: Mapping[str, Iterable[Mapping[str, object]]] | None = None,
        *,
        entity: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> World: ...


@pytest.fixture
def make_world(database: str, azurite: Azurite, make_erp: MakeErp) -> Iterator[MakeWorld]:
    """A factory of worlds over this test's database; one a test is the rule."""
    made: list[World] = []

    def make(
        tables: Sequence[TableSpec],
        rows: Mapping[str, Iterable[Mapping[str, object]]] | None = None,
        *,
        entity: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> World:
        erp = make_erp(tables, rows or {})
        made.append(World(database, azurite.connection_string, erp, entity or {}, **settings))
        return made[-1]

    yield make
    for world in made:
        world.close()


def plain(rows: Iterable[Mapping[str, str]], key: str = "id") -> dict[Any, Row]:
    """The ERP's rows (JSON texts) as values, by key."""
    return {json.loads(row[key]): {name: json.loads(text) for name, text in row.items()} for row in rows}
