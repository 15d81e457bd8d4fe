"""How a workspace refuses, as far as the engine must tell refusals apart, and how an upload is refused."""

from collections.abc import Sequence

from shared.errors import PermanentError, RequestError, TransientError
from shared.sharing.model import Finding


class WorkspaceUnavailableError(TransientError):
    """The workspace was not reached, or answered 5xx, before it can have acted."""

    code = "workspace_unavailable"


class LookCutShortError(TransientError):
    """The time that a request has for looking at a workspace was up before the look was whole."""

    code = "look_cut_short"


class WorkspaceThrottledError(TransientError):
    """The workspace answered 429; `retry_after_s` is its wish, bounded."""

    code = "workspace_throttled"


class OutcomeUnknownError(TransientError):
    """The call may or may not have taken effect: the reply was lost. Observe before doing it again."""

    code = "outcome_unknown"


class LeaseHeldError(TransientError):
    """Another application is changing the same share, recipient or pipeline; try again when it is done."""

    code = "lease_held"


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


class UploadError(RequestError):
    """A share pack's file is not taken; `findings` say why, each with its place where it has one."""

    code = "upload_refused"

    def __init__(self, findings: Sequence[Finding], message: str | None = None, *, hint: str = "") -> None:
        first = findings[0].detail
        more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
        super().__init__(message or f"{first}{more}", hint=hint)
        self.findings = tuple(findings)


class UnreadableUploadError(UploadError):
    """The file is damaged, or is no text that YAML allows."""

    code = "upload_unreadable"


class UploadTooLargeError(UploadError):
    """The file, or what it would unfold to, is over a limit."""

    code = "upload_too_large"
    status = 413


class UploadTypeError(UploadError):
    """The file is neither YAML nor an Excel workbook without macros."""

    code = "upload_type"
    status = 415


class InvalidPackError(UploadError):
    """The file was read, and the pack in it breaks the format or a rule."""

    code = "pack_invalid"
    status = 422


class StoredPackError(PermanentError):
    """A stored pack has a form that this release does not know."""

    code = "stored_pack"
