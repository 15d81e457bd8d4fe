"""A plan carried out: each action written down, called, concluded; to be resumed after any of them.

In: a plan that was approved. Out: an Outcome with the state of every step. A delivery that takes over finds in the
journal what was begun, looks at the workspace, and does only what is missing. What it would do is planned anew each
time, and must be a part of what was approved: nothing else is ever called.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal
from uuid import UUID

from shared.errors import FencedError, PermanentError
from shared.sharing.apply_attempt import LOOKS, Attempt, Looks, failure
from shared.sharing.apply_calls import Calls, LinkLostError, Result, only_for
from shared.sharing.apply_guards import GUARDS, ApplyGuards, StalePlanError
from shared.sharing.apply_steps import Outcome, Step, created_by, holding, state_of, step_of, steps_of
from shared.sharing.apply_subject import Provisioning, Rotation, Subject, catalog_of
from shared.sharing.observe import Each
from shared.sharing.observed import ObservedWorkspace
from shared.sharing.plan import Plan
from shared.sharing.plan_actions import CREATING, UNREPEATABLE, Action, Grants, Kind
from shared.sharing.plan_draft import Holdings
from shared.sharing.ports import Clock, Entry, Journal, Leases, Vault, Workspace

__all__ = ["Application", "Looks", "Outcome", "Provisioning", "Rotation", "Step"]

BUDGET_S = 240.0
Concluded = Literal["done", "failed", "skipped"]


@dataclass(slots=True)
class Application:
    """One plan on its way into the workspace.

    `uid` names the application, whose `journal` this is. `holdings` is asked once the leases are held. `again`: a
    person asked for another try, so failed and skipped steps are taken up once more. `progress` hears of every step
    that was concluded. `each`: `map`, or one that reads several things at once.
    """

    uid: UUID
    plan: Plan
    subject: Subject
    holdings: Callable[[], Holdings]
    workspace: Workspace
    journal: Journal
    leases: Leases
    vault: Vault | None
    clock: Clock
    budget_s: float = BUDGET_S
    again: bool = False
    progress: Callable[[Step], None] = lambda step: None
    each: Each = map
    looks: Looks = LOOKS
    guards: ApplyGuards = GUARDS
    _entries: dict[int, Entry] = field(default_factory=dict, init=False)
    _not_done: set[int] = field(default_factory=set, init=False)

    def run(self) -> Outcome:
        """Carry out what is left, as far as the time goes.

        Raises StalePlanError where the workspace is not what was planned for, TransientError to be given back
        (`retry_after_s` where the workspace named a time), FencedError where another delivery took over. Permanent
        refusals fail their step, skip those that need it, and leave the others alone.
        """
        if self.plan.errors:
            raise PermanentError(
                f"share pack {self.plan.pack_id}: its plan has errors: {self.plan.errors[0].detail}",
                code="plan_invalid",
            )
        deadline = self.clock.monotonic() + self.budget_s
        with self.leases.hold(self.plan.workspace, self.plan.resources, self.uid):
            return self._run(deadline)

    def _run(self, deadline: float) -> Outcome:
        self._entries = {entry.position: entry for entry in self.journal.entries()}
        done = {position for position, entry in self._entries.items() if entry.status == "done"}
        self._not_done = {*range(len(self.plan.actions))} - done
        fresh, remaining = not self._entries, self._remaining()
        if not remaining and not fresh:
            return self._verified()
        attempt, left = self._start(fresh, remaining)
        for taken, position in enumerate(remaining):
            if taken and self.clock.monotonic() >= deadline:
                return self._outcome()
            self._step(position, attempt, left)
        return self._verified() if self.plan.actions else self._outcome()

    def _remaining(self) -> list[int]:
        """Positions to be taken up, in order."""
        return [p for p in range(len(self.plan.actions)) if not self._is_over(self._entries.get(p))]

    def _is_over(self, entry: Entry | None) -> bool:
        if entry is None or entry.status == "intended":
            return False
        return entry.status == "done" or not (self.again or entry.again)

    def _start(self, fresh: bool, remaining: list[int]) -> tuple[Attempt, frozenset[str] | None]:
        """A look at what remains: all of it must be as planned, or be the rest of what was begun.

        The second value: the effects still missing, None for all of them.
        """
        resources = {*self.plan.resources} if fresh else {self.plan.actions[p].resource for p in remaining}
        subject = self.subject if fresh else self.subject.part(resources)
        holdings = holding(self.holdings(), created_by(self.plan, self._entries.values(), begun=True))
        known, today, stale = self._look(subject, holdings, fresh)
        attempt = Attempt(
            self.subject, Calls(self.workspace, self.vault, self.plan.workspace), holdings, known, self.clock,
            self.looks, self.guards,
        )  # fmt: skip
        if stale is not None:
            self._settle(remaining, attempt)
            raise stale
        return attempt, None if fresh else frozenset[str]().union(*(a.effects() for a in today.actions))

    def _look(
        self, subject: Subject, holdings: Holdings, fresh: bool
    ) -> tuple[ObservedWorkspace, Plan, StalePlanError | None]:
        """Observe and plan; a difference is looked at twice, for readings may lag behind what was written."""
        check, stale = self.guards.fresh if fresh else self.guards.covered, None
        for look in range(self.looks.times):
            if look:
                self.clock.sleep(self.looks.wait_s)
            known, today = self._planned(subject, holdings)
            try:
                check(self.plan, today)
            except StalePlanError as error:
                stale = error
            else:
                return known, today, None
        return known, today, stale

    def _settle(self, remaining: list[int], attempt: Attempt) -> None:
        """The journal of a stale plan is about to be forgotten: what it created unseen is noted as ours before."""
        for position in remaining:
            action = self.plan.actions[position]
            if action.kind in CREATING and self._begun(position) and attempt.look(action) is None:
                self.guards.write_ahead(self.journal, position, action)
                result = self._result(partial(self._found_done, action, attempt, begun=True))
                self._conclude(position, "failed" if "error" in result else "done", result)

    def _planned(self, subject: Subject, holdings: Holdings) -> tuple[ObservedWorkspace, Plan]:
        known = subject.observe(self.workspace, catalog_of(self.plan), self.each)
        return known, subject.plan(holdings, known)

    def _step(self, position: int, attempt: Attempt, left: frozenset[str] | None) -> None:
        """Bring one action to its conclusion."""
        action, begun = self.plan.actions[position], self._begun(position)
        self.guards.write_ahead(self.journal, position, action)
        if unmet := self.guards.unmet(action, self._not_done):
            because = ", ".join(f"{self.plan.actions[p].kind} {self.plan.actions[p].target}" for p in unmet)
            self._conclude(position, "skipped", {"error": f"needs {because}, which did not happen"})
            return
        result = self._result(lambda: self._carried_out(action, attempt, left, begun))
        if attempt.refused and "created" not in result:
            result = failure(attempt.refused, action)
        self._conclude(position, "failed" if "error" in result else "done", result)

    def _result(self, work: Callable[[], Result]) -> Result:
        try:
            return work()
        except LinkLostError as error:
            return {"error": str(error), "code": error.code, "hint": error.hint, "created": "true"}

    def _begun(self, position: int) -> bool:
        """Whether a call of this action may have been made before."""
        entry = self._entries.get(position)
        return entry is not None and (entry.status == "intended" or "created" in entry.result)

    def _carried_out(
        self, action: Action, attempt: Attempt, left: frozenset[str] | None, begun: bool
    ) -> Result:
        attempt.refused = []
        todo = action if left is None else action.only(left)
        if begun and todo is not None and action.kind in UNREPEATABLE:
            todo = attempt.look(action)
        if todo is None:
            return self._found_done(action, attempt, begun)
        if action.kind is not Kind.GRANT:
            return attempt.carry_out(todo)
        return self._granted(todo, attempt)

    def _found_done(self, action: Action, attempt: Attempt, begun: bool) -> Result:
        """In effect already, though nobody concluded it."""
        if begun and action.kind in CREATING and not self._known_created(action, attempt):
            return {
                "error": f"{action.target} was created by somebody else meanwhile; it was left as it is",
                "code": "already_exists",
            }
        return attempt.taken_effect(action) if begun else {"observed": "true"}

    def _known_created(self, action: Action, attempt: Attempt) -> bool:
        return self.guards.created_here(action, attempt.known)

    def _granted(self, action: Action, attempt: Attempt) -> Result:
        """Grant to those recipients that are as planned; the others wait for what they lack."""
        assert isinstance(action.body, Grants)
        lacking = {
            self.plan.actions[p].target
            for p in self._not_done
            if self.plan.actions[p].resource.startswith("recipient/")
            and self._before_grant(self.plan.actions[p])
        }
        ready = only_for(action, frozenset(action.body.recipients) - lacking)
        result = attempt.carry_out(ready) if ready is not None else {}
        left_out = sorted(lacking & {*action.body.recipients})
        if not left_out or attempt.refused:
            return result
        landed = {} if ready is None else {"landed": "in part"}
        return {
            "error": f"not for {', '.join(left_out)}, who are not as planned",
            "code": "left_out",
            **landed,
        }

    def _before_grant(self, action: Action) -> bool:
        return action.kind in (Kind.CREATE_RECIPIENT, Kind.NARROW_ADDRESSES, Kind.REPLACE_ADDRESSES)

    def _conclude(self, position: int, status: Concluded, result: Result) -> None:
        action = self.plan.actions[position]
        entry = Entry(position, f"{action.kind} {action.target}", status, result)
        try:
            self.journal.conclude(position, status, result)
        except FencedError:
            if action.kind in CREATING and "error" not in result:
                self.progress(step_of(self.plan, position, entry))  # ours, whoever goes on
            raise
        self._entries[position] = entry
        if status == "done":
            self._not_done.discard(position)
        self.progress(step_of(self.plan, position, entry))

    def _verified(self) -> Outcome:
        """After the last call: planning once more must find nothing to do."""
        outcome = self._outcome()
        if outcome.state != "COMPLETED":
            return outcome
        holdings = holding(self.holdings(), outcome.created)
        differing: tuple[str, ...] = ()
        for look in range(self.looks.times):
            if look:
                self.clock.sleep(self.looks.wait_s)
            _, today = self._planned(self.subject, holdings)
            differing = tuple(f"{action.kind} {action.target}" for action in today.actions)
            if not differing:
                break
        return replace(outcome, state=state_of(outcome.steps, differing), differing=differing)

    def _outcome(self) -> Outcome:
        steps = steps_of(self.plan, self._entries)
        return Outcome(state_of(steps, ()), steps, created_by(self.plan, self._entries.values()))
