"""The values that pass between stages: a run's frozen configuration, pages, batches and rejects.

Frames name their columns by position, never by the source's names: a source may call a column anything
(`^x$` is a pattern to polars, `_row` would collide), so `c0, c1, ...` are the source columns of a run's
configuration in order, `t0, t1, ...` the target columns. Meta columns begin with an underscore.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

import polars as pl

ROW = "_row"  # UInt32, the row's number within its chunk
VERSION = "_version"  # String: raw in a page, order-preserving (see rowversion.py) in a batch; null = none
KEY_HASH = "_key_hash"  # Binary, 16 bytes
ROW_HASH = "_row_hash"  # Binary, 33 bytes: hash version, then BLAKE3
REFERENCE = "_reference"  # String, readable business key
RAW_KEY = "_raw_key"  # UInt64, hash of the key as the source spelt it; tells a collision from a duplicate

Strategy = Literal["full", "hash", "rowversion"]
VersionKind = Literal["number", "timestamp", "hex", "text"]
Contract = Literal["evolve", "freeze", "reject"]  # what becomes of columns that nobody agreed to


class Kind(StrEnum):
    """What a column holds; the polars dtype that a finished batch holds it in stands beside each."""

    TEXT = "text"  # String
    INTEGER = "integer"  # Int64
    DECIMAL = "decimal"  # Decimal(38, scale) where the type has a scale, else String in canonical form
    FLOAT = "float"  # Float64
    BOOLEAN = "boolean"  # Boolean
    DATE = "date"  # Date
    TIMESTAMP = "timestamp"  # Datetime("us")
    TIMESTAMPTZ = "timestamptz"  # Datetime("us", "UTC")
    BYTES = "bytes"  # Binary
    UUID = "uuid"  # String, lower case with hyphens
    JSON = "json"  # String, compact JSON text


@dataclass(frozen=True, slots=True)
class ColumnType:
    """The type a target column has. `length` counts characters (text) or bytes; `bits` is 16, 32 or 64."""

    kind: Kind
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    bits: int = 64


@dataclass(frozen=True, slots=True)
class Rules:
    """Column rules; defaults as discovery writes them. The names and meanings are the connector protocol's."""

    trim: Literal["both", "right", "none"] = "both"
    control: Literal["strip", "strip_nul"] = "strip"
    unicode: Literal["none", "NFC"] = "none"
    case: Literal["none", "upper", "lower"] = "none"
    empty_is_null: bool = False
    null_values: tuple[str, ...] = ()
    decimal_separator: str = "."
    group_separator: str = ","
    formats: tuple[str, ...] = ()
    timezone: str | None = None
    ambiguous: Literal["reject", "earliest", "latest"] = "reject"
    fraction: Literal["reject", "truncate"] = "reject"
    true_values: tuple[str, ...] = ("Y", "1", "T", "true")
    false_values: tuple[str, ...] = ("N", "0", "F", "false")
    sentinels: Mapping[str, str | None] = field(default_factory=dict)
    mask: Literal["none", "hash", "redact", "null"] = "none"


@dataclass(frozen=True, slots=True)
class Expression:
    """A pure mapping expression. `op` is rename, constant, concat, coalesce, substring or map; `args` its operands.

    rename: (source,)  constant: (text,)  concat: (separator, source...)  coalesce: (source...)
    substring: (source, start, length) counted in characters from 0  map: (source, from, to, from, to, ...)
    """

    op: Literal["rename", "constant", "concat", "coalesce", "substring", "map"]
    args: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """A column as the source describes it; `c<position>` in frames."""

    name: str
    data_type: str
    type: ColumnType
    nullable: bool = True
    rules: Rules = Rules()


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """A column of the target table; `t<position>` in frames. Key columns are NOT NULL and never masked by null."""

    name: str
    type: ColumnType
    is_key: bool
    nullable: bool
    expression: Expression
    mask: Literal["none", "hash", "redact", "null"] = "none"


@dataclass(frozen=True, slots=True)
class VersionSpec:
    """How the source's row version is spelt. `column` may name a data column; else the row's `row_version`."""

    kind: VersionKind
    column: str | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """A declared parent: which target columns of the child hold the parent's business key, in its key's order.

    `columns` are positions in the child's `target_columns`. `goes_first`: its delta runs before the child's,
    unless the two wait for each other.
    """

    entity_uid: str
    slug: str
    columns: tuple[int, ...]
    target_schema: str
    target_table: str
    key_names: tuple[str, ...]
    goes_first: bool = True


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Everything one run needs to know about its entity, frozen when the run is created (JSON in sync_runs.config)."""

    entity_uid: str
    slug: str
    strategy: Strategy
    dialect: Literal["oracle", "sqlserver", "postgres", "ansi"]
    source_columns: tuple[SourceColumn, ...]
    target_columns: tuple[TargetColumn, ...]
    target_schema: str
    target_table: str
    version: VersionSpec | None
    pagination: Literal["keyset", "page"] | None
    ordered_by_rowversion: bool
    page_size: int
    overlap: int
    delete_guard_percent: float
    delete_after_missing: int
    parameters: Mapping[str, str] = field(default_factory=dict)
    hash_version: int = 1
    generation: int = 0
    parents: tuple[Reference, ...] = ()
    reject_threshold_percent: float | None = None
    tenant: str = "default"  # masks of different tenants never meet
    contract: Contract = "evolve"
    adaptive: bool = False
    unmapped: tuple[str, ...] = ()  # members that the source is known to have and nothing is made of

    @property
    def key_positions(self) -> tuple[int, ...]:
        """Positions in `target_columns` of the business key, in key order."""
        return tuple(i for i, column in enumerate(self.target_columns) if column.is_key)


REJECT_SCHEMA: Mapping[str, pl.DataType] = {
    ROW: pl.UInt32(),
    "stage": pl.String(),
    "column": pl.String(),  # the source's name of the column; null where the row as a whole is at fault
    "code": pl.String(),
    "message": pl.String(),  # constant text per code and column: never the value
    "raw": pl.String(),  # ASCII JSON of the raw row; null until the chunk fills it from its raw frame
}


def no_rejects() -> pl.DataFrame:
    """An empty frame of rejects."""
    return pl.DataFrame(schema=dict(REJECT_SCHEMA))


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows on their way through the value stages.

    `rows` has ROW (unique), VERSION and the stage's columns; `rejects` has REJECT_SCHEMA with at most one
    reject a row, and no row stands in both. `changed` counts the values each rule altered, by (column, rule).
    """

    rows: pl.DataFrame
    rejects: pl.DataFrame
    changed: Mapping[tuple[str, str], int] = field(default_factory=dict)
