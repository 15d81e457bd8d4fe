"""The routes over fakes: shapes, refusals, limits."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from shared.api.gate import MAX_BODY_BYTES
from tests.unit.api.fakes import DOWN, OFFERED, FakeStore, World

CONNECTOR = {
    "name": "new",
    "base_url": "https://erp.example.com/",
    "auth": {"type": "token", "secret_name": "erp-t"},
}


def fields(answer: Any) -> list[str]:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json().keys() >= {"type", "title", "status", "detail", "errors"}
    return [error["field"] for error in answer.json()["errors"]]


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def entity(world: World, **changes: Any) -> dict[str, Any]:
    return {"connector_uid": str(world.connector), "slug": "planes"} | changes


def test_connector_is_created_and_answered_without_secret() -> None:
    answer = World().ask("POST", "/api/v1/connectors", json=CONNECTOR)
    assert (answer.status_code, answer.json()["base_url"]) == (201, "https://erp.example.com")
    assert answer.json()["auth"] == {"type": "token", "secret_name": "erp-t"}


def test_postgres_connector_is_registered_by_its_address() -> None:
    asked = CONNECTOR | {"kind": "postgres", "base_url": "postgres://erp.example.com:5433/erp"}
    answer = World().ask("POST", "/api/v1/connectors", json=asked)
    assert (answer.status_code, answer.json()["kind"]) == (201, "postgres")


def test_connector_name_taken_is_409() -> None:
    assert World().ask("POST", "/api/v1/connectors", json=CONNECTOR | {"name": "erp"}).status_code == 409


@pytest.mark.parametrize(
    "base_url",
    [
        "https://evil.example.com", "https://erp.example.com.evil.com", "https://erp.example.com@evil.com",
        "http://169.254.169.254/metadata", "ftp://erp.example.com", "https://", "erp.example.com",
        "https://[::1", "http://erp.example.com", "https://erp.example.com/?x=1", "http://127.0.0.1:9999",
    ],
)  # fmt: skip
def test_base_url_outside_the_allow_list_is_422(base_url: str) -> None:
    assert fields(World().ask("POST", "/api/v1/connectors", json=CONNECTOR | {"base_url": base_url})) == [
        "base_url"
    ]


def test_refused_host_names_the_setting() -> None:
    answer = World().ask(
        "POST", "/api/v1/connectors", json=CONNECTOR | {"base_url": "https://other.example.com"}
    )
    assert "CONNECTOR_HOSTS" in answer.json()["errors"][0]["detail"]


def test_secret_without_vault_is_422_and_never_quoted() -> None:
    secret = {"auth": {"type": "token", "secret_name": "erp-t", "secret": "hunter2-canary"}}
    answer = World().ask("POST", "/api/v1/connectors", json=CONNECTOR | secret)
    assert fields(answer) == ["auth.secret"]
    assert "canary" not in answer.text


def test_secret_goes_to_the_vault_only() -> None:
    store = FakeStore()
    secret = {"auth": {"type": "token", "secret_name": "erp-t", "secret": "hunter2"}}
    answer = World(secrets=store).ask("POST", "/api/v1/connectors", json=CONNECTOR | secret)
    assert (answer.status_code, store.values, "hunter2" in answer.text) == (201, {"erp-t": "hunter2"}, False)


def test_body_that_does_not_fit_never_comes_back() -> None:
    answer = World().ask("POST", "/api/v1/connectors", json={"auth": {"secret": ["canary-value"]}})
    assert set(fields(answer)) >= {"name", "base_url", "auth.type", "auth.secret"}
    assert "canary-value" not in answer.text


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"tenant": "unheard-of"}, "tenant"),
        ({"kind": "sqlserver"}, "kind"),
        ({"kind": "postgres"}, "base_url"),
        ({"kind": "postgres", "base_url": "postgres://db.example.com/x"}, "base_url"),
        ({"kind": "postgres", "base_url": "postgres://erp.example.com/x?sslmode=disable"}, "base_url"),
        ({"kind": "postgres", "base_url": "postgres://a:b@erp.example.com/x"}, "base_url"),
        ({"kind": "postgres", "auth": {"type": "none"}}, "auth.type"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"max_concurrent_syncs": 0}, "max_concurrent_syncs"),
        ({"surprise": 1}, "surprise"),
        ({"name": "nul\0"}, "name"),
        ({"auth": {"type": "token", "secret_name": "../x"}}, "auth.secret_name"),
        ({"auth": {"type": "token"}}, "auth"),
    ],
)
def test_each_wrong_field_of_a_connector_is_named(changes: dict[str, Any], field: str) -> None:
    answer = World().ask("POST", "/api/v1/connectors", json=CONNECTOR | changes)
    assert (answer.status_code, fields(answer)) == (422, [field])


def test_connector_read_can_be_put_back() -> None:
    world = World()
    at = f"/api/v1/connectors/{world.connector}"
    read = world.ask("GET", at).json()
    assert world.ask("PUT", at, json=read).json() == read


def test_connector_with_entities_is_not_deleted() -> None:
    world = World()
    assert world.ask("DELETE", f"/api/v1/connectors/{world.connector}").status_code == 409


def test_unreachable_connector_is_an_answer_of_test_and_503_of_discover() -> None:
    world = World()
    world.source.error = DOWN
    tested = world.ask("POST", f"/api/v1/connectors/{world.connector}/test").json()
    assert (tested["ok"], tested["error"]["code"]) == (False, "source_unavailable")
    discovered = world.ask("POST", f"/api/v1/connectors/{world.connector}/discover")
    assert (discovered.status_code, discovered.headers["retry-after"]) == (503, "30")


def test_discovering_an_unknown_slug_names_what_is_offered() -> None:
    world = World()
    answer = world.ask("POST", f"/api/v1/connectors/{world.connector}/discover", json={"slugs": ["plains"]})
    assert (fields(answer), answer.json()["hint"]) == (["slugs"], "it offers planes")


@pytest.mark.parametrize(
    ("page", "strategy"),
    [
        (b'{"rows":[{"row_version":"0001"},{"row_version":"0002"}]}', "rowversion"),
        (b'{"rows":[{"row_version":"7"},{"row_version":"12"}]}', "hash"),
        (b'{"rows":[]}', "hash"),
        (b"<html>", "hash"),
    ],
)
def test_kind_of_row_version_left_unsaid_is_judged_by_a_sample(page: bytes, strategy: str) -> None:
    world = World()
    world.source.described = (replace(OFFERED, slug="new", delta_strategy="rowversion"),)
    world.source.page = page
    found = world.ask("POST", f"/api/v1/connectors/{world.connector}/discover").json()["items"][0]
    at = f"/api/v1/entities/{found['entity_uid']}"
    assert world.ask("GET", at).json()["delta_strategy"] == strategy


def test_notify_says_which_slugs_it_knows() -> None:
    world = World()
    answer = world.ask(
        "POST", f"/api/v1/connectors/{world.connector}/notify", json={"slugs": ["planes", "x"]}
    )
    assert (answer.status_code, answer.json()) == (202, {"due": ["planes"], "unknown": ["x"]})


def test_entity_shows_defaults_columns_and_rules() -> None:
    world = World()
    answer = world.ask("GET", f"/api/v1/entities/{world.entity}").json()
    assert (answer["engine"], answer["contract"], answer["parents"]) == ("functions", "evolve", [])
    assert answer["columns"][0]["target_column"] == "tailnum"
    assert answer["field_mappings"][0]["type"] == "varchar(10)"
    assert answer["field_mappings"][0]["rules"]["unicode"] == "NFC"


def test_entity_read_can_be_put_back_unchanged() -> None:
    world = World()
    at = f"/api/v1/entities/{world.entity}"
    read = world.ask("GET", at).json()
    answer = world.ask("PUT", at, json=read)
    assert (answer.status_code, answer.json()) == (200, read)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"destination_uid": "6f2e3a58-9d3f-4f9f-8f15-0f1d7e9f6f00"}, "destination_uid"),
        ({"engine": "databricks"}, "engine"),
        ({"contract": "melt"}, "contract"),
        ({"history": True}, "history"),
        ({"adaptive": "sometimes"}, "adaptive"),
        ({"parents": [{"slug": "planes"}]}, "parents[0].columns"),
        ({"verify_interval_seconds": 5}, "verify_interval_seconds"),
        ({"reject_threshold_percent": 101}, "reject_threshold_percent"),
        ({"parents": [{"slug": "models", "columns": ["seats"], "parent_columns": ["id"]}]}, "parents[0]"),
        ({"surprise": 1}, "surprise"),
        ({"page_size": 0}, "page_size"),
        ({"business_keys": []}, "business_keys"),
        ({"business_keys": ["nope"]}, "business_keys"),
        ({"slug": "other"}, "slug"),
        ({"target_table": "other"}, "target_table"),
        ({"field_mappings": [{"source": "seats", "target": "s", "type": "blurb"}]}, "field_mappings[0].type"),
        (
            {"field_mappings": [{"source": "seats", "target": "s", "type": "text", "rules": {"trim": "no"}}]},
            "field_mappings[0].rules.trim",
        ),
    ],
)
def test_each_wrong_field_of_an_entity_is_named(changes: dict[str, Any], field: str) -> None:
    world = World()
    answer = world.ask("PUT", f"/api/v1/entities/{world.entity}", json=entity(world, **changes))
    assert answer.status_code == 422
    assert field in fields(answer)


def test_what_is_not_built_says_so() -> None:
    world = World()
    answer = world.ask("PUT", f"/api/v1/entities/{world.entity}", json=entity(world, history=True))
    assert "not available yet" in answer.json()["errors"][0]["detail"]


def test_entity_of_an_unknown_slug_is_422_and_a_known_one_409() -> None:
    world = World()
    assert fields(world.ask("POST", "/api/v1/entities", json=entity(world, slug="plains"))) == ["slug"]
    assert world.ask("POST", "/api/v1/entities", json=entity(world)).status_code == 409


def test_entity_by_hand_needs_no_connector_call() -> None:
    world = World()
    world.source.error = DOWN
    hand = entity(world, slug="own", columns=[{"name": "id", "data_type": "NUMBER(9)"}], business_keys=["id"])
    assert world.ask("POST", "/api/v1/entities", json=hand).status_code == 201
    hand["slug"], hand["business_keys"] = "own2", ["nope"]
    assert world.ask("POST", "/api/v1/entities", json=hand).status_code == 422


def test_sync_is_202_then_409_and_a_refresh_passes() -> None:
    world = World()
    at = f"/api/v1/entities/{world.entity}"
    first = world.ask("POST", f"{at}/sync")
    assert (first.status_code, first.json()["status"], world.sent) == (202, "queued", [1])
    assert world.ask("POST", f"{at}/sync").status_code == 409
    assert world.ask("POST", f"{at}/full-refresh").status_code == 202


def test_allow_deletes_needs_a_reason() -> None:
    world = World()
    at = f"/api/v1/entities/{world.entity}/sync"
    assert world.ask("POST", at, json={"allow_deletes": 5}).status_code == 422
    assert world.ask("POST", at, json={"allow_deletes": 5, "reason": "cleaned up"}).status_code == 202
    assert (world.runs.asked[-1]["allow_deletes"], world.runs.asked[-1]["reason"]) == (5, "cleaned up")


def test_start_takes_a_connector_or_entities_and_reports_each() -> None:
    world = World()
    one = world.ask("POST", "/api/v1/sync/start", json={"connector_uid": str(world.connector)})
    assert (one.status_code, one.json()["items"][0]["status"]) == (202, "queued")
    assert (
        world.ask("POST", "/api/v1/sync/start", json={"entity_uids": [str(world.entity)]}).status_code == 409
    )
    assert world.ask("POST", "/api/v1/sync/start", json={}).status_code == 422


def test_inactive_connector_starts_nothing() -> None:
    world = World()
    at = f"/api/v1/connectors/{world.connector}"
    world.ask("PUT", at, json=world.ask("GET", at).json() | {"is_active": False})
    assert world.ask("POST", f"/api/v1/entities/{world.entity}/sync").status_code == 409


def test_run_has_the_fields_of_the_contract() -> None:
    world = World()
    run = world.ask("GET", f"/api/v1/runs/{world.run}").json()
    assert set(run) == {
        "uid", "entity_uid", "strategy", "trigger", "status", "attempt", "slices", "started_at", "completed_at",
        "fetched", "inserted", "updated", "unchanged", "superseded", "rejected", "held", "released", "soft_deleted",
        "watermark_start", "watermark_end", "error", "requested_by", "purpose",
    }  # fmt: skip
    assert world.ask("GET", f"/api/v1/sync/status/{world.run}").json() == run


def test_lists_page_by_cursor_and_refuse_a_forged_one() -> None:
    world = World()
    for name in ("a", "b"):
        world.ask("POST", "/api/v1/connectors", json=CONNECTOR | {"name": name})
    first = world.ask("GET", "/api/v1/connectors?limit=2").json()
    second = world.ask("GET", f"/api/v1/connectors?limit=2&cursor={first['next_cursor']}").json()
    assert (len(first["items"]), len(second["items"]), second["next_cursor"]) == (2, 1, None)
    for at in ("connectors", "entities", "failed-records"):
        assert fields(world.ask("GET", f"/api/v1/{at}?cursor=forged")) == ["cursor"]
    assert fields(world.ask("GET", "/api/v1/connectors?limit=0")) == ["limit"]


def test_errors_of_the_framework_have_the_same_shape() -> None:
    world = World()
    assert (world.ask("GET", "/api/v1/nothing").status_code, fields(world.ask("GET", "/api/v1/nothing"))) == (
        404,
        [],
    )
    assert world.ask("PATCH", "/api/v1/connectors").status_code == 405
    assert fields(world.ask("PATCH", "/api/v1/connectors")) == []
    assert world.ask("POST", "/api/v1/connectors", content=b"{").json()["status"] == 422


def test_unexpected_error_is_500_without_its_text() -> None:
    def broken() -> None:
        raise RuntimeError("canary in the cellar")

    answer = World(database_ok=broken).ask("GET", "/api/v1/health/db")
    assert (answer.status_code, "canary" in answer.text) == (500, False)
    assert fields(answer) == []


def test_body_over_the_limit_is_413_announced_or_not() -> None:
    world, large = World(), b"x" * (MAX_BODY_BYTES + 1)
    assert world.ask("POST", "/api/v1/connectors", content=large).status_code == 413
    assert world.ask("POST", "/api/v1/connectors", content=chunks(large)).status_code == 413


def test_too_many_requests_are_429_until_time_passes() -> None:
    world = World(rate_limit_per_minute=2)
    statuses = [world.ask("GET", "/api/v1/stats").status_code for _ in range(3)]
    refused = world.ask("GET", "/api/v1/stats")
    assert (statuses, refused.headers["retry-after"]) == ([200, 200, 429], "30")
    world.now[0] = 30.0
    assert world.ask("GET", "/api/v1/stats").status_code == 200


def test_limit_is_each_callers_own() -> None:
    world = World(rate_limit_per_minute=1)
    assert world.ask("GET", "/api/v1/stats").status_code == 200
    assert (
        world.ask("GET", "/api/v1/stats", None, headers={"Authorization": "Bearer bob reader"}).status_code
        == 200
    )


def test_stats_give_rates_of_rows_and_runs_and_warn_above_the_setting() -> None:
    figures = World().ask("GET", "/api/v1/stats").json()
    assert (figures["error_rate"], figures["failed_runs_rate"]) == (0.003, 0.25)
    assert (figures["warnings"], figures["entity_errors"][0]["warning"]) == (1, True)
    assert World(error_rate_warning_percent=0.3).ask("GET", "/api/v1/stats").json()["warnings"] == 0


def test_queue_depths_are_for_who_sees_all_tenants() -> None:
    world = World(queue_depths=lambda: {"sync-jobs": 4, "sync-jobs-poison": None})
    assert world.ask("GET", "/api/v1/stats").json()["queues"] == {"sync-jobs": 4, "sync-jobs-poison": None}
    assert world.ask("GET", "/api/v1/stats", "reader,tenant:default").json()["queues"] == {}


def test_metrics_are_the_same_facts_for_prometheus() -> None:
    answer = World(queue_depths=lambda: {"sync-jobs": 4, "other": None}).ask("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    for line in ("tributary_entities 1", 'tributary_runs_24h{status="failed"} 1', "tributary_error_ratio 0.003",
                 'tributary_queue_messages{queue="sync-jobs"} 4', 'tributary_slices{state="queued"} 2'):  # fmt: skip
        assert line in lines
    assert not [line for line in lines if not line.startswith(("# ", "tributary_"))]


def test_names_of_tables_cannot_forge_a_metric() -> None:
    world = World()
    world.source.described = (replace(OFFERED, slug='x"} 1\nforged 1 \\'),)
    world.ask("POST", f"/api/v1/connectors/{world.connector}/discover")
    lines = world.ask("GET", "/metrics").text.splitlines()
    assert not [line for line in lines if line.startswith("forged")]
    assert [line for line in lines if 'x\\"} 1' in line]


def test_tenants_are_made_only_by_who_may_see_them() -> None:
    world = World()
    assert world.ask("PUT", "/api/v1/tenants/south").status_code == 200
    assert world.ask("PUT", "/api/v1/tenants/west", "admin,tenant:north").status_code == 404
    assert [t["name"] for t in world.ask("GET", "/api/v1/tenants").json()["items"]] == [
        "default",
        "north",
        "south",
    ]


def test_browser_of_an_allowed_origin_gets_its_preflight() -> None:
    world = World(cors_origins=("https://console.example.com",))
    asked = {"Origin": "https://console.example.com", "Access-Control-Request-Method": "GET"}
    assert world.ask("OPTIONS", "/api/v1/stats", None, headers=asked).status_code == 200


def test_run_is_answered_with_the_fields_that_clients_were_promised() -> None:
    promised = (
        "uid entity_uid strategy trigger status attempt slices started_at completed_at fetched inserted updated"
        " unchanged superseded rejected held released soft_deleted watermark_start watermark_end error requested_by"
        " purpose"
    )
    world = World()
    answers = [world.ask("GET", f"/api/v1/{path}/{world.run}").json() for path in ("runs", "sync/status")]
    answers += world.ask("GET", "/api/v1/sync/history").json()["items"]
    assert [list(answer) for answer in answers] == [promised.split()] * 3
