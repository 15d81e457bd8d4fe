"""Which recipients' tokens end soon."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.adapters.postgres.database import Database
from shared.sql import sharing_query


@dataclass(frozen=True, slots=True)
class ExpiringToken:
    """A token by the platform's id of it, never its secret."""

    recipient: str
    workspace: str
    id: str
    expires_at: datetime


def expiring_tokens(database: Database, now: datetime) -> Sequence[ExpiringToken]:
    """Tokens that end within 30 days or ended within seven, the first to end first."""
    with database.connection() as connection:
        rows = connection.execute(sharing_query("tokens_expiring"), {"now": now}).fetchall()
    return [
        ExpiringToken(row["name"], row["workspace_url"], row["token_id"], row["token_expires_at"])
        for row in rows
    ]
