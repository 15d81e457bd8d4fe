"""Copies of the directory: versions for what differs, marks that decide what is gone, figures appended once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from threading import Barrier
from uuid import uuid4

import pytest

from shared.adapters.postgres.sharing.directory import DirectoryRecords, Notifications, SyncJobs
from shared.adapters.postgres.sharing.progress import DirectoryProgress, NoticeStore
from shared.errors import FencedError, NotFoundError
from shared.sharing.directory_ports import (
    Counts,
    Delivery,
    Group,
    JobEvent,
    JobRun,
    ProjectCost,
    User,
    WorkspaceObject,
)
from shared.sharing.notices import Notice
from tests.integration.sharing.conftest import Store

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
JOB = uuid4()
EVE = User("u1", "eve@example.org", "Eve")


@pytest.fixture
def records(store: Store) -> DirectoryRecords:
    return DirectoryRecords(store.database)


def test_people_are_written_once_and_change_as_versions(store: Store, records: DirectoryRecords) -> None:
    zoe = User("u2", "zoe@example.org", mail="z@example.org", enabled=False)
    assert records.put("users", "", [EVE, zoe], JOB) == Counts(received=2, created=2)
    assert records.put("users", "", [EVE, zoe], JOB) == Counts(received=2, unchanged=2)
    moved = replace(EVE, mail="eve@example.net")
    assert records.put("users", "", [EVE, moved, zoe], JOB) == Counts(received=3, updated=1, unchanged=1)
    assert records.find("users", "", ["u1", "u2", "u3"]) == {"u1": moved, "u2": zoe}
    assert [
        r["version"]
        for r in store.sql("SELECT version FROM deltashare.users WHERE entra_id = 'u1' ORDER BY 1")
    ] == [1, 2]


def test_more_than_one_batch(records: DirectoryRecords) -> None:
    many = [Group(f"g{n}", f"Group {n}") for n in range(450)]
    assert records.put("groups", "", many, JOB).created == 450
    assert (records.live("groups", ""), records.live("users", "")) == (450, 0)


def test_removed_come_back_as_themselves(records: DirectoryRecords) -> None:
    records.put("users", "", [EVE], JOB)
    assert (records.remove("users", "", ["u1", "nobody"], JOB), records.remove("users", "", ["u1"], JOB)) == (
        1,
        0,
    )
    assert (records.find("users", "", ["u1"]), records.live("users", "")) == ({}, 0)
    assert records.put("users", "", [EVE], JOB) == Counts(received=1, updated=1)
    assert records.find("users", "", ["u1"]) == {"u1": EVE}


def test_objects_of_two_workspaces_do_not_meet(records: DirectoryRecords) -> None:
    table = WorkspaceObject("c.s.t", "TABLE", "ada")
    for scope in ("adb-1", "adb-2"):
        records.put("workspace_objects", scope, [table], JOB)
    records.remove("workspace_objects", "adb-1", ["c.s.t"], JOB)
    assert [records.live("workspace_objects", scope) for scope in ("adb-1", "adb-2")] == [0, 1]


def test_marks_decide_what_is_due(store: Store, records: DirectoryRecords) -> None:
    progress = DirectoryProgress(store.database, lease_s=60)
    records.put("users", "", [User(f"u{n}", f"u{n}@x") for n in range(4)], JOB)
    uid, _ = progress.request("users", "", "timer", NOW)
    claim = progress.claim(uid)
    assert claim is not None
    progress.save(claim, seen=["u0", "u1"], gone=["u2", "u1"])
    assert records.due("users", "", uid, full=False) == ["u1", "u2"]
    assert records.due("users", "", uid, full=True) == ["u1", "u2", "u3"]
    progress.save(claim, seen=["u1"])
    assert records.due("users", "", uid, full=False) == ["u2"]


def test_jobs_are_one_a_kind_and_scope_and_pass_on_where_to_resume(store: Store) -> None:
    progress = DirectoryProgress(store.database, lease_s=60)
    with ThreadPoolExecutor(6) as pool:
        barrier = Barrier(6, timeout=60)

        def ask(_: int) -> tuple[object, bool]:
            barrier.wait()
            return progress.request("users", "", "timer", NOW)

        answers = list(pool.map(ask, range(6)))
    assert len({uid for uid, _ in answers}) == 1 and sum(new for _, new in answers) == 1
    (uid,) = progress.waiting()
    claim = progress.claim(uid)
    assert claim is not None and (claim.resume, claim.cursor) == ("", "")
    assert (progress.claim(uid), progress.waiting()) == (None, [])
    progress.save(replace(claim, cursor="next", counts=Counts(received=7)))
    progress.finish(claim, "success", "delta-link", None)
    assert [job.finished for job in progress.latest()] == [True]
    following, _ = progress.request("users", "", "timer", NOW + timedelta(hours=1))
    again = progress.claim(following)
    assert again is not None and (again.resume, again.counts) == ("delta-link", Counts())


def test_stale_holder_of_a_directory_job_is_fenced(store: Store) -> None:
    progress = DirectoryProgress(store.database, lease_s=60)
    uid, _ = progress.request("groups", "", "timer", NOW)
    stale = progress.claim(uid)
    store.sql("UPDATE deltashare_state.directory_jobs SET lease_until = now()")
    holder = progress.claim(uid)
    assert stale is not None and holder is not None
    for write in (
        lambda: progress.save(stale, seen=["x"]),
        lambda: progress.begin(stale),
        lambda: progress.give_back(stale, 0, None),
        lambda: progress.finish(stale, "success", None, None),
    ):
        with pytest.raises(FencedError):
            write()
    assert store.sql("SELECT 1 AS one FROM deltashare_state.directory_marks") == []
    progress.give_back(holder, 3600, "token=CANARYCANARY refused")
    assert (progress.claim(uid), progress.waiting()) == (None, [])
    assert "CANARY" not in str(store.sql("SELECT error FROM deltashare_state.directory_jobs"))
    with pytest.raises(FencedError):
        progress.save(holder)


def test_job_runs_are_appended_once_and_read_by_who_has_the_workspace(
    store: Store, records: DirectoryRecords
) -> None:
    store.upload()
    run = JobRun(7, 1, "load", "SUCCESS", NOW, NOW + timedelta(minutes=2))
    host = "adb-1.azuredatabricks.net"
    assert records.append_runs(host, [run, replace(run, run_id=8)], JOB) == Counts(received=2, created=2)
    assert records.append_runs(host, [run], JOB) == Counts(received=1, unchanged=1)
    assert records.append_runs("adb-2", [run], JOB).created == 1
    found = [len(records.job_runs(t)) for t in (None, frozenset({"finance"}), frozenset({"sales"}))]
    assert found == [3, 2, 0]


def test_costs_are_restated_as_further_rows_and_the_newest_holds(
    store: Store, records: DirectoryRecords
) -> None:
    store.upload()
    project = store.sql("SELECT project_id FROM deltashare.projects")[0]["project_id"]
    cost = ProjectCost("quarter one", date(2026, 11, 1), Decimal("1.50"), "EUR")
    more, unknown = replace(cost, amount=Decimal("2")), replace(cost, project="nobody's")
    answers = [records.append_costs("sub", [c], JOB) for c in (cost, cost, more, cost, unknown)]
    assert answers == [
        Counts(received=1, created=1), Counts(received=1, unchanged=1), Counts(received=1, updated=1),
        Counts(received=1, updated=1), Counts(received=1, skipped=1),
    ]  # fmt: skip
    assert [row["amount"] for row in records.costs(project, frozenset({"finance"}))] == [Decimal("1.50")]
    assert len(store.sql("SELECT 1 AS one FROM deltashare.project_costs")) == 3
    with pytest.raises(NotFoundError):
        records.costs(project, frozenset({"sales"}))


def test_jobs_are_shown_by_their_newest_line(store: Store) -> None:
    log, uid = SyncJobs(store.database), uuid4()
    event = JobEvent(uid, "users", "", "queued", NOW, "timer")
    for status, counts in (("queued", Counts()), ("running", Counts()), ("success", Counts(received=3))):
        log.record(replace(event, status=status, counts=counts))  # type: ignore[arg-type]
    (shown,) = log.jobs()
    assert (shown["status"], shown["counts"]["received"]) == ("success", 3)
    assert log.jobs(kind="groups") == []


def test_notice_is_kept_once_and_handed_to_one(store: Store) -> None:
    notices, pack = NoticeStore(store.database), uuid4()
    notice = Notice("pack_failed", "k", "Pack failed", "text", ("a@example.org",), pack)
    assert [notices.add(notice, ["email", "webhook"], NOW) for _ in range(2)] == [2, 0]
    with ThreadPoolExecutor(4) as pool:
        taken = [w for some in pool.map(lambda _: notices.claim(NOW, 5), range(4)) for w in some]
    assert sorted(w.channel for w in taken) == ["email", "webhook"] and taken[0].notice == notice
    notices.conclude(taken[0].uid)
    notices.postpone(taken[1].uid, NOW + timedelta(hours=1))
    assert notices.claim(NOW + timedelta(minutes=59), 5) == []
    (again,) = notices.claim(NOW + timedelta(hours=2), 5)
    assert (again.uid, again.attempts) == (taken[1].uid, 1)
    assert notices.claim(NOW + timedelta(hours=2), 5) == []
    assert len(notices.claim(NOW + timedelta(hours=3), 5)) == 1


def test_deliveries_are_logged_and_read_by_the_packs_tenant(store: Store) -> None:
    log, pack = Notifications(store.database), store.upload().pack
    sent = Delivery(
        uuid4(), "k", "pack_failed", "email", "s", "see token=CANARYCANARY", ("a@x",), "sent", 1, NOW, pack.id
    )
    log.record(sent)
    log.record(replace(sent, uid=uuid4()))
    log.record(replace(sent, uid=uuid4(), status="failed", error="refused"))
    assert [len(log.entries(t)) for t in (None, frozenset({"finance"}), frozenset({"sales"}))] == [2, 2, 0]
    assert "CANARY" not in str(log.entries(None))
