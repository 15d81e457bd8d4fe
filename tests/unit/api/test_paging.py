"""Cursors: opaque, of one list only, and whatever else is sent is refused."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.api.paging import (
    moment_cursor,
    name_cursor,
    pack_moment,
    pack_name,
    pack_uid,
    uid_cursor,
)
from shared.errors import InvalidError

UID, AT = uuid4(), datetime(2026, 1, 1, 12, 30, 0, 5, UTC)
PACKED = {uid_cursor: pack_uid(UID), name_cursor: pack_name("north"), moment_cursor: pack_moment(AT, UID)}
MEANT = {uid_cursor: UID, name_cursor: "north", moment_cursor: (AT, UID)}


@pytest.mark.parametrize("read", PACKED, ids=lambda read: read.__name__)
def test_cursor_comes_back_as_it_was_and_shows_nothing(read: Callable[[str | None], object]) -> None:
    assert read(PACKED[read]) == MEANT[read] and read(None) is None
    assert str(UID) not in PACKED[read] and "north" not in PACKED[read]


@pytest.mark.parametrize("read", PACKED, ids=lambda read: read.__name__)
def test_cursor_of_another_list_is_refused(read: Callable[[str | None], object]) -> None:
    for other, packed in PACKED.items():
        if other is not read:
            with pytest.raises(InvalidError):
                read(packed)


@pytest.mark.parametrize("read", PACKED, ids=lambda read: read.__name__)
@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda b: pack_name(b.decode("latin-1"))))
def test_forged_cursor_is_refused_or_a_harmless_position(
    read: Callable[[str | None], object], forged: str
) -> None:
    try:
        found = read(forged)
    except InvalidError:
        return
    assert found is not None and "\0" not in str(found)
