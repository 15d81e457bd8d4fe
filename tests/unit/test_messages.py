"""Queue messages are untrusted bytes."""

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import MessageError
from shared.messages import NamedMessage, SliceMessage, parse_slice_message, traceparent_of

UID = UUID("01a1fd02-f528-7044-820a-dd8729ff8478")
GOOD: dict[str, Any] = {"v": 1, "id": str(UID), "slice": 0, "traceparent": ""}


@given(
    st.uuids(),
    st.integers(0, 100_000),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=128),
)
def test_message_survives_the_queue(uid: UUID, slice_: int, traceparent: str) -> None:
    message = SliceMessage(uid, slice_, traceparent)
    assert parse_slice_message(message.to_json().encode()) == message


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff\xfe", b"null", b"[]", b"{}", b"{", b"\x00", b'"x"', b"1e999", b"[" * 10_000,
     *(json.dumps(GOOD | wrong).encode() for wrong in (
        {"v": 2}, {"v": "1"}, {"v": True}, {"id": "x"}, {"id": 7}, {"id": None}, {"slice": -1}, {"slice": "0"},
        {"slice": 1.5}, {"slice": 10**9}, {"more": 1}, {"traceparent": "x" * 129}, {"traceparent": None})),
     json.dumps({k: v for k, v in GOOD.items() if k != "slice"}).encode()],
)  # fmt: skip
def test_anything_else_is_refused_without_quoting_it(body: bytes) -> None:
    with pytest.raises(MessageError) as refused:
        parse_slice_message(body)
    assert refused.value.message.startswith("queue message: not a version 1")


@given(st.binary(max_size=200))
def test_random_bytes_never_escape_as_another_error(body: bytes) -> None:
    with pytest.raises(MessageError):
        parse_slice_message(body)


def test_trace_of_a_message_is_read_and_of_anything_else_is_none() -> None:
    assert traceparent_of(SliceMessage(UID, 0, "t").to_json().encode()) == "t"
    assert traceparent_of(NamedMessage(UID, "t").to_json().encode()) == "t"
    assert traceparent_of(b"dead") == ""
