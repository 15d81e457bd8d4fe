"""Timer triggers: one holder at a time, one catch-up for missed ticks, a status that advances whatever happens."""

import json
import logging
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.storage.blob import BlobClient, BlobServiceClient

from infra.local.host.clock import Clock
from infra.local.host.errors import HostError
from infra.local.host.leases import LeaseTiming, Singleton, host_blob
from infra.local.host.protocol import Text
from infra.local.host.runner import Runner
from infra.local.host.triggers import TimerTrigger

log = logging.getLogger("host.timer")

NEVER = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Status:
    """When a timer last ran and when it is due next, UTC."""

    last: datetime
    next: datetime
    updated: datetime

    def as_json(self) -> str:
        """The form of the status blob, and of what the function sees."""
        members = {"Last": self.last, "Next": self.next, "LastUpdated": self.updated}
        return json.dumps({name: moment.isoformat() for name, moment in members.items()})

    @classmethod
    def from_json(cls, text: str) -> "Status":
        """Raises ValueError or KeyError when the blob holds something else."""
        members = json.loads(text)
        return cls(*(datetime.fromisoformat(members[name]) for name in ("Last", "Next", "LastUpdated")))


class StatusBlob:
    """Where a monitored timer's status outlives the host."""

    def __init__(self, blob: BlobClient) -> None:
        self._blob = blob

    def read(self) -> Status | None:
        """The stored status; None when there is none, or none that can be read."""
        try:
            return Status.from_json(self._blob.download_blob().readall().decode())
        except ResourceNotFoundError:
            return None
        except (ValueError, KeyError) as error:
            log.warning("%s is unreadable (%s); it is written anew", self._blob.blob_name, error)
            return None

    def write(self, status: Status) -> None:
        """Replace the stored status."""
        self._blob.upload_blob(status.as_json().encode(), overwrite=True)


class TimerListener:
    """One timer function; runs on a thread of its own until stopped."""

    def __init__(
        self, trigger: TimerTrigger, runner: Runner, service: BlobServiceClient, host_id: str, clock: Clock,
        timing: LeaseTiming,
    ) -> None:  # fmt: skip
        name = trigger.function.name
        self._trigger, self._runner, self._clock = trigger, runner, clock
        self._singleton = Singleton(host_blob(service, f"locks/{host_id}/{name}.Listener"), timing)
        self._status = StatusBlob(host_blob(service, f"timers/{host_id}/{name}/status"))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True, name=f"timer-{name}")

    def start(self) -> None:
        """Begin to wait for the lease, then for the schedule."""
        self._thread.start()

    def stop(self) -> None:
        """No further tick; returns at once."""
        self._stop.set()

    def join(self, timeout_s: float) -> None:
        """Wait for a running tick, then give the lease back."""
        self._thread.join(timeout_s)
        self._singleton.release()

    def invoke(self, past_due: bool = False, status: Status | None = None) -> None:
        """Run the function once and wait; its failure is logged and swallowed, the schedule goes on."""
        payload = json.dumps(
            {
                "IsPastDue": past_due,
                "Schedule": {"AdjustForDST": False},
                "ScheduleStatus": json.loads(status.as_json()) if status else None,
            }
        )
        function = self._trigger.function
        try:
            finished = self._runner.begin(function, Text("json", payload)).result()
            self._runner.finish(function, finished)
        except (HostError, AzureError) as error:
            log.error("timer %s failed: %s", function.name, error)

    def _serve(self) -> None:
        while self._singleton.acquire(self._stop):
            try:
                self._tick_until_lost()
            except AzureError as error:
                log.error("timer %s cannot reach its status: %s", self._trigger.function.name, error)
                self._stop.wait(5)
            finally:
                self._singleton.release()

    def _tick_until_lost(self) -> None:
        monitored = self._trigger.monitored and not self._trigger.schedule.is_sub_minute(self._clock.now())
        status = self._catch_up() if monitored else self._fresh(NEVER)
        if self._trigger.run_on_startup:
            self.invoke(status=status)
        while self._clock.wait(status.next, self._stop) and not self._singleton.lost.is_set():
            self.invoke(status=status)
            # Counted from now: ticks missed while the function ran are not made up for, and none overlaps.
            status = self._fresh(status.next)
            if monitored:
                self._status.write(status)

    def _catch_up(self) -> Status:
        stored = self._status.read()
        now = self._clock.now()
        status = self._fresh(NEVER) if stored is None else self._rescheduled(stored)
        if status.next < now - timedelta(seconds=1):
            log.info(
                "timer %s is past due since %s; it runs once now", self._trigger.function.name, status.next
            )
            self.invoke(past_due=True, status=status)
            status = self._fresh(now)
        self._status.write(status)
        return status

    def _rescheduled(self, stored: Status) -> Status:
        # A schedule changed since: what is due follows from the new one, counted from the last run.
        since = stored.last if stored.last > NEVER else stored.updated
        return Status(stored.last, self._trigger.schedule.after(since), stored.updated)

    def _fresh(self, last: datetime) -> Status:
        now = self._clock.now()
        return Status(last, self._trigger.schedule.after(now), now)
