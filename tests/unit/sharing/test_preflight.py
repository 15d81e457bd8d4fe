"""What directory and catalogue say of a pack."""

from dataclasses import dataclass, field

from shared.sharing.model import DataObject, ObjectType, Recipient, RecipientType, Share
from shared.sharing.observe import observe
from shared.sharing.preflight import directory_findings, workspace_findings
from tests.unit.sharing.memory import MemoryWorkspace, tables
from tests.unit.sharing.scene import METADATA, internal, objects, opened, pack


@dataclass
class MemoryDirectory:
    """`ports.Directory`; remembers whom it was asked for."""

    users: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def user(self, principal_name: str) -> bool:
        self.asked.append(principal_name)
        return principal_name in self.users

    def group(self, name: str) -> bool:
        self.asked.append(name)
        return name in self.groups


def recipient(email: str) -> Recipient:
    return Recipient("r", RecipientType.D2O, email)


def test_outside_addresses_are_never_looked_up() -> None:
    directory = MemoryDirectory({METADATA.requestor})
    assert (
        directory_findings(pack(opened("auditor"), internal("i")), directory, domains=["example.org"]) == ()
    )
    assert directory.asked == [METADATA.requestor]


def test_requestor_owner_and_our_own_addresses_exist() -> None:
    found = directory_findings(
        pack(recipient("x@Example.org")), MemoryDirectory(), domains=["EXAMPLE.ORG"], owner="owners"
    )
    assert [f.detail.split(" is ")[0] for f in found] == [
        "requestor requestor@example.org", "owner owners", "recipient r: x@Example.org"]  # fmt: skip
    directory = MemoryDirectory({METADATA.requestor}, {"owners", "x@example.org"})
    assert (
        directory_findings(
            pack(recipient("x@example.org")), directory, domains=["example.org"], owner="owners"
        )
        == ()
    )


def faults(*wanted: DataObject) -> list[str]:
    workspace = MemoryWorkspace(catalog=tables("c.s.a"))
    asked = pack(Share("sales", data_objects=wanted))
    return [f.detail for f in workspace_findings(asked, observe(workspace, asked))]


def test_objects_exist_are_of_their_kind_and_can_be_shared() -> None:
    assert faults(*objects("c.s.a")) == []
    assert faults(DataObject("c.s.a", ObjectType.VIEW)) == ["share sales: c.s.a is a TABLE, not a VIEW"]
    assert "is not in the catalogue" in faults(*objects("c.s.missing"))[0]
    for name in ("hive_metastore.s.t", "c.information_schema.tables", "system.billing.usage"):
        assert "cannot be shared" in faults(*objects(name))[0]


def test_what_no_catalogue_holds_is_not_looked_for() -> None:
    assert faults(DataObject("/shared/notebook", ObjectType.NOTEBOOK_FILE)) == []
