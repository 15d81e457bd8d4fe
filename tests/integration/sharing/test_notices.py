"""Notices through PostgreSQL to a mail server and a webhook: none lost, none said twice."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from infra.local.mail_sink import MailSink
from infra.local.webhook_sink import WebhookSink
from shared.adapters.mail import Mail, MailServer
from shared.adapters.postgres.sharing.directory import Notifications
from shared.adapters.postgres.sharing.progress import NoticeStore
from shared.adapters.webhook import Webhook
from shared.sharing.notices import (
    MAX_ATTEMPTS,
    Audience,
    Channel,
    ChannelDoor,
    Notice,
    Notifier,
    Pack,
    pack_failed,
)
from tests.integration.sharing.conftest import Store

SECRET = "a-secret-of-thirty-two-characters"


class World:
    """A notifier over real stores and sinks; `now` is moved by tests."""

    def __init__(self, store: Store, sink: MailSink, hook: WebhookSink) -> None:
        self.store, self.sink, self.hook = store, sink, hook
        self.now = datetime.now(UTC)
        server = MailServer("127.0.0.1", sink.port, "tributary@example.org", security="none", timeout_s=5)
        self.doors: dict[Channel, ChannelDoor] = {
            "email": Mail(server),
            "webhook": Webhook(hook.url, lambda: SECRET, lambda: 0.0),
        }

    def notifier(self) -> Notifier:
        queue, log = NoticeStore(self.store.database), Notifications(self.store.database)
        return Notifier(queue, log, self.doors, lambda: self.now, lambda *_, **__: None)

    def logged(self) -> list[tuple[str, str, int]]:
        rows = self.store.sql(
            "SELECT channel, status, attempts FROM deltashare.notifications ORDER BY channel, status"
        )
        return [(row["channel"], row["status"], row["attempts"]) for row in rows]


@pytest.fixture
def world(store: Store) -> Iterator[World]:
    with MailSink() as sink, WebhookSink(SECRET) as hook:
        yield World(store, sink, hook)


def notice(version: int = 1, error: str = "recipient acme: refused") -> Notice:
    pack = Pack(UUID(int=7), "SharePack_ann_20261121_120000", version, "ann@example.org")
    return pack_failed(pack, "FAILED", error, Audience(("ops@example.org",)))


def test_notice_is_said_by_both_channels_and_logged(world: World) -> None:
    assert world.notifier().say(notice())
    assert world.notifier().flush() == 2
    assert len(world.sink.received) == len(world.hook.received) == 1
    assert world.logged() == [("email", "sent", 1), ("webhook", "sent", 1)]


def at_once(work: Callable[[], object], times: int = 8) -> list[object]:
    with ThreadPoolExecutor(times) as pool:
        return [future.result() for future in [pool.submit(work) for _ in range(times)]]


def test_event_delivered_to_several_instances_at_once_is_said_once(world: World) -> None:
    assert at_once(lambda: world.notifier().say(notice())).count(True) == 1
    at_once(world.notifier().flush)
    assert not world.notifier().say(notice())
    assert world.notifier().flush() == 0
    assert len(world.sink.received) == len(world.hook.received) == 1


def test_several_instances_share_a_backlog_without_saying_anything_twice(world: World) -> None:
    for version in range(30):
        world.notifier().say(notice(version))
    at_once(world.notifier().flush, 4)
    ids = [received.message["Message-ID"] for received in world.sink.received]
    assert len(ids) == len(set(ids)) == len(world.hook.received) == 30
    assert len(world.logged()) == 60


def test_mail_server_that_is_down_delays_the_notice_and_loses_nothing(world: World) -> None:
    world.sink.close()
    world.notifier().say(notice())
    assert world.notifier().flush() == 1
    world.now += timedelta(seconds=59)
    assert world.notifier().flush() == 0
    port = world.sink.port
    with MailSink(port=port) as again:
        world.now += timedelta(seconds=1)
        assert world.notifier().flush() == 1
        assert len(again.received) == 1
    assert world.logged() == [("email", "sent", 2), ("webhook", "sent", 1)]


def test_notice_that_nobody_takes_ends_as_failed(world: World) -> None:
    world.sink.refusals.commands["MAIL"] = "451 4.7.1 later"
    world.notifier().say(notice())
    for _ in range(MAX_ATTEMPTS):
        world.notifier().flush()
        world.now += timedelta(hours=1)
    assert world.logged() == [("email", "failed", MAX_ATTEMPTS), ("webhook", "sent", 1)]
    assert world.notifier().flush() == 0


def test_notice_whose_instance_died_while_sending_is_sent_by_another(world: World) -> None:
    world.notifier().say(notice())
    held = NoticeStore(world.store.database).claim(world.now, 10)
    assert len(held) == 2 and world.notifier().flush() == 0
    world.now += timedelta(minutes=6)
    assert world.notifier().flush() == 2


def test_neither_log_nor_mail_holds_a_link_or_a_token(world: World) -> None:
    secret = "https://x.example/data_sharing_activation/abc dapi0123456789abcdef0123"
    world.notifier().say(notice(error=f"step 3: {secret}"))
    world.notifier().flush()
    rows = world.store.sql("SELECT * FROM deltashare.notifications") + world.store.sql(
        "SELECT * FROM deltashare_state.notices"
    )
    sent = world.sink.received[0].data.decode() + str(world.hook.received[0].body)
    for part in secret.split():
        assert part not in str(rows) + sent
