"""What an app registration must become; prints JSON where it must change, nothing where it need not.

`manifest.py roles WANTED < EXISTING`: both are lists of app roles. Roles that somebody added (tenant:<name>) stay.
`manifest.py api WANTED CLIENT... < EXISTING`: the `api` member; CLIENTs may ask for tokens without consent.
"""

import json
import sys
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def merged_roles(existing: list[Json], wanted: list[Json]) -> list[Json] | None:
    """All roles, those of ours as `wanted` has them but under their present ids; None where nothing changes."""
    ids = {role["value"]: role["id"] for role in existing}
    ours = [role | {"id": ids.get(role["value"], role["id"])} for role in wanted]
    values = {role["value"] for role in ours}
    if all(any(_covers(have, role) for have in existing) for role in ours):
        return None
    return [role for role in existing if role["value"] not in values] + ours


def merged_api(existing: Json, wanted: Json, clients: list[str]) -> Json | None:
    """The members to set; None where nothing changes. Clients are let in only once their scope exists."""
    scopes = merged_roles(existing.get("oauth2PermissionScopes") or [], wanted["oauth2PermissionScopes"])
    version = wanted["requestedAccessTokenVersion"]
    if scopes is not None or existing.get("requestedAccessTokenVersion") != version:
        kept = existing.get("oauth2PermissionScopes") or []
        return {"requestedAccessTokenVersion": version, "oauth2PermissionScopes": scopes or kept}
    allowed: list[Json] = existing.get("preAuthorizedApplications") or []
    missing = [client for client in clients if client not in {one["appId"] for one in allowed}]
    if not missing:
        return None
    ids = [scope["id"] for scope in existing["oauth2PermissionScopes"]]
    return {
        "preAuthorizedApplications": [
            *allowed,
            *({"appId": one, "delegatedPermissionIds": ids} for one in missing),
        ]
    }


def _covers(have: Json, role: Json) -> bool:
    return all(_plain(have.get(name)) == _plain(value) for name, value in role.items())


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value  # the directory keeps no order


if __name__ == "__main__":
    kind, wanted_path, *rest = sys.argv[1:]
    stated, found = json.loads(Path(wanted_path).read_text()), json.load(sys.stdin)
    change = merged_roles(found, stated) if kind == "roles" else merged_api(found, stated, rest)
    if change is not None:
        print(json.dumps(change if kind == "roles" else {"api": change}))
