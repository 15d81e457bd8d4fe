"""What this installation owns in a workspace: shares, recipients and pipelines that it created or adopted.

Owning is a current version in `deltashare`; comments and names in the workspace are never marks of it.
"""

from collections.abc import Mapping, Sequence
from typing import cast
from uuid import UUID, uuid5

from shared.adapters.postgres.database import Connection, Database
from shared.adapters.postgres.sharing import records, versions
from shared.adapters.postgres.sharing.records import Act
from shared.adapters.postgres.sharing.versions import (
    PIPELINES,
    RECIPIENTS,
    SHARES,
    Change,
    Versioned,
    in_transaction,
)
from shared.sharing.records import Facts, Found, Origin, Owned, OwnedKind
from shared.sharing.views import Actor
from shared.sql import sharing_query

_NAMES = UUID("b1f7a6cc-0c8f-5a3e-8a57-6f0c1c3a9d41")
_TABLES: Mapping[OwnedKind, Versioned] = {"share": SHARES, "recipient": RECIPIENTS, "pipeline": PIPELINES}


class Ownership:
    """What is owned, workspace by workspace."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def owned(self, workspace: str) -> list[Owned]:
        """All that is ours there, by kind and name."""
        with self._database.connection() as connection:
            rows = connection.execute(sharing_query("owned"), {"workspace": workspace}).fetchall()
        return [
            Owned(
                kind=r["kind"],
                id=r["id"],
                name=r["name"],
                origin=r["origin"] or "created",
                since=r["owned_since"],
                by=r["owned_by"] or "unknown",
                share_pack_id=r["share_pack_id"],
                tenant=r["business_line"],
            )
            for r in rows
        ]

    def record(
        self, workspace: str, facts: Sequence[Facts], *, by: Actor, share_pack_id: UUID | None
    ) -> None:
        """Note what was created or changed; what is new here counts as created by the pack. Idempotent."""
        in_transaction(
            self._database, lambda c: record(c, workspace, facts, by=by, share_pack_id=share_pack_id)
        )

    def adopt(
        self,
        workspace: str,
        facts: Sequence[Facts],
        *,
        by: Actor,
        tenant: str | None = None,
        found: Sequence[Found] = (),
    ) -> list[str]:
        """Take into ownership what this installation did not create; the names that were not ours before.

        Nothing is written to the workspace. `facts` are what was observed there, `found` what the shares held: it
        replaces what an earlier adoption found. What is in a share that packs created is theirs to tell.
        """

        def work(connection: Connection) -> list[str]:
            taken = record(connection, workspace, facts, by=by, share_pack_id=None, origin="adopted")
            for share in sorted(f.name for f in facts if f.kind == "share"):
                if _is_adopted(connection, workspace, share):
                    held = [each for each in found if each.share == share]
                    _note(connection, workspace, share, held, {"by": by.name, "business_line": tenant})
            for name in taken:
                records.append(connection, Act(
                    by.name, "ownership.adopt", f"{workspace} {name}", by.subject, tenant=tenant
                ))  # fmt: skip
            return taken

        return in_transaction(self._database, work)

    def found(self, workspace: str) -> list[Found]:
        """What was found at adoptions there and that nobody took away since."""
        with self._database.connection() as connection:
            return _found(connection, workspace)

    def forget(self, workspace: str, gone: Sequence[Found]) -> None:
        """What was found at an adoption and is no longer there. Idempotent."""
        if gone:
            in_transaction(self._database, lambda connection: _end(connection, workspace, gone))

    def release(self, workspace: str, kind: OwnedKind, name: str, *, by: Actor, reason: str) -> None:
        """No longer ours, or no longer there; its history stays."""

        def work(connection: Connection) -> None:
            id_ = _id(connection, workspace, kind, name)
            change = Change(id_, {}, deleted=True)
            if versions.write(connection, _TABLES[kind], [change], by=by.name, reason=reason):
                records.append(connection, Act(
                    by.name, "ownership.release", f"{workspace} {kind} {name}", by.subject, reason=reason
                ))  # fmt: skip

        in_transaction(self._database, work)


def record(
    connection: Connection,
    workspace: str,
    facts: Sequence[Facts],
    *,
    by: Actor,
    share_pack_id: UUID | None,
    origin: Origin = "created",
) -> list[str]:
    """The same in the caller's transaction; `kind name` of each that was not ours before."""
    row = connection.execute(sharing_query("clock")).fetchone()
    assert row is not None
    taken = []
    for kind, table in _TABLES.items():
        changes = []
        for fact in (f for f in facts if f.kind == kind):
            id_ = _id(connection, workspace, kind, fact.name)
            versions.lock(connection, table, [id_])
            known = versions.as_of(connection, table, id_)
            content = dict(fact.content) | _names(workspace, fact)
            if known is None or known["is_deleted"]:
                taken.append(f"{kind} {fact.name}")
                content |= {"origin": origin, "owned_since": row["now"], "owned_by": by.name,
                            "share_pack_id": share_pack_id}  # fmt: skip
            changes.append(Change(id_, content))
        versions.write(connection, table, changes, by=by.name, reason=origin)
    return taken


def _is_adopted(connection: Connection, workspace: str, share: str) -> bool:
    now = versions.as_of(connection, SHARES, _id(connection, workspace, "share", share))
    return now is not None and now["origin"] != "created"


def _note(
    connection: Connection, workspace: str, share: str, found: Sequence[Found], said: Mapping[str, str | None]
) -> None:
    """Make `found` what the adopted share is known to hold; its version's lock is held."""
    known = {*_found(connection, workspace, share)}
    _end(connection, workspace, sorted(known - {*found}, key=_sorted_by))
    fresh = _columns(sorted({*found} - known, key=_sorted_by))
    connection.execute(sharing_query("adopted_add"), fresh | {"workspace": workspace, **said})


def _found(connection: Connection, workspace: str, share: str | None = None) -> list[Found]:
    values = {"workspace": workspace, "share": share}
    return [Found(**row) for row in connection.execute(sharing_query("adopted_current"), values)]


def _end(connection: Connection, workspace: str, gone: Sequence[Found]) -> None:
    connection.execute(sharing_query("adopted_end"), _columns(gone) | {"workspace": workspace})


def _sorted_by(found: Found) -> tuple[str, str, str]:
    return found.kind, found.name, found.alias


def _columns(found: Sequence[Found]) -> dict[str, list[str]]:
    return {
        "shares": [each.share for each in found],
        "kinds": [each.kind for each in found],
        "names": [each.name for each in found],
        "types": [each.object_type for each in found],
        "aliases": [each.alias for each in found],
    }


def _names(workspace: str, fact: Facts) -> dict[str, str]:
    if fact.kind != "pipeline":
        return {"workspace_url": workspace, "name": fact.name}
    type_, _, name = fact.name.partition("|")
    return {"workspace_url": workspace, "name": name, "pipeline_type": type_}


def _id(connection: Connection, workspace: str, kind: OwnedKind, name: str) -> UUID:
    """The thing's id: a predecessor's where it had one, else made of its name, so that two who meet it agree."""
    values = {"workspace": workspace, "kind": kind, "name": name}
    row = connection.execute(sharing_query("owned_id"), values).fetchone()
    return cast(UUID, row["id"]) if row else uuid5(_NAMES, f"{workspace}|{kind}|{name}")
