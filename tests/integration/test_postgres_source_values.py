"""Every kind of value a PostgreSQL source can hold arrives exactly, or is rejected under a code of its own."""

import pytest

from tests.fixtures_pg_source import PgSource
from tests.integration.pg_world import MakePgWorld, make_pg_world

__all__ = ("make_pg_world",)

# Type, value as a literal, and what the target prints for it; "!code" where the row rejects.
EXACT = [
    ("boolean", "true", "true"),
    ("smallint", "-32768", "-32768"),
    ("integer", "2147483647", "2147483647"),
    ("bigint", "-9223372036854775808", "-9223372036854775808"),
    ("bigint", "9007199254740993", "9007199254740993"),
    ("xid8", "18446744073709551615", "18446744073709551615"),
    ("oid", "4294967295", "4294967295"),
    ("numeric(38,10)", "1234567890123456789012345678.0123456789", "1234567890123456789012345678.0123456789"),
    ("numeric", "0.1000000000000000000000000000000000000000000000001", None),
    ("numeric(6,2)", "-0.10", "-0.10"),
    ("real", "1e-45", "1e-45"),
    ("double precision", "0.1", "0.1"),
    ("double precision", "1.7976931348623157e308", "1.7976931348623157e+308"),
    ("double precision", "5e-324", "5e-324"),
    ("money", "-12.34", "-12.34"),
    ("text", "  blanks stay  ", "  blanks stay  "),
    ("text", "", ""),
    ("text", "NULL \\N \\. \"quoted\", 'so' {and} [so] \\", "NULL \\N \\. \"quoted\", 'so' {and} [so] \\"),
    ("text", "tab\tline\nreturn\r", "tab\tline\nreturn\r"),
    ("text", "Å Å \u00a0 \u202e \U0001f4a9 \ufeff", "Å Å \u00a0 \u202e \U0001f4a9 \ufeff"),
    ("varchar(3)", "åäö", "åäö"),
    ("character(5)", "ab", "ab"),
    ("bytea", "\\x00ff5c0a", "\\x00ff5c0a"),
    ("bytea", "\\x", "\\x"),
    ("date", "0001-01-01", "0001-01-01"),
    ("date", "9999-12-31", "9999-12-31"),
    ("timestamp", "2024-02-29 23:59:59.999999", "2024-02-29 23:59:59.999999"),
    ("timestamptz", "2024-10-27 02:30:00.000001+02", "2024-10-27 00:30:00.000001+00"),
    ("time", "24:00:00", "24:00:00"),
    ("timetz", "12:00:00.5+05:30", "12:00:00.5+05:30"),
    ("interval", "1 mon -2 days 03:00:00.000001", "P1M-2DT3H0.000001S"),
    ("uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("jsonb", '{"a": [1.10, null, "x\\u00e9"], "b": {}}', '{"a": [1.10, null, "xé"], "b": {}}'),
    ("jsonb", '"123"', '"123"'),
    ("jsonb", '"text"', '"text"'),
    ("jsonb", "null", "null"),
    ("jsonb", "12345678901234567890.123456789", "12345678901234567890.123456789"),
    ("json", '{ "a" :\n\t1 }', '{"a": 1}'),
    ("integer[]", "{1,NULL,3}", "[1, null, 3]"),
    ("text[]", '{"a,b",NULL,"{}"}', '["a,b", null, "{}"]'),
    ("numeric[]", "{1.50,NaN}", '[1.50, "NaN"]'),
    ("int4range", "[1,5)", "[1,5)"),
    ("inet", "10.0.0.1/8", "10.0.0.1/8"),
    ("macaddr", "08:00:2b:01:02:03", "08:00:2b:01:02:03"),
    ("bit(3)", "101", "101"),
    ("point", "(1.5,2)", "(1.5,2)"),
    ("tsvector", "'a':1 'b':2", "'a':1 'b':2"),
    ("mood", "so, so", "so, so"),
    ("pair", '(1,"a b")', '{"a": 1, "b": "a b"}'),
    ("posint", "7", "7"),
]  # fmt: skip
REJECTED = [
    ("numeric", "NaN", "!not_finite"),
    ("numeric(6,2)", "NaN", "!not_finite"),
    ("date", "infinity", "!bad_date"),
    ("date", "0044-03-15 BC", "!bc_date"),
    ("timestamp", "-infinity", "!bad_date"),
    ("timestamptz", "infinity", "!bad_date"),
    ("json", '{"a": 1, "a": 2}', "!bad_json"),
    ("json", '"\\u0000"', "!nul"),
]
DECLARED = [
    ("double precision", "NaN", "NaN"),  # the target's type has it
    ("double precision", "-Infinity", "-Infinity"),
    ("real", "Infinity", "Infinity"),
]
CASES = EXACT + REJECTED + DECLARED


@pytest.fixture
def cells(pg_source: PgSource) -> PgSource:
    """One wide table: row i holds a value in column c<i> alone."""
    pg_source.sql("CREATE TYPE mood AS ENUM ('sad', 'so, so')")
    pg_source.sql("CREATE TYPE pair AS (a integer, b text)")
    pg_source.sql("CREATE DOMAIN posint AS integer CHECK (VALUE > 0)")
    columns = ", ".join(f"c{i} {kind}" for i, (kind, _, _) in enumerate(CASES))
    pg_source.sql(f"CREATE TABLE cells (id integer PRIMARY KEY, {columns})")
    for i, (kind, value, _) in enumerate(CASES):
        pg_source.sql(f"INSERT INTO cells (id, c{i}) VALUES (%s, %s::{kind})", i, value)
    return pg_source


def test_values_arrive_exactly_or_reject(cells: PgSource, make_pg_world: MakePgWorld) -> None:
    world = make_pg_world(default_page_size=100)
    run = world.sync_now("cells")
    rejects = {int(row["key"]): f"!{row['code']}" for row in world.rejects("cells")}
    printed = ", ".join(f"c{i}::text" for i in range(len(CASES)))
    world.sql(
        "ALTER DATABASE " + world.sql("SELECT current_database() AS d")[0]["d"] + " SET timezone = 'UTC'"
    )
    landed = {row["id"]: row for row in world.sql(f"SELECT id, {printed} FROM public.cells")}
    found = {i: rejects.get(i) or landed[i][f"c{i}"] for i in range(len(CASES))}
    wanted = {i: value if told is None else told for i, (_, value, told) in enumerate(CASES)}
    assert {CASES[i]: found[i] for i in found if found[i] != wanted[i]} == {}
    assert (run["inserted"], run["rejected"]) == (len(EXACT) + len(DECLARED), len(REJECTED))


def test_sessions_own_settings_change_no_value(cells: PgSource, make_pg_world: MakePgWorld) -> None:
    name = cells.sql("SELECT current_database() AS d")[0]["d"]
    odd = {"timezone": "Asia/Kathmandu", "datestyle": "SQL, DMY", "intervalstyle": "sql_standard",
           "bytea_output": "escape", "extra_float_digits": "-3", "search_path": "nowhere"}  # fmt: skip
    plain = make_pg_world(default_page_size=100)
    plain.sync_now("cells")
    for setting, value in odd.items():
        cells.sql(f"ALTER DATABASE {name} SET {setting} = '{value}'")
    plain.app.connectors.close()
    assert plain.sync_now("cells")["updated"] == 0
