"""Plans, and what was decided about them. A decision signs the hash of the newest plan of its pack."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from psycopg import errors as pg
from psycopg.types.json import Jsonb

from shared.adapters.postgres.database import Connection, Database
from shared.adapters.postgres.sharing import applications, contributions, packs, records
from shared.adapters.postgres.sharing.packs import Packs
from shared.adapters.postgres.sharing.records import Act, Tenants
from shared.adapters.postgres.sharing.versions import in_transaction
from shared.errors import ConflictError, ForbiddenError, NotFoundError
from shared.sharing.claims import Claim
from shared.sharing.ports import Contribution
from shared.sharing.records import Decision, StoredPlan
from shared.sharing.redaction import redacted
from shared.sharing.views import Actor, State
from shared.sql import sharing_query


class Plans:
    """Plans of packs, and their approvals."""

    def __init__(self, database: Database, *, lease_s: int) -> None:
        self._database, self._lease_s = database, lease_s

    def keep(self, claim: Claim, plan_hash: str, document: Mapping[str, Any], *, widens: bool) -> UUID:
        """Keep the plan of a claimed application as its newest; the same hash again is the same plan.

        Raises FencedError for a stale claim.
        """
        with self._database.connection() as connection:
            applications.hold(connection, claim, self._lease_s)
            row = connection.execute(sharing_query("plan_keep"), {
                "plan": uuid4(), "application": claim.application_uid, "plan_hash": plan_hash,
                "document": Jsonb(dict(document)), "widens": widens,
            }).fetchone()  # fmt: skip
            assert row is not None, "a claimed application has a pack"
            uid: UUID = row["plan_uid"]
            return uid

    def newest(self, pack_id: UUID, tenants: Tenants) -> StoredPlan:
        """The pack's newest plan with its decision; raises NotFoundError."""
        values = {"share_pack_id": pack_id, "tenants": None if tenants is None else sorted(tenants)}
        with self._database.connection() as connection:
            row = connection.execute(sharing_query("plan_newest"), values).fetchone()
        if row is None:
            raise NotFoundError(f"share pack {pack_id}: has no plan yet", hint="ask again once it is planned")
        return _plan(row)

    def begin(
        self, claim: Claim, plan_hash: str, contributed: tuple[str, Sequence[Contribution]] | None = None
    ) -> None:
        """From now on the application's journal is about this plan, and the pack contributes `contributed`.

        Raises FencedError, with nothing written.
        """

        def work(connection: Connection) -> None:
            applications.hold(connection, claim, self._lease_s)
            names = {"application": claim.application_uid, "plan_hash": plan_hash}
            connection.execute(sharing_query("plan_begin"), names)
            if contributed is not None:
                contributions.replace(connection, claim.share_pack_id, *contributed)

        in_transaction(self._database, work)

    def begun(self, application_uid: UUID) -> StoredPlan | None:
        """The plan that the application's journal is about; None where nothing was begun."""
        with self._database.connection() as connection:
            row = connection.execute(sharing_query("plan_begun"), {"application": application_uid}).fetchone()
        return _plan(row) if row else None

    def abandon(self, claim: Claim) -> None:
        """Forget the plan that was begun and its journal, so that another can be made; raises FencedError."""
        with self._database.connection() as connection:
            applications.hold(connection, claim, self._lease_s)
            connection.execute(sharing_query("plan_abandon"), {"application": claim.application_uid})

    def is_approved(self, application_uid: UUID, plan_hash: str) -> bool:
        """Whether somebody approved exactly this plan for this application."""
        values = {"application": application_uid, "plan_hash": plan_hash}
        with self._database.connection() as connection:
            row = connection.execute(sharing_query("plan_approved"), values).fetchone()
        return bool(row and row["approved"])

    def make_again(self, pack_id: UUID, tenants: Tenants, *, by: Actor) -> None:
        """Have a plan that waits for an approval made anew; raises ConflictError where none waits."""
        Packs(self._database).get(pack_id, tenants)

        def work(connection: Connection) -> None:
            pack = packs.lock(connection, pack_id)
            _require_waiting(pack)
            packs.move(connection, pack_id, State.IN_PROGRESS, by=by, reason="the workspace has changed")
            applications.resume(connection, pack_id, pack["start_at"])

        in_transaction(self._database, work)

    def approve(self, pack_id: UUID, tenants: Tenants, plan_hash: str, *, by: Actor) -> None:
        """Let the pack's newest plan be applied, and queue that.

        Raises NotFoundError; ConflictError for a pack that waits for no approval or a hash that is not its newest
        plan's; ForbiddenError for whoever asked for the pack or uploaded it.
        """
        self._decide(pack_id, tenants, "approved", by, plan_hash, "approved")

    def reject(self, pack_id: UUID, tenants: Tenants, reason: str, *, by: Actor) -> None:
        """Refuse the pack's newest plan; the same errors."""
        self._decide(pack_id, tenants, "rejected", by, None, reason)

    def _decide(
        self,
        pack_id: UUID,
        tenants: Tenants,
        decision: Decision,
        by: Actor,
        plan_hash: str | None,
        reason: str,
    ) -> None:
        Packs(self._database).get(pack_id, tenants)
        try:
            in_transaction(self._database, lambda c: _decide(c, pack_id, decision, by, plan_hash, reason))
        except pg.CheckViolation:
            raise _not_you() from None


def _decide(
    connection: Connection, pack_id: UUID, decision: Decision, by: Actor, plan_hash: str | None, reason: str
) -> None:
    pack = packs.lock(connection, pack_id)
    name = pack["share_pack_name"]
    _require_waiting(pack)
    row = connection.execute(
        sharing_query("plan_newest"), {"share_pack_id": pack_id, "tenants": None}
    ).fetchone()
    if row is None or row["decision"] is not None or plan_hash not in (None, row["plan_hash"]):
        raise ConflictError(
            f"share pack {name}: the plan is another one now",
            hint="read GET .../plan again, and approve its PlanHash",
        )
    connection.execute(sharing_query("approval_insert"), {
        "approval": uuid4(), "plan": row["plan_uid"], "decision": decision, "approver_oid": by.subject,
        "approver_name": by.name, "reason": redacted(reason) if decision == "rejected" else None,
    })  # fmt: skip
    records.append(connection, Act(
        by.name, f"plan.{decision}", name, by.subject, tenant=pack["business_line"], share_pack_id=pack_id,
        plan_hash=row["plan_hash"], reason=reason,
    ))  # fmt: skip
    if decision == "rejected":
        packs.move(connection, pack_id, State.REJECTED, by=by, reason=reason, error_message=reason)
        connection.execute(sharing_query("application_cancel"), {"share_pack_id": pack_id})
    else:
        packs.move(connection, pack_id, State.IN_PROGRESS, by=by, reason="approved")
        applications.resume(connection, pack_id, pack["start_at"])


def _require_waiting(pack: Mapping[str, Any]) -> None:
    if pack["share_pack_status"] != State.AWAITING_APPROVAL:
        raise ConflictError(
            f"share pack {pack['share_pack_name']}: is {pack['share_pack_status']}, nothing waits for an approval",
            hint="GET /workflow/sharepack/{id} says where it stands",
        )


def _not_you() -> ForbiddenError:
    return ForbiddenError(
        "approval: whoever asked for a share pack or uploaded it cannot decide about it",
        hint="ask another approver",
    )


def _plan(row: Mapping[str, Any]) -> StoredPlan:
    return StoredPlan(**{name: row[name] for name in StoredPlan.__dataclass_fields__})
