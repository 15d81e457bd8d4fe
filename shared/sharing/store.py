"""What share packs keep, as the services of this package need it; PostgreSQL does in shared/adapters/postgres/sharing.

Reads take the tenants that their caller sees (None: all); what belongs to another is not there.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

from shared.errors import AppError
from shared.sharing.claims import Claim, ClaimAnswer, RotationClaim
from shared.sharing.model import Finding, SharePack
from shared.sharing.ports import Contribution, Journal
from shared.sharing.records import Facts, Found, Owned, Policy, Stored, StoredPlan, Tenant, Upload
from shared.sharing.views import Actor, Exposure, PackView, State, VersionView

Tenants = frozenset[str] | None


class Packs(Protocol):
    """Share packs as they stand."""

    def get(self, pack_id: UUID, tenants: Tenants) -> PackView:
        """The pack; raises NotFoundError."""
        ...

    def page(
        self,
        tenants: Tenants,
        *,
        tenant: str | None = None,
        state: State | None = None,
        limit: int = 100,
        after: tuple[datetime, UUID] | None = None,
    ) -> Sequence[PackView]:
        """Newest first, those after `created_at` and `id` of the last one of the page before."""
        ...

    def history(self, pack_id: UUID, tenants: Tenants) -> Sequence[VersionView]:
        """Its versions, newest first."""
        ...

    def content(self, pack_id: UUID, version: int | None = None) -> SharePack:
        """What was uploaded; raises NotFoundError."""
        ...

    def cancel(self, pack_id: UUID, tenants: Tenants, *, by: Actor, reason: str) -> None:
        """Stop the pack; raises ConflictError for one that is finished."""
        ...


class Uploads(Protocol):
    """The way in."""

    def create(self, upload: Upload) -> Stored:
        """Store it with its application and message, or find what the same bytes made before."""
        ...

    def rollback(
        self,
        pack_id: UUID,
        version: int,
        tenants: Tenants,
        *,
        by: Actor,
        reason: str,
        content: SharePack | None = None,
    ) -> None:
        """Apply what an earlier version held (or `content`, which leads back to it), as a new one."""
        ...


class Plans(Protocol):
    """Plans and what was decided about them."""

    def keep(self, claim: Claim, plan_hash: str, document: Mapping[str, Any], *, widens: bool) -> UUID:
        """Keep the plan of a claimed application as its newest; raises FencedError."""
        ...

    def newest(self, pack_id: UUID, tenants: Tenants) -> StoredPlan:
        """The pack's newest plan; raises NotFoundError."""
        ...

    def begin(
        self, claim: Claim, plan_hash: str, contributed: tuple[str, Sequence[Contribution]] | None = None
    ) -> None:
        """From now on the application's journal is about this plan, and the pack contributes this to its workspace."""
        ...

    def begun(self, application_uid: UUID) -> StoredPlan | None:
        """The plan that the application's journal is about; None where nothing was begun."""
        ...

    def abandon(self, claim: Claim) -> None:
        """Forget the plan that was begun and its journal, so that another can be made."""
        ...

    def make_again(self, pack_id: UUID, tenants: Tenants, *, by: Actor) -> None:
        """Have a plan that waits for an approval made anew."""
        ...

    def is_approved(self, application_uid: UUID, plan_hash: str) -> bool:
        """Whether somebody approved exactly this plan for this application."""
        ...

    def approve(self, pack_id: UUID, tenants: Tenants, plan_hash: str, *, by: Actor) -> None:
        """Let the newest plan be applied, and queue that."""
        ...

    def reject(self, pack_id: UUID, tenants: Tenants, reason: str, *, by: Actor) -> None:
        """Refuse the newest plan."""
        ...


class Applications(Protocol):
    """Packs being applied: claimed by one delivery at a time. Writes of a claim raise FencedError for a stale one."""

    def claim(self, application_uid: UUID, message_id: str, dequeue_count: int) -> ClaimAnswer:
        """Claim it, or say why not."""
        ...

    def finish(
        self,
        claim: Claim,
        state: State,
        *,
        reason: str,
        error: AppError | None = None,
        findings: Sequence[Finding] | None = None,
        contributed: tuple[str, Sequence[Contribution]] | None = None,
    ) -> None:
        """End it, its pack coming to `state`, with the workspace and what the pack contributes there from now on."""
        ...

    def await_approval(self, claim: Claim, *, reason: str, findings: Sequence[Finding] | None = None) -> None:
        """Let go until somebody decides."""
        ...

    def back_off(self, claim: Claim, error: AppError, delay_s: int) -> None:
        """Queue it again after a failure that may pass."""
        ...

    def hand_on(self, claim: Claim, delay_s: int = 0) -> None:
        """Queue it again though nothing failed: the time of this delivery is up, or another pack goes first."""
        ...


class Contributions(Protocol):
    """Which pack wants what, and wanted what when."""

    def replace(self, pack_id: UUID, workspace: str, wanted: Sequence[Contribution]) -> None:
        """Make `wanted` all that the pack contributes there."""
        ...

    def current(self, *, workspace: str | None = None, pack_id: UUID | None = None) -> Sequence[Contribution]:
        """What packs contribute now."""
        ...

    def exposure(self, table: str, at: datetime | None, tenants: Tenants) -> Sequence[Exposure]:
        """Who can read a table, or could at a moment."""
        ...


class Ownership(Protocol):
    """What this installation created or adopted in its workspaces."""

    def owned(self, workspace: str) -> Sequence[Owned]:
        """All that is ours there."""
        ...

    def record(
        self, workspace: str, facts: Sequence[Facts], *, by: Actor, share_pack_id: UUID | None
    ) -> None:
        """Note what was created or changed. Idempotent."""
        ...

    def adopt(
        self,
        workspace: str,
        facts: Sequence[Facts],
        *,
        by: Actor,
        tenant: str | None = None,
        found: Sequence[Found] = (),
    ) -> Sequence[str]:
        """Take what was observed into ownership, with what the shares held; the names that were not ours before."""
        ...

    def found(self, workspace: str) -> Sequence[Found]:
        """What was found at adoptions there and that nobody took away since."""
        ...

    def forget(self, workspace: str, gone: Sequence[Found]) -> None:
        """What was found at an adoption and is no longer there. Idempotent."""
        ...


class Rotations(Protocol):
    """Tokens that people asked to be rotated: one unfinished rotation a recipient."""

    def claim(
        self, workspace: str, recipient: str, document: Mapping[str, Any], *, by: Actor, tenant: str
    ) -> RotationClaim:
        """A new rotation by this plan, or the one that was left unfinished, by its own.

        Raises ConflictError while somebody works on it.
        """
        ...

    def abandoned(self) -> Sequence[UUID]:
        """Those that nobody works on, and that have been left for a while."""
        ...

    def take(self, rotation_uid: UUID) -> RotationClaim | None:
        """The right to go on with it; None where it is finished or somebody's."""
        ...

    def journal(self, claim: RotationClaim) -> Journal:
        """Of its one step."""
        ...

    def let_go(self, claim: RotationClaim, error: str) -> None:
        """Leave it to whoever asks next; one whose call was never made is over."""
        ...

    def finish(
        self, claim: RotationClaim, status: Literal["done", "failed"], result: Mapping[str, str]
    ) -> None:
        """End it, with a line in the audit trail."""
        ...


class TenantStore(Protocol):
    """Business lines."""

    def find(self, business_line: str) -> Tenant | None:
        """The tenant that a pack's business line means; None where there is none."""
        ...

    def all(self, tenants: Tenants) -> Sequence[Tenant]:
        """The tenants that a caller sees, by name."""
        ...

    def approval(self, name: str) -> Policy | None:
        """What the tenant wants approved; None where the installation's setting holds."""
        ...
