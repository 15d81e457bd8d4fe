"""How databricks-sdk signs in with the app's identity; the SDK itself knows secrets and the CLI only."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from shared.adapters.identity import BearerTokens, Credential
from shared.errors import ConfigurationError

if TYPE_CHECKING:
    from databricks.sdk.config import Config
    from databricks.sdk.credentials_provider import CredentialsStrategy, OAuthCredentialsProvider

AUTH_TYPE = "azure-managed-identity"


def managed_identity_strategy(credential: Callable[[], Credential]) -> "CredentialsStrategy":
    """A strategy for `WorkspaceClient(host=..., credentials_strategy=...)`: Entra tokens for the host's Databricks.

    The token's resource follows from the host's cloud. A host that is not Azure Databricks raises ConfigurationError,
    since a token of ours must reach nobody else; a token that cannot be had, IdentityUnavailableError.
    """
    from databricks.sdk.credentials_provider import OauthCredentialsStrategy

    return OauthCredentialsStrategy(AUTH_TYPE, lambda config: _provider(config, credential))


def _provider(config: "Config", credential: Callable[[], Credential]) -> "OAuthCredentialsProvider":
    from databricks.sdk import oauth
    from databricks.sdk.credentials_provider import OAuthCredentialsProvider

    tokens = BearerTokens(credential, f"{_resource(config)}/.default")

    def token() -> oauth.Token:
        given = tokens.get()
        # The SDK compares with a naive local time where the expiry has no zone.
        return oauth.Token(given.text, "Bearer", expiry=datetime.fromtimestamp(given.expires_on, UTC))

    return OAuthCredentialsProvider(lambda: {"Authorization": f"Bearer {tokens.text()}"}, token)


def _resource(config: "Config") -> str:
    """The application id of Azure Databricks in the host's cloud."""
    from databricks.sdk.environments import get_environment_for_hostname

    host = config.hostname or ""
    resource = get_environment_for_hostname(host).azure_application_id  # of other clouds there is none
    if not resource or not config.host.startswith("https://"):
        raise ConfigurationError(
            f"Databricks host {host!r}: not an Azure Databricks workspace",
            hint="name it as https://adb-<number>.<number>.azuredatabricks.net",
        )
    return resource
