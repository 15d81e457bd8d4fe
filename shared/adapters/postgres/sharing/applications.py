"""Applications: the processing of a share pack, from its queue message to its end. Leases run by PostgreSQL's clock.

Locks are taken in the order pack, application. A claim's writes check its epoch first; a stale holder is fenced.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from psycopg import sql
from psycopg.types.json import Jsonb

from shared.adapters.postgres.database import Connection, Database
from shared.adapters.postgres.outbox import Outbox, Send, drain
from shared.adapters.postgres.sharing import contributions, packs
from shared.adapters.postgres.sharing.versions import in_transaction
from shared.errors import AppError, ConflictError, FencedError
from shared.failpoints import hit
from shared.sharing.claims import (
    ApplicationState,
    Claim,
    ClaimAnswer,
    Decision,
    Ignore,
    Take,
    decide_claim,
)
from shared.sharing.model import Finding
from shared.sharing.ports import Contribution
from shared.sharing.redaction import redacted
from shared.sharing.views import Actor, State
from shared.sql import sharing_query
from shared.telemetry import traceparent

Also = Callable[[Connection], None]
Contributed = tuple[str, Sequence[Contribution]]
SERVICE = Actor("", "tributary", True, None)
RESEND_AFTER_S = 900


class Applications:
    """Applications of packs. `lease_s` is never below the function timeout."""

    def __init__(
        self, database: Database, *, lease_s: int, decide: Callable[..., Decision] = decide_claim
    ) -> None:
        self._database, self._lease_s, self._decide = database, lease_s, decide

    def claim(self, application_uid: UUID, message_id: str, dequeue_count: int) -> ClaimAnswer:
        """Claim the application a message names, or say why not; a scheduled pack begins."""
        hit("application.claim")
        names = {"application": application_uid}

        def work(connection: Connection) -> ClaimAnswer:
            row = connection.execute(sharing_query("application_pack"), names).fetchone()
            if row is None:
                return Ignore("no such application")
            pack = packs.lock(connection, row["share_pack_id"])
            row = connection.execute(sharing_query("application_claimable"), names).fetchone()
            assert row is not None, "applications are never deleted"
            state = ApplicationState(
                row["status"],
                row["next_attempt_at"],
                row["lease_until"],
                row["message_id"],
                row["dequeue_count"],
            )
            decision = self._decide(state, message_id, dequeue_count, row["now"])
            if not isinstance(decision, Take):
                return decision
            if pack["share_pack_status"] == State.SCHEDULED:
                packs.move(
                    connection, row["share_pack_id"], State.IN_PROGRESS, by=SERVICE, reason="its time came"
                )
            taken = names | {"message_id": message_id, "dequeue_count": dequeue_count}
            claimed = connection.execute(
                sharing_query("application_take"), taken | {"lease_s": self._lease_s}
            ).fetchone()
            assert claimed is not None
            return Claim(**claimed)

        answer = in_transaction(self._database, work)
        hit("application.claimed")
        return answer

    def renew(self, claim: Claim) -> None:
        """Hold on to the claim for another lease; raises FencedError where somebody else has it."""
        with self._database.connection() as connection:
            hold(connection, claim, self._lease_s)

    def finish(
        self,
        claim: Claim,
        state: State,
        *,
        reason: str,
        error: AppError | None = None,
        findings: Sequence[Finding] | None = None,
        contributed: Contributed | None = None,
    ) -> None:
        """End the application, its pack coming to `state` with what it contributes from now on, in one transaction.

        FAILED and PARTIAL can be resumed. Raises FencedError, with nothing written.
        """
        status = "done" if state is State.COMPLETED else "failed"

        def also(connection: Connection) -> None:
            if contributed is not None:
                workspace, wanted = contributed
                contributions.replace(connection, claim.share_pack_id, workspace, wanted)

        self._leave(claim, state, status, reason=reason, error=error, findings=findings, also=also)

    def await_approval(
        self,
        claim: Claim,
        *,
        reason: str,
        findings: Sequence[Finding] | None = None,
        also: Also | None = None,
    ) -> None:
        """Let go until somebody decides about the plan; `Plans.approve` queues it again."""
        self._leave(claim, State.AWAITING_APPROVAL, "waiting", reason=reason, findings=findings, also=also)

    def _leave(
        self,
        claim: Claim,
        state: State,
        status: str,
        *,
        reason: str,
        error: AppError | None = None,
        findings: Sequence[Finding] | None = None,
        also: Also | None = None,
    ) -> None:
        def work(connection: Connection) -> None:
            packs.lock(connection, claim.share_pack_id)
            hold(connection, claim, self._lease_s)
            message = redacted(error.message) if error else ""
            packs.move(
                connection,
                claim.share_pack_id,
                state,
                by=SERVICE,
                reason=reason,
                error_message=message,
                findings=findings,
            )
            if also is not None:
                also(connection)
            self._let_go(connection, claim, status, error)
            hit("application.before_commit")

        in_transaction(self._database, work)
        hit("application.after_commit")

    def back_off(self, claim: Claim, error: AppError, delay_s: int) -> None:
        """Queue the application again after a transient failure, its message in the outbox; raises FencedError."""
        with self._database.connection() as connection:
            hold(connection, claim, self._lease_s)
            self._let_go(connection, claim, "queued", error, delay_s=delay_s)
            enqueue(connection, claim.application_uid, delay_s=delay_s)

    def _let_go(
        self, connection: Connection, claim: Claim, status: str, error: AppError | None, delay_s: int = 0
    ) -> None:
        body = {"code": error.code, "message": error.message, "hint": error.hint} if error else None
        connection.execute(sharing_query("application_leave"), {
            "application": claim.application_uid, "status": status, "delay_s": delay_s,
            "failed": status == "queued" and error is not None, "error": Jsonb(redacted(body)) if body else None,
        })  # fmt: skip

    def hand_on(self, claim: Claim, delay_s: int = 0) -> None:
        """Queue the application again though nothing failed: this delivery's time is up, or another pack goes first.

        Raises FencedError.
        """
        with self._database.connection() as connection:
            hold(connection, claim, self._lease_s)
            self._let_go(connection, claim, "queued", None, delay_s=delay_s)
            enqueue(connection, claim.application_uid, delay_s=delay_s)

    def remind(self) -> int:
        """Put messages into the outbox for what is due, held by nobody and without a message of late; how many."""
        with self._database.connection() as connection:
            rows = connection.execute(
                sharing_query("applications_stale"), {"after_s": RESEND_AFTER_S}
            ).fetchall()
            for row in rows:
                enqueue(connection, row["application_uid"])
        return len(rows)

    def send_outbox(self, send: Send) -> int:
        """Send what waits and say how many; raises QueueUnavailableError, the rows staying."""
        return drain(self._database, send, _OUTBOX)


def _body(row: Mapping[str, Any]) -> str:
    body = {"v": 1, "id": str(row["application_uid"]), "traceparent": row["traceparent"] or ""}
    return json.dumps(body, separators=(",", ":"))


_OUTBOX = Outbox(
    sql.Composed([sql.SQL(sharing_query("outbox_take"))]),
    sql.Composed([sql.SQL(sharing_query("outbox_sent"))]),
    _body,
)


def hold(connection: Connection, claim: Claim, lease_s: int) -> None:
    """Keep the claim until the transaction ends, and renew it; raises FencedError where it is somebody else's."""
    held = {"application": claim.application_uid, "epoch": claim.epoch, "lease_s": lease_s}
    if connection.execute(sharing_query("application_hold"), held).fetchone() is None:
        raise FencedError(f"application {claim.application_uid}: belongs to another delivery now")


def enqueue(
    connection: Connection, application_uid: UUID, *, due_at: datetime | None = None, delay_s: int = 0
) -> None:
    """The application's message, sent once the transaction is committed."""
    values = {"application": application_uid, "due_at": due_at, "delay_s": delay_s}
    connection.execute(sharing_query("outbox_insert"), values | {"traceparent": traceparent()})


def start(connection: Connection, pack_id: UUID, version: int, start_at: datetime | None, by: Actor) -> UUID:
    """A new application of the pack's version and its message; its uid. ConflictError while another is unfinished."""
    newest = connection.execute(sharing_query("application_newest"), {"share_pack_id": pack_id}).fetchone()
    if newest and newest["status"] in ("queued", "running", "waiting"):
        raise ConflictError(
            f"share pack {pack_id}: is being applied", hint="wait for its end, or cancel it first"
        )
    uid = uuid4()
    connection.execute(sharing_query("application_insert"), {
        "application": uid, "share_pack_id": pack_id, "version": version, "start_at": start_at, "by": by.name,
    })  # fmt: skip
    enqueue(connection, uid, due_at=start_at)
    return uid


def resume(connection: Connection, pack_id: UUID, start_at: datetime | None = None) -> UUID | None:
    """Queue the pack's last application again, its journal kept; its uid, None where there is none."""
    newest = connection.execute(sharing_query("application_newest"), {"share_pack_id": pack_id}).fetchone()
    if newest is None:
        return None
    uid: UUID = newest["application_uid"]
    connection.execute(sharing_query("application_again"), {"application": uid, "start_at": start_at})
    enqueue(connection, uid, due_at=start_at)
    return uid
