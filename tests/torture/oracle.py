"""What must be true once everything is quiet: a model in plain Python against the database.

Every row's current source version is exactly one of landed, rejected or deleted; nothing stands twice; counters
add up; the watermark passed nothing unaccounted; a rerun writes nothing; nothing is left half done.
"""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from infra.local.sample_erp import SampleErp

if TYPE_CHECKING:
    from tests.torture.world import World

SLUG = "orders"
Good = tuple[str | None, Decimal | None]


def read_source(erp: SampleErp, slug: str = SLUG) -> list[dict[str, Any]]:
    """Every committed row with its version; amounts as Decimal or as whatever was put there."""
    page = json.loads(erp.connector.data(slug, {"page_size": "10000"}), parse_float=Decimal)
    return [row["data"] | {"version": row.get("row_version")} for row in page["rows"]]


def good(row: dict[str, Any]) -> Good | None:
    """What the row must be in the target; None where it must be a reject."""
    try:
        amount = None if row["amount"] is None else Decimal(str(row["amount"]))
    except InvalidOperation:
        return None
    if amount is not None and (not amount.is_finite() or abs(amount) >= Decimal(10) ** 10):
        return None
    note = row["note"] if row["note"] is None else row["note"].strip(" \t\r\n")
    return note, amount


def problems(world: World) -> list[str]:
    """Everything that is wrong; empty when the oracle holds."""
    return [
        *row_problems(world),
        *duplicate_problems(world),
        *counter_problems(world),
        *watermark_problems(world),
        *leftovers(world),
    ]


def check(world: World, *, rerun: bool = True) -> None:
    """Assert that the oracle holds, and that syncing once more writes nothing."""
    found = problems(world)
    assert not found, world.story(*found)
    if rerun:
        world.step("rerun")
        uid = world.request_sync()
        world.app.send_outbox()
        world.settle()
        run = next(r for r in world.runs() if r["uid"] == uid)
        written = run["inserted"] + run["updated"] + run["soft_deleted"]
        assert run["status"] in ("success", "partial") and not written, world.story(f"the rerun wrote: {run}")
        found = problems(world)
        assert not found, world.story(*found)


def row_problems(world: World) -> list[str]:
    """Each source row in exactly one place, with the source's values; nothing live that the source lacks."""
    source = {row["id"]: row for row in world.source()}
    target, rejected = world.target(), open_rejects(world)
    found = [f"{key}: live, but not at the source" for key in world.live() - set(source)]
    found += [f"{key}: an open reject of a row that is gone" for key in set(rejected) - set(source)]
    for key, row in source.items():
        wanted, stored = good(row), target.get(key)
        if wanted is None:
            if rejected[key] != 1:
                found.append(f"{key}: {rejected[key]} open rejects of a bad row")
        elif rejected[key]:
            found.append(f"{key}: landed and rejected at once")
        elif stored is None or stored["_bridge_deleted"]:
            found.append(f"{key}: lost")
        elif (stored["note"], stored["amount"]) != wanted:
            found.append(f"{key}: stale, another version of the row is stored")
    return found


def open_rejects(world: World) -> Counter[int]:
    """Open rejects by the id in their raw row."""
    rows = world.ask("SELECT raw FROM bridge.failed_records WHERE status = 'open'")
    return Counter(int(json.loads(row["raw"])["data"]["id"]) for row in rows)


def waiting_versions(world: World) -> dict[int, int]:
    """The version in which each waiting row is held, by id."""
    rows = world.ask("SELECT key, version FROM bridge.pending_children WHERE version IS NOT NULL")
    return {int(row["key"]): int(row["version"]) for row in rows}


def duplicate_problems(world: World) -> list[str]:
    twice = world.ask("SELECT id FROM public.orders GROUP BY id HAVING count(*) > 1")
    hashes = world.ask("SELECT 1 FROM public.orders GROUP BY _bridge_erp_key_hash HAVING count(*) > 1")
    return [f"{row['id']}: stored twice" for row in twice] + ["a key hash stands twice"] * len(hashes)


def counter_problems(world: World, beside: int = 0) -> list[str]:
    """Conservation of each finished run; and inserted rows, over all runs, are the rows there are.

    `beside`: rows that stand in other tables.
    """
    found = []
    for run in world.runs():
        outcomes = sum(run[n] for n in ("inserted", "updated", "unchanged", "superseded", "rejected", "held"))
        # An unproven snapshot stays in staging, unpublished: its rows have no outcome yet.
        unpublished = run["error"] is not None and run["error"]["code"] == "unproven"
        if run["status"] in ("success", "partial") and not unpublished and run["fetched"] != outcomes:
            found.append(f"run {run['uid']}: {run['fetched']} fetched, {outcomes} accounted for")
    inserted, stored = sum(run["inserted"] for run in world.runs()), len(world.target()) + beside
    if inserted != stored:
        found.append(f"{inserted} rows inserted by all runs, {stored} stored")
    return found


def watermark_problems(world: World) -> list[str]:
    """Rows at or below the watermark that are neither stored in that version nor rejected. True at any time."""
    if world.strategy != "rowversion":
        return []
    watermark = world.one("SELECT watermark FROM bridge.erp_sync_state WHERE entity_uid = %s", world.entity)
    if watermark is None:
        return []
    target, rejected, waiting = world.target(), open_rejects(world), waiting_versions(world)
    return [
        f"{row['id']}: version {row['version']} is at or below the watermark and nowhere"
        for row in world.source()
        if int(row["version"]) <= int(watermark)
        and not rejected[row["id"]]
        and waiting.get(row["id"], -1) < int(row["version"])
        and (
            row["id"] not in target or int(target[row["id"]]["_bridge_erp_rowversion"]) < int(row["version"])
        )
    ]


def leftovers(world: World) -> list[str]:
    """Unfinished runs and slices, unsent messages, work tables, live leases."""
    asked = {
        "runs unfinished": "SELECT count(*) FROM bridge.sync_runs WHERE status IN ('queued', 'running')",
        "slices unfinished": "SELECT count(*) FROM bridge.sync_slices WHERE status IN ('queued', 'running')",
        "slots held": "SELECT count(*) FROM bridge.sync_slices WHERE admitted",
        "messages in the outbox": "SELECT count(*) FROM bridge.outbox",
        "work tables": "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '^(stage|seen)_[0-9a-f]{32}$'",
        "keys marked missing twice": "SELECT count(*) FROM bridge.missing_keys m JOIN public.orders t"
        " ON t._bridge_erp_key_hash = m.key_hash WHERE t._bridge_deleted",
    }
    counts = {what: world.one(text) for what, text in asked.items()}
    return [f"{count} {what}" for what, count in counts.items() if count]
