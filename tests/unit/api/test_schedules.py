"""The routes of background loads over fakes: shapes, roles, tenants, refusals."""

from typing import Any
from uuid import UUID

import pytest

from shared.api.paging import pack_uid
from tests.unit.api.fakes import World

ALL = "/api/v1/schedules"


def body(world: World, **changes: Any) -> dict[str, Any]:
    return {"entity_uid": str(world.entity)} | changes


def created(world: World, **changes: Any) -> dict[str, Any]:
    answer = world.ask("POST", ALL, json=body(world, **changes))
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_what_is_left_out_of_the_window_comes_from_the_settings() -> None:
    shown = created(World())
    window = (shown["window_start"], shown["window_end"], shown["time_zone"], shown["days_to_complete"])
    assert window == ("19:00:00", "07:00:00", "Europe/Oslo", 7)
    assert (shown["status"], shown["progress"], shown["expected_finish"]) == ("waiting", 0.0, None)


def test_a_schedule_read_can_be_put_back() -> None:
    world = World()
    shown = created(world, window_start="22:30", days_to_complete=3)
    answer = world.ask("PUT", f"{ALL}/{shown['uid']}", json=shown)
    assert (answer.status_code, answer.json()) == (200, shown)


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"window_start": "25:00"}, "window_start"), ({"window_end": "07:00:00Z"}, "window_end"),
     ({"window_start": "07:00:00.5"}, "window_start"), ({"time_zone": "Mars/Olympus"}, "time_zone"),
     ({"days_to_complete": 0}, "days_to_complete"), ({"days_to_complete": 367}, "days_to_complete"),
     ({"surprise": 1}, "surprise"), ({"entity_uid": "00000000-0000-0000-0000-000000000000"}, "entity_uid")],
)  # fmt: skip
def test_each_wrong_field_is_named(changes: dict[str, Any], field: str) -> None:
    world = World()
    answer = world.ask("POST", ALL, json=body(world) | changes)
    assert (answer.status_code, [e["field"] for e in answer.json()["errors"]]) == (422, [field])


def test_the_entity_of_a_schedule_stays() -> None:
    world = World()
    at = f"{ALL}/{created(world)['uid']}"
    other = "00000000-0000-0000-0000-000000000000"
    answer = world.ask("PUT", at, json=body(world, entity_uid=other))
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "entity_uid")


def test_second_schedule_of_an_entity_is_409() -> None:
    world = World()
    created(world)
    assert world.ask("POST", ALL, json=body(world)).status_code == 409


@pytest.mark.parametrize(
    ("roles", "read", "write"), [("reader", 200, 403), ("operator", 200, 201), ("x", 403, 403)]
)
def test_readers_look_and_operators_set(roles: str, read: int, write: int) -> None:
    world = World()
    mine = f"{roles},tenant:default"
    assert world.ask("GET", ALL, mine).status_code == read
    assert world.ask("POST", ALL, mine, json=body(world)).status_code == write


def test_another_tenant_sees_changes_and_deletes_nothing() -> None:
    world, other = World(), "admin,tenant:north"
    at = f"{ALL}/{created(world)['uid']}"
    assert world.ask("GET", ALL, other).json()["items"] == []
    assert world.ask("POST", ALL, other, json=body(world)).status_code == 422
    assert world.ask("PUT", at, other, json=body(world)).status_code == 404
    assert world.ask("DELETE", at, other).status_code == 404
    assert len(world.ask("GET", ALL).json()["items"]) == 1


def test_a_deleted_schedule_is_gone() -> None:
    world = World()
    at = f"{ALL}/{created(world)['uid']}"
    assert [world.ask("DELETE", at).status_code for _ in range(2)] == [204, 404]


def test_the_list_is_paged_and_filtered() -> None:
    world = World()
    shown = created(world)
    page = world.ask("GET", f"{ALL}?entity_uid={world.entity}&connector_uid={world.connector}").json()
    assert page == {"items": [shown], "next_cursor": None}
    assert world.ask("GET", f"{ALL}?cursor={pack_uid(UUID(shown['uid']))}").json()["items"] == []
    assert world.ask("GET", f"{ALL}?cursor=forged").status_code == 422
