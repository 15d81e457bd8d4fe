"""Every error Tributary raises on purpose, split first by recovery, then by phase.

AppError
    TransientError      trying again later may succeed: the slice is re-queued with backoff
        SourceUnavailableError, SourceThrottledError, TargetUnavailableError, QueueUnavailableError
        IdentityUnavailableError, StorageUnavailableError, FactoryUnavailableError
    PermanentError      trying again cannot help: the run fails and says why
        SourceRefusedError, SourceProtocolError, SchemaDriftError, ConfigurationError, TargetRefusedError ...
        FactoryRefusedError
    FencedError         another delivery owns the slice: stop, write nothing, report nothing
    RequestError        the caller of the HTTP interface must change the request
Each error carries a stable `code`, a message (object, value, next step) and a `hint`; never a secret or a row's value.
"""

from collections.abc import Sequence


class AppError(Exception):
    """Root of every error Tributary raises on purpose."""

    code = "error"

    def __init__(self, message: str, *, hint: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code


class TransientError(AppError):
    """Trying again later may succeed."""

    code = "transient"

    def __init__(
        self, message: str, *, hint: str = "", code: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.retry_after_s = retry_after_s


class SourceUnavailableError(TransientError):
    """The connector could not be reached, timed out or answered 5xx."""

    code = "source_unavailable"


class SourceThrottledError(TransientError):
    """The connector answered 429; `retry_after_s` is its own wish, already bounded."""

    code = "source_throttled"


class TargetUnavailableError(TransientError):
    """PostgreSQL could not be reached, is read-only, full, or chose this transaction as a victim."""

    code = "target_unavailable"


class QueueUnavailableError(TransientError):
    """The storage queue did not take or give a message."""

    code = "queue_unavailable"


class IdentityUnavailableError(TransientError):
    """The directory gave the app no token."""

    code = "identity_unavailable"


class StorageUnavailableError(TransientError):
    """The storage account did not take or give a blob."""

    code = "storage_unavailable"


class FactoryUnavailableError(TransientError):
    """Data Factory could not be reached, throttled us or answered 5xx."""

    code = "factory_unavailable"


class PermanentError(AppError):
    """Trying again cannot help."""

    code = "permanent"


class ConfigurationError(PermanentError):
    """A setting, an entity or a connector is missing something or contradicts itself."""

    code = "configuration"


class SourceRefusedError(PermanentError):
    """The connector refused the credentials or the request (401 twice, 403, 404)."""

    code = "source_refused"


class SourceProtocolError(PermanentError):
    """The connector's answer is not the protocol's: truncated, not JSON, a cycle of cursors, a shape unknown."""

    code = "source_protocol"


class FactoryRefusedError(PermanentError):
    """Data Factory refuses the app's identity, or answered something that is not its own."""

    code = "factory_refused"


class WatermarkRegressionError(PermanentError):
    """The source's versions went back below the stored watermark, or leapt beyond belief."""

    code = "watermark_regression"


class SchemaDriftError(PermanentError):
    """The source no longer offers columns the target needs, or changed a type in a way that could lose data."""

    code = "schema_drift"

    def __init__(self, entity: str, columns: Sequence[str], message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.entity, self.columns = entity, tuple(columns)


class TargetRefusedError(PermanentError):
    """PostgreSQL refused the table, a name or a value for good."""

    code = "target_refused"


class ConservationError(PermanentError):
    """The rows of a chunk do not add up; nothing of the chunk was committed."""

    code = "conservation"


class RejectThresholdError(PermanentError):
    """More of a run's rows were rejected than its entity allows."""

    code = "reject_threshold"


class DeleteGuardError(PermanentError):
    """More rows would be deleted than the guard allows; nothing was deleted."""

    code = "delete_guard"


class UnprovenError(PermanentError):
    """The walk could not be proven complete, so nothing may be published or deleted from it."""

    code = "unproven"


class MessageError(PermanentError):
    """A queue message is not one of ours, or of a version this code does not know."""

    code = "bad_message"


class FencedError(AppError):
    """Another delivery owns the slice; whatever this one did is rolled back."""

    code = "fenced"


class RequestError(AppError):
    """The request cannot be served as it stands; `status` is the HTTP status to answer."""

    code = "bad_request"
    status = 400


class NotFoundError(RequestError):
    """What was asked for does not exist, or is not the caller's to see."""

    code = "not_found"
    status = 404


class ConflictError(RequestError):
    """A name is taken or a run is in flight."""

    code = "conflict"
    status = 409


class InvalidError(RequestError):
    """The body does not fit; `problems` names each field."""

    code = "invalid"
    status = 422

    def __init__(self, message: str, problems: Sequence[tuple[str, str]] = (), *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)


class UnauthorizedError(RequestError):
    """The bearer token is missing, forged, expired or meant for somebody else."""

    code = "unauthorized"
    status = 401


class ForbiddenError(RequestError):
    """The token is good but lacks the role."""

    code = "forbidden"
    status = 403
