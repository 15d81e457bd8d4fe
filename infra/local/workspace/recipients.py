"""Recipients: open ones with tokens and IP lists, Databricks ones by metastore, OIDC ones with policies."""

from __future__ import annotations

import ipaddress
import secrets
import uuid
from collections.abc import Sequence
from urllib.parse import unquote

import msgspec

from infra.local.workspace.call import Call, Wire, new_name, present
from infra.local.workspace.errors import (
    AbsentError,
    DeniedError,
    ExistsError,
    FeatureDisabledError,
    InvalidError,
    InvalidStateError,
)
from infra.local.workspace.paging import cut
from infra.local.workspace.shares import require_sharing
from infra.local.workspace.state import Recipient, Token

TYPES = ("TOKEN", "DATABRICKS", "OIDC_FEDERATION", "OAUTH_CLIENT_CREDENTIALS")
YEAR_MS = 365 * 86_400_000
IPS_MAX = 100
LIVE_TOKENS_MAX = 2


class IpList(msgspec.Struct):
    """Allowed networks; `{}`, which an empty list is sent as, has none."""

    allowed_ip_addresses: list[str] = []


class Properties(msgspec.Struct):
    """Key-value pairs."""

    properties: dict[str, str] = {}


class CreateRecipient(msgspec.Struct):
    """Body of a creation."""

    name: str | None = None
    authentication_type: str = "TOKEN"
    comment: str | None = None
    data_recipient_global_metastore_id: str | None = None
    sharing_code: str | None = None
    expiration_time: int | None = None
    ip_access_list: IpList | None = None
    owner: str | None = None
    properties_kvpairs: Properties | None = None


class UpdateRecipient(msgspec.Struct):
    """Body of an update."""

    comment: str | None = None
    new_name: str | None = None
    owner: str | None = None
    expiration_time: int | None = None
    ip_access_list: IpList | None = None
    properties_kvpairs: Properties | None = None


class RotateToken(msgspec.Struct):
    """Body of a rotation."""

    existing_token_expire_in_seconds: int | None = None


def create(call: Call) -> Wire:
    body = call.body(CreateRecipient)
    require_sharing(call)
    name = new_name("CreateRecipient", "name", body.name)
    call.require("CREATE_RECIPIENT")
    _check_new(call, body)
    if name in call.state.recipients:
        raise ExistsError(f"Recipient '{name}' already exists", code="RECIPIENT_ALREADY_EXISTS")
    by, now = call.caller.name, call.now_ms
    metastore = body.data_recipient_global_metastore_id
    if body.authentication_type == "DATABRICKS" and metastore is None:
        # A sharing code stands for a metastore that only the service can name.
        metastore = f"azure:northeurope:{uuid.uuid5(uuid.NAMESPACE_URL, str(body.sharing_code))}"
    recipient = Recipient(
        name=name, id=str(uuid.uuid4()), authentication_type=body.authentication_type,
        owner=body.owner or by, created_at=now, created_by=by, updated_at=now, updated_by=by,
        comment=body.comment, metastore=metastore,
        ip_addresses=_networks(body.ip_access_list),
        properties=dict(body.properties_kvpairs.properties) if body.properties_kvpairs else {},
    )  # fmt: skip
    if recipient.authentication_type == "TOKEN":
        recipient.tokens.append(_new_token(call, body.expiration_time))
    call.state.recipients[name] = recipient
    return _wire(call, recipient)


def get(call: Call) -> Wire:
    return _wire(call, _visible(call))


def list_recipients(call: Call) -> Wire:
    every, metastore = call.has("USE_RECIPIENT"), call.parameters.get("data_recipient_global_metastore_id")
    seen = [
        each
        for each in call.state.recipients.values()
        if (every or call.owns(each.owner)) and metastore in (None, "", each.metastore)
    ]
    page, more = cut(seen, call.parameters, call.switches)
    return {"recipients": [_wire(call, each) for each in page], **more}


def update(call: Call) -> Wire:
    body, recipient = call.body(UpdateRecipient), found(call)
    call.require_owner("Recipient", recipient.name, recipient.owner)
    renamed = new_name("UpdateRecipient", "new_name", body.new_name) if body.new_name else recipient.name
    if renamed != recipient.name and renamed in call.state.recipients:
        raise ExistsError(f"Recipient '{renamed}' already exists", code="RECIPIENT_ALREADY_EXISTS")
    networks = _new_networks(call, recipient, body.ip_access_list)
    if body.expiration_time is not None:
        _shorten(call, recipient, body.expiration_time)
    recipient.ip_addresses = networks
    recipient.comment = body.comment or recipient.comment
    recipient.owner = body.owner or recipient.owner
    if body.properties_kvpairs is not None:
        recipient.properties = dict(body.properties_kvpairs.properties)
    _rename(call, recipient, renamed)
    _touch(call, recipient)
    return _wire(call, recipient)


def delete(call: Call) -> Wire:
    recipient = found(call)
    call.require_owner("Recipient", recipient.name, recipient.owner)
    del call.state.recipients[recipient.name]
    for share in call.state.shares.values():
        share.privileges.pop(recipient.name, None)
    return {}


def rotate_token(call: Call) -> Wire:
    seconds, recipient = call.body(RotateToken).existing_token_expire_in_seconds, found(call)
    call.require_owner("Recipient", recipient.name, recipient.owner, admin_may=False)
    if recipient.authentication_type != "TOKEN":
        raise InvalidError(f"RotateRecipientToken recipient '{recipient.name}' has no bearer tokens")
    if seconds is None or seconds < 0:
        raise InvalidError("RotateRecipientToken existing_token_expire_in_seconds must be 0 or more")
    live = _live(call, recipient)
    if len(live) >= LIVE_TOKENS_MAX:
        raise InvalidStateError(f"There are already two active tokens for recipient '{recipient.name}'")
    ends = call.now_ms + seconds * 1000
    for token in live:
        _shorten_token(token, ends)
    recipient.tokens = [*_live(call, recipient), _new_token(call, None)]
    recipient.activated = False
    _touch(call, recipient)
    return _wire(call, recipient)


def share_permissions(call: Call) -> Wire:
    recipient = _visible(call)
    shares = sorted(name for name, each in call.state.shares.items() if each.privileges.get(recipient.name))
    page, more = cut(shares, call.parameters, call.switches)
    outward = [
        {
            "share_name": name,
            "privilege_assignments": call.shuffled(
                {recipient.name: call.state.shares[name].privileges[recipient.name]}
            ),
        }
        for name in page
    ]
    return {"permissions_out": outward, **more}


def activation_info(call: Call) -> Wire:
    _activated_by(call)
    return {}


def activate(call: Call) -> Wire:
    """The credential file, once; nobody is signed in here."""
    recipient, token = _activated_by(call)
    token.activation = None
    recipient.activated = True
    return {
        "shareCredentialsVersion": 1,
        "bearerToken": token.secret,
        "endpoint": f"{call.url}/api/2.0/delta-sharing/metastores/{call.state.metastore.id}",
        "expirationTime": str(token.expiration_time),
    }


def found(call: Call) -> Recipient:
    name = call.names[0].lower()
    if name not in call.state.recipients:
        raise AbsentError(f"Recipient '{name}' does not exist.", code="RECIPIENT_DOES_NOT_EXIST")
    return call.state.recipients[name]


def _visible(call: Call) -> Recipient:
    recipient = found(call)
    if not (call.owns(recipient.owner) or call.has("USE_RECIPIENT")):
        raise DeniedError(f"User does not have USE RECIPIENT on Recipient '{recipient.name}'.")
    return recipient


def _check_new(call: Call, body: CreateRecipient) -> None:
    kind, metastore = body.authentication_type, body.data_recipient_global_metastore_id
    if kind not in TYPES:
        raise InvalidError(f"CreateRecipient {kind} is not an authentication type")
    if kind != "DATABRICKS":
        _check_open(call, body)
        return
    if bool(metastore) == bool(body.sharing_code):
        raise InvalidError(
            "CreateRecipient a DATABRICKS recipient takes a global metastore id or a sharing code"
        )
    if metastore and (len(metastore.split(":")) != 3 or not all(metastore.split(":"))):
        raise InvalidError(f"CreateRecipient {metastore!r} is not <cloud>:<region>:<uuid>")
    if body.ip_access_list is not None or body.expiration_time is not None:
        raise InvalidError("CreateRecipient IP access lists and expiry are for open sharing only")
    same = [each.name for each in call.state.recipients.values() if metastore and each.metastore == metastore]
    if same:
        raise ExistsError(
            f"There is already a Recipient object '{same[0]}' with same sharing identifier '{metastore}'",
            code="RECIPIENT_ALREADY_EXISTS",
        )


def _check_open(call: Call, body: CreateRecipient) -> None:
    if body.data_recipient_global_metastore_id or body.sharing_code:
        raise InvalidError("CreateRecipient a metastore id or sharing code is for DATABRICKS recipients only")
    if not call.switches.external_sharing:
        raise FeatureDisabledError("Delta Sharing with external recipients is not enabled on this metastore.")


def _networks(sent: IpList | None) -> list[str]:
    networks = sent.allowed_ip_addresses if sent else []
    if len(networks) > IPS_MAX:
        raise InvalidError(f"The IP access list has {len(networks)} entries, at most {IPS_MAX} are allowed")
    for network in networks:
        try:
            ipaddress.IPv4Network(network, strict=False)
        except ValueError:
            raise InvalidError(f"{network!r} is not an IPv4 address or CIDR block") from None
    return list(networks)


def _new_networks(call: Call, recipient: Recipient, sent: IpList | None) -> list[str]:
    """The IP list after an update, as the switches say."""
    if sent is None:
        return recipient.ip_addresses
    if recipient.authentication_type == "DATABRICKS":
        raise InvalidError("UpdateRecipient IP access lists are for open sharing only")
    networks = _networks(sent)
    if not networks:
        return [] if call.switches.empty_list_clears_ips else recipient.ip_addresses
    if call.switches.ip_lists_replace:
        return networks
    return list(dict.fromkeys([*recipient.ip_addresses, *networks]))


def _new_token(call: Call, expires: int | None) -> Token:
    latest = call.now_ms + min(call.state.token_lifetime_s * 1000, YEAR_MS)
    if expires is not None and expires > call.now_ms + YEAR_MS:
        raise InvalidError("expiration_time is more than one year ahead")
    if expires is not None and expires <= call.now_ms:
        raise InvalidError("expiration_time is not in the future")
    return Token(
        id=str(uuid.uuid4()),
        secret=secrets.token_urlsafe(24),
        activation=secrets.token_urlsafe(24),
        created_at=call.now_ms,
        created_by=call.caller.name,
        expiration_time=expires or latest,
    )


def _shorten(call: Call, recipient: Recipient, expires: int) -> None:
    if recipient.authentication_type != "TOKEN":
        raise InvalidError(f"UpdateRecipient recipient '{recipient.name}' has no bearer tokens")
    for token in _live(call, recipient)[-1:]:
        _shorten_token(token, expires)


def _shorten_token(token: Token, expires: int) -> None:
    if expires > token.expiration_time:
        raise InvalidError("The expiration time of a token can only be brought forward")
    token.expiration_time = expires


def _live(call: Call, recipient: Recipient) -> list[Token]:
    return [token for token in recipient.tokens if token.expiration_time > call.now_ms]


def _activated_by(call: Call) -> tuple[Recipient, Token]:
    """By the activation token, or by the whole link that ends in it."""
    asked = unquote(call.names[0])
    for recipient in call.state.recipients.values():
        for token in _live(call, recipient):
            if token.activation is not None and asked.endswith(token.activation):
                return recipient, token
    raise AbsentError("The activation URL does not exist or was used before.")


def _rename(call: Call, recipient: Recipient, renamed: str) -> None:
    if renamed == recipient.name:
        return
    for share in call.state.shares.values():
        if recipient.name in share.privileges:
            share.privileges[renamed] = share.privileges.pop(recipient.name)
    del call.state.recipients[recipient.name]
    recipient.name = renamed
    call.state.recipients[renamed] = recipient


def _touch(call: Call, recipient: Recipient) -> None:
    recipient.updated_at, recipient.updated_by = call.now_ms, call.caller.name


def _wire(call: Call, recipient: Recipient) -> Wire:
    cloud, _, rest = (recipient.metastore or "").partition(":")
    region, _, metastore_id = rest.partition(":")
    tokens = _token_wires(call, recipient)
    return present(
        {
            "name": recipient.name,
            "id": recipient.id,
            "authentication_type": recipient.authentication_type,
            "owner": recipient.owner,
            "comment": recipient.comment,
            "created_at": recipient.created_at,
            "created_by": recipient.created_by,
            "updated_at": recipient.updated_at,
            "updated_by": recipient.updated_by,
            "activated": recipient.activated if recipient.authentication_type == "TOKEN" else None,
            "activation_url": tokens[-1].get("activation_url") if tokens else None,
            "tokens": tokens or None,
            "data_recipient_global_metastore_id": recipient.metastore,
            "cloud": cloud or None,
            "region": region or None,
            "metastore_id": metastore_id or None,
            "ip_access_list": (
                {"allowed_ip_addresses": list(recipient.ip_addresses)} if recipient.ip_addresses else None
            ),
            "properties_kvpairs": {"properties": {"databricks.name": recipient.name, **recipient.properties}},
        }
    )


def _token_wires(call: Call, recipient: Recipient) -> Sequence[Wire]:
    link = f"{call.url}/delta_sharing/retrieve_config.html?"
    return [
        present(
            {
                "id": token.id,
                "activation_url": token.activation and link + token.activation,
                "created_at": token.created_at,
                "created_by": token.created_by,
                "updated_at": token.created_at,
                "updated_by": token.created_by,
                "expiration_time": token.expiration_time,
            }
        )
        for token in _live(call, recipient)
    ]
