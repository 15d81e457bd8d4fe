"""Packs: stored once, read by their own tenant alone, their states as versions."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from uuid import UUID, uuid4

import pytest

from shared.errors import ConflictError, NotFoundError
from shared.messages import traceparent_of
from shared.sharing.claims import Ignore, Wait
from shared.sharing.model import ANY_ADDRESS
from shared.sharing.views import Actor, State
from shared.telemetry import span
from tests.integration.sharing.conftest import ADA, BEN, FINANCE, PACK, WORKSPACE, Store


def test_upload_is_a_pack_with_its_application_and_message(store: Store) -> None:
    stored = store.upload()
    pack = stored.pack
    assert (stored.outcome, pack.state, pack.version, pack.tenant) == (
        "created",
        State.IN_PROGRESS,
        1,
        "finance",
    )
    assert pack.name.startswith("SharePack_ada@example.org_2")
    assert store.packs.content(pack.id) == PACK
    sent: list[str] = []
    assert store.applications.send_outbox(lambda body, delay: sent.append(f"{delay} {body}")) == 1
    assert sent == [f'0 {{"v":1,"id":"{store.application_of(pack.id)}","traceparent":""}}']
    assert store.applications.send_outbox(lambda *_: None) == 0


def test_message_stays_in_the_trace_of_the_upload(store: Store) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    with span("request", trace):
        store.upload()
    sent: list[str] = []
    store.applications.send_outbox(lambda body, delay: sent.append(body))
    assert [traceparent_of(body.encode()) for body in sent] == [trace]


def test_same_bytes_of_an_unfinished_pack_change_nothing(store: Store) -> None:
    first = store.upload()
    second = store.upload(uploader=BEN, file_name="other.yaml")
    assert (second.outcome, second.pack) == ("unchanged", first.pack)
    assert len(store.sql("SELECT id FROM deltashare_state.outbox")) == 1


def test_ten_uploads_of_the_same_bytes_at_once_are_one_pack(store: Store) -> None:
    barrier = Barrier(10)

    def upload(_: int) -> object:
        barrier.wait()
        return store.upload().pack.id

    with ThreadPoolExecutor(10) as pool:
        ids = set(pool.map(upload, range(10)))
    assert len(ids) == 1
    assert len(store.sql("SELECT share_pack_id FROM deltashare_state.applications")) == 1


def test_other_bytes_in_the_same_second_get_another_name(store: Store) -> None:
    barrier = Barrier(8)

    def upload(number: int) -> str:
        barrier.wait()
        return store.upload(f"{number}").pack.name

    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(upload, range(8)))
    assert len(set(names)) == 8


def test_same_bytes_for_another_tenant_or_workspace_are_another_pack(store: Store) -> None:
    other = replace(FINANCE, name="sales", regions={"westeurope": WORKSPACE, "x": "https://adb-2"})
    ids = {
        store.upload().pack.id,
        store.upload(tenant=other).pack.id,
        store.upload(tenant=other, workspace_url="https://adb-2").pack.id,
    }
    assert len(ids) == 3


@pytest.mark.parametrize("state", [State.FAILED, State.PARTIAL])
def test_same_bytes_resume_a_pack_that_failed_with_its_journal(store: Store, state: State) -> None:
    pack = store.upload().pack
    store.applications.finish(store.claim(pack.id), state, reason="it broke")
    before = store.application_of(pack.id)
    again = store.upload()
    assert (again.outcome, again.pack.id, again.pack.state) == ("resumed", pack.id, State.IN_PROGRESS)
    assert store.application_of(pack.id) == before
    assert again.pack.error_message == ""
    assert store.claim(pack.id).attempts == 2


def test_same_bytes_reopen_a_cancelled_pack_with_a_new_application(store: Store) -> None:
    pack = store.upload().pack
    store.packs.cancel(pack.id, None, by=ADA, reason="not now")
    before = store.application_of(pack.id)
    again = store.upload()
    assert (again.outcome, again.pack.id, again.pack.state) == ("reopened", pack.id, State.IN_PROGRESS)
    assert store.application_of(pack.id) != before
    assert [v.state for v in store.packs.history(pack.id, None)] == [
        "IN_PROGRESS",
        "CANCELLED",
        "IN_PROGRESS",
    ]


@pytest.mark.parametrize("state", [State.COMPLETED, State.VALIDATION_FAILED])
def test_same_bytes_of_a_finished_pack_change_nothing(store: Store, state: State) -> None:
    pack = store.upload().pack
    store.applications.finish(store.claim(pack.id), state, reason="over")
    assert store.upload().outcome == "unchanged"


def test_state_is_a_version_with_a_line_in_the_audit_trail(store: Store) -> None:
    pack = store.upload().pack
    store.packs.set_state(pack.id, State.CANCELLED, by=BEN, reason="no", error_message="no")
    newest, first = store.packs.history(pack.id, None)
    assert (newest.version, newest.state, newest.changed_by, newest.reason) == (
        2,
        "CANCELLED",
        BEN.name,
        "no",
    )
    assert (first.effective_to, newest.effective_to) == (newest.effective_from, None)
    trail = store.sql("SELECT action, actor_oid, before, after FROM deltashare.audit_trail ORDER BY at")
    assert [row["action"] for row in trail] == ["share_pack.upload", "share_pack.cancelled"]
    assert (trail[1]["before"]["state"], trail[1]["after"]["state"]) == ("IN_PROGRESS", "CANCELLED")


def test_state_that_may_not_follow_is_refused_and_leaves_no_version(store: Store) -> None:
    pack = store.upload().pack
    with pytest.raises(ConflictError, match="cannot become REJECTED"):
        store.packs.set_state(pack.id, State.REJECTED, by=BEN, reason="no")
    assert store.packs.get(pack.id, None).version == 1


def test_start_at_schedules_and_its_message_waits(store: Store) -> None:
    at = datetime.now(UTC) + timedelta(hours=2)
    pack = store.upload(pack=replace(PACK, metadata=replace(PACK.metadata, start_at=at))).pack
    assert (pack.state, pack.state.status) == (State.SCHEDULED, "IN_PROGRESS")
    delays: list[int] = []
    store.applications.send_outbox(lambda _body, delay: delays.append(delay))
    assert 7100 < delays[0] <= 7200
    early = store.applications.claim(store.application_of(pack.id), "m", 1)
    assert isinstance(early, Wait) and 7100 < early.delay_s <= 7200
    store.sql("UPDATE deltashare_state.applications SET next_attempt_at = now()")
    store.claim(pack.id)
    assert store.packs.get(pack.id, None).state is State.IN_PROGRESS


def test_cancelling_fences_who_works_on_it(store: Store) -> None:
    pack = store.upload().pack
    claim = store.claim(pack.id)
    store.packs.cancel(pack.id, None, by=ADA, reason="stop")
    with pytest.raises(Exception, match="another delivery"):
        store.applications.renew(claim)
    answer = store.applications.claim(claim.application_uid, "m", 1)
    assert answer == Ignore("finished")
    with pytest.raises(ConflictError):
        store.packs.cancel(pack.id, None, by=ADA, reason="again")


def test_rollback_applies_an_earlier_version_as_a_new_one(store: Store) -> None:
    open_to_all = replace(PACK, recipients=(replace(PACK.recipients[0], allowed_ips=ANY_ADDRESS),))
    pack = store.upload().pack
    store.applications.finish(store.claim(pack.id), State.COMPLETED, reason="done")
    store.sql(
        "UPDATE deltashare.share_packs SET config = jsonb_set(config, '{recipients,0,allowed_ips}', '\"ANY\"')"
        " WHERE is_current"
    )
    assert store.packs.content(pack.id) == open_to_all
    store.uploads.rollback(pack.id, 1, None, by=BEN, reason="too wide")
    assert store.packs.content(pack.id) == PACK
    assert (store.packs.get(pack.id, None).state, store.claim(pack.id).pack_version) == (State.IN_PROGRESS, 3)
    with pytest.raises(ConflictError):
        store.uploads.rollback(pack.id, 1, None, by=BEN, reason="while it runs")
    with pytest.raises(NotFoundError, match="no version 99"):
        store.uploads.rollback(pack.id, 99, None, by=BEN, reason="x")


def test_pages_follow_each_other_newest_first(store: Store) -> None:
    ids = [store.upload(f"{n}").pack.id for n in range(5)]
    seen, after = [], None
    while page := store.packs.page(frozenset({"finance"}), limit=2, after=after):
        seen += [pack.id for pack in page]
        after = (page[-1].created_at, page[-1].id)
    assert seen == ids[::-1]


def test_filters_narrow(store: Store) -> None:
    kept = store.upload("1").pack
    gone = store.upload("2").pack
    store.packs.cancel(gone.id, None, by=ADA, reason="x")
    names = lambda **f: [p.id for p in store.packs.page(None, **f)]  # noqa: E731
    assert names(state=State.CANCELLED) == [gone.id]
    assert names(state=State.IN_PROGRESS) == [kept.id]
    assert (names(requestor="ADA@example.org"), names(requestor="ben")) == ([gone.id, kept.id], [])
    assert (len(names(tenant="finance")), names(tenant="sales")) == (2, [])


def test_nothing_of_another_tenant_shows_or_moves(store: Store) -> None:
    """Each method with a pack's id answers for a stranger as for an id that nobody has."""
    pack = store.upload().pack
    claim = store.claim(pack.id)
    store.plans.keep(claim, "h" * 64, {"actions": []}, widens=True)
    store.applications.await_approval(claim, reason="widens")
    stranger = frozenset({"sales"})
    eve = Actor("oid-eve", "eve@example.org", False, stranger)
    assert store.packs.page(stranger) == []
    attempts: list[Callable[[UUID], object]] = [
        lambda id_: store.packs.get(id_, stranger),
        lambda id_: store.packs.history(id_, stranger),
        lambda id_: store.packs.cancel(id_, stranger, by=eve, reason="x"),
        lambda id_: store.uploads.rollback(id_, 1, stranger, by=eve, reason="x"),
        lambda id_: store.plans.newest(id_, stranger),
        lambda id_: store.plans.approve(id_, stranger, "h" * 64, by=eve),
        lambda id_: store.plans.reject(id_, stranger, "x", by=eve),
    ]
    for attempt in attempts:
        for id_ in (pack.id, uuid4()):
            with pytest.raises(NotFoundError):
                attempt(id_)
    assert store.packs.get(pack.id, frozenset({"finance"})).version == 2
    assert store.packs.page(frozenset()) == []


def test_content_is_that_of_the_version_that_was_asked_for(store: Store) -> None:
    pack = store.upload().pack
    store.packs.cancel(pack.id, None, by=ADA, reason="wrong one")
    assert store.packs.content(pack.id) == store.packs.content(pack.id, 1) == PACK
    assert [version.version for version in store.packs.history(pack.id, None)] == [2, 1]
    with pytest.raises(NotFoundError):
        store.packs.content(pack.id, 3)
