"""The audit trail: who did what to what, with what it was before and after, credentials out."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from shared.adapters.postgres.database import Connection, Database
from shared.sharing.redaction import redacted
from shared.sql import sharing_query

Tenants = frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Act:
    """One line of the trail. `tenant` decides who may read it: None is for those who see all tenants."""

    actor: str
    action: str
    target: str
    actor_oid: str | None = None
    tenant: str | None = None
    share_pack_id: UUID | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    plan_hash: str | None = None
    reason: str | None = None


def append(connection: Connection, act: Act) -> None:
    """Append in the caller's transaction; `before`, `after` and `reason` are redacted here, whatever came in."""
    connection.execute(sharing_query("audit_append"), {
        "actor": act.actor, "actor_oid": act.actor_oid, "action": act.action, "target": act.target,
        "business_line": act.tenant, "share_pack_id": act.share_pack_id, "before": _kept(act.before),
        "after": _kept(act.after), "plan_hash": act.plan_hash, "reason": redacted(act.reason),
    })  # fmt: skip


def _kept(value: Mapping[str, Any] | None) -> Jsonb | None:
    return None if value is None else Jsonb(redacted(value))


class Audit:
    """The trail, for those who act outside another store's transaction, and for reading."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, act: Act) -> None:
        """Append one line, committed."""
        with self._database.connection() as connection:
            append(connection, act)

    def entries(
        self,
        tenants: Tenants,
        *,
        share_pack_id: UUID | None = None,
        action: str | None = None,
        limit: int = 100,
        after: tuple[datetime, UUID] | None = None,
    ) -> list[Mapping[str, Any]]:
        """Lines the caller may see, newest first, those after the moment and audit_id of the page before."""
        at, after_id = after or (None, None)
        values = {
            "tenants": None if tenants is None else sorted(tenants),
            "share_pack_id": share_pack_id,
            "action": action,
            "limit": limit,
            "after_at": at,
            "after_id": after_id,
        }
        with self._database.connection() as connection:
            return list(connection.execute(sharing_query("audit_select"), values))
