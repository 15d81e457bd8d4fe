"""What has to change about the recipients of a pack."""

from datetime import UTC, datetime, timedelta

from shared.sharing import plan_networks
from shared.sharing.model import ANY_ADDRESS, AnyAddress, Recipient, RecipientType
from shared.sharing.observed import AUTHENTICATION, ObservedRecipient, ObservedToken
from shared.sharing.plan_actions import Addresses, Comment, Kind, NewRecipient, Owner
from shared.sharing.plan_draft import Draft, Ground

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def plan_recipients(ground: Ground, draft: Draft) -> None:
    """Create those that are absent, bring those that are ours up to the pack."""
    for wanted in ground.pack.recipients:
        draft.wanted.add(("recipient", wanted.name))
        now = ground.observed.recipients.get(wanted.name)
        if now is None:
            _create(wanted, ground, draft)
        elif not ground.guards.ours(wanted.name, ground.holdings.recipients):
            draft.error(not_ours("recipient", wanted.name))
        elif now.authentication is None:
            draft.warn(
                f"recipient {wanted.name} signs in in a way this release does not know: unmanaged, left as it is"
            )
        elif _fits(wanted, now, draft):
            _update(wanted, now, draft)
            _own(wanted.name, now.owner, ground, draft)


def not_ours(what: str, name: str) -> str:
    """Why a thing of that name is left alone."""
    return (
        f"{what} {name} is in the workspace but was not created here; choose another name, or have an approver take"
        " it over with POST /workflow/adopt"
    )


def _create(wanted: Recipient, ground: Ground, draft: Draft) -> None:
    standing = None
    if wanted.type is RecipientType.D2D:
        everyone = ground.observed.recipients.values()
        standing = next((r for r in everyone if _metastore(r) == _metastore(wanted)), None)
    if standing is not None:
        draft.error(
            f"recipient {wanted.name}: {standing.name} already stands for metastore {wanted.metastore_id}, and there"
            f" can only be one; use {standing.name}"
        )
        return
    draft.act(Kind.CREATE_RECIPIENT, wanted.name, NewRecipient(wanted), "is not there yet", widens=True)
    _own(wanted.name, ground.observed.identity, ground, draft)


def _own(name: str, owner: str, ground: Ground, draft: Draft) -> None:
    """What we own goes to its owner at the end; what belongs to somebody else stays theirs."""
    if ground.owner not in (None, owner) and owner == ground.observed.identity:
        assert ground.owner is not None
        draft.act(Kind.OWN_RECIPIENT, name, Owner(ground.owner), "what is created here belongs to them")


def _metastore(recipient: Recipient | ObservedRecipient) -> str:
    return (recipient.metastore_id or "").lower()  # written in either case


def _fits(wanted: Recipient, now: ObservedRecipient, draft: Draft) -> bool:
    """Whether it is the kind of recipient that the pack means; neither its kind nor its metastore can be changed."""
    if now.authentication != AUTHENTICATION[wanted.type]:
        draft.error(
            f"recipient {wanted.name} signs in by {now.authentication}, which is not {wanted.type}, and that cannot be"
            " changed; choose another name"
        )
    elif wanted.type is RecipientType.D2D and _metastore(wanted) != _metastore(now):
        draft.error(
            f"recipient {wanted.name} stands for metastore {now.metastore_id}, and that cannot be changed; choose"
            " another name"
        )
    else:
        return True
    return False


def _update(wanted: Recipient, now: ObservedRecipient, draft: Draft) -> None:
    if wanted.comment is not None and wanted.comment != (now.comment or ""):
        draft.act(Kind.COMMENT_RECIPIENT, wanted.name, Comment(wanted.comment), "its comment reads otherwise")
    if wanted.allowed_ips is not None:
        _addresses(wanted, now, draft)
    if wanted.token_expiry_days is not None:
        _expiry(wanted.name, wanted.token_expiry_days, now, draft)


def _expiry(name: str, days: int, now: ObservedRecipient, draft: Draft) -> None:
    """A token's life is said when its recipient is made: the request for another token takes none."""
    newest = max(now.tokens, key=lambda token: token.created_at or _LONG_AGO, default=None)
    if newest is not None and _life_days(newest) == days:
        return
    ends = "there is none now"
    if newest is not None:
        ends = f"today's ends {newest.expires_at:%Y-%m-%d}" if newest.expires_at else "today's never ends"
    draft.warn(
        f"recipient {name}: token_expiry_days {days} holds for the token that a recipient is created with only; {ends}."
        f" POST /workflow/recipients/{name}/rotate-token makes another, which lives as long as the metastore says"
    )


def _life_days(token: ObservedToken) -> int | None:
    if token.created_at is None or token.expires_at is None:
        return None
    return round((token.expires_at - token.created_at) / timedelta(days=1))


def _addresses(wanted: Recipient, now: ObservedRecipient, draft: Draft) -> None:
    """Narrow first and widen late; where old and new have nothing in common, both happen once everything has shrunk.

    An empty list would open the recipient to the world, so it is never a step in between.
    """
    asked = wanted.allowed_ips
    assert asked is not None
    listed = None if isinstance(asked, AnyAddress) else asked
    target = ANY_ADDRESS if listed is None else asked
    change = plan_networks.compare(now.allowed_ips, listed)
    if change == "narrower":
        _narrow(wanted.name, listed or (), draft)
    elif change == "wider":
        _widen(wanted.name, target, draft)
    elif change == "mixed":
        _narrow(wanted.name, plan_networks.intersection(now.allowed_ips, listed) or (), draft)
        _widen(wanted.name, target, draft)
    elif change == "disjoint":
        reason = "the pack lists none of the addresses it may connect from today"
        draft.act(Kind.REPLACE_ADDRESSES, wanted.name, Addresses(target), reason, widens=True)


def _narrow(name: str, listed: tuple[str, ...], draft: Draft) -> None:
    assert listed, "an empty list clears it"
    reason = "may connect from addresses that the pack does not list"
    draft.act(Kind.NARROW_ADDRESSES, name, Addresses(listed), reason)


def _widen(name: str, target: tuple[str, ...] | AnyAddress, draft: Draft) -> None:
    reason = "the pack lists addresses that it may not connect from yet"
    if isinstance(target, AnyAddress):
        reason = "the pack says ANY"
    draft.act(Kind.WIDEN_ADDRESSES, name, Addresses(target), reason, widens=True)
