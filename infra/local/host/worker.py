"""The worker process: loads the app, runs its functions on one event loop and a sized pool, reports back.

It reads Invoke and Stop from the socket it inherits and answers Indexed or IndexFailed once, then one Finished
for each Invoke. When the host goes away, it ends at once.
"""

import asyncio
import logging
import os
import signal
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from infra.local.host import invocation, loader
from infra.local.host.errors import AppError
from infra.local.host.protocol import Finished, Indexed, IndexFailed, Invoke, Stop

THREADS_VARIABLE = "PYTHON_THREADPOOL_THREAD_COUNT"


class Worker:
    """Runs invocations; `directory` is the app's root."""

    def __init__(self, connection: "Connection[Any, Any]", directory: Path) -> None:
        self._connection, self._directory = connection, directory
        self._sending = threading.Lock()
        self._functions: dict[str, loader.Loaded] = {}
        threads = os.environ.get(THREADS_VARIABLE, "")
        self._pool = ThreadPoolExecutor(int(threads) if threads.isdigit() else None, "function")

    def index(self) -> bool:
        """Load the app and report; False when it cannot be loaded."""
        try:
            self._functions = loader.load(self._directory)
        except AppError as error:
            self._send(IndexFailed(str(error)))
        except Exception:
            # Whatever the app raises at import leaves zero functions; its traceback is the message.
            self._send(IndexFailed(f"importing function_app failed:\n{traceback.format_exc()}"))
        else:
            self._send(Indexed(tuple(function.info for function in self._functions.values())))
            return True
        return False

    async def serve(self) -> None:
        """Run what comes until told to stop."""
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        threading.Thread(target=self._receive, args=(loop, stopped), daemon=True).start()
        await stopped.wait()

    def _receive(self, loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                os._exit(1)
            if isinstance(message, Stop):
                loop.call_soon_threadsafe(stopped.set)
                return
            asyncio.run_coroutine_threadsafe(self._run(message), loop)

    async def _run(self, invoke: Invoke) -> None:
        try:
            function = self._functions[invoke.function]
            values = invocation.arguments(function, invoke, self._directory)
            if function.is_async:
                returned = await function.call(**values)
            else:
                loop = asyncio.get_running_loop()
                returned = await loop.run_in_executor(
                    self._pool, invocation.call, function, values, invoke.invocation_id
                )
            self._send(Finished(invoke.invocation_id, None, invocation.outputs(function, values, returned)))
        except Exception as error:
            self._send(
                Finished(invoke.invocation_id, f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
            )

    def _send(self, message: Indexed | IndexFailed | Finished) -> None:
        with self._sending:
            self._connection.send(message)


def main(arguments: list[str]) -> int:
    """`<socket descriptor> <app directory>`; 0 when told to stop, 1 when the app cannot be loaded."""
    # Ctrl-C reaches the whole foreground group; the host decides when the worker may end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=os.environ.get("LOG_LEVEL", "INFO"), stream=sys.stderr)
    logging.getLogger("azure").setLevel(logging.WARNING)
    worker = Worker(Connection(int(arguments[0])), Path(arguments[1]))
    if not worker.index():
        return 1
    asyncio.run(worker.serve())
    return 0
