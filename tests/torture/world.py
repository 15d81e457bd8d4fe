"""One small world: a database, a queue, a scripted source with one table, and the app between them.

The main process plays the queue's host: it receives real messages, hands each to a process or works on it itself,
and deletes the message only after success. Time is moved by SQL, never waited for.
"""

from __future__ import annotations

import asyncio
import os
import random
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import psycopg
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient, QueueMessage, TextBase64DecodePolicy, TextBase64EncodePolicy
from psycopg import sql
from psycopg.rows import DictRow, dict_row

from infra.local.postgres import PostgresServer
from infra.local.sample_erp import SampleErp, TableSpec, parse_columns
from infra.local.sample_erp.erp import Credentials
from infra.local.sample_erp.schema import Strategy
from shared.adapters.tokens import sign_local_token
from shared.composition import App
from shared.settings import load_settings
from shared.sync.guards import Guards
from tests.torture.workers import CHUNK_ROWS, DELETE_BATCH, Attempt, Workers

SLUG = "orders"
PAGE_SIZE = 50
ROWS = 300
LOCAL_SECRET = "torture-" * 6
TOKEN = Credentials().static_token
COLUMNS = """
    id NUMBER(9) NOT NULL
    note VARCHAR2(40)
    amount NUMBER(12,2)
"""


def orders(strategy: Strategy) -> TableSpec:
    """The table every world has."""
    return TableSpec(slug=SLUG, keys=("id",), strategy=strategy, columns=parse_columns(COLUMNS))


def order(number: int, note: str | None = None) -> dict[str, object]:
    """A good row."""
    return {"id": number, "note": note or f"note {number}", "amount": Decimal(number) + Decimal("0.25")}


@dataclass(frozen=True, slots=True)
class Interface:
    """The HTTP interface of an app in this process."""

    app: App
    headers: dict[str, str]

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        return asyncio.run(self._ask(method, path, more))

    async def _ask(self, method: str, path: str, more: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(self.app.http)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, headers=self.headers, **more)


@dataclass
class World:
    """Everything one test needs; build it with `made`."""

    strategy: Strategy
    dsn: str
    env: dict[str, str]
    erp: SampleErp
    queue: QueueClient
    app: App
    entity: uuid.UUID
    connector: str
    api: Interface
    steps: list[str] = field(default_factory=list)
    epochs: dict[tuple[uuid.UUID, int], int] = field(default_factory=dict)
    next_id: int = ROWS + 1
    gone: list[int] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)
    held: Any = None
    chunk_rows: int = CHUNK_ROWS
    line: psycopg.Connection[DictRow] | None = None  # kept open where thousands of questions are asked

    # the database, as a person sees it

    def ask(self, text: str, *values: object) -> list[DictRow]:
        if self.line is not None:
            cursor = self.line.execute(text, values or None)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []
        with psycopg.connect(self.dsn, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(text, values or None)
            return cursor.fetchall() if cursor.description else []

    def one(self, text: str, *values: object) -> Any:
        rows = self.ask(text, *values)
        return next(iter(rows[0].values())) if rows else None

    def runs(self) -> list[DictRow]:
        """Runs, oldest first, each with the sums of its slices."""
        return self.ask(
            "SELECT r.uid, r.lane, r.purpose, r.strategy, r.status, r.error, r.watermark_end, s.*"
            " FROM bridge.sync_runs r CROSS JOIN LATERAL (SELECT count(*) AS slices, max(attempt) AS attempt,"
            " sum(chunk)::int AS chunks, sum(fetched)::int AS fetched, sum(inserted)::int AS inserted,"
            " sum(updated)::int AS updated, sum(unchanged)::int AS unchanged, sum(superseded)::int AS superseded,"
            " sum(rejected)::int AS rejected, sum(held)::int AS held, sum(soft_deleted)::int AS soft_deleted"
            " FROM bridge.sync_slices WHERE run_uid = r.uid) s ORDER BY r.created_at, r.uid"
        )

    def target(self) -> dict[int, DictRow]:
        return {row["id"]: row for row in self.ask("SELECT * FROM public.orders")}

    def live(self) -> set[int]:
        return {key for key, row in self.target().items() if not row["_bridge_deleted"]}

    # the source

    def change(self, seed: int) -> None:
        """Updates, inserts, deletes, a revival, two broken rows and a repaired one: below the delete guard's share."""
        chance = random.Random(seed)
        self.step(f"change the source, seed {seed}")
        self._answer_broken(seed)
        keys = sorted({row["id"] for row in self.source()})
        picked = chance.sample(keys, 32)
        for key in picked[:20]:
            self.erp.update(SLUG, {"id": key}, {"note": f"changed {seed}", "amount": Decimal(seed)})
        for key in picked[20:22]:
            self.erp.break_row(SLUG, {"id": key}, "amount", chance.choice(["abc", "1e99", "12,5"]))
            self.broken.append(key)
        fresh = range(self.next_id, self.next_id + 6)
        self.next_id += 6
        self.erp.insert(SLUG, [order(n, f"new {seed}") for n in [*fresh, *self.gone[:2]]])
        self.gone = self.gone[2:]
        # One that never lands, and is gone or repaired before the next round.
        self.erp.insert(SLUG, [order(self.next_id) | {"amount": "never a number"}])
        self.broken.insert(seed % 2, self.next_id)
        self.next_id += 1
        self.erp.delete(SLUG, [{"id": key} for key in picked[22:28]])
        self.gone += picked[22:28]

    def _answer_broken(self, seed: int) -> None:
        """Of the rows broken last time one is repaired and one deleted, where they still exist."""
        present = {row["id"] for row in self.source()}
        broken, self.broken = [key for key in self.broken if key in present], []
        for key in broken[::2]:
            self.erp.update(SLUG, {"id": key}, {"note": f"repaired {seed}", "amount": 1})
        self.erp.delete(SLUG, [{"id": key} for key in broken[1::2]])
        self.gone += broken[1::2]

    def source(self) -> list[dict[str, Any]]:
        """Every committed row: id, note, amount and version as the source spells them."""
        from tests.torture.oracle import read_source

        return read_source(self.erp)

    # the work

    def sync_of(self, slug: str) -> None:
        """A delta of another table, asked for by a person, and all that it leads to."""
        uid = self.one("SELECT uid FROM bridge.entities WHERE slug = %s", slug)
        answer = self.api.ask("POST", f"/api/v1/entities/{uid}/sync", json={})
        assert answer.status_code == 202, answer.text
        self.app.send_outbox()
        self.drain()

    def due(self) -> None:
        self.ask("UPDATE bridge.erp_sync_state SET due_at = now()")

    def tick(self) -> None:
        """A detection tick in this process."""
        self.step("tick")
        self.app.detect_changes()

    def start(self, action: list[Any], arm: str = "", **env: str) -> Attempt:
        """The same in a process of its own, with failpoints armed."""
        self.step(f"process: {action[0]} {arm}")
        return self.workers.start(
            action, self.env | env | {"MIGRATE_ON_START": "false"}, arm, self.chunk_rows
        )

    def receive(self) -> QueueMessage | None:
        """The next visible message, hidden from others until it is deleted or let go."""
        try:
            return next(iter(self.queue.receive_messages(visibility_timeout=300, max_messages=1)), None)
        except ResourceNotFoundError:  # nothing was ever sent
            return None

    def take(self) -> QueueMessage:
        """The next visible message, which must be there."""
        message = self.receive()
        assert message is not None, self.story("no message is visible")
        return message

    def let_go(self, message: QueueMessage) -> None:
        """What a dead host's message does after its visibility timeout: come back with a higher dequeue count."""
        self.queue.update_message(message, visibility_timeout=0)

    def deliver(self, message: QueueMessage, app: App | None = None) -> None:
        """Work on a message in this process and acknowledge it."""
        self.step(f"deliver {message.content[6:50]}.. count {message.dequeue_count}")
        (app or self.app).sync_table(message.content.encode(), message.id, message.dequeue_count or 1)
        self.queue.delete_message(message)

    def action(self, message: QueueMessage) -> list[Any]:
        return ["deliver", message.content, message.id, message.dequeue_count]

    def drain(self, app: App | None = None) -> int:
        """Deliver until no message is visible; how many there were."""
        count = 0
        while (message := self.receive()) is not None:
            self.deliver(message, app)
            self.watch()
            count += 1
            assert count < 500, self.story("the queue never runs dry")
        return count

    def later(self) -> None:
        """An hour passes: leases run out, delays end, lost messages count as lost."""
        self.step("an hour passes")
        self.ask(
            "UPDATE bridge.sync_slices SET lease_until = lease_until - interval '1 hour',"
            " next_attempt_at = next_attempt_at - interval '1 hour', sent_at = sent_at - interval '1 day'"
            " WHERE status IN ('queued', 'running')"
        )

    def settle(self) -> None:
        """Deliveries and ticks, until nothing is left to do."""
        for _ in range(12):
            self.drain()
            if self.is_quiet():
                return
            self.later()
            self.tick()
            self.watch()
        raise AssertionError(self.story("not quiet after twelve ticks"))

    def is_quiet(self) -> bool:
        return not self.one(
            "SELECT (SELECT count(*) FROM bridge.sync_runs WHERE status IN ('queued', 'running'))"
            " + (SELECT count(*) FROM bridge.outbox)"
            " + (SELECT count(*) FROM bridge.erp_sync_state WHERE due_at <= now())"
        )

    def sync(self) -> None:
        """One whole round."""
        self.due()
        self.tick()
        self.settle()

    def sync_delta(self) -> uuid.UUID:
        """A delta asked for by a person, worked on at once and alone."""
        uid = self.request_sync()
        self.app.send_outbox()
        self.drain()
        return uid

    def watch(self) -> None:
        """Epochs only grow, and the watermark never passes an unaccounted row: true after every step."""
        from tests.torture.oracle import watermark_problems

        for row in self.ask("SELECT run_uid, slice, epoch FROM bridge.sync_slices"):
            place = (row["run_uid"], row["slice"])
            assert row["epoch"] >= self.epochs.get(place, 0), self.story("an epoch went back")
            self.epochs[place] = row["epoch"]
        assert not (found := watermark_problems(self)), self.story(*found)

    def step(self, what: str) -> None:
        self.steps.append(what)

    def story(self, *problems: str) -> str:
        """Problems, and all that led there."""
        return "\n".join([*problems, f"strategy {self.strategy}; steps:", *self.steps[-60:]])

    # composition

    def compose(self, guards: Guards | None = None, /, **env: str) -> App:
        """Another app over the same world: without a guard, or with other settings."""
        return composed(self.env | env, guards)

    @property
    def workers(self) -> Workers:
        return _workers()

    def put_entity(self, **changes: Any) -> None:
        """Change the entity through the interface, as a person does."""
        at = f"/api/v1/entities/{self.entity}"
        answer = self.api.ask("PUT", at, json=self.api.ask("GET", at).json() | changes)
        assert answer.status_code == 200, answer.text

    def request_sync(self, **body: Any) -> uuid.UUID:
        """A run asked for by a person."""
        answer = self.api.ask("POST", f"/api/v1/entities/{self.entity}/sync", json=body)
        assert answer.status_code == 202, answer.text
        return uuid.UUID(answer.json()["run_uid"])


def composed(env: Mapping[str, str], guards: Guards | None = None) -> App:
    """An app with small chunks."""
    with mock.patch.dict(os.environ, env):
        app = App(load_settings(), guards)
    app.runner = replace(app.runner, chunk_rows=CHUNK_ROWS, delete_batch=DELETE_BATCH)
    return app


_started: list[Workers] = []


def _workers() -> Workers:
    return _started[0]


@contextmanager
def workers_in(folder: Path) -> Iterator[None]:
    """A fork server for the session."""
    os.environ["TORTURE_ERP"] = TOKEN
    _started.append(Workers(folder))
    yield
    _started.pop().close()
    del os.environ["TORTURE_ERP"]


@contextmanager
def made(
    strategy: Strategy,
    server: PostgresServer,
    storage: str,
    folder: Path,
    *,
    rows: int = ROWS,
    seeded: list[dict[str, object]] | None = None,
    spec: TableSpec | None = None,
    beside: Mapping[TableSpec, list[dict[str, object]]] | None = None,
    **env: str,
) -> Iterator[World]:
    """A registered world whose first load is still to come."""
    name = f"torture_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.dsn_of("postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    table = spec or orders(strategy)
    given = seeded if seeded is not None else [order(n) for n in range(1, rows + 1)]
    more = dict(beside or {})
    filled = {table.slug: given} | {other.slug: seeds for other, seeds in more.items()}
    erp = SampleErp(folder / name, tables=[table, *more], rows=filled).start()
    settings = _environment(server, name, storage, erp) | env
    app = composed(settings)
    try:
        yield _registered(strategy, server.dsn_of(name), settings, erp, app)
    finally:
        app.close()
        erp.close()
        with psycopg.connect(server.dsn_of("postgres"), autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _environment(server: PostgresServer, name: str, storage: str, erp: SampleErp) -> dict[str, str]:
    return {
        "AzureWebJobsStorage": storage,
        "SYNC_QUEUE_NAME": name.replace("_", "-"),
        "POSTGRES_HOST": "127.0.0.1",
        "POSTGRES_PORT": str(server.port),
        "POSTGRES_DB": name,
        "POSTGRES_USER": "tributary",
        "POSTGRES_PASSWORD": server.password,
        "AUTH_MODE": "local",
        "LOCAL_TOKEN_SECRET": LOCAL_SECRET,
        "CONNECTOR_HOSTS": "127.0.0.1",
        "DEFAULT_PAGE_SIZE": str(PAGE_SIZE),
        "RATE_LIMIT_PER_MINUTE": "100000",
        "TORTURE_ERP": TOKEN,
    }


def _registered(strategy: Strategy, dsn: str, env: dict[str, str], erp: SampleErp, app: App) -> World:
    a_night_s = 24 * 3600  # longer than any run of the nightly size
    token = sign_local_token(LOCAL_SECRET, "torture", ["admin", "tenant:*"], a_night_s)
    api = Interface(app, {"Authorization": f"Bearer {token}"})
    body = {"name": "erp", "kind": "http", "base_url": erp.base_url,
            "auth": {"type": "token", "secret_name": "torture-erp"}, "tenant": "default"}  # fmt: skip
    connector = api.ask("POST", "/api/v1/connectors", json=body).json()["uid"]
    found = api.ask("POST", f"/api/v1/connectors/{connector}/discover")
    assert found.status_code == 200, found.text
    queue = QueueClient.from_connection_string(
        env["AzureWebJobsStorage"], env["SYNC_QUEUE_NAME"],
        message_decode_policy=TextBase64DecodePolicy(), message_encode_policy=TextBase64EncodePolicy(),
    )  # fmt: skip
    entity = uuid.UUID(next(i["entity_uid"] for i in found.json()["items"] if i["slug"] == SLUG))
    world = World(strategy, dsn, env, erp, queue, app, entity, connector, api)
    world.put_entity(delete_after_missing=1, key_sweep_interval_seconds=0)
    return world
