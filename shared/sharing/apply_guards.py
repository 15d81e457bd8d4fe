"""The guards of an application. Composition injects them; a test takes one out and must see what it stood against."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from shared.errors import ConflictError
from shared.sharing.exposure import ReadingChange
from shared.sharing.model import AnyAddress
from shared.sharing.observed import AUTHENTICATION, ObservedWorkspace
from shared.sharing.plan import Plan
from shared.sharing.plan_actions import Action, Comment, Kind, NewRecipient, PipelineBody
from shared.sharing.plan_facts import changed
from shared.sharing.plan_networks import normal
from shared.sharing.ports import Journal


class StalePlanError(ConflictError):
    """The workspace is not what the plan was made for: plan again, and have it signed again."""

    code = "plan_stale"


def refuse_stale(planned: Plan, today: Plan) -> None:
    """Raise StalePlanError unless planning today gives the very same plan."""
    if today.hash != planned.hash:
        what = ", ".join(changed(planned.facts, today.facts)) or "what other share packs want"
        raise _stale(planned, f"changed since it was planned: {what}")


def refuse_strange(planned: Plan, rest: Plan) -> None:
    """Raise StalePlanError where finishing would need anything that was not planned."""
    for finding in rest.errors:
        raise _stale(planned, finding.detail)
    allowed = frozenset[str]().union(*(action.effects() for action in planned.actions))
    strange = sorted({a.resource for a in rest.actions if not a.effects() <= allowed})
    strange += sorted(
        f"what {c.recipient} reads in {c.share}" for c in rest.readings if not _told(c, planned)
    )
    if strange:
        raise _stale(planned, f"changed by somebody else meanwhile: {', '.join(strange)}")


def _told(change: ReadingChange, planned: Plan) -> bool:
    """Whether the plan said that this recipient would gain all this, from these networks."""
    return not change.gained or any(
        (told.recipient, told.share, told.networks) == (change.recipient, change.share, change.networks)
        and {*change.gained} <= {*told.gained}
        for told in planned.readings
    )


def _stale(planned: Plan, why: str) -> StalePlanError:
    return StalePlanError(
        f"share pack {planned.pack_id}: plan {planned.hash[:12]} no longer fits {planned.workspace}: {why};"
        " nothing more was changed",
        hint="look at the new plan; where it widens exposure it needs a new approval",
    )


def write_ahead(journal: Journal, position: int, action: Action) -> None:
    """Say what comes next, so that whoever takes over after a crash looks before they call."""
    journal.intend(position, f"{action.kind} {action.target}")


def is_as_created(action: Action, observed: ObservedWorkspace) -> bool:
    """Whether the thing of that name is what our creation makes, and nothing else was done to it since."""
    match action.body:
        case NewRecipient():
            return _recipient_as_created(action.body, observed)
        case PipelineBody(pipeline):
            now = observed.pipelines.get((pipeline.type, pipeline.name))
            said = None if now is None else (now.source, now.destination, now.schedule)
            mine = now is not None and now.owner in (None, observed.identity)
            return mine and said == (pipeline.source, pipeline.destination, pipeline.schedule)
        case Comment(text) if action.kind is Kind.CREATE_SHARE:
            share = observed.shares.get(action.target)
            return (
                share is not None
                and share.owner == observed.identity
                and (share.comment or "") == (text or "")
                and not share.objects
                and not share.grants
            )
        case _:
            return False


def _recipient_as_created(body: NewRecipient, observed: ObservedWorkspace) -> bool:
    wanted, now = body.recipient, observed.recipients.get(body.recipient.name)
    listed = None if isinstance(wanted.allowed_ips, AnyAddress) else wanted.allowed_ips
    return (
        now is not None
        and now.owner == observed.identity
        and now.authentication == AUTHENTICATION[wanted.type]
        and (now.metastore_id or "").lower() == (wanted.metastore_id or "").lower()
        and (now.comment or "") == (wanted.comment or "")
        and normal(now.allowed_ips) == normal(listed)
    )


def unmet(action: Action, not_done: Collection[int]) -> tuple[int, ...]:
    """The positions that this action must not happen without and that did not come about."""
    return tuple(position for position in action.needs if position in not_done)


@dataclass(frozen=True, slots=True)
class ApplyGuards:
    """All guards of an application; the defaults are the product's."""

    fresh: Callable[[Plan, Plan], None] = refuse_stale
    covered: Callable[[Plan, Plan], None] = refuse_strange
    write_ahead: Callable[[Journal, int, Action], None] = write_ahead
    created_here: Callable[[Action, ObservedWorkspace], bool] = is_as_created
    unmet: Callable[[Action, Collection[int]], tuple[int, ...]] = unmet
    seen: Callable[[Action | None], Action | None] = lambda rest: rest


GUARDS = ApplyGuards()
