"""What a connector offers, as the catalogue wants it; with row versions sampled where a strategy needs it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from shared.errors import PermanentError
from shared.sync import fetch
from shared.sync.catalogue import ApiDescription, DescribedColumn, Parent

_SAMPLE_ROWS = 100


class Describing(Protocol):
    """The part of a source that discovery asks."""

    def list_apis(self) -> Sequence[fetch.ApiDescription]:
        """The tables it offers; raises SourceUnavailableError and its like."""
        ...

    def fetch_page(self, request: fetch.PageRequest) -> bytes:
        """The body of one page."""
        ...


def offered(source: Describing) -> list[ApiDescription]:
    """Every table that the source offers, in its order; raises the source's errors."""
    return [_described(api) for api in source.list_apis()]


def sampled(source: Describing, described: Sequence[ApiDescription]) -> list[ApiDescription]:
    """The same tables; where the kind of row version is left unsaid, with a sample to judge it by."""
    return [
        replace(one, sample_versions=_sample(source, one.slug))
        if one.delta_strategy == "rowversion" and one.version is None
        else one
        for one in described
    ]


def _described(api: fetch.ApiDescription) -> ApiDescription:
    return ApiDescription(
        slug=api.slug,
        name=api.name,
        columns=tuple(
            DescribedColumn(
                column.name,
                column.data_type,
                column.output_alias,
                column.is_nullable,
                column.is_business_key,
                dict(column.format) or None,
            )
            for column in api.columns
        ),
        business_key_columns=api.business_key_columns,
        delta_strategy=api.delta_strategy,
        version=api.rowversion,
        description=api.description or None,
        parents=tuple(Parent(p.columns, p.slug, p.parent_columns) for p in api.parents),
        pagination=api.pagination,
        page_size_max=api.page_size_max,
        dialect=api.dialect,
        ordered_by_rowversion=api.ordered_by_rowversion,
    )


def _sample(source: Describing, slug: str) -> tuple[str, ...]:
    """Row versions of a first page; empty where there is none to judge by, which means hash."""
    try:
        page = json.loads(source.fetch_page(fetch.PageRequest(slug, _SAMPLE_ROWS, page=1)))
        rows = page["rows"]
        return tuple(str(row["row_version"]) for row in rows if row.get("row_version") is not None)
    except (PermanentError, ValueError, KeyError, TypeError, AttributeError):
        return ()
