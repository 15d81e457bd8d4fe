"""Notices: what they say, what they never say, and that each is said once."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from shared.errors import AppError
from shared.sharing.directory_errors import NoticeRefusedError, NoticeUndeliveredError
from shared.sharing.directory_ports import Delivery
from shared.sharing.notices import (
    MAX_ATTEMPTS,
    Audience,
    Channel,
    Notice,
    Notifier,
    Pack,
    Waiting,
    approval_waiting,
    drift_found,
    line,
    pack_failed,
    scrub,
    token_expiring,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PACK = Pack(UUID(int=1), "SharePack_ann_20261121_120000", 3, "ann@example.org")
OPS = Audience(("ops@example.org",))
SECRETS = (
    "https://dbc.example/delta_sharing/retrieve_config.html?token=abc",
    "http://10.0.0.1/x",
    "dapi0123456789abcdef0123",
    "Bearer abc.defgh.ijk",
    "password=hunter2",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig",
)


class Queue:
    """The notice queue in memory; `claimed` entries are held until postponed."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], Waiting] = {}
        self.due: dict[UUID, datetime] = {}
        self.held: set[UUID] = set()
        self.concluded: set[UUID] = set()

    def add(self, notice: Notice, channels: Sequence[Channel], at: datetime) -> int:
        fresh = [c for c in channels if (notice.dedupe_key, c) not in self.entries]
        for channel in fresh:
            waiting = Waiting(uuid4(), channel, notice, 0)
            self.entries[(notice.dedupe_key, channel)] = waiting
            self.due[waiting.uid] = at
        return len(fresh)

    def claim(self, now: datetime, limit: int) -> list[Waiting]:
        busy = self.held | self.concluded
        free = [w for w in self.entries.values() if w.uid not in busy and self.due[w.uid] <= now]
        found = free[:limit]
        self.held |= {waiting.uid for waiting in found}
        return found

    def conclude(self, uid: UUID) -> None:
        self.concluded.add(uid)

    def postpone(self, uid: UUID, until: datetime, *, counts: bool = True) -> None:
        key = next(key for key, waiting in self.entries.items() if waiting.uid == uid)
        attempts = self.entries[key].attempts + counts
        self.entries[key] = replace(self.entries[key], attempts=attempts)
        self.due[uid] = until
        self.held.discard(uid)


class Door:
    """A channel that takes what it gets, unless `error` is set."""

    def __init__(self) -> None:
        self.taken: list[Notice] = []
        self.error: AppError | None = None

    def deliver(self, notice: Notice) -> None:
        if self.error is not None:
            raise self.error
        self.taken.append(notice)


class SpyDoor(Door):
    """Another door, and every notice it was shown."""

    def __init__(self, inner: Door, shown: list[Notice]) -> None:
        self.inner, self.shown = inner, shown

    def deliver(self, notice: Notice) -> None:
        self.shown.append(notice)
        self.inner.deliver(notice)


class World:
    def __init__(self) -> None:
        self.queue, self.mail, self.hook = Queue(), Door(), Door()
        self.log: list[Delivery] = []
        self.now = NOW
        self.doors: dict[Channel, Door] = {"email": self.mail, "webhook": self.hook}

    def record(self, delivery: Delivery) -> None:
        self.log.append(delivery)

    def notifier(self) -> Notifier:
        return Notifier(self.queue, self, self.doors, lambda: self.now, lambda *_, **__: None)


def failed() -> Notice:
    return pack_failed(PACK, "FAILED", "recipient acme: refused", OPS)


def test_notice_goes_out_by_every_channel_and_into_the_log() -> None:
    world = World()
    assert world.notifier().say(failed())
    assert world.notifier().flush() == 2
    assert (len(world.mail.taken), len(world.hook.taken)) == (1, 1)
    assert {(d.channel, d.status, d.attempts) for d in world.log} == {
        ("email", "sent", 1),
        ("webhook", "sent", 1),
    }
    assert world.log[0].pack_id == PACK.id


def test_notice_said_twice_is_sent_once() -> None:
    world = World()
    assert world.notifier().say(failed())
    world.notifier().flush()
    assert not world.notifier().say(failed())
    assert world.notifier().flush() == 0 and len(world.mail.taken) == 1


def test_next_failure_of_the_pack_is_another_notice() -> None:
    world = World()
    world.notifier().say(failed())
    assert world.notifier().say(pack_failed(replace(PACK, version=4), "FAILED", None, OPS))


def test_channel_that_is_down_does_not_lose_the_notice() -> None:
    world = World()
    world.mail.error = NoticeUndeliveredError("down")
    world.notifier().say(failed())
    assert world.notifier().flush() == 1  # the webhook took it
    assert world.notifier().flush() == 0  # not at once
    world.mail.error, world.now = None, NOW + timedelta(seconds=60)
    assert world.notifier().flush() == 1 and len(world.mail.taken) == 1
    assert world.log[-1].attempts == 2 and len(world.hook.taken) == 1


def test_waits_double_and_end_as_failed_for_all_to_see() -> None:
    world = World()
    del world.doors["webhook"]
    world.mail.error = NoticeUndeliveredError("server said password=hunter2")
    world.notifier().say(failed())
    waits = []
    for _ in range(MAX_ATTEMPTS):
        world.notifier().flush()
        (due,) = world.queue.due.values()
        waits.append((due - world.now).total_seconds())
        world.now = due
    assert waits[:-1] == [60, 120, 240, 480, 960, 1920] + [3600] * 5
    (delivery,) = world.log
    assert (delivery.status, delivery.attempts) == ("failed", MAX_ATTEMPTS)
    assert delivery.error is not None and "hunter2" not in delivery.error


def test_channel_that_is_down_is_asked_once_a_flush_and_costs_the_others_no_attempt() -> None:
    world = World()
    del world.doors["webhook"]
    asked: list[Notice] = []
    world.mail.error = NoticeUndeliveredError("down")
    world.doors["email"] = SpyDoor(world.mail, asked)
    for version in range(15):
        world.notifier().say(pack_failed(replace(PACK, version=version), "FAILED", None, OPS))
    world.notifier().flush()
    assert len(asked) == 1
    assert sorted(waiting.attempts for waiting in world.queue.entries.values()) == [0] * 14 + [1]
    world.mail.error, world.now = None, NOW + timedelta(seconds=60)
    assert world.notifier().flush() == 15


def test_refused_notice_holds_up_no_other() -> None:
    world = World()
    del world.doors["webhook"]
    world.doors["email"] = world.mail
    world.mail.error = NoticeRefusedError("no such address")
    for version in range(3):
        world.notifier().say(pack_failed(replace(PACK, version=version), "FAILED", None, OPS))
    world.notifier().flush()
    assert [d.status for d in world.log] == ["failed"] * 3


def test_refused_notice_is_not_tried_again() -> None:
    world = World()
    world.hook.error = NoticeRefusedError("webhook: refused the notice (400)")
    world.notifier().say(failed())
    world.notifier().flush()
    world.now += timedelta(days=1)
    assert world.notifier().flush() == 0
    assert {d.status for d in world.log if d.channel == "webhook"} == {"failed"}


def test_notice_kept_for_a_channel_that_is_gone_waits() -> None:
    world = World()
    world.notifier().say(failed())
    del world.doors["webhook"]
    assert world.notifier().flush() == 1
    assert [d.channel for d in world.log] == ["email"]


def test_nobody_to_tell_means_nothing_is_kept() -> None:
    world = World()
    del world.doors["webhook"]
    assert not world.notifier().say(replace(failed(), recipients=()))
    assert not world.notifier().say(None)


@pytest.mark.parametrize("secret", SECRETS)
def test_no_text_holds_a_link_or_a_credential(secret: str) -> None:
    poisoned = Pack(PACK.id, f"x {secret}", 1, "ann@example.org")
    expiry = token_expiring("acme", "adb", "t1", NOW, NOW, OPS)
    notices = [
        pack_failed(poisoned, "FAILED", f"step 4: {secret} refused", OPS),
        approval_waiting(poisoned, f"widens {secret}", OPS),
        drift_found("adb", [f"share sales: {secret}"], "f", OPS),
        expiry,
    ]
    for notice in notices:
        assert notice is not None
        assert (
            secret not in notice.text + notice.subject
            and secret.rsplit("=", maxsplit=1)[-1] not in notice.text
        )


def test_subject_stays_on_one_line() -> None:
    name = "x\r\nBcc: eve@example.org\u2028y\x1b[31m"
    notice = pack_failed(replace(PACK, name=name), "PARTIAL", None, OPS)
    assert notice.subject.isprintable() and len(line("y" * 900)) == 200


@pytest.mark.parametrize(
    ("days_left", "mark"), [(31, None), (30, 30), (8, 30), (7, 7), (1.5, 7), (1, 1), (0.1, 1), (-3, 1)]
)
def test_tokens_are_told_of_at_30_7_and_1_days(days_left: float, mark: int | None) -> None:
    notice = token_expiring("acme", "adb", "t1", NOW + timedelta(days=days_left), NOW, OPS)
    assert (notice and int(notice.dedupe_key.rpartition("|")[2])) == mark


def test_extended_token_is_told_of_anew() -> None:
    first = token_expiring("acme", "adb", "t1", NOW + timedelta(days=6), NOW, OPS)
    later = token_expiring("acme", "adb", "t2", NOW + timedelta(days=6), NOW, OPS)
    assert first and later and first.dedupe_key != later.dedupe_key


def test_each_version_asks_for_approval_once() -> None:
    world = World()
    assert world.notifier().say(approval_waiting(PACK, "widens exposure", OPS))
    assert not world.notifier().say(approval_waiting(PACK, "widens exposure", OPS))
    assert world.notifier().say(approval_waiting(replace(PACK, version=4), "widens exposure", OPS))


def test_no_drift_is_no_notice_and_much_drift_is_cut() -> None:
    assert drift_found("adb", [], "f", OPS) is None
    notice = drift_found("adb", [f"share s{n}: owner" for n in range(60)], "f", OPS)
    assert notice is not None and notice.text.endswith("and 10 more")


def test_everybody_hears_it_once() -> None:
    assert Audience(("ann@example.org", "ops@example.org")).of("ann@example.org", "") == (
        "ann@example.org",
        "ops@example.org",
    )


def test_long_reason_is_cut() -> None:
    assert len(scrub("x" * 10_000)) == 4000
