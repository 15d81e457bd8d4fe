"""What is ours in a workspace: from the stores to the planner, and from a step that was done to the stores."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from shared.sharing.model import AllowedIps, AnyAddress, Finding, PipelineType, Recipient, SharePack
from shared.sharing.observed import SELECT, ObservedObject, ObservedRecipient, ObservedShare
from shared.sharing.plan_actions import (
    Action,
    Addresses,
    Comment,
    Grants,
    Kind,
    NewRecipient,
    Objects,
    PipelineBody,
)
from shared.sharing.plan_draft import Holdings
from shared.sharing.ports import Contribution
from shared.sharing.records import Facts, Found, Owned


def holdings_of(
    pack_id: UUID, workspace: str, owned: Iterable[Owned], contributions: Iterable[Contribution]
) -> Holdings:
    """The stores' view of one workspace, as a plan takes it."""
    names: dict[str, set[str]] = {"share": set(), "recipient": set(), "pipeline": set()}
    for each in owned:
        names[each.kind].add(each.name)
    pipelines = [name.partition("|") for name in names["pipeline"]]
    return Holdings(
        pack_id=pack_id,
        workspace=workspace,
        shares=frozenset(names["share"]),
        recipients=frozenset(names["recipient"]),
        pipelines=frozenset((cast(PipelineType, type_), name) for type_, _, name in pipelines),
        contributions=frozenset(contributions),
    )


def of_other_tenants(pack: SharePack, tenant: str, owned: Iterable[Owned]) -> tuple[Finding, ...]:
    """What the pack would change though a pack of another business line made it: its approvers decide about that.

    Granting to a recipient that another business line made is no change of it.
    """
    theirs = {(each.kind, each.name) for each in owned if each.tenant not in (None, tenant)}
    named = [
        *(("recipient", recipient.name) for recipient in pack.recipients),
        *(("share", share.name) for share in pack.shares),
        *(("pipeline", f"{pipeline.type}|{pipeline.name}") for pipeline in pack.pipelines),
    ]
    return tuple(
        Finding("error", f"{kind} {name} is another business line's: only its own share packs may change it")
        for kind, name in named
        if (kind, name) in theirs
    )


def facts_of_step(action: Action, result: Mapping[str, str]) -> Facts | None:
    """What is known of a share, recipient or pipeline once the action is done; None where it tells nothing of one."""
    match action.body:
        case NewRecipient(recipient):
            return Facts("recipient", recipient.name, _recipient(recipient) | _token(result))
        case Addresses(allowed_ips):
            return Facts("recipient", action.target, {"allowed_ips": _networks(allowed_ips)})
        case PipelineBody(pipeline, known):
            return Facts(
                "pipeline",
                f"{pipeline.type}|{pipeline.name}",
                {
                    "databricks_id": result.get("id", known),
                    "source": pipeline.source,
                    "destination": pipeline.destination,
                    "schedule": pipeline.schedule,
                    "comment": pipeline.comment,
                },
            )
        case Comment(text):
            return Facts("recipient" if _on_recipient(action) else "share", action.target, {"comment": text})
        case _:
            return Facts("recipient", action.target, _token(result)) if "token_id" in result else None


def facts_of_share(share: ObservedShare) -> Facts:
    """What was observed of a share that is adopted."""
    return Facts("share", share.name, {"comment": share.comment})


def found_in(share: ObservedShare) -> tuple[Found, ...]:
    """What the share holds and who reads it, as it was observed."""
    readers = sorted(name for name, held in share.grants.items() if SELECT in held)
    return (
        *(_found(share.name, each) for each in share.objects),
        *(Found(share.name, "grant", name) for name in readers),
    )


def gone_after(action: Action) -> tuple[Found, ...]:
    """What was taken away once the action is done, whoever had brought it."""
    match action.body:
        case Grants(recipients) if action.kind is Kind.REVOKE:
            return tuple(Found(action.target, "grant", name) for name in recipients)
        case Objects(changes):
            return tuple(
                _found(action.target, change.was)
                for change in changes
                if change.action == "REMOVE" and change.was
            )
        case _:
            return ()


def _found(share: str, held: ObservedObject) -> Found:
    return Found(share, "object", held.name, str(held.type or ""), (held.alias or "").lower())


def facts_of_recipient(recipient: ObservedRecipient) -> Facts:
    """What was observed of a recipient that is adopted; its token is known by id and expiry only."""
    newest = max(
        recipient.tokens,
        key=lambda token: token.created_at.timestamp() if token.created_at else 0.0,
        default=None,
    )
    token = {"token_id": newest.id, "token_expires_at": newest.expires_at} if newest else {}
    type_ = {"TOKEN": "D2O", "DATABRICKS": "D2D"}.get(
        recipient.authentication or "", recipient.authentication
    )
    known = {
        "recipient_type": type_,
        "metastore_id": recipient.metastore_id,
        "comment": recipient.comment,
        "allowed_ips": None if recipient.allowed_ips is None else list(recipient.allowed_ips),
    }
    return Facts("recipient", recipient.name, known | token)


def _recipient(recipient: Recipient) -> dict[str, Any]:
    return {
        "recipient_type": recipient.type.value,
        "email": recipient.email,
        "metastore_id": recipient.metastore_id,
        "comment": recipient.comment,
        "allowed_ips": _networks(recipient.allowed_ips),
    }


def _networks(allowed_ips: AllowedIps) -> list[str] | None:
    return None if allowed_ips is None or isinstance(allowed_ips, AnyAddress) else list(allowed_ips)


def _token(result: Mapping[str, str]) -> dict[str, Any]:
    known: dict[str, Any] = {name: result[name] for name in ("token_id", "secret_name") if name in result}
    if "token_id" in result:  # a token without an end must not inherit its predecessor's
        expires = result.get("expires_at")
        known["token_expires_at"] = datetime.fromisoformat(expires) if expires else None
    return known


def _on_recipient(action: Action) -> bool:
    return action.kind in (Kind.COMMENT_RECIPIENT, Kind.CREATE_RECIPIENT)
