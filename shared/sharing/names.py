"""What names and addresses look like: allow-lists, for names become parts of request paths.

Each function answers why a text is refused, or None.
"""

import ipaddress
import re

from shared.sharing.model import TABLE_LIKE, ObjectType
from shared.sharing.text import foreign, shown, unseen

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}", re.ASCII)
_ALIAS_PART = re.compile(r"[A-Za-z0-9_]{1,255}", re.ASCII)
_METASTORE_PART = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)
_MAIL = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([A-Za-z0-9-]{1,63}\.)+[A-Za-z0-9-]{2,63}", re.ASCII
)
_NETWORK = re.compile(r"[0-9.]+(/[0-9]{1,2})?", re.ASCII)
_PARTS: dict[ObjectType, tuple[int, ...]] = {ObjectType.SCHEMA: (2,), ObjectType.NOTEBOOK_FILE: (1, 2, 3)}
_WRITTEN = {1: "name", 2: "catalog.schema", 3: "catalog.schema.name"}


def name_fault(name: str) -> str | None:
    """Why this cannot name a recipient, share or pipeline."""
    if _NAME.fullmatch(name):
        return None
    return f"{shown(name)} is no name: {_odd(name) or 'letters, digits, _ and -, 1 to 255 of them'}"


def object_fault(name: str, type: ObjectType | None) -> str | None:
    """Why this cannot name a data object of its type; without a type it is a schema or something in one."""
    allowed = (2, 3) if type is None else _PARTS.get(type, (3,))
    parts = name.split(".")
    if all(_NAME.fullmatch(part) for part in parts) and len(parts) in allowed:
        return None
    form = " or ".join(_WRITTEN[count] for count in allowed)
    kind = f"a {type}" if type else "a data object"
    return f"{shown(name)} does not name {kind}: {_odd(name) or f'{form}, each part of letters, digits, _ and -'}"


def alias_fault(alias: str, type: ObjectType | None) -> str | None:
    """Why `shared_as` is refused: two parts for what is like a table, one or two for the rest."""
    parts = alias.split(".")
    if type is None or type in TABLE_LIKE:
        good, form = len(parts) == 2, "schema.name"
    else:
        good, form = len(parts) in (1, 2), "name or schema.name"
    if good and all(_ALIAS_PART.fullmatch(part) for part in parts):
        return None
    return f"{shown(alias)}: {_odd(alias) or f'{form} is expected, of letters, digits and _'}"


def metastore_fault(id: str) -> str | None:
    """Why this is no global metastore id."""
    parts = id.split(":")
    if len(parts) == 3 and all(_METASTORE_PART.fullmatch(part) for part in parts):
        return None
    return f"{shown(id)}: {_odd(id) or 'cloud:region:id is expected, such as azure:westeurope:<uuid>'}"


def mail_fault(address: str) -> str | None:
    """Why this is no e-mail address."""
    if _MAIL.fullmatch(address) and ".." not in address:
        return None
    return _odd(address) or "an e-mail address is expected, such as name@example.org"


def network_fault(text: str) -> str | None:
    """Why this is neither an IPv4 address nor a CIDR."""
    told = f"{shown(text)} is no IPv4 address or CIDR"
    if ":" in text:
        return f"{told}: IPv6 is not taken by the platform"
    if not _NETWORK.fullmatch(text):
        return f"{told}{': write ANY, alone and in capitals' if text.upper() == 'ANY' else ''}"
    try:
        network = ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        return told
    if network.prefixlen == 0:
        return f"{shown(text)} is every address: write the single word ANY if that is meant"
    if "/" in text and str(network.network_address) != text.partition("/")[0]:
        return f"{shown(text)} has bits beyond its prefix; {network} is the network it lies in"
    return None


def _odd(text: str) -> str | None:
    """The reason that would otherwise be invisible: a character that looks like another, or like none."""
    hidden = unseen(text)
    if hidden:
        return f"it contains {hidden}, which cannot be seen"
    other = foreign(text)
    return f"it contains {other}, which is none of the letters a-z however it looks" if other else None
