"""Share packs provisioned through the Databricks adapter, over HTTP, against the workspace stand-in."""

from collections.abc import Iterator

import pytest

from infra.local.workspace import PROVISIONER, Switches, WorkspaceServer
from infra.local.workspace.faults import FaultKind
from shared.errors import TransientError
from shared.sharing.apply import Outcome
from shared.sharing.model import DataObject, ObjectType, Pipeline, Share
from shared.sharing.plan import Plan
from shared.sharing.ports import GrantChange, ObjectChange
from tests.databricks_adapter import adapter_to, add
from tests.unit.sharing.scene import OTHER, PACK, Scene, internal, objects, opened, owned, pack, wants

S = "main.provisioning"
METASTORE = "azure:westeurope:0f3c0000-1111-2222-3333-444455556666"
WANTED = pack(
    opened("auditor", "203.0.113.0/24", comment="Outside"),
    opened("old-hand", "198.51.100.0/25", "192.0.2.0/24"),
    internal("analyst", METASTORE),
    Share("fresh", "new one", ("auditor", "analyst"), objects(f"{S}.a", f"{S}.b")),
    Share("running", "changed", ("auditor", "old-hand"),
          (*objects(f"{S}.a"), DataObject(f"{S}.b", history=True),
           DataObject(f"{S}.c", shared_as="provisioning.new")), ("leaver",), (f"{S}.gone",)),
    Pipeline("nightly", "JOB", "/Shared/nightly", S, "0 0 2 * * ?", "refreshes"),
    Pipeline("declared", "PIPELINE", "/Shared/declared", S, None, "refreshes"),
)  # fmt: skip


@pytest.fixture
def server() -> Iterator[WorkspaceServer]:
    with WorkspaceServer() as started:
        yield started


def standing(server: WorkspaceServer) -> Scene:
    """A share that runs already, with a leaver, another pack's reader and table, and an alias of our own."""
    for table in ("a", "b", "c", "gone", "theirs"):
        server.add_table(f"{S}.{table}", readers=[PROVISIONER.name])
    workspace = adapter_to(server)
    for name, addresses in (("old-hand", ("198.51.100.0/24",)), ("leaver", ()), ("neighbour", ())):
        workspace.create_recipient(opened(name, *addresses))
    workspace.create_share("running", "as it was")
    aliased = ObjectChange("ADD", DataObject(f"{S}.c", shared_as="provisioning.old"), ObjectType.TABLE)
    workspace.update_share("running", [*(add(f"{S}.{table}") for table in ("b", "gone", "theirs")), aliased])
    workspace.grant("running", [GrantChange(name, True) for name in ("leaver", "neighbour")])
    contributed = [
        wants(PACK, "object", f"running|TABLE|{S}.c|provisioning.old"),
        wants(PACK, "object", f"running|TABLE|{S}.gone|"),
        wants(OTHER, "object", f"running|TABLE|{S}.theirs|"),
        wants(OTHER, "grant", "running|neighbour"),
    ]
    held = owned("share/running", "recipient/old-hand", "recipient/leaver", contributions=contributed)
    return Scene(workspace, held)  # type: ignore[arg-type]


def facts(scene: Scene) -> object:
    workspace = scene.workspace
    shares, recipients = {}, {}
    for name in ("fresh", "running"):
        share = workspace.share(name)
        assert share is not None
        shares[name] = share.comment, sorted(map(repr, share.objects)), dict(share.grants)
    for name in ("auditor", "old-hand", "analyst", "leaver", "neighbour"):
        found = workspace.recipient(name)
        assert found is not None
        recipients[name] = found.comment, found.allowed_ips, found.metastore_id, len(found.tokens)
    return shares, recipients, workspace.pipeline("JOB", "nightly") is not None


def delivered(scene: Scene, planned: Plan) -> Outcome:
    """As many deliveries as it takes, up to five."""
    for _ in range(4):
        try:
            return scene.apply(planned, WANTED)
        except TransientError:
            continue
    return scene.apply(planned, WANTED)


@pytest.mark.parametrize("lag", [0, 2])
@pytest.mark.parametrize("atomic", [True, False])
def test_a_pack_comes_about_once_and_a_second_time_nothing_does(
    server: WorkspaceServer, lag: int, atomic: bool
) -> None:
    scene = standing(server)
    server.switches = Switches(stale_reads=lag, atomic_updates=atomic)
    planned, before = scene.plan(WANTED), server.writes()
    assert scene.apply(planned, WANTED).state == "COMPLETED"
    assert server.writes() - before == planned.writes
    assert scene.provision(WANTED).state == "COMPLETED"
    assert server.writes() - before == planned.writes


@pytest.fixture(scope="module")
def expected() -> object:
    with WorkspaceServer() as started:
        scene = standing(started)
        assert scene.provision(WANTED).state == "COMPLETED"
        return facts(scene)


@pytest.mark.parametrize("kind", ["before", "after", "429", "504-after"])
def test_a_fault_at_any_write_ends_like_none(kind: FaultKind, expected: object) -> None:
    for nth in range(18):
        with WorkspaceServer() as server:
            scene = standing(server)
            planned = scene.plan(WANTED)
            server.fault("writes", kind, skip=nth)
            outcome = delivered(scene, planned)
            assert (outcome.state, facts(scene)) == ("COMPLETED", expected), nth


def test_tables_of_a_schema_are_looked_up_together(server: WorkspaceServer) -> None:
    names = [f"{S}.t{n}" for n in range(40)]
    for name in names:
        server.add_table(name, readers=[PROVISIONER.name])
    scene = Scene(adapter_to(server))  # type: ignore[arg-type]
    before = len(server.log.since(0))
    planned = scene.plan(pack(Share("big", None, (), objects(*names))))
    assert planned.errors == ()
    assert len(server.log.since(0)) - before < 10
