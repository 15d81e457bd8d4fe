"""A database with the schemas of table sync and of share packs, and what most tests of packs begin with."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from shared.adapters.postgres.database import Database, server_of
from shared.adapters.postgres.migrations import migrate, migrate_sharing
from shared.adapters.postgres.sharing.applications import Applications
from shared.adapters.postgres.sharing.packs import Packs
from shared.adapters.postgres.sharing.plans import Plans
from shared.adapters.postgres.sharing.tenants import Tenant
from shared.adapters.postgres.sharing.uploads import Stored, Upload, Uploads
from shared.sharing.claims import Claim
from shared.sharing.model import DataObject, Metadata, Recipient, RecipientType, Share, SharePack
from shared.sharing.views import Actor

WORKSPACE = "https://adb-1.azuredatabricks.net"
FINANCE = Tenant("finance", {"westeurope": WORKSPACE})
ADA = Actor("oid-ada", "ada@example.org", False, frozenset({"finance"}))
BEN = Actor("oid-ben", "ben@example.org", False, frozenset({"finance"}))
PACK = SharePack(
    Metadata("ada@example.org", "Quarter One", "finance", "NEW"),
    (Recipient("auditor", RecipientType.D2O, email="a@example.net", allowed_ips=("203.0.113.0/24",)),),
    (Share("q1", recipients=("auditor",), data_objects=(DataObject("c.s.t"),)),),
)


class Store:
    """All stores over one database, and plain SQL."""

    def __init__(self, conninfo: str) -> None:
        self.conninfo = conninfo
        self.database = Database(server_of(conninfo, "TEST"), pool_max=12)
        self.packs, self.uploads = Packs(self.database), Uploads(self.database)
        self.applications = Applications(self.database, lease_s=60)
        self.plans = Plans(self.database, lease_s=60)

    def sql(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.conninfo, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(statement, values)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def upload(self, content: str = "a", **changes: Any) -> Stored:
        upload = Upload(PACK, FINANCE, WORKSPACE, content * 64, "q1.yaml", ADA, "oid-ada")
        return self.uploads.create(replace(upload, **changes))

    def application_of(self, pack_id: UUID) -> UUID:
        rows = self.sql(
            "SELECT application_uid FROM deltashare_state.applications WHERE share_pack_id = %s"
            " ORDER BY created_at DESC LIMIT 1",
            pack_id,
        )
        uid: UUID = rows[0]["application_uid"]
        return uid

    def claim(self, pack_id: UUID, message: str | None = None, dequeues: int = 1) -> Claim:
        claim = self.applications.claim(self.application_of(pack_id), message or str(uuid4()), dequeues)
        assert isinstance(claim, Claim), claim
        return claim


@pytest.fixture
def bare(database: str) -> Iterator[Store]:
    """An empty database."""
    store = Store(database)
    yield store
    store.database.close()


@pytest.fixture
def store(bare: Store) -> Store:
    """A migrated database."""
    migrate(bare.database)
    migrate_sharing(bare.database)
    return bare
