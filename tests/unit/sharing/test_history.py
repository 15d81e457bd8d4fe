"""Versions, states and names of share packs, decided without a server."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ConflictError
from shared.sharing.claims import ApplicationState, ApplicationStatus, Ignore, Take, Wait, decide_claim
from shared.sharing.history import Current, NewVersion, next_version
from shared.sharing.lifecycle import FOLLOWS, again, folded, pack_name, require_follows
from shared.sharing.redaction import REDACTED, redacted
from shared.sharing.views import OPEN, State

NOW = datetime(2026, 11, 1, 12, 0, 7, tzinfo=UTC)
clocks = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
contents = st.dictionaries(
    st.sampled_from("abc"), st.one_of(st.none(), st.integers(0, 2), st.lists(st.integers(0, 1)))
)


def step(current: Current | None, opened: NewVersion | None) -> Current | None:
    if opened is None:
        return current
    return Current(opened.version, opened.effective_from, opened.is_deleted, opened.content)


@given(st.lists(st.tuples(contents, clocks, st.booleans()), max_size=12))
def test_versions_number_on_and_never_begin_before_their_predecessor(
    writes: list[tuple[dict[str, Any], datetime, bool]],
) -> None:
    """Whatever the clock does: intervals have a length, and together leave no gap."""
    current: Current | None = None
    begins, numbers = [], []
    for content, now, deleted in writes:
        opened = next_version(current, content, now, deleted=deleted)
        if opened is not None:
            begins.append(opened.effective_from)
            numbers.append(opened.version)
        current = step(current, opened)
    assert numbers == list(range(1, len(numbers) + 1))
    assert all(a < b for a, b in pairwise(begins))


@given(contents, contents, clocks)
def test_content_is_true_after_a_write_and_writing_it_again_opens_nothing(
    before: dict[str, Any], wanted: dict[str, Any], now: datetime
) -> None:
    current = step(None, next_version(None, before, now))
    after = step(current, next_version(current, wanted, now))
    assert after is not None and after.content == {**before, **wanted}
    assert next_version(after, wanted, now) is None


def test_tuple_is_the_list_that_json_makes_of_it() -> None:
    current = Current(1, NOW, False, {"a": [{"b": [1]}]})
    assert next_version(current, {"a": ({"b": (1,)},)}, NOW) is None


def test_deleted_keeps_its_content_and_comes_back() -> None:
    current = Current(3, NOW, False, {"a": 1})
    gone = next_version(current, {}, NOW, deleted=True)
    assert gone == NewVersion(4, NOW + timedelta(microseconds=1), True, {"a": 1})
    back = next_version(step(None, gone), {}, NOW)
    assert back is not None and (back.version, back.is_deleted) == (5, False)
    assert next_version(None, {}, NOW, deleted=True) is None


# states


def test_open_states_can_end_and_ends_can_only_begin_anew() -> None:
    assert set(FOLLOWS) == set(State)
    for state, following in FOLLOWS.items():
        assert state not in following
        assert (following - OPEN != set()) == (state in OPEN)
        assert State.IN_PROGRESS in following or state is State.IN_PROGRESS


def test_refusal_names_pack_state_and_what_could_follow() -> None:
    with pytest.raises(
        ConflictError, match="share pack P: is COMPLETED, so it cannot become REJECTED"
    ) as refused:
        require_follows(State.COMPLETED, State.REJECTED, "P")
    assert refused.value.hint == "from COMPLETED it can become IN_PROGRESS, SCHEDULED"


def test_same_bytes() -> None:
    answers = {state: again(state) for state in State}
    assert {s for s, a in answers.items() if a == "resumed"} == {State.FAILED, State.PARTIAL}
    assert {s for s, a in answers.items() if a == "reopened"} == {State.REJECTED, State.CANCELLED}
    assert "created" not in answers.values()


def test_names() -> None:
    assert pack_name("ada@example.org", NOW) == "SharePack_ada@example.org_20261101_120007"
    assert pack_name("ada", NOW, 2) == "SharePack_ada_20261101_120007_2"
    assert [folded(n) for n in ("Corporate Finance", "corporate_finance", " A & B ")] == [
        "corporate-finance",
        "corporate-finance",
        "a-b",
    ]


# claims


@pytest.mark.parametrize("status", get_args(ApplicationStatus))
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("due", [False, True])
def test_claims(status: ApplicationStatus, late: bool, own: bool, due: bool) -> None:
    lease = NOW - timedelta(seconds=1) if late else NOW + timedelta(seconds=1)
    state = ApplicationState(status, NOW if due else NOW + timedelta(seconds=1.5), lease, "m", 1)
    decision = decide_claim(state, "m" if own else "n", 2, NOW)
    takes = (status == "queued" and due) or (status == "running" and (late or own))
    assert isinstance(decision, Take) == takes
    assert (decision == Wait(2)) == (status == "queued" and not due)
    assert isinstance(decision, Ignore) == (not takes and decision != Wait(2))
    assert isinstance(decide_claim(state, "m", 1, NOW), Ignore) or status == "queued" or late


# redaction

LINK = "https://w/api/2.1/unity-catalog/public/data_sharing_activation/CANARY"


@pytest.mark.parametrize(
    "value",
    [
        {"activation_url": "CANARY"},
        {"a": [{"client_secret": "CANARY"}]},
        {"tokens": ["CANARY"]},
        {"note": f"open {LINK} today"},
        ("Bearer CANARYCANARY",),
        "dapi0123456789abcdef0123CANARY",
        "password=CANARY",
        "postgresql://u:CANARY@h/d",
        "eyJCANARYCANARY.eyJCANARY.CANARY",
        {"sharing_code": "CANARY"},
    ],
)
def test_credentials_are_taken_out(value: object) -> None:
    assert "CANARY" not in str(redacted(value)) and REDACTED in str(redacted(value))


def test_facts_about_credentials_stay() -> None:
    facts = {"token_id": "t-1", "token_expiry_days": 30, "secret_name": "share-a", "has_token": True, "n": None,
             "allowed_ips": ["10.0.0.0/8"], "comment": "token of the auditor", "token": None}  # fmt: skip
    assert redacted(facts) == facts


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(),
        lambda c: st.lists(c) | st.dictionaries(st.sampled_from(["a", "name"]), c),
    )
)
def test_harmless_values_are_what_they_were(value: object) -> None:
    assert redacted(value) == value
