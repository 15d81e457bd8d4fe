"""Source type names become the column types that hold their values exactly."""

import pytest

from shared.sync.model import ColumnType, Kind
from shared.sync.types import column_type, sql_type, widens

T = ColumnType
ORACLE = {
    "VARCHAR2(30)": T(Kind.TEXT, length=30),
    "VARCHAR2(30 CHAR)": T(Kind.TEXT, length=30),
    "varchar2 ( 30 byte )": T(Kind.TEXT, length=30),
    "NVARCHAR2(10)": T(Kind.TEXT, length=10),
    "CHAR(2)": T(Kind.TEXT, length=2),
    "CHAR": T(Kind.TEXT, length=1),
    "CLOB": T(Kind.TEXT),
    "NUMBER": T(Kind.DECIMAL),
    "NUMBER(4)": T(Kind.INTEGER, bits=16),
    "NUMBER(9,0)": T(Kind.INTEGER, bits=32),
    "NUMBER(18)": T(Kind.INTEGER),
    "NUMBER(19)": T(Kind.DECIMAL, precision=19, scale=0),
    "NUMBER(12, 2)": T(Kind.DECIMAL, precision=12, scale=2),
    "NUMBER(*,2)": T(Kind.DECIMAL, precision=38, scale=2),
    "NUMBER(*,0)": T(Kind.DECIMAL, precision=38, scale=0),
    "NUMBER(5,-2)": T(Kind.INTEGER, bits=32),
    "NUMBER(2,4)": T(Kind.DECIMAL, precision=4, scale=4),
    "FLOAT(126)": T(Kind.DECIMAL),
    "BINARY_FLOAT": T(Kind.FLOAT),
    "BINARY_DOUBLE": T(Kind.FLOAT),
    "INTEGER": T(Kind.INTEGER),
    "DATE": T(Kind.TIMESTAMP),
    "TIMESTAMP": T(Kind.TIMESTAMP),
    "TIMESTAMP(9)": T(Kind.TIMESTAMP),
    "TIMESTAMP(6) WITH TIME ZONE": T(Kind.TIMESTAMPTZ),
    "TIMESTAMP(6) WITH LOCAL TIME ZONE": T(Kind.TIMESTAMPTZ),
    "RAW(16)": T(Kind.BYTES, length=16),
    "BLOB": T(Kind.BYTES),
    "JSON": T(Kind.JSON),
}
OTHERS = [
    ("sqlserver", "bit", T(Kind.BOOLEAN)),
    ("sqlserver", "money", T(Kind.DECIMAL, precision=19, scale=4)),
    ("sqlserver", "smallmoney", T(Kind.DECIMAL, precision=10, scale=4)),
    ("sqlserver", "rowversion", T(Kind.BYTES)),
    ("sqlserver", "timestamp", T(Kind.BYTES)),
    ("sqlserver", "datetime2(7)", T(Kind.TIMESTAMP)),
    ("sqlserver", "datetimeoffset(7)", T(Kind.TIMESTAMPTZ)),
    ("sqlserver", "date", T(Kind.DATE)),
    ("sqlserver", "nvarchar(max)", T(Kind.TEXT)),
    ("sqlserver", "varbinary(max)", T(Kind.BYTES)),
    ("sqlserver", "uniqueidentifier", T(Kind.UUID)),
    ("sqlserver", "tinyint", T(Kind.INTEGER, bits=16)),
    ("sqlserver", "float(53)", T(Kind.FLOAT)),
    ("postgres", "timestamp", T(Kind.TIMESTAMP)),
    ("postgres", "timestamp(3) without time zone", T(Kind.TIMESTAMP)),
    ("postgres", "timestamptz", T(Kind.TIMESTAMPTZ)),
    ("postgres", "character varying(8)", T(Kind.TEXT, length=8)),
    ("postgres", "double precision", T(Kind.FLOAT)),
    ("postgres", "int8", T(Kind.INTEGER)),
    ("postgres", "numeric(50,10)", T(Kind.DECIMAL, precision=50, scale=10)),
    ("postgres", "jsonb", T(Kind.JSON)),
    ("postgres", "bytea", T(Kind.BYTES)),
    ("ansi", "DATE", T(Kind.DATE)),
    ("ansi", "BOOLEAN", T(Kind.BOOLEAN)),
    ("ansi", "DOUBLE", T(Kind.FLOAT)),
]


@pytest.mark.parametrize(("name", "expected"), ORACLE.items())
def test_an_oracle_type_is_known(name: str, expected: ColumnType):
    assert column_type(name, "oracle") == (expected, None)


@pytest.mark.parametrize(("dialect", "name", "expected"), OTHERS)
def test_another_dialects_type_is_known(dialect: str, name: str, expected: ColumnType):
    assert column_type(name, dialect) == (expected, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["SDO_GEOMETRY", "text[]", "NUMBER(a)", "", "VARCHAR2(3", "interval", "BFILE"]
)
def test_an_unknown_type_loads_as_text_with_a_warning(name: str):
    kind, warning = column_type(name, "oracle")
    assert kind == ColumnType(Kind.TEXT)
    assert warning and repr(name) in warning


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (T(Kind.TEXT), "text"),
        (T(Kind.TEXT, length=30), "varchar(30)"),
        (T(Kind.TEXT, length=20_000_000), "text"),
        (T(Kind.INTEGER, bits=16), "smallint"),
        (T(Kind.INTEGER, bits=32), "integer"),
        (T(Kind.INTEGER), "bigint"),
        (T(Kind.DECIMAL), "numeric"),
        (T(Kind.DECIMAL, precision=12, scale=2), "numeric(12,2)"),
        (T(Kind.FLOAT), "double precision"),
        (T(Kind.TIMESTAMPTZ), "timestamptz"),
        (T(Kind.BYTES, length=16), "bytea"),
        (T(Kind.JSON), "jsonb"),
    ],
)
def test_postgresql_spells_the_type(column: ColumnType, expected: str):
    assert sql_type(column) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (T(Kind.TEXT, length=10), T(Kind.TEXT, length=20), True),
        (T(Kind.TEXT, length=10), T(Kind.TEXT), True),
        (T(Kind.TEXT), T(Kind.TEXT, length=10), False),
        (T(Kind.INTEGER, bits=16), T(Kind.INTEGER), True),
        (T(Kind.INTEGER), T(Kind.INTEGER, bits=32), False),
        (T(Kind.INTEGER, bits=32), T(Kind.DECIMAL, precision=12, scale=2), True),
        (T(Kind.INTEGER), T(Kind.DECIMAL, precision=12, scale=2), False),
        (T(Kind.INTEGER), T(Kind.DECIMAL), True),
        (T(Kind.DECIMAL, precision=12, scale=2), T(Kind.DECIMAL, precision=14, scale=4), True),
        (T(Kind.DECIMAL, precision=12, scale=2), T(Kind.DECIMAL, precision=12, scale=4), False),
        (T(Kind.DECIMAL), T(Kind.DECIMAL, precision=38, scale=2), False),
        (T(Kind.DATE), T(Kind.TIMESTAMP), True),
        (T(Kind.TIMESTAMP), T(Kind.TIMESTAMPTZ), False),
        (T(Kind.TIMESTAMP), T(Kind.DATE), False),
        (T(Kind.INTEGER), T(Kind.TEXT), False),
        (T(Kind.UUID), T(Kind.UUID), True),
    ],
)
def test_only_a_change_that_loses_nothing_widens(old: ColumnType, new: ColumnType, expected: bool):
    assert widens(old, new) is expected
