"""The timer of background loads: gives each load whose window is open its run of the night; one a night."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol
from uuid import UUID

from shared.errors import AppError, ConfigurationError, ConflictError, TransientError
from shared.failpoints import hit
from shared.sync.model import Strategy
from shared.sync.nights import refusal
from shared.sync.ports import Clock
from shared.sync.run import Told
from shared.sync.windows import Opening, Window


@dataclass(frozen=True, slots=True)
class DueLoad:
    """An active load. `last_night` had a run; in the night `waited_in` it waited for a sweep, perhaps long enough."""

    uid: UUID
    entity_uid: UUID
    slug: str
    strategy: Strategy
    pagination: str | None
    window: Window
    last_night: date | None
    sweep_due: bool
    waited_in: date | None
    waited_enough: bool


class Loads(Protocol):
    """Where background loads are kept."""

    def active(self) -> Sequence[DueLoad]:
        """Loads that may get a run where their window is open."""

    def wait_for_sweep(self, uid: UUID, night: date) -> None:
        """Remember that the load waits tonight."""

    def trouble(self, uid: UUID, error: AppError) -> None:
        """Say why tonight's run could not begin."""

    def begin(self, uid: UUID, entity_uid: UUID, opening: Opening) -> UUID:
        """Create tonight's run; ConflictError while the bulk lane is taken or tonight had its run."""


@dataclass(frozen=True, slots=True)
class BackgroundLoads:
    """Everything that one call of the timer needs."""

    loads: Loads
    clock: Clock
    send_outbox: Callable[[], int]
    tell: Told

    def run(self) -> Counter[str]:
        """Begin what may begin now; how many loads ended how."""
        outcomes: Counter[str] = Counter()
        for load in self.loads.active():
            opening = load.window.at(self.clock.now())
            if opening is None or opening.night == load.last_night:
                outcomes["resting"] += 1
            elif load.sweep_due and not (load.waited_in == opening.night and load.waited_enough):
                self.loads.wait_for_sweep(load.uid, opening.night)
                outcomes["waiting"] += 1
            else:
                outcomes[self._begin(load, opening)] += 1
        self._send()
        self.tell("background_loads", **outcomes)
        return outcomes

    def _begin(self, load: DueLoad, opening: Opening) -> str:
        try:
            if reason := refusal(load.strategy, load.pagination):
                raise ConfigurationError(f"{load.slug}: {reason}", hint="or delete its schedule")
            self.loads.begin(load.uid, load.entity_uid, opening)
        except ConflictError:
            return "waiting"  # for the bulk lane: a sweep or a refresh is at work
        except AppError as error:
            # One load's trouble is its own: the others still get their runs.
            self.tell("load_refused", level=logging.WARNING, entity=load.slug, code=error.code)
            self.loads.trouble(load.uid, error)
            return "failed"
        hit("window.created")
        return "begun"

    def _send(self) -> None:
        try:
            self.send_outbox()
        except TransientError as error:
            self.tell("outbox_waits", level=logging.WARNING, code=error.code)
