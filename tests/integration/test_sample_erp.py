"""The sample ERP over HTTP: the connector protocol, and the ways a source misbehaves on purpose."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from infra.local.loopback import Request
from infra.local.sample_erp import ColumnSpec, Json, SampleErp, TableSpec, parse_columns

if TYPE_CHECKING:
    from tests.fixtures_erp import MakeErp

pytest_plugins = ("tests.fixtures_erp",)

# One TLS context for all tests, and no connection kept: sources come and go under them.
HTTP = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0))

COLUMNS = parse_columns(
    """
    id NUMBER(9) NOT NULL
    note VARCHAR2(40)
    """
)
ORDERS = TableSpec(slug="orders", keys=("id",), columns=COLUMNS)
PARTS = TableSpec(slug="parts", keys=("id",), strategy="hash", columns=COLUMNS)

FIVE = [{"id": number, "note": f"n{number}"} for number in (1, 2, 3, 9, 10)]


@pytest.fixture
def erp(make_erp: MakeErp) -> SampleErp:
    return make_erp([ORDERS, PARTS], {"orders": FIVE, "parts": FIVE})


def ask(erp: SampleErp, path: str, token: str = "demo-static-token", **parameters: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return HTTP.get(f"{erp.base_url}/api/v1/{path}", params=parameters, headers=headers)


def do(erp: SampleErp, action: str, **body: Any) -> httpx.Response:
    return HTTP.post(f"{erp.base_url}/control/{action}", json=body)


def walk(erp: SampleErp, slug: str, **parameters: Any) -> list[dict[str, Any]]:
    """All rows by following the cursor."""
    rows: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = ask(erp, f"data/{slug}", cursor=cursor, **parameters).json()
        rows += page["rows"]
        cursor = page["next_cursor"]
    return rows


def ids(rows: list[dict[str, Any]]) -> list[int]:
    return [row["data"]["id"] for row in rows]


# tokens


def test_client_credentials_get_a_token_that_works(erp: SampleErp) -> None:
    body = {"client_id": "tributary-demo", "client_secret": "demo-secret"}
    answer = HTTP.post(f"{erp.base_url}/api/v1/auth/token", json=body).json()
    assert (answer["token_type"], answer["expires_in"]) == ("bearer", 3600)
    assert ask(erp, "apis", answer["access_token"]).status_code == 200


def test_wrong_secret_gets_no_token(erp: SampleErp) -> None:
    body = {"client_id": "tributary-demo", "client_secret": "guess"}
    assert HTTP.post(f"{erp.base_url}/api/v1/auth/token", json=body).status_code == 401


def test_missing_and_unknown_tokens_are_refused(erp: SampleErp) -> None:
    assert [ask(erp, "apis", token).status_code for token in ("", "guess")] == [401, 401]


def test_issued_token_expires_and_static_one_stays(make_erp: MakeErp) -> None:
    now = [0.0]
    erp = make_erp([ORDERS], clock=lambda: now[0])
    token = erp.tokens.issue("tributary-demo", "demo-secret")
    now[0] = 3600.0
    assert [ask(erp, "apis", t).status_code for t in (token, "demo-static-token")] == [401, 200]


def test_revoked_tokens_stop_working_at_once(erp: SampleErp) -> None:
    token = erp.tokens.issue("tributary-demo", "demo-secret")
    assert do(erp, "tokens", expires_in=5).json() == {"revoked": 1, "expires_in": 5}
    assert ask(erp, "apis", token).status_code == 401


# discovery


def test_discovery_describes_keys_types_and_strategy(erp: SampleErp) -> None:
    orders, parts = ask(erp, "apis").json()
    assert orders["rowversion"] == {"column": "ora_rowscn", "kind": "number"}
    assert (parts["delta_strategy"], parts["rowversion"]) == ("hash", None)
    assert orders["business_key_columns"] == ["id"]
    assert orders["columns"][0] == {
        "name": "id",
        "output_alias": "id",
        "data_type": "NUMBER(9)",
        "is_nullable": False,
        "is_business_key": True,
    }


def test_unknown_slug_is_404_with_a_reason(erp: SampleErp) -> None:
    answers = [ask(erp, "data/nothing"), ask(erp, "changes/nothing"), ask(erp, "nowhere")]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert "orders" in answers[0].json()["message"]


# pages


def test_keyset_walk_reads_every_row_once_in_key_order(erp: SampleErp) -> None:
    assert ids(walk(erp, "orders", page_size=2)) == [1, 2, 3, 9, 10]


def test_row_carries_keys_version_and_data(erp: SampleErp) -> None:
    row = ask(erp, "data/orders").json()["rows"][0]
    assert row == {"oracle_keys": {"id": 1}, "row_version": "1", "data": {"id": 1, "note": "n1"}}


def test_table_without_versions_sends_none(erp: SampleErp) -> None:
    page = ask(erp, "data/parts").json()
    assert {row["row_version"] for row in page["rows"]} == {None}
    assert "safe_rowversion" not in page


def test_page_numbers_come_with_total_and_has_more(erp: SampleErp) -> None:
    erp.behave("orders", pagination="page")
    pages = [ask(erp, "data/orders", page=number, page_size=2).json() for number in (1, 2, 3, 4)]
    assert [ids(page["rows"]) for page in pages] == [[1, 2], [3, 9], [10], []]
    assert [page["has_more"] for page in pages] == [True, True, False, False]
    assert {page["total"] for page in pages} == {5}
    assert all("next_cursor" not in page for page in pages)


def test_page_size_is_clamped(erp: SampleErp) -> None:
    erp.behave("orders", page_size_max=2)
    page = ask(erp, "data/orders", page_size=50_000).json()
    assert (len(page["rows"]), page["page_size"]) == (2, 2)


def test_keys_only_pages_hold_keys_and_versions(erp: SampleErp) -> None:
    row = ask(erp, "data/orders", fields="keys").json()["rows"][0]
    assert row == {"oracle_keys": {"id": 1}, "row_version": "1", "data": {"id": 1}}


def test_flat_rows_leave_the_envelope_out(erp: SampleErp) -> None:
    erp.behave("orders", flat_rows=True)
    assert ask(erp, "data/orders").json()["rows"][0] == {"id": 1, "note": "n1"}


def test_unknown_parameters_are_ignored(erp: SampleErp) -> None:
    assert len(ask(erp, "data/orders", company="42").json()["rows"]) == 5


@pytest.mark.parametrize("bad", [{"page": "0"}, {"page_size": "x"}, {"cursor": "!!"}, {"rowversion_gt": "x"}])
def test_malformed_parameters_are_400(erp: SampleErp, bad: dict[str, str]) -> None:
    assert ask(erp, "data/orders", **bad).status_code == 400


def test_numbers_keep_the_digits_they_were_given(erp: SampleErp) -> None:
    erp.update("orders", {"id": 1}, {"note": Json("1.50")})
    assert b'"note":1.50}' in ask(erp, "data/orders").content


# deltas and row versions


def test_delta_is_filtered_by_version_and_paged_by_key(erp: SampleErp) -> None:
    erp.update("orders", {"id": 9}, {"note": "x"})
    erp.update("orders", {"id": 2}, {"note": "y"})
    assert ids(walk(erp, "orders", rowversion_gt="10", page_size=1)) == [2, 9]


def test_delta_in_version_order_where_switched_on(erp: SampleErp) -> None:
    erp.behave("orders", ordered_by_rowversion=True)
    erp.update("orders", {"id": 9}, {"note": "x"})
    erp.update("orders", {"id": 2}, {"note": "y"})
    assert ids(walk(erp, "orders", rowversion_gt="10", page_size=1)) == [9, 2]
    assert ask(erp, "apis").json()[0]["ordered_by_rowversion"] is True


def test_versions_come_from_one_counter_and_only_grow(erp: SampleErp) -> None:
    erp.update("orders", {"id": 1}, {"note": "x"})
    erp.update("parts", {"id": 1}, {"note": "x"})
    erp.update("orders", {"id": 2}, {"note": "x"})
    first, second = (int(row["row_version"]) for row in walk(erp, "orders")[:2])
    assert second > first + 1 > 11


@pytest.mark.parametrize("kind", ["hex", "timestamp", "text"])
def test_other_kinds_of_row_version_filter_alike(make_erp: MakeErp, kind: Any) -> None:
    spec = TableSpec(slug="orders", keys=("id",), columns=COLUMNS, version_kind=kind)
    erp = make_erp([spec], {"orders": FIVE})
    bound = erp.max_rowversion("orders")
    erp.update("orders", {"id": 3}, {"note": "x"})
    assert ids(walk(erp, "orders", rowversion_gt=bound)) == [3]


def test_late_commit_shows_an_older_version_than_was_seen(erp: SampleErp) -> None:
    erp.update("orders", {"id": 1}, {"note": "late"}, txn="t")
    erp.update("orders", {"id": 2}, {"note": "early"})
    seen = walk(erp, "orders", rowversion_gt="10")
    assert (ids(seen), [row["row_version"] for row in seen]) == ([2], ["12"])
    erp.commit("t")
    assert [row["row_version"] for row in walk(erp, "orders", rowversion_gt="10")] == ["11", "12"]


def test_safe_rowversion_stays_below_what_is_in_flight(erp: SampleErp) -> None:
    erp.update("orders", {"id": 1}, {"note": "late"}, txn="t")
    erp.update("orders", {"id": 2}, {"note": "early"})
    held = ask(erp, "data/orders").json()["safe_rowversion"]
    erp.commit("t")
    assert (held, ask(erp, "data/orders").json()["safe_rowversion"]) == ("10", "12")


def test_rolled_back_rows_never_appear_and_their_versions_stay_used(erp: SampleErp) -> None:
    erp.insert("orders", [{"id": 50}], txn="t")
    erp.roll_back("t")
    erp.insert("orders", [{"id": 51}])
    assert [row["row_version"] for row in walk(erp, "orders", rowversion_gt="10")] == ["12"]


def test_transaction_sees_its_own_writes(erp: SampleErp) -> None:
    erp.insert("orders", [{"id": 50}], txn="t")
    erp.update("orders", {"id": 50}, {"note": "x"}, txn="t")
    erp.delete("orders", [{"id": 1}], txn="t")
    erp.commit("t")
    assert [row["note"] for row in erp.rows("orders")] == ['"n2"', '"n3"', '"n9"', '"n10"', '"x"']


def test_row_held_by_an_open_transaction_is_locked(erp: SampleErp) -> None:
    erp.update("orders", {"id": 1}, {"note": "a"}, txn="t")
    change = {"key": {"id": 1}, "set": {"note": "b"}}
    assert do(erp, "update", slug="orders", changes=[change]).status_code == 409


# probes


def test_probe_tells_highest_version_and_rows_above_the_bound(erp: SampleErp) -> None:
    assert ask(erp, "changes/orders", rowversion_gt="5").json() == {
        "changed": False,
        "max_rowversion": "5",
        "count": 0,
    }
    erp.update("orders", {"id": 1}, {"note": "x"})
    assert ask(erp, "changes/orders", rowversion_gt="5").json() == {
        "changed": True,
        "max_rowversion": "11",
        "count": 1,
    }


def test_probe_of_a_table_without_versions_moves_with_every_commit(erp: SampleErp) -> None:
    def probed() -> tuple[str, int]:
        answer = ask(erp, "changes/parts").json()
        return answer["max_rowversion"], answer["count"]

    seen = [probed()]
    erp.update("parts", {"id": 1}, {"note": "x"}, txn="t")
    seen.append(probed())
    erp.update("orders", {"id": 1}, {"note": "x"})
    erp.commit("t")
    seen.append(probed())
    erp.delete("parts", [{"id": 2}])
    seen.append(probed())
    assert (seen[0] == seen[1], len(set(seen)), seen[3][1]) == (True, 3, 4)


def test_probe_can_be_absent_or_without_count(erp: SampleErp) -> None:
    erp.behave("orders", probe=False)
    erp.behave("parts", probe_count=False)
    assert ask(erp, "changes/orders").status_code == 404
    assert "count" not in ask(erp, "changes/parts").json()


# control


def test_control_writes_and_health_counts(erp: SampleErp) -> None:
    assert do(erp, "insert", slug="orders", rows=[{"id": 20, "note": "x"}]).json() == {"inserted": 1}
    assert do(erp, "delete", slug="orders", keys=[{"id": 1}]).json()["deleted"] == 1
    health = HTTP.get(f"{erp.base_url}/control/health").json()
    assert (health["fresh"], health["tables"]["orders"]) == (False, 5)


def test_random_rows_are_the_same_for_the_same_seed(make_erp: MakeErp) -> None:
    answers = []
    for _ in range(2):
        erp = make_erp([ORDERS], {"orders": FIVE})
        answers.append(do(erp, "update", slug="orders", where_random=2, seed=7, set={"note": "x"}).json())
    assert answers[0] == answers[1]
    assert answers[0]["updated"] == 2


def test_broken_row_carries_the_wrong_kind_and_a_new_version(erp: SampleErp) -> None:
    do(erp, "break", slug="orders", key={"id": 2}, column="id", value="abc")
    (row,) = walk(erp, "orders", rowversion_gt="10")
    assert (row["oracle_keys"], row["data"]["id"], row["row_version"]) == ({"id": 2}, "abc", "11")


def test_value_can_be_left_out_of_a_row(erp: SampleErp) -> None:
    erp.break_row("orders", {"id": 2}, "note", None, absent=True)
    assert walk(erp, "orders")[1]["data"] == {"id": 2}


def test_second_copy_of_a_key_must_be_asked_for(erp: SampleErp) -> None:
    assert do(erp, "insert", slug="orders", rows=[{"id": 1}]).status_code == 409
    erp.insert("orders", [{"id": 1, "note": "copy"}], duplicate=True, row_version=1)
    assert [(row["row_version"], row["data"]["note"]) for row in walk(erp, "orders")[:2]] == [
        ("1", "n1"),
        ("1", "copy"),
    ]


def test_member_no_column_describes_is_sent_all_the_same(erp: SampleErp) -> None:
    erp.insert("orders", [{"id": 20, "colour": "red"}])
    assert walk(erp, "orders")[-1]["data"] == {"id": 20, "note": None, "colour": "red"}


def test_failed_batch_writes_nothing(erp: SampleErp) -> None:
    assert do(erp, "insert", slug="orders", rows=[{"id": 20}, {"id": 1}]).status_code == 409
    assert erp.count("orders") == 5


def test_column_appears_and_goes_in_metadata_and_rows(erp: SampleErp) -> None:
    erp.add_column("orders", ColumnSpec("size", "NUMBER(3)"), 5)
    assert ask(erp, "apis").json()[0]["columns"][-1]["name"] == "size"
    assert walk(erp, "orders")[0]["data"]["size"] == 5
    assert do(erp, "drop_column", slug="orders", name="note").json() == {"dropped": "note"}
    assert walk(erp, "orders")[0]["data"] == {"id": 1, "size": 5}
    assert erp.max_rowversion("orders") == "5"


def test_columns_change_in_rows_of_an_open_transaction_too(erp: SampleErp) -> None:
    """As in a real source, where no row ever lacks a column that its table has."""
    erp.insert("orders", [{"id": 50}], txn="t")
    erp.add_column("orders", ColumnSpec("size", "NUMBER(3)"), 5)
    erp.drop_column("orders", "note")
    erp.commit("t")
    assert {row["data"]["id"]: set(row["data"]) for row in walk(erp, "orders")}[50] == {"id", "size"}


def test_scripted_failure_skips_then_counts_down(erp: SampleErp) -> None:
    do(erp, "fail", path="/data/orders", status=503, times=1, skip=1)
    assert [ask(erp, "data/orders").status_code for _ in range(3)] == [200, 503, 200]


def test_rows_can_change_while_a_walk_is_under_way(erp: SampleErp) -> None:
    def delete_before_second_page(request: Request) -> None:
        if request.parameters["cursor"]:
            erp.delete("orders", [{"id": 1}])

    erp.on_request = delete_before_second_page
    assert ids(walk(erp, "orders", page_size=4)) == [1, 2, 3, 9, 10]
    assert (erp.count("orders"), len(erp.requests)) == (4, 2)


@pytest.mark.parametrize(
    ("action", "body", "status"),
    [
        ("behave", {"slug": "orders", "changes": {"pagination": "scroll"}}, 400),
        ("behave", {"slug": "orders", "changes": {"shape": 1}}, 400),
        ("update", {"slug": "orders", "changes": [{"key": {"id": 1}, "set": {"id": 2}}]}, 400),
        ("update", {"slug": "orders", "changes": [{"key": {"id": 99}, "set": {"note": "x"}}]}, 404),
        ("update", {"slug": "orders", "changes": [{"key": {"no": 1}, "set": {"note": "x"}}]}, 400),
        ("break", {"slug": "orders", "key": {"id": 1}, "column": "nope"}, 400),
        ("commit", {"txn": "nothing"}, 404),
        ("insert", {"rows": []}, 422),
        ("explode", {}, 404),
    ],
)
def test_impossible_control_requests_say_why(
    erp: SampleErp, action: str, body: dict[str, Any], status: int
) -> None:
    answer = do(erp, action, **body)
    assert (answer.status_code, bool(answer.json()["message"])) == (status, True)


# life


def test_state_survives_a_restart_but_open_transactions_do_not(make_erp: MakeErp, tmp_path: Path) -> None:
    first = make_erp([ORDERS], {"orders": FIVE}, data_dir=tmp_path / "kept")
    first.update("orders", {"id": 1}, {"note": "kept"})
    first.update("orders", {"id": 2}, {"note": "lost"}, txn="t")
    first.close()
    again = make_erp(data_dir=tmp_path / "kept")
    assert [row["note"] for row in again.rows("orders")[:2]] == ['"kept"', '"n2"']
    assert (again.fresh, again.seeded_now, again.store.safe_version()) == (False, False, 7)


def test_reset_restores_rows_versions_and_freshness(erp: SampleErp) -> None:
    erp.delete("orders", [{"id": 1}])
    answer = do(erp, "reset").json()
    assert (answer["fresh"], answer["tables"]["orders"], answer["rowversion"]) == (True, 5, 10)


def test_stopped_source_is_unreachable_and_comes_back_on_its_port(erp: SampleErp) -> None:
    url = erp.base_url
    with httpx.Client(base_url=url) as kept_alive:
        kept_alive.get("/control/health")
        erp.stop()
        with pytest.raises(httpx.TransportError):
            kept_alive.get("/control/health")
    erp.start()
    assert (erp.base_url, ask(erp, "apis").status_code) == (url, 200)


def test_taken_port_names_the_variable_that_moves_it(erp: SampleErp, tmp_path: Path) -> None:
    SampleErp(tmp_path / "taken", tables=[ORDERS]).close()
    port = erp.base_url.rpartition(":")[2]
    command = [
        sys.executable,
        "-m",
        "infra.local.sample_erp",
        "--port",
        port,
        "--data",
        str(tmp_path / "taken"),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, "ERP_PORT" in ended.stderr, port in ended.stderr) == (1, True, True)


# the five tables


@dataclass(frozen=True, slots=True)
class Told:
    """What one seeding showed: rows per table, the story's answer and delta, later tellings."""

    counts: dict[str, int]
    first: dict[str, Any]
    delta: list[dict[str, Any]]
    left: dict[str, int]
    second: dict[str, Any]
    after_reset: dict[str, Any]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    with SampleErp(tmp_path_factory.mktemp("nycflights")) as erp:
        slugs = [table["slug"] for table in ask(erp, "apis").json()]
        bound = erp.max_rowversion("flights")
        told = Told(
            counts={slug: len(walk(erp, slug, page_size=10_000, fields="keys")) for slug in slugs},
            first=do(erp, "story").json(),
            delta=walk(erp, "flights", rowversion_gt=bound),
            left={slug: erp.count(slug) for slug in slugs},
            second=do(erp, "story").json(),
            after_reset={},
        )
        erp.reset()
        return replace(told, after_reset=do(erp, "story").json())


def test_walk_of_all_five_tables_reads_367_687_rows(told: Told) -> None:
    assert told.counts == {
        "airlines": 16,
        "airports": 1_458,
        "planes": 3_322,
        "weather": 26_115,
        "flights": 336_776,
    }


def test_story_deletes_flights_and_brings_the_missing_airports(told: Told) -> None:
    assert told.first["airports"]["keys"] == ["BQN", "PSE", "SJU", "STT"]
    assert (told.left["flights"], told.left["airports"]) == (336_776 - 120, 1_462)


def test_story_leaves_one_broken_row_among_the_changed_ones(told: Told) -> None:
    broken = [row["oracle_keys"] for row in told.delta if isinstance(row["data"]["arr_delay"], str)]
    assert (len(told.delta), broken) == (501, [told.first["broken"]["key"]])


def test_story_told_again_changes_other_flights_and_brings_nothing_twice(told: Told) -> None:
    assert told.second["flights"] == told.first["flights"]
    assert told.second["airports"]["inserted"] == 0
    assert told.second["broken"]["key"] != told.first["broken"]["key"]


def test_story_is_the_same_from_the_same_state(told: Told) -> None:
    assert told.after_reset == told.first
