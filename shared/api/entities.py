"""Routes of entities: the tables that are synced."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from shared.adapters.descriptions import sampled
from shared.adapters.postgres.views import RunView
from shared.adapters.tokens import Caller
from shared.api.access import Admin, Operator, Reader, Services
from shared.api.bodies import EntityBody, MappingBody, SyncBody
from shared.api.connectors import unknown_slug
from shared.api.entity_out import EntityOut, entity_out
from shared.api.paging import Cursor, Limit, Page, Status, cut, pack_uid, uid_cursor
from shared.api.ports import ApiServices
from shared.api.runs import StartedOut, check_active, run_page, start
from shared.errors import ConflictError, InvalidError
from shared.sync import types
from shared.sync.catalogue import Catalogued, Change, Connector, FieldMapping
from shared.sync.choices import EntityChoice, amend, create
from shared.sync.consent import Consent
from shared.sync.description import ApiColumn, ApiDescription, ApiParent
from shared.sync.model import Expression, Rules
from shared.sync.parents import problems
from shared.sync.rules import RulesError, parse_rules

router = APIRouter(prefix="/api/v1/entities", tags=["entities"])
PlanHash = Annotated[
    str | None, Query(max_length=64, description="The `plan_hash` of the plan that this request consents to.")
]


@router.get("")
def list_entities(
    *,
    caller: Reader,
    services: Services,
    connector_uid: UUID | None = None,
    status: Status = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[EntityOut]:
    """The caller's entities, in order of creation; `status` is that of the last sync."""
    found = services.catalogue.entities(
        caller.tenants, connector_uid=connector_uid, status=status, limit=limit + 1, after=uid_cursor(cursor)
    )
    items, more = cut(found, limit)
    last = pack_uid(items[-1].catalogued.entity.uid) if more else None
    return Page(items=[entity_out(view) for view in items], next_cursor=last)


@router.post("", status_code=201)
def create_entity(
    body: EntityBody, caller: Admin, services: Services, plan_hash: PlanHash = None
) -> EntityOut:
    """Create an entity by hand; without `columns` the connector is asked to describe the slug.

    A table that stands at the target's name is adopted: 409 with the plan first, done when `plan_hash` names it.
    """
    connector = _connector(body, caller, services)
    described = _description(body, connector, services)
    choice = _choice(body)
    siblings = _siblings(body, services)
    uid = services.new_uid()

    def decide(existing: Catalogued | None, taken: Sequence[str]) -> Change:
        if existing is not None:
            raise ConflictError(
                f"entity {body.slug!r}: the connector has one already",
                hint=f"PUT /api/v1/entities/{existing.entity.uid}",
            )
        change = create(described, choice, connector, uid=uid, taken_tables=taken)
        if body.parents is not None:
            _check_parents(change.after, siblings)
        return change

    consent = Consent(plan_hash)
    return _change(
        services, body, decide, caller=caller, action="entity.create", consent=consent, revive=True
    )


@router.get("/{uid}")
def get_entity(uid: UUID, caller: Reader, services: Services) -> EntityOut:
    """One entity."""
    return entity_out(services.catalogue.entity(uid, caller.tenants))


@router.put("/{uid}")
def put_entity(
    uid: UUID, body: EntityBody, caller: Admin, services: Services, plan_hash: PlanHash = None
) -> EntityOut:
    """Replace an entity: what is left out goes back to its default; columns and mappings left out stay.

    Where rows are stored, another key, other rules and narrower types answer 409 with a plan, and are done when the
    same request comes with that plan's `plan_hash`.
    """
    stored = services.catalogue.entity(uid, caller.tenants).catalogued.entity
    fixed = {"connector_uid": stored.connector_uid, "slug": stored.slug}
    wrong = [(name, "cannot be changed") for name, value in fixed.items() if getattr(body, name) != value]
    if wrong:
        raise InvalidError(
            f"entity {stored.slug}: {wrong[0][0]} cannot be changed", wrong, hint="create another entity"
        )
    choice = _choice(body)
    siblings = _siblings(body, services)

    def decide(existing: Catalogued | None, _taken: Sequence[str]) -> Change:
        if existing is None or existing.entity.uid != uid:
            raise ConflictError(
                f"entity {stored.slug}: was deleted meanwhile", hint="list the entities again"
            )
        change = amend(existing, choice)
        if body.parents is not None:
            _check_parents(change.after, siblings)
        return change

    consent = Consent(plan_hash)
    return _change(services, body, decide, caller=caller, action="entity.change", consent=consent)


@router.delete("/{uid}", status_code=204)
def delete_entity(uid: UUID, caller: Admin, services: Services) -> None:
    """Stop syncing a table and forget the entity; the target table and its rows stay."""
    services.catalogue.entity(uid, caller.tenants)
    services.catalogue.delete_entity(uid, caller.subject)


@router.post("/{uid}/sync", status_code=202)
def sync_entity(uid: UUID, caller: Operator, services: Services, body: SyncBody | None = None) -> StartedOut:
    """Sync now; 409 while a run is in flight."""
    check_active(services, services.catalogue.entity(uid, caller.tenants))
    return start(services, uid, caller, "delta", body or SyncBody())


@router.post("/{uid}/full-refresh", status_code=202)
def full_refresh_entity(
    uid: UUID, caller: Operator, services: Services, body: SyncBody | None = None
) -> StartedOut:
    """Read the whole table again under a new generation; what runs is ended."""
    check_active(services, services.catalogue.entity(uid, caller.tenants))
    return start(services, uid, caller, "refresh", body or SyncBody())


@router.get("/{uid}/runs")
def list_entity_runs(
    *,
    uid: UUID,
    caller: Reader,
    services: Services,
    status: Status = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[RunView]:
    """The entity's runs, newest first."""
    services.catalogue.entity(uid, caller.tenants)
    return run_page(services, caller, entity_uid=uid, status=status, limit=limit, cursor=cursor)


def _change(
    services: ApiServices,
    body: EntityBody,
    decide: Callable[[Catalogued | None, Sequence[str]], Change],
    *,
    caller: Caller,
    action: str,
    consent: Consent,
    revive: bool = False,
) -> EntityOut:
    after = services.catalogue.change_entity(
        body.connector_uid,
        body.slug,
        decide,
        actor=caller.subject,
        action=action,
        revive=revive,
        consent=consent,
    )
    if after is None:
        raise ConflictError(f"entity {body.slug!r}: was deleted meanwhile", hint="list the entities again")
    return entity_out(services.catalogue.entity(after.entity.uid, caller.tenants))


def _connector(body: EntityBody, caller: Caller, services: ApiServices) -> Connector:
    found = services.catalogue.connectors(caller.tenants, uid=body.connector_uid, limit=1)
    if not found:
        detail = f"connector {body.connector_uid} is unknown"
        raise InvalidError(
            detail, [("connector_uid", detail)], hint="GET /api/v1/connectors lists what there is"
        )
    return found[0]


def _description(body: EntityBody, connector: Connector, services: ApiServices) -> ApiDescription:
    if body.columns is not None:
        return ApiDescription(slug=body.slug, name=body.api_name or body.slug, columns=_columns(body) or ())
    source = services.open_source(connector)
    by_slug = {one.slug: one for one in source.list_apis()}
    if body.slug not in by_slug:
        raise unknown_slug(connector, body.slug, by_slug)
    return sampled(source, [by_slug[body.slug]])[0]


def _choice(body: EntityBody) -> EntityChoice:
    return EntityChoice(
        api_name=body.api_name,
        delta_strategy=body.delta_strategy,
        business_keys=None if body.business_keys is None else tuple(body.business_keys),
        target_schema=body.target_schema,
        target_table=body.target_table,
        columns=_columns(body),
        mappings=_mappings(body),
        parents=_parents(body),
        reject_threshold_percent=body.reject_threshold_percent,
        parameters=body.parameters,
        sync_enabled=body.sync_enabled,
        sync_interval_seconds=body.sync_interval_seconds,
        overlap=body.overlap,
        page_size=body.page_size,
        delete_guard_percent=body.delete_guard_percent,
        delete_after_missing=body.delete_after_missing,
        key_sweep_interval_seconds=body.key_sweep_interval_seconds,
        contract=body.contract,
        verify_interval_seconds=body.verify_interval_seconds,
        adaptive=body.adaptive,
    )


def _columns(body: EntityBody) -> tuple[ApiColumn, ...] | None:
    if body.columns is None:
        return None
    return tuple(ApiColumn(**column.model_dump()) for column in body.columns)


def _parents(body: EntityBody) -> tuple[ApiParent, ...] | None:
    if body.parents is None:
        return None
    return tuple(ApiParent(tuple(p.columns), p.slug, tuple(p.parent_columns)) for p in body.parents)


def _siblings(body: EntityBody, services: ApiServices) -> dict[str, Catalogued]:
    """The connector's entities that the body declares as parents, by slug."""
    wanted = {parent.slug for parent in body.parents or ()}
    found: dict[str, Catalogued] = {}
    after = None
    while wanted - set(found):
        page = services.catalogue.entities(None, connector_uid=body.connector_uid, limit=500, after=after)
        if not page:
            break
        after = page[-1].catalogued.entity.uid
        found |= {v.catalogued.entity.slug: v.catalogued for v in page if v.catalogued.entity.slug in wanted}
    return found


def _check_parents(child: Catalogued, siblings: Mapping[str, Catalogued]) -> None:
    """Raises InvalidError naming each declared parent that cannot be looked up."""
    known = {**siblings, child.entity.slug: child}
    wrong = [
        (f"parents[{i}]", detail)
        for i, declared in enumerate(child.entity.parents)
        for detail in problems(declared, child, known.get(declared.slug))
    ]
    if wrong:
        what = "; ".join(f"{name}: {detail}" for name, detail in wrong)
        raise InvalidError(
            f"entity {child.entity.slug}: {what}", wrong, hint="correct the parents named and send it again"
        )


def _mappings(body: EntityBody) -> tuple[FieldMapping, ...] | None:
    """The mappings sent; raises InvalidError naming every field that is wrong."""
    if body.field_mappings is None:
        return None
    problems: list[tuple[str, str]] = []
    mappings = [_mapping(i, mapping, problems) for i, mapping in enumerate(body.field_mappings)]
    if problems:
        what = "; ".join(f"{field} {detail}" for field, detail in problems)
        raise InvalidError(
            f"field_mappings: {what}", problems, hint="correct the fields named and send it again"
        )
    return tuple(mappings)


def _mapping(position: int, body: MappingBody, problems: list[tuple[str, str]]) -> FieldMapping:
    place = f"field_mappings[{position}]"
    column_type, warning = types.column_type(body.type, "postgres")
    if warning:
        problems.append((f"{place}.type", "is not a type of PostgreSQL's that a target column can have"))
    rules = Rules()
    try:
        rules = parse_rules(body.rules)
    except RulesError as error:
        problems += [(f"{place}.rules.{field}", detail) for field, detail in error.problems]
    expression = (
        None if body.expression is None else Expression(body.expression.op, tuple(body.expression.args))
    )
    return FieldMapping(position, body.source, body.target, column_type, rules, expression, "person")
