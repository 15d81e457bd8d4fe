"""One delivery's walk through a directory: where it stands, how long it may take, and that it never goes in circles."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from shared.sharing.directory_errors import DirectoryProtocolError
from shared.sharing.directory_ports import Claim, Counts, Progress


class Clock(Protocol):
    """The time, as composition has it."""

    def now(self) -> datetime:
        """Aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds, never going back."""
        ...


class BudgetSpentError(Exception):
    """The delivery's time is over; a continuation goes on from the cursor."""


class Walk:
    """The claim as it stands after what was kept last."""

    def __init__(self, claim: Claim, progress: Progress, clock: Clock, until: float) -> None:
        self.claim = claim
        self._progress, self._clock, self._until = progress, clock, until
        self._links: set[str] = set()

    def begin(self, *, full: bool) -> None:
        """Start from the begin; a full walk also forgets the link that led here."""
        resume = "" if full else self.claim.resume
        self.claim = replace(self.claim, full=full, resume=resume, cursor="", proven=True, counts=Counts())
        self._progress.begin(self.claim)

    def count(self, counts: Counts) -> None:
        """Add to what became of the records; kept with the next page."""
        self.claim = replace(self.claim, counts=self.claim.counts + counts)

    def doubt(self, doubtful: bool) -> None:
        """From now on absence proves nothing, where something could not be listed."""
        self.claim = replace(self.claim, proven=self.claim.proven and not doubtful)

    def keep(self, *, cursor: str, seen: Sequence[str] = (), gone: Sequence[str] = ()) -> None:
        """A page is written: move the cursor behind it."""
        self.claim = replace(self.claim, cursor=cursor, failures=0)
        self._progress.save(self.claim, seen, gone)

    def turn_to(self, link: str) -> None:
        """Go on at the next link; DirectoryProtocolError for one followed before."""
        if link in self._links:
            raise DirectoryProtocolError(
                f"{self.claim.kind}: the directory's next links lead in a circle",
                hint="request the sync again; if it stays so, the directory is at fault",
            )
        self._links.add(link)
        self.check_budget()

    def check_budget(self) -> None:
        """BudgetSpentError once the delivery's time is over."""
        if self._clock.monotonic() >= self._until:
            raise BudgetSpentError
