"""`python -m infra.local.stack up|down|status|settings`: the whole stack, started in order and stopped in reverse.

Progress goes to standard error, results to standard output. `up` and `down` may be repeated; data stays in `.local/`.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from infra.local import environment, processes, storage
from infra.local.azurite import Azurite
from infra.local.errors import LocalStackError
from infra.local.host.errors import HostError
from infra.local.paths import LOCAL_DIR, REPO_ROOT
from infra.local.ports import LOOPBACK, Ports
from infra.local.postgres import SUPERUSER, PostgresServer
from infra.local.progress import say
from infra.local.sample_erp.erp import Credentials
from infra.local.secret import kept_secret
from infra.local.workspace.identity import PROVISIONER


@dataclass(frozen=True)
class Part:
    """One server of the stack, as `up`, `down` and `status` see it."""

    name: str
    url: str
    start: Callable[[], bool]
    stop: Callable[[], bool]
    running: Callable[[], bool]


@dataclass(frozen=True)
class Stack:
    """The servers for one set of ports and one data directory; `app` is the app the host loads."""

    ports: Ports
    base: Path = LOCAL_DIR
    app: Path = REPO_ROOT

    @property
    def postgres(self) -> PostgresServer:
        """The database server."""
        return PostgresServer(self.base / "postgres", self.ports.postgres, self.base / "postgres.secret")

    @property
    def azurite(self) -> Azurite:
        """The storage emulator."""
        ports = self.ports
        return Azurite(
            self.base / "azurite-data",
            ports.azurite_blob,
            ports.azurite_queue,
            ports.azurite_table,
            base=self.base,
        )

    @cached_property
    def environment(self) -> dict[str, str]:
        """What the host and the app read: see `environment.compose`."""
        return environment.compose(self.computed(), self.app, os.environ)

    def computed(self) -> dict[str, str]:
        """The settings that follow from the stack itself."""
        erp = Credentials()
        return {
            "FUNCTIONS_WORKER_RUNTIME": "python",
            "AzureWebJobsStorage": self.azurite.connection_string,
            "AzureWebJobsDisableHomepage": "true",
            "AUTH_MODE": "local",
            "LOCAL_TOKEN_SECRET": kept_secret(self.base / "token.secret"),
            "CONNECTOR_HOSTS": LOOPBACK,
            "POSTGRES_HOST": LOOPBACK,
            "POSTGRES_PORT": str(self.ports.postgres),
            "POSTGRES_DB": self.postgres.database,
            "POSTGRES_USER": SUPERUSER,
            "POSTGRES_PASSWORD": self.postgres.password,
            # The sample ERP's credentials, under the name that its connector's secret has.
            "SAMPLE_ERP": json.dumps({"client_id": erp.client_id, "client_secret": erp.client_secret}),
            "ENABLE_WORKFLOW": "true",
            "WORKFLOW_APPROVAL": "widening",
            "LOCAL_VAULT_DIR": str(self.base / "vault"),
            "DATABRICKS_HOSTS": f"{LOOPBACK}:{self.ports.workspace}",
            "DATABRICKS_TOKEN": PROVISIONER.token,
            # Somebody is watching: an idle queue is asked every second.
            "AzureFunctionsJobHost__extensions__queues__maxPollingInterval": "00:00:01",
        }

    def parts(self) -> tuple[Part, ...]:
        """All servers in the order they start."""
        postgres, azurite = self.postgres, self.azurite
        return (
            Part(
                "postgres",
                f"postgresql://{SUPERUSER}@{LOOPBACK}:{self.ports.postgres}/{postgres.database}",
                postgres.start, postgres.stop, lambda: postgres.running() is not None,
            ),
            Part(
                "azurite",
                f"http://{LOOPBACK}:{self.ports.azurite_queue}",
                self._start_azurite, azurite.stop, lambda: processes.running(azurite.service()) is not None,
            ),
            self._child("erp", self.erp_service),
            self._child("workspace", self.workspace_service),
            self._child("host", self.host_service),
        )  # fmt: skip

    def erp_service(self) -> processes.Service:
        """The sample ERP."""
        return self._python(
            "erp", self.ports.erp, "ERP_PORT", "/control/health",
            ["infra.local.sample_erp", "--port", str(self.ports.erp), "--data", str(self.base / "erp")], {},
        )  # fmt: skip

    def workspace_service(self) -> processes.Service:
        """The stand-in for a Databricks workspace."""
        port, data = self.ports.workspace, self.base / "workspace"
        return self._python(
            "workspace", port, "WORKSPACE_PORT", "/control/health",
            ["infra.local.workspace", "--port", str(port), "--data", str(data)], {},
        )  # fmt: skip

    def host_service(self) -> processes.Service:
        """The Functions host."""
        return self._python(
            "host", self.ports.host, "HOST_PORT", "/api/v1/health",
            ["infra.local.host", "--port", str(self.ports.host), "--app", str(self.app)], self.environment,
        )  # fmt: skip

    def _python(
        self, name: str, port: int, moved_by: str, health: str, arguments: list[str], env: Mapping[str, str]
    ) -> processes.Service:
        url = f"http://{LOOPBACK}:{port}{health}"
        return processes.Service(
            name=name,
            command=[sys.executable, "-m", *arguments],
            ports={port: moved_by},
            ready=lambda: processes.answers_ok(url),
            run_dir=self.base / "run",
            log_dir=self.base / "logs",
            environment=env,
            directory=REPO_ROOT,
            start_timeout_s=120,
        )

    def _child(self, name: str, service: Callable[[], processes.Service]) -> Part:
        return Part(
            name,
            f"http://{LOOPBACK}:{next(iter(service().ports))}",
            lambda: processes.start(service()),
            lambda: processes.stop(service()),
            lambda: processes.running(service()) is not None,
        )

    def _start_azurite(self) -> bool:
        started = self.azurite.start()
        storage.prepare(self.environment)
        return started


def up(stack: Stack) -> None:
    """Start what does not run yet, in order."""
    for part in stack.parts():
        started = part.start()
        say(f"{part.name} {'started' if started else 'runs already'}: {part.url}")


def down(stack: Stack) -> None:
    """Stop what runs, in reverse; what is not running is passed over."""
    for part in reversed(stack.parts()):
        if part.stop():
            say(f"{part.name} stopped")


def status(stack: Stack) -> dict[str, dict[str, object]]:
    """Which servers run, and where."""
    return {part.name: {"running": part.running(), "url": part.url} for part in stack.parts()}


def main() -> int:
    """0 when done (for `status`: when everything runs), 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.stack", description=__doc__)
    parser.add_argument("verb", choices=["up", "down", "status", "settings"])
    verb = parser.parse_args().verb
    try:
        return _run(verb, Stack(Ports.from_environment(os.environ)))
    except (LocalStackError, HostError) as error:
        print(f"stack: {error}", file=sys.stderr)
        return 1


def _run(verb: str, stack: Stack) -> int:
    if verb == "up":
        up(stack)
    elif verb == "down":
        down(stack)
    elif verb == "settings":
        print(json.dumps({"IsEncrypted": False, "Values": stack.environment}, indent=2))
    else:
        found = status(stack)
        print(json.dumps(found, indent=2))
        return 0 if all(part["running"] for part in found.values()) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
