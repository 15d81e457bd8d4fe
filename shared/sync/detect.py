"""Detection: which tables changed. Cheap probes, twenty at a time, and one connector's trouble stays its own."""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any, Literal, Protocol
from uuid import UUID

from shared.errors import (
    AppError,
    ConfigurationError,
    PermanentError,
    SourceRefusedError,
    TransientError,
)
from shared.sync.fetch import Probe, Source
from shared.sync.model import Strategy, VersionSpec
from shared.sync.ports import Clock
from shared.sync.rowversion import encode_one, lower_bound, remembered

FAILURES_BEFORE_LEAVING = 3
_QUIET_S = 2.0  # without an answer, before what was found so far is sent on its way
# What says something of the connector rather than of one table.
_CONNECTOR_TROUBLE = (TransientError, SourceRefusedError, ConfigurationError)


@dataclass(frozen=True, slots=True)
class DueEntity:
    """An entity whose time has come. `last_probe` was taken before its last proven run's first page."""

    entity_uid: UUID
    connector_uid: UUID
    slug: str
    strategy: Strategy
    version: VersionSpec | None
    watermark: str | None
    overlap: int
    parameters: Mapping[str, str]
    last_probe: Mapping[str, Any] | None
    sweep_due: bool
    has_parents: bool = False
    backfill_due: bool = False
    deletes_seen: str | None = None  # the source's mark of deletions before the last pass over all its keys


@dataclass(frozen=True, slots=True)
class Detected:
    """What one look at one entity said."""

    entity: DueEntity
    outcome: Literal["changed", "unchanged", "failed", "left"]
    error: AppError | None = None


class Sources(Protocol):
    """Connectors by uid; building one may fail like probing it."""

    def source(self, connector_uid: UUID) -> Source:
        """The connector, ready to be asked."""


def question(entity: DueEntity) -> str | None:
    """The lower bound that a fetch of this entity would ask with."""
    if entity.strategy != "rowversion" or entity.version is None:
        return None
    return lower_bound(entity.watermark, entity.overlap, entity.version, **remembered(entity.last_probe))


def is_changed(entity: DueEntity, probe: Probe | None, lower: str | None) -> bool:
    """Whether a fetch could find anything: always, unless the probe rules it out."""
    if probe is None or probe.count is None or entity.last_probe is None:
        return True
    same_question = entity.last_probe.get("lower") == lower
    delta = entity.strategy == "rowversion" and entity.watermark is not None
    if delta and entity.version is not None and probe.max_rowversion is not None:
        encoded = encode_one(probe.max_rowversion, entity.version)
        if encoded is None or encoded > str(entity.watermark):
            return True
        if encoded < str(entity.watermark) and not same_question:
            # Its newest row was deleted, or the source was restored: the run's first page tells which.
            return True
    pair = (entity.last_probe.get("max_rowversion"), entity.last_probe.get("count"))
    if same_question:
        return pair != (probe.max_rowversion, probe.count)
    # An overlap says that rows commit late, below the newest: the last run asked from elsewhere and cannot tell.
    return not delta or entity.overlap > 0


def _tells_of_deletes(entity: DueEntity, probe: Probe | None) -> bool:
    """Whether rows were deleted since the last pass; what is gone from the target, the next pass alone decides."""
    told = probe.deletes if probe is not None else None
    swept = entity.strategy == "rowversion" and entity.deletes_seen is not None
    return swept and told is not None and told != entity.deletes_seen


class _Line:
    """Who is to be probed next: connectors take turns, so that a large one does not starve the rest."""

    def __init__(self, due: Sequence[DueEntity]) -> None:
        self._waiting: dict[UUID, deque[DueEntity]] = defaultdict(deque)
        for entity in due:
            self._waiting[entity.connector_uid].append(entity)
        self._turns = deque(self._waiting)

    def __bool__(self) -> bool:
        return bool(self._turns)

    def next(self, may_start: Callable[[UUID], bool]) -> DueEntity | None:
        """The next entity of a connector that may be asked now; None where all of them must wait."""
        for _ in range(len(self._turns)):
            connector = self._turns.popleft()
            if may_start(connector):
                entity = self._waiting[connector].popleft()
                if self._waiting[connector]:
                    self._turns.append(connector)
                return entity
            self._turns.append(connector)
        return None


class Detector:
    """One tick's probes. `concurrency` probes at once, none started after `budget_s`."""

    def __init__(self, sources: Sources, clock: Clock, *, concurrency: int, budget_s: float) -> None:
        self._sources, self._clock = sources, clock
        self._concurrency, self._deadline = concurrency, clock.monotonic() + budget_s
        self._failures: dict[UUID, int] = defaultdict(int)
        self._opened: dict[UUID, Source] = {}
        self._answered: set[UUID] = set()
        self._in_flight: Counter[UUID] = Counter()
        self._lock, self._opening = Lock(), Lock()

    def look(
        self,
        due: Sequence[DueEntity],
        report: Callable[[Detected], None],
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """Probe every due entity and report each result as it comes, from this thread; `meanwhile`, when none does."""
        line = _Line(due)
        results: SimpleQueue[Future[Detected]] = SimpleQueue()
        with ThreadPoolExecutor(self._concurrency, thread_name_prefix="probe") as pool:
            while line or self._in_flight.total():
                while entity := self._next(line):
                    self._in_flight[entity.connector_uid] += 1
                    pool.submit(self._probe, entity).add_done_callback(results.put)
                try:
                    detected = results.get(timeout=_QUIET_S).result()
                except Empty:
                    meanwhile()
                    continue
                self._in_flight[detected.entity.connector_uid] -= 1
                report(detected)

    def _next(self, line: _Line) -> DueEntity | None:
        return line.next(self._has_room) if self._in_flight.total() < self._concurrency else None

    def _has_room(self, connector_uid: UUID) -> bool:
        """Until a connector answers it gets no more probes than it may fail: one that hangs holds up no other."""
        with self._lock:
            answers = connector_uid in self._answered
        return answers or self._is_late() or self._in_flight[connector_uid] < FAILURES_BEFORE_LEAVING

    def _is_late(self) -> bool:
        return self._clock.monotonic() >= self._deadline

    def _probe(self, entity: DueEntity) -> Detected:
        if self._is_late() or self._left(entity.connector_uid):
            return Detected(entity, "left")
        try:
            lower = question(entity)
            probe = self._source(entity.connector_uid).probe(entity.slug, lower, entity.parameters)
        except AppError as error:
            if isinstance(error, _CONNECTOR_TROUBLE):
                self._failed(entity.connector_uid)
            return Detected(entity, "failed", error)
        except Exception as error:  # a defect that one entity brings out must not silence the others
            broken = PermanentError(
                f"{entity.slug}: its probe broke down ({type(error).__name__})", hint="report it"
            )
            return Detected(entity, "failed", broken)
        with self._lock:
            self._failures[entity.connector_uid] = 0
            self._answered.add(entity.connector_uid)
        if _tells_of_deletes(entity, probe):
            entity = replace(entity, sweep_due=True)
        return Detected(entity, "changed" if is_changed(entity, probe, lower) else "unchanged")

    def _source(self, connector_uid: UUID) -> Source:
        """The connector, looked up once a tick however many tables it has; one that cannot be opened is tried anew."""
        with self._opening:
            if connector_uid not in self._opened:
                self._opened[connector_uid] = self._sources.source(connector_uid)
            return self._opened[connector_uid]

    def _left(self, connector_uid: UUID) -> bool:
        with self._lock:
            return self._failures[connector_uid] >= FAILURES_BEFORE_LEAVING

    def _failed(self, connector_uid: UUID) -> None:
        with self._lock:
            self._failures[connector_uid] += 1
