"""The demo's fifth step: a share pack is uploaded, planned, approved by somebody else and applied; then once more."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.local.demo.client import Client, DemoError

PACK = "docs/examples/sales_q1.yaml"
TENANT, REGION = "sales-operations", "local"
WAIT_S, POLL_S = 120.0, 0.25
OPEN = frozenset({"IN_PROGRESS", "SCHEDULED"})


@dataclass(slots=True)
class Sharing:
    """One telling. `operator` uploads as the pack's requestor, `approver` is another person."""

    operator: Client
    approver: Client
    workspace: Client
    root: Path
    say: Callable[[str], None]
    problems: list[str] = field(default_factory=list)

    def tell(self) -> dict[str, Any]:
        """The summary's member `share_pack`."""
        self.say("\n5. A share pack is uploaded, planned, approved and applied to the workspace stand-in")
        self._register()
        text = (self.root / PACK).read_text("utf-8")
        first = self._provision(text.encode(), "sales_q1.yaml")
        self._show_exposure()
        self.say("   The same content once more, as an UPDATE: planned and applied, and nothing to write")
        # Other bytes each time: the same ones again would rightly lead to nothing at all.
        again = text.replace("strategy: NEW", "strategy: UPDATE") + f"# {time.time_ns()}\n"
        before = self.workspace.get("/control/writes")["last"]
        second = self._provision(again.encode(), "sales_q1_again.yaml")
        written = self.workspace.get("/control/writes", since=before)["writes"]
        for name, status in (("the share pack", first), ("the same again", second)):
            if status["State"] != "COMPLETED":
                self.problems.append(f"{name} is {status['State']}: {status['ErrorMessage']}")
        if written:
            self.problems.append(f"the same share pack again led to {written} writes in the workspace")
        return {"share_pack": {"status": first["State"], "second_apply_writes": written}}

    def _register(self) -> None:
        self.approver.put(f"/api/v1/tenants/{TENANT}", {})
        regions = [{"region": REGION, "workspace_url": self.workspace.base_url}]
        self.approver.put(f"/api/v1/tenants/{TENANT}/regions", {"regions": regions})

    def _provision(self, content: bytes, name: str) -> Mapping[str, Any]:
        taken = self.operator.upload(
            "/workflow/sharepack/upload", name, content, {"X-Workspace-URL": self.workspace.base_url}
        )
        self.say(f"   {taken['SharePackName']}: {taken['Message']}")
        at = f"/workflow/sharepack/{taken['SharePackId']}"
        status = self._until(at, OPEN)
        if status["State"] == "AWAITING_APPROVAL":
            plan = self.operator.get(f"{at}/plan")
            for line in plan["Text"].splitlines():
                self.say(f"     {line}")
            self.approver.post(f"{at}/approve", {"PlanHash": plan["PlanHash"]})
            self.say(f"   approved by another person: {plan['PlanHash'][:16]}...")
            status = self._until(at, OPEN | {"AWAITING_APPROVAL"})
        self.say(f"   {status['State']}: {status['ProvisioningStatus']}")
        return status

    def _until(self, at: str, states: frozenset[str]) -> Mapping[str, Any]:
        deadline = time.monotonic() + WAIT_S
        while True:
            status: Mapping[str, Any] = self.operator.get(at)
            if status["State"] not in states:
                return status
            if time.monotonic() > deadline:
                raise DemoError(
                    f"{at} is still {status['State']} after {WAIT_S:.0f} s; see .local/logs/host.log"
                )
            time.sleep(POLL_S)

    def _show_exposure(self) -> None:
        table = "prod_catalog.sales.transactions"
        seen = self.operator.get("/workflow/exposure", table=table)["Items"]
        for one in seen:
            networks = ", ".join(one["Networks"]) or "everywhere"
            self.say(f"   {table} can be read by {one['Recipient']} through {one['Share']}, from {networks}")
