"""A table that stands already becomes a target: the plan first, its rows and uids kept, no row marked updated."""

from typing import Any

import pytest

from tests.integration.drifting import kill_at, release, rows, table, types_of
from tests.integration.harness import MakeWorld, World, balanced, written

LEGACY = "CREATE TABLE legacy (id integer PRIMARY KEY, code varchar(20), note varchar(40), amount numeric(8,2), own text)"
FILL = (
    "INSERT INTO legacy SELECT i, 'c' || lpad(i::text, 3, '0'), 'note ' || i, i + 0.5, 'mine'"
    " FROM generate_series(1, 20) i"
)


def standing(make_world: MakeWorld, *statements: str, strategy: str = "hash") -> World:
    """A source of twenty rows that nobody syncs yet, and a legacy table with the same rows."""
    world = make_world([table(strategy)], rows(20))
    uid = world.uid("t")
    assert world.ask("DELETE", f"/api/v1/entities/{uid}").status_code == 204
    world.sql("DROP TABLE t")
    for statement in statements or (LEGACY, FILL):
        world.sql(statement)
    return world


def body(world: World, **more: Any) -> dict[str, Any]:
    wanted = {"connector_uid": world.connector_uid, "slug": "t", "target_table": "legacy"}
    return wanted | {"delete_after_missing": 2} | more


def adopt(world: World, **more: Any) -> Any:
    return world.agreed("POST", "/api/v1/entities", body(world, **more))


def kept(world: World) -> dict[int, Any]:
    return {
        row["id"]: (row["_bridge_uid"], row["_bridge_updated_at"], row["own"])
        for row in world.stored("legacy")
    }


def finished(world: World) -> None:
    """The tick that hashes the rows."""
    world.tick()
    world.pump()


def test_table_that_stands_answers_a_plan_and_stays_as_it_is(make_world: MakeWorld) -> None:
    world = standing(make_world)
    before = types_of(world, "legacy")
    answer = world.ask("POST", "/api/v1/entities", body(world))
    kinds = [act["kind"] for act in answer.json()["plan"]["actions"]]
    assert (answer.status_code, kinds[0], kinds[-2:]) == (409, "adopt", ["rehash", "read_all"])
    assert "20 rows, matched by id" in answer.json()["plan"]["text"]
    assert (types_of(world, "legacy"), world.slugs) == (before, [])


def test_discovery_alone_never_adopts(make_world: MakeWorld) -> None:
    world = standing(make_world, "CREATE TABLE t (id integer)")
    world.sql("UPDATE bridge.entities SET slug = 'gone'")
    found = world.discover()["t"]
    assert (found["status"], "plan for adopting" in str(found["error"])) == ("failed", True)
    assert types_of(world) == {"id": "integer"}


@pytest.mark.parametrize("strategy", ["hash", "rowversion", "full"])
def test_sync_of_the_unchanged_source_writes_no_row(make_world: MakeWorld, strategy: str) -> None:
    world = standing(make_world, strategy=strategy)
    assert adopt(world).status_code == 201
    finished(world)
    before = kept(world)
    runs = [*world.sync(), *world.sync()]
    assert [written(run) for run in runs] == [0] * len(runs) and all(balanced(run) for run in runs)
    assert any(run["fetched"] == 20 for run in runs)
    assert (kept(world), {own for _, _, own in before.values()}) == (before, {"mine"})


def test_adopted_table_has_what_every_target_has(make_world: MakeWorld) -> None:
    world = standing(make_world)
    adopt(world)
    finished(world)
    found = world.sql("SELECT indexdef FROM pg_indexes WHERE tablename = 'legacy'")
    ends = sorted(row["indexdef"].rsplit("(", 1)[1] for row in found)
    assert ends == ["_bridge_erp_key_hash)", "_bridge_uid)", "id)"]
    lacking = world.sql(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'legacy'::regclass AND NOT attnotnull"
        " AND attname IN ('_bridge_uid', '_bridge_erp_key_hash', '_bridge_erp_data_hash', '_bridge_deleted')"
    )
    assert lacking == []


def test_uids_of_the_table_are_kept_and_missing_ones_given(make_world: MakeWorld) -> None:
    world = standing(
        make_world, LEGACY, FILL, "ALTER TABLE legacy ADD _bridge_uid uuid",
        "UPDATE legacy SET _bridge_uid = gen_random_uuid() WHERE id <= 10",
    )  # fmt: skip
    before = {
        r["id"]: r["_bridge_uid"] for r in world.sql("SELECT id, _bridge_uid FROM legacy WHERE id <= 10")
    }
    adopt(world)
    finished(world)
    after = {row["id"]: row["_bridge_uid"] for row in world.stored("legacy")}
    assert ({key: after[key] for key in before}, len(set(after.values())), None in after.values()) == (
        before,
        20,
        False,
    )


def test_rows_that_differ_and_only_those_are_updated(make_world: MakeWorld) -> None:
    world = standing(
        make_world,
        LEGACY,
        FILL,
        "UPDATE legacy SET note = 'old' WHERE id = 4",
        "DELETE FROM legacy WHERE id = 5",
    )
    adopt(world)
    finished(world)
    run = world.sync()[0]
    assert (run["updated"], run["inserted"], run["unchanged"]) == (1, 1, 18)


def test_rows_the_source_lacks_survive_the_first_pass(make_world: MakeWorld) -> None:
    world = standing(
        make_world, LEGACY, FILL, "INSERT INTO legacy VALUES (99, 'c099', 'mine alone', 1, 'mine')"
    )
    adopt(world, delete_after_missing=1)
    finished(world)
    assert (world.sync()[0]["soft_deleted"], world.sync_now("t")["soft_deleted"]) == (0, 1)


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (("UPDATE legacy SET code = NULL WHERE id = 3",), "1 rows have a NULL in the key code"),
        (("UPDATE legacy SET code = 'c001' WHERE id < 4",), "2 rows repeat the key code"),
        (("ALTER TABLE legacy ALTER amount TYPE real",), "amount is real, ALTER it to numeric(8,2) first"),
        (("ALTER TABLE legacy ALTER amount TYPE date USING now()",), "amount is date, which does not hold"),
        (("ALTER TABLE legacy ADD must integer NOT NULL DEFAULT 1", "ALTER TABLE legacy ALTER must DROP DEFAULT"),
         "must is NOT NULL without a default and not mapped"),
        (("ALTER TABLE legacy ADD _bridge_erp_key_hash text",), "_bridge_erp_key_hash is text and must be a plain uuid"),
        (("ALTER TABLE legacy DROP code",), "key column code is not there"),
        (("ALTER TABLE legacy DROP note", "ALTER TABLE legacy ADD note varchar(40) GENERATED ALWAYS AS ('x') STORED"),
         "note is generated"),
    ],
)  # fmt: skip
def test_table_that_cannot_be_adopted_is_refused_with_every_reason(
    make_world: MakeWorld, statements: tuple[str, ...], said: str
) -> None:
    world = standing(make_world, LEGACY, FILL, *statements)
    before = types_of(world, "legacy")
    answer = world.ask("POST", "/api/v1/entities", body(world, business_keys=["code"]))
    assert (answer.status_code, said in answer.text) == (409, True), answer.text
    assert (types_of(world, "legacy"), world.slugs) == (before, [])


def test_wider_types_of_the_table_stay_and_narrower_ones_widen(make_world: MakeWorld) -> None:
    world = standing(
        make_world,
        LEGACY,
        FILL,
        "ALTER TABLE legacy ALTER id TYPE bigint, ALTER note TYPE text, ALTER code TYPE varchar(9)",
    )
    adopt(world)
    finished(world)
    kinds = types_of(world, "legacy")
    assert (kinds["id"], kinds["note"], kinds["code"]) == ("bigint", "text", "character varying(20)")
    assert [written(run) for run in world.sync()] == [0]
    world.discover()
    assert world.entity("t")["warnings"] == []


def test_row_that_comes_while_the_table_is_hashed_is_hashed_too(make_world: MakeWorld) -> None:
    world = standing(make_world)
    adopt(world)
    world.tick()
    world.compose(chunk_rows=5)
    rehash = world.app.runner.target.rehash
    came: list[int] = []

    def intruding(claim: Any) -> Any:
        came.append(1)
        if len(came) == 3:
            world.sql("INSERT INTO legacy (id, code) VALUES (0, 'first')")
        return rehash(claim)

    object.__setattr__(world.app.runner.target, "rehash", intruding)
    world.pump()
    assert world.state("t")["rehash"] is None
    assert all(row["_bridge_uid"] and row["_bridge_erp_key_hash"] for row in world.stored("legacy"))


@pytest.mark.parametrize("point", ["rehash.before_commit", "rehash.after_commit"])
def test_killed_adoption_goes_on_where_it_was(make_world: MakeWorld, point: str) -> None:
    world = standing(make_world)
    adopt(world)
    world.tick()
    assert kill_at(world, point)
    release(world)
    world.pump()
    assert [written(run) for run in world.sync()] == [0]


def test_comment_of_the_table_stays_behind_ours(make_world: MakeWorld) -> None:
    world = standing(make_world, LEGACY, FILL, "COMMENT ON TABLE legacy IS 'ask the sales team'")
    adopt(world)
    said = world.sql("SELECT obj_description('legacy'::regclass) AS said")[0]["said"]
    assert said.endswith("ask the sales team") and world.uid("t") in said
    finished(world)
    world.discover()
    assert [written(run) for run in world.sync()] == [0]


def test_every_kind_of_value_is_hashed_as_a_sync_hashes_it(make_world: MakeWorld) -> None:
    """A target that Tributary filled, taken for somebody else's: the hashes that come out are those that were."""
    from infra.local.sample_erp import TableSpec, parse_columns

    columns = parse_columns(
        "id NUMBER(9) NOT NULL\n a VARCHAR2(40)\n b NUMBER\n c NUMBER(12,4)\n d DATE\n e TIMESTAMP WITH TIME ZONE\n"
        " f BINARY_DOUBLE\n g RAW(8)\n h BOOLEAN\n i UUID\n j NUMBER(18)"
    )
    first = {"id": 1, "a": "é \\ \" ,", "b": 12.5, "c": -0.05, "d": "2024-02-29T23:59:59", "e": "2024-01-01T00:00:00.123456Z",
             "f": 1e-7, "g": "00ff", "h": True, "i": "6f2e3a58-9d3f-4f9f-8f15-0f1d7e9f6f00", "j": 10**17}  # fmt: skip
    blank = {"id": 2} | dict.fromkeys("abcdefghij")
    edge = first | {
        "id": 3,
        "a": "",
        "b": 1e20,
        "c": 100,
        "d": "1582-10-04T00:00:00",
        "f": 1e300,
        "h": False,
        "j": -1,
    }
    world = make_world(
        [TableSpec(slug="t", keys=("id",), strategy="hash", columns=columns)], {"t": [first, blank, edge]}
    )
    assert world.sync()[0]["inserted"] == 3, world.rejects("t")
    before = {
        row["id"]: (row["_bridge_erp_key_hash"], bytes(row["_bridge_erp_data_hash"]))
        for row in world.stored("t")
    }
    world.sql("UPDATE t SET _bridge_erp_key_hash = gen_random_uuid(), _bridge_erp_data_hash = '\\x00'")
    world.sql("UPDATE bridge.erp_sync_state SET rehash = 'adopt'")
    finished(world)
    after = {
        row["id"]: (row["_bridge_erp_key_hash"], bytes(row["_bridge_erp_data_hash"]))
        for row in world.stored("t")
    }
    assert after == before
