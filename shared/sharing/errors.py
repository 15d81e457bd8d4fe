"""How a workspace refuses, as far as the engine must tell refusals apart; all of them Tributary's own errors."""

from shared.errors import PermanentError, TransientError


class WorkspaceUnavailableError(TransientError):
    """The workspace was not reached, or answered 5xx, before it can have acted."""

    code = "workspace_unavailable"


class WorkspaceThrottledError(TransientError):
    """The workspace answered 429; `retry_after_s` is its wish, bounded."""

    code = "workspace_throttled"


class OutcomeUnknownError(TransientError):
    """The call may or may not have taken effect: the reply was lost. Observe before doing it again."""

    code = "outcome_unknown"


class WorkspaceRefusedError(PermanentError):
    """The workspace refused for good; `reason` is its own error code such as PERMISSION_DENIED."""

    code = "workspace_refused"

    def __init__(self, message: str, *, reason: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class AlreadyExistsError(WorkspaceRefusedError):
    """The name is taken: read it again and compare before deciding anything."""

    code = "already_exists"


class MissingError(WorkspaceRefusedError):
    """What the call names is not there (any more)."""

    code = "missing"
