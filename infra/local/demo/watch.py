"""Follows one tick: detection, and every run that it (or the timer beside it) created, until all ended."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableClient

from infra.local.demo.client import Client, DemoError

UNFINISHED = ("queued", "running")
POLL_S = 0.3
LINE_EVERY_S = 2.0
TICK_TIMEOUT_S = 600.0
# The timer's own tick may end just after we asked for ours and leave the heartbeat we look for.
SETTLE_S = 1.5
PAGE = 500

Run = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Watch:
    """The runs of one connector, seen through the API; `slugs` and `strategies` are its entities' by uid."""

    host: Client
    heartbeats: TableClient
    connector_uid: str
    slugs: Mapping[str, str]
    strategies: Mapping[str, str]
    say: Callable[[str], None]

    def runs(self) -> list[Run]:
        """Every run of the connector so far, newest first."""
        found: list[Run] = []
        cursor: dict[str, str] = {}
        while True:
            page = self.host.get(
                "/api/v1/sync/history", connector_uid=self.connector_uid, limit=PAGE, **cursor
            )
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            cursor = {"cursor": page["next_cursor"]}

    def ended(self) -> frozenset[str]:
        """The runs that are over; what an interrupted telling left behind counts with the next tick."""
        return frozenset(run["uid"] for run in self.runs() if run["status"] not in UNFINISHED)

    def tick(self, known: frozenset[str]) -> list[Run]:
        """Detect now, wait for the work, answer the runs that `known` (uids) does not hold yet."""
        asked_at = datetime.now(UTC)
        began = spoken = time.monotonic()
        self.host.post("/admin/functions/detect_changes", {"input": ""})
        while True:
            detected = time.monotonic() - began >= SETTLE_S and self._detected_since(asked_at)
            new = [run for run in self.runs() if run["uid"] not in known]
            if detected and not any(run["status"] in UNFINISHED for run in new):
                return new
            if time.monotonic() - spoken >= LINE_EVERY_S:
                spoken = time.monotonic()
                self.say(f"  {spoken - began:4.0f} s  {self._line(new)}")
            _check_deadline(began, new)
            time.sleep(POLL_S)

    def _detected_since(self, moment: datetime) -> bool:
        try:
            beat = self.heartbeats.get_entity("function", "detect_changes")["At"]
        except ResourceNotFoundError:
            return False
        return bool(beat >= moment)

    def _line(self, runs: Sequence[Run]) -> str:
        parts = [f"{self.slugs[run['entity_uid']]} {run['fetched']:,}{_mark(run)}" for run in reversed(runs)]
        return " · ".join(parts) or "asking every table whether it changed"


def _mark(run: Run) -> str:
    return {"queued": " (queued)", "running": " ..."}.get(run["status"], f" {run['status']}")


def _check_deadline(began: float, runs: Sequence[Run]) -> None:
    if time.monotonic() - began <= TICK_TIMEOUT_S:
        return
    waiting = ", ".join(run["uid"] for run in runs if run["status"] in UNFINISHED) or "detection itself"
    raise DemoError(f"not ended after {TICK_TIMEOUT_S:.0f} s: {waiting}; see .local/logs/host.log")
