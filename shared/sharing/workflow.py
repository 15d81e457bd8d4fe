"""What people do with share packs: upload, look, decide, ask. Each call names who acts; the stores hold the rest.

Callers pass roles before they come here; which tenants they see is checked here, with every call.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from threading import Lock
from uuid import UUID

from shared.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from shared.sharing.errors import LookCutShortError
from shared.sharing.holdings import (
    facts_of_recipient,
    facts_of_share,
    found_in,
    holdings_of,
    of_other_tenants,
)
from shared.sharing.model import Finding, SharePack
from shared.sharing.observe import observe
from shared.sharing.parsing import parse_upload
from shared.sharing.plan import Holdings, Plan, plan
from shared.sharing.plan_rollback import rollback
from shared.sharing.ports import Workspace
from shared.sharing.provision import Outside, Stores
from shared.sharing.records import Facts, Found, Tenant, Upload
from shared.sharing.rotate import RotatedToken, TokenRotation
from shared.sharing.store import Uploads
from shared.sharing.views import NOBODY, Actor, Exposure, PackView, State, VersionView

# The platform cuts a request off at 230 s; a call that has begun may take thirty more than a look is given.
LOOK_S = 170.0
APPROVE_LOOK_S = 60.0


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of an upload; `id` and `name` None for a dry run."""

    message: str
    state: State
    id: UUID | None = None
    name: str | None = None
    findings: tuple[Finding, ...] = ()
    plan: Plan | None = None


@dataclass(frozen=True, slots=True)
class Approved:
    """What became of an approval; `is_seen`: the workspace was looked at, and is as the plan has it."""

    state: State
    is_seen: bool


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What became of a rollback; `stays`: what it does not bring back, in words."""

    state: State
    stays: tuple[str, ...]


@dataclass(slots=True)
class Workflow:
    """Share packs, as people deal with them.

    `workspace_until` opens a workspace that raises LookCutShortError after a monotonic moment. `send_outbox` sends
    what a call queued; its failing does no harm.
    """

    stores: Stores
    outside: Outside
    uploads: Uploads
    rotation: TokenRotation
    workspace_until: Callable[[str, float], Workspace]
    send_outbox: Callable[[], object]
    now: Callable[[], datetime]
    # What one file may take of the memory is bounded; one at a time, what all of them take is, too.
    _reading: Lock = field(default_factory=Lock, init=False, repr=False)

    def look_until(self, budget_s: float = LOOK_S) -> float:
        """The monotonic moment until which a request that comes now may look at a workspace."""
        return self.outside.clock.monotonic() + budget_s

    def upload(
        self,
        who: Actor,
        workspace_url: str,
        content: bytes,
        filename: str | None,
        *,
        dry_run_until: float | None = None,
    ) -> Taken:
        """Take a file in; with `dry_run_until` only plan it, looking at the workspace no longer than that.

        Raises what parsing and rules find, ForbiddenError for another's requestor, InvalidError for a business line
        or workspace that is not the caller's, LookCutShortError.
        """
        with self._reading:
            read = parse_upload(content, filename)
            if read.errors:
                _ = read.checked().pack  # raises, with what the rules find in the rest
        tenant = self._tenant(who, read.draft.metadata.business_line)
        workspace = self._workspace_url(tenant, workspace_url)
        _require_requestor(who, read.draft)
        owned = self.stores.ownership.owned(workspace)
        parsed = read.checked({each.name for each in owned if each.kind == "recipient"})
        findings = parsed.warnings
        if dry_run_until is not None:
            return self._dry_run(parsed.pack, tenant.name, workspace, findings, dry_run_until)
        stored = self.uploads.create(
            Upload(
                pack=parsed.pack,
                tenant=tenant,
                workspace_url=workspace,
                content_hash=parsed.content_hash,
                file_name=filename or "",
                uploader=who,
                requestor_oid="" if who.is_app else who.subject,
                warnings=findings,
            )
        )
        self.send_outbox()
        said = {
            "created": "taken in; GET /workflow/sharepack/{id} says how it goes",
            "resumed": "known: it is taken up where it ended",
            "reopened": "known: it begins anew",
            "unchanged": "known: nothing is to be done",
        }[stored.outcome]
        return Taken(said, stored.pack.state, stored.pack.id, stored.pack.name, tuple(findings))

    def _dry_run(
        self, pack: SharePack, tenant: str, workspace: str, findings: Sequence[Finding], until: float
    ) -> Taken:
        try:
            made = self._planned(NOBODY, workspace, pack, until)
        except LookCutShortError as error:
            raise _cut_short(
                error,
                "dry run: nothing was planned",
                "make smaller packs, or upload it: then it is planned in the background, and where approvals are asked"
                " for it waits with its plan",
            ) from None
        strange = of_other_tenants(pack, tenant, self.stores.ownership.owned(workspace))
        state = State.VALIDATION_FAILED if made.errors or strange else State.COMPLETED
        told = (*findings, *strange, *made.findings)
        return Taken("a dry run: nothing was kept", state, findings=told, plan=made)

    def _planned(self, pack_id: UUID, workspace: str, pack: SharePack, until: float) -> Plan:
        holdings = self._holdings(pack_id, workspace)
        return plan(pack, holdings, observe(self.workspace_until(workspace, until), pack))

    def _holdings(self, pack_id: UUID, workspace: str) -> Holdings:
        owned = self.stores.ownership.owned(workspace)
        contributed = self.stores.contributions.current(workspace=workspace)
        return holdings_of(pack_id, workspace, owned, contributed)

    def packs(
        self,
        who: Actor,
        *,
        state: State | None = None,
        tenant: str | None = None,
        limit: int = 100,
        after: tuple[datetime, UUID] | None = None,
    ) -> Sequence[PackView]:
        """Newest first, those after the moment and id of the page before."""
        return self.stores.packs.page(who.tenants, tenant=tenant, state=state, limit=limit, after=after)

    def pack(self, who: Actor, pack_id: UUID) -> PackView:
        """One pack; raises NotFoundError for another tenant's, too."""
        return self.stores.packs.get(pack_id, who.tenants)

    def history(self, who: Actor, pack_id: UUID) -> Sequence[VersionView]:
        """Its versions, newest first."""
        return self.stores.packs.history(pack_id, who.tenants)

    def plan(self, who: Actor, pack_id: UUID) -> Plan:
        """The newest plan that was made for it; raises NotFoundError where there is none yet."""
        return Plan.from_document(self.stores.plans.newest(pack_id, who.tenants).document)

    def approve(self, who: Actor, pack_id: UUID, plan_hash: str) -> Approved:
        """Sign a plan. Raises ConflictError where it is not today's: it is planned anew, and waits again.

        Where the workspace takes too long to be looked at, the signature counts all the same: whoever applies the
        plan looks before anything is changed, and lets a stale one wait again.
        """
        pack = self.pack(who, pack_id)
        is_seen = pack.state is not State.AWAITING_APPROVAL or self._is_seen(who, pack, plan_hash)
        self.stores.plans.approve(pack_id, who.tenants, plan_hash, by=who)
        self.send_outbox()
        return Approved(self.pack(who, pack_id).state, is_seen)

    def _is_seen(self, who: Actor, pack: PackView, plan_hash: str) -> bool:
        until, content = self.look_until(APPROVE_LOOK_S), self.stores.packs.content(pack.id)
        try:
            today = self._planned(pack.id, pack.workspace, content, until)
        except LookCutShortError:
            return False
        stored = self.stores.plans.newest(pack.id, who.tenants)
        if stored.plan_hash == plan_hash != today.hash:
            self.stores.plans.make_again(pack.id, who.tenants, by=who)
            self.send_outbox()
            raise ConflictError(
                f"share pack {pack.name}: the workspace has changed since this plan; it is being planned anew",
                hint="read GET .../plan again in a moment, and approve its PlanHash",
                code="plan_stale",
            )
        return True

    def reject(self, who: Actor, pack_id: UUID, reason: str) -> State:
        """Refuse a plan."""
        self.stores.plans.reject(pack_id, who.tenants, reason, by=who)
        return self.pack(who, pack_id).state

    def cancel(self, who: Actor, pack_id: UUID, reason: str) -> State:
        """Stop a pack."""
        self.stores.packs.cancel(pack_id, who.tenants, by=who, reason=reason)
        return self.pack(who, pack_id).state

    def rollback(self, who: Actor, pack_id: UUID, version: int, reason: str) -> RolledBack:
        """Go back to what held while an earlier version was the current one, by a new plan.

        Before the pack was first applied nothing of it did, so all that it contributed is withdrawn; nothing that
        another pack wants too is taken away, and nothing is ever deleted.
        """
        pack = self.pack(who, pack_id)
        back = rollback(
            self._held_at(who, pack_id, version),
            self._holdings(pack_id, pack.workspace),
            self.stores.ownership.found(pack.workspace),
        )
        self.uploads.rollback(pack_id, version, who.tenants, by=who, reason=reason, content=back.pack)
        self.send_outbox()
        return RolledBack(self.pack(who, pack_id).state, back.stays)

    def _held_at(self, who: Actor, pack_id: UUID, version: int) -> SharePack:
        content = self.stores.packs.content(pack_id, version)
        applied = {State.COMPLETED, State.PARTIAL}
        first = min(
            (v.version for v in self.stores.packs.history(pack_id, who.tenants) if v.state in applied),
            default=version,
        )
        return content if version >= first else replace(content, recipients=(), shares=(), pipelines=())

    def exposure(self, who: Actor, table: str, at: datetime | None) -> tuple[datetime, Sequence[Exposure]]:
        """Who can read a table now, or could at a moment; the moment meant."""
        if at is not None and at.tzinfo is None:
            raise InvalidError("at: has no offset", [("at", "a moment such as 2026-01-31T12:00:00Z")])
        return at or self.now().astimezone(UTC), self.stores.contributions.exposure(table, at, who.tenants)

    def adopt(
        self, who: Actor, workspace_url: str, shares: Iterable[str], recipients: Iterable[str]
    ) -> Sequence[str]:
        """Take what exists into ownership; NotFoundError names what does not. The workspace is only read."""
        tenant, url = self._region(who, workspace_url)
        workspace = self.workspace_until(url, self.look_until())
        try:
            facts, found, missing = _seen(workspace, shares, recipients)
        except LookCutShortError as error:
            raise _cut_short(
                error, "nothing was adopted", "name fewer shares and recipients at once"
            ) from None
        if missing:
            raise NotFoundError(
                f"{', '.join(missing)}: not in {url}; nothing was adopted",
                hint="check the names, and that the app's identity may see them",
            )
        return self.stores.ownership.adopt(url, facts, by=who, tenant=tenant, found=found)

    def rotate_token(
        self, who: Actor, workspace_url: str, name: str, *, old_expires_in_s: int
    ) -> RotatedToken:
        """A new token for an open recipient of ours; its link goes to the vault."""
        tenant, url = self._region(who, workspace_url)
        return self.rotation.rotate(who, tenant, url, name.lower(), old_expires_in_s=old_expires_in_s)

    def _tenant(self, who: Actor, business_line: str) -> Tenant:
        tenant = self.stores.tenants.find(business_line)
        if tenant is None or not who.sees(tenant.name):
            raise InvalidError(
                f"business_line {business_line!r}: not one of yours",
                [("metadata.business_line", f"{business_line!r} is unknown")],
                hint="PUT /api/v1/tenants/{name} makes one; the token's roles say which ones are yours",
            )
        return tenant

    def _workspace_url(self, tenant: Tenant, workspace_url: str) -> str:
        region = tenant.region_of(workspace_url)
        if region is None:
            raise InvalidError(
                f"X-Workspace-URL: not a workspace of {tenant.name}",
                [("X-Workspace-URL", f"not one of the regions of {tenant.name}")],
                hint=f"GET /api/v1/tenants/{tenant.name}/regions lists them",
            )
        return tenant.regions[region]

    def _region(self, who: Actor, workspace_url: str) -> tuple[str, str]:
        """The tenant of the caller's whose workspace this is, and its address as the tenant spells it."""
        for tenant in self.stores.tenants.all(who.tenants):
            region = tenant.region_of(workspace_url)
            if region is not None:
                return tenant.name, tenant.regions[region]
        raise InvalidError(
            "X-Workspace-URL: not a workspace of yours",
            [("X-Workspace-URL", "not one of the regions of your business lines")],
        )


def _require_requestor(who: Actor, pack: SharePack) -> None:
    if not who.is_app and pack.metadata.requestor.lower() != who.name.lower():
        raise ForbiddenError(
            "metadata.requestor: somebody else than the caller",
            hint="upload your own packs, or let a service with role operator upload for others",
        )


def _seen(
    workspace: Workspace, shares: Iterable[str], recipients: Iterable[str]
) -> tuple[list[Facts], list[Found], list[str]]:
    """What the workspace says of these, what the shares hold, and which are not there."""
    facts, found, missing = list[Facts](), list[Found](), list[str]()
    for name in sorted({name.lower() for name in shares}):
        share = workspace.share(name)
        if share is None:
            missing.append(f"share {name}")
            continue
        facts.append(facts_of_share(share))
        found += found_in(share)
    for name in sorted({name.lower() for name in recipients}):
        recipient = workspace.recipient(name)
        missing += [] if recipient else [f"recipient {name}"]
        facts += [facts_of_recipient(recipient)] if recipient else []
    return facts, found, missing


def _cut_short(error: LookCutShortError, what: str, hint: str) -> LookCutShortError:
    return LookCutShortError(f"{what}: {error.message}", hint=hint, retry_after_s=error.retry_after_s)
