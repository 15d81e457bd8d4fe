"""What the share packs' routes answer: PascalCase, as the published clients read it."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_pascal

from shared.sharing.model import Finding
from shared.sharing.plan import Plan
from shared.sharing.views import Exposure, PackView, State, VersionView


class Answer(BaseModel):
    """Fields in snake_case here, in PascalCase outside."""

    model_config = ConfigDict(alias_generator=to_pascal, populate_by_name=True, serialize_by_alias=True)


class UploadOut(Answer):
    """What became of one uploaded file."""

    message: str
    share_pack_id: UUID | None = None
    share_pack_name: str | None = None
    status: str
    validation_errors: list[str] = []
    validation_warnings: list[str] = []
    plan: "PlanOut | None" = None


class UploadsOut(Answer):
    """Several files at once: one result each, in their order."""

    results: list[UploadOut]


class StepOut(Answer):
    """A step of the last application."""

    position: int
    action: str
    status: str
    detail: str


class StatusOut(Answer):
    """Where a pack stands: `status` in the four words of published clients, `state` exactly."""

    share_pack_id: UUID
    share_pack_name: str
    status: str
    strategy: str
    state: str
    provisioning_status: str
    error_message: str
    validation_errors: list[str]
    validation_warnings: list[str]
    requested_by: str
    created_at: datetime
    last_updated: datetime
    version: int
    business_line: str
    workspace_url: str
    steps: list[StepOut]

    @classmethod
    def of(cls, pack: PackView) -> "StatusOut":
        """The answer for `pack`."""
        return cls(
            share_pack_id=pack.id,
            share_pack_name=pack.name,
            status=pack.state.status,
            strategy=pack.strategy,
            state=pack.state.value,
            provisioning_status=_progress(pack),
            error_message=pack.error_message,
            validation_errors=told(pack.findings, "error"),
            validation_warnings=told(pack.findings, "warning"),
            requested_by=pack.requested_by,
            created_at=pack.created_at,
            last_updated=pack.updated_at,
            version=pack.version,
            business_line=pack.tenant,
            workspace_url=pack.workspace,
            steps=[
                StepOut(position=s.position, action=s.action, status=s.status, detail=s.detail)
                for s in pack.steps
            ],
        )


class ActionOut(Answer):
    """One thing a plan would do."""

    kind: str
    target: str
    reason: str
    widens: bool
    destructive: bool


class PlanOut(Answer):
    """A plan; `plan_hash` is what an approval signs."""

    plan_hash: str
    actions: list[ActionOut]
    text: str
    widens: bool
    destructive: bool

    @classmethod
    def of(cls, plan: Plan) -> "PlanOut":
        """The answer for `plan`."""
        actions = [
            ActionOut(
                kind=action.kind.value,
                target=action.target,
                reason=action.reason,
                widens=action.widens,
                destructive=action.destructive,
            )
            for action in plan.actions
        ]
        return cls(
            plan_hash=plan.hash,
            actions=actions,
            text=plan.text(),
            widens=plan.widens,
            destructive=plan.destructive,
        )


class VersionOut(Answer):
    """One version of a pack."""

    version: int
    state: str
    status: str
    changed_by: str
    reason: str
    effective_from: datetime
    effective_to: datetime | None

    @classmethod
    def of(cls, version: VersionView) -> "VersionOut":
        """The answer for `version`."""
        return cls(
            version=version.version,
            state=version.state.value,
            status=version.state.status,
            changed_by=version.changed_by,
            reason=version.reason,
            effective_from=version.effective_from,
            effective_to=version.effective_to,
        )


class PageOut(Answer):
    """What lists have in common."""

    next_cursor: str | None = None


class PacksOut(PageOut):
    """Packs, newest first."""

    items: list[StatusOut]


class HistoryOut(PageOut):
    """A pack's versions, newest first."""

    items: list[VersionOut]


class ExposureOut(Answer):
    """That a recipient can read an object; `networks` empty: from everywhere, null: not known here.

    `adopted_by`: who adopted the share with a part of this in it.
    """

    recipient: str
    object: str
    share: str
    workspace_url: str
    share_packs: list[str]
    networks: list[str] | None
    since: datetime
    adopted_by: list[str]

    @classmethod
    def of(cls, seen: Exposure) -> "ExposureOut":
        """The answer for `seen`."""
        return cls(
            recipient=seen.recipient,
            object=seen.object,
            share=seen.share,
            workspace_url=seen.workspace,
            share_packs=list(seen.packs),
            networks=None if seen.networks is None else list(seen.networks),
            since=seen.since,
            adopted_by=list(seen.adopted_by),
        )


class ExposuresOut(Answer):
    """Who could read a table at a moment."""

    table: str
    at: datetime
    items: list[ExposureOut]


class DoneOut(Answer):
    """That something was done, or taken up."""

    message: str
    share_pack_id: UUID | None = None
    status: str | None = None


class TokenOut(Answer):
    """A token was rotated; its activation link lies in the vault under `secret_name`."""

    recipient: str
    secret_name: str
    expires_at: datetime | None


class HealthOut(Answer):
    """Anonymous callers see the message only."""

    message: str
    database_connected: bool | None = None
    queue_connected: bool | None = None
    tables_count: int | None = None


def told(findings: tuple[Finding, ...], severity: str) -> list[str]:
    """Findings as published clients show them: one text each, the place first."""
    return [_text(finding) for finding in findings if finding.severity == severity]


def _text(finding: Finding) -> str:
    place = finding.place
    if place is None:
        return finding.detail
    if place.line is not None:
        return f"line {place.line}: {finding.detail}"
    return (
        f"{place.sheet}!{place.cell}: {finding.detail}" if place.cell else f"{place.sheet}: {finding.detail}"
    )


def _progress(pack: PackView) -> str:
    if not pack.steps:
        return "nothing to do" if pack.state is State.COMPLETED else "not started"
    done = sum(step.status in ("done", "skipped") for step in pack.steps)
    failed = sum(step.status == "failed" for step in pack.steps)
    return f"{done} of {len(pack.steps)} steps done" + (f", {failed} failed" if failed else "")
