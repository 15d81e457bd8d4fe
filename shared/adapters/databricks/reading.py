"""databricks-sdk's answers as what was observed. A word that the SDK doesn't know comes as None and stays None."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from databricks.sdk.service import catalog, sharing

from shared.sharing.model import ObjectType, Partition, PartitionValue
from shared.sharing.observed import (
    CatalogObject,
    ObservedObject,
    ObservedRecipient,
    ObservedShare,
    ObservedToken,
)
from shared.sharing.ports import IssuedToken

_TABLE_TYPES = {
    "MANAGED": ObjectType.TABLE,
    "EXTERNAL": ObjectType.TABLE,
    "MANAGED_SHALLOW_CLONE": ObjectType.TABLE,
    "EXTERNAL_SHALLOW_CLONE": ObjectType.TABLE,
    "VIEW": ObjectType.VIEW,
    "METRIC_VIEW": ObjectType.VIEW,
    "MATERIALIZED_VIEW": ObjectType.MATERIALIZED_VIEW,
    "STREAMING_TABLE": ObjectType.STREAMING_TABLE,
    "FOREIGN": ObjectType.FOREIGN_TABLE,
}


def observed_share(info: sharing.ShareInfo, grants: Mapping[str, frozenset[str]]) -> ObservedShare:
    return ObservedShare(
        name=_lower(info.name),
        owner=info.owner or "",
        comment=info.comment or None,
        objects=tuple(_object(each) for each in info.objects or ()),
        grants=grants,
    )


def observed_grants(assignments: Iterable[sharing.PrivilegeAssignment]) -> Mapping[str, frozenset[str]]:
    """Privileges by recipient; a principal that was deleted has no name and is left out."""
    return {
        each.principal.lower(): frozenset(privilege.value for privilege in each.privileges or ())
        for each in assignments
        if each.principal
    }


def observed_recipient(info: sharing.RecipientInfo) -> ObservedRecipient:
    networks = info.ip_access_list.allowed_ip_addresses if info.ip_access_list else None
    return ObservedRecipient(
        name=_lower(info.name),
        owner=info.owner or "",
        authentication=_word(info.authentication_type),
        metastore_id=info.data_recipient_global_metastore_id,
        comment=info.comment or None,
        # The service sends no list, or an empty one, where every address may connect.
        allowed_ips=tuple(networks) if networks else None,
        tokens=tuple(
            ObservedToken(each.id or "", _moment(each.created_at), _moment(each.expiration_time))
            for each in info.tokens or ()
        ),
    )


def issued_token(info: sharing.RecipientInfo, known: frozenset[str] = frozenset()) -> IssuedToken | None:
    """The newest token that is not among the known ones and was not fetched yet; None where there is none."""
    fresh = [each for each in info.tokens or () if each.activation_url and each.id not in known]
    if not fresh:
        return None
    newest = max(fresh, key=lambda token: token.created_at or 0)
    return IssuedToken(newest.id or "", newest.activation_url or "", _moment(newest.expiration_time))


def observed_table(info: catalog.TableInfo) -> CatalogObject | None:
    """None for a kind of table that this release can't share."""
    kind = _TABLE_TYPES.get(_word(info.table_type) or "")
    return CatalogObject(_lower(info.full_name), kind, info.owner) if kind else None


def _object(shared: sharing.SharedDataObject) -> ObservedObject:
    partitions = [_partition(each) for each in shared.partitions or ()]
    kind, history = _word(shared.data_object_type), _word(shared.history_data_sharing_status)
    # A filter with an unknown operator can't be compared, so the whole object is none of ours to manage.
    readable = kind is not None and None not in partitions
    return ObservedObject(
        name=shared.name.lower(),
        type=ObjectType(kind) if readable else None,
        alias=shared.shared_as or shared.string_shared_as or None,
        partitions=tuple(each for each in partitions if each is not None),
        history=None if history is None else history == "ENABLED",
        cdf=shared.cdf_enabled,
        status=_word(shared.status),
    )


def _partition(partition: sharing.Partition) -> Partition | None:
    values = [
        PartitionValue(each.name or "", op, each.value, each.recipient_property_key)
        for each in partition.values or ()
        if (op := _word(each.op)) is not None
    ]
    return Partition(tuple(values)) if len(values) == len(partition.values or ()) else None


def _word(value: Enum | None) -> Any:
    return value.value if value is not None else None


def _lower(name: str | None) -> str:
    return (name or "").lower()


def _moment(epoch_ms: int | None) -> datetime | None:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC) if epoch_ms else None
