"""Settings, read from the environment once, on first use; a missing or malformed one is a single clear error.

Adapters receive values, never this object.
"""

from datetime import time
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, SecretStr, ValidationError
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
    storage_client_id: str | None = Field(None, alias="AzureWebJobsStorage__clientId")

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
    key_vault_url: str | None = None
    mask_key_secret: str = Field("tributary-mask-key", pattern=r"^[A-Za-z0-9-]{1,127}$")

    sync_queue_name: str = "sync-jobs"
    detect_schedule: str = "0 */5 * * * *"
    reject_payload_days: int = Field(90, ge=1)
    retry_schedule: str = "30 */5 * * * *"
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
    rate_limit_per_minute: int = Field(600, ge=1)
    cors_origins: str = ""
    error_rate_warning_percent: float = Field(0.2, ge=0, le=100)

    enable_workflow: bool = False
    workflow_approval: Literal["never", "widening"] = "never"
    share_drift_policy: Literal["report", "repair"] = "report"
    drift_schedule: str = "0 15 * * * *"
    azure_queue_name: str = "sharepack-processing"
    domain_db_connection_string: SecretStr | None = None
    databricks_hosts: str = ""
    databricks_token: SecretStr | None = None

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


def _hosts(text: str) -> tuple[str, ...]:
    return tuple(host.strip().lower() for host in text.split(",") if host.strip())


def load_settings() -> Settings:
    """The settings of this process; raises ConfigurationError naming each one that is missing or malformed."""
    try:
        return Settings()  # type: ignore[call-arg]  # values come from the environment
    except ValidationError as error:
        problems = [f"{_env_name(e['loc'])}: {e['msg'].lower()}" for e in error.errors(include_input=False)]
        raise ConfigurationError(
            "settings: " + "; ".join(problems),
            hint="set them in local.settings.json (see local.settings.json.example) or in the app's configuration",
        ) from None


def _env_name(location: tuple[int | str, ...]) -> str:
    name = str(location[0])
    return name if name.startswith("AzureWebJobs") else name.upper()
