"""Row versions sampled from a connector's tables, where a strategy needs them to be judged."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from shared.errors import PermanentError
from shared.sync.description import ApiDescription
from shared.sync.fetch import PageRequest

_SAMPLE_ROWS = 100


class Describing(Protocol):
    """The part of a source that discovery asks."""

    def list_apis(self) -> Sequence[ApiDescription]:
        """The tables it offers; raises SourceUnavailableError and its like."""
        ...

    def fetch_page(self, request: PageRequest) -> bytes:
        """The body of one page."""
        ...


def sampled(source: Describing, described: Sequence[ApiDescription]) -> list[ApiDescription]:
    """The same tables; where the kind of row version is left unsaid, with a sample to judge it by."""
    return [
        replace(one, sample_versions=_sample(source, one.slug))
        if one.delta_strategy == "rowversion" and one.version is None
        else one
        for one in described
    ]


def _sample(source: Describing, slug: str) -> tuple[str, ...]:
    """Row versions of a first page; empty where there is none to judge by, which means hash."""
    try:
        page = json.loads(source.fetch_page(PageRequest(slug, _SAMPLE_ROWS, page=1)))
        rows = page["rows"]
        return tuple(str(row["row_version"]) for row in rows if row.get("row_version") is not None)
    except (PermanentError, ValueError, KeyError, TypeError, AttributeError):
        return ()
