"""Every odd value ends exact or rejected with its code, alone and among good rows; none aborts a batch."""

import pytest

from tests.unit.sync.corpus.cases import ID, Case, config, load_values, run_rows, shown, source

VALUES = load_values()
LARGE = ("too_deep", "duplicate_json_key")


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
    else:
        assert batch.rejects.is_empty(), batch.rejects.to_dicts()
        assert shown(batch, run, "v").to_list() == [case.result]


@pytest.mark.parametrize("case", VALUES, ids=lambda case: case.id)
def test_good_rows_around_a_value_land(case: Case):
    column = source(case, "v")
    columns = [column] if case.key else [ID, column]
    run = config(columns, key="v" if case.key else "id", dialect=case.dialect)
    good = ['{"v":"g%d"}' if case.key else '{"id":%d,"v":null}'] * 4
    rows = [row % i for i, row in enumerate(good)]
    odd = f'{{"v":{case.json}}}' if case.key else f'{{"id":99,"v":{case.json}}}'
    batch = run_rows([*rows[:2], odd, *rows[2:]], run)
    assert batch.rows.height == 4 + (not case.codes)
    assert batch.rejects.height == bool(case.codes)


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


def test_no_reject_message_holds_a_value():
    cases = [case for case in VALUES if case.codes and not case.key and len(case.json) > 6]
    for case in cases:
        column = source(case, "v")
        batch = run_rows([f'{{"id":1,"v":{case.json}}}'], config([ID, column], dialect=case.dialect))
        assert case.json.strip('"') not in batch.rejects["message"][0]
