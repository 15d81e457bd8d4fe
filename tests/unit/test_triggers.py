"""Triggers hand over what they were given, their invocation's trace included, and decide nothing."""

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure.functions as func
import pytest

import function_app

ROOT = Path(__file__).resolve().parents[2]
TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"
CONTEXT = SimpleNamespace(trace_context=SimpleNamespace(trace_parent=TRACEPARENT))


@pytest.fixture(scope="module")
def functions() -> dict[str, Any]:
    """Each function as its author wrote it; an app gives them once."""
    app = func.FunctionApp()
    for value in vars(function_app).values():
        if isinstance(getattr(value, "bp", None), func.Blueprint) and value is not function_app.trigger:
            app.register_functions(value.bp)
    app.register_functions(function_app.trigger.bp)
    return {found.get_function_name(): found.get_user_function() for found in app.get_functions()}


class Recorder:
    """An application that notes what it is asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.calls.append((name, arguments))


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr("shared.composition._app", lambda: recorder)
    return recorder


@pytest.mark.parametrize("name", [
    "detect_changes", "load_in_window", "retry_rejects", "watch_health", "remind_share_packs", "watch_shares",
    "request_directory",
])  # fmt: skip
def test_timer_passes_on_its_trace(functions: dict[str, Any], application: Recorder, name: str) -> None:
    functions[name](None, CONTEXT)
    assert application.calls == [(name, (TRACEPARENT,))]


def test_queue_functions_pass_on_message_and_trace(functions: dict[str, Any], application: Recorder) -> None:
    message = SimpleNamespace(get_body=lambda: b"{}", id="m", dequeue_count=3)
    functions["sync_table"](message, CONTEXT)
    functions["handle_poison"](message, CONTEXT)
    functions["provision_share_pack"](message, CONTEXT)
    functions["sync_directory"](message, CONTEXT)
    functions["record_share_pack_poison"](message, CONTEXT)
    functions["record_directory_poison"](message, CONTEXT)
    assert application.calls == [
        ("sync_table", (b"{}", "m", 3, TRACEPARENT)),
        ("handle_poison", (b"{}", "m", TRACEPARENT)),
        ("provision_share_pack", (b"{}", "m", 3, TRACEPARENT)),
        ("sync_directory", (b"{}", TRACEPARENT)),
        ("record_poison", ("AZURE_QUEUE_NAME", b"{}", "m", TRACEPARENT)),
        ("record_poison", ("DIRECTORY_QUEUE_NAME", b"{}", "m", TRACEPARENT)),
    ]


def test_every_function_takes_its_context_as_the_worker_gives_it(functions: dict[str, Any]) -> None:
    """The worker fills a parameter of this name and annotation, and no other."""
    for name, function in functions.items():
        assert inspect.signature(function).parameters["context"].annotation is func.Context, name


def test_triggers_stay_thin() -> None:
    files = [path for path in (ROOT / "functions").glob("*.py") if len(path.read_text().splitlines()) > 40]
    assert files == []
