"""The catalogs a fresh workspace has: the tables of the sample packs, one object of each kind, and many tables."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence

from infra.local.workspace.identity import Identity
from infra.local.workspace.state import Securable, State

SAMPLE_TABLES = (
    "catalog.schema.revenue_table",
    "catalog.schema.expense_table",
    "catalog.audit_schema.activity_log",
    "prod_catalog.sales.transactions",
    "prod_catalog.sales.customers",
)
# Full name, kind, Unity Catalog's table type.
OF_EACH_KIND = (
    ("main.retail.orders", "table", "MANAGED"),
    ("main.retail.customers", "table", "EXTERNAL"),
    ("main.retail.order_totals", "table", "VIEW"),
    ("main.retail.daily_totals", "table", "MATERIALIZED_VIEW"),
    ("main.retail.order_events", "table", "STREAMING_TABLE"),
    ("main.retail.legacy_orders", "table", "FOREIGN"),
    ("main.retail.documents", "volume", "MANAGED"),
    ("main.retail.net_price", "function", ""),
    ("main.retail.demand", "model", ""),
)
# Only their owner, the second identity, may read these.
OTHERS_TABLES = ("main.payroll.salaries", "main.payroll.bonuses")
# More than two batches of updates, in the one schema that may be shared whole.
WIDE_SCHEMA = "main.wide"
WIDE_TABLES = tuple(f"{WIDE_SCHEMA}.t{number:03}" for number in range(260))

METASTORE_PRIVILEGES = ("CREATE_SHARE", "CREATE_RECIPIENT", "USE_SHARE", "USE_RECIPIENT")
COLUMNS = [("id", "bigint"), ("region", "string"), ("amount", "decimal(18,2)"), ("booked_at", "timestamp")]


def seeded(identities: Sequence[Identity], now_ms: int, tables: Iterable[str] = ()) -> State:
    """A workspace whose first identity may share everything but what the second, the catalogs' owner, keeps.

    `tables`: further managed tables by full name.
    """
    reader, owner = identities[0], identities[-1]
    state = State(
        metastore=_securable("metastore", "primary", owner.name, now_ms),
        global_metastore_id="azure:westeurope:6f0c2f1e-8a44-4c66-9c55-1d9d0f5a7b10",
    )
    everything = [
        *((name, "table", "MANAGED") for name in (*SAMPLE_TABLES, *WIDE_TABLES, *tables)),
        *OF_EACH_KIND,
    ]
    for full_name, kind, table_type in everything:
        added = add(state, full_name, kind, table_type, owner=owner.name, now_ms=now_ms)
        state.grant(added, reader.name, "SELECT" if kind == "table" else "ALL_PRIVILEGES")
    for full_name in OTHERS_TABLES:
        add(state, full_name, owner=owner.name, now_ms=now_ms)
    wide = state.find("schema", WIDE_SCHEMA)
    assert wide is not None
    state.grant(wide, reader.name, "SELECT")
    for identity in identities:
        state.grant(state.metastore, identity.name, *METASTORE_PRIVILEGES)
    return state


def add(
    state: State, full_name: str, kind: str = "table", table_type: str = "MANAGED", *, owner: str, now_ms: int
) -> Securable:
    """A new object, with the catalog and the schema that it needs."""
    parts = full_name.lower().split(".")
    for depth, above in ((1, "catalog"), (2, "schema")):
        name = ".".join(parts[:depth])
        if depth < len(parts) and state.find(above, name) is None:
            state.add(_securable(above, name, owner, now_ms))
    added = _securable(kind, full_name.lower(), owner, now_ms, table_type)
    state.add(added)
    return added


def _securable(kind: str, full_name: str, owner: str, now_ms: int, table_type: str = "") -> Securable:
    return Securable(
        kind=kind,
        full_name=full_name,
        owner=owner,
        id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}/{full_name}")),
        created_at=now_ms,
        table_type=table_type,
        columns=list(COLUMNS) if kind == "table" else [],
    )
