"""What a tick's runs add up to, and whether that is right. Pure: runs in, figures and complaints out."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from infra.local.demo.watch import Run

EXPECTED_ROWS = {"airlines": 16, "airports": 1458, "planes": 3322, "weather": 26_115, "flights": 336_776}
EXPECTED_HELD = {"flights": 56_295}
BALANCE = ("inserted", "updated", "unchanged", "superseded", "rejected", "held")
COUNTS = ("fetched", *BALANCE, "released", "soft_deleted")
WRITES = ("inserted", "updated", "soft_deleted")


def totals(runs: Sequence[Run], seconds: float) -> dict[str, float]:
    """A tick's member of the summary line; `seconds` is the tick's own, from asking to the last row."""
    summed = {name: sum(run[name] for run in runs) for name in COUNTS}
    return {"tables": len({run["entity_uid"] for run in runs}), **summed, "seconds": round(seconds, 1)}


def every_tick(runs: Iterable[Run], slugs: Mapping[str, str]) -> list[str]:
    """What may never happen: a run that failed, or rows that nobody accounts for."""
    wrong = []
    for run in runs:
        slug, accounted = slugs[run["entity_uid"]], sum(run[name] for name in BALANCE)
        if run["status"] not in ("success", "partial"):
            why = (run["error"] or {}).get("message", "no reason given")
            wrong.append(f"{slug}: run {run['uid']} ended {run['status']}: {why}")
        if run["fetched"] != accounted:
            wrong.append(f"{slug}: fetched {run['fetched']} but accounted for {accounted}")
    return wrong


def fresh_first(runs: Sequence[Run], slugs: Mapping[str, str]) -> list[str]:
    """A first load into nothing: every row of every table, inserted or held for a missing parent."""
    by_slug = {slug: _sum(runs, slugs, slug) for slug in EXPECTED_ROWS}
    return [
        f"{slug}: {name} {by_slug[slug][name]}, expected {wanted}"
        for slug, rows in EXPECTED_ROWS.items()
        for name, wanted in _first_load(slug, rows).items()
        if by_slug[slug][name] != wanted
    ]


def _first_load(slug: str, rows: int) -> dict[str, int]:
    held = EXPECTED_HELD.get(slug, 0)
    return {"fetched": rows, "inserted": rows - held, "held": held}


def fresh_second(
    runs: Sequence[Run], slugs: Mapping[str, str], told: Mapping[str, Any], open_rejects: int
) -> list[str]:
    """After the story: the changed tables alone, each change once, the broken row a reject."""
    flights, airports = _sum(runs, slugs, "flights"), _sum(runs, slugs, "airports")
    delta = _sum(
        [run for run in runs if run["strategy"] == "rowversion" and run["trigger"] == "timer"],
        slugs,
        "flights",
    )
    processed = sorted({slugs[run["entity_uid"]] for run in runs})
    facts = [
        ("tables processed", processed, ["airports", "flights"]),
        # The row at the watermark is read once more; where it waits, it counts as held again.
        (
            "each update read once",
            0 <= delta["fetched"] - delta["rejected"] - told["flights"]["updated"] <= 1,
            True,
        ),
        ("flights inserted other than by release", flights["inserted"] - flights["released"], 0),
        ("airports waited for", flights["released"] > 0, True),
        ("open rejects", open_rejects, told["flights"]["broken"]),
        ("airports inserted", airports["inserted"], told["airports"]["inserted"]),
        ("airports updated", airports["updated"], 0),
    ]
    return [f"{what}: {found}, expected {wanted}" for what, found, wanted in facts if found != wanted]


def every_flight(
    ticks: Sequence[Sequence[Run]], slugs: Mapping[str, str], told: Mapping[str, Any], waiting: int
) -> list[str]:
    """At the end each flight of the source is live or waits: none is lost, none stands in two places."""
    sums = [_sum(runs, slugs, "flights") for runs in ticks]
    live = sum(one["inserted"] - one["soft_deleted"] for one in sums)
    wanted = EXPECTED_ROWS["flights"] - told["flights"]["deleted"]
    if live + waiting == wanted:
        return []
    return [f"flights: {live} live and {waiting} waiting, but the source has {wanted}"]


def unchanged_tables(runs: Sequence[Run], slugs: Mapping[str, str], changed: frozenset[str]) -> list[str]:
    """Tables that the source did not touch must not be written."""
    wrong = []
    for slug in sorted({slugs[run["entity_uid"]] for run in runs} - changed):
        summed = _sum(runs, slugs, slug)
        written = {name: summed[name] for name in WRITES if summed[name]}
        if written:
            wrong.append(f"{slug}: did not change at the source, yet {written}")
    return wrong


def _sum(runs: Sequence[Run], slugs: Mapping[str, str], slug: str) -> dict[str, int]:
    mine = [run for run in runs if slugs[run["entity_uid"]] == slug]
    return {name: sum(run[name] for run in mine) for name in COUNTS}
