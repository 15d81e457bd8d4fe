"""One request from its arrival to its answer: who calls, which fault it meets, what it changes, what is logged."""

from __future__ import annotations

import hmac
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from infra.local.loopback import Answer, Request, json_answer
from infra.local.workspace.call import Call
from infra.local.workspace.errors import DeniedError, RefusedError, UnauthenticatedError, UnknownRouteError
from infra.local.workspace.faults import CARRIED_OUT, CODES, Fault
from infra.local.workspace.identity import Identity
from infra.local.workspace.routes import Route, find
from infra.local.workspace.state import decode, encode

if TYPE_CHECKING:
    from infra.local.workspace.server import WorkspaceServer

NOBODY = Identity("", "")


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What the handler made of it."""

    answer: Answer
    wrote: bool = False


def serve(workspace: WorkspaceServer, request: Request) -> Answer:
    """The answer to one request; whatever goes wrong has error_code, message and details."""
    found = find(request.method, request.path)
    name = found[0].name if found else "unknown"
    caller = NOBODY
    try:
        if found is None:
            raise UnknownRouteError(f"No API found for '{request.method} {request.path}'")
        route, parts = found
        if not route.public:
            caller = _signed_in(workspace, request.bearer)
        outcome = _with_faults(workspace, request, route, tuple(unquote(part) for part in parts), caller)
    except RefusedError as refusal:
        outcome = _Outcome(refused(refusal.status, refusal.code, str(refusal)))
    workspace.log.add(
        method=request.method,
        path=request.path,
        route=name,
        parameters=request.parameters,
        body=request.body,
        identity=caller.name,
        status=None if outcome.answer.lost else outcome.answer.status,
        writes=int(outcome.wrote),
    )
    return outcome.answer


def refused(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Answer:
    """An error as the service words it."""
    detail = {
        "@type": "type.googleapis.com/google.rpc.RequestInfo",
        "request_id": str(uuid.uuid4()),
        "serving_data": "",
    }
    shaped = json_answer({"error_code": code, "message": message, "details": [detail]}, status)
    return Answer(shaped.status, shaped.body, headers or {})


def _signed_in(workspace: WorkspaceServer, bearer: str) -> Identity:
    if not bearer:
        raise UnauthenticatedError("Credential was not sent or was of an unsupported type for this API.")
    for identity in workspace.identities:
        if hmac.compare_digest(identity.token.encode(), bearer.encode()):
            return identity
    raise DeniedError("Invalid access token.")


def _with_faults(
    workspace: WorkspaceServer, request: Request, route: Route, parts: tuple[str, ...], caller: Identity
) -> _Outcome:
    fault = workspace.faults.due(route.name, reads=route.reads)
    if fault is None:
        return _handle(workspace, request, route, parts, caller, stale=False)
    if fault.kind == "before":
        return _Outcome(Answer(0, b"", lost=True))
    if fault.status is not None and fault.kind not in CARRIED_OUT:
        return _Outcome(_scripted(fault, fault.status))
    if fault.kind == "delay":
        time.sleep(fault.delay_s)
    outcome = _handle(workspace, request, route, parts, caller, stale=fault.kind == "stale")
    return _after(fault, outcome)


def _after(fault: Fault, outcome: _Outcome) -> _Outcome:
    """What the caller gets to see of a request that was handled."""
    if fault.kind == "kill":
        fault.strike()
    if fault.kind in ("after", "kill"):
        return _Outcome(Answer(0, b"", lost=True), outcome.wrote)
    if fault.status is not None:
        return _Outcome(_scripted(fault, fault.status), outcome.wrote)
    return outcome


def _scripted(fault: Fault, status: int) -> Answer:
    return refused(status, CODES[status], "scripted fault", fault.headers)


def _handle(
    workspace: WorkspaceServer,
    request: Request,
    route: Route,
    parts: tuple[str, ...],
    caller: Identity,
    *,
    stale: bool,
) -> _Outcome:
    """Runs the handler alone on the state; a refused write keeps what it applied unless updates are atomic."""
    with workspace.lock:
        # Fetching a credential file spends its link, although it is a GET.
        writes = not route.reads or route.name == "activation.retrieve"
        before = encode(workspace.state) if writes else b""
        call = _call(workspace, request, parts, caller, stale=not writes and _stale(workspace, route, stale))
        try:
            answer = json_answer(route.handler(call))
        except RefusedError as refusal:
            if writes and workspace.switches.atomic_updates:
                workspace.state = decode(before)
            changed = writes and encode(workspace.state) != before
            if changed:
                workspace.keep(before)
            return _Outcome(refused(refusal.status, refusal.code, str(refusal)), changed)
        if writes:
            workspace.keep(before)
        return _Outcome(answer, writes and not route.public)


def _stale(workspace: WorkspaceServer, route: Route, asked: bool) -> bool:
    """Whether this read shows what was there before the last write; only sharing's reads lag."""
    if asked:
        return True
    if workspace.stale_left > 0 and route.name.startswith(("shares.", "recipients.")):
        workspace.stale_left -= 1
        return True
    return False


def _call(
    workspace: WorkspaceServer, request: Request, parts: tuple[str, ...], caller: Identity, *, stale: bool
) -> Call:
    state = decode(workspace.before_last_write) if stale and workspace.before_last_write else workspace.state
    return Call(
        state=state,
        switches=workspace.switches,
        identities=workspace.identities,
        caller=caller,
        names=parts,
        parameters=request.parameters,
        content=request.body,
        now_ms=workspace.now_ms(),
        url=workspace.url,
        chance=workspace.chance,
    )
