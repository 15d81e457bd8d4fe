"""Directory syncs whole: from Graph's and Cost Management's stand-ins into PostgreSQL's history."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from infra.local.microsoft import CostRow, MicrosoftServer
from shared.adapters.cost_management import CostManagement
from shared.adapters.graph import Graph
from shared.adapters.postgres.sharing.directory import DirectoryRecords, SyncJobs
from shared.adapters.postgres.sharing.progress import DirectoryProgress
from shared.errors import FencedError, QueueUnavailableError
from shared.sharing.directory import DirectoryRequests, DirectorySync, Sources
from shared.sharing.directory_ports import Kind
from shared.sharing.directory_rules import judge_removals
from tests.fixtures_microsoft import Rest
from tests.integration.sharing.conftest import Store


class Clock:
    def __init__(self) -> None:
        self.ticks, self.step = 0.0, 0.0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        self.ticks += self.step
        return self.ticks


@dataclass
class World:
    """A sync over real stores; `sent` are the messages it would have queued."""

    store: Store
    sources: Sources
    clock: Clock = field(default_factory=Clock)
    sent: list[UUID] = field(default_factory=list)
    guard: Callable[..., None] = judge_removals

    def __post_init__(self) -> None:
        self.progress = DirectoryProgress(self.store.database, lease_s=60)
        self.records, self.jobs = DirectoryRecords(self.store.database), SyncJobs(self.store.database)

    def sync(self, **options: Any) -> DirectorySync:
        return DirectorySync(
            self.progress,
            self.records,
            self.jobs,
            self.sources,
            self.clock,
            lambda uid, _: self.sent.append(uid),
            lambda *_, **__: None,
            guard=self.guard,
            **options,
        )

    def run(self, kind: Kind, scope: str = "", allowed: int | None = None) -> dict[str, Any]:
        """One job to its end; its newest line in sync_jobs."""
        uid, _ = self.progress.request(kind, scope, "ann@example.org", self.clock.now(), allowed)
        self.sync().run(uid)
        while self.sent:
            self.sync().run(self.sent.pop(0))
        return self.line(uid)

    def line(self, uid: UUID) -> dict[str, Any]:
        rows = self.store.sql(
            "SELECT * FROM deltashare.sync_jobs WHERE job_uid = %s ORDER BY at DESC LIMIT 1", uid
        )
        return rows[0]

    def names(self) -> set[str]:
        rows = self.store.sql(
            "SELECT principal_name FROM deltashare.users WHERE is_current AND NOT is_deleted"
        )
        return {row["principal_name"] for row in rows}

    def versions(self, name: str) -> int:
        rows = self.store.sql("SELECT count(*) AS n FROM deltashare.users WHERE principal_name = %s", name)
        return int(rows[0]["n"])


@pytest.fixture
def world(store: Store, graph: Graph, costs: CostManagement) -> World:
    return World(store, Sources(feed=graph, costs=costs))


def test_people_come_change_go_and_come_back_with_their_history(
    world: World, microsoft: MicrosoftServer
) -> None:
    ann, bob = microsoft.add_user("ann@example.org"), microsoft.add_user("bob@example.org")
    first = world.run("users")
    assert (first["status"], first["counts"]["created"]) == ("success", 2)
    microsoft.change("users", ann, displayName="Ann the First")
    microsoft.remove("users", [bob])
    second = world.run("users")
    assert (second["counts"]["updated"], second["counts"]["removed"]) == (1, 1)
    assert world.names() == {"ann@example.org"} and world.versions("ann@example.org") == 2
    microsoft.people.restore("users", bob)
    world.run("users")
    assert world.names() == {"ann@example.org", "bob@example.org"} and world.versions("bob@example.org") == 3


def test_second_look_at_an_unchanged_directory_makes_no_version(
    world: World, microsoft: MicrosoftServer
) -> None:
    microsoft.add_users(30)
    world.run("users")
    before = world.store.sql("SELECT count(*) AS n FROM deltashare.users")
    microsoft.expire_links()
    again = world.run("users")
    assert (again["status"], again["counts"]["unchanged"]) == ("success", 30)
    assert world.store.sql("SELECT count(*) AS n FROM deltashare.users") == before


@pytest.mark.parametrize("status", [400, 410])
def test_expired_link_lists_everything_again_and_deletes_nobody(
    world: World, microsoft: MicrosoftServer, status: int
) -> None:
    microsoft.switches.expired_status = status
    microsoft.add_users(150)
    world.run("users")
    microsoft.expire_links()
    microsoft.add_user("new@example.org")
    line = world.run("users")
    assert (line["status"], line["counts"]["removed"], line["counts"]["created"]) == ("success", 0, 1)
    assert len(world.names()) == 151


def test_listing_after_an_expiry_removes_who_left_meanwhile(world: World, microsoft: MicrosoftServer) -> None:
    ids = microsoft.add_users(150)
    world.run("users")
    microsoft.expire_links()
    microsoft.people.forget("users", ids[0])
    assert world.run("users")["counts"]["removed"] == 1
    assert len(world.names()) == 149


def test_empty_listing_deletes_nobody_and_says_so(world: World, microsoft: MicrosoftServer) -> None:
    ids = microsoft.add_users(12)
    world.run("users")
    microsoft.expire_links()
    for id in ids:
        microsoft.people.forget("users", id)
    line = world.run("users")
    assert line["status"] == "partial" and "12 of 12" in line["error_message"]
    assert len(world.names()) == 12


def test_mass_removal_is_refused_until_a_person_allows_it(world: World, microsoft: MicrosoftServer) -> None:
    ids = microsoft.add_users(60)
    world.run("users")
    microsoft.remove("users", ids[:11])
    assert world.run("users")["status"] == "partial" and len(world.names()) == 60
    assert world.run("users")["status"] == "partial"  # it is met again, not forgotten
    allowed = world.run("users", allowed=11)
    assert (allowed["status"], allowed["counts"]["removed"]) == ("success", 11)
    assert len(world.names()) == 49
    assert world.run("users")["counts"]["received"] == 0


def test_without_the_guard_a_mass_removal_would_happen(world: World, microsoft: MicrosoftServer) -> None:
    ids = microsoft.add_users(60)
    world.run("users")
    microsoft.remove("users", ids[:11])
    world.guard = lambda *_: None
    world.run("users")
    assert len(world.names()) == 49


def test_walk_that_a_budget_cuts_loses_and_doubles_nothing(world: World, microsoft: MicrosoftServer) -> None:
    microsoft.switches.page_size, microsoft.switches.repeats = 7, True
    microsoft.add_users(50)
    world.clock.step = 1.0
    uid, _ = world.progress.request("users", "", "ann", world.clock.now())
    deliveries = 0
    world.sent.append(uid)
    while world.sent:
        world.sync(budget_s=2.0).run(world.sent.pop(0))
        deliveries += 1
    assert deliveries > 3 and len(world.names()) == 50
    assert world.store.sql("SELECT count(*) AS n FROM deltashare.users")[0]["n"] == 50
    assert world.store.sql("SELECT count(*) AS n FROM deltashare_state.directory_marks")[0]["n"] == 0


def test_delivery_that_died_is_taken_up_from_its_last_page(world: World, microsoft: MicrosoftServer) -> None:
    microsoft.switches.page_size = 10
    microsoft.add_users(40)
    uid, _ = world.progress.request("users", "", "ann", world.clock.now())
    world.sources = Sources(feed=Dying(world.sources.feed, after=3))
    with pytest.raises(KeyboardInterrupt):
        world.sync().run(uid)
    assert world.progress.claim(uid) is None and list(world.progress.waiting()) == []
    world.store.sql("UPDATE deltashare_state.directory_jobs SET lease_until = now() - interval '1 second'")
    asked = microsoft.asked("/users/delta")
    assert list(world.progress.waiting()) == [uid]
    world.sync().run(uid)
    assert world.line(uid)["status"] == "success" and len(world.names()) == 40
    assert microsoft.asked("/users/delta") - asked < 5


class Dying:
    """A feed whose process is killed at a page."""

    def __init__(self, feed: Any, after: int) -> None:
        self.feed, self.left = feed, after

    def delta(self, kind: Any, link: str) -> Any:
        if self.left == 0:
            self.left = 1000
            raise KeyboardInterrupt
        self.left -= 1
        return self.feed.delta(kind, link)


def test_holder_that_lost_its_job_can_write_nothing_more(world: World) -> None:
    uid, _ = world.progress.request("users", "", "ann", world.clock.now())
    old = world.progress.claim(uid)
    assert old is not None
    world.store.sql("UPDATE deltashare_state.directory_jobs SET lease_until = now() - interval '1 second'")
    assert world.progress.claim(uid) is not None
    for write in (
        lambda: world.progress.save(old, ["u1"]),
        lambda: world.progress.begin(old),
        lambda: world.progress.give_back(old, 0, None),
        lambda: world.progress.finish(old, "success", "link", None),
    ):
        with pytest.raises(FencedError):
            write()
    assert world.store.sql("SELECT count(*) AS n FROM deltashare_state.directory_marks")[0]["n"] == 0


def test_trouble_that_lasts_ends_the_job_after_five_tries(
    world: World, microsoft: MicrosoftServer, graph_rest: Rest
) -> None:
    microsoft.fault("/users/delta", 503, times=1000)
    uid, _ = world.progress.request("users", "", "ann", world.clock.now())
    for _ in range(5):
        assert world.progress.waiting() == [uid]
        world.sync().run(uid)
        world.store.sql("UPDATE deltashare_state.directory_jobs SET next_attempt_at = now()")
    assert world.line(uid)["status"] == "failed" and "503" in world.line(uid)["error_message"]
    assert world.progress.waiting() == []


def test_two_requests_at_once_are_one_job(world: World) -> None:
    def request(_: int) -> tuple[UUID, bool]:
        return world.progress.request("groups", "", "ann", world.clock.now())

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(request, range(8)))
    assert len({uid for uid, _ in found}) == 1 and sum(fresh for _, fresh in found) == 1


def test_person_who_allows_removals_joins_the_job_that_waits(world: World) -> None:
    uid, _ = world.progress.request("users", "", "timer", world.clock.now())
    assert world.progress.request("users", "", "ann", world.clock.now(), 40) == (uid, False)
    claim = world.progress.claim(uid)
    assert claim is not None and claim.allowed_removals == 40


def test_job_whose_message_was_lost_is_sent_by_the_next_tick(world: World) -> None:
    def refuse(uid: UUID, delay_s: float) -> None:
        raise QueueUnavailableError("queue: down")

    wanted = [("users", "")]
    broken = DirectoryRequests(world.progress, world.jobs, world.clock, lambda: wanted, refuse)  # type: ignore[arg-type,return-value]
    with pytest.raises(QueueUnavailableError):
        broken.run()
    sent: list[UUID] = []
    whole = DirectoryRequests(
        world.progress,
        world.jobs,
        world.clock,
        lambda: wanted,
        lambda uid, _: sent.append(uid),  # type: ignore[arg-type,return-value]
    )
    assert whole.run() == 1 and len(sent) == 1


def test_costs_are_appended_restated_and_skipped_where_no_project_is(
    world: World, microsoft: MicrosoftServer
) -> None:
    tenant, project = uuid4(), uuid4()
    for table, id_, columns, values in (
        ("tenants", tenant, "name", ("finance",)),
        ("projects", project, "tenant_id, name", (tenant, "Quarter One")),
    ):
        world.store.sql(
            f"INSERT INTO deltashare.{table} (record_id, {table[:-1]}_id, {columns}, version, effective_from,"
            " is_current, created_by, change_reason)"
            f" VALUES (gen_random_uuid(), %s, {', '.join(['%s'] * len(values))}, 1, now(), true, 'test', 'test')",
            id_,
            *values,
        )
    today = world.clock.now().date()
    microsoft.add_cost(CostRow("quarter one", today, Decimal("1.5")))
    microsoft.add_cost(CostRow("unheard of", today, Decimal("9")))
    first = world.run("project_costs", microsoft.subscription)
    assert (first["status"], first["counts"]["created"], first["counts"]["skipped"]) == ("success", 1, 1)
    microsoft.add_cost(CostRow("quarter one", today, Decimal("1.75")))
    world.run("project_costs", microsoft.subscription)
    world.run("project_costs", microsoft.subscription)
    rows = world.store.sql("SELECT amount, day FROM deltashare.project_costs ORDER BY revision")
    assert [row["amount"] for row in rows] == [Decimal("1.5"), Decimal("1.75")]
    assert isinstance(rows[0]["day"], date)
