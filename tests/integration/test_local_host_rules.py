"""What the local host reads and refuses, without any server: schedules, host.json, settings, routes, loader rules."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.local.host import host_json, settings
from infra.local.host.errors import AppError
from infra.local.host.ncrontab import Schedule, ScheduleError
from infra.local.host.outputs import decode
from infra.local.host.protocol import FunctionInfo
from infra.local.host.queues import Backoff
from infra.local.host.routes import compile_routes, match
from infra.local.host.runner import new_traceparent
from infra.local.host.supervisor import Supervisor
from infra.local.host.triggers import Function, HttpTrigger, TimerTrigger, read_triggers

NOON = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)  # a Saturday


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("* * * * * *", "2026-11-21T12:00:01"),
        ("0 * * * * *", "2026-11-21T12:01:00"),
        ("*/15 * * * * *", "2026-11-21T12:00:15"),
        ("5/20 0 * * * *", "2026-11-21T12:00:05"),
        ("0 0 12 * * *", "2026-11-22T12:00:00"),
        ("0 30 9-17/4 * * *", "2026-11-21T13:30:00"),
        ("0 0 0 1 Jan *", "2027-01-01T00:00:00"),
        ("0 0 3 * * Mon-Fri", "2026-11-23T03:00:00"),
        ("0 0 3 * * 0", "2026-11-22T03:00:00"),
        ("0 0 3 * * sunday,TUE", "2026-11-22T03:00:00"),
        ("0 0 0 13 * Fri", "2027-08-13T00:00:00"),
        ("0 0 0 29 2 *", "2028-02-29T00:00:00"),
        ("59 59 23 31 12 *", "2026-12-31T23:59:59"),
    ],
)
def test_schedule_names_its_next_occurrence(text: str, expected: str) -> None:
    assert Schedule.parse(text).after(NOON) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("* * * * *", "six"),
        ("60 * * * * *", "second"),
        ("* * 24 * * *", "hour"),
        ("* * * 0 * *", "day"),
        ("* * * * * 7", "Sun-Sat"),
        ("* * * * Ju *", "Jan-Dec"),
        ("*/0 * * * * *", "step"),
        ("30-10 * * * * *", "backwards"),
        ("0 0 0 31 2 *", "never"),
        ("-1 * * * * *", "second"),
    ],
)
def test_schedule_that_cannot_be_is_refused(text: str, told: str) -> None:
    with pytest.raises(ScheduleError, match=told):
        Schedule.parse(text)


def test_an_occurrence_is_strictly_later_than_the_moment_asked() -> None:
    assert Schedule.parse("0 0 12 21 11 *").after(NOON).year == 2027


@pytest.mark.parametrize(("text", "expected"), [("*/10 * * * * *", True), ("0 * * * * *", False)])
def test_only_schedules_below_a_minute_keep_no_status(text: str, expected: bool) -> None:
    assert Schedule.parse(text).is_sub_minute(NOON) is expected


def write(directory: Path, text: str, name: str = "host.json") -> Path:
    path = directory / name
    path.write_text(text)
    return path


def test_host_json_is_read_with_overrides_from_the_environment(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '{"version": "2.0", "functionTimeout": "00:10:00", "extensions": '
        '{"http": {"routePrefix": ""}, "queues": {"batchSize": 4, "newBatchThreshold": 0}}}',
    )
    options = host_json.read(path, {"AzureFunctionsJobHost__extensions__queues__BatchSize": "2"})
    assert (options.function_timeout_s, options.route_prefix) == (600, "")
    assert (options.queues.batch_size, options.queues.new_batch_threshold) == (2, 0)


def test_host_json_defaults_are_the_platforms(tmp_path: Path) -> None:
    options = host_json.read(write(tmp_path, '{"version": "2.0"}'), {})
    assert (options.function_timeout_s, options.route_prefix) == (1800, "api")
    assert (options.queues.batch_size, options.queues.max_dequeue_count) == (16, 5)
    assert (options.queues.visibility_timeout_s, options.queues.max_polling_interval_s) == (0, 60)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "JSON"),
        ("{}", "version"),
        ('{"version": "2.0", "functionTimeout": "10 minutes"}', "hh:mm:ss"),
        ('{"version": "2.0", "extensions": {"queues": {"batchSize": 33}}}', "batchSize"),
        ('{"version": "2.0", "extensions": {"queues": {"maxDequeueCount": "many"}}}', "maxDequeueCount"),
    ],
)
def test_faulty_host_json_is_named(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(AppError, match=told):
        host_json.read(write(tmp_path, text), {})


def test_the_environment_wins_over_local_settings(tmp_path: Path) -> None:
    values = settings.read_local_settings(write(tmp_path, '{"Values": {"A": "file", "B": "file"}}', "s.json"))
    environment = {"A": "environment"}
    settings.apply(values, environment)
    assert environment == {"A": "environment", "B": "file"}


def test_local_settings_that_are_just_being_written_say_nothing(tmp_path: Path) -> None:
    assert settings.read_local_settings(write(tmp_path, "", "s.json")) == {}


@pytest.mark.parametrize("text", ["{", '{"Values": {"A": 1}}', '{"IsEncrypted": true}'])
def test_unusable_local_settings_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(AppError, match=r"s\.json"):
        settings.read_local_settings(write(tmp_path, text, "s.json"))


def info(**binding: object) -> FunctionInfo:
    return FunctionInfo("work", ({"direction": "IN", "name": "x", "connection": "STORE", **binding},))


@pytest.mark.parametrize(
    ("binding", "told"),
    [
        ({"type": "queueTrigger", "queueName": "%NOWHERE%"}, "NOWHERE is not set"),
        ({"type": "queueTrigger", "queueName": "a--b"}, "no queue name"),
        ({"type": "queueTrigger", "queueName": "jobs", "connection": "OTHER"}, "OTHER is not set"),
        ({"type": "timerTrigger", "schedule": "%EMPTY%"}, "EMPTY is not set"),
        ({"type": "timerTrigger", "schedule": "soon"}, "six"),
        ({"type": "httpTrigger", "route": "admin/tenants"}, "host keeps"),
        ({"type": "httpTrigger", "route": "Runtime"}, "host keeps"),
        ({"type": "blobTrigger", "path": "x"}, "no blobTrigger"),
    ],
)
def test_a_binding_that_cannot_be_hosted_is_refused(binding: dict[str, object], told: str) -> None:
    with pytest.raises(AppError, match=f"work: .*{told}"):
        read_triggers([info(**binding)], {"STORE": "connection", "EMPTY": ""}, "")


def test_a_setting_may_be_part_of_a_name() -> None:
    (trigger,) = read_triggers([info(type="timerTrigger", schedule="0 */%N% * * * *")], {"N": "5"}, "")
    assert isinstance(trigger, TimerTrigger) and trigger.schedule.text == "0 */5 * * * *"


def test_all_faults_are_told_at_once() -> None:
    faulty = [info(type="queueTrigger", queueName="%A%"), info(type="timerTrigger", schedule="%B%")]
    with pytest.raises(AppError, match=r"(?s)setting A .*setting B "):
        read_triggers(faulty, {}, "")


def test_an_admin_route_behind_a_prefix_is_fine() -> None:
    (trigger,) = read_triggers([info(type="httpTrigger", route="admin/tenants")], {}, "api")
    assert isinstance(trigger, HttpTrigger) and trigger.route == "api/admin/tenants"


def answer(path: str, method: str = "GET") -> tuple[str, dict[str, str]] | None:
    templates = ["{*rest}", "runs/{uid}", "runs/latest", "items/{id:int}/{part?}"]
    routes = compile_routes(HttpTrigger(Function(t), t, frozenset({"GET"}), "anonymous") for t in templates)
    found = match(routes, method, path)
    return (found.trigger.function.name, found.params) if found else None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/runs/latest", ("runs/latest", {})),
        ("/runs/a%2Fb", ("runs/{uid}", {"uid": "a/b"})),
        ("/runs/1/more", ("{*rest}", {"rest": "runs/1/more"})),
        ("/", ("{*rest}", {"rest": ""})),
        ("/items/7", ("items/{id:int}/{part?}", {"id": "7"})),
        ("/items/7/x", ("items/{id:int}/{part?}", {"id": "7", "part": "x"})),
        ("/items/seven", ("{*rest}", {"rest": "items/seven"})),
    ],
)
def test_the_most_literal_route_answers(path: str, expected: tuple[str, dict[str, str]]) -> None:
    assert answer(path) == expected


def test_a_method_no_route_takes_is_not_found() -> None:
    assert answer("/runs/1", "DELETE") is None


@pytest.mark.parametrize(("text", "body"), [("aGk=", b"hi"), ("hi!", None), ("aGk", None), ("", b"")])
def test_a_body_that_is_not_base64_has_no_meaning(text: str, body: bytes | None) -> None:
    assert decode(text, base64_bodies=True) == body


def test_polling_slows_down_to_its_limit_and_starts_over() -> None:
    backoff = Backoff(0.1, 2)
    pauses = [backoff.pause(found=False) for _ in range(40)]
    assert pauses[0] < 0.3 and all(1.6 <= pause <= 2 for pause in pauses[10:])
    assert backoff.pause(found=True) == 0.1


def test_a_trace_of_ones_own_is_made_where_the_callers_is_unusable() -> None:
    assert len(new_traceparent("nonsense").split("-")[1]) == 32


HEAD = "import azure.functions as func\napp = func.FunctionApp()\nblue = func.Blueprint()\n"
QUEUE = '.queue_trigger(arg_name="m", queue_name="q", connection="C")\n'
REFUSED = {
    "two app objects": ("also = func.FunctionApp()\n", "2 top-level app objects"),
    "an alias": ("alias = app\n", "2 top-level app objects"),
    "duplicate names": (
        f"@app{QUEUE}def f(m: func.QueueMessage) -> None: ...\n@app{QUEUE}def f(m: func.QueueMessage) -> None: ...\n",
        "name of its own",
    ),
    "a defaulted parameter": (f"@app{QUEUE}def f(m: func.QueueMessage, n: int = 1) -> None: ...\n", "n has no binding"),
    "a missing parameter": (f"@app{QUEUE}def f() -> None: ...\n", "m has no parameter"),
    "a queue message as dict": (f"@app{QUEUE}def f(m: dict) -> None: ...\n", "does not take"),
    "a wrong context": (f"@app{QUEUE}def f(m: func.QueueMessage, context: int) -> None: ...\n", "Context"),
    "an unknown annotation": (f'@app{QUEUE}def f(m: "Absent") -> None: ...\n', "Absent"),
    "a union answer": (
        '@app.route(route="x")\ndef f(req: func.HttpRequest) -> func.HttpResponse | None: ...\n', "union",
    ),
    "an error at import": ("1 / 0\n", "ZeroDivisionError"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_the_loader_refuses(tmp_path: Path, what: str) -> None:
    code, told = REFUSED[what]
    write(tmp_path, HEAD + code, "function_app.py")
    with pytest.raises(AppError, match=told):
        Supervisor(tmp_path, None).start()


def test_an_app_loads_its_blueprints(tmp_path: Path) -> None:
    code = f"@blue{QUEUE}def f(m: func.QueueMessage) -> None: ...\napp.register_functions(blue)\n"
    write(tmp_path, HEAD + code, "function_app.py")
    supervisor = Supervisor(tmp_path, None)
    assert [function.name for function in supervisor.start()] == ["f"]
    supervisor.close()


@pytest.mark.parametrize(
    ("present", "told"), [("function_app.py", "host.json"), ("host.json", "AzureWebJobsStorage")]
)
def test_the_command_says_what_is_missing_and_fails(tmp_path: Path, present: str, told: str) -> None:
    write(tmp_path, '{"version": "2.0"}' if present == "host.json" else HEAD, present)
    command = [sys.executable, "-m", "infra.local.host", "--port", "0", "--app", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert told in done.stderr and "Traceback" not in done.stderr
