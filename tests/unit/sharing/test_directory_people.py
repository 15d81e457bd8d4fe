"""Users and groups by delta links: what is kept, and above all what is not removed."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.sharing.directory_errors import DirectoryUnavailableError, LinkExpiredError
from shared.sharing.directory_ports import DeltaItem, DeltaPage, User
from tests.unit.sharing.directory_memory import World

Script = dict[str, Any]


class Feed:
    """Pages by link, the first under the empty one; an exception in a page's place is raised."""

    def __init__(self, **pages: DeltaPage | BaseException) -> None:
        self.pages: Script = {name.removeprefix("at_"): page for name, page in pages.items()}
        self.asked: list[str] = []

    def delta(self, kind: str, link: str) -> DeltaPage:
        self.asked.append(link)
        page = self.pages[link]
        if isinstance(page, BaseException):
            raise page
        return page


def user(id: str, **values: str | bool | None) -> DeltaItem:
    return DeltaItem(id, {"userPrincipalName": f"{id}@example.org", "accountEnabled": True} | values)


def gone(*ids: str) -> tuple[DeltaItem, ...]:
    return tuple(DeltaItem(id, removed=True) for id in ids)


def people(count: int) -> tuple[DeltaItem, ...]:
    return tuple(user(f"u{n}") for n in range(count))


def world_of(count: int, **more: DeltaPage | Exception) -> tuple[World, Feed]:
    """A world that has synced so many users, whose next link is `d1`."""
    feed = Feed(at_=DeltaPage(people(count), delta_link="d1"), **more)
    world = World(feed=feed)
    assert world.run("users") == ("success", None)
    return world, feed


def test_first_walk_lists_everything_and_keeps_the_delta_link() -> None:
    feed = Feed(at_=DeltaPage(people(2), "n1"), n1=DeltaPage((user("u9"),), delta_link="d1"))
    world = World(feed=feed)
    assert world.run("users") == ("success", None)
    assert world.ids("users") == {"u0", "u1", "u9"}
    assert world.store.links == {("users", ""): "d1"}
    assert [event.status for event in world.store.events] == ["running", "success"]
    assert world.counts.created == 3


def test_next_walk_asks_for_changes_only() -> None:
    world, feed = world_of(3, d1=DeltaPage((user("u1", displayName="New"),), delta_link="d2"))
    assert world.run("users") == ("success", None)
    assert feed.asked == ["", "d1"]
    assert world.counts.updated == 1 and world.ids("users") == {"u0", "u1", "u2"}


def test_properties_that_a_change_does_not_name_stay() -> None:
    change = DeltaItem("u0", {"displayName": "Ann"})
    world, _ = world_of(1, d1=DeltaPage((change,), delta_link="d2"))
    world.run("users")
    kept = world.store.entities[("users", "")]["u0"]
    assert kept == User("u0", "u0@example.org", "Ann", None, True)


def test_properties_that_became_null_are_cleared() -> None:
    pages = {"at_": DeltaPage((user("u0", mail="a@b.c"),), delta_link="d1")}
    world = World(feed=Feed(**pages, d1=DeltaPage((DeltaItem("u0", {"mail": None}),), delta_link="d2")))
    world.run("users")
    world.run("users")
    assert getattr(world.store.entities[("users", "")]["u0"], "mail", "") is None


def test_removed_user_is_removed() -> None:
    world, _ = world_of(3, d1=DeltaPage(gone("u1"), delta_link="d2"))
    assert world.run("users") == ("success", None)
    assert world.ids("users") == {"u0", "u2"} and world.counts.removed == 1


def test_user_removed_and_restored_within_a_walk_stays() -> None:
    world, _ = world_of(3, d1=DeltaPage(gone("u1"), "n2"), n2=DeltaPage((user("u1"),), delta_link="d2"))
    world.run("users")
    assert world.ids("users") == {"u0", "u1", "u2"}


def test_entry_that_stands_twice_counts_once_with_its_last_word() -> None:
    page = DeltaPage(
        (*gone("u1"), user("u1", displayName="Last"), user("u1", displayName="Very last")), delta_link="d2"
    )
    world, _ = world_of(2, d1=page)
    world.run("users")
    assert getattr(world.store.entities[("users", "")]["u1"], "display_name", "") == "Very last"


@pytest.mark.parametrize("again", [people(5), people(5)[:4]])
def test_expired_link_lists_everything_again_and_the_expiry_itself_removes_nobody(
    again: tuple[DeltaItem, ...],
) -> None:
    world, feed = world_of(5, d1=LinkExpiredError("too old"))
    feed.pages[""] = DeltaPage(again, delta_link="d9")
    assert world.run("users") == ("success", None)
    # Only who is missing from a complete listing goes.
    assert world.ids("users") == {item.id for item in again}
    assert world.counts.removed == 5 - len(again)
    assert world.store.links[("users", "")] == "d9"
    assert "delta_link_expired" in world.told


def test_link_that_expires_within_a_walk_starts_it_again() -> None:
    world, feed = world_of(3, d1=DeltaPage(gone("u0"), "n2"), n2=LinkExpiredError("too old"))
    assert world.run("users") == ("success", None)
    # The removal that the broken walk told of is not taken from it.
    assert feed.asked == ["", "d1", "n2", ""] and world.ids("users") == {"u0", "u1", "u2"}


def test_full_walk_whose_link_expires_fails_instead_of_going_round() -> None:
    world = World(feed=Feed(at_=DeltaPage(people(1), "n1"), n1=LinkExpiredError("too old")))
    assert world.run("users") == ("failed", "too old")


def test_empty_change_page_removes_nobody() -> None:
    world, _ = world_of(50, d1=DeltaPage((), "n2"), n2=DeltaPage((), delta_link="d2"))
    assert world.run("users") == ("success", None)
    assert len(world.ids("users")) == 50 and world.counts.removed == 0


def test_empty_full_listing_removes_nobody_and_says_so() -> None:
    world, feed = world_of(5, d1=LinkExpiredError("too old"))
    feed.pages[""] = DeltaPage((), delta_link="d9")
    status, error = world.run("users")
    assert status == "partial" and error is not None and "5 of 5" in error
    assert len(world.ids("users")) == 5
    assert world.store.links[("users", "")] == ""  # the next job lists everything again


def test_empty_full_listing_would_remove_everybody_without_the_guard() -> None:
    world, feed = world_of(5, d1=LinkExpiredError("too old"))
    feed.pages[""] = DeltaPage((), delta_link="d9")
    world.options = {"guard": lambda *_: None}
    world.run("users")
    assert world.ids("users") == set()


def test_listing_cut_short_removes_nobody() -> None:
    world, feed = world_of(5, d1=LinkExpiredError("too old"))
    feed.pages[""] = DeltaPage(people(2), "n1")
    feed.pages["n1"] = DirectoryUnavailableError("down")
    status, _ = world.run("users")
    assert status == "failed" and len(world.ids("users")) == 5


def many_removals() -> tuple[World, Feed]:
    return world_of(100, d1=DeltaPage(gone(*(f"u{n}" for n in range(11))), delta_link="d2"))


def test_removals_above_ten_percent_and_ten_records_are_refused_and_the_link_stays() -> None:
    world, _ = many_removals()
    status, error = world.run("users")
    assert status == "partial" and error is not None
    assert "11 of 100" in error and "AllowRemovals" in error
    assert len(world.ids("users")) == 100 and world.store.links[("users", "")] == "d1"


def test_removals_above_the_guard_happen_without_it() -> None:
    world, _ = many_removals()
    world.options = {"guard": lambda *_: None}
    assert world.run("users") == ("success", None)
    assert len(world.ids("users")) == 89


def test_a_person_may_allow_what_the_guard_refuses_once() -> None:
    world, _ = many_removals()
    assert world.run("users", allowed=10)[0] == "partial"
    assert world.run("users", allowed=11) == ("success", None)
    assert len(world.ids("users")) == 89


def test_ten_removals_of_ten_are_let_through_in_a_delta_walk() -> None:
    world, _ = world_of(10, d1=DeltaPage(gone(*(f"u{n}" for n in range(10))), delta_link="d2"))
    assert world.run("users") == ("success", None)


def test_budget_ends_a_delivery_and_a_continuation_goes_on_from_the_page() -> None:
    pages = {f"n{n}": DeltaPage((user(f"u{n}"),), f"n{n + 1}") for n in range(1, 5)}
    feed = Feed(at_=DeltaPage((user("u0"),), "n1"), **pages, n5=DeltaPage((), delta_link="d1"))
    world = World(feed=feed)
    world.clock.step, world.options = 1.0, {"budget_s": 2.0}
    assert world.run("users") == ("success", None)
    assert world.ids("users") == {f"u{n}" for n in range(5)}
    assert feed.asked == ["", "n1", "n2", "n3", "n4", "n5"]
    assert world.counts.received == 5


def test_marks_of_an_attempt_that_began_again_are_forgotten() -> None:
    """Somebody seen by a walk that failed on its first page, and deleted before the next, must not live for ever."""
    world, feed = world_of(3, d1=LinkExpiredError("too old"))
    uid, _ = world.store.request("users", "", "ann", world.clock.at)
    world.store.marks[uid] = {"u2": True}
    feed.pages[""] = DeltaPage(people(2), delta_link="d9")
    world.sync().run(uid)
    assert world.ids("users") == {"u0", "u1"}


def test_next_links_in_a_circle_fail_the_job() -> None:
    world = World(feed=Feed(at_=DeltaPage((), "n1"), n1=DeltaPage((), "n2"), n2=DeltaPage((), "n1")))
    status, error = world.run("users")
    assert status == "failed" and error is not None and "circle" in error


def test_trouble_that_may_pass_is_tried_again_and_fails_in_the_end() -> None:
    world = World(feed=Feed(at_=DirectoryUnavailableError("down")))
    started = world.clock.at
    assert world.run("users") == ("failed", "down")
    assert (world.clock.at - started).total_seconds() == 60 + 120 + 240 + 480
    assert world.told.count("directory_sync_postponed") == 4


def test_job_that_kills_every_delivery_fails_in_the_end() -> None:
    world = World(feed=Feed(at_=KeyboardInterrupt()))
    uid, _ = world.store.request("users", "", "ann", world.clock.at)
    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            world.sync().run(uid)
        world.store.die(uid)
    world.sync().run(uid)
    status, error = world.store.ended[uid]
    assert status == "failed" and error is not None and "died" in error


def test_page_that_is_kept_makes_patience_anew() -> None:
    feed = Feed(at_=DeltaPage(people(1), "n1"), n1=DirectoryUnavailableError("down"))
    world = World(feed=feed)
    uid, _ = world.store.request("users", "", "ann", world.clock.at)
    for _ in range(3):
        world.sync().run(uid)
        world.clock.pass_(hours=1)
    feed.pages["n1"] = DeltaPage((), "n2")
    feed.pages["n2"] = DirectoryUnavailableError("down")
    world.sync().run(uid)
    assert world.store.jobs[uid].failures == 0 and uid not in world.store.ended


def test_service_that_asks_for_a_pause_gets_it() -> None:
    world = World(feed=Feed(at_=DirectoryUnavailableError("busy", retry_after_s=900)))
    uid, _ = world.store.request("users", "", "ann", world.clock.at)
    world.sync().run(uid)
    assert world.sent == [(uid, 900.0)]


def test_second_delivery_of_a_held_or_finished_job_does_nothing() -> None:
    world, feed = world_of(1)
    (uid,) = world.store.jobs
    world.sync().run(uid)
    held, _ = world.store.request("groups", "", "ann", world.clock.at)
    world.store.claim(held)
    world.sync().run(held)
    assert feed.asked == [""]


def test_delivery_that_lost_its_job_removes_and_reports_nothing() -> None:
    world, feed = world_of(3, d1=DeltaPage(gone("u1"), delta_link="d2"))
    uid, _ = world.store.request("users", "", "ann", world.clock.at)
    before = len(world.store.events)
    answer: Callable[..., DeltaPage] = feed.delta

    def lose(kind: str, link: str) -> DeltaPage:
        world.store.lose(uid)
        return answer(kind, link)

    feed.delta = lose  # type: ignore[method-assign]
    world.sync().run(uid)
    assert world.ids("users") == {"u0", "u1", "u2"}
    assert [event.status for event in world.store.events[before:]] == ["running"]
    assert "directory_sync_fenced" in world.told


def test_delivery_that_loses_its_job_before_removing_removes_nothing() -> None:
    world, _ = world_of(3, d1=DeltaPage(gone("u1"), delta_link="d2"))
    uid, _ = world.store.request("users", "", "ann", world.clock.at)
    world.options = {"guard": lambda *_: world.store.lose(uid)}
    world.sync().run(uid)
    assert world.ids("users") == {"u0", "u1", "u2"} and "directory_sync_fenced" in world.told


def test_users_without_a_name_are_skipped_and_counted() -> None:
    world = World(
        feed=Feed(at_=DeltaPage((DeltaItem("u0", {"displayName": "x"}), user("u1")), delta_link="d1"))
    )
    world.run("users")
    assert world.ids("users") == {"u1"} and world.counts.skipped == 1


def test_groups_come_by_their_display_name() -> None:
    item = DeltaItem("g1", {"displayName": "Finance", "securityEnabled": False})
    world = World(feed=Feed(at_=DeltaPage((item,), delta_link="d1")))
    assert world.run("groups") == ("success", None)
    assert world.ids("groups") == {"g1"}


def test_missing_settings_fail_the_job_and_name_themselves() -> None:
    status, error = World().run("users")
    assert status == "failed" and error is not None and "GRAPH_CLIENT_ID" in error
