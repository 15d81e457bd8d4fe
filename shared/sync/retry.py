"""A retry slice: stored rows that are due land under their own fence, a batch a transaction.

In: a Claim of a retry run. Out: counters batch by batch, until nothing is due. Nothing is fetched: waiting children
whose parents arrived land as they were normalised.
"""

from dataclasses import dataclass

from shared.errors import TargetUnavailableError
from shared.failpoints import hit
from shared.sync.guards import Guards
from shared.sync.ports import ChunkConflictError, Claim, Counters, Target

_TRIES = 5


@dataclass(frozen=True, slots=True)
class Retry:
    """What a retry slice repeats until nothing is due; `batch` rows at a time."""

    target: Target
    guards: Guards
    batch: int

    def step(self, claim: Claim) -> Counters | None:
        """One committed batch, or None when nothing is due; raises TargetUnavailableError when rivals kept coming."""
        for _ in range(_TRIES):
            try:
                return self._release(claim)
            except ChunkConflictError:
                continue  # the other lane wrote the same rows meanwhile: look at them again
        raise TargetUnavailableError(
            f"{claim.config.slug}: other writers kept changing the same rows, {_TRIES} times in a row",
            hint="the waiting rows are taken up again later",
        )

    def _release(self, claim: Claim) -> Counters | None:
        with self.target.release(claim) as transaction:
            counters = transaction.take(self.batch, guarded=self.guards.release_guard)
            if counters is not None:
                self.guards.conservation(counters, where=f"{claim.config.slug}, waiting rows")
                self.guards.fence(transaction)
                transaction.close(counters)
                hit("release.before_commit")
        if counters is not None:
            hit("release.after_commit")
        return counters
