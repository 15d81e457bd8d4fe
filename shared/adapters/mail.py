"""Notices by mail: plain text over SMTP, encrypted wherever a password is sent, safe against smuggled headers."""

import hashlib
import re
import smtplib
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from typing import Literal

from shared.errors import ConfigurationError
from shared.sharing.directory_errors import NoticeRefusedError, NoticeUndeliveredError
from shared.sharing.notices import Notice

# One address, no display name, no quoting: what cannot smuggle a second recipient or a header.
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail goes. `security`: `tls` from the first byte, `starttls` before anything else is said, or `none`.

    `password` is asked on every connect; without a `username` nobody signs in.
    """

    host: str
    port: int
    sender: str
    security: Literal["tls", "starttls", "none"] = "starttls"
    username: str | None = None
    password: Callable[[], str | None] = lambda: None
    context: Callable[[], ssl.SSLContext] = ssl.create_default_context
    timeout_s: float = _TIMEOUT_S


class Mail:
    """The channel `email`."""

    def __init__(self, server: MailServer) -> None:
        _checked(server.sender, "NOTIFICATION_FROM_EMAIL")
        if server.username and server.security == "none":
            raise ConfigurationError(
                "SMTP_SECURITY: none, with SMTP_USERNAME set",
                hint="a password is sent over TLS only: use starttls or tls",
            )
        self._server = server

    def deliver(self, notice: Notice) -> None:
        """Send one message to all its recipients; NoticeUndeliveredError or NoticeRefusedError if not taken."""
        message = compose(notice, self._server.sender)
        try:
            session = self._connected()
            try:
                refused = session.send_message(message)
            finally:
                # The message is taken by now, or not: however the goodbye goes, it changes nothing.
                with suppress(smtplib.SMTPException, OSError):
                    session.quit()
        except smtplib.SMTPException as error:
            raise _translated(error, self._name) from None
        except OSError as error:
            raise NoticeUndeliveredError(
                f"{self._name}: {type(error).__name__}", hint="check SMTP_HOST, SMTP_PORT and SMTP_SECURITY"
            ) from None
        if refused:
            # The others have it, so sending again would be worse than saying so.
            raise NoticeRefusedError(
                f"{self._name}: refused {len(refused)} of {len(notice.recipients)} recipients",
                hint="correct NOTIFICATION_TO_EMAILS or the pack's requestor",
            )

    @property
    def _name(self) -> str:
        return f"mail server {self._server.host}:{self._server.port}"

    def _connected(self) -> smtplib.SMTP:
        server = self._server
        if server.security == "tls":
            session: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, timeout=server.timeout_s, context=server.context()
            )
        else:
            session = smtplib.SMTP(server.host, server.port, timeout=server.timeout_s)
        try:
            if server.security == "starttls":
                session.starttls(context=server.context())
            if server.username:
                session.login(server.username, server.password() or "")
        except BaseException:
            session.close()
            raise
        return session


def compose(notice: Notice, sender: str) -> EmailMessage:
    """The notice as a MIME message; NoticeRefusedError for an address that is none.

    The message id follows from the dedupe key, so that a second copy is known for one.
    """
    recipients = [_address(each) for each in notice.recipients]
    if not recipients:
        raise NoticeRefusedError("mail: a notice without recipients")
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"] = sender, ", ".join(recipients)
    message["Subject"] = " ".join(notice.subject.split())
    message["Date"] = formatdate(usegmt=True)
    digest = hashlib.sha256("|".join((notice.dedupe_key, *recipients)).encode()).hexdigest()[:40]
    message["Message-ID"] = f"<{digest}@{sender.partition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(notice.text)
    return message


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise NoticeRefusedError(
            "mail: a recipient's address is not a plain one such as ann@example.org",
            hint="correct NOTIFICATION_TO_EMAILS or the pack's requestor",
        )
    return text


def _checked(text: str, setting: str) -> None:
    if not _ADDRESS.fullmatch(text):
        raise ConfigurationError(f"{setting}: not an address", hint="write name@example.org")


def _translated(error: smtplib.SMTPException, name: str) -> NoticeUndeliveredError | NoticeRefusedError:
    """4xx and a lost session may pass; 5xx may not, but a refused password may be a rotation not yet finished."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return NoticeUndeliveredError(
            f"{name}: refuses the credentials ({error.smtp_code})",
            hint="check SMTP_USERNAME and SMTP_PASSWORD",
        )
    code = getattr(error, "smtp_code", None)
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code = max((status for status, _ in error.recipients.values()), default=None)
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return NoticeUndeliveredError(
            f"{name}: offers no STARTTLS or no sign-in", hint="check SMTP_PORT and SMTP_SECURITY"
        )
    if isinstance(code, int) and 500 <= code < 600:
        return NoticeRefusedError(f"{name}: refused the message ({code})", hint="see the mail server's log")
    said = f" ({code})" if code else f" ({type(error).__name__})"
    return NoticeUndeliveredError(f"{name}: did not take the message{said}", hint="it is tried again")
