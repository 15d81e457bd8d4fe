"""Who may do what: each route names its minimal role in its signature (`caller: Reader`)."""

from typing import Annotated, Literal, cast

from fastapi import Depends, Request

from shared.adapters.tokens import Caller
from shared.api.ports import ApiServices
from shared.errors import ForbiddenError, UnauthorizedError

Role = Literal["reader", "operator", "approver", "admin"]
# Approving is another duty than operating, so neither implies the other.
_IMPLIES: dict[Role, frozenset[Role]] = {
    "reader": frozenset({"reader", "operator", "approver", "admin"}),
    "operator": frozenset({"operator", "admin"}),
    "approver": frozenset({"approver", "admin"}),
    "admin": frozenset({"admin"}),
}


class Require:
    """A dependency that lets callers with `role`, or one that includes it, pass."""

    def __init__(self, role: Role) -> None:
        self.role = role

    def __call__(self, request: Request) -> Caller:
        """The caller; raises ForbiddenError without the role."""
        caller = getattr(request.state, "caller", None)
        if not isinstance(caller, Caller):
            raise UnauthorizedError("no bearer token", hint="send Authorization: Bearer <token>")
        if not caller.roles & _IMPLIES[self.role]:
            raise ForbiddenError(
                f"role {self.role}: missing", hint=f"ask for the app role {self.role} and sign in again"
            )
        return caller


def _services(request: Request) -> ApiServices:
    return cast(ApiServices, request.app.state.services)


Services = Annotated[ApiServices, Depends(_services)]
Reader = Annotated[Caller, Depends(Require("reader"))]
Operator = Annotated[Caller, Depends(Require("operator"))]
Approver = Annotated[Caller, Depends(Require("approver"))]
Admin = Annotated[Caller, Depends(Require("admin"))]
