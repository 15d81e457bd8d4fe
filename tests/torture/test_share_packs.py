"""Share packs whose provisioning is killed, cut off, throttled or lied to: each ends as one clean run would."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.local.workspace import FaultKind
from tests.integration.sharing.world import MakePacks, PackWorld
from tests.torture.workers import Workers

pytestmark = pytest.mark.torture

NIGHTLY = os.environ.get("NIGHTLY") == "1"


def pack(suffix: str) -> str:
    """At least twelve calls that change something; everything is named anew."""
    return f"""\
metadata: {{requestor: ada@example.org, project_name: Q1, business_line: finance, strategy: NEW}}
recipient:
  - {{name: auditor-{suffix}, type: D2O, email: a@example.net, allowed_ips: [203.0.113.0/24]}}
  - {{name: broker-{suffix}, type: D2O, email: b@example.net, allowed_ips: [198.51.100.7]}}
  - {{name: clerk-{suffix}, type: D2O, email: c@example.net, allowed_ips: [198.51.100.8]}}
share:
  - {{name: q1-{suffix}, comment: a, recipients: [auditor-{suffix}, broker-{suffix}],
     data_objects: [prod_catalog.sales.transactions, prod_catalog.sales.customers]}}
  - {{name: q2-{suffix}, recipients: [broker-{suffix}], data_objects: [prod_catalog.sales.customers]}}
  - {{name: q3-{suffix}, recipients: [clerk-{suffix}], data_objects: [prod_catalog.sales.transactions]}}
pipeline:
  - {{name: load-{suffix}, type: JOB, source: /Repos/load, schedule: "0 0 6 * * ?"}}
"""


@pytest.fixture
def packs(make_packs: MakePacks) -> PackWorld:
    return make_packs(workflow_approval="never")


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    served = Workers(tmp_path)
    yield served
    served.close()


def held(world: PackWorld, suffix: str) -> dict[str, Any]:
    """What the workspace holds of a pack, its suffix and everything random taken out."""
    state = world.workspace.state
    plain = {
        name.removesuffix(f"-{suffix}"): (
            share.comment,
            sorted(each.name for each in share.objects),
            sorted((who.removesuffix(f"-{suffix}"), sorted(what)) for who, what in share.privileges.items()),
        )
        for name, share in state.shares.items()
        if name.endswith(f"-{suffix}")
    }
    recipients = {
        name.removesuffix(f"-{suffix}"): (sorted(each.ip_addresses), len(each.tokens))
        for name, each in state.recipients.items()
        if name.endswith(f"-{suffix}")
    }
    jobs = sum(job.settings["name"] == f"load-{suffix}" for job in state.jobs.values())
    return {"shares": plain, "recipients": recipients, "jobs": jobs}


def carried_out(world: PackWorld, since: int) -> Counter[str]:
    """Writes that took effect, by route."""
    return Counter(
        entry.route for entry in world.workspace.requests if entry.sequence > since and entry.writes
    )


def clean(world: PackWorld) -> tuple[dict[str, Any], Counter[str], int]:
    """One undisturbed run: what it leaves, its writes, and how many calls it makes."""
    mark = world.workspace.last
    uid = world.provisioned(pack("clean"))
    assert world.status(uid)["State"] == "COMPLETED"
    writes = carried_out(world, mark)
    assert sum(writes.values()) >= 12
    return held(world, "clean"), writes, len([r for r in world.workspace.requests if r.sequence > mark])


def same_as_clean(world: PackWorld, suffix: str, uid: str, wanted: dict[str, Any]) -> None:
    assert world.status(uid)["State"] == "COMPLETED", world.status(uid)
    assert held(world, suffix) == wanted
    secrets = world.sql(
        "SELECT secret_name FROM deltashare.recipients WHERE is_current AND name LIKE %s", f"%-{suffix}"
    )
    assert len(secrets) == len(wanted["recipients"])
    assert all((world.vault / row["secret_name"]).read_text().startswith("http") for row in secrets)


@pytest.mark.timeout(900)
def test_kill_after_any_call_and_redelivery_end_like_one_clean_run(
    packs: PackWorld, workers: Workers
) -> None:
    wanted, writes, calls = clean(packs)
    for k in range(calls):
        mark, suffix, victim = packs.workspace.last, f"k{k}", {"pid": 0}
        uid = packs.upload(pack(suffix))
        body, message = packs.take()
        packs.workspace.fault("*", "kill", skip=k, run=lambda v=victim: os.kill(v["pid"], signal.SIGKILL))
        attempt = workers.start(["provision", body, message, 1], packs.environment())
        victim["pid"] = attempt.pid
        assert attempt.wait().killed, attempt.said()
        packs.workspace.heal()
        packs.app.provision_share_pack(body.encode(), message, 2)
        same_as_clean(packs, suffix, uid, wanted)
        # Nothing that took effect was done again: not a token, not a recipient, not a grant.
        assert carried_out(packs, mark) == writes, f"killed after call {k}"


FAULTS: list[tuple[FaultKind, dict[str, int]]] = [
    ("after", {}), ("before", {}), ("429", {}), ("429", {"retry_after_s": 0}), ("500", {}), ("504", {}),
    ("500-after", {}), ("504-after", {}), ("stale", {}),
]  # fmt: skip


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("kind", "more"), FAULTS, ids=str)
def test_faults_of_any_write_change_nothing_about_the_end(
    packs: PackWorld, kind: FaultKind, more: dict[str, int]
) -> None:
    wanted, writes, _ = clean(packs)
    for k in range(0, sum(writes.values()), 1 if NIGHTLY else 3):
        mark, suffix = packs.workspace.last, f"{kind}{k}"
        packs.workspace.fault("writes", kind, skip=k, **more)
        uid = packs.provisioned(pack(suffix))
        for _ in range(6):
            if packs.status(uid)["State"] != "IN_PROGRESS":
                break
            packs.due()
            packs.pump()
        packs.workspace.heal()
        same_as_clean(packs, suffix, uid, wanted)
        assert carried_out(packs, mark) == writes, f"{kind} at write {k}"
