"""Background loads on a real database: nights, windows, deltas in between, and what the last night leaves."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.local.sample_erp import TableSpec, parse_columns
from shared import failpoints
from tests.integration.harness import MakeWorld, Row, World, balanced, plain

COLUMNS = parse_columns("id NUMBER(9) NOT NULL\n note VARCHAR2(40)")
ZONE = "Europe/Berlin"
EVENING = datetime(2026, 1, 10, 19, 0, tzinfo=UTC)  # 20:00 in Berlin: an hour after the window opened


class Hands:
    """A clock moved by hand."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def next_evening(self) -> None:
        self.at = self.at.replace(hour=19, minute=0, second=0) + timedelta(days=1)


class Nights:
    """A world whose clock stands still, with one table under a schedule."""

    def __init__(self, world: World, **schedule: Any) -> None:
        self.world, self.clock = world, Hands(EVENING)
        self.compose()
        self.uid: str = world.post("/api/v1/schedules", {
            "entity_uid": world.uid("t"), "time_zone": ZONE, "days_to_complete": 3, **schedule,
        })["uid"]  # fmt: skip

    def compose(self, *, chunk_rows: int = 7, budget_s: float = 240, **settings: Any) -> None:
        """A restart: another app on the same clock. `budget_s=0`: each chunk is a slice."""
        app = self.world.compose(**settings)
        app.clock = self.clock  # type: ignore[assignment]
        for name in ("runner", "slices"):
            vars(app).pop(name, None)
        app.runner = replace(app.runner, chunk_rows=chunk_rows, budget_s=budget_s)

    def begin(self) -> None:
        """The timer fires."""
        self.world.app.load_in_window()

    def night(self) -> Row:
        """One whole night: its run as the API shows it."""
        self.begin()
        self.world.pump()
        run = self.world.runs("t")[-1]
        self.clock.next_evening()
        return run

    @property
    def shown(self) -> Row:
        return dict(self.world.get(f"/api/v1/schedules?entity_uid={self.world.uid('t')}")["items"][0])

    @property
    def ids(self) -> set[int]:
        return set(self.world.rows("t"))


def rows(count: int) -> dict[str, list[Row]]:
    return {"t": [{"id": i, "note": f"n{i}"} for i in range(0, count * 10, 10)]}


def table(strategy: Any = "rowversion") -> TableSpec:
    return TableSpec(slug="t", keys=("id",), strategy=strategy, columns=COLUMNS)


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.arm("")


def test_each_night_reads_its_share_and_the_last_one_finishes(make_world: MakeWorld) -> None:
    load = Nights(make_world([table()], rows(36)))
    nights = [load.night() for _ in range(3)]
    assert [(run["fetched"], run["status"], run["trigger"]) for run in nights] == [
        (12, "success", "window")
    ] * 3
    assert all(balanced(run) for run in nights)
    assert load.world.rows("t") == plain(load.world.erp.rows("t"))
    shown = load.shown
    assert (shown["status"], shown["progress"], shown["is_active"]) == ("finished", 1.0, False)
    load.begin()
    assert len(load.world.runs("t")) == 3


def test_progress_and_expected_finish_follow_the_nights(make_world: MakeWorld) -> None:
    load = Nights(make_world([table()], rows(36)))
    assert (load.shown["progress"], load.shown["expected_finish"]) == (0, None)
    load.night()
    shown = load.shown
    assert (shown["progress"], shown["rows_read"], shown["rows_expected"]) == (0.3333, 12, 36)
    assert datetime.fromisoformat(shown["expected_finish"]) == datetime(2026, 1, 13, 6, tzinfo=UTC)


@pytest.mark.parametrize("probe", [True, False])
def test_the_share_is_kept_whether_the_probe_or_only_the_pages_tell_the_total(
    make_world: MakeWorld, probe: bool
) -> None:
    load = Nights(make_world([table()], rows(36)))
    load.world.erp.behave("t", probe=probe, total=not probe)
    nights = [load.night()["fetched"] for _ in range(3)]
    assert sum(nights) == 36 and all(
        9 <= read <= 15 for read in nights
    )  # 12, but chunks are whole pages of 3


def test_a_source_that_tells_no_total_is_read_as_long_as_the_window_is_open(make_world: MakeWorld) -> None:
    load = Nights(make_world([table()], rows(36)))
    load.world.erp.behave("t", probe=False, total=False)
    assert (load.night()["fetched"], load.shown["status"]) == (36, "finished")


def test_one_run_a_night_and_none_outside_the_window(make_world: MakeWorld) -> None:
    load = Nights(make_world([table()], rows(36)))
    for hour, runs in ((17, 0), (19, 1), (23, 1)):
        load.clock.at = EVENING.replace(hour=hour)
        load.begin()
        load.world.pump()
        assert len(load.world.runs("t")) == runs
    load.clock.at += timedelta(hours=6, minutes=59)  # 06:59 in Berlin, still the same night
    load.begin()
    assert len(load.world.runs("t")) == 1


@pytest.mark.parametrize(
    "point", ["chunk.before_commit", "window.cursor", "chunk.after_commit", "finish.before"]
)
def test_a_killed_night_goes_on_from_the_last_committed_chunk(make_world: MakeWorld, point: str) -> None:
    load = Nights(make_world([table()], rows(36)))
    load.begin()
    failpoints.arm(f"{point}=raise@{1 if point == 'finish.before' else 2}")
    with pytest.raises(failpoints.FailpointError):
        load.world.deliver_one()
    failpoints.arm("")
    load.world.sql("UPDATE bridge.sync_slices SET lease_until = now(), sent_at = now() - interval '1 day'")
    load.world.app.detect_changes()
    load.world.pump()
    run = load.world.runs("t")[-1]
    assert (run["status"], run["fetched"], len(load.ids)) == ("success", 12, 12)
    load.clock.next_evening()
    assert [load.night()["fetched"] for _ in range(2)] == [12, 12]
    assert load.world.rows("t") == plain(load.world.erp.rows("t"))


def test_a_night_that_was_stopped_for_good_costs_nothing_but_the_night(make_world: MakeWorld) -> None:
    load = Nights(make_world([table()], rows(36)))
    load.compose(budget_s=0)
    load.begin()
    load.world.deliver_one()
    load.world.deliver_one()
    run = load.world.runs("t")[-1]
    load.world.post(f"/api/v1/sync/stop/{run['uid']}")
    landed, load.clock.at = len(load.ids), load.clock.at + timedelta(days=1)
    assert landed == load.shown["rows_read"] > 0
    load.compose()
    nights = [load.night() for _ in range(2)]
    assert sum(run["fetched"] for run in nights) == 36 - landed
    assert load.world.rows("t") == plain(load.world.erp.rows("t"))


def test_rows_that_come_and_go_before_the_cursor_open_no_gap(make_world: MakeWorld) -> None:
    """Read by offset, ten rows gone before the cursor would hide ten behind it."""
    load = Nights(make_world([table()], rows(36)))
    load.night()
    load.world.erp.delete("t", [{"id": i} for i in range(0, 100, 10)])
    load.world.erp.insert("t", [{"id": i, "note": "behind"} for i in (1, 2, 3)])
    load.world.erp.delete("t", [{"id": 300}])
    load.night()
    load.world.erp.insert("t", [{"id": 4, "note": "behind"}, {"id": 355, "note": "ahead"}])
    load.night()
    assert load.shown["status"] == "finished"
    assert load.ids == {i for i in range(0, 360, 10) if i != 300} | {355}


def test_the_first_delta_after_the_last_night_misses_nothing(make_world: MakeWorld) -> None:
    load = Nights(make_world([table()], rows(36), entity={"delete_after_missing": 1}))
    erp = load.world.erp
    erp.update("t", {"id": 200}, {"note": "late"}, txn="t1")  # takes its version before the bound is fixed
    erp.update("t", {"id": 10}, {"note": "newer"})
    load.night()
    erp.update("t", {"id": 0}, {"note": "behind the cursor"})
    erp.insert("t", [{"id": 5, "note": "behind the cursor"}])
    erp.delete("t", [{"id": 20}])
    load.night()
    erp.update("t", {"id": 350}, {"note": "ahead of the cursor"})
    load.night()
    erp.commit("t1")
    assert 20 in load.ids  # a background load deletes nothing
    runs = load.world.sync()
    assert sorted(run["strategy"] for run in runs) == [
        "hash",
        "rowversion",
    ]  # the delta, and the sweep for deletes
    assert load.world.rows("t") == plain(erp.rows("t"))
    assert sum(run["fetched"] for run in runs if run["strategy"] == "rowversion") < 10


@pytest.mark.parametrize("strategy", ["rowversion", "hash"])
def test_timers_leave_a_first_load_to_its_nights(make_world: MakeWorld, strategy: str) -> None:
    load = Nights(make_world([table(strategy)], rows(36)))
    assert load.world.sync() == []
    for _ in range(3):
        load.night()
        unfinished = load.shown["status"] == "waiting"
        assert (load.world.sync() == []) == unfinished
    assert load.world.rows("t") == plain(load.world.erp.rows("t"))


def test_switched_off_background_loads_leave_nothing_unread(make_world: MakeWorld) -> None:
    load = Nights(make_world([table()], rows(12)))
    load.compose(background_sync_enabled=False)
    load.begin()
    assert load.world.runs("t") == []
    assert [run["fetched"] for run in load.world.sync()] == [12]


def test_a_delta_goes_first_and_is_not_overwritten(make_world: MakeWorld) -> None:
    world = make_world([table()], rows(36))
    world.sync()
    load = Nights(world, days_to_complete=1)
    load.compose(budget_s=0)
    load.begin()
    world.deliver_one()
    world.erp.update("t", {"id": 0}, {"note": "d0"})
    world.erp.update("t", {"id": 350}, {"note": "d350"})
    delta = world.post(f"/api/v1/entities/{world.uid('t')}/sync")["run_uid"]
    before = load.shown["rows_read"]
    while world.get(f"/api/v1/runs/{delta}")["status"] in ("queued", "running"):
        assert world.deliver_one() and load.shown["rows_read"] == before
    assert world.rows("t")[350]["note"] == "d350"
    world.pump()
    assert (load.shown["status"], load.shown["rows_read"]) == ("finished", 36)
    assert world.rows("t") == plain(world.erp.rows("t"))


def test_a_due_sweep_goes_first(make_world: MakeWorld) -> None:
    world = make_world([table()], rows(12), entity={"key_sweep_interval_seconds": 0})
    world.sync()
    load = Nights(world)
    load.begin()
    assert [run["trigger"] for run in world.runs("t")] == ["timer"]
    world.tick()
    load.begin()  # the sweep is still at work
    assert "window" not in {run["trigger"] for run in world.runs("t")}
    world.pump()
    load.begin()
    assert world.runs("t")[-1]["trigger"] == "window"


def test_the_windows_end_stops_the_run_within_a_chunk(make_world: MakeWorld) -> None:
    load = Nights(make_world([table()], rows(60)), days_to_complete=1)
    load.compose(chunk_rows=1000)
    pages = []

    def strike(request: Any) -> None:
        if "/data/" in request.path:
            pages.append(request)
            if len(pages) == 4:
                load.clock.at = datetime(2026, 1, 11, 6, tzinfo=UTC)  # 07:00 in Berlin

    load.world.erp.on_request = strike
    run = load.night()
    assert (run["status"], 9 <= run["fetched"] <= 15, len(pages) < 12) == ("success", True, True)  # 20 in all
    assert load.shown["status"] == "waiting" and load.shown["rows_read"] == run["fetched"] == len(load.ids)
    load.clock.at = EVENING + timedelta(days=1)
    assert (load.night()["fetched"], load.shown["status"]) == (60 - run["fetched"], "finished")


def test_a_run_that_waited_the_night_away_asks_for_nothing(make_world: MakeWorld) -> None:
    load = Nights(make_world([table()], rows(12)))
    load.begin()
    load.clock.at += timedelta(hours=12)
    asked = len(load.world.erp.requests)
    load.world.pump()
    run = load.world.runs("t")[-1]
    assert (run["status"], run["fetched"], len(load.world.erp.requests)) == ("success", 0, asked)


def test_a_night_across_the_change_of_clocks_ends_with_the_zones_clock(make_world: MakeWorld) -> None:
    load = Nights(make_world([table()], rows(12)))
    load.clock.at = datetime(2026, 3, 28, 19, tzinfo=UTC)
    load.begin()
    ends = load.world.sql("SELECT night->>'ends_at' AS at FROM bridge.sync_runs")[0]["at"]
    assert datetime.fromisoformat(ends) == datetime(
        2026, 3, 29, 5, tzinfo=UTC
    )  # 07:00 in Berlin, in summer time


def test_a_slow_load_expects_to_finish_later(make_world: MakeWorld) -> None:
    load = Nights(make_world([table()], rows(60)), days_to_complete=2)
    load.compose(chunk_rows=3)
    pages = []

    def strike(request: Any) -> None:
        pages.append(request.path)
        if sum("/data/" in path for path in pages) == 2:
            load.clock.at = datetime(2026, 1, 11, 6, tzinfo=UTC)

    load.world.erp.on_request = strike
    read = load.night()["fetched"]
    load.clock.at = datetime(2026, 1, 11, 12, tzinfo=UTC)
    nights = -(-(60 - read) // read)
    expected = datetime(2026, 1, 12, 6, tzinfo=UTC) + timedelta(days=nights - 1)
    assert datetime.fromisoformat(load.shown["expected_finish"]) == expected


def test_changed_rules_begin_the_load_anew(make_world: MakeWorld) -> None:
    load = Nights(make_world([table()], rows(36)))
    load.night()
    mappings = load.world.entity("t")["field_mappings"]
    mappings[1]["rules"]["case"] = "upper"
    load.world.put_entity("t", field_mappings=mappings)
    assert (load.night()["updated"], load.shown["error"]["code"]) == (12, "begun_anew")
    for _ in range(2):
        load.night()
    assert {row["note"] for row in load.world.rows("t").values()} == {f"N{i}" for i in range(0, 360, 10)}


def test_a_full_refresh_ends_tonights_run_and_is_not_undone(make_world: MakeWorld) -> None:
    load = Nights(make_world([table()], rows(36)))
    load.compose(budget_s=0)
    load.begin()
    load.world.deliver_one()
    assert load.world.refresh("t")["status"] == "success"
    load.world.pump()
    assert [run["status"] for run in load.world.runs("t")] == ["cancelled", "success"]
    load.clock.next_evening()
    load.compose()
    for _ in range(3):
        load.night()
    assert load.world.rows("t") == plain(load.world.erp.rows("t"))


def test_a_source_that_counts_pages_is_refused_when_its_first_page_shows_it(make_world: MakeWorld) -> None:
    load = Nights(make_world([table()], rows(36)))
    load.world.erp.behave("t", pagination="page")
    load.world.sql("UPDATE bridge.entities SET pagination = NULL")
    run = load.night()
    assert (run["status"], run["error"]["code"], load.ids) == ("failed", "not_resumable", set())
    assert load.shown["error"]["code"] == "not_resumable"


def test_a_small_table_of_one_chunk_needs_no_cursor(make_world: MakeWorld) -> None:
    load = Nights(make_world([table()], rows(2)), days_to_complete=1)
    load.world.erp.behave("t", pagination="page")
    load.world.sql("UPDATE bridge.entities SET pagination = NULL")
    assert (load.night()["status"], load.shown["status"], load.ids) == ("success", "finished", {0, 10})


@pytest.mark.parametrize(("change", "field"), [({"pagination": "page"}, None), ({}, "full")])
def test_tables_that_cannot_be_read_by_night_are_refused(
    make_world: MakeWorld, change: Row, field: str | None
) -> None:
    world = make_world([table(field or "hash")], rows(6))
    world.erp.behave("t", **change)
    world.discover()
    answer = world.ask("POST", "/api/v1/schedules", {"entity_uid": world.uid("t")})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "entity_uid")


def test_rejects_of_a_night_are_kept_and_make_it_partial(make_world: MakeWorld) -> None:
    load = Nights(make_world([table()], rows(36)))
    load.world.erp.break_row("t", {"id": 10}, "note", "nul\x00")
    run = load.night()
    assert (run["status"], run["rejected"], len(load.world.rejects("t"))) == ("partial", 1, 1)
    assert [load.night()["status"] for _ in range(2)] == ["success", "success"]
    assert load.shown["status"] == "finished"


def test_switching_off_stops_tonight_and_switching_on_goes_on(make_world: MakeWorld) -> None:
    load = Nights(make_world([table()], rows(36)))
    load.compose(budget_s=0)
    load.begin()
    load.world.deliver_one()
    at, shown = f"/api/v1/schedules/{load.uid}", load.shown
    assert load.world.ask("PUT", at, shown | {"is_active": False}).json()["status"] == "paused"
    assert load.world.runs("t")[-1]["status"] == "cancelled"
    load.clock.next_evening()
    load.begin()
    assert len(load.world.runs("t")) == 1
    assert (
        load.world.ask("PUT", at, shown | {"is_active": True}).json()["rows_read"] == shown["rows_read"] > 0
    )
    load.compose()
    assert load.night()["fetched"] > 0


def test_a_finished_load_switched_on_again_reads_all_of_it_again(make_world: MakeWorld) -> None:
    load = Nights(make_world([table()], rows(12)), days_to_complete=1)
    load.night()
    again = load.world.ask("PUT", f"/api/v1/schedules/{load.uid}", load.shown | {"is_active": True}).json()
    assert (again["status"], again["progress"]) == ("waiting", 0)
    load.world.sync()  # the sweep that has become due goes first
    run = load.night()
    assert (run["fetched"], run["unchanged"], load.shown["status"]) == (12, 12, "finished")


def test_deleting_a_schedule_stops_its_run_and_gives_the_table_back_to_the_timers(
    make_world: MakeWorld,
) -> None:
    load = Nights(make_world([table()], rows(36)))
    load.compose(budget_s=0)
    load.begin()
    load.world.deliver_one()
    assert load.world.ask("DELETE", f"/api/v1/schedules/{load.uid}").status_code == 204
    assert load.world.runs("t")[-1]["status"] == "cancelled"
    load.world.sync()
    assert load.world.rows("t") == plain(load.world.erp.rows("t"))
    assert load.world.ask("DELETE", f"/api/v1/schedules/{load.uid}").status_code == 404


def test_an_entity_has_one_schedule(make_world: MakeWorld) -> None:
    load = Nights(make_world([table()], rows(2)))
    again = load.world.ask("POST", "/api/v1/schedules", {"entity_uid": load.world.uid("t")})
    assert again.status_code == 409


def test_trouble_that_keeps_tonights_run_from_beginning_shows_at_the_schedule(make_world: MakeWorld) -> None:
    load = Nights(make_world([table()], rows(2)))
    load.world.sql("UPDATE bridge.entities SET pagination = 'page'")
    load.begin()
    assert (load.world.runs("t"), load.shown["error"]["code"]) == ([], "configuration")


def test_a_background_load_ends_with_its_entity(make_world: MakeWorld) -> None:
    load = Nights(make_world([table()], rows(36)))
    load.night()
    load.world.ask("DELETE", f"/api/v1/entities/{load.world.uid('t')}")
    load.begin()
    assert load.world.get("/api/v1/schedules")["items"] == []
    assert load.world.sql("SELECT 1 FROM bridge.background_sync_schedule") == []


def test_the_migration_adds_a_purpose_and_takes_none_away(make_world: MakeWorld) -> None:
    world = make_world([table()], rows(3))
    world.sync()
    check = (
        "SELECT pg_get_constraintdef(oid) AS d FROM pg_constraint WHERE conname = 'sync_runs_purpose_check'"
    )
    purposes = world.sql(check)
    assert all(f"'{name}'" in purposes[0]["d"] for name in ("delta", "sweep", "refresh", "window"))
