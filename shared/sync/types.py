"""Column types: what a source's type name means, how PostgreSQL spells it, which change loses nothing.

Called by the catalogue. Pure tables and arithmetic.
"""

import re
from collections.abc import Callable, Mapping
from typing import Literal

from shared.sync.model import ColumnType, Kind

Dialect = Literal["oracle", "sqlserver", "postgres", "ansi"]
Arguments = tuple[int | None, ...]
_NAME = re.compile(r"^\s*([^()]+?)\s*(?:\(([^()]*)\)\s*([^()]*?)\s*)?$")
_MAX_VARCHAR = 10_485_760  # PostgreSQL's limit for varchar(n)
_MAX_PRECISION = 1_000  # and for numeric(p, s)
_DIGITS = {16: 5, 32: 10, 64: 19}  # decimal digits that any value of so many bits fits in


def column_type(data_type: str, dialect: Dialect) -> tuple[ColumnType, str | None]:
    """The type a target column gets, and a warning where the name is unknown (it loads as text)."""
    match = _NAME.match(data_type)
    if match:
        words = f"{match[1]} {match[3] or ''}".upper().split()
        build = _DIALECT[dialect].get(" ".join(words)) or _COMMON.get(" ".join(words))
        arguments = _arguments(match[2])
        if build is not None and arguments is not None:
            return build(arguments), None
    return ColumnType(
        Kind.TEXT
    ), f"type {data_type!r} is unknown and loads as text; map the column to a type of yours"


def sql_type(column: ColumnType) -> str:
    """PostgreSQL's spelling of the type."""
    match column.kind:
        case Kind.TEXT:
            return f"varchar({column.length})" if column.length and column.length <= _MAX_VARCHAR else "text"
        case Kind.INTEGER:
            return {16: "smallint", 32: "integer"}.get(column.bits, "bigint")
        case Kind.DECIMAL:
            fits = column.precision is not None and column.precision <= _MAX_PRECISION
            return f"numeric({column.precision},{column.scale or 0})" if fits else "numeric"
        case kind:
            return _SQL[kind]


def widens(old: ColumnType, new: ColumnType) -> bool:
    """Whether every value of `old` is the same value under `new`."""
    match old.kind, new.kind:
        case (Kind.TEXT, Kind.TEXT) | (Kind.BYTES, Kind.BYTES):
            return new.length is None or (old.length is not None and old.length <= new.length)
        case Kind.INTEGER, Kind.INTEGER:
            return old.bits <= new.bits
        case Kind.INTEGER, Kind.DECIMAL:
            return new.precision is None or _DIGITS[old.bits] <= new.precision - (new.scale or 0)
        case Kind.DECIMAL, Kind.DECIMAL:
            return _decimal_widens(old, new)
        case Kind.DATE, Kind.TIMESTAMP:
            return True
        case same:
            return same[0] is same[1]


def rewrites(old: ColumnType, new: ColumnType) -> bool:
    """Whether PostgreSQL must write the table anew for a widening; where not, its catalogue alone changes."""
    return sql_type(old) != sql_type(new) and (
        old.kind is not new.kind
        or old.kind is Kind.INTEGER
        or (old.kind is Kind.DECIMAL and new.precision is not None and old.scale != new.scale)
    )


def rewires(old: ColumnType, new: ColumnType) -> bool:
    """Whether a binary stream made for the old type cannot be read into the new one."""
    return old.kind is not new.kind or (old.kind is Kind.INTEGER and old.bits != new.bits)


def _decimal_widens(old: ColumnType, new: ColumnType) -> bool:
    if new.precision is None or old.precision is None:
        return new.precision is None
    old_scale, new_scale = old.scale or 0, new.scale or 0
    return new_scale >= old_scale and new.precision - new_scale >= old.precision - old_scale


def _arguments(text: str | None) -> Arguments | None:
    """Numbers in parentheses; `*` and `max` are None, a unit (`30 CHAR`) is dropped; None when unreadable."""
    numbers: list[int | None] = []
    for part in (text or "").upper().split(",") if text is not None else []:
        word = part.split()[0] if part.split() else ""
        if word in ("*", "MAX"):
            numbers.append(None)
        elif re.fullmatch(r"-?[0-9]{1,9}", word):
            numbers.append(int(word))
        else:
            return None
    return tuple(numbers)


def _number(arguments: Arguments) -> ColumnType:
    """NUMBER(p,s): whole numbers that fit 64 bits become integers, the rest exact decimals."""
    if not arguments:
        return ColumnType(Kind.DECIMAL)
    precision, scale = arguments[0], (arguments[1] if len(arguments) > 1 else 0) or 0
    if precision is None:
        precision = 38  # Oracle's NUMBER(*, s)
    if scale < 0:
        # a negative scale only says that the last digits are zero; PostgreSQL 14 has no such type
        precision, scale = precision - scale, 0
    if scale == 0 and precision <= 18:
        return ColumnType(Kind.INTEGER, bits=16 if precision <= 4 else 32 if precision <= 9 else 64)
    return ColumnType(Kind.DECIMAL, precision=max(precision, scale), scale=scale)


def _text(arguments: Arguments) -> ColumnType:
    return ColumnType(Kind.TEXT, length=arguments[0] if arguments else None)


def _character(arguments: Arguments) -> ColumnType:
    return ColumnType(Kind.TEXT, length=arguments[0] if arguments else 1)


def _bytes(arguments: Arguments) -> ColumnType:
    return ColumnType(Kind.BYTES, length=arguments[0] if arguments else None)


def _plain(kind: Kind, bits: int = 64) -> Callable[[Arguments], ColumnType]:
    return lambda _: ColumnType(kind, bits=bits)


def _decimal(precision: int, scale: int) -> Callable[[Arguments], ColumnType]:
    return lambda _: ColumnType(Kind.DECIMAL, precision=precision, scale=scale)


_SQL = {
    Kind.FLOAT: "double precision",
    Kind.BOOLEAN: "boolean",
    Kind.DATE: "date",
    Kind.TIMESTAMP: "timestamp",
    Kind.TIMESTAMPTZ: "timestamptz",
    Kind.BYTES: "bytea",
    Kind.UUID: "uuid",
    Kind.JSON: "jsonb",
}


def _table(
    *groups: tuple[str, Callable[[Arguments], ColumnType]],
) -> dict[str, Callable[[Arguments], ColumnType]]:
    return {name.strip(): build for names, build in groups for name in names.split(",")}


_COMMON: Mapping[str, Callable[[Arguments], ColumnType]] = _table(
    ("VARCHAR2, NVARCHAR2, VARCHAR, NVARCHAR, CHARACTER VARYING, CHAR VARYING, NCHAR VARYING", _text),
    ("NATIONAL CHARACTER VARYING, NATIONAL CHAR VARYING, BPCHAR, STRING", _text),
    ("CHAR, NCHAR, CHARACTER, NATIONAL CHARACTER, NATIONAL CHAR", _character),
    ("CLOB, NCLOB, TEXT, NTEXT, LONG, XML, XMLTYPE, SYS.XMLTYPE, CITEXT, NAME, SYSNAME", _plain(Kind.TEXT)),
    ("CHARACTER LARGE OBJECT, NATIONAL CHARACTER LARGE OBJECT, ROWID, UROWID", _plain(Kind.TEXT)),
    ("NUMBER, NUMERIC, DECIMAL, DEC", _number),
    ("SMALLINT, INT2, TINYINT, SMALLSERIAL, SERIAL2", _plain(Kind.INTEGER, 16)),
    ("INTEGER, INT, INT4, MEDIUMINT, SERIAL, SERIAL4", _plain(Kind.INTEGER, 32)),
    ("BIGINT, INT8, BIGSERIAL, SERIAL8, OID", _plain(Kind.INTEGER)),
    (
        "FLOAT, REAL, DOUBLE, DOUBLE PRECISION, FLOAT4, FLOAT8, BINARY_FLOAT, BINARY_DOUBLE",
        _plain(Kind.FLOAT),
    ),
    ("BOOLEAN, BOOL", _plain(Kind.BOOLEAN)),
    ("DATE", _plain(Kind.DATE)),
    ("TIMESTAMP, TIMESTAMP WITHOUT TIME ZONE, DATETIME, DATETIME2, SMALLDATETIME", _plain(Kind.TIMESTAMP)),
    ("TIMESTAMP WITH TIME ZONE, TIMESTAMP WITH LOCAL TIME ZONE, TIMESTAMPTZ", _plain(Kind.TIMESTAMPTZ)),
    ("DATETIMEOFFSET", _plain(Kind.TIMESTAMPTZ)),
    ("RAW, VARBINARY, BINARY, BINARY VARYING", _bytes),
    ("LONG RAW, BLOB, BYTEA, IMAGE, BINARY LARGE OBJECT", _plain(Kind.BYTES)),
    ("UUID, UNIQUEIDENTIFIER", _plain(Kind.UUID)),
    ("JSON, JSONB", _plain(Kind.JSON)),
)
_DIALECT: Mapping[Dialect, Mapping[str, Callable[[Arguments], ColumnType]]] = {
    "oracle": _table(
        ("DATE", _plain(Kind.TIMESTAMP)),  # Oracle's DATE carries a time of day
        # Oracle's FLOAT, REAL and DOUBLE PRECISION are NUMBER with a binary precision: exact decimals
        ("FLOAT, REAL, DOUBLE PRECISION", _plain(Kind.DECIMAL)),
        # INTEGER is NUMBER(38) there; 64 bits hold what is used as one, anything larger rejects visibly
        ("INTEGER, INT, SMALLINT", _plain(Kind.INTEGER)),
    ),
    "sqlserver": _table(
        ("BIT", _plain(Kind.BOOLEAN)),
        ("MONEY", _decimal(19, 4)),
        ("SMALLMONEY", _decimal(10, 4)),
        ("ROWVERSION, TIMESTAMP", _plain(Kind.BYTES)),  # a row version of eight bytes, not a time
    ),
    "postgres": _table(
        ("MONEY", _decimal(19, 2)),
        ("XID8", _decimal(20, 0)),  # 64 bits without a sign
    ),
    "ansi": {},
}
