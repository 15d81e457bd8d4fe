"""The connector protocol's three readings: discovery, data pages, change probe.

Enters: a table and query parameters as text. Leaves: answers ready for JSON; row documents stay the text
the store holds. Parameters it doesn't know are ignored.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from infra.local.sample_erp.errors import ErpError, UnknownSlugError
from infra.local.sample_erp.schema import ColumnSpec, TableSpec
from infra.local.sample_erp.store import PageQuery, PageRows, Position, Store
from infra.local.sample_erp.values import read_version, show_version

PAGE_SIZE_MAX = 10_000
PAGE_SIZE_DEFAULT = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How one table answers; tests and the control endpoint swap it whole or in part.

    `total` None means: sent under page numbers, not under keyset. `keys_only` False ignores `fields=keys`;
    `ranges` False: it never says where to cut a table; `flat_rows` sends the data object without its envelope;
    `total_error` is added to a true total.
    """

    pagination: Literal["keyset", "page"] = "keyset"
    ordered_by_rowversion: bool = False
    probe: bool = True
    probe_count: bool = True
    total: bool | None = None
    total_error: int = 0
    has_more: bool = True
    safe_rowversion: bool = True
    keys_only: bool = True
    ranges: bool = True
    flat_rows: bool = False
    page_size_max: int = PAGE_SIZE_MAX
    latency_ms: int = 0


@dataclass(slots=True)
class Connector:
    """Reads the store as the protocol words it; `behaviours` holds what differs from the default, by slug."""

    store: Store
    behaviours: dict[str, Behaviour] = field(default_factory=dict)

    def behaviour(self, slug: str) -> Behaviour:
        return self.behaviours.get(slug, _DEFAULT)

    def apis(self) -> list[dict[str, object]]:
        """Discovery: every table with its columns, keys, strategy and how it pages."""
        return [_describe(spec, self.behaviour(slug)) for slug, spec in self.store.specs.items()]

    def changes(self, slug: str, parameters: Mapping[str, str]) -> dict[str, object]:
        """The cheap probe, over the fetch's lower bound; UnknownSlugError where it is switched off."""
        spec, behaviour = self.store.spec(slug), self.behaviour(slug)
        if not behaviour.probe:
            raise UnknownSlugError(f"{slug} offers no change probe; fetch it instead")
        above = _lower_bound(spec, parameters)
        count, highest = self.store.count(slug, above), self.store.max_version(slug)
        seen = _sent_version(spec, parameters)
        changed = count > 0 if seen is None else highest > seen
        answer: dict[str, object] = {
            "changed": changed,
            "max_rowversion": show_version(highest, spec.version_kind),
        }
        return answer | ({"count": count} if behaviour.probe_count else {})

    def ranges(self, slug: str, parameters: Mapping[str, str]) -> dict[str, object]:
        """Cursors that cut a table into parts; UnknownSlugError where it is switched off or pages by number."""
        behaviour = self.behaviour(slug)
        if not behaviour.ranges or behaviour.pagination != "keyset" or behaviour.ordered_by_rowversion:
            raise UnknownSlugError(f"{slug} offers no ranges; read it in one walk")
        cuts = self.store.cuts(slug, _natural(parameters, "parts", 1))
        return {"cursors": [_write_cursor(position) for position in cuts]}

    def data(self, slug: str, parameters: Mapping[str, str]) -> bytes:
        """One page as JSON bytes; the row documents are joined, never parsed."""
        spec, behaviour = self.store.spec(slug), self.behaviour(slug)
        page = _natural(parameters, "page", 1)
        size = min(_natural(parameters, "page_size", PAGE_SIZE_DEFAULT), behaviour.page_size_max)
        keyset = behaviour.pagination == "keyset"
        query = PageQuery(
            limit=size,
            above=_lower_bound(spec, parameters),
            after=_read_cursor(parameters.get("cursor", "")) if keyset else None,
            until=_read_cursor(parameters.get("until", "")) if keyset else None,
            offset=(page - 1) * size,
            by_version=behaviour.ordered_by_rowversion,
            keys_only=behaviour.keys_only and parameters.get("fields") == "keys",
            flat=behaviour.flat_rows,
        )
        rows = self.store.page(slug, query)
        tail = {"page": page, "page_size": size} | self._page_facts(spec, query, rows)
        return b'{"rows":[' + ",".join(rows.documents).encode() + b"]," + msgspec.json.encode(tail)[1:]

    def _page_facts(self, spec: TableSpec, query: PageQuery, rows: PageRows) -> dict[str, object]:
        behaviour = self.behaviour(spec.slug)
        keyset = behaviour.pagination == "keyset"
        facts: dict[str, object] = {}
        if behaviour.total if behaviour.total is not None else not keyset:
            facts["total"] = self.store.count(spec.slug, query.above) + behaviour.total_error
        if behaviour.has_more:
            facts["has_more"] = rows.more
        if keyset:
            facts["next_cursor"] = _write_cursor(rows.last) if rows.more and rows.last else None
        if behaviour.safe_rowversion and spec.has_versions:
            facts["safe_rowversion"] = show_version(rows.safe, spec.version_kind)
        return facts


_DEFAULT = Behaviour()


def _describe(spec: TableSpec, behaviour: Behaviour) -> dict[str, object]:
    version = {"column": spec.version_column, "kind": spec.version_kind} if spec.has_versions else None
    return {
        "slug": spec.slug,
        "name": spec.name or spec.slug,
        "description": spec.description,
        "business_key_columns": list(spec.keys),
        "delta_strategy": spec.strategy,
        "rowversion": version,
        "columns": [_describe_column(spec, column) for column in spec.columns],
        "parents": [
            {"columns": list(p.columns), "slug": p.slug, "parent_columns": list(p.parent_columns)}
            for p in spec.parents
        ],
        "pagination": behaviour.pagination,
        "page_size_max": behaviour.page_size_max,
        "dialect": spec.dialect,
        "ordered_by_rowversion": behaviour.ordered_by_rowversion,
    }


def _describe_column(spec: TableSpec, column: ColumnSpec) -> dict[str, object]:
    described: dict[str, object] = {
        "name": column.name,
        "output_alias": column.member,
        "data_type": column.data_type,
        "is_nullable": column.is_nullable,
        "is_business_key": column.member in spec.keys,
    }
    return described | ({"format": column.format} if column.format else {})


def _lower_bound(spec: TableSpec, parameters: Mapping[str, str]) -> int | None:
    """The version rows must exceed; a table without row versions has no such filter."""
    return _sent_version(spec, parameters) if spec.has_versions else None


def _sent_version(spec: TableSpec, parameters: Mapping[str, str]) -> int | None:
    text = parameters.get("rowversion_gt", "")
    return read_version(text, spec.version_kind) if text else None


def _natural(parameters: Mapping[str, str], name: str, default: int) -> int:
    text = parameters.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ErpError(f"{name} must be a whole number from 1 up")
    return int(text)


def _write_cursor(position: Position) -> str:
    packed = msgspec.json.encode([position.rv, position.sort, position.seq])
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def _read_cursor(text: str) -> Position | None:
    if not text:
        return None
    try:
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return Position(*msgspec.json.decode(packed, type=tuple[int, bytes, int]))
    except (binascii.Error, ValueError) as error:
        raise ErpError("cursor isn't one this service gave out; start again without it") from error
