"""Values as the wire carries them: raw JSON text, ordered keys, row versions in the source's spelling."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

import msgspec

from infra.local.sample_erp.errors import ErpError
from infra.local.sample_erp.schema import TableSpec, VersionKind

# A row as texts of JSON values by member name: numbers keep every digit they came with.
RawRow = dict[str, str]

_VERSION_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_RAW_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Json:
    """JSON text to be sent exactly as written, e.g. `Json("1.50")` or the invalid `Json("NaN")`."""

    text: str


def json_text(value: object) -> str:
    """The JSON text of a Python value; a Decimal keeps its digits, a lone surrogate becomes an escape."""
    if isinstance(value, Json):
        return value.text
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    if isinstance(value, Decimal):
        return str(value)
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def raw_row(row: Mapping[str, object]) -> RawRow:
    """Every value of a row as its JSON text."""
    return {member: json_text(value) for member, value in row.items()}


def object_text(row: RawRow) -> str:
    """One JSON object in the row's member order."""
    return "{" + ",".join(f"{json_text(member)}:{text}" for member, text in row.items()) + "}"


def parse_object(text: str) -> RawRow:
    """The members of a JSON object, each value's text untouched; ErpError for text a test made unreadable."""
    try:
        return {member: bytes(raw).decode() for member, raw in _RAW_OBJECT.decode(text.encode()).items()}
    except msgspec.DecodeError:
        return _parse_leniently(text)


def _parse_leniently(text: str) -> RawRow:
    """As above, with what the strict decoder refuses even raw: lone surrogates, NaN, infinities."""
    scan, place, row = json.JSONDecoder().raw_decode, 1, RawRow()
    try:
        while text[place] != "}":
            member, end = scan(text, place)
            _, place = scan(text, end + 1)
            row[member] = text[end + 1 : place]
            place += text[place] == ","
    except (ValueError, IndexError) as error:
        raise ErpError("the stored row isn't JSON any more; delete it and insert it anew") from error
    return row


def sort_key(spec: TableSpec, keys: RawRow) -> bytes:
    """Injective bytes that order rows: numbers by value, texts by code point, NULL first."""
    return b"".join(_sort_part(keys[member], spec.column(member).is_numeric) for member in spec.keys)


def _sort_part(text: str, numeric: bool) -> bytes:
    if text == "null":
        return b"\x01\x00"
    value = json.loads(text, parse_int=str, parse_float=str)
    shown = value if isinstance(value, str) else text
    part = _sort_number(shown) if numeric else shown
    # A NUL ends each part, so a NUL inside one is escaped: ("a", "b") never meets ("ab", "").
    return b"\x02" + part.encode("utf-8", "surrogatepass").replace(b"\x00", b"\x00\xff") + b"\x00"


def _sort_number(text: str) -> str:
    """Twenty digits before the point; a minus orders before digits, and complemented digits reverse."""
    try:
        number = Decimal(text).normalize()
    except InvalidOperation:
        return text
    whole, _, fraction = f"{abs(number):f}".partition(".")
    padded = whole.zfill(20) + ("." + fraction if fraction else "")
    if number >= 0:
        return padded
    return "-" + padded.translate(str.maketrans("0123456789", "9876543210")) + "~"


def show_version(number: int, kind: VersionKind) -> str:
    """A row version as the source spells it; order is kept within a kind."""
    if kind == "hex":
        return f"0x{number:016X}"
    if kind == "timestamp":
        moment = _VERSION_EPOCH + timedelta(milliseconds=number)
        return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return f"v{number:012d}" if kind == "text" else str(number)


def read_version(text: str, kind: VersionKind) -> int:
    """The counter behind a spelled row version: the greatest one not above it."""
    try:
        return _parse_version(text, kind)
    except ValueError as error:
        raise ErpError(
            f"rowversion_gt isn't a {kind} row version; send one this table's rows carried"
        ) from error


def _parse_version(text: str, kind: VersionKind) -> int:
    if kind == "hex":
        return int(text, 16)
    if kind == "timestamp":
        moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (aware - _VERSION_EPOCH) // timedelta(milliseconds=1)
    return int(text.removeprefix("v")) if kind == "text" else int(text)
