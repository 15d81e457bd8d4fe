"""One action, until it is done or refused for good: look before repeating, and find the one part that is refused."""

from dataclasses import dataclass, field

from shared.errors import PermanentError
from shared.sharing.apply_calls import Calls, LinkLostError, Result, halves, spelt
from shared.sharing.apply_guards import ApplyGuards
from shared.sharing.apply_steps import holding
from shared.sharing.apply_subject import Subject, reread
from shared.sharing.errors import (
    AlreadyExistsError,
    MissingError,
    OutcomeUnknownError,
    WorkspaceRefusedError,
    WorkspaceUnavailableError,
)
from shared.sharing.observed import ObservedWorkspace
from shared.sharing.plan_actions import CREATING, SHRINKING, UNREPEATABLE, Action, Kind
from shared.sharing.plan_draft import Holdings
from shared.sharing.ports import Clock

_REFUSALS = 5  # single refusals after which the rest of a batch is not tried one by one


@dataclass(frozen=True, slots=True)
class Looks:
    """How often, and how long apart, a reading that may lag behind a write is repeated."""

    times: int = 3
    wait_s: float = 2.0


LOOKS = Looks()


@dataclass(frozen=True, slots=True)
class Refused:
    """A part of an action that was refused for good."""

    part: Action
    error: PermanentError


@dataclass(slots=True)
class Attempt:
    """Carries out actions on what is known of a workspace, and knows it better after each look.

    A permanent refusal is returned, everything that may pass is raised.
    """

    subject: Subject
    calls: Calls
    holdings: Holdings
    known: ObservedWorkspace
    clock: Clock
    looks: Looks
    guards: ApplyGuards
    refused: list[Refused] = field(default_factory=list)

    def carry_out(self, action: Action) -> Result:
        """What the journal shall keep; `refused` afterwards lists what the workspace refused of it."""
        self.refused = []
        return self._parts(action)

    def _parts(self, action: Action) -> Result:
        try:
            return self._converge(action)
        except LinkLostError:
            raise
        except PermanentError as error:
            # A refused batch may have landed in part: the platform does not promise otherwise.
            rest = self._rest(action) if isinstance(error, WorkspaceRefusedError) else action
            if rest is None:
                return {}
            parts = halves(rest)
            if len(parts) == 1 or len(self.refused) >= _REFUSALS:
                self.refused.append(Refused(rest, error))
            else:
                for part in parts:
                    self._parts(part)
            return {}

    def _converge(self, action: Action) -> Result:
        """Call; where the answer is lost, or says that it is so already, look what is left to do."""
        todo = action
        for _ in range(self.looks.times):
            try:
                result = self.calls.carry_out(todo)
                self._see(todo)
                return result
            except OutcomeUnknownError as error:
                rest = self.look(todo)
                if rest is None:
                    return self.taken_effect(todo)
                if todo.kind in UNREPEATABLE:
                    raise error  # it may yet take effect: a later delivery looks again
                todo = rest
            except (AlreadyExistsError, MissingError) as error:
                # A batch is split anyway: waiting for each part of it would take minutes.
                rest = self.look(todo) if len(todo.effects()) == 1 else self._rest(todo)
                if todo.kind in CREATING and isinstance(error, AlreadyExistsError):
                    return self._created(todo, rest, error)
                if rest == todo:
                    raise
                if rest is None:
                    return {}
                todo = rest
        raise WorkspaceUnavailableError(
            f"{action.kind} {action.target}: its outcome stays unknown; to be tried again"
        )

    def _see(self, action: Action) -> None:
        """What shrinks must be seen to have shrunk: whatever grows afterwards relies on it."""
        if action.kind in SHRINKING and self.guards.seen(self.look(action)) is not None:
            raise WorkspaceUnavailableError(
                f"{action.kind} {action.target}: accepted, but not to be seen yet; nothing grows before it is"
            )

    def _created(self, action: Action, rest: Action | None, error: AlreadyExistsError) -> Result:
        """The name is taken: by ourselves, where the answer to our own call was lost."""
        if rest is not None:
            raise WorkspaceUnavailableError(
                f"{action.kind} {action.target}: it exists but cannot be read yet; to be tried again"
            ) from error
        if not self.guards.created_here(action, self.known):
            raise error
        return self.taken_effect(action)

    def taken_effect(self, action: Action) -> Result:
        """What to keep of an action that is in effect though its answer never arrived."""
        result = {"observed": "true"}
        if action.kind in (Kind.CREATE_RECIPIENT, Kind.ROTATE_TOKEN):
            result |= self.calls.recover(action, self.known.recipients[action.target])
        return result

    def look(self, action: Action) -> Action | None:
        """What is left of the action; a reading that shows no effect is repeated, for it may lag behind."""
        rest: Action | None = action
        for look in range(self.looks.times):
            if look:
                self.clock.sleep(self.looks.wait_s)
            rest = self._rest(action)
            if rest != action:
                break
        return rest

    def _rest(self, action: Action) -> Action | None:
        self.known = reread(self.calls.workspace, self.known, action.resource)
        return self.left(action)

    def left(self, action: Action) -> Action | None:
        """What the thing as it is known still lacks of the action."""
        if action.kind in CREATING:
            return None if _there(action, self.known) else action
        # Planned actions act on nothing that is not ours, be it since a moment ago.
        held = holding(self.holdings, [action.resource])
        today = self.subject.part({action.resource}).plan(held, self.known)
        return action.only(frozenset[str]().union(*(each.effects() for each in today.actions)))


def _there(action: Action, known: ObservedWorkspace) -> bool:
    kind, _, name = action.resource.partition("/")
    if kind == "pipeline":
        return any(f"{t}/{n}" == name for t, n in known.pipelines)
    return name in (known.shares if kind == "share" else known.recipients)


def failure(refused: list[Refused], action: Action) -> Result:
    """What the journal keeps of a refusal: what was refused, why, and whether the rest landed."""
    error = refused[0].error
    names = ", ".join(spelt(each.part) for each in refused)
    result = {"error": f"{names}: {error}", "code": error.code}
    if isinstance(error, WorkspaceRefusedError):
        result["reason"] = error.reason
    if sum(len(each.part.effects()) for each in refused) < len(action.effects()):
        result["landed"] = "in part"
    return result
