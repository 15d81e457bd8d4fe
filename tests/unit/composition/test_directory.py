"""Which notice an event becomes, and what directory syncs are pointed at."""

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID

import pytest
from azure.core.exceptions import ClientAuthenticationError

from shared.adapters.client_credentials import identity_token
from shared.composition.directory import notice_of, scope_of, workspace_url
from shared.sharing.directory_errors import DirectoryRefusedError
from shared.sharing.notices import Audience
from shared.sharing.views import PackView, State

NOW = datetime(2026, 11, 21, tzinfo=UTC)
OPS = Audience(("ops@example.org",))


def view(state: State) -> PackView:
    return PackView(
        id=UUID(int=1),
        name="SharePack_ann",
        state=state,
        strategy="NEW",
        version=2,
        tenant="finance",
        workspace="https://adb-1.azuredatabricks.net",
        requested_by="ann@example.org",
        uploaded_by="ann@example.org",
        created_at=NOW,
        updated_at=NOW,
    )


@pytest.mark.parametrize(
    ("event", "state", "said"),
    [
        ("pack_failed", State.FAILED, "failed"),
        ("pack_failed", State.PARTIAL, "carried out in part"),
        ("pack_failed", State.VALIDATION_FAILED, "found invalid"),
        ("approval_waiting", State.AWAITING_APPROVAL, "waits for approval"),
        ("drift", State.COMPLETED, "1 difference"),
    ],
)
def test_event_becomes_a_notice(event: str, state: State, said: str) -> None:
    notice = notice_of(event, view(state), "share q1: a grant is gone", OPS)
    assert notice is not None and said in notice.subject and "a grant is gone" in notice.text
    assert "ops@example.org" in notice.recipients
    assert notice.pack_id == UUID(int=1), "else its business line never sees it among its notifications"


def test_same_drift_is_one_notice_and_other_drift_another() -> None:
    keys = [notice_of("drift", view(State.COMPLETED), detail, OPS) for detail in ("a", "a", "b")]
    first, second, other = (notice.dedupe_key for notice in keys if notice is not None)
    assert first == second != other


def test_same_drift_after_a_repair_is_said_again() -> None:
    before = view(State.COMPLETED)
    keys = [notice_of("drift", each, "a", OPS) for each in (before, replace(before, version=4))]
    first, second = (notice.dedupe_key for notice in keys if notice is not None)
    assert first != second


def test_unknown_event_is_no_notice() -> None:
    assert notice_of("rotated", view(State.COMPLETED), "", OPS) is None


def test_workspaces_are_reached_over_tls_but_on_this_machine() -> None:
    assert workspace_url("adb-1.azuredatabricks.net") == "https://adb-1.azuredatabricks.net"
    assert workspace_url("127.0.0.1:8443") == "http://127.0.0.1:8443"


def test_tokens_of_other_clouds_are_meant_for_their_own_services() -> None:
    usual = "https://graph.microsoft.com/.default"
    assert scope_of("https://graph.microsoft.us", usual) == "https://graph.microsoft.us/.default"
    assert scope_of("http://127.0.0.1:1", usual) == usual


def test_identity_is_made_once_and_its_refusal_says_nothing_of_the_request() -> None:
    made = []

    def credential() -> SimpleNamespace:
        made.append(1)
        return SimpleNamespace(get_token=lambda scope: SimpleNamespace(token=f"t-{scope}"))

    token = identity_token(credential, "s")
    assert (token(False), token(True), len(made)) == ("t-s", "t-s", 1)

    def refused(scope: str) -> None:
        raise ClientAuthenticationError("canary")

    with pytest.raises(DirectoryRefusedError) as caught:
        identity_token(lambda: SimpleNamespace(get_token=refused), "s")(False)
    assert "canary" not in str(caught.value)
