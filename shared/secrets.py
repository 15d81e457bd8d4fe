"""Secret names in, values out. Names stand in the database; values in Key Vault or, locally, the environment.

Adapters ask a `Secrets` for a value when they sign in, and once more with `reload` after a refusal.
"""

import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from shared.errors import (
    AppError,
    ConfigurationError,
    SourceThrottledError,
    SourceUnavailableError,
    TransientError,
)

SECRET_NAME = re.compile(r"[A-Za-z0-9-]{1,127}")  # what Key Vault allows
CACHE_TTL_S = 900.0
STALE_S = 60.0
_LONGEST_WAIT_S = 8.0
_LONGEST_WISH_S = 600.0


class Secrets(Protocol):
    """Where values come from. Both calls raise ConfigurationError for a name that is not there."""

    def get(self, name: str) -> str:
        """The value, perhaps a cached one."""
        ...

    def reload(self, name: str) -> str:
        """The value as the vault has it now: for the one retry after an authentication failure."""
        ...


class SecretStore(Secrets, Protocol):
    """A vault that also takes new values."""

    def put(self, name: str, value: str) -> None:
        """Store `value` under `name`; an older version stays in the vault's own history."""
        ...


class EnvironmentSecrets:
    """Values from the environment, for local runs: `erp-token` is looked up as it stands, then as ERP_TOKEN.

    `reserved` are the service's own settings: a connector must never be able to send POSTGRES_PASSWORD away.
    """

    def __init__(self, environment: Mapping[str, str], reserved: Iterable[str] = ()) -> None:
        self._environment = environment
        self._reserved = {name.upper() for name in reserved}

    def get(self, name: str) -> str:
        """The value; raises ConfigurationError for a name that is missing, malformed or a setting's."""
        variable = name.upper().replace("-", "_")
        if not SECRET_NAME.fullmatch(name) or variable in self._reserved:
            raise ConfigurationError(
                f"secret {name!r}: not a name a connector may use",
                hint="letters, digits and hyphens, and none of the service's own settings",
            )
        value = self._environment.get(name) or self._environment.get(variable)
        if not value:
            raise ConfigurationError(
                f"secret {name!r}: not in the environment",
                hint=f"set {variable}, or KEY_VAULT_URL to use a vault",
            )
        return value

    reload = get


class KeyVault(Protocol):
    """The two calls of a vault that we use."""

    def read(self, name: str) -> str:
        """The newest value; raises ConfigurationError or SourceUnavailableError."""
        ...

    def write(self, name: str, value: str) -> None:
        """Store a new version."""
        ...


class CachedVault:
    """A vault whose values are remembered for `ttl_s` seconds, so that a page of requests costs one call.

    A vault that is throttled or down when a value grows old is asked again a minute later; until then the old one
    serves, since most values outlive an outage and the one that does not is refused by its connector.
    """

    def __init__(
        self, vault: KeyVault, *, ttl_s: float = CACHE_TTL_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._vault, self._ttl_s, self._clock = vault, ttl_s, clock
        self._values: dict[str, tuple[float, str]] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> str:
        """The value, at most `ttl_s` old."""
        with self._lock:
            found = self._values.get(name)
        if found is not None and self._clock() < found[0]:
            return found[1]
        try:
            return self.reload(name)
        except TransientError:
            if found is None:
                raise
            return self._remember(name, found[1], STALE_S)

    def reload(self, name: str) -> str:
        """The vault's value now; the cache takes it too."""
        return self._remember(name, self._vault.read(name))

    def put(self, name: str, value: str) -> None:
        """Store `value` in the vault, then in the cache."""
        self._vault.write(name, value)
        self._remember(name, value)

    def _remember(self, name: str, value: str, lasts_s: float | None = None) -> str:
        with self._lock:
            self._values[name] = (self._clock() + (self._ttl_s if lasts_s is None else lasts_s), value)
        return value


class DirectoryVault:
    """A folder that only its owner can read: one file a name. For one machine, where there is no vault."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> str:
        """The newest value; raises ConfigurationError for a name that is not there."""
        try:
            return self._file(name).read_text("utf-8")
        except FileNotFoundError:
            raise ConfigurationError(
                f"secret {name!r}: not in {self._folder}", hint="it is written there when it is made"
            ) from None

    def write(self, name: str, value: str) -> None:
        """Keep the value; an older one is gone."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._file(name).with_suffix(".new")
        with os.fdopen(
            os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(value)
        fresh.replace(self._file(name))

    def _file(self, name: str) -> Path:
        if not SECRET_NAME.fullmatch(name):
            raise ConfigurationError(f"secret {name!r}: not a name", hint="letters, digits and hyphens")
        return self._folder / name.lower()


class AzureKeyVault:
    """Azure's vault at `url`, signed in to by the app's identity. The SDK loads on first use, being slow."""

    def __init__(self, url: str, credential: Callable[[], Any], *, transport: Any = None) -> None:
        self._url, self._credential = url, credential
        self._options: dict[str, Any] = {"transport": transport} if transport else {}
        self._client: Any = None  # SecretClient; typing it would import the SDK

    def read(self, name: str) -> str:
        """The newest value under `name`."""
        from azure.core.exceptions import AzureError, ResourceNotFoundError

        try:
            value = self._connected().get_secret(name).value
        except ResourceNotFoundError:
            raise self._missing(name) from None
        except AzureError as error:
            raise self._unreachable(error, name) from None
        if not value:
            raise self._missing(name)
        return str(value)

    def write(self, name: str, value: str) -> None:
        """A new version of `name`."""
        from azure.core.exceptions import AzureError

        try:
            self._connected().set_secret(name, value)
        except AzureError as error:
            raise self._unreachable(error, name) from None

    def _connected(self) -> Any:
        if self._client is None:
            from azure.keyvault.secrets import SecretClient

            self._client = SecretClient(
                self._url, self._credential(), retry_policy=_patience(), **self._options
            )
        return self._client

    def _missing(self, name: str) -> ConfigurationError:
        return ConfigurationError(
            f"secret {name!r}: not in {self._url}",
            hint="store it there, or send auth.secret with the connector",
        )

    def _unreachable(self, error: Exception, name: str) -> AppError:
        # Only the class and the status: the SDK's text may quote the request.
        status = getattr(error, "status_code", None)
        if status == 429:
            return SourceThrottledError(
                f"Key Vault {self._url}: throttled",
                hint="the work is repeated later; fewer apps may share the vault",
                retry_after_s=_wish(error),
            )
        if status == 403:
            return ConfigurationError(
                f"secret {name!r}: {self._url} refuses the app's identity",
                hint="assign it Key Vault Secrets User (and Secrets Officer to store), let its network in, and see"
                " that the secret is enabled",
            )
        return SourceUnavailableError(
            f"Key Vault {self._url}: {type(error).__name__}",
            hint="check KEY_VAULT_URL and that the app's identity may get and set secrets",
        )


def _patience() -> Any:
    """The SDK's retries, three and short: it would wait for as long as Retry-After says, and slices with it."""
    from azure.core.pipeline.policies import RetryPolicy

    class Patience(RetryPolicy[Any, Any]):
        def get_retry_after(self, response: Any) -> float | None:
            wish = super().get_retry_after(response)
            return None if wish is None else min(wish, _LONGEST_WAIT_S)

    return Patience(retry_total=3, retry_backoff_max=_LONGEST_WAIT_S)


def _wish(error: Exception) -> float | None:
    """What a throttled answer asks for, in seconds, bounded; None where it says nothing that can be read."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    text = str(headers.get("Retry-After", ""))
    return min(float(text), _LONGEST_WISH_S) if text.isdecimal() else None
