"""What the local host refuses, and why it stops.

HostError
├── AppError          the app or its settings cannot be hosted; nothing runs
├── WorkerLostError   the worker process ended under an invocation
│   └── FunctionTimeoutError   ... because one invocation outlived functionTimeout
└── ShuttingDownError the invocation came after the drain began
"""


class HostError(Exception):
    """Root of every error the local host raises on purpose."""


class AppError(HostError):
    """The app cannot be hosted; the message names the function and the repair."""


class WorkerLostError(HostError):
    """The worker ended; whatever it was running is lost."""


class FunctionTimeoutError(WorkerLostError):
    """An invocation outlived functionTimeout, so the whole worker was killed."""


class ShuttingDownError(HostError):
    """The host drains and takes no further invocation."""
