"""Business lines. Which tenants there are, and their regions, is said by `PUT /api/v1/tenants` and read from there.

`deltashare.tenants` and `tenant_regions` keep the history of what share packs saw of them, written when a pack comes;
only `approval` is said here and nowhere else. Projects and requests belong to packs and are written with them.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

from shared.adapters.postgres import tenancy
from shared.adapters.postgres.database import Connection, Database
from shared.adapters.postgres.sharing import records, versions
from shared.adapters.postgres.sharing.records import Act
from shared.adapters.postgres.sharing.versions import (
    PROJECTS,
    TENANT_REGIONS,
    TENANTS,
    Change,
    in_transaction,
)
from shared.errors import InvalidError
from shared.sharing.lifecycle import folded
from shared.sharing.records import Policy, Tenant
from shared.sharing.views import Actor
from shared.sql import query, sharing_query

# Ids of what has a name are made of it, so that two who meet a name at once make the same thing.
_NAMES = UUID("6f1d0f4e-6a4d-5d0c-9d0b-3f2c7a1e8b52")


class Tenants:
    """Tenants by name. `home` is the database of the catalogue, `database` the share packs': often the same."""

    def __init__(self, home: Database, database: Database) -> None:
        self._home, self._database = home, database

    def find(self, business_line: str) -> Tenant | None:
        """The tenant that a pack's `business_line` means: the name itself, else the only one that reads like it."""
        with self._home.connection() as connection:
            rows = connection.execute(query("tenant_names", self._home.schema)).fetchall()
            names = [row["name"] for row in rows]
            alike = [name for name in names if folded(name) == folded(business_line)]
            name = business_line if business_line in names else alike[0] if len(alike) == 1 else None
            if name is None:
                return None
            found = tenancy.regions(connection, self._home.schema, name)
        regions = {row["region"]: row["workspace_url"] for row in found}
        return Tenant(name, regions, self.approval(name))

    def all(self, tenants: frozenset[str] | None) -> list[Tenant]:
        """The tenants that a caller sees, by name."""
        with self._home.connection() as connection:
            rows = connection.execute(query("tenant_names", self._home.schema)).fetchall()
            names = sorted(row["name"] for row in rows if tenants is None or row["name"] in tenants)
            found = {name: tenancy.regions(connection, self._home.schema, name) for name in names}
        return [
            Tenant(name, {row["region"]: row["workspace_url"] for row in rows})
            for name, rows in found.items()
        ]

    def approval(self, name: str) -> Policy | None:
        """What the tenant wants approved; None where the installation's setting holds."""
        with self._database.connection() as connection:
            row = versions.as_of(connection, TENANTS, tenant_id(connection, name))
        return row["approval"] if row else None

    def set_approval(self, name: str, approval: Policy | None, *, by: Actor, reason: str) -> None:
        """What the tenant wants approved from now on; raises InvalidError for an unknown tenant."""
        if self.find(name) is None:
            raise InvalidError(f"tenant {name!r}: is unknown", [("tenant", f"{name!r} is unknown")])

        def work(connection: Connection) -> None:
            change = Change(tenant_id(connection, name), {"name": name, "approval": approval})
            if versions.write(connection, TENANTS, [change], by=by.name, reason=reason):
                after = {"approval": approval}
                records.append(connection, Act(
                    by.name, "tenant.approval", name, by.subject, tenant=name, after=after, reason=reason
                ))  # fmt: skip

        in_transaction(self._database, work)


def tenant_id(connection: Connection, name: str) -> UUID:
    """The tenant's id: a predecessor's where it had one."""
    return _known(connection, "tenants", "tenant_id", {"name": name}) or uuid5(_NAMES, f"tenant|{name}")


def remember(connection: Connection, tenant: Tenant, by: str) -> UUID:
    """Keep what is known of the tenant as versions, where it changed; its id."""
    id_ = tenant_id(connection, tenant.name)
    versions.write(connection, TENANTS, [Change(id_, {"name": tenant.name})], by=by, reason="share pack")
    stored = {
        row["region"]: row["tenant_region_id"]
        for row in connection.execute(sharing_query("tenant_regions_of"), {"tenant_id": id_})
    }
    wanted = [
        Change(
            stored.get(region) or uuid5(_NAMES, f"region|{id_}|{region}"),
            {"tenant_id": id_, "region": region, "workspace_url": url},
        )
        for region, url in tenant.regions.items()
    ]
    gone = [Change(each, {}, deleted=True) for region, each in stored.items() if region not in tenant.regions]
    versions.write(connection, TENANT_REGIONS, [*wanted, *gone], by=by, reason="share pack")
    return id_


def remember_project(connection: Connection, tenant: UUID, name: str, by: str) -> UUID:
    """The tenant's project of that name, case and blanks aside; made where it has none."""
    plain = " ".join(name.split())
    values = {"tenant_id": tenant, "name": plain}
    id_ = _known(connection, "projects", "project_id", values) or uuid5(
        _NAMES, f"project|{tenant}|{plain.lower()}"
    )
    if versions.as_of(connection, PROJECTS, id_) is None:
        versions.write(connection, PROJECTS, [Change(id_, values)], by=by, reason="share pack")
    return id_


def _known(connection: Connection, table: str, id_: str, values: Mapping[str, Any]) -> UUID | None:
    row = connection.execute(sharing_query(f"{table}_named"), values).fetchone()
    found: UUID | None = row[id_] if row else None
    return found
