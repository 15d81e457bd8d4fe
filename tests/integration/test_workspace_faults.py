"""The faults the workspace stand-in can be told to show, its control endpoint, its log and its file."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk.errors import DatabricksError
from databricks.sdk.service.sharing import AuthenticationType as Auth

from infra.local.workspace import OTHER, Identity, WorkspaceServer
from tests.fixtures_workspace import MakeWorkspace
from tests.workspace_client import (
    RecordingClient,
    change,
    update,
)


def comment(client: RecordingClient) -> object:
    return client.shares.update("sold", comment="faulty")


@pytest.mark.parametrize(
    ("kind", "carried_out"),
    [("500", False), ("504", False), ("500-after", True), ("504-after", True)],
)  # fmt: skip
def test_errors_that_are_not_retried_leave_the_state_as_they_say(
    kind: Any, carried_out: bool, sharing_client: RecordingClient, workspace: WorkspaceServer
) -> None:
    workspace.fault("shares.update", kind)
    with pytest.raises(DatabricksError):
        comment(sharing_client)
    assert workspace.requests[-1].status == int(kind[:3])
    assert (
        (workspace.state.shares["sold"].comment == "faulty")
        == carried_out
        == bool(workspace.requests[-1].writes)
    )


@pytest.mark.parametrize(("kind", "requests"), [("before", [0, 1]), ("after", [1, 1])])
def test_a_lost_reply_is_asked_again_by_the_sdk(
    kind: Any, requests: list[int], sharing_client: RecordingClient, workspace: WorkspaceServer
) -> None:
    workspace.fault("shares.update", kind)
    comment(sharing_client)
    assert [entry.writes for entry in workspace.requests[-2:]] == requests
    assert workspace.requests[-2].status is None


def test_a_lost_creation_surfaces_as_existing(
    sharing_client: RecordingClient, workspace: WorkspaceServer
) -> None:
    workspace.fault("shares.create", "after")
    with pytest.raises(DatabricksError) as caught:
        sharing_client.shares.create("fresh")
    assert caught.value.error_code == "SHARE_ALREADY_EXISTS"


@pytest.mark.parametrize(("retry_after_s", "slept"), [(None, 1), (2, 2)])
def test_throttling_says_how_long_or_does_not(
    retry_after_s: int | None, slept: int, sharing_client: RecordingClient, workspace: WorkspaceServer
) -> None:
    workspace.fault("shares.get", "429", retry_after_s=retry_after_s)
    sharing_client.shares.get("sold")
    assert slept <= sharing_client.clock.slept[-1] < slept + 1


def test_a_slow_rotation_is_carried_out_twice_by_a_hasty_client(workspace: WorkspaceServer) -> None:
    client = RecordingClient(workspace, http_timeout_seconds=0.2)
    client.recipients.create("opened", Auth.TOKEN)
    workspace.fault("recipients.rotate_token", "delay", delay_s=0.5)
    client.recipients.rotate_token("opened", 0)
    workspace.stop()
    assert [entry.writes for entry in workspace.requests if entry.route == "recipients.rotate_token"] == [
        1,
        1,
    ]


def test_one_read_may_be_told_to_be_stale(
    sharing_client: RecordingClient, workspace: WorkspaceServer
) -> None:
    comment(sharing_client)
    workspace.fault("shares.get", "stale")
    assert [sharing_client.shares.get("sold").comment for _ in "ab"] == [None, "faulty"]


def test_faults_choose_requests_by_kind_pattern_and_count(
    sharing_client: RecordingClient, workspace: WorkspaceServer
) -> None:
    workspace.fault("writes", "500", skip=1)
    workspace.fault("recipients.*", "504")
    comment(sharing_client)
    sharing_client.shares.get("sold")
    with pytest.raises(DatabricksError):
        comment(sharing_client)
    with pytest.raises(DatabricksError):
        sharing_client.recipients.get("opened")
    workspace.fault("*", "500")
    workspace.heal()
    comment(sharing_client)


def test_a_call_may_be_made_the_last_of_its_process(workspace: WorkspaceServer) -> None:
    program = (
        "import sys, urllib.request as u\n"
        "ask = lambda n: u.urlopen(u.Request(sys.argv[1] + '/api/2.1/unity-catalog/shares', method='POST',"
        " data=b'{\"name\": \"%s\"}' % n, headers={'Authorization': 'Bearer ' + sys.argv[2]})).read()\n"
        "sys.stdin.readline(); ask(b'a'); ask(b'b'); ask(b'c')\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, workspace.url, workspace.token], stdin=subprocess.PIPE
    )
    workspace.fault("shares.create", "kill", skip=1, pid=child.pid)
    child.communicate(b"\n", timeout=60)
    assert child.returncode == -9
    assert sorted(workspace.state.shares) == ["a", "b"]


def test_a_callback_may_stand_for_the_kill(
    sharing_client: RecordingClient, workspace: WorkspaceServer
) -> None:
    seen: list[str | None] = []
    workspace.fault("shares.update", "kill", run=lambda: seen.append(workspace.state.shares["sold"].comment))
    comment(sharing_client)
    assert seen == ["faulty"]


# the control endpoint and the file


def control(workspace: WorkspaceServer, name: str, **body: object) -> Any:
    data = json.dumps(body).encode() if body else None
    with urllib.request.urlopen(f"{workspace.url}/control/{name}", data=data) as response:
        return json.load(response)


def test_faults_switches_and_privileges_are_set_over_http(
    sharing_client: RecordingClient, workspace: WorkspaceServer
) -> None:
    control(workspace, "fault", route="shares.get", kind="500")
    with pytest.raises(DatabricksError):
        sharing_client.shares.get("sold")
    assert control(workspace, "switches", atomic_updates=True)["atomic_updates"] is True
    control(
        workspace,
        "privileges",
        full_name="main.retail.orders",
        principal=workspace.identities[0].name,
        remove=[],
    )
    control(workspace, "table", full_name="new.one.here", readers=["x@example.org"])
    assert workspace.switches.atomic_updates
    assert sharing_client.tables.exists("new.one.here").table_exists
    assert control(workspace, "state")["shares"][0]["name"] == "sold"


def test_the_log_answers_what_was_written_since(
    sharing_client: RecordingClient, workspace: WorkspaceServer
) -> None:
    mark = control(workspace, "health")["last"]
    assert control(workspace, f"writes?since={mark}")["writes"] == 0
    comment(sharing_client)
    written = control(workspace, f"writes?since={mark}")
    assert (written["writes"], written["requests"][0]["route"]) == (1, "shares.update")
    assert (
        control(workspace, f"requests?since={mark}")["requests"][0]["identity"]
        == workspace.identities[0].name
    )


@pytest.mark.parametrize(
    ("name", "body", "status"), [("nothing", {"a": 1}, 404), ("fault", {"route": "*", "kind": "x"}, 422)]
)  # fmt: skip
def test_a_control_request_that_does_not_fit_is_refused(
    name: str, body: dict[str, object], status: int, workspace: WorkspaceServer
) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        control(workspace, name, **body)
    assert caught.value.code == status
    caught.value.close()


def test_the_state_survives_in_its_file(tmp_path: Path, make_workspace: MakeWorkspace) -> None:
    path = tmp_path / "workspace" / "state.json"
    first = make_workspace(path=path)
    RecordingClient(first).shares.create("kept")
    first.close()
    again = make_workspace(path=path)
    assert RecordingClient(again).shares.get("kept").name == "kept"
    again.reset()
    assert make_workspace(path=path).state.shares == {}


def test_a_server_stopped_and_started_keeps_its_address_and_state(
    sharing_client: RecordingClient, workspace: WorkspaceServer
) -> None:
    url = workspace.url
    workspace.stop()
    workspace.start()
    assert workspace.url == url
    assert sharing_client.shares.get("sold").name == "sold"


def test_tests_may_bring_their_own_tables_and_identities(make_workspace: MakeWorkspace) -> None:
    reader = Identity("reader@example.org", "t" * 20)
    workspace = make_workspace(tables=["own.cat.table"], identities=[reader, OTHER])
    client = RecordingClient(workspace)
    client.shares.create("sold")
    update(change("ADD", "own.cat.table"))(client)
    assert client.current_user.me().user_name == reader.name


def test_the_module_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    environment = {**os.environ, "WORKSPACE_PORT": "0"}
    command = [sys.executable, "-m", "infra.local.workspace", "--data", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        url = child.stdout.readline().rpartition(" ")[2].strip()
        with urllib.request.urlopen(f"{url}/control/health") as response:
            assert json.load(response)["ok"] is True
        child.terminate()
    assert child.returncode == 0
