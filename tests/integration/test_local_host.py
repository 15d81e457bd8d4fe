"""The local host against a real Azurite: timers, queues, HTTP, timeouts and draining."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueClient

from infra.local.host.clock import FakeClock
from infra.local.host.host import Host, Tuning, host_id
from infra.local.host.leases import LeaseTiming
from infra.local.host.queues import QueueTiming
from infra.local.ports import free_ports

APP = Path(__file__).parent / "host_apps" / "everything"
START = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)
TUNING = Tuning(
    queues=QueueTiming(invisible_s=4, renew_s=1, min_poll_s=0.02),
    leases=LeaseTiming(length_s=15, renew_s=5, takeover_s=0.2),
    grace_s=10,
)
DEADLINE_S = 30


@dataclass
class Rig:
    """A directory with the fixture app, queues of its own, and a way to start hosts over them."""

    directory: Path
    storage: str
    names: dict[str, str]
    clock: FakeClock
    hosts: list[Host]

    def host(self, tuning: Tuning = TUNING) -> Host:
        """A started host, stopped at the end of the test."""
        host = Host(self.directory, 0, clock=self.clock, tuning=tuning)
        host.start()
        self.hosts.append(host)
        return host

    def queue(self, name: str) -> QueueClient:
        """One of the app's queues, made when absent."""
        return QueueClient.from_connection_string(self.storage, self.names[name])

    def send(self, body: str, *, raw: bool = False) -> None:
        """Put a message into the jobs queue."""
        self.queue("JOBS").send_message(body if raw else base64.b64encode(body.encode()).decode())

    def reports(self, count: int) -> list[dict[str, Any]]:
        """The next `count` reports, in the order they came."""
        found: list[dict[str, Any]] = []

        def enough() -> bool:
            found.extend(self._taken())
            return len(found) >= count

        until(enough)
        return found

    def _taken(self) -> list[dict[str, Any]]:
        queue, taken = self.queue("REPORTS"), []
        for message in queue.receive_messages(max_messages=32, visibility_timeout=60):
            taken.append(json.loads(base64.b64decode(message.content)))
            queue.delete_message(message)
        return taken


def until(fact: Callable[[], Any]) -> Any:
    """The fact's value as soon as it is true; a deadline far beyond any real wait turns a hang into a failure."""
    deadline = time.monotonic() + DEADLINE_S
    while not (value := fact()):
        assert time.monotonic() < deadline, "it never became true"
    return value


@pytest.fixture
def rig(tmp_path: Path, storage_connection_string: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    directory = tmp_path / "app"
    shutil.copytree(APP, directory)
    mark = uuid.uuid4().hex[:10]
    names = {"JOBS": f"jobs-{mark}", "REPORTS": f"reports-{mark}", "POISON": f"jobs-{mark}-poison"}
    for name, value in {
        **names,
        "TICKS": "0 * * * * *",
        "AzureWebJobsStorage": storage_connection_string,
    }.items():
        monkeypatch.setenv(name, value)
    rig_ = Rig(directory, storage_connection_string, names, FakeClock(START), [])
    for name in names:
        rig_.queue(name).create_queue()
    yield rig_
    for host in rig_.hosts:
        host.stop()


def test_a_message_runs_once_and_is_deleted(rig: Rig) -> None:
    rig.send("hello")
    rig.host()
    (report,) = rig.reports(1)
    assert (report["body"], report["count"], report["receipt"]) == ("hello", 1, True)
    assert report["times"] == [True, True, True]
    until(lambda: rig.queue("JOBS").get_queue_properties().approximate_message_count == 0)


def test_a_failed_run_flushes_no_output_and_is_retried(rig: Rig) -> None:
    rig.send("fail once")
    rig.host()
    (report,) = rig.reports(1)
    assert report["count"] == 2


def test_a_message_that_keeps_failing_becomes_poison(rig: Rig) -> None:
    rig.send("fail")
    rig.host()
    assert rig.reports(1) == [{"poison": "fail"}]
    assert rig.queue("JOBS").get_queue_properties().approximate_message_count == 0


def test_a_body_that_is_not_base64_is_poison_without_running(rig: Rig) -> None:
    rig.send("!not base64!", raw=True)
    rig.host()
    assert rig.reports(1) == [{"poison": "!not base64!"}]


def test_a_run_longer_than_the_invisibility_keeps_its_message(rig: Rig, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    rig.send(f"wait {gate}")
    rig.host(Tuning(queues=QueueTiming(invisible_s=1, renew_s=0.3, min_poll_s=0.02), leases=TUNING.leases))
    three_invisibilities_on = time.monotonic() + 3
    until(lambda: time.monotonic() > three_invisibilities_on)
    gate.touch()
    (report,) = rig.reports(1)
    assert report["count"] == 1
    until(lambda: rig.queue("JOBS").get_queue_properties().approximate_message_count == 0)


def test_at_most_batch_plus_threshold_run_at_once(rig: Rig, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    for _ in range(6):
        rig.send(f"wait {gate}")
    host = rig.host()
    until(lambda: host.in_flight() == 4)
    assert len(rig.queue("JOBS").peek_messages(32)) == 2
    gate.touch()
    assert len(rig.reports(6)) == 6


def test_a_worker_that_dies_is_replaced_and_its_message_retried(rig: Rig) -> None:
    rig.send("die once")
    host = rig.host()
    assert host.supervisor is not None
    before = host.supervisor.pid
    (report,) = rig.reports(1)
    assert report["count"] == 2 and report["pid"] != before


def test_a_timeout_kills_the_worker_with_everything_in_flight(rig: Rig, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    rig.send(f"wait {gate}")
    rig.send(f"wait {gate}")
    host = rig.host(Tuning(queues=TUNING.queues, leases=TUNING.leases, function_timeout_s=1))
    assert host.supervisor is not None
    before = host.supervisor.pid
    until(lambda: host.supervisor and host.supervisor.pid != before)
    gate.touch()
    assert all(report["count"] > 1 and report["pid"] != before for report in rig.reports(2))


def test_a_timer_fires_at_its_time_and_not_before(rig: Rig) -> None:
    rig.host()
    status = until(lambda: timer_status(rig))
    assert status["Next"] == "2026-11-21T12:01:00+00:00"
    rig.clock.advance(timedelta(seconds=30))
    assert rig.reports(1) == [{"past_due": False, "name": "on_time"}]


def test_missed_ticks_make_one_past_due_run(rig: Rig) -> None:
    rig.host()
    until(lambda: timer_status(rig))
    rig.hosts.pop().stop()
    rig.clock.advance(timedelta(minutes=10))
    rig.host()
    assert rig.reports(1) == [{"past_due": True, "name": "on_time"}]
    assert until(lambda: timer_status(rig))["Next"] == "2026-11-21T12:11:00+00:00"


def test_the_status_advances_when_the_function_fails(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICK_FAILS", "yes")
    rig.host()
    until(lambda: timer_status(rig))
    rig.clock.advance(timedelta(seconds=40))
    until(lambda: (timer_status(rig) or {})["Next"] == "2026-11-21T12:02:00+00:00")
    assert rig.queue("REPORTS").peek_messages() == []


def test_a_second_host_does_not_fire_while_the_first_lives(rig: Rig) -> None:
    rig.host()
    until(lambda: timer_status(rig))
    rig.host()
    rig.clock.advance(timedelta(seconds=30))
    rig.reports(1)
    rig.hosts[0].stop()
    rig.clock.advance(timedelta(seconds=60))
    rig.reports(1)
    assert rig.queue("REPORTS").peek_messages() == []


def timer_status(rig: Rig) -> dict[str, Any] | None:
    """The timer's status blob, None while there is none."""
    service = BlobServiceClient.from_connection_string(rig.storage)
    blob = service.get_blob_client("azure-webjobs-hosts", f"timers/{host_id(rig.directory)}/on_time/status")
    return json.loads(blob.download_blob().readall()) if blob.exists() else None


@pytest.fixture
def client(rig: Rig) -> Iterator[httpx.Client]:
    host = rig.host(Tuning(queues=TUNING.queues, leases=TUNING.leases, max_body_bytes=1000))
    with httpx.Client(base_url=f"http://127.0.0.1:{host.port}", timeout=20) as client_:
        yield client_


def test_http_reaches_the_function_with_its_parameters(client: httpx.Client) -> None:
    answer = client.post("/things/a%20b?x=1&x=2", content=b"12345")
    seen = answer.json()
    assert (seen["method"], seen["uid"], seen["query"], seen["size"]) == ("POST", "a b", {"x": "1,2"}, 5)
    assert answer.headers["x-answer"] == "42" and answer.headers["content-type"] == "application/json"
    assert seen["main_thread"] is False


def test_http_continues_the_callers_trace(client: httpx.Client) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    answer = client.get("/things/1", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    assert answer.json()["traceparent"].split("-")[1] == trace


def test_the_catch_all_takes_the_rest_through_asgi(client: httpx.Client) -> None:
    answer = client.put("/some/where?y=1")
    assert (answer.status_code, answer.text) == (203, "/some/where?y=1")
    assert client.get("/").text == "/?"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/broken", 500), ("GET", "/locked", 401), ("GET", "/locked?code=wrong", 401),
     ("GET", "/admin/anything", 404), ("GET", "/runtime/webhooks", 404), ("GET", "/admin/host/status", 200),
     ("POST", "/admin/functions/nobody", 404)],
)  # fmt: skip
def test_http_refuses_what_the_platform_refuses(
    client: httpx.Client, method: str, path: str, status: int
) -> None:
    assert client.request(method, path).status_code == status


def test_a_body_above_the_cap_is_refused(client: httpx.Client) -> None:
    assert client.post("/things/1", content=b"x" * 1001).status_code == 413
    assert client.post("/things/1", content=iter([b"x" * 600, b"x" * 600])).status_code == 413


def test_admin_runs_a_timer_and_a_queue_function_by_hand(rig: Rig, client: httpx.Client) -> None:
    assert client.post("/admin/functions/on_time", json={}).status_code == 202
    assert rig.reports(1) == [{"past_due": False, "name": "on_time"}]
    assert client.post("/admin/functions/on_message", json={"input": "by hand"}).status_code == 202
    assert rig.reports(1)[0]["body"] == "by hand"


def test_sigterm_lets_running_functions_finish_and_exits_zero(rig: Rig, tmp_path: Path) -> None:
    gate, port = tmp_path / "gate", free_ports(1)[0]
    rig.send(f"wait {gate}")
    command = [sys.executable, "-m", "infra.local.host", "--port", str(port), "--app", str(rig.directory)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            until(lambda: "Executing 'on_message'" in (process.stderr.readline() if process.stderr else ""))
        finally:
            process.send_signal(signal.SIGTERM)
            gate.touch()
        process.stderr.read()
    assert process.returncode == 0
    assert rig.reports(1)[0]["count"] == 1


def test_a_killed_hosts_worker_ends_with_it(rig: Rig, tmp_path: Path) -> None:
    rig.send(f"wait {tmp_path / 'never'}")
    command = [
        sys.executable,
        "-m",
        "infra.local.host",
        "--port",
        str(free_ports(1)[0]),
        "--app",
        str(rig.directory),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        until(lambda: "Executing 'on_message'" in (process.stderr.readline() if process.stderr else ""))
        (worker,) = psutil.Process(process.pid).children()
        process.kill()
    until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
    assert rig.queue("JOBS").get_queue_properties().approximate_message_count == 1


def test_a_run_cut_off_at_shutdown_stays_invisible(rig: Rig, tmp_path: Path) -> None:
    rig.send(f"wait {tmp_path / 'never'}")
    host = rig.host(Tuning(queues=QueueTiming(600, 300, 0.02), leases=TUNING.leases, grace_s=0.2))
    until(lambda: host.in_flight() == 1)
    assert host.stop() is False
    assert rig.queue("JOBS").peek_messages() == []
    assert rig.queue("JOBS").get_queue_properties().approximate_message_count == 1


def test_a_disabled_function_is_not_run(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AzureWebJobs.on_message.Disabled", "true")
    rig.send("hello")
    host = rig.host()
    assert host.invoke("on_message", "") is False
    assert (
        "on_message" not in httpx.get(f"http://127.0.0.1:{host.port}/admin/host/status").json()["functions"]
    )


def test_nothing_is_left_of_a_stopped_host(rig: Rig) -> None:
    host = rig.host()
    assert host.supervisor is not None
    pid = host.supervisor.pid
    assert pid is not None and host.stop() is True
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
