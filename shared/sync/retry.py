"""A retry slice: stored rows that are due land under their own fence, a batch a transaction.

In: a Claim of a retry run. Out: counters batch by batch, until nothing is due. Nothing is fetched: waiting children
whose parents arrived land as they were normalised, rejects go through today's stages once more.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from shared.errors import TargetUnavailableError
from shared.failpoints import hit
from shared.sync.guards import Guards
from shared.sync.load import apply, without_refused
from shared.sync.model import ROW, RunConfig
from shared.sync.ports import ChunkConflictError, Claim, Counters, RowsRefusedError, Target
from shared.sync.replay import UID, Replayed, replayed

_TRIES = 5
# A batch of waiting rows never leaves the server; what one costs however small it is, is paid once for so many chunks.
_CHUNKS_RELEASED = 4


@dataclass(frozen=True, slots=True)
class Retry:
    """What a retry slice repeats until nothing is due; `batch` rows at a time."""

    target: Target
    guards: Guards
    batch: int
    mask_key: Callable[[RunConfig], bytes | None] = lambda config: None

    def step(self, claim: Claim) -> Counters | None:
        """One committed batch, or None when nothing is due; raises TargetUnavailableError when rivals kept coming."""
        for _ in range(_TRIES):
            try:
                released = self._release(claim)
                return self._replay(claim) if released is None else released
            except ChunkConflictError:
                continue  # the other lane wrote the same rows meanwhile: look at them again
        raise TargetUnavailableError(
            f"{claim.config.slug}: other writers kept changing the same rows, {_TRIES} times in a row",
            hint="the waiting rows are taken up again later",
        )

    def _release(self, claim: Claim) -> Counters | None:
        with self.target.release(claim) as transaction:
            counters = transaction.take(_CHUNKS_RELEASED * self.batch, guarded=self.guards.release_guard)
            if counters is not None:
                self.guards.conservation(counters, where=f"{claim.config.slug}, waiting rows")
                self.guards.fence(transaction)
                transaction.close(counters)
                hit("release.before_commit")
        if counters is not None:
            hit("release.after_commit")
        return counters

    def _replay(self, claim: Claim) -> Counters | None:
        found = self.target.rejects_due(claim, self.batch)
        if found is None:
            return None
        refused, read_at = found
        batch = replayed(refused, read_at, claim.config, self.mask_key(claim.config), self.guards.settle)
        hit("replay.pick")
        try:
            return self._land(batch, claim)
        except RowsRefusedError:
            bad = self.target.refused_rows(claim, batch.chunk.rows)
            return self._land(replace(batch, chunk=without_refused(batch.chunk, claim, bad)), claim)

    def _land(self, batch: Replayed, claim: Claim) -> Counters:
        uids = batch.uids[UID].to_list()
        with self.target.chunk(claim) as transaction:
            transaction.take_rejects(uids)
            counters, rejects, changes = apply(batch.chunk, claim, transaction, self.guards)
            transaction.settle_rejects(uids, rejects.join(batch.uids, on=ROW, how="inner"))
            landed = batch.chunk.rows.join(rejects.select(ROW), on=ROW, how="anti")
            transaction.resolve(landed, changes.standing.clear())
            self.guards.conservation(counters, where=f"{claim.config.slug}, rejects tried again")
            self.guards.fence(transaction)
            transaction.close(batch.chunk, counters)
            hit("replay.before_commit")
        hit("replay.after_commit")
        return counters
