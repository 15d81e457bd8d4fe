"""Masks: which source columns may never be stored as they came, and what stands in their place.

Enters a run's configuration, the mask key, rows. Leaves keyed hashes, raw rows without what is masked, and the check
that nothing reads a masked column past its mask. Used by mapping, decode, rejects and the stages.
"""

import json
from collections.abc import Mapping, Sequence

import msgspec
import polars as pl
import polars_hash as plh
from blake3 import blake3

from shared.errors import ConfigurationError
from shared.sync.model import RAW_KEY, ROW, Expression, RunConfig, TargetColumn
from shared.sync.parsed_rows import DATA, KEYS, VERSION_MEMBER

_MASK_CONTEXT = "tributary 2026 mask of column values"
_NAME_CONTEXT = "tributary 2026 name of a mask key"
WITHHELD = "the row could not be read, and columns of this entity are masked; correct it at the source"
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read_by(expression: Expression) -> tuple[str, ...]:
    """The source columns that an expression reads."""
    match expression.op:
        case "constant":
            return ()
        case "concat":
            return expression.args[1:]
        case "coalesce":
            return expression.args
        case _:
            return expression.args[:1]


def hidden_sources(config: RunConfig) -> frozenset[str]:
    """Source columns that some target column masks: nothing may store them as they came."""
    return frozenset(
        name
        for column in config.target_columns
        if column.mask != "none"
        for name in read_by(column.expression)
    )


def masked_positions(config: RunConfig) -> tuple[int, ...]:
    """Positions in `target_columns` of what is masked."""
    return tuple(i for i, column in enumerate(config.target_columns) if column.mask != "none")


def needs_key(config: RunConfig) -> bool:
    """Whether a column is masked by hash, so that the run needs the mask key."""
    return any(column.mask == "hash" for column in config.target_columns)


def check(config: RunConfig) -> RunConfig:
    """The same configuration; raises ConfigurationError where a masked column would be stored past its mask."""
    hidden = hidden_sources(config)
    for column in config.target_columns:
        open_ = sorted(hidden & set(read_by(column.expression)))
        if column.mask == "none" and open_:
            raise ConfigurationError(
                f"{config.slug}.{column.name}: reads {open_[0]!r}, which another field mapping masks",
                hint="mask this field mapping too, or remove the mask from the other one",
            )
    if config.version is not None and config.version.column in hidden:
        raise ConfigurationError(
            f"{config.slug}: the row version {config.version.column!r} is masked, but must be stored as it is",
            hint="remove its mask, or choose another delta_strategy",
        )
    return config


def key_name(mask_key: bytes) -> str:
    """What a mask key is known by: the same key, the same name; the name tells nothing of the key."""
    return blake3(mask_key, derive_key_context=_NAME_CONTEXT).hexdigest()[:16]


def hashed(texts: pl.Series, mask_key: bytes, tenant: str) -> pl.Series:
    """64 hex digits a value, null for null: equal values of a tenant mask alike under the same key.

    BLAKE3 over the tenant's key and the value; the key fills BLAKE3's first block.
    """
    root = blake3(mask_key, derive_key_context=_MASK_CONTEXT).digest()
    own = blake3(tenant.encode(), key=root).hexdigest()
    keyed = pl.DataFrame({"x": texts}).select((pl.lit(own) + pl.col("x")).alias("x"))
    return keyed.select(plh.col("x").chash.blake3()).to_series()


def blinded(rows: pl.DataFrame, config: RunConfig, mask_key: bytes | None) -> pl.DataFrame:
    """Rows whose RAW_KEY tells nothing of a masked key: staging keeps it, and an unkeyed hash can be guessed."""
    if not mask_key or not any(column.is_key and column.mask != "none" for column in config.target_columns):
        return rows
    digits = hashed(rows[RAW_KEY].cast(pl.String), mask_key, config.tenant).str.slice(0, 16)
    return rows.with_columns(digits.str.to_integer(base=16, dtype=pl.UInt64).alias(RAW_KEY))


def masks_of(rows: pl.DataFrame, config: RunConfig) -> pl.DataFrame:
    """ROW and `_masks`, the masked target columns of mapped rows as a struct of texts by target name."""
    columns = [
        pl.col(f"t{i}").cast(pl.String).alias(config.target_columns[i].name) for i in masked_positions(config)
    ]
    return rows.select(ROW, pl.struct(columns).alias("_masks"))


def overlaid(
    rows: pl.DataFrame, masks: Mapping[int, Mapping[str, str | None]], config: RunConfig
) -> pl.DataFrame:
    """Mapped rows with masked columns as a reject kept them, by ROW: taking it up again leaves its mask alone."""
    kept = [masks.get(row, {}) for row in rows[ROW].to_list()]
    return rows.with_columns(
        _column(config.target_columns[i], kept).cast(rows.schema[f"t{i}"]).alias(f"t{i}")
        for i in masked_positions(config)
    )


def _column(column: TargetColumn, kept: Sequence[Mapping[str, str | None]]) -> pl.Series:
    return pl.Series([each.get(column.name) for each in kept], dtype=pl.String)


def scrubbed(raw: bytes, config: RunConfig) -> bytes:
    """A row that could not be decoded, cut to the members that are known and not masked; JSON either way."""
    shown = frozenset(column.name for column in config.source_columns) - hidden_sources(config)
    try:
        row = _members.decode(raw)
        kept = {name: _kept(name, bytes(value), shown) for name, value in row.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return json.dumps({"withheld": WITHHELD, "bytes": len(raw)}, separators=(",", ":")).encode()
    return _joined({name: value for name, value in kept.items() if value is not None})


def _kept(name: str, value: bytes, shown: frozenset[str]) -> bytes | None:
    if name in (DATA, KEYS) and value[:1] == b"{":
        return _joined({n: bytes(v) for n, v in _members.decode(value).items() if n in shown})
    return value if name == VERSION_MEMBER or name in shown else None


def _joined(members: Mapping[str, bytes]) -> bytes:
    return b"{" + b",".join(json.dumps(n).encode() + b":" + v for n, v in members.items()) + b"}"
