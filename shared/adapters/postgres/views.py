"""A run as the management interface shows it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class RunView:
    """One run; counters are sums over its slices."""

    uid: UUID
    entity_uid: UUID
    strategy: str
    trigger: str
    status: str
    attempt: int
    slices: int
    started_at: datetime | None
    completed_at: datetime | None
    fetched: int
    inserted: int
    updated: int
    unchanged: int
    superseded: int
    rejected: int
    held: int
    released: int
    soft_deleted: int
    watermark_start: str | None
    watermark_end: str | None
    error: dict[str, Any] | None
    requested_by: str
