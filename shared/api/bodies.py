"""What callers send: untrusted, so every field is bounded and unknown ones are refused."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from shared.secrets import SECRET_NAME
from shared.settings import ClockTime, TimeZone

# PostgreSQL stores no NUL; the control characters beside it only ever hide something.
Text = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]*$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")]
TenantName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
Names = Annotated[list[Name], Field(max_length=1600)]
_YEAR_S = 366 * 86_400


def _secret_name(value: str) -> str:
    if not SECRET_NAME.fullmatch(value):
        raise ValueError("letters, digits and hyphens, 1 to 127 of them")
    return value


def _later(expected: object) -> BeforeValidator:
    """Accepts only what is built; anything else is refused rather than silently ignored."""

    def check(value: object) -> object:
        if type(value) is not type(expected) or value != expected:
            raise ValueError("not available yet")
        return value

    return BeforeValidator(check)


class Body(BaseModel):
    """The base of all bodies."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AuthBody(Body):
    """How to sign in to the connector. `secret` is write-only."""

    type: Literal["token", "client_credentials", "none"]
    secret_name: Annotated[str, AfterValidator(_secret_name)] | None = None
    secret: Annotated[str, StringConstraints(min_length=1, max_length=25_000)] | None = Field(
        None, repr=False
    )

    @model_validator(mode="after")
    def _complete(self) -> "AuthBody":
        if self.type == "none" and (self.secret_name or self.secret):
            raise ValueError("type none takes no secret")
        if self.type != "none" and not self.secret_name:
            raise ValueError("secret_name is required: the name under which the secret is kept")
        return self


class ConnectorBody(Body):
    """A connector as a person registers it."""

    name: Name
    kind: Literal["http", "postgres"] = "http"
    base_url: Annotated[str, StringConstraints(min_length=1, max_length=2000)]
    auth: AuthBody
    tenant: TenantName = "default"
    time_zone: TimeZone | None = None
    max_concurrent_syncs: Annotated[int, Field(ge=1, le=1000)] | None = None
    is_active: bool = True

    @model_validator(mode="before")
    @classmethod
    def _drop_answers(cls, value: Any) -> Any:
        return _without(value, ("uid", "created_at", "updated_at"))


class ColumnBody(Body):
    """A column as the source describes it; `target_column` of an answer may be sent back."""

    name: Name
    data_type: Name
    output_alias: Name | None = None
    is_nullable: bool = True
    is_business_key: bool = False
    format: dict[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _drop_answers(cls, value: Any) -> Any:
        return _without(value, ("target_column",))


class ExpressionBody(Body):
    """A mapping expression and its operands, in order."""

    op: Literal["rename", "constant", "concat", "coalesce", "substring", "map"]
    args: Annotated[list[Annotated[str, StringConstraints(max_length=10_000)]], Field(max_length=2001)]


class MappingBody(Body):
    """How one target column is made; `type` in PostgreSQL's words, such as numeric(12,2)."""

    source: Annotated[str, StringConstraints(max_length=255)] = ""
    target: Name
    type: Name
    rules: dict[str, Any] = Field(default_factory=dict)
    expression: ExpressionBody | None = None

    @model_validator(mode="before")
    @classmethod
    def _drop_answers(cls, value: Any) -> Any:
        return _without(value, ("set_by",))


class ParentBody(Body):
    """`columns` of this table refer to the business key `parent_columns` of the connector's table `slug`."""

    columns: Annotated[list[Name], Field(min_length=1, max_length=32)]
    slug: Name
    parent_columns: Annotated[list[Name], Field(min_length=1, max_length=32)]


Parameters = Annotated[dict[Name, Annotated[str, StringConstraints(max_length=2000)]], Field(max_length=50)]


class EntityBody(Body):
    """An entity as a person asks for it. What is left out is the source's to say, or has its default."""

    connector_uid: UUID
    slug: Name
    api_name: Name | None = None
    delta_strategy: Literal["full", "hash", "rowversion"] | None = None
    business_keys: Annotated[list[Name], Field(min_length=1, max_length=32)] | None = None
    target_schema: Name | None = None
    target_table: Name | None = None
    destination_uid: Annotated[None, _later(None)] = None
    columns: Annotated[list[ColumnBody], Field(max_length=5000)] | None = None
    field_mappings: Annotated[list[MappingBody], Field(max_length=5000)] | None = None
    parents: Annotated[list[ParentBody], Field(max_length=50)] | None = None
    parameters: Parameters | None = None
    engine: Annotated[Literal["functions"], _later("functions")] = "functions"
    contract: Literal["evolve", "freeze", "reject"] | None = None
    reject_threshold_percent: Annotated[float, Field(ge=0, le=100)] | None = None
    history: Annotated[Literal[False], _later(False)] = False
    verify_interval_seconds: Annotated[int, Field(ge=60, le=_YEAR_S)] | None = None
    adaptive: bool | None = None
    sync_enabled: bool | None = None
    sync_interval_seconds: Annotated[int, Field(ge=0, le=_YEAR_S)] | None = None
    overlap: Annotated[int, Field(ge=0, le=2**62)] | None = None
    page_size: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    delete_guard_percent: Annotated[float, Field(ge=0, le=100)] | None = None
    delete_after_missing: Annotated[int, Field(ge=1, le=1000)] | None = None
    key_sweep_interval_seconds: Annotated[int, Field(ge=0, le=_YEAR_S)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _drop_answers(cls, value: Any) -> Any:
        return _without(value, _ENTITY_ANSWERS)


_ENTITY_ANSWERS = (
    "uid",
    "description",
    "last_sync_at",
    "last_sync_status",
    "last_rowversion",
    "bound",
    "adapted",
    "warnings",
    "created_at",
    "updated_at",
)


class TenantBody(Body):
    """What belongs to a tenant; target_schemas left out stay as they are."""

    target_schemas: Annotated[list[Name], Field(min_length=1, max_length=100)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _drop_answers(cls, value: Any) -> Any:
        return _without(value, ("name", "secret_prefix", "created_at"))


class RegionBody(Body):
    """A region and the workspace that serves it."""

    region: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]
    workspace_url: Annotated[
        str,
        StringConstraints(
            max_length=300,
            # Without TLS on this machine only: credentials go there.
            pattern=r"^(https://[A-Za-z0-9.-]+|http://(127\.0\.0\.1|localhost))(:[0-9]{1,5})?/?$",
        ),
    ]


class RegionsBody(Body):
    """All regions of a tenant."""

    regions: Annotated[list[RegionBody], Field(max_length=100)]

    @model_validator(mode="after")
    def _distinct(self) -> "RegionsBody":
        if len({each.region for each in self.regions}) < len(self.regions):
            raise ValueError("a region stands twice")
        return self


class ScheduleBody(Body):
    """A background load. What is left out of the window comes from the settings BACKGROUND_SYNC_...."""

    entity_uid: UUID
    window_start: ClockTime | None = None
    window_end: ClockTime | None = None
    time_zone: TimeZone | None = None
    days_to_complete: Annotated[int, Field(ge=1, le=366)] = 7
    is_active: bool = True

    @model_validator(mode="before")
    @classmethod
    def _drop_answers(cls, value: Any) -> Any:
        return _without(value, _SCHEDULE_ANSWERS)


_SCHEDULE_ANSWERS = (
    "uid",
    "status",
    "progress",
    "expected_finish",
    "rows_read",
    "rows_expected",
    "nights",
    "last_run_uid",
    "error",
    "finished_at",
    "created_at",
    "updated_at",
)


class NotifyBody(Body):
    """Tables that the source says have changed."""

    slugs: Annotated[list[Name], Field(min_length=1, max_length=5000)]


class DiscoverBody(Body):
    """Which tables to discover; all of them when left out."""

    slugs: Annotated[list[Name], Field(min_length=1, max_length=5000)] | None = None


class SyncBody(Body):
    """`allow_deletes` lets this one run delete up to so many rows past the guard; it needs a reason."""

    allow_deletes: Annotated[int, Field(ge=1)] | None = None
    reason: Text | None = None

    @model_validator(mode="after")
    def _reasoned(self) -> "SyncBody":
        if self.allow_deletes is not None and self.reason is None:
            raise ValueError("allow_deletes needs a reason, which the audit trail keeps")
        return self


class PlanBody(Body):
    """How much of the source a plan reads: a first part of it, or all that a run would read."""

    mode: Literal["sample", "full"] = "sample"


class RetryBody(Body):
    """Which open rejects to try again; every filter given narrows them, none means all the caller may act on."""

    uids: Annotated[list[UUID], Field(min_length=1, max_length=10_000)] | None = None
    entity_uid: UUID | None = None
    connector_uid: UUID | None = None
    code: Name | None = None
    min_age_seconds: Annotated[int, Field(ge=0, le=10 * _YEAR_S)] | None = None
    max_age_seconds: Annotated[int, Field(ge=0, le=10 * _YEAR_S)] | None = None


class DiscardBody(Body):
    """Why nobody wants the row; the audit trail keeps it."""

    reason: Text


class StartBody(Body):
    """The entities to sync, or the connector whose entities all are to."""

    entity_uids: Annotated[list[UUID], Field(min_length=1, max_length=1000)] | None = None
    connector_uid: UUID | None = None

    @model_validator(mode="after")
    def _one(self) -> "StartBody":
        if (self.entity_uids is None) == (self.connector_uid is None):
            raise ValueError("give entity_uids or connector_uid, one of them")
        return self


def _without(value: Any, names: tuple[str, ...]) -> Any:
    """A GET may be put back as it came: what only answers carry is left aside."""
    return {k: v for k, v in value.items() if k not in names} if isinstance(value, dict) else value
