"""Who the app is in Azure: credentials without keys, and the bearer tokens that they give.

Composition makes one `Identity` a process; PostgreSQL, Databricks, Data Factory and Storage sign in through it.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from shared.errors import IdentityUnavailableError

# What a token is meant for; PostgreSQL's is the same in every region of the public cloud.
POSTGRES_SCOPE = "https://ossrdbms-aad.database.windows.net/.default"
MANAGEMENT_SCOPE = "https://management.azure.com/.default"
_REFRESH_BEFORE_S = 300.0
_STILL_GOOD_S = 30.0
_PAUSE_S = 30.0


class Given(Protocol):
    """A token as credentials give it."""

    token: str
    expires_on: int


class Credential(Protocol):
    """The one call of an azure-identity credential that we use."""

    def get_token(self, *scopes: str) -> Given:
        """A token for the scopes, perhaps a cached one."""


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token and when it ends, in seconds since 1970."""

    text: str
    expires_on: float


def managed_identity(client_id: str | None, *, azure: bool) -> Any:
    """The credential of the app: in Azure its managed identity, elsewhere whatever the developer signed in with.

    `azure` leaves out the chain of guesses, which costs seconds and can end in somebody else's identity.
    """
    if azure:
        from azure.identity import ManagedIdentityCredential

        return ManagedIdentityCredential(client_id=client_id)
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential(managed_identity_client_id=client_id)


class BearerTokens:
    """Tokens for one scope: asked for when needed, and anew five minutes before they end. Safe for several threads.

    While the directory gives none, the one at hand serves until it ends; it is asked again half a minute later.
    """

    def __init__(
        self, credential: Callable[[], Credential], scope: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._make, self._scope, self._clock = credential, scope, clock
        self._credential: Credential | None = None
        self._token: Token | None = None
        self._ask_from = 0.0
        self._lock = threading.Lock()

    def get(self) -> Token:
        """A token that is good for at least half a minute; raises IdentityUnavailableError."""
        with self._lock:
            now = self._clock()
            if self._token is None or now >= self._ask_from:
                self._ask(now)
            assert self._token is not None, "asking leaves a token or raises"
            return self._token

    def text(self) -> str:
        """The token alone."""
        return self.get().text

    def forget(self) -> None:
        """Ask anew, past every cache: what was given has been refused."""
        with self._lock:
            self._token = self._credential = None

    def _ask(self, now: float) -> None:
        from azure.core.exceptions import AzureError

        try:
            if self._credential is None:
                self._credential = self._make()
            given = self._credential.get_token(self._scope)
        except (AzureError, ValueError) as error:
            if self._token is None or self._token.expires_on - now < _STILL_GOOD_S:
                raise self._unavailable(error) from None
            self._ask_from = now + _PAUSE_S
            return
        self._token = Token(given.token, float(given.expires_on))
        left = self._token.expires_on - now
        self._ask_from = self._token.expires_on - min(_REFRESH_BEFORE_S, left / 2)

    def _unavailable(self, error: Exception) -> IdentityUnavailableError:
        # Only the class: the texts of a chain of credentials run over pages, and quote the endpoint's answers.
        return IdentityUnavailableError(
            f"identity: no token for {self._scope} ({type(error).__name__})",
            hint="assign a managed identity to the app and set AZURE_CLIENT_ID, or sign in with az login",
        )
