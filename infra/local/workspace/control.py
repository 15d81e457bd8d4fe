"""The control endpoint: faults, switches, privileges and the log over HTTP. Unauthenticated, for this machine only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from infra.local.loopback import Answer, Request, json_answer
from infra.local.workspace.errors import InvalidError, RefusedError, UnknownRouteError
from infra.local.workspace.faults import FaultKind
from infra.local.workspace.switches import Switches

if TYPE_CHECKING:
    from infra.local.workspace.server import WorkspaceServer

Reading = Callable[["WorkspaceServer", Request], object]
Action = Callable[["WorkspaceServer", bytes], object]


class FaultRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A fault as `WorkspaceServer.fault` takes it."""

    route: str
    kind: FaultKind
    times: int = 1
    skip: int = 0
    retry_after_s: int | None = None
    delay_s: float = 0.0
    pid: int | None = None


class PrivilegeRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Privileges on one object; `remove` without any named takes all."""

    full_name: str
    principal: str
    kind: str = "table"
    add: list[str] = []
    remove: list[str] | None = None


class TableRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A table to add."""

    full_name: str
    table_type: str = "MANAGED"
    owner: str = ""
    readers: list[str] = []


def control(workspace: WorkspaceServer, request: Request) -> Answer:
    """Runs one control action; an unknown one names those there are."""
    name = request.path.removeprefix("/control/")
    try:
        if request.method == "GET" and name in READINGS:
            return json_answer(READINGS[name](workspace, request))
        if request.method == "POST" and name in ACTIONS:
            return json_answer(ACTIONS[name](workspace, request.body or b"{}"))
        known = f"GET {', '.join(sorted(READINGS))}; POST {', '.join(sorted(ACTIONS))}"
        raise UnknownRouteError(f"no control action {name!r}; there are {known}")
    except RefusedError as refusal:
        return json_answer({"error_code": refusal.code, "message": str(refusal)}, refusal.status)
    except msgspec.DecodeError as error:
        return json_answer({"error_code": "BAD_BODY", "message": f"the body doesn't fit: {error}"}, 422)


def _health(workspace: WorkspaceServer, request: Request) -> object:
    state = workspace.state
    return {
        "ok": True,
        "shares": len(state.shares),
        "recipients": len(state.recipients),
        "jobs": len(state.jobs),
        "pipelines": len(state.pipelines),
        "tables": len(state.of_kind("table")),
        "last": workspace.last,
        "writes": workspace.writes(),
        "unknown": len(workspace.unknown),
    }


def _requests(workspace: WorkspaceServer, request: Request) -> object:
    entries = workspace.log.since(_since(request))
    return {"requests": entries, "last": workspace.last}


def _writes(workspace: WorkspaceServer, request: Request) -> object:
    since = _since(request)
    written = [entry for entry in workspace.log.since(since) if entry.writes]
    return {"writes": workspace.writes(since), "requests": written, "last": workspace.last}


def _state(workspace: WorkspaceServer, request: Request) -> object:
    """Shares and recipients as they are, tokens and links left out."""
    state = workspace.state
    hidden = {"tokens", "properties"}
    return {
        "shares": msgspec.to_builtins(list(state.shares.values())),
        "recipients": [
            {name: value for name, value in msgspec.to_builtins(each).items() if name not in hidden}
            for each in state.recipients.values()
        ],
    }


def _since(request: Request) -> int:
    text = request.parameters.get("since", "0")
    if not text.isdigit():
        raise InvalidError(f"since is a request's sequence number, not {text!r}")
    return int(text)


def _fault(workspace: WorkspaceServer, body: bytes) -> object:
    wanted = msgspec.json.decode(body, type=FaultRequest)
    workspace.fault(**msgspec.structs.asdict(wanted))
    return {"faulting": wanted.route, "kind": wanted.kind}


def _heal(workspace: WorkspaceServer, body: bytes) -> object:
    workspace.heal()
    return {"healed": True}


def _switches(workspace: WorkspaceServer, body: bytes) -> object:
    wanted = msgspec.json.decode(body, type=dict[str, Any])
    merged = msgspec.structs.asdict(workspace.switches) | wanted
    try:
        workspace.switches = msgspec.convert(merged, Switches)
    except msgspec.ValidationError as error:
        raise InvalidError(f"switches don't fit: {error}") from error
    return workspace.switches


def _privileges(workspace: WorkspaceServer, body: bytes) -> object:
    wanted = msgspec.json.decode(body, type=PrivilegeRequest)
    with workspace.lock:
        found = workspace.state.find(wanted.kind, wanted.full_name)
        if found is None:
            raise InvalidError(f"no {wanted.kind} {wanted.full_name!r}")
        workspace.state.grant(found, wanted.principal, *wanted.add)
        if wanted.remove is not None:
            workspace.state.revoke(found, wanted.principal, *wanted.remove)
        return {"privileges": found.privileges}


def _table(workspace: WorkspaceServer, body: bytes) -> object:
    wanted = msgspec.json.decode(body, type=TableRequest)
    added = workspace.add_table(
        wanted.full_name, table_type=wanted.table_type, owner=wanted.owner, readers=wanted.readers
    )
    return {"added": added.full_name}


def _reset(workspace: WorkspaceServer, body: bytes) -> object:
    workspace.reset()
    return {"reset": True}


READINGS: dict[str, Reading] = {
    "health": _health,
    "requests": _requests,
    "writes": _writes,
    "state": _state,
}
ACTIONS: dict[str, Action] = {
    "fault": _fault,
    "heal": _heal,
    "switches": _switches,
    "privileges": _privileges,
    "table": _table,
    "reset": _reset,
}
