"""What every transaction of a slice ends with: the check that its claim still stands, and its counters."""

from typing import Any

from shared.adapters.postgres.database import Connection
from shared.errors import FencedError
from shared.sql import query
from shared.sync.ports import Claim, Counters


def slice_update(claim: Claim, counters: Counters) -> dict[str, Any]:
    """The parameters that name a slice and what to add to its counters."""
    return {"run": claim.run_uid, "slice": claim.slice} | {
        name: getattr(counters, name) for name in Counters.__dataclass_fields__
    }


def hold_fence(connection: Connection, claim: Claim, schema: str) -> None:
    """The last reads of a slice's transaction: the entity's generation, then the slice; FencedError if stale."""
    ids = {"run": claim.run_uid, "slice": claim.slice, "entity": claim.config.entity_uid}
    row = connection.execute(query("fence", schema), ids).fetchone()
    if row is None or row["epoch"] != claim.epoch or row["generation"] != claim.config.generation:
        raise FencedError(f"{claim.config.slug}: slice {claim.slice} belongs to another delivery now")


def share_state(connection: Connection, claim: Claim, schema: str) -> None:
    """Take the entity's state before the slice, as every transaction does that needs both."""
    connection.execute(query("state_share", schema), {"entity": claim.config.entity_uid})
