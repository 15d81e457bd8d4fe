"""The demo's four steps, done through HTTP as a person would: register, load, change and load again, repair."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azure.data.tables import TableClient

from infra.local.demo import report, totals
from infra.local.demo.client import Client, DemoError
from infra.local.demo.watch import POLL_S, UNFINISHED, Run, Watch

CONNECTOR = "sample-erp"
SECRET_NAME = "sample-erp"
BROKEN_WORD = "n/a"  # what the story puts into a number
# Pages as large as the sample ERP serves; the sweep finds deletes in the very tick they happen.
CHOICES = {"page_size": 10_000, "delete_after_missing": 1}
PARENTS = [
    {"columns": ["tailnum"], "slug": "planes", "parent_columns": ["tailnum"]},
    {"columns": ["dest"], "slug": "airports", "parent_columns": ["faa"]},
]
PER_TABLE: dict[str, dict[str, Any]] = {"flights": {"key_sweep_interval_seconds": 0, "parents": PARENTS}}
REPLAY_TIMEOUT_S = 120.0


@dataclass(slots=True)
class Story:
    """One telling. `remembered` keeps the source's row version after the last one: what changed since?"""

    host: Client
    erp: Client
    heartbeats: TableClient
    remembered: Path
    say: Callable[[str], None]
    problems: list[str] = field(default_factory=list)

    def tell(self) -> dict[str, Any]:
        """The summary's members for both ticks; `problems` holds whatever was not as it must be."""
        before = self.erp.get("/control/health")
        watch, is_new = self._register()
        fresh = is_new and before["fresh"]
        first, runs = self._tick(watch, "2. First tick: what changed is detected, queued and loaded")
        if fresh:
            self.problems += totals.fresh_first(runs, watch.slugs)
        elif before["rowversion"] == self._remembered_version():
            self.problems += totals.unchanged_tables(runs, watch.slugs, frozenset())
        self._explain_waiting(watch)
        ticks = [runs]
        told = self._change()
        second, runs = self._tick(watch, "3. Second tick: only the tables that changed")
        if fresh:
            self.problems += totals.fresh_second(runs, watch.slugs, told, len(self._rejects(watch)))
        self.problems += totals.unchanged_tables(runs, watch.slugs, _changed(told))
        self._explain_rejects(watch)
        self._explain_waiting(watch)
        replay, replayed = self._replay(watch)
        if fresh:
            waiting = self._waiting(watch)
            self.problems += totals.every_flight([*ticks, runs, replayed], watch.slugs, told, waiting)
            if replay != {"replayed": told["flights"]["broken"], "landed": told["flights"]["broken"]}:
                self.problems.append(f"replay: {replay}, expected every broken row to land")
        self.remembered.write_text(json.dumps({"rowversion": self.erp.get("/control/health")["rowversion"]}))
        return {"first_tick": first, "second_tick": second, "replay": replay}

    def _register(self) -> tuple[Watch, bool]:
        self.say("1. Register the sample ERP as a connector and discover its tables")
        body = {
            "name": CONNECTOR,
            "kind": "http",
            "base_url": self.erp.base_url,
            "auth": {"type": "client_credentials", "secret_name": SECRET_NAME},
            "tenant": "default",
        }
        existing = self._existing()
        if existing is None:
            uid = self.host.post("/api/v1/connectors", body)["uid"]
        else:
            uid = self.host.put(f"/api/v1/connectors/{existing}", body)["uid"]
        self.say(f"   connector {CONNECTOR} ({'registered' if existing is None else 'known already'}): {uid}")
        entities = self._discover(uid)
        slugs = {one["uid"]: one["slug"] for one in entities}
        strategies = {one["uid"]: one["delta_strategy"] for one in entities}
        return Watch(self.host, self.heartbeats, uid, slugs, strategies, self.say), existing is None

    def _existing(self) -> str | None:
        connectors = self.host.get("/api/v1/connectors", limit=500)["items"]
        return next((one["uid"] for one in connectors if one["name"] == CONNECTOR), None)

    def _discover(self, connector_uid: str) -> list[Mapping[str, Any]]:
        entities: list[Mapping[str, Any]] = []
        for one in self.host.post(f"/api/v1/connectors/{connector_uid}/discover")["items"]:
            if one["entity_uid"] is None:
                raise DemoError(f"{one['slug']} could not be discovered: {one['error']}")
            entity = self._choose(connector_uid, one["entity_uid"], one["slug"])
            keys = " + ".join(entity["business_keys"])
            waits = ", ".join(f"{'+'.join(p['columns'])} in {p['slug']}" for p in entity["parents"])
            line = f"   {one['slug']:<9} {one['status']:<10} {entity['delta_strategy']:<11} key {keys}"
            self.say(line + (f"; parents: {waits}" if waits else ""))
            entities.append(entity)
        return entities

    def _choose(self, connector_uid: str, entity_uid: str, slug: str) -> Mapping[str, Any]:
        body = {"connector_uid": connector_uid, "slug": slug, **CHOICES, **PER_TABLE.get(slug, {})}
        answer: Mapping[str, Any] = self.host.put(f"/api/v1/entities/{entity_uid}", body)
        return answer

    def _tick(self, watch: Watch, title: str) -> tuple[dict[str, float], Sequence[Run]]:
        self.say(f"\n{title}")
        # Every table is made due, as its interval would: its probe then leaves alone what did not change.
        known = watch.ended()
        slugs = sorted(watch.slugs.values())
        self.host.post(f"/api/v1/connectors/{watch.connector_uid}/notify", {"slugs": slugs})
        began = time.monotonic()
        runs = watch.tick(known)
        summed = totals.totals(runs, time.monotonic() - began)
        if runs:
            self.say(report.table(runs, watch.slugs, watch.strategies))
        untouched = sorted(set(slugs) - {watch.slugs[run["entity_uid"]] for run in runs})
        if untouched:
            self.say(f"  not touched, because nothing changed: {', '.join(untouched)}")
        self.problems += totals.every_tick(runs, watch.slugs)
        return summed, runs

    def _change(self) -> Mapping[str, Any]:
        told: Mapping[str, Any] = self.erp.post("/control/story")
        flights, arrived = told["flights"], told["airports"]["keys"]
        self.say(
            f"\n   Meanwhile at the source: {flights['updated']} flights updated, {flights['deleted']} deleted,"
            f" {flights['broken']} broken on purpose; airports arrived: {', '.join(arrived) or 'none'}"
        )
        return told

    def _rejects(self, watch: Watch) -> list[Mapping[str, Any]]:
        page = self.host.get(
            "/api/v1/failed-records", connector_uid=watch.connector_uid, status="open", limit=500
        )
        items: list[Mapping[str, Any]] = page["items"]
        return items

    def _explain_rejects(self, watch: Watch) -> None:
        for one in self._rejects(watch)[:5]:
            slug = watch.slugs[one["entity_uid"]]
            self.say(f"  reject: {slug} {one['key']}: {one['code']}, {one['message']}")

    def _waiting(self, watch: Watch) -> int:
        """Rows that wait for a parent."""
        return sum(one["children"] for one in self._waiting_counts(watch) if one["parent"] is None)

    def _waiting_counts(self, watch: Watch) -> list[Mapping[str, Any]]:
        page = self.host.get("/api/v1/pending-children/counts", connector_uid=watch.connector_uid)
        items: list[Mapping[str, Any]] = page["items"]
        return items

    def _explain_waiting(self, watch: Watch) -> None:
        for one in self._waiting_counts(watch):
            if one["parent"] is not None:
                slug = watch.slugs[one["entity_uid"]]
                self.say(
                    f"  waiting: {one['children']:,} {slug} for {one['parents']:,} missing {one['parent']}"
                )

    def _replay(self, watch: Watch) -> tuple[dict[str, int], Sequence[Run]]:
        """Let the rule that refused a row accept it, and try the reject again; what that did, and its runs."""
        rejects = [one for one in self._rejects(watch) if one["column"]]
        self.say("\n4. The rule that refused the row is repaired, and the reject replayed")
        if not rejects:
            self.say("  nothing to replay: the rule accepts what was broken this time")
            return {"replayed": 0, "landed": 0}, ()
        for entity_uid, column in sorted({(one["entity_uid"], one["column"]) for one in rejects}):
            self._accept(entity_uid, column)
        body = {"connector_uid": watch.connector_uid}
        asked = self.host.post("/api/v1/sync/retry-failed", body)
        runs = [self._ended(one["run_uid"]) for one in asked["runs"]]
        landed = sum(run["inserted"] + run["updated"] + run["unchanged"] for run in runs)
        self.say(report.table(runs, watch.slugs, watch.strategies))
        self.problems += totals.every_tick(runs, watch.slugs)
        return {"replayed": sum(run["fetched"] for run in runs), "landed": landed}, runs

    def _accept(self, entity_uid: str, column: str) -> None:
        entity = self.host.get(f"/api/v1/entities/{entity_uid}")
        for mapping in entity["field_mappings"]:
            if mapping["source"] == column:
                mapping["rules"] = mapping["rules"] | {"null_values": [BROKEN_WORD]}
        plan, _ = self.host.put_planned(f"/api/v1/entities/{entity_uid}", entity)
        for line in plan.splitlines():
            self.say(f"  planned: {line}")
        self.say(f"  {entity['slug']}.{column}: {BROKEN_WORD!r} counts as NULL from now on")

    def _ended(self, run_uid: str) -> Run:
        deadline = time.monotonic() + REPLAY_TIMEOUT_S
        while True:
            run: Run = self.host.get(f"/api/v1/runs/{run_uid}")
            if run["status"] not in UNFINISHED:
                return run
            if time.monotonic() > deadline:
                raise DemoError(
                    f"run {run_uid} did not end within {REPLAY_TIMEOUT_S:.0f} s; see .local/logs/host.log"
                )
            time.sleep(POLL_S)

    def _remembered_version(self) -> int | None:
        if not self.remembered.exists():
            return None
        version: int = json.loads(self.remembered.read_text())["rowversion"]
        return version


def _changed(told: Mapping[str, Any]) -> frozenset[str]:
    return frozenset({"flights"} | ({"airports"} if told["airports"]["inserted"] else set()))
