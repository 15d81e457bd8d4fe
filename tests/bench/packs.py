"""How fast the share packs' routes answer: `python -m tests.bench.packs [--times 60]`, ends with one JSON object a line.

Requests go through the whole ASGI application (gate, token, routes, stores, outbox), in this process and without a
socket, over PostgreSQL with its durable settings, Azurite and the workspace stand-in. Medians in milliseconds stand
beside what the predecessor said of itself.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median, quantiles
from typing import Any

import httpx

from infra.local.workspace import WorkspaceServer
from shared.adapters.tokens import sign_local_token
from tests.bench.rig import Rig
from tests.integration.sharing import world as worlds
from tests.integration.sharing.world import PACK, PackWorld

PREDECESSOR_MS = {"upload": "80-230", "status": "5", "history": "10", "health": "20"}
WARM = 5
Request = Callable[[int], dict[str, Any]]


@contextmanager
def installation() -> Iterator[PackWorld]:
    """An installation of its own in a temporary directory; all of it ends with the block."""
    rig = Rig(1, [])
    try:
        with WorkspaceServer() as workspace:
            world = PackWorld(
                rig.postgres.dsn, rig.azurite.connection_string, workspace, rig.directory / "vault",
                workflow_approval="never",
            )  # fmt: skip
            try:
                yield world
            finally:
                world.close()
    finally:
        rig.close()


def requests(world: PackWorld, pack: str) -> dict[str, Request]:
    """Each kind of request, numbered: an upload's bytes are new every time."""
    url = {"X-Workspace-URL": world.workspace.url}

    def upload(number: int) -> dict[str, Any]:
        files = {"file": ("pack.yaml", f"{PACK}# {number}\n")}
        return {"method": "POST", "url": "/workflow/sharepack/upload", "files": files, "headers": url}

    def get(path: str) -> Request:
        return lambda _: {"method": "GET", "url": path}

    at = f"/workflow/sharepack/{pack}"
    return {
        "upload": upload,
        "status": get(at),
        "history": get(f"{at}/history"),
        "health": get("/workflow/health"),
    }


async def measure(world: PackWorld, pack: str, times: int) -> list[dict[str, Any]]:
    """A line for each kind."""
    who, *roles = worlds.OPERATOR
    token = sign_local_token(worlds._SECRET, who, roles, 3600)
    lines = []
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(world.app.http),
        base_url="http://bench",
        headers={"Authorization": f"Bearer {token}"},
    ) as client:
        for name, request in requests(world, pack).items():
            taken = [await _timed(client, request(number)) for number in range(WARM + times)][WARM:]
            lines.append({
                "name": f"sharepack_{name}", "times": times, "median_ms": round(median(taken), 1),
                "p95_ms": round(quantiles(taken, n=20)[-1], 1), "predecessor_ms": PREDECESSOR_MS[name],
            })  # fmt: skip
    return lines


async def _timed(client: httpx.AsyncClient, request: dict[str, Any]) -> float:
    began = time.perf_counter()
    answer = await client.request(**request)
    taken = (time.perf_counter() - began) * 1000
    if answer.status_code not in (200, 202):
        raise RuntimeError(f"{request['method']} {request['url']}: {answer.status_code} {answer.text}")
    return taken


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.packs")
    parser.add_argument("--times", type=int, default=60, help="requests of each kind")
    times = parser.parse_args().times
    with installation() as world:
        pack = world.provisioned()
        for line in asyncio.run(measure(world, pack, times)):
            print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
