"""Replay: rejects that are asked for again go through today's stages and land like any row, or stay rejects.

In: stored rejects with their raw rows. Out: a chunk, and which reject each of its rows was. A row that the target has
newer is never overwritten: the rows of a batch were all refused at one moment, and what was written since is newer.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import polars as pl

from shared.sync import identity
from shared.sync.decode import DecodedPage, decode_page
from shared.sync.delta import Settled, settle
from shared.sync.mapping import dtype_of
from shared.sync.model import KEY_HASH, REJECT_SCHEMA, ROW, Batch, RunConfig, no_rejects
from shared.sync.ports import Chunk, Refused
from shared.sync.rejects import KEYED_SCHEMA, concat
from shared.sync.stages import Stages

UID = "_uid"
UNREADABLE = (
    "its raw row is no longer kept, or cannot be read again; it comes back when the source sends it again"
)


@dataclass(frozen=True, slots=True)
class Replayed:
    """A batch of rejects as a chunk; `uids` has ROW and UID (String) of every one of them."""

    chunk: Chunk
    uids: pl.DataFrame


class _Raw(msgspec.Struct):
    """What a reject keeps of its row; a member `masked` holds values that were masked before they were stored."""

    data: dict[str, msgspec.Raw]
    row_version: Any = None
    masked: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET


def replayed(
    refused: Sequence[Refused],
    read_at: datetime,
    config: RunConfig,
    mask_key: bytes | None = None,
    settle_rows: Callable[[pl.DataFrame], Settled] = settle,
) -> Replayed:
    """The rejects taken through the value stages as the run's configuration has them now."""
    read = [_read(one.raw) for one in refused]
    good = [i for i, raw in enumerate(read) if raw is not None]
    page, rows = _page([(i, read[i]) for i in good], config)
    stages = Stages(config, mask_key)
    prepared = stages.prepare([page], [stages.versions(page)], settle_rows)
    numbers = dict(enumerate(rows))
    masks = {place: _masks(read[i]) for place, i in numbers.items()}
    kept = _with_masks(prepared.rows, masks, config)
    lost = sorted(set(range(len(refused))) - set(rows))
    unread = _unreadable(len(rows), len(lost))
    uids = [refused[i].uid for i in (*rows, *lost)]
    chunk = Chunk(
        rows=kept,
        rejects=concat([prepared.rejects, unread]),
        raw=prepared.raw,
        also_seen=pl.Series(KEY_HASH, [], dtype=pl.Binary),
        fetched=len(refused),
        superseded=prepared.superseded,
        keyless=0,
        requested_at=read_at,
        expected=None,
        cursor={},
    )
    places = pl.Series(range(len(uids)), dtype=pl.UInt32)
    return Replayed(chunk, pl.DataFrame({ROW: places, UID: pl.Series([str(uid) for uid in uids])}))


def _read(raw: str | None) -> _Raw | None:
    """The raw row, None where nothing of the source's own is kept."""
    try:
        found = None if raw is None else msgspec.json.decode(raw, type=_Raw)
    except (msgspec.DecodeError, UnicodeError):
        return None
    # A masked value that was itself at fault is kept nowhere.
    return None if found is not None and found.masked is None else found


def _masks(raw: _Raw | None) -> dict[str, Any]:
    return raw.masked if raw is not None and isinstance(raw.masked, dict) else {}


def _page(rows: Sequence[tuple[int, _Raw | None]], config: RunConfig) -> tuple[DecodedPage, list[int]]:
    """One page of all rows, and which reject each of its rows was; rows that fail to decode are left out."""
    page = _decoded([raw for _, raw in rows], config)
    if page.rejects.is_empty():
        return page, [i for i, _ in rows]
    # Rare: which of them it was is only known one by one.
    good = [(i, raw) for i, raw in rows if _decoded([raw], config).rejects.is_empty()]
    return _decoded([raw for _, raw in good], config), [i for i, _ in good]


def _decoded(rows: Sequence[_Raw | None], config: RunConfig) -> DecodedPage:
    members = [{"data": raw.data, "row_version": raw.row_version} for raw in rows if raw is not None]
    return decode_page(msgspec.json.encode({"rows": members}), config)


def _with_masks(rows: pl.DataFrame, masks: dict[int, dict[str, Any]], config: RunConfig) -> pl.DataFrame:
    """Values that were masked when the row was refused stay as they are: no mask goes over a mask."""
    if not any(masks.values()):
        return rows
    names = {column.name: i for i, column in enumerate(config.target_columns) if column.mask != "none"}
    for name, place in names.items():
        dtype = dtype_of(config.target_columns[place].type)
        values = {row: mask.get(name) for row, mask in masks.items() if mask}
        stored = pl.DataFrame(
            {
                ROW: pl.Series(list(values), dtype=pl.UInt32),
                "_mask": pl.Series(list(values.values()), dtype=dtype),
            }
        )
        rows = rows.join(stored, on=ROW, how="left", maintain_order="left")
        has = pl.col(ROW).is_in(stored[ROW].implode())
        rows = rows.with_columns(pl.when(has).then(pl.col("_mask")).otherwise(f"t{place}").alias(f"t{place}"))
        rows = rows.drop("_mask")
    return identity.apply(Batch(rows, no_rejects()), config).rows


def _unreadable(first: int, count: int) -> pl.DataFrame:
    """Rejects that cannot be read again, numbered behind the rows."""
    if not count:
        return pl.DataFrame(schema=KEYED_SCHEMA)
    frame = pl.DataFrame({ROW: pl.Series(range(first, first + count), dtype=pl.UInt32)}).with_columns(
        pl.lit("fetch").alias("stage"),
        pl.lit(None, pl.String).alias("column"),
        pl.lit("not_replayable").alias("code"),
        pl.lit(UNREADABLE).alias("message"),
        pl.lit(json.dumps(None)).alias("raw"),
    )
    empty = {name: dtype for name, dtype in KEYED_SCHEMA.items() if name not in REJECT_SCHEMA}
    return frame.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in empty.items()).select(
        pl.col(name).cast(dtype) for name, dtype in KEYED_SCHEMA.items()
    )
