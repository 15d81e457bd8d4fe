"""The domain's changes as databricks-sdk's requests. What a change doesn't speak of is left out, never sent empty."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from databricks.sdk.service import sharing

from shared.sharing.model import (
    TABLE_LIKE,
    AllowedIps,
    AnyAddress,
    DataObject,
    ObjectType,
    Partition,
    Recipient,
)
from shared.sharing.observed import SELECT
from shared.sharing.ports import GrantChange, ObjectChange


def object_update(change: ObjectChange) -> sharing.SharedDataObjectUpdate:
    """One step of an update; a step that removes names the object, and nothing else."""
    wanted, was = change.object, change.was
    alias = was.alias if was else wanted.shared_as
    # An alias can't be changed, and the service refuses one in an update even where it is the same.
    named = alias if change.action != "UPDATE" else None
    table_like = change.type in TABLE_LIKE
    sent = sharing.SharedDataObject(
        name=wanted.name,
        data_object_type=sharing.SharedDataObjectDataObjectType(change.type.value),
        shared_as=(named or None) if table_like else None,
        string_shared_as=None if table_like else (named or None),
    )
    if change.action != "REMOVE":
        _describe(sent, wanted, change.type)
    return sharing.SharedDataObjectUpdate(sharing.SharedDataObjectUpdateAction(change.action), sent)


def permission_changes(changes: Sequence[GrantChange]) -> list[sharing.PermissionsChange]:
    return [
        sharing.PermissionsChange(
            principal=change.recipient,
            add=[SELECT] if change.grant else None,
            remove=None if change.grant else [SELECT],
        )
        for change in changes
    ]


def ip_access_list(allowed: AllowedIps) -> sharing.IpAccessList | None:
    """None leaves the list alone. ANY becomes `{}`, which opens the recipient to every address: only the word may."""
    if isinstance(allowed, AnyAddress):
        return sharing.IpAccessList([])
    if allowed is None:
        return None
    if not allowed:
        raise ValueError("an empty list of addresses would open the recipient to the world; say ANY")
    return sharing.IpAccessList(list(allowed))


def first_networks(recipient: Recipient) -> sharing.IpAccessList | None:
    """For a recipient yet to be made: ANY is what it has without a list."""
    allowed = recipient.allowed_ips
    return None if isinstance(allowed, AnyAddress) else ip_access_list(allowed)


def first_expiry_ms(recipient: Recipient, now: datetime) -> int | None:
    """When the first token ends, in epoch milliseconds; None leaves it to the metastore."""
    days = recipient.token_expiry_days
    return None if days is None else int((now + timedelta(days=days)).timestamp() * 1000)


def _describe(sent: sharing.SharedDataObject, wanted: DataObject, kind: ObjectType) -> None:
    if wanted.partitions is not None:
        sent.partitions = [_partition(each) for each in wanted.partitions]
    if wanted.history is not None:
        status = sharing.SharedDataObjectHistoryDataSharingStatus
        sent.history_data_sharing_status = status.ENABLED if wanted.history else status.DISABLED
    # History includes the change feed; the service refuses both together.
    if wanted.cdf is not None and not wanted.history:
        sent.cdf_enabled = wanted.cdf


def _partition(partition: Partition) -> sharing.Partition:
    return sharing.Partition(
        [
            sharing.PartitionValue(
                name=each.name,
                op=sharing.PartitionValueOp(each.op),
                value=each.value,
                recipient_property_key=each.recipient_property_key,
            )
            for each in partition.values
        ]
    )
