"""The workspace stand-in for tests.

`make_workspace()` starts one in this process and stops it after the test, which fails if a route that does not
exist was asked for; keywords go to WorkspaceServer (tables, identities, switches, path, clock, random_seed).

    def test_x(make_workspace):
        workspace = make_workspace(switches=Switches(stale_reads=2), tables=["main.extra.rows"])
        workspace.url; workspace.host; workspace.token          # the first identity's; OTHER.token is the second's
        workspace.state.shares["sales"].objects                 # what is there now; read `state` anew each time
        workspace.add_table("main.x.y", readers=[PROVISIONER.name]); workspace.lose_select("main.x.y")
        workspace.fault("shares.update", "after", skip=1)       # see Fault; "reads", "writes", "recipients.*", "*"
        workspace.fault("*", "kill", skip=4, run=stop)          # after call 5 was carried out
        workspace.heal(); workspace.reset(); workspace.stop(); workspace.start()
        mark = workspace.last; ...; assert workspace.writes(since=mark) == 0
        [(entry.route, entry.status) for entry in workspace.requests]
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from infra.local.workspace import WorkspaceServer

if TYPE_CHECKING:
    from tests.workspace_client import RecordingClient


class MakeWorkspace(Protocol):
    """Builds and starts one."""

    def __call__(self, **options: Any) -> WorkspaceServer: ...


@pytest.fixture
def make_workspace() -> Iterator[MakeWorkspace]:
    """A factory of started workspaces."""
    started: list[WorkspaceServer] = []

    def make(**options: Any) -> WorkspaceServer:
        started.append(WorkspaceServer(**options))
        return started[-1].start()

    yield make
    for workspace in started:
        workspace.close()
    assert not [entry for workspace in started for entry in workspace.unknown]


@pytest.fixture
def workspace(make_workspace: MakeWorkspace) -> WorkspaceServer:
    """A started workspace with the seeded catalogs."""
    return make_workspace()


@pytest.fixture
def sharing_client(workspace: WorkspaceServer) -> "RecordingClient":
    """The provisioner's SDK, with a share of two objects, an open recipient and a Databricks one."""
    # The SDK takes a second to import, which tests of other things need not pay.
    from databricks.sdk.service.sharing import AuthenticationType

    from tests.workspace_client import METASTORE, RecordingClient, change

    made = RecordingClient(workspace)
    made.shares.create("sold")
    added = [change("ADD", "main.retail.orders"), change("ADD", "main.retail.customers")]
    made.shares.update("sold", updates=added)
    made.recipients.create("opened", AuthenticationType.TOKEN)
    made.recipients.create(
        "inside", AuthenticationType.DATABRICKS, data_recipient_global_metastore_id=METASTORE
    )
    return made
