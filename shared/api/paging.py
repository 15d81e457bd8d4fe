"""Lists: `?limit=&cursor=` in, `{"items", "next_cursor"}` out."""

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Protocol, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel

from shared.errors import InvalidError

T = TypeVar("T")
Limit = Annotated[int, Query(ge=1, le=500, description="how many items at most")]
Cursor = Annotated[str | None, Query(max_length=512, description="next_cursor of the page before")]
Status = Annotated[
    str | None, Query(max_length=20, pattern="^[a-z]+$", description="only those with this status")
]


class Page(BaseModel, Generic[T]):
    """One page; `next_cursor` is null on the last one."""

    items: list[T]
    next_cursor: str | None = None


def cut(rows: Sequence[T], limit: int) -> tuple[list[T], bool]:
    """The page's rows out of `limit + 1` asked for, and whether more follow."""
    return list(rows[:limit]), len(rows) > limit


class Dated(Protocol):
    """An item of a list in order of time."""

    uid: UUID
    created_at: datetime


D = TypeVar("D", bound=Dated)


def page_by_moment(
    found: Sequence[Mapping[str, Any]], limit: int, shown: Callable[[Mapping[str, Any]], D]
) -> "Page[D]":  # quoted: pydantic, asked for a page of Protocols, would refuse
    """The page out of `limit + 1` rows asked for, newest first; `shown` makes an item of a row."""
    rows, more = cut(found, limit)
    items = [shown(row) for row in rows]
    last = pack_moment(items[-1].created_at, items[-1].uid) if more else None
    return Page(items=items, next_cursor=last)


def pack_uid(uid: UUID) -> str:
    """A cursor for lists in order of creation."""
    return _pack("u", str(uid))


def uid_cursor(cursor: str | None) -> UUID | None:
    """What `pack_uid` packed; raises InvalidError."""
    if cursor is None:
        return None
    try:
        return UUID(_unpack("u", cursor))
    except ValueError:
        raise _invalid() from None


def pack_name(name: str) -> str:
    """A cursor for lists in order of names."""
    return _pack("n", name)


def name_cursor(cursor: str | None) -> str | None:
    """What `pack_name` packed; raises InvalidError."""
    if cursor is None:
        return None
    name = _unpack("n", cursor)
    if not name or not name.isprintable():
        raise _invalid()
    return name


def pack_moment(at: datetime, uid: UUID) -> str:
    """A cursor for lists in order of time."""
    return _pack("m", f"{at.isoformat()}|{uid}")


def moment_cursor(cursor: str | None) -> tuple[datetime, UUID] | None:
    """What `pack_moment` packed; raises InvalidError."""
    if cursor is None:
        return None
    try:
        at, _, uid = _unpack("m", cursor).partition("|")
        moment = datetime.fromisoformat(at)
        moment.astimezone(UTC)  # a moment at the end of time fits no other zone
        return moment, UUID(uid)
    except (ValueError, OverflowError):
        raise _invalid() from None


def _pack(kind: str, text: str) -> str:
    # The kind keeps one list's cursor from being read as another's.
    return base64.urlsafe_b64encode(f"{kind}{text}".encode()).decode()


def _unpack(kind: str, cursor: str) -> str:
    try:
        text = base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
    except ValueError:
        raise _invalid() from None
    if text[:1] != kind:
        raise _invalid()
    return text[1:]


def _invalid() -> InvalidError:
    return InvalidError(
        "cursor: not one of ours",
        [("cursor", "not a next_cursor of this list")],
        hint="start without a cursor",
    )
