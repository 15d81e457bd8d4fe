from infra.local.sample_erp import TableSpec, parse_columns
from tests.integration.harness import MakeWorld, make_world, plain  # noqa: F401
COLS = parse_columns("id NUMBER(9) NOT NULL\n note VARCHAR2(40)")
import pytest
@pytest.mark.parametrize("strategy", ["full","hash","rowversion"])
def test_x(make_world: MakeWorld, strategy) -> None:
    w = make_world([TableSpec(slug="orders", keys=("id",), strategy=strategy, columns=COLS)], {"orders": [{"id": i, "note": f"n{i}"} for i in range(20)]})
    print(w.sync()); print(w.rows("orders")==plain(w.erp.rows("orders")))
    print(w.sync())
    w.erp.update("orders", {"id": 3}, {"note": "b"})
    w.erp.delete("orders", [{"id": 4}])
    print(w.sync()); print(w.sync()); print(w.sync())
    print(w.rows("orders")==plain(w.erp.rows("orders")))
