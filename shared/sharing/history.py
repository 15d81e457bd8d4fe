"""Slowly changing dimensions, type 2: what a write does to an entity's versions. Decisions only; adapters act.

An entity has one current version, open to the end of time; every other version ends where the next begins.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

_STEP = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Current:
    """The current version of an entity as it is stored."""

    version: int
    effective_from: datetime
    is_deleted: bool
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NewVersion:
    """The version to open at `effective_from`, where the current one, if any, ends."""

    version: int
    effective_from: datetime
    is_deleted: bool
    content: Mapping[str, Any]


def next_version(
    current: Current | None, content: Mapping[str, Any], now: datetime, *, deleted: bool = False
) -> NewVersion | None:
    """The version that makes `content` true, or None where it is so already.

    Columns absent from `content` stay as they are. `now` is read after the entity's lock was taken; where a clock
    went back, or two changes share an instant, the version begins just after its predecessor did.
    """
    if current is None:
        return None if deleted else NewVersion(1, now, False, dict(content))
    merged = {**current.content, **content}
    if current.is_deleted == deleted and (deleted or _plain(merged) == _plain(current.content)):
        return None
    return NewVersion(current.version + 1, no_earlier(now, current.effective_from), deleted, merged)


def no_earlier(now: datetime, predecessor: datetime) -> datetime:
    """`now`, but later than the predecessor's begin, since an interval is never empty or turned round."""
    return max(now, predecessor + _STEP)


def _plain(value: Any) -> Any:
    """The value as it comes back from JSON: a tuple there is a list."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value
