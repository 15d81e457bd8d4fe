"""Every odd value ends exact or rejected with its code, alone and among good rows; none aborts a batch."""

import json
from itertools import groupby

import polars as pl
import pytest

from shared.sync.model import ROW
from tests.unit.sync.corpus.cases import ID, Case, config, load_values, run_rows, shown, source

VALUES = load_values()


def test_the_corpus_is_large_enough_and_each_case_stands_for_itself():
    assert len(VALUES) >= 400
    assert len({case.id for case in VALUES}) == len(VALUES)


@pytest.mark.parametrize("case", VALUES, ids=lambda case: case.id)
def test_a_value_alone_ends_as_declared(case: Case):
    column = source(case, "v")
    columns = [column] if case.key else [ID, column]
    run = config(columns, key="v" if case.key else "id", dialect=case.dialect)
    head = "" if case.key else '"id":1,'
    batch = run_rows([f'{{{head}"v":{case.json}}}'], run)
    if case.codes:
        assert batch.rejects["code"].to_list() in [[code] for code in case.codes]
        assert batch.rows.is_empty()
        # A message says what is wrong; the value itself stands in the reject's raw row and nowhere else.
        assert len(case.json) <= 6 or case.json.strip('"') not in batch.rejects["message"][0]
    else:
        assert batch.rejects.is_empty(), batch.rejects.to_dicts()
        assert shown(batch, run, "v").to_list() == [case.result]


def column_of(case: Case) -> tuple[str, str, bool, str]:
    """What tells the columns apart in which cases stand."""
    return case.dialect, case.type, case.key, json.dumps(case.rules)


COLUMNS = [list(cases) for _, cases in groupby(sorted(VALUES, key=column_of), column_of)]


@pytest.mark.parametrize("cases", COLUMNS, ids=lambda cases: " ".join(map(str, column_of(cases[0]))))
def test_odd_values_of_one_column_spoil_neither_each_other_nor_the_good_rows_between(cases: list[Case]):
    one = cases[0]
    columns = [source(one, "v")] if one.key else [ID, source(one, "v")]
    run = config(columns, key="v" if one.key else "id", dialect=one.dialect)
    good = ['{"v":"g%d"}' if one.key else '{"id":%d,"v":null}'] * (len(cases) + 1)
    rows = [row % (1000 + i) for i, row in enumerate(good)]
    for i, case in enumerate(cases):
        rows.insert(2 * i + 1, f'{{"v":{case.json}}}' if one.key else f'{{"id":{i},"v":{case.json}}}')
    batch = run_rows(rows, run)
    # A key column's rows are told apart by their place, the others by their id.
    names = batch.rows[ROW].cast(pl.String) if one.key else shown(batch, run, "id")
    landed = dict(zip(names, shown(batch, run, "v"), strict=True))
    for i, case in enumerate(cases):
        found = landed.pop(str(2 * i + 1 if one.key else i), None)
        assert found == (None if case.codes else case.result), case.id
    assert len(landed) == len(good)
    assert batch.rows.height + batch.rejects.height == len(rows)
    assert batch.rejects.height == sum(bool(case.codes) for case in cases)


@pytest.mark.parametrize("dialect", ["oracle", "sqlserver", "postgres"])
def test_all_values_in_one_batch_change_nothing_for_each_other(dialect: str):
    cases = [case for case in VALUES if case.dialect == dialect and not case.key]
    columns = [ID, *(source(case, f"v{i}") for i, case in enumerate(cases))]
    run = config(columns, dialect=dialect)
    odd = [f'{{"id":{i},"v{i}":{case.json}}}' for i, case in enumerate(cases)]
    batch = run_rows([*odd, *(f'{{"id":{10_000 + i}}}' for i in range(500))], run)
    landed = dict(zip(shown(batch, run, "id"), range(batch.rows.height), strict=True))
    assert sum(int(key) >= 10_000 for key in landed) == 500
    for i, case in enumerate(cases):
        assert (str(i) not in landed) == bool(case.codes), case.id
        if not case.codes:
            assert shown(batch, run, f"v{i}")[landed[str(i)]] == case.result, case.id
