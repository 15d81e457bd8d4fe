"""What belongs to a tenant: its target schemas, the names of its secrets, its regions.

Everything here works in the caller's transaction. No schema and no secret ever serves two tenants: their tables have
the name as the primary key.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from shared.adapters.postgres.database import Connection
from shared.adapters.postgres.tables import refuse_schema
from shared.errors import ConflictError, InvalidError
from shared.sql import query
from shared.sync import names
from shared.sync.catalogue import FIRST_TENANT

_PREFIX_END = "--"


def secret_prefix(tenant: str) -> str:
    """How names of the tenant's secrets begin; empty for the first tenant."""
    return "" if tenant == FIRST_TENANT else _prefix(tenant)


def _prefix(tenant: str) -> str:
    return re.sub("[^a-z0-9]", "-", tenant.lower()) + _PREFIX_END


def claim_secret(
    connection: Connection, schema: str, tenant: str, name: str, reserved: Sequence[str] = ()
) -> None:
    """Make the name the tenant's; raises InvalidError where it is another's or the service's own."""
    wanted = name.lower()
    values = {"name": wanted, "tenant": tenant}
    owner = connection.execute(query("tenant_secret_owner", schema), values).fetchone()
    if owner is None and wanted not in reserved and _may_claim(connection, schema, tenant, wanted):
        owner = connection.execute(query("tenant_secret_claim", schema), values).fetchone()
    if owner is None or owner["tenant"] != tenant or wanted in reserved:
        raise _not_yours(tenant)


def _may_claim(connection: Connection, schema: str, tenant: str, name: str) -> bool:
    """Whether the longest tenant's prefix that fits the name is this tenant's."""
    rows = connection.execute(query("tenant_names", schema)).fetchall()
    fitting = [
        row["name"] for row in rows if row["name"] != FIRST_TENANT and name.startswith(_prefix(row["name"]))
    ]
    longest = max(map(len, map(_prefix, fitting)), default=0)
    owners = {each for each in fitting if len(_prefix(each)) == longest}
    return tenant in owners if owners else tenant == FIRST_TENANT


def _not_yours(tenant: str) -> InvalidError:
    prefix = secret_prefix(tenant)
    detail = f"is not a name that tenant {tenant!r} may use"
    hint = (
        f"its names begin with {prefix!r}" if prefix else "choose a name that no other tenant's prefix fits"
    )
    return InvalidError(f"auth.secret_name: {detail}", [("auth.secret_name", f"{detail}; {hint}")], hint=hint)


def own_schema(tenant: str) -> str:
    """The schema that a tenant gets whose schemas nobody named."""
    return re.sub("[^a-z0-9_]", "_", tenant.lower())


def set_schemas(connection: Connection, schema: str, tenant: str, wanted: Sequence[str]) -> None:
    """Give the tenant exactly these schemas, the first being its default.

    Raises InvalidError for a name that can't be a target, ConflictError for another tenant's, and for one that
    entities of this tenant still stand in.
    """
    for name in wanted:
        if problem := names.problem(name):
            raise InvalidError(
                f"target_schemas: {name!r} {problem}", [("target_schemas", f"{name!r} {problem}")]
            )
        refuse_schema(name, schema)
    values = {"tenant": tenant, "schemas": list(wanted)}
    used = connection.execute(query("tenant_schemas_used", schema), values).fetchone()
    if used is not None:
        raise ConflictError(
            f"target schema {used['target_schema']!r}: entities of tenant {tenant!r} stand in it",
            hint="keep it in target_schemas, or delete those entities first",
        )
    connection.execute(query("tenant_schemas_drop", schema), values)
    for position, name in enumerate(wanted):
        row = {"tenant": tenant, "name": name, "position": position}
        if connection.execute(query("tenant_schema_set", schema), row).rowcount == 0:
            raise ConflictError(
                f"target schema {name!r}: is not free for tenant {tenant!r}",
                hint="choose another target_schemas",
            )


def require_schema(connection: Connection, schema: str, connector_uid: UUID, target_schema: str) -> None:
    """Raises InvalidError unless the schema is of the connector's tenant; it stays so until the transaction ends."""
    values = {"connector_uid": connector_uid, "target_schema": target_schema, "first": FIRST_TENANT}
    connection.execute(query("tenant_schema_claim", schema), values)
    if connection.execute(query("tenant_schema_of", schema), values).fetchone() is None:
        detail = f"{target_schema!r} is not a schema of the connector's tenant"
        raise InvalidError(
            f"target_schema: {detail}",
            [("target_schema", detail)],
            hint="GET /api/v1/tenants/{name} lists its target_schemas; an admin of all tenants sets them",
        )


def regions(connection: Connection, schema: str, tenant: str) -> list[Mapping[str, Any]]:
    """The tenant's regions with their workspaces, by name."""
    return list(connection.execute(query("tenant_regions", schema), {"tenant": tenant}))


def set_regions(connection: Connection, schema: str, tenant: str, wanted: Mapping[str, str]) -> None:
    """Give the tenant exactly these regions: workspace URLs by region."""
    values = {"tenant": tenant, "regions": list(wanted), "urls": list(wanted.values())}
    connection.execute(query("tenant_regions_drop", schema), values)
    connection.execute(query("tenant_regions_set", schema), values)
