"""Data Factory: the routes, the adapter and the identity, whole, against the stand-in of Azure's management interface."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from infra.local.azure.identity import IdentityEndpoint
from infra.local.azure.management import DataFactory as StandIn
from shared.adapters.data_factory import DataFactory, factory_of
from shared.adapters.identity import MANAGEMENT_SCOPE, BearerTokens, managed_identity
from shared.errors import (
    ConfigurationError,
    FactoryRefusedError,
    FactoryUnavailableError,
    InvalidError,
    NotFoundError,
)
from tests.fixtures_azure import CLIENT, Serve
from tests.unit.api.fakes import World

RUNS = "/api/v1/datafactory/pipelines/load orders/runs"
DAY = {"parameters": {"day": "2026-01-01"}}


@pytest.fixture
def adapter(identity: IdentityEndpoint, factory: StandIn, serve: Serve) -> Any:
    """The product's adapter over the stand-in."""
    tokens = BearerTokens(lambda: managed_identity(CLIENT, azure=True), MANAGEMENT_SCOPE)
    at = factory_of(factory.subscription_id, factory.resource_group, factory.name)
    made = DataFactory(at, tokens, base_url=serve(factory.handle).url)
    yield made
    made.close()


@pytest.fixture
def world(adapter: DataFactory) -> World:
    """The API over the adapter."""
    return World(pipelines=lambda: adapter)


def test_pipeline_is_started_and_followed(world: World, factory: StandIn) -> None:
    started = world.ask("POST", RUNS, "operator,tenant:*", json=DAY)
    assert started.status_code == 202 and started.json()["pipeline"] == "load orders"
    run = factory.runs[started.json()["run_id"]]
    assert (run.pipeline, run.parameters) == ("load orders", {"day": "2026-01-01"})
    run.status, run.ended = "Succeeded", "2026-01-02T03:05:05.7654321Z"
    found = world.ask("GET", f"/api/v1/datafactory/runs/{run.run_id}", "reader,tenant:*").json()
    assert (found["status"], found["duration_ms"], found["failures"]) == ("Succeeded", 1000, [])
    assert found["ended_at"] == "2026-01-02T03:05:05.765432Z"


def test_failed_run_names_the_activities_that_failed(adapter: DataFactory, factory: StandIn) -> None:
    run = factory.runs[str(adapter.run("load orders", {"day": "x"}))]
    run.status, run.message = "Failed", "an activity failed"
    run.activities = [
        {
            "activityName": "copy",
            "status": "Failed",
            "error": {"errorCode": "2200", "message": "no such file"},
        },
        {"activityName": "look", "status": "Succeeded", "error": {}},
    ]
    found = adapter.status(UUID(run.run_id))
    assert [(f.activity, f.code, f.message) for f in found.failures] == [("copy", "2200", "no such file")]


def test_run_is_told_even_where_its_activities_cannot_be_read(adapter: DataFactory, factory: StandIn) -> None:
    run = factory.runs[str(adapter.run("load orders", {"day": "x"}))]
    run.status = "Failed"
    original, calls = factory.handle, []

    def flaky(request: Any) -> Any:
        calls.append(request.path)
        factory.failures = [503] if "queryActivityruns" in request.path else []
        return original(request)

    with httpx.Client(transport=httpx.MockTransport(lambda r: _through(flaky, r))) as client:
        adapter._client = client
        assert (adapter.status(UUID(run.run_id)).failures, len(calls)) == ((), 2)


def _through(handle: Callable[[Any], Any], request: httpx.Request) -> httpx.Response:
    from infra.local.azure.http import Request

    headers = {name.lower(): value for name, value in request.headers.items()}
    answer = handle(
        Request(request.method, request.url.path, dict(request.url.params), headers, request.content)
    )
    return httpx.Response(answer.status, json=answer.body, headers=dict(answer.headers))


def test_what_the_factory_refuses_is_said_in_its_words(adapter: DataFactory) -> None:
    with pytest.raises(InvalidError) as caught:
        adapter.run("load orders", {})
    assert "not provided: day" in caught.value.problems[0][1]
    with pytest.raises(NotFoundError, match="no such pipeline"):
        adapter.run("no such pipeline", {})
    with pytest.raises(NotFoundError, match="was not found"):
        adapter.status(uuid4())


def test_identity_without_the_role_is_told_which_one(world: World, factory: StandIn) -> None:
    factory.contributors.clear()
    answer = world.ask("POST", RUNS, "operator,tenant:*", json=DAY)
    assert (answer.status_code, answer.headers["content-type"]) == (502, "application/problem+json")
    assert "Data Factory Contributor" in answer.json()["hint"]


def test_throttled_factory_is_503_with_its_own_wish(world: World, factory: StandIn) -> None:
    factory.failures = [429]
    answer = world.ask("POST", RUNS, "operator,tenant:*", json=DAY)
    assert (answer.status_code, answer.headers["retry-after"], factory.runs) == (503, "17", {})


def test_start_is_never_repeated_by_itself(adapter: DataFactory, factory: StandIn) -> None:
    factory.failures = [500]
    with pytest.raises(FactoryUnavailableError):
        adapter.run("load orders", {"day": "x"})
    assert factory.runs == {} and factory.failures == []


def test_refused_token_is_replaced_once(
    adapter: DataFactory, factory: StandIn, identity: IdentityEndpoint
) -> None:
    adapter.run("load orders", {"day": "x"})
    identity.cached, factory.failures = False, [401]
    adapter.run("load orders", {"day": "y"})
    assert (len(factory.runs), identity.given) == (2, 2)
    factory.failures = [401, 401]
    with pytest.raises(FactoryRefusedError):
        adapter.run("load orders", {"day": "z"})


def test_identity_endpoint_that_gives_nothing_is_503(world: World, identity: IdentityEndpoint) -> None:
    identity.client_ids = frozenset()
    answer = world.ask("POST", RUNS, "operator,tenant:*", json=DAY)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:tributary:identity_unavailable")


def test_factory_that_cannot_be_reached_warns_that_a_run_may_have_begun(identity: IdentityEndpoint) -> None:
    tokens = BearerTokens(lambda: managed_identity(CLIENT, azure=True), MANAGEMENT_SCOPE)
    unreachable = DataFactory(factory_of("s", "g", "f"), tokens, base_url="http://127.0.0.1:9")
    with pytest.raises(FactoryUnavailableError) as caught:
        unreachable.run("p", {})
    unreachable.close()
    assert "may have begun" in caught.value.hint


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"runId": "x"}', b"{}"])
def test_answer_of_somebody_else_is_refused(answer: bytes) -> None:
    tokens: Any = type("Tokens", (), {"text": lambda _: "t", "forget": lambda _: None})()
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, content=answer))) as client:
        adapter = DataFactory(factory_of("s", "g", "f"), tokens, client=client)
        with pytest.raises(FactoryRefusedError):
            adapter.run("p", {})


def test_missing_settings_are_named_all_at_once() -> None:
    with pytest.raises(ConfigurationError, match="AZURE_SUBSCRIPTION_ID, DATA_FACTORY_NAME: not set"):
        factory_of(None, "g", None)


def test_api_without_factory_says_what_to_set() -> None:
    answer = World().ask("POST", RUNS, "operator,tenant:*", json=DAY)
    assert (answer.status_code, "DATA_FACTORY_NAME" in answer.json()["detail"]) == (422, True)


@pytest.mark.parametrize(
    "name", ["..", "a%2f..%2fb", "x?y", "a.b", "a:b", "é", "-x", "x" * 141, "a%0ab", "a%00"]
)
def test_name_outside_the_allow_list_never_leaves(world: World, factory: StandIn, name: str) -> None:
    answer = world.ask("POST", f"/api/v1/datafactory/pipelines/{name}/runs", "operator,tenant:*", json=DAY)
    assert answer.status_code in (404, 405) and factory.asked == []


def test_only_who_sees_all_tenants_may_start_or_follow(world: World, factory: StandIn) -> None:
    assert world.ask("POST", RUNS, "admin,tenant:default", json=DAY).status_code == 403
    at = f"/api/v1/datafactory/runs/{uuid4()}"
    assert world.ask("GET", at, "admin,tenant:default").status_code == 403
    assert factory.asked == []
