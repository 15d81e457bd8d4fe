"""The parts of the Databricks adapter that need no workspace: hosts, names, pace, failures and shapes."""

from datetime import UTC, datetime

import pytest
import requests
from databricks.sdk.errors import (
    Aborted,
    BadRequest,
    DeadlineExceeded,
    InternalError,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)
from databricks.sdk.service import sharing
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.databricks import names, reading, writing
from shared.adapters.databricks.failures import translated
from shared.adapters.databricks.hosts import workspace_origin
from shared.adapters.databricks.pace import TokenBucket
from shared.adapters.databricks.workspace import _required
from shared.errors import ConfigurationError
from shared.sharing.errors import OutcomeUnknownError, WorkspaceRefusedError, WorkspaceUnavailableError
from shared.sharing.model import DataObject, ObjectType, Recipient, RecipientType
from shared.sharing.ports import ObjectChange
from tests.databricks_adapter import Seconds

AZURE = "adb-1.7.azuredatabricks.net"
ALLOWED = (AZURE, "127.0.0.1:8090", "other.example.org:8443")


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        (f"https://{AZURE}", f"https://{AZURE}"),
        (f"https://{AZURE.upper()}/", f"https://{AZURE}"),
        (f" {AZURE} ", f"https://{AZURE}"),
        (f"https://{AZURE}:443", f"https://{AZURE}"),
        ("https://other.example.org:8443", "https://other.example.org:8443"),
        ("http://127.0.0.1:8090", "http://127.0.0.1:8090"),
    ],
)
def test_an_allowed_workspace_has_one_spelling(url: str, origin: str) -> None:
    assert workspace_origin(url, ALLOWED) == origin


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.org",
        f"http://{AZURE}",
        f"https://{AZURE}:8443",
        f"https://{AZURE}.evil.example.org",
        f"https://{AZURE}@evil.example.org",
        f"https://user:secret@{AZURE}",
        f"https://{AZURE}/api",
        f"https://{AZURE}?x=1",
        f"https://{AZURE}#x",
        f"ftp://{AZURE}",
        "https://other.example.org",
        "http://169.254.169.254",
        "https://127.0.0.1:99999",
        "https://[::1",
        "",
    ],
)
def test_any_other_address_is_refused_naming_the_setting(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        workspace_origin(url, ALLOWED)
    assert "DATABRICKS_HOSTS" in caught.value.hint
    assert "secret" not in str(caught.value)


def test_without_a_list_no_workspace_may_be_called() -> None:
    with pytest.raises(ConfigurationError):
        workspace_origin(f"https://{AZURE}", ())


@given(st.text(max_size=30))
def test_a_name_that_passes_holds_nothing_a_path_could_mistake(name: str) -> None:
    try:
        passed = names.securable(name)
    except WorkspaceRefusedError:
        return
    assert passed.isascii() and not set(passed) - set("abcdefghijklmnopqrstuvwxyz0123456789_-")


@pytest.mark.parametrize("name", ["a", "a.b.c.d", "a..b", ".a.b", "a.b.c/d", "a.b.\n"])
def test_a_full_name_has_two_or_three_good_parts(name: str) -> None:
    with pytest.raises(WorkspaceRefusedError):
        names.full_name(name)


def test_a_burst_passes_and_then_the_rate_holds() -> None:
    seconds = Seconds()
    bucket = TokenBucket(2, 3, clock=seconds.clock, sleep=seconds.sleep)
    for _ in range(7):
        bucket.take()
    assert seconds.now == pytest.approx(2.0)
    seconds.now += 100
    seconds.slept.clear()
    for _ in range(4):
        bucket.take()
    assert seconds.slept == [pytest.approx(0.5)]


@pytest.mark.parametrize(
    "error", [InternalError("x"), DeadlineExceeded("x"), requests.ReadTimeout(), ValueError("x")]
)
def test_what_may_have_taken_effect_is_unknown_for_a_write_only(error: Exception) -> None:
    assert type(translated(error, "PATCH x", "write")) is OutcomeUnknownError
    assert type(translated(error, "GET x", "read")) is WorkspaceUnavailableError


def test_a_gateways_404_is_no_absence() -> None:
    assert type(translated(NotFound("<html>"), "GET x", "read")) is WorkspaceRefusedError


def test_a_workspace_without_a_metastore_is_no_absence() -> None:
    told = NotFound("no metastore", error_code="METASTORE_DOES_NOT_EXIST")
    assert type(translated(told, "GET x", "read")) is WorkspaceRefusedError


def test_a_change_that_another_came_between_may_be_tried_again() -> None:
    assert (
        type(translated(Aborted("x", error_code="ABORTED"), "PATCH x", "write")) is WorkspaceUnavailableError
    )


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Unauthenticated("x"), "UNAUTHENTICATED"),
        (PermissionDenied("x"), "PERMISSION_DENIED"),
        (BadRequest("x"), "REFUSED"),
    ],
)
def test_a_refusal_without_a_code_still_has_a_reason(error: Exception, reason: str) -> None:
    told = translated(error, "PATCH x", "write")
    assert isinstance(told, WorkspaceRefusedError) and told.reason == reason


@pytest.mark.parametrize("error", [requests.ConnectTimeout(), requests.exceptions.SSLError()])
def test_a_write_whose_connection_was_never_made_is_unavailable(error: Exception) -> None:
    assert type(translated(error, "PATCH x", "write")) is WorkspaceUnavailableError


def test_a_message_without_a_code_is_never_quoted() -> None:
    told = NotFound('unable to parse response. Request log: {"bearerToken": "secret"}')
    assert "secret" not in str(translated(told, "GET x", "read"))


def test_links_in_a_message_are_left_out() -> None:
    told = NotFound("see https://host/retrieve?secret now", error_code="RESOURCE_DOES_NOT_EXIST")
    assert str(translated(told, "GET x", "read")).endswith("see <link> now")


def tokens(*given: tuple[str, int, str | None]) -> sharing.RecipientInfo:
    made = [sharing.RecipientTokenInfo(id=i, created_at=at, activation_url=url) for i, at, url in given]
    return sharing.RecipientInfo(name="r", tokens=made)


def test_the_token_just_made_is_the_one_not_known_before() -> None:
    info = tokens(("old", 5, "https://x/old"), ("new", 5, "https://x/new"), ("used", 9, None))
    found = reading.issued_token(info, frozenset({"old"}))
    assert found is not None and found.id == "new"


def test_an_answer_without_a_new_token_leaves_the_outcome_unknown() -> None:
    assert reading.issued_token(tokens(("old", 5, "https://x")), frozenset({"old"})) is None
    with pytest.raises(OutcomeUnknownError):
        _required(None, "r")


def test_no_addresses_and_an_empty_list_both_mean_everywhere() -> None:
    for given_list in (None, sharing.IpAccessList(), sharing.IpAccessList([])):
        info = sharing.RecipientInfo(name="R", ip_access_list=given_list)
        assert reading.observed_recipient(info).allowed_ips is None


def test_a_first_token_ends_after_the_packs_days() -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    recipient = Recipient("r", RecipientType.D2O, token_expiry_days=30)
    expires = writing.first_expiry_ms(recipient, now)
    assert expires is not None and datetime.fromtimestamp(expires / 1000, UTC) == datetime(
        2026, 12, 21, tzinfo=UTC
    )
    assert writing.first_expiry_ms(Recipient("r", RecipientType.D2O), now) is None


@pytest.mark.parametrize("kind", list(ObjectType))
def test_an_alias_goes_where_its_kind_has_it(kind: ObjectType) -> None:
    change = ObjectChange("ADD", DataObject("a.b.c", kind, shared_as="x.y"), kind)
    sent = writing.object_update(change).as_dict()["data_object"]
    table_like = kind in {"TABLE", "VIEW", "MATERIALIZED_VIEW", "STREAMING_TABLE", "FOREIGN_TABLE"}
    assert sent == {
        "name": "a.b.c",
        "data_object_type": kind.value,
        ("shared_as" if table_like else "string_shared_as"): "x.y",
    }


def test_an_empty_alias_is_left_out() -> None:
    change = ObjectChange("ADD", DataObject("a.b.c", shared_as=""), ObjectType.TABLE)
    assert "shared_as" not in writing.object_update(change).as_dict()["data_object"]
