"""What a workspace says of itself: its catalogs, schemas and tables, and its job runs, by databricks-sdk.

Fulfils `WorkspaceListing` of directory_ports. `open_wire` gives the wire to a workspace by its host; what goes wrong on
it comes as the errors of shared.sharing.errors.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from shared.sharing.directory_ports import JobRun, ObjectPage, WorkspaceObject
from shared.sharing.errors import MissingError, WorkspaceRefusedError

if TYPE_CHECKING:
    from databricks.sdk.service.catalog import TablesAPI
    from databricks.sdk.service.jobs import JobsAPI

PAGE = 500
_RUNS_PAGE = 25  # the most that the platform takes
# Every metastore has these; nobody shares from them.
_SYSTEM_CATALOGS = frozenset({"system", "samples", "__databricks_internal"})
_SYSTEM_SCHEMAS = frozenset({"information_schema"})


class DatabricksDirectory:
    """Listings of several workspaces."""

    def __init__(self, open_wire: Callable[[str], Any]) -> None:
        self._open_wire = open_wire
        self._wires: dict[str, Any] = {}

    def objects(self, workspace: str, after: str) -> Iterator[ObjectPage]:
        """Catalogs, schemas and tables, page by page, from behind a cursor given before.

        The walk goes catalog by catalog and schema by schema in the order of their names; the cursor is the last
        schema (`catalog.schema`) or catalog (`catalog.`) that was done.
        """
        from databricks.sdk.service.catalog import CatalogsAPI, SchemasAPI, TablesAPI

        wire = self._wire(workspace)
        schemas_of, tables = SchemasAPI(wire).list, TablesAPI(wire)
        for catalog in _sorted(CatalogsAPI(wire).list(include_browse=True), _SYSTEM_CATALOGS):
            name = _lower(catalog.name)
            if after and _key(f"{name}.\uffff") <= _key(after):
                continue
            schemas = _listed(partial(schemas_of, name, include_browse=True))
            found = [_object(catalog, "CATALOG", name)]
            known = _sorted(schemas or (), _SYSTEM_SCHEMAS)
            found += [_object(schema, "SCHEMA", f"{name}.{_lower(schema.name)}") for schema in known]
            cursor = max(after, f"{name}.", key=_key)
            yield ObjectPage(tuple(found), cursor, complete=schemas is not None)
            yield from self._tables(tables, name, [_lower(schema.name) for schema in known], after)

    def active_since(self, workspace: str) -> Sequence[datetime]:
        """When each run that still runs began."""
        runs = self._jobs(workspace).list_runs(active_only=True, limit=_RUNS_PAGE)
        return [_instant(run.start_time) for run in runs if run.start_time]

    def finished_runs(self, workspace: str, since: datetime, until: datetime) -> Iterator[Sequence[JobRun]]:
        """Runs that began from `since` up to `until`, both included, and have ended; page by page."""
        runs = self._jobs(workspace).list_runs(
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

    def _wire(self, workspace: str) -> Any:
        if workspace not in self._wires:
            self._wires[workspace] = self._open_wire(workspace)
        return self._wires[workspace]

    def _jobs(self, workspace: str) -> "JobsAPI":
        from databricks.sdk.service.jobs import JobsAPI

        return JobsAPI(self._wire(workspace))

    def _tables(
        self, tables: "TablesAPI", catalog: str, schemas: Sequence[str], after: str
    ) -> Iterator[ObjectPage]:
        for schema in schemas:
            full = f"{catalog}.{schema}"
            if after and _key(full) <= _key(after):
                continue
            short = partial(tables.list, include_browse=True, omit_columns=True, omit_properties=True)
            listed = _listed(partial(short, catalog, schema))
            found = [
                _object(table, _table_type(table), f"{full}.{_lower(table.name)}") for table in listed or ()
            ]
            yield ObjectPage(tuple(found), full, complete=listed is not None)


def _listed(listing: Callable[[], Iterable[Any]]) -> list[Any] | None:
    """Everything listed, nothing for a parent that went away meanwhile; None where the workspace refuses."""
    try:
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
