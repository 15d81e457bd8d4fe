"""Applications, their journal, leases and plans: one holder at a time, stale ones fenced, by PostgreSQL's clock."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from shared.adapters.postgres.sharing.journal import JournalError, PostgresJournal
from shared.adapters.postgres.sharing.leases import PostgresLeases
from shared.errors import ConflictError, FencedError, ForbiddenError, QueueUnavailableError
from shared.failpoints import FailpointError, arm
from shared.sharing.claims import Claim, Ignore
from shared.sharing.errors import LeaseHeldError
from shared.sharing.ports import Entry
from shared.sharing.views import Actor, State
from tests.integration.sharing.conftest import ADA, BEN, WORKSPACE, Store

HASH = "h" * 64


@pytest.fixture
def claim(store: Store) -> Claim:
    return store.claim(store.upload().pack.id, "m1")


def run_out(store: Store) -> None:
    store.sql("UPDATE deltashare_state.applications SET lease_until = now() - interval '1 s'")
    store.sql("UPDATE deltashare_state.leases SET lease_until = now() - interval '1 s'")


def journal(store: Store, claim: Claim) -> PostgresJournal:
    return PostgresJournal(store.database, claim, lease_s=60)


# claims


def test_doubled_message_is_ignored_while_the_first_works(store: Store, claim: Claim) -> None:
    answer = store.applications.claim(claim.application_uid, "m2", 1)
    assert answer == Ignore("held by another delivery")
    assert store.applications.claim(claim.application_uid, "m1", 1) == answer
    assert store.applications.claim(uuid4(), "m", 1) == Ignore("no such application")


def test_holders_own_message_come_back_and_a_lease_run_out_take_over(store: Store, claim: Claim) -> None:
    back = store.claim(claim.share_pack_id, "m1", 2)
    run_out(store)
    late = store.claim(claim.share_pack_id, "m3")
    assert (claim.epoch, back.epoch, late.epoch) == (1, 2, 3)
    for stale in (claim, back):
        with pytest.raises(FencedError):
            store.applications.renew(stale)
    store.applications.renew(late)


def test_of_ten_deliveries_at_once_one_gets_the_application(store: Store) -> None:
    pack, barrier = store.upload().pack, Barrier(10, timeout=60)
    uid = store.application_of(pack.id)

    def deliver(number: int) -> object:
        barrier.wait()
        return store.applications.claim(uid, f"m{number}", 1)

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(deliver, range(10)))
    assert sum(isinstance(answer, Claim) for answer in answers) == 1


@pytest.mark.parametrize("leave", ["finish", "await_approval", "back_off"])
def test_stale_holder_cannot_end_anything(store: Store, claim: Claim, leave: str) -> None:
    run_out(store)
    store.claim(claim.share_pack_id, "m2")
    with pytest.raises(FencedError):
        match leave:
            case "finish":
                store.applications.finish(claim, State.COMPLETED, reason="late")
            case "await_approval":
                store.applications.await_approval(claim, reason="late")
            case _:
                store.applications.back_off(claim, LeaseHeldError("x"), 5)
    assert [v.state for v in store.packs.history(claim.share_pack_id, None)] == ["IN_PROGRESS"]


def test_back_off_waits_and_leaves_its_message(store: Store, claim: Claim) -> None:
    store.applications.send_outbox(lambda *_: None)
    store.applications.back_off(claim, LeaseHeldError("q1: held"), 120)
    delays: list[int] = []
    store.applications.send_outbox(lambda _body, delay: delays.append(delay))
    assert 115 <= delays[0] <= 120
    row = store.sql("SELECT status, failures, error->>'code' AS code FROM deltashare_state.applications")
    assert row == [{"status": "queued", "failures": 1, "code": "lease_held"}]


def test_message_stays_until_the_queue_takes_it(store: Store) -> None:
    store.upload()

    def refuse(_body: str, _delay: int) -> None:
        raise QueueUnavailableError("queue: down")

    with pytest.raises(QueueUnavailableError):
        store.applications.send_outbox(refuse)
    assert store.applications.send_outbox(lambda *_: None) == 1


def test_lost_message_is_sent_again_and_a_held_or_finished_one_is_not(store: Store) -> None:
    claims = [store.claim(store.upload(f"{n}").pack.id) for n in range(3)]
    store.applications.send_outbox(lambda *_: None)
    store.applications.finish(claims[0], State.COMPLETED, reason="done")
    store.sql("UPDATE deltashare_state.applications SET sent_at = now() - interval '1 hour'")
    assert store.applications.remind() == 0
    store.sql(
        "UPDATE deltashare_state.applications SET lease_until = now() WHERE application_uid = %s",
        claims[1].application_uid,
    )
    assert (store.applications.remind(), store.applications.remind()) == (1, 0)
    sent: list[str] = []
    store.applications.send_outbox(lambda body, _delay: sent.append(body))
    assert [str(claims[1].application_uid) in body for body in sent] == [True]


def test_pack_has_at_most_one_unfinished_application(store: Store, claim: Claim) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation):
        store.sql(
            "INSERT INTO deltashare_state.applications (application_uid, share_pack_id, pack_version, requested_by)"
            " VALUES (gen_random_uuid(), %s, 1, 't')",
            claim.share_pack_id,
        )


# the journal


def test_journal_keeps_intents_and_results_in_order(store: Store, claim: Claim) -> None:
    log = journal(store, claim)
    log.intend(0, "create_share q1")
    log.conclude(0, "done", {"share": "q1"})
    log.intend(1, "grant q1")
    log.conclude(1, "failed", {"error": "refused"})
    log.intend(1, "grant q1")
    log.intend(2, "own q1")
    assert log.entries() == [
        Entry(0, "create_share q1", "done", {"share": "q1"}),
        Entry(1, "grant q1", "intended", {}),
        Entry(2, "own q1", "intended", {}),
    ]
    steps = store.packs.get(claim.share_pack_id, None).steps
    assert [(s.position, s.status) for s in steps] == [(0, "done"), (1, "intended"), (2, "intended")]


def test_next_holder_finds_what_the_first_intended_and_the_first_is_fenced(
    store: Store, claim: Claim
) -> None:
    first = journal(store, claim)
    first.intend(0, "create_share q1")
    run_out(store)
    second = journal(store, store.claim(claim.share_pack_id, "m2"))
    for write in (lambda: first.conclude(0, "done"), lambda: first.intend(1, "grant q1")):
        with pytest.raises(FencedError):
            write()
    assert second.entries() == [Entry(0, "create_share q1", "intended", {})]
    second.conclude(0, "done")


def test_done_steps_stay_done_and_unknown_ones_cannot_be_concluded(store: Store, claim: Claim) -> None:
    log = journal(store, claim)
    log.intend(0, "a")
    log.conclude(0, "done")
    with pytest.raises(JournalError, match="done already"):
        log.intend(0, "a")
    with pytest.raises(JournalError, match="not intended"):
        log.conclude(7, "done")


def test_writing_the_journal_renews_the_claim(store: Store, claim: Claim) -> None:
    store.sql("UPDATE deltashare_state.applications SET lease_until = now() + interval '1 s'")
    journal(store, claim).intend(0, "a")
    left = store.sql(
        "SELECT lease_until > now() + interval '50 s' AS long FROM deltashare_state.applications"
    )
    assert left == [{"long": True}]


def test_credentials_never_reach_journal_plan_error_or_trail(store: Store, claim: Claim) -> None:
    link = "https://x.azuredatabricks.net/delta_sharing/retrieve_config.html?data_sharing_activation=CANARY"
    log = journal(store, claim)
    log.intend(0, "create_recipient auditor")
    log.conclude(0, "done", {"activation_url": link, "note": f"see {link}", "token_id": "t-1"})
    store.applications.finish(claim, State.FAILED, reason="x", error=LeaseHeldError("Bearer CANARYCANARY"))
    dump = "".join(
        str(store.sql(f"SELECT * FROM {table}"))
        for table in ("deltashare_state.journal", "deltashare_state.applications", "deltashare.audit_trail")
    ) + str(store.sql("SELECT error_message FROM deltashare.share_packs"))
    assert "CANARY" not in dump and "t-1" in dump


# leases


def test_leases_are_all_or_none_in_any_order(store: Store) -> None:
    leases = PostgresLeases(store.database)
    mine, yours = uuid4(), uuid4()
    with leases.hold(WORKSPACE, ["share:b", "recipient:a"], mine):
        with (
            pytest.raises(LeaseHeldError, match="recipient:a"),
            leases.hold(WORKSPACE, ["share:z", "recipient:a"], yours),
        ):
            pytest.fail("held twice")
        with leases.hold(WORKSPACE, ["share:z"], yours), leases.hold("https://adb-2", ["share:b"], uuid4()):
            pass
    with leases.hold(WORKSPACE, ["share:b", "recipient:a"], yours):
        pass


def test_of_many_holders_at_once_exactly_one_is_inside(store: Store) -> None:
    leases, barrier = PostgresLeases(store.database), Barrier(6, timeout=60)
    inside, most, entered = [0], [0], [0]

    def work(number: int) -> None:
        for _ in range(15):
            barrier.wait()
            names = ["share:a", "share:b", f"share:{number}"]
            try:
                with leases.hold(WORKSPACE, names[:: -1 if number % 2 else 1], uuid4()):
                    inside[0] += 1
                    entered[0] += 1
                    most[0] = max(most[0], inside[0])
                    inside[0] -= 1
            except LeaseHeldError:
                continue

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert most[0] == 1 and entered[0] >= 15


def test_lease_that_ran_out_is_taken_over_and_its_holder_hears_of_it(store: Store, claim: Claim) -> None:
    leases, others = PostgresLeases(store.database, renews=False), PostgresLeases(store.database)
    log = PostgresJournal(store.database, claim, lease_s=60, leases=leases)
    with pytest.raises(FencedError), leases.hold(WORKSPACE, ["share:q1"], claim.application_uid):
        log.intend(0, "a")
        store.sql("UPDATE deltashare_state.leases SET lease_until = now() - interval '1 s'")
        with others.hold(WORKSPACE, ["share:q1"], uuid4()):
            with pytest.raises(FencedError):
                log.conclude(0, "done")
            with pytest.raises(FencedError):
                leases.renew(claim.application_uid)
    assert journal(store, claim).entries() == [Entry(0, "a", "intended", {})]


def test_leaving_late_does_not_free_what_another_took(store: Store) -> None:
    first, second = (PostgresLeases(store.database, renews=False) for _ in range(2))
    with pytest.raises(FencedError), first.hold(WORKSPACE, ["share:q1"], uuid4()):
        store.sql("UPDATE deltashare_state.leases SET lease_until = now() - interval '1 s'")
        second_hold = second.hold(WORKSPACE, ["share:q1"], uuid4())
        second_hold.__enter__()
        first.renew(next(iter(first._held)))
    with pytest.raises(LeaseHeldError), first.hold(WORKSPACE, ["share:q1"], uuid4()):
        pass
    second_hold.__exit__(None, None, None)


def test_same_application_takes_its_leases_again_after_a_crash_with_a_higher_fence(store: Store) -> None:
    holder = uuid4()
    first, second = (PostgresLeases(store.database, renews=False) for _ in range(2))
    crashed = first.hold(WORKSPACE, ["share:q1"], holder)
    crashed.__enter__()
    with second.hold(WORKSPACE, ["share:q1"], holder):
        with pytest.raises(FencedError):
            first.renew(holder)
        with pytest.raises(FencedError):
            crashed.__exit__(None, None, None)
        second.renew(holder)


def test_held_leases_are_renewed_by_themselves(store: Store) -> None:
    leases, holder, seen = PostgresLeases(store.database, lease_s=1.5), uuid4(), Event()
    with leases.hold(WORKSPACE, ["share:q1"], holder):
        first = store.sql("SELECT lease_until FROM deltashare_state.leases")[0]["lease_until"]
        for _ in range(200):
            if store.sql("SELECT lease_until FROM deltashare_state.leases")[0]["lease_until"] > first:
                seen.set()
                break
            Event().wait(0.1)
    assert seen.is_set()


# plans and approvals


@pytest.fixture
def waiting(store: Store, claim: Claim) -> Claim:
    store.plans.keep(claim, HASH, {"actions": [{"kind": "grant"}]}, widens=True)
    store.applications.await_approval(claim, reason="widens exposure")
    return claim


def test_approval_signs_the_newest_plan_and_queues_its_application(store: Store, waiting: Claim) -> None:
    assert store.applications.claim(waiting.application_uid, "m", 1) == Ignore("waits for an approval")
    assert not store.plans.is_approved(waiting.application_uid, HASH)
    store.applications.send_outbox(lambda *_: None)
    store.plans.approve(waiting.share_pack_id, None, HASH, by=BEN)
    assert store.plans.is_approved(waiting.application_uid, HASH)
    assert not store.plans.is_approved(waiting.application_uid, "other")
    plan = store.plans.newest(waiting.share_pack_id, None)
    assert (plan.decision, plan.approver_oid, plan.document["actions"]) == (
        "approved",
        BEN.subject,
        [{"kind": "grant"}],
    )
    assert store.applications.send_outbox(lambda *_: None) == 1
    assert store.claim(waiting.share_pack_id).application_uid == waiting.application_uid
    trail = store.sql("SELECT actor, plan_hash FROM deltashare.audit_trail WHERE action = 'plan.approved'")
    assert trail == [{"actor": BEN.name, "plan_hash": HASH}]


def test_stale_or_second_approval_is_refused(store: Store, waiting: Claim) -> None:
    with pytest.raises(ConflictError, match="another one now"):
        store.plans.approve(waiting.share_pack_id, None, "old" * 20, by=BEN)
    store.plans.approve(waiting.share_pack_id, None, HASH, by=BEN)
    with pytest.raises(ConflictError, match="nothing waits"):
        store.plans.approve(waiting.share_pack_id, None, HASH, by=BEN)


@pytest.mark.parametrize("actor", [ADA, Actor("oid-of-a-second-account", "ADA@example.org", False, None)])
def test_requestor_decides_nothing_about_the_own_pack(store: Store, waiting: Claim, actor: Actor) -> None:
    decisions: list[Callable[[], Any]] = [
        lambda: store.plans.approve(waiting.share_pack_id, None, HASH, by=actor),
        lambda: store.plans.reject(waiting.share_pack_id, None, "no", by=actor),
    ]
    for decide in decisions:
        with pytest.raises(ForbiddenError):
            decide()
    assert store.packs.get(waiting.share_pack_id, None).state is State.AWAITING_APPROVAL
    assert store.sql("SELECT 1 AS one FROM deltashare_state.approvals") == []


def test_app_that_uploaded_for_somebody_cannot_approve_it(store: Store) -> None:
    robot = Actor("oid-robot", "robot", True, None)
    claim = store.claim(store.upload(uploader=robot, requestor_oid="").pack.id)
    store.plans.keep(claim, HASH, {}, widens=True)
    store.applications.await_approval(claim, reason="widens")
    with pytest.raises(ForbiddenError):
        store.plans.approve(claim.share_pack_id, None, HASH, by=robot)


def test_who_uploaded_again_cannot_approve_the_plan_that_stands(store: Store, claim: Claim) -> None:
    store.plans.keep(claim, HASH, {}, widens=True)
    store.applications.finish(claim, State.FAILED, reason="no workspace for a day")
    robot = Actor("oid-robot", "robot", True, None)
    assert store.upload(uploader=robot).outcome == "resumed"
    again = store.claim(claim.share_pack_id, "m2")
    store.plans.keep(again, HASH, {}, widens=True)
    store.applications.await_approval(again, reason="widens")
    with pytest.raises(ForbiddenError):
        store.plans.approve(claim.share_pack_id, None, HASH, by=robot)
    store.plans.approve(claim.share_pack_id, None, HASH, by=BEN)


def test_database_itself_holds_approver_and_requestor_apart(store: Store, waiting: Claim) -> None:
    insert = (
        "INSERT INTO deltashare_state.approvals (approval_uid, plan_uid, plan_hash, decision, approver_oid,"
        " approver_name, requestor, requestor_oid, uploader_oid) SELECT gen_random_uuid(), plan_uid, plan_hash,"
        " 'approved', 'oid-ada', 'x', requestor, {}, uploader_oid FROM deltashare_state.plans"
    )
    with pytest.raises(psycopg.errors.CheckViolation, match="approvals_by_another"):
        store.sql(insert.format("requestor_oid"))
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        store.sql(insert.format("'somebody else'").replace("uploader_oid FROM", "'' FROM"))
    store.sql("ALTER TABLE deltashare_state.approvals DROP CONSTRAINT approvals_by_another")
    store.sql(insert.format("requestor_oid"))


def test_rejection_ends_the_pack_and_the_same_bytes_ask_anew(store: Store, waiting: Claim) -> None:
    store.plans.reject(waiting.share_pack_id, None, "too wide", by=BEN)
    pack = store.packs.get(waiting.share_pack_id, None)
    assert (pack.state, pack.error_message) == (State.REJECTED, "too wide")
    assert store.plans.newest(pack.id, None).reason == "too wide"
    assert store.upload().outcome == "reopened"
    claim = store.claim(pack.id)
    assert claim.application_uid != waiting.application_uid
    store.plans.keep(claim, HASH, {}, widens=True)
    assert not store.plans.is_approved(claim.application_uid, HASH)


def test_plan_of_a_stale_holder_is_not_kept(store: Store, claim: Claim) -> None:
    run_out(store)
    store.claim(claim.share_pack_id, "m2")
    with pytest.raises(FencedError):
        store.plans.keep(claim, HASH, {}, widens=False)
    assert store.sql("SELECT 1 AS one FROM deltashare_state.plans") == []


def test_same_plan_made_again_is_the_same_plan(store: Store, claim: Claim) -> None:
    first: UUID = store.plans.keep(claim, HASH, {}, widens=True)
    other = store.plans.keep(claim, "x" * 64, {}, widens=True)
    assert store.plans.keep(claim, HASH, {}, widens=True) == first != other
    assert store.plans.newest(claim.share_pack_id, None).plan_uid == first


# dying in the middle


def test_dying_before_the_commit_leaves_nothing_and_after_it_everything(store: Store, claim: Claim) -> None:
    with pytest.raises(FailpointError):
        failing(
            "application.before_commit",
            lambda: store.applications.finish(claim, State.COMPLETED, reason="done"),
        )
    assert store.packs.get(claim.share_pack_id, None).state is State.IN_PROGRESS
    again = store.claim(claim.share_pack_id, "m1", 2)
    with pytest.raises(FailpointError):
        failing(
            "application.after_commit",
            lambda: store.applications.finish(again, State.COMPLETED, reason="done"),
        )
    assert store.packs.get(claim.share_pack_id, None).state is State.COMPLETED
    assert store.applications.claim(claim.application_uid, "m1", 3) == Ignore("finished")


@pytest.mark.parametrize("point", ["outbox.before_send", "outbox.after_send"])
def test_dying_while_sending_loses_no_message(store: Store, point: str) -> None:
    store.upload()
    sent: list[str] = []
    with pytest.raises(FailpointError):
        failing(point, lambda: store.applications.send_outbox(lambda body, _: sent.append(body)))
    store.applications.send_outbox(lambda body, _: sent.append(body))
    assert len(set(sent)) == 1 and len(sent) == (2 if point == "outbox.after_send" else 1)


def failing(point: str, work: Callable[[], Any]) -> None:
    arm(f"{point}=raise@1")
    try:
        work()
    finally:
        arm("")
