"""Objects within a share: what may be added, changed and removed, and how an object reads back."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec

from infra.local.workspace.call import Call, Wire, present
from infra.local.workspace.errors import AbsentError, DeniedError, ExistsError, InvalidError
from infra.local.workspace.state import Partition, Securable, Share, SharedObject

UPDATES_MAX = 100
TABLE_LIKE = frozenset({"TABLE", "VIEW", "MATERIALIZED_VIEW", "STREAMING_TABLE", "FOREIGN_TABLE"})
SECURABLE_KINDS = {
    "SCHEMA": "schema",
    "VOLUME": "volume",
    "FUNCTION": "function",
    "FEATURE_SPEC": "function",
    "MODEL": "model",
}
TYPE_OF_TABLE = {"MANAGED": "TABLE", "EXTERNAL": "TABLE", "FOREIGN": "FOREIGN_TABLE"}
_ALIAS = re.compile(r"\w+\.\w+", re.ASCII)


class DataObject(msgspec.Struct):
    """An object as a request names it; what is absent stays as it is, or takes its default."""

    name: str
    data_object_type: str | None = None
    shared_as: str | None = None
    string_shared_as: str | None = None
    comment: str | None = None
    content: str | None = None
    cdf_enabled: bool | None = None
    history_data_sharing_status: Literal["ENABLED", "DISABLED"] | None = None
    partitions: list[Partition] | None = None
    start_version: int | None = None


class ObjectUpdate(msgspec.Struct):
    """One step of a PATCH."""

    action: Literal["ADD", "UPDATE", "REMOVE"]
    data_object: DataObject


def check_batch(updates: Sequence[ObjectUpdate]) -> None:
    """InvalidError for more updates than one call takes, or two of one object."""
    if len(updates) > UPDATES_MAX:
        raise InvalidError(
            f"UpdateShare the number of updates {len(updates)} exceeds the maximum of {UPDATES_MAX}"
        )
    counted = Counter(
        (each.data_object.data_object_type or "TABLE", each.data_object.name.lower()) for each in updates
    )
    twice = [name for (_, name), count in counted.items() if count > 1]
    if twice:
        raise InvalidError(f"UpdateShare duplicate updates on the same data object, names: {twice}.")


def apply(call: Call, share: Share, update: ObjectUpdate) -> None:
    """Carry out one update, or refuse it whole."""
    if update.action == "ADD":
        share.objects.append(_added(call, share, update.data_object))
    elif update.action == "REMOVE":
        share.objects.remove(_present(share, update.data_object))
    else:
        _change(_present(share, update.data_object), update.data_object)


def object_wire(call: Call, share: Share, shared: SharedObject) -> Wire:
    """The object as a read shows it, defaults and all."""
    table = shared.type == "TABLE"
    return present(
        {
            "name": shared.name,
            "data_object_type": shared.type,
            ("shared_as" if shared.type in TABLE_LIKE else "string_shared_as"): shared.alias,
            "comment": shared.comment,
            "content": shared.content,
            # History alone makes this read true, although both together are refused.
            "cdf_enabled": shared.cdf or shared.history if table else None,
            "history_data_sharing_status": ("ENABLED" if shared.history else "DISABLED") if table else None,
            "partitions": msgspec.to_builtins(shared.partitions) or None,
            "start_version": (shared.start_version or 0) if shared.history else shared.start_version,
            "status": _status(call, share, shared),
            "added_at": shared.added_at,
            "added_by": shared.added_by,
        }
    )


def _status(call: Call, share: Share, shared: SharedObject) -> str:
    if shared.type == "NOTEBOOK_FILE":
        return "ACTIVE"
    found = _look_up(call, shared.type, shared.name)
    readable = found is not None and call.state.may_share(call.principals_of(share.owner), found)
    return "ACTIVE" if readable else "PERMISSION_DENIED"


def _added(call: Call, share: Share, wanted: DataObject) -> SharedObject:
    kind, name = wanted.data_object_type or "TABLE", wanted.name.lower()
    if kind not in TABLE_LIKE and kind not in SECURABLE_KINDS and kind != "NOTEBOOK_FILE":
        raise InvalidError(f"UpdateShare {kind} is not a data object type that can be shared")
    alias = _alias(kind, wanted)
    if any(
        each.alias == alias for each in share.objects if (each.type in TABLE_LIKE) == (kind in TABLE_LIKE)
    ):
        raise ExistsError(f"Shared {kind.title()} '{alias}' already exists in share '{share.name}'")
    if kind == "NOTEBOOK_FILE":
        if not wanted.content:
            raise InvalidError("UpdateShare Missing required field: content")
    else:
        _require_shareable(call, share, kind, name)
    shared = SharedObject(name=name, type=kind, alias=alias, added_at=call.now_ms, added_by=call.caller.name)
    _change(shared, wanted)
    return shared


def _require_shareable(call: Call, share: Share, kind: str, name: str) -> None:
    found = _look_up(call, kind, name)
    if found is None:
        noun = "Table" if kind in TABLE_LIKE else kind.title()
        raise AbsentError(f"{noun} '{name}' does not exist.", code=f"{noun.upper()}_DOES_NOT_EXIST")
    actual = _type_of(found)
    if kind in TABLE_LIKE and actual != kind:
        raise InvalidError(f"UpdateShare '{name}' is a {actual}, not a {kind}")
    if not call.state.may_share(call.principals_of(share.owner), found):
        raise DeniedError(f"User does not have SELECT on {found.kind.title()} '{name}'.")


def _change(shared: SharedObject, wanted: DataObject) -> None:
    history = (
        shared.history
        if wanted.history_data_sharing_status is None
        else wanted.history_data_sharing_status == "ENABLED"
    )
    cdf = shared.cdf if wanted.cdf_enabled is None else wanted.cdf_enabled
    if wanted.cdf_enabled and wanted.history_data_sharing_status == "ENABLED":
        raise InvalidError("UpdateShare cdf_enabled can't be set with history sharing, which includes it")
    table_only = (cdf, history, wanted.partitions, wanted.start_version)
    if shared.type != "TABLE" and any(table_only):
        raise InvalidError(f"UpdateShare partitions, history and cdf are for TABLE, not for {shared.type}")
    _check_partitions(wanted.partitions or [])
    shared.history, shared.cdf = history, cdf and not history
    shared.partitions = shared.partitions if wanted.partitions is None else wanted.partitions
    shared.start_version = shared.start_version if wanted.start_version is None else wanted.start_version
    shared.comment = wanted.comment or shared.comment
    shared.content = wanted.content or shared.content


def _check_partitions(partitions: Sequence[Partition]) -> None:
    for value in (value for partition in partitions for value in partition.values):
        if value.op not in ("EQUAL", "LIKE"):
            raise InvalidError(f"UpdateShare {value.op} is not a partition operator")
        if value.value is not None and value.recipient_property_key is not None:
            raise InvalidError(f"UpdateShare partition '{value.name}' has a value and a recipient property")


def _alias(kind: str, wanted: DataObject) -> str:
    own, foreign = wanted.shared_as, wanted.string_shared_as
    if kind not in TABLE_LIKE:
        own, foreign = foreign, own
    if foreign is not None:
        right = "shared_as" if kind in TABLE_LIKE else "string_shared_as"
        raise InvalidError(f"UpdateShare the alias of a {kind} is given as {right}")
    if own is None:
        return ".".join(wanted.name.lower().split(".")[1:]) or wanted.name.lower()
    if kind in TABLE_LIKE | {"VOLUME", "FUNCTION", "MODEL"} and not _ALIAS.fullmatch(own):
        raise InvalidError(f"UpdateShare alias {own!r} is not <schema>.<name> of word characters")
    return own.lower()


def _present(share: Share, wanted: DataObject) -> SharedObject:
    name, kind = wanted.name.lower(), wanted.data_object_type
    alias = wanted.shared_as or wanted.string_shared_as
    same = [each for each in share.objects if each.name == name and kind in (None, each.type)]
    if not same:
        raise AbsentError(f"Shared data object '{name}' does not exist in share '{share.name}'.")
    if alias is None:
        if len(same) > 1:
            raise InvalidError(f"UpdateShare '{name}' is shared under several aliases; name one")
        return same[0]
    found = [each for each in same if each.alias == alias.lower()]
    if not found:
        raise InvalidError(f"UpdateShare the alias of '{name}' can't be changed to '{alias}'")
    return found[0]


def _look_up(call: Call, kind: str, name: str) -> Securable | None:
    return call.state.find(SECURABLE_KINDS.get(kind, "table"), name)


def _type_of(found: Securable) -> str:
    return TYPE_OF_TABLE.get(found.table_type, found.table_type)
