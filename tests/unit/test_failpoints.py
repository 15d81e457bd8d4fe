from collections.abc import Iterator

import pytest

from shared import failpoints
from shared.platform import AZURE_MARKERS


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.arm("")


def test_unarmed_point_does_nothing() -> None:
    for name in failpoints.POINTS:
        failpoints.hit(name)


def test_armed_point_raises_at_the_hit_it_was_told() -> None:
    failpoints.arm("chunk.begin=raise@2")
    failpoints.hit("chunk.begin")
    with pytest.raises(failpoints.FailpointError):
        failpoints.hit("chunk.begin")
    failpoints.hit("chunk.begin")


def test_without_a_number_every_hit_counts() -> None:
    failpoints.arm("chunk.begin=raise;chunk.copy=raise")
    for name in ("chunk.begin", "chunk.begin", "chunk.copy"):
        with pytest.raises(failpoints.FailpointError):
            failpoints.hit(name)


@pytest.mark.parametrize("wrong", ["nowhere=raise", "chunk.begin=explode", "chunk.begin"])
def test_unknown_point_or_action_is_an_error(wrong: str) -> None:
    with pytest.raises(ValueError, match="no such point or action"):
        failpoints.arm(wrong)


@pytest.mark.parametrize("marker", AZURE_MARKERS)
def test_failpoints_refuse_to_arm_on_azure(monkeypatch: pytest.MonkeyPatch, marker: str) -> None:
    monkeypatch.setenv(marker, "x")
    with pytest.raises(ValueError, match="never arm on Azure"):
        failpoints.arm("chunk.begin=raise")
