"""A fork server: it imports everything once, then forks one child per attempt, so that kill -9 costs little.

Run as `python -m tests.torture.worker`; commands come as JSON lines on stdin, answers leave on stdout.

    {"op": "start", "env": {...}, "arm": "...", "log": path, "action": ["tick"] | ["window"] | ["deliver", body, id, count]
     | ["provision", body, id, count] | ["upload", text, workspace]
     | ["pump", file whose presence ends it, seed],
     "chunk_rows": n, "delete_batch": n}              -> {"pid": n}
    {"op": "wait", "pid": n}                          -> {"code": n | null, "signal": n | null, "stopped": bool}
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import ResourceNotFoundError

if TYPE_CHECKING:
    from shared.composition import App

CODE_OF_ERRORS = 3
DUPLICATED = 0.2
PUMP_VISIBILITY_S = 15


def serve() -> None:
    """Answer commands until stdin ends; then no child is left."""
    _import_everything()
    _say({"ready": True})
    children: set[int] = set()
    for line in sys.stdin:
        command = json.loads(line)
        if command["op"] == "start":
            pid = _fork(command)
            children.add(pid)
            _say({"pid": pid})
        else:
            answer = _wait(command["pid"])
            if not answer["stopped"]:
                children.discard(command["pid"])
            _say(answer)
    for pid in children:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _import_everything() -> None:
    # polars starts its threads on first use, which happens in children only: a fork would lose them.

    import shared.adapters.connectors
    import shared.adapters.databricks.workspace
    import shared.adapters.postgres.agenda
    import shared.adapters.postgres.catalogue
    import shared.adapters.postgres.finished
    import shared.adapters.postgres.poison
    import shared.adapters.postgres.target
    import shared.composition.sharing
    import shared.sync.background
    import shared.sync.deliver
    import shared.sync.run
    import shared.sync.tick  # noqa: F401


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _wait(pid: int) -> dict[str, Any]:
    _, status = os.waitpid(pid, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        return {"code": None, "signal": None, "stopped": True}
    if os.WIFSIGNALED(status):
        return {"code": None, "signal": os.WTERMSIG(status), "stopped": False}
    return {"code": os.WEXITSTATUS(status), "signal": None, "stopped": False}


def _fork(command: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = CODE_OF_ERRORS
    try:
        _into(command["log"])
        os.environ.update(command["env"])
        _act(command)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _into(log: str) -> None:
    """stdout belongs to the server's answers; what a child says goes to its own file."""
    with open(log, "ab") as file, open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def _act(command: dict[str, Any]) -> None:
    from shared import failpoints
    from shared.composition import App
    from shared.settings import load_settings

    app = App(load_settings())
    app.runner = replace(app.runner, chunk_rows=command["chunk_rows"], delete_batch=command["delete_batch"])
    failpoints.arm(command["arm"])
    kind, *rest = command["action"]
    if kind == "tick":
        app.detect_changes()
    elif kind == "window":
        app.load_in_window()
    elif kind == "pump":
        _pump(app, *rest)
    elif kind == "upload":
        _upload(app, *rest)
    elif kind == "provision":
        body, message_id, dequeue_count = rest
        app.workspace_calls_per_s = 10_000.0
        app.provision_share_pack(body.encode(), message_id, dequeue_count)
    else:
        body, message_id, dequeue_count = rest
        app.sync_table(body.encode(), message_id, dequeue_count)
    app.close()


def _upload(app: App, text: str, workspace: str) -> None:
    """Take a share pack in, as its requestor."""
    from shared.sharing.views import Actor

    assert app.sharing is not None
    ada = Actor("ada@example.org", "ada@example.org", False, frozenset({"finance"}))
    app.sharing.workflow.upload(ada, workspace, text.encode(), "pack.yaml")


def _pump(app: App, stop: str, seed: int) -> None:
    """Work like a host on whatever is visible, every fifth message sent a second time, until `stop` exists."""
    from azure.storage.queue import QueueClient, TextBase64DecodePolicy, TextBase64EncodePolicy

    chance = random.Random(seed)
    queue = QueueClient.from_connection_string(
        os.environ["AzureWebJobsStorage"], os.environ["SYNC_QUEUE_NAME"],  # noqa: SIM112 - its name
        message_decode_policy=TextBase64DecodePolicy(), message_encode_policy=TextBase64EncodePolicy(),
    )  # fmt: skip
    while not os.path.exists(stop):
        message = queue.receive_message(visibility_timeout=PUMP_VISIBILITY_S)
        if message is None:
            time.sleep(0.05)
            continue
        if chance.random() < DUPLICATED:
            queue.send_message(message.content)
        app.sync_table(message.content.encode(), message.id, message.dequeue_count or 1)
        with suppress(ResourceNotFoundError):  # it took too long, so another host has the message now
            queue.delete_message(message)
    queue.close()


if __name__ == "__main__":
    serve()
