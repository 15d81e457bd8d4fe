"""Tenants: nothing of one shows, moves or answers differently for another. Routes come from the registry itself."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.adapters.postgres.catalogue import Catalogue
from shared.adapters.postgres.freezing import Freezing
from shared.adapters.postgres.holding import Backoff
from shared.adapters.postgres.planning import PostgresPlanning
from shared.adapters.postgres.retries import Retries
from shared.adapters.postgres.schedules import Schedules
from shared.adapters.postgres.slices import Retry, Slices
from shared.api.app import create_app
from shared.sync.catalogue import Defaults
from tests.integration.test_api_postgres import CONNECTOR, RealWorld
from tests.unit.api.fakes import OFFERED, FakeStore

THEIRS = "canary-north"
PREFIX = "canary-north--"
HELD = """INSERT INTO bridge.held_rows (_bridge_uid, _bridge_run_uid, _bridge_entity_uid, _bridge_erp_ref_str,
    _bridge_erp_key_hash, _bridge_erp_data_hash, _bridge_generation, _bridge_read_at, _bridge_awaits)
    VALUES (%(uid)s, %(run)s, %(entity)s, 'canary-key', gen_random_uuid(), '', 1, now(), '{}')"""
STRANGER = "admin,operator,approver,reader,tenant:default"


class TwoTenants(RealWorld):
    """Tenant default has what RealWorld made; tenant canary-north has one of each as well, its names canaries."""

    def __init__(self, conninfo: str) -> None:
        super().__init__(conninfo)
        self.services = replace(self.services, **self.real())
        self.app = create_app(self.services)
        self.mine = {"connector": self.connector, "entity": self.entity, "run": self.run}
        self.ask("PUT", f"/api/v1/tenants/{THEIRS}")
        self.source.described = (replace(OFFERED, slug="canary_planes"),)
        secret = {"auth": {"type": "token", "secret_name": PREFIX + "erp"}}
        self.connector = self.post(
            "/api/v1/connectors", json=CONNECTOR | secret | {"name": "canary", "tenant": THEIRS}
        )["uid"]
        self.entity = self.post(f"/api/v1/connectors/{self.connector}/discover")["items"][0]["entity_uid"]
        self.run = self.post(f"/api/v1/entities/{self.entity}/full-refresh")["run_uid"]
        self.post(f"/api/v1/sync/stop/{self.run}")
        self.run = self.post(f"/api/v1/entities/{self.entity}/sync")["run_uid"]
        self.record = self.reject()
        self.checked = self.verified()
        self.load = self.post("/api/v1/schedules", json={"entity_uid": self.entity})["uid"]
        self.waiting = self.hold()
        self.source.described = (OFFERED,)

    def real(self) -> dict[str, Any]:
        """What RealWorld leaves to fakes, over PostgreSQL."""
        slices = Slices(self.database, lease_s=660, default_limit=5, retry=Retry(3, 60, 3600))
        asked = {"trigger": "retry", "requested_by": "retry"}
        create = lambda connection, entity: self.services.runs.create_in(connection, entity, "retry", asked)  # noqa: E731
        return {
            "schedules": Schedules(self.database, self.services.runs),
            "planning": PostgresPlanning(
                self.database, Freezing(Catalogue(self.database, uuid4), Defaults())
            ),
            "rejects": Retries(self.database, create, slices.admit_connector, Backoff(60, 3600)),
        }

    def hold(self) -> UUID:
        """A row that waits."""
        uid = uuid4()
        with self.database.connection() as connection:
            connection.execute(HELD, {"uid": uid, "run": self.run, "entity": self.entity})
        return uid

    @property
    def theirs(self) -> list[str]:
        own = (self.connector, self.entity, self.run, self.record, self.load, self.checked, self.waiting)
        return ["canary", *map(str, own)]

    def routes(self) -> Iterator[tuple[str, str, list[str]]]:
        """Method, path and query parameters of every route of what tenants have; a Data Factory and forms belong to all."""
        for path, verbs in self.app.openapi()["paths"].items():
            if path.startswith(("/api/v1/datafactory/", "/api/v1/submissions/")):
                continue
            for verb, told in verbs.items():
                asked = [p["name"] for p in told.get("parameters", ()) if p["in"] == "query"]
                yield verb.upper(), path, asked

    def own_of(self, path: str) -> Any:
        """What the other tenant has for the path's parameter."""
        own = {"connectors": self.connector, "entities": self.entity, "failed-records": self.record}
        for part, value in (
            own | {"schedules": self.load, "verifications": self.checked, "tenants": THEIRS}
        ).items():
            if f"/{part}/" in path:
                return value
        return self.run

    def body(self, method: str, path: str) -> Any:
        bodies = {
            "/api/v1/connectors/{uid}": CONNECTOR,
            "/api/v1/schedules/{uid}": {"entity_uid": str(self.entity)},
            "/api/v1/connectors/{uid}/notify": {"slugs": ["canary_planes"]},
            "/api/v1/failed-records/{uid}/discard": {"reason": "not wanted"},
            "/api/v1/entities/{uid}": {"connector_uid": str(self.connector), "slug": "canary_planes"},
            "/api/v1/tenants/{name}/regions": {"regions": []},
        }
        return bodies.get(path) if method in ("POST", "PUT") else None


@pytest.fixture
def world(database: str) -> Iterator[TwoTenants]:
    made = TwoTenants(database)
    yield made
    made.database.close()


def filled(path: str, value: Any) -> str:
    """The path with its one parameter replaced."""
    return f"{path.partition('{')[0]}{value}{path.partition('}')[2]}"


def test_every_route_with_a_name_in_it_is_404_for_strangers(world: TwoTenants) -> None:
    tried = 0
    for method, path, _ in world.routes():
        if "{" not in path:
            continue
        tried += 1
        stranger = "nobody" if "/tenants/" in path else uuid4()
        answers = [
            world.ask(method, filled(path, value), STRANGER, json=world.body(method, path))
            for value in (world.own_of(path), stranger)
        ]
        assert [a.status_code for a in answers] == [404, 404], f"{method} {path}: {answers[0].text}"
        shown = [
            a.text.replace(str(v), "X") for a, v in zip(answers, (world.own_of(path), stranger), strict=True)
        ]
        assert shown[0] == shown[1], f"{method} {path} tells what is there from what is not"
    assert tried >= 15


def test_what_strangers_do_not_find_is_there_for_its_own_tenant(world: TwoTenants) -> None:
    """Else 404 would say nothing."""
    tried = set()
    for method, path, _ in world.routes():
        if "{" in path and method == "GET":
            tried.add(path)
            answer = world.ask("GET", filled(path, world.own_of(path)), f"admin,tenant:{THEIRS}")
            assert answer.status_code == 200, f"{path}: {answer.text}"
    assert len(tried) >= 8
    for path in ("verifications", "schedules", "pending-children", "failed-records", "sync/history"):
        shown = world.ask("GET", f"/api/v1/{path}", f"reader,tenant:{THEIRS}").json()["items"]
        assert [one for one in shown if str(world.entity) in str(one)], path


def test_nothing_of_another_tenant_is_tried_again_or_counted(world: TwoTenants) -> None:
    answer = world.ask("POST", "/api/v1/sync/retry-failed", STRANGER, json={})
    assert answer.status_code < 300 and answer.json()["marked"] <= 1, answer.text
    with world.database.connection() as connection:
        asked = "SELECT next_attempt_at FROM bridge.failed_records WHERE uid = %s"
        row = connection.execute(asked, (world.record,)).fetchone()
    assert row is not None and row["next_attempt_at"] is None
    for path in ("failed-records", "pending-children"):
        counts = world.ask("GET", f"/api/v1/{path}/counts", STRANGER)
        assert counts.status_code == 200 and str(world.entity) not in counts.text


def test_no_list_figure_filter_or_cursor_shows_anything_of_another_tenant(world: TwoTenants) -> None:
    tried = 0
    for method, path, parameters in world.routes():
        if method != "GET" or "{" in path or path in ("/api/v1/health", "/docs"):
            continue
        tried += 1
        filters = {"entity_uid": world.entity, "connector_uid": world.connector} | {"limit": 1}
        asked = ["", *(f"?{name}={value}" for name, value in filters.items() if name in parameters)]
        admin = world.ask("GET", f"{path}?limit=1").json() if "cursor" in parameters else {}
        asked += [f"?cursor={admin['next_cursor']}"] if admin.get("next_cursor") else []
        for query in asked:
            answer = world.ask("GET", path + query, STRANGER)
            assert answer.status_code == 200, f"{path}{query}: {answer.text}"
            assert not [what for what in world.theirs if what in answer.text], f"{path}{query}"
    assert tried >= 8


def test_filters_by_a_strangers_uid_answer_as_by_one_that_is_not_there(world: TwoTenants) -> None:
    for method, path, parameters in world.routes():
        for name, theirs in {"entity_uid": world.entity, "connector_uid": world.connector}.items():
            if method == "GET" and "{" not in path and name in parameters:
                known, unknown = (
                    world.ask("GET", f"{path}?{name}={u}", STRANGER).text for u in (theirs, uuid4())
                )
                assert known == unknown, f"{path}?{name}"


def test_bodies_that_name_a_strangers_things_answer_as_if_they_were_not_there(world: TwoTenants) -> None:
    def asked(connector: object, entity: object) -> list[Any]:
        made = {
            "connector_uid": str(connector),
            "slug": "new",
            "columns": [{"name": "id", "data_type": "INTEGER"}],
        }
        answers = [
            world.ask("POST", "/api/v1/sync/start", STRANGER, json={"entity_uids": [str(entity)]}),
            world.ask("POST", "/api/v1/sync/start", STRANGER, json={"connector_uid": str(connector)}),
            world.ask("POST", "/api/v1/entities", STRANGER, json=made | {"business_keys": ["id"]}),
            world.ask("POST", "/api/v1/schedules", STRANGER, json={"entity_uid": str(entity)}),
        ]
        return [
            (a.status_code, a.text.replace(str(connector), "C").replace(str(entity), "E")) for a in answers
        ]

    assert asked(world.connector, world.entity) == asked(uuid4(), uuid4())


def test_connector_of_an_unseen_tenant_is_refused_like_one_of_no_tenant(world: TwoTenants) -> None:
    answers = [
        world.ask("POST", "/api/v1/connectors", STRANGER, json=CONNECTOR | {"name": "x", "tenant": tenant})
        for tenant in (THEIRS, "no-such-one")
    ]
    assert [a.status_code for a in answers] == [422, 422]
    assert answers[0].text.replace(THEIRS, "T") == answers[1].text.replace("no-such-one", "T")


def test_targets_of_a_tenant_stand_in_its_own_schema(world: TwoTenants) -> None:
    entity = world.ask("GET", f"/api/v1/entities/{world.entity}").json()
    assert entity["target_schema"] == "canary_north"
    hand = {"connector_uid": str(world.connector), "slug": "hand", "business_keys": ["id"],
            "columns": [{"name": "id", "data_type": "INTEGER"}]}  # fmt: skip
    refused = world.ask("POST", "/api/v1/entities", json=hand | {"target_schema": "public"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "target_schema")
    assert (
        world.ask("POST", "/api/v1/entities", json=hand | {"target_schema": "canary_north"}).status_code
        == 201
    )


def test_first_tenant_takes_free_schemas_but_nobody_elses(world: TwoTenants) -> None:
    hand = {"connector_uid": str(world.mine["connector"]), "slug": "hand", "business_keys": ["id"],
            "columns": [{"name": "id", "data_type": "INTEGER"}]}  # fmt: skip
    assert (
        world.ask("POST", "/api/v1/entities", json=hand | {"target_schema": "canary_north"}).status_code
        == 422
    )
    assert world.ask("POST", "/api/v1/entities", json=hand | {"target_schema": "erp"}).status_code == 201
    assert world.ask("PUT", "/api/v1/tenants/south", json={"target_schemas": ["erp"]}).status_code == 409
    assert world.ask("GET", "/api/v1/tenants/default").json()["target_schemas"] == ["public", "erp"]


def test_schemas_are_set_by_who_sees_all_tenants_and_kept_while_in_use(world: TwoTenants) -> None:
    at = f"/api/v1/tenants/{THEIRS}"
    assert (
        world.ask("PUT", at, f"admin,tenant:{THEIRS}", json={"target_schemas": ["free"]}).status_code == 403
    )
    assert world.ask("PUT", at, json={"target_schemas": ["free"]}).status_code == 409
    answer = world.ask("PUT", at, json={"target_schemas": ["free", "canary_north"]})
    assert (answer.status_code, answer.json()["target_schemas"]) == (200, ["free", "canary_north"])
    assert world.ask("PUT", at, json={"target_schemas": ["canary_north", "bridge"]}).status_code == 409


@pytest.mark.parametrize("name", ["erp-token", "canary-erp", "CANARY--x", "tributary-mask-key"])
def test_secrets_outside_a_tenants_prefix_are_refused(world: TwoTenants, name: str) -> None:
    body = CONNECTOR | {"name": "b", "tenant": THEIRS, "auth": {"type": "token", "secret_name": name}}
    answer = world.ask("POST", "/api/v1/connectors", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "auth.secret_name")


@pytest.mark.parametrize("name", [PREFIX + "erp", PREFIX.upper() + "ERP", PREFIX + "unclaimed"])
def test_other_tenants_cannot_name_a_tenants_secret(world: TwoTenants, name: str) -> None:
    world.ask("PUT", "/api/v1/tenants/canary")
    for tenant in ("default", "canary"):
        body = CONNECTOR | {"name": "b", "tenant": tenant, "auth": {"type": "token", "secret_name": name}}
        assert world.ask("POST", "/api/v1/connectors", json=body).status_code == 422


def test_refused_secret_is_not_written_to_the_vault(world: TwoTenants) -> None:
    store = FakeStore()
    world.services = replace(world.services, secrets=store)
    world.app = create_app(world.services)
    auth = {"type": "token", "secret_name": PREFIX + "erp", "secret": "overwritten"}
    assert (
        world.ask("POST", "/api/v1/connectors", json=CONNECTOR | {"name": "b", "auth": auth}).status_code
        == 422
    )
    assert store.values == {}


def test_mask_keys_secret_is_no_connectors(world: TwoTenants) -> None:
    catalogue = Catalogue(world.database, uuid4, reserved_secrets=["tributary-mask-key"])
    connector = replace(
        catalogue.connector(UUID(world.mine["connector"])),
        auth_type="token",
        secret_name="Tributary-Mask-Key",
    )
    with pytest.raises(Exception, match="may use"):
        catalogue.change_connector(connector, "t")


def test_regions_are_read_by_the_tenant_and_set_by_who_sees_all(world: TwoTenants) -> None:
    at = f"/api/v1/tenants/{THEIRS}/regions"
    regions = [{"region": "westeurope", "workspace_url": "https://adb-1.azuredatabricks.net"}]
    assert world.ask("PUT", at, f"admin,tenant:{THEIRS}", json={"regions": regions}).status_code == 403
    assert world.ask("PUT", at, json={"regions": regions}).json()["items"] == regions
    assert world.ask("GET", at, f"admin,tenant:{THEIRS}").json()["items"] == regions
    assert (
        world.ask("PUT", at, json={"regions": [{"region": "x", "workspace_url": "http://evil"}]}).status_code
        == 422
    )


def test_cursor_of_one_list_is_refused_by_another(world: TwoTenants) -> None:
    cursor = world.ask("GET", "/api/v1/connectors?limit=1").json()["next_cursor"]
    assert str(world.mine["connector"]) not in cursor
    for path in ("tenants", "sync/history", "failed-records"):
        assert world.ask("GET", f"/api/v1/{path}?cursor={cursor}").status_code == 422


def test_stats_know_rejects_and_slices_of_each_tenant(world: TwoTenants) -> None:
    own, theirs = (
        world.ask("GET", "/api/v1/stats", f"reader,tenant:{t}").json() for t in ("default", THEIRS)
    )
    assert (own["open_rejects"], theirs["open_rejects"], own["entities"], theirs["entities"]) == (1, 1, 1, 1)
    assert (own["slices"], sum(theirs["slices"].values())) == ({}, 1)
    narrowed = world.ask("GET", f"/api/v1/stats?entity_uid={world.entity}").json()
    assert (narrowed["entities"], narrowed["waiting_children"]) == (1, 1)
