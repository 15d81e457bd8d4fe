"""A target, a ledger and a source in memory that refuse what PostgreSQL and the ledger refuse.

The table is unique in its key, takes notes up to a width, forgets a transaction that failed, and commits for the
holder of the slice only. Columns: id (key) and note, both text.
"""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import polars as pl

from shared.errors import AppError, FencedError
from shared.sync.decode import decode_page
from shared.sync.delta import KNOWN_SCHEMA
from shared.sync.fetch import PageRequest, Probe
from shared.sync.model import KEY_HASH, ROW, ROW_HASH, VERSION, Kind, RunConfig, VersionSpec
from shared.sync.ports import Chunk, ChunkConflictError, Claim, Counters, Due, Ending, RowsRefusedError
from shared.sync.stages import Stages
from tests.unit.sync.stage_frames import column, config

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
CONFIG = replace(config(column(Kind.TEXT, "id"), column(Kind.TEXT, "note")), pagination="keyset", page_size=2)
CLAIM = Claim(
    run_uid=UUID(int=1), connector_uid=UUID(int=2), slice=0, epoch=1, kind="walk", lane="delta", purpose="delta",
    config=CONFIG, cursor=None, chunk=0, watermark=None, first_load=False, new_target=False, indexes_deferred=False,
    pass_uid=UUID(int=1), pass_began=EPOCH, versions_since=datetime(1970, 1, 1, tzinfo=UTC), allow_deletes=None,
    unproven_snapshots=0, deletes_barred=False, soft_deleted=0, walked=None, attempt=0, clock_ahead_s=0.0,
)  # fmt: skip
FIRST = replace(CLAIM, first_load=True, new_target=True)
VERSIONED = replace(CONFIG, strategy="rowversion", version=VersionSpec("number"))


def page(*rows: tuple[str | None, str], cursor: str | None = None, **members: object) -> bytes:
    """A page of (id, note), the row version counting from 1."""
    listed = [{"row_version": str(i), "data": {"id": k, "note": n}} for i, (k, n) in enumerate(rows, 1)]
    more = {"has_more": cursor is not None, "next_cursor": cursor}
    return json.dumps({"rows": listed, **more, **members}).encode()


def chunk(*rows: tuple[str | None, str], config: RunConfig = CONFIG, expected: int | None = None) -> Chunk:
    """These rows as a slice's reading would hand them over."""
    stages, decoded = Stages(config), decode_page(page(*rows), config)
    made = stages.prepare([decoded], [stages.versions(decoded)])
    return Chunk(made.rows, made.rejects, made.raw, made.also_seen, made.fetched, made.superseded, made.keyless,
                 EPOCH, expected, {"at": "the end"})  # fmt: skip


@dataclass
class Table:
    """What a committed transaction leaves."""

    rows: dict[bytes, dict[str, Any]] = field(default_factory=dict)
    seen: set[bytes] = field(default_factory=set)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    unkeyed: int = 0
    closed: list[Counters] = field(default_factory=list)
    indexed: bool = True

    @property
    def notes(self) -> dict[str, str]:
        return {row["t0"]: row["t1"] for row in self.rows.values() if not row["deleted"]}


@dataclass
class MemoryTarget:
    """`ports.Target`; `interfere` lists what rivals do to the next transactions, one an attempt."""

    table: Table = field(default_factory=Table)
    epoch: int = 1
    width: int = 10
    now: datetime = EPOCH + timedelta(hours=1)
    interfere: list[Exception] = field(default_factory=list)
    others_wrote: bool = False
    lookups: int = 0
    attempts: int = 0
    due: Due = field(default_factory=lambda: Due(0, 0, 1, True))

    @contextmanager
    def chunk(self, claim: Claim) -> Iterator["MemoryChunk"]:
        self.attempts += 1
        open_ = MemoryChunk(self, copy.deepcopy(self.table), claim)
        yield open_
        self.table = open_.table

    def refused_rows(self, claim: Claim, rows: pl.DataFrame) -> pl.DataFrame:
        wide = rows.filter(pl.col("t1").str.len_chars() > self.width)
        return wide.select(ROW, pl.lit("too_narrow").alias("code"), pl.lit("widen it").alias("message"))

    def build_indexes(self, claim: Claim) -> None:
        self.table.indexed = True

    def mark_missing(self, claim: Claim) -> Due:
        return replace(self.due, keys_complete=self.table.unkeyed == 0)

    @contextmanager
    def delete_due(self, claim: Claim, limit: int) -> Iterator["MemoryDeletion"]:
        yield MemoryDeletion(self, claim)

    def publication(self, claim: Claim) -> Any:
        raise NotImplementedError("publications are shown on PostgreSQL")


@dataclass
class MemoryDeletion:
    target: MemoryTarget
    claim: Claim

    def delete(self) -> int:
        gone = set(self.target.table.rows) - self.target.table.seen
        for key in gone:
            self.target.table.rows[key]["deleted"] = True
        return len(gone)

    def hold_fence(self) -> None:
        hold(self.target.epoch, self.claim)


@dataclass
class MemoryChunk:
    """`ports.ChunkTransaction` over a copy of the table."""

    target: MemoryTarget
    table: Table
    claim: Claim

    def known(self, rows: pl.DataFrame) -> pl.DataFrame:
        assert self.table.indexed, "nothing is looked up without the indexes"
        self.target.lookups += 1
        found = []
        for row in rows.to_dicts():
            held = self.table.rows.get(row[KEY_HASH])
            same = held and (held[ROW_HASH], held[VERSION]) == (row[ROW_HASH], row[VERSION])
            if held is None:
                found.append((row[ROW], None, None, False, EPOCH))
            elif not same or held["deleted"]:
                found.append((row[ROW], held[ROW_HASH], held[VERSION], held["deleted"], held["at"]))
        return pl.DataFrame(found, schema=dict(KNOWN_SCHEMA), orient="row")

    def absent_parents(self, reference: Any, sought: pl.DataFrame) -> pl.Series:
        raise NotImplementedError("parents are shown on PostgreSQL")

    def others_wrote_since(self, moment: datetime) -> bool:
        return self.target.others_wrote

    def defer_indexes(self) -> None:
        self.table.indexed = False

    def insert(self, rows: pl.DataFrame) -> None:
        if self.target.interfere:
            raise self.target.interfere.pop(0)
        if (rows["t1"].str.len_chars() > self.target.width).any():
            raise RowsRefusedError("22001")
        if self.table.indexed and any(key in self.table.rows for key in rows[KEY_HASH]):
            raise ChunkConflictError("UniqueViolation", key_stands=True)
        self._put(rows)

    def update(self, rows: pl.DataFrame) -> None:
        self._put(rows)

    def touch(self, rows: pl.DataFrame) -> None:
        self._put(rows)

    def stage(self, rows: pl.DataFrame, attempt: int) -> None:
        self._put(rows)

    def reject(self, rejects: pl.DataFrame) -> None:
        self.table.rejects += rejects.to_dicts()

    def disputed(self) -> frozenset[bytes]:
        return frozenset()

    def resolve(self, rows: pl.DataFrame, standing: pl.Series) -> None:
        landed = set(rows[KEY_HASH])
        self.table.rejects = [
            r for r in self.table.rejects if r[KEY_HASH] is None or r[KEY_HASH] not in landed
        ]

    def arrive(self, key_hashes: pl.Series) -> None:
        """Nobody waits here."""

    def see(self, key_hashes: pl.Series, unkeyed: int) -> None:
        self.table.seen |= set(key_hashes)
        self.table.unkeyed += unkeyed

    def hold_fence(self) -> None:
        hold(self.target.epoch, self.claim)

    def close(self, chunk: Chunk, counters: Counters) -> None:
        self.table.closed.append(counters)

    def _put(self, rows: pl.DataFrame) -> None:
        for row in rows.to_dicts():
            self.table.rows[row[KEY_HASH]] = row | {"deleted": False, "at": self.target.now}


def hold(epoch: int, claim: Claim) -> None:
    """What every write asks last."""
    if epoch != claim.epoch:
        raise FencedError(f"slice {claim.slice}: belongs to another delivery now")


@dataclass
class MemoryLedger:
    """`ports.Ledger` of one slice; `retries` are left."""

    target: MemoryTarget
    retries: int = 1
    said: list[str] = field(default_factory=list)
    ending: Ending | None = None

    def continue_later(self, claim: Claim) -> None:
        hold(self.target.epoch, claim)
        self.said.append("continued")

    def back_off(self, claim: Claim, error: AppError, wish_s: float | None) -> bool:
        hold(self.target.epoch, claim)
        self.retries -= 1
        self.said.append(f"backed off {error.code} {wish_s}")
        return self.retries >= 0

    def totals(self, claim: Claim) -> Counters:
        return sum(self.target.table.closed, Counters())

    def split(self, claim: Claim, cursors: Sequence[Mapping[str, Any]]) -> None:
        hold(self.target.epoch, claim)
        self.said.append(f"split {len(cursors)}")

    def end_part(self, claim: Claim) -> None:
        hold(self.target.epoch, claim)
        self.said.append("part ended")

    def begin_publish(self, claim: Claim) -> None:
        hold(self.target.epoch, claim)
        self.said.append("publish")

    def end(self, claim: Claim, ending: Ending) -> None:
        hold(self.target.epoch, claim)
        self.ending = ending


@dataclass
class MemorySource:
    """`fetch.Source`: pages in order, by cursor; an exception among them is raised once."""

    pages: Sequence[bytes | Exception]
    newest: str | None = None
    asked: list[PageRequest] = field(default_factory=list)
    on_page: Any = lambda: None

    def check(self) -> None: ...

    def list_apis(self) -> Sequence[Any]:
        return []

    def probe(self, slug: str, rowversion_gt: str | None, parameters: Mapping[str, str]) -> Probe | None:
        return Probe(True, self.newest, None) if self.newest else None

    def ranges(self, slug: str, parts: int, parameters: Mapping[str, str]) -> Sequence[str]:
        return ()

    def fetch_page(self, request: PageRequest) -> bytes:
        self.asked.append(request)
        self.on_page()
        answer = self.pages[int(request.cursor or 0)]
        if isinstance(answer, Exception):
            raise answer
        return answer
