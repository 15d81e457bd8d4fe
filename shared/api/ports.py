"""What the routers need from the outside. Composition fills an ApiServices; tests fill it with fakes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

from shared.adapters.data_factory import PipelineRun
from shared.adapters.descriptions import Describing
from shared.adapters.postgres.catalogue import Decide, Discovered, EntityView, Tenants
from shared.adapters.postgres.retries import Asked, Wanted
from shared.adapters.postgres.schedules import ScheduleChoice, ScheduleView
from shared.adapters.postgres.views import RunView
from shared.adapters.submissions import Stored, Submission
from shared.adapters.tokens import TokenVerifier
from shared.errors import ConfigurationError
from shared.secrets import SecretStore
from shared.sync.catalogue import Catalogued, Connector
from shared.sync.consent import Consent
from shared.sync.description import ApiDescription
from shared.sync.fetch import Source
from shared.sync.plan import Planner, Subject
from shared.sync.windows import Window

Purpose = Literal["delta", "sweep", "refresh", "verify"]


class Runs(Protocol):
    """Runs: asking for them, stopping them, looking at them."""

    def create(
        self,
        entity_uid: UUID,
        *,
        purpose: Purpose,
        trigger: Literal["timer", "manual", "window", "retry"],
        requested_by: str,
        allow_deletes: int | None = None,
        reason: str | None = None,
    ) -> UUID:
        """A queued run's uid; raises ConflictError while one is in flight in its lane."""
        ...

    def stop(self, run_uid: UUID, requested_by: str) -> None:
        """End the run; a finished one stays as it is."""
        ...

    def get(self, run_uid: UUID, *, tenants: Sequence[str] | None = None) -> RunView | None:
        """The run, if there is one that these tenants own (None: all)."""
        ...

    def history(
        self,
        *,
        entity_uid: UUID | None = None,
        connector_uid: UUID | None = None,
        status: str | None = None,
        tenants: Sequence[str] | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> tuple[Sequence[RunView], str | None]:
        """Runs of what these tenants own, newest first, and the cursor of the next page."""
        ...


class Catalogue(Protocol):
    """Tenants, connectors and entities as stored."""

    def tenants(
        self, tenants: Tenants, *, name: str | None = None, limit: int = 100, after: str | None = None
    ) -> Sequence[Mapping[str, Any]]: ...
    def put_tenant(self, name: str, actor: str, target_schemas: Sequence[str] | None = None) -> None: ...
    def regions(self, tenant: str) -> Sequence[Mapping[str, Any]]: ...
    def put_regions(self, tenant: str, regions: Mapping[str, str], actor: str) -> None: ...
    def connectors(
        self,
        tenants: Tenants,
        *,
        uid: UUID | None = None,
        name: str | None = None,
        limit: int = 100,
        after: UUID | None = None,
    ) -> Sequence[Connector]: ...
    def connector(self, uid: UUID, tenants: Tenants = None) -> Connector: ...
    def add_connector(self, connector: Connector, actor: str) -> Connector: ...
    def change_connector(self, connector: Connector, actor: str) -> Connector: ...
    def delete_connector(self, uid: UUID, actor: str) -> None: ...
    def notify(self, connector_uid: UUID, slugs: Sequence[str]) -> Sequence[str]: ...
    def entities(
        self,
        tenants: Tenants,
        *,
        uid: UUID | None = None,
        connector_uid: UUID | None = None,
        status: str | None = None,
        limit: int = 100,
        after: UUID | None = None,
    ) -> Sequence[EntityView]: ...
    def entity(self, uid: UUID, tenants: Tenants = None) -> EntityView: ...
    def change_entity(
        self,
        connector_uid: UUID,
        slug: str,
        decide: Decide,
        *,
        actor: str,
        action: str,
        revive: bool = False,
        consent: Consent | None = None,
    ) -> Catalogued | None: ...
    def delete_entity(self, uid: UUID, actor: str) -> None: ...


class Discovery(Protocol):
    """Storing what a connector describes."""

    def discover(
        self, connector: Connector, described: Sequence[ApiDescription], *, actor: str
    ) -> Sequence[Discovered]: ...


class Rejects(Protocol):
    """Acting on rejects."""

    def ask(self, wanted: Wanted, actor: str) -> Asked:
        """Mark rejects to be tried again, create what runs can be created."""
        ...

    def discard(self, uid: UUID, actor: str, reason: str) -> bool:
        """Close a reject; false where it is not open."""
        ...


class Overview(Protocol):
    """Reading what runs left behind."""

    def failed_records(
        self,
        tenants: Tenants,
        *,
        uid: UUID | None = None,
        entity_uid: UUID | None = None,
        connector_uid: UUID | None = None,
        status: str | None = None,
        code: str | None = None,
        limit: int = 100,
        after: tuple[datetime, UUID] | None = None,
    ) -> Sequence[Mapping[str, Any]]: ...
    def reject_counts(
        self,
        tenants: Tenants,
        *,
        entity_uid: UUID | None = None,
        connector_uid: UUID | None = None,
        status: str | None = None,
    ) -> Sequence[Mapping[str, Any]]: ...
    def pending_counts(
        self, tenants: Tenants, *, entity_uid: UUID | None = None, connector_uid: UUID | None = None
    ) -> Sequence[Mapping[str, Any]]: ...
    def pending_children(
        self,
        tenants: Tenants,
        *,
        entity_uid: UUID | None = None,
        connector_uid: UUID | None = None,
        status: str | None = None,
        parent_key: str | None = None,
        limit: int = 100,
        after: tuple[datetime, UUID] | None = None,
    ) -> Sequence[Mapping[str, Any]]: ...
    def stats(
        self,
        tenants: Tenants,
        *,
        entity_uid: UUID | None = None,
        connector_uid: UUID | None = None,
        limit: int = 100,
    ) -> Mapping[str, Any]: ...


class Opened(Describing, Source, Protocol):
    """A connector, ready to be asked anything."""


class Planning(Protocol):
    """What a plan reads; none of it writes."""

    def subject(self, entity_uid: UUID) -> Subject: ...
    def ddl(
        self, stored: Catalogued, described: ApiDescription, connector: Connector
    ) -> tuple[Sequence[str], Catalogued]: ...


class Verifications(Protocol):
    """Verifications as stored."""

    def list(
        self,
        tenants: Tenants,
        *,
        uid: UUID | None = None,
        entity_uid: UUID | None = None,
        limit: int = 100,
        after: tuple[datetime, UUID] | None = None,
    ) -> Sequence[Mapping[str, Any]]: ...


class Schedules(Protocol):
    """Background loads as stored."""

    def schedules(
        self,
        tenants: Tenants,
        *,
        uid: UUID | None = None,
        entity_uid: UUID | None = None,
        connector_uid: UUID | None = None,
        limit: int = 100,
        after: UUID | None = None,
    ) -> Sequence[ScheduleView]: ...
    def schedule(self, uid: UUID, tenants: Tenants = None) -> ScheduleView: ...
    def add_schedule(self, uid: UUID, choice: ScheduleChoice, actor: str) -> ScheduleView: ...
    def change_schedule(self, uid: UUID, choice: ScheduleChoice, actor: str) -> ScheduleView: ...
    def delete_schedule(self, uid: UUID, actor: str) -> None: ...


class Pipelines(Protocol):
    """Data Factory's runs."""

    def run(self, pipeline: str, parameters: Mapping[str, Any]) -> UUID: ...
    def status(self, run_id: UUID) -> PipelineRun: ...


class SubmissionStore(Protocol):
    """Where submissions are kept."""

    def store(self, submission: Submission) -> Stored: ...


def _no_factory() -> Pipelines:
    raise ConfigurationError("DATA_FACTORY_NAME: not set", hint="Data Factory's routes need a factory")


def _no_container() -> SubmissionStore:
    raise ConfigurationError("SUBMISSIONS_CONTAINER: not set", hint="name the container for submissions")


@dataclass(frozen=True, slots=True)
class ApiServices:
    """Everything the routers act through. `secrets` is None where no vault takes new values.

    `connector_hosts`: hosts that a connector may name, lower case. `migrate` names what it applied.
    `database_ok` raises where PostgreSQL cannot be reached. `send_outbox` sends what is admitted; its failing
    is harmless, the next tick sends again. `queue_depths`: messages by queue, None where storage is silent.
    `now` is aware, UTC; `schedule_defaults` serve schedules that don't say. `pipelines` and `submissions` raise
    ConfigurationError where no factory or container is set.
    """

    tokens: TokenVerifier
    catalogue: Catalogue
    discovery: Discovery
    runs: Runs
    overview: Overview
    rejects: Rejects
    schedules: Schedules
    verifications: Verifications
    planning: Planning
    planner: Planner
    open_source: Callable[[Connector], Opened]
    send_outbox: Callable[[], object]
    migrate: Callable[[], Sequence[str]]
    database_ok: Callable[[], object]
    new_uid: Callable[[], UUID]
    clock: Callable[[], float]
    now: Callable[[], datetime]
    schedule_defaults: Window
    connector_hosts: tuple[str, ...] = ()
    secrets: SecretStore | None = None
    rate_limit_per_minute: int = 600
    cors_origins: tuple[str, ...] = ()
    queue_depths: Callable[[], Mapping[str, int | None]] = dict
    error_rate_warning_percent: float = 0.2
    metadata_schema: str = "bridge"
    pipelines: Callable[[], Pipelines] = _no_factory
    submissions: Callable[[], SubmissionStore] = _no_container
