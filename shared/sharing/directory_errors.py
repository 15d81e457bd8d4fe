"""How directories, cost figures and notices go wrong, as far as a sync or a notifier must tell it apart."""

from shared.errors import PermanentError, TransientError


class DirectoryUnavailableError(TransientError):
    """The service was not reached, timed out or answered 5xx."""

    code = "directory_unavailable"


class DirectoryThrottledError(TransientError):
    """The service answered 429 for longer than a delivery waits; `retry_after_s` is its wish, bounded."""

    code = "directory_throttled"


class DirectoryRefusedError(PermanentError):
    """The service refused the credentials or the request; `reason` is its own error code."""

    code = "directory_refused"

    def __init__(self, message: str, *, reason: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class DirectoryProtocolError(PermanentError):
    """The service's answer has another shape than documented, or leads elsewhere."""

    code = "directory_protocol"


class LinkExpiredError(PermanentError):
    """The delta link is too old: everything must be listed again."""

    code = "link_expired"


class RemovalGuardError(PermanentError):
    """More records would be removed than the guard allows; nothing was removed."""

    code = "removal_guard"


class NoticeUndeliveredError(TransientError):
    """A channel did not take a notice now."""

    code = "notice_undelivered"


class NoticeRefusedError(PermanentError):
    """A channel will never take this notice."""

    code = "notice_refused"
