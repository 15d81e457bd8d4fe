"""The HTTP source against a scripted connector: patience, credentials, addresses; faults are in fault_scripts.py."""

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.adapters.http_client import parse_origin
from shared.adapters.http_source import ConnectorAccess
from shared.errors import (
    AppError,
    ConfigurationError,
    SourceProtocolError,
    SourceRefusedError,
    SourceThrottledError,
    SourceUnavailableError,
)
from shared.sync.fetch import PageRequest
from tests.integration.http_faults import (
    QUICK,
    TOKEN,
    FakeTime,
    Step,
    body,
    config,
    drip,
    hang_up,
    open_source,
    page,
    read_table,
    short,
    source_for,
    sources_are_closed,
    status,
    stub,
)

__all__ = ("sources_are_closed",)  # autouse: importing it puts it to work
ONE = PageRequest(slug="orders", page_size=2, page=1)
GOOD = page(1, 2, has_more=False, total=2)


def test_complete_cursor_walk_is_proven() -> None:
    with stub(page(1, 2, next_cursor="a"), page(3, next_cursor="b"), page(4, next_cursor=None)) as server:
        reading = read_table(source_for(server), config(pagination="keyset"))
    assert reading.proof.proven
    assert reading.keys == {"1", "2", "3", "4"}
    assert [query.get("cursor") for query in server.pages_asked()] == [None, "a", "b"]


def test_page_numbers_are_proven_by_total_and_an_unmoved_probe() -> None:
    probe = body(b'{"changed":true,"max_rowversion":4,"count":4}')
    with stub(page(1, 2, total=4, page=1), page(3, 4, total=4, page=2), probes=[probe]) as server:
        reading = read_table(source_for(server), config())
    assert reading.proof.proven
    assert reading.walk.attempt == 1


def test_page_numbers_without_a_probe_are_proven_by_a_second_equal_walk() -> None:
    walk = (page(1, 2, has_more=True), page(3, has_more=False))
    with stub(*walk, *walk) as server:
        reading = read_table(source_for(server), config())
    assert reading.proof.proven
    assert [query["page"] for query in server.pages_asked()] == ["1", "2", "1", "2"]


def test_moving_probe_proves_nothing() -> None:
    probes = [body(b'{"changed":true,"max_rowversion":%d}' % n) for n in range(9)]
    with stub(page(1, 2, total=2), probes=probes) as server:
        reading = read_table(source_for(server), config())
    assert reading.proof.reason == "moved"


@pytest.mark.parametrize("code", [500, 502, 503])
def test_passing_failure_is_retried_with_backoff(code: int) -> None:
    time = FakeTime()
    with stub(status(code), status(code), GOOD) as server:
        assert source_for(server, pace=time.pace()).fetch_page(ONE).startswith(b'{"rows"')
    assert time.slept == [0.5, 1.0]


@pytest.mark.parametrize("step", [hang_up, short(b'{"rows":[', 9999)])
def test_lost_connection_is_retried_then_unavailable(step: Step) -> None:
    with stub(step) as server, pytest.raises(SourceUnavailableError) as caught:
        source_for(server).fetch_page(ONE)
    assert "broke off" in caught.value.message
    assert len(server.asked) == QUICK.attempts


def test_short_body_followed_by_a_whole_one_gives_the_whole_one() -> None:
    with stub(short(b'{"rows":[', 9999), GOOD) as server:
        assert b'"total": 2' in source_for(server).fetch_page(ONE)


def test_retry_after_in_seconds_is_obeyed() -> None:
    time = FakeTime()
    with stub(status(429, retry_after="3"), GOOD) as server:
        source_for(server, pace=time.pace()).fetch_page(ONE)
    assert time.slept == [3.5]


def test_retry_after_as_a_date_is_obeyed() -> None:
    time, now = FakeTime(), datetime(2025, 6, 1, tzinfo=UTC)
    date = (now + timedelta(seconds=4)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    with stub(status(429, retry_after=date), GOOD) as server:
        source_for(server, pace=replace(time.pace(), now=lambda: now)).fetch_page(ONE)
    assert time.slept == [4.5]


@pytest.mark.parametrize(
    ("value", "wish"), [("99999999999", 3600.0), ("600", 600.0), ("soon", None), ("-5", None)]
)
def test_long_or_absurd_retry_after_is_bounded_and_deferred(value: str, wish: float | None) -> None:
    with stub(status(429, retry_after=value)) as server, pytest.raises(SourceThrottledError) as caught:
        source_for(server).fetch_page(ONE)
    assert caught.value.retry_after_s == wish


def test_nothing_waits_beyond_the_slice_budget() -> None:
    time = FakeTime()
    with stub(status(503)) as server, pytest.raises(SourceUnavailableError):
        source_for(server, pace=time.pace(budget_s=0.1)).fetch_page(ONE)
    assert time.slept == []


def test_slow_loris_is_cut_at_the_deadline_of_the_page() -> None:
    limits = replace(QUICK, page_deadline_s=0.3, attempts=1)
    with stub(drip) as server, pytest.raises(SourceUnavailableError) as caught:
        open_source(_access(server.base_url), limits).fetch_page(ONE)
    assert "did not answer within 0.3 s" in caught.value.message


def test_unreachable_connector_is_named() -> None:
    with stub() as server:
        base = server.base_url
    with pytest.raises(SourceUnavailableError, match="could not be reached"):
        open_source(_access(base), QUICK, FakeTime().pace()).fetch_page(ONE)


@pytest.mark.parametrize(
    ("code", "word"), [(403, "allow"), (404, "know"), (400, "refuses"), (302, "redirect")]
)
def test_refusal_names_the_slug_and_is_not_retried(code: int, word: str) -> None:
    with (
        stub(status(code, location="http://169.254.169.254/")) as server,
        pytest.raises(SourceRefusedError) as caught,
    ):
        source_for(server).fetch_page(ONE)
    assert "'orders'" in caught.value.message and word in caught.value.message
    assert len(server.asked) == 1


def test_token_is_refreshed_once_on_401_and_the_same_page_asked_again() -> None:
    secrets = iter(["old", "new"])
    present = [next(secrets)]
    with stub(status(401), GOOD) as server:
        access = replace(
            _access(server.base_url),
            secret=lambda: present[0],
            forget_secret=lambda: present.__setitem__(0, next(secrets)),
        )
        open_source(access, QUICK, FakeTime().pace()).fetch_page(ONE)
    assert server.authorizations == ["Bearer old", "Bearer new"]
    assert server.pages_asked()[0] == server.pages_asked()[1]


def test_second_401_fails_without_showing_the_token() -> None:
    with stub(status(401)) as server, pytest.raises(SourceRefusedError) as caught:
        source_for(server).fetch_page(ONE)
    assert len(server.asked) == 2
    assert TOKEN not in str(caught.value) + caught.value.hint


def test_client_credentials_sign_in_once_for_many_pages() -> None:
    with stub(GOOD) as server:
        source = open_source(_credentials(server.base_url), QUICK, FakeTime().pace())
        source.fetch_page(ONE)
        source.fetch_page(ONE)
    assert [path for path, _ in server.asked].count("/api/v1/auth/token") == 1
    assert server.authorizations[-1] == "Bearer granted"


def test_granted_token_is_renewed_when_it_expires() -> None:
    time = FakeTime()
    with stub(GOOD) as server:
        source = open_source(_credentials(server.base_url), QUICK, time.pace())
        source.fetch_page(ONE)
        time.sleep(3600)
        source.fetch_page(ONE)
    assert [path for path, _ in server.asked].count("/api/v1/auth/token") == 2


def test_refused_sign_in_names_the_connector_only() -> None:
    with stub(GOOD) as server:
        server.tokens.append(status(401))
        with pytest.raises(SourceRefusedError) as caught:
            open_source(_credentials(server.base_url), QUICK, FakeTime().pace()).fetch_page(ONE)
    assert "'erp'" in caught.value.message and "s3cret-canary" not in caught.value.message


@pytest.mark.parametrize("secret", ["plain", '{"client_id":"a"}', ""])
def test_malformed_client_secret_is_a_configuration_error(secret: str) -> None:
    access = replace(_credentials("http://127.0.0.1:9"), secret=lambda: secret)
    with pytest.raises(ConfigurationError) as caught:
        open_source(access, QUICK).fetch_page(ONE)
    assert caught.value.__cause__ is None and (not secret or secret not in caught.value.message)


def test_token_with_a_line_end_never_reaches_a_header() -> None:
    access = replace(_access("http://127.0.0.1:9"), secret=lambda: "a\r\nX-Evil: 1")
    with pytest.raises(ConfigurationError):
        open_source(access, QUICK).fetch_page(ONE)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "168.63.129.16",
        "fe80::1",
        "fd00:ec2::254",
        "::ffff:169.254.169.254",
        "0.0.0.0",
        "224.0.0.1",
    ],
)
def test_metadata_and_link_local_addresses_are_never_called(address: str) -> None:
    access = replace(_access("http://erp.example"), allowed_hosts=("erp.example",))
    source = open_source(access, QUICK, FakeTime().pace(), resolver=lambda host, port: [address])
    with pytest.raises(SourceRefusedError, match="never calls"):
        source.fetch_page(ONE)


def test_empty_allow_list_allows_no_host() -> None:
    with stub(GOOD) as server, pytest.raises(ConfigurationError, match="not in CONNECTOR_HOSTS"):
        open_source(replace(_access(server.base_url), allowed_hosts=()), QUICK).fetch_page(ONE)
    assert server.asked == []


def test_name_is_resolved_once_so_rebinding_has_no_effect() -> None:
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])
    with stub(GOOD, hang_up, GOOD) as server:
        base = server.base_url.replace("127.0.0.1", "erp.example")
        access = replace(_access(base), allowed_hosts=("erp.example",))
        source = open_source(access, QUICK, FakeTime().pace(), resolver=lambda host, port: next(answers))
        source.fetch_page(ONE)
        source.fetch_page(ONE)
    assert len(server.asked) == 3


def test_connector_that_moved_is_found_again_and_its_new_address_checked() -> None:
    # Nothing listens on 127.0.0.2.
    answers = iter([["127.0.0.2"], ["127.0.0.1"]])
    with stub(GOOD) as server:
        base = server.base_url.replace("127.0.0.1", "erp.example")
        access = replace(_access(base), allowed_hosts=("erp.example",))
        source = open_source(access, QUICK, FakeTime().pace(), resolver=lambda host, port: next(answers))
        source.fetch_page(ONE)
    moved = iter([["127.0.0.2"], ["169.254.169.254"]])
    source = open_source(access, QUICK, FakeTime().pace(), resolver=lambda host, port: next(moved))
    with pytest.raises(SourceRefusedError, match="never calls"):
        source.fetch_page(ONE)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://erp",
        "http://",
        "http://u:p@erp",
        "http://erp?x=1",
        "nonsense",
        "http://erp:port",
        "https://other",
    ],
)
def test_base_url_that_is_no_plain_url_of_a_listed_host_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_origin(url, ("erp",))


def test_page_size_is_clamped_and_parameters_sent() -> None:
    with stub(GOOD) as server:
        source_for(server, limits=replace(QUICK, page_rows=50)).fetch_page(
            replace(ONE, page_size=9999, parameters={"plant": "ö 1&2"}, rowversion_gt="7")
        )
    assert server.pages_asked() == [{"page_size": "50", "plant": "ö 1&2", "rowversion_gt": "7", "page": "1"}]


def test_slug_cannot_leave_its_place_in_the_path() -> None:
    with stub(GOOD) as server:
        source_for(server).fetch_page(replace(ONE, slug="../auth/token?x"))
    assert server.asked[0][0] == "/api/v1/data/..%2Fauth%2Ftoken%3Fx"


def test_probe_answers_none_where_the_connector_has_none() -> None:
    with stub(probes=[status(404)]) as server:
        assert source_for(server).probe("orders", "5", {}) is None
    assert server.asked[0][1] == {"rowversion_gt": "5"}


@pytest.mark.parametrize("said", [b"[]", b'{"changed":"perhaps"}', b'{"max_rowversion":4}', b"{"])
def test_unreadable_probe_is_a_protocol_error(said: bytes) -> None:
    with stub(probes=[body(said)]) as server, pytest.raises(SourceProtocolError, match="orders"):
        source_for(server).probe("orders", None, {})


@pytest.mark.parametrize("said", [b"{}", b'[{"slug":"x"}]'])
def test_unreadable_description_names_its_place(said: bytes) -> None:
    with stub() as server:
        server.lists.append(body(said))
        with pytest.raises(SourceProtocolError, match="list of tables"):
            source_for(server).check()


def test_secrets_stay_out_of_logs_and_errors(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for step in (status(401), status(500), status(403), hang_up, body(b"<")):
        with stub(step) as server:
            try:
                read_table(source_for(server), config())
            except AppError as error:
                caplog.records.append(logging.makeLogRecord({"msg": repr(error) + error.hint}))
    assert TOKEN not in " ".join(record.getMessage() for record in caplog.records)


def _access(base_url: str) -> ConnectorAccess:
    return ConnectorAccess(
        "erp", base_url, "token", secret=lambda: TOKEN, allowed_hosts=(base_url.split("//")[1],)
    )


def _credentials(base_url: str) -> ConnectorAccess:
    secret = '{"client_id":"me","client_secret":"s3cret-canary"}'
    return replace(_access(base_url), auth_type="client_credentials", secret=lambda: secret)
