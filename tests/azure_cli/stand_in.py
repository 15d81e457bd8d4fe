"""The `az` of the tests: reads its arguments by the real command table, acts on a Cloud, and records each call.

`az` itself is a few lines of shell that hand their arguments to this process: a deployment calls it forty times, and
forty starts of Python would be the better part of a test.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jmespath

from tests.azure_cli.cloud import AzureError, Cloud, Json
from tests.azure_cli.command_line import UnknownCommandError, read

# Exit codes as the real one's: 2 for what it does not understand, 1 for what it fails at.
_STATUS = {0: 200, 1: 500, 2: 400}
_SHELL = """#!/bin/sh
out=$(mktemp)
status=$(printf '%s\\0' "$@" | curl --silent --data-binary @- --output "$out" --write-out '%{{http_code}}' {url})
case $status in
    200) code=0; cat "$out" ;;
    500) code=1; cat "$out" >&2 ;;
    *) code=2; cat "$out" >&2 ;;
esac
rm -f "$out"
exit $code
"""


class StandIn:
    """Serves calls on loopback until it is closed; `state` may be looked at and changed between runs."""

    def __init__(self, state: Json) -> None:
        self.state = state
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"stand_in": self}))
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def install(self, folder: Path) -> None:
        """Leave an executable `az` in this folder."""
        path = folder / "az"
        path.write_text(_SHELL.format(url=f"http://127.0.0.1:{self._server.server_port}"))
        path.chmod(0o755)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, words: list[str]) -> tuple[int, str]:
        """Exit code and what is printed, on standard output only where the code is 0."""
        try:
            call = read(words)
        except UnknownCommandError as error:
            return 2, f"{error}\n"
        self.state["calls"].append(words)
        try:
            found = Cloud(self.state).run(call)
        except AzureError as error:
            return 1, f"{error}\n"
        query = call.get("--query")
        return 0, shown(jmespath.search(query, found) if query else found, call.get("--output", "json"))


class _Handler(BaseHTTPRequestHandler):
    stand_in: StandIn

    def do_POST(self) -> None:
        """One call: its arguments, each ended by a NUL."""
        content = self.rfile.read(int(self.headers["content-length"])).decode()
        code, text = self.stand_in.answer(content.split("\0")[:-1])
        self.send_response(_STATUS[code])
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the tests read the calls."""


def shown(answer: Any, output: str) -> str:
    """As az prints it; a table is near enough to lines of tab-separated values."""
    if output == "none" or answer is None:
        return ""
    if output == "json":
        return json.dumps(answer) + "\n"
    rows = answer if isinstance(answer, list) else [answer]
    return "".join(f"{_row(row)}\n" for row in rows)


def _row(row: Any) -> str:
    if isinstance(row, dict):
        row = list(row.values())
    if isinstance(row, list):
        return "\t".join(_row(cell) for cell in row)
    if isinstance(row, bool):
        return str(row).lower()
    return "" if row is None else str(row)
