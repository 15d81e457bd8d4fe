"""A plan as people read it before they sign it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from shared.sharing.exposure import NetworkChange, Networks, ReadingChange
from shared.sharing.model import AnyAddress
from shared.sharing.plan_actions import (
    Action,
    Addresses,
    Body,
    Comment,
    Grants,
    NewRecipient,
    Objects,
    Owner,
    PipelineBody,
    Tokens,
)
from shared.sharing.ports import ObjectChange

if TYPE_CHECKING:
    from shared.sharing.plan import Plan

_NAMED = 12  # objects that are spelt out in the summary; the actions list all


def text_of(plan: "Plan") -> str:
    """Summary, exposure, actions, findings; ends with a newline."""
    return "\n".join(_lines(plan)) + "\n"


def _lines(plan: "Plan") -> Iterator[str]:
    yield _summary(plan)
    yield f"on {plan.workspace} as {plan.identity}; plan {plan.hash}"
    if plan.readings or plan.networks:
        yield from ("", "Who can read what:")
        for change in plan.networks:
            yield from _network_lines(change)
        for reading in plan.readings:
            yield from _reading_lines(reading)
    if plan.actions:
        yield from ("", "Actions, in this order:")
        for position, action in enumerate(plan.actions, 1):
            yield from _action_lines(position, action)
    if plan.findings:
        yield from ("", "To be known:")
        yield from (f"  {finding.severity}: {finding.detail}" for finding in plan.findings)


def _summary(plan: "Plan") -> str:
    if plan.errors:
        return f"This plan cannot be applied: {_count(len(plan.errors), 'error')}."
    if not plan.actions:
        return "Nothing to do: the workspace is as the share pack wants it."
    widening = sum(action.widens for action in plan.actions)
    destructive = sum(action.destructive for action in plan.actions)
    return f"{_count(plan.writes, 'action')}: {widening} widening, {destructive} destructive."


def _network_lines(change: NetworkChange) -> Iterator[str]:
    if change.gained != ():
        yield f"  + {change.recipient} may connect {_from(change.gained)} as well, to all it reads"
    if change.lost != ():
        yield f"  - {change.recipient} may no longer connect {_from(change.lost)}"


def _from(networks: Networks) -> str:
    return "from everywhere else" if networks is None else f"from {', '.join(networks)}"


def _reading_lines(change: ReadingChange) -> Iterator[str]:
    if change.gained:
        yield f"  + {change.recipient} gains {_few(change.gained)} in {change.share}, {_whence(change)}"
    if change.lost:
        yield f"  - {change.recipient} loses {_few(change.lost)} in {change.share}"


def _whence(change: ReadingChange) -> str:
    if change.metastore is not None:
        return f"from metastore {change.metastore}"
    if change.networks is None:
        return "from everywhere"
    return _from(change.networks) if change.networks else "from networks unknown here"


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _action_lines(position: int, action: Action) -> Iterator[str]:
    marks = [
        mark for mark, is_so in (("widens", action.widens), ("destructive", action.destructive)) if is_so
    ]
    marked = f" [{', '.join(marks)}]" if marks else ""
    yield f"  {position:>3}. {action.kind} {action.target}{marked}: {action.reason}"
    yield from (f"         {line}" for line in _details(action))


def _details(action: Action) -> Iterable[str]:
    match action.body:
        case Grants(recipients):
            return (", ".join(recipients),)
        case Objects(changes):
            return map(_change, changes)
        case Comment(None):
            return ()
        case _:
            return (_detail(action.body),)


def _detail(body: Body) -> str:
    said = ""
    match body:
        case Addresses(allowed):
            said = _ips(allowed)
        case NewRecipient(recipient):
            said = f"{recipient.type}, {recipient.metastore_id or _ips(recipient.allowed_ips)}"
        case Comment(text):
            said = repr(text)
        case Owner(name):
            said = name
        case PipelineBody(pipeline):
            said = f"{pipeline.source}, {pipeline.schedule or 'unscheduled'}"
        case Tokens(_, seconds):
            said = f"the old token goes on for {seconds} s"
    return said


def _ips(allowed: tuple[str, ...] | AnyAddress | None) -> str:
    if allowed is None or isinstance(allowed, AnyAddress):
        return "from everywhere"
    return f"from {', '.join(allowed)}"


_SIGNS = {"ADD": "+", "REMOVE": "-", "UPDATE": "~"}


def _change(change: ObjectChange) -> str:
    wanted = change.object
    said = [f"{_SIGNS[change.action]} {str(change.type).lower()} {wanted.name}"]
    if wanted.shared_as:
        said.append(f"as {wanted.shared_as}")
    if change.action != "REMOVE":
        said += [f"{name} {'on' if on else 'off'}" for name, on in (("history", wanted.history), ("cdf", wanted.cdf))
                 if on is not None]  # fmt: skip
        said += [f"{len(wanted.partitions)} partitions"] if wanted.partitions else []
    return ", ".join(said)
