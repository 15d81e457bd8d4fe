"""Share packs as they stand: read, listed, their versions, and the one way in which their state changes.

Every read takes the tenants that its caller sees (None: all); what belongs to another is not there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from shared.adapters.postgres.database import Connection, Database
from shared.adapters.postgres.sharing import records, versions
from shared.adapters.postgres.sharing.records import Act, Tenants
from shared.adapters.postgres.sharing.versions import SHARE_PACKS, Change, in_transaction
from shared.errors import NotFoundError
from shared.sharing.errors import StoredPackError
from shared.sharing.lifecycle import require_follows
from shared.sharing.model import Finding, SharePack
from shared.sharing.stored import from_document
from shared.sharing.views import OPEN, Actor, PackView, State, StepView, VersionView
from shared.sql import sharing_query


class Packs:
    """The share packs of one installation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, pack_id: UUID, tenants: Tenants) -> PackView:
        """The pack; raises NotFoundError."""
        found = self.page(tenants, share_pack_id=pack_id, limit=1)
        if not found:
            raise not_found(pack_id)
        return found[0]

    def page(
        self,
        tenants: Tenants,
        *,
        share_pack_id: UUID | None = None,
        tenant: str | None = None,
        state: State | None = None,
        requestor: str | None = None,
        limit: int = 100,
        after: tuple[datetime, UUID] | None = None,
    ) -> list[PackView]:
        """Packs, newest first, those after `created_at` and `id` of the last one of the page before."""
        at, after_id = after or (None, None)
        values = {
            "tenants": None if tenants is None else sorted(tenants),
            "share_pack_id": share_pack_id,
            "business_line": tenant,
            "state": state,
            "requestor": requestor,
            "limit": limit,
            "after_at": at,
            "after_id": after_id,
        }
        with self._database.connection() as connection:
            return [_view(row) for row in connection.execute(sharing_query("packs_select"), values)]

    def history(self, pack_id: UUID, tenants: Tenants) -> list[VersionView]:
        """Its versions, newest first; raises NotFoundError."""
        self.get(pack_id, tenants)
        with self._database.connection() as connection:
            return [_version(row) for row in versions.versions(connection, SHARE_PACKS, pack_id)]

    def content(self, pack_id: UUID, version: int | None = None) -> SharePack:
        """What was uploaded, as the version (None: the current one) has it; raises NotFoundError."""
        with self._database.connection() as connection:
            if version is None:
                row = versions.as_of(connection, SHARE_PACKS, pack_id)
            else:
                row = versions.numbered(connection, SHARE_PACKS, pack_id, version)
        if row is None:
            raise not_found(pack_id)
        return content_of(row["config"])

    def set_state(
        self,
        pack_id: UUID,
        state: State,
        *,
        by: Actor,
        reason: str,
        error_message: str = "",
        findings: Sequence[Finding] | None = None,
    ) -> None:
        """Bring the pack to `state`, as a version with a line in the audit trail.

        Raises NotFoundError, and ConflictError where the state may not follow. Applications change the state of
        their pack by themselves; this is for what no application is about.
        """
        in_transaction(
            self._database,
            lambda c: move(
                c, pack_id, state, by=by, reason=reason, error_message=error_message, findings=findings
            ),
        )

    def cancel(self, pack_id: UUID, tenants: Tenants, *, by: Actor, reason: str) -> None:
        """Stop the pack: what works on it is fenced at its next step, and what it did already stays.

        Raises NotFoundError, and ConflictError for a pack that is finished.
        """
        self.get(pack_id, tenants)

        def work(connection: Connection) -> None:
            move(connection, pack_id, State.CANCELLED, by=by, reason=reason, error_message=reason)
            connection.execute(sharing_query("application_cancel"), {"share_pack_id": pack_id})

        in_transaction(self._database, work)


def move(
    connection: Connection,
    pack_id: UUID,
    state: State,
    *,
    by: Actor,
    reason: str,
    error_message: str = "",
    findings: Sequence[Finding] | None = None,
    content: Mapping[str, Any] | None = None,
) -> Mapping[str, Any]:
    """The same in the caller's transaction; the pack as it was. Takes the pack's lock, before any application's row."""
    before = lock(connection, pack_id)
    if before["share_pack_status"] != state or state not in OPEN:
        require_follows(state_of(before["share_pack_status"]), state, before["share_pack_name"])
    wanted = {"share_pack_status": state.value, "error_message": error_message or None, **(content or {})}
    if findings is not None:
        wanted |= told(findings)
    written = versions.write(connection, SHARE_PACKS, [Change(pack_id, wanted)], by=by.name, reason=reason)
    if written:
        records.append(connection, Act(
            actor=by.name, actor_oid=by.subject, action=f"share_pack.{state.value.lower()}",
            target=before["share_pack_name"], tenant=before["business_line"], share_pack_id=pack_id,
            before={"state": before["share_pack_status"], "version": before["version"]},
            after={"state": state.value, "version": written[0].version.version, "error": error_message or None},
            reason=reason,
        ))  # fmt: skip
    return before


def lock(connection: Connection, pack_id: UUID) -> Mapping[str, Any]:
    """The current version, kept from changing until the transaction ends; raises NotFoundError."""
    versions.lock(connection, SHARE_PACKS, [pack_id])
    row = versions.as_of(connection, SHARE_PACKS, pack_id)
    if row is None or row["is_deleted"]:
        raise not_found(pack_id)
    return row


def told(findings: Sequence[Finding]) -> dict[str, list[dict[str, Any]]]:
    """Findings as a pack keeps them."""
    return {
        f"validation_{severity}s": [asdict(f) for f in findings if f.severity == severity]
        for severity in ("error", "warning")
    }


def content_of(document: Any) -> SharePack:
    """What was stored; raises NotFoundError for a predecessor's document, which is none."""
    try:
        return from_document(document)
    except StoredPackError:
        raise NotFoundError(
            "share pack: its stored content is of another release", hint="upload the file again"
        ) from None


def not_found(pack_id: UUID) -> NotFoundError:
    """The same words for what isn't there and what isn't the caller's."""
    return NotFoundError(
        f"share pack {pack_id}: not found", hint="GET /workflow/sharepacks lists what there is"
    )


def state_of(stored: str | None) -> State:
    """The stored state; a predecessor's own words are those of packs that nothing works on any more."""
    return State(stored) if stored in set(State) else State.FAILED


def _view(row: Mapping[str, Any]) -> PackView:
    findings = [*(row["validation_errors"] or ()), *(row["validation_warnings"] or ())]
    return PackView(
        id=row["share_pack_id"],
        name=row["share_pack_name"] or "",
        state=state_of(row["share_pack_status"]),
        strategy=row["strategy"] or "NEW",
        version=row["version"],
        tenant=row["business_line"] or "",
        workspace=row["workspace_url"] or "",
        requested_by=row["requestor"] or "",
        uploaded_by=row["uploaded_by"] or "",
        created_at=row["requested_at"],
        updated_at=row["effective_from"],
        error_message=row["error_message"] or "",
        findings=tuple(msgspec.convert(findings, list[Finding])),
        steps=tuple(StepView(**step) for step in row["steps"]),
    )


def _version(row: Mapping[str, Any]) -> VersionView:
    return VersionView(
        version=row["version"],
        state=state_of(row["share_pack_status"]),
        changed_by=row["created_by"],
        reason=row["change_reason"],
        effective_from=row["effective_from"],
        effective_to=row["effective_to"],
    )
