"""The HTTP interface over the real catalogue, runs and rejects."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.routing import APIRoute
from psycopg.conninfo import conninfo_to_dict

from shared.adapters.postgres.catalogue import Catalogue
from shared.adapters.postgres.database import Database, Server
from shared.adapters.postgres.discovery import DiscoveryService
from shared.adapters.postgres.freezing import Freezing
from shared.adapters.postgres.migrations import migrate
from shared.adapters.postgres.overview import Overview
from shared.adapters.postgres.runs import Runs
from shared.adapters.postgres.schedules import Schedules
from shared.adapters.postgres.slices import Retry, Slices
from shared.adapters.postgres.verifications import PostgresVerifications
from shared.api.app import create_app
from shared.composition import new_uid
from shared.sync.catalogue import Defaults
from tests.unit.api.fakes import OFFERED, World
from tests.unit.api.test_access import NAMED, body, method, named, path

CONNECTOR = {"name": "erp", "base_url": "https://erp.example.com", "auth": {"type": "none"}}


class RealWorld(World):
    """The application over PostgreSQL, with one connector, entity, run and reject of tenant default."""

    def __init__(self, conninfo: str) -> None:
        super().__init__()
        self.database = opened(conninfo)
        migrate(self.database)
        catalogue = Catalogue(self.database, new_uid)
        self.services = replace(
            self.services,
            catalogue=catalogue,
            discovery=DiscoveryService(catalogue, new_uid),
            runs=runs(self.database, catalogue),
            overview=Overview(self.database),
            verifications=PostgresVerifications(self.database, lease_s=660),
            schedules=Schedules(self.database, runs(self.database, catalogue)),
            migrate=lambda: migrate(self.database),
            new_uid=new_uid,
        )
        self.app = create_app(self.services)
        self.connector = self.post("/api/v1/connectors", json=CONNECTOR)["uid"]
        found = self.post(f"/api/v1/connectors/{self.connector}/discover")
        self.entity = found["items"][0]["entity_uid"]
        self.run = self.post(f"/api/v1/entities/{self.entity}/full-refresh")["run_uid"]
        self.post(f"/api/v1/sync/stop/{self.run}")
        self.record = self.reject()

    @cached_property
    def verification(self) -> str:
        """A verification that was asked for and stopped, when first asked for here."""
        return self.verified()

    def verified(self) -> str:
        """A verification that was asked for and stopped."""
        uid = self.post(f"/api/v1/entities/{self.entity}/verify")["verification_uid"]
        self.post(f"/api/v1/sync/stop/{uid}")
        return str(uid)

    def post(self, at: str, **more: Any) -> Any:
        answer = self.ask("POST", at, **more)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def reject(self) -> UUID:
        uid = uuid4()
        with self.database.connection() as connection:
            connection.execute(
                "INSERT INTO bridge.failed_records (uid, run_uid, entity_uid, stage, code, message, normalized)"
                " VALUES (%s, %s, %s, 'numbers', 'bad_number', 'not a number', '{}')",
                (uid, self.run, self.entity),
            )
        return uid


def opened(conninfo: str) -> Database:
    parts = {name: str(value) for name, value in conninfo_to_dict(conninfo).items()}
    password = parts.get("password")
    return Database(
        Server(parts["host"], int(parts["port"]), parts["dbname"], parts["user"], lambda: password)
    )


def runs(database: Database, catalogue: Catalogue) -> Runs:
    slices = Slices(database, lease_s=660, default_limit=5, retry=Retry(3, 60, 3600))
    return Runs(database, slices, Freezing(catalogue, Defaults()), default_limit=5, uuid7=new_uid)


@pytest.fixture
def world(database: str) -> Iterator[RealWorld]:
    made = RealWorld(database)
    yield made
    made.database.close()


@pytest.mark.parametrize("tenant", ["north", "default"])
def test_each_named_thing_exists_only_for_its_tenant(world: RealWorld, tenant: str) -> None:
    assert world.verification  # asked for while no other run is in flight
    # Deletions last, or nothing is left to ask for.
    routes: list[APIRoute] = sorted(
        NAMED,
        key=lambda route: (
            method(route) == "DELETE",
            "schedules" not in route.path,
            "entities" not in route.path,
        ),
    )
    for route in routes:
        answer = world.ask(
            method(route), path(route, world), f"admin,tenant:{tenant}", json=body(route, world)
        )
        assert (answer.status_code == 404) == (tenant == "north"), f"{named(route)}: {answer.text}"


def test_lists_of_another_tenant_are_empty(world: RealWorld) -> None:
    for at in ("connectors", "entities", "sync/history", "failed-records"):
        assert len(world.ask("GET", f"/api/v1/{at}", "reader,tenant:default").json()["items"]) == 1
        assert world.ask("GET", f"/api/v1/{at}", "reader,tenant:north").json()["items"] == []
    assert world.ask("GET", "/api/v1/stats", "reader,tenant:north").json()["entities"] == 0


def test_entity_and_connector_read_can_be_put_back(world: RealWorld) -> None:
    for at in (f"/api/v1/entities/{world.entity}", f"/api/v1/connectors/{world.connector}"):
        read = world.ask("GET", at).json()
        written = world.ask("PUT", at, json=read).json()
        assert written | {"updated_at": read["updated_at"]} == read


def test_second_sync_is_409_until_the_first_is_stopped(world: RealWorld) -> None:
    at = f"/api/v1/entities/{world.entity}/sync"
    first = world.post(at)["run_uid"]
    assert world.ask("POST", at).status_code == 409
    assert world.post(f"/api/v1/sync/stop/{first}")["status"] == "cancelled"
    assert world.ask("POST", at).status_code == 202


def test_run_in_flight_ends_when_a_person_changes_rules(world: RealWorld) -> None:
    run = world.post(f"/api/v1/entities/{world.entity}/sync")["run_uid"]
    at = f"/api/v1/entities/{world.entity}"
    changed = world.ask("GET", at).json()
    changed["field_mappings"][1]["rules"]["null_values"] = ["-1"]
    assert world.ask("PUT", at, json=changed).status_code == 200
    ended = world.ask("GET", f"/api/v1/runs/{run}").json()
    assert (ended["status"], ended["error"]["code"]) == ("cancelled", "reconfigured")


def test_wrong_business_key_is_refused_and_the_right_one_still_works(world: RealWorld) -> None:
    at = f"/api/v1/entities/{world.entity}"
    mine = {"connector_uid": world.connector, "slug": "planes", "business_keys": ["tailnumber"]}
    refused = world.ask("PUT", at, json=mine)
    assert "'tailnumber' is not among the source's columns" in refused.json()["detail"]
    assert world.ask("PUT", at, json=mine | {"business_keys": ["seats"]}).json()["business_keys"] == ["seats"]


def test_foreign_table_at_the_target_is_409(world: RealWorld) -> None:
    with world.database.connection() as connection:
        connection.execute("CREATE TABLE public.fleet (x int)")
    world.source.described = (replace(OFFERED, slug="fleet"),)
    answer = world.ask("POST", "/api/v1/entities", json={"connector_uid": world.connector, "slug": "fleet"})
    assert (answer.status_code, "was not made by Tributary" in answer.json()["detail"]) == (409, True)


def test_history_pages_by_cursor(world: RealWorld) -> None:
    for _ in range(2):
        world.post(f"/api/v1/entities/{world.entity}/full-refresh")
    first = world.ask("GET", "/api/v1/sync/history?limit=2").json()
    second = world.ask("GET", f"/api/v1/sync/history?limit=2&cursor={first['next_cursor']}").json()
    assert (len(first["items"]), len(second["items"]), second["next_cursor"]) == (2, 1, None)


def test_deleted_entity_frees_its_connector(world: RealWorld) -> None:
    at = f"/api/v1/connectors/{world.connector}"
    assert world.ask("DELETE", at).status_code == 409
    assert world.ask("DELETE", f"/api/v1/entities/{world.entity}").status_code == 204
    assert [world.ask("DELETE", at).status_code, world.ask("GET", at).status_code] == [204, 404]


def test_new_tenant_holds_connectors_of_its_own(world: RealWorld) -> None:
    assert world.ask("POST", "/api/v1/connectors", json=CONNECTOR | {"tenant": "north"}).status_code == 422
    assert world.ask("PUT", "/api/v1/tenants/north").status_code == 200
    assert world.ask("POST", "/api/v1/connectors", json=CONNECTOR | {"tenant": "north"}).status_code == 201


def test_failed_record_shows_what_is_known_of_it(world: RealWorld) -> None:
    found = world.ask("GET", f"/api/v1/failed-records/{world.record}").json()
    assert (found["code"], found["status"], found["normalized"]) == ("bad_number", "open", {})


def test_database_that_is_down_is_503_with_retry_after(world: RealWorld) -> None:
    down = Database(replace(world.database.server, port=1))
    world.services = replace(world.services, catalogue=Catalogue(down, new_uid))
    world.app = create_app(world.services)
    answer = world.ask("GET", "/api/v1/connectors")
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    assert "PostgreSQL" in answer.json()["detail"]
