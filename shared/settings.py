"""Settings, read from the environment once, on first use; a missing or malformed one is a single clear error.

Adapters receive values, never this object.
"""

from datetime import time
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import ConfigurationError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def _clock_time(value: time) -> time:
    if value.tzinfo is not None or value.microsecond:
        raise ValueError("not a time of day such as 19:00:00")
    return value


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("not an IANA time zone such as Europe/Oslo") from None
    return value


ClockTime = Annotated[time, AfterValidator(_clock_time)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]


class Settings(BaseSettings):
    """What the process was told. Field names are the environment's names in lower case; the README explains each."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", case_sensitive=False, env_ignore_empty=True
    )

    storage: str | None = Field(None, alias="AzureWebJobsStorage")
    storage_queue_uri: str | None = Field(None, alias="AzureWebJobsStorage__queueServiceUri")
    storage_table_uri: str | None = Field(None, alias="AzureWebJobsStorage__tableServiceUri")
    storage_blob_uri: str | None = Field(None, alias="AzureWebJobsStorage__blobServiceUri")
    storage_credential: Literal["managedidentity"] | None = Field(
        None, alias="AzureWebJobsStorage__credential"
    )
    storage_client_id: str | None = Field(None, alias="AzureWebJobsStorage__clientId")
    azure_client_id: str | None = None

    postgres_host: str
    postgres_port: int = Field(5432, ge=1, le=65535)
    postgres_db: str
    postgres_user: str
    postgres_password: SecretStr | None = None
    postgres_auth: Literal["password", "entra"] = "password"
    postgres_schema: str = Field("bridge", pattern=r"^[a-z_][a-z0-9_]{0,62}$")
    postgres_sslmode: Literal["disable", "require", "verify-ca", "verify-full"] | None = None
    postgres_sslrootcert: str | None = None
    postgres_pool_max: int = Field(2, ge=1, le=50)
    migrate_on_start: bool = True

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "text"] = "json"
    python_applicationinsights_enable_telemetry: bool = False
    key_vault_url: str | None = None
    mask_key_secret: str = Field("tributary-mask-key", pattern=r"^[A-Za-z0-9-]{1,127}$")

    sync_queue_name: str = "sync-jobs"
    detect_schedule: str = "0 */5 * * * *"
    reject_payload_days: int = Field(90, ge=1)
    run_history_days: int = Field(400, ge=8)  # the watch looks back a week
    retry_schedule: str = "30 */5 * * * *"
    watch_schedule: str = "0 */15 * * * *"
    detect_concurrency: int = Field(20, ge=1, le=20)
    full_max_rows: int = Field(5_000_000, ge=1)
    split_rows: int = Field(2_000_000, ge=1)
    sync_max_concurrent: int = Field(5, ge=1)
    default_sync_interval_seconds: int = Field(300, ge=0)
    default_page_size: int = Field(1000, ge=1)
    max_page_size: int = Field(10_000, ge=1)
    slice_budget_seconds: float = Field(240, gt=0)
    max_retries: int = Field(3, ge=0)
    retry_delay_seconds: int = Field(60, ge=0)
    max_retry_delay_seconds: int = Field(3600, ge=1)

    background_sync_enabled: bool = True
    background_sync_window_start: ClockTime = time(19)
    background_sync_window_end: ClockTime = time(7)
    background_sync_time_zone: TimeZone = "UTC"

    auth_mode: Literal["entra", "local"] = "entra"
    entra_tenant_id: str | None = None
    entra_audience: str | None = None
    local_token_secret: SecretStr | None = None
    connector_hosts: str = ""
    azure_subscription_id: str | None = Field(None, pattern=r"^[0-9a-fA-F-]{36}$")
    data_factory_resource_group: str | None = Field(None, pattern=r"^[\w().-]{1,90}$")
    data_factory_name: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{1,61}[A-Za-z0-9]$")
    submissions_container: str | None = Field(
        None, min_length=3, max_length=63, pattern=r"^[a-z0-9](-?[a-z0-9])*$"
    )
    rate_limit_per_minute: int = Field(600, ge=1)
    cors_origins: str = ""
    error_rate_warning_percent: float = Field(0.2, ge=0, le=100)

    enable_workflow: bool = False
    workflow_approval: Literal["never", "widening"] = "never"
    share_drift_policy: Literal["report", "repair"] = "report"
    drift_schedule: str = "0 15 * * * *"
    remind_schedule: str = "15 */5 * * * *"
    azure_queue_name: str = "sharepack-processing"
    domain_db_connection_string: SecretStr | None = None
    databricks_hosts: str = ""
    databricks_token: SecretStr | None = None
    local_vault_dir: str | None = None

    directory_queue_name: str = "sync-triggers"
    directory_schedule: str = "45 */5 * * * *"
    directory_domains: str = ""
    graph_tenant_id: str | None = Field(None, pattern=r"^[A-Za-z0-9.-]{1,253}$")
    graph_client_id: str | None = None
    graph_client_secret: SecretStr | None = None
    graph_url: str = "https://graph.microsoft.com"
    entra_url: str = "https://login.microsoftonline.com"
    azure_management_url: str = "https://management.azure.com"
    project_cost_tag: str = Field("project", min_length=1, max_length=512)
    smtp_host: str | None = None
    smtp_port: int = Field(587, ge=1, le=65535)
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    notification_from_email: str | None = None
    notification_to_emails: str = ""
    notification_webhook_url: str | None = None
    notification_webhook_secret: SecretStr | None = None

    @model_validator(mode="after")
    def _encrypted(self) -> "Settings":
        if self.postgres_sslmode == "disable" and self.postgres_host not in LOOPBACK:
            raise ValueError(
                "POSTGRES_SSLMODE: disable is for this machine only; away from it passwords and rows need TLS"
            )
        return self

    @property
    def sslmode(self) -> str:
        """The TLS mode for PostgreSQL: verify-full unless told otherwise or the server is on this machine."""
        return self.postgres_sslmode or ("prefer" if self.postgres_host in LOOPBACK else "verify-full")

    @property
    def allowed_connector_hosts(self) -> tuple[str, ...]:
        """Hosts that a connector may name, lower case; empty means none."""
        return _hosts(self.connector_hosts)

    @property
    def allowed_databricks_hosts(self) -> tuple[str, ...]:
        """Workspaces that share packs may name, as `host[:port]`, lower case; empty means none."""
        return _hosts(self.databricks_hosts)

    @property
    def own_domains(self) -> frozenset[str]:
        """Our own e-mail domains, lower case: only addresses in them are looked up in the directory."""
        return frozenset(_hosts(self.directory_domains))

    @property
    def operators(self) -> tuple[str, ...]:
        """Mail addresses that every notice goes to."""
        return tuple(each.strip() for each in self.notification_to_emails.split(",") if each.strip())


def _hosts(text: str) -> tuple[str, ...]:
    return tuple(host.strip().lower() for host in text.split(",") if host.strip())


def load_settings() -> Settings:
    """The settings of this process; raises ConfigurationError naming each one that is missing or malformed."""
    try:
        return Settings()  # type: ignore[call-arg]  # values come from the environment
    except ValidationError as error:
        problems = [_problem(e["loc"], e["msg"]) for e in error.errors(include_input=False)]
        raise ConfigurationError(
            "settings: " + "; ".join(problems),
            hint="set them in local.settings.json (see local.settings.json.example) or in the app's configuration",
        ) from None


def _problem(location: tuple[int | str, ...], message: str) -> str:
    # What concerns several settings names them itself.
    return f"{_env_name(location)}: {message.lower()}" if location else message.removeprefix("Value error, ")


def _env_name(location: tuple[int | str, ...]) -> str:
    name = str(location[0])
    return name if name.startswith("AzureWebJobs") else name.upper()
