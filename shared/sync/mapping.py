"""Stage 6, mapping: source columns become target columns by pure expressions; masks; the key must be whole.

Enters `c0..cN` in final dtypes. Leaves the canonical frame: ROW, VERSION, RAW_KEY, `t0..tM` in their target
dtypes.
"""

from collections.abc import Callable, Mapping, Sequence

import polars as pl

from shared.errors import ConfigurationError
from shared.sync import coerce, dates, masking, numbers, text
from shared.sync.findings import Findings
from shared.sync.instants import Reading
from shared.sync.model import (
    RAW_KEY,
    ROW,
    VERSION,
    Batch,
    ColumnType,
    Kind,
    RunConfig,
    SourceColumn,
    TargetColumn,
)
from shared.sync.types import widens

REDACTED = "REDACTED"
_MASK_DIGITS = 64
Values = tuple[pl.Series, ColumnType]


def apply(
    batch: Batch,
    config: RunConfig,
    mask_key: bytes | None = None,
    amend: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
) -> Batch:
    """The canonical frame; rejects `null_key`. Raises ConfigurationError for a mapping that cannot work.

    `amend` changes the mapped rows before their keys are looked at.
    """
    found = Findings("mapping")
    sources = {c.name: (batch.rows[f"c{i}"], c.type) for i, c in enumerate(config.source_columns)}
    columns = [batch.rows[ROW], batch.rows[VERSION], batch.rows[RAW_KEY]]
    for position, target in enumerate(config.target_columns):
        values = _target(target, _expressed(target, sources, batch.rows.height), config, mask_key, found)
        columns.append(values.alias(f"t{position}"))
    rows = pl.DataFrame(columns) if amend is None else amend(pl.DataFrame(columns))
    for position in config.key_positions:
        found.reject(_named(config.target_columns[position]), "null_key", rows[f"t{position}"].is_null())
    return found.close(batch, rows)


def readable(values: pl.Series, kind: Kind) -> pl.Series:
    """A column as text that people and expressions read."""
    reader = _READERS.get(kind)
    return values.cast(pl.String) if reader is None else reader(values)


_READERS: Mapping[Kind, Callable[[pl.Series], pl.Series]] = {
    Kind.INTEGER: numbers.plain_text,
    Kind.DECIMAL: numbers.plain_text,
    Kind.FLOAT: numbers.float_text,
    Kind.DATE: lambda values: values.dt.to_string("%Y-%m-%d"),
    Kind.TIMESTAMP: lambda values: values.dt.to_string("%Y-%m-%dT%H:%M:%S%.f"),
    Kind.TIMESTAMPTZ: lambda values: values.dt.to_string("%Y-%m-%dT%H:%M:%S%.fZ"),
    Kind.BYTES: lambda values: values.bin.encode("hex"),
}


def _named(target: TargetColumn) -> str:
    """What a reject calls the column: the source's name where there is one."""
    return target.expression.args[0] if target.expression.op == "rename" else target.name


def _target(
    target: TargetColumn, expressed: Values, config: RunConfig, mask_key: bytes | None, found: Findings
) -> pl.Series:
    values, declared = expressed
    if target.mask != "none":
        return _masked(readable(values, declared.kind), target, config.tenant, mask_key)
    if declared == target.type or (declared.kind is target.type.kind and widens(declared, target.type)):
        return _rescaled(values, target.type)
    return _converted(readable(values, declared.kind), target, config, found)


def _rescaled(values: pl.Series, column: ColumnType) -> pl.Series:
    if column.kind is not Kind.DECIMAL:
        return values
    if numbers.holds_scale(column):
        return values.cast(pl.Decimal(38, column.scale or 0))
    return values if values.dtype == pl.String else numbers.plain_text(values)


def _converted(texts: pl.Series, target: TargetColumn, config: RunConfig, found: Findings) -> pl.Series:
    """Text read as the target's type under the default rules."""
    column = SourceColumn(_named(target), "", target.type)
    if target.type.kind is Kind.TEXT:
        text.reject_long(texts, target.type.length, column.name, found)
        return texts
    if target.type.kind in numbers.KINDS:
        return numbers.read_column(texts, column, found)
    if target.type.kind in dates.KINDS:
        return dates.read_column(texts, column, Reading.of(column, config.dialect), found)
    return coerce.read_column(texts, column, config, found)


def _expressed(target: TargetColumn, sources: dict[str, Values], height: int) -> Values:
    op, args = target.expression.op, target.expression.args
    match op:
        case "rename":
            return _source(args[0], sources, target)
        case "constant":
            return pl.repeat(args[0], height, dtype=pl.String, eager=True), ColumnType(Kind.TEXT)
        case "concat":
            return _concatenated(args[0], _texts(args[1:], sources, target)), ColumnType(Kind.TEXT)
        case "coalesce":
            return _coalesced(args, sources, target)
        case "substring":
            cut = _texts(args[:1], sources, target)[0].str.slice(int(args[1]), int(args[2]))
            return cut, ColumnType(Kind.TEXT)
        case _:
            values = _texts(args[:1], sources, target)[0]
            return values.replace(dict(zip(args[1::2], args[2::2], strict=True))), ColumnType(Kind.TEXT)


def _source(name: str, sources: dict[str, Values], target: TargetColumn) -> Values:
    if name not in sources:
        raise ConfigurationError(
            f"target column {target.name}: its mapping reads {name!r}, which the run's source does not have",
            hint="correct the field mapping or discover the source again",
        )
    return sources[name]


def _texts(names: Sequence[str], sources: dict[str, Values], target: TargetColumn) -> list[pl.Series]:
    found = (_source(name, sources, target) for name in names)
    return [readable(values, declared.kind) for values, declared in found]


def _concatenated(separator: str, texts: Sequence[pl.Series]) -> pl.Series:
    """Joined without NULLs; NULL where all are."""
    frame = pl.DataFrame([series.alias(str(i)) for i, series in enumerate(texts)])
    joined = pl.concat_str(pl.all(), separator=separator, ignore_nulls=True)
    return frame.select(
        pl.when(pl.any_horizontal(pl.all().is_not_null())).then(joined).alias("0")
    ).to_series()


def _coalesced(names: Sequence[str], sources: dict[str, Values], target: TargetColumn) -> Values:
    parts = [_source(name, sources, target) for name in names]
    same = all(declared == parts[0][1] for _, declared in parts)
    declared = parts[0][1] if same else ColumnType(Kind.TEXT)
    series = [values if same else readable(values, each.kind) for values, each in parts]
    result = series[0]
    for other in series[1:]:
        result = result.zip_with(result.is_not_null(), other)
    return result, declared


def _masked(texts: pl.Series, target: TargetColumn, tenant: str, mask_key: bytes | None) -> pl.Series:
    if target.is_key and target.mask in ("null", "redact"):
        raise ConfigurationError(
            f"target column {target.name}: a business key cannot be masked by {target.mask}",
            hint="use hash, which keeps keys distinct",
        )
    if target.mask == "hash":
        return _hashed(texts, target, tenant, mask_key)
    if target.mask == "redact" and target.type.kind is Kind.TEXT:
        word = REDACTED[: target.type.length]
        masked = pl.repeat(word, len(texts), dtype=pl.String, eager=True)
        return masked.zip_with(texts.is_not_null(), _nothing(texts, target.type))
    return _nothing(texts, target.type)


def _nothing(texts: pl.Series, column: ColumnType) -> pl.Series:
    return pl.repeat(None, len(texts), dtype=dtype_of(column), eager=True)


def dtype_of(column: ColumnType) -> pl.DataType:
    """The polars dtype that a finished batch holds a column of this type in."""
    if column.kind is Kind.DECIMAL and numbers.holds_scale(column):
        return pl.Decimal(38, column.scale or 0)
    return _DTYPES.get(column.kind, pl.String())


_DTYPES: dict[Kind, pl.DataType] = {
    Kind.INTEGER: pl.Int64(),
    Kind.FLOAT: pl.Float64(),
    Kind.BOOLEAN: pl.Boolean(),
    Kind.DATE: pl.Date(),
    Kind.TIMESTAMP: pl.Datetime("us"),
    Kind.TIMESTAMPTZ: pl.Datetime("us", "UTC"),
    Kind.BYTES: pl.Binary(),
}


def _hashed(texts: pl.Series, target: TargetColumn, tenant: str, mask_key: bytes | None) -> pl.Series:
    """Keyed hashes in hex: equal values mask alike under the same key."""
    length = target.type.length
    if target.type.kind is not Kind.TEXT or (length is not None and length < _MASK_DIGITS):
        raise ConfigurationError(
            f"target column {target.name}: mask hash needs a text column of at least "
            f"{_MASK_DIGITS} characters",
            hint="map the column to text",
        )
    if not mask_key:
        raise ConfigurationError(
            f"target column {target.name}: mask hash needs a mask key, and none is set",
            hint="put the mask key into the vault, or choose another mask",
        )
    return masking.hashed(texts, mask_key, tenant)
