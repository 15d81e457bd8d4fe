"""What a workspace says of itself: its catalogs, schemas and tables, and its job runs, by databricks-sdk.

Fulfils `WorkspaceListing` of directory_ports. `client` gives a client for a workspace's host, allow-listed and with its
retries bounded by whoever builds it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from shared.sharing.directory_ports import JobRun, ObjectPage, WorkspaceObject
from shared.sharing.errors import (
    MissingError,
    WorkspaceRefusedError,
    WorkspaceThrottledError,
    WorkspaceUnavailableError,
)

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

PAGE = 500
_RUNS_PAGE = 25  # the most that the platform takes
# Every metastore has these; nobody shares from them.
_SYSTEM_CATALOGS = frozenset({"system", "samples", "__databricks_internal"})
_SYSTEM_SCHEMAS = frozenset({"information_schema"})


class DatabricksDirectory:
    """Listings of several workspaces."""

    def __init__(self, client: Callable[[str], "WorkspaceClient"]) -> None:
        self._client = client

    def objects(self, workspace: str, after: str) -> Iterator[ObjectPage]:
        """Catalogs, schemas and tables, page by page, from behind a cursor given before.

        The walk goes catalog by catalog and schema by schema in the order of their names; the cursor is the last
        schema (`catalog.schema`) or catalog (`catalog.`) that was done.
        """
        with _translated(workspace):
            client = self._client(workspace)
            catalogs = _sorted(client.catalogs.list(include_browse=True), _SYSTEM_CATALOGS)
        for catalog in catalogs:
            name = _lower(catalog.name)
            if after and _key(f"{name}.\uffff") <= _key(after):
                continue
            schemas = _listed(workspace, partial(client.schemas.list, name, include_browse=True))
            found = [_object(catalog, "CATALOG", name)]
            known = _sorted(schemas or (), _SYSTEM_SCHEMAS)
            found += [_object(schema, "SCHEMA", f"{name}.{_lower(schema.name)}") for schema in known]
            yield ObjectPage(tuple(found), max(after, f"{name}.", key=_key), complete=schemas is not None)
            yield from self._tables(workspace, client, name, [_lower(schema.name) for schema in known], after)

    def active_since(self, workspace: str) -> Sequence[datetime]:
        """When each run that still runs began."""
        with _translated(workspace):
            runs = self._client(workspace).jobs.list_runs(active_only=True, limit=_RUNS_PAGE)
            return [_instant(run.start_time) for run in runs if run.start_time]

    def finished_runs(self, workspace: str, since: datetime, until: datetime) -> Iterator[Sequence[JobRun]]:
        """Runs that began from `since` up to `until`, both included, and have ended; page by page."""
        with _translated(workspace):
            runs = self._client(workspace).jobs.list_runs(
                completed_only=True,
                limit=_RUNS_PAGE,
                start_time_from=_milliseconds(since),
                start_time_to=_milliseconds(until),
            )
            page: list[JobRun] = []
            for run in runs:
                if (taken := _run(run)) is not None:
                    page.append(taken)
                if len(page) >= PAGE:
                    yield page
                    page = []
            if page:
                yield page

    def _tables(
        self, workspace: str, client: "WorkspaceClient", catalog: str, schemas: Sequence[str], after: str
    ) -> Iterator[ObjectPage]:
        for schema in schemas:
            full = f"{catalog}.{schema}"
            if after and _key(full) <= _key(after):
                continue
            tables = _listed(
                workspace,
                partial(
                    client.tables.list,
                    catalog,
                    schema,
                    include_browse=True,
                    omit_columns=True,
                    omit_properties=True,
                ),
            )
            found = [
                _object(table, _table_type(table), f"{full}.{_lower(table.name)}") for table in tables or ()
            ]
            yield ObjectPage(tuple(found), full, complete=tables is not None)


def _listed(workspace: str, listing: Callable[[], Iterable[Any]]) -> list[Any] | None:
    """Everything listed, nothing for a parent that went away meanwhile; None where the workspace refuses."""
    try:
        with _translated(workspace):
            return list(listing())
    except MissingError:
        return []
    except WorkspaceRefusedError:
        return None


def _sorted(found: Iterable[Any], system: frozenset[str]) -> list[Any]:
    return sorted(
        (each for each in found if _lower(each.name) not in system), key=lambda each: _key(_lower(each.name))
    )


def _key(name: str) -> tuple[str, ...]:
    """Names in the order of their parts: a dot sorts behind some letters that names may hold."""
    return tuple(name.split("."))


def _object(found: Any, type: str, name: str) -> WorkspaceObject:
    return WorkspaceObject(name, type, found.owner or None)


def _table_type(table: Any) -> str:
    """TABLE for managed and external ones; other kinds as the platform names them, and a kind unknown here as TABLE."""
    named = getattr(table.table_type, "value", None)
    return {"MANAGED": "TABLE", "EXTERNAL": "TABLE", "FOREIGN": "FOREIGN_TABLE", None: "TABLE"}.get(
        named, str(named)
    )


def _run(run: Any) -> JobRun | None:
    """The run; None while it has no end, whatever the listing was asked for."""
    if not run.start_time or not run.end_time or run.run_id is None:
        return None
    state = run.state
    words = [state.result_state, state.life_cycle_state] if state else []
    result = next((str(word.value) for word in words if word is not None), "UNKNOWN")
    began, ended = _instant(run.start_time), _instant(run.end_time)
    return JobRun(run.run_id, run.job_id or 0, run.run_name, result, began, ended, run.creator_user_name)


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _lower(name: str | None) -> str:
    return (name or "").lower()


@contextmanager
def _translated(workspace: str) -> Iterator[None]:
    """The SDK's errors in our words; their texts stay behind, since they quote the request."""
    from databricks.sdk.errors import InternalError, NotFound, TemporarilyUnavailable, TooManyRequests
    from databricks.sdk.errors.base import DatabricksError
    from requests.exceptions import RequestException

    name = f"workspace {workspace}"
    try:
        yield
    except (TooManyRequests, TimeoutError) as error:
        # When its retries are over the SDK raises a TimeoutError, with what it met last as the cause.
        met = error.__cause__ if isinstance(error, TimeoutError) else error
        if not isinstance(met, TooManyRequests):
            raise WorkspaceUnavailableError(f"{name}: no answer in time", hint="tried again later") from None
        wish_s = float(met.retry_after_secs or 0) or None
        raise WorkspaceThrottledError(
            f"{name}: throttled", hint="tried again later", retry_after_s=wish_s
        ) from None
    except (InternalError, TemporarilyUnavailable, RequestException) as error:
        raise WorkspaceUnavailableError(f"{name}: {type(error).__name__}", hint="tried again later") from None
    except DatabricksError as error:
        reason = error.error_code or type(error).__name__
        refusal = MissingError if isinstance(error, NotFound) else WorkspaceRefusedError
        raise refusal(
            f"{name}: refused to list ({reason})", reason=reason, hint="check the app's grants there"
        ) from None
