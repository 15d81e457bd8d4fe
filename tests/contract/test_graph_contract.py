"""Graph as the stand-in answers and refuses: the adapter's side of the contract."""

from collections.abc import Callable
from typing import Any

import pytest

from infra.local.microsoft import MicrosoftServer
from shared.adapters.azure_rest import base_url
from shared.adapters.graph import SCOPE, Graph
from shared.errors import ConfigurationError
from shared.sharing.directory_errors import (
    DirectoryProtocolError,
    DirectoryRefusedError,
    DirectoryThrottledError,
    DirectoryUnavailableError,
    LinkExpiredError,
)
from shared.sharing.directory_ports import DeltaItem
from tests.fixtures_microsoft import Rest, credentials


def walk(graph: Graph, link: str = "") -> tuple[list[DeltaItem], str]:
    """Everything from a link on, and the delta link at its end."""
    items: list[DeltaItem] = []
    while True:
        page = graph.delta("users", link)
        items += page.items
        if page.delta_link is not None:
            return items, page.delta_link
        assert page.next_link is not None
        link = page.next_link


def test_large_directory_comes_page_by_page(microsoft: MicrosoftServer, graph: Graph) -> None:
    names = {f"user{number:06}@example.org" for number in range(20_000)}
    microsoft.switches.page_size = 999
    assert len(set(microsoft.add_users(20_000))) == 20_000
    items, _ = walk(graph)
    assert {item.values["userPrincipalName"] for item in items} == names
    assert microsoft.asked("/users/delta") == 22  # an empty page, then 21 of as many as were asked for


def test_delta_link_tells_of_changes_alone(microsoft: MicrosoftServer, graph: Graph) -> None:
    ann, bob, eve = (microsoft.add_user(f"{name}@example.org") for name in ("ann", "bob", "eve"))
    _, link = walk(graph)
    microsoft.change("users", ann, displayName="Ann", mail=None)
    microsoft.remove("users", [bob])
    items, _ = walk(graph, link)
    assert sorted(items, key=lambda item: item.removed) == [
        DeltaItem(ann, {"displayName": "Ann", "mail": None}),
        DeltaItem(bob, removed=True),
    ]
    assert eve not in [item.id for item in items]


def test_delta_link_without_changes_gives_an_empty_page(microsoft: MicrosoftServer, graph: Graph) -> None:
    microsoft.add_user("ann@example.org")
    _, link = walk(graph)
    assert walk(graph, link)[0] == []


@pytest.mark.parametrize("status", [400, 410])
def test_link_that_expired_is_known_for_one(microsoft: MicrosoftServer, graph: Graph, status: int) -> None:
    microsoft.switches.expired_status = status
    microsoft.add_user("ann@example.org")
    _, link = walk(graph)
    microsoft.expire_links()
    with pytest.raises(LinkExpiredError):
        graph.delta("users", link)


def test_other_bad_requests_are_no_expiry(microsoft: MicrosoftServer, graph: Graph) -> None:
    microsoft.fault("/users/delta", 400, code="BadRequest")
    with pytest.raises(DirectoryRefusedError, match="400"):
        graph.delta("users", "")


@pytest.mark.parametrize("name", ["@odata.nextLink", "@odata.deltaLink"])
def test_link_to_another_host_is_refused_and_never_asked(
    microsoft: MicrosoftServer, graph: Graph, name: str
) -> None:
    body = f'{{"value": [], "{name}": "https://evil.example/v1.0/users/delta?x"}}'.encode()
    microsoft.fault("/users/delta", 200, body=body)
    with pytest.raises(DirectoryProtocolError, match="another host"):
        graph.delta("users", "")
    with pytest.raises(DirectoryProtocolError, match="another host"):
        graph.delta("users", "http://127.0.0.1:1/v1.0/users/delta")


@pytest.mark.parametrize(
    "body",
    [
        b'{"value": []}',
        b'{"value": {}, "@odata.deltaLink": "x"}',
        b'{"value": [{}], "@odata.deltaLink": "x"}',
        b'{"value": ["a"], "@odata.deltaLink": "x"}',
        b'{"value": [], "@odata.deltaLink": 7}',
        b"[]",
        b"<html>",
    ],
)
def test_answer_of_another_shape_is_refused(microsoft: MicrosoftServer, graph: Graph, body: bytes) -> None:
    microsoft.fault("/users/delta", 200, body=body)
    with pytest.raises(DirectoryProtocolError):
        graph.delta("users", "")


def test_throttling_is_waited_out_as_asked(
    microsoft: MicrosoftServer, graph: Graph, graph_rest: Rest
) -> None:
    microsoft.fault("/users/delta", 429, headers={"Retry-After": "7"}, times=2)
    assert graph.delta("users", "").items == ()
    assert graph_rest.slept == [7.0, 7.0]


def test_long_throttling_ends_the_delivery_with_the_services_wish(
    microsoft: MicrosoftServer, graph: Graph, graph_rest: Rest
) -> None:
    microsoft.fault("/users/delta", 429, headers={"Retry-After": "300"}, times=9)
    with pytest.raises(DirectoryThrottledError) as caught:
        graph.delta("users", "")
    assert caught.value.retry_after_s == 300 and graph_rest.slept == []


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 500}, {"lost": True}])
def test_short_outages_are_waited_out_and_long_ones_told(
    microsoft: MicrosoftServer, graph: Graph, graph_rest: Rest, fault: dict[str, Any]
) -> None:
    microsoft.fault("/users/delta", times=3, **fault)
    assert graph.delta("users", "").items == ()
    assert graph_rest.slept == [1.0, 2.0, 4.0]
    microsoft.fault("/users/delta", times=4, **fault)
    with pytest.raises(DirectoryUnavailableError):
        graph.delta("users", "")


def test_service_that_is_down_is_told_without_its_address(rest: Callable[..., Rest]) -> None:
    made = rest(SCOPE, token=lambda _: "t")
    made.url = "http://127.0.0.1:1"
    with pytest.raises(DirectoryUnavailableError) as caught:
        Graph(made).user("ann@example.org")
    assert "ann" not in str(caught.value)


def test_refused_token_is_renewed_once(microsoft: MicrosoftServer, graph: Graph) -> None:
    graph.delta("users", "")
    microsoft.entra.revoke_all()
    assert graph.delta("users", "").items == ()
    assert microsoft.asked("/oauth2/v2.0/token") == 2
    microsoft.fault("/users/delta", 401, times=2)
    with pytest.raises(DirectoryRefusedError, match="InvalidAuthenticationToken"):
        graph.delta("users", "")
    assert microsoft.asked("/oauth2/v2.0/token") == 3


def test_token_is_kept_until_shortly_before_its_end(microsoft: MicrosoftServer) -> None:
    now = [0.0]
    token = credentials(microsoft, SCOPE, clock=lambda: now[0])
    first = token(False)
    now[0] = 3598 - 300
    assert token(False) == first
    now[0] = 3600 - 300
    assert token(False) != first


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"secret": lambda: "wrong-secret"}, "invalid_client"),
        ({"client_id": "nobody"}, "unauthorized_client"),
        ({"tenant_id": "nowhere"}, "invalid_request"),
    ],
)
def test_refused_sign_in_names_the_settings_and_no_secret(
    microsoft: MicrosoftServer, change: dict[str, Any], code: str
) -> None:
    with pytest.raises(DirectoryRefusedError, match=code) as caught:
        credentials(microsoft, SCOPE, **change)(False)
    assert "secret" not in str(caught.value) and "GRAPH_CLIENT_SECRET" in caught.value.hint


def test_sign_in_out_of_reach_may_pass(microsoft: MicrosoftServer) -> None:
    microsoft.fault("/token", 503)
    with pytest.raises(DirectoryUnavailableError):
        credentials(microsoft, SCOPE)(False)


def test_missing_permission_is_told(microsoft: MicrosoftServer, graph: Graph) -> None:
    microsoft.fault("/users", 403)
    with pytest.raises(DirectoryRefusedError, match="Authorization_RequestDenied") as caught:
        graph.user("ann@example.org")
    assert "permissions" in caught.value.hint


def test_user_exists_where_enabled(microsoft: MicrosoftServer, graph: Graph) -> None:
    microsoft.add_user("ann@example.org")
    microsoft.add_user("$odd'one@example.org")
    disabled = microsoft.add_user("off@example.org", accountEnabled=False)
    gone = microsoft.add_user("gone@example.org")
    microsoft.remove("users", [gone])
    names = (
        "ANN@example.org",
        "$odd'one@example.org",
        "off@example.org",
        "gone@example.org",
        "no@example.org",
    )
    assert [graph.user(name) for name in names] == [True, True, False, False, False]
    assert not graph.user(disabled)


@pytest.mark.parametrize(
    "name", ["", " ", "..", "../groups", "a b@c", "x')/delete('y", "ann@example.org?$select=id"]
)
def test_odd_name_is_no_user_and_reaches_no_other_route(
    microsoft: MicrosoftServer, graph: Graph, name: str
) -> None:
    assert not graph.user(name)
    assert all(
        request.path.startswith(("/v1.0/users('", f"/{microsoft.entra.tenant}"))
        for request in microsoft.requests
    )


@pytest.mark.parametrize("name", ["Finance", "O'Brien & Söhne", "a' or displayName ne '", "50% #1/?"])
def test_group_is_found_by_its_exact_name(microsoft: MicrosoftServer, graph: Graph, name: str) -> None:
    assert not graph.group(name)
    microsoft.add_group(name)
    assert graph.group(name) and graph.group(name.upper())
    assert not graph.group(f"{name} 2") and not graph.group("")


@pytest.mark.parametrize(
    "url", ["http://graph.example", "https://u:p@graph.example", "https://g.example?x=1", "graph"]
)
def test_address_that_would_send_tokens_in_the_clear_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="GRAPH_URL"):
        base_url(url, "GRAPH_URL")


def test_answer_larger_than_it_may_be_is_refused(microsoft: MicrosoftServer, graph: Graph) -> None:
    microsoft.fault("/users/delta", 200, body=b'{"value": ["' + b"x" * 33 * 2**20 + b'"]}')
    with pytest.raises(DirectoryProtocolError, match="larger"):
        graph.delta("users", "")
