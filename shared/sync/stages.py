"""Stages 2 to 8 in order, from decoded pages to a settled chunk; pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from shared.sync import coerce, contract, dates, identity, mapping, masking, numbers, rejects, text
from shared.sync.decode import DecodedPage, concat_pages, join_pages
from shared.sync.delta import Settled, settle
from shared.sync.model import (
    KEY_HASH,
    REJECT_SCHEMA,
    ROW,
    VERSION,
    Batch,
    RunConfig,
    no_rejects,
)
from shared.sync.rowversion import encode, is_malformed

Stage = Callable[[Batch, RunConfig], Batch]
BAD_VERSION = "the row version is not of its declared kind; correct the source or the entity's version"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A chunk's pages after every pure stage. `fetched` = rows + rejects + superseded.

    `rejects` has rejects.KEYED_SCHEMA; `key_hashes` and `versions` speak of every received row whose key is
    known, in no order of note; `changed` counts the values that rules altered, by (column, rule).
    """

    rows: pl.DataFrame
    rejects: pl.DataFrame
    raw: pl.DataFrame
    also_seen: pl.Series
    fetched: int
    superseded: int
    keyless: int
    keys: pl.DataFrame  # KEY_HASH, VERSION
    changed: Mapping[tuple[str, str], int]


class Stages:
    """The value stages of one run. `mask_key` keys the hash mask; None where no column asks for it."""

    def __init__(
        self,
        config: RunConfig,
        mask_key: bytes | None = None,
        masks: Mapping[int, Mapping[str, str | None]] | None = None,
        identify: Stage = identity.apply,
    ) -> None:
        """`masks`, by ROW and target name, are what rejects kept of their masked columns: they stay as they are."""
        self._config, self._mask_key, self._masks = config, mask_key, masks
        self._order: tuple[Stage, ...] = (
            contract.apply,
            self._coerce,
            text.apply,
            numbers.apply,
            dates.apply,
            self._map,
            identify,
        )

    def prepare(
        self,
        pages: Sequence[DecodedPage],
        versions: Sequence[pl.Series],
        settle_rows: Callable[[pl.DataFrame], Settled] = settle,
    ) -> Prepared:
        """Take the pages through every stage and settle the keys that stand twice.

        `versions` holds what `versions` gave for each page.
        """
        joined = join_pages(pages)
        versioned = joined.rows.with_columns(pl.concat(versions).alias(VERSION))
        typed = self._typed(joined, versioned)
        batch = self._identify(typed, self._config)
        described = rejects.keyed(batch.rejects, joined.rows, versioned, self._config, self._identify)
        settled = settle_rows(batch.rows)
        refused = rejects.keyed_from_rows(settled.rejects, batch.rows, joined.rows, self._config)
        return Prepared(
            rows=settled.rows,
            rejects=rejects.concat([described, refused]),
            raw=joined.rows,
            also_seen=self._also_seen(pages),
            fetched=sum(page.received for page in pages),
            superseded=settled.superseded,
            keyless=self._keyless(pages, described, joined.rejects.height),
            keys=pl.concat([batch.rows.select(KEY_HASH, VERSION), described.select(KEY_HASH, VERSION)]),
            changed=batch.changed,
        )

    def versions(self, page: DecodedPage) -> pl.Series:
        """A page's row versions in order-preserving form."""
        if self._config.version is None:
            return pl.Series(VERSION, [None] * page.frame.height, dtype=pl.String)
        return encode(page.frame[VERSION], self._config.version)

    def _identify(self, batch: Batch, config: RunConfig) -> Batch:
        for stage in self._order:
            batch = stage(batch, config)
        return batch

    def _coerce(self, batch: Batch, config: RunConfig) -> Batch:
        coerced = coerce.apply(batch, config)
        return replace(coerced, rows=masking.blinded(coerced.rows, config, self._mask_key))

    def _map(self, batch: Batch, config: RunConfig) -> Batch:
        if self._masks is None:
            return mapping.apply(batch, config, self._mask_key)
        return mapping.apply(
            batch, config, self._mask_key, lambda rows: masking.overlaid(rows, self._masks or {}, config)
        )

    def _typed(self, batch: Batch, versioned: pl.DataFrame) -> Batch:
        """The batch under its order-preserving versions, without the rows whose version is no version."""
        spec = self._config.version
        if spec is None:
            return Batch(versioned, batch.rejects)
        malformed = is_malformed(batch.rows[VERSION], versioned[VERSION])
        if not malformed.any():
            return Batch(versioned, batch.rejects)
        rows = versioned
        bad = rows.filter(malformed).select(
            ROW,
            pl.lit("coerce").alias("stage"),
            pl.lit(spec.column, pl.String).alias("column"),
            pl.lit("bad_version").alias("code"),
            pl.lit(BAD_VERSION).alias("message"),
            pl.lit(None, pl.String).alias("raw"),
        )
        refused = bad.select(pl.col(name).cast(dtype) for name, dtype in REJECT_SCHEMA.items())
        return Batch(rows.filter(~malformed), pl.concat([batch.rejects, refused]))

    def _also_seen(self, pages: Sequence[DecodedPage]) -> pl.Series:
        frames = [page.seen_also for page in pages if page.seen_also.height]
        if not frames:
            return pl.Series(KEY_HASH, [], dtype=pl.Binary)
        rows = concat_pages(frames).with_columns(pl.lit(None, pl.String).alias(VERSION))
        blank = Batch(rejects.blank_beside_key(rows, self._config), no_rejects())
        return self._identify(blank, self._config).rows[KEY_HASH]

    def _keyless(self, pages: Sequence[DecodedPage], described: pl.DataFrame, from_decoding: int) -> int:
        """Rejects that could be any row: unreadable ones, and those whose key itself failed."""
        unread = sum(page.keyless for page in pages)
        return unread + max(0, described[KEY_HASH].null_count() - from_decoding)
