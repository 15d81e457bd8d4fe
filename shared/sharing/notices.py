"""Notices: what people are told without asking, said once.

In: something that happened. Out: a notice, kept before it is sent, then delivered by each channel until it took it or
refused it. A notice is known by its dedupe key: saying it again, here or on another instance, changes nothing.
Delivery is at least once: a process that dies between a channel's yes and the note of it sends again, under the same
message id.
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol
from uuid import UUID

from shared.errors import AppError
from shared.sharing.directory_errors import NoticeRefusedError, NoticeUndeliveredError
from shared.sharing.directory_ports import Delivery, NotificationLog
from shared.sharing.directory_rules import retry_delay_s
from shared.sharing.redaction import redacted

Channel = Literal["email", "webhook"]
NoticeKind = Literal["pack_failed", "approval_waiting", "token_expiring", "drift_found"]
EXPIRY_DAYS = (30, 7, 1)
MAX_ATTEMPTS = 12
AT_ONCE = 10
BATCHES = 10
_TEXT_LIMIT = 4000
_LINKS = re.compile(r"(?i)\b[a-z][a-z0-9+.-]*://\S+")  # any of them may be an activation link


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to say. `recipients` are mail addresses; the webhook hears everything."""

    kind: NoticeKind
    dedupe_key: str
    subject: str
    text: str
    recipients: tuple[str, ...]
    pack_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Pack:
    """A share pack as its notices name it; `version` tells one event of it from the next."""

    id: UUID
    name: str
    version: int
    requestor: str


@dataclass(frozen=True, slots=True)
class Audience:
    """Who hears of things besides the one who asked: mail addresses."""

    operators: tuple[str, ...] = ()

    def of(self, *people: str) -> tuple[str, ...]:
        """The people and the operators, each once."""
        return tuple(dict.fromkeys(who for who in (*people, *self.operators) if who))


def pack_failed(
    pack: Pack,
    state: Literal["FAILED", "PARTIAL", "VALIDATION_FAILED"],
    error: str | None,
    audience: Audience,
) -> Notice:
    """A pack did not end well."""
    ended = {
        "FAILED": "failed",
        "PARTIAL": "was carried out in part",
        "VALIDATION_FAILED": "was found invalid",
    }[state]
    text = (
        f"Share pack {pack.name} {ended}.\n\n{error or 'No reason was recorded.'}\n\n"
        f"GET /workflow/sharepack/{pack.id} says more; uploading the same file again resumes it."
    )
    key = f"pack_failed|{pack.id}|{pack.version}|{state}"
    subject = f"Share pack {pack.name} {ended}"
    return _notice("pack_failed", key, subject, text, audience.of(pack.requestor), pack.id)


def approval_waiting(pack: Pack, reason: str, audience: Audience) -> Notice:
    """A plan widens exposure and waits for somebody else's yes."""
    text = (
        f"Share pack {pack.name}, asked for by {pack.requestor}, waits for approval: {reason}.\n\n"
        f"GET /workflow/sharepack/{pack.id}/plan shows what it would do; approve or reject it there. Whoever asked"
        " for it cannot approve it."
    )
    subject = f"Share pack {pack.name} waits for approval"
    key = f"approval_waiting|{pack.id}|{pack.version}"
    return _notice("approval_waiting", key, subject, text, audience.of(pack.requestor), pack.id)


def token_expiring(
    recipient: str, workspace: str, token_id: str, expires_at: datetime, now: datetime, audience: Audience
) -> Notice | None:
    """A recipient's token ends within 30, 7 or 1 days: one notice for each mark passed, None before the first."""
    left_s = (expires_at - now).total_seconds()
    mark = min((days for days in EXPIRY_DAYS if left_s <= days * 86400), default=None)
    if mark is None:
        return None
    when = f"on {expires_at:%Y-%m-%d %H:%M} UTC"
    said = f"expires {when}" if left_s > 0 else f"expired {when}"
    text = (
        f"The token of recipient {recipient} in {workspace} {said}; it reads nothing afterwards.\n\n"
        f"POST /workflow/recipients/{recipient}/rotate-token makes a new one."
    )
    key = f"token_expiring|{workspace}|{token_id}|{expires_at:%Y-%m-%dT%H:%M:%SZ}|{mark}"
    return _notice("token_expiring", key, f"Token of {recipient} {said}", text, audience.of())


def drift_found(
    workspace: str,
    differences: Sequence[str],
    fingerprint: str,
    audience: Audience,
    pack_id: UUID | None = None,
) -> Notice | None:
    """The workspace holds something else than our packs say; None for no differences. One notice a fingerprint."""
    if not differences:
        return None
    shown = "\n".join(f"- {each}" for each in differences[:50])
    more = f"\n- and {len(differences) - 50} more" if len(differences) > 50 else ""
    text = f"{workspace} differs from what its share packs say:\n\n{shown}{more}"
    count = "1 difference" if len(differences) == 1 else f"{len(differences)} differences"
    subject = f"{workspace}: {count} from the share packs"
    key = f"drift_found|{workspace}|{fingerprint}"
    return _notice("drift_found", key, subject, text, audience.of(), pack_id)


def _notice(
    kind: NoticeKind,
    dedupe_key: str,
    subject: str,
    text: str,
    recipients: tuple[str, ...],
    pack_id: UUID | None = None,
) -> Notice:
    """The one place that makes notices, so that none leaves unscrubbed."""
    return Notice(kind, dedupe_key, line(subject), scrub(text), recipients, pack_id)


def scrub(text: str) -> str:
    """The text without links or anything that looks like a credential, cut to 4,000 characters."""
    return str(redacted(_LINKS.sub("[link removed]", text)))[:_TEXT_LIMIT]


def line(text: str) -> str:
    """The text on one line, without control characters, at most 200 characters: fit for a subject."""
    return " ".join("".join(c if c.isprintable() else " " for c in scrub(text)).split())[:200]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A notice that one channel has yet to take; `attempts` counts those before this one."""

    uid: UUID
    channel: Channel
    notice: Notice
    attempts: int


class NoticeQueue(Protocol):
    """Notices kept until they are delivered, one entry for each dedupe key and channel."""

    def add(self, notice: Notice, channels: Sequence[Channel], at: datetime) -> int:
        """Keep it for each channel that does not know its key; how many took it."""
        ...

    def claim(self, now: datetime, limit: int) -> Sequence[Waiting]:
        """What is due, held by this caller for a few minutes, no two callers get the same."""
        ...

    def conclude(self, uid: UUID) -> None:
        """Sent or given up: never handed out again."""
        ...

    def postpone(self, uid: UUID, until: datetime, *, counts: bool = True) -> None:
        """Not taken: due again then, with one attempt more; `counts` False for one that was never tried."""
        ...


class ChannelDoor(Protocol):
    """One way out: raises NoticeUndeliveredError or NoticeRefusedError."""

    def deliver(self, notice: Notice) -> None:
        """Hand it over."""
        ...


class Notifier:
    """What keeps notices and delivers them; `flush` belongs on a timer, and right after `say`."""

    def __init__(
        self,
        queue: NoticeQueue,
        log: NotificationLog,
        doors: Mapping[Channel, ChannelDoor],
        now: Callable[[], datetime],
        tell: Callable[..., None],
    ) -> None:
        self._queue, self._log, self._doors = queue, log, doors
        self._now, self._tell = now, tell

    def say(self, notice: Notice | None) -> bool:
        """Keep a notice to be sent; False where it was said before, or nobody would hear it."""
        if notice is None:
            return False
        channels = [name for name in self._doors if name != "email" or notice.recipients]
        return bool(channels) and self._queue.add(notice, channels, self._now()) > 0

    def flush(self) -> int:
        """Deliver what is due; how many were sent. The first that a channel does not answer spares it the others."""
        sent, down = 0, set[Channel]()
        for _ in range(BATCHES):
            due = self._queue.claim(self._now(), AT_ONCE)
            for waiting in due:
                if waiting.channel in down:
                    # Each would wait for the same timeout.
                    self._queue.postpone(waiting.uid, self._now(), counts=False)
                    continue
                outcome = self._deliver(waiting)
                sent += outcome == "sent"
                down |= {waiting.channel} if outcome == "unanswered" else set()
            if down or len(due) < AT_ONCE:
                break
        return sent

    def _deliver(self, waiting: Waiting) -> Literal["sent", "refused", "unanswered"]:
        door = self._doors.get(waiting.channel)
        attempts = waiting.attempts + 1
        try:
            if door is None:
                # Settings changed since it was kept; it waits for them to come back until its attempts are over.
                raise NoticeUndeliveredError(f"{waiting.channel}: no longer set up")
            door.deliver(waiting.notice)
        except NoticeRefusedError as error:
            self._conclude(waiting, attempts, "failed", scrub(error.message))
            return "refused"
        except AppError as error:
            self._not_taken(waiting, attempts, error)
            return "unanswered"
        self._conclude(waiting, attempts, "sent", None)
        return "sent"

    def _not_taken(self, waiting: Waiting, attempts: int, error: AppError) -> None:
        if attempts >= MAX_ATTEMPTS:
            self._conclude(waiting, attempts, "failed", scrub(error.message))
            return
        delay_s = retry_delay_s(attempts, getattr(error, "retry_after_s", None))
        self._queue.postpone(waiting.uid, self._now() + timedelta(seconds=delay_s))
        self._tell(
            "notice_postponed",
            level=logging.WARNING,
            channel=waiting.channel,
            kind=waiting.notice.kind,
            code=error.code,
            attempts=attempts,
        )

    def _conclude(
        self, waiting: Waiting, attempts: int, status: Literal["sent", "failed"], error: str | None
    ) -> None:
        said = waiting.notice
        delivery = Delivery(
            waiting.uid,
            said.dedupe_key,
            said.kind,
            waiting.channel,
            said.subject,
            said.text,
            said.recipients,
            status,
            attempts,
            self._now(),
            said.pack_id,
            error,
        )
        self._log.record(delivery)
        self._queue.conclude(waiting.uid)
        level = logging.INFO if status == "sent" else logging.ERROR
        self._tell(f"notice_{status}", level=level, channel=waiting.channel, kind=said.kind)
