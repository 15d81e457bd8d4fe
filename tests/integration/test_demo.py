"""The main job, as a newcomer meets it: the demo from nothing, and once more on what it left behind."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.local.paths import REPO_ROOT
from infra.local.ports import free_ports, is_listening, variable

NAMES = ("host", "erp", "workspace", "azurite_blob", "azurite_queue", "azurite_table", "postgres")


@pytest.fixture(scope="module")
def ports() -> Mapping[str, str]:
    return {variable(name): str(port) for name, port in zip(NAMES, free_ports(len(NAMES)), strict=True)}


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """Outside pytest's own directories, which PostgreSQL's account may not enter when tests run as root."""
    directory = Path(tempfile.mkdtemp(prefix="tributary-demo-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def tell(data: Path, ports: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    """The exit code and the last line of one telling."""
    done = subprocess.run(
        [sys.executable, "-m", "infra.local.demo", "--once", "--data", str(data)],
        cwd=REPO_ROOT, env={**os.environ, **ports}, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def first(data: Path, ports: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    return tell(data, ports)


def test_five_tables_arrive_whole_but_for_children_without_parents_and_then_only_what_changed(
    first: tuple[int, dict[str, Any]],
) -> None:
    code, summary = first
    assert (code, summary["ok"]) == (0, True), summary
    tick = summary["first_tick"]
    assert (tick["fetched"], tick["inserted"], tick["held"]) == (367_687, 367_687 - 56_295, 56_295)
    second = summary["second_tick"]
    # All that is inserted are the four airports, and the flights that waited for them.
    assert (second["tables"], second["inserted"] - second["released"]) == (2, 4)
    assert second["released"] > 6_000
    assert summary["replay"] == {"replayed": 1, "landed": 1}
    assert summary["share_pack"] == {"status": "COMPLETED", "second_apply_writes": 0}


def test_nothing_runs_after_a_single_telling(first: object, ports: Mapping[str, str]) -> None:
    assert [name for name, port in ports.items() if is_listening(int(port))] == []


def test_on_kept_data_an_unchanged_source_is_left_alone(
    first: object, data: Path, ports: Mapping[str, str]
) -> None:
    code, summary = tell(data, ports)
    assert (code, summary["ok"]) == (0, True), summary
    # Only the key sweep reads, since its interval is zero here; it finds nothing to write.
    assert summary["first_tick"]["tables"] == 1
    assert [summary["first_tick"][name] for name in ("inserted", "updated", "soft_deleted")] == [0, 0, 0]
    assert summary["second_tick"]["tables"] == 1
