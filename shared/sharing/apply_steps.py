"""What became of each step of an application, and of the whole."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from shared.sharing.model import PipelineType
from shared.sharing.plan import Plan
from shared.sharing.plan_actions import CREATING, Kind
from shared.sharing.plan_draft import Holdings
from shared.sharing.ports import Entry

State = Literal["COMPLETED", "PARTIAL", "FAILED", "CONTINUE"]


@dataclass(frozen=True, slots=True)
class Step:
    """One action as it stands: `waiting` has not been concluded. `result` holds no credential."""

    position: int
    kind: Kind
    target: str
    status: Literal["done", "failed", "skipped", "waiting"]
    result: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far an application came. CONTINUE: the time was up between two actions, run it again.

    `created`: the things that are this installation's from now on, whatever the state. `differing`: what a last look
    still found otherwise than planned, though every call succeeded.
    """

    state: State
    steps: tuple[Step, ...]
    created: tuple[str, ...]
    differing: tuple[str, ...] = ()

    @property
    def message(self) -> str | None:
        """What a person needs to hear; None where all is well."""
        told = [f"{s.kind} {s.target}: {s.result.get('error', s.status)}" for s in self.steps
                if s.status in ("failed", "skipped")]  # fmt: skip
        told += [f"still to do, though every call succeeded: {each}" for each in self.differing]
        return "; ".join(told) or None


def steps_of(plan: Plan, entries: Mapping[int, Entry]) -> tuple[Step, ...]:
    """Every action of the plan with its state."""
    return tuple(step_of(plan, position, entries.get(position)) for position in range(len(plan.actions)))


def step_of(plan: Plan, position: int, entry: Entry | None) -> Step:
    """One action with its state."""
    action = plan.actions[position]
    if entry is None or entry.status == "intended":
        return Step(position, action.kind, action.target, "waiting", {})
    return Step(position, action.kind, action.target, entry.status, entry.result)


def state_of(steps: Sequence[Step], differing: Sequence[str]) -> State:
    """COMPLETED when all is done and seen; FAILED when nothing was; PARTIAL in between."""
    statuses = {step.status for step in steps}
    if "waiting" in statuses:
        return "CONTINUE"
    if statuses <= {"done"}:
        return "PARTIAL" if differing else "COMPLETED"
    return "PARTIAL" if any(s.status == "done" or s.result.get("landed") for s in steps) else "FAILED"


def created_by(plan: Plan, entries: Iterable[Entry], *, begun: bool = False) -> tuple[str, ...]:
    """The things that this application created; with `begun`, also those that it may have."""
    return tuple(
        plan.actions[entry.position].resource
        for entry in sorted(entries, key=lambda entry: entry.position)
        if plan.actions[entry.position].kind in CREATING
        and (entry.status == "done" or "created" in entry.result or (begun and entry.status == "intended"))
    )


def holding(holdings: Holdings, created: Iterable[str]) -> Holdings:
    """The same holdings with what was created since."""
    shares, recipients, pipelines = set(holdings.shares), set(holdings.recipients), set(holdings.pipelines)
    for each in created:
        kind, _, name = each.partition("/")
        if kind == "share":
            shares.add(name)
        elif kind == "recipient":
            recipients.add(name)
        else:
            pipeline_type, _, pipeline_name = name.partition("/")
            pipelines.add((cast(PipelineType, pipeline_type), pipeline_name))
    return replace(
        holdings,
        shares=frozenset(shares),
        recipients=frozenset(recipients),
        pipelines=frozenset(pipelines),
    )
