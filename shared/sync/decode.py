"""Fetch, second half: the bytes of one answer become a raw frame.

In: the body of one page and the run's configuration. Out: DecodedPage: VERSION and c0..cN with the kinds JSON
held, rejects for rows that cannot be read, the envelope. A body that is no page raises SourceProtocolError. A
regular page goes straight to columns; any other is read exactly, and the two agree (a property test holds
them equal).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import xxhash
from numpy.typing import NDArray

from shared.sync import contract
from shared.sync.cells import (
    Cells,
    Column,
    IrregularPageError,
    absent_column,
    column,
    mixed,
)
from shared.sync.decode_columns import read_columns
from shared.sync.decode_rows import BAD_TEXT, Fault, read_rows
from shared.sync.masking import hidden_sources, scrubbed
from shared.sync.model import REJECT_SCHEMA, ROW, VERSION, Batch, RunConfig, no_rejects
from shared.sync.page_json import parse_envelope, protocol_error
from shared.sync.parsed_rows import DATA, KEYS, SECTIONS, TOP, VERSION_MEMBER, ParsedRows

KEY_MISMATCH = "key_mismatch"
MAX_RAW_CHARACTERS = 262_144
_MESSAGES = {
    "bad_text": "The text is not valid Unicode; correct it at the source.",
    "duplicate_json_key": "The row names one member twice; the connector must send each once.",
    "too_deep": "The row nests deeper than 200 levels; send it flatter.",
    "bad_number": "NaN and infinities are not JSON numbers; send null or a string.",
    "bad_row": "The row is not a JSON object; correct the connector's answer.",
    "key_mismatch": "The key in oracle_keys differs from the one in data; correct the connector's answer.",
}
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Envelope:
    """What an answer says beside its rows; None where it says nothing. Versions are as spelt."""

    total: int | None = None
    has_more: bool | None = None
    next_cursor: str | None = None
    offers_cursor: bool = False  # whether next_cursor is a member at all, be it null
    safe_rowversion: str | None = None
    page: int | None = None
    page_size: int | None = None


@dataclass(frozen=True, slots=True)
class DecodedPage:
    """One page as columns.

    `frame` has VERSION and c0..cN (the raw frame of the stages), `rejects` REJECT_SCHEMA with `raw` filled
    and ROW meaningless until join_pages. received = rows of frame + rejects. `seen_also` has `frame`'s
    columns and, for each key_mismatch, one row under the key of `data` and one under that of `oracle_keys`:
    both count as seen. `keyless` counts rejects whose key is unknown. `missing` names configured columns that
    no row held.
    """

    frame: pl.DataFrame
    rejects: pl.DataFrame
    envelope: Envelope
    received: int
    unknown_columns: frozenset[str]
    missing: tuple[str, ...]
    seen_also: pl.DataFrame
    keyless: int
    digest: int  # of the answer's rows, to recognise a page that came before


@dataclass(frozen=True, slots=True)
class _Flaws:
    """Which rows of a parsed page fall out, and why."""

    codes: dict[int, tuple[str, str]]  # row -> code, column
    oracle: dict[str, pl.Series]  # raw columns with the keys of oracle_keys


def decode_page(body: bytes, config: RunConfig) -> DecodedPage:
    """The page's rows by column, its rejects and its envelope; raises SourceProtocolError."""
    body = body.removeprefix(_BOM)
    try:
        rows, around = read_columns(body)
        return _page(rows, [], parse_envelope(around), config)
    except IrregularPageError:
        rows, faults, around = read_rows(body)
    envelope = parse_envelope(around)
    try:
        return _page(rows, faults, envelope, config)
    except IrregularPageError:
        raise protocol_error("a value in its rows is not JSON") from None


def concat_pages(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The pages' rows as one frame with ROW 0..n-1; columns that differ in dtype become {text, kind}."""
    plain = [frame.drop(ROW, strict=False) for frame in frames]
    if not plain:
        raise ValueError("a chunk needs at least one page")
    names = [name for name in plain[0].columns if len({frame.schema[name] for frame in plain}) > 1]
    for name in names:
        plain = [_promoted(frame, name, plain) for frame in plain]
    return pl.concat(plain, rechunk=False).with_row_index(ROW)


def join_pages(pages: Sequence[DecodedPage]) -> Batch:
    """A chunk's batch: rows numbered from 0 in page order, then the rejects with numbers of their own."""
    rows = concat_pages([page.frame for page in pages])
    rejects = pl.concat([page.rejects for page in pages])
    number = (pl.int_range(rejects.height, dtype=pl.UInt32) + rows.height).cast(pl.UInt32)
    return Batch(rows, rejects.with_columns(number.alias(ROW)))


def key_sources(config: RunConfig) -> frozenset[str]:
    """Names of the source columns that the business key is made of."""
    names = {column.name for column in config.source_columns}
    parts = (config.target_columns[position].expression.args for position in config.key_positions)
    return frozenset(argument for args in parts for argument in args if argument in names)


def _promoted(frame: pl.DataFrame, name: str, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    # An all-null column comes as String and takes whatever type the other pages give it.
    others = {each.schema[name] for each in frames if each.height and each[name].null_count() < each.height}
    if len(others) <= 1:
        dtype = next(iter(others), pl.String())
        if frame.schema[name] == dtype:
            return frame
        if frame[name].null_count() == frame.height and not isinstance(dtype, pl.Struct):
            return frame.with_columns(pl.lit(None, dtype=dtype).alias(name))
    return frame.with_columns(mixed(frame[name]).alias(name))


def _page(
    rows: ParsedRows, faults: Sequence[Fault], envelope: dict[str, object], config: RunConfig
) -> DecodedPage:
    built = _columns(rows, config)
    flaws = _flaws(rows, built, config)
    frame = _frame(rows, {name: held.series for name, held in built.items()}, config)
    out = sorted(flaws.codes)
    rejects = _rejects(rows, flaws, faults, config)
    mismatched = [row for row in out if flaws.codes[row][0] == KEY_MISMATCH]
    known = {column.name for column in config.source_columns} | {
        config.version.column if config.version else None
    }
    held = {name for section, name in rows.cells if section == _data_section(rows)}
    unknown = frozenset(held - known - ({*SECTIONS, VERSION_MEMBER} if _is_flat(rows) else set()))
    frame = _held_to_contract(frame, rows, unknown, config)
    return DecodedPage(
        frame=_without(frame, out),
        rejects=pl.DataFrame(rejects, schema=dict(REJECT_SCHEMA), orient="row") if rejects else no_rejects(),
        envelope=_envelope(envelope),
        received=rows.height + len(faults),
        unknown_columns=unknown,
        missing=_missing(rows, config),
        seen_also=_seen_also(frame, flaws, mismatched, config),
        keyless=len(rejects) - len(mismatched),
        digest=_digest(rows, faults),
    )


def _held_to_contract(
    frame: pl.DataFrame, rows: ParsedRows, unknown: frozenset[str], config: RunConfig
) -> pl.DataFrame:
    strangers = contract.strangers(unknown, config)
    section = _data_section(rows)
    present = {name: ~rows.cells[section, name].absent for name in strangers}
    # The raw row would carry the values of masked columns past their masks.
    masked = any(column.mask != "none" for column in config.target_columns)
    if not strangers or masked:
        return contract.marked(frame, config, present, None)
    carriers = np.logical_or.reduce(list(present.values()))
    raw = [_ascii(rows.raw(row)) if carries else None for row, carries in enumerate(carriers.tolist())]
    return contract.marked(frame, config, present, raw)


def _is_flat(rows: ParsedRows) -> bool:
    return not any(section == DATA for section, _ in rows.cells) and (TOP, DATA) not in rows.cells


def _data_section(rows: ParsedRows) -> str:
    return TOP if _is_flat(rows) else DATA


def _columns(rows: ParsedRows, config: RunConfig) -> dict[tuple[str, str], Column]:
    """Every member as a column; members nobody asked for are read too, to know that the page is JSON."""
    sections = {(TOP, name) for name in SECTIONS}
    built = {name: column(cells) for name, cells in rows.cells.items() if name not in sections}
    section = _data_section(rows)
    for name in key_sources(config) & {name for where, name in rows.cells if where == KEYS}:
        data, keys = rows.cells.get((section, name)), rows.cells[KEYS, name]
        built[section, name] = column(_filled(data, keys)) if data is not None else built[KEYS, name]
    return built


def _filled(data: Cells, keys: Cells) -> Cells:
    absent = data.absent
    if not absent.any():
        return data
    text = data.text.zip_with(pl.Series(~absent), keys.text)
    return Cells(
        text, np.where(absent, keys.first, data.first).astype(np.uint8), data.escaped or keys.escaped
    )


def _flaws(rows: ParsedRows, built: dict[tuple[str, str], Column], config: RunConfig) -> _Flaws:
    section = _data_section(rows)
    codes: dict[int, tuple[str, str]] = {}
    oracle: dict[str, pl.Series] = {}
    for name in sorted(key_sources(config)):
        if (KEYS, name) in rows.cells and (section, name) in rows.cells:
            differs = _differs(rows, built, section, name)
            codes |= dict.fromkeys(differs, (KEY_MISMATCH, name))
            oracle[name] = built[KEYS, name].series
    for (_, name), held in built.items():
        codes |= dict.fromkeys(held.broken, (BAD_TEXT, name))
    return _Flaws(codes, oracle)


def _differs(rows: ParsedRows, built: dict[tuple[str, str], Column], section: str, name: str) -> list[int]:
    ours, theirs = built[section, name].text, built[KEYS, name].text
    differs = ours.ne_missing(theirs) & pl.Series(~rows.cells[KEYS, name].absent)
    where: list[int] = differs.arg_true().to_list()
    return where


def _frame(rows: ParsedRows, built: dict[tuple[str, str], pl.Series], config: RunConfig) -> pl.DataFrame:
    section, empty = _data_section(rows), absent_column(rows.height).series
    columns = {VERSION: _version(rows, built, config, empty)}
    for position, source in enumerate(config.source_columns):
        columns[f"c{position}"] = built.get((section, source.name), empty)
    return pl.DataFrame(columns)


def _version(
    rows: ParsedRows, built: dict[tuple[str, str], pl.Series], config: RunConfig, empty: pl.Series
) -> pl.Series:
    named = config.version.column if config.version else None
    held = built.get((_data_section(rows), named)) if named else None
    if held is None:
        held = built.get((TOP, VERSION_MEMBER), empty)
    return held.struct.field("text") if held.dtype.base_type() == pl.Struct else held.cast(pl.String)


def _missing(rows: ParsedRows, config: RunConfig) -> tuple[str, ...]:
    if not rows.height:
        return ()
    section, keys = _data_section(rows), key_sources(config)
    held = {name for where, name in rows.cells if where == section}
    held |= {name for where, name in rows.cells if where == KEYS} & keys
    return tuple(column.name for column in config.source_columns if column.name not in held)


def _without(frame: pl.DataFrame, rows: Sequence[int]) -> pl.DataFrame:
    if not rows:
        return frame
    keep: NDArray[np.bool_] = np.ones(frame.height, dtype=np.bool_)
    keep[np.array(rows)] = False
    return frame.filter(pl.Series(keep))


def _seen_also(
    frame: pl.DataFrame, flaws: _Flaws, mismatched: Sequence[int], config: RunConfig
) -> pl.DataFrame:
    if not mismatched:
        return frame.clear()
    positions = {column.name: f"c{i}" for i, column in enumerate(config.source_columns)}
    theirs = frame.with_columns(series.alias(positions[name]) for name, series in flaws.oracle.items())
    picked = pl.Series(list(mismatched), dtype=pl.UInt32)
    return concat_pages([frame[picked], theirs[picked]]).drop(ROW)


def _rejects(
    rows: ParsedRows, flaws: _Flaws, faults: Sequence[Fault], config: RunConfig
) -> list[tuple[object, ...]]:
    """Rejects with the bytes that came; where a column is masked, with what of them may be kept."""
    found = [(code, name, rows.raw(row)) for row, (code, name) in sorted(flaws.codes.items())]
    found += [(fault.code, None, fault.raw) for fault in faults]  # type: ignore[misc]  # a fault names no column
    if found and hidden_sources(config):
        found = [(code, name, scrubbed(raw, config)) for code, name, raw in found]
    return [_reject(code, name, raw) for code, name, raw in found]


def _reject(code: str, name: str | None, raw: bytes) -> tuple[object, ...]:
    return (0, "fetch", name, code, _MESSAGES[code], _ascii(raw))


def _ascii(raw: bytes) -> str:
    """JSON in ASCII where the row is JSON, else a JSON string of what its bytes look like."""
    shown = raw[:MAX_RAW_CHARACTERS]
    try:
        text = shown.decode("utf-8")
    except UnicodeDecodeError:
        return json.dumps(shown.decode("utf-8", "backslashreplace"))
    if len(shown) < len(raw):
        return json.dumps(text)
    return "".join(map(_ascii_character, text)) if not text.isascii() else text


def _ascii_character(character: str) -> str:
    return character if character.isascii() else json.dumps(character)[1:-1]


def _digest(rows: ParsedRows, faults: Sequence[Fault]) -> int:
    hashed = xxhash.xxh3_64(b"\n".join(fault.raw for fault in faults))
    if rows.height:
        hashed.update(rows.body[int(rows.row_starts[0]) : int(rows.row_ends[-1])])
    return hashed.intdigest()


def _envelope(members: dict[str, object]) -> Envelope:
    cursor = members.get("next_cursor")
    return Envelope(
        total=_count(members, "total"),
        has_more=_flag(members, "has_more"),
        next_cursor=_text(members, "next_cursor") or None if cursor is not None else None,
        offers_cursor="next_cursor" in members,
        safe_rowversion=_text(members, "safe_rowversion"),
        page=_count(members, "page"),
        page_size=_count(members, "page_size"),
    )


def _count(members: dict[str, object], name: str) -> int | None:
    value = members.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value.isascii() or not value.isdigit() or len(value) > 18:
        raise protocol_error(f"its member '{name}' is not a count")
    return int(value)


def _flag(members: dict[str, object], name: str) -> bool | None:
    value = members.get(name)
    if value is not None and not isinstance(value, bool):
        raise protocol_error(f"its member '{name}' is neither true nor false")
    return value


def _text(members: dict[str, object], name: str) -> str | None:
    value = members.get(name)
    if value is not None and not isinstance(value, str):
        raise protocol_error(f"its member '{name}' is neither text nor a number")
    return str(value) if value is not None else None
