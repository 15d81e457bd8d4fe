"""`python -m infra.local.demo [--once] [--data DIR]`: start the stack, tell the story, end with one line of JSON.

Without `--once` the stack stays up. Ctrl-C ends the telling; with `--once` it still stops everything.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from azure.core.exceptions import AzureError
from azure.data.tables import TableClient

from infra.local import access
from infra.local.demo.client import Client, DemoError
from infra.local.demo.sharing import TENANT, Sharing
from infra.local.demo.story import Story
from infra.local.errors import LocalStackError
from infra.local.host.errors import HostError
from infra.local.paths import LOCAL_DIR, REPO_ROOT
from infra.local.ports import LOOPBACK, Ports
from infra.local.stack import Stack, down, up

INTERRUPTED = 130


def main() -> int:
    """0 if every check held, 1 if one did not, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="stop everything at the end")
    parser.add_argument("--data", type=Path, default=LOCAL_DIR, help="where the stack keeps its data")
    asked = parser.parse_args()
    try:
        stack = Stack(Ports.from_environment(os.environ), asked.data)
        summary = _perform(stack, asked.once)
    except LocalStackError as error:
        summary = {"ok": False, "problems": [str(error)]}
    except KeyboardInterrupt:
        print("demo: interrupted" + ("" if asked.once else "; make down stops what runs"), file=sys.stderr)
        return INTERRUPTED
    for problem in summary.get("problems", []):
        print(f"demo: {problem}", file=sys.stderr)
    print(json.dumps(summary), flush=True)
    return 0 if summary["ok"] else 1


def _perform(stack: Stack, once: bool) -> dict[str, Any]:
    try:
        return _tell(stack, once)
    finally:
        if once:
            down(stack)


def _tell(stack: Stack, once: bool) -> dict[str, Any]:
    began = time.monotonic()
    problems: list[str] = []
    told: dict[str, Any] = {}
    try:
        up(stack)
        with TableClient.from_connection_string(stack.azurite.connection_string, "heartbeats") as heartbeats:
            story = _story(stack, heartbeats, problems)
            told = story.tell()
        told |= _sharing(stack, problems).tell()
        if not once:
            _say(f"\nStill running (make down stops it):\n{access.addresses(stack)}")
            _say(f"  a token     {access.token(stack, 'demo')}")
    except (DemoError, LocalStackError, HostError, AzureError) as error:
        problems.append(str(error))
    seconds = round(time.monotonic() - began, 1)
    summary = {"ok": not problems, "seconds": seconds, **told}
    return {**summary, "problems": problems} if problems else summary


def _story(stack: Stack, heartbeats: TableClient, problems: list[str]) -> Story:
    host = f"http://{LOOPBACK}:{stack.ports.host}"
    erp = f"http://{LOOPBACK}:{stack.ports.erp}"
    return Story(
        host=Client("host", host, access.token(stack, "demo")),
        erp=Client("sample ERP", erp),
        heartbeats=heartbeats,
        remembered=stack.base / "demo.json",
        say=_say,
        problems=problems,
    )


def _sharing(stack: Stack, problems: list[str]) -> Sharing:
    host = f"http://{LOOPBACK}:{stack.ports.host}"
    operator = access.token(stack, "requestor@example.org", ["operator", "reader", f"tenant:{TENANT}"])
    return Sharing(
        operator=Client("host", host, operator),
        approver=Client("host", host, access.token(stack, "approver@example.org")),
        workspace=Client("workspace stand-in", f"http://{LOOPBACK}:{stack.ports.workspace}"),
        root=REPO_ROOT,
        say=_say,
        problems=problems,
    )


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
