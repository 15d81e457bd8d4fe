"""Every odd name becomes a usable, distinct PostgreSQL name or is skipped with a reason."""

import json
from typing import Any

import pytest

from shared.sync.names import MAX_BYTES, target_names
from tests.unit.sync.corpus.cases import HERE

NAMES = [json.loads(line) for line in (HERE / "names.jsonl").read_text("ascii").splitlines()]
ALL = target_names([case["name"] for case in NAMES])


def test_the_corpus_is_large_enough():
    assert len({case["name"] for case in NAMES}) == len(NAMES) >= 120


@pytest.mark.parametrize("case", NAMES, ids=lambda case: ascii(case["name"][:20]) + " " + case["why"])
def test_a_name_among_all_the_others_ends_as_declared(case: dict[str, Any]):
    name = case["name"]
    if case.get("skipped"):
        assert ALL.skipped[name]
    elif case.get("cut"):
        assert len(ALL.mapping[name].encode()) <= MAX_BYTES
        assert ALL.mapping[name][:20] == name[:20] or not name[:20].isascii()
    else:
        assert ALL.mapping[name] == case["is"]


@pytest.mark.parametrize("case", NAMES, ids=lambda case: ascii(case["name"][:20]) + " " + case["why"])
def test_a_name_alone_ends_as_among_the_others(case: dict[str, Any]):
    alone = target_names([case["name"]])
    assert alone.mapping.get(case["name"]) == ALL.mapping.get(case["name"])
    assert alone.skipped.get(case["name"]) == ALL.skipped.get(case["name"])


def test_no_two_names_share_a_target():
    targets = list(ALL.mapping.values())
    assert len(set(targets)) == len(targets)
    assert all(1 <= len(target.encode()) <= MAX_BYTES for target in targets)
