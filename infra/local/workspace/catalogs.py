"""Catalogs, schemas, tables, volumes, functions and models: what there is, and who holds which privilege on it."""

from __future__ import annotations

import msgspec

from infra.local.workspace.call import Call, Handler, Wire, present
from infra.local.workspace.errors import AbsentError, InvalidError
from infra.local.workspace.paging import cut
from infra.local.workspace.shares import Change
from infra.local.workspace.state import Securable

LEVELS = {"catalog": 1, "schema": 2, "table": 3, "volume": 3, "function": 3, "model": 3}
LIST_MEMBERS = {"model": "registered_models"}
COLUMN_TYPES = {
    "bigint": "LONG",
    "string": "STRING",
    "decimal(18,2)": "DECIMAL",
    "timestamp": "TIMESTAMP",
}
# Of a page's size, grants refuse what they would answer in part.
GRANTS_PAGE_REFUSED = range(1, 150)


class UpdateGrants(msgspec.Struct):
    """Body of a change of privileges."""

    changes: list[Change] = []


def getter(kind: str) -> Handler:
    """A handler that answers one securable of a kind."""
    return lambda call: _wire(call, _named(call, kind, call.names[0]))


def lister(kind: str) -> Handler:
    """A handler that lists the securables of a kind, under the parent that its parameters name."""

    def listed(call: Call) -> Wire:
        above = ("catalog_name", "schema_name")[: LEVELS[kind] - 1]
        # Models may be listed across the whole metastore.
        needed = [] if kind == "model" and "catalog_name" not in call.parameters else above
        parent = ".".join(call.parameter(name) for name in needed)
        page, more = cut(call.state.of_kind(kind, parent), call.parameters, call.switches)
        return {LIST_MEMBERS.get(kind, f"{kind}s"): [_wire(call, each) for each in page], **more}

    return listed


def table_exists(call: Call) -> Wire:
    return {"table_exists": call.state.find("table", call.names[0]) is not None}


def metastore_summary(call: Call) -> Wire:
    cloud, region, _ = call.state.global_metastore_id.split(":")
    external = call.switches.external_sharing
    return {
        "metastore_id": call.state.metastore.id,
        "global_metastore_id": call.state.global_metastore_id,
        "name": call.state.metastore.full_name,
        "owner": call.state.metastore.owner,
        "cloud": cloud,
        "region": region,
        "created_at": call.state.metastore.created_at,
        "delta_sharing_scope": "INTERNAL_AND_EXTERNAL" if external else "INTERNAL",
        "delta_sharing_recipient_token_lifetime_in_seconds": call.state.token_lifetime_s,
        "delta_sharing_organization_name": "example",
        "privilege_model_version": "1.0",
    }


def metastore_assignment(call: Call) -> Wire:
    return {
        "metastore_id": call.state.metastore.id,
        "workspace_id": 1234567890123456,
        "default_catalog_name": "main",
    }


def grants(call: Call) -> Wire:
    securable = _granted(call)
    size = call.parameters.get("max_results", "0")
    if size.isdigit() and int(size) in GRANTS_PAGE_REFUSED:
        raise InvalidError("max_results must be 0 or at least 150 for grants")
    names = sorted(securable.privileges)
    page, more = cut(names, call.parameters, call.switches)
    return {"privilege_assignments": call.shuffled({n: securable.privileges[n] for n in page}), **more}


def update_grants(call: Call) -> Wire:
    body, securable = call.body(UpdateGrants), _granted(call)
    call.require_owner(securable.kind.title(), securable.full_name, securable.owner)
    for change in body.changes:
        if set(change.add) & set(change.remove):
            raise InvalidError(f"Privileges are both added and removed for '{change.principal}'.")
    for change in body.changes:
        call.state.grant(securable, change.principal, *change.add)
        if change.remove:
            call.state.revoke(securable, change.principal, *change.remove)
    touched = {change.principal.lower() for change in body.changes}
    held = {name: privileges for name, privileges in securable.privileges.items() if name in touched}
    return {"privilege_assignments": call.shuffled(held)}


def _granted(call: Call) -> Securable:
    kind, name = call.names[0].lower(), call.names[1]
    if kind == "metastore":
        return call.state.metastore
    if kind not in LEVELS:
        raise InvalidError(f"{kind!r} is not a securable type with privileges here")
    return _named(call, kind, name)


def _named(call: Call, kind: str, name: str) -> Securable:
    if len(name.split(".")) != LEVELS[kind]:
        raise InvalidError(f"'{name}' is not the full name of a {kind}")
    above = ("catalog", "schema")[: LEVELS[kind] - 1]
    for depth, level in enumerate((*above, kind), start=1):
        part = ".".join(name.split(".")[:depth])
        # The last level is the whole name; a missing parent is named before its child.
        found = call.state.find(level, part)
        if found is None:
            raise AbsentError(f"{level.title()} '{part}' does not exist.", code=_absent_code(level))
    assert found is not None
    return found


def _absent_code(kind: str) -> str:
    return "RESOURCE_DOES_NOT_EXIST" if kind == "model" else f"{kind.upper()}_DOES_NOT_EXIST"


def _wire(call: Call, securable: Securable) -> Wire:
    parents = securable.full_name.split(".")[:-1]
    shown = {
        "name": securable.name,
        "full_name": securable.full_name,
        "owner": securable.owner,
        "comment": securable.comment,
        "metastore_id": call.state.metastore.id,
        "created_at": securable.created_at,
        "created_by": securable.owner,
        "updated_at": securable.created_at,
        "updated_by": securable.owner,
        **dict(zip(("catalog_name", "schema_name"), parents, strict=False)),
        **_own_members(securable),
    }
    return present(shown)


def _own_members(securable: Securable) -> Wire:
    kind = securable.kind
    if kind == "catalog":
        return {"catalog_type": "MANAGED_CATALOG", "isolation_mode": "OPEN"}
    if kind == "schema":
        return {"schema_id": securable.id, "catalog_type": "MANAGED_CATALOG"}
    if kind == "volume":
        return {"volume_id": securable.id, "volume_type": securable.table_type}
    if kind == "function":
        return {"function_id": securable.id, "data_type": "DECIMAL", "routine_body": "SQL"}
    if kind == "table":
        return _table_members(securable)
    return {}


def _table_members(securable: Securable) -> Wire:
    columns = [
        {
            "name": name,
            "position": position,
            "type_text": text,
            "type_name": COLUMN_TYPES[text],
            "nullable": True,
        }
        for position, (name, text) in enumerate(securable.columns)
    ]
    delta = securable.table_type in ("MANAGED", "EXTERNAL")
    return {
        "table_id": securable.id,
        "table_type": securable.table_type,
        "data_source_format": "DELTA" if delta else None,
        "columns": columns,
    }
