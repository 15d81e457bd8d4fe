"""Opens a workspace: an allowed host, a way to sign in, bounded times."""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from databricks.sdk.core import Config
from databricks.sdk.credentials_provider import CredentialsStrategy

from shared.adapters.databricks.hosts import workspace_origin
from shared.adapters.databricks.pace import TokenBucket
from shared.adapters.databricks.wire import OneAttempt, Patience, Wire
from shared.errors import ConfigurationError

PRODUCT = "tributary"


@dataclass(frozen=True)
class FixedToken(CredentialsStrategy):
    """A token from a setting: for the local stack and for tests."""

    token: str = field(repr=False)

    def auth_type(self) -> str:
        """The SDK's word for it."""
        return "pat"

    def __call__(self, cfg: Config) -> Callable[[], dict[str, str]]:
        return lambda: {"Authorization": f"Bearer {self.token}"}


@dataclass(frozen=True, slots=True)
class Limits:
    """`http_timeout_s` bounds one request, `probe_budget_s` the host's own configuration, asked for when opening."""

    http_timeout_s: float = 30.0
    probe_budget_s: int = 5
    calls_per_s: float = 10.0
    burst: int = 10
    patience: Patience = field(default_factory=Patience)


def open_wire(
    url: str,
    allowed_hosts: Collection[str],
    credentials: CredentialsStrategy,
    version: str,
    limits: Limits | None = None,
) -> Wire:
    """A wire to the workspace; raises ConfigurationError for a host that is not allowed, before anything is sent."""
    limits = limits or Limits()
    origin = workspace_origin(url, allowed_hosts)
    # At DEBUG the SDK logs answers, and with them activation links.
    logging.getLogger("databricks.sdk").setLevel(logging.WARNING)
    try:
        config = Config(
            host=origin,
            credentials_strategy=credentials,
            # Named, so that other ways to sign in that the environment holds are no conflict.
            auth_type=credentials.auth_type(),
            http_timeout_seconds=limits.http_timeout_s,
            retry_timeout_seconds=limits.probe_budget_s,
            product=PRODUCT,
            product_version=version,
            clock=OneAttempt(),
        )
    except ValueError:
        raise ConfigurationError(
            f"workspace {origin}: databricks-sdk does not take this configuration",
            hint="look for DATABRICKS_* and ARM_* variables that contradict the settings",
        ) from None
    bucket = TokenBucket(
        limits.calls_per_s, limits.burst, clock=limits.patience.clock, sleep=limits.patience.sleep
    )
    return Wire(config, bucket, limits.patience)
