"""What the benchmark runs on: a durable PostgreSQL in a temporary directory, the source, and measured workers.

Everything is started on first use and ended by `close`; the machine's own services are never touched.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from infra.local.azurite import Azurite
from infra.local.paths import LOCAL_DIR
from infra.local.ports import LOOPBACK, free_ports
from infra.local.postgres import PostgresServer
from tests.bench.app import BenchApp

REPOSITORY = Path(__file__).parents[2]
_SHOWN = ("server_version", "shared_buffers", "fsync", "synchronous_commit", "full_page_writes", "wal_level",
          "max_wal_size", "autovacuum")  # fmt: skip


class Rig:
    """Servers and processes of one benchmark. `tables`: what the source offers, each `{"slug", "strategy", "rows", "later"?}`."""

    def __init__(self, rows: int, tables: Sequence[Mapping[str, object]]) -> None:
        self.rows, self._tables = rows, list(tables)
        self.directory = Path(tempfile.mkdtemp(prefix="tributary-bench-"))
        self.directory.chmod(0o755)
        self._began, self._edition = time.monotonic(), 0
        self._source: subprocess.Popen[str] | None = None
        self.shared_buffers: str | None = None

    def say(self, text: str) -> None:
        """Progress, with the seconds since the start."""
        print(f"[{time.monotonic() - self._began:6.1f} s] {text}", flush=True)

    @cached_property
    def postgres(self) -> PostgresServer:
        """The server with the product's own settings, but for what `with_shared_buffers` asks."""
        server = self._server()
        server.start()
        return server

    def _server(self) -> PostgresServer:
        settings = {"shared_buffers": self.shared_buffers} if self.shared_buffers else {}
        directory = self.directory
        return PostgresServer(directory / "postgres", self._port, directory / "pg.secret", settings=settings)

    @cached_property
    def _port(self) -> int:
        return free_ports(1)[0]

    def with_shared_buffers(self, setting: str | None) -> None:
        """Restart PostgreSQL with another buffer pool; None is the default."""
        self.app.close()
        self.postgres.stop("fast")
        del self.postgres
        self.shared_buffers = setting
        self.execute("SELECT 1")

    def execute(self, statement: Any, *values: object) -> list[dict[str, Any]]:
        """Run a statement outside any transaction; its rows."""
        from psycopg.rows import dict_row

        with psycopg.connect(self.postgres.dsn, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def settings_text(self) -> str:
        """The settings that speed depends on."""
        return ", ".join(f"{name}={self.execute(f'SHOW {name}')[0][name]}" for name in _SHOWN)

    @cached_property
    def azurite(self) -> Azurite:
        """The storage emulator, for what goes through the real queue."""
        blob, queue, table = free_ports(3)
        emulator = Azurite(
            self.directory / "azurite",
            blob,
            queue,
            table,
            base=self.directory,
            installation=LOCAL_DIR / "azurite",
        )
        emulator.start()
        return emulator

    @cached_property
    def source_url(self) -> str:
        """The source's base URL; its pages are rendered when this returns."""
        tables = [{name: value for name, value in table.items() if name != "later"} for table in self._tables]
        what = {"rows": max(int(str(table["rows"])) for table in tables), "tables": tables}
        command = [sys.executable, "-m", "tests.bench.source", json.dumps(what)]
        self._source = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        assert self._source.stdout is not None
        port = self._source.stdout.readline().strip()
        if not port:
            raise RuntimeError("the benchmark's source did not start; its error stands above")
        return f"http://{LOOPBACK}:{port}"

    def next_edition(self) -> None:
        """Let one row in a hundred change at the source; the pages are ready when this returns."""
        self._edition += 1
        self._control("edition", {"edition": self._edition})

    def prepare(self, slug: str) -> None:
        """Ask for the first page that a run of this table will ask for, so that the source has it rendered."""
        import httpx

        from shared.sync.model import VersionSpec
        from shared.sync.rowversion import lower_bound

        found = self.execute(
            "SELECT t.watermark, e.overlap FROM bridge.erp_sync_state t JOIN bridge.entities e ON e.uid = t.entity_uid"
            " WHERE e.slug = %s AND e.delta_strategy = 'rowversion'", slug)  # fmt: skip
        lower = (
            lower_bound(found[0]["watermark"], found[0]["overlap"], VersionSpec("number")) if found else None
        )
        asked = {"page": "1"} | ({} if lower is None else {"rowversion_gt": lower})
        httpx.get(f"{self.source_url}/api/v1/data/{slug}", params=asked, timeout=600).raise_for_status()

    def move_probes(self, versions: Mapping[str, int]) -> None:
        """Let the probes of these tables report these versions."""
        self._control("probed", versions)

    def _control(self, what: str, body: Mapping[str, int]) -> None:
        import httpx

        httpx.post(
            f"{self.source_url}/control/{what}", content=json.dumps(body), timeout=600
        ).raise_for_status()

    def environment(self) -> dict[str, str]:
        """The app's settings."""
        return {
            "AzureWebJobsStorage": "UseDevelopmentStorage=true",
            "POSTGRES_HOST": LOOPBACK,
            "POSTGRES_PORT": str(self.postgres.port),
            "POSTGRES_DB": self.postgres.database,
            "POSTGRES_USER": "tributary",
            "POSTGRES_PASSWORD": self.postgres.password,
            "AUTH_MODE": "local",
            "LOCAL_TOKEN_SECRET": "bench" * 10,
            "CONNECTOR_HOSTS": LOOPBACK,
            "DEFAULT_PAGE_SIZE": "10000",
            "RATE_LIMIT_PER_MINUTE": "100000",
            "LOG_LEVEL": "ERROR",
            "LOG_FORMAT": "text",
        }

    @cached_property
    def app(self) -> BenchApp:
        """An app in this process, for what is not measured."""
        from shared.settings import load_settings

        os.environ.update(self.environment())
        return BenchApp(load_settings())

    @cached_property
    def api(self) -> Any:
        """The management API."""
        from fastapi.testclient import TestClient

        from shared.adapters.tokens import sign_local_token

        token = sign_local_token("bench" * 10, "bench", ["admin", "tenant:*"], 86_400)
        return TestClient(self.app.http, headers={"Authorization": f"Bearer {token}"})

    @cached_property
    def connector(self) -> str:
        """The source as a registered connector."""
        body = {"name": "bench", "base_url": self.source_url, "auth": {"type": "none"}}
        return str(_ok(self.api.post("/api/v1/connectors", json=body))["uid"])

    def discover(self, slugs: Sequence[str]) -> None:
        """Make entities and target tables of these tables."""
        for start in range(0, len(slugs), 1000):
            body = {"slugs": list(slugs[start : start + 1000])}
            _ok(self.api.post(f"/api/v1/connectors/{self.connector}/discover", json=body))

    def entity(self, slug: str) -> UUID:
        """The entity of a table; tables marked `later` are left to `discover`."""
        return self._entities[slug]

    @cached_property
    def _entities(self) -> dict[str, UUID]:
        slugs = [str(table["slug"]) for table in self._tables if not table.get("later")]
        self.discover(slugs)
        return {row["slug"]: row["uid"] for row in self.execute("SELECT slug, uid FROM bridge.entities")}

    def work(self, job: str, extra: Mapping[str, str] | None = None, **arguments: object) -> dict[str, Any]:
        """What a fresh worker process says of a job."""
        return self.work_in("tests.bench.worker", extra=extra, job=job, **arguments)

    def work_in(
        self, module: str, *options: str, extra: Mapping[str, str] | None = None, **arguments: object
    ) -> dict[str, Any]:
        """The last line that a module prints in a process of its own, given the options and the arguments as JSON."""
        environment = os.environ | self.environment() | dict(extra or {})
        command = [sys.executable, "-m", module, *options, json.dumps(arguments, default=str)]
        done = subprocess.run(
            command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{module} {arguments.get('job', '')} failed; its error stands above")
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    def close(self) -> None:
        """End everything that was started, and remove its files; one that fails to end does not keep the others."""
        made = vars(self)
        with ExitStack() as ends:
            ends.callback(shutil.rmtree, self.directory, ignore_errors=True)
            if "postgres" in made:
                ends.callback(self.postgres.stop, "immediate")
            if "azurite" in made:
                ends.callback(self.azurite.stop)
            if "app" in made:
                ends.callback(self.app.close)
            if self._source is not None:
                ends.callback(self._source.wait)
                ends.callback(self._source.kill)


def _ok(response: Any) -> dict[str, Any]:
    if response.status_code >= 300:
        raise RuntimeError(f"the management API answered {response.status_code}: {response.text[:500]}")
    body: dict[str, Any] = response.json() if response.content else {}
    return body
