"""A new token for one open recipient, asked for by a person: planned, journalled and handed over like any other action.

A request that is cut off leaves its rotation unfinished. The next one for that recipient, or the reminder, goes on with
it: a link that was not handed over is read again, and no second token is made.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from shared.errors import AppError, ConflictError, FencedError, InvalidError, NotFoundError, TransientError
from shared.sharing.apply import Application, Rotation, Step
from shared.sharing.apply_calls import LinkNotStoredError, require_vault
from shared.sharing.claims import RotationClaim
from shared.sharing.errors import WorkspaceRefusedError
from shared.sharing.holdings import facts_of_step, holdings_of
from shared.sharing.plan import Holdings, Plan, plan_rotation
from shared.sharing.plan_actions import Tokens
from shared.sharing.ports import Workspace
from shared.sharing.provision import SERVICE, Outside
from shared.sharing.store import Ownership, Rotations
from shared.sharing.views import NOBODY, Actor

SETTLE_S = 120.0  # after which the reminder leaves the rest to its next tick


@dataclass(frozen=True, slots=True)
class RotatedToken:
    """Where the activation link of a new token lies."""

    recipient: str
    secret_name: str
    expires_at: datetime | None


@dataclass(slots=True)
class TokenRotation:
    """Rotates tokens of recipients that are ours."""

    rotations: Rotations
    ownership: Ownership
    outside: Outside
    tell: Callable[..., None]

    def rotate(self, who: Actor, tenant: str, url: str, name: str, *, old_expires_in_s: int) -> RotatedToken:
        """A new token; its link goes to the vault. The old ones go on for `old_expires_in_s`.

        Raises NotFoundError, InvalidError for a recipient that is not the caller's or has no tokens, ConflictError
        while another request works on it, ConfigurationError without a vault; what may pass leaves the rotation to
        whoever asks next.
        """
        require_vault(self.outside.vault, name)
        workspace = self.outside.workspace(url)
        now = workspace.recipient(name)
        if now is None:
            raise NotFoundError(f"recipient {name}: not in {url}", hint="check its name")
        subject = Rotation({name: tuple(sorted(token.id for token in now.tokens))}, old_expires_in_s)
        observed = subject.observe(workspace, {}, map)
        made = plan_rotation([name], self._holdings(who, url), observed, old_expires_in_s=old_expires_in_s)
        if made.errors:
            raise InvalidError(made.errors[0].detail, [("name", made.errors[0].detail)])
        claim = self.rotations.claim(made.workspace, name, made.to_document(), by=who, tenant=tenant)
        return self._finished(claim, workspace, who)

    def settle(self) -> None:
        """End what requests left unfinished: what took effect is handed over, what did not is not made up for."""
        until = self.outside.clock.monotonic() + SETTLE_S
        for uid in self.rotations.abandoned():
            claim = self.rotations.take(uid) if self.outside.clock.monotonic() < until else None
            if claim is None:
                continue
            try:
                self._settle(claim)
            except AppError as error:
                self.tell("rotation_not_settled", level=30, recipient=claim.recipient, code=error.code)

    def _settle(self, claim: RotationClaim) -> None:
        try:
            workspace = self.outside.workspace(claim.workspace)
            now = workspace.recipient(claim.recipient)
            _, known = _planned(claim)
        except AppError as error:
            self._leave(claim, error)
            raise
        if now is None or {token.id for token in now.tokens} <= {*known.known}:
            self.rotations.finish(claim, "failed", {"error": "cut off, and no new token is to be seen"})
            self.tell("rotation_cut_off", level=30, recipient=claim.recipient)
            return
        self._finished(claim, workspace, SERVICE)
        self.tell("rotation_settled", recipient=claim.recipient)

    def _finished(self, claim: RotationClaim, workspace: Workspace, who: Actor) -> RotatedToken:
        try:
            result = self._carried_out(claim, workspace, who).result
            self._note(claim, result, who)
        except FencedError:
            raise ConflictError(
                f"recipient {claim.recipient}: another request goes on with its rotation",
                hint="ask again in a moment",
            ) from None
        except AppError as error:
            self._leave(claim, error)
            raise
        if "secret_name" not in result:
            raise self._refused(claim, result)
        self.rotations.finish(claim, "done", result)
        expires = result.get("expires_at")
        at = datetime.fromisoformat(expires) if expires else None
        return RotatedToken(claim.recipient, result["secret_name"], at)

    def _note(self, claim: RotationClaim, result: Mapping[str, str], who: Actor) -> None:
        fact = facts_of_step(_planned(claim)[0].actions[0], result)
        if fact is not None:
            self.ownership.record(claim.workspace, [fact], by=who, share_pack_id=None)

    def _carried_out(self, claim: RotationClaim, workspace: Workspace, who: Actor) -> Step:
        made, body = _planned(claim)
        outcome = Application(
            uid=claim.rotation_uid,
            plan=made,
            subject=Rotation({claim.recipient: body.known}, body.old_expires_in_s),
            holdings=lambda: self._holdings(who, claim.workspace),
            workspace=workspace,
            journal=self.rotations.journal(claim),
            leases=self.outside.leases,
            vault=self.outside.vault,
            clock=self.outside.clock,
        ).run()
        return outcome.steps[0]

    def _refused(self, claim: RotationClaim, result: Mapping[str, str]) -> WorkspaceRefusedError:
        said = result.get("error", "its token was not rotated")
        if result.get("code") == LinkNotStoredError.code:
            self.rotations.let_go(claim, said)  # the token is there: whoever asks next reads its link again
        else:
            self.rotations.finish(claim, "failed", result)
        return WorkspaceRefusedError(
            f"recipient {claim.recipient}: {said}",
            reason="NOT_ROTATED",
            hint=result.get("hint") or "look at the recipient in the workspace, then ask again",
        )

    def _leave(self, claim: RotationClaim, error: AppError) -> None:
        if isinstance(error, TransientError):
            self.rotations.let_go(claim, error.message)
        else:
            self.rotations.finish(claim, "failed", {"error": error.message, "code": error.code})

    def _holdings(self, who: Actor, url: str) -> Holdings:
        owned = [o for o in self.ownership.owned(url) if o.tenant is None or who.sees(o.tenant)]
        return holdings_of(NOBODY, url, owned, ())


def _planned(claim: RotationClaim) -> tuple[Plan, Tokens]:
    try:
        made = Plan.from_document(claim.document)
    except (ValueError, KeyError, msgspec.MsgspecError):
        raise ConflictError(
            f"recipient {claim.recipient}: its rotation was left unfinished by another release, and is ended",
            hint="look at its tokens in the workspace, then ask again",
        ) from None
    body = made.actions[0].body
    assert isinstance(body, Tokens)
    return made, body
