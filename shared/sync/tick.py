"""One tick of detection: heal what was lost, ask what changed, create runs for it, send their messages."""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol
from uuid import UUID

from shared.errors import AppError, ConflictError, TransientError
from shared.failpoints import hit
from shared.sync.detect import Detected, Detector, DueEntity
from shared.sync.run import Told

_BATCH = 200
Purpose = Literal["delta", "sweep", "refresh", "backfill", "rehash", "verify"]


class Agenda(Protocol):
    """What is due, and the repair of what was lost."""

    def due(self) -> Sequence[DueEntity]:
        """Entities whose time has come."""

    def probed(
        self, entity_uids: Sequence[UUID], trouble: AppError | None = None, *, unchanged: bool = False
    ) -> None:
        """They were looked at; `trouble` is what kept their runs from starting, `unchanged` says they are current."""

    def heal(self) -> int:
        """Re-send lost messages, fill free slots."""

    def sweep_work_tables(self) -> int:
        """Drop work tables of ended runs."""

    def describe_due(self) -> Mapping[UUID, Sequence[str]]:
        """Slugs by connector whose runs met another shape than the catalogue knows."""

    def described(self, connector_uid: UUID, slugs: Sequence[str]) -> None:
        """They were described anew."""

    def rehash_due(self) -> Sequence[UUID]:
        """Entities whose rows must be hashed anew before anything else may run."""


class Runs(Protocol):
    """Where runs are created."""

    def create(
        self,
        entity_uid: UUID,
        *,
        purpose: Purpose,
        trigger: Literal["timer", "manual", "window", "retry"],
        requested_by: str,
    ) -> UUID:
        """Create a run; ConflictError when one is in flight."""


@dataclass(slots=True)
class _Found:
    """What probes found, as it comes in. `record` creates runs, and says why it could not."""

    agenda: Agenda
    record: Callable[[Detected], AppError | None]
    awaited: Counter[UUID]  # entities by connector whose results have not come in
    outcomes: Counter[str] = field(default_factory=Counter)
    looked_at: dict[bool, list[UUID]] = field(default_factory=lambda: {True: [], False: []})
    children: dict[UUID, list[Detected]] = field(default_factory=lambda: defaultdict(list))

    def report(self, detected: Detected) -> None:
        """Settle it, or keep it: its parents' runs are to be there first, so that a child knows whom to wait for."""
        connector = detected.entity.connector_uid
        if detected.entity.has_parents:
            self.children[connector].append(detected)
        else:
            self._settle(detected)
        self.awaited[connector] -= 1
        if not self.awaited[connector]:
            # Parents are of the same connector: another one that hangs keeps no child waiting.
            for child in self.children.pop(connector, ()):
                self._settle(child)

    def conclude(self) -> None:
        """Mark what was looked at."""
        for unchanged, uids in self.looked_at.items():
            self.agenda.probed(uids, unchanged=unchanged)

    def _settle(self, detected: Detected) -> None:
        if detected.outcome == "left":
            self.outcomes["left"] += 1
            return
        trouble = self.record(detected)
        self.outcomes["failed" if trouble else detected.outcome] += 1
        if trouble:
            self.agenda.probed([detected.entity.entity_uid], trouble)
            return
        unchanged = detected.outcome == "unchanged"
        self.looked_at[unchanged].append(detected.entity.entity_uid)
        if len(self.looked_at[unchanged]) >= _BATCH:
            self.agenda.probed(self.looked_at[unchanged], unchanged=unchanged)
            self.looked_at[unchanged].clear()


@dataclass(frozen=True, slots=True)
class Tick:
    """Everything a tick needs. `detector` makes a fresh one: its failures and its deadline are the tick's own."""

    agenda: Agenda
    runs: Runs
    detector: Callable[[], Detector]
    send_outbox: Callable[[], int]
    tell: Told
    describe: Callable[[UUID, Sequence[str]], None] = lambda _connector, _slugs: None
    verifications_due: Callable[[], Sequence[UUID]] = tuple

    def run(self) -> Counter[str]:
        """Probe what is due and create the runs; how many entities ended how."""
        self.agenda.sweep_work_tables()
        self.agenda.heal()
        for entity_uid in self.agenda.rehash_due():
            self._create(entity_uid, str(entity_uid), "rehash")
        self._send()
        self._describe()
        due = self.agenda.due()
        found = _Found(self.agenda, self._record, Counter(entity.connector_uid for entity in due))
        self.detector().look(due, found.report, self._send)
        found.conclude()
        self._verify()
        self._send()
        self.tell("tick", **found.outcomes)
        return found.outcomes

    def _describe(self) -> None:
        """Have drifted tables described anew; a connector that cannot answer is asked at the next tick."""
        for connector_uid, slugs in self.agenda.describe_due().items():
            try:
                self.describe(connector_uid, slugs)
            except AppError as error:
                self.tell("describe_failed", level=logging.WARNING, code=error.code)
            else:
                self.agenda.described(connector_uid, slugs)

    def _record(self, detected: Detected) -> AppError | None:
        """Create the runs that the probe asks for; what went wrong, where something did."""
        entity = detected.entity
        if detected.error is not None:
            # A connector that cannot even be probed gets no runs that would fail the same way.
            self.tell("probe_failed", level=logging.WARNING, entity=entity.slug, code=detected.error.code)
            return detected.error
        changed = detected.outcome == "changed"
        purposes: list[Purpose] = ["delta"] if changed else []
        # One bulk run at a time: what is created first goes first, the other comes with a later tick.
        purposes += ["backfill"] if entity.backfill_due else []
        purposes += ["sweep"] if entity.sweep_due else []
        troubles = [self._create(entity.entity_uid, entity.slug, purpose) for purpose in purposes]
        return next((trouble for trouble in troubles if trouble), None)

    def _create(self, entity_uid: UUID, slug: str, purpose: Purpose) -> AppError | None:
        hit("detect.before_create")
        try:
            self.runs.create(entity_uid, purpose=purpose, trigger="timer", requested_by="timer")
        except ConflictError:
            return None  # one is in flight already, which serves as well
        except AppError as error:
            # One entity's trouble is its own: the others still get their runs.
            self.tell("run_refused", level=logging.WARNING, entity=slug, code=error.code)
            return error
        hit("detect.after_create")
        return None

    def _verify(self) -> None:
        for entity_uid in self.verifications_due():
            try:
                self.runs.create(entity_uid, purpose="verify", trigger="timer", requested_by="timer")
            except AppError as error:
                # A run that got in between is no trouble, and any other is the entity's own: the next tick tries again.
                self.tell("verification_waits", entity=str(entity_uid), code=error.code)

    def _send(self) -> None:
        try:
            self.send_outbox()
        except TransientError as error:
            self.tell("outbox_waits", level=logging.WARNING, code=error.code)
