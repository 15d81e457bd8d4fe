"""Lists: `?limit=&cursor=` in, `{"items", "next_cursor"}` out."""

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel

from shared.errors import InvalidError

T = TypeVar("T")
Limit = Annotated[int, Query(ge=1, le=500, description="how many items at most")]
Cursor = Annotated[str | None, Query(max_length=512, description="next_cursor of the page before")]


class Page(BaseModel, Generic[T]):
    """One page; `next_cursor` is null on the last one."""

    items: list[T]
    next_cursor: str | None = None


def cut(rows: Sequence[T], limit: int) -> tuple[list[T], bool]:
    """The page's rows out of `limit + 1` asked for, and whether more follow."""
    return list(rows[:limit]), len(rows) > limit


def uid_cursor(cursor: str | None) -> UUID | None:
    """The uid that a cursor stands for; raises InvalidError."""
    if cursor is None:
        return None
    try:
        return UUID(cursor)
    except ValueError:
        raise _invalid() from None


def pack_moment(at: datetime, uid: UUID) -> str:
    """A cursor for lists in order of time."""
    return base64.urlsafe_b64encode(f"{at.isoformat()}|{uid}".encode()).decode()


def moment_cursor(cursor: str | None) -> tuple[datetime, UUID] | None:
    """What `pack_moment` packed; raises InvalidError."""
    if cursor is None:
        return None
    try:
        at, _, uid = base64.b64decode(cursor, altchars=b"-_", validate=True).decode().partition("|")
        return datetime.fromisoformat(at), UUID(uid)
    except (ValueError, binascii.Error):
        raise _invalid() from None


def _invalid() -> InvalidError:
    return InvalidError(
        "cursor: not one of ours",
        [("cursor", "not a next_cursor of this list")],
        hint="start without a cursor",
    )
