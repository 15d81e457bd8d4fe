"""What a workspace really holds, as the adapter read it: names lower case, server defaults kept as the server said.

A value that this release does not know arrives as None (`type`, `authentication`): such things are reported as
unmanaged and never changed away.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from shared.sharing.model import ObjectType, Partition, PipelineType, RecipientType

SELECT = "SELECT"
Authentication = Literal["TOKEN", "DATABRICKS", "OIDC_FEDERATION", "OAUTH_CLIENT_CREDENTIALS"]
AUTHENTICATION: Mapping[RecipientType, Authentication] = {
    RecipientType.D2O: "TOKEN",
    RecipientType.D2D: "DATABRICKS",
}


@dataclass(frozen=True, slots=True)
class ObservedObject:
    """One object in a share. `alias` is the name that consumers see, None where the server gave none."""

    name: str
    type: ObjectType | None
    alias: str | None = None
    partitions: tuple[Partition, ...] = ()
    history: bool | None = None
    cdf: bool | None = None
    status: Literal["ACTIVE", "PERMISSION_DENIED"] | None = None


@dataclass(frozen=True, slots=True)
class ObservedShare:
    """A share with all its objects and its grants (recipient -> privileges such as SELECT)."""

    name: str
    owner: str
    comment: str | None = None
    objects: tuple[ObservedObject, ...] = ()
    grants: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ObservedToken:
    """A token of an open recipient: never the secret, nor its activation link."""

    id: str
    created_at: datetime | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ObservedRecipient:
    """A recipient. `allowed_ips` None: from everywhere."""

    name: str
    owner: str
    authentication: Authentication | None
    metastore_id: str | None = None
    comment: str | None = None
    allowed_ips: tuple[str, ...] | None = None
    tokens: tuple[ObservedToken, ...] = ()


@dataclass(frozen=True, slots=True)
class ObservedPipeline:
    """A job or declarative pipeline found by name; fields as in `model.Pipeline`, None where set otherwise."""

    id: str
    name: str
    type: PipelineType
    owner: str | None = None
    source: str | None = None
    destination: str | None = None
    schedule: str | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class CatalogObject:
    """Something in Unity Catalog that could be shared."""

    name: str
    type: ObjectType
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class ObservedWorkspace:
    """One look at all that a plan touches. Absent names mean "not there", never "not asked"."""

    identity: str
    shares: Mapping[str, ObservedShare] = field(default_factory=dict)
    recipients: Mapping[str, ObservedRecipient] = field(default_factory=dict)
    pipelines: Mapping[tuple[PipelineType, str], ObservedPipeline] = field(default_factory=dict)
    catalog: Mapping[str, CatalogObject] = field(default_factory=dict)
