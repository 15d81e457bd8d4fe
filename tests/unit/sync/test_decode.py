"""A page's bytes become columns: exact numbers, kinds kept, one broken row costs one row."""

import contextlib
import gc
import json
import threading
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import SourceProtocolError
from shared.sync import spans
from shared.sync.cells import MIXED, IrregularPageError, column
from shared.sync.decode import DecodedPage, concat_pages, decode_page, join_pages, key_sources
from shared.sync.decode_columns import read_columns
from shared.sync.model import (
    REJECT_SCHEMA,
    ROW,
    VERSION,
    ColumnType,
    Expression,
    Kind,
    RunConfig,
    SourceColumn,
    TargetColumn,
    VersionSpec,
)

TEXT = ColumnType(Kind.TEXT)


def config(*names: str, version: VersionSpec | None = None) -> RunConfig:
    """A run over these columns, the first of them the key."""
    return RunConfig(
        entity_uid="00000000-0000-0000-0000-000000000001",
        slug="s",
        strategy="hash",
        dialect="oracle",
        source_columns=tuple(SourceColumn(name, "VARCHAR2(9)", TEXT) for name in names),
        target_columns=tuple(
            TargetColumn(f"x{i}", TEXT, i == 0, i > 0, Expression("rename", (name,)))
            for i, name in enumerate(names)
        ),
        target_schema="public",
        target_table="s",
        version=version,
        pagination=None,
        ordered_by_rowversion=False,
        page_size=10,
        overlap=0,
        delete_guard_percent=10.0,
        delete_after_missing=2,
    )


def wrapped(*datas: str, tail: str = "") -> bytes:
    """A page whose rows hold these `data` texts."""
    listed = ",".join(f'{{"row_version":"{i}","data":{data}}}' for i, data in enumerate(datas))
    return f'{{"rows":[{listed}]{tail}}}'.encode()


def both_ways(body: bytes, run: RunConfig) -> DecodedPage:
    """The page, after checking that the quick way reads it and the exact way agrees."""
    read_columns(body)
    quick = decode_page(body, run)
    exact = decode_page(body.replace(b'{"rows":[', b'{"rows":[\n', 1), run)
    assert quick.frame.equals(exact.frame) and quick.frame.schema == exact.frame.schema
    return quick


def test_kinds_of_json_become_their_own_dtypes() -> None:
    body = wrapped(
        '{"k":"a","i":1,"b":true,"n":null}', '{"k":null,"i":-9223372036854775808,"b":null,"n":null}'
    )
    frame = both_ways(body, config("k", "i", "b", "n")).frame
    assert frame.dtypes == [pl.String, pl.String, pl.Int64, pl.Boolean, pl.String]
    assert frame.rows() == [("0", "a", 1, True, None), ("1", None, -(2**63), None, None)]


def test_numbers_keep_their_exact_text() -> None:
    spelt = ["1", "1.50", "1e5", "-0", "123456789012345678901234567890", "0.10", "9" * 5000]
    frame = both_ways(wrapped(*(f'{{"k":{text}}}' for text in spelt)), config("k")).frame
    assert frame["c0"].dtype == MIXED
    assert frame["c0"].struct.field("text").to_list() == spelt
    assert frame["c0"].struct.field("kind").to_list() == [2] * len(spelt)


def test_mixed_kinds_are_told_apart() -> None:
    body = wrapped('{"k":"1"}', '{"k":1}', '{"k":true}', '{"k":{"a": [1.50]}}', '{"k":null}', "{}")
    frame = decode_page(body, config("k")).frame
    assert frame["c0"].struct.field("kind").to_list() == [1, 2, 3, 4, 0, 0]
    assert frame["c0"].struct.field("text").to_list() == ["1", "1", "true", '{"a":[1.50]}', None, None]


@pytest.mark.parametrize(
    ("spelt", "value"),
    [
        (r"a\"b", 'a"b'),
        (r"\\", "\\"),
        (r"\\\"", '\\"'),
        (r"\u00e9\n", "é\n"),
        (r"\ud83d\ude00", "😀"),
        (r"\u0000", "\0"),
        ("é😀", "é😀"),
        (r"\":", '":'),
        ("},{", "},{"),
        ('\\"},{\\"k\\":\\"', '"},{"k":"'),
        ("]", "]"),
        ("", ""),
    ],
)
def test_strings_are_unescaped(spelt: str, value: str) -> None:
    body = wrapped('{"k":"x","v":1}', f'{{"k":"{spelt}","v":2}}', '{"k":"y","v":3}')
    assert both_ways(body, config("k", "v")).frame["c0"].to_list() == ["x", value, "y"]


BROKEN_ROWS = {
    "bad_text": [rb'{"k":"\ud800","v":1}', b'{"k":"\xff","v":1}', rb'{"k":"a","v":{"x":"\udc00"}}'],
    "duplicate_json_key": [b'{"k":"a","k":"b","v":1}', b'{"k":"a","v":{"x":1,"x":2}}', b'{"k":"a","k" :"b"}'],
    "too_deep": [b'{"k":' + b"[" * 100_000 + b"]" * 100_000 + b"}"],
    "bad_number": [b'{"k":"a","v":NaN}', b'{"k":"a","v":-Infinity}'],
    "bad_row": [b'{"k":01}', b'{"k":"a" "v":1}', b'{"k":"a\nb"}', b'{"k":tru}', rb'{"k":"\x"}'],
}


@pytest.mark.parametrize(
    ("code", "data"), [(code, data) for code, datas in BROKEN_ROWS.items() for data in datas]
)
def test_broken_row_costs_only_itself(code: str, data: bytes) -> None:
    good = [b'{"data":{"k":"%d","v":1}}' % i for i in range(5)]
    page = decode_page(
        b'{"rows":[' + b",".join([*good[:3], b'{"data":' + data + b"}", *good[3:]]) + b"]}", config("k", "v")
    )
    assert page.frame["c0"].to_list() == ["0", "1", "2", "3", "4"]
    assert page.received == 6 and page.keyless == 1
    found = page.rejects.row(0, named=True)
    assert found["stage"] == "fetch" and found["code"] == code and found["raw"].isascii()


@pytest.mark.parametrize("piece", [b"null", b"5", b'"x"'])
def test_row_that_is_no_object_is_a_reject(piece: bytes) -> None:
    page = decode_page(b'{"rows":[{"data":{"k":"a"}},' + piece + b"]}", config("k"))
    assert page.frame.height == 1
    assert page.rejects["code"].to_list() == ["bad_row"]


def test_lone_surrogate_in_a_regular_page_names_its_column() -> None:
    page = decode_page(
        wrapped('{"k":"a","v":"b"}', '{"k":"c","v":"\\ud800"}', '{"k":"d","v":"e"}'), config("k", "v")
    )
    assert page.rejects.select("column", "code").row(0) == ("v", "bad_text")
    assert json.loads(page.rejects["raw"][0])["data"]["k"] == "c"
    assert page.frame["c0"].to_list() == ["a", "d"]


def test_raw_of_a_reject_is_ascii_json_of_the_same_row() -> None:
    body = '{"rows":[{"data":{"k":"é😀"},"oracle_keys":{"k":"x"}}]}'.encode()
    raw = decode_page(body, config("k")).rejects["raw"][0]
    assert raw.isascii() and json.loads(raw)["data"] == {"k": "é😀"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html></html>",
        b"null",
        b"[]",
        b"{}",
        b'{"rows":{}}',
        b'{"rows":null}',
        b'{"rows":[{"data":{"k":1}}',
        b'{"rows":[{"data":{"k":"1',
        b'{"rows":[{"data":{"k":1}}]}}',
        b'{"rows":[],"rows":[]}',
        b'{"rows":[],"total":-1}',
        b'{"rows":[],"total":1.5}',
        b'{"rows":[],"total":true}',
        b'{"rows":[],"has_more":"no"}',
        b'{"rows":[],"next_cursor":{}}',
        b'{"rows":[]} trailing',
        b'{"error":"rows"}',
        b'{"a":"\\"rows\\":[{}]"}',
        b"[" * 100_000,
    ],
)
def test_body_that_is_no_page_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(SourceProtocolError):
        decode_page(body, config("k"))


def test_every_truncation_of_a_page_is_refused() -> None:
    body = wrapped('{"k":"a","v":1}', '{"k":"b","v":2.5}', tail=',"total":2')
    for length in range(len(body)):
        with pytest.raises(SourceProtocolError):
            decode_page(body[:length], config("k", "v"))


def test_envelope_is_read_wherever_it_stands() -> None:
    tail = ',"page":3,"page_size":2,"total":9,"has_more":true,"next_cursor":"]\\"}","safe_rowversion":12345678901234567890'
    said = decode_page(wrapped('{"k":1}', '{"k":2}', tail=tail), config("k")).envelope
    assert (said.page, said.page_size, said.total, said.has_more) == (3, 2, 9, True)
    assert (said.next_cursor, said.offers_cursor, said.safe_rowversion) == (
        ']"}',
        True,
        "12345678901234567890",
    )
    first = decode_page(b'{"next_cursor":null,"rows":[{"k":1},{"k":2}]}', config("k")).envelope
    assert first.offers_cursor and first.next_cursor is None


def test_flat_rows_are_the_data_itself() -> None:
    page = both_ways(b'{"rows":[{"k":"a","row_version":7},{"k":"b","row_version":8}]}', config("k"))
    assert page.frame.rows() == [("7", "a"), ("8", "b")]
    assert page.unknown_columns == frozenset()


def test_version_comes_from_its_column_as_raw_text() -> None:
    run = config("k", version=VersionSpec("number", "v"))
    page = both_ways(wrapped('{"k":"a","v":10.50}', '{"k":"b","v":null}'), run)
    assert page.frame[VERSION].to_list() == ["10.50", None]


def test_oracle_keys_fill_an_absent_key_only() -> None:
    rows = b'{"rows":[{"oracle_keys":{"k":1,"v":2},"data":{"v":null}},{"oracle_keys":{"k":2,"v":2},"data":{"v":null}}]}'
    page = both_ways(rows, config("k", "v"))
    assert page.frame.select("c0", "c1").rows() == [(1, None), (2, None)]
    assert page.rejects.is_empty() and page.missing == ()


def test_oracle_keys_fill_only_the_rows_that_lack_it() -> None:
    page = decode_page(
        b'{"rows":[{"oracle_keys":{"k":1},"data":{}},{"oracle_keys":{"k":2},"data":{"k":2}}]}', config("k")
    )
    assert page.frame["c0"].to_list() == [1, 2]


def test_differing_keys_reject_the_row_and_mark_both_seen() -> None:
    rows = ",".join(
        f'{{"oracle_keys":{{"k":{a}}},"data":{{"k":{b},"v":"x"}}}}' for a, b in ((1, 1), (2, 3), (4, 4))
    )
    page = both_ways(f'{{"rows":[{rows}]}}'.encode(), config("k", "v"))
    assert page.frame["c0"].to_list() == [1, 4]
    assert page.rejects.select("column", "code").row(0) == ("k", "key_mismatch")
    assert page.seen_also["c0"].to_list() == [3, 2]
    assert page.keyless == 0 and page.received == 3


def test_unknown_and_missing_columns_are_named() -> None:
    page = both_ways(wrapped('{"k":"a","new":1}', '{"k":"b","new":2}'), config("k", "gone"))
    assert page.unknown_columns == {"new"} and page.missing == ("gone",)
    assert page.frame["c1"].to_list() == [None, None]


def test_column_absent_from_some_rows_is_null_there() -> None:
    page = decode_page(wrapped('{"k":"a","v":1}', '{"k":"b"}'), config("k", "v"))
    assert page.frame["c1"].to_list() == [1, None] and page.missing == ()


def test_empty_page_has_no_missing_columns() -> None:
    page = decode_page(b'{"rows":[],"total":0}', config("k"))
    assert page.frame.columns == [VERSION, "c0"] and page.frame.height == 0
    assert (page.received, page.missing, page.envelope.total) == (0, (), 0)


def test_byte_order_mark_and_blanks_are_no_obstacle() -> None:
    body = b'\xef\xbb\xbf { "rows" : [ {"data" : {"k" : "a" } } ,\r\n {"data":{"k":"b"}} ] , "total" : 2 } '
    assert decode_page(body, config("k")).frame["c0"].to_list() == ["a", "b"]


def test_blanks_as_python_writes_them_stay_on_the_quick_way() -> None:
    read_columns(json.dumps({"rows": [{"data": {"k": "a", "v": i}} for i in range(3)]}).encode())


@pytest.mark.parametrize("cursor", ["a]b", '["a","b"]', '[{"k":"a"}]', "]}]", "}],"])
def test_brackets_in_a_cursor_behind_the_rows_stay_on_the_quick_way(cursor: str) -> None:
    body = wrapped('{"k":"a"}', '{"k":"b"}', tail=f',"next_cursor":{json.dumps(cursor)},"has_more":true')
    page = both_ways(body, config("k"))
    assert (page.frame["c0"].to_list(), page.envelope.next_cursor) == (["a", "b"], cursor)


@pytest.mark.parametrize(
    "rows",
    [
        b'{"k":"a"},{"k":"b","z":1}',
        b'{"k":"a"},{"z":"b"}',
        b'{"k":"a"},{"k":"b"}x',
        b'{"k":"a"},{"k":[1,2]}',
        b'{"k":1},{"k":01}',
        b'{"k":1},{"k":nul}',
        b'{"k":1},{"k":1 }',
        b'{"k":"a"} ,{"k":"b"},{"k":"c"}',
        b'{"k":"a"},{"k":"b"};{"k":"c"}',
    ],
)
def test_quick_way_declines_whatever_differs_from_the_first_row(rows: bytes) -> None:
    run, body = config("k"), b'{"rows":[' + rows + b"]}"
    with pytest.raises(IrregularPageError):
        parsed, _ = read_columns(body)
        for cells in parsed.cells.values():
            column(cells)
    with contextlib.suppress(SourceProtocolError):
        decode_page(body, run)


def test_pages_of_different_kinds_are_reconciled() -> None:
    run = config("k", "v")
    pages = [decode_page(wrapped(f'{{"k":"a","v":{v}}}'), run).frame for v in ("1", '"x"', "null", "2.50")]
    joined = concat_pages(pages)
    assert joined[ROW].to_list() == [0, 1, 2, 3] and joined.schema[ROW] == pl.UInt32
    assert joined["c1"].struct.field("text").to_list() == ["1", "x", None, "2.50"]
    assert joined["c1"].struct.field("kind").to_list() == [2, 1, 0, 2]


def test_null_page_takes_the_type_of_the_others() -> None:
    run = config("k", "v")
    pages = [decode_page(wrapped(f'{{"k":"a","v":{v}}}'), run).frame for v in ("null", "7")]
    assert concat_pages(pages)["c1"].to_list() == [None, 7]


def test_chunk_numbers_rows_and_rejects_apart() -> None:
    body = b'{"rows":[{"data":{"k":"a"}},{"data":{"k":"b","k":"c"}}]}'
    batch = join_pages([decode_page(body, config("k"))] * 2)
    assert batch.rows[ROW].to_list() == [0, 1] and batch.rejects[ROW].to_list() == [2, 3]
    assert dict(batch.rejects.schema) == dict(REJECT_SCHEMA)


def test_same_rows_give_the_same_digest_whatever_the_envelope() -> None:
    one, two, other = (
        decode_page(wrapped(*rows, tail=tail), config("k")).digest
        for rows, tail in (
            (('{"k":1}', '{"k":2}'), ""),
            (('{"k":1}', '{"k":2}'), ',"page":2'),
            (('{"k":1}', '{"k":3}'), ""),
        )
    )
    assert one == two != other


def test_key_sources_follow_the_mapping_of_the_key() -> None:
    run = config("a", "b", "c")
    joined = replace(run.target_columns[0], expression=Expression("concat", ("-", "a", "c")))
    assert key_sources(replace(run, target_columns=(joined, *run.target_columns[1:]))) == {"a", "c"}


def test_values_outlive_the_body_they_were_cut_from_and_free_it_after() -> None:
    gc.collect()
    held = len(spans._live)
    frame = decode_page(wrapped(*(f'{{"k":"{"long text " * 5}{i}"}}' for i in range(50))), config("k")).frame
    gc.collect()
    assert frame["c0"][49].endswith("49")
    del frame
    gc.collect()
    assert len(spans._live) == held


def test_pages_are_decoded_in_several_threads_at_once() -> None:
    body, found = wrapped(*(f'{{"k":"some longer text {i}"}}' for i in range(2000))), list[str]()
    work = [
        threading.Thread(target=lambda: found.append(decode_page(body, config("k")).frame["c0"][-1]))
        for _ in range(8)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert found == ["some longer text 1999"] * 8


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(10**25), max_value=10**25),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(alphabet=st.characters(codec="utf-8"), max_size=8),
    st.sampled_from(['"', "\\", '":', "},{", "]", "\\u0041", " ", "null", '","k":"']),
)
names = ("k", "v", 'odd "name":', "é")


@given(
    rows=st.lists(st.fixed_dictionaries(dict.fromkeys(names, scalars)), min_size=2, max_size=6),
    ascii_only=st.booleans(),
    compact=st.booleans(),
)
def test_quick_and_exact_ways_agree_with_json(
    rows: list[dict[str, Any]], ascii_only: bool, compact: bool
) -> None:
    page = {
        "rows": [{"oracle_keys": {}, "row_version": str(i), "data": row} for i, row in enumerate(rows)],
        "total": 9,
    }
    separators = (",", ":") if compact else (", ", ": ")
    body = json.dumps(page, ensure_ascii=ascii_only, separators=separators).encode()
    run = config(*names)
    quick = decode_page(body, run)
    exact = decode_page(json.dumps(page, ensure_ascii=ascii_only, indent=1).encode(), run)
    assert quick.frame.equals(exact.frame) and quick.frame.schema == exact.frame.schema
    for position, name in enumerate(names):
        assert [_shown(value) for value in quick.frame[f"c{position}"].to_list()] == [
            _text(row[name]) for row in rows
        ]


@given(data=st.data())
def test_damaged_page_never_yields_a_row_that_json_would_not(data: st.DataObject) -> None:
    body = bytearray(wrapped('{"k":"a","v":1.5}', '{"k":"b","v":2.5}', '{"k":"c","v":3.5}'))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.sampled_from(b'",:{}[]\\0a.e-\n \xff'))
    try:
        page = decode_page(bytes(body), config("k", "v"))
    except SourceProtocolError:
        return
    assert page.frame.height + page.rejects.height == page.received
    if page.rejects.is_empty():
        held = json.loads(bytes(body), parse_float=str)["rows"]
        assert [_text(row.get("data", row).get("k")) for row in held] == [
            _shown(v) for v in page.frame["c0"].to_list()
        ]


def _text(value: Any) -> str | None:
    if isinstance(value, str) or value is None:
        return value
    return json.dumps(value, separators=(",", ":"))


def _shown(value: Any) -> str | None:
    return value["text"] if isinstance(value, dict) else _text(value)
