"""Shares: their life, and the privileges of recipients on them."""

from __future__ import annotations

import msgspec

from infra.local.workspace.call import Call, Wire, new_name, present
from infra.local.workspace.errors import (
    AbsentError,
    DeniedError,
    ExistsError,
    FeatureDisabledError,
    InvalidError,
)
from infra.local.workspace.paging import cut
from infra.local.workspace.shared_objects import ObjectUpdate, apply, check_batch, object_wire
from infra.local.workspace.state import Share

SHARE_PRIVILEGES = ("SELECT",)


class CreateShare(msgspec.Struct):
    """Body of a creation."""

    name: str | None = None
    comment: str | None = None
    storage_root: str | None = None


class UpdateShare(msgspec.Struct):
    """Body of an update."""

    comment: str | None = None
    new_name: str | None = None
    owner: str | None = None
    storage_root: str | None = None
    updates: list[ObjectUpdate] = []


class Change(msgspec.Struct):
    """Privileges to give one recipient and to take away."""

    principal: str
    add: list[str] = []
    remove: list[str] = []


class UpdatePermissions(msgspec.Struct):
    """Body of a change of privileges."""

    changes: list[Change] = []
    omit_permissions_list: bool = False


def create(call: Call) -> Wire:
    body = call.body(CreateShare)
    require_sharing(call)
    name = new_name("CreateShare", "name", body.name)
    call.require("CREATE_SHARE")
    if name in call.state.shares:
        raise ExistsError(f"Share '{name}' already exists", code="SHARE_ALREADY_EXISTS")
    by, now = call.caller.name, call.now_ms
    share = Share(
        name=name, owner=by, created_at=now, created_by=by, updated_at=now, updated_by=by,
        comment=body.comment, storage_root=body.storage_root,
    )  # fmt: skip
    call.state.shares[name] = share
    return _wire(call, share, objects=False)


def get(call: Call) -> Wire:
    share = _visible(call)
    return _wire(call, share, objects=call.parameters.get("include_shared_data") == "true")


def list_shares(call: Call) -> Wire:
    every = call.has("USE_SHARE")
    seen = [share for share in call.state.shares.values() if every or call.owns(share.owner)]
    page, more = cut(seen, call.parameters, call.switches)
    return {"shares": [_wire(call, share, objects=False) for share in page], **more}


def update(call: Call) -> Wire:
    """The objects first, one after another; a refusal in the middle leaves the earlier ones applied."""
    body, share = call.body(UpdateShare), _found(call)
    check_batch(body.updates)
    only_owner = not (body.comment or body.new_name or body.storage_root or body.updates)
    call.require_owner("Share", share.name, share.owner, admin_may=only_owner)
    renamed = new_name("UpdateShare", "new_name", body.new_name) if body.new_name else share.name
    if renamed != share.name and renamed in call.state.shares:
        raise ExistsError(f"Share '{renamed}' already exists", code="SHARE_ALREADY_EXISTS")
    for wanted in body.updates:
        apply(call, share, wanted)
        _touch(call, share)
    # A comment is replaced, never taken away.
    share.comment = body.comment or share.comment
    share.owner = body.owner or share.owner
    share.storage_root = body.storage_root or share.storage_root
    del call.state.shares[share.name]
    share.name = renamed
    call.state.shares[renamed] = share
    _touch(call, share)
    return _wire(call, share, objects=True)


def delete(call: Call) -> Wire:
    share = _found(call)
    call.require_owner("Share", share.name, share.owner)
    del call.state.shares[share.name]
    return {}


def permissions(call: Call) -> Wire:
    share = _visible(call)
    names = sorted(share.privileges)
    page, more = cut(names, call.parameters, call.switches)
    held = {name: share.privileges[name] for name in page}
    return {"privilege_assignments": call.shuffled(held), **more}


def update_permissions(call: Call) -> Wire:
    body, share = call.body(UpdatePermissions), _found(call)
    may = call.has("USE_SHARE") and call.has("SET_SHARE_PERMISSION")
    if not may:
        call.require_owner("Share", share.name, share.owner)
    for change in body.changes:
        _check_change(call, change)
    for change in body.changes:
        _change(share, change)
    if body.omit_permissions_list:
        return {}
    return {"privilege_assignments": call.shuffled(share.privileges)}


def _check_change(call: Call, change: Change) -> None:
    both = set(change.add) & set(change.remove)
    if both:
        raise InvalidError(f"Privileges {sorted(both)} are both added and removed for '{change.principal}'.")
    for privilege in (*change.add, *change.remove):
        if privilege not in SHARE_PRIVILEGES:
            raise InvalidError(f"Privilege {privilege} is not applicable to this entity [SHARE].")
    recipient = call.state.recipients.get(change.principal.lower())
    if recipient is None:
        raise AbsentError(
            f"Could not find principal with name {change.principal}", code="PRINCIPAL_DOES_NOT_EXIST"
        )
    if change.add:
        call.require_owner("Recipient", recipient.name, recipient.owner, admin_may=False)


def _change(share: Share, change: Change) -> None:
    name = change.principal.lower()
    held = (set(share.privileges.get(name, ())) | set(change.add)) - set(change.remove)
    share.privileges.pop(name, None)
    if held:
        share.privileges[name] = sorted(held)


def require_sharing(call: Call) -> None:
    if not call.switches.sharing:
        raise FeatureDisabledError("Delta Sharing is not enabled on this metastore.")


def _found(call: Call) -> Share:
    name = call.names[0].lower()
    if name not in call.state.shares:
        raise AbsentError(f"Share '{name}' does not exist.", code="SHARE_DOES_NOT_EXIST")
    return call.state.shares[name]


def _visible(call: Call) -> Share:
    share = _found(call)
    if not (call.owns(share.owner) or call.has("USE_SHARE")):
        raise DeniedError(f"User does not have USE SHARE on Share '{share.name}'.")
    return share


def _touch(call: Call, share: Share) -> None:
    share.updated_at, share.updated_by = call.now_ms, call.caller.name


def _wire(call: Call, share: Share, *, objects: bool) -> Wire:
    shown = present(
        {
            "name": share.name,
            "owner": share.owner,
            "comment": share.comment,
            "storage_root": share.storage_root,
            "storage_location": share.storage_root and f"{share.storage_root}/{share.name}",
            "created_at": share.created_at,
            "created_by": share.created_by,
            "updated_at": share.updated_at,
            "updated_by": share.updated_by,
        }
    )
    if objects and share.objects:
        shown["objects"] = [object_wire(call, share, each) for each in share.objects]
    return shown
