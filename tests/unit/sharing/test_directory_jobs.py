"""Workspace objects, job runs and costs, and which jobs the timer makes."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

from shared.sharing.directory_ports import JobRun, ObjectPage, ProjectCost, WorkspaceObject
from tests.unit.sharing.directory_memory import START, World

HOST = "adb-1.azuredatabricks.net"


class Listing:
    """A workspace: pages of objects, and runs of which some still run."""

    def __init__(self, *pages: ObjectPage) -> None:
        self.pages, self.after = pages, list[str]()
        self.runs: dict[int, tuple[datetime, datetime | None]] = {}
        self.windows: list[tuple[datetime, datetime]] = []

    def objects(self, workspace: str, after: str) -> Iterator[ObjectPage]:
        self.after.append(after)
        yield from (page for page in self.pages if page.cursor > after)

    def active_since(self, workspace: str) -> Sequence[datetime]:
        return [began for began, ended in self.runs.values() if ended is None]

    def finished_runs(self, workspace: str, since: datetime, until: datetime) -> Iterator[Sequence[JobRun]]:
        self.windows.append((since, until))
        for id, (began, ended) in self.runs.items():
            if ended is not None and since <= began <= until:
                yield [JobRun(id, 7, "load", "SUCCESS", began, ended)]


class Costs:
    """Days of costs; `asked` keeps the windows."""

    def __init__(self, *costs: ProjectCost) -> None:
        self.rows, self.asked = list(costs), list[tuple[date, date]]()

    def costs(self, subscription: str, first: date, last: date) -> Iterator[Sequence[ProjectCost]]:
        self.asked.append((first, last))
        yield [row for row in self.rows if first <= row.day <= last]


def page(cursor: str, *names: str, complete: bool = True) -> ObjectPage:
    return ObjectPage(tuple(WorkspaceObject(name, "TABLE") for name in names), cursor, complete)


def test_objects_are_listed_in_full_and_the_absent_removed() -> None:
    world = World(listing=Listing(page("a.", "a", "a.s"), page("a.s", "a.s.t1", "a.s.t2")))
    assert world.run("workspace_objects", HOST) == ("success", None)
    world.sources = World(listing=Listing(page("a.", "a", "a.s"), page("a.s", "a.s.t1"))).sources
    assert world.run("workspace_objects", HOST) == ("success", None)
    assert world.ids("workspace_objects", HOST) == {"a", "a.s", "a.s.t1"} and world.counts.removed == 1


def test_what_could_not_be_listed_is_never_taken_for_absent() -> None:
    world = World(listing=Listing(page("a.s", "a.s.t1", "a.s.t2")))
    world.run("workspace_objects", HOST)
    world.sources = World(listing=Listing(page("a.s", "a.s.t1", complete=False))).sources
    status, error = world.run("workspace_objects", HOST)
    assert status == "partial" and error is not None and "could not be listed" in error
    assert world.ids("workspace_objects", HOST) == {"a.s.t1", "a.s.t2"}


def test_doubt_of_an_earlier_delivery_outlives_it() -> None:
    world = World(listing=Listing(page("a.s", "a.s.t1", "a.s.t2")))
    world.run("workspace_objects", HOST)
    pages = (page("a.s", complete=False), page("a.t", "a.t.x"), page("a.u", "a.u.x"))
    listing = Listing(*pages)
    world.sources, world.clock.step, world.options = World(listing=listing).sources, 1.0, {"budget_s": 1.0}
    assert world.run("workspace_objects", HOST)[0] == "partial"
    assert listing.after == ["", "a.s", "a.t", "a.u"]


def test_workspaces_do_not_remove_each_others_objects() -> None:
    world = World(listing=Listing(page("a.s", "a.s.t1")))
    world.run("workspace_objects", "one")
    world.sources = World(listing=Listing(page("b.s", "b.s.t1"))).sources
    world.run("workspace_objects", "two")
    assert world.ids("workspace_objects", "one") == {"a.s.t1"}


def hours_ago(hours: float) -> datetime:
    return START - timedelta(hours=hours)


def test_first_job_takes_a_week_of_runs_a_day_at_a_time() -> None:
    listing = Listing()
    listing.runs = {1: (hours_ago(2), hours_ago(1)), 2: (hours_ago(24 * 9), hours_ago(1))}
    world = World(listing=listing)
    assert world.run("job_metrics", HOST) == ("success", None)
    assert {run for _, run in world.store.runs} == {1}
    assert len(listing.windows) == 7 and listing.windows[0][0] == START - timedelta(days=7)


def test_run_that_outlives_several_jobs_is_taken_when_it_ends() -> None:
    listing = Listing()
    listing.runs = {1: (hours_ago(50), None), 2: (hours_ago(1), None)}
    world = World(listing=listing)
    world.run("job_metrics", HOST)
    for _ in range(3):
        world.clock.pass_(hours=1)
        world.run("job_metrics", HOST)
    listing.runs[1] = (hours_ago(50), world.clock.at)
    world.clock.pass_(hours=1)
    listing.windows.clear()
    world.run("job_metrics", HOST)
    assert {run for _, run in world.store.runs} == {1}
    # Nothing but the hour since, and the moment at which the run began.
    assert listing.windows == [
        (hours_ago(50), hours_ago(50)),
        (world.clock.at - timedelta(hours=1), world.clock.at),
    ]


def test_run_met_twice_is_appended_once() -> None:
    listing = Listing()
    listing.runs = {1: (hours_ago(1), hours_ago(0.5))}
    world = World(listing=listing)
    world.run("job_metrics", HOST)
    world.store.links.clear()
    world.run("job_metrics", HOST)
    assert len(world.store.runs) == 1 and world.counts.unchanged == 1


def test_job_runs_go_on_where_the_budget_ended() -> None:
    listing = Listing()
    listing.runs = {n: (hours_ago(24 * n + 1), hours_ago(24 * n)) for n in range(6)}
    world = World(listing=listing)
    world.clock.step, world.options = 1.0, {"budget_s": 1.0}
    assert world.run("job_metrics", HOST) == ("success", None)
    assert len(world.store.runs) == 6 and len(listing.windows) == 7


def cost(day: int, amount: str, project: str = "finance") -> ProjectCost:
    return ProjectCost(project, date(2026, 11, day), Decimal(amount), "EUR")


def test_costs_are_asked_for_thirty_days_then_from_three_days_before_the_last_job() -> None:
    costs = Costs(cost(20, "1.5"))
    world = World(costs=costs)
    world.run("project_costs", "sub")
    world.clock.pass_(days=2)
    world.run("project_costs", "sub")
    assert costs.asked == [
        (date(2026, 10, 22), date(2026, 11, 21)),
        (date(2026, 11, 18), date(2026, 11, 23)),
    ]


def test_long_gap_is_asked_for_in_windows_of_31_days_that_miss_no_day() -> None:
    costs = Costs()
    world = World(costs=costs)
    world.run("project_costs", "sub")
    costs.asked.clear()
    world.clock.pass_(days=60)
    world.run("project_costs", "sub")
    assert costs.asked == [
        (date(2026, 11, 18), date(2026, 12, 18)),
        (date(2026, 12, 19), date(2027, 1, 18)),
        (date(2027, 1, 19), date(2027, 1, 20)),
    ]


def test_restated_cost_is_appended_and_an_equal_one_is_not() -> None:
    costs = Costs(cost(19, "1.50"), cost(20, "2"))
    world = World(costs=costs)
    world.run("project_costs", "sub")
    costs.rows[1] = cost(20, "2.25")
    world.run("project_costs", "sub")
    assert [row.amount for row in world.store.costs] == [Decimal("1.50"), Decimal(2), Decimal("2.25")]
    assert (world.counts.created, world.counts.unchanged) == (1, 1)


def test_timer_makes_what_is_due_and_sends_it() -> None:
    world = World()
    requests = world.requests(("users", ""), ("project_costs", "sub"))
    assert requests.run() == 2
    assert [(event.kind, event.status) for event in world.store.events] == [
        ("users", "queued"),
        ("project_costs", "queued"),
    ]
    for uid, _ in world.sent:
        world.sync().run(uid)
    world.sent.clear()
    world.clock.pass_(minutes=59)
    assert requests.run() == 0
    world.clock.pass_(minutes=1)
    assert requests.run() == 1


def test_unfinished_job_is_sent_again_and_has_no_second_beside_it() -> None:
    world = World()
    requests = world.requests(("users", ""))
    requests.run()
    world.clock.pass_(days=3)
    assert requests.run() == 1
    assert len(world.store.jobs) == 1 and world.sent[0] == world.sent[1]


def test_job_that_somebody_works_on_is_not_sent() -> None:
    world = World()
    requests = world.requests(("users", ""))
    requests.run()
    world.store.claim(world.sent[0][0])
    assert requests.run() == 0


def test_person_gets_a_job_for_each_scope_at_once() -> None:
    world = World()
    requests = world.requests(("workspace_objects", "one"), ("workspace_objects", "two"), ("users", ""))
    uids = requests.request("workspace_objects", "ann@example.org")
    assert len(set(uids)) == 2 and requests.request("workspace_objects", "bob@example.org") == uids
    assert {event.requested_by for event in world.store.events} == {"ann@example.org"}
    assert world.requests(("users", "")).request("project_costs", "ann@example.org") == []
