"""Graph's part: users and groups by delta query, a user by name, groups by filter."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, get_args
from urllib.parse import quote, unquote

import msgspec

from infra.local.loopback import Answer, Request, json_answer
from infra.local.microsoft.errors import RefusedError
from infra.local.microsoft.people import Kind, Record

if TYPE_CHECKING:
    from infra.local.microsoft.server import MicrosoftServer

PROPERTIES: dict[Kind, tuple[str, ...]] = {
    "users": ("userPrincipalName", "displayName", "mail", "accountEnabled"),
    "groups": ("displayName", "mail", "securityEnabled"),
}
_USER = re.compile(r"/v1\.0/users(?:/([^/()]+)|\('((?:[^']|'')+)'\))")
_FILTER = re.compile(r"displayName eq '((?:[^']|'')*)'")
_NAME = re.compile(r"[^@\s\"(),:;<>\[\]\\]+@[^@\s]+|[0-9a-fA-F-]{36}")
_DAY_S = 86400


class Place(msgspec.Struct, array_like=True):
    """What a skip or delta token stands for: changes after `since`, from `offset` on.

    The walk began at change `until`; 0: it has not begun yet.
    """

    kind: str
    since: int
    until: int
    offset: int
    issued: float
    generation: int
    select: list[str]


def graph(server: MicrosoftServer, request: Request) -> Answer:
    """Answer one of Graph's routes; RefusedError for what there is not."""
    path = unquote(request.path)
    for kind in get_args(Kind):
        if path == f"/v1.0/{kind}/delta":
            return _delta(server, kind, request)
    if path == "/v1.0/groups":
        return _groups(server, request.parameters)
    if matched := _USER.fullmatch(path):
        return _user(server, matched[1] or matched[2].replace("''", "'"), request.parameters)
    raise RefusedError(400, "BadRequest", "Resource not found for the segment.")


def _delta(server: MicrosoftServer, kind: Kind, request: Request) -> Answer:
    place = _place(server, kind, request.parameters)
    size = min(_preferred(request), server.switches.page_size)
    entries = _entries(server, kind, place)
    begin = max(0, place.offset)
    if place.offset < 0 and server.switches.empty_pages:
        return _page(server, kind, [], place, following=0)
    page, end = entries[begin : begin + size], begin + size
    if server.switches.repeats and begin > 0:
        page = [entries[begin - 1], *page]
    following = end if end < len(entries) else None
    return _page(server, kind, page, place, following)


def _place(server: MicrosoftServer, kind: Kind, parameters: Mapping[str, str]) -> Place:
    token = parameters.get("$skiptoken") or parameters.get("$deltatoken")
    now = server.clock()
    if token is None:
        select = [name for name in parameters.get("$select", "").split(",") if name and name != "id"]
        unknown = set(select) - set(PROPERTIES[kind])
        if unknown:
            raise RefusedError(400, "BadRequest", f"Could not find a property named '{min(unknown)}'.")
        return Place(
            kind, 0, server.people.counter, -1, now, server.generation, select or list(PROPERTIES[kind])
        )
    try:
        place = msgspec.json.decode(base64.urlsafe_b64decode(token.encode()), type=Place)
    except (binascii.Error, msgspec.DecodeError, ValueError):
        raise RefusedError(400, "BadRequest", "The skip token or delta token is malformed.") from None
    if place.generation < server.generation or now - place.issued > server.switches.delta_days * _DAY_S:
        code = "syncStateNotFound" if server.switches.expired_status == 400 else "resyncRequired"
        text = "The sync state generation is not found. The delta token is expired."
        raise RefusedError(server.switches.expired_status, code, text)
    if not place.until:
        place.until = server.people.counter  # a walk fixes its bound when it begins
    return place


def _entries(server: MicrosoftServer, kind: Kind, place: Place) -> list[dict[str, object]]:
    """What the walk has to tell, in the order of the ids."""
    records = sorted(server.people.records[kind].values(), key=lambda record: record.id)
    return [_entry(server, record, place) for record in records if _told(record, place)]


def _told(record: Record, place: Place) -> bool:
    if place.since == 0:
        return record.removed_in is None or record.removed_in > place.until
    return place.since < record.last_change()


def _entry(server: MicrosoftServer, record: Record, place: Place) -> dict[str, object]:
    if record.removed_in is not None:
        return {"id": record.id, "@removed": {"reason": record.reason}}
    whole = place.since == 0 or server.switches.whole_changes
    shown = {name: record.values.get(name) for name in place.select}
    if whole:
        # Of a listing, what has no value is left out.
        return {"id": record.id} | {name: value for name, value in shown.items() if value is not None}
    return {"id": record.id} | {n: v for n, v in shown.items() if record.changed.get(n, 0) > place.since}


def _page(
    server: MicrosoftServer, kind: Kind, entries: list[dict[str, object]], place: Place, following: int | None
) -> Answer:
    if following is not None:
        place.offset = following
        name, token = "$skiptoken", place
    else:
        name = "$deltatoken"
        token = Place(kind, place.until, 0, -1, server.clock(), server.generation, place.select)
    written = base64.urlsafe_b64encode(msgspec.json.encode(token)).decode()
    link = f"{server.url}/v1.0/{kind}/delta?{name}={quote(written)}"
    key = "@odata.nextLink" if following is not None else "@odata.deltaLink"
    return json_answer({"@odata.context": f"{server.url}/v1.0/$metadata#{kind}", key: link, "value": entries})


def _preferred(request: Request) -> int:
    matched = re.search(r"odata\.maxpagesize=(\d+)", request.headers.get("prefer", ""))
    return max(1, int(matched[1])) if matched else 100


def _user(server: MicrosoftServer, name: str, parameters: Mapping[str, str]) -> Answer:
    if not _NAME.fullmatch(name):
        raise RefusedError(400, "Request_BadRequest", f"Invalid object identifier '{name}'.")
    for record in server.people.live("users"):
        if name.lower() in (record.id, str(record.values.get("userPrincipalName", "")).lower()):
            wanted = [each for each in parameters.get("$select", "").split(",") if each]
            shown = {each: record.values.get(each) for each in wanted or PROPERTIES["users"]}
            return json_answer(shown | {"id": record.id})
    text = (
        f"Resource '{name}' does not exist or one of its queried reference-property objects are not present."
    )
    raise RefusedError(404, "Request_ResourceNotFound", text)


def _groups(server: MicrosoftServer, parameters: Mapping[str, str]) -> Answer:
    matched = _FILTER.fullmatch(parameters.get("$filter", ""))
    if matched is None:
        raise RefusedError(400, "BadRequest", "Invalid filter clause")
    wanted = matched[1].replace("''", "'").lower()
    found = [
        g for g in server.people.live("groups") if str(g.values.get("displayName", "")).lower() == wanted
    ]
    value = [{"id": group.id, "displayName": group.values["displayName"]} for group in found]
    return json_answer({"@odata.context": "groups", "value": value})
