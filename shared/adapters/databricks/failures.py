"""What the SDK raises, as our errors: told apart by error_code, then by whether the call can have taken effect.

A message of the workspace is quoted only where it came with an error_code, shortened, and without links: what the
SDK says of an answer it could not read quotes the whole answer.
"""

import re
from typing import Literal

import requests
from databricks.sdk.errors import (
    Aborted,
    NotFound,
    PermissionDenied,
    ResourceConflict,
    ResourceDoesNotExist,
    TooManyRequests,
    Unauthenticated,
)
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.errors.platform import BadRequest
from databricks.sdk.errors.platform import NotImplemented as NotOffered
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError

from shared.errors import AppError
from shared.sharing.errors import (
    AlreadyExistsError,
    MissingError,
    OutcomeUnknownError,
    WorkspaceRefusedError,
    WorkspaceThrottledError,
    WorkspaceUnavailableError,
)

RETRY_AFTER_CAP_S = 300.0
MESSAGE_MAX = 300
# Refusals for good; whatever else the workspace answers may have come after it acted.
_REFUSED = (BadRequest, NotFound, PermissionDenied, Unauthenticated, ResourceConflict, NotOffered)
# A 404 that says nothing of the thing asked for.
_NOT_ABSENT = frozenset({"ENDPOINT_NOT_FOUND", "METASTORE_DOES_NOT_EXIST"})
_LINK = re.compile(r"https?://\S+")
# To a 401 or 403 the SDK adds its own configuration.
_SDK_CONFIG = re.compile(r"\. (Config|Env): .*", re.DOTALL)

Call = Literal["read", "write"]


def translated(error: Exception, what: str, call: Call) -> AppError:
    """The error to raise instead; `what` names the call, such as `PATCH shares/sales`."""
    if isinstance(error, AppError):
        return error
    if isinstance(error, TooManyRequests):
        return _throttled(error, what)
    if isinstance(error, Aborted):
        return WorkspaceUnavailableError(f"{what}: another change came between{_said(error)}", hint=_LATER)
    if isinstance(error, _REFUSED):
        return _refused(error, what)
    if call == "read" or _never_sent(error):
        return WorkspaceUnavailableError(f"{what}: {_how(error)}", hint=_LATER)
    return OutcomeUnknownError(
        f"{what}: {_how(error)}; it may have taken effect", hint="it is looked at again before it is repeated"
    )


_LATER = "it is tried again; see the workspace's status page if this lasts"
_HINTS = {
    "PERMISSION_DENIED": "let the owner or a metastore admin grant the app's identity what the message names",
    "UNAUTHENTICATED": "check that the app's identity is a user of this workspace",
    "FEATURE_DISABLED": "let a metastore admin enable Delta Sharing, with outside recipients where needed",
    "INVALID_PARAMETER_VALUE": "correct the value in the share pack",
    "INVALID_STATE": "look at the recipient or share in the workspace, then try again",
}


def _refused(error: DatabricksError, what: str) -> WorkspaceRefusedError:
    reason = error.error_code or _default_reason(error)
    message = f"{what}: {reason}{_said(error)}"
    hint = _HINTS.get(reason, "")
    if reason.endswith("ALREADY_EXISTS") or reason == "RESOURCE_CONFLICT":
        return AlreadyExistsError(message, reason=reason, hint=hint)
    absent = reason.endswith("_DOES_NOT_EXIST") or isinstance(error, ResourceDoesNotExist)
    if absent and reason not in _NOT_ABSENT:
        return MissingError(message, reason=reason, hint=hint)
    return WorkspaceRefusedError(message, reason=reason, hint=hint)


def _default_reason(error: DatabricksError) -> str:
    """For an answer without an error_code, as of a gateway in between."""
    if isinstance(error, Unauthenticated):
        return "UNAUTHENTICATED"
    return "PERMISSION_DENIED" if isinstance(error, PermissionDenied) else "REFUSED"


def _throttled(error: DatabricksError, what: str) -> WorkspaceThrottledError:
    wish = error.retry_after_secs
    bounded = None if wish is None else min(max(float(wish), 0.0), RETRY_AFTER_CAP_S)
    return WorkspaceThrottledError(
        f"{what}: the workspace asks for patience (429)", hint=_LATER, retry_after_s=bounded
    )


def _never_sent(error: Exception) -> bool:
    """Whether the connection was never made, so that no request can have arrived."""
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.SSLError):
        return True
    cause = error.args[0] if error.args else None
    reason = cause.reason if isinstance(cause, MaxRetryError) else cause
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)


def _how(error: Exception) -> str:
    if isinstance(error, DatabricksError):
        return f"the workspace failed with {error.error_code or type(error).__name__}"
    if isinstance(error, requests.TooManyRedirects):
        return "it answered with a redirect, which is never followed"
    if isinstance(error, requests.Timeout):
        return "no answer came in time"
    return (
        "the connection failed" if isinstance(error, requests.ConnectionError) else "the answer is unreadable"
    )


def _said(error: DatabricksError) -> str:
    if not error.error_code:
        return ""
    text = _LINK.sub("<link>", _SDK_CONFIG.sub("", str(error)))
    return f": {text[:MESSAGE_MAX]}" if text else ""
