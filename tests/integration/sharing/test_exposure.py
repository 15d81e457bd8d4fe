"""Contributions and ownership: what packs want together, who could read what when, and what is ours."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from shared.adapters.postgres.catalogue import Catalogue
from shared.adapters.postgres.sharing import contributions
from shared.adapters.postgres.sharing.contributions import Contributions
from shared.adapters.postgres.sharing.ownership import Facts, Ownership
from shared.adapters.postgres.sharing.tenants import Tenants
from shared.errors import InvalidError
from shared.sharing.ports import Contribution
from tests.integration.sharing.conftest import ADA, BEN, FINANCE, WORKSPACE, Store

SALES = replace(FINANCE, name="sales")


def wanted(pack: UUID, *keys: str) -> list[Contribution]:
    """`share|recipient` for grants, `share|TYPE|name|alias` for objects."""
    return [Contribution(pack, WORKSPACE, "object" if key.count("|") == 3 else "grant", key) for key in keys]


class Sharing(Store):
    """Two packs of two tenants."""

    def __init__(self, conninfo: str) -> None:
        super().__init__(conninfo)
        self.contributions, self.ownership = Contributions(self.database), Ownership(self.database)
        self.finance, self.sales = self.upload("1").pack, self.upload("2", tenant=SALES).pack

    def contribute(self, pack: Any, *keys: str) -> datetime:
        """And the moment just after."""
        self.contributions.replace(pack.id, WORKSPACE, wanted(pack.id, *keys))
        at: datetime = self.sql("SELECT clock_timestamp() AS at")[0]["at"]
        return at

    def readers(
        self, table: str, at: datetime | None = None, tenants: frozenset[str] | None = None
    ) -> list[tuple[str, str]]:
        return [(e.recipient, e.share) for e in self.contributions.exposure(table, at, tenants)]


@pytest.fixture
def sharing(store: Store) -> Any:
    made = Sharing(store.conninfo)
    yield made
    made.database.close()


def test_exposure_answers_for_any_past_moment(sharing: Sharing) -> None:
    before = datetime.now(UTC) - timedelta(hours=1)
    first = sharing.contribute(sharing.finance, "q1|TABLE|c.s.t|", "q1|auditor")
    second = sharing.contribute(sharing.finance, "q1|TABLE|c.s.t|", "q1|auditor", "q1|analyst")
    third = sharing.contribute(sharing.finance, "q1|TABLE|c.s.t|", "q1|analyst")
    last = sharing.contribute(sharing.finance)
    both = [("analyst", "q1"), ("auditor", "q1")]
    expected = {before: [], first: both[1:], second: both, third: both[:1], last: [], None: []}
    assert {at: sharing.readers("c.s.t", at) for at in expected} == expected
    assert sharing.readers("C.S.T", second) == both
    assert sharing.readers("c.s.other", second) == []


def test_shared_schema_exposes_its_tables_and_no_others(sharing: Sharing) -> None:
    sharing.contribute(sharing.finance, "q1|SCHEMA|c.s|", "q1|auditor")
    tables = ("c.s.t", "c.s", "c.sx.t", "c.s_.t")
    assert [bool(sharing.readers(t)) for t in tables] == [True, True, False, False]


def test_what_comes_back_is_exposed_again_but_not_in_between(sharing: Sharing) -> None:
    keys = ("q1|TABLE|c.s.t|", "q1|auditor")
    first, gone, back = (sharing.contribute(sharing.finance, *k) for k in (keys, (), keys))
    assert [len(sharing.readers("c.s.t", at)) for at in (first, gone, back)] == [1, 0, 1]


def test_unchanged_contributions_keep_their_begin(sharing: Sharing) -> None:
    keys = ("q1|TABLE|c.s.t|", "q1|auditor")
    sharing.contribute(sharing.finance, *keys)
    since = sharing.contributions.exposure("c.s.t", None, None)[0].since
    sharing.contribute(sharing.finance, *keys, "q1|other")
    assert [
        e.since for e in sharing.contributions.exposure("c.s.t", None, None) if e.recipient == "auditor"
    ] == [since]


def test_object_of_one_pack_and_grant_of_another_meet_in_the_share(sharing: Sharing) -> None:
    sharing.contribute(sharing.finance, "q1|TABLE|c.s.t|")
    sharing.contribute(sharing.sales, "q1|auditor")
    (line,) = sharing.contributions.exposure("c.s.t", None, None)
    assert set(line.packs) == {sharing.finance.name, sharing.sales.name}


def test_withdrawing_one_pack_leaves_what_the_other_wants(sharing: Sharing) -> None:
    for pack in (sharing.finance, sharing.sales):
        sharing.contribute(pack, "q1|TABLE|c.s.t|", "q1|auditor")
    sharing.contribute(sharing.finance)
    assert sharing.readers("c.s.t") == [("auditor", "q1")]
    left = sharing.contributions.current(workspace=WORKSPACE)
    assert {c.pack_id for c in left} == {sharing.sales.id} and len(left) == 2
    assert sharing.contributions.current(pack_id=sharing.finance.id) == []


def test_exposure_of_another_tenants_packs_does_not_show(sharing: Sharing) -> None:
    sharing.contribute(sharing.finance, "q1|TABLE|c.s.t|", "q1|auditor")
    assert sharing.readers("c.s.t", None, frozenset({"finance"})) == [("auditor", "q1")]
    assert sharing.readers("c.s.t", None, frozenset({"sales"})) == []
    assert sharing.readers("c.s.t", None, frozenset()) == []


def test_now_is_the_databases_now(sharing: Sharing, monkeypatch: pytest.MonkeyPatch) -> None:
    class Behind(datetime):
        """A machine whose clock lags behind the database's."""

        @classmethod
        def now(cls, tz: Any = None) -> "Behind":
            return cls(2026, 1, 1, tzinfo=tz)

    monkeypatch.setattr(contributions, "datetime", Behind)
    sharing.contribute(sharing.finance, "q1|TABLE|c.s.t|", "q1|auditor")
    assert sharing.readers("c.s.t") == [("auditor", "q1")]


def test_networks_are_those_of_the_moment(sharing: Sharing) -> None:
    def allow(*ips: str) -> None:
        facts = [Facts("recipient", "auditor", {"recipient_type": "D2O", "allowed_ips": list(ips) or None})]
        sharing.ownership.record(WORKSPACE, facts, by=ADA, share_pack_id=sharing.finance.id)

    allow("203.0.113.0/24")
    narrow = sharing.contribute(sharing.finance, "q1|TABLE|c.s.t|", "q1|auditor")
    allow()
    networks = [sharing.contributions.exposure("c.s.t", at, None)[0].networks for at in (narrow, None)]
    assert networks == [("203.0.113.0/24",), ()]


def test_replacing_at_once_leaves_each_key_once_and_no_inverted_interval(sharing: Sharing) -> None:
    barrier = Barrier(4, timeout=60)

    def work(number: int) -> None:
        for round_ in range(20):
            barrier.wait()
            sharing.contribute(sharing.finance, *(f"q1|r{n}" for n in range((number + round_) % 5)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    broken = sharing.sql(
        "SELECT count(*) AS n FROM deltashare_state.contributions c WHERE valid_from >= valid_to OR EXISTS ("
        "SELECT FROM deltashare_state.contributions o WHERE o.contribution_uid <> c.contribution_uid"
        " AND (o.share_pack_id, o.kind, o.key) = (c.share_pack_id, c.kind, c.key)"
        " AND o.valid_from < c.valid_to AND c.valid_from < o.valid_to)"
    )
    assert broken == [{"n": 0}]


def test_database_itself_refuses_a_contribution_that_stands_twice(sharing: Sharing) -> None:
    sharing.contribute(sharing.finance, "q1|auditor")
    copy = (
        "INSERT INTO deltashare_state.contributions SELECT gen_random_uuid(), share_pack_id, workspace, kind, key,"
        " valid_from, valid_to FROM deltashare_state.contributions"
    )
    with pytest.raises(psycopg.errors.UniqueViolation):
        sharing.sql(copy)
    sharing.sql("DROP INDEX deltashare_state.contributions_one_current")
    sharing.sql(copy)


def test_contributions_of_another_pack_are_not_taken(sharing: Sharing) -> None:
    with pytest.raises(ValueError, match="another pack"):
        sharing.contributions.replace(sharing.finance.id, WORKSPACE, wanted(sharing.sales.id, "q1|auditor"))


# ownership


def test_created_and_adopted_things_are_ours_with_when_and_by_whom(sharing: Sharing) -> None:
    own = sharing.ownership
    created = [Facts("share", "q1", {"comment": "Q1"}), Facts("pipeline", "JOB|load", {"source": "/x"})]
    own.record(WORKSPACE, created, by=ADA, share_pack_id=sharing.finance.id)
    assert own.adopt(WORKSPACE, [Facts("share", "old", {}), Facts("share", "q1", {})], by=BEN) == [
        "share old"
    ]
    found = {o.name: (o.kind, o.origin, o.by, o.share_pack_id) for o in own.owned(WORKSPACE)}
    assert found == {
        "JOB|load": ("pipeline", "created", ADA.name, sharing.finance.id),
        "old": ("share", "adopted", BEN.name, None),
        "q1": ("share", "created", ADA.name, sharing.finance.id),
    }
    assert own.owned("https://adb-2") == []
    trail = sharing.sql("SELECT actor, target FROM deltashare.audit_trail WHERE action = 'ownership.adopt'")
    assert trail == [{"actor": BEN.name, "target": f"{WORKSPACE} share old"}]


def test_noting_the_same_facts_again_makes_no_version(sharing: Sharing) -> None:
    facts = [Facts("recipient", "auditor", {"recipient_type": "D2O", "allowed_ips": ["1.2.3.4"]})]
    for _ in range(3):
        sharing.ownership.record(WORKSPACE, facts, by=ADA, share_pack_id=None)
    assert sharing.sql("SELECT version FROM deltashare.recipients") == [{"version": 1}]


def test_released_things_are_no_longer_ours_and_may_come_back_as_themselves(sharing: Sharing) -> None:
    own, facts = sharing.ownership, [Facts("share", "q1", {})]
    own.record(WORKSPACE, facts, by=ADA, share_pack_id=None)
    (first,) = own.owned(WORKSPACE)
    own.release(WORKSPACE, "share", "q1", by=BEN, reason="gone from the workspace")
    assert own.owned(WORKSPACE) == []
    own.adopt(WORKSPACE, facts, by=BEN)
    (second,) = own.owned(WORKSPACE)
    assert (second.id, second.origin) == (first.id, "adopted")


def test_two_who_meet_a_name_at_once_make_one_thing(sharing: Sharing) -> None:
    barrier = Barrier(6, timeout=60)

    def work(_: int) -> None:
        barrier.wait()
        sharing.ownership.record(WORKSPACE, [Facts("share", "q1", {})], by=ADA, share_pack_id=None)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert len(sharing.ownership.owned(WORKSPACE)) == 1


# tenants


def test_tenants_and_regions_come_from_the_catalogue_and_leave_history(store: Store) -> None:
    catalogue, tenants = Catalogue(store.database, uuid4), Tenants(store.database, store.database)
    for name in ("corporate-finance", "sales"):
        catalogue.put_tenant(name, "admin")
    catalogue.put_regions("corporate-finance", {"westeurope": WORKSPACE}, "admin")
    found = tenants.find("Corporate Finance")
    assert found is not None and (found.name, found.region_of(WORKSPACE + "/")) == (
        "corporate-finance",
        "westeurope",
    )
    assert (tenants.find("Marketing"), found.region_of("https://adb-9")) == (None, None)
    store.upload("1", tenant=found)
    catalogue.put_regions("corporate-finance", {"north": "https://adb-2"}, "admin")
    again = tenants.find("corporate-finance")
    assert again is not None
    store.upload("2", tenant=again, workspace_url="https://adb-2")
    rows = store.sql(
        "SELECT region, version, is_deleted FROM deltashare.tenant_regions WHERE is_current ORDER BY 1"
    )
    assert rows == [
        {"region": "north", "version": 1, "is_deleted": False},
        {"region": "westeurope", "version": 2, "is_deleted": True},
    ]
    assert store.sql("SELECT name, version FROM deltashare.tenants") == [
        {"name": "corporate-finance", "version": 1}
    ]
    assert len(store.sql("SELECT project_id FROM deltashare.projects")) == 1
    assert len(store.sql("SELECT request_id FROM deltashare.requests")) == 2


def test_names_that_read_alike_are_no_guess(store: Store) -> None:
    catalogue, tenants = Catalogue(store.database, uuid4), Tenants(store.database, store.database)
    for name in ("a-b", "a_b"):
        catalogue.put_tenant(name, "admin", [name.replace("-", "0")])
    exact = tenants.find("a_b")
    assert exact is not None and exact.name == "a_b"
    assert tenants.find("A B") is None


def test_what_a_tenant_wants_approved_is_kept_with_history(store: Store) -> None:
    Catalogue(store.database, uuid4).put_tenant("finance", "admin")
    tenants = Tenants(store.database, store.database)
    assert tenants.approval("finance") is None
    tenants.set_approval("finance", "widening", by=BEN, reason="policy")
    store.upload()
    assert tenants.approval("finance") == "widening"
    found = tenants.find("finance")
    assert found is not None and found.approval == "widening"
    with pytest.raises(InvalidError, match="unknown"):
        tenants.set_approval("nobody", "never", by=BEN, reason="x")


# the trail


def test_trail_is_read_by_its_own_tenant(sharing: Sharing) -> None:
    from shared.adapters.postgres.sharing.records import Act, Audit

    audit = Audit(sharing.database)
    audit.append(Act("ada", "x", "everywhere", after={"token": "CANARY", "token_id": "t"}))
    seen = [[e["target"] for e in audit.entries(t)] for t in (frozenset({"sales"}), frozenset({"nobody"}))]
    assert seen == [[sharing.sales.name], []]
    newest = audit.entries(None, limit=1)[0]
    assert (newest["after"], newest["target"]) == ({"token": "[redacted]", "token_id": "t"}, "everywhere")
    older = audit.entries(None, limit=9, after=(newest["at"], newest["audit_id"]))
    assert len(older) == 2
