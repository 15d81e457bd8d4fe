"""Federation policies of OIDC recipients."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec

from infra.local.workspace.call import Call, Wire, new_name, present
from infra.local.workspace.errors import AbsentError, ExistsError, InvalidError
from infra.local.workspace.paging import cut
from infra.local.workspace.recipients import found
from infra.local.workspace.state import Policy, Recipient


class CreatePolicy(msgspec.Struct):
    """Body of a creation."""

    name: str | None = None
    comment: str | None = None
    oidc_policy: dict[str, Any] = {}


def create(call: Call) -> Wire:
    body, recipient = call.body(CreatePolicy), _oidc(call)
    name = new_name("CreateFederationPolicy", "name", body.name or f"policy-{len(recipient.policies) + 1}")
    if any(policy.name == name for policy in recipient.policies):
        raise ExistsError(f"Federation policy '{name}' already exists")
    for member in ("issuer", "subject", "subject_claim"):
        if not body.oidc_policy.get(member):
            raise InvalidError(f"CreateFederationPolicy Missing required field: oidc_policy.{member}")
    stamp = datetime.fromtimestamp(call.now_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    policy = Policy(
        name=name, id=str(uuid.uuid4()), create_time=stamp, update_time=stamp, comment=body.comment,
        oidc_policy=body.oidc_policy,
    )  # fmt: skip
    recipient.policies.append(policy)
    return _wire(policy)


def get(call: Call) -> Wire:
    return _wire(_named(found(call), call.names[1]))


def list_policies(call: Call) -> Wire:
    page, more = cut(found(call).policies, call.parameters, call.switches)
    return {"policies": [_wire(policy) for policy in page], **more}


def delete(call: Call) -> Wire:
    recipient = _oidc(call)
    recipient.policies.remove(_named(recipient, call.names[1]))
    return {}


def _oidc(call: Call) -> Recipient:
    recipient = found(call)
    call.require_owner("Recipient", recipient.name, recipient.owner, admin_may=False)
    if recipient.authentication_type != "OIDC_FEDERATION":
        raise InvalidError(f"Recipient '{recipient.name}' is not an OIDC_FEDERATION recipient")
    return recipient


def _named(recipient: Recipient, name: str) -> Policy:
    for policy in recipient.policies:
        if policy.name == name.lower():
            return policy
    raise AbsentError(f"Federation policy '{name}' does not exist.")


def _wire(policy: Policy) -> Wire:
    return present(
        {
            "name": policy.name,
            "id": policy.id,
            "comment": policy.comment,
            "create_time": policy.create_time,
            "update_time": policy.update_time,
            "oidc_policy": policy.oidc_policy,
        }
    )
