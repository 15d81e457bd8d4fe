"""Who can read what."""

from uuid import UUID

from shared.sharing.exposure import Exposure, exposures_of, network_changes, readers_of
from shared.sharing.model import Share
from tests.unit.sharing.memory import URL, MemoryWorkspace, tables
from tests.unit.sharing.scene import OTHER, PACK, Scene, internal, objects, opened, pack, wants


def test_contributions_of_several_packs_make_one_exposure() -> None:
    """One pack brings the table, another the reader: together they expose it."""
    exposed = exposures_of(
        [
            wants(PACK, "object", "sales|TABLE|c.s.a|"),
            wants(OTHER, "grant", "sales|reader"),
            wants(OTHER, "share", "sales"),
        ]
    )
    assert exposed == {Exposure(URL, "sales", "reader", "c.s.a")}


def test_a_table_is_read_as_itself_or_with_its_schema() -> None:
    held = [wants(PACK, "grant", "sales|reader"), wants(PACK, "object", "sales|SCHEMA|c.s|"),
            wants(PACK, "object", "sales|TABLE|c.t.b|s.x")]  # fmt: skip
    exposed = exposures_of(held)
    assert [e.object for e in readers_of("C.S.anything", exposed)] == ["c.s"]
    assert [e.alias for e in readers_of("c.t.b", exposed)] == ["s.x"]
    assert readers_of("c.t.other", exposed) == ()
    assert [e.object for e in readers_of("c.s", exposed)] == ["c.s"]


def test_nothing_in_one_workspace_shows_in_another() -> None:
    elsewhere = wants(UUID(int=3), "grant", "sales|reader")
    object.__setattr__(elsewhere, "workspace", "https://other.example.org")
    assert exposures_of([wants(PACK, "object", "sales|TABLE|c.s.a|"), elsewhere]) == frozenset()


def test_a_plan_tells_readers_that_are_not_its_own() -> None:
    scene = Scene(MemoryWorkspace(catalog=tables("c.s.a", "c.s.b")))
    scene.provision(
        pack(
            opened("early", "192.0.2.0/24"),
            internal("inside"),
            Share("sales", None, ("early", "inside"), objects("c.s.a")),
        )
    )
    planned = scene.plan(pack(Share("sales", None, (), objects("c.s.b"))))
    told = [(c.recipient, c.gained, c.networks, c.metastore) for c in planned.readings]
    assert told == [
        ("early", ("c.s.b",), ("192.0.2.0/24",), None),
        ("inside", ("c.s.b",), None, "azure:westeurope:abc"),
    ]


def test_networks_are_told_by_what_is_new_and_what_is_gone() -> None:
    scene = Scene()
    scene.provision(pack(opened("early", "192.0.2.0/24")))
    planned = scene.plan(pack(opened("early", "192.0.2.0/25", "198.51.100.7")))
    (change,) = planned.networks
    assert (change.gained, change.lost) == (("198.51.100.7",), ("192.0.2.128/25",))
    assert network_changes(scene.workspace.state(), scene.workspace.state()) == ()
    assert "+ early may connect from 198.51.100.7 as well" in planned.text()
    assert "- early may no longer connect from 192.0.2.128/25" in planned.text()
