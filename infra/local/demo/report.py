"""A tick's runs as a table for people."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from infra.local.demo.watch import Run

COLUMNS = (
    "fetched",
    "inserted",
    "updated",
    "unchanged",
    "superseded",
    "rejected",
    "held",
    "released",
    "soft_deleted",
)
HEADINGS = {"soft_deleted": "deleted"}


def table(runs: Sequence[Run], slugs: Mapping[str, str], strategies: Mapping[str, str]) -> str:
    """One line a run, oldest first, with a sum below."""
    header = ["table", "pass", "status", *(HEADINGS.get(name, name) for name in COLUMNS), "seconds"]
    body = [
        [slugs[run["entity_uid"]], _pass(run, strategies), run["status"], *_counts(run), _seconds(run)]
        for run in sorted(runs, key=_order)
    ]
    total = ["", "", "", *(f"{sum(run[name] for run in runs):,}" for name in COLUMNS), ""]
    rows = [header, *body, total]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    lines = ["  " + "  ".join(_aligned(row, widths)) for row in rows]
    rule = "  " + "  ".join("-" * width for width in widths)
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _order(run: Run) -> str:
    return str(run["started_at"] or "")


def _counts(run: Run) -> list[str]:
    return [f"{run[name]:,}" for name in COLUMNS]


def _pass(run: Run, strategies: Mapping[str, str]) -> str:
    """What kind of pass it was; a rowversion table's `hash` pass is its key sweep."""
    if run["trigger"] == "retry":
        return "retry"
    strategy = str(run["strategy"])
    return strategy if strategy == strategies[run["entity_uid"]] else "key sweep"


def _seconds(run: Run) -> str:
    if not run["started_at"] or not run["completed_at"]:
        return "-"
    began, ended = (datetime.fromisoformat(run[name]) for name in ("started_at", "completed_at"))
    return f"{(ended - began).total_seconds():.1f}"


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.ljust(width) if i < 3 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
