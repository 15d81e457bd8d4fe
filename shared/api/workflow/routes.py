"""Routes of share packs: uploaded, looked at, decided about."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, File, Header, Path, Query, UploadFile

from shared.api.access import Approver, Operator, Reader
from shared.api.paging import Cursor, Limit, cut, moment_cursor, pack_moment
from shared.api.workflow.access import Services, actor
from shared.api.workflow.answers import (
    DoneOut,
    ExposureOut,
    ExposuresOut,
    HistoryOut,
    PacksOut,
    PlanOut,
    StatusOut,
    TokenOut,
    UploadOut,
    UploadsOut,
    VersionOut,
)
from shared.api.workflow.bodies import AdoptBody, ApproveBody, ReasonBody, RollbackBody, RotateBody
from shared.api.workflow.uploads import answer_one, answer_several
from shared.sharing.views import State

router = APIRouter(prefix="/workflow", tags=["share packs"])
WorkspaceUrl = Annotated[str, Header(alias="X-Workspace-URL", min_length=1, max_length=2000)]
# What is no name is nowhere: it must not become part of a path.
RecipientName = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,255}$")]
StateFilter = Annotated[State | None, Query(alias="state", description="only those in this state")]


@router.post("/sharepack/upload", status_code=202, response_model_exclude_none=True)
def upload(
    *,
    caller: Operator,
    services: Services,
    files: Annotated[list[UploadFile], File(alias="file", description="YAML or Excel")],
    workspace_url: WorkspaceUrl,
    dry_run: bool = False,
) -> UploadOut | UploadsOut:
    """Take a share pack in; with `dry_run` plan it and keep nothing. Several files get one result each."""
    who = actor(caller)
    if len(files) == 1:
        return answer_one(services.workflow, who, workspace_url, files[0], dry_run=dry_run)
    return answer_several(services.workflow, who, workspace_url, files, dry_run=dry_run)


@router.get("/sharepacks")
def list_packs(
    *,
    caller: Reader,
    services: Services,
    state: StateFilter = None,
    business_line: Annotated[str | None, Query(max_length=255)] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> PacksOut:
    """The share packs of the caller's business lines, newest first."""
    found = services.workflow.packs(
        actor(caller), state=state, tenant=business_line, limit=limit + 1, after=moment_cursor(cursor)
    )
    packs, more = cut(found, limit)
    last = pack_moment(packs[-1].created_at, packs[-1].id) if more else None
    return PacksOut(items=[StatusOut.of(pack) for pack in packs], next_cursor=last)


@router.get("/sharepack/{pack_id}")
def status(pack_id: UUID, caller: Reader, services: Services) -> StatusOut:
    """Where a share pack stands."""
    return StatusOut.of(services.workflow.pack(actor(caller), pack_id))


@router.get("/sharepack/{pack_id}/history")
def history(pack_id: UUID, caller: Reader, services: Services) -> HistoryOut:
    """Its versions, newest first; all on one page."""
    return HistoryOut(
        items=[VersionOut.of(version) for version in services.workflow.history(actor(caller), pack_id)]
    )


@router.get("/sharepack/{pack_id}/plan")
def plan(pack_id: UUID, caller: Reader, services: Services) -> PlanOut:
    """What applying it would do, or did."""
    return PlanOut.of(services.workflow.plan(actor(caller), pack_id))


@router.post("/sharepack/{pack_id}/approve", status_code=202)
def approve(pack_id: UUID, body: ApproveBody, caller: Approver, services: Services) -> DoneOut:
    """Sign the plan with this hash; 409 where the workspace has moved on since."""
    done = services.workflow.approve(actor(caller), pack_id, body.plan_hash)
    said = "approved; it is applied now"
    if not done.is_seen:
        said = "approved; looking at the workspace took too long, so that is done before anything is changed"
    return DoneOut(message=said, share_pack_id=pack_id, status=done.state.status)


@router.post("/sharepack/{pack_id}/reject")
def reject(pack_id: UUID, body: ReasonBody, caller: Approver, services: Services) -> DoneOut:
    """End it without a write."""
    state = services.workflow.reject(actor(caller), pack_id, body.reason)
    return DoneOut(message="rejected", share_pack_id=pack_id, status=state.status)


@router.post("/sharepack/{pack_id}/cancel")
def cancel(pack_id: UUID, body: ReasonBody, caller: Operator, services: Services) -> DoneOut:
    """Stop it before its next step; what was done stays."""
    state = services.workflow.cancel(actor(caller), pack_id, body.reason)
    return DoneOut(message="cancelled", share_pack_id=pack_id, status=state.status)


@router.post("/sharepack/{pack_id}/rollback", status_code=202)
def rollback(pack_id: UUID, body: RollbackBody, caller: Approver, services: Services) -> DoneOut:
    """Plan forward to an earlier version; it goes through approval like any other plan."""
    done = services.workflow.rollback(actor(caller), pack_id, body.version, body.reason)
    said = "; ".join((f"going back to version {body.version}", *done.stays))
    return DoneOut(message=said, share_pack_id=pack_id, status=done.state.status)


@router.get("/exposure")
def exposure(
    *,
    caller: Reader,
    services: Services,
    table: Annotated[str, Query(max_length=1000, description="catalog.schema.table")],
    at: Annotated[datetime | None, Query(description="a moment with its offset; now where left out")] = None,
) -> ExposuresOut:
    """Who can read a table now, or could at a moment in the past."""
    moment, seen = services.workflow.exposure(actor(caller), table, at)
    return ExposuresOut(table=table.lower(), at=moment, items=[ExposureOut.of(each) for each in seen])


@router.post("/adopt")
def adopt(body: AdoptBody, workspace_url: WorkspaceUrl, caller: Approver, services: Services) -> DoneOut:
    """Take shares and recipients that exist already into ownership; the workspace is only read."""
    taken = services.workflow.adopt(actor(caller), workspace_url, body.shares, body.recipients)
    return DoneOut(message=f"adopted: {', '.join(taken) or 'nothing that was not ours already'}")


@router.post("/recipients/{name}/rotate-token")
def rotate_token(
    name: RecipientName,
    workspace_url: WorkspaceUrl,
    caller: Operator,
    services: Services,
    body: RotateBody | None = None,
) -> TokenOut:
    """Give an open recipient a new token; its activation link goes to the vault."""
    kept = body.existing_token_expire_in_seconds if body else 0
    token = services.workflow.rotate_token(actor(caller), workspace_url, name, old_expires_in_s=kept)
    return TokenOut(recipient=token.recipient, secret_name=token.secret_name, expires_at=token.expires_at)
