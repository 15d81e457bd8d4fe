"""What one night of a background load does: how much of the table, until when, and what it leaves for the next.

The load is one walk over the whole table, cut into nights: each goes on from the cursor that the one before
committed. Pure: figures and walks in, decisions out; `run` obeys them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import ceil
from typing import Any

from shared.errors import ConfigurationError
from shared.sync.fetch import Proof, Walk, proof
from shared.sync.model import Strategy
from shared.sync.ports import Night
from shared.sync.windows import Window

# Nights beyond which a finish is not worth predicting.
_FORESEEN_NIGHTS = 3650


@dataclass(frozen=True, slots=True)
class Pace:
    """How a slice of tonight's run works: rows a chunk at most, and seconds until it must hand over."""

    chunk_rows: int
    budget_s: float


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a schedule's load stands. `nights` had a run; `running` is tonight's, which began at `rows_before`."""

    rows_read: int
    rows_expected: int | None
    rows_before: int
    nights: int
    first_night: date | None
    last_night: date | None
    running: bool
    finished: bool


def refusal(strategy: Strategy, pagination: str | None) -> str | None:
    """Why a table cannot be loaded by night, as far as its description tells; None where it can."""
    if strategy == "full":
        return (
            "strategy full publishes one snapshot at once, which cannot be read over several nights;"
            ' set delta_strategy to "hash"'
        )
    if pagination == "page":
        return (
            "its source counts pages by number, and a page number means another place once rows come or go;"
            " let the source page by keyset or cursor"
        )
    return None


def nights_left(days_to_complete: int, first_night: date, tonight: date) -> int:
    """Nights that remain for the load, tonight included; at least one: what is late is not given up."""
    return max(1, days_to_complete - (tonight - first_night).days)


def rows_expected(walk: Walk, probe: Mapping[str, Any] | None) -> int | None:
    """Rows of the whole table, as the source's last word has it; None where it says nothing."""
    told = probe or {}
    count = told.get("count")
    if walk.last_total is not None:
        return walk.last_total
    return count if count is not None else told.get("expected")


def goal(night: Night, expected: int | None) -> int | None:
    """Rows of the walk at which tonight's share is done; None on the last night, or where no total is known."""
    if expected is None or night.nights_left == 1:
        return None
    return night.rows_before + max(1, ceil((expected - night.rows_before) / night.nights_left))


def is_over(night: Night, walk: Walk, probe: Mapping[str, Any] | None, now: datetime) -> bool:
    """Whether the window has closed or tonight's share is done."""
    if now >= night.ends_at:
        return True
    share_ends = goal(night, rows_expected(walk, probe))
    return share_ends is not None and walk.rows >= share_ends


def pace(night: Night, walk: Walk, probe: Mapping[str, Any] | None, now: datetime, chunk_rows: int) -> Pace:
    """Chunks that share the rest of the night's share evenly, and the time until the window closes.

    While the table's size is unknown the slice ends with its first page, which may tell it.
    """
    left_s = max(0.0, (night.ends_at - now) / timedelta(seconds=1))
    expected = rows_expected(walk, probe)
    if expected is None and walk.pages == 0 and night.nights_left > 1:
        return Pace(1, 0)
    share_ends = goal(night, expected)
    if share_ends is None or share_ends <= walk.rows:
        return Pace(chunk_rows, left_s)
    left = share_ends - walk.rows
    return Pace(ceil(left / ceil(left / chunk_rows)), left_s)


def demand_resumable(slug: str, walk: Walk) -> None:
    """Raises ConfigurationError for a walk by page numbers that needs more than its first chunk.

    A page number kept overnight would mean another place in the morning, and the rows between would be missed.
    """
    if not walk.ended and walk.mode in ("page", "blind"):
        raise ConfigurationError(
            f"{slug}: its source counts pages by number, so a load that pauses could not go on where it stopped;"
            " nothing was loaded",
            hint="let the source page by keyset or cursor (next_cursor), or delete the schedule",
            code="not_resumable",
        )


def proof_of_nights(walk: Walk) -> Proof:
    """Whether the nights together met the whole table.

    Unlike a walk of minutes, one of nights is not disproved by `total`: rows that came behind the cursor meanwhile
    are in it, and the first delta fetches them, for their versions are above the bound.
    """
    found = proof(walk)
    if walk.mode == "cursor" and found.reason == "fewer_rows_than_total":
        return Proof(True)
    return found


def progress(standing: Standing) -> float | None:
    """The share of the table that was read, from 0 to 1; None while the table's size is unknown."""
    if standing.finished:
        return 1.0
    if standing.rows_read == 0:
        return 0.0
    if not standing.rows_expected:
        return None
    return round(min(1.0, standing.rows_read / standing.rows_expected), 4)


def expected_finish(
    standing: Standing, window: Window, days_to_complete: int, now: datetime
) -> datetime | None:
    """The close of the night in which the load should end; None where the table's size is not known yet.

    Never before `days_to_complete` say so; later, where the nights so far got through less than their share.
    """
    if not standing.rows_expected:
        return None
    night = _next_night(standing, window, now)
    by_plan = nights_left(days_to_complete, standing.first_night or night, night)
    nights = max(by_plan, _nights_at_pace(standing))
    return window.on(night + timedelta(days=nights - 1)).closes if nights <= _FORESEEN_NIGHTS else None


def _next_night(standing: Standing, window: Window, now: datetime) -> date:
    tonight = window.at(now)
    if tonight is not None and (standing.running or tonight.night != standing.last_night):
        return tonight.night
    return window.after(now).night


def _nights_at_pace(standing: Standing) -> int:
    """Nights that the rest takes at the pace of the nights that are over, tonight's included where it runs."""
    nights, rows = standing.nights, standing.rows_read
    if standing.running:
        nights, rows = nights - 1, standing.rows_before
    if nights < 1 or rows < 1:
        return 1
    return max(1, ceil(((standing.rows_expected or 0) - rows) * nights / rows))
