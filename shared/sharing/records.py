"""What stores keep of share packs, as the domain hands it over and gets it back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from shared.sharing.lifecycle import Again
from shared.sharing.model import Finding, SharePack
from shared.sharing.views import Actor, PackView

Policy = Literal["never", "widening"]
Decision = Literal["approved", "rejected"]
OwnedKind = Literal["share", "recipient", "pipeline"]
Origin = Literal["created", "adopted"]


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant as share packs see it: workspace URLs by region; `approval` None leaves it to the installation."""

    name: str
    regions: Mapping[str, str]
    approval: Policy | None = None

    def region_of(self, workspace_url: str) -> str | None:
        """The region that the workspace serves; None where it is none of the tenant's."""
        wanted = workspace_url.rstrip("/").lower()
        return next((r for r, url in sorted(self.regions.items()) if url.rstrip("/").lower() == wanted), None)


@dataclass(frozen=True, slots=True)
class Upload:
    """A parsed and valid pack and what came with it.

    `content_hash` is the SHA-256 of the bytes, hex. `requestor_oid` is empty where nobody knows it (an app uploads
    for a requestor). `workspace_url` is one of the tenant's, spelt as the tenant's regions spell it.
    """

    pack: SharePack
    tenant: Tenant
    workspace_url: str
    content_hash: str
    file_name: str
    uploader: Actor
    requestor_oid: str = ""
    warnings: Sequence[Finding] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of an upload: `unchanged` means that these bytes are stored, and nothing is to be done."""

    pack: PackView
    outcome: Again


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """A plan as it is kept; `document` is the planner's own. `decision` None: nobody decided yet."""

    plan_uid: UUID
    application_uid: UUID
    share_pack_id: UUID
    pack_version: int
    plan_hash: str
    document: Mapping[str, Any]
    widens: bool
    created_at: datetime
    decision: Decision | None = None
    approver_oid: str | None = None
    approver_name: str | None = None
    reason: str | None = None
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Owned:
    """Something of ours; a pipeline's `name` is `type|name`. `tenant` None: adopted, so nobody's in particular."""

    kind: OwnedKind
    id: UUID
    name: str
    origin: Origin
    since: datetime
    by: str
    share_pack_id: UUID | None
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of something of ours from now on: columns of its table. A pipeline's `name` is `type|name`."""

    kind: OwnedKind
    name: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """What a share held, or who read it, when it was adopted: an object's full name, or a recipient's.

    `object_type` and `alias` belong to objects, empty where the workspace gave none.
    """

    share: str
    kind: Literal["object", "grant"]
    name: str
    object_type: str = ""
    alias: str = ""
