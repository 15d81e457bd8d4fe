"""The PostgreSQL adapter by itself: what it offers, how it walks, whom it lets in, and what it leaves behind."""

import json
import random
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from shared.adapters.postgres_source.address import parse_address
from shared.adapters.postgres_source.source import PostgresSource
from shared.errors import (
    ConfigurationError,
    SourceProtocolError,
    SourceRefusedError,
    SourceUnavailableError,
)
from shared.sync.decode_columns import read_columns
from shared.sync.fetch import PageRequest
from tests.fixtures_pg_source import OpenPgSource, PgSource

HOSTS = ("127.0.0.1",)


def walk(
    source: PostgresSource, slug: str, size: int = 3, between: Any = None, **ask: Any
) -> list[dict[str, Any]]:
    """Every row of a walk to its end; `between` is called after each page."""
    rows, cursor = [], ask.pop("cursor", None)
    while True:
        page = 1 if cursor is None else None
        body = json.loads(source.fetch_page(PageRequest(slug, size, page=page, cursor=cursor, **ask)))
        rows += [row["data"] for row in body["rows"]]
        cursor = body["next_cursor"]
        if cursor is None:
            return rows
        if between:
            between()


# What it offers


def test_catalogs_describe_keys_types_and_parents(pg_source: PgSource, open_pg_source: OpenPgSource) -> None:
    pg_source.sql("CREATE SCHEMA sales CREATE TABLE customers (a int, b text, PRIMARY KEY (b, a))")
    pg_source.sql("CREATE TABLE orders (id bigint PRIMARY KEY, ca int, cb text, boss bigint REFERENCES orders,"
                  " FOREIGN KEY (cb, ca) REFERENCES sales.customers (b, a))")  # fmt: skip
    apis = {api.slug: api for api in open_pg_source().list_apis()}
    assert apis["sales.customers"].business_key_columns == ("b", "a")
    orders = apis["orders"]
    assert next((c.name, c.data_type, c.is_nullable) for c in orders.columns) == ("id", "bigint", False)
    assert {(p.columns, p.slug, p.parent_columns) for p in orders.parents} == {
        (("cb", "ca"), "sales.customers", ("b", "a")), (("boss",), "orders", ("id",))}  # fmt: skip
    assert (orders.delta_strategy, orders.dialect, orders.version) == ("hash", "postgres", None)


def test_only_tables_with_a_key_that_may_be_read_are_offered(
    pg_source: PgSource, open_pg_source: OpenPgSource
) -> None:
    pg_source.sql("CREATE TABLE keyless (a int); CREATE VIEW seen AS SELECT 1 AS a")
    pg_source.sql("CREATE TABLE parts (a int PRIMARY KEY) PARTITION BY RANGE (a)")
    pg_source.sql("CREATE TABLE part_one PARTITION OF parts FOR VALUES FROM (0) TO (10)")
    pg_source.sql(
        "CREATE TABLE base (a int PRIMARY KEY); CREATE TABLE child (PRIMARY KEY (a)) INHERITS (base)"
    )
    pg_source.sql(
        "INSERT INTO parts VALUES (1), (2); INSERT INTO base VALUES (1); INSERT INTO child VALUES (1)"
    )
    source = open_pg_source()
    assert [api.slug for api in source.list_apis()] == ["base", "child", "parts"]
    assert len(walk(source, "base")) == 1 and len(walk(source, "parts")) == 2


def test_columns_that_may_not_be_read_are_not_there(
    pg_source: PgSource, open_pg_source: OpenPgSource
) -> None:
    reader = _role(pg_source)
    pg_source.sql(
        "CREATE TABLE people (id int PRIMARY KEY, name text, wage numeric); CREATE TABLE secret (id int PRIMARY KEY)"
    )
    pg_source.sql(f"INSERT INTO people VALUES (1, 'Ada', 9); GRANT SELECT (id, name) ON people TO {reader}")
    source = open_pg_source({"secret": lambda: json.dumps({"user": reader, "password": "pw"})})
    assert [[c.name for c in api.columns] for api in source.list_apis()] == [["id", "name"]]
    assert walk(source, "people") == [{"id": 1, "name": "Ada"}]


@pytest.mark.parametrize(
    ("column", "trigger", "strategy"),
    [
        ("xid8 NOT NULL DEFAULT pg_current_xact_id()", "BEFORE INSERT OR UPDATE ON t", "rowversion"),
        ("xid8 NOT NULL DEFAULT pg_current_xact_id()", "BEFORE INSERT ON t", "hash"),
        ("xid8 NOT NULL DEFAULT pg_current_xact_id()", "BEFORE UPDATE OF a ON t", "hash"),
        ("xid8 DEFAULT pg_current_xact_id()", "BEFORE INSERT OR UPDATE ON t", "hash"),
        ("xid8 NOT NULL DEFAULT '3'", "BEFORE UPDATE ON t", "hash"),
    ],
)
def test_transaction_ids_count_only_where_a_trigger_keeps_them(
    pg_source: PgSource, open_pg_source: OpenPgSource, column: str, trigger: str, strategy: str
) -> None:
    pg_source.track()
    pg_source.sql(f"CREATE TABLE t (id int PRIMARY KEY, a int, row_version {column})")
    pg_source.sql(f"CREATE TRIGGER v {trigger} FOR EACH ROW EXECUTE FUNCTION tributary.set_version()")
    (api,) = open_pg_source().list_apis()
    assert api.delta_strategy == strategy and ("hash is used" in api.notes[0]) == (strategy == "hash")


def test_trigger_that_knows_no_transaction_ids_keeps_no_version(
    pg_source: PgSource, open_pg_source: OpenPgSource
) -> None:
    pg_source.sql(
        "CREATE TABLE t (id int PRIMARY KEY, at timestamptz, v xid8 NOT NULL DEFAULT pg_current_xact_id())"
    )
    pg_source.sql("CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS"
                  " 'BEGIN NEW.at := now(); RETURN NEW; END'")  # fmt: skip
    pg_source.sql("CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION stamp()")
    (api,) = open_pg_source().list_apis()
    assert (api.delta_strategy, "hash is used" in api.notes[0]) == ("hash", True)


def test_version_without_an_index_is_pointed_out(pg_source: PgSource, open_pg_source: OpenPgSource) -> None:
    pg_source.sql("CREATE TABLE t (id int PRIMARY KEY)")
    pg_source.versioned("t")
    source = open_pg_source()
    assert "no index begins with it" in source.list_apis()[0].notes[0]
    pg_source.sql("CREATE INDEX ON t (row_version, id)")
    assert source.list_apis()[0].notes == ()


# How it walks


KEYS = {
    "int": "i", "bigint": "i * 1000000007::bigint", "numeric": "i / 7.0", "double precision": "i / 7.0::float8", "real": "i / 8.0::float4",
    "text": "md5(i::text)", "varchar(40)": "md5(i::text)", "character(12)": "'x' || i", "date": "date '2020-01-01' + i",
    "timestamp": "timestamp '2020-01-01 00:00:00.000001' + i * interval '1.000001 s'", "bytea": "decode(md5(i::text), 'hex')",
    "timestamptz": "timestamptz '2020-01-01 00:00:00.000001Z' + i * interval '7 h'", "uuid": "md5(i::text)::uuid",
    "time": "time '00:00' + i * interval '1 s'", "interval": "i * interval '1 mon'", "inet": "inet '10.0.0.0' + i",
    "bit(8)": "i::bit(8)", "xid8": "i::text::xid8", "mood": "(enum_range(null::mood))[i]", "posint": "i",
}  # fmt: skip


def test_walk_by_each_kind_of_key_meets_every_row_once(
    pg_source: PgSource, open_pg_source: OpenPgSource
) -> None:
    pg_source.sql(f"CREATE TYPE mood AS ENUM ({', '.join(repr(f'm{20 - i}') for i in range(20))})")
    pg_source.sql("CREATE DOMAIN posint AS int CHECK (VALUE > 0)")
    source = open_pg_source()
    for number, (kind, value) in enumerate(KEYS.items()):
        pg_source.sql(f"CREATE TABLE t{number} (k {kind} PRIMARY KEY, i int)")
        pg_source.sql(f"INSERT INTO t{number} SELECT {value}, i FROM generate_series(1, 20) i")
        met = [row["i"] for row in walk(source, f"t{number}")]
        assert (kind, sorted(met)) == (kind, list(range(1, 21)))


def test_infinite_and_not_a_number_keys_are_walked_through(
    pg_source: PgSource, open_pg_source: OpenPgSource
) -> None:
    pg_source.sql("CREATE TABLE t (k double precision, at timestamptz, PRIMARY KEY (k, at))")
    pg_source.sql("INSERT INTO t SELECT k, a FROM unnest('{-Infinity,-1,0,1,Infinity,NaN}'::float8[]) k,"
                  " unnest('{-infinity,2020-01-01 BC,infinity}'::timestamptz[]) a")  # fmt: skip
    assert len(walk(open_pg_source(), "t", size=1)) == 18


def test_walk_follows_each_collation_by_its_own_index(
    pg_source: PgSource, open_pg_source: OpenPgSource
) -> None:
    known = pg_source.sql("SELECT quote_ident(collname) AS c FROM pg_collation WHERE collname IN"
                          " ('C', 'en_US.utf8', 'C.utf8', 'und-x-icu', 'sv-x-icu', 'ucs_basic') AND"
                          " collencoding IN (-1, 6)")  # fmt: skip
    words = _words()
    source = open_pg_source()
    for number, row in enumerate([*known, *_blind_collation(pg_source)]):
        pg_source.sql(
            f"CREATE TABLE w{number} (a text COLLATE {row['c']}, b text COLLATE {row['c']}, PRIMARY KEY (a, b))"
        )
        pg_source.sql(f"INSERT INTO w{number} SELECT a, b FROM unnest(%s::text[]) a, unnest(%s::text[]) b"
                      " ON CONFLICT DO NOTHING", words, words[:5])  # fmt: skip
        stored = pg_source.sql(f"SELECT a, b FROM w{number} ORDER BY a, b")
        assert walk(source, f"w{number}", size=7) == stored, row["c"]
        plan = pg_source.sql(
            f"EXPLAIN (FORMAT json) SELECT * FROM w{number} WHERE (a, b) > ('m', 'm') ORDER BY a, b LIMIT 7"
        )
        assert "Sort" not in str(plan)


@pytest.mark.parametrize("kept", [None, "add_version", "track"])
def test_parts_hold_every_row_once(
    pg_source: PgSource, open_pg_source: OpenPgSource, kept: str | None
) -> None:
    pg_source.track()
    pg_source.sql("CREATE TABLE t (a text, b int, PRIMARY KEY (a, b))")
    pg_source.sql("INSERT INTO t SELECT 'k' || i % 7, i FROM generate_series(1, 100) i")
    if kept:
        pg_source.sql(f"SELECT tributary.{kept}('t')")
    pg_source.sql("ANALYZE t")
    source = open_pg_source()
    cuts = [None, *source.ranges("t", 4, {}), None]
    parts = [walk(source, "t", cursor=begin, until=end) for begin, end in pairwise(cuts)]
    assert [len(part) for part in parts] == [25, 25, 25, 25]
    assert [row["b"] for part in parts for row in part] == [row["b"] for row in walk(source, "t")]


def test_table_of_fewer_rows_than_parts_is_not_cut(pg_source: PgSource, open_pg_source: OpenPgSource) -> None:
    pg_source.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
    assert list(open_pg_source().ranges("t", 4, {})) == []


def test_key_types_with_operators_of_their_own_are_refused(
    pg_source: PgSource, open_pg_source: OpenPgSource
) -> None:
    pg_source.sql("CREATE TABLE t (k int[] PRIMARY KEY)")
    with pytest.raises(
        ConfigurationError, match=r"t\.k: a primary key of type integer\[\] cannot be paged by"
    ):
        walk(open_pg_source(), "t")


@pytest.mark.parametrize("kept", ["add_version", "track"])
def test_rows_that_stand_still_are_met_once_whatever_moves_around_them(
    pg_source: PgSource, open_pg_source: OpenPgSource, kept: str
) -> None:
    pg_source.track()
    pg_source.sql("CREATE TABLE t (id int PRIMARY KEY, n int)")
    pg_source.sql("INSERT INTO t SELECT i, 0 FROM generate_series(1, 60) i")
    pg_source.sql(f"SELECT tributary.{kept}('t')")
    chance = random.Random(7)

    def meddle() -> None:
        moving = [i for i in range(1, 61) if i % 3 == 0]
        for action in ("UPDATE t SET n = n + 1 WHERE id = %s", "DELETE FROM t WHERE id = %s",
                       "INSERT INTO t VALUES (%s, 0) ON CONFLICT DO NOTHING"):  # fmt: skip
            pg_source.sql(action, chance.choice(moving))

    still = {i for i in range(1, 61) if i % 3}
    for ask in ({}, {"rowversion_gt": "3"}):
        met = [row["id"] for row in walk(open_pg_source(), "t", between=meddle, **ask)]
        assert still <= set(met) and all(met.count(i) == 1 for i in still)


def test_delta_ends_although_its_rows_keep_changing(
    pg_source: PgSource, open_pg_source: OpenPgSource
) -> None:
    pg_source.sql("CREATE TABLE t (id int PRIMARY KEY, n int)")
    pg_source.sql("INSERT INTO t SELECT i, 0 FROM generate_series(1, 9) i")
    pg_source.versioned("t")

    def bump() -> None:
        pg_source.sql("UPDATE t SET n = n + 1")

    assert len(walk(open_pg_source(), "t", size=2, between=bump, rowversion_gt="3")) == 2


def test_safe_version_stays_below_every_open_transaction(
    pg_source: PgSource, open_pg_source: OpenPgSource
) -> None:
    pg_source.sql("CREATE TABLE t (id int PRIMARY KEY)")
    pg_source.versioned("t")
    with pg_source.transaction() as held:
        held.execute("INSERT INTO t VALUES (1)")
        own = held.execute("SELECT pg_current_xact_id()::text::bigint AS x").fetchone()
        pg_source.sql("INSERT INTO t VALUES (2)")
        body = json.loads(open_pg_source().fetch_page(PageRequest("t", 9, page=1)))
    assert own and int(body["safe_rowversion"]) < own["x"] < int(body["rows"][0]["data"]["row_version"])


def test_page_of_large_rows_ends_early_and_loses_none(
    pg_source: PgSource, open_pg_source: OpenPgSource
) -> None:
    pg_source.sql("CREATE TABLE t (id int PRIMARY KEY, body text)")
    pg_source.sql("INSERT INTO t SELECT i, repeat('x', 3000 * i) FROM generate_series(1, 20) i")
    rows = walk(open_pg_source(page_bytes=20_000), "t", size=50)
    assert [(row["id"], len(row["body"])) for row in rows] == [(i, 3000 * i) for i in range(1, 21)]


def test_keys_alone_are_read_where_only_keys_are_asked_for(
    pg_source: PgSource, open_pg_source: OpenPgSource
) -> None:
    pg_source.sql("CREATE TABLE t (id int PRIMARY KEY, body text); INSERT INTO t VALUES (1, 'x')")
    pg_source.versioned("t")
    (row,) = walk(open_pg_source(), "t", fields="keys")
    assert set(row) == {"id", "row_version"}


def test_columns_that_come_and_go_mid_walk_do_not_break_it(
    pg_source: PgSource, open_pg_source: OpenPgSource
) -> None:
    pg_source.sql('CREATE TABLE t (id int PRIMARY KEY, a int, "data" int, "rows""]," text)')
    pg_source.sql("INSERT INTO t SELECT i, i, i, 'x' FROM generate_series(1, 4) i")
    changes = iter(["ALTER TABLE t DROP COLUMN a", "ALTER TABLE t ADD COLUMN b int", "SELECT 1"])
    rows = walk(open_pg_source(), "t", size=1, between=lambda: pg_source.sql(next(changes)))
    assert [row["id"] for row in rows] == [1, 2, 3, 4] and "a" in rows[0] and "a" not in rows[1]


@pytest.mark.parametrize(
    "cursor", ["", "nonsense", '{"key":[]}', '{"key":["1","2"]}', '{"key":["1"],"version":"3"}']
)
def test_cursor_that_does_not_fit_is_refused(
    pg_source: PgSource, open_pg_source: OpenPgSource, cursor: str
) -> None:
    pg_source.sql("CREATE TABLE t (id int PRIMARY KEY)")
    with pytest.raises(SourceProtocolError, match="cursor does not fit"):
        open_pg_source().fetch_page(PageRequest("t", 9, cursor=cursor))


def test_values_from_outside_are_literals(pg_source: PgSource, open_pg_source: OpenPgSource) -> None:
    pg_source.sql("CREATE TABLE t (k text PRIMARY KEY); INSERT INTO t VALUES ('a'), ('z')")
    source, nasty = open_pg_source(), "a'); DROP TABLE t; --\\"
    cursor = json.dumps({"key": [nasty]})
    assert len(json.loads(source.fetch_page(PageRequest("t", 9, cursor=cursor)))["rows"]) == 1
    with pytest.raises(ConfigurationError):
        source.probe("t", None, {"rowversion_column": 'k"; DROP TABLE t; --'})
    with pytest.raises(SourceRefusedError):
        source.probe("t; DROP TABLE t", None, {})
    assert pg_source.sql("SELECT count(*) AS n FROM t") == [{"n": 2}]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [({"rowversion_column": "xmin"}, "xmin is never a row version"), ({"rowversion_column": "note"}, "is no row version"),
     ({"where": "true"}, "'where' means nothing")],
)  # fmt: skip
def test_parameters_are_checked_by_name(
    pg_source: PgSource, open_pg_source: OpenPgSource, parameters: dict[str, str], words: str
) -> None:
    pg_source.sql("CREATE TABLE t (id int PRIMARY KEY, note text)")
    with pytest.raises(ConfigurationError, match=words):
        open_pg_source().fetch_page(PageRequest("t", 9, page=1, parameters=parameters))


# Whom it lets in, and what it leaves behind


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgres://db.example.com/x", "not in CONNECTOR_HOSTS"),
        ("postgres://127.0.0.1", "not the address of one"),
        ("postgres://user:pw@127.0.0.1/x", "not the address of one"),
        ("postgres://127.0.0.1,evil.example.com/x", "not the address of one|not a URL"),
        ("postgres://%2Fvar%2Frun/x", "not the address of one"),
        ("postgres:///x", "not the address of one"),
        ("postgres://127.0.0.1/x/y", "not the address of one"),
        ("postgres://127.0.0.1:99999/x", "not a URL"),
        ("mysql://127.0.0.1/x", "not the address of one"),
        ("postgres://127.0.0.1/x?options=-c%20role=postgres", "option 'options' is unknown"),
        ("postgres://pg.example.com/x?sslmode=disable", "in the clear"),
        ("postgres://pg.example.com/x?sslmode=prefer", "in the clear"),
    ],
)
def test_address_must_be_one_allowed_encrypted_database(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        parse_address(url, (*HOSTS, "pg.example.com"))


def test_encryption_is_verified_unless_the_server_is_here() -> None:
    modes = [parse_address(f"postgres://{host}/x", ("pg.example.com", *HOSTS)).sslmode
             for host in ("pg.example.com", "127.0.0.1")]  # fmt: skip
    assert modes == ["verify-full", "prefer"]


def test_server_without_tls_is_refused_where_tls_is_asked_for(
    open_pg_source: OpenPgSource, pg_source: PgSource
) -> None:
    source = open_pg_source({"base_url": pg_source.base_url + "?sslmode=require"})
    with pytest.raises(SourceRefusedError, match="no encrypted connection"):
        source.check()


@pytest.mark.parametrize("address", ["169.254.169.254", "168.63.129.16", "0.0.0.0"])
def test_name_that_leads_to_a_metadata_service_is_never_called(
    open_pg_source: OpenPgSource, address: str
) -> None:
    access = {"base_url": "postgres://pg.example.com/x", "allowed_hosts": ("pg.example.com",)}
    with pytest.raises(SourceRefusedError, match="never calls"):
        open_pg_source(access, resolver=lambda _host, _port: [address]).check()


def test_refused_password_is_read_from_the_vault_once_more(
    pg_source: PgSource, open_pg_source: OpenPgSource
) -> None:
    held = {"value": json.dumps({"user": "tributary", "password": "canary-wrong"})}
    forgotten = lambda: held.update(value=pg_source.secret)  # noqa: E731
    open_pg_source({"secret": lambda: held["value"], "forget_secret": forgotten}).check()
    wrong = json.dumps({"user": "tributary", "password": "canary-wrong"})
    with pytest.raises(SourceRefusedError, match="refuses the sign-in") as caught:
        open_pg_source({"secret": lambda: wrong}).check()
    assert "canary" not in str(caught.value) + caught.value.hint and caught.value.__cause__ is None


@pytest.mark.parametrize("secret", ["plain", "{}", '{"user": "x"}', '{"user": "", "password": "y"}'])
def test_secret_must_be_json_with_user_and_password(open_pg_source: OpenPgSource, secret: str) -> None:
    with pytest.raises(ConfigurationError, match="no JSON with user and password") as caught:
        open_pg_source({"secret": lambda: secret}).check()
    assert "plain" not in str(caught.value)


def test_server_that_is_not_there_is_a_matter_of_patience(
    pg_source: PgSource, open_pg_source: OpenPgSource
) -> None:
    with pytest.raises(SourceUnavailableError, match="could not be reached"):
        open_pg_source({"base_url": "postgres://127.0.0.1:1/x"}).check()


def test_policy_that_hides_rows_is_an_error_not_a_deletion(
    pg_source: PgSource, open_pg_source: OpenPgSource
) -> None:
    reader = _role(pg_source)
    pg_source.sql(f"CREATE TABLE t (id int PRIMARY KEY, who text); GRANT SELECT ON t TO {reader}")
    pg_source.sql("INSERT INTO t VALUES (1, 'me'), (2, 'you'); ALTER TABLE t ENABLE ROW LEVEL SECURITY")
    pg_source.sql("CREATE POLICY mine ON t USING (who = 'me')")
    source = open_pg_source({"secret": lambda: json.dumps({"user": reader, "password": "pw"})})
    with pytest.raises(SourceRefusedError, match="42501") as caught:
        walk(source, "t")
    assert "row-level security" in caught.value.hint


def test_pages_need_no_session_of_their_own(pg_source: PgSource, open_pg_source: OpenPgSource) -> None:
    pg_source.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 10)")

    def end_sessions() -> None:
        pg_source.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tributary'"
                      " AND datname = current_database()")  # fmt: skip

    assert len(walk(open_pg_source(), "t", between=end_sessions)) == 10


def test_nothing_is_left_in_a_session_that_others_use_next(
    pg_source: PgSource, open_pg_source: OpenPgSource
) -> None:
    pg_source.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
    source = open_pg_source()
    walk(source, "t", size=1)
    with pytest.raises(SourceRefusedError):
        source.fetch_page(PageRequest("nothing", 1, page=1))
    ((_, kept),) = source._sessions._idle
    changed = kept.execute("SELECT name FROM pg_settings WHERE source = 'session'").fetchall()
    held = kept.execute("SELECT count(*) AS n FROM pg_prepared_statements").fetchall()
    assert (changed, held) == (
        [],
        [{"n": 0}],
    ) and kept.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_source_is_never_written_to(pg_source: PgSource, open_pg_source: OpenPgSource) -> None:
    pg_source.sql("CREATE TABLE t (id int PRIMARY KEY)")
    with open_pg_source()._sessions.snapshot() as snapshot:
        told = snapshot.connection.execute("SELECT current_setting('transaction_read_only') AS r").fetchone()
        limits = snapshot.connection.execute("SELECT current_setting('statement_timeout') AS t").fetchone()
    assert (told, limits) == ({"r": "on"}, {"t": "1min"})


def test_lock_at_the_source_is_waited_for_and_then_left(
    pg_source: PgSource, open_pg_source: OpenPgSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    pg_source.sql("CREATE TABLE t (id int PRIMARY KEY)")
    source = open_pg_source()
    source.probe("t", None, {})
    with pg_source.transaction() as held:
        held.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        with source._sessions.snapshot() as snapshot:
            snapshot.connection.execute("SET LOCAL lock_timeout = '50ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                snapshot.connection.execute("SELECT * FROM public.t")
    assert walk(source, "t") == []


def _role(source: PgSource) -> str:
    """A user of the source's server with no rights of its own."""
    name = f"reader_{random.getrandbits(40):x}"
    source.sql(f"CREATE ROLE {name} LOGIN PASSWORD 'pw'")
    return name


def _words() -> list[str]:
    chance = random.Random(3)
    letters = "aAbBåÄöÖzZ09 -_.éɛß\u0301Ⅳ漢\U0001f4a9"
    return sorted({"".join(chance.choices(letters, k=chance.randint(0, 4))) for _ in range(60)})


def _blind_collation(source: PgSource) -> list[dict[str, str]]:
    """A collation that takes "a" and "A" for the same, where the server has ICU."""
    try:
        source.sql(
            "CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
        )
    except psycopg.errors.FeatureNotSupported:
        return []
    return [{"c": "blind"}]


def test_pages_of_plain_rows_go_straight_to_columns(
    pg_source: PgSource, open_pg_source: OpenPgSource
) -> None:
    pg_source.sql(
        "CREATE TABLE t (id int PRIMARY KEY, n numeric, at timestamptz, tags text[], doc jsonb, note text)"
    )
    pg_source.sql(
        "INSERT INTO t SELECT i, i / 3.0, now(), '{a,\"b\\\\\"}', '{\"a\": [1]}', E'\"\\\\\\t' FROM generate_series(1, 9) i"
    )
    pg_source.track("t")
    rows, _ = read_columns(open_pg_source().fetch_page(PageRequest("t", 5, page=1)))
    assert rows.height == 5 and {name for _, name in rows.cells} >= {"id", "tags", "doc", "row_version"}
