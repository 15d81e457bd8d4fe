"""What directory syncs decide, without asking anybody: who is due, what a change says, what may be removed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Literal, TypeVar

from shared.errors import ConfigurationError
from shared.sharing.directory_errors import RemovalGuardError
from shared.sharing.directory_ports import DeltaItem, Entity, Group, Kind, LastJob, User

EVERY: Mapping[Kind, timedelta] = {
    "users": timedelta(hours=1),
    "groups": timedelta(hours=1),
    "workspace_objects": timedelta(hours=6),
    "job_metrics": timedelta(hours=1),
    "project_costs": timedelta(days=1),
}
REMOVAL_FLOOR = 10  # records; up to here a share says nothing
REMOVAL_PERCENT = 10.0
MAX_FAILURES = 5
_DELAY_S, _MAX_DELAY_S = 60.0, 3600.0

Source = TypeVar("Source")


@dataclass(frozen=True, slots=True)
class Removals:
    """What a walk would remove: `due` of `live` records, after `received` ones came."""

    due: int
    live: int
    received: int
    full: bool


def judge_removals(removals: Removals, what: str, allowed: int | None) -> None:
    """Refuse a suspicious removal with RemovalGuardError; `allowed` is a person's one-shot ceiling."""
    due, live = removals.due, removals.live
    if due == 0 or (allowed is not None and due <= allowed):
        return
    share = 100 * due / max(live, 1)
    empty = removals.full and removals.received == 0
    if empty or (due > REMOVAL_FLOOR and share > REMOVAL_PERCENT):
        raise RemovalGuardError(
            f"{what}: {due} of {live} records would be removed ({share:.1f} %), after {removals.received} were"
            " received; nothing was removed",
            hint=f'if that is right, POST /workflow/sync/{what} with {{"AllowRemovals": {due}}}',
        )


def is_due(last: LastJob | None, kind: Kind, now: datetime) -> bool:
    """Whether a job of this kind should be queued; never beside an unfinished one."""
    return last is None or (last.finished and now - last.requested_at >= EVERY[kind])


def retry_delay_s(failures: int, wish_s: float | None) -> float:
    """Seconds until the try after so many failures: the service's wish, else doubling from a minute to an hour."""
    doubling = _DELAY_S * 2.0 ** min(max(failures - 1, 0), 10)
    return min(max(wish_s or 0.0, doubling), _MAX_DELAY_S)


def latest_items(items: Iterable[DeltaItem]) -> list[DeltaItem]:
    """One entry an id, the last: a page may repeat what an earlier one said."""
    return list({item.id: item for item in items}.values())


def merge(kind: Kind, item: DeltaItem, known: Entity | None) -> Entity | None:
    """The whole record after a change, of which only what the directory said changes; None where it has no name."""
    return _user(item, known) if kind == "users" else _group(item, known)


def _user(item: DeltaItem, known: Entity | None) -> User | None:
    assert known is None or isinstance(known, User)
    base = known or User(item.id, "")
    said = item.values
    user = replace(
        base,
        principal_name=_text(said, "userPrincipalName", base.principal_name) or base.principal_name,
        display_name=_text(said, "displayName", base.display_name),
        mail=_text(said, "mail", base.mail),
        enabled=_flag(said, "accountEnabled", base.enabled),
    )
    return user if user.principal_name else None


def _group(item: DeltaItem, known: Entity | None) -> Group | None:
    assert known is None or isinstance(known, Group)
    base = known or Group(item.id, "")
    said = item.values
    group = replace(
        base,
        name=_text(said, "displayName", base.name) or base.name,
        mail=_text(said, "mail", base.mail),
        security=_flag(said, "securityEnabled", base.security),
    )
    return group if group.name else None


def _text(said: Mapping[str, str | bool | None], name: str, base: str | None) -> str | None:
    value = said.get(name, base)
    return value if isinstance(value, str) else None


def _flag(said: Mapping[str, str | bool | None], name: str, base: bool) -> bool:
    value = said.get(name, base)
    return value if isinstance(value, bool) else base


def hours(first: datetime, last: datetime, step: timedelta) -> Iterator[tuple[datetime, datetime]]:
    """Windows that follow one another from `first` to `last`; the bounds of neighbours coincide."""
    while first < last:
        until = min(first + step, last)
        yield first, until
        first = until


def days(first: date, last: date, most: int) -> Iterator[tuple[date, date]]:
    """Windows of at most `most` days from `first` to `last`, both included; none overlap."""
    while first <= last:
        until = min(first + timedelta(days=most - 1), last)
        yield first, until
        first = until + timedelta(days=1)


def chunks(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """The ids in order, `size` at a time."""
    for begin in range(0, len(ids), size):
        yield ids[begin : begin + size]


def people(kind: Kind) -> Literal["users", "groups"]:
    """The kind, as the directory's feed knows it."""
    return "users" if kind == "users" else "groups"


def needed(source: Source | None, settings: str) -> Source:
    """The source, or ConfigurationError naming the settings that give one."""
    if source is None:
        raise ConfigurationError(
            f"{settings}: not set, so there is nothing to sync from",
            hint="set them, then request the sync again",
        )
    return source
