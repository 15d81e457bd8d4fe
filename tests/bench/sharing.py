"""How long a large share pack takes to plan and to apply, and how many calls: `python -m tests.bench.sharing`.

The workspace is in memory, so the seconds are ours alone; the calls are what a real one would be asked.
"""

import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

from shared.sharing.model import DataObject, Share, SharePack
from shared.sharing.observe import observe
from tests.unit.sharing.memory import MemoryWorkspace, tables
from tests.unit.sharing.scene import Scene, opened, pack

SHARES, OBJECTS, READERS = 500, 40, 20
Made = TypeVar("Made")


def large_pack() -> SharePack:
    """500 shares of 40 tables, each with two of twenty recipients."""
    recipients = [opened(f"reader-{n}", f"10.0.{n}.0/24") for n in range(READERS)]
    shares = [
        Share(f"share-{n}", None, (f"reader-{n % READERS}", f"reader-{(n + 1) % READERS}"),
              tuple(DataObject(f"c.schema_{n}.table_{t}") for t in range(OBJECTS)))
        for n in range(SHARES)
    ]  # fmt: skip
    return pack(*recipients, *shares)


def timed(work: Callable[[], Made]) -> tuple[float, Made]:
    began = time.perf_counter()
    made = work()
    return time.perf_counter() - began, made


def measure() -> dict[str, Any]:
    """Seconds of each part, calls by kind, and the floor: no way known does it with fewer writes."""
    wanted = large_pack()
    names = [o.name for share in wanted.shares for o in share.data_objects]
    scene = Scene(MemoryWorkspace(catalog=tables(*names)), budget_s=3600)
    look_s, observed = timed(lambda: observe(scene.workspace, wanted))
    looks = dict(scene.workspace.calls)
    plan_s, planned = timed(lambda: scene.subject(wanted).plan(scene.holdings, observed))
    store_s, document = timed(lambda: json.dumps(planned.to_document()))
    text_s, _ = timed(planned.text)
    scene.workspace.calls.clear()
    apply_s, outcome = timed(lambda: scene.apply(planned, wanted))
    assert outcome.state == "COMPLETED", outcome.message
    applied = dict(scene.workspace.calls)
    again_s, again = timed(lambda: scene.plan(wanted))
    assert again.actions == ()
    return {
        "observe_s": round(look_s, 2), "observe_calls": looks, "plan_s": round(plan_s, 2),
        "document_s": round(store_s, 2), "document_mb": round(len(document) / 1e6, 1),
        "text_s": round(text_s, 2), "apply_s": round(apply_s, 2), "apply_calls": applied,
        "writes": planned.writes, "floor": READERS + 3 * SHARES, "drift_s": round(again_s, 2),
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
