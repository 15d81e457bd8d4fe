"""Stage 2, coercion: JSON values become the kind their column declares, or the row rejects.

Enters the raw frame (String, Int64, Boolean, Struct {text, kind} or a native dtype a column). Leaves TEXT,
BYTES, BOOLEAN, UUID and JSON columns in their own dtype; numbers and dates go on as they came, their kinds
checked. RAW_KEY is taken here, before any rule touches the key.
"""

import json
import re

import polars as pl
import polars_hash as plh

from shared.sync import text
from shared.sync.findings import Findings
from shared.sync.model import RAW_KEY, Batch, Kind, Rules, RunConfig, SourceColumn
from shared.sync.numbers import translated
from shared.sync.types import column_type

STRING, NUMBER, BOOLEAN, NESTED = 1, 2, 3, 4
_UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_JSON_EXPONENT = 1_000  # jsonb holds numerics of 131,072 digits; nothing useful is near that


def apply(batch: Batch, config: RunConfig) -> Batch:
    """The batch with every column of a JSON kind its type allows, and RAW_KEY."""
    found = Findings("coerce")
    columns = [_raw_key(batch.rows, config)]
    for position, column in enumerate(config.source_columns):
        values = batch.rows[f"c{position}"]
        columns.append(read_column(values, column, config, found).alias(f"c{position}"))
    return found.close(batch, batch.rows.with_columns(columns))


def key_positions(config: RunConfig) -> tuple[int, ...]:
    """Positions of the source columns that the business key is made of."""
    positions = {column.name: i for i, column in enumerate(config.source_columns)}
    named = [name for i in config.key_positions for name in config.target_columns[i].expression.args]
    return tuple(dict.fromkeys(positions[name] for name in named if name in positions))


def _raw_key(rows: pl.DataFrame, config: RunConfig) -> pl.Series:
    """A hash of the key as the source spelt it; null members count as empty, such rows reject later."""
    spelt = [_spelling(rows[f"c{position}"]).fill_null("") for position in key_positions(config)]
    if not spelt:
        return pl.repeat(0, rows.height, dtype=pl.UInt64, eager=True).alias(RAW_KEY)
    frame = pl.DataFrame([series.alias(str(i)) for i, series in enumerate(spelt)])
    whole = pl.col("0")
    if len(spelt) > 1:
        parts = [
            p
            for s in frame.columns
            for p in (pl.col(s).str.len_bytes().cast(pl.String), pl.lit(":"), pl.col(s))
        ]
        whole = pl.concat_str(parts)
    return frame.select(whole.alias(RAW_KEY)).select(plh.col(RAW_KEY).nchash.xxh3_64()).to_series()


def _spelling(values: pl.Series) -> pl.Series:
    if isinstance(values.dtype, pl.Struct):
        return values.struct.field("text")
    if values.dtype == pl.Binary:
        return values.bin.encode("hex")
    return values if values.dtype == pl.String else values.cast(pl.String)


def read_column(values: pl.Series, column: SourceColumn, config: RunConfig, found: Findings) -> pl.Series:
    """One column's values, their JSON kinds checked; all but numbers and dates in their own dtype."""
    kind = column.type.kind
    if values.dtype == pl.Null:
        values = values.cast(pl.String)
    values = _allowed(values, column, config, found)
    match kind:
        case Kind.TEXT:
            return _spelling(values)
        case Kind.BOOLEAN:
            return values if values.dtype == pl.Boolean else _booleans(values, column, found)
        case Kind.UUID:
            return _uuids(_settled(values, column, found), column, found)
        case Kind.BYTES:
            return (
                values
                if values.dtype == pl.Binary
                else _bytes(_settled(values, column, found), column, found)
            )
        case Kind.JSON:
            return _json(values, column, found)
        case _:
            return values


def _allowed(values: pl.Series, column: SourceColumn, config: RunConfig, found: Findings) -> pl.Series:
    """Rejects JSON kinds that the column's type has no reading for; such cells become null."""
    allowed = _kinds(column, config)
    if isinstance(values.dtype, pl.Struct):
        kinds = values.struct.field("kind")
        present = kinds.unique().to_list()
        bad = [kind for kind in present if kind and kind not in allowed]
        if bad:
            wrong = kinds.is_in(bad)
            found.reject(column.name, "wrong_kind", wrong)
            return _blanked(values, wrong)
        return values
    only = {pl.String(): STRING, pl.Int64(): NUMBER, pl.Boolean(): BOOLEAN}.get(values.dtype)
    if only is not None and only not in allowed:
        found.reject(column.name, "wrong_kind", values.is_not_null())
        return pl.repeat(None, len(values), dtype=pl.String, eager=True)
    return values


def _blanked(values: pl.Series, wrong: pl.Series) -> pl.Series:
    none = pl.repeat(None, len(values), dtype=pl.String, eager=True)
    texts = values.struct.field("text").zip_with(~wrong, none)
    kinds = values.struct.field("kind").zip_with(
        ~wrong, pl.repeat(0, len(values), dtype=pl.UInt8, eager=True)
    )
    return pl.DataFrame([texts.alias("text"), kinds.alias("kind")]).to_struct()


def _kinds(column: SourceColumn, config: RunConfig) -> tuple[int, ...]:
    kind = column.type.kind
    if kind in (Kind.UUID, Kind.BYTES):
        return (STRING,)
    if kind is Kind.BOOLEAN:
        return (STRING, NUMBER, BOOLEAN)
    if kind is Kind.JSON or (kind is Kind.TEXT and column_type(column.data_type, config.dialect)[1]):
        return (STRING, NUMBER, BOOLEAN, NESTED)  # a type we don't know loads as the text it has
    if kind is Kind.TEXT:
        return (STRING, NUMBER, BOOLEAN)
    return (STRING, NUMBER)


def _settled(values: pl.Series, column: SourceColumn, found: Findings) -> pl.Series:
    return text.settle(_spelling(values), column.rules, column.name, found)


def _booleans(values: pl.Series, column: SourceColumn, found: Findings) -> pl.Series:
    rules, texts = column.rules, _spelling(values)
    if rules.null_values or rules.sentinels:
        texts = text.settle(texts, rules, column.name, found)
    result = _truth(texts, rules)
    if result.null_count() == texts.null_count():
        return result
    odd = result.is_null() & texts.is_not_null()
    settled = text.settle(_keep(texts, odd), rules, column.name, found)
    late = _truth(settled, rules)
    found.reject(column.name, "bad_boolean", late.is_null() & settled.is_not_null())
    return result.zip_with(~odd, late)


def _keep(texts: pl.Series, where: pl.Series) -> pl.Series:
    return texts.zip_with(where, pl.repeat(None, len(texts), dtype=pl.String, eager=True))


def _truth(texts: pl.Series, rules: Rules) -> pl.Series:
    """True and false by their words, null for anything else."""
    true, false = _among(texts, rules.true_values[:1]), _among(texts, rules.false_values[:1])
    known = true | false
    if not known.all():
        true, false = _among(texts, rules.true_values), _among(texts, rules.false_values)
        known = true | false
    return true if known.all() else true.set((~known).fill_null(False), None)


def _among(texts: pl.Series, words: tuple[str, ...]) -> pl.Series:
    # comparing views of short words is ten times cheaper than a lookup
    result = texts == words[0]
    for word in words[1:]:
        result = result | (texts == word)
    return result


def _uuids(texts: pl.Series, column: SourceColumn, found: Findings) -> pl.Series:
    lower = texts.str.to_lowercase()
    if lower.str.contains(_UUID).all():
        return lower
    bare = lower.str.replace(r"^\{(.*)\}$", "$1").str.replace_all("-", "", literal=True)
    shaped = lower.str.contains(r"^(\{[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}|[0-9a-f]{32})$|" + _UUID)
    found.reject(column.name, "bad_uuid", ~shaped)
    parts = [bare.str.slice(start, length) for start, length in ((0, 8), (8, 4), (12, 4), (16, 4), (20, 12))]
    frame = pl.DataFrame([part.alias(str(i)) for i, part in enumerate(parts)])
    return _keep(frame.select(pl.concat_str(pl.all(), separator="-")).to_series(), shaped.fill_null(False))


def _bytes(texts: pl.Series, column: SourceColumn, found: Findings) -> pl.Series:
    """Hexadecimal text, bare or after 0x (SQL Server) or \\x (PostgreSQL)."""
    good = texts.str.contains(r"^(0x|0X|\\x)?([0-9A-Fa-f]{2})*$")
    found.reject(column.name, "bad_bytes", ~good)
    digits = _keep(texts, good.fill_null(False)).str.replace(r"^(0x|0X|\\x)", "")
    data = digits.str.decode("hex", strict=False)
    if column.type.length is not None:
        found.reject(column.name, "too_long", data.bin.size() > column.type.length)
    return data


def _json(values: pl.Series, column: SourceColumn, found: Findings) -> pl.Series:
    """JSON text: values as sent, JSON strings as the document they spell."""
    texts = _spelling(values)
    if isinstance(values.dtype, pl.Struct):
        strings = values.struct.field("kind") == STRING
    else:
        strings = pl.repeat(values.dtype == pl.String, len(values), dtype=pl.Boolean, eager=True)
    texts = text.nulls(texts, column.rules, column.name, found)
    # a document the decoder has read needs a second look only for what jsonb alone refuses
    suspect = strings | texts.str.contains(
        r"\\u(0000|[dD][89a-fA-F])|[eE][+-]?[0-9]{3,}|[0-9]{500,}"
    ).fill_null(False)
    odd = _keep(texts, suspect)
    read = {spelt: _document(spelt) for spelt in odd.drop_nulls().unique(maintain_order=True).to_list()}
    if not read:
        return texts
    found.reject_codes(column.name, translated(odd, {k: v[1] for k, v in read.items()}))
    return texts.zip_with(~suspect, translated(odd, {k: v[0] for k, v in read.items()}))


class _RefusedError(Exception):
    """The document is JSON, but jsonb would refuse it."""


def _number(spelt: str) -> int:
    exponent = re.search(r"[eE][+-]?0*([0-9]+)$", spelt)
    if len(spelt) > _JSON_EXPONENT or (exponent and len(exponent[1]) > 3):
        raise _RefusedError("json_number")
    return 0


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise _RefusedError("bad_json")
    return dict(pairs)


def _constant(_: str) -> None:
    raise _RefusedError("bad_json")


def _document(spelt: str) -> tuple[str | None, str | None]:
    try:
        document = json.loads(
            spelt, parse_float=_number, parse_int=_number, parse_constant=_constant, object_pairs_hook=_pairs
        )
        _refuse_text(document)
    except _RefusedError as error:
        return None, str(error)
    except (ValueError, RecursionError):
        return None, "bad_json"
    return _compact(spelt), None


def _refuse_text(document: object) -> None:
    """Raises for NUL and lone surrogates, wherever in the document."""
    waiting = [document]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str) and "\0" in part:
            raise _RefusedError("nul")
        if isinstance(part, str) and any("\ud800" <= c <= "\udfff" for c in part):
            raise _RefusedError("bad_json")
        if isinstance(part, dict):
            waiting += [*part.keys(), *part.values()]
        elif isinstance(part, list):
            waiting += part


def _compact(spelt: str) -> str:
    """The document without blanks between its tokens, every token as spelt."""
    return "".join(re.findall(r'"(?:[^"\\]|\\.)*"|[^\s"]+', spelt))
