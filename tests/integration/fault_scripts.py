"""The corpus of HTTP faults: what a connector may do to a walk, the rule that meets it and how the run must end.

In every script the table holds the rows 1 to 4 and some of them never come, or the answer is none. Rows carry
versions above the stored watermark, and a bound above them all: one wrong belief moves the watermark or deletes.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler

from shared.adapters.http_client import HttpLimits
from tests.integration.http_faults import (
    QUICK,
    Step,
    body,
    bomb,
    drip,
    gzipped,
    hang_up,
    rows,
    short,
    status,
)

SAFE = 99
EVERY = ("full", "hash", "rowversion")


@dataclass(frozen=True)
class Script:
    """`code` and `says` are what the run's error must carry; `strategies` those under which the rule applies.

    `limits` other than the quick ones are measured on the real clock.
    """

    name: str
    rule: str
    code: str
    says: str
    steps: tuple[Step, ...]
    probes: Sequence[Step] = ()
    strategies: tuple[str, ...] = EVERY
    limits: HttpLimits | None = None


def page(*keys: int, **members: object) -> Step:
    """A sound page of rows that changed since they were loaded."""
    return raw(json.dumps({"rows": changed(*keys), "safe_rowversion": SAFE, **members}).encode())


def changed(*keys: int) -> list[dict[str, object]]:
    return [row | {"row_version": str(10 + key)} for row, key in zip(rows(*keys), keys, strict=True)]


def raw(content: bytes, **headers: str) -> Step:
    return body(content, **headers)


def wire(*lines: bytes) -> Step:
    """Bytes straight onto the connection, which then closes."""

    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"\r\n".join(lines))
        handler.close_connection = True

    return write


def probed(*newest: int) -> list[Step]:
    """Answers about changes, in this order; the last one repeats."""
    return [body(b'{"changed":true,"max_rowversion":%d,"count":4}' % n) for n in newest]


def _unproven(name: str, rule: str, says: str, *steps: Step, probes: Sequence[Step] = ()) -> Script:
    return Script(name, rule, "unproven", says, steps, probes)


def _protocol(name: str, rule: str, says: str, *steps: Step, code: str = "source_protocol") -> Script:
    return Script(name, rule, code, says, steps)


def _refused(name: str, rule: str, says: str, *steps: Step) -> Script:
    return Script(name, rule, "source_refused", says, steps)


def _unavailable(name: str, rule: str, says: str, *steps: Step, limits: HttpLimits | None = None) -> Script:
    return Script(name, rule, "source_unavailable", says, steps, limits=limits)


HEAD = page(1, next_cursor="a")  # a good beginning
ONE_ROW = json.dumps(changed(1)).encode()
JSON_HEAD = (b"HTTP/1.1 200 OK", b"Content-Type: application/json")

# The source answers, and keeps rows back.
PARTIAL = (
    _unproven("total_says_more", "fewer rows than the total are no whole", "fewer_rows_than_total",
              page(1, 2, total=4, has_more=False)),
    _unproven("cursor_ends_below_total", "a cursor's end does not outvote the total", "fewer_rows_than_total",
              page(1, 2, total=4, next_cursor="a"), page(3, total=4, next_cursor=None)),
    _unproven("one_of_forty_pages", "a first page is no table", "fewer_rows_than_total",
              page(1, 2, total=80, next_cursor=None)),
    _unproven("zero_rows_of_four", "an empty answer contradicts its own total", "fewer_rows_than_total",
              page(total=4, has_more=False)),
    _unproven("empty_page_below_total", "an empty page is no end below the total", "fewer_rows_than_total",
              page(1, 2, total=4), page(total=4)),
    _unproven("total_grows_on_the_last_page", "the last page's total counts", "fewer_rows_than_total",
              page(1, 2, total=3), page(3, total=4, has_more=False)),
    _unproven("empty_page_then_rows", "an empty page that promises more is a hole", "empty_page",
              page(1, 2, has_more=True), page(has_more=True), page(4, has_more=False)),
    _unproven("empty_pages_for_ever", "two empty pages in a row end the walk, unproven", "empty_page",
              page(1, 2, has_more=True), page(has_more=True)),
    _unproven("total_reached_by_repetition", "a page that comes twice counts for no other", "repeated_page",
              page(1, 2, total=4), page(1, 2, total=4)),
    _unproven("page_number_ignored_without_echo", "the same page for every number is no walk", "repeated_page",
              page(1, 2, has_more=True)),
    _unproven("same_page_for_ever_untold", "without any promise the same page is no walk either", "repeated_page",
              page(1, 2)),
    _unproven("blind_walks_differ", "walks that nothing vouches for must be equal", "walks_differ",
              page(1, 2), page(), page(1), page(), page(1, 2), page(3), page()),
    _unproven("numbered_walks_differ", "page numbers without a probe need two equal walks", "walks_differ",
              page(1, 2, has_more=False), page(1, 3, has_more=False), page(1, 4, has_more=False)),
    _unproven("shift_under_an_unmoving_total", "an unmoved total does not show a shifted row", "walks_differ",
              page(1, 2, total=4, has_more=True), page(4, 5, total=4, has_more=False),
              page(1, 3, total=4, has_more=True), page(4, 5, total=4, has_more=False),
              page(2, 3, total=4, has_more=True), page(4, 5, total=4, has_more=False)),
    Script("probe_moves_while_read", "page numbers under a moving source prove nothing", "unproven", "moved",
           (page(1, 2, total=2),), probed(*range(50, 59)), strategies=("hash", "rowversion")),
    Script("probe_falls_silent", "a probe that is gone after the last page vouches for nothing", "unproven",
           "moved", (page(1, 2, total=2),), [*probed(50), status(404)], strategies=("hash", "rowversion")),
    Script("total_moves_under_a_still_probe", "a total that changed while read is a moving source", "unproven",
           "moved", (page(1, 2, total=3, has_more=True), page(5, 6, total=4, has_more=False)) * 3, probed(50),
           strategies=("hash", "rowversion")),
)  # fmt: skip

# The answer is none that can be believed.
BROKEN = (
    _protocol("cursor_cycle_of_two", "a cursor that comes again is a circle", "circle",
              HEAD, page(2, next_cursor="b"), page(3, next_cursor="a")),
    _protocol("cursor_that_stands_still", "a cursor that leads to itself is a circle", "circle",
              HEAD, page(2, next_cursor="a")),
    _protocol("page_repeated_under_new_cursors", "new cursors do not make an old page new", "circle",
              page(1, 2, next_cursor="a"), page(1, 2, next_cursor="b")),
    _protocol("another_page_than_asked", "the page that was asked for must come", "page 2 was asked for and 1 came",
              page(1, 2, page=1, has_more=True), page(1, 2, page=1, has_more=True)),
    _protocol("more_without_a_cursor", "has_more needs a next_cursor", "next_cursor is missing",
              HEAD, page(2, has_more=True)),
    _protocol("html_with_200", "a login page is no page of rows", "as 'text/html'",
              raw(b"<html>login</html>", content_type="text/html")),
    _protocol("html_called_json", "what is called JSON must be it", "no JSON object",
              raw(b"<html>login</html>")),
    _protocol("plain_text", "no content type but JSON is read", "as 'text/plain'",
              raw(b'{"rows":[]}', content_type="text/plain")),
    _protocol("error_with_200", "an error under 200 is no empty table", "no member 'rows'",
              raw(b'{"error":"database is down"}')),
    _protocol("problem_with_200", "a problem document is no empty table", "no member 'rows'",
              HEAD, raw(b'{"title":"Gone fishing","status":503}', content_type="application/problem+json")),
    _protocol("null_for_a_page", "null is no page", "no JSON object", raw(b"null")),
    _protocol("bare_list", "rows without their page are none", "no member 'rows'", raw(ONE_ROW)),
    _protocol("rows_null", "null is no empty list", "no member 'rows'", raw(b'{"rows":null,"has_more":false}')),
    _protocol("rows_no_list", "one row is no list of rows", "no member 'rows'", raw(b'{"rows":{"id":1}}')),
    _protocol("rows_twice", "two lists of rows cannot both be right", "comes twice",
              raw(b'{"rows":[],"has_more":false,"rows":' + ONE_ROW + b"}")),
    _protocol("end_told_twice", "two answers about the end cannot both be right", "comes twice",
              raw(b'{"rows":' + ONE_ROW + b',"has_more":true,"has_more":false}')),
    _protocol("empty_body", "nothing is no page", "no JSON object", raw(b"")),
    _protocol("truncated_in_a_string", "a page cut off in a string is no page", "cut off inside a string",
              raw(b'{"rows":[{"oracle_keys":{"id":1},"row_ver')),
    _protocol("truncated_between_rows", "a page cut off between rows is no shorter page", "cut off",
              raw(b'{"has_more":false,"rows":' + ONE_ROW[:-1] + b",")),
    _protocol("truncated_behind_rows", "a page cut off behind its rows lacks its end", "cut off",
              raw(b'{"rows":' + ONE_ROW + b',"next_cursor":null')),
    _protocol("two_documents", "a second document behind the page is no page", "JSON",
              raw(b'{"rows":[],"has_more":false}' * 2)),
    _protocol("garbage_behind_the_page", "what follows the page spoils it", "JSON",
              raw(b'{"rows":[],"has_more":false}<!-- proxy -->')),
    _protocol("utf_16", "a page is UTF-8", "no member 'rows'",
              raw('{"rows":[],"has_more":false}'.encode("utf-16"))),
    _protocol("total_no_number", "a total is a count", "'total' is not a count", page(1, total="many")),
    _protocol("total_negative", "a total is not negative", "'total' is not a count", page(1, total=-1)),
    _protocol("total_fraction", "a total is whole", "'total' is not a count", page(1, total=0.5)),
    _protocol("has_more_in_words", "has_more is true or false", "neither true nor false",
              page(1, 2, has_more="no")),
    _protocol("cursor_no_text", "a cursor is text", "neither text nor a number", page(1, next_cursor=["a"])),
    Script("bound_no_version", "a bound must be of the row versions' kind", "source_protocol", "safe_rowversion",
           (page(1, 2, has_more=False, safe_rowversion="soon"),), strategies=("rowversion",)),
    _protocol("gzip_bomb", "no answer inflates beyond its bound", "larger than", bomb(64 * 2**20),
              code="answer_too_large"),
    _protocol("huge_page", "no answer is read beyond its bound", "larger than",
              raw(b'{"rows":[]}' + b" " * 2**21), code="answer_too_large"),
    _protocol("gzip_cut_off", "half a compressed page is none", "cut off",
              gzipped(b'{"rows":[]}' + b" " * 9999, keep=30)),
    _protocol("gzip_that_is_none", "what is called compressed must be it", "broken",
              raw(b'{"rows":[]}', content_encoding="gzip")),
    _protocol("gzip_with_a_tail", "bytes behind the compressed page are not ignored", "cut off",
              raw(gzip.compress(b'{"rows":[],"has_more":false}') + b"tail", content_encoding="gzip")),
    _protocol("unknown_compression", "only compression that was asked for is read", "nobody asked for",
              raw(b"x", content_encoding="br")),
)  # fmt: skip

# The source refuses, for good.
REFUSED = (
    _refused("signed_out_for_good", "a second 401 ends the run", "credentials", HEAD, status(401)),
    _refused("forbidden_half_way", "403 half way is no end", "does not allow", HEAD, status(403)),
    _refused("gone_half_way", "404 half way is no end", "does not know", HEAD, status(404)),
    _refused("bad_request_half_way", "a cursor the source forgot is no end", "status 400", HEAD, status(400)),
    _refused("no_content", "204 is no empty table", "status 204", HEAD, status(204)),
    _refused("partial_content", "206 is part of a page", "status 206",
             HEAD, body(b'{"rows":[],"next_cursor":null}', 206)),
    _refused("still_computing", "202 has no rows yet", "status 202", body(b'{"rows":[],"has_more":false}', 202)),
    _refused("not_modified", "304 answers what nobody asked", "redirect", HEAD, wire(b"HTTP/1.1 304 no", b"", b"")),
    _refused("redirect", "a redirect is never followed", "redirect",
             status(302, location="http://169.254.169.254/")),
)  # fmt: skip

# The source is not there just now: the run fails when its patience ends, and starts again later.
LIMIT = replace(QUICK, page_deadline_s=0.3, attempts=1)
UNAVAILABLE = (
    _unavailable("error_half_way", "500 half way is no end", "status 500", HEAD, status(500)),
    _unavailable("bad_gateway_first", "a proxy's 502 is no empty table", "status 502", status(502)),
    _unavailable("maintenance_half_way", "503 half way is no end", "status 503", HEAD, status(503)),
    _unavailable("gateway_timeout", "504 is a page that never came", "status 504", HEAD, status(504)),
    Script("throttled_half_way", "429 half way is a pause, no end", "source_throttled", "patience",
           (HEAD, status(429, retry_after="99999"))),
    _unavailable("hangs_up", "a closed connection is no empty page", "broke off", HEAD, hang_up),
    _unavailable("shorter_than_promised", "a body below its length is cut off", "broke off",
                 short(b'{"rows":[],"has_more":false}', 9999)),
    _unavailable("chunked_cut_off", "a chunked body without its last chunk is cut off", "broke off",
                 wire(*JSON_HEAD, b"Transfer-Encoding: chunked", b"", b"1c", b'{"rows":[],"has_more":false}', b"")),
    _unavailable("no_http", "what is no HTTP is no answer", "broke off", wire(b"SSH-2.0-OpenSSH_9.6", b"")),
    _unavailable("slow_loris", "a page that never ends is cut at its deadline", "did not answer within",
                 drip, limits=LIMIT),
)  # fmt: skip

SCRIPTS = (*PARTIAL, *BROKEN, *REFUSED, *UNAVAILABLE)
