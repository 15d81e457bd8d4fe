"""The directory itself: users and groups, and what changed about each since when."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["users", "groups"]
Values = dict[str, str | bool | None]


@dataclass(slots=True)
class Record:
    """One user or group; `changed` says in which change each property got its value."""

    id: str
    values: Values
    changed: dict[str, int] = field(default_factory=dict)
    created_in: int = 0
    removed_in: int | None = None
    reason: Literal["changed", "deleted"] = "changed"

    def last_change(self) -> int:
        return max([self.created_in, self.removed_in or 0, *self.changed.values()])


class People:
    """Records by kind and id, with one counter over all changes."""

    def __init__(self) -> None:
        self.records: dict[Kind, dict[str, Record]] = {"users": {}, "groups": {}}
        self.counter = 0

    def add(self, kind: Kind, values: Values, id: str = "") -> str:
        """A new record; its id."""
        self.counter += 1
        made = Record(id or str(uuid.UUID(int=self.counter << 80 | 0x4 << 76 | 0x8 << 60)), dict(values))
        made.created_in = self.counter
        made.changed = dict.fromkeys(values, self.counter)
        self.records[kind][made.id] = made
        return made.id

    def change(self, kind: Kind, id: str, values: Values) -> None:
        """Set properties of one record."""
        self.counter += 1
        record = self.records[kind][id]
        record.values |= values
        record.changed |= dict.fromkeys(values, self.counter)

    def remove(self, kind: Kind, id: str, reason: Literal["changed", "deleted"] = "changed") -> None:
        """Delete a record: `changed` can be restored for thirty days, `deleted` cannot."""
        self.counter += 1
        self.records[kind][id].removed_in, self.records[kind][id].reason = self.counter, reason

    def restore(self, kind: Kind, id: str) -> None:
        """Bring a deleted record back; it is told of as if it were new."""
        self.counter += 1
        record = self.records[kind][id]
        record.removed_in = None
        record.changed = dict.fromkeys(record.values, self.counter)

    def forget(self, kind: Kind, id: str) -> None:
        """Delete a record without a trace, as when its tombstone is gone too."""
        del self.records[kind][id]

    def live(self, kind: Kind) -> list[Record]:
        return [record for record in self.records[kind].values() if record.removed_in is None]
