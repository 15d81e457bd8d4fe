"""What the workspace refuses with: an HTTP status, an error_code and a message."""

from __future__ import annotations


class RefusedError(Exception):
    """Root: the request is answered with this status and code."""

    status = 400
    code = "BAD_REQUEST"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class InvalidError(RefusedError):
    """A parameter's value, or a combination of them, is not allowed."""

    code = "INVALID_PARAMETER_VALUE"


class InvalidStateError(RefusedError):
    """What exists stands against it."""

    code = "INVALID_STATE"


class ExistsError(RefusedError):
    """The name is taken; 400, as Unity Catalog answers, not 409."""

    code = "RESOURCE_ALREADY_EXISTS"


class ConflictError(RefusedError):
    """The name is taken, where the answer is a 409."""

    status = 409
    code = "RESOURCE_CONFLICT"


class AbsentError(RefusedError):
    """Nothing of that name."""

    status = 404
    code = "RESOURCE_DOES_NOT_EXIST"


class DeniedError(RefusedError):
    """The caller lacks a privilege or the ownership."""

    status = 403
    code = "PERMISSION_DENIED"


class UnauthenticatedError(RefusedError):
    """No credential was sent."""

    status = 401
    code = "UNAUTHENTICATED"


class FeatureDisabledError(RefusedError):
    """The metastore doesn't share, or not with outsiders."""

    status = 403
    code = "FEATURE_DISABLED"


class UnknownRouteError(RefusedError):
    """No such route here."""

    status = 404
    code = "ENDPOINT_NOT_FOUND"
