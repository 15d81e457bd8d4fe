"""Who is who: the caller, and the users and groups of the identities the workspace knows; SCIM's spelling."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from infra.local.workspace.call import Call, Wire
from infra.local.workspace.identity import Identity


def me(call: Call) -> Wire:
    return _user(call.caller)


def list_users(call: Call) -> Wire:
    return _listed(call, [_user(each) for each in call.identities])


def list_groups(call: Call) -> Wire:
    names = sorted({group for identity in call.identities for group in identity.groups})
    return _listed(call, [_group(call, name) for name in names])


def _group(call: Call, name: str) -> Wire:
    members = [
        {"value": _id(each.name), "display": each.name} for each in call.identities if name in each.groups
    ]
    return {"id": _id(name), "displayName": name, "members": members}


def _user(identity: Identity) -> Wire:
    return {
        "id": _id(identity.name),
        "userName": identity.name,
        "displayName": identity.name,
        "active": True,
        "emails": [{"type": "work", "value": identity.name, "primary": True}],
        "groups": [{"value": _id(group), "display": group} for group in identity.groups],
    }


def _listed(call: Call, resources: Sequence[Wire]) -> Wire:
    begin = int(call.parameters.get("startIndex", "1")) - 1
    page = resources[begin : begin + int(call.parameters.get("count", "100"))]
    return {
        "Resources": list(page),
        "totalResults": len(resources),
        "startIndex": begin + 1,
        "itemsPerPage": len(page),
    }


def _id(name: str) -> str:
    return str(zlib.crc32(name.encode()))
