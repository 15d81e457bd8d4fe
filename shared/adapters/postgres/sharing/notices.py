"""Notices until they are delivered (`NoticeQueue` of shared.sharing.notices): one row a dedupe key and channel."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.adapters.postgres.database import Database
from shared.sharing.notices import Channel, Notice, Waiting
from shared.sql import sharing_query


class PostgresNotices:
    """Claimed notices are held for `lease_s` seconds, which must outlast a batch's delivery."""

    def __init__(self, database: Database, new_uid: Callable[[], UUID], *, lease_s: float = 300) -> None:
        self._database, self._new_uid, self._lease_s = database, new_uid, lease_s

    def add(self, notice: Notice, channels: Sequence[Channel], at: datetime) -> int:
        """Keep it for each channel that does not know its key; how many took it."""
        values = {
            "uids": [self._new_uid() for _ in channels],
            "channels": list(channels),
            "dedupe_key": notice.dedupe_key,
            "kind": notice.kind,
            "subject": notice.subject,
            "body": notice.text,
            "recipients": list(notice.recipients),
            "share_pack_id": notice.pack_id,
            "at": at,
        }
        with self._database.connection() as connection:
            return connection.execute(sharing_query("notice_add"), values).rowcount

    def claim(self, now: datetime, limit: int) -> Sequence[Waiting]:
        """What is due, held by this caller for the lease; no two callers get the same."""
        values = {"now": now, "limit": limit, "lease_s": self._lease_s}
        with self._database.connection() as connection:
            return [_waiting(row) for row in connection.execute(sharing_query("notice_claim"), values)]

    def conclude(self, uid: UUID) -> None:
        """Sent or given up: never handed out again."""
        with self._database.connection() as connection:
            connection.execute(sharing_query("notice_conclude"), {"uid": uid})

    def postpone(self, uid: UUID, until: datetime, *, counts: bool = True) -> None:
        """Not taken: due again then; `counts` False for one that was never tried."""
        with self._database.connection() as connection:
            connection.execute(
                sharing_query("notice_postpone"), {"uid": uid, "until": until, "counts": counts}
            )


def _waiting(row: Mapping[str, Any]) -> Waiting:
    notice = Notice(
        row["kind"],
        row["dedupe_key"],
        row["subject"],
        row["body"],
        tuple(row["recipients"]),
        row["share_pack_id"],
    )
    return Waiting(row["notice_uid"], row["channel"], notice, row["attempts"] - 1)
