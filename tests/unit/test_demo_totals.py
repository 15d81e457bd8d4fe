"""The demo judges itself: what it must call wrong."""

from typing import Any

from infra.local.demo import totals

SLUGS = {"1": "flights", "2": "planes"}


def run(entity: str, **given: Any) -> dict[str, Any]:
    return {"uid": "r", "entity_uid": entity, "status": "success", "error": None} | dict.fromkeys(
        totals.COUNTS, 0
    ) | given  # fmt: skip


def test_counts_are_summed_over_runs_and_tables_counted_once() -> None:
    summed = totals.totals([run("1", fetched=2), run("1", fetched=3), run("2", fetched=5)], 1.26)
    assert (summed["tables"], summed["fetched"], summed["seconds"]) == (2, 10, 1.3)


def test_a_row_that_nobody_accounts_for_is_wrong() -> None:
    assert totals.every_tick([run("1", fetched=2, inserted=1)], SLUGS) == [
        "flights: fetched 2 but accounted for 1"
    ]


def test_a_failed_run_is_wrong_and_says_why() -> None:
    failed = run("1", status="failed", error={"code": "x", "message": "the source is down"})
    assert "the source is down" in totals.every_tick([failed], SLUGS)[0]


def test_a_write_to_a_table_that_did_not_change_is_wrong() -> None:
    runs = [run("1", updated=1), run("2", updated=1)]
    found = totals.unchanged_tables(runs, SLUGS, frozenset({"flights"}))
    assert found == ["planes: did not change at the source, yet {'updated': 1}"]


def test_a_flight_that_is_neither_live_nor_waiting_is_missed() -> None:
    told = {"flights": {"deleted": 120}}
    runs = [run("1", inserted=280_481), run("1", inserted=6_000, soft_deleted=100)]
    assert totals.every_flight([runs], SLUGS, told, 336_656 - 286_381) == []
    assert totals.every_flight([runs], SLUGS, told, 50_000)


def test_a_first_load_that_lacks_rows_is_wrong() -> None:
    runs = [run("1", fetched=336_775, inserted=336_775)]
    assert "flights: fetched 336775, expected 336776" in totals.fresh_first(runs, SLUGS)
