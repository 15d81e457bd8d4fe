"""Index an app with the official Python 3.13 runtime library and invoke one function of each kind through it.

`drive.py APP_DIR [--timer NAME] [--queue NAME BODY] [--http NAME METHOD PATH]`; prints one JSON object. Run by an
interpreter that has azure-functions-runtime and the app's requirements; a kind not named takes its first function.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
import uuid
from importlib.metadata import version
from pathlib import Path
from typing import Any

import protos  # type: ignore[import-not-found]  # beside this script, whose folder Python puts on the path

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
KINDS = {"timer": "timerTrigger", "queue": "queueTrigger", "http": "httpTrigger"}


def request(**message: Any) -> Any:
    """A request with the properties every one carries."""
    properties = {"host": "127.0.0.1", "protos": protos}
    return protos.Message(request=protos.Message(**message), properties=properties)


async def index(runtime: Any, app: Path) -> list[Any]:
    """The app's functions, as the host would be told."""
    init = protos.Message(capabilities={}, function_app_directory=str(app))
    started = await runtime.worker_init_request(request(worker_init_request=init))
    if started.result.status != protos.StatusResult.Success:
        sys.exit(
            f"indexing failed: {started.result.exception.message}\n{started.result.exception.stack_trace}"
        )
    answer = await runtime.functions_metadata_request(request(functions_metadata_request=protos.Message()))
    for function in answer.function_metadata_results or []:
        load = protos.Message(function_id=function.function_id)
        await runtime.function_load_request(request(function_load_request=load))
    return list(answer.function_metadata_results or [])


async def invoke(runtime: Any, function: Any, data: Any, metadata: dict[str, Any]) -> dict[str, Any]:
    """What one invocation answered, in plain values."""
    trigger = next(name for name, binding in function.bindings.items() if binding.type.endswith("Trigger"))
    invocation = protos.Message(
        invocation_id=str(uuid.uuid4()),
        function_id=function.function_id,
        input_data=[protos.ParameterBinding(name=trigger, data=data)],
        trigger_metadata=metadata,
        trace_context=protos.Message(trace_parent=TRACEPARENT, trace_state="", attributes={}),
        retry_context=protos.Message(retry_count=0, max_retry_count=0, exception=None),
    )
    answer = await runtime.invocation_request(request(invocation_request=invocation))
    failed = answer.result.status != protos.StatusResult.Success
    return {
        "name": function.name,
        "succeeded": not failed,
        "error": answer.result.exception.message if failed else None,
        "returned": plain(getattr(answer, "return_value", None)),
        "outputs": {each.name: plain(each.data) for each in getattr(answer, "output_data", None) or []},
    }


def plain(data: Any) -> Any:
    """Typed data as something JSON can hold."""
    kind = data.WhichOneof("data") if data is not None else None
    if kind is None:
        return None
    if kind == "http":
        return {
            "status": int(data.http.status_code),
            "headers": data.http.headers,
            "body": plain(data.http.body),
        }
    value = getattr(data, kind)
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def timer_data() -> Any:
    """A tick in time."""
    return protos.TypedData(json=json.dumps({"IsPastDue": False, "Schedule": {}, "ScheduleStatus": {}}))


def message_metadata() -> dict[str, Any]:
    """A queue message's metadata, first delivery."""
    moment = "2026-11-21T12:00:00+00:00"
    values = {"Id": str(uuid.uuid4()), "DequeueCount": 1, "PopReceipt": "receipt"}
    times = dict.fromkeys(("InsertionTime", "ExpirationTime", "NextVisibleTime"), moment)
    return {name: protos.TypedData(json=json.dumps(value)) for name, value in {**values, **times}.items()}


def http_data(method: str, path: str) -> Any:
    """A request without a body; the whole path is given as the catch-all's parameter."""
    return protos.TypedData(
        http=protos.RpcHttp(
            method=method, url=f"http://127.0.0.1:7071{path}", headers={"host": "127.0.0.1:7071"},
            params={"route": path.lstrip("/")}, query={}, body=protos.TypedData(bytes=b""),
        )
    )  # fmt: skip


def chosen(functions: list[Any], kind: str, name: str | None) -> Any:
    """The named function of this kind, or the first; None when there is none."""
    for function in functions:
        kinds = {binding.type for binding in function.bindings.values()}
        if KINDS[kind] in kinds and name in (None, function.name):
            return function
    return None


async def drive(arguments: argparse.Namespace) -> dict[str, Any]:
    """Index, invoke, and say what happened."""
    import azure_functions_runtime as runtime  # type: ignore[import-not-found]  # only in .venv313

    runtime.start_threadpool_executor()
    functions = await index(runtime, arguments.app)
    queue_name, body = arguments.queue
    http_name, method, path = arguments.http
    calls = {
        "timer": (arguments.timer, timer_data(), {}),
        "queue": (queue_name, protos.TypedData(string=body), message_metadata()),
        "http": (http_name, http_data(method, path), {}),
    }
    invocations = {}
    for kind, (name, data, metadata) in calls.items():
        function = chosen(functions, kind, name)
        invocations[kind] = await invoke(runtime, function, data, metadata) if function else None
    runtime.stop_threadpool_executor()
    return {
        "python": platform.python_version(),
        "runtime": version("azure-functions-runtime"),
        "sdk": version("azure-functions"),
        "functions": sorted(function.name for function in functions),
        "invocations": invocations,
    }


def main() -> int:
    """0 when the app was indexed; the JSON says how the invocations went."""
    parser = argparse.ArgumentParser()
    parser.add_argument("app", type=Path)
    parser.add_argument("--timer")
    parser.add_argument("--queue", nargs=2, default=[None, "hello"])
    parser.add_argument("--http", nargs=3, default=[None, "GET", "/"])
    arguments = parser.parse_args()
    arguments.app = arguments.app.resolve()
    os.chdir(arguments.app)
    # Last, as on the platform: whatever a dependency ships under our folders' names would shadow them.
    sys.path.append(str(arguments.app))
    print(json.dumps(asyncio.run(drive(arguments))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
