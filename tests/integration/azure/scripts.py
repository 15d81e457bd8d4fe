"""Our Azure scripts, run as a person would, against a stand-in for `az` and an app on loopback.

scripts = Scripts(tmp_path, app)
done = scripts.run("deploy.sh", "--env", "dev", "--location", "norwayeast")
done.code, done.out, done.err, scripts.cloud, scripts.writes()
"""

import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.azure_cli import cloud
from tests.azure_cli.command_line import read
from tests.azure_cli.stand_in import StandIn

ROOT = Path(__file__).resolve().parents[3]
GROUP, FACTORY = "tributary-dev", "adf-tributary-dev"
PACKAGE = b"a package"
READS = ("show", "list", "exists", "validate", "what-if", "version", "get-access-token", "build")


@dataclass(slots=True)
class FakeApp:
    """The app's interface on loopback: answers what it is told, remembers what it was asked."""

    answers: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, asked: str) -> tuple[int, Any]:
        """The next prepared answer, the last one again and again."""
        self.asked.append(asked)
        prepared = self.answers.get(asked) or [(200, {"status": "ok", "applied": ["0001_first"]})]
        return prepared.pop(0) if len(prepared) > 1 else prepared[0]


class _Handler(BaseHTTPRequestHandler):
    app: FakeApp

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.app.tokens.append(self.headers.get("authorization", ""))
        status, body = self.app.answer(f"{self.command} {self.path}")
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST  # noqa: N815 # the names are http.server's
    do_PUT = do_POST  # noqa: N815 # likewise

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the tests read `asked`."""


def serve(app: FakeApp) -> ThreadingHTTPServer:
    """Start answering; the caller shuts the server down."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"app": app}))
    app.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


@dataclass(frozen=True, slots=True)
class Done:
    """How a script ended and what it said."""

    code: int
    out: str
    err: str


class Scripts:
    """A copy of the scripts beside a `bin` that holds the stand-ins."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.root = folder, folder / "repository"
        self.azure = StandIn(cloud.fresh(_outputs(url)))
        _copy(self.root)
        self.package = self.root / "dist" / "tributary.zip"
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.azure.install(self.bin)
        self.stand_in("python3", f'exec "{sys.executable}" -I -S "$@"')
        self.stand_in("make", f'mkdir -p "{self.package.parent}"; printf "a package" >"{self.package}"')

    @property
    def cloud(self) -> dict[str, Any]:
        """The subscription and the directory as they are now."""
        return self.azure.state

    def stand_in(self, name: str, body: str, folder: Path | None = None) -> None:
        """An executable of this name, first on the path of the scripts."""
        path = (folder or self.bin) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def start(self, script: str, *arguments: str, tries: int = 3) -> "subprocess.Popen[str]":
        """The script, running."""
        environment = {
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}", "HOME": str(self.folder), "TMPDIR": str(self.folder),
            "TRIES": str(tries), "WAIT_SECONDS": "0", "NO_PROXY": "127.0.0.1",
        }  # fmt: skip
        return subprocess.Popen(
            ["bash", str(self.root / "infra" / script), *arguments],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def finished(self, process: "subprocess.Popen[str]", given: str = "") -> Done:
        """How it ended."""
        out, err = process.communicate(given, timeout=120)
        return Done(process.returncode, out, err)

    def run(self, script: str, *arguments: str, given: str = "") -> Done:
        """Start it and wait."""
        self.cloud["calls"] = []
        return self.finished(self.start(script, *arguments), given)

    def calls(self) -> list[list[str]]:
        """Every call of the last run, in order."""
        return list(self.cloud["calls"])

    def writes(self) -> list[str]:
        """The calls of the last run that change something: the command, for `rest` with method and last path part."""
        return [told for words in self.calls() if (told := _write(words))]


def _write(words: Sequence[str]) -> str:
    call = read(words)
    if call.command == "rest":
        method = call.get("--method")
        return (
            "" if method == "get" else f"rest {method} {call.get('--url').partition('?')[0].split('/')[-1]}"
        )
    return "" if call.command.split()[-1] in READS else call.command


def _copy(root: Path) -> None:
    infra = root / "infra"
    for folder in ("azure", "entra"):
        shutil.copytree(ROOT / "infra" / folder, infra / folder)
    for script in (ROOT / "infra").glob("*.sh"):
        shutil.copy(script, infra)
    (infra / "package").mkdir()
    shutil.copy(ROOT / "infra" / "package" / "target.py", infra / "package")
    (infra / "parameters").mkdir()
    for name, private in (("dev", False), ("prod", True)):
        stated = {"parameters": {"privateNetworking": {"value": private}}}
        (infra / "parameters" / f"{name}.parameters.json").write_text(json.dumps(stated))


def _outputs(url: str) -> dict[str, Any]:
    return {
        "functionAppName": "func-tributary-dev", "functionAppUrl": url, "pythonVersion": "3.13",
        "identityName": "id-tributary-dev", "identityPrincipalId": cloud.IDENTITY,
        "keyVaultUrl": "https://kv-trib-dev.vault.azure.net/", "postgresServerName": "psql-tributary-dev",
        "postgresHost": "psql-tributary-dev.postgres.database.azure.com", "postgresDatabase": "tributary",
        "dataFactoryName": FACTORY, "dataFactoryPrincipalId": cloud.FACTORY_PRINCIPAL,
        "dataFactoryMonitoringUrl": "https://adf.azure.com/monitoring", "dataFactoryTriggers": ["nightly"],
        "dataFactoryPrivateEndpoints": [{"name": "pg", "resourceId": "/subscriptions/x/psql", "groupId": "postgresqlServer"}],
        "workbookUrl": "https://portal.azure.com/workbook", "applicationInsightsName": "appi-tributary-dev",
    }  # fmt: skip
