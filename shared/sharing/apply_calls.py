"""Single actions as calls to the workspace, and what becomes of activation links.

A link is a credential: it goes from the workspace to the vault, and the journal keeps the secret's name.
"""

import re
from dataclasses import dataclass
from hashlib import sha256

from shared.errors import ConfigurationError, PermanentError
from shared.sharing.errors import MissingError, WorkspaceUnavailableError
from shared.sharing.model import AllowedIps, RecipientType
from shared.sharing.observed import ObservedRecipient
from shared.sharing.plan_actions import (
    Action,
    Addresses,
    Comment,
    Grants,
    Kind,
    NewRecipient,
    Objects,
    Owner,
    PipelineBody,
    Tokens,
)
from shared.sharing.ports import GrantChange, IssuedToken, Vault, Workspace

Result = dict[str, str]


class LinkLostError(PermanentError):
    """The recipient is there, but nobody can activate it: its link was lost on the way."""

    code = "activation_link_lost"


class LinkNotStoredError(LinkLostError):
    """The token is there, but the vault did not take its link, which can be read again until it is used."""

    code = "activation_link_not_stored"


def secret_name(workspace: str, recipient: str) -> str:
    """Where the activation link of a recipient lies; a later link replaces an earlier one in its place."""
    said = re.sub(r"[^a-z0-9]+", "-", recipient.lower()).strip("-")[:80]
    digest = sha256(f"{workspace}|{recipient}".encode()).hexdigest()[:16]
    return f"activation-{said}-{digest}"


def require_vault(vault: Vault | None, recipient: str) -> Vault:
    """Raise ConfigurationError where there is none, before a token is made whose link could lie nowhere."""
    if vault is None:
        raise ConfigurationError(
            f"recipient {recipient}: no vault to put its activation link into",
            hint="set KEY_VAULT_URL; on one machine LOCAL_VAULT_DIR",
        )
    return vault


@dataclass(frozen=True, slots=True)
class Calls:
    """Carries out actions on one workspace; every method may raise the workspace's and the vault's errors."""

    workspace: Workspace
    vault: Vault | None
    url: str

    def carry_out(self, action: Action) -> Result:
        """One call; what the journal shall keep of its answer."""
        name, body, result = action.target, action.body, Result()
        match body:
            case Grants(recipients):
                given = action.kind is Kind.GRANT
                self.workspace.grant(name, [GrantChange(recipient, given) for recipient in recipients])
            case Objects(changes):
                self.workspace.update_share(name, changes)
            case NewRecipient(recipient):
                if recipient.type is RecipientType.D2O:
                    require_vault(self.vault, name)
                result = self._deliver(name, self.workspace.create_recipient(recipient))
            case Tokens(_, old_expires_in_s):
                require_vault(self.vault, name)
                result = self._deliver(
                    name, self.workspace.rotate_token(name, old_expires_in_s=old_expires_in_s)
                )
            case PipelineBody(pipeline, None):
                result = {"id": self.workspace.create_pipeline(pipeline)}
            case PipelineBody(pipeline, str(known)):
                self.workspace.update_pipeline(known, pipeline)
            case _:
                self._set(action)
        return result

    def _set(self, action: Action) -> None:
        name, on_recipient = action.target, action.resource.startswith("recipient/")
        match action.body:
            case Comment(text) if action.kind is Kind.CREATE_SHARE:
                self.workspace.create_share(name, text)
            case Comment(text) if on_recipient:
                self._update_recipient(name, comment=text)
            case Comment(text):
                self.workspace.comment_share(name, text or "")
            case Addresses(allowed_ips):
                self._update_recipient(name, allowed_ips=allowed_ips)
            case Owner(owner):
                own = self.workspace.own_recipient if on_recipient else self.workspace.own_share
                own(name, owner)
            case _:
                raise AssertionError(action.kind)

    def _update_recipient(
        self, name: str, *, comment: str | None = None, allowed_ips: AllowedIps = None
    ) -> None:
        self.workspace.update_recipient(name, comment=comment, allowed_ips=allowed_ips)

    def _deliver(self, recipient: str, token: IssuedToken | None) -> Result:
        if token is None:
            return {}
        secret = secret_name(self.url, recipient)
        try:
            require_vault(self.vault, recipient).put(secret, token.activation_url)
        except PermanentError as error:
            raise LinkNotStoredError(
                f"recipient {recipient}: its activation link could not be stored: {error}",
                hint="put the vault right, then ask for the same again: the link is then read anew",
            ) from error
        expiry = {"expires_at": token.expires_at.isoformat()} if token.expires_at else {}
        return {"secret_name": secret, "token_id": token.id, **expiry}

    def recover(self, action: Action, now: ObservedRecipient) -> Result:
        """The link of a token whose making was begun and took effect, but whose answer never arrived.

        It can be read again until somebody uses it. Where it cannot, a recipient that nobody ever had a link to gets
        a second token in place of its first, once; anything else would take a token from people who use it.
        """
        if now.authentication != "TOKEN":
            return {}
        known = action.body.known if isinstance(action.body, Tokens) else ()
        pending = self._pending(now.name)
        if pending is not None and pending.id not in known:
            return self._deliver(now.name, pending)
        if isinstance(action.body, NewRecipient) and len(now.tokens) <= 1:
            return {
                **self._deliver(now.name, self.workspace.rotate_token(now.name, old_expires_in_s=0)),
                "rotated": "its first activation link was lost",
            }
        raise LinkLostError(
            f"recipient {now.name}: its token was made, but the activation link was lost",
            hint=f"POST /workflow/recipients/{now.name}/rotate-token makes another one",
        )

    def _pending(self, recipient: str) -> IssuedToken | None:
        try:
            return self.workspace.pending_activation(recipient)
        except MissingError as error:
            # It was seen a moment ago: this reading lags, and rotating on its word would end a good token.
            raise WorkspaceUnavailableError(f"recipient {recipient}: cannot be read yet") from error


def only_for(action: Action, recipients: frozenset[str]) -> Action | None:
    """A grant without those that it must leave out."""
    assert isinstance(action.body, Grants)
    return action.only(frozenset(f"{action.kind}|{action.target}|{r}" for r in recipients))


def halves(action: Action) -> tuple[Action, ...]:
    """The action in two parts, or as it is where it has one effect."""
    effects = sorted(action.effects())
    if len(effects) < 2:
        return (action,)
    middle = len(effects) // 2
    parts = (action.only(frozenset(some)) for some in (effects[:middle], effects[middle:]))
    return tuple(part for part in parts if part is not None)


def spelt(action: Action) -> str:
    """What the action names, for a failure's message."""
    match action.body:
        case Grants(recipients):
            return ", ".join(recipients)
        case Objects(changes):
            return ", ".join(change.object.name for change in changes)
        case _:
            return action.target
