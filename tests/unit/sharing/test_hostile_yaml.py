"""YAML uploads that must be refused: each for its own cause, with its status, its place and a word of its reason."""

import pytest
import yaml

from shared.sharing.errors import UploadError
from shared.sharing.model import Finding, Place
from shared.sharing.parsing import parse_upload

BASE = """\
metadata:
  requestor: requestor@example.org
  project_name: Sales Data Q1
  business_line: Sales Operations
  strategy: NEW
recipient:
  - name: sales-analyst
    type: D2O
    email: analyst@example.net
    allowed_ips: [192.0.2.0/24]
    token_expiry_days: 30
share:
  - name: sales_q1
    comment: First quarter
    recipients: [sales-analyst]
    data_objects: [c.s.t1, c.s.t2]
"""


def line(number: int, text: str) -> bytes:
    """The base pack with one line replaced, by one or more."""
    lines = BASE.splitlines()
    lines[number - 1] = text
    return "\n".join(lines).encode()


def objects(text: str) -> bytes:
    """The base pack with other data objects."""
    return line(16, f"    data_objects: {text}")


def refusal(content: bytes) -> tuple[int, tuple[Finding, ...]]:
    with pytest.raises(UploadError) as caught:
        _ = parse_upload(content, "pack.yaml").checked().pack
    return caught.value.status, caught.value.findings


def test_the_base_pack_has_no_fault() -> None:
    assert parse_upload(BASE.encode()).checked().findings == ()


# Content, status, line (None: the whole file), a part of the reason.
HOSTILE = {
    "2 MiB and one byte": (b"#" * (2 * 1024 * 1024 + 1), 413, None, "2 MiB"),
    "legacy xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 99, 415, None, "legacy or password-protected"),
    "pdf": (b"%PDF-1.7\n", 415, None, "PDF"),
    "gzip": (b"\x1f\x8b\x08\0\0", 415, None, "gzip"),
    "png": (b"\x89PNG\r\n\x1a\n\0\0", 415, None, "image"),
    "executable": (b"\x7fELF\x02\x01\x01" + bytes(range(256)), 415, None, "binary"),
    "utf-16 with mark": (BASE.encode("utf-16"), 400, None, "UTF-16"),
    "utf-16 without mark": (BASE.encode("utf-16-le"), 400, None, "UTF-16"),
    "utf-8 with mark": (BASE.encode("utf-8-sig"), 400, None, "byte-order mark"),
    "latin-1": (line(14, "    comment: caf\xe9").decode().encode("latin-1"), 400, 14, "not UTF-8"),
    "control character": (line(14, "    comment: a\x07b"), 400, 14, "U+0007"),
    "line separator": (line(14, "    comment: a\u2028b"), 400, 14, "U+2028"),
    "broken quotes": (line(14, '    comment: "open'), 400, 14, "not YAML"),
    "tab as indent": (line(14, "\tcomment: x"), 400, 14, "not YAML"),
    "directive": (b"%TAG ! tag:x,2000:\n---\n" + BASE.encode(), 400, 1, "directive"),
    "nested brackets": (line(14, "    comment: " + "[" * 5000), 413, 14, "10 deep"),
    "nested mappings": (line(14, "    comment: " + "{a: " * 8 + "b" + "}" * 8), 413, 14, "10 deep"),
    "long value": (line(14, "    comment: " + "x" * 4097), 413, 14, "4,096"),
    "too many values": (objects("[" + "a," * 60_000 + "]"), 413, 16, "60,000"),
    "too many recipients": (line(6, "recipient:\n" + "- {}\n" * 5001), 413, 5007, "5,000"),
    "empty file": (b"", 422, None, "no share pack"),
    "only a comment": (b"# nothing\n", 422, None, "no share pack"),
    "one word": (b"hello", 422, None, "no share pack"),
    "a list": (b"- a\n- b\n", 422, None, "no share pack"),
    "alias bomb": (
        b"a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b]\n" + BASE.encode(),
        422, 2, "alias *a",
    ),
    "anchor": (line(14, "    comment: &c First"), 422, 14, "anchor &c"),
    "alias to itself": (line(15, "    recipients: &r [*r]"), 422, 15, "alias *r"),
    "merge key": (line(14, "    <<: {comment: x}"), 422, 14, "merge key"),
    "tag": (line(14, "    comment: !!python/object:os.system x"), 422, 14, "tag"),
    "bare tag": (line(14, "    comment: ! x"), 422, 14, "tag"),
    "second document": (BASE.encode() + b"---\na: b\n", 422, 17, "second document"),
    "duplicate key": (line(14, "    name: other"), 422, 14, "stands twice"),
    "duplicate section": (BASE.encode() + b"share: []\n", 422, 17, "first in line 12"),
    "mapping as key": (line(14, "    ? {a: b}\n    : c"), 422, 14, "field's name"),
    "unknown section": (BASE.encode() + b"shares: []\n", 422, 17, "did you mean share?"),
    "unknown field": (line(14, "    coment: x"), 422, 14, "did you mean comment?"),
    "null byte escaped": (line(14, '    comment: "a\\0b"'), 422, 14, "U+0000"),
    "missing field": (line(9, ""), 422, 7, "email"),
    "blank required field": (line(3, "  project_name:"), 422, 3, "project_name: required"),
    "required field of spaces": (line(3, '  project_name: " \u200b\u00a0"'), 422, 3, "project_name: required"),
    "no metadata": (b"\n" * 5 + "\n".join(BASE.splitlines()[5:]).encode(), 422, 6, "metadata: required"),
    "metadata as text": (b"metadata: hello\n" + "\n".join(BASE.splitlines()[5:]).encode(), 422, 1, "mapping"),
    "section as mapping": (line(12, "pipeline: {name: x}\nshare:"), 422, 12, "list"),
    "list of text": (line(12, "pipeline: [nightly]\nshare:"), 422, 12, "mapping"),
    "list where text belongs": (line(14, "    comment: [a, b]"), 422, 14, "not a list"),
    "mapping where text belongs": (line(14, "    comment: {a: b}"), 422, 14, "not a mapping"),
    "text where a list belongs": (line(15, "    recipients: sales-analyst"), 422, 15, "list"),
    "one address without a list": (line(10, "    allowed_ips: 192.0.2.1"), 422, 10, "ANY"),
    "empty address list": (line(10, "    allowed_ips: []"), 422, 10, "empty list"),
    "lower-case any": (line(10, "    allowed_ips: [any]"), 422, 10, "capitals"),
    "address as a date": (line(10, "    allowed_ips: [2026-01-01]"), 422, 10, "no IPv4"),
    "sexagesimal": (line(11, "    token_expiry_days: 22:22"), 422, 11, "whole number"),
    "octal": (line(11, "    token_expiry_days: 0o17"), 422, 11, "whole number"),
    "float": (line(11, "    token_expiry_days: 30.0"), 422, 11, "whole number"),
    "underscored": (line(11, "    token_expiry_days: 3_0"), 422, 11, "whole number"),
    "Norway as a flag": (objects("[{name: c.s.t, history: NO}]"), 422, 16, "neither true nor false"),
    "True as a flag": (objects("[{name: c.s.t, cdf: True}]"), 422, 16, "neither true nor false"),
    "a number as a flag": (objects("[{name: c.s.t, cdf: 1}]"), 422, 16, "neither true nor false"),
    "unknown strategy": (line(5, "  strategy: REPLACE"), 422, 5, "'NEW' or 'UPDATE'"),
    "unknown recipient type": (line(8, "    type: OIDC"), 422, 8, "'D2O' or 'D2D'"),
    "unknown object type": (objects("[{name: c.s.t, type: DASHBOARD}]"), 422, 16, "'TABLE'"),
    "unknown object field": (objects("[{name: c.s.t, alias: a.b}]"), 422, 16, "no field of data_objects"),
    "unknown partition operator": (
        objects("[{name: c.s.t, partitions: [{values: [{name: r, op: GT, value: x}]}]}]"), 422, 16, "'EQUAL' or 'LIKE'",
    ),
    "blank item": (line(15, "    recipients: [sales-analyst, '']"), 422, 15, "blank"),
    "date without a zone": (line(5, "  strategy: NEW\n  start_at: 2026-01-31T18:00:00"), 422, 6, "time zone"),
    "date in words": (line(5, "  strategy: NEW\n  start_at: tomorrow"), 422, 6, "ISO 8601"),
    "date before time": (line(5, "  strategy: NEW\n  start_at: 0001-01-01T00:00:00+23:59"), 422, 6, "ISO 8601"),
    "path in a name": (line(13, "  - name: ../catalogs/x"), 422, 13, "is no name"),
    "look-alike name": (line(13, "  - name: s\u0430les"), 422, 13, "CYRILLIC SMALL LETTER A"),
    "name with a hidden character": (line(13, "  - name: sal\u200bes"), 422, 13, "ZERO WIDTH SPACE"),
    "full-width traversal": (line(13, "  - name: \uff0e\uff0e\uff0fx"), 422, 13, "'../x' is no name"),
    "reversed comment": (line(14, '    comment: "a\u202eb"'), 422, 14, "RIGHT-TO-LEFT OVERRIDE"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "status", "at", "reason"), HOSTILE.values(), ids=HOSTILE.keys())
def test_is_refused_with_its_place(content: bytes, status: int, at: int | None, reason: str) -> None:
    found_status, findings = refusal(content)
    matching = [each for each in findings if reason in each.detail]
    assert matching, findings
    assert (found_status, matching[0].place) == (status, None if at is None else Place(line=at))


def test_each_has_a_cause_of_its_own() -> None:
    alone = [name for name, (content, *_) in HOSTILE.items() if len(refusal(content)[1]) == 1]
    # The others repeat their cause, or cannot help a second one.
    assert set(HOSTILE) - set(alone) == {"alias bomb", "alias to itself"}


@pytest.mark.parametrize("name", [name for name, (_, status, *_) in HOSTILE.items() if status in (413, 422)])
def test_the_slower_parser_finds_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = HOSTILE[name][0]
    found = refusal(content)
    monkeypatch.delattr(yaml, "CSafeLoader")
    assert refusal(content) == found
