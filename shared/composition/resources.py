"""What the whole application stands on: its databases, identity, secrets, storage, Data Factory and workspaces."""

import os
import secrets as entropy
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

from shared.errors import ConfigurationError
from shared.platform import azure_marker
from shared.process import prepare_process

if TYPE_CHECKING:
    # Every import below costs a cold start something, so each is made where its part is first needed.
    from shared.adapters.data_factory import DataFactory
    from shared.adapters.databricks.wire import Wire
    from shared.adapters.execution_log import TableLog
    from shared.adapters.identity import BearerTokens
    from shared.adapters.postgres.copy_format import Bytes
    from shared.adapters.postgres.database import Database
    from shared.adapters.storage_queue import StorageQueue
    from shared.adapters.submissions import Submissions
    from shared.secrets import Secrets, SecretStore
    from shared.settings import Settings

LEASE_S = 660  # above host.json's functionTimeout of ten minutes
WORKSPACE_CALLS_PER_S = 10.0  # from one process to one workspace
VERSION = "0.1.0"


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Aware, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds, never going back."""
        return time.monotonic()


class Resources:
    """Each is opened when first asked for, and stays open."""

    def __init__(self, settings: "Settings") -> None:
        prepare_process()
        from shared.telemetry import configure_telemetry

        self.settings, self.clock = settings, SystemClock()
        self.workspace_calls_per_s = WORKSPACE_CALLS_PER_S
        exported = settings.python_applicationinsights_enable_telemetry
        configure_telemetry(settings.log_level, settings.log_format, exported=exported)

    # databases

    @cached_property
    def database(self) -> "Database":
        """Metadata and targets."""
        from shared.adapters.postgres.database import Database, Server

        s = self.settings
        server = Server(
            host=s.postgres_host,
            port=s.postgres_port,
            database=s.postgres_db,
            user=s.postgres_user,
            password=self._postgres_password,
            sslmode=s.sslmode,
            sslrootcert=s.postgres_sslrootcert,
        )
        if s.postgres_auth == "entra":
            from shared.adapters.identity import POSTGRES_SCOPE

            tokens = self.bearer_tokens(POSTGRES_SCOPE)
            server = replace(server, password=tokens.text, forget_password=tokens.forget)
        return Database(server, s.postgres_schema, pool_max=max(2, s.postgres_pool_max))

    def _postgres_password(self) -> str | None:
        password = self.settings.postgres_password
        return password.get_secret_value() if password else None

    @cached_property
    def domain_database(self) -> "Database":
        """Share packs: a database of their own, or the same."""
        from shared.adapters.postgres.database import Database, server_of

        s = self.settings
        if s.domain_db_connection_string is None:
            return self.database
        told = s.domain_db_connection_string.get_secret_value()
        server = server_of(told, "DOMAIN_DB_CONNECTION_STRING", s.postgres_sslrootcert)
        return Database(server, s.postgres_schema, pool_max=max(2, s.postgres_pool_max))

    # identity and secrets

    def credential(self) -> Any:
        """A new credential of the app's identity, for whichever service asks."""
        from shared.adapters.identity import managed_identity

        return managed_identity(self.settings.azure_client_id, azure=bool(azure_marker(os.environ)))

    def bearer_tokens(self, scope: str) -> "BearerTokens":
        """The app's tokens for one service."""
        from shared.adapters.identity import BearerTokens

        return BearerTokens(self.credential, scope)

    @cached_property
    def secrets(self) -> "Secrets":
        """Secret values by name: from Key Vault, or locally from the environment."""
        from shared.secrets import EnvironmentSecrets
        from shared.settings import Settings

        return self.vault or EnvironmentSecrets(os.environ, [name.upper() for name in Settings.model_fields])

    def _secret(self, name: str) -> str:
        return self.secrets.get(name)

    @cached_property
    def vault(self) -> "SecretStore | None":
        """Key Vault, where one is set."""
        from shared.secrets import AzureKeyVault, CachedVault

        url = self.settings.key_vault_url
        return CachedVault(AzureKeyVault(url, self.credential)) if url else None

    # storage

    def _queue_named(self, name: str) -> "StorageQueue":
        from shared.adapters.storage_queue import StorageQueue

        account, credential = self._storage(self.settings.storage_queue_uri)
        return StorageQueue(account, name, credential)

    @cached_property
    def table_log(self) -> "TableLog":
        """Copies in Table Storage."""
        from shared.adapters.execution_log import TableLog

        return TableLog(*self._storage(self.settings.storage_table_uri))

    @cached_property
    def submissions(self) -> "Submissions":
        """Where submissions are kept; raises ConfigurationError where no container is set."""
        from shared.adapters.submissions import Submissions

        container = self.settings.submissions_container
        if not container:
            raise ConfigurationError(
                "SUBMISSIONS_CONTAINER: not set", hint="name the blob container that submissions go to"
            )
        account, credential = self._storage(self.settings.storage_blob_uri)
        return Submissions(account, container, credential, new_uid=new_uid, now=self.clock.now)

    def _storage(self, uri: str | None) -> tuple[str, Any]:
        if self.settings.storage:
            return self.settings.storage, None
        if not uri:
            raise ConfigurationError(
                "AzureWebJobsStorage: not set",
                hint="a connection string, or AzureWebJobsStorage__queueServiceUri, __tableServiceUri and"
                " __blobServiceUri for an identity",
            )
        from shared.adapters.identity import managed_identity

        told = self.settings.storage_credential == "managedidentity"
        client_id = self.settings.storage_client_id or self.settings.azure_client_id
        return uri, managed_identity(client_id, azure=told or bool(azure_marker(os.environ)))

    # other services

    @cached_property
    def data_factory(self) -> "DataFactory":
        """Data Factory; raises ConfigurationError naming the settings that are missing."""
        from shared.adapters.data_factory import DataFactory, factory_of
        from shared.adapters.identity import MANAGEMENT_SCOPE

        s = self.settings
        factory = factory_of(s.azure_subscription_id, s.data_factory_resource_group, s.data_factory_name)
        return DataFactory(factory, self.bearer_tokens(MANAGEMENT_SCOPE))

    def _open_wire(self, url: str) -> "Wire":
        from shared.adapters.databricks.client import FixedToken, Limits, open_wire
        from shared.adapters.databricks_identity import managed_identity_strategy

        token = self.settings.databricks_token
        signs_in = (
            FixedToken(token.get_secret_value()) if token else managed_identity_strategy(self.credential)
        )
        limits = Limits(calls_per_s=self.workspace_calls_per_s)
        return open_wire(url, self.settings.allowed_databricks_hosts, signs_in, VERSION, limits)


def new_uids(count: int) -> "Bytes":
    """Time-ordered row ids."""
    from shared.adapters.postgres.target import uuid7_table

    return uuid7_table(count, entropy=entropy.token_bytes)


def new_uid() -> UUID:
    """One time-ordered id (UUID version 7)."""
    value = (time.time_ns() // 1_000_000) << 80 | entropy.randbits(76)
    return UUID(int=value & ~(0xF000 << 64) & ~(0xC000 << 48) | 0x7000 << 64 | 0x8000 << 48)
