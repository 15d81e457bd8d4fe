"""The guards that stand between a mistake and a row. Composition injects them; no setting disables one.

A test composes with one guard replaced by nothing and must see data lost, doubled or deleted: that is how we
know each still does its work.
"""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from shared.errors import ConservationError, DeleteGuardError, RejectThresholdError
from shared.sync.claims import Decision, decide_claim
from shared.sync.consent import ChangePlan, Consent
from shared.sync.delta import Settled, settle
from shared.sync.fetch import Walk, fix_bound
from shared.sync.ports import Counters, Due, Fenced
from shared.sync.rowversion import check_progress, lower_bound

DELETE_FLOOR = 10  # rows; up to here a share says nothing


def conserve(counters: Counters, *, where: str) -> None:
    """Every fetched row has exactly one outcome; raises ConservationError otherwise."""
    outcomes = (
        counters.inserted
        + counters.updated
        + counters.unchanged
        + counters.superseded
        + counters.rejected
        + counters.held
    )
    if outcomes != counters.fetched:
        raise ConservationError(
            f"{where}: {counters.fetched} rows fetched but {outcomes} accounted for; nothing was committed",
            hint="this is a defect of Tributary: keep the run's id and report it",
        )


def judge_deletes(due: Due, percent: float, allowed: int | None) -> None:
    """Refuse a suspicious deletion with DeleteGuardError; `allowed` is a person's one-shot ceiling."""
    if due.due == 0 or (allowed is not None and due.due <= allowed):
        return
    share = 100 * due.due / max(due.live, 1)
    if due.received == 0 or (due.due > DELETE_FLOOR and share > percent):
        raise DeleteGuardError(
            f"{due.due} of {due.live} rows would be deleted ({share:.1f} %), after {due.received} rows were received;"
            " nothing was deleted",
            hint='if that is right, POST .../sync with {"allow_deletes": N, "reason": "..."}',
        )


def judge_rejects(counters: Counters, percent: float | None, slug: str) -> None:
    """Refuse a run with a larger share of rejects than its entity allows, with RejectThresholdError."""
    if percent is None or not counters.fetched or counters.rejected * 100 <= percent * counters.fetched:
        return
    share = 100 * counters.rejected / counters.fetched
    raise RejectThresholdError(
        f"{slug}: {counters.rejected} of {counters.fetched} rows were rejected ({share:.1f} %),"
        f" more than its reject_threshold_percent of {percent:g}",
        hint="GET /api/v1/failed-records/counts tells why; repair the rule or the source, then sync again",
    )


def hold_fence(transaction: Fenced) -> None:
    """A stale holder must not commit."""
    transaction.hold_fence()


def may_conclude(proven: bool) -> bool:
    """Only a walk proven complete moves a watermark or deletes."""
    return proven


@dataclass(frozen=True, slots=True)
class Guards:
    """All guards of a sync; the defaults are the product's."""

    conservation: Callable[..., None] = conserve
    delete: Callable[[Due, float, int | None], None] = judge_deletes
    rejects: Callable[[Counters, float | None, str], None] = judge_rejects
    fence: Callable[[Fenced], None] = hold_fence
    completeness: Callable[[bool], bool] = may_conclude
    settle: Callable[[pl.DataFrame], Settled] = settle
    bound: Callable[..., Walk] = fix_bound
    lower_bound: Callable[..., str | None] = lower_bound
    progress: Callable[..., None] = check_progress
    claim: Callable[..., Decision] = decide_claim
    consent: Callable[[Consent, str, ChangePlan], None] = Consent.require
    rejects_are_seen: bool = True
    row_versions: bool = True
    hold_children: bool = True
    release_guard: bool = True
