"""A share pack as both file formats parse to it: frozen, names lower case, lists as tuples, nothing defaulted away.

`None` always means "the file does not say"; what that leads to is the planner's business.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

Strategy = Literal["NEW", "UPDATE"]
PipelineType = Literal["JOB", "PIPELINE"]
PartitionOp = Literal["EQUAL", "LIKE"]


class RecipientType(StrEnum):
    """D2O reads with a token from anywhere; D2D reads from another Databricks metastore."""

    D2O = "D2O"
    D2D = "D2D"


class ObjectType(StrEnum):
    """What a share can hold, in the platform's words."""

    TABLE = "TABLE"
    VIEW = "VIEW"
    MATERIALIZED_VIEW = "MATERIALIZED_VIEW"
    STREAMING_TABLE = "STREAMING_TABLE"
    FOREIGN_TABLE = "FOREIGN_TABLE"
    SCHEMA = "SCHEMA"
    VOLUME = "VOLUME"
    MODEL = "MODEL"
    FUNCTION = "FUNCTION"
    FEATURE_SPEC = "FEATURE_SPEC"
    NOTEBOOK_FILE = "NOTEBOOK_FILE"


TABLE_LIKE = frozenset(
    {
        ObjectType.TABLE,
        ObjectType.VIEW,
        ObjectType.MATERIALIZED_VIEW,
        ObjectType.STREAMING_TABLE,
        ObjectType.FOREIGN_TABLE,
    }
)


@dataclass(frozen=True, slots=True)
class PartitionValue:
    """One condition of a partition: `value` or, exclusively, the recipient's property that gives it."""

    name: str
    op: PartitionOp
    value: str | None = None
    recipient_property_key: str | None = None


@dataclass(frozen=True, slots=True)
class Partition:
    """Conditions that hold together."""

    values: tuple[PartitionValue, ...]


@dataclass(frozen=True, slots=True)
class DataObject:
    """What a share should hold. `name` is full and lower case; `type` None is looked up in the workspace."""

    name: str
    type: ObjectType | None = None
    shared_as: str | None = None
    partitions: tuple[Partition, ...] | None = None
    history: bool | None = None
    cdf: bool | None = None


@dataclass(frozen=True, slots=True)
class AnyAddress:
    """The word ANY: the recipient may connect from everywhere."""


ANY_ADDRESS = AnyAddress()
AllowedIps = tuple[str, ...] | AnyAddress | None
"""Addresses and CIDRs that replace the list; ANY clears it; None leaves it alone. Never an empty tuple."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who may read. `email` belongs to D2O, `metastore_id` (cloud:region:id) to D2D."""

    name: str
    type: RecipientType
    email: str | None = None
    metastore_id: str | None = None
    allowed_ips: AllowedIps = None
    comment: str | None = None
    token_expiry_days: int | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """A share, who reads it and what it holds; removals are always spelt out."""

    name: str
    comment: str | None = None
    recipients: tuple[str, ...] = ()
    data_objects: tuple[DataObject, ...] = ()
    remove_recipients: tuple[str, ...] = ()
    remove_data_objects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A job or a declarative pipeline; `schedule` is a Quartz cron expression in UTC, None for unscheduled."""

    name: str
    type: PipelineType
    source: str
    destination: str | None = None
    schedule: str | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Metadata:
    """Who asks, for which business line; `start_at` is aware and delays the provisioning."""

    requestor: str
    project_name: str
    business_line: str
    strategy: Strategy
    description: str | None = None
    start_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SharePack:
    """A whole pack. Names of recipients, shares and pipelines are each unique within it."""

    metadata: Metadata
    recipients: tuple[Recipient, ...] = ()
    shares: tuple[Share, ...] = ()
    pipelines: tuple[Pipeline, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the upload something stands: a line of a YAML file, or a sheet and a cell such as `B7`."""

    line: int | None = None
    sheet: str | None = None
    cell: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong (`error`) or doubtful (`warning`) about a pack, in words for the one who wrote it."""

    severity: Literal["error", "warning"]
    detail: str
    place: Place | None = None
