"""Which pack wants what, with since when and until when: so that nothing is taken away that another pack still wants,
and so that it can be told who could read what on any day."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from shared.adapters.postgres.database import Connection, Database
from shared.adapters.postgres.sharing.records import Tenants
from shared.adapters.postgres.sharing.versions import in_transaction
from shared.sharing.ports import Contribution
from shared.sharing.views import Exposure
from shared.sql import sharing_query


class Contributions:
    """Contributions of all packs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def replace(self, pack_id: UUID, workspace: str, wanted: Sequence[Contribution]) -> None:
        """Make `wanted` all that the pack contributes to the workspace; what it did before stays as history."""
        in_transaction(self._database, lambda connection: replace(connection, pack_id, workspace, wanted))

    def current(self, *, workspace: str | None = None, pack_id: UUID | None = None) -> list[Contribution]:
        """What packs contribute now, to one workspace or by one pack."""
        values = {"workspace": workspace, "share_pack_id": pack_id}
        with self._database.connection() as connection:
            rows = connection.execute(sharing_query("contributions_current"), values).fetchall()
        return [Contribution(r["share_pack_id"], r["workspace"], r["kind"], r["key"]) for r in rows]

    def exposure(self, table: str, at: datetime | None, tenants: Tenants) -> list[Exposure]:
        """Who can read `table` (None: now) or could at a moment, itself or by a schema that is shared.

        A caller sees what packs of its tenants, or an adoption by them, had a part in.
        """
        values = {
            "object": table.lower(),
            "at": at,
            "tenants": None if tenants is None else sorted(tenants),
        }
        with self._database.connection() as connection:
            return [_exposure(row) for row in connection.execute(sharing_query("exposure"), values)]


def replace(connection: Connection, pack_id: UUID, workspace: str, wanted: Sequence[Contribution]) -> None:
    """The same in the caller's transaction, for the one that ends an application."""
    if any(c.pack_id != pack_id or c.workspace != workspace for c in wanted):
        raise ValueError("contributions of another pack or workspace")
    connection.execute(sharing_query("contributions_lock"), {"share_pack_id": pack_id})
    values: dict[str, Any] = {"share_pack_id": pack_id, "workspace": workspace}
    rows = connection.execute(sharing_query("contributions_current"), values)
    old = {(row["kind"], row["key"]) for row in rows}
    new = {(cast(str, c.kind), c.key) for c in wanted}
    row = connection.execute(sharing_query("clock")).fetchone()
    assert row is not None
    values |= {"now": row["now"]}
    connection.execute(sharing_query("contributions_end"), values | _split(sorted(old - new)))
    connection.execute(sharing_query("contributions_add"), values | _split(sorted(new - old)))


def _split(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    return {"kinds": [kind for kind, _ in pairs], "keys": [key for _, key in pairs]}


def _exposure(row: Mapping[str, Any]) -> Exposure:
    return Exposure(
        recipient=row["recipient"],
        object=row["object"],
        share=row["share"],
        workspace=row["workspace"],
        packs=tuple(row["packs"]),
        networks=None if row["networks"] is None else tuple(row["networks"]),
        since=row["since"],
        adopted_by=tuple(row["adopted_by"]),
    )
