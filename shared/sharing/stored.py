"""A share pack as the JSON that PostgreSQL keeps: canonical, versioned, and read back equal.

Members that a pack leaves unsaid are left out, so equal packs have equal documents.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any

from shared.sharing.errors import StoredPackError
from shared.sharing.model import (
    ANY_ADDRESS,
    AllowedIps,
    AnyAddress,
    DataObject,
    Finding,
    Metadata,
    ObjectType,
    Partition,
    PartitionValue,
    Pipeline,
    Place,
    Recipient,
    RecipientType,
    Share,
    SharePack,
)

VERSION = 1
_ANY = "ANY"


def to_document(pack: SharePack) -> dict[str, Any]:
    """JSON-ready, with `v` saying which form it has."""
    document = _plain(pack)
    assert isinstance(document, dict)
    return {"v": VERSION, **document}


def from_document(document: Mapping[str, Any]) -> SharePack:
    """The pack that was stored; raises StoredPackError for a form that this release does not know."""
    if document.get("v") != VERSION:
        raise StoredPackError(
            f"a stored share pack has form {document.get('v')!r}; this release knows {VERSION}",
            hint="a newer release wrote it: do not go back behind that one",
        )
    try:
        return _pack(document)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise StoredPackError("a stored share pack is not whole; see its row in share_packs") from None


def finding_document(finding: Finding) -> dict[str, str | int]:
    """`detail` and, where known, `line` or `sheet` and `cell`: as answers list errors and warnings."""
    place = finding.place or Place()
    known = {"line": place.line, "sheet": place.sheet, "cell": place.cell}
    return {"detail": finding.detail, **{name: value for name, value in known.items() if value is not None}}


def _plain(value: object) -> object:
    if isinstance(value, AnyAddress):
        return _ANY
    if is_dataclass(value):
        members = {each.name: getattr(value, each.name) for each in fields(value)}
        return {name: _plain(member) for name, member in members.items() if member is not None}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, str) else value


def _pack(document: Mapping[str, Any]) -> SharePack:
    metadata = dict(document["metadata"])
    if "start_at" in metadata:
        metadata["start_at"] = datetime.fromisoformat(metadata["start_at"])
    return SharePack(
        Metadata(**metadata),
        tuple(_recipient(each) for each in document["recipients"]),
        tuple(_share(each) for each in document["shares"]),
        tuple(Pipeline(**each) for each in document["pipelines"]),
    )


def _recipient(stored: Mapping[str, Any]) -> Recipient:
    listed = stored.get("allowed_ips")
    addresses: AllowedIps = ANY_ADDRESS if listed == _ANY else None if listed is None else tuple(listed)
    return Recipient(**{**stored, "type": RecipientType(stored["type"]), "allowed_ips": addresses})


def _share(stored: Mapping[str, Any]) -> Share:
    return Share(
        stored["name"],
        stored.get("comment"),
        tuple(stored["recipients"]),
        tuple(_data_object(each) for each in stored["data_objects"]),
        tuple(stored["remove_recipients"]),
        tuple(stored["remove_data_objects"]),
    )


def _data_object(stored: Mapping[str, Any]) -> DataObject:
    made = dict(stored)
    if "type" in made:
        made["type"] = ObjectType(made["type"])
    if "partitions" in made:
        made["partitions"] = tuple(
            Partition(tuple(PartitionValue(**value) for value in each["values"]))
            for each in made["partitions"]
        )
    return DataObject(**made)
