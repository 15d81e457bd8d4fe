"""Microsoft's services for tests: `microsoft` is a started stand-in, `graph` and `costs` speak to it.

def test_x(microsoft, graph):
    id = microsoft.add_user("ann@example.org"); microsoft.change("users", id, displayName="Ann")
    microsoft.remove("users", [id]); microsoft.expire_links(); microsoft.switches.page_size = 3
    microsoft.fault("/users/delta", 429, headers={"Retry-After": "7"}, times=2); microsoft.asked("/token")
    graph_rest.slept                                    # the waits it would have made
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infra.local.microsoft import MicrosoftServer
from shared.adapters import cost_management
from shared.adapters import graph as graph_adapter
from shared.adapters.azure_rest import AzureRest, Limits
from shared.adapters.client_credentials import ClientCredentials
from shared.adapters.cost_management import CostManagement
from shared.adapters.graph import Graph


class Rest(AzureRest):
    """Counts its waits instead of waiting."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.slept: list[float] = []
        super().__init__(*arguments, sleep=self.slept.append, **options)


def credentials(server: MicrosoftServer, scope: str, **changes: Any) -> ClientCredentials:
    entra = server.entra
    known = {
        "authority": server.url,
        "tenant_id": entra.tenant,
        "client_id": entra.client_id,
        "secret": lambda: entra.client_secret,
    }
    return ClientCredentials(**(known | {"scope": scope} | changes))


@pytest.fixture
def microsoft() -> Iterator[MicrosoftServer]:
    """A started stand-in with nobody in its directory."""
    with MicrosoftServer() as server:
        yield server


@pytest.fixture
def rest(microsoft: MicrosoftServer) -> Iterator[Callable[..., Rest]]:
    """A factory of clients for a scope."""
    made: list[Rest] = []

    def make(scope: str, **options: Any) -> Rest:
        token = options.pop("token", None) or credentials(microsoft, scope)
        made.append(Rest("Microsoft Graph", microsoft.url, token, limits=Limits(timeout_s=5), **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def graph_rest(rest: Callable[..., Rest]) -> Rest:
    """The client under `graph`."""
    return rest(graph_adapter.SCOPE)


@pytest.fixture
def graph(graph_rest: Rest) -> Graph:
    """The adapter over the stand-in."""
    return Graph(graph_rest)


@pytest.fixture
def cost_rest(rest: Callable[..., Rest]) -> Rest:
    """The client under `costs`."""
    return rest(cost_management.SCOPE, wait_headers=cost_management.WAIT_HEADERS)


@pytest.fixture
def costs(cost_rest: Rest) -> CostManagement:
    """The adapter over the stand-in."""
    return CostManagement(cost_rest)
