"""How these services behave where they may do one thing or another; tests run both ways."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Switches:
    """The defaults are the harsher guesses.

    `page_size`: the most entries Graph puts on a page. `empty_pages`: every walk begins with an empty page that has a
    next link. `repeats`: a page's last entry stands on the next page again. `whole_changes`: a changed entry comes
    with all its properties, not only those that changed. `expired_status`: 410 or 400 for a delta link too old.
    `delta_days`: how long a delta link lives. `cost_rows`: the most rows of a page of costs. `no_content`: Cost
    Management answers 204 where it has nothing.
    """

    page_size: int = 100
    empty_pages: bool = True
    repeats: bool = False
    whole_changes: bool = False
    expired_status: int = 410
    delta_days: float = 7
    cost_rows: int = 1000
    no_content: bool = False
