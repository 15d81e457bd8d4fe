"""What a trigger starts belongs to the trace that its message brought, and a timer tells that it ran."""

import json
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from shared.composition import App, SystemClock
from shared.messages import NamedMessage
from shared.telemetry import configure_telemetry, traceparent

MESSAGE, INVOCATION = (f"00-{mark * 32}-{mark * 16}-01" for mark in "ab")
BODY = NamedMessage(UUID(int=1), MESSAGE).to_json().encode()


@pytest.fixture
def seen() -> list[str]:
    return []


@pytest.fixture
def app(seen: list[str]) -> App:
    """An application whose parts only say in which trace they were called."""

    def note(*_: Any) -> None:
        seen.append(traceparent())

    made = App.__new__(App)
    parts = {"sharing": SimpleNamespace(provision=note), "directory": SimpleNamespace(sync=note)}
    vars(made).update(parts)
    return made


def test_share_pack_is_provisioned_in_the_trace_of_its_message(app: App, seen: list[str]) -> None:
    app.provision_share_pack(BODY, "m", 1, INVOCATION)
    app.provision_share_pack(b"dead", "m", 1, INVOCATION)
    assert seen == [MESSAGE, INVOCATION]


def test_directory_is_synced_in_the_trace_of_its_message(app: App, seen: list[str]) -> None:
    app.sync_directory(BODY, INVOCATION)
    app.sync_directory(b"dead", INVOCATION)
    assert seen == [MESSAGE, INVOCATION]


def test_timer_that_came_to_its_end_says_so(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    """An alert takes this line for a sign of life."""
    kept: list[str] = []
    table_log = SimpleNamespace(beat=lambda function, at: kept.append(function))
    vars(app).update({"table_log": table_log, "clock": SystemClock()})
    configure_telemetry("INFO", "json")
    app.beat("detect_changes")
    line = json.loads(capsys.readouterr().err)
    assert (line["action"], line["function"], kept) == ("beat", "detect_changes", ["detect_changes"])
