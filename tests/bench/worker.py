"""The measured process: does one job in a fresh interpreter and prints what it cost as one JSON line.

Run: python -m tests.bench.worker '{"job": NAME, ...}' with the app's settings in the environment. Imports and
connections' first use happen as in a warm worker: before the clock starts, except where the job says otherwise.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from tests.bench.meter import metered, peak_rss_mb

Asked = Mapping[str, Any]


def copy(asked: Asked) -> dict[str, Any]:
    """The baseline: binary COPY of prepared files, one transaction a file, as the product commits its chunks."""
    pieces = [Path(name).read_bytes() for name in asked["files"]]
    statement = sql.SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(sql.Identifier(*asked["table"]))
    with psycopg.connect(asked["dsn"]) as connection:
        connection.execute("SELECT 1")
        with metered() as spent:
            for piece in pieces:
                with connection.cursor() as cursor, cursor.copy(statement) as stream:
                    stream.write(piece)
                connection.commit()
    return spent.as_dict()


def sync(asked: Asked) -> dict[str, Any]:
    """One run of one entity, from its message to its last commit."""
    app = _app()
    run = app.start_run(UUID(asked["entity"])).run_uid
    app.send_outbox()
    app.deliveries  # noqa: B018  # builds and imports what the delivery needs
    with metered() as spent:
        app.drain()
    return spent.as_dict() | {"run": _run_row(app, run)}


def verify(asked: Asked) -> dict[str, Any]:
    """One verification of one entity, from its message to its verdict."""
    app = _app()
    run = app.runs.create(UUID(asked["entity"]), purpose="verify", trigger="manual", requested_by="bench")
    app.send_outbox()
    app.deliveries  # noqa: B018
    with metered() as spent:
        app.drain()
    found = dict(app.verifications.list(None, uid=run)[0])
    return spent.as_dict() | {"outcome": found["outcome"], "why": found["why"], "findings": found["findings"]}


def tick(_: Asked) -> dict[str, Any]:
    """One tick of detection, then the syncs it asked for, each with a clock of its own."""
    app = _app()
    app.deliveries  # noqa: B018
    app.connectors  # noqa: B018
    with metered() as detection:
        outcomes = app.tick().run()
    with metered() as syncs:
        messages = app.drain()
    return detection.as_dict() | {
        "outcomes": dict(outcomes), "messages": messages, "syncs_seconds": syncs.seconds, "syncs_cpu_seconds": syncs.cpu_seconds,
    }  # fmt: skip


def through_queue(asked: Asked) -> dict[str, Any]:
    """A table that is due, until its changes are committed, its message passing through the real queue."""
    from azure.storage.queue import QueueClient, TextBase64DecodePolicy

    from shared.composition import services

    app = services()
    policy = TextBase64DecodePolicy()
    queue = QueueClient.from_connection_string(app.settings.storage, app.settings.sync_queue_name, message_decode_policy=policy)  # type: ignore[arg-type]  # set for every job  # fmt: skip
    app.deliveries  # noqa: B018
    with metered() as spent:
        app.detect_changes()
        _pump(app, queue)
    return spent.as_dict() | {"run": _run_row(app, _last_run(app, UUID(asked["entity"])))}


def _pump(app: Any, queue: Any) -> None:
    """Deliver until the queue has stayed empty; the host polls every 100 ms while it has work."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        message = queue.receive_message(visibility_timeout=600)
        if message is not None:
            app.sync_table(message.content.encode(), message.id, message.dequeue_count)
            queue.delete_message(message)
            return
        time.sleep(0.1)
    raise TimeoutError("no message came within 120 s; look at Azurite's log")


def _app() -> Any:
    import numpy  # noqa: F401
    import polars  # noqa: F401

    from shared.settings import load_settings
    from tests.bench.app import BenchApp

    return BenchApp(load_settings())


def _last_run(app: Any, entity: UUID) -> UUID:
    text = "SELECT last_run_uid AS uid FROM bridge.erp_sync_state WHERE entity_uid = %s"
    with app.database.connection() as connection:
        uid: UUID = connection.execute(text, [entity]).fetchone()["uid"]
        return uid


def _run_row(app: Any, run: UUID) -> dict[str, Any]:
    text = """SELECT r.status, r.error->>'code' AS error, sum(s.fetched)::int AS fetched, sum(s.inserted)::int AS inserted,
        sum(s.updated)::int AS updated, sum(s.unchanged)::int AS unchanged, count(*)::int AS slices
        FROM bridge.sync_runs r JOIN bridge.sync_slices s ON s.run_uid = r.uid WHERE r.uid = %s GROUP BY r.uid"""
    with app.database.connection() as connection:
        row: dict[str, Any] = connection.execute(text, [run]).fetchone()
        return row


JOBS: dict[str, Callable[[Asked], dict[str, Any]]] = {
    "copy": copy, "sync": sync, "verify": verify, "tick": tick, "through_queue": through_queue,
}  # fmt: skip


if __name__ == "__main__":
    job = json.loads(sys.argv[1])
    answer = JOBS[job["job"]](job)
    print(json.dumps(answer | {"peak_rss_mb": peak_rss_mb()}))
