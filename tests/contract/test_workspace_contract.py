"""A workspace as share packs want it: our stand-in and, where one is named, a real one keep the same contract.

The real one: DATABRICKS_HOST, DATABRICKS_TOKEN and TRIBUTARY_CONTRACT_CATALOG, a catalog with a schema
`tributary_contract` that holds the tables `one` and `two` and the view `three`. The token's owner needs CREATE_SHARE,
CREATE_RECIPIENT and SELECT there. What the tests make is called tributary-contract-... and is deleted at the end.
"""

import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest

from infra.local.workspace import PROVISIONER, Switches, WorkspaceServer
from shared.adapters.databricks.client import FixedToken, open_wire
from shared.adapters.databricks.wire import Wire
from shared.adapters.databricks.workspace import DatabricksWorkspace
from shared.sharing.errors import AlreadyExistsError, MissingError, WorkspaceRefusedError
from shared.sharing.model import (
    ANY_ADDRESS,
    ObjectType,
    Partition,
    PartitionValue,
    Pipeline,
    Recipient,
    RecipientType,
)
from shared.sharing.ports import GrantChange, Workspace
from tests.databricks_adapter import add, again, wire_to
from tests.unit.sharing.memory import MemoryWorkspace, tables

# Read here: a fixture takes the settings of a developer's own shell away before each test.
REAL = tuple(
    os.environ.get(name, "") for name in ("DATABRICKS_HOST", "DATABRICKS_TOKEN", "TRIBUTARY_CONTRACT_CATALOG")
)
SCHEMA = "tributary_contract"
STAND_INS = {
    "stand-in": Switches(),
    "atomic": Switches(atomic_updates=True, empty_pages=False),
    "lagging": Switches(stale_reads=3),
}
UNITY = "/api/2.1/unity-catalog"
Read = TypeVar("Read")


@dataclass
class Place:
    """A workspace, a catalog to share from, and what must go at the end."""

    wire: Wire
    catalog: str
    made: list[tuple[str, str, Any]] = field(default_factory=list)

    @property
    def workspace(self) -> Workspace:
        """The adapter, by no more than its Protocol."""
        return DatabricksWorkspace(self.wire)

    def table(self, name: str) -> str:
        return f"{self.catalog}.{SCHEMA}.{name}"

    def name(self, kind: str) -> str:
        """A fresh name of a share or recipient, deleted at the end."""
        fresh = f"tributary-contract-{uuid.uuid4().hex[:12]}"
        self.made.append(("DELETE", f"{UNITY}/{kind}s/{fresh}", None))
        return fresh

    def forget(self) -> None:
        for method, path, body in self.made:
            with suppress(MissingError):
                self.wire.do(method, path, body=body)


@dataclass
class InMemory:
    """The workspace that unit tests apply plans to."""

    memory: MemoryWorkspace
    catalog: str = "main"
    made: list[tuple[str, str, Any]] = field(default_factory=list)

    @property
    def workspace(self) -> Workspace:
        return self.memory

    table, name = Place.table, Place.name


def in_memory(stale_reads: int) -> InMemory:
    kinds = {"one": ObjectType.TABLE, "two": ObjectType.TABLE, "three": ObjectType.VIEW}
    known = tables(f"main.{SCHEMA}", kind=ObjectType.SCHEMA)
    for name, kind in kinds.items():
        known |= tables(f"main.{SCHEMA}.{name}", kind=kind)
    return InMemory(MemoryWorkspace(catalog=known, stale_reads=stale_reads))


@pytest.fixture(params=["memory", "lagging memory", *STAND_INS, *(["real"] if all(REAL) else [])])
def place(request: pytest.FixtureRequest) -> Iterator[Place | InMemory]:
    if request.param == "real":
        host, token, catalog = REAL
        allowed = [urlsplit(host if "://" in host else f"https://{host}").netloc]
        found = Place(open_wire(host, allowed, FixedToken(token), "0.1.0"), catalog)
        yield found
        found.forget()
        return
    if "memory" in request.param:
        yield in_memory(3 if "lagging" in request.param else 0)
        return
    with WorkspaceServer(switches=STAND_INS[request.param]) as server:
        for name, kind in (("one", "MANAGED"), ("two", "MANAGED"), ("three", "VIEW")):
            server.add_table(f"main.{SCHEMA}.{name}", table_type=kind, readers=[PROVISIONER.name])
        yield Place(wire_to(server), "main")
        assert not server.unknown


def eventually(read: Callable[[], Read], right: Callable[[Read], object]) -> Read:
    """Reads may lag behind a write: the first right one, or the last of ten."""
    for attempt in range(10):
        found = read()
        if right(found):
            return found
        time.sleep(0.01 * 2**attempt if all(REAL) else 0)
    pytest.fail(f"read ten times: {found}")


def shared(place: Place | InMemory, *tables: str) -> str:
    """A share with some tables in it."""
    name = place.name("share")
    place.workspace.create_share(name, "made by a test")
    place.workspace.update_share(name, [add(place.table(table)) for table in tables])
    eventually(lambda: place.workspace.share(name), lambda share: share and len(share.objects) == len(tables))
    return name


def opened(place: Place | InMemory, **members: Any) -> str:
    """An open recipient."""
    name = place.name("recipient")
    place.workspace.create_recipient(Recipient(name, RecipientType.D2O, **members))
    eventually(lambda: place.workspace.recipient(name), bool)
    return name


def test_it_says_who_we_are(place: Place | InMemory) -> None:
    assert place.workspace.identity()


def test_what_is_not_there_is_none(place: Place | InMemory) -> None:
    workspace, absent = place.workspace, f"tributary-contract-{uuid.uuid4().hex}"
    assert workspace.share(absent) is None
    assert workspace.recipient(absent) is None
    assert workspace.pipeline("JOB", absent) is None
    assert workspace.pipeline("PIPELINE", absent) is None
    assert workspace.recipient_of_metastore(f"aws:us-west-2:{uuid.uuid4()}") is None
    assert workspace.catalog_object(place.table("nothing")) is None
    assert workspace.catalog_object(f"{place.catalog}.no_such_schema") is None


def test_catalog_objects_tell_their_kind(place: Place | InMemory) -> None:
    found = [place.workspace.catalog_object(place.table(name)) for name in ("one", "three")]
    assert [each and each.type for each in found] == [ObjectType.TABLE, ObjectType.VIEW]
    schema = place.workspace.catalog_object(f"{place.catalog}.{SCHEMA}")
    assert schema is not None and schema.type is ObjectType.SCHEMA


def test_a_created_share_is_ours_and_empty(place: Place | InMemory) -> None:
    name = place.name("share")
    place.workspace.create_share(name, "first-quarter")
    share = eventually(lambda: place.workspace.share(name), bool)
    assert share is not None
    assert (share.name, share.comment, share.objects, dict(share.grants)) == (name, "first-quarter", (), {})
    assert share.owner == place.workspace.identity()


def test_a_second_share_of_a_name_already_exists(place: Place | InMemory) -> None:
    name = shared(place)
    with pytest.raises(AlreadyExistsError):
        place.workspace.create_share(name, None)


def test_objects_are_added_with_defaults_and_aliases(place: Place | InMemory) -> None:
    name = shared(place)
    changes = [
        add(place.table("one")),
        add(place.table("two"), shared_as="sold.second", history=True),
        add(place.table("three"), ObjectType.VIEW),
    ]
    place.workspace.update_share(name, changes)
    share = eventually(lambda: place.workspace.share(name), lambda read: read and len(read.objects) == 3)
    assert share is not None
    seen = {each.name.rpartition(".")[2]: (each.type, each.alias, each.history) for each in share.objects}
    assert seen["one"] == (ObjectType.TABLE, f"{SCHEMA}.one", False)
    assert seen["two"] == (ObjectType.TABLE, "sold.second", True)
    assert seen["three"][:2] == (ObjectType.VIEW, f"{SCHEMA}.three")
    assert {each.status for each in share.objects} == {"ACTIVE"}


def test_an_object_shared_already_is_said_to_exist(place: Place | InMemory) -> None:
    name = shared(place, "one")
    with pytest.raises(AlreadyExistsError):
        place.workspace.update_share(name, [add(place.table("one"))])


def test_an_object_changes_and_goes(place: Place | InMemory) -> None:
    name, workspace = shared(place, "one", "two"), place.workspace
    share = workspace.share(name)
    assert share is not None
    one, two = sorted(share.objects, key=lambda each: each.name)
    workspace.update_share(name, [again("UPDATE", one, cdf=True), again("REMOVE", two)])
    left = eventually(lambda: workspace.share(name), lambda read: read and len(read.objects) == 1)
    assert left is not None
    assert (left.objects[0].name, left.objects[0].cdf) == (one.name, True)


def test_partitions_come_back_as_they_were_sent(place: Place | InMemory) -> None:
    name = shared(place)
    wanted = (Partition((PartitionValue("region", "EQUAL", "EU"), PartitionValue("id", "LIKE", "1%"))),)
    place.workspace.update_share(name, [add(place.table("one"), partitions=wanted)])
    share = eventually(lambda: place.workspace.share(name), lambda read: read and read.objects)
    assert share is not None
    assert share.objects[0].partitions == wanted


def test_an_object_that_is_not_there_is_missing(place: Place | InMemory) -> None:
    name = shared(place)
    with pytest.raises(MissingError):
        place.workspace.update_share(name, [add(place.table("nothing"))])


def test_an_object_of_another_kind_is_refused(place: Place | InMemory) -> None:
    name = shared(place)
    with pytest.raises(WorkspaceRefusedError):
        place.workspace.update_share(name, [add(place.table("three"), ObjectType.TABLE)])


def test_grants_are_given_and_taken_together(place: Place | InMemory) -> None:
    name, first, second = shared(place, "one"), opened(place), opened(place)
    workspace = place.workspace
    workspace.grant(name, [GrantChange(first, True), GrantChange(second, True)])
    both = {first: {"SELECT"}, second: {"SELECT"}}
    eventually(lambda: workspace.share(name), lambda share: share and dict(share.grants) == both)
    workspace.grant(name, [GrantChange(first, False)])
    eventually(lambda: workspace.share(name), lambda share: share and set(share.grants) == {second})
    workspace.grant(name, [GrantChange(first, False)])


def test_a_grant_to_nobody_is_missing(place: Place | InMemory) -> None:
    name = shared(place)
    with pytest.raises(MissingError):
        place.workspace.grant(name, [GrantChange(f"tributary-contract-{uuid.uuid4().hex}", True)])


def test_comments_are_replaced(place: Place | InMemory) -> None:
    name = shared(place)
    place.workspace.comment_share(name, "another")
    eventually(lambda: place.workspace.share(name), lambda share: share and share.comment == "another")


def test_an_open_recipient_comes_with_a_token_that_ends(place: Place | InMemory) -> None:
    name = place.name("recipient")
    token = place.workspace.create_recipient(
        Recipient(name, RecipientType.D2O, comment="c", token_expiry_days=30, allowed_ips=("203.0.113.0/24",))
    )
    assert token is not None and token.activation_url
    assert token.activation_url not in repr(token)
    found = eventually(lambda: place.workspace.recipient(name), bool)
    assert found is not None
    assert (found.authentication, found.comment, found.allowed_ips) == ("TOKEN", "c", ("203.0.113.0/24",))
    assert [(each.id, each.expires_at) for each in found.tokens] == [(token.id, token.expires_at)]


def test_a_second_recipient_of_a_name_already_exists(place: Place | InMemory) -> None:
    name = opened(place)
    with pytest.raises(AlreadyExistsError):
        place.workspace.create_recipient(Recipient(name, RecipientType.D2O))


def test_a_databricks_recipient_has_no_token_and_is_found_by_its_metastore(place: Place | InMemory) -> None:
    name, metastore = place.name("recipient"), f"aws:us-west-2:{uuid.uuid4()}"
    made = Recipient(name, RecipientType.D2D, metastore_id=metastore)
    assert place.workspace.create_recipient(made) is None
    found = eventually(lambda: place.workspace.recipient_of_metastore(metastore), bool)
    assert found is not None
    assert (found.name, found.authentication, found.tokens) == (name, "DATABRICKS", ())
    twin = Recipient(place.name("recipient"), RecipientType.D2D, metastore_id=metastore)
    with pytest.raises(AlreadyExistsError):
        place.workspace.create_recipient(twin)


def test_networks_are_replaced_left_alone_and_cleared_by_the_word(place: Place | InMemory) -> None:
    name, workspace = opened(place, allowed_ips=("203.0.113.0/24",)), place.workspace
    workspace.update_recipient(name, comment=None, allowed_ips=("198.51.100.50", "192.0.2.0/24"))
    both = {"198.51.100.50", "192.0.2.0/24"}
    eventually(lambda: workspace.recipient(name), lambda read: read and set(read.allowed_ips or ()) == both)
    workspace.update_recipient(name, comment="c", allowed_ips=None)
    found = eventually(lambda: workspace.recipient(name), lambda read: read and read.comment == "c")
    assert found is not None and set(found.allowed_ips or ()) == both
    workspace.update_recipient(name, comment=None, allowed_ips=ANY_ADDRESS)
    eventually(lambda: workspace.recipient(name), lambda read: read and read.allowed_ips is None)


@pytest.mark.parametrize("network", ["2001:db8::/32", "not-an-address"])
def test_a_network_that_is_not_ipv4_is_refused(network: str, place: Place | InMemory) -> None:
    name = opened(place)
    with pytest.raises(WorkspaceRefusedError):
        place.workspace.update_recipient(name, comment=None, allowed_ips=(network,))


def test_a_rotation_gives_another_token_and_shortens_the_old_one(place: Place | InMemory) -> None:
    name = place.name("recipient")
    first = place.workspace.create_recipient(Recipient(name, RecipientType.D2O))
    eventually(lambda: place.workspace.recipient(name), bool)
    second = place.workspace.rotate_token(name, old_expires_in_s=600)
    assert first is not None and second.id != first.id and second.activation_url != first.activation_url
    found = eventually(lambda: place.workspace.recipient(name), lambda read: read and len(read.tokens) == 2)
    assert found is not None
    ends = {each.id: each.expires_at for each in found.tokens}
    old, new = ends[first.id], ends[second.id]
    assert old is not None and (new is None or old < new)


def test_a_third_live_token_is_refused(place: Place | InMemory) -> None:
    name = opened(place)
    place.workspace.rotate_token(name, old_expires_in_s=600)
    with pytest.raises(WorkspaceRefusedError):
        place.workspace.rotate_token(name, old_expires_in_s=600)


@pytest.mark.parametrize("source", ["/Shared/tributary_contract", "/Workspace/Shared/tributary_contract.py"])
def test_a_job_is_found_by_name_and_follows_its_pack(source: str, place: Place | InMemory) -> None:
    name, workspace = f"tributary-contract-{uuid.uuid4().hex[:12]}", place.workspace
    wanted = Pipeline(name, "JOB", source, f"{place.catalog}.{SCHEMA}", "0 0 6 * * ?", "nightly")
    id = workspace.create_pipeline(wanted)
    place.made.append(("POST", "/api/2.2/jobs/delete", {"job_id": int(id)}))
    found = workspace.pipeline("JOB", name)
    assert found is not None
    seen = (found.id, found.source, found.destination, found.schedule, found.comment)
    assert seen == (id, source, wanted.destination, "0 0 6 * * ?", "nightly")
    workspace.update_pipeline(id, Pipeline(name, "JOB", source))
    changed = workspace.pipeline("JOB", name)
    assert changed is not None
    assert (changed.schedule, changed.destination, changed.comment) == (None, wanted.destination, "nightly")


@pytest.mark.parametrize("source", ["/Shared/tributary_contract", "/Workspace/Shared/tributary_contract.sql"])
def test_a_declarative_pipeline_is_found_by_name_and_follows_its_pack(
    source: str, place: Place | InMemory
) -> None:
    name, workspace = f"tributary-contract-{uuid.uuid4().hex[:12]}", place.workspace
    wanted = Pipeline(name, "PIPELINE", source, f"{place.catalog}.{SCHEMA}", "0 0 6 * * ?", "nightly")
    id = workspace.create_pipeline(wanted)
    place.made.append(("DELETE", f"/api/2.0/pipelines/{id}", None))
    found = workspace.pipeline("PIPELINE", name)
    assert found is not None
    seen = (found.id, found.source, found.destination, found.schedule, found.comment)
    assert seen == (id, source, wanted.destination, "0 0 6 * * ?", "nightly")
    workspace.update_pipeline(id, Pipeline(name, "PIPELINE", source, comment="weekly"))
    changed = workspace.pipeline("PIPELINE", name)
    assert changed is not None
    assert (changed.schedule, changed.destination, changed.comment) == (None, wanted.destination, "weekly")


def test_two_jobs_of_a_name_are_ambiguous(place: Place | InMemory) -> None:
    name = f"tributary-contract-{uuid.uuid4().hex[:12]}"
    for _ in "ab":
        id = place.workspace.create_pipeline(Pipeline(name, "JOB", "/Shared/tributary_contract"))
        place.made.append(("POST", "/api/2.2/jobs/delete", {"job_id": int(id)}))
    with pytest.raises(WorkspaceRefusedError) as caught:
        place.workspace.pipeline("JOB", name)
    assert caught.value.reason == "AMBIGUOUS"
