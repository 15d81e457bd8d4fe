"""What can go wrong while the local stack starts or stops.

LocalStackError
├── PortTakenError        somebody else listens there
├── StartError            the child ended, or never became ready
└── StopError             the child outlived its deadline
"""


class LocalStackError(Exception):
    """Root of every error the local stack raises on purpose."""


class PortTakenError(LocalStackError):
    """A port of ours is held by a process that is not ours."""

    def __init__(self, what: str, port: int, variable: str) -> None:
        super().__init__(
            f"{what}: port {port} on 127.0.0.1 is taken by another process; "
            f"stop that process, or set {variable} to a free port"
        )
        self.what, self.port, self.variable = what, port, variable


class StartError(LocalStackError):
    """A child process did not become ready."""


class StopError(LocalStackError):
    """A child process is still there after it was told to end."""
