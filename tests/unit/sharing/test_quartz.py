"""Quartz cron: what its documentation allows passes, what its parser refuses is refused with the field."""

import pytest

from shared.sharing.quartz import schedule_fault

GOOD = [
    "0 0 2 * * ?", "0 0 2 ? * *", "0 0/15 * * * ?", "0 0 8-18 ? * MON-FRI", "0 15 10 ? * 6L", "0 15 10 ? * 6#3",
    "0 0 0 L * ?", "0 0 0 LW * ?", "0 0 0 L-3 * ?", "0 0 0 15W * ?", "0 0 12 1/5 * ?", "0 11 11 11 11 ?",
    "0 0 0 ? JAN,JUL 2", "0 0 22-2 ? * FRI-MON", "0 /10 * * * ?", "0 0 0 1 1 ? 2026-2030", "* * * * * ?",
    "0 0 0 29 2 ?", "0 0 0 31 1,2 ?", "0 0 2 ? * mon", "0 0 0 ? * L",
]  # fmt: skip
BAD = {
    "": "0 fields",
    "0 2 * * *": "5 fields",
    "0 0 2 * * ? 2026 x": "8 fields",
    "0 0 2 * * *": "must be ?",
    "0 0 2 ? * ?": "must be ?",
    "60 0 2 * * ?": "seconds",
    "0 60 2 * * ?": "minutes",
    "0 0 24 * * ?": "hours",
    "0 0 2 0 * ?": "day-of-month",
    "0 0 2 32 * ?": "day-of-month",
    "0 0 2 * 13 ?": "month",
    "0 0 2 ? * 8": "day-of-week",
    "0 0 2 ? * 0": "day-of-week",
    "0 0 2 ? * MONDAY": "day-of-week",
    "0 0 2 ? * 6#6": "day-of-week",
    "0 0 2 L-31 * ?": "day-of-month",
    "0 0 2 W * ?": "day-of-month",
    "0 0 2 * * ? 1969": "year",
    "0 0 2 * * ? 2030-2026": "year",
    "0 0/0 2 * * ?": "minutes",
    "0 0/60 2 * * ?": "minutes",
    "0 -5 2 * * ?": "minutes",
    "0 5- 2 * * ?": "minutes",
    "0 1,,2 2 * * ?": "minutes",
    "? 0 2 * * ?": "seconds",
    "0 0 2 31 2 ?": "never comes",
    "0 0 2 31 FEB,APR ?": "never comes",
    "0 0 ٢ * * ?": "hours",
}


@pytest.mark.parametrize("expression", GOOD)
def test_is_a_schedule(expression: str) -> None:
    assert schedule_fault(expression) is None


@pytest.mark.parametrize(("expression", "reason"), BAD.items())
def test_is_no_schedule(expression: str, reason: str) -> None:
    assert reason in (schedule_fault(expression) or "")
