"""First loads whose indexes are built at the end, and first loads that keep them: how a case asks for either.

The product defers by itself for a table that was never synced and whose source promises a fitting number of rows.
"""

from shared.sync import load
from tests.bench.rig import Rig


def may_defer(rows: int) -> bool:
    """Whether the product defers the indexes of a new table of so many rows."""
    return load._DEFER_FROM <= rows <= load._DEFER_TO


def hold_indexes(rig: Rig, slug: str) -> None:
    """Let the table's next load keep its indexes: it counts as synced before and emptied since."""
    rig.execute(
        "UPDATE bridge.erp_sync_state SET last_sync_at = now() WHERE entity_uid = %s", rig.entity(slug)
    )


def indexes(rig: Rig, slug: str) -> list[int]:
    """The target's indexes by their object ids: others than before mean that they were built anew."""
    found = rig.execute("SELECT indexrelid::bigint AS oid FROM pg_index WHERE indrelid = %s::regclass ORDER BY 1", f"public.{slug}")  # fmt: skip
    return [row["oid"] for row in found]
