"""Packs as they come in: stored once from the same bytes, with their application and its message; rolled back."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from shared.adapters.postgres.database import Connection, Database
from shared.adapters.postgres.sharing import applications, packs, records, tenants, versions
from shared.adapters.postgres.sharing.packs import Packs, told
from shared.adapters.postgres.sharing.records import Act
from shared.adapters.postgres.sharing.versions import REQUESTS, SHARE_PACKS, Change, in_transaction
from shared.errors import NotFoundError
from shared.sharing.lifecycle import Again, again, pack_name
from shared.sharing.model import SharePack
from shared.sharing.records import Stored, Upload
from shared.sharing.stored import to_document
from shared.sharing.views import Actor, State
from shared.sql import sharing_query


class Uploads:
    """The way in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, upload: Upload) -> Stored:
        """Store the upload, or find what the same bytes made before, which is resumed or reopened.

        Pack, tenant, project, request, application, message and audit are one transaction; `Applications.send_outbox`
        sends the message afterwards.
        """
        pack_id, outcome = in_transaction(self._database, lambda connection: _create(connection, upload))
        return Stored(Packs(self._database).get(pack_id, None), outcome)

    def rollback(
        self,
        pack_id: UUID,
        version: int,
        tenants: records.Tenants,
        *,
        by: Actor,
        reason: str,
        content: SharePack | None = None,
    ) -> None:
        """Apply what an earlier version held (or `content`, which leads back to it), as a new version.

        Raises NotFoundError, and ConflictError while the pack is being applied.
        """
        Packs(self._database).get(pack_id, tenants)

        def work(connection: Connection) -> None:
            packs.lock(connection, pack_id)
            found = versions.numbered(connection, SHARE_PACKS, pack_id, version)
            if found is None:
                raise NotFoundError(
                    f"share pack {pack_id}: has no version {version}",
                    hint="GET .../history lists its versions",
                )
            wanted = content or packs.content_of(found["config"])  # what cannot be read cannot be applied
            restored = {name: found[name] for name in ("content_hash", "file_name")}
            restored |= {"config": to_document(wanted), "strategy": wanted.metadata.strategy}
            restored |= {"start_at": None, **told(()), **_asker(by)}
            packs.move(connection, pack_id, State.IN_PROGRESS, by=by, reason=reason, content=restored)
            _begin(connection, pack_id, None, by)

        in_transaction(self._database, work)


def _create(connection: Connection, upload: Upload) -> tuple[UUID, Again]:
    key = {
        "business_line": upload.tenant.name,
        "workspace_url": upload.workspace_url,
        "content_hash": upload.content_hash,
    }
    connection.execute(sharing_query("upload_lock"), key)
    row = connection.execute(sharing_query("upload_find"), key).fetchone()
    if row is not None:
        return row["share_pack_id"], _again(connection, row["share_pack_id"], upload)
    pack_id, now = uuid4(), _now(connection)
    name = _free_name(connection, upload.pack.metadata.requestor, now)
    connection.execute(
        sharing_query("upload_keep"), key | {"share_pack_id": pack_id, "share_pack_name": name}
    )
    _store(connection, upload, pack_id, name, now)
    _begin(connection, pack_id, upload.pack.metadata.start_at, upload.uploader)
    return pack_id, "created"


def _again(connection: Connection, pack_id: UUID, upload: Upload) -> Again:
    state = packs.state_of(packs.lock(connection, pack_id)["share_pack_status"])
    outcome = again(state)
    if outcome == "unchanged":
        return outcome
    start_at = upload.pack.metadata.start_at
    wanted = _first_state(start_at, _now(connection))
    packs.move(
        connection, pack_id, wanted, by=upload.uploader, reason="uploaded again", findings=upload.warnings,
        content=_asker(upload.uploader),
    )  # fmt: skip
    if outcome == "reopened" or applications.resume(connection, pack_id, start_at) is None:
        _begin(connection, pack_id, start_at, upload.uploader)
    return outcome


def _asker(by: Actor) -> dict[str, str]:
    """Who asked last may not approve what comes of it; the service asks for nobody."""
    return {"uploaded_by": by.name, "uploader_oid": by.subject} if by.subject else {}


def _store(connection: Connection, upload: Upload, pack_id: UUID, name: str, now: datetime) -> None:
    metadata, by = upload.pack.metadata, upload.uploader
    tenant = tenants.remember(connection, upload.tenant, by.name)
    project = tenants.remember_project(connection, tenant, metadata.project_name, by.name)
    request = uuid4()
    asked: dict[str, Any] = {
        "tenant_id": tenant, "project_id": project, "requestor": metadata.requestor,
        "strategy": metadata.strategy, "requested_at": now,
    }  # fmt: skip
    versions.write(
        connection,
        REQUESTS,
        [Change(request, asked | {"share_pack_id": pack_id, "description": metadata.description})],
        by=by.name,
        reason="uploaded",
    )
    state = _first_state(metadata.start_at, now)
    content = asked | told(upload.warnings) | {
        "request_id": request, "business_line": upload.tenant.name, "share_pack_name": name,
        "requestor_oid": upload.requestor_oid, "uploaded_by": by.name, "uploader_oid": by.subject,
        "workspace_url": upload.workspace_url, "config": to_document(upload.pack),
        "content_hash": upload.content_hash, "file_name": upload.file_name, "start_at": metadata.start_at,
        "share_pack_status": state.value,
    }  # fmt: skip
    versions.write(connection, SHARE_PACKS, [Change(pack_id, content)], by=by.name, reason="uploaded")
    records.append(connection, Act(
        by.name, "share_pack.upload", name, by.subject, tenant=upload.tenant.name, share_pack_id=pack_id,
        after={"requestor": metadata.requestor, "strategy": metadata.strategy, "workspace": upload.workspace_url,
               "content_hash": upload.content_hash, "file_name": upload.file_name},
    ))  # fmt: skip


def _begin(connection: Connection, pack_id: UUID, start_at: datetime | None, by: Actor) -> None:
    current = versions.as_of(connection, SHARE_PACKS, pack_id)
    assert current is not None, "just written"
    applications.start(connection, pack_id, current["version"], start_at, by)


def _first_state(start_at: datetime | None, now: datetime) -> State:
    return State.SCHEDULED if start_at is not None and start_at > now else State.IN_PROGRESS


def _free_name(connection: Connection, requestor: str, now: datetime) -> str:
    connection.execute(sharing_query("name_lock"), {"name": pack_name(requestor, now)})
    number = 1
    while True:
        name = pack_name(requestor, now, number)
        row = connection.execute(sharing_query("name_taken"), {"name": name}).fetchone()
        assert row is not None
        if not row["taken"]:
            return name
        number += 1


def _now(connection: Connection) -> datetime:
    row = connection.execute(sharing_query("clock")).fetchone()
    assert row is not None
    now: datetime = row["now"]
    return now
