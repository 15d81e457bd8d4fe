"""T58, T61, T62, T64, T65, T67, T68: what comes in through the upload, and what comes out anywhere."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from shared.adapters.tokens import sign_local_token
from shared.errors import ConfigurationError
from shared.secrets import DirectoryVault
from shared.sharing import workflow
from tests.integration.sharing.world import (
    _SECRET,
    APPROVER,
    OPERATOR,
    PACK,
    STRANGER,
    MakePacks,
    PackWorld,
)
from tests.torture.workers import Workers

pytestmark = pytest.mark.torture
ROOT = Path(__file__).parents[2]
UPLOAD = "/workflow/sharepack/upload"


# T58


@pytest.mark.parametrize("point", ["outbox.before_send", "outbox.after_send"])
def test_upload_whose_process_dies_around_the_send_is_provisioned_all_the_same(
    make_packs: MakePacks, tmp_path: Path, point: str
) -> None:
    world = make_packs(workflow_approval="never")
    workers = Workers(tmp_path)
    try:
        attempt = workers.start(["upload", PACK, world.workspace.url], world.environment(), f"{point}=kill")
        assert attempt.wait().killed, attempt.said()
    finally:
        workers.close()
    (pack,) = world.must("GET", "/workflow/sharepacks")["Items"]
    world.app.remind_share_packs()
    world.pump()
    assert world.status(pack["SharePackId"])["State"] == "COMPLETED"
    tokens = [each.tokens for each in world.workspace.state.recipients.values() if each.name == "auditor"]
    assert [len(each) for each in tokens] == [1]


def test_same_bytes_from_many_at_once_are_one_pack_and_one_application(make_packs: MakePacks) -> None:
    world = make_packs(workflow_approval="never")
    barrier = Barrier(8, timeout=60)

    def upload(_: int) -> str:
        barrier.wait()
        return world.upload()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(upload, range(8)))) == 1
    assert world.sql("SELECT count(*) AS n FROM deltashare_state.applications")[0]["n"] == 1
    world.pump()
    assert [
        len(each.tokens) for each in world.workspace.state.recipients.values() if each.name == "auditor"
    ] == [1]


def test_packs_of_one_second_have_names_of_their_own(world: PackWorld) -> None:
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda n: world.upload(f"{PACK}# {n}\n"), range(12)))
    names = [pack["SharePackName"] for pack in world.must("GET", "/workflow/sharepacks")["Items"]]
    assert len(set(made)) == len(set(names)) == 12
    assert len({re.sub(r"(_\d{6})_\d+$", r"\1", name) for name in names}) < 12


# T61


def test_decisions_at_once_leave_one_current_version_and_no_gap(world: PackWorld) -> None:
    pack = world.upload()
    world.pump()
    body = {"PlanHash": world.plan(pack)["PlanHash"]}
    at, barrier = f"/workflow/sharepack/{pack}", Barrier(9, timeout=60)

    def act(n: int) -> int:
        barrier.wait()
        match n % 3:
            case 0:
                return world.ask("POST", f"{at}/approve", APPROVER, json=body).status_code
            case 1:
                return world.ask("POST", f"{at}/reject", APPROVER, json={"Reason": "no"}).status_code
            case _:
                return world.ask("POST", f"{at}/cancel", json={"Reason": "no"}).status_code

    with ThreadPoolExecutor(9) as pool:
        answers = list(pool.map(act, range(9)))
    assert set(answers) <= {200, 202, 409} and sum(code < 300 for code in answers) in (1, 2)
    rows = world.sql(
        "SELECT version, is_current, effective_from, NULLIF(effective_to, 'infinity') AS until"
        " FROM deltashare.share_packs WHERE share_pack_id = %s ORDER BY version",
        pack,
    )
    assert [row["version"] for row in rows] == list(range(1, len(rows) + 1))
    assert [row["is_current"] for row in rows] == [False] * (len(rows) - 1) + [True]
    assert all(a["until"] == b["effective_from"] for a, b in pairwise(rows))
    assert all(row["until"] is None or row["effective_from"] < row["until"] for row in rows)


# T63, T64, T65


NAMES = ["../catalogs/x", "..", "q1/../../catalogs", "%2e%2e%2fcatalogs", "q1?x=1", "q1#", "a b", "q\u200b1", "q1\\..\\x"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_paths_are_refused_before_anything_is_asked(world: PackWorld, name: str) -> None:
    for text in (
        PACK.replace("name: q1", f"name: {json.dumps(name)}"),
        PACK.replace("auditor", json.dumps(name)),
        PACK.replace("prod_catalog.sales.transactions", json.dumps(f"prod_catalog.sales.{name}")),
    ):
        answer = world.send(text, query="?dry_run=true")
        assert answer.status_code in (400, 422), (text, answer.text)
    headers = {"X-Workspace-URL": world.workspace.url}
    for what in ("Shares", "Recipients"):
        assert (
            world.ask("POST", "/workflow/adopt", APPROVER, json={what: [name]}, headers=headers).status_code
            == 422
        )
    path = f"/workflow/recipients/{quote(name, safe='')}/rotate-token"
    assert world.ask("POST", path, headers=headers).status_code in (404, 405, 422)
    assert world.workspace.requests == []


def test_workspace_is_looked_up_and_never_taken_from_the_header(world: PackWorld) -> None:
    for url in (
        "http://169.254.169.254", world.workspace.url + "@evil.example.net", world.workspace.url + "/../x",
        world.workspace.url.replace("127.0.0.1", "127.0.0.1.evil.example.net"), "file:///etc/passwd",
    ):  # fmt: skip
        headers = {"X-Workspace-URL": url}
        assert world.send(url=url).status_code == 422
        assert (
            world.ask(
                "POST", "/workflow/adopt", APPROVER, json={"Shares": ["q1"]}, headers=headers
            ).status_code
            == 422
        )
        path = "/workflow/recipients/auditor/rotate-token"
        assert world.ask("POST", path, headers=headers).status_code == 422
    assert world.workspace.requests == []


def test_guessed_ids_and_foreign_ones_are_the_same_404(world: PackWorld) -> None:
    pack = world.upload()
    unknown = "00000000-0000-4000-8000-000000000000"

    def answers(uid: str, who: tuple[str, ...]) -> list[tuple[int, str]]:
        asked = [
            ("GET", "", None), ("GET", "/plan", None), ("GET", "/history", None),
            ("POST", "/approve", {"PlanHash": "0" * 64}), ("POST", "/reject", {"Reason": "x"}),
            ("POST", "/cancel", {"Reason": "x"}), ("POST", "/rollback", {"Version": 1, "Reason": "x"}),
        ]  # fmt: skip
        got = [world.ask(m, f"/workflow/sharepack/{uid}{rest}", who, json=body) for m, rest, body in asked]
        return [(each.status_code, each.text.replace(uid, "?")) for each in got]

    foreign = answers(pack, STRANGER)
    assert foreign == answers(unknown, STRANGER) and {status for status, _ in foreign} == {404}


# T67


class _Endless(httpx.AsyncByteStream):
    """A multipart body in chunks, without a length; `sent` counts what was drawn."""

    def __init__(self, mib: int) -> None:
        self._mib, self.sent = mib, 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.yaml"\r\n\r\n'
        for _ in range(self._mib):
            self.sent += 1
            yield b"#" * 1_048_576
        yield b"\r\n--x--\r\n"


def test_chunked_flood_is_cut_off_at_the_limit(world: PackWorld) -> None:
    body = _Endless(1024)
    headers = {"Content-Type": "multipart/form-data; boundary=x", "X-Workspace-URL": world.workspace.url}
    answer = world.ask("POST", UPLOAD, content=body, headers=headers)
    assert answer.status_code == 413, answer.text
    assert body.sent <= 18
    assert world.must("GET", "/workflow/sharepacks")["Items"] == []


def test_one_file_over_its_limit_takes_none_of_the_others_with_it(world: PackWorld) -> None:
    files = [("file", (f"{n}.yaml", f"{PACK}# {n}\n")) for n in range(19)]
    files.append(("file", ("large.yaml", "#" * (2 * 1_048_576 + 1))))
    answer = world.must("POST", UPLOAD, files=files, headers={"X-Workspace-URL": world.workspace.url})
    states = [result["Status"] for result in answer["Results"]]
    assert states == ["IN_PROGRESS"] * 19 + ["VALIDATION_FAILED"]
    assert "2 MiB" in answer["Results"][-1]["ValidationErrors"][0]


def test_more_callers_than_the_rate_are_told_when_to_come_back(make_packs: MakePacks) -> None:
    world = make_packs(rate_limit_per_minute=10)
    answers = [world.send() for _ in range(14)]
    assert {each.status_code for each in answers} == {202, 429}
    assert all(int(each.headers["Retry-After"]) >= 1 for each in answers if each.status_code == 429)


MEMORY = """
import asyncio, sys
from itertools import pairwise
from pathlib import Path
import httpx
from shared.composition import services
app, url, token, folder = services(), sys.argv[1], sys.argv[2], Path(sys.argv[3])

def mib(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024

async def send(paths):
    files = [("file", (path.name, path.read_bytes())) for path in paths]
    headers = {"Authorization": f"Bearer {token}", "X-Workspace-URL": url}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app.http), base_url="http://test") as client:
        answer = await client.post("/workflow/sharepack/upload", files=files, headers=headers)
        return answer.status_code

def measured(paths):
    Path("/proc/self/clear_refs").write_text("5")
    before = mib("VmRSS")
    code = asyncio.run(send(paths))
    print(f"{mib('VmHWM') - before:.1f}", code)

paths = sorted(folder.iterdir())
asyncio.run(send(paths[:1]))
for path in paths[1:]:
    measured([path])
measured(paths[1:8])
"""


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="resident memory is read from Linux's /proc"
)
def test_uploads_through_the_api_take_less_than_150_mb(world: PackWorld, tmp_path: Path) -> None:
    from tests.unit.sharing.worst_uploads import WORST

    folder = tmp_path / "uploads"
    folder.mkdir()
    for number, content in enumerate([PACK, *WORST.values()]):
        (folder / f"{number:02}").write_bytes(content.encode() if isinstance(content, str) else content)
    token = sign_local_token(_SECRET, OPERATOR[0], list(OPERATOR[1:]), 3600)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, world.workspace.url, token, str(folder)],
        env={**world.environment(), "PATH": ""}, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == len(WORST) + 1
    assert max(float(added) for added, _ in lines) < 150
    assert {code for _, code in lines[:-1]} <= {"400", "413", "422"} and lines[-1][1] in ("202", "413")


def test_files_are_read_one_at_a_time_however_many_come_at_once(
    world: PackWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one file may take is bounded, so what all take is."""
    inside, most, read = 0, 0, workflow.parse_upload

    def counted(content: bytes, filename: str | None) -> Any:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.05)
        try:
            return read(content, filename)
        finally:
            inside -= 1

    monkeypatch.setattr(workflow, "parse_upload", counted)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: world.upload(f"{PACK}# {n}\n"), range(6)))
    assert most == 1


# T62, T68


class Refusing(DirectoryVault):
    """A vault that takes nothing."""

    def write(self, name: str, value: str) -> None:
        raise ConfigurationError(f"secret {name!r}: refused", hint="assign the role")


@pytest.mark.parametrize("failing", ["nothing", "vault", "500 after", "lost reply", "rotation"])
def test_links_and_tokens_come_out_nowhere_even_at_debug(
    make_packs: MakePacks, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], failing: str
) -> None:
    world = make_packs(workflow_approval="never", log_level="DEBUG")
    sharing: Any = world.app.sharing
    if failing == "vault":
        sharing.vault._vault = Refusing(world.vault)
    if failing in ("500 after", "lost reply"):
        world.workspace.fault("recipients.create", "500-after" if failing == "500 after" else "after")
    answers = []
    with caplog.at_level(logging.DEBUG):
        pack = world.upload()
        world.pump()
        world.due()
        world.pump()
        if failing == "rotation":
            world.workspace.fault("recipients.rotate_token", "500-after")
            path = "/workflow/recipients/auditor/rotate-token"
            answers.append(world.ask("POST", path, headers={"X-Workspace-URL": world.workspace.url}).text)
        answers += [
            json.dumps(world.status(pack)), json.dumps(world.plan(pack)),
            world.ask("GET", "/workflow/notifications").text,
            world.ask("GET", f"/workflow/sharepack/{pack}/history").text,
        ]  # fmt: skip
    canaries = canaries_of(world)
    assert len(canaries) >= 2
    said = capsys.readouterr()
    logged = "".join(record.getMessage() + str(vars(record)) for record in caplog.records)
    everywhere = [*answers, stored(world), said.out, said.err, logged]
    assert [(failing, c[:8]) for c in canaries for text in everywhere if c in text] == []


def canaries_of(world: PackWorld) -> list[str]:
    """All activation links and tokens that the workspace knows or the vault holds, and the workspace's own token."""
    tokens = [token for each in world.workspace.state.recipients.values() for token in each.tokens]
    links = [token.activation for token in tokens if token.activation] + [token.secret for token in tokens]
    kept = [path.read_text() for path in world.vault.iterdir()] if world.vault.exists() else []
    return [*{re.split(r"[/?]", link)[-1] for link in [*links, *kept]}, world.workspace.token]


def stored(world: PackWorld) -> str:
    tables = world.sql(
        "SELECT table_schema AS s, table_name AS t FROM information_schema.tables"
        " WHERE table_schema IN ('deltashare', 'deltashare_state', 'bridge') AND table_type = 'BASE TABLE'"
    )
    return "".join(str(world.sql(f'SELECT x::text FROM "{row["s"]}"."{row["t"]}" x')) for row in tables)
