"""Routes of connectors: the source systems."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel

from shared.adapters.descriptions import sampled
from shared.adapters.postgres.discovery import Discovered
from shared.adapters.postgres_source.address import parse_address
from shared.adapters.tokens import Caller
from shared.api.access import Admin, Operator, Reader, Services
from shared.api.bodies import ConnectorBody, DiscoverBody, NotifyBody
from shared.api.paging import Cursor, Limit, Page, cut, pack_uid, uid_cursor
from shared.api.ports import ApiServices
from shared.errors import AppError, ConfigurationError, InvalidError
from shared.sync.catalogue import Connector
from shared.sync.description import ApiDescription

router = APIRouter(prefix="/api/v1/connectors", tags=["connectors"])
_PORTS = {"http": 80, "https": 443}
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class AuthOut(BaseModel):
    """How the connector is signed in to; the secret itself is never shown."""

    type: str
    secret_name: str | None


class ConnectorOut(BaseModel):
    """A connector as answered."""

    uid: UUID
    name: str
    kind: str
    base_url: str
    auth: AuthOut
    tenant: str
    time_zone: str | None
    max_concurrent_syncs: int | None
    is_active: bool
    created_at: datetime | None
    updated_at: datetime | None


class ErrorOut(BaseModel):
    """An error that belongs to one of several results."""

    code: str
    message: str
    hint: str


class TestOut(BaseModel):
    """Whether the connector can be reached, signed in to and asked for its tables."""

    ok: bool
    tables: int | None = None
    error: ErrorOut | None = None


class DiscoveredOut(BaseModel):
    """What became of one table: created, refreshed, skipped or failed."""

    slug: str
    status: str
    entity_uid: UUID | None
    warnings: list[str]
    error: ErrorOut | None


class NotifiedOut(BaseModel):
    """Slugs made due, and those without an entity."""

    due: list[str]
    unknown: list[str]


@router.post("", status_code=201)
def create_connector(body: ConnectorBody, caller: Admin, services: Services) -> ConnectorOut:
    """Register a connector."""
    _check(body, caller, services)
    if not services.catalogue.tenants(None, name=body.tenant, limit=1) or not caller.sees(body.tenant):
        raise _field("tenant", f"tenant {body.tenant!r} is unknown")
    connector = services.catalogue.add_connector(_connector(body, services.new_uid()), caller.subject)
    _keep_secret(body, services)
    return _out(connector)


@router.get("")
def list_connectors(
    caller: Reader, services: Services, limit: Limit = 100, cursor: Cursor = None
) -> Page[ConnectorOut]:
    """The caller's connectors, in order of creation."""
    found = services.catalogue.connectors(caller.tenants, limit=limit + 1, after=uid_cursor(cursor))
    items, more = cut(found, limit)
    return Page(items=[_out(c) for c in items], next_cursor=pack_uid(items[-1].uid) if more else None)


@router.get("/{uid}")
def get_connector(uid: UUID, caller: Reader, services: Services) -> ConnectorOut:
    """One connector."""
    return _out(services.catalogue.connector(uid, caller.tenants))


@router.put("/{uid}")
def put_connector(uid: UUID, body: ConnectorBody, caller: Admin, services: Services) -> ConnectorOut:
    """Replace a connector."""
    stored = services.catalogue.connector(uid, caller.tenants)
    _check(body, caller, services)
    if body.tenant != stored.tenant:
        raise _field("tenant", "a connector stays in its tenant; create another one there")
    changed = services.catalogue.change_connector(_connector(body, uid), caller.subject)
    _keep_secret(body, services)
    return _out(changed)


@router.delete("/{uid}", status_code=204)
def delete_connector(uid: UUID, caller: Admin, services: Services) -> None:
    """Forget a connector that no entity is synced from any more."""
    services.catalogue.connector(uid, caller.tenants)
    services.catalogue.delete_connector(uid, caller.subject)


@router.post("/{uid}/test")
def test_connector(uid: UUID, caller: Operator, services: Services) -> TestOut:
    """Sign in and ask for the tables; a failure is an answer, not an error of this request."""
    connector = services.catalogue.connector(uid, caller.tenants)
    try:
        return TestOut(ok=True, tables=len(services.open_source(connector).list_apis()))
    except AppError as error:
        return TestOut(ok=False, error=_error(error))


@router.post("/{uid}/discover")
def discover_connector(
    uid: UUID, caller: Operator, services: Services, body: DiscoverBody | None = None
) -> Page[DiscoveredOut]:
    """Read what the connector offers; create and refresh entities and their target tables."""
    connector = services.catalogue.connector(uid, caller.tenants)
    source = services.open_source(connector)
    described = sampled(source, _wanted(source.list_apis(), connector, body))
    found = services.discovery.discover(connector, described, actor=caller.subject)
    return Page(items=[_discovered(one) for one in found])


@router.post("/{uid}/notify", status_code=202)
def notify_connector(uid: UUID, body: NotifyBody, caller: Operator, services: Services) -> NotifiedOut:
    """The source says that these tables changed: make them due at once."""
    services.catalogue.connector(uid, caller.tenants)
    due = services.catalogue.notify(uid, body.slugs)
    return NotifiedOut(due=list(due), unknown=sorted(set(body.slugs) - set(due)))


def _wanted(
    offered: Sequence[ApiDescription], connector: Connector, body: DiscoverBody | None
) -> Sequence[ApiDescription]:
    if body is None or body.slugs is None:
        return offered
    by_slug = {one.slug: one for one in offered}
    unknown = [slug for slug in body.slugs if slug not in by_slug]
    if unknown:
        raise unknown_slug(connector, unknown[0], by_slug, "slugs")
    return [by_slug[slug] for slug in dict.fromkeys(body.slugs)]


def unknown_slug(connector: Connector, slug: str, offered: Any, field: str = "slug") -> InvalidError:
    """The error for a slug that the connector does not offer; it names some that it does."""
    known = ", ".join(sorted(offered)[:20]) or "nothing"
    return InvalidError(
        f"slug {slug!r}: connector {connector.name!r} does not offer it",
        [(field, f"{slug!r} is unknown")],
        hint=f"it offers {known}",
    )


def _check(body: ConnectorBody, caller: Caller, services: ApiServices) -> None:
    if not caller.sees(body.tenant):
        raise _field("tenant", f"tenant {body.tenant!r} is unknown")
    if body.kind == "postgres":
        if body.auth.type != "token":
            raise _field(
                "auth.type", "kind postgres takes token, whose secret is JSON with user and password"
            )
        _check_address(body.base_url, services.connector_hosts)
    else:
        _check_url(body.base_url, services.connector_hosts)
    if body.auth.secret is not None and services.secrets is None:
        raise _field(
            "auth.secret", "no KEY_VAULT_URL is set to keep it in; set the secret's variable yourself"
        )


def _check_url(base_url: str, allowed: tuple[str, ...]) -> None:
    """Only hosts that the operator listed: a connector must not reach the intranet."""
    try:
        parts = urlsplit(base_url)
        host, port = (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        raise _field("base_url", "not a URL such as https://erp.example.com") from None
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.query or parts.fragment:
        raise _field("base_url", "not a plain http or https URL such as https://erp.example.com")
    if not {host, f"{host}:{port}"} & set(allowed):
        raise _field("base_url", f"host {host!r} is not in CONNECTOR_HOSTS; add it there to allow it")
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise _field("base_url", "http would send the credentials in the clear; use https")


def _check_address(base_url: str, allowed: tuple[str, ...]) -> None:
    try:
        parse_address(base_url, allowed)
    except ConfigurationError as error:
        detail = error.message.removeprefix("base_url: ")
        raise _field("base_url", f"{detail}; {error.hint}" if error.hint else detail) from None


def _keep_secret(body: ConnectorBody, services: ApiServices) -> None:
    if body.auth.secret is not None and body.auth.secret_name is not None and services.secrets is not None:
        services.secrets.put(body.auth.secret_name, body.auth.secret)


def _connector(body: ConnectorBody, uid: UUID) -> Connector:
    return Connector(
        uid=uid,
        tenant=body.tenant,
        name=body.name,
        kind=body.kind,
        base_url=body.base_url.rstrip("/"),
        auth_type=body.auth.type,
        secret_name=body.auth.secret_name,
        time_zone=body.time_zone,
        max_concurrent_syncs=body.max_concurrent_syncs,
        is_active=body.is_active,
    )


def _out(connector: Connector) -> ConnectorOut:
    return ConnectorOut(
        uid=connector.uid,
        name=connector.name,
        kind=connector.kind,
        base_url=connector.base_url,
        auth=AuthOut(type=connector.auth_type, secret_name=connector.secret_name),
        tenant=connector.tenant,
        time_zone=connector.time_zone,
        max_concurrent_syncs=connector.max_concurrent_syncs,
        is_active=connector.is_active,
        created_at=connector.created_at,
        updated_at=connector.updated_at,
    )


def _discovered(one: Discovered) -> DiscoveredOut:
    return DiscoveredOut(
        slug=one.slug,
        status=one.status,
        entity_uid=one.entity_uid,
        warnings=list(one.warnings),
        error=None if one.error is None else _error(one.error),
    )


def _error(error: AppError) -> ErrorOut:
    return ErrorOut(code=error.code, message=error.message, hint=error.hint)


def _field(name: str, detail: str) -> InvalidError:
    return InvalidError(f"{name}: {detail}", [(name, detail)], hint="correct the field and send it again")
