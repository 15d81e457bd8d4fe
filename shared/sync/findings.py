"""Why a value stage turns a row away, and the bookkeeping that stages share.

A stage opens `Findings`, notes masks of rows it rejects and counts of values a rule changed, and closes them
into the next Batch. Messages are constant per code and column: they never hold a value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from shared.sync.model import REJECT_SCHEMA, ROW, Batch

MESSAGES: Mapping[str, str] = {
    # contract
    "unknown_column": (
        "the entity's contract does not know this column; take it out at the source, or let the contract evolve"
    ),
    # coerce
    "wrong_kind": (
        "the JSON value is of another kind than the column's type; correct the type or the connector"
    ),
    "bad_boolean": "the value is none of true_values or false_values; add its spelling to one of them",
    "bad_uuid": (
        "the value is not a UUID of 32 hexadecimal digits; correct it at the source or load it as text"
    ),
    "bad_bytes": (
        "the value is not hexadecimal text of whole bytes; correct it at the source or load it as text"
    ),
    "bad_json": "the value is not one JSON document; correct it at the source or load the column as text",
    "json_number": "a number inside the JSON is beyond what jsonb holds; load the column as text",
    # text
    "nul": (
        "the text holds NUL, which PostgreSQL cannot store; "
        "clean it at the source or set control to strip_nul"
    ),
    "too_long": "the value is longer than the column; widen the column's type or shorten it at the source",
    # numbers
    "bad_number": (
        "the value is not a number as the rules spell one; check decimal_separator and group_separator"
    ),
    "bad_grouping": "group separators do not part exact groups of three digits; check both separators",
    "bad_digits": "the value holds digits other than 0 to 9; convert them at the source",
    "not_finite": (
        "NaN and infinities have no place in this type; correct it or load the column as double precision"
    ),
    "too_many_digits": (
        "the number has more decimal places than the column; raise the scale, nothing is rounded"
    ),
    "out_of_range": "the value lies outside what the column holds; widen the column's type",
    # dates
    "bad_date": "the value is no date or time in any accepted format; add its pattern to formats",
    "day_month_order": "day and month cannot be told apart; name the order in formats, for example %d.%m.%Y",
    "two_digit_year": "the year has two digits and no format says which century; add a pattern with %y",
    "zero_date": "year, month or day is zero; map the value with sentinels or correct it at the source",
    "bc_date": "the date lies before year 1; map it with sentinels or correct it at the source",
    "other_calendar": (
        "the year belongs to another calendar or is an error; convert it or map it with sentinels"
    ),
    "hour_24": "24:00:00 is not a time of its day; send 00:00:00 of the next day or map it with sentinels",
    "leap_second": "second 60 cannot be stored; send the second before or after",
    "dst_gap": "the local time was skipped by a change of clocks; correct it or send an offset",
    "dst_fold": "the local time happened twice; set ambiguous to earliest or latest, or send an offset",
    "zone_missing": "the time names no offset and the column no zone; set timezone",
    "zone_unexpected": (
        "the time carries an offset but the column has no zone; set timezone or load as timestamptz"
    ),
    "too_precise": "the time has digits beyond microseconds; set fraction to truncate to drop them",
    "time_in_date": "the date carries a time of day that the column would lose; load the column as timestamp",
    "no_such_day": "serial day 60 is 29 February 1900, which never was; correct it at the source",
    # mapping, identity
    "null_key": "a business key column is NULL; correct the row or choose other key columns",
    "key_too_long": (
        "the business key exceeds 2,600 bytes, more than an index takes; choose shorter key columns"
    ),
}


def message(code: str, column: str | None) -> str:
    """The constant sentence for a code, naming the column where there is one."""
    return f"column {column}: {MESSAGES[code]}" if column is not None else MESSAGES[code]


@dataclass(slots=True)
class Findings:
    """What one stage found: rejects in the order found (the first of a row counts), and changed values."""

    stage: str
    rejects: list[tuple[str | None, str, pl.Series]] = field(default_factory=list)
    changed: dict[tuple[str, str], int] = field(default_factory=dict)

    def reject(self, column: str | None, code: str, where: pl.Series) -> None:
        """Rejects the rows where the mask is true; null counts as false."""
        if where.any():
            self.rejects.append((column, code, where.fill_null(False)))

    def reject_codes(self, column: str, codes: pl.Series) -> None:
        """Rejects each row by the code standing in it; null rows are good."""
        for code in codes.drop_nulls().unique(maintain_order=True):
            self.reject(column, code, codes == code)

    def change(self, column: str, rule: str, count: int) -> None:
        """Adds to the number of values `rule` altered in `column`."""
        if count:
            self.changed[column, rule] = self.changed.get((column, rule), 0) + count

    def close(self, batch: Batch, rows: pl.DataFrame) -> Batch:
        """The batch after this stage: `rows` (same order as the masks) less the rejected ones."""
        changed = {**batch.changed}
        for key, count in self.changed.items():
            changed[key] = changed.get(key, 0) + count
        if not self.rejects:
            return Batch(rows, batch.rejects, changed)
        bad = self.rejects[0][2]
        for _, _, where in self.rejects[1:]:
            bad = bad | where
        return Batch(rows.filter(~bad), pl.concat([batch.rejects, self._frame(rows[ROW])]), changed)

    def _frame(self, numbers: pl.Series) -> pl.DataFrame:
        parts = [
            pl.DataFrame({ROW: numbers.filter(where)}).with_columns(
                pl.lit(self.stage).alias("stage"),
                pl.lit(column, pl.String).alias("column"),
                pl.lit(code).alias("code"),
                pl.lit(message(code, column)).alias("message"),
                pl.lit(None, pl.String).alias("raw"),
            )
            for column, code, where in self.rejects
        ]
        frame = pl.concat(parts).unique(ROW, keep="first", maintain_order=True)
        return frame.cast(dict(REJECT_SCHEMA))  # type: ignore[arg-type]  # polars types the mapping's key too narrowly
