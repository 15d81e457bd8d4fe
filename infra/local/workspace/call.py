"""One request as its handler sees it: the state, the caller, what was sent, and the checks they share."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from infra.local.workspace.errors import DeniedError, InvalidError
from infra.local.workspace.identity import Identity
from infra.local.workspace.state import Privileges, Securable, State
from infra.local.workspace.switches import Switches

Body = TypeVar("Body")
Wire = dict[str, object]
NAME_MAX = 255
# Unity Catalog's rule for a name that isn't quoted: no period, space, slash or control character.
_FORBIDDEN = re.compile(r"[./ \x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler needs; `names` are the path's parts, `identities` everyone the workspace knows."""

    state: State
    switches: Switches
    identities: tuple[Identity, ...]
    caller: Identity
    names: tuple[str, ...]
    parameters: Mapping[str, str]
    content: bytes = field(repr=False)
    now_ms: int
    url: str
    chance: random.Random

    def body(self, kind: type[Body]) -> Body:
        """The request's body; InvalidError says which member doesn't fit."""
        try:
            return msgspec.json.decode(self.content or b"{}", type=kind)
        except msgspec.DecodeError as error:
            raise InvalidError(f"Invalid input: {error}") from error

    def parameter(self, name: str) -> str:
        """A query parameter that must be there."""
        if not self.parameters.get(name):
            raise InvalidError(f"Missing required field: {name}")
        return self.parameters[name]

    def owns(self, owner: str) -> bool:
        return owner.lower() in {name.lower() for name in self.caller.principals}

    def has(self, privilege: str, securable: Securable | None = None) -> bool:
        """Whether the caller holds a privilege itself, by default on the metastore; administrators hold all of it."""
        target = securable or self.state.metastore
        held = {each for name in self.caller.principals for each in target.privileges.get(name.lower(), ())}
        return bool({privilege, "ALL_PRIVILEGES"} & held) or (securable is None and self.caller.admin)

    def require(self, privilege: str) -> None:
        if not self.has(privilege):
            raise DeniedError(
                f"User does not have {privilege} on Metastore '{self.state.metastore.full_name}'."
            )

    def require_owner(self, what: str, name: str, owner: str, *, admin_may: bool = True) -> None:
        if not self.owns(owner) and not (admin_may and self.caller.admin):
            raise DeniedError(f"User is not an owner of {what} '{name}'.")

    def principals_of(self, name: str) -> frozenset[str]:
        """A principal and the groups it is in."""
        known = (each for each in self.identities if each.name.lower() == name.lower())
        return next((each.principals for each in known), frozenset({name}))

    def shuffled(self, privileges: Privileges) -> list[Wire]:
        """Privilege assignments in no order one may rely on, principals in lower case."""
        given = [{"principal": name, "privileges": sorted(held)} for name, held in privileges.items() if held]
        self.chance.shuffle(given)
        return [dict(each) for each in given]


Handler = Callable[[Call], object]


def new_name(kind: str, field_name: str, name: str | None) -> str:
    """A name fit for a new securable, in lower case; InvalidError where it isn't."""
    if not name:
        raise InvalidError(f"{kind} Missing required field: {field_name}")
    if len(name) > NAME_MAX:
        raise InvalidError(f"{kind} {field_name} is longer than {NAME_MAX} characters")
    if _FORBIDDEN.search(name):
        raise InvalidError(f"{kind} {name!r} is not a valid name")
    return name.lower()


def present(members: Mapping[str, object]) -> Wire:
    """The members that have a value: what is unset is left out, never null."""
    return {name: value for name, value in members.items() if value is not None}
