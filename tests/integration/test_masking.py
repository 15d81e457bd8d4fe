"""T69: values of masked columns, planted everywhere a row can go, are stored, logged and answered nowhere."""

import base64
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from azure.data.tables import TableServiceClient
from psycopg import sql

from infra.local.sample_erp import Json, TableSpec, parse_columns
from shared.adapters.postgres.holding import Backoff
from shared.adapters.postgres.target import PostgresTarget
from shared.composition import new_uids
from tests.integration.harness import MakeWorld, Row, World
from tests.integration.test_background_loads import Nights

COLUMNS = parse_columns("""
    code VARCHAR2(40) NOT NULL
    email VARCHAR2(200)
    iban VARCHAR2(64)
    born DATE
    salary NUMBER(12,2)
    amount NUMBER(9,2)
    note VARCHAR2(20)
""")
MASKS = {"code": "hash", "email": "hash", "iban": "redact", "born": "null", "salary": "hash"}
CANARIES = ("canary", "1987-06-0", "987654321")
STRATEGIES = ["full", "hash", "rowversion"]


def row(number: int, **changes: Any) -> Row:
    """A row with a canary in every masked column."""
    return {
        "code": f"canary-code-{number:03}", "email": f"canary-mail-{number}@x.org", "iban": f"canary-iban-{number}",
        "born": f"1987-06-0{number % 9 + 1}", "salary": 987654321 + number / 100, "amount": number, "note": f"n{number}",
    } | changes  # fmt: skip


class Keys:
    """A vault: the ERP's token, and the mask key."""

    def __init__(self, erp: Any, mask_key: str = "mask-key-of-the-tests-" + "k" * 16) -> None:
        self._erp, self.mask_key = erp, mask_key

    def get(self, name: str) -> str:
        return self.mask_key if name == "tributary-mask-key" else self._erp.credentials.static_token

    reload = get


def masked(make_world: MakeWorld, strategy: Any, count: int = 12, **more: Any) -> World:
    """A world whose table is masked before its first load."""
    spec = TableSpec(slug="t", keys=("code",), strategy=strategy, columns=COLUMNS)
    world = make_world([spec], {"t": [row(i) for i in range(count)]}, log_level="DEBUG", **more)
    put_masks(world, MASKS)
    return with_key(world)


def with_key(world: World, **key: str) -> World:
    world.app.secrets = Keys(world.erp, **key)  # type: ignore[assignment]
    return world


def put_masks(world: World, masks: dict[str, str]) -> Any:
    mappings = [m | masking(m, masks.get(m["source"], "none")) for m in world.entity("t")["field_mappings"]]
    entity = world.entity("t") | {"field_mappings": mappings}
    answer = world.agreed("PUT", f"/api/v1/entities/{entity['uid']}", entity)
    assert answer.status_code == 200, answer.text
    return answer.json()


def masking(mapping: Row, mask: str) -> Row:
    text = {"type": "text"} if mask == "hash" else {}
    other = {"target": "salary_mask"} if mapping["source"] == "salary" and mask == "hash" else {}
    return {"rules": mapping["rules"] | {"mask": mask}} | text | other


def dump(world: World) -> Iterator[tuple[str, str]]:
    """Every cell of every table of ours, and the copies in Table Storage."""
    with psycopg.connect(world.conninfo) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('bridge', 'public')"
        ).fetchall()
        for schema, table in tables:
            text = sql.SQL("SELECT to_jsonb(t)::text FROM {} t").format(sql.Identifier(schema, table))
            yield from ((f"{schema}.{table}", line) for (line,) in connection.execute(text))
    copies = TableServiceClient.from_connection_string(world._storage)
    for table in ("executionlog", "heartbeats"):
        yield from ((table, str(each)) for each in copies.get_table_client(table).list_entities())


def leaks(world: World) -> list[tuple[str, str]]:
    return [(place, text) for place, text in dump(world) if spelt(text)]


def spelt(text: str, layers: int = 3) -> bool:
    """Whether a canary stands in it, in plain or in base64 within base64, as cursors like to be."""
    if any(canary in text for canary in CANARIES):
        return True
    packed = re.findall(r"[A-Za-z0-9_+/-]{12,}", text) if layers else []
    return any(spelt(unpacked(each), layers - 1) for each in packed)


def unpacked(text: str) -> str:
    even = text[: len(text) // 4 * 4 + (len(text) % 4 if len(text) % 4 > 1 else 0)]
    return base64.b64decode(even + "=" * (-len(even) % 4), altchars=b"-_").decode("latin-1")


def break_everything(world: World) -> None:
    """A reject at each stage where one can be found, each beside canaries in the same row."""
    broken = {
        1: ("amount", "abc"), 2: ("note", "x" * 60), 3: ("note", Json("[1]")), 4: ("amount", Json("NaN")),
        5: ("note", Json('"\\ud800canary"')), 6: ("note", Json("[" * 300 + "]" * 300)), 7: ("born", "canary-date"),
        8: ("salary", "canary-number"), 9: ("note", "nul\0"),
    }  # fmt: skip
    for number, (column, value) in broken.items():
        world.erp.break_row("t", {"code": f"canary-code-{number:03}"}, column, value)
    world.erp.insert("t", [row(20)], row_version=500)
    world.erp.insert("t", [row(20, note="copy")], duplicate=True, row_version=500)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_masked_values_are_stored_nowhere(
    make_world: MakeWorld, strategy: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    world = masked(make_world, strategy)
    break_everything(world)
    with caplog.at_level(logging.DEBUG):
        world.sync()
    codes = {reject["code"] for reject in world.rejects("t")}
    assert codes >= {"bad_number", "too_long", "bad_text", "too_deep", "duplicate_key"}
    assert leaks(world) == []
    said = capsys.readouterr().err + "".join(r.getMessage() + str(vars(r)) for r in caplog.records)
    assert "chunk_committed" in said and not [c for c in CANARIES if c in said]


def test_what_lands_is_masked_as_declared(make_world: MakeWorld) -> None:
    world = masked(make_world, "hash", 3)
    world.sync()
    stored = world.stored("t")
    assert {len(r["code"]) for r in stored} == {len(r["email"]) for r in stored} == {64}
    assert [(r["iban"], r["born"], r["salary"]) for r in stored] == [("REDACTED", None, None)] * 3
    assert (
        len({r["code"] for r in stored} | {r["email"] for r in stored} | {r["salary_mask"] for r in stored})
        == 9
    )


def test_answers_and_interrupted_walks_hold_no_masked_value(make_world: MakeWorld) -> None:
    """The sample ERP's cursors spell the last key; between two slices one stands in the metadata."""
    world = masked(make_world, "hash", slice_budget_seconds=0.000001)
    world.compose(chunk_rows=1)
    with_key(world)
    world.tick()
    world.deliver_one()
    assert world.sql("SELECT cursor FROM bridge.sync_slices WHERE cursor ? 'sealed'")
    assert leaks(world) == []
    world.pump()
    assert len(world.rows("t", "code")) == 12
    for path in ("entities", "sync/history", "failed-records", "stats"):
        assert "canary" not in str(world.get(f"/api/v1/{path}"))


def test_background_load_keeps_its_cursor_sealed_from_night_to_night(make_world: MakeWorld) -> None:
    world = masked(make_world, "rowversion", 36)
    load = Nights(world)
    with_key(world)
    load.night()
    assert world.sql("SELECT 1 FROM bridge.background_sync_schedule WHERE cursor ? 'sealed'")
    assert leaks(world) == []
    assert [load.night()["status"] for _ in range(2)] == ["success"] * 2
    assert len(world.rows("t", "code")) == 36


@pytest.mark.parametrize("strategy", ["full", "hash"])
def test_table_read_in_parts_tells_no_masked_key_where_they_part(
    make_world: MakeWorld, strategy: str
) -> None:
    world = masked(make_world, strategy, 36, split_rows=10)
    world.tick()
    world.deliver_one()
    assert world.sql("SELECT count(*) AS n FROM bridge.sync_slices")[0]["n"] > 1
    assert leaks(world) == []
    world.pump()
    assert len(world.rows("t", "code")) == 36 and world.runs("t")[0]["status"] == "success"
    assert leaks(world) == []


def test_plans_and_verifications_hold_masks_like_runs(make_world: MakeWorld) -> None:
    world = masked(make_world, "hash")
    world.sync()
    plan = world.post(f"/api/v1/entities/{world.uid('t')}/plan")
    assert "canary" not in json.dumps(plan)
    world.sql("UPDATE public.t SET note = 'behind' WHERE note = 'n3'")
    world.compose(slice_budget_seconds=0.000001)
    with_key(world)
    run = world.post(f"/api/v1/entities/{world.uid('t')}/verify")["verification_uid"]
    while world.deliver_one():
        assert leaks(world) == []
    found = world.get(f"/api/v1/verifications/{run}")
    assert "canary" not in json.dumps(found)
    assert found["outcome"] == "different", found["why"]


def test_without_the_seal_a_cursor_would_tell_a_masked_key(make_world: MakeWorld) -> None:
    world = masked(make_world, "hash", slice_budget_seconds=0.000001)
    world.compose(chunk_rows=1)
    with_key(world)
    bare = PostgresTarget(world.app.database, lease_s=660, uuid7=new_uids, backoff=Backoff(60, 3600))
    world.app.runner = replace(world.app.runner, target=bare)
    world.tick()
    world.deliver_one()
    assert {place for place, _ in leaks(world)} == {"bridge.sync_slices"}


def test_rows_that_postgres_refuses_keep_their_masks(make_world: MakeWorld) -> None:
    world = masked(make_world, "hash")
    world.sql("ALTER TABLE public.t ADD CONSTRAINT picky CHECK (note <> 'n5')")
    world.sync()
    [reject] = world.rejects("t")
    assert reject["stage"] == "load" and json.loads(reject["raw"])["masked"]["iban"] == "REDACTED"
    assert leaks(world) == []


def test_reject_says_what_its_masks_are_or_that_they_are_unknown(make_world: MakeWorld) -> None:
    world = masked(make_world, "hash")
    world.erp.break_row("t", {"code": "canary-code-001"}, "amount", "abc")
    world.erp.break_row("t", {"code": "canary-code-002"}, "salary", "canary")
    world.sync()
    raws = {r["column"]: json.loads(r["raw"]) for r in world.rejects("t")}
    assert set(raws["amount"]["data"]) == {"amount", "note"} and raws["amount"]["masked"]["born"] is None
    assert set(raws["amount"]["masked"]) == {"code", "email", "iban", "born", "salary_mask"}
    assert raws["salary"]["masked"] is None
    assert all(r["key"] and len(r["key"]) == 64 for r in world.rejects("t"))


def test_masking_a_column_later_forgets_what_was_stored_before(make_world: MakeWorld) -> None:
    spec = TableSpec(slug="t", keys=("note",), strategy="rowversion", columns=COLUMNS)
    world = with_key(
        make_world([spec], {"t": [row(i) for i in range(12)]}, entity={"delete_after_missing": 1})
    )
    world.erp.break_row("t", {"note": "n1"}, "amount", "abc")
    world.sync()
    world.erp.delete("t", [{"note": "n2"}])
    world.sweep("t")
    assert leaks(world)
    asked = world.entity("t")
    mappings = [m | masking(m, MASKS.get(m["source"], "none")) for m in asked["field_mappings"]]
    answer = world.ask("PUT", f"/api/v1/entities/{asked['uid']}", asked | {"field_mappings": mappings})
    acts = {(act["kind"], act["target"]) for act in answer.json()["plan"]["actions"] if act["destructive"]}
    assert acts == {("mask", c) for c in (*MASKS, "salary")}
    put_masks(world, MASKS)
    assert leaks(world) == []
    world.sync()
    assert leaks(world) == []
    assert all(len(r["email"]) == 64 for r in world.rows("t", "note").values())


def test_key_of_a_filled_table_is_not_masked_later(make_world: MakeWorld) -> None:
    spec = TableSpec(slug="t", keys=("code",), strategy="hash", columns=COLUMNS)
    world = with_key(make_world([spec], {"t": [row(1)]}))
    world.sync()
    entity = world.entity("t")
    mappings = [m | masking(m, "hash" if m["source"] == "code" else "none") for m in entity["field_mappings"]]
    answer = world.agreed("PUT", f"/api/v1/entities/{entity['uid']}", entity | {"field_mappings": mappings})
    assert (answer.status_code, "TRUNCATE" in answer.json()["hint"]) == (409, True)


def test_another_mask_key_stops_the_table_until_a_full_refresh(make_world: MakeWorld) -> None:
    world = masked(make_world, "hash", 4, entity={"delete_after_missing": 1})
    world.sync()
    before = {r["email"] for r in world.stored("t")}
    with_key(world, mask_key="another-key-" + "z" * 20)
    refused = world.sync_now("t")
    assert (refused["status"], refused["error"]["code"]) == ("failed", "mask_key_changed")
    assert {r["email"] for r in world.stored("t")} == before
    world.post(
        f"/api/v1/entities/{world.uid('t')}/full-refresh", {"allow_deletes": 100, "reason": "new mask key"}
    )
    world.pump()
    live = [r for r in world.stored("t") if not r["_bridge_deleted"]]
    assert len(live) == 4 and not before & {r["email"] for r in live}


def test_missing_or_short_mask_key_is_a_clear_error(make_world: MakeWorld) -> None:
    world = masked(make_world, "hash", 2)
    with_key(world, mask_key="short")
    [run] = world.sync()
    assert run["status"] == "failed" and "too short for a mask key" in run["error"]["message"]
    assert world.stored("t") == []


def test_mapping_that_reads_past_a_mask_is_refused(make_world: MakeWorld) -> None:
    world = masked(make_world, "hash", 1)
    entity = world.entity("t")
    peek = {"source": "email", "target": "domain", "type": "text",
            "expression": {"op": "substring", "args": ["email", "0", "9"]}}  # fmt: skip
    answer = world.ask(
        "PUT",
        f"/api/v1/entities/{entity['uid']}",
        entity | {"field_mappings": [*entity["field_mappings"], peek]},
    )
    assert answer.status_code == 422 and answer.json()["errors"][0]["field"].endswith("rules.mask")
