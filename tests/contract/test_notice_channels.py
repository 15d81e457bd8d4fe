"""Mail and webhook against servers of ours that refuse, cut and lie as real ones do."""

import datetime
import ipaddress
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra.local.mail_sink import MailSink
from infra.local.webhook_sink import WebhookSink
from shared.adapters.mail import Mail, MailServer
from shared.adapters.webhook import Webhook, signature
from shared.errors import ConfigurationError
from shared.sharing.directory_errors import NoticeRefusedError, NoticeUndeliveredError
from shared.sharing.notices import Notice

NOTICE = Notice(
    "pack_failed",
    "pack_failed|1|3|FAILED",
    "Share pack söl failed",
    "Zwölf Empfänger.\n.\nNext line",
    ("ann@example.org", "ops@example.org"),
    UUID(int=1),
)
PASSWORD = "correct horse"
SECRET = "a-secret-of-thirty-two-characters"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def server_context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    return context


MakeSink = Callable[..., MailSink]


@pytest.fixture
def make_sink() -> Iterator[MakeSink]:
    made: list[MailSink] = []

    def make(**options: Any) -> MailSink:
        made.append(MailSink(**options).start())
        return made[-1]

    yield make
    for sink in made:
        sink.close()


@pytest.fixture
def sink(make_sink: MakeSink) -> MailSink:
    """A mail server without TLS or sign-in."""
    return make_sink()


def mail(sink: MailSink, **changes: Any) -> Mail:
    server = MailServer("127.0.0.1", sink.port, "tributary@example.org", security="none", timeout_s=5)
    return Mail(replace(server, **changes))


def trusting(certificate: tuple[Path, Path]) -> Callable[[], ssl.SSLContext]:
    return lambda: ssl.create_default_context(cafile=str(certificate[0]))


def test_mail_arrives_as_it_was_written(sink: MailSink) -> None:
    mail(sink).deliver(NOTICE)
    (received,) = sink.received
    message = received.message
    assert received.recipients == NOTICE.recipients and received.sender == "tributary@example.org"
    assert (message["Subject"], message["From"], message["To"]) == (
        NOTICE.subject,
        "tributary@example.org",
        "ann@example.org, ops@example.org",
    )
    assert message.get_content().replace("\r\n", "\n").strip() == NOTICE.text
    assert message.get_content_type() == "text/plain" and message["Auto-Submitted"] == "auto-generated"


def test_same_notice_bears_the_same_message_id(sink: MailSink) -> None:
    for notice in (NOTICE, NOTICE, replace(NOTICE, dedupe_key="other")):
        mail(sink).deliver(notice)
    first, second, other = (received.message["Message-ID"] for received in sink.received)
    assert first == second != other


@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "tls"])
def test_password_goes_over_tls_alone(
    make_sink: MakeSink,
    server_context: ssl.SSLContext,
    certificate: tuple[Path, Path],
    implicit: bool,
) -> None:
    sink = make_sink(users={"svc": PASSWORD}, context=server_context, implicit_tls=implicit)
    security = "tls" if implicit else "starttls"
    changes = {"security": security, "username": "svc", "context": trusting(certificate)}
    mail(sink, password=lambda: PASSWORD, **changes).deliver(NOTICE)
    (received,) = sink.received
    assert (received.user, received.encrypted) == ("svc", True)
    with pytest.raises(NoticeUndeliveredError, match="credentials") as caught:
        mail(sink, password=lambda: "wrong-one", **changes).deliver(NOTICE)
    assert "wrong-one" not in str(caught.value)


def test_password_without_tls_is_refused_before_anything_is_sent(sink: MailSink) -> None:
    with pytest.raises(ConfigurationError, match="SMTP_SECURITY"):
        mail(sink, username="svc", password=lambda: PASSWORD)
    assert sink.sessions == 0


def test_server_that_offers_no_starttls_gets_neither_password_nor_mail(make_sink: MakeSink) -> None:
    sink = make_sink(users={"svc": PASSWORD})
    with pytest.raises(NoticeUndeliveredError, match="STARTTLS"):
        mail(sink, security="starttls", username="svc", password=lambda: PASSWORD).deliver(NOTICE)
    assert not sink.received


@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "tls"])
def test_certificate_that_nobody_vouches_for_is_refused(
    make_sink: MakeSink, server_context: ssl.SSLContext, implicit: bool
) -> None:
    sink = make_sink(context=server_context, implicit_tls=implicit)
    with pytest.raises(NoticeUndeliveredError):
        mail(sink, security="tls" if implicit else "starttls").deliver(NOTICE)
    assert not sink.received


@pytest.mark.parametrize(
    "address",
    [
        "ann@example.org\r\nBcc: eve@example.org",
        "ann@example.org\nRCPT TO:<eve@example.org>",
        "ann@example.org, eve@example.org",
        "Ann <ann@example.org>",
        '"a b"@example.org',
        "ann@example.org>",
        "ann",
        "@example.org",
        "ann@",
        "",
    ],
)
def test_address_that_is_none_is_refused_before_anything_is_sent(sink: MailSink, address: str) -> None:
    with pytest.raises(NoticeRefusedError):
        mail(sink).deliver(replace(NOTICE, recipients=(address,)))
    with pytest.raises(ConfigurationError, match="NOTIFICATION_FROM_EMAIL"):
        mail(sink, sender=address)
    assert sink.sessions == 0


def test_subject_cannot_add_a_header(sink: MailSink) -> None:
    mail(sink).deliver(replace(NOTICE, subject="x\r\nBcc: eve@example.org\r\n\r\nbody"))
    (received,) = sink.received
    assert received.message["Bcc"] is None and "\n" not in received.message["Subject"]


@pytest.mark.parametrize(
    ("verb", "reply", "error"),
    [
        ("CONNECT", "421 4.3.2 too busy", NoticeUndeliveredError),
        ("CONNECT", "554 5.7.1 not you", NoticeRefusedError),
        ("MAIL", "451 4.7.1 greylisted", NoticeUndeliveredError),
        ("MAIL", "550 5.7.1 sender denied", NoticeRefusedError),
        ("RCPT", "452 4.2.2 mailbox full", NoticeUndeliveredError),
        ("RCPT", "550 5.1.1 no such user", NoticeRefusedError),
        ("DATA", "451 4.3.0 try later", NoticeUndeliveredError),
        ("DATA-END", "552 5.3.4 message too big", NoticeRefusedError),
        ("DATA-END", "450 4.4.1 queue full", NoticeUndeliveredError),
    ],
)
def test_refusals_tell_later_from_never(
    sink: MailSink, verb: str, reply: str, error: type[Exception]
) -> None:
    sink.refusals.commands[verb] = reply
    with pytest.raises(error, match=reply[:3]):
        mail(sink).deliver(NOTICE)
    assert not sink.received


@pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "DATA-END"])
def test_session_cut_anywhere_before_the_yes_may_be_tried_again(sink: MailSink, verb: str) -> None:
    sink.refusals.drop = verb
    with pytest.raises(NoticeUndeliveredError):
        mail(sink).deliver(NOTICE)
    assert not sink.received


def test_session_cut_after_the_yes_is_a_success(sink: MailSink) -> None:
    sink.refusals.drop_after_data = True
    mail(sink).deliver(NOTICE)
    assert len(sink.received) == 1


def test_one_refused_recipient_is_told_and_the_others_have_it(sink: MailSink) -> None:
    sink.refusals.recipients["ops@example.org"] = "550 5.1.1 no such user"
    with pytest.raises(NoticeRefusedError, match="1 of 2"):
        mail(sink).deliver(NOTICE)
    assert [received.recipients for received in sink.received] == [("ann@example.org",)]


def test_mail_server_that_is_down_may_come_back(sink: MailSink) -> None:
    door = mail(sink)
    sink.close()
    with pytest.raises(NoticeUndeliveredError, match="ConnectionRefusedError"):
        door.deliver(NOTICE)


@pytest.fixture
def hook() -> Iterator[WebhookSink]:
    with WebhookSink(SECRET) as sink:
        yield sink


def webhook(sink: WebhookSink, secret: str = SECRET) -> Webhook:
    return Webhook(sink.url, lambda: secret, lambda: 1_795_000_000.9)


def test_webhook_arrives_signed(hook: WebhookSink) -> None:
    webhook(hook).deliver(NOTICE)
    (received,) = hook.received
    assert received.at == 1_795_000_000 and received.path == "/hooks/tributary"
    assert received.body == {
        "kind": "pack_failed",
        "key": NOTICE.dedupe_key,
        "subject": NOTICE.subject,
        "text": NOTICE.text,
        "share_pack_id": str(NOTICE.pack_id),
    }


def test_same_notice_bears_the_same_idempotency_key(hook: WebhookSink) -> None:
    for notice in (NOTICE, NOTICE, replace(NOTICE, dedupe_key="other")):
        webhook(hook).deliver(notice)
    first, second, other = (received.key for received in hook.received)
    assert first == second != other


def test_signature_is_hmac_sha256_of_time_and_body() -> None:
    # Computed with `printf '7.{}' | openssl dgst -sha256 -hmac key`.
    expected = "77bc83bd1f40422311e47918b203449aecf84b02c1568bb1b570ac2a474cc2d8"
    assert signature("key", 7, b"{}") == f"t=7,v1={expected}"


def test_wrong_secret_is_refused_by_the_receiver_and_named_nowhere(hook: WebhookSink) -> None:
    with pytest.raises(NoticeRefusedError, match="401") as caught:
        webhook(hook, "another-secret-of-some-length").deliver(NOTICE)
    assert "another" not in str(caught.value) and hook.refused == 1


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_receiver_in_trouble_may_take_it_later(hook: WebhookSink, status: int) -> None:
    hook.statuses = [status]
    with pytest.raises(NoticeUndeliveredError, match=str(status)):
        webhook(hook).deliver(NOTICE)


@pytest.mark.parametrize("status", [400, 404, 410, 301, 307])
def test_receiver_that_refuses_or_redirects_is_not_asked_again(hook: WebhookSink, status: int) -> None:
    hook.statuses = [status]
    with pytest.raises(NoticeRefusedError, match=str(status)):
        webhook(hook).deliver(NOTICE)
    assert not hook.received  # nor was the redirect followed


def test_lost_answer_may_be_tried_again(hook: WebhookSink) -> None:
    hook.lose_next = 1
    with pytest.raises(NoticeUndeliveredError) as caught:
        webhook(hook).deliver(NOTICE)
    assert hook.url not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://example.org/hook", "https://u:p@example.org/", "file:///etc/passwd", "x"]
)
def test_url_in_the_clear_or_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="NOTIFICATION_WEBHOOK_URL"):
        Webhook(url, lambda: SECRET, lambda: 0.0)


def test_short_secret_is_refused(hook: WebhookSink) -> None:
    with pytest.raises(ConfigurationError, match="NOTIFICATION_WEBHOOK_SECRET"):
        webhook(hook, "short").deliver(NOTICE)
    assert not hook.received
