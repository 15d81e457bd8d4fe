"""A run as the management interface shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class RunError:
    """Why a run failed or ended partial."""

    code: str
    message: str
    hint: str = ""

    @classmethod
    def told(cls, stored: Mapping[str, Any] | None) -> "RunError | None":
        """The error as it is stored with a run; None where there is none."""
        return None if stored is None else cls(stored["code"], stored["message"], stored.get("hint", ""))


@dataclass(frozen=True, slots=True)
class RunView:
    """A run, its counters summed over its slices.

    fetched = inserted + updated + unchanged + superseded + rejected + held. `purpose` says what the run is for: delta,
    sweep, refresh, retry, window, backfill, rehash or verify. The interface answers with this very class, so that
    its fields stand in one list.
    """

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
    error: RunError | None
    requested_by: str
    purpose: str
