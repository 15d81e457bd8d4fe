"""One trace from the tick to the commits, through real messages on a real queue."""

import json
import logging
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from infra.local.sample_erp import TableSpec, parse_columns
from shared import telemetry
from shared.telemetry import configure_telemetry, invoked_by, log, span, traceparent
from tests.integration.harness import MakeWorld, World

TABLE = TableSpec(slug="t", keys=("id",), columns=parse_columns("id NUMBER(9) NOT NULL\nnote VARCHAR2(20)"))
ROWS = {"t": [{"id": n, "note": f"row {n}"} for n in range(20)]}
INVOCATION = f"00-{'a' * 32}-{'b' * 16}-01"
EXPORTED = {"python_applicationinsights_enable_telemetry": True}


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """What the Functions worker does before our code runs: a provider for the whole process."""
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    trace.set_tracer_provider(provider)
    return memory


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Iterator[InMemorySpanExporter]:
    exporter.clear()
    yield exporter
    configure_telemetry("INFO", "json")


def names(spans: Sequence[ReadableSpan]) -> set[str]:
    return {found.name for found in spans}


def ids(spans: Sequence[ReadableSpan]) -> set[str]:
    return {f"{found.context.trace_id:032x}" for found in spans if found.context}


def work(world: World, invocation: str = INVOCATION) -> int:
    """A tick as its timer calls it, then every message as the queue's trigger does; how many there were."""
    world.sql("UPDATE bridge.erp_sync_state SET due_at = now()")
    world.app.detect_changes(invocation)
    count = 0
    while message := world.queue.receive_message(visibility_timeout=600):
        # Each delivery is an invocation with a trace of its own.
        own = f"00-{count + 1:032x}-{'c' * 16}-01"
        world.app.sync_table(message.content.encode(), message.id, message.dequeue_count, own)
        world.queue.delete_message(message)
        count += 1
    return count


def test_timer_fan_out_slices_continuations_and_commits_are_one_trace(
    make_world: MakeWorld, spans: InMemorySpanExporter
) -> None:
    world = make_world([TABLE], ROWS, slice_budget_seconds=0.001, **EXPORTED)
    spans.clear()
    assert work(world) > 2, "the budget makes continuations"
    found = spans.get_finished_spans()
    assert {"tick", "fan_out", "slice", "commit"} <= names(found)
    assert ids(found) == {"a" * 32}
    assert world.runs("t")[0]["status"] == "success"
    tick = next(each for each in found if each.name == "tick")
    assert tick.parent is not None and f"{tick.parent.span_id:016x}" == "b" * 16


def test_spans_say_whose_they_are_and_nothing_of_rows(
    make_world: MakeWorld, spans: InMemorySpanExporter
) -> None:
    world = make_world([TABLE], {"t": [{"id": 1, "note": "canary"}]}, **EXPORTED)
    spans.clear()
    work(world)
    commit = next(each for each in spans.get_finished_spans() if each.name == "commit")
    assert dict(commit.attributes or {}) == {"entity": "t", "chunk": "1"}
    slice_ = next(each for each in spans.get_finished_spans() if each.name == "slice")
    assert dict(slice_.attributes or {}) == {"run": world.runs("t")[0]["uid"], "slice": "0"}
    assert commit.parent is not None and slice_.context is not None
    assert commit.parent.span_id == slice_.context.span_id
    assert "canary" not in "".join(each.to_json() for each in spans.get_finished_spans())


def test_trace_travels_without_an_exporter_too(make_world: MakeWorld) -> None:
    world = make_world([TABLE], ROWS)
    world.sql("UPDATE bridge.erp_sync_state SET due_at = now()")
    world.app.detect_changes(INVOCATION)
    message = world.queue.receive_message()
    assert json.loads(message.content)["traceparent"] == INVOCATION


@pytest.mark.parametrize("broken", ["", "nonsense"])
def test_message_without_a_good_trace_begins_with_its_invocation(
    make_world: MakeWorld, spans: InMemorySpanExporter, broken: str
) -> None:
    world = make_world([TABLE], ROWS, **EXPORTED)
    run = world.post(f"/api/v1/entities/{world.uid('t')}/sync")["run_uid"]
    spans.clear()
    body = f'{{"v":1,"id":"{run}","slice":0,"traceparent":"{broken}"}}'.encode()
    world.app.sync_table(body, "by hand", 1, INVOCATION)
    assert ids(spans.get_finished_spans()) == {"a" * 32}


def test_dead_message_stays_in_its_trace(make_world: MakeWorld, spans: InMemorySpanExporter) -> None:
    world = make_world([TABLE], ROWS, **EXPORTED)
    world.app.detect_changes(INVOCATION)
    message = world.queue.receive_message()
    spans.clear()
    world.app.handle_poison(message.content.encode(), message.id, f"00-{'d' * 32}-{'c' * 16}-01")
    assert ids(spans.get_finished_spans()) == {"a" * 32}
    assert "poison" in names(spans.get_finished_spans())


def test_failure_marks_its_span_by_type_alone(spans: InMemorySpanExporter) -> None:
    configure_telemetry("INFO", "json", exported=True)
    with pytest.raises(ValueError, match="canary"), span("slice", INVOCATION):
        raise ValueError("row canary")
    (found,) = spans.get_finished_spans()
    assert (found.status.is_ok, found.status.description, found.events) == (False, "ValueError", ())


@pytest.mark.parametrize(
    "parent",
    ["", "nonsense", f"00-{'0' * 32}-{'b' * 16}-01", f"00-{'A' * 32}-{'b' * 16}-01", INVOCATION + "\n"],
)
@pytest.mark.parametrize("exported", [True, False])
def test_broken_parent_leaves_the_current_trace_alone(
    spans: InMemorySpanExporter, parent: str, exported: bool
) -> None:
    configure_telemetry("INFO", "json", exported=exported)
    with span("tick", INVOCATION), span("slice", parent):
        assert traceparent().split("-")[1] == "a" * 32
    assert traceparent() == ""


def test_exported_records_are_redacted_and_carry_their_stage(
    spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    configure_telemetry("INFO", "json", exported=True)
    with caplog.at_level(logging.INFO), span("slice", INVOCATION, run="r1"):
        log("paused", reason="password=canary", rows=3, where=["a"])
        try:
            raise ValueError("row canary")
        except ValueError:
            telemetry.LOGGER.error("request_crashed", exc_info=True)
    first, second = caplog.records
    told = {name: getattr(first, name) for name in ("action", "run", "stage", "trace", "rows", "reason")}
    assert told == {
        "action": "paused", "run": "r1", "stage": "slice", "trace": "a" * 32, "rows": 3, "reason": "[redacted]",
    }  # fmt: skip
    assert (second.exc_info, second.error) == (None, "ValueError")  # type: ignore[attr-defined]
    assert "canary" not in str([vars(each) for each in caplog.records])


def test_noisy_libraries_are_kept_quiet() -> None:
    configure_telemetry("DEBUG", "json")
    noisy = ("azure", "azure.core.pipeline.policies.http_logging_policy", "azure.identity", "httpx", "msal")
    assert {logging.getLogger(name).level for name in noisy} == {logging.WARNING}


@pytest.mark.parametrize(
    "context", [None, SimpleNamespace(), SimpleNamespace(trace_context=SimpleNamespace(trace_parent=None))]
)
def test_invocation_without_a_trace_is_no_error(context: Any) -> None:
    assert invoked_by(context) == ""
    told = SimpleNamespace(trace_context=SimpleNamespace(trace_parent=INVOCATION))
    assert invoked_by(told) == INVOCATION
